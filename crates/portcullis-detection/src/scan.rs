//! Gathers requests into sources, and sources into findings.
//!
//! [`Scan::observe`] and [`Scan::merge`] obey one law: the findings depend on the requests
//! and not on their order, on how they were grouped into objects, or on how the work was
//! split. Threads, resumed runs and clusters stand on it. So everything kept is a sum, a
//! minimum, a maximum or a set, and nothing that depends on "so far".
//!
//! What counts as an offender is decided in `offender`.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use foldhash::fast::{FixedState, RandomState};
use ipnet::IpNet;
use portcullis_ingest::{Reject, RejectReason, Request, Timestamp, source_network};

use crate::coverage::{Coverage, ObjectSeen};
use crate::level::source_points;
use crate::offender::{
    Detection, Evidence, Findings, Offender, RateFigure, Standing, Weight, standing,
};
use crate::rate::{Bursts, SourceRates, is_blocked};
use crate::rule::RuleSet;
use crate::signature::{Classifier, Hit, Verdict};

/// Requests kept as evidence, for each source and rule.
const MOST_EVIDENCE: usize = 3;

/// Principals told apart for each source. More are no argument for more caution.
const MOST_PRINCIPALS: usize = 1_000;

/// Requests being gathered. One for each worker; merge them at the end.
pub struct Scan<'r> {
    rules: &'r RuleSet,
    classifier: Classifier<'r>,
    sources: HashMap<SourceKey, Source, RandomState>,
    objects: Objects,
    coverage: Coverage,
}

impl<'r> Scan<'r> {
    /// Begins with nothing seen.
    pub fn new(rules: &'r RuleSet) -> Self {
        Self {
            rules,
            classifier: rules.classifier(),
            sources: HashMap::default(),
            objects: Objects::default(),
            coverage: Coverage::default(),
        }
    }

    /// Takes in one request, and says what its signatures are.
    pub fn observe(&mut self, request: &Request<'_>) -> &Verdict {
        let verdict = self.classifier.classify(request);
        self.coverage.requests += 1;
        self.coverage.requests_blocked_by_waf += u64::from(is_blocked(request));
        self.coverage.truncated_fields += u64::from(verdict.truncated_fields());
        self.coverage.requests_without_time +=
            u64::from(request.time.is_none() || request.time_is_of_object);
        if let Some(client) = request.client {
            let object = self.objects.number(request.origin.object);
            let source = self.sources.entry(SourceKey::of(client)).or_default();
            source.observe(request, verdict, &self.objects.names[object as usize]);
            source.rates.observe(self.rules.rates(), request, object, &self.objects.names);
        } else {
            self.coverage.requests_without_client += 1;
            self.coverage.flagged_without_client += u64::from(verdict.flagged());
        }
        self.classifier.verdict()
    }

    /// Takes in a record that could not be read. It is searched as raw text and counted,
    /// and never attributed to an address.
    pub fn observe_reject(&mut self, reject: &Reject<'_>) {
        let reason = RejectReason::ALL.iter().position(|reason| *reason == reject.reason);
        self.coverage.rejects[reason.expect("ALL holds every reason")] += 1;
        let verdict = self.classifier.scan_text(reject.text.bytes());
        self.coverage.rejects_with_signatures += u64::from(verdict.flagged());
    }

    /// Takes in what reading one object gave.
    pub fn object(&mut self, object: &ObjectSeen<'_>) {
        self.coverage.add_object(self.rules, object);
    }

    /// Takes in everything another scan with the same rules saw.
    pub fn merge(&mut self, other: Self) {
        debug_assert!(std::ptr::eq(self.rules, other.rules), "scans of one rule set");
        let renumbered: Vec<u32> =
            other.objects.names.iter().map(|name| self.objects.number(name)).collect();
        for (key, theirs) in other.sources {
            let mine = self.sources.entry(key).or_default();
            mine.merge(theirs, &renumbered, &self.objects.names);
        }
        self.coverage.merge(other.coverage);
    }

    /// Decides about every source.
    pub fn finish(mut self) -> Findings {
        let mut findings = Findings { coverage: self.coverage, ..Findings::default() };
        for (key, mut source) in self.sources.drain() {
            source.rates.order(&self.objects.names);
            let (standing, offender) = source.judge(key, self.rules, &self.objects.names);
            match (standing, offender) {
                (Standing::Offender, Some(offender)) => findings.offenders.push(offender),
                (Standing::Watched, Some(offender)) => findings.watched.push(offender),
                _ => {}
            }
        }
        for list in [&mut findings.offenders, &mut findings.watched] {
            list.sort_by(|a, b| b.score.cmp(&a.score).then(a.source.cmp(&b.source)));
        }
        findings
    }

    /// Whether the rule at that index fired on any source.
    pub(crate) fn fired(mut self, rule: usize) -> bool {
        self.sources.values_mut().any(|source| {
            source.rates.order(&self.objects.names);
            source.tallies.iter().any(|(index, _)| *index == rule)
                || self.rules.rates().bursts(&source.rates).any(|bursts| bursts.rule == rule)
        })
    }
}

/// A source as the map keys it: an IPv4 address, or the upper half of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum SourceKey {
    V4(u32),
    V6(u64),
}

impl SourceKey {
    fn of(client: IpAddr) -> Self {
        match client {
            IpAddr::V4(address) => Self::V4(address.into()),
            IpAddr::V6(address) => Self::V6((u128::from(address) >> 64) as u64),
        }
    }

    fn network(self) -> IpNet {
        source_network(match self {
            Self::V4(bits) => IpAddr::V4(Ipv4Addr::from(bits)),
            Self::V6(bits) => IpAddr::V6(Ipv6Addr::from(u128::from(bits) << 64)),
        })
    }
}

/// Names of objects, numbered, so that panes need not hold them.
#[derive(Default)]
struct Objects {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32, RandomState>,
    latest: u32,
}

impl Objects {
    fn number(&mut self, name: &str) -> u32 {
        // Records of one object come together.
        if self.names.get(self.latest as usize).is_some_and(|latest| **latest == *name) {
            return self.latest;
        }
        if let Some(number) = self.numbers.get(name) {
            self.latest = *number;
            return self.latest;
        }
        self.latest = u32::try_from(self.names.len()).expect("under four billion objects");
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.numbers.insert(name, self.latest);
        self.latest
    }
}

/// Everything kept of one source.
#[derive(Default)]
struct Source {
    requests: u64,
    flagged: u64,
    good: u64,
    span: Span,
    principals: Principals,
    /// By index of the rule, sorted.
    tallies: Vec<(usize, Tally)>,
    rates: SourceRates,
}

impl Source {
    fn observe(&mut self, request: &Request<'_>, verdict: &Verdict, object: &Arc<str>) {
        self.requests += 1;
        self.flagged += u64::from(verdict.flagged() && !is_blocked(request));
        let answered_well = request.status.is_some_and(|code| (200..400).contains(&code));
        self.good += u64::from(answered_well && !verdict.flagged());
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
        }
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

    fn merge(&mut self, other: Self, renumbered: &[u32], objects: &[Arc<str>]) {
        self.requests += other.requests;
        self.flagged += other.flagged;
        self.good += other.good;
        self.span.merge(other.span);
        for principal in other.principals.hashes {
            self.principals.add(principal);
        }
        for (rule, theirs) in other.tallies {
            self.tally(rule).merge(theirs);
        }
        self.rates.merge(other.rates, renumbered, objects);
    }

    fn judge(
        self,
        key: SourceKey,
        rules: &RuleSet,
        objects: &[Arc<str>],
    ) -> (Standing, Option<Offender>) {
        let mut detections = Vec::new();
        let mut weights = Vec::new();
        for (index, tally) in self.tallies {
            let requests = tally.requests;
            detections.push(tally.detection(rules, index));
            weights.push(weight(rules, index, requests));
        }
        for bursts in rules.rates().bursts(&self.rates) {
            let detection = rate_detection(rules, &bursts, objects);
            weights.push(weight(rules, bursts.rule, detection.requests));
            detections.push(detection);
        }
        let score = detections.iter().map(|detection| detection.points).sum();
        let standing = standing(score, self.flagged, self.good, self.requests, &weights);
        let severity = detections.iter().map(|detection| detection.severity).max();
        let confidence = detections.iter().map(|detection| detection.confidence).max();
        let (Some(severity), Some(confidence)) = (severity, confidence) else {
            return (Standing::Quiet, None);
        };
        if standing == Standing::Quiet {
            return (standing, None);
        }
        let mut categories: Vec<_> =
            detections.iter().map(|detection| detection.category).collect();
        categories.sort_unstable();
        categories.dedup();
        detections.sort_by(|a, b| b.points.cmp(&a.points).then_with(|| a.rule.cmp(&b.rule)));
        let offender = Offender {
            source: key.network(),
            score,
            severity,
            confidence,
            categories,
            detections,
            requests: self.requests,
            flagged_requests: self.flagged,
            good_requests: self.good,
            principals: self.principals.hashes.len() as u64,
            first: self.span.first,
            last: self.span.last,
        };
        (standing, Some(offender))
    }
}

fn weight(rules: &RuleSet, index: usize, requests: u64) -> Weight {
    let rule = &rules.rules()[index];
    Weight {
        rule_points: rule.points(),
        severity: rule.severity(),
        confidence: rule.confidence(),
        is_rate: matches!(rule.kind(), crate::rule::RuleKind::Rate(_)),
        requests,
    }
}

/// First and last time.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Span {
    fn add(&mut self, time: Option<Timestamp>) {
        self.merge(Self { first: time, last: time });
    }

    fn merge(&mut self, other: Self) {
        self.first = match (self.first, other.first) {
            (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
        self.last = self.last.max(other.last);
    }
}

/// Hashes of principals, sorted. When full it takes no more: the count then says "this
/// many or more", whichever they are.
#[derive(Debug, Default)]
struct Principals {
    hashes: Vec<u64>,
}

impl Principals {
    fn add(&mut self, hash: u64) {
        if let Err(place) = self.hashes.binary_search(&hash)
            && self.hashes.len() < MOST_PRINCIPALS
        {
            self.hashes.insert(place, hash);
        }
    }
}

/// What one rule found on one source.
#[derive(Debug, Default)]
struct Tally {
    requests: u64,
    span: Span,
    /// The first by [`rank`], at most [`MOST_EVIDENCE`].
    evidence: Vec<Evidence>,
}

impl Tally {
    fn observe(&mut self, request: &Request<'_>, hit: &Hit, object: &Arc<str>) {
        self.requests += 1;
        self.span.add(request.time);
        let place = (request.time.is_none(), request.time, &**object, request.origin.offset);
        let full = self.evidence.len() >= MOST_EVIDENCE;
        if full && self.evidence.last().is_some_and(|last| place > rank(last)) {
            return;
        }
        self.keep(Evidence {
            object: Arc::clone(object),
            offset: request.origin.offset,
            time: request.time,
            id: request.id.map(portcullis_ingest::Untrusted::to_buf),
            field: Some(hit.subject.name()),
            view: Some(hit.view.name()),
            text: hit.text.clone(),
            matched: hit.matched.clone(),
        });
    }

    fn keep(&mut self, evidence: Evidence) {
        // Ties in rank are the same record seen twice, unless two inputs share a name.
        let order =
            |e: &Evidence| (e.id.clone(), e.field, e.view, e.text.clone(), e.matched.clone());
        let place = self.evidence.partition_point(|kept| {
            rank(kept)
                .cmp(&rank(&evidence))
                .then_with(|| order(kept).cmp(&order(&evidence)))
                .is_lt()
        });
        if place < MOST_EVIDENCE {
            self.evidence.insert(place, evidence);
            self.evidence.truncate(MOST_EVIDENCE);
        }
    }

    fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.span.merge(other.span);
        for evidence in other.evidence {
            self.keep(evidence);
        }
    }

    fn detection(self, rules: &RuleSet, index: usize) -> Detection {
        let rule = &rules.rules()[index];
        Detection {
            rule: Arc::clone(rule.shared_id()),
            title: Arc::clone(&rule.title),
            category: rule.category(),
            severity: rule.severity(),
            confidence: rule.confidence(),
            points: source_points(rule.points(), self.requests),
            requests: self.requests,
            first: self.span.first,
            last: self.span.last,
            rate: None,
            evidence: self.evidence,
        }
    }
}

/// The order in which evidence is kept: by time, unknown times last, then by place.
fn rank(evidence: &Evidence) -> (bool, Option<Timestamp>, &str, u64) {
    (evidence.time.is_none(), evidence.time, &evidence.object, evidence.offset)
}

fn rate_detection(rules: &RuleSet, bursts: &Bursts<'_>, objects: &[Arc<str>]) -> Detection {
    let rule = &rules.rules()[bursts.rule];
    let time = |second: i64| Timestamp::from_epoch_ms(second * 1_000);
    let mut evidence: Vec<Evidence> = bursts
        .places
        .iter()
        .map(|pane| Evidence {
            object: Arc::clone(&objects[pane.object as usize]),
            offset: pane.offset,
            time: time(pane.second),
            id: None,
            field: None,
            view: None,
            text: Vec::new().into(),
            matched: Vec::new().into(),
        })
        .collect();
    evidence.sort_by(|a, b| rank(a).cmp(&rank(b)));
    evidence.truncate(MOST_EVIDENCE);
    let count = bursts.found.len() as u64;
    Detection {
        rule: Arc::clone(rule.shared_id()),
        title: Arc::clone(&rule.title),
        category: rule.category(),
        severity: rule.severity(),
        confidence: rule.confidence(),
        points: source_points(rule.points(), count),
        requests: bursts.found.iter().map(|burst| burst.requests).sum(),
        first: bursts.found.first().and_then(|burst| time(burst.first)),
        last: bursts.found.last().and_then(|burst| time(burst.last)),
        rate: Some(RateFigure {
            measure: bursts.rate.measure(),
            peak: bursts.found.iter().map(|burst| burst.peak).max().unwrap_or(0),
            threshold: bursts.rate.threshold(),
            window_seconds: bursts.rate.window_seconds(),
            bursts: count,
        }),
        evidence,
    }
}
