//! Decides which sources are offenders.
//!
//! A source is many requests, and often many people: an office behind one address, a
//! crawler, a monitor. Points alone would turn the busiest of them into offenders, so two
//! questions come before: is there anything that an honest client does not do, and is it
//! more than a drop in what else the source does well. What fails the second is *watched*:
//! shown with the same evidence, and not proposed for a block. So is a source that only
//! says what it is: surveys of the internet announce themselves and ask for a home page,
//! and a block gains nothing. So is a crawler that asks from its published addresses, unless a
//! rule is sure of an attack. So is what rests on detections alone that only suggest, see
//! [`SuggestsOnly`].
//!
//! What to do about an offender is left to remediation.

use std::sync::Arc;

use ipnet::IpNet;
use portcullis_ingest::{RejectReason, Timestamp, UntrustedBuf};

use crate::audit::Audit;
use crate::background::Background;
use crate::correlation::Correlation;
use crate::coverage::Coverage;
use crate::forgery::Forgery;
use crate::level::{BLOCK_LEVEL, Category, Confidence, Severity, named};
use crate::outcome::{Outcome, Outcomes};
use crate::rate::Key;
use crate::rule::Measure;
use crate::suspect::Suspect;
use crate::traffic::Traffic;

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

/// What a scan found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What was looked at, and what could not be seen.
    pub coverage: Coverage,
    /// Sources to act on, by score from the highest, then by address.
    pub offenders: Vec<Offender>,
    /// Sources that would be offenders but for their good history, that do nothing but say
    /// what they are, or of which everything only suggests; in the same order.
    pub watched: Vec<Offender>,
    /// What other than a client's address rate rules fired on, by score from the highest,
    /// then by key and value. Never a ground for a block by itself.
    pub suspects: Vec<Suspect>,
    /// Records that somebody seems to have written into, in the order of
    /// [`portcullis_ingest::RejectReason::ALL`]. They speak against no source.
    pub forgeries: Vec<Forgery>,
    /// What all sources did well, if somebody asked for it: [`crate::Scan::traffic`].
    pub traffic: Option<Traffic>,
    /// Requests of all sources together, of those that nothing speaks against too.
    pub requests_of_sources: u64,
    /// What the findings are held against before they are acted on, if somebody counted; see
    /// [`Findings::accept`].
    pub audit: Option<Audit>,
}

impl Findings {
    /// Puts everything in its order.
    pub(crate) fn sort(&mut self) {
        for list in [&mut self.offenders, &mut self.watched] {
            list.sort_by(|a, b| b.score.cmp(&a.score).then(a.source.cmp(&b.source)));
        }
        self.suspects.sort_by(|a, b| {
            let place = |suspect: &Suspect| (suspect.key, suspect.value.clone());
            b.score.cmp(&a.score).then_with(|| place(a).cmp(&place(b)))
        });
        self.forgeries.sort_by_key(|forgery| {
            RejectReason::ALL.iter().position(|reason| *reason == forgery.reason)
        });
    }
}

/// A source and what speaks against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offender {
    /// An IPv4 address, or the /64 of IPv6 addresses.
    pub source: IpNet,
    /// Sum over the detections of [`crate::source_points`], and of the points of the
    /// correlations.
    pub score: u32,
    /// Why it stands as it does.
    pub grounds: Vec<Ground>,
    /// The highest of the detections.
    pub severity: Severity,
    /// The highest of the detections.
    pub confidence: Confidence,
    /// Of the detections, sorted, each once.
    pub categories: Vec<Category>,
    /// The rules that fired, by the score they add from the highest, then by id.
    pub detections: Vec<Detection>,
    /// What they mean together.
    pub correlations: Vec<Correlation>,
    /// All requests of the source.
    pub requests: u64,
    /// Of those, the ones with a score at or over the block level.
    pub flagged_requests: u64,
    /// Of those, the ones answered 2xx or 3xx and not flagged.
    pub good_requests: u64,
    /// What became of the requests with a score at or over the block level, those that AWS
    /// WAF stopped included.
    pub outcomes: Outcomes,
    /// Different principals, or API keys where no principal is logged; exact up to 1,000,
    /// which means 1,000 or more.
    pub principals: u64,
    /// Time of the first request.
    pub first: Option<Timestamp>,
    /// Time of the last request.
    pub last: Option<Timestamp>,
    /// What is known of it besides its requests.
    pub background: Background,
}

/// One rule that fired on a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    /// The rule's id.
    pub rule: Arc<str>,
    /// The rule's title.
    pub title: Arc<str>,
    /// The rule's category.
    pub category: Category,
    /// The rule's severity.
    pub severity: Severity,
    /// The rule's confidence.
    pub confidence: Confidence,
    /// What the rule adds to the source's score, repetition included.
    pub points: u32,
    /// Requests it fired on; of a rate, requests counted in bursts.
    pub requests: u64,
    /// What became of those requests; of a rate, none.
    pub outcomes: Outcomes,
    /// Time of the first of them; of a rate, to the second.
    pub first: Option<Timestamp>,
    /// Time of the last of them; of a rate, to the second.
    pub last: Option<Timestamp>,
    /// For rates, the figures.
    pub rate: Option<RateFigure>,
    /// Why it only suggests: it adds to the score and makes no offender. `None` when it
    /// counts in full.
    pub suggests: Option<SuggestsOnly>,
    /// Up to three of the requests: the first by time, object and offset.
    pub evidence: Vec<Evidence>,
}

named! {
    /// Why a detection only suggests.
    SuggestsOnly {
        /// It needs responses with status 403 of which the log does not tell whether AWS WAF
        /// gave them. Counting a block's own answers would renew it for ever.
        WafUnknown = "waf-unknown",
    }
}

/// What a rate rule measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateFigure {
    /// By what requests were counted together.
    pub by: Key,
    /// What was measured.
    pub measure: Measure,
    /// Highest value in one window, in the measure's unit; see [`Measure::unit`].
    pub peak: u64,
    /// The rule's threshold, in the same unit.
    pub threshold: u64,
    /// Length of the window, in seconds.
    pub window_seconds: u32,
    /// Bursts: windows over the threshold, those that overlap or follow within the rule's
    /// quiet period counted once.
    pub bursts: u64,
}

impl RateFigure {
    /// The figures in words, with the two numbers as the caller shows numbers: `412
    /// requests in 60 s, limit 300`.
    pub fn in_words(&self, number: impl Fn(u64) -> String) -> String {
        let (peak, threshold) = (number(self.peak), number(self.threshold));
        let (measure, window) = (self.measure, window_in_words(self.window_seconds));
        format!("{peak}{} in {window}, limit {threshold}{}", measure.unit(), measure.sign())
    }
}

/// A window's length: in seconds up to an hour, then in hours or days where they are
/// whole.
pub fn window_in_words(seconds: u32) -> String {
    const HOUR: u32 = 3_600;
    const DAY: u32 = 24 * HOUR;
    match seconds {
        _ if seconds > HOUR && seconds.is_multiple_of(DAY) => format!("{} d", seconds / DAY),
        _ if seconds > HOUR && seconds.is_multiple_of(HOUR) => format!("{} h", seconds / HOUR),
        _ => format!("{seconds} s"),
    }
}

/// One request that a rule fired on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Key or path of the object.
    pub object: Arc<str>,
    /// Byte offset of the record in the object's text.
    pub offset: u64,
    /// Time of the request; of a rate, to the second.
    pub time: Option<Timestamp>,
    /// Request id. A rate keeps none.
    pub id: Option<UntrustedBuf>,
    /// What became of the request; `None` for a rate.
    pub outcome: Option<Outcome>,
    /// The text the rule fired on, as rules name it: `path`, `values`, …; `None` for a rate.
    pub field: Option<&'static str>,
    /// The view of that text; `None` for a rate.
    pub view: Option<&'static str>,
    /// The field as logged, cut to 256 bytes around the match. Empty for a rate.
    pub text: UntrustedBuf,
    /// The matched bytes after decoding, cut to 128. Empty for a rate.
    pub matched: UntrustedBuf,
}

named! {
    /// What is thought of a source.
    Standing {
        /// Nothing to report.
        Quiet = "quiet",
        /// Would be an offender but for its good history, only says what it is, or all that
        /// is against it only suggests.
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
        /// It is a crawler, by agent and address, and no rule is sure that it attacked.
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

    /// Whether it is about what the client calls itself.
    pub(crate) fn is_agent(&self) -> bool {
        self.category == Category::ScannerUa
    }

    /// Whether it is sure of an attack in a request that it flags by itself.
    fn is_sure(&self) -> bool {
        let about_requests = !self.is_rate && !self.is_agent();
        about_requests && self.rule_points >= BLOCK_LEVEL && self.confidence == Confidence::High
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
            Standing::Quiet
        } else if !self.is_weighty(Counted::InFull)
            || self.is_only_agent()
            || self.is_spared_crawler()
            || (self.has_good_history() && !self.is_certain())
        {
            Standing::Watched
        } else {
            Standing::Offender
        }
    }

    /// Why [`Figures::standing`] decides so.
    pub(crate) fn grounds(&self) -> Vec<Ground> {
        if self.score < BLOCK_LEVEL {
            return vec![Ground::ScoreUnderLevel];
        }
        if !self.is_weighty(Counted::All) {
            return vec![Ground::NothingWeighty];
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
            (Ground::VerifiedCrawler, self.is_spared_crawler()),
            (Ground::GoodHistory, self.has_good_history() && !self.is_certain()),
            (Ground::Certain, self.is_certain()),
        ];
        held.into_iter().filter_map(|(ground, holds)| holds.then_some(ground)).collect()
    }

    /// What alone would change [`Figures::standing`].
    pub(crate) fn changes(&self) -> Vec<Change> {
        match self.standing() {
            Standing::Quiet => vec![Change::OneFlaggedRequest],
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

    /// Whether it is a crawler against which nothing speaks that a crawler does not do.
    fn is_spared_crawler(&self) -> bool {
        self.is_crawler && !self.weights.iter().any(Weight::is_sure)
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weight() -> impl Strategy<Value = Weight> {
        let levels =
            (proptest::sample::select(Severity::ALL), proptest::sample::select(Confidence::ALL));
        let kind = proptest::sample::select(vec![
            (Category::ScannerUa, false, false),
            (Category::Sqli, false, false),
            (Category::Rate, true, false),
            (Category::Rate, true, true),
        ]);
        (levels, kind, 1..6_u64).prop_map(|((severity, confidence), kind, requests)| {
            let (category, is_rate, suggests) = kind;
            let rule_points = crate::level::points(severity, confidence);
            Weight { rule_points, category, severity, confidence, is_rate, suggests, requests }
        })
    }

    proptest! {
        #[test]
        fn a_change_that_is_named_is_the_least_that_changes_the_standing(
            weights in proptest::collection::vec(weight(), 0..5),
            (flagged, good, other) in (0..4_u64, 0..500_u64, 0..200_u64),
            (scanner_probes, is_crawler) in any::<(bool, bool)>(),
            (false_crawler, listed) in any::<(bool, bool)>(),
        ) {
            let of_rules: u32 = weights
                .iter()
                .map(|w| crate::level::source_points(w.rule_points, w.requests))
                .sum();
            let correlated = scanner_probes && good == 0 && weights.len() > 1;
            let of_correlation = Correlation::ScannerThatProbes.points();
            let said = [(Correlation::FalseCrawler, false_crawler), (Correlation::Listed, listed)];
            let said: Vec<Correlation> =
                said.into_iter().filter_map(|(one, holds)| holds.then_some(one)).collect();
            let of_hearsay: u32 = said.iter().map(|one| one.points()).sum();
            let score = of_rules + of_hearsay + if correlated { of_correlation } else { 0 };
            let mut with_attack = weights.clone();
            with_attack.push(Weight {
                rule_points: BLOCK_LEVEL,
                category: Category::Sqli,
                severity: Severity::Medium,
                confidence: Confidence::High,
                is_rate: false,
                suggests: false,
                requests: 1,
            });
            let figures = Figures {
                score,
                correlated,
                hearsay: Correlation::hearsay(&said),
                is_crawler,
                flagged_requests: flagged,
                good_requests: good,
                requests: flagged + good + other,
                weights: &weights,
            };
            let before = figures.standing();
            prop_assert!(!figures.grounds().is_empty());
            let in_full: Vec<Weight> = weights.iter().copied().filter(|w| !w.suggests).collect();
            if before == Standing::Offender {
                let figures = Figures { weights: &in_full, ..figures };
                prop_assert_eq!(figures.standing(), before, "no suggestion makes an offender");
            }
            for change in figures.changes() {
                let after = |n: u64| match change {
                    Change::OneFlaggedRequest | Change::OneAttack => Figures {
                        score: score + BLOCK_LEVEL,
                        flagged_requests: flagged + n,
                        requests: figures.requests + n,
                        weights: &with_attack,
                        ..figures
                    },
                    Change::OneGoodRequest => Figures {
                        score: score - of_correlation,
                        correlated: false,
                        good_requests: good + n,
                        requests: figures.requests + n,
                        ..figures
                    },
                    Change::GoodRequests(_) => Figures {
                        good_requests: good + n,
                        requests: figures.requests + n,
                        ..figures
                    },
                    Change::FlaggedRequests(_) => Figures {
                        flagged_requests: flagged + n,
                        requests: figures.requests + n,
                        weights: if n == 0 { &weights } else { &with_attack },
                        ..figures
                    },
                    Change::CertainRequests(_) => figures,
                }
                .standing();
                match change {
                    Change::OneFlaggedRequest | Change::OneAttack | Change::OneGoodRequest => {
                        prop_assert_ne!(after(1), before);
                    }
                    Change::GoodRequests(n) | Change::FlaggedRequests(n) => {
                        prop_assert!(n > 0);
                        prop_assert_ne!(after(n), before);
                        prop_assert_eq!(after(n - 1), before);
                    }
                    Change::CertainRequests(n) => prop_assert!((1..=3).contains(&n)),
                }
            }
        }
    }
}
