//! Every request, or a verdict on it, as one line, in the order of the input.

use std::io;

use portcullis_detection::{Classifier, RuleSet};
use portcullis_ingest::{Reject, Request, Sink};

use super::object::Report;
use super::{Reading, Tally};
use crate::joining::Object;
use crate::ordered::{Lines, Outputs, Stream, write_in_order};
use crate::output::json::Secrets;
use crate::output::{request, verdict};

impl Reading<'_> {
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
    classifier: Classifier<'rules>,
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
