//! Reads and writes the ledger as JSON, and reads the versions of it that came before.
//!
//! A ledger that is read wrongly is worse than none: an entry that is overlooked stays
//! blocked for ever, one that is made up is taken from somebody else. So every field
//! is known, every network canonical, and what does not fit is an error, never a
//! default.
//!
//! Version 1 has no reasons and no history. It is what an operator writes by hand to
//! hand over entries that another tool, which is no longer running, put into the sets:
//!
//! ```json
//! {"schema_version": 1, "target": {"account": "111122223333", "region": "eu-west-1", "scope": "REGIONAL"},
//!  "entries": [{"network": "198.18.0.1/32", "set": "portcullis-v4",
//!               "added": "2025-11-04T09:00:00Z", "expires": "2025-11-04T10:00:00Z"}]}
//! ```

use std::collections::BTreeSet;

use ipnet::IpNet;
use portcullis_ingest::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::ipset::hexadecimal;
use crate::ledger::{Cause, Entry, Ledger};
use crate::target::Target;
use crate::term::rfc3339;

/// Version of the document's shape.
pub(crate) const SCHEMA_VERSION: u32 = 2;

/// Why a text is not a ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Not JSON, or not the fields that belong there.
    #[error("line {line}, column {column}: {message}")]
    Json {
        /// Line, counted from 1.
        line: usize,
        /// Column, counted from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// A version that this program does not know.
    #[error("schema_version is {0}, and this program reads 1 to {SCHEMA_VERSION}; use a newer one")]
    SchemaVersion(u32),
    /// A network that no set could hold.
    #[error("`{0}` has host bits set or is every address")]
    Network(IpNet),
    /// One network is listed twice.
    #[error("`{0}` is listed twice")]
    Twice(IpNet),
}

/// All that is read before the version is known.
#[derive(Deserialize)]
struct Version {
    schema_version: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstVersion {
    #[serde(rename = "schema_version")]
    _schema_version: u32,
    target: Target,
    entries: Vec<FirstEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstEntry {
    network: IpNet,
    set: String,
    #[serde(with = "rfc3339")]
    added: Timestamp,
    #[serde(with = "rfc3339")]
    expires: Timestamp,
    #[serde(default = "one")]
    strikes: u32,
}

const fn one() -> u32 {
    1
}

impl Ledger {
    /// Reads a ledger of any version.
    pub fn from_json(text: &str) -> Result<Self, LedgerError> {
        let version: Version = serde_json::from_str(text).map_err(place)?;
        let ledger = match version.schema_version {
            1 => Self::from_first(serde_json::from_str(text).map_err(place)?, text)?,
            SCHEMA_VERSION => serde_json::from_str(text).map_err(place)?,
            other => return Err(LedgerError::SchemaVersion(other)),
        };
        let intended = ledger
            .intent
            .iter()
            .flat_map(|intent| intent.additions.keys().chain(intent.removals.keys()));
        let mut networks = ledger.entries.keys().chain(intended);
        match networks.find(|network| network.trunc() != **network || network.prefix_len() == 0) {
            Some(network) => Err(LedgerError::Network(*network)),
            None => Ok(ledger),
        }
    }

    /// The ledger as indented JSON with a line feed at its end.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("every field serialises");
        text.push('\n');
        text
    }

    /// The same text always gives the same lineage, so that reading it twice does not
    /// look like two ledgers.
    fn from_first(first: FirstVersion, text: &str) -> Result<Self, LedgerError> {
        let lineage = hexadecimal(&Sha256::digest(text));
        let mut ledger = Self::new(first.target, &lineage);
        let mut seen = BTreeSet::new();
        for FirstEntry { network, set, added, expires, strikes } in first.entries {
            if !seen.insert(network) {
                return Err(LedgerError::Twice(network));
            }
            let cause = Cause {
                score: 0,
                rules: Vec::new(),
                reason: "handed over from another tool".to_owned(),
                evidence: Vec::new(),
                last: None,
            };
            let operation = "handed-over".to_owned();
            let entry = Entry { set, operation, added, renewed: None, expires, strikes, cause };
            ledger.entries.insert(network, entry);
        }
        Ok(ledger)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn place(error: serde_json::Error) -> LedgerError {
    let message = error.to_string();
    // The place stands in fields of its own.
    let end = message.rfind(" at line ").unwrap_or(message.len());
    LedgerError::Json {
        line: error.line(),
        column: error.column(),
        message: message[..end].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Added, Intent, Lease, Override, Past, Removal};
    use crate::testing::{entry, ledger, network, now};

    /// A ledger in which nothing is empty.
    fn full() -> Ledger {
        let mut ledger = ledger();
        let (one, two) = (network("198.18.0.1/32"), network("2001:db8:0:7::/64"));
        ledger.entries.insert(one, entry("op-1"));
        ledger.past.insert(two, Past { strikes: 2, ended: now() });
        let decision = Override { noticed: now(), until: now(), note: "by hand".to_owned() };
        ledger.overrides.insert(two, decision);
        ledger.added.push(Added { time: now(), entries: 1 });
        ledger.lease =
            Some(Lease { who: "tests".to_owned(), operation: "op-2".to_owned(), expires: now() });
        ledger.intent = Some(Intent {
            operation: "op-2".to_owned(),
            who: "tests".to_owned(),
            plan_sha256: Some("00".to_owned()),
            set: "portcullis-v4".to_owned(),
            base_sha256: "11".to_owned(),
            target_sha256: "22".to_owned(),
            additions: [(network("198.18.0.2/32"), entry("op-2"))].into(),
            removals: [(one, Removal::Expired)].into(),
        });
        ledger
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = full().to_json();
        let read = Ledger::from_json(&text).expect("our own text");
        assert_eq!(read, full());
        assert_eq!(read.to_json(), text);
    }

    #[test]
    fn version_one_is_read_and_written_as_the_newest() {
        let text = r#"{"schema_version": 1,
            "target": {"account": "111122223333", "region": "eu-west-1", "scope": "REGIONAL"},
            "entries": [{"network": "198.18.0.1/32", "set": "portcullis-v4",
                         "added": "2025-11-04T09:00:00Z", "expires": "2025-11-04T10:00:00Z"}]}"#;
        let ledger = Ledger::from_json(text).expect("version 1");
        let entry = &ledger.entries()[&network("198.18.0.1/32")];
        assert_eq!((entry.strikes, entry.set.as_str()), (1, "portcullis-v4"));
        assert_eq!(entry.expires.to_string(), "2025-11-04T10:00:00.000Z");
        assert_eq!(ledger, Ledger::from_json(text).expect("the same again"));
        let written = ledger.to_json();
        assert!(written.contains("\"schema_version\": 2"), "{written}");
        assert_eq!(Ledger::from_json(&written), Ok(ledger));
    }

    #[test]
    fn what_is_no_ledger_is_never_taken_for_an_empty_one() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let error = Ledger::from_json(text).expect_err("no ledger").to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        check("", "line 1, column 0: EOF");
        check("{}", "line 1, column 2: missing field `schema_version`");
        check("{\"schema_version\": 3}", "schema_version is 3, and this program reads 1 to 2");
        check("{\"schema_version\": 2}", "line 1, column 21: missing field `target`");
        let text = full().to_json();
        check(&text[..text.len() / 2], "line");
        check(&text.replace("\"past\"", "\"post\""), "line");
        check(&text.replace("198.18.0.1/32", "198.18.0.1/24"), "`198.18.0.1/24` has host bits");
        check(&text.replace("198.18.0.2/32", "0.0.0.0/0"), "`0.0.0.0/0` has host bits");
        check(
            r#"{"schema_version": 1, "target": {"account": "1", "region": "r", "scope": "REGIONAL"},
            "entries": [
              {"network": "198.18.0.1/32", "set": "s", "added": "2025-11-04T09:00:00Z", "expires": "2025-11-04T10:00:00Z"},
              {"network": "198.18.0.1/32", "set": "t", "added": "2025-11-04T09:00:00Z", "expires": "2025-11-04T10:00:00Z"}]}"#,
            "`198.18.0.1/32` is listed twice",
        );
    }
}
