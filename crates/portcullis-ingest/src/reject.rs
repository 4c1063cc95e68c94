//! Records that could not be read.

use crate::{Origin, Untrusted};

/// A span of an object that is no readable record. It is counted, kept with its
/// place, and still scanned as raw text, unless there are too many of them; it is never
/// attributed to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reject<'o> {
    /// Why.
    pub reason: RejectReason,
    /// The raw bytes; of a record over the size limit, its beginning.
    pub text: Untrusted<'o>,
    /// Where it begins.
    pub origin: Origin<'o>,
    /// How many bytes of the object it spans.
    pub length: u64,
    /// Whether it is worth a search for signatures. The first 256 of an object's part are
    /// ([`crate::ReadOptions::part_bytes`]), and so are the others while no more of it were
    /// rejected than read: a text of which hardly anything can be read is not attacked, but of
    /// another format.
    pub is_searched: bool,
}

/// Rejects of a part that are worth a search, however few of its records are read. Such a
/// search costs as much as reading and judging a dozen records.
pub(crate) const MOST_SEARCHED: u64 = 256;

/// Why a record was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    /// The text does not have the format's shape.
    Shape,
    /// The shape fits, but a typed value is not of its type (`status` is no number).
    Value,
    /// The record can be read in two ways that disagree.
    Ambiguous,
    /// A trusted field stands twice, with two values.
    Forged,
    /// The record has the format's fixed text and its first and last values, but what
    /// stands between fits no way of cutting it: a value holds separators.
    Shifted,
    /// A value holds the end of its record and the beginning of another one.
    Smuggled,
    /// Longer than the record limit.
    TooLong,
    /// The object ends inside the record.
    CutOff,
}

impl RejectReason {
    /// Every reason, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Shape,
        Self::Value,
        Self::Ambiguous,
        Self::Forged,
        Self::Shifted,
        Self::Smuggled,
        Self::TooLong,
        Self::CutOff,
    ];

    /// The name in outputs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shape => "shape",
            Self::Value => "value",
            Self::Ambiguous => "ambiguous",
            Self::Forged => "forged",
            Self::Shifted => "shifted",
            Self::Smuggled => "smuggled",
            Self::TooLong => "too-long",
            Self::CutOff => "cut-off",
        }
    }

    /// A sentence fragment for people.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Shape => "does not have the shape of the format",
            Self::Value => "a value is not of its field's type",
            Self::Ambiguous => "can be read in two ways that disagree",
            Self::Forged => "a trusted field stands twice with different values: suspected forgery",
            Self::Shifted => "separators inside a value shift the values: suspected forgery",
            Self::Smuggled => "the seam between two records stands inside one: suspected forgery",
            Self::TooLong => "longer than the record limit",
            Self::CutOff => "the object ends inside it",
        }
    }

    /// Whether a client that writes into the record would leave it so. Faults of the
    /// writer or the delivery leave the other reasons.
    pub const fn suggests_forgery(self) -> bool {
        match self {
            Self::Ambiguous | Self::Forged | Self::Shifted | Self::Smuggled => true,
            Self::Shape | Self::Value | Self::TooLong | Self::CutOff => false,
        }
    }
}
