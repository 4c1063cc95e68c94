//! Gathers requests into sources, and sources into findings.
//!
//! [`Scan::observe`] and [`Scan::merge`] obey one law: the findings depend on the requests
//! and not on their order, on how they were grouped into objects, or on how the work was
//! split. Threads, resumed runs and clusters stand on it. So everything kept is a sum, a
//! minimum, a maximum or a set, and nothing that depends on "so far".
//!
//! What counts as an offender is decided in `offender`.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use foldhash::fast::{FixedState, RandomState};
use ipnet::IpNet;
use portcullis_ingest::{Reject, RejectReason, Request, Untrusted, source_network};

use crate::account::{Account, Answer, Question, RateCount, Watch};
use crate::correlation::{Correlation, Facts, correlations};
use crate::coverage::{Coverage, ObjectSeen};
use crate::forgery::Forgeries;
use crate::level::Category;
use crate::offender::{Detection, Figures, Findings, Offender, Standing, Weight};
use crate::outcome::{Outcome, Outcomes};
use crate::overview::{Gathering, Overview};
use crate::rate::{SourceRates, is_blocked};
use crate::rule::{RuleKind, RuleSet};
use crate::signature::{Classifier, Verdict};
use crate::tally::{Distinct, Principals, Span, Tally, rate_detection};
use crate::timeline::Timeline;

/// Requests being gathered. One for each worker; merge them at the end.
pub struct Scan<'r> {
    rules: &'r RuleSet,
    classifier: Classifier<'r>,
    sources: HashMap<SourceKey, Source, RandomState>,
    objects: Objects,
    coverage: Coverage,
    forgeries: Forgeries,
    /// What only an answer needs, when there is a question.
    watch: Option<Watch>,
    /// What only an overview needs, when one is wanted.
    gathering: Option<Gathering>,
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
            forgeries: Forgeries::default(),
            watch: None,
            gathering: None,
        }
    }

    /// Begins with nothing seen, to give an overview too; see [`Scan::overview`].
    pub fn surveying(rules: &'r RuleSet) -> Self {
        Self { gathering: Some(Gathering::default()), ..Self::new(rules) }
    }

    /// Begins with nothing seen, to answer a question; see [`Scan::answer`].
    pub fn asked(rules: &'r RuleSet, question: Question) -> Self {
        Self { watch: Some(Watch::new(question)), ..Self::new(rules) }
    }

    /// Takes in one request, and says what its signatures are.
    pub fn observe(&mut self, request: &Request<'_>) -> &Verdict {
        let verdict = self.classifier.classify(request);
        self.coverage.requests += 1;
        self.coverage.requests_blocked_by_waf += u64::from(is_blocked(request));
        self.coverage.truncated_fields += u64::from(verdict.truncated_fields());
        self.coverage.requests_without_time +=
            u64::from(request.time.is_none() || request.time_is_of_object);
        if let Some(watch) = &mut self.watch {
            watch.observe(request, verdict);
        }
        if let Some(gathering) = &mut self.gathering {
            gathering.observe(request, verdict);
        }
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
    /// a suspected forgery is kept as one, and nothing is attributed to an address.
    pub fn observe_reject(&mut self, reject: &Reject<'_>) {
        let reason = RejectReason::ALL.iter().position(|reason| *reason == reject.reason);
        self.coverage.rejects[reason.expect("ALL holds every reason")] += 1;
        let verdict = self.classifier.scan_text(reject.text.bytes());
        self.coverage.rejects_with_signatures += u64::from(verdict.flagged());
        if reject.reason.suggests_forgery() {
            let object = self.objects.number(reject.origin.object);
            self.forgeries.observe(reject, &self.objects.names[object as usize]);
        }
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
        self.forgeries.merge(other.forgeries);
        if let (Some(watch), Some(theirs)) = (&mut self.watch, other.watch) {
            watch.merge(theirs);
        }
        if let (Some(gathering), Some(theirs)) = (&mut self.gathering, other.gathering) {
            gathering.merge(theirs);
        }
    }

    /// Answers the question this scan was begun with, if any.
    pub fn answer(mut self) -> Option<Answer> {
        let (request, key, timeline) = self.watch?.finish();
        let source = key.and_then(|key| Some((key, self.sources.remove(&key)?)));
        let account = source.map(|(key, mut source)| {
            source.rates.order(&self.objects.names);
            source.account(key, self.rules, &self.objects.names, timeline)
        });
        Some(Answer { coverage: self.coverage, request, account })
    }

    /// Decides about every source, and gives the overview that this scan was begun for; an
    /// empty one when it was not.
    pub fn overview(mut self) -> (Findings, Overview) {
        let gathering = self.gathering.take().unwrap_or_default();
        let findings = self.finish();
        let shown = findings.offenders.iter().chain(&findings.watched);
        let overview = gathering.finish(shown.map(|offender| offender.source));
        (findings, overview)
    }

    /// Decides about every source.
    pub fn finish(mut self) -> Findings {
        let forgeries = self.forgeries.finish();
        let mut findings = Findings { coverage: self.coverage, forgeries, ..Findings::default() };
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
    /// Of flagged requests, those that AWS WAF stopped included.
    outcomes: Outcomes,
    /// Different paths and queries on which a rule about anything but the agent fired.
    probes: Distinct<{ Facts::MOST_PROBES }>,
    span: Span,
    principals: Principals,
    /// By index of the rule, sorted.
    tallies: Vec<(usize, Tally)>,
    rates: SourceRates,
}

impl Source {
    fn observe(&mut self, request: &Request<'_>, verdict: &Verdict, object: &Arc<str>) {
        self.requests += 1;
        if verdict.flagged() {
            self.outcomes.add(Outcome::of(request));
        }
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
            if verdict.categories().iter().any(|category| *category != Category::ScannerUa) {
                let [path, query] =
                    [request.path, request.query].map(|text| text.map(Untrusted::bytes));
                self.probes.add(FixedState::with_seed(0x7072_6f62).hash_one((path, query)));
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
        self.rates.merge(other.rates, renumbered, objects);
    }

    fn judge(
        self,
        key: SourceKey,
        rules: &RuleSet,
        objects: &[Arc<str>],
    ) -> (Standing, Option<Offender>) {
        let (detections, weights) = self.detections(rules, objects);
        let correlations = self.correlations(&weights);
        let figures = self.figures(&detections, &weights, &correlations);
        let (standing, score) = (figures.standing(), figures.score);
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
        let offender = Offender {
            source: key.network(),
            score,
            grounds: figures.grounds(),
            severity,
            confidence,
            categories,
            detections,
            correlations,
            requests: self.requests,
            flagged_requests: self.flagged,
            good_requests: self.good,
            outcomes: self.outcomes,
            principals: self.principals.hashes.len() as u64,
            first: self.span.first,
            last: self.span.last,
        };
        (standing, Some(offender))
    }

    fn account(
        self,
        key: SourceKey,
        rules: &RuleSet,
        objects: &[Arc<str>],
        timeline: Timeline,
    ) -> Account {
        let (detections, weights) = self.detections(rules, objects);
        let correlations = self.correlations(&weights);
        let figures = self.figures(&detections, &weights, &correlations);
        let rates = rules.rates().peaks(&self.rates).map(|peak| RateCount {
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
            detections,
            correlations,
            requests: self.requests,
            flagged_requests: self.flagged,
            good_requests: self.good,
            outcomes: self.outcomes,
            principals: self.principals.hashes.len() as u64,
            first: self.span.first,
            last: self.span.last,
        }
    }

    /// What the rules that fired mean together.
    fn correlations(&self, weights: &[Weight]) -> Vec<Correlation> {
        let about_requests = |weight: &&Weight| !weight.is_rate && !weight.is_agent();
        let signatures = weights.iter().filter(about_requests);
        let categories: BTreeSet<Category> = signatures.clone().map(|w| w.category).collect();
        correlations(&Facts {
            scanner_agent: weights.iter().any(Weight::is_agent),
            probes: self.probes.hashes.len(),
            rules: signatures.count(),
            categories: categories.len(),
            rates: weights.iter().filter(|weight| weight.is_rate).count(),
            requests: self.requests,
            flagged_requests: self.flagged,
            good_requests: self.good,
        })
    }

    fn figures<'w>(
        &self,
        detections: &[Detection],
        weights: &'w [Weight],
        correlations: &[Correlation],
    ) -> Figures<'w> {
        Figures {
            score: score(detections, correlations),
            correlated: correlations.iter().any(|correlation| correlation.is_ground()),
            flagged_requests: self.flagged,
            good_requests: self.good,
            requests: self.requests,
            weights,
        }
    }

    /// What each rule found, by the score it adds from the highest, then by id; and what
    /// the decision needs of each, in any order.
    fn detections(&self, rules: &RuleSet, objects: &[Arc<str>]) -> (Vec<Detection>, Vec<Weight>) {
        let mut detections = Vec::new();
        let mut weights = Vec::new();
        for (index, tally) in &self.tallies {
            detections.push(tally.detection(rules, *index));
            weights.push(weight(rules, *index, tally.requests));
        }
        for bursts in rules.rates().bursts(&self.rates) {
            let detection = rate_detection(rules, &bursts, objects);
            weights.push(weight(rules, bursts.rule, detection.requests));
            detections.push(detection);
        }
        detections.sort_by(|a, b| b.points.cmp(&a.points).then_with(|| a.rule.cmp(&b.rule)));
        (detections, weights)
    }
}

fn score(detections: &[Detection], correlations: &[Correlation]) -> u32 {
    let of_rules: u32 = detections.iter().map(|detection| detection.points).sum();
    of_rules + correlations.iter().map(|correlation| correlation.points()).sum::<u32>()
}

fn weight(rules: &RuleSet, index: usize, requests: u64) -> Weight {
    let rule = &rules.rules()[index];
    Weight {
        rule_points: rule.points(),
        category: rule.category(),
        severity: rule.severity(),
        confidence: rule.confidence(),
        is_rate: matches!(rule.kind(), RuleKind::Rate(_)),
        requests,
    }
}
