//! Records that a client seems to have written into, as findings of their own.
//!
//! A client that can close the quotes of its user agent can write any address, time or
//! status behind it. Ingest refuses such a record, so nobody is blamed for it; but that
//! somebody tries is worth knowing, and who is the one thing the record cannot say. So
//! these findings have a place and a reason and no source. What is kept is a count and
//! the first places: the same in whatever order records are seen and scans are merged.

use std::sync::Arc;

use portcullis_ingest::{Reject, RejectReason, UntrustedBuf};

use crate::level::{Confidence, Severity};
use crate::state::{Reader, StateError, Writer};

/// Records kept as evidence, for each reason.
const MOST_EVIDENCE: usize = 3;

/// Bytes of a record that its evidence shows.
const SHOWN_BYTES: usize = 256;

/// Suspected forgeries of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgery {
    /// What is wrong with the records.
    pub reason: RejectReason,
    /// A short name for people.
    pub title: &'static str,
    /// What was seen, what it may mean and what else may cause it, in sentences.
    pub explanation: &'static str,
    /// How bad it would be to believe such a record.
    pub severity: Severity,
    /// How likely somebody meant it.
    pub confidence: Confidence,
    /// How many records.
    pub records: u64,
    /// The first of them by object and offset, at most three; never empty.
    pub evidence: Vec<ForgedRecord>,
    /// The last of them by object and offset.
    pub last: ForgedRecord,
}

/// One record that was refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForgedRecord {
    /// Key or path of the object.
    pub object: Arc<str>,
    /// Byte offset of the record in the object's text.
    pub offset: u64,
    /// How many bytes of the text it spans.
    pub length: u64,
    /// The record as logged, cut to its first 256 bytes.
    pub text: UntrustedBuf,
}

/// Suspected forgeries being gathered, in the order of [`RejectReason::ALL`].
#[derive(Debug, Default)]
pub(crate) struct Forgeries {
    kinds: [Option<Kind>; RejectReason::ALL.len()],
}

#[derive(Debug)]
struct Kind {
    records: u64,
    /// Sorted, at most [`MOST_EVIDENCE`].
    first: Vec<ForgedRecord>,
    last: ForgedRecord,
}

impl Forgeries {
    /// Takes in a record whose reason suggests forgery.
    pub(crate) fn observe(&mut self, reject: &Reject<'_>, object: &Arc<str>) {
        let kind = RejectReason::ALL.iter().position(|reason| *reason == reject.reason);
        let kind = &mut self.kinds[kind.expect("ALL holds every reason")];
        // A client can send millions; only those that are kept are copied.
        if let Some(kind) = kind {
            kind.records += 1;
            let place = (object, reject.origin.offset);
            let between = |low: &ForgedRecord, high: &ForgedRecord| {
                place > (&low.object, low.offset) && place < (&high.object, high.offset)
            };
            if kind.first.len() == MOST_EVIDENCE
                && between(&kind.first[MOST_EVIDENCE - 1], &kind.last)
            {
                return;
            }
        }
        let text = reject.text.bytes();
        let record = ForgedRecord {
            object: Arc::clone(object),
            offset: reject.origin.offset,
            length: reject.length,
            text: text[..text.len().min(SHOWN_BYTES)].to_vec().into(),
        };
        match kind {
            Some(kind) => kind.keep(record),
            None => *kind = Some(Kind { records: 1, first: vec![record.clone()], last: record }),
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (mine, theirs) in self.kinds.iter_mut().zip(other.kinds) {
            match (mine, theirs) {
                (Some(mine), Some(theirs)) => {
                    mine.records += theirs.records;
                    for record in theirs.first {
                        mine.keep(record);
                    }
                    mine.keep(theirs.last);
                }
                (mine @ None, theirs) => *mine = theirs,
                (Some(_), None) => {}
            }
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        for kind in &self.kinds {
            writer.number(kind.as_ref().map_or(0, |kind| kind.records));
            let Some(kind) = kind else { continue };
            writer.length(kind.first.len());
            for record in kind.first.iter().chain([&kind.last]) {
                writer.object(&record.object);
                writer.number(record.offset);
                writer.number(record.length);
                writer.bytes(record.text.as_untrusted().bytes());
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let record = |reader: &mut Reader<'_>| {
            Ok::<_, StateError>(ForgedRecord {
                object: reader.object()?,
                offset: reader.number()?,
                length: reader.number()?,
                text: reader.untrusted()?,
            })
        };
        let mut forgeries = Self::default();
        for kind in &mut forgeries.kinds {
            let records = reader.count()?;
            if records == 0 {
                continue;
            }
            let kept = reader.length()?;
            let first = record(reader)?;
            let mut read = Kind { records, first: vec![first.clone()], last: first };
            for _ in 0..kept {
                read.keep(record(reader)?);
            }
            *kind = Some(read);
        }
        Ok(forgeries)
    }

    pub(crate) fn finish(self) -> Vec<Forgery> {
        let kinds = RejectReason::ALL.into_iter().zip(self.kinds);
        kinds.filter_map(|(reason, kind)| Some(forgery(reason, kind?))).collect()
    }
}

impl Kind {
    /// Keeps the record where it is among the first or the last. One that is kept
    /// already changes nothing.
    fn keep(&mut self, record: ForgedRecord) {
        if record > self.last {
            self.last = record.clone();
        }
        if let Err(place) = self.first.binary_search(&record)
            && place < MOST_EVIDENCE
        {
            self.first.insert(place, record);
            self.first.truncate(MOST_EVIDENCE);
        }
    }
}

fn forgery(reason: RejectReason, kind: Kind) -> Forgery {
    Forgery::of(reason, kind.records, kind.first, kind.last)
}

impl Forgery {
    /// Records that were refused for that reason.
    pub(crate) fn of(
        reason: RejectReason,
        records: u64,
        evidence: Vec<ForgedRecord>,
        last: ForgedRecord,
    ) -> Self {
        let (severity, confidence, title, explanation) = match reason {
            RejectReason::Forged => (
                Severity::High,
                Confidence::Medium,
                "a trusted field written twice",
                "The address, time, status or id stands twice in one record with different values. \
             A client whose text ends its own quotes can add a field so; which of the two the \
             gateway wrote cannot be told. A template that gives two variables one name does \
             the same on every record.",
            ),
            RejectReason::Smuggled => (
                Severity::High,
                Confidence::Medium,
                "a record written inside a value",
                "A value holds the end of its record and the beginning of another, so that two \
             records seem to stand where one does. A client that writes it can make up a \
             request of anybody's. Neither is read.",
            ),
            RejectReason::Shifted => (
                Severity::Medium,
                Confidence::Low,
                "separators written inside a value",
                "The record's fixed text and its outer values are in place, but no way of cutting \
             what stands between gives each field a value of its type. A client that writes \
             the format's own separators shifts the columns so; so does a template that \
             changed while the object was written.",
            ),
            _ => (
                Severity::Medium,
                Confidence::Low,
                "a record with two readings",
                "The record can be cut in more than one way, and the ways disagree in a field. A \
             client that writes the format's own separators causes it, on purpose or because \
             the format does not quote what clients send; a JSON format does.",
            ),
        };
        Self { reason, title, explanation, severity, confidence, records, evidence, last }
    }
}
