//! Gathers requests into sources, and sources into findings.
//!
//! [`Scan::observe`] and [`Scan::merge`] obey one law: the findings depend on the requests
//! and not on their order, on how they were grouped into objects, or on how the work was
//! split. Threads, resumed runs and clusters stand on it. So everything kept is a sum, a
//! minimum, a maximum or a set, and nothing that depends on "so far".
//!
//! What is kept of one source is in `source`, what counts as an offender in `offender`.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use portcullis_ingest::{Reject, RejectReason, Request};

use crate::account::{Answer, Question, Watch};
use crate::coverage::{Coverage, ObjectSeen};
use crate::forgery::Forgeries;
use crate::offender::{Findings, Standing};
use crate::overview::{Gathering, Overview};
use crate::rate::{Group, GroupKey, Key, is_blocked};
use crate::rule::RuleSet;
use crate::signature::{Classifier, Verdict};
use crate::source::{Grounds, Source, SourceKey};
use crate::suspect::Suspect;
use crate::traffic::Traffic;

/// Requests being gathered. One for each worker; merge them at the end.
pub struct Scan<'r> {
    pub(crate) rules: &'r RuleSet,
    classifier: Classifier<'r>,
    pub(crate) sources: HashMap<SourceKey, Source, RandomState>,
    pub(crate) groups: HashMap<GroupKey, Group, RandomState>,
    pub(crate) objects: Objects,
    pub(crate) coverage: Coverage,
    pub(crate) forgeries: Forgeries,
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
            groups: HashMap::default(),
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
        let object = self.objects.number(request.origin.object);
        let names = &self.objects.names;
        let rates = self.rules.rates();
        rates.observe_groups(request, object, |series, by, value, pane| {
            let key = GroupKey { by, value: value.into() };
            let group = self.groups.entry(key).or_default();
            group.observe(series, pane, request.client, names);
        });
        if let Some(client) = request.client {
            let source = self.sources.entry(SourceKey::of(client)).or_default();
            source.observe(request, verdict, &names[object as usize]);
            rates.observe(&mut source.counts, request, object, names);
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
        let renumbered = self.renumbered(&other.objects.names);
        for (key, theirs) in other.sources {
            let mine = self.sources.entry(key).or_default();
            mine.merge(theirs, &renumbered, &self.objects.names);
        }
        for (key, theirs) in other.groups {
            let mine = self.groups.entry(key).or_default();
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

    /// The numbers that this scan gives to objects that another numbers in that order.
    pub(crate) fn renumbered(&mut self, theirs: &[Arc<str>]) -> Vec<u32> {
        theirs.iter().map(|name| self.objects.number(name)).collect()
    }

    /// Answers the question this scan was begun with, if any.
    pub fn answer(mut self) -> Option<Answer> {
        let (request, key, timeline) = self.watch?.finish();
        let source = key.and_then(|key| Some((key, self.sources.remove(&key)?)));
        let account = source.map(|(key, mut source)| {
            source.counts.order(&self.objects.names);
            source.judge(self.rules, &self.objects.names).account(key, self.rules, timeline)
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

    /// What all sources did well, for whoever weighs what a block would cost.
    pub fn traffic(&self) -> Traffic {
        let mut traffic = Traffic::default();
        for (key, source) in &self.sources {
            traffic.add(key.network(), source.traffic());
        }
        traffic
    }

    /// Decides about every source.
    pub fn finish(mut self) -> Findings {
        let forgeries = self.forgeries.finish();
        let mut findings = Findings { coverage: self.coverage, forgeries, ..Findings::default() };
        for (key, mut source) in self.sources.drain() {
            source.counts.order(&self.objects.names);
            let judged = source.judge(self.rules, &self.objects.names);
            let list = match judged.standing() {
                Standing::Offender => &mut findings.offenders,
                Standing::Watched => &mut findings.watched,
                Standing::Quiet => continue,
            };
            list.extend(judged.offender(key));
        }
        for list in [&mut findings.offenders, &mut findings.watched] {
            list.sort_by(|a, b| b.score.cmp(&a.score).then(a.source.cmp(&b.source)));
        }
        for (key, mut group) in self.groups.drain() {
            group.counts.order(&self.objects.names);
            let grounds = Grounds::of_rates(self.rules, key.by, &group.counts, &self.objects.names);
            findings.suspects.extend(group.suspect(&key, self.rules.rates(), grounds));
        }
        findings.suspects.sort_by(|a, b| {
            let place = |suspect: &Suspect| (suspect.key, suspect.value.clone());
            b.score.cmp(&a.score).then_with(|| place(a).cmp(&place(b)))
        });
        findings
    }

    /// Whether the rule at that index fired on any source or group.
    pub(crate) fn fired(mut self, rule: usize) -> bool {
        let names = &self.objects.names;
        let rates = self.rules.rates();
        let in_source = |source: &mut Source| {
            source.counts.order(names);
            source.has_tally(rule)
                || rates.bursts(Key::Client, &source.counts).any(|bursts| bursts.rule == rule)
        };
        let in_group = |(key, group): (&GroupKey, &mut Group)| {
            group.counts.order(names);
            rates.bursts(key.by, &group.counts).any(|bursts| bursts.rule == rule)
        };
        self.sources.values_mut().any(in_source) || self.groups.iter_mut().any(in_group)
    }
}

/// Names of objects, numbered, so that panes need not hold them.
#[derive(Default)]
pub(crate) struct Objects {
    pub(crate) names: Vec<Arc<str>>,
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
