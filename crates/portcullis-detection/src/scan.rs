//! Gathers requests into sources, and sources into findings.
//!
//! [`Scan::observe`] and [`Scan::merge`] obey one law: the findings depend on the requests
//! and not on their order, on how they were grouped into objects, or on how the work was
//! split. Threads, resumed runs and clusters stand on it. So everything kept is a sum, a
//! minimum, a maximum or a set, and nothing that depends on "so far".
//!
//! What is kept of one source is in `source`, what counts as an offender in `standing`. What
//! is forgotten when memory is short is in `forgetting`, what a scan comes to in `results`.

mod forgetting;
mod results;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hint::black_box;
use std::sync::Arc;

use foldhash::fast::RandomState;
use portcullis_ingest::{Reject, RejectReason, Request};

use crate::account::{Question, Watch};
use crate::coverage::{Coverage, ObjectSeen};
use crate::crawler::Claim;
use crate::forgery::Forgeries;
use crate::journal::Journal;
use crate::memory::{DEFAULT_BYTES, Sketch};
use crate::overview::Gathering;
use crate::rate::{Group, GroupKey, Growth, Key, Room, is_blocked};
use crate::rule::RuleSet;
use crate::signature::{Classifier, Verdict};
use crate::source::{Source, SourceKey, is_good};

/// Requests being gathered. One for each worker; merge them at the end.
pub struct Scan<'r> {
    pub(crate) rules: &'r RuleSet,
    classifier: Classifier<'r>,
    /// Boxed, so that a table that grows moves little.
    pub(crate) sources: HashMap<SourceKey, Box<Source>, RandomState>,
    pub(crate) groups: HashMap<GroupKey, Group, RandomState>,
    /// What is not yet in the sources.
    journal: Journal,
    /// Memory for the journal of the next scan.
    spare: Journal,
    pub(crate) objects: Objects,
    pub(crate) coverage: Coverage,
    pub(crate) forgeries: Forgeries,
    /// Bytes that may be kept of clients.
    memory: usize,
    /// Entries of one source or group beyond which fewer things are told apart.
    pub(crate) most_entries: usize,
    /// At least the bytes that are, but for the tables.
    pub(crate) kept_bytes: usize,
    /// What must be kept above the limit, so that it is not looked through all the time.
    cannot_forget: usize,
    /// What is remembered of the forgotten.
    pub(crate) sketch: Sketch,
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
            journal: Journal::default(),
            spare: Journal::default(),
            objects: Objects::default(),
            coverage: Coverage::default(),
            forgeries: Forgeries::default(),
            memory: DEFAULT_BYTES,
            most_entries: rules.rates().most_entries(DEFAULT_BYTES),
            kept_bytes: 0,
            cannot_forget: 0,
            sketch: Sketch::default(),
            watch: None,
            gathering: None,
        }
    }

    /// Swaps with another scan what is remembered of texts that no rule says anything about,
    /// and memory that is not in use. That makes no difference to findings; it spares a scan
    /// that begins anew the search of what the other has searched.
    pub fn swap_memos(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.classifier, &mut other.classifier);
        std::mem::swap(&mut self.spare, &mut other.spare);
        if self.journal.bytes() == 0 {
            std::mem::swap(&mut self.journal, &mut self.spare);
        }
    }

    /// Takes in at once what is only noted so far, and leaves the memory for that to another
    /// scan. That makes no difference to findings; a scan that is kept should not keep it.
    pub fn settle_for(&mut self, other: &mut Self) {
        self.catch_up();
        other.spare = std::mem::take(&mut self.journal);
    }

    /// Begins with nothing seen, to give an overview too; see [`Scan::overview`].
    pub fn surveying(rules: &'r RuleSet) -> Self {
        Self { gathering: Some(Gathering::default()), ..Self::new(rules) }
    }

    /// Begins with nothing seen, to answer a question; see [`Scan::answer`].
    pub fn asked(rules: &'r RuleSet, question: Question) -> Self {
        Self::new(rules).asking(question)
    }

    /// The same scan, to answer a question besides; see [`Scan::answer`].
    #[must_use]
    pub fn asking(self, question: Question) -> Self {
        Self { watch: Some(Watch::new(question)), ..self }
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
        let room = Room { rates, objects: names, most_entries: self.most_entries };
        let mut in_groups = Growth::default();
        rates.observe_groups(request, object, |by, value, entry| {
            let key = GroupKey { by, value: value.into() };
            let group = match self.groups.entry(key) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    self.kept_bytes += size_of::<Group>() + entry.key().value.len();
                    entry.insert(Group::default())
                }
            };
            let growth = group.observe(entry, request.client, room);
            in_groups += growth;
            self.coverage.forgotten.note_folded(self.rules, by, growth.folded);
        });
        self.kept_bytes += in_groups.bytes;
        if let Some(client) = request.client {
            let key = SourceKey::of(client);
            let claim = self.rules.crawlers().claim(request);
            if !verdict.hits().is_empty() || claim != Claim::None {
                let object = &names[object as usize];
                let source = source_of(&mut self.sources, key, &mut self.kept_bytes);
                self.kept_bytes += source.mark(request, verdict, claim, object);
            }
            self.journal.note(rates, request, (key, object), is_good(request, verdict));
        } else {
            self.coverage.requests_without_client += 1;
            self.coverage.flagged_without_client += u64::from(verdict.flagged());
        }
        if self.journal.is_full() {
            self.catch_up();
        }
        self.stay_within_memory();
        self.classifier.verdict()
    }

    /// Takes in what was only noted.
    pub(crate) fn catch_up(&mut self) {
        let journal = std::mem::take(&mut self.journal);
        self.take_in(&journal, &[]);
        self.journal = journal.emptied();
    }

    /// Takes in what was noted of requests, by a scan whose objects are numbered by
    /// `renumbered`.
    fn take_in(&mut self, journal: &Journal, renumbered: &[u32]) {
        let rates = self.rules.rates();
        for several in journal.several() {
            // Nothing stands between one look and the next, so that memory answers all at
            // once, and what the looks bring is there when it is wanted.
            let known = several.requests.iter().filter_map(|noted| self.sources.get(&noted.key));
            black_box(known.fold(0, |all, source| all ^ source.counts.latest()));
            let mut growth = Growth::default();
            for (noted, entries) in several.each() {
                let source = source_of(&mut self.sources, noted.key, &mut self.kept_bytes);
                growth.bytes += source.observe(noted);
                let objects = &self.objects.names;
                let room = Room { rates, objects, most_entries: self.most_entries };
                for entry in entries {
                    growth += source.counts.add(entry.renumbered(renumbered), room);
                }
            }
            self.kept_bytes += growth.bytes;
            self.note_folded(Key::Client, growth.folded);
            self.stay_within_memory();
        }
    }

    /// Notes that so many things are no longer told apart in what is counted by that key.
    pub(crate) fn note_folded(&mut self, by: Key, folded: u64) {
        self.coverage.forgotten.note_folded(self.rules, by, folded);
    }

    /// Takes in a record that could not be read. It is searched as raw text, if it is worth
    /// that, and counted, a suspected forgery is kept as one, and nothing is attributed to an
    /// address.
    pub fn observe_reject(&mut self, reject: &Reject<'_>) {
        let reason = RejectReason::ALL.iter().position(|reason| *reason == reject.reason);
        self.coverage.rejects[reason.expect("ALL holds every reason")] += 1;
        if reject.is_searched {
            let verdict = self.classifier.scan_text(reject.text.bytes());
            self.coverage.rejects_with_signatures += u64::from(verdict.flagged());
        } else {
            self.coverage.rejects_not_searched += 1;
        }
        if reject.reason.suggests_forgery() {
            let object = self.objects.number(reject.origin.object);
            self.forgeries.observe(reject, &self.objects.names[object as usize]);
        }
    }

    /// Takes in what reading one object gave.
    pub fn object(&mut self, object: &ObjectSeen<'_>) {
        self.coverage.add_object(self.rules, object);
    }

    /// What was looked at so far.
    pub const fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Takes in everything another scan with the same rules saw.
    pub fn merge(&mut self, other: Self) {
        debug_assert!(std::ptr::eq(self.rules, other.rules), "scans of one rule set");
        let renumbered = self.renumbered(&other.objects.names);
        self.take_in(&other.journal, &renumbered);
        self.spare = other.journal.emptied();
        // Most clients of a large log are in few of its objects.
        let (rates, most_entries) = (self.rules.rates(), self.most_entries);
        for (key, mut theirs) in other.sources {
            match self.sources.entry(key) {
                Entry::Vacant(place) => {
                    theirs.counts.renumber(&renumbered);
                    place.insert(theirs);
                }
                Entry::Occupied(mut mine) => {
                    let room = Room { rates, objects: &self.objects.names, most_entries };
                    let folded = mine.get_mut().merge(*theirs, &renumbered, room);
                    self.note_folded(Key::Client, folded);
                }
            }
        }
        for (key, mut theirs) in other.groups {
            let by = key.by;
            match self.groups.entry(key) {
                Entry::Vacant(place) => {
                    theirs.counts.renumber(&renumbered);
                    place.insert(theirs);
                }
                Entry::Occupied(mut mine) => {
                    let room = Room { rates, objects: &self.objects.names, most_entries };
                    let folded = mine.get_mut().merge(theirs, &renumbered, room);
                    self.note_folded(by, folded);
                }
            }
        }
        self.coverage.merge(other.coverage);
        self.forgeries.merge(other.forgeries);
        self.sketch.merge(other.sketch);
        self.kept_bytes += other.kept_bytes;
        if let (Some(watch), Some(theirs)) = (&mut self.watch, other.watch) {
            watch.merge(theirs);
        }
        if let (Some(gathering), Some(theirs)) = (&mut self.gathering, other.gathering) {
            gathering.merge(theirs);
        }
        self.stay_within_memory();
    }

    /// The numbers that this scan gives to objects that another numbers in that order.
    pub(crate) fn renumbered(&mut self, theirs: &[Arc<str>]) -> Vec<u32> {
        theirs.iter().map(|name| self.objects.number(name)).collect()
    }

    /// The verdict on the last request.
    pub(crate) const fn verdict(&self) -> &Verdict {
        self.classifier.verdict()
    }
}

/// What is kept of a source, from the first time it is asked for.
fn source_of<'s>(
    sources: &'s mut HashMap<SourceKey, Box<Source>, RandomState>,
    key: SourceKey,
    kept_bytes: &mut usize,
) -> &'s mut Source {
    sources.entry(key).or_insert_with(|| {
        *kept_bytes += size_of::<Source>();
        Box::default()
    })
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
