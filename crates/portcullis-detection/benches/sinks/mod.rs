//! What the stages of a scan behind decoding do with requests, for those who measure them.

use std::hint::black_box;

use portcullis_detection::{Classifier, Scan};
use portcullis_ingest::{Reject, Request, Sink};

/// Judges requests one by one.
pub(crate) struct Classify<'r>(pub(crate) Classifier<'r>);

impl Sink for Classify<'_> {
    fn request(&mut self, request: &Request<'_>) {
        black_box(self.0.classify(request).score());
    }
    fn reject(&mut self, _: &Reject<'_>) {}
}

/// Gathers requests into sources.
pub(crate) struct Gather<'r>(pub(crate) Scan<'r>);

impl Sink for Gather<'_> {
    fn request(&mut self, request: &Request<'_>) {
        self.0.observe(request);
    }
    fn reject(&mut self, reject: &Reject<'_>) {
        self.0.observe_reject(reject);
    }
}
