//! One large object, scanned by all threads that have no object of their own.
//!
//! Each thread scans parts of it into a scan of its own, and these are merged, as those of
//! objects are. Only the places of records that may be twins are put in order, part by part.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use portcullis_detection::{Held, Identities, LeftOut, Once, Scan};
use portcullis_ingest::{Part, read_object_in_parts};

use super::Reading;
use super::object::{Counted, LARGE_BYTES, Report, Watched};
use super::scanning::{Alone, Guess};
use crate::joining::{Object, Role};
use crate::span::Inside;

/// What a thread found in its parts.
struct Mine<'rules> {
    scan: Scan<'rules>,
    outside: u64,
    /// By the number of the part: identities, and the requests that were kept back.
    parts: Vec<(usize, Identities, Vec<Held>)>,
}

impl Reading<'_> {
    /// How many threads scan that object together; 1 where there are enough objects, where
    /// the order of records matters, and where little is gained.
    pub(super) fn threads_for(&self, object: &Object<'_>) -> usize {
        let is_large = object.input.bytes.is_none_or(|bytes| bytes >= LARGE_BYTES);
        let in_any_order = self.quarantine.is_none() && matches!(object.role, Role::Alone);
        if is_large && in_any_order { (self.threads / self.inputs.len().max(1)).max(1) } else { 1 }
    }

    /// Reads one object on so many threads, in so much memory, of which `begin` gives each
    /// thread's scan its share. Requests are kept back whose identity `guess` takes
    /// for an earlier record's.
    pub(super) fn scan_in_parts<'rules>(
        &self,
        object: &Object<'_>,
        (threads, memory): (usize, usize),
        begin: impl Fn(usize) -> Scan<'rules> + Sync,
        most: usize,
        guess: Guess<'_>,
    ) -> Alone<'rules> {
        let input = object.input;
        let reader = match input.open() {
            Ok(reader) => reader,
            Err(error) => return Alone::unreadable(begin(memory), error),
        };
        let (progress, stopped) = (self.progress, AtomicBool::new(false));
        let reader = Watched { reader, progress, stopped: &stopped };
        let gathered = AtomicUsize::new(0);
        let read = |mine: &mut Mine<'rules>, part: Part<'_>| {
            let number = part.number();
            // Parts are begun in their order, so that as many stand before this one, at least.
            let most = if gathered.load(Ordering::Relaxed) < most { most } else { 0 };
            let mut guess = guess;
            let mut once = Once::new(&mut mine.scan, most, LeftOut::Guessed(&mut guess));
            let mut sink = Counted::new(&mut once, progress);
            let mut inside = Inside { span: self.span, sink: &mut sink, outside: 0 };
            part.read(&mut inside);
            mine.outside += inside.outside;
            sink.tell();
            let (identities, _, held) = once.finish();
            gathered.fetch_add(identities.0.len(), Ordering::Relaxed);
            mine.parts.push((number, identities, held));
        };
        let begin = || Mine { scan: begin(memory / threads), outside: 0, parts: Vec::new() };
        let (report, done) = read_object_in_parts(
            &input.name,
            reader,
            self.format,
            self.options,
            threads,
            begin,
            read,
        );
        progress.object();
        let merged = done.into_iter().reduce(|mut mine, mut theirs| {
            mine.scan.limit_memory(memory);
            mine.scan.merge(theirs.scan);
            mine.outside += theirs.outside;
            mine.parts.append(&mut theirs.parts);
            mine
        });
        let Mine { scan, outside, mut parts } = merged.unwrap_or_else(begin);
        parts.sort_unstable_by_key(|(number, ..)| *number);
        let (mut identities, mut held) = (Vec::new(), Vec::new());
        for (_, Identities(of_part), held_of_part) in parts {
            let first = identities.len();
            identities.extend(of_part);
            held.extend(held_of_part.into_iter().map(|one| one.behind(first)));
        }
        identities.truncate(most);
        let report = Report::Read(report, outside);
        Alone { scan, report, identities: Identities(identities), left_out: Vec::new(), held }
    }
}
