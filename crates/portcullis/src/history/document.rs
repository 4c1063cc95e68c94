//! A history as a document: an index of JSON, and behind it what was kept of each hour.
//!
//! What is read is what blocks are decided on, so nothing of it is guessed: its length is
//! held against the index, and each hour against its own hash.

use std::collections::BTreeMap;

use portcullis_detection::StateError;
use portcullis_ingest::Timestamp;
use serde::{Deserialize, Serialize};

use super::{HOUR_MS, History, Hour, Version};
use crate::digest::sha256;

/// Begins the document, of any version of its form.
const NAME: &str = "portcullis history ";

/// The version of its form.
const VERSION: &str = "2\n";

/// Why a document is no history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// It does not begin as one.
    #[error("it is no history of portcullis, or one of another version")]
    Magic,
    /// Its index cannot be read.
    #[error("its index cannot be read")]
    Index(#[source] serde_json::Error),
    /// It ends early, or goes on.
    #[error("it should have {expected} bytes and has {found}")]
    Length {
        /// What the index says.
        expected: usize,
        /// What is there.
        found: usize,
    },
    /// An hour is not what was written.
    #[error("the hour from {0} was altered")]
    Altered(Timestamp),
    /// An hour cannot be taken up.
    #[error("what was kept cannot be read")]
    State(#[from] StateError),
}

/// The part of the document that lists what follows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    settings: String,
    hours: Vec<IndexedHour>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexedHour {
    hour: i64,
    objects: BTreeMap<String, Version>,
    scan_bytes: usize,
    identities: usize,
    /// Of the scan and the identities.
    sha256: String,
}

impl Hour {
    /// The scan, and the identities after it.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.scan.clone();
        bytes.extend(self.identities.iter().flat_map(|identity| identity.to_le_bytes()));
        bytes
    }
}

impl History {
    /// Whether a document was written by a portcullis, of this version or another.
    pub fn is_ours(document: &[u8]) -> bool {
        document.starts_with(NAME.as_bytes())
    }

    /// The document. The same history is the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let hours = self.hours.iter().map(|(hour, kept)| IndexedHour {
            hour: *hour,
            objects: kept.objects.clone(),
            scan_bytes: kept.scan.len(),
            identities: kept.identities.len(),
            sha256: sha256(kept.bytes()),
        });
        let index = Index { settings: self.settings.clone(), hours: hours.collect() };
        let index = serde_json::to_string(&index).expect("texts and numbers are JSON");
        let mut bytes = format!("{NAME}{VERSION}{index}\n").into_bytes();
        for kept in self.hours.values() {
            bytes.extend_from_slice(&kept.bytes());
        }
        bytes
    }

    /// Reads a document.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HistoryError> {
        let rest = bytes.strip_prefix(NAME.as_bytes());
        let rest = rest.and_then(|rest| rest.strip_prefix(VERSION.as_bytes()));
        let rest = rest.ok_or(HistoryError::Magic)?;
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let index: Index = serde_json::from_slice(&rest[..end]).map_err(HistoryError::Index)?;
        let mut scans = rest.get(end + 1..).unwrap_or_default();
        let length = |hour: &IndexedHour| {
            hour.scan_bytes.saturating_add(hour.identities.saturating_mul(size_of::<u64>()))
        };
        let lengths = index.hours.iter().map(length);
        let expected = lengths.fold(0_usize, usize::saturating_add);
        if expected != scans.len() {
            return Err(HistoryError::Length { expected, found: scans.len() });
        }
        let mut hours = BTreeMap::new();
        for indexed in index.hours {
            let (whole, more) = scans.split_at(length(&indexed));
            scans = more;
            if sha256(whole) != indexed.sha256 {
                let begin = Timestamp::from_epoch_ms(indexed.hour.saturating_mul(HOUR_MS));
                return Err(HistoryError::Altered(begin.unwrap_or(Timestamp::MAX)));
            }
            let (scan, identities) = whole.split_at(indexed.scan_bytes);
            let (identities, _) = identities.as_chunks();
            let identities = identities.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
            let (objects, scan) = (indexed.objects, scan.to_vec());
            hours.insert(indexed.hour, Hour { objects, scan, identities });
        }
        Ok(Self { settings: index.settings, hours })
    }
}
