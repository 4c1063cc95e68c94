//! Reads one object into whatever takes its requests in.
//!
//! What is told of the object, kept of it in quarantine, joined to it or left out of it by
//! its time is the same for every command, so it is done here, once, around the sink.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use portcullis_detection::ObjectSeen;
use portcullis_ingest::{
    LogFormat, ObjectReport, Reject, Request, Sink, read_object, read_object_ahead,
};

use super::Reading;
use crate::joining::{Joined, Object, Role};
use crate::location::Input;
use crate::progress::Progress;
use crate::span::Inside;

/// Bytes of an object, as stored, that are worth several threads.
pub(super) const LARGE_BYTES: u64 = 1 << 20;

impl Reading<'_> {
    /// Reads one object into `sink`.
    pub(super) fn read(
        &self,
        object: &Object<'_>,
        stopped: &AtomicBool,
        sink: &mut impl Sink,
    ) -> Report {
        let input = object.input;
        let reader = match input.open() {
            Ok(reader) => reader,
            Err(error) => return Report::Unreadable(error),
        };
        let progress = self.progress;
        let reader = Watched { reader, progress, stopped };
        let mut sink = Counted::new(sink, progress);
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
}

/// What became of one object.
pub(super) enum Report {
    /// With how many requests outside the span.
    Read(ObjectReport, u64),
    Unreadable(io::Error),
}

impl Report {
    pub(super) fn incomplete(&self) -> Option<String> {
        match self {
            Self::Read(report, _) => report.incomplete.as_ref().map(ToString::to_string),
            Self::Unreadable(error) => Some(format!("cannot be opened: {error}")),
        }
    }

    /// Tells what was read of the object.
    pub(super) fn tell(&self, input: &Input, duplicates: u64, told: impl FnOnce(&ObjectSeen<'_>)) {
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

/// Passes on to another sink and tells the progress now and then.
pub(super) struct Counted<'s, S> {
    sink: &'s mut S,
    progress: &'s Progress,
    requests: u64,
    rejects: u64,
}

impl<'s, S: Sink> Counted<'s, S> {
    pub(super) fn new(sink: &'s mut S, progress: &'s Progress) -> Self {
        Self { sink, progress, requests: 0, rejects: 0 }
    }

    pub(super) fn tell(&mut self) {
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
pub(super) struct Watched<'p, R> {
    pub(super) reader: R,
    pub(super) progress: &'p Progress,
    pub(super) stopped: &'p AtomicBool,
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
