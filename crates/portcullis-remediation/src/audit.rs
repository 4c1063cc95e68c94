//! Keeps the account of every change in a form that shows when it was altered.
//!
//! One change is one line of JSON. Each line carries its number and the SHA-256 of the
//! line before it, and the ledger holds the number and hash of the newest: a line that
//! was edited, dropped, doubled or cut off at the end no longer fits, and
//! `sha256sum` is all that an outsider needs to see it.
//!
//! Lines are made in the same write that changes the ledger and are handed on from
//! there, so that a crash neither loses nor doubles one. Storing them is left to
//! [`crate::LedgerStore`].

use std::fmt;

use ipnet::IpNet;
use portcullis_ingest::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ipset::hexadecimal;
use crate::term::rfc3339;

/// Hash that the first line names as its predecessor's.
const NO_LINE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What happened to one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// It was put into a set.
    Add,
    /// Its block was prolonged.
    Renew,
    /// It was taken out because its time was over.
    Expire,
    /// It was taken out for another reason.
    Remove,
    /// A person had taken it out of the set; it stays out until its cool-off ends.
    Override,
    /// Its strikes were forgiven.
    Pardon,
    /// A brake was released by hand; the line names no network.
    Release,
}

impl Event {
    /// The event's name, as the account has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Renew => "renew",
            Self::Expire => "expire",
            Self::Remove => "remove",
            Self::Override => "override",
            Self::Pardon => "pardon",
            Self::Release => "release",
        }
    }
}

/// One line of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditLine {
    /// Place in the account, counted from 1.
    pub sequence: u64,
    /// When it happened, by the clock of whoever wrote it.
    #[serde(with = "rfc3339")]
    pub time: Timestamp,
    /// The operation that did it.
    pub operation: String,
    /// Who ran the operation.
    pub who: String,
    /// What happened.
    pub event: Event,
    /// The set, if one was concerned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub set: Option<String>,
    /// The network, if one was concerned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub network: Option<IpNet>,
    /// Why, in words.
    pub reason: String,
    /// Hash of the plan that was applied, if it came from one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plan_sha256: Option<String>,
    /// SHA-256, in lower-case hexadecimal, of the line before without its line feed.
    pub previous_sha256: String,
}

impl AuditLine {
    /// The line as it is stored, without a line feed.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("every field serialises")
    }

    /// Reads one line back, without holding it against its neighbours.
    pub fn from_json(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

/// The newest line of an account: how many there are, and the hash of the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditHead {
    /// Lines written so far.
    pub sequence: u64,
    /// SHA-256 of the last line without its line feed, in lower-case hexadecimal.
    pub sha256: String,
}

impl Default for AuditHead {
    /// The head of an account without lines.
    fn default() -> Self {
        Self { sequence: 0, sha256: NO_LINE.to_owned() }
    }
}

/// What a line says, before it has its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) event: Event,
    pub(crate) set: Option<String>,
    pub(crate) network: Option<IpNet>,
    pub(crate) reason: String,
}

/// Who says it, and in which operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speaker<'a> {
    pub(crate) time: Timestamp,
    pub(crate) operation: &'a str,
    pub(crate) who: &'a str,
    pub(crate) plan_sha256: Option<&'a str>,
}

impl AuditHead {
    /// Puts a line at the end of the account.
    pub(crate) fn extend(&mut self, speaker: Speaker<'_>, said: Said) -> AuditLine {
        let line = AuditLine {
            sequence: self.sequence + 1,
            time: speaker.time,
            operation: speaker.operation.to_owned(),
            who: speaker.who.to_owned(),
            event: said.event,
            set: said.set,
            network: said.network,
            reason: said.reason,
            plan_sha256: speaker.plan_sha256.map(str::to_owned),
            previous_sha256: self.sha256.clone(),
        };
        *self = Self { sequence: line.sequence, sha256: sha256(&line.to_json()) };
        line
    }
}

fn sha256(line: &str) -> String {
    hexadecimal(&Sha256::digest(line))
}

/// What is wrong with an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditFault {
    /// The line is not one of ours.
    Unreadable(String),
    /// The line's number does not follow from the one before.
    Sequence {
        /// The number that belongs here.
        expected: u64,
        /// The number that is here.
        found: u64,
    },
    /// The line before is not the one that this line was written after.
    Chain,
    /// The account ends before the line that the ledger knows.
    Short {
        /// Lines that the ledger knows.
        expected: u64,
        /// Lines that are here.
        found: u64,
    },
    /// The last line is not the one that the ledger knows.
    Head,
}

/// An account that does not fit, and the first line that shows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("audit line {line}: {fault}")]
pub struct AuditError {
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong.
    pub fault: AuditFault,
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "not a line of an account: {error}"),
            Self::Sequence { expected, found } => {
                write!(f, "number {found} stands where {expected} belongs")
            }
            Self::Chain => f.write_str("the line before it was altered"),
            Self::Short { expected, found } => {
                write!(f, "the account ends after {found} lines, the ledger knows {expected}")
            }
            Self::Head => f.write_str("the last line is not the one that the ledger knows"),
        }
    }
}

/// Checks a whole account, and that it reaches the line that the ledger knows. Lines
/// after that one are an error too, as the ledger is written first.
pub fn verify(text: &str, head: &AuditHead) -> Result<Vec<AuditLine>, AuditError> {
    let (lines, seen) = verify_lines(text)?;
    let last = seen.sequence;
    if last < head.sequence {
        let fault = AuditFault::Short { expected: head.sequence, found: last };
        return Err(AuditError { line: last, fault });
    }
    if seen != *head {
        return Err(AuditError { line: last, fault: AuditFault::Head });
    }
    Ok(lines)
}

/// Checks that the lines of an account fit each other, whether or not there should be
/// more of them, and says what the head of just these is.
pub(crate) fn verify_lines(text: &str) -> Result<(Vec<AuditLine>, AuditHead), AuditError> {
    let mut lines = Vec::new();
    let mut seen = AuditHead::default();
    for (index, text) in text.lines().enumerate() {
        let place = index as u64 + 1;
        let at = |fault| AuditError { line: place, fault };
        let line: AuditLine = serde_json::from_str(text)
            .map_err(|error| at(AuditFault::Unreadable(error.to_string())))?;
        if line.sequence != place {
            return Err(at(AuditFault::Sequence { expected: place, found: line.sequence }));
        }
        if line.previous_sha256 != seen.sha256 {
            return Err(at(AuditFault::Chain));
        }
        seen = AuditHead { sequence: place, sha256: sha256(text) };
        lines.push(line);
    }
    Ok((lines, seen))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{network, now};

    fn account() -> (String, AuditHead) {
        let mut head = AuditHead::default();
        let mut text = String::new();
        for number in 1..=4 {
            let said = Said {
                event: Event::Add,
                set: Some("portcullis-v4".to_owned()),
                network: Some(network(&format!("198.18.0.{number}/32"))),
                reason: "probe/dotfiles (31 requests)".to_owned(),
            };
            let speaker =
                Speaker { time: now(), operation: "op-1", who: "tests", plan_sha256: None };
            text.push_str(&head.extend(speaker, said).to_json());
            text.push('\n');
        }
        (text, head)
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let (_, head) = account();
        let error = verify(text, &head).expect_err("the account was tampered with");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_whole_account_is_read_back() {
        let (text, head) = account();
        let lines = verify(&text, &head).expect("nobody touched it");
        let networks: Vec<_> = lines.iter().map(|line| line.network).collect();
        let expected = [1, 2, 3, 4].map(|n| Some(network(&format!("198.18.0.{n}/32"))));
        assert_eq!(networks, expected);
        assert_eq!(verify("", &AuditHead::default()), Ok(Vec::new()));
    }

    #[test]
    fn an_edited_line_is_shown_by_the_next() {
        let (text, _) = account();
        check(
            &text.replace("198.18.0.2", "198.18.0.9"),
            "audit line 3: the line before it was altered",
        );
    }

    #[test]
    fn the_last_line_cannot_be_edited_or_cut_off_either() {
        let (text, _) = account();
        check(
            &text.replace("198.18.0.4", "198.18.0.9"),
            "audit line 4: the last line is not the one that the ledger knows",
        );
        let cut: String = text.split_inclusive('\n').take(3).collect();
        check(&cut, "audit line 3: the account ends after 3 lines, the ledger knows 4");
    }

    #[test]
    fn a_line_that_is_missing_or_there_twice_is_named() {
        let (text, _) = account();
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        let missing = [lines[0], lines[2], lines[3]].concat();
        check(&missing, "audit line 2: number 3 stands where 2 belongs");
        let doubled = [lines[0], lines[0], lines[1], lines[2], lines[3]].concat();
        check(&doubled, "audit line 2: number 1 stands where 2 belongs");
    }
}
