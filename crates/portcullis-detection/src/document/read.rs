//! Reading findings that somebody wrote.
//!
//! The version is read before anything else, because of a document of another version
//! nobody knows what its fields mean. What was looked at is read in `coverage`, what was
//! found in `found`, and single values in `value`.

mod coverage;
mod found;
mod value;

use serde::Deserialize;

pub(super) use coverage::{AuditedJson, CoverageJson};
pub(super) use found::{ForgeryJson, OffenderJson, SuspectJson, TrafficJson, read_traffic};
pub(super) use value::wrong;

use super::SCHEMA_VERSION;
use crate::offender::Findings;
use coverage::AuditJson;
use value::all;

/// Why a document was refused.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is no JSON, or of another shape.
    #[error("{0}")]
    Shape(#[from] serde_json::Error),
    /// A version that nobody knows yet.
    #[error("it has schema version {0}, expected {SCHEMA_VERSION}")]
    Version(u64),
    /// Rows that are not of one whole.
    #[error("it has {0} rows of the kind `findings`, expected one")]
    Heads(&'static str),
    /// A value that cannot be.
    #[error("`{value}` is no {what}, in {place}")]
    Value {
        /// The value, safe to print.
        value: String,
        /// What was expected.
        what: &'static str,
        /// Where it stands.
        place: &'static str,
    },
}

type Read<T> = Result<T, DocumentError>;

/// Reads what [`super::write_document`] wrote.
///
/// # Errors
/// When the text is no such document; it says what was expected and where.
pub fn read_document(text: &[u8]) -> Read<Findings> {
    #[derive(Deserialize)]
    struct Versioned {
        schema_version: u64,
    }
    let Versioned { schema_version } = serde_json::from_slice(text)?;
    if schema_version != u64::from(SCHEMA_VERSION) {
        return Err(DocumentError::Version(schema_version));
    }
    serde_json::from_slice::<DocumentJson>(text)?.findings()
}

#[derive(Deserialize)]
struct DocumentJson {
    coverage: CoverageJson,
    offenders: Vec<OffenderJson>,
    watched: Vec<OffenderJson>,
    #[serde(default)]
    suspects: Vec<SuspectJson>,
    #[serde(default)]
    suspected_forgeries: Vec<ForgeryJson>,
    audit: Option<AuditJson>,
    traffic: Option<Vec<TrafficJson>>,
}

impl DocumentJson {
    fn findings(self) -> Read<Findings> {
        let audit = self.audit.map(AuditJson::read);
        Ok(Findings {
            coverage: self.coverage.read()?,
            offenders: all(self.offenders, OffenderJson::read)?,
            watched: all(self.watched, OffenderJson::read)?,
            suspects: all(self.suspects, SuspectJson::read)?,
            forgeries: all(self.suspected_forgeries, ForgeryJson::read)?,
            traffic: self.traffic.map(read_traffic).transpose()?,
            requests_of_sources: audit.as_ref().map_or(0, |audit| audit.requests_of_sources),
            audit,
        })
    }
}
