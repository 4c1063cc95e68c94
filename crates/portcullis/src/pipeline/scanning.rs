//! A scan of all objects, each of them first read by itself.
//!
//! What an object's requests come to is added to the worker's part only when its turn has
//! come, because a record that was delivered twice must count once, and which of the two
//! counts must not depend on the threads. While an object is read, records that may be twins
//! are kept back until that is known; only when a twin was not is it read again. See [`crate::duplicates`].

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::AtomicBool;

use portcullis_detection::{AuditedObject, Held, Identities, LeftOut, Once, RuleSet, Scan};

use super::{Purpose, Reading, Report, Tally};
use crate::duplicates::Duplicates;
use crate::joining::{Batch, Object, Role};

/// Says whether the record of an identity is likely to be the twin of an earlier one.
pub(super) type Guess<'t> = &'t (dyn Fn(&[u64], &mut [bool]) + Sync);

/// Of a worker's memory for clients, one part in so many is made free for an object that it
/// reads, however much is kept of others.
const OF_ONE_OBJECT: usize = 4;

/// What reading one object gave.
pub(super) struct Alone<'rules> {
    pub(super) scan: Scan<'rules>,
    pub(super) report: Report,
    /// Of its records, those that were left out included.
    pub(super) identities: Identities,
    /// Places of the records that were left out, because they are twins of earlier ones.
    pub(super) left_out: Vec<usize>,
    /// The requests that may be, which were kept back.
    pub(super) held: Vec<Held>,
}

impl<'rules> Alone<'rules> {
    /// Of an object that could not be opened.
    pub(super) fn unreadable(scan: Scan<'rules>, error: io::Error) -> Self {
        let (identities, left_out, held) = Default::default();
        Self { scan, report: Report::Unreadable(error), identities, left_out, held }
    }

    /// Takes in what was kept back and is no twin. Says whether all twins were kept back or
    /// left out, so that the object need not be read again.
    fn settle(&mut self, twins: &[usize]) -> bool {
        let held = std::mem::take(&mut self.held);
        let is_held = |twin: &usize| held.binary_search_by_key(twin, |held| held.place).is_ok();
        if self.left_out == twins && held.is_empty() {
            return true;
        }
        if !self.left_out.is_empty() || !twins.iter().all(is_held) {
            return false;
        }
        for held in held.iter().filter(|held| twins.binary_search(&held.place).is_err()) {
            self.scan.observe(&held.request());
        }
        self.left_out = twins.to_vec();
        true
    }
}

impl Reading<'_> {
    pub(super) fn scanned<'rules>(
        &self,
        rules: &'rules RuleSet,
        purpose: Purpose<'_>,
    ) -> (Scanned<'rules>, Tally) {
        let mut done = self.scan_batch(self.access_logs(), purpose, rules, []);
        if let Some(batch) = self.waf_logs() {
            done.merge(self.scan_batch(batch, purpose, rules, []));
        }
        done.reports.sort_by_key(|(index, _)| *index);
        let reports = std::mem::take(&mut done.reports);
        let tally = self.tally(reports.into_iter().map(|(_, report)| report));
        (done, tally)
    }

    pub(super) fn scan_batch<'rules>(
        &self,
        batch: Batch<'_>,
        purpose: Purpose<'_>,
        rules: &'rules RuleSet,
        known: impl IntoIterator<Item = u64>,
    ) -> Scanned<'rules> {
        let memory = self.memory_of_clients();
        let each = memory / self.workers(&batch);
        // A record is looked up once in a join, so its object cannot be read again.
        let once = (self.once && matches!(batch.role, Role::Alone))
            .then(|| Duplicates::new(self.workers(&batch), self.memory, known));
        let begin = || {
            let mut done = Scanned::new(purpose, rules);
            done.scan.limit_memory(each);
            done
        };
        // While an object is read, what was found before and what it adds share the memory.
        let free = |done: &mut Scanned<'rules>| {
            done.scan.limit_memory(each - each / OF_ONE_OBJECT);
            let free = each.saturating_sub(done.scan.used_bytes());
            done.scan.limit_memory(each);
            free
        };
        let alone = |object: &Object<'_>, done: &mut Scanned<'rules>, left_out: LeftOut<'_>| {
            let mut scan = purpose.scan(rules);
            scan.limit_memory(free(done));
            scan.swap_memos(&mut done.scan);
            let most = once.as_ref().map_or(0, Duplicates::most);
            let mut read = self.scan_alone(object, scan, most, left_out);
            read.scan.swap_memos(&mut done.scan);
            read
        };
        let first =
            |object: &Object<'_>, done: &mut Scanned<'rules>, mut guess: Guess<'_>| match self
                .threads_for(object)
            {
                1 => alone(object, done, LeftOut::Guessed(&mut guess)),
                threads => {
                    let begin = |memory| {
                        let mut scan = purpose.scan(rules);
                        scan.limit_memory(memory);
                        scan
                    };
                    let most = once.as_ref().map_or(0, Duplicates::most);
                    self.scan_in_parts(object, (threads, free(done)), begin, most, guess)
                }
            };
        let work = |object: &Object<'_>, done: &mut Scanned<'rules>| {
            let Some(once) = &once else {
                let read = first(object, done, &|_, _| {});
                return done.take(object, read, purpose);
            };
            let _reading = once.reading();
            let opens_again = object.input.opens_again();
            let number = object.number - batch.first;
            let guess = |identities: &[u64], twins: &mut [bool]| {
                if opens_again {
                    once.guess(number, identities, twins);
                }
            };
            let mut read = first(object, done, &guess);
            let identities = std::mem::take(&mut read.identities);
            // What ends early may be read to its end another time, so it makes no twins.
            let counts = opens_again && read.report.incomplete().is_none();
            let identities = if counts { identities } else { Identities::default() };
            let bytes = read.scan.used_bytes();
            for due in once.finish(number, read, bytes, identities) {
                let object = batch.object(due.number).expect("it was read");
                let mut read = due.finished;
                read.scan.swap_memos(&mut done.scan);
                let is_settled = read.settle(&due.twins);
                read.scan.swap_memos(&mut done.scan);
                if !is_settled {
                    read = alone(&object, done, LeftOut::Known(&due.twins));
                }
                if !due.twins.is_empty() {
                    done.with_twins.insert(object.number);
                }
                // Eight bytes a record, which only a later reading asks for.
                if matches!(purpose, Purpose::Keep(_)) && !due.identities.is_empty() {
                    done.identities.insert(object.number, due.identities);
                }
                done.take(&object, read, purpose);
            }
        };
        let merge = |mine: &mut Scanned<'rules>, theirs| {
            mine.scan.limit_memory(memory);
            mine.merge(theirs);
        };
        self.on_workers(&batch, begin, work, merge)
    }

    /// Reads one object into a scan of its own, without those records.
    fn scan_alone<'rules>(
        &self,
        object: &Object<'_>,
        mut scan: Scan<'rules>,
        most: usize,
        left_out: LeftOut<'_>,
    ) -> Alone<'rules> {
        let wanted = AtomicBool::new(false);
        let mut once = Once::new(&mut scan, most, left_out);
        let report = self.read(object, &wanted, &mut once);
        let (identities, left_out, held) = once.finish();
        Alone { scan, report, identities, left_out, held }
    }
}

/// What one worker has found so far.
pub(super) struct Scanned<'rules> {
    pub(super) scan: Scan<'rules>,
    /// What speaks for itself only in objects that ended early.
    pub(super) provisional: Option<Scan<'rules>>,
    /// From objects that are to be kept, by their hour.
    pub(super) hours: BTreeMap<i64, Scan<'rules>>,
    /// By the object's place among the inputs.
    pub(super) reports: Vec<(usize, Report)>,
    /// What became of the objects, but of those that are kept.
    pub(super) audited: Vec<AuditedObject>,
    /// Of the records that count, by their object's place.
    pub(super) identities: BTreeMap<usize, Vec<u64>>,
    /// Objects with records that do not.
    pub(super) with_twins: BTreeSet<usize>,
}

impl<'rules> Scanned<'rules> {
    fn new(purpose: Purpose<'_>, rules: &'rules RuleSet) -> Self {
        Self {
            scan: purpose.scan(rules),
            provisional: None,
            hours: BTreeMap::new(),
            reports: Vec::new(),
            audited: Vec::new(),
            identities: BTreeMap::new(),
            with_twins: BTreeSet::new(),
        }
    }

    /// Takes in an object, as far as it counts for the purpose.
    fn take(&mut self, object: &Object<'_>, read: Alone<'rules>, purpose: Purpose<'_>) {
        let Alone { mut scan, report, left_out, .. } = read;
        let duplicates = left_out.len() as u64;
        let (requests, rejects) = (scan.coverage().requests, scan.coverage().rejected());
        let shows = matches!(purpose, Purpose::Show | Purpose::Answer(_));
        let is_whole = report.incomplete().is_none();
        match purpose {
            Purpose::Keep(hours) if is_whole => {
                report.tell(object.input, duplicates, |seen| scan.object(seen));
                scan.settle_for(&mut self.scan);
                merge_into(&mut self.hours, hours[object.number], scan);
            }
            _ => {
                report.tell(object.input, duplicates, |seen| {
                    self.scan.object(seen);
                    self.audited.push(AuditedObject::new(seen, requests, rejects));
                });
                match &mut self.provisional {
                    _ if is_whole || shows => self.scan.merge(scan),
                    Some(provisional) => provisional.merge(scan),
                    provisional => *provisional = Some(scan),
                }
            }
        }
        self.reports.push((object.number, report));
    }

    fn merge(&mut self, mut other: Self) {
        self.scan.merge(other.scan);
        match (&mut self.provisional, other.provisional) {
            (Some(mine), Some(theirs)) => mine.merge(theirs),
            (None, theirs) => self.provisional = theirs,
            (Some(_), None) => {}
        }
        for (hour, theirs) in other.hours {
            merge_into(&mut self.hours, hour, theirs);
        }
        self.reports.append(&mut other.reports);
        self.audited.append(&mut other.audited);
        self.identities.append(&mut other.identities);
        self.with_twins.append(&mut other.with_twins);
    }
}

fn merge_into<'rules>(hours: &mut BTreeMap<i64, Scan<'rules>>, hour: i64, scan: Scan<'rules>) {
    match hours.entry(hour) {
        Entry::Vacant(place) => drop(place.insert(scan)),
        Entry::Occupied(mut mine) => mine.get_mut().merge(scan),
    }
}
