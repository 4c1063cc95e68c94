//! The whole flow, from objects to findings or lines, on as many threads as wanted.
//!
//! Objects are the unit of work: each is read by one worker, in which ingest turns its
//! bytes into requests and detection looks at them; only a scan of a large object for which
//! several threads are free is read by all of these, in `parts`. What the workers found is
//! merged at the end, which gives the same whatever the threads (`Scan` promises it); what
//! they print is put in order by [`crate::ordered`]. How one object is read is in `object`,
//! what a scan does with it in `scanning`.

mod export;
mod lines;
mod object;
mod parts;
mod scanning;
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use portcullis_detection::{
    Answer, Calibration, Findings, ObjectSeen, Overview, Question, RuleSet, Scan, Traffic,
};
use portcullis_ingest::{LogFormat, ReadOptions, Sink};

pub use export::Hours;
pub use tally::Tally;

use crate::joining::{Batch, Joining, Object, Role};
use crate::location::Input;
use crate::progress::Progress;
use crate::quarantine::Quarantine;
use crate::span::Span;
use crate::stop::Stop;
use object::Report;
use scanning::Scanned;

/// What to read, and how.
pub struct Reading<'r> {
    /// The objects, in order.
    pub inputs: &'r [Input],
    /// Their format; `None` detects each object's.
    pub format: Option<&'r LogFormat>,
    /// AWS WAF's records of the same requests, if they are to be joined.
    pub joining: Option<&'r Joining>,
    /// What one object may cost, and whom to believe.
    pub options: &'r ReadOptions,
    /// Which requests are looked at.
    pub span: Span,
    /// Where records go that could not be read.
    pub quarantine: Option<&'r Quarantine>,
    /// How many threads read; at least 1.
    pub threads: usize,
    /// Most bytes that the whole program should use.
    pub memory: u64,
    /// What is done so far.
    pub progress: &'r Progress,
    /// When no further object is begun.
    pub stop: &'r Stop,
    /// Whether of a record that was delivered twice one counts.
    pub once: bool,
}

/// What a scan's findings are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'q> {
    /// To answer a question: like to be shown, and more is kept.
    Answer(&'q Question),
    /// To be shown: what was found in half an object is worth seeing.
    Show,
    /// To be blocked on: an object that ends early proves nothing, because what is
    /// missing may change the picture (the good requests of a shared address, say).
    Block,
    /// To be blocked on, and reviewed: as [`Purpose::Block`], with an overview, and an answer
    /// if there is a question.
    Review(Option<&'q Question>),
    /// To be kept for runs to come, by the hour of each object; see [`crate::history`].
    Keep(&'q [i64]),
}

/// What a reviewer is shown.
pub struct Surveyed {
    /// Who attacked, with what all sources did well.
    pub findings: Findings,
    /// What happened beside that.
    pub overview: Overview,
    /// The answer, when there was a question.
    pub answer: Option<Answer>,
    /// What reading came to.
    pub tally: Tally,
}

/// What was gathered from objects to be kept.
pub struct Gathered<'rules> {
    /// From objects that were read to their end, by their hour.
    pub hours: BTreeMap<i64, Scan<'rules>>,
    /// Of the other objects, that they are incomplete, and how.
    pub gaps: Scan<'rules>,
    /// From the other objects, what there was to read of them.
    pub provisional: Option<Scan<'rules>>,
    /// Whether each object was read to its end, in input order. Shorter than the inputs when
    /// reading was stopped: the others were not begun.
    pub complete: Vec<bool>,
    /// Identities of the records that count, by the number of their object.
    pub identities: BTreeMap<usize, Vec<u64>>,
    /// Numbers of the objects with records that are twins of earlier ones.
    pub with_twins: BTreeSet<usize>,
}

impl Purpose<'_> {
    fn scan(self, rules: &RuleSet) -> Scan<'_> {
        match self {
            Self::Answer(question) => Scan::asked(rules, question.clone()),
            Self::Review(None) => Scan::surveying(rules),
            Self::Review(Some(question)) => Scan::surveying(rules).asking(question.clone()),
            Self::Show | Self::Block | Self::Keep(_) => Scan::new(rules),
        }
    }
}

/// What takes in requests on several threads and adds up.
pub trait Gather: Sink + Send {
    /// Takes in what reading one object gave.
    fn object(&mut self, seen: &ObjectSeen<'_>);

    /// Takes in everything another one gathered.
    fn merge(&mut self, other: Self);
}

impl Reading<'_> {
    /// Looks for offenders in all objects.
    pub fn findings(&self, rules: &RuleSet, purpose: Purpose<'_>) -> (Findings, Tally) {
        let (done, tally) = self.scanned(rules, purpose);
        let listed = self.inputs.len() + self.joining.map_or(0, |joining| joining.inputs.len());
        let findings = decided(done.scan, done.provisional, purpose);
        if purpose != Purpose::Block {
            return (findings, tally);
        }
        (findings.with_audit(listed as u64, done.audited), tally)
    }

    /// Gathers from all objects what is to be kept. `known` are the identities of records that
    /// earlier runs read.
    pub fn gathered<'rules>(
        &self,
        rules: &'rules RuleSet,
        hours: &[i64],
        known: impl IntoIterator<Item = u64>,
    ) -> (Gathered<'rules>, Tally) {
        let mut done = self.scan_batch(self.access_logs(), Purpose::Keep(hours), rules, known);
        done.reports.sort_by_key(|(index, _)| *index);
        let complete = done.reports.iter().map(|(_, report)| report.incomplete().is_none());
        let complete = complete.collect();
        let tally = self.tally(done.reports.into_iter().map(|(_, report)| report));
        let Scanned { hours, scan: gaps, provisional, identities, with_twins, .. } = done;
        (Gathered { hours, gaps, provisional, complete, identities, with_twins }, tally)
    }

    /// Looks for offenders to be blocked, and at what else a reviewer wants to see. The
    /// overview is of the objects that were read to their end.
    pub fn survey(&self, rules: &RuleSet, question: Option<&Question>) -> Surveyed {
        let (mut done, tally) = self.scanned(rules, Purpose::Review(question));
        let traffic = traffic(&mut done.scan, done.provisional.as_mut());
        let answer = done.scan.answer();
        let (mut findings, overview) = done.scan.overview();
        if let Some(provisional) = done.provisional {
            findings.add_set_aside(provisional.finish());
        }
        findings.traffic = Some(traffic);
        Surveyed { findings, overview, answer, tally }
    }

    /// Accounts for one source or request.
    pub fn answer(&self, rules: &RuleSet, question: &Question) -> (Answer, Tally) {
        let (mut done, tally) = self.scanned(rules, Purpose::Answer(question));
        (done.scan.answer().expect("the scan was begun with the question"), tally)
    }

    /// Measures honest clients by the rate rules.
    pub fn calibration(&self, rules: &RuleSet) -> (Calibration, Tally) {
        let (done, tally) = self.scanned(rules, Purpose::Show);
        (done.scan.calibration(), tally)
    }

    /// Works the objects of a batch on all threads, each into what it began with, and
    /// merges that.
    fn on_workers<D: Send>(
        &self,
        batch: &Batch<'_>,
        begin: impl Fn() -> D + Sync,
        work: impl Fn(&Object<'_>, &mut D) + Sync,
        merge: impl Fn(&mut D, D),
    ) -> D {
        let next = AtomicUsize::new(0);
        let worker = || {
            let mut done = begin();
            // What is begun is finished, so that the objects read are always the first ones.
            while !self.stop.is_due()
                && let Some(object) = batch.object(next.fetch_add(1, Ordering::Relaxed))
            {
                work(&object, &mut done);
            }
            done
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..self.workers(batch)).map(|_| scope.spawn(worker)).collect();
            let mut done = worker();
            for other in others {
                match other.join() {
                    Ok(other) => merge(&mut done, other),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            done
        })
    }

    /// How many threads a batch is worth.
    fn workers(&self, batch: &Batch<'_>) -> usize {
        self.threads.min(batch.inputs.len()).max(1)
    }

    /// The part of the memory that is for what is known of clients. Of the rest, a sixteenth is
    /// for objects that wait for their turn and another for what tells twins, see
    /// [`crate::duplicates`]; what remains is for the program, the objects being read, and
    /// what the allocator loses between blocks.
    pub fn memory_of_clients(&self) -> usize {
        usize::try_from(self.memory / 16 * 7).unwrap_or(usize::MAX)
    }

    /// The part of that for each of the threads that read.
    pub fn memory_of_worker(&self) -> usize {
        self.memory_of_clients() / self.threads.min(self.inputs.len()).max(1)
    }

    /// Gives all requests to what `begin` gives, once for each worker, and merges that.
    /// Where twins count once they are looked for first, by reading everything.
    pub fn gather<G: Gather>(&self, begin: impl Fn() -> G + Sync) -> (G, Tally) {
        let wanted = AtomicBool::new(false);
        let with_reports = || (begin(), Vec::new());
        let merge = |mine: &mut (G, Vec<_>), mut theirs: (G, Vec<_>)| {
            mine.0.merge(theirs.0);
            mine.1.append(&mut theirs.1);
        };
        let mut done = with_reports();
        for batch in std::iter::once(self.access_logs()).chain(self.waf_logs()) {
            let twins = self.twins(&batch);
            let work =
                |object: &Object<'_>, (gathered, reports): &mut (G, Vec<(usize, Report)>)| {
                    let mut once = export::without(gathered, twins.get(&object.number));
                    let report = self.read(object, &wanted, &mut once);
                    let duplicates = once.finish().1.len() as u64;
                    report.tell(object.input, duplicates, |seen| gathered.object(seen));
                    reports.push((object.number, report));
                };
            merge(&mut done, self.on_workers(&batch, with_reports, work, merge));
        }
        let (gathered, mut reports) = done;
        reports.sort_by_key(|(index, _)| *index);
        (gathered, self.tally(reports.into_iter().map(|(_, report)| report)))
    }

    fn access_logs(&self) -> Batch<'_> {
        let role = self.joining.map_or(Role::Alone, |joining| Role::Access(&joining.table));
        Batch { inputs: self.inputs, first: 0, role }
    }

    /// AWS WAF's records once more, for those that no access log told of. They come
    /// when every access log was read.
    fn waf_logs(&self) -> Option<Batch<'_>> {
        let joining = self.joining?;
        let first = self.inputs.len();
        Some(Batch { inputs: &joining.inputs, first, role: Role::Waf(&joining.table) })
    }

    fn tally(&self, reports: impl IntoIterator<Item = Report>) -> Tally {
        let mut tally = Tally::default();
        let waf = self.joining.map_or(&[][..], |joining| &joining.inputs);
        for (input, report) in self.inputs.iter().chain(waf).zip(reports) {
            tally.add(input, report);
        }
        tally
    }
}

/// Decides about every source. For a block, with what a block would hit.
pub fn decided(
    mut scan: Scan<'_>,
    mut provisional: Option<Scan<'_>>,
    purpose: Purpose<'_>,
) -> Findings {
    let traffic = (purpose == Purpose::Block).then(|| traffic(&mut scan, provisional.as_mut()));
    let mut findings = scan.finish();
    if let Some(provisional) = provisional {
        findings.add_set_aside(provisional.finish());
    }
    findings.traffic = traffic;
    findings
}

/// What all sources did well. A good request is one, wherever its object ends.
fn traffic(scan: &mut Scan<'_>, provisional: Option<&mut Scan<'_>>) -> Traffic {
    let mut traffic = scan.traffic();
    traffic.merge(provisional.map(Scan::traffic).unwrap_or_default());
    traffic
}
