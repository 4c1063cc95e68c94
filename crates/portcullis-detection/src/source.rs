//! What is kept of one source, and what it comes to.
//!
//! Everything kept is a sum, a minimum, a maximum or a set, so that it comes out the same
//! in whatever order requests are seen and scans are merged. An offender in a list and an
//! account of it are two readings of one [`Judged`].

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use foldhash::fast::FixedState;
use ipnet::IpNet;
use portcullis_ingest::{Request, Untrusted, source_network};

use crate::account::{Account, RateCount};
use crate::background::Background;
use crate::correlation::{Correlation, Facts, correlations};
use crate::crawler::Claim;
use crate::journal::Noted;
use crate::level::Category;
use crate::memory::Remembered;
use crate::offender::{Detection, Offender};
use crate::outcome::{Outcome, Outcomes};
use crate::rate::{Counts, Key, RatePlan, is_blocked};
use crate::rule::{Rule, RuleKind, RuleSet};
use crate::signature::Verdict;
use crate::standing::{Figures, LEAST_OBSERVED_RULES, Standing, Weight};
use crate::state::{Reader, StateError, Writer};
use crate::tally::{Distinct, Principals, Span, Tally, rate_detection};
use crate::timeline::Timeline;
use crate::traffic::SourceTraffic;

/// Bytes of what is kept of one rule and source, with three pieces of evidence of common
/// length. A guess.
const TALLY_BYTES: usize = 1_400;

/// Up to so many requests and principals a source is small. Guesses: it has no history to
/// speak of, and is not shared by many.
const FEW_REQUESTS: u64 = 64;
const FEW_PRINCIPALS: usize = 3;

/// A source as the map keys it: an IPv4 address, or the upper half of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SourceKey {
    V4(u32),
    V6(u64),
}

impl SourceKey {
    pub(crate) fn of(client: IpAddr) -> Self {
        match client {
            IpAddr::V4(address) => Self::V4(address.into()),
            IpAddr::V6(address) => Self::V6((u128::from(address) >> 64) as u64),
        }
    }

    pub(crate) fn write(self, writer: &mut Writer) {
        match self {
            Self::V4(bits) => {
                writer.number(4);
                writer.number(bits.into());
            }
            Self::V6(bits) => {
                writer.number(6);
                writer.hash(bits);
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let wrong = StateError::Value("an address");
        match reader.number()? {
            4 => u32::try_from(reader.number()?).map(Self::V4).map_err(|_| wrong),
            6 => Ok(Self::V6(reader.hash()?)),
            _ => Err(wrong),
        }
    }

    pub(crate) fn network(self) -> IpNet {
        source_network(match self {
            Self::V4(bits) => IpAddr::V4(Ipv4Addr::from(bits)),
            Self::V6(bits) => IpAddr::V6(Ipv6Addr::from(u128::from(bits) << 64)),
        })
    }
}

/// Everything kept of one source.
///
/// There may be millions, most of them quiet: what only the others need stands apart.
#[derive(Clone, Default)]
pub(crate) struct Source {
    requests: u64,
    good: u64,
    span: Span,
    pub(crate) counts: Counts,
    principals: Principals,
    /// Absent as long as there is nothing in it.
    marks: Option<Box<Marks>>,
}

/// What signatures and claims say of a source.
#[derive(Clone, Default)]
struct Marks {
    flagged: u64,
    /// Requests that a crawler sent, from addresses that its operator publishes.
    confirmed_claims: u64,
    /// Requests that only say so, but those that AWS WAF stopped.
    false_claims: u64,
    open: OpenClaims,
    /// Of flagged requests, those that AWS WAF stopped included.
    outcomes: Outcomes,
    /// Different paths and queries on which a rule about anything but the agent fired.
    probes: Distinct<{ Facts::MOST_PROBES }>,
    /// By index of the rule, sorted.
    tallies: Vec<(usize, Tally)>,
}

/// Requests that say to be a crawler's, where the name of the host decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct OpenClaims {
    claims: u64,
    /// Of these, those that AWS WAF stopped.
    stopped: u64,
    /// The smallest address that they came from: hosts of one /64 share an owner.
    address: Option<IpAddr>,
}

impl OpenClaims {
    fn add(&mut self, client: Option<IpAddr>, stopped: bool) {
        let one = Self { claims: 1, stopped: u64::from(stopped), address: client };
        self.merge(one);
    }

    fn merge(&mut self, other: Self) {
        self.claims += other.claims;
        self.stopped += other.stopped;
        self.address = self.address.into_iter().chain(other.address).min();
    }

    fn write(&self, writer: &mut Writer) {
        writer.number(self.claims);
        writer.number(self.stopped);
        match self.address {
            None => writer.bytes(&[]),
            Some(IpAddr::V4(address)) => writer.bytes(&address.octets()),
            Some(IpAddr::V6(address)) => writer.bytes(&address.octets()),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let (claims, stopped) = (reader.count()?, reader.count()?);
        let octets = reader.bytes()?;
        let four = || <[u8; 4]>::try_from(octets).map(IpAddr::from).ok();
        let sixteen = || <[u8; 16]>::try_from(octets).map(IpAddr::from).ok();
        let address = four().or_else(sixteen);
        if stopped > claims
            || (claims > 0) != address.is_some()
            || address.is_none() != octets.is_empty()
        {
            return Err(StateError::Value("a claim"));
        }
        Ok(Self { claims, stopped, address })
    }
}

/// Hash of the name of who sent a request.
pub(crate) fn principal(request: &Request<'_>) -> Option<u64> {
    let name = request.principal.or(request.api_key_id)?;
    Some(FixedState::with_seed(0x7072_696e).hash_one(name.bytes()))
}

/// Whether a request was answered well, and nothing speaks against it.
pub(crate) fn is_good(request: &Request<'_>, verdict: &Verdict) -> bool {
    let answered_well = request.status.is_some_and(|code| (200..400).contains(&code));
    answered_well && !verdict.flagged() && !is_blocked(request)
}

impl Marks {
    /// Bytes that they take.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.probes.bytes() + self.tallies.len() * TALLY_BYTES
    }

    fn tally(&mut self, rule: usize) -> &mut Tally {
        let place = match self.tallies.binary_search_by_key(&rule, |(rule, _)| *rule) {
            Ok(place) => place,
            Err(place) => {
                self.tallies.insert(place, (rule, Tally::default()));
                place
            }
        };
        &mut self.tallies[place].1
    }

    /// Whether crawlers sent at least half of so many requests.
    fn is_crawler(&self, requests: u64) -> bool {
        self.confirmed_claims > 0 && self.confirmed_claims * 2 >= requests
    }

    fn merge(&mut self, other: Self) {
        self.flagged += other.flagged;
        self.confirmed_claims += other.confirmed_claims;
        self.false_claims += other.false_claims;
        self.open.merge(other.open);
        self.outcomes.merge(other.outcomes);
        self.probes.merge(&other.probes);
        for (rule, theirs) in other.tallies {
            self.tally(rule).merge(theirs);
        }
    }
}

impl Source {
    /// Takes in a request, but for its counts and for what signatures say of it; gives the
    /// bytes by which the source grew.
    pub(crate) fn observe(&mut self, noted: &Noted) -> usize {
        self.requests += 1;
        self.good += u64::from(noted.is_good);
        self.span.add(noted.time);
        let before = self.principals.bytes();
        if let Some(principal) = noted.principal {
            self.principals.add(principal);
        }
        self.principals.bytes() - before
    }

    /// Takes in what signatures and claims say of a request, if they say anything; gives the
    /// bytes by which the source grew.
    pub(crate) fn mark(
        &mut self,
        request: &Request<'_>,
        verdict: &Verdict,
        claim: Claim,
        object: &Arc<str>,
    ) -> usize {
        let stopped = is_blocked(request);
        let before = self.marks.as_ref().map_or(0, |marks| marks.bytes());
        let marks = self.marks.get_or_insert_default();
        if verdict.flagged() {
            marks.outcomes.add(Outcome::of(request));
        }
        marks.flagged += u64::from(verdict.flagged() && !stopped);
        marks.confirmed_claims += u64::from(claim == Claim::Confirmed);
        marks.false_claims += u64::from(claim == Claim::False && !stopped);
        if claim == Claim::Open {
            marks.open.add(request.client, stopped);
        }
        // A client that AWS WAF blocks and that keeps trying must not renew its own
        // block: what was stopped is counted and held against nobody.
        if !stopped {
            for hit in verdict.hits() {
                marks.tally(hit.rule).observe(request, hit, object);
            }
            if verdict.categories().iter().any(|category| *category != Category::ScannerUa) {
                let [path, query] =
                    [request.path, request.query].map(|text| text.map(Untrusted::bytes));
                marks.probes.add(FixedState::with_seed(0x7072_6f62).hash_one((path, query)));
            }
        }
        marks.bytes() - before
    }

    /// Bytes that the source takes.
    pub(crate) fn bytes(&self) -> usize {
        let marks = self.marks.as_ref().map_or(0, |marks| marks.bytes());
        size_of::<Self>() + marks + self.principals.bytes() + self.counts.bytes()
    }

    /// Whether nothing but calm counts was ever held against it, so that it may be
    /// forgotten as a whole.
    pub(crate) fn is_clean(&self) -> bool {
        let clean = |marks: &Marks| marks.tallies.is_empty() && marks.outcomes.requests() == 0;
        self.marks.as_deref().is_none_or(clean)
    }

    /// Whether it is quiet without a closer look: nobody said anything of it, and it has too
    /// few requests for any burst.
    pub(crate) fn is_plainly_quiet(&self, rules: &RuleSet) -> bool {
        self.marks.is_none() && rules.rates().is_calm(&self.counts)
    }

    /// Whether forgetting it would lose little of what speaks for it.
    pub(crate) fn is_small(&self) -> bool {
        self.requests <= FEW_REQUESTS && self.principals.hashes().len() <= FEW_PRINCIPALS
    }

    /// All its requests.
    pub(crate) const fn requests(&self) -> u64 {
        self.requests
    }

    /// What is remembered of it when it is forgotten.
    pub(crate) const fn remembered(&self) -> Remembered {
        Remembered { counted: 0, requests: self.requests, good: self.good }
    }

    /// Where its claims came from to be a crawler, of which the name of the host decides.
    pub(crate) fn open_claim(&self) -> Option<IpAddr> {
        self.marks.as_deref()?.open.address
    }

    /// Settles these claims.
    pub(crate) fn settle(&mut self, is_crawler: bool) {
        if let Some(marks) = &mut self.marks {
            let OpenClaims { claims, stopped, .. } = std::mem::take(&mut marks.open);
            if is_crawler {
                marks.confirmed_claims += claims;
            } else {
                marks.false_claims += claims - stopped;
            }
        }
    }

    /// Whether it is a crawler, as far as is settled.
    pub(crate) fn is_crawler(&self) -> bool {
        self.marks.as_deref().is_some_and(|marks| marks.is_crawler(self.requests))
    }

    /// What it did well, for whoever weighs what a block would cost.
    pub(crate) fn traffic(&self) -> SourceTraffic {
        let principals = self.principals.hashes().iter().copied().collect();
        SourceTraffic { good_requests: self.good, principals }
    }

    /// Whether no signature speaks against it: nothing was flagged, and too few rules were
    /// observed to weigh together.
    pub(crate) fn seems_honest(&self) -> bool {
        let honest =
            |marks: &Marks| marks.flagged == 0 && marks.tallies.len() < LEAST_OBSERVED_RULES;
        self.marks.as_deref().is_none_or(honest)
    }

    /// Adds what another scan gathered of it; see [`Counts::merge`].
    pub(crate) fn merge(&mut self, other: Self, renumbered: &[u32], objects: &[Arc<str>]) -> u64 {
        self.requests += other.requests;
        self.good += other.good;
        self.span.merge(other.span);
        self.principals.merge(&other.principals);
        match (&mut self.marks, other.marks) {
            (Some(mine), Some(theirs)) => mine.merge(*theirs),
            (mine @ None, theirs) => *mine = theirs,
            (Some(_), None) => {}
        }
        self.counts.merge(other.counts, renumbered, objects)
    }

    /// Writes a source.
    pub(crate) fn write(&self, writer: &mut Writer, plan: &RatePlan, objects: &[Arc<str>]) {
        let none = Marks::default();
        let marks = self.marks.as_deref().unwrap_or(&none);
        let claims = [marks.confirmed_claims, marks.false_claims];
        for number in [self.requests, marks.flagged, self.good].into_iter().chain(claims) {
            writer.number(number);
        }
        marks.open.write(writer);
        marks.outcomes.write(writer);
        marks.probes.write(writer);
        self.span.write(writer);
        self.principals.write(writer);
        writer.length(marks.tallies.len());
        for (rule, tally) in &marks.tallies {
            writer.length(*rule);
            tally.write(writer);
        }
        self.counts.write(writer, plan, objects);
    }

    pub(crate) fn read(reader: &mut Reader<'_>, rules: &RuleSet) -> Result<Self, StateError> {
        let (requests, flagged, good) = (reader.count()?, reader.count()?, reader.count()?);
        let mut marks = Marks {
            flagged,
            confirmed_claims: reader.count()?,
            false_claims: reader.count()?,
            open: OpenClaims::read(reader)?,
            outcomes: Outcomes::read(reader)?,
            probes: Distinct::read(reader)?,
            tallies: Vec::new(),
        };
        let (span, principals) = (Span::read(reader)?, Distinct::read(reader)?);
        for _ in 0..reader.length()? {
            let rule = usize::try_from(reader.number()?).unwrap_or(usize::MAX);
            let is_signature = |rule: &Rule| matches!(rule.kind(), RuleKind::Signature(_));
            let follows = marks.tallies.last().is_none_or(|(before, _)| *before < rule);
            if !follows || !rules.rules().get(rule).is_some_and(is_signature) {
                return Err(StateError::Value("a rule"));
            }
            marks.tallies.push((rule, Tally::read(reader)?));
        }
        let claims = marks.confirmed_claims + marks.false_claims + marks.open.claims;
        if (flagged + good).max(claims) > requests {
            return Err(StateError::Value("a number of requests"));
        }
        let says_nothing = marks.tallies.is_empty()
            && marks.probes.hashes().is_empty()
            && marks.outcomes.requests() + flagged + claims == 0;
        let marks = (!says_nothing).then(|| Box::new(marks));
        let counts = Counts::read(reader, Key::Client, rules)?;
        Ok(Self { requests, good, span, counts, principals, marks })
    }

    /// Whether the signature at that index fired.
    pub(crate) fn has_tally(&self, rule: usize) -> bool {
        self.marks.as_deref().is_some_and(|marks| {
            marks.tallies.binary_search_by_key(&rule, |(rule, _)| *rule).is_ok()
        })
    }

    /// What the source comes to. Its counts must be in order.
    ///
    /// What is remembered of its forgotten requests speaks for it.
    pub(crate) fn judge(
        mut self,
        key: SourceKey,
        rules: &RuleSet,
        objects: &[Arc<str>],
        remembered: Remembered,
    ) -> Judged {
        let marks = *self.marks.take().unwrap_or_default();
        // Of what was forgotten nobody knows who sent it.
        let is_crawler = marks.is_crawler(self.requests);
        self.requests += remembered.requests;
        self.good += remembered.good;
        let mut grounds = Grounds::default();
        for (index, tally) in &marks.tallies {
            grounds.add(rules, *index, tally.detection(rules, *index));
        }
        grounds.add_rates(rules, Key::Client, &self.counts, remembered.counted, objects);
        grounds.order();
        let forgotten = remembered.counted;
        let mut judged = Judged {
            source: self,
            marks,
            is_crawler,
            forgotten,
            grounds,
            correlations: Vec::new(),
            background: rules.background(key.network()),
        };
        judged.correlations = judged.correlated();
        judged
    }
}

/// What rules found, and what the decision needs of each.
#[derive(Debug, Default)]
pub(crate) struct Grounds {
    /// By the score it adds from the highest, then by id.
    pub(crate) detections: Vec<Detection>,
    /// In any order.
    weights: Vec<Weight>,
    /// Indices of the rules, in any order.
    pub(crate) rules: Vec<usize>,
}

impl Grounds {
    /// What the rules by one key found in counts that are in order.
    pub(crate) fn of_rates(
        rules: &RuleSet,
        by: Key,
        counts: &Counts,
        forgotten: u64,
        objects: &[Arc<str>],
    ) -> Self {
        let mut grounds = Self::default();
        grounds.add_rates(rules, by, counts, forgotten, objects);
        grounds.order();
        grounds
    }

    fn add_rates(
        &mut self,
        rules: &RuleSet,
        by: Key,
        counts: &Counts,
        forgotten: u64,
        objects: &[Arc<str>],
    ) {
        for bursts in rules.rates().bursts(by, counts, forgotten, objects) {
            self.add(rules, bursts.rule, rate_detection(rules, &bursts, objects));
        }
    }

    fn add(&mut self, rules: &RuleSet, index: usize, detection: Detection) {
        let rule = &rules.rules()[index];
        self.weights.push(Weight {
            rule_points: rule.points(),
            category: rule.category(),
            severity: rule.severity(),
            confidence: rule.confidence(),
            is_rate: matches!(rule.kind(), RuleKind::Rate(_)),
            suggests: detection.suggests.is_some(),
            requests: detection.requests,
        });
        self.rules.push(index);
        self.detections.push(detection);
    }

    fn order(&mut self) {
        self.detections.sort_by(|a, b| b.points.cmp(&a.points).then_with(|| a.rule.cmp(&b.rule)));
    }

    /// Sum over the detections.
    pub(crate) fn score(&self) -> u32 {
        self.detections.iter().map(|detection| detection.points).sum()
    }
}

/// A source with what speaks against it.
pub(crate) struct Judged {
    /// But for its marks.
    source: Source,
    marks: Marks,
    /// Whether crawlers sent at least half of its requests.
    is_crawler: bool,
    /// Requests whose counts were forgotten, at most.
    forgotten: u64,
    grounds: Grounds,
    correlations: Vec<Correlation>,
    background: Background,
}

impl Judged {
    /// What the rules that fired mean together.
    fn correlated(&self) -> Vec<Correlation> {
        let weights = &self.grounds.weights;
        let about_requests = |weight: &&Weight| !weight.is_rate && !weight.is_agent();
        let signatures = weights.iter().filter(about_requests);
        let categories: BTreeSet<Category> = signatures.clone().map(|w| w.category).collect();
        let in_full = |weight: &&Weight| weight.is_rate && !weight.suggests;
        correlations(&Facts {
            scanner_agent: weights.iter().any(Weight::is_agent),
            probes: self.marks.probes.hashes().len(),
            rules: signatures.count(),
            categories: categories.len(),
            rules_of_any_kind: weights.len(),
            rates: weights.iter().filter(in_full).count(),
            requests: self.source.requests,
            flagged_requests: self.marks.flagged,
            good_requests: self.source.good,
            false_claims: self.marks.false_claims,
            listed: !self.background.listed.is_empty(),
        })
    }

    fn figures(&self) -> Figures<'_> {
        Figures {
            score: self.score(),
            hearsay: Correlation::hearsay(&self.correlations),
            is_crawler: self.is_crawler,
            correlated: self.correlations.iter().any(|correlation| correlation.is_ground()),
            flagged_requests: self.marks.flagged,
            good_requests: self.source.good,
            requests: self.source.requests,
            weights: &self.grounds.weights,
        }
    }

    pub(crate) fn score(&self) -> u32 {
        let of_correlations = self.correlations.iter().map(|correlation| correlation.points());
        self.grounds.score() + of_correlations.sum::<u32>()
    }

    pub(crate) fn standing(&self) -> Standing {
        self.figures().standing()
    }

    /// As it stands in a list; `None` when no rule fired.
    pub(crate) fn offender(self, key: SourceKey) -> Option<Offender> {
        let Grounds { detections, .. } = &self.grounds;
        let severity = detections.iter().map(|detection| detection.severity).max()?;
        let confidence = detections.iter().map(|detection| detection.confidence).max()?;
        let mut categories: Vec<_> =
            detections.iter().map(|detection| detection.category).collect();
        categories.sort_unstable();
        categories.dedup();
        let (score, grounds) = (self.score(), self.figures().grounds());
        let Source { requests, good, span, .. } = self.source;
        Some(Offender {
            source: key.network(),
            score,
            grounds,
            severity,
            confidence,
            categories,
            requests,
            flagged_requests: self.marks.flagged,
            good_requests: good,
            outcomes: self.marks.outcomes,
            principals: self.source.principals.hashes().len() as u64,
            first: span.first,
            last: span.last,
            detections: self.grounds.detections,
            correlations: self.correlations,
            background: self.background,
        })
    }

    /// In full.
    pub(crate) fn account(
        self,
        key: SourceKey,
        rules: &RuleSet,
        objects: &[Arc<str>],
        timeline: Timeline,
    ) -> Account {
        let figures = self.figures();
        let rates = rules.rates().peaks(&self.source.counts, self.forgotten, objects).map(|peak| {
            RateCount {
                rule: Arc::clone(rules.rules()[peak.rule].shared_id()),
                measure: peak.rate.measure(),
                peak: peak.value,
                threshold: peak.rate.threshold(),
                minimum: peak.rate.minimum(),
                window_seconds: peak.rate.window_seconds(),
                requests: peak.requests,
            }
        });
        Account {
            source: key.network(),
            standing: figures.standing(),
            score: figures.score,
            grounds: figures.grounds(),
            changes: figures.changes(),
            rates: rates.collect(),
            timeline,
            requests: self.source.requests,
            flagged_requests: self.marks.flagged,
            good_requests: self.source.good,
            outcomes: self.marks.outcomes,
            principals: self.source.principals.hashes().len() as u64,
            first: self.source.span.first,
            last: self.source.span.last,
            detections: self.grounds.detections,
            correlations: self.correlations,
            background: self.background,
        }
    }
}
