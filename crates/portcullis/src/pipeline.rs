//! The whole flow, from objects to findings or lines, on as many threads as wanted.
//!
//! Objects are the unit of work: each is read by one worker, in which ingest turns its
//! bytes into requests and detection looks at them; only a scan of a large object for which
//! several threads are free is read by all of these, in `parts`. What the workers found is
//! merged at the end, which gives the same whatever the threads (`Scan` promises it); what
//! they print is put in order by [`crate::ordered`].

mod export;
mod parts;
mod scanning;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use portcullis_detection::{
    Answer, Calibration, Findings, ObjectSeen, Overview, Question, RuleSet, Scan, Traffic,
};
use portcullis_ingest::{
    LogFormat, ObjectReport, ReadOptions, Reject, RejectReason, Request, Sink, read_object,
    read_object_ahead,
};

use crate::failure::Failure;
use crate::joining::{Batch, Joined, Joining, Object, Role};
use crate::location::Input;
use crate::ordered::{Lines, Outputs, Stream, write_in_order};
use crate::output::json::Secrets;
use crate::output::{request, verdict};
use crate::progress::Progress;
use crate::quarantine::Quarantine;
use crate::span::{Inside, Span};
use crate::stop::Stop;

/// Bytes of an object, as stored, that are worth several threads.
const LARGE_BYTES: u64 = 1 << 20;

pub use export::Hours;
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

/// What reading all objects came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// Objects that could not be opened.
    pub unreadable: Vec<Failure>,
    /// Objects that ended early, in input order, with what stopped them.
    pub incomplete: Vec<(String, String)>,
    /// Objects whose format nobody recognised.
    pub unrecognised: Vec<String>,
    /// Records that could not be read, in the order of [`RejectReason::ALL`].
    pub rejects: [u64; RejectReason::ALL.len()],
    /// Requests outside the span that was asked for.
    pub outside_span: u64,
    /// What the operator should know or change, one sentence each.
    pub notes: BTreeSet<String>,
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

    /// Writes every request as one line, which `write` appends without its line feed.
    pub fn decode(
        &self,
        out: &mut Outputs<'_>,
        write: &(impl Fn(&mut Vec<u8>, &Request<'_>) + Sync),
        secrets: Secrets,
    ) -> io::Result<Tally> {
        let wants_rejects = out.rejects.is_some();
        self.lines(out, |object, lines| {
            let stopped = lines.stopped();
            self.read(object, stopped, &mut Decode { lines, wants_rejects, write, secrets })
        })
    }

    /// Writes a verdict on every request as one line.
    pub fn classify(&self, rules: &RuleSet, out: &mut Outputs<'_>) -> io::Result<Tally> {
        self.lines(out, |object, lines| {
            let stopped = lines.stopped();
            let classifier = rules.classifier();
            self.read(object, stopped, &mut Classify { lines, rules, classifier })
        })
    }

    fn lines(
        &self,
        out: &mut Outputs<'_>,
        read: impl Fn(&Object<'_>, &mut Lines<'_>) -> Report + Sync,
    ) -> io::Result<Tally> {
        let mut reports = Vec::new();
        for batch in std::iter::once(self.access_logs()).chain(self.waf_logs()) {
            let work = |index: usize, lines: &mut Lines<'_>| {
                let object =
                    batch.object(index).expect("write_in_order counts to the batch's length");
                read(&object, lines)
            };
            reports.extend(write_in_order(batch.inputs.len(), self.threads, out, work)?);
        }
        Ok(self.tally(reports))
    }

    /// Reads one object into `sink`.
    fn read(&self, object: &Object<'_>, stopped: &AtomicBool, sink: &mut impl Sink) -> Report {
        let input = object.input;
        let reader = match input.open() {
            Ok(reader) => reader,
            Err(error) => return Report::Unreadable(error),
        };
        let progress = self.progress;
        let reader = Watched { reader, progress, stopped };
        let mut sink = Counted { sink, progress, requests: 0, rejects: 0 };
        // AWS WAF's records are recognised; the format is the access logs'.
        let format = if matches!(object.role, Role::Waf(_)) { None } else { self.format };
        let mut inside = Inside { span: self.span, sink: &mut sink, outside: 0 };
        let mut joined = Joined { sink: &mut inside, role: object.role };
        let report = match self.quarantine {
            None => self.read_into(input, reader, format, &mut joined),
            Some(quarantine) => {
                let mut kept = quarantine.object(object.number, &mut joined);
                let report = self.read_into(input, reader, format, &mut kept);
                if let Err(error) = kept.finish() {
                    return Report::Unreadable(error);
                }
                report
            }
        };
        let outside = inside.outside;
        sink.tell();
        progress.object();
        Report::Read(report, outside)
    }

    /// Reads one object; where there are more threads than objects, with one for unpacking.
    fn read_into(
        &self,
        input: &Input,
        reader: impl Read + Send,
        format: Option<&LogFormat>,
        sink: &mut impl Sink,
    ) -> ObjectReport {
        let is_large = input.bytes.is_none_or(|bytes| bytes >= LARGE_BYTES);
        let read = if is_large && self.inputs.len() < self.threads {
            read_object_ahead
        } else {
            read_object
        };
        read(&input.name, reader, format, self.options, sink)
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

impl Tally {
    /// Records that could not be read, whatever the reason.
    pub fn rejected(&self) -> u64 {
        self.rejects.iter().sum()
    }

    fn add(&mut self, input: &Input, report: Report) {
        let report = match report {
            Report::Read(report, outside) => {
                self.outside_span += outside;
                report
            }
            Report::Unreadable(error) => {
                self.unreadable.push(Failure::new(format!("read `{}`", input.name), &error));
                return;
            }
        };
        self.notes.extend(report.notes);
        for (sum, count) in self.rejects.iter_mut().zip(report.rejects) {
            *sum += count;
        }
        if let Some(incomplete) = &report.incomplete {
            self.incomplete.push((input.name.clone(), incomplete.to_string()));
        }
        if report.format.is_none() && report.records > 0 {
            self.unrecognised.push(input.name.clone());
        }
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

/// What became of one object.
enum Report {
    /// With how many requests outside the span.
    Read(ObjectReport, u64),
    Unreadable(io::Error),
}

impl Report {
    fn incomplete(&self) -> Option<String> {
        match self {
            Self::Read(report, _) => report.incomplete.as_ref().map(ToString::to_string),
            Self::Unreadable(error) => Some(format!("cannot be opened: {error}")),
        }
    }

    /// Tells what was read of the object.
    fn tell(&self, input: &Input, duplicates: u64, told: impl FnOnce(&ObjectSeen<'_>)) {
        let incomplete = self.incomplete();
        let nothing = ObjectReport::default();
        let (report, outside_span) = match self {
            Self::Read(report, outside) => (report, *outside),
            Self::Unreadable(_) => (&nothing, 0),
        };
        let seen = ObjectSeen::new(&input.name, report, duplicates, incomplete.as_deref());
        told(&ObjectSeen { outside_span, ..seen });
    }
}

/// Prints requests.
struct Decode<'l, 's, W> {
    lines: &'l mut Lines<'s>,
    wants_rejects: bool,
    write: &'l W,
    secrets: Secrets,
}

impl<W: Fn(&mut Vec<u8>, &Request<'_>)> Sink for Decode<'_, '_, W> {
    fn request(&mut self, request: &Request<'_>) {
        self.lines.line(Stream::Results, |out| (self.write)(out, request));
    }

    fn reject(&mut self, reject: &Reject<'_>) {
        if self.wants_rejects {
            self.lines
                .line(Stream::Rejects, |out| request::write_reject(out, reject, self.secrets));
        }
    }
}

/// Prints verdicts.
struct Classify<'l, 's, 'rules> {
    lines: &'l mut Lines<'s>,
    rules: &'rules RuleSet,
    classifier: portcullis_detection::Classifier<'rules>,
}

impl Sink for Classify<'_, '_, '_> {
    fn request(&mut self, request: &Request<'_>) {
        let verdict = self.classifier.classify(request);
        self.lines.line(Stream::Results, |out| {
            verdict::write(out, request, verdict, self.rules);
        });
    }

    fn reject(&mut self, _: &Reject<'_>) {}
}

/// Passes on to another sink and tells the progress now and then.
struct Counted<'s, S> {
    sink: &'s mut S,
    progress: &'s Progress,
    requests: u64,
    rejects: u64,
}

impl<S: Sink> Counted<'_, S> {
    fn tell(&mut self) {
        self.progress.records(self.requests, self.rejects);
        (self.requests, self.rejects) = (0, 0);
    }
}

impl<S: Sink> Sink for Counted<'_, S> {
    fn request(&mut self, request: &Request<'_>) {
        self.requests(std::slice::from_ref(request));
    }

    fn requests(&mut self, requests: &[Request<'_>]) {
        self.sink.requests(requests);
        self.requests += requests.len() as u64;
        // Threads share the counters; touching them for each request would cost more
        // than reading it.
        if self.requests >= 4096 {
            self.tell();
        }
    }

    fn reject(&mut self, reject: &Reject<'_>) {
        self.sink.reject(reject);
        self.rejects += 1;
    }
}

/// Tells the progress what was read, and ends early once nobody wants the output.
struct Watched<'p, R> {
    reader: R,
    progress: &'p Progress,
    stopped: &'p AtomicBool,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stopped.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let bytes = self.reader.read(buffer)?;
        self.progress.bytes(bytes as u64);
        Ok(bytes)
    }
}
