//! All requests as columns, in input order, while they are looked at.
//!
//! One reading serves both: each request is judged once, and its verdict goes into its row.
//! Rows travel in small batches by the hour of their time, so that what is in memory at
//! once does not grow with the logs.
//!
//! A row that has gone cannot be taken back, so records that were delivered twice have to be
//! known before: a first reading, which decodes and nothing more, tells which those are.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use portcullis_columns::{Judged, REQUESTS, Table, push_request};
use portcullis_detection::{Findings, Identities, LeftOut, Once, RuleSet, Scan};
use portcullis_ingest::{Reject, Request, Sink};

use super::{Batch, Object, Purpose, Reading, Role, Tally, decided};
use crate::duplicates::Duplicates;
use crate::ordered::{Chunks, Take, in_order};
use crate::progress::Progress;

/// Bytes of rows that a worker gathers before it hands them over.
const BATCH_BYTES: usize = 1 << 20;

/// Batches of one object that wait for the writer.
const WAITING_BATCHES: usize = 4;

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// Requests by the hour since 1970 that they came in; `None` where no time is known.
pub type Hours = BTreeMap<Option<i64>, Table>;

impl Reading<'_> {
    /// Gives these columns of every request to `taker`, and looks for offenders as
    /// [`Purpose::Show`] does.
    pub fn export(
        &self,
        rules: &RuleSet,
        columns: &[&str],
        taker: &mut impl Take<Hours>,
    ) -> io::Result<(Findings, Tally)> {
        let memory = self.memory_of_clients();
        // A scan for each thread that is at work; which object goes into which makes no
        // difference.
        let scans = Mutex::new(Vec::new());
        let mut reports = Vec::new();
        for batch in std::iter::once(self.access_logs()).chain(self.waf_logs()) {
            let twins = self.twins(&batch);
            let work = |index: usize, chunks: Chunks<'_, Hours>| {
                let object = batch.object(index).expect("in_order counts to the batch's length");
                let idle = scans.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let mut scan = idle.unwrap_or_else(|| Scan::new(rules));
                scan.limit_memory(memory / self.threads);
                let stopped = chunks.stopped();
                let (hours, bytes) = (Hours::new(), 0);
                let gathered = &mut scan;
                let mut sink = Export { chunks, hours, bytes, scan: gathered, rules, columns };
                let mut once = without(&mut sink, twins.get(&object.number));
                let report = self.read(&object, stopped, &mut once);
                let duplicates = once.finish().1.len() as u64;
                sink.hand_over();
                report.tell(object.input, duplicates, |seen| scan.object(seen));
                scans.lock().unwrap_or_else(PoisonError::into_inner).push(scan);
                report
            };
            let count = batch.inputs.len();
            reports.extend(in_order(count, self.threads, WAITING_BATCHES, taker, work)?);
        }
        let mut whole = Scan::new(rules);
        whole.limit_memory(memory);
        for scan in scans.into_inner().unwrap_or_else(PoisonError::into_inner) {
            whole.merge(scan);
        }
        Ok((decided(whole, None, Purpose::Show), self.tally(reports)))
    }

    /// The records of each object, by its place among all, that are twins of earlier ones.
    pub(super) fn twins(&self, batch: &Batch<'_>) -> BTreeMap<usize, Vec<usize>> {
        // As in a scan: a record is looked up once in a join, so it cannot be read again.
        if !self.once || !matches!(batch.role, Role::Alone) {
            return BTreeMap::new();
        }
        let unseen = Progress::new(&[], false);
        let first = Reading { progress: &unseen, quarantine: None, ..*self };
        let once = Duplicates::new(self.workers(batch), self.memory, []);
        let work = |object: &Object<'_>, twins: &mut BTreeMap<usize, Vec<usize>>| {
            let _reading = once.reading();
            let mut identities = Identities::default();
            if object.input.opens_again() {
                let mut nobody = Nobody;
                let mut gathered = Once::new(&mut nobody, once.most(), LeftOut::Known(&[]));
                let report = first.read(object, &AtomicBool::new(false), &mut gathered);
                if report.incomplete().is_none() {
                    identities = gathered.finish().0;
                }
            }
            for due in once.finish(object.number - batch.first, (), 0, identities) {
                if !due.twins.is_empty() {
                    twins.insert(batch.first + due.number, due.twins);
                }
            }
        };
        first.on_workers(batch, BTreeMap::new, work, BTreeMap::extend)
    }
}

/// What takes in an object's records but for those at these places.
pub(super) fn without<'s, 'l, S: Sink>(
    sink: &'s mut S,
    twins: Option<&'l Vec<usize>>,
) -> Once<'s, 'l, S> {
    let left_out = twins.map_or(&[][..], Vec::as_slice);
    let most = if left_out.is_empty() { 0 } else { usize::MAX };
    Once::new(sink, most, LeftOut::Known(left_out))
}

/// Takes in what nobody wants.
struct Nobody;

impl Sink for Nobody {
    fn request(&mut self, _: &Request<'_>) {}

    fn reject(&mut self, _: &Reject<'_>) {}
}

/// Looks for offenders and hands requests over.
struct Export<'s, 'rules, 'w> {
    chunks: Chunks<'w, Hours>,
    hours: Hours,
    bytes: usize,
    scan: &'s mut Scan<'rules>,
    rules: &'rules RuleSet,
    columns: &'s [&'s str],
}

impl Export<'_, '_, '_> {
    fn hand_over(&mut self) {
        self.bytes = 0;
        self.chunks.hand_over(std::mem::take(&mut self.hours));
    }
}

impl Sink for Export<'_, '_, '_> {
    fn request(&mut self, request: &Request<'_>) {
        let verdict = self.scan.observe(request);
        let hour = request.time.map(|time| time.epoch_ms().div_euclid(HOUR_MS));
        let columns = self.columns;
        let table = self.hours.entry(hour).or_insert_with(|| Table::of(&REQUESTS, columns));
        let before = table.bytes();
        push_request(table, request, Judged { verdict, rules: self.rules });
        self.bytes += table.bytes() - before;
        if self.bytes >= BATCH_BYTES {
            self.hand_over();
        }
    }

    fn reject(&mut self, reject: &Reject<'_>) {
        self.scan.observe_reject(reject);
    }
}
