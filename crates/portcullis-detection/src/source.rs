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
use crate::correlation::{Correlation, Facts, correlations};
use crate::crawler::Claim;
use crate::level::Category;
use crate::memory::Remembered;
use crate::offender::{Detection, Figures, LEAST_OBSERVED_RULES, Offender, Standing, Weight};
use crate::outcome::{Outcome, Outcomes};
use crate::rate::{Counts, Key, is_blocked};
use crate::rule::{Rule, RuleKind, RuleSet};
use crate::signature::Verdict;
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
#[derive(Default)]
pub(crate) struct Source {
    requests: u64,
    flagged: u64,
    good: u64,
    /// Requests that a crawler sent, from addresses that its operator publishes.
    confirmed_claims: u64,
    /// Requests that only say so, but those that AWS WAF stopped.
    false_claims: u64,
    /// Whether crawlers sent at least half of them; known when the source is judged.
    is_crawler: bool,
    /// Of flagged requests, those that AWS WAF stopped included.
    outcomes: Outcomes,
    /// Different paths and queries on which a rule about anything but the agent fired.
    probes: Distinct<{ Facts::MOST_PROBES }>,
    span: Span,
    principals: Principals,
    /// By index of the rule, sorted.
    tallies: Vec<(usize, Tally)>,
    pub(crate) counts: Counts,
    /// Requests whose counts were forgotten, at most; known when the source is judged.
    forgotten: u64,
}

impl Source {
    /// Takes in a request, but for its counts; gives the bytes by which the source grew.
    pub(crate) fn observe(
        &mut self,
        request: &Request<'_>,
        verdict: &Verdict,
        claim: Claim,
        object: &Arc<str>,
    ) -> usize {
        let before = self.own_bytes();
        self.requests += 1;
        if verdict.flagged() {
            self.outcomes.add(Outcome::of(request));
        }
        self.flagged += u64::from(verdict.flagged() && !is_blocked(request));
        let answered_well = request.status.is_some_and(|code| (200..400).contains(&code));
        self.good += u64::from(answered_well && !verdict.flagged() && !is_blocked(request));
        self.confirmed_claims += u64::from(claim == Claim::Confirmed);
        self.false_claims += u64::from(claim == Claim::False && !is_blocked(request));
        self.span.add(request.time);
        if let Some(name) = request.principal.or(request.api_key_id) {
            self.principals.add(FixedState::with_seed(0x7072_696e).hash_one(name.bytes()));
        }
        // A client that AWS WAF blocks and that keeps trying must not renew its own
        // block: what was stopped is counted and held against nobody.
        if !is_blocked(request) {
            for hit in verdict.hits() {
                self.tally(hit.rule).observe(request, hit, object);
            }
            if verdict.categories().iter().any(|category| *category != Category::ScannerUa) {
                let [path, query] =
                    [request.path, request.query].map(|text| text.map(Untrusted::bytes));
                self.probes.add(FixedState::with_seed(0x7072_6f62).hash_one((path, query)));
            }
        }
        self.own_bytes() - before
    }

    /// Bytes that the source takes without its counts.
    fn own_bytes(&self) -> usize {
        let hashes = self.principals.hashes.len() + self.probes.hashes.len();
        hashes * size_of::<u64>() + self.tallies.len() * TALLY_BYTES
    }

    /// Bytes that the source takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.own_bytes() + self.counts.bytes()
    }

    /// Whether nothing but calm counts was ever held against it, so that it may be
    /// forgotten as a whole.
    pub(crate) const fn is_clean(&self) -> bool {
        self.tallies.is_empty() && self.outcomes.requests() == 0
    }

    /// Whether forgetting it would lose little of what speaks for it.
    pub(crate) fn is_small(&self) -> bool {
        self.requests <= FEW_REQUESTS && self.principals.hashes.len() <= FEW_PRINCIPALS
    }

    /// What is remembered of it when it is forgotten.
    pub(crate) const fn remembered(&self) -> Remembered {
        Remembered { counted: 0, requests: self.requests, good: self.good }
    }

    /// What it did well, for whoever weighs what a block would cost.
    pub(crate) fn traffic(&self) -> SourceTraffic {
        let principals = self.principals.hashes.iter().copied().collect();
        SourceTraffic { good_requests: self.good, principals }
    }

    /// Whether no signature speaks against it: nothing was flagged, and too few rules were
    /// observed to weigh together.
    pub(crate) fn seems_honest(&self) -> bool {
        self.flagged == 0 && self.tallies.len() < LEAST_OBSERVED_RULES
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

    pub(crate) fn merge(&mut self, other: Self, renumbered: &[u32], objects: &[Arc<str>]) {
        self.requests += other.requests;
        self.flagged += other.flagged;
        self.good += other.good;
        self.confirmed_claims += other.confirmed_claims;
        self.false_claims += other.false_claims;
        self.outcomes.merge(other.outcomes);
        for probe in other.probes.hashes {
            self.probes.add(probe);
        }
        self.span.merge(other.span);
        for principal in other.principals.hashes {
            self.principals.add(principal);
        }
        for (rule, theirs) in other.tallies {
            self.tally(rule).merge(theirs);
        }
        self.counts.merge(other.counts, renumbered, objects);
    }

    /// What the rules that fired mean together.
    fn correlations(&self, weights: &[Weight]) -> Vec<Correlation> {
        let about_requests = |weight: &&Weight| !weight.is_rate && !weight.is_agent();
        let signatures = weights.iter().filter(about_requests);
        let categories: BTreeSet<Category> = signatures.clone().map(|w| w.category).collect();
        let in_full = |weight: &&Weight| weight.is_rate && !weight.suggests;
        correlations(&Facts {
            scanner_agent: weights.iter().any(Weight::is_agent),
            probes: self.probes.hashes.len(),
            rules: signatures.count(),
            categories: categories.len(),
            rates: weights.iter().filter(in_full).count(),
            requests: self.requests,
            flagged_requests: self.flagged,
            good_requests: self.good,
            false_claims: self.false_claims,
        })
    }

    /// Writes a source whose counts are in order.
    pub(crate) fn write(&self, writer: &mut Writer, objects: &[Arc<str>]) {
        let claims = [self.confirmed_claims, self.false_claims];
        for number in [self.requests, self.flagged, self.good].into_iter().chain(claims) {
            writer.number(number);
        }
        self.outcomes.write(writer);
        self.probes.write(writer);
        self.span.write(writer);
        self.principals.write(writer);
        writer.length(self.tallies.len());
        for (rule, tally) in &self.tallies {
            writer.length(*rule);
            tally.write(writer);
        }
        self.counts.write(writer, objects);
    }

    pub(crate) fn read(reader: &mut Reader<'_>, rules: &RuleSet) -> Result<Self, StateError> {
        let mut source = Self {
            requests: reader.count()?,
            flagged: reader.count()?,
            good: reader.count()?,
            confirmed_claims: reader.count()?,
            false_claims: reader.count()?,
            outcomes: Outcomes::read(reader)?,
            probes: Distinct::read(reader)?,
            span: Span::read(reader)?,
            principals: Distinct::read(reader)?,
            ..Self::default()
        };
        for _ in 0..reader.length()? {
            let rule = usize::try_from(reader.number()?).unwrap_or(usize::MAX);
            let is_signature = |rule: &Rule| matches!(rule.kind(), RuleKind::Signature(_));
            let follows = source.tallies.last().is_none_or(|(before, _)| *before < rule);
            if !follows || !rules.rules().get(rule).is_some_and(is_signature) {
                return Err(StateError::Value("a rule"));
            }
            source.tallies.push((rule, Tally::read(reader)?));
        }
        source.counts = Counts::read(reader, Key::Client, rules)?;
        let claims = source.confirmed_claims + source.false_claims;
        if (source.flagged + source.good).max(claims) <= source.requests {
            Ok(source)
        } else {
            Err(StateError::Value("a number of requests"))
        }
    }

    /// Whether the signature at that index fired.
    pub(crate) fn has_tally(&self, rule: usize) -> bool {
        self.tallies.binary_search_by_key(&rule, |(rule, _)| *rule).is_ok()
    }

    /// What the source comes to. Its counts must be in order.
    ///
    /// What is remembered of its forgotten requests speaks for it.
    pub(crate) fn judge(
        mut self,
        rules: &RuleSet,
        objects: &[Arc<str>],
        remembered: Remembered,
    ) -> Judged {
        // Of what was forgotten nobody knows who sent it.
        self.is_crawler = self.confirmed_claims > 0 && self.confirmed_claims * 2 >= self.requests;
        self.requests += remembered.requests;
        self.good += remembered.good;
        self.forgotten = remembered.counted;
        let mut grounds = Grounds::default();
        for (index, tally) in &self.tallies {
            grounds.add(rules, *index, tally.detection(rules, *index));
        }
        grounds.add_rates(rules, Key::Client, &self.counts, self.forgotten, objects);
        grounds.order();
        let correlations = self.correlations(&grounds.weights);
        Judged { source: self, grounds, correlations }
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
        for bursts in rules.rates().bursts(by, counts, forgotten) {
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
    source: Source,
    grounds: Grounds,
    correlations: Vec<Correlation>,
}

impl Judged {
    fn figures(&self) -> Figures<'_> {
        Figures {
            score: self.score(),
            false_crawler: self.correlations.contains(&Correlation::FalseCrawler),
            is_crawler: self.source.is_crawler,
            correlated: self.correlations.iter().any(|correlation| correlation.is_ground()),
            flagged_requests: self.source.flagged,
            good_requests: self.source.good,
            requests: self.source.requests,
            weights: &self.grounds.weights,
        }
    }

    fn score(&self) -> u32 {
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
        let Source { requests, flagged, good, outcomes, span, .. } = self.source;
        Some(Offender {
            source: key.network(),
            score,
            grounds,
            severity,
            confidence,
            categories,
            requests,
            flagged_requests: flagged,
            good_requests: good,
            outcomes,
            principals: self.source.principals.hashes.len() as u64,
            first: span.first,
            last: span.last,
            detections: self.grounds.detections,
            correlations: self.correlations,
        })
    }

    /// In full.
    pub(crate) fn account(self, key: SourceKey, rules: &RuleSet, timeline: Timeline) -> Account {
        let figures = self.figures();
        let rates =
            rules.rates().peaks(&self.source.counts, self.source.forgotten).map(|peak| RateCount {
                rule: Arc::clone(rules.rules()[peak.rule].shared_id()),
                measure: peak.rate.measure(),
                peak: peak.value,
                threshold: peak.rate.threshold(),
                minimum: peak.rate.minimum(),
                window_seconds: peak.rate.window_seconds(),
                requests: peak.requests,
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
            flagged_requests: self.source.flagged,
            good_requests: self.source.good,
            outcomes: self.source.outcomes,
            principals: self.source.principals.hashes.len() as u64,
            first: self.source.span.first,
            last: self.source.span.last,
            detections: self.grounds.detections,
            correlations: self.correlations,
        }
    }
}
