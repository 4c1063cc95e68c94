//! A scan in tasks that know nothing of each other: what an engine for many machines runs.
//!
//! A [`MapTask`] reads objects and gives states by key; whoever runs it brings states of
//! one key together, sorted; a [`ReduceTask`] merges them and decides. Both are a [`Scan`]
//! and nothing else, so what they find is what one process finds, and rules, formats and
//! keys are none of the engine's business.
//!
//! Nothing is ever forgotten here: when a task keeps as much as it may, it hands over what
//! it has. So its memory is bounded by the largest object, not by all of them, and the
//! result is exact where one process would have had to forget. A reduce task holds the
//! sources that fit and decides about them before it takes in the next.
//!
//! Which of two records of one request counts must not depend on who was faster. So that is
//! settled before, by [`identities`] of all objects and [`Twins`] among them.

use std::io::Read;

use portcullis_ingest::{LogFormat, ObjectReport, ReadOptions, Reject, Request, Sink, read_object};

use crate::audit::{Audit, AuditedObject};
use crate::coverage::ObjectSeen;
use crate::document::{Part, json::Secrets, parts};
use crate::identity::{Identities, LeftOut, Once};
use crate::offender::Findings;
use crate::rule::RuleSet;
use crate::scan::Scan;
use crate::state::{StateError, StateKey};

/// What stands before the key of a state of incomplete objects, which are set aside.
const SET_ASIDE: u8 = b'~';

/// The key of an audited object's row.
const AUDITED: u8 = b'o';

/// How objects are read, the same in every task.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Their format; `None` detects each object's.
    pub format: Option<LogFormat>,
    /// What one object may cost, and whom to believe.
    pub options: ReadOptions,
    /// Whether what is read of incomplete objects is set aside, as it is for a plan.
    pub set_aside: bool,
}

impl Sink for Scan<'_> {
    fn request(&mut self, request: &Request<'_>) {
        self.observe(request);
    }

    fn reject(&mut self, reject: &Reject<'_>) {
        self.observe_reject(reject);
    }
}

/// Reads objects into states.
pub struct MapTask<'r> {
    rules: &'r RuleSet,
    reading: &'r Reading,
    whole: Scan<'r>,
    set_aside: Scan<'r>,
    audited: Vec<AuditedObject>,
}

/// A key, and a state or a row of the audit: bytes that are for a [`ReduceTask`].
pub type Row = (Vec<u8>, Vec<u8>);

impl<'r> MapTask<'r> {
    /// Begins with nothing read.
    pub fn new(rules: &'r RuleSet, reading: &'r Reading) -> Self {
        let (whole, set_aside) = (unforgetting(rules), unforgetting(rules));
        Self { rules, reading, whole, set_aside, audited: Vec::new() }
    }

    /// Reads one object, without the records at those places, by [`Identities`]; an error is
    /// that it cannot be opened.
    pub fn object(&mut self, name: &str, input: Result<impl Read, String>, left_out: &[usize]) {
        let mut scan = unforgetting(self.rules);
        // Whoever leaves nothing out need not know who is who.
        let most = if left_out.is_empty() { 0 } else { usize::MAX };
        let mut once = Once::new(&mut scan, most, LeftOut::Known(left_out));
        let (report, unreadable) = match input {
            Ok(input) => {
                let Reading { format, options, .. } = self.reading;
                (read_object(name, input, format.as_ref(), options, &mut once), None)
            }
            Err(error) => (ObjectReport::default(), Some(format!("cannot be opened: {error}"))),
        };
        let duplicates = once.finish().1.len() as u64;
        let incomplete = report.incomplete.as_ref().map(ToString::to_string).or(unreadable);
        let seen = ObjectSeen::new(name, &report, duplicates, incomplete.as_deref());
        let coverage = &scan.coverage;
        self.audited.push(AuditedObject::new(&seen, coverage.requests, coverage.rejected()));
        self.whole.object(&seen);
        if self.reading.set_aside && incomplete.is_some() {
            self.set_aside.merge(scan);
        } else {
            self.whole.merge(scan);
        }
    }

    /// Bytes that are kept.
    pub fn kept_bytes(&self) -> usize {
        self.whole.used_bytes() + self.set_aside.used_bytes()
    }

    /// Takes everything out as rows.
    pub fn drain(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (key, state) in self.whole.drain() {
            rows.push((key.as_bytes().to_vec(), state));
        }
        if self.set_aside.coverage.requests + self.set_aside.coverage.rejected() > 0 {
            for (key, state) in self.set_aside.drain() {
                rows.push(([&[SET_ASIDE], key.as_bytes()].concat(), state));
            }
        }
        for audited in self.audited.drain(..) {
            let key = [&[AUDITED], audited.object.as_bytes()].concat();
            let audit = Audit { objects: vec![audited], ..Audit::default() };
            let findings = Findings { audit: Some(audit), ..Findings::default() };
            let part = parts(&findings, false, Secrets::Hidden).pop();
            rows.push((key, part.expect("an audited object is a part").text.into_bytes()));
        }
        rows
    }
}

/// Merges states and decides.
pub struct ReduceTask<'r> {
    rules: &'r RuleSet,
    whole: Scan<'r>,
    set_aside: Scan<'r>,
    /// The last key, of which more states may come.
    key: Vec<u8>,
    kept_bytes: usize,
    with_traffic: bool,
    done: Vec<Part>,
}

impl<'r> ReduceTask<'r> {
    /// Begins with nothing merged. Sources are decided about whenever that many bytes are
    /// kept.
    pub fn new(rules: &'r RuleSet, with_traffic: bool, kept_bytes: usize) -> Self {
        let (whole, set_aside) = (unforgetting(rules), unforgetting(rules));
        let (key, done) = (Vec::new(), Vec::new());
        Self { rules, whole, set_aside, key, kept_bytes, with_traffic, done }
    }

    /// Takes a row in. Rows must come sorted by key.
    ///
    /// # Errors
    /// When it is no row of a [`MapTask`] with the same rules, or comes out of order.
    pub fn push(&mut self, key: &[u8], state: &[u8]) -> Result<(), StateError> {
        if *key < *self.key {
            return Err(StateError::Value("the order of keys"));
        }
        if *key != *self.key {
            if self.whole.used_bytes() + self.set_aside.used_bytes() > self.kept_bytes {
                self.decide();
            }
            self.key = key.to_vec();
        }
        match key {
            [AUDITED, ..] => {
                let text = String::from_utf8(state.to_vec());
                let text = text.map_err(|_| StateError::Value("an audited object"))?;
                let kind = crate::document::PartKind::Audited;
                self.done.push(Part { kind, set_aside: false, text });
                Ok(())
            }
            [SET_ASIDE, key @ ..] => self.set_aside.absorb(&StateKey::from(key.to_vec()), state),
            _ => self.whole.absorb(&StateKey::from(key.to_vec()), state),
        }
    }

    /// What was decided so far.
    pub fn take(&mut self) -> Vec<Part> {
        std::mem::take(&mut self.done)
    }

    /// Decides about the rest.
    pub fn finish(mut self) -> Vec<Part> {
        self.decide();
        self.done
    }

    fn decide(&mut self) {
        for (scan, set_aside) in [(&mut self.whole, false), (&mut self.set_aside, true)] {
            let mut scan = std::mem::replace(scan, unforgetting(self.rules));
            let traffic = self.with_traffic.then(|| scan.traffic());
            let findings = Findings { traffic, ..scan.finish() };
            self.done.extend(parts(&findings, set_aside, Secrets::Hidden));
        }
    }
}

fn unforgetting(rules: &RuleSet) -> Scan<'_> {
    let mut scan = Scan::new(rules);
    scan.limit_memory(usize::MAX);
    scan
}

/// The identities of an object's records, in their order; none of one that ends early, which
/// may be read to its end another time.
pub fn identities(name: &str, input: impl Read, reading: &Reading) -> Identities {
    let mut nothing = Nothing;
    let mut once = Once::new(&mut nothing, usize::MAX, LeftOut::Known(&[]));
    let report = read_object(name, input, reading.format.as_ref(), &reading.options, &mut once);
    if report.incomplete.is_some() { Identities::default() } else { once.finish().0 }
}

/// Looks at nothing.
struct Nothing;

impl Sink for Nothing {
    fn request(&mut self, _: &Request<'_>) {}

    fn reject(&mut self, _: &Reject<'_>) {}
}

/// Tells the records that are of a request which an earlier record told of. Earlier is what
/// stands before in the listing, or in the object.
#[derive(Debug, Default)]
pub struct Twins {
    last: Option<(u64, u32, u32)>,
}

impl Twins {
    /// Whether a record is a twin, by its identity, the number of its object, and its place.
    /// Records must come sorted.
    ///
    /// # Errors
    /// When they do not.
    pub fn is_twin(&mut self, identity: u64, object: u32, place: u32) -> Result<bool, StateError> {
        let this = (identity, object, place);
        let is_twin = match self.last.replace(this) {
            Some(last) if last >= this => return Err(StateError::Value("the order of records")),
            Some((last, ..)) => last == identity,
            None => false,
        };
        Ok(is_twin)
    }
}
