//! Findings as one JSON document: what `scan` prints, what a cluster's job writes, and
//! what a plan can be made of.
//!
//! Writing and reading stand side by side because they are one promise: what was written
//! and read again is written as the same bytes. So whoever gathers findings in pieces, on
//! many machines, puts them together by reading, and the whole is what one machine would
//! have printed. Only what JSON cannot carry is lost: secrets, which are redacted before
//! they are written, and what reads as redacted stays so.
//!
//! A document is input like any other. Texts from logs are untrusted again once they are
//! read, numbers and names are held against what they may be, and a version that is not
//! known is refused. Whether the numbers agree with each other is asked in `audit`.

pub mod json;
mod parts;
mod read;
mod write;

pub(crate) use parts::parts;
pub use parts::{Assembly, Part, PartKind, keep_parts};
pub use read::{DocumentError, read_document};
pub use write::{
    background, correlation, coverage, evidence, outcomes, write_document, write_offender,
};

use ipnet::IpNet;

/// Version of the documents' shape. Fields may be added under one version; none is
/// taken away or changes its meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// A source as people write it: an address, or a network when it is more than one.
pub fn source_name(source: IpNet) -> String {
    if source.prefix_len() == source.max_prefix_len() {
        source.addr().to_string()
    } else {
        source.to_string()
    }
}
