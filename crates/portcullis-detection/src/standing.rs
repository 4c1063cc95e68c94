//! Decides which sources are offenders.
//!
//! A source is many requests, and often many people: an office behind one address, a
//! crawler, a monitor. Points alone would turn the busiest of them into offenders, so two
//! questions come before: is there anything that an honest client does not do, and is it
//! more than a drop in what else the source does well. What fails the second is *watched*:
//! shown with the same evidence, and not proposed for a block. So is a source that only
//! says what it is: surveys of the internet announce themselves and ask for a home page,
//! and a block gains nothing. So is a crawler that asks from its published addresses, whatever
//! it asks for: it follows the links that others plant, and a block would take the site out of
//! what people find. So is what rests on detections alone that only suggest, see
//! [`crate::SuggestsOnly`]. And so is a source of which nothing is known but a rate that weighs
//! too little: who walks through 5,000 objects and is answered each time is to be looked at,
//! and may be the batch job of a partner.
//!
//! What to do about an offender is left to remediation.

use crate::level::{BLOCK_LEVEL, Category, Confidence, Severity, named};

/// Least number of different observed rules that make an offender without any single
/// request being flagged.
///
/// A guess: an honest client with one odd habit sets off one rule, or two about the same
/// habit; three point to somebody who tries things. But an old application can have three
/// odd habits in every link, and who uses it is answered: see [`Figures::is_answered`].
pub(crate) const LEAST_OBSERVED_RULES: usize = 3;

/// Least number of good requests (answered 2xx or 3xx, not flagged) that can outweigh
/// flagged ones. A guess: less is too little to speak of a history.
const LEAST_GOOD_REQUESTS: u64 = 200;

/// Share of flagged requests, as one in this many, under which a good history outweighs
/// them. A guess: below one percent, the many behind a shared address pay for one.
const GOOD_HISTORY_SHARE: u64 = 100;

/// How often a near-certain rule about a serious attack must fire so that no good history
/// outweighs it. Once can be a curious user or a false alarm, three times is neither.
const LEAST_CERTAIN_REQUESTS: u64 = 3;

named! {
    /// What is thought of a source.
    Standing {
        /// Nothing to report.
        Quiet = "quiet",
        /// Would be an offender but for its good history, only says what it is, all that is
        /// against it only suggests, or a rate fired that weighs too little.
        Watched = "watched",
        /// To act on.
        Offender = "offender",
    }
}

named! {
    /// Why a source stands where it does.
    Ground {
        /// The score is under [`BLOCK_LEVEL`].
        ScoreUnderLevel = "score-under-level",
        /// The score is not, but nothing of it is weighty: no request was flagged, no rate
        /// weighs enough alone, and too few rules were observed.
        NothingWeighty = "nothing-weighty",
        /// A rate of medium severity and confidence fired, which by itself makes nobody an
        /// offender.
        LesserRate = "lesser-rate",
        /// Without the detections that only suggest, nothing weighty is left.
        OnlySuggested = "only-suggested",
        /// Requests were flagged.
        Flagged = "flagged",
        /// A rate weighs as much as a flagged request.
        Rate = "rate",
        /// Several rules were observed, which together weigh as much.
        ManyRules = "many-rules",
        /// It calls itself a scanner, probes, and does nothing else.
        Correlated = "correlated",
        /// Only its agent speaks against it, and that it is a survey or the like: no
        /// request attacked anything.
        OnlyItsAgent = "only-its-agent",
        /// It is a crawler, by agent and address, which is never more than watched.
        VerifiedCrawler = "verified-crawler",
        /// So many good requests, and so small a share of flagged ones, that they outweigh.
        GoodHistory = "good-history",
        /// A near-certain rule about a serious attack fired so often that no history
        /// outweighs.
        Certain = "certain",
    }
}

/// What alone would have made a source stand otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// One flagged request.
    OneFlaggedRequest,
    /// One request that is flagged for anything but the agent.
    OneAttack,
    /// One good request.
    OneGoodRequest,
    /// This many more good requests would outweigh.
    GoodRequests(u64),
    /// With this many more flagged requests the good ones would no longer outweigh.
    FlaggedRequests(u64),
    /// With this many more requests on which a near-certain rule about a serious attack
    /// fires, nothing would outweigh.
    CertainRequests(u64),
}

/// One detection's figures, as the decision needs them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    /// The rule's points, once.
    pub(crate) rule_points: u32,
    pub(crate) category: Category,
    pub(crate) severity: Severity,
    pub(crate) confidence: Confidence,
    pub(crate) is_rate: bool,
    /// Whether it only suggests.
    pub(crate) suggests: bool,
    pub(crate) requests: u64,
}

/// What the decision about a source needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures<'w> {
    pub(crate) score: u32,
    /// Whether a correlation is a ground by itself.
    pub(crate) correlated: bool,
    /// What is only said of it; see [`Correlation::hearsay`].
    pub(crate) hearsay: u32,
    /// Whether it is one.
    pub(crate) is_crawler: bool,
    pub(crate) flagged_requests: u64,
    pub(crate) good_requests: u64,
    pub(crate) requests: u64,
    pub(crate) weights: &'w [Weight],
}

/// Which detections are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    /// Those that only suggest, too.
    All,
    /// Those that count in full.
    InFull,
}

impl Weight {
    fn is_weighty_rate(&self) -> bool {
        self.is_rate && self.rule_points >= BLOCK_LEVEL
    }

    /// Whether it is a rate that somebody should look at, even if it weighs too little to act
    /// on. Rates of low severity or confidence fire on honest clients too.
    fn is_notable_rate(&self) -> bool {
        let weighs = self.severity >= Severity::Medium && self.confidence >= Confidence::Medium;
        self.is_rate && weighs
    }

    /// Whether it is about what the client calls itself.
    pub(crate) fn is_agent(&self) -> bool {
        self.category == Category::ScannerUa
    }

    /// Whether it is near-certain and about a serious attack.
    fn is_certain(&self) -> bool {
        !self.suggests && self.severity >= Severity::High && self.confidence == Confidence::High
    }
}

impl Figures<'_> {
    /// Decides about the source.
    pub(crate) fn standing(&self) -> Standing {
        if self.score < BLOCK_LEVEL || !self.is_weighty(Counted::All) {
            if self.has_lesser_rate() { Standing::Watched } else { Standing::Quiet }
        } else if !self.is_weighty(Counted::InFull)
            || self.is_only_agent()
            || self.is_crawler
            || (self.has_good_history() && !self.is_certain())
        {
            Standing::Watched
        } else {
            Standing::Offender
        }
    }

    /// Why [`Figures::standing`] decides so.
    pub(crate) fn grounds(&self) -> Vec<Ground> {
        if self.score < BLOCK_LEVEL || !self.is_weighty(Counted::All) {
            let lesser = self.has_lesser_rate().then_some(Ground::LesserRate);
            let too_little = if self.score < BLOCK_LEVEL {
                Ground::ScoreUnderLevel
            } else {
                Ground::NothingWeighty
            };
            return lesser.into_iter().chain([too_little]).collect();
        }
        if !self.is_weighty(Counted::InFull) {
            return vec![Ground::OnlySuggested];
        }
        let held = [
            (Ground::Flagged, self.flagged_requests > 0),
            (Ground::Rate, self.weights(Counted::InFull).any(Weight::is_weighty_rate)),
            (Ground::ManyRules, self.many_rules(Counted::InFull)),
            (Ground::Correlated, self.correlated),
            (Ground::OnlyItsAgent, self.is_only_agent()),
            (Ground::VerifiedCrawler, self.is_crawler),
            (Ground::GoodHistory, self.has_good_history() && !self.is_certain()),
            (Ground::Certain, self.is_certain()),
        ];
        held.into_iter().filter_map(|(ground, holds)| holds.then_some(ground)).collect()
    }

    /// What alone would change [`Figures::standing`].
    pub(crate) fn changes(&self) -> Vec<Change> {
        match self.standing() {
            Standing::Quiet => vec![Change::OneFlaggedRequest],
            // It asks for whatever is linked somewhere.
            Standing::Watched if self.is_crawler => Vec::new(),
            Standing::Watched if !self.has_good_history() || self.is_certain() => {
                vec![Change::OneAttack]
            }
            Standing::Watched => {
                // The share is reached when 100 × (flagged + n) >= requests + n.
                let missing = self.requests - self.flagged_requests * GOOD_HISTORY_SHARE;
                let flagged = missing.div_ceil(GOOD_HISTORY_SHARE - 1);
                let most =
                    self.weights.iter().filter(|weight| weight.is_certain()).map(|w| w.requests);
                let certain = LEAST_CERTAIN_REQUESTS - most.max().unwrap_or(0);
                vec![Change::FlaggedRequests(flagged), Change::CertainRequests(certain)]
            }
            Standing::Offender if self.is_certain() => Vec::new(),
            // The correlation is all there is, and holds only without a good request.
            Standing::Offender if !self.is_weighty_without_correlation(Counted::InFull) => {
                vec![Change::OneGoodRequest]
            }
            Standing::Offender => {
                let history = LEAST_GOOD_REQUESTS.saturating_sub(self.good_requests);
                let share = (self.flagged_requests.saturating_mul(GOOD_HISTORY_SHARE) + 1)
                    .saturating_sub(self.requests);
                let outweighed = history.max(share);
                // Observed rules are all there is, and hold only of who is not answered: until
                // 2 × (good + n) >= requests + n.
                let answered = (!self.correlated && !self.is_weighty_by_one(Counted::InFull))
                    .then(|| self.requests - 2 * self.good_requests);
                vec![Change::GoodRequests(answered.unwrap_or(outweighed).min(outweighed))]
            }
        }
    }

    fn weights(&self, counted: Counted) -> impl Iterator<Item = &Weight> {
        self.weights.iter().filter(move |weight| counted == Counted::All || !weight.suggests)
    }

    fn is_weighty(&self, counted: Counted) -> bool {
        self.correlated || self.is_weighty_without_correlation(counted)
    }

    /// Whether nothing speaks against it but that it says what it is. Tools that attack,
    /// which is a serious matter, mean it.
    fn is_only_agent(&self) -> bool {
        self.weights(Counted::InFull)
            .all(|weight| weight.is_agent() && weight.severity < Severity::High)
    }

    /// Whether a rate fired that should be looked at. Crawlers ask for much, and are known.
    fn has_lesser_rate(&self) -> bool {
        !self.is_crawler && self.weights(Counted::InFull).any(Weight::is_notable_rate)
    }

    fn is_weighty_without_correlation(&self, counted: Counted) -> bool {
        self.is_weighty_by_one(counted) || self.many_rules(counted)
    }

    /// Whether one request, or one rate, is enough.
    fn is_weighty_by_one(&self, counted: Counted) -> bool {
        self.flagged_requests > 0 || self.weights(counted).any(Weight::is_weighty_rate)
    }

    fn many_rules(&self, counted: Counted) -> bool {
        let of_rules = self.weights(counted).map(|weight| weight.rule_points);
        let rules = self.weights(counted).count() + usize::from(self.hearsay > 0);
        rules >= LEAST_OBSERVED_RULES
            && of_rules.sum::<u32>() + self.hearsay >= BLOCK_LEVEL
            && !self.is_answered()
    }

    /// Whether at least half of its requests were good, as of somebody who follows links and
    /// not of somebody who guesses. Never where the log has no status.
    fn is_answered(&self) -> bool {
        self.good_requests > 0 && self.good_requests.saturating_mul(2) >= self.requests
    }

    fn has_good_history(&self) -> bool {
        self.good_requests >= LEAST_GOOD_REQUESTS
            && self.flagged_requests.saturating_mul(GOOD_HISTORY_SHARE) < self.requests
    }

    fn is_certain(&self) -> bool {
        let often = |weight: &Weight| weight.requests >= LEAST_CERTAIN_REQUESTS;
        self.weights.iter().any(|weight| weight.is_certain() && often(weight))
    }
}

#[cfg(test)]
mod tests;
