//! What a person decided about sources, and the file that carries it to a plan.
//!
//! A plan is what the policy thinks; a ruling is what a reviewer thinks of one source.
//! It outranks the policy's limits and nothing else: an approval never blocks what is
//! protected, what only half an object speaks against, or what another person took
//! out, and only a pardon ends a block, because only entries of ours may be ended.
//!
//! Rulings are kept in a file of their own, because they outlive the plan that they were
//! made on: a plan is stale after an hour, and is made anew with the same decisions.
//! The file is versioned JSON, sorted by source, so that it can be compared and kept in
//! version control. It names nobody unless its writer does.
//!
//! Which outcome a ruling leads to is decided in `plan`; here is what can be said.

use std::collections::BTreeMap;
use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::ipset::Family;
use crate::prefix::{PrefixError, parse_address_or_network};
use crate::term::{DAY_MS, MINUTE_MS};

/// Version of the file's shape.
const SCHEMA_VERSION: u32 = 1;

/// Shortest and longest block that a person may ask for, in seconds: what an entry may
/// take to work everywhere, and the quiet time after which offences are forgotten.
pub(crate) const DURATION_SECONDS: std::ops::RangeInclusive<i64> =
    5 * MINUTE_MS / 1_000..=30 * DAY_MS / 1_000;

/// Most characters of a note or a name.
const MOST_CHARACTERS: usize = 500;

/// What a person decided about one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruled {
    /// Block it, whatever the policy's limits say.
    Approve,
    /// Do not block it.
    Reject,
    /// Do not block it, end its block if it is ours, and forget its offences.
    Pardon,
}

impl Ruled {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Approve, Self::Reject, Self::Pardon];

    /// Its permanent name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Pardon => "pardon",
        }
    }

    /// The decision of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ruled| ruled.name() == name)
    }
}

/// A decision about one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// What was decided; `None` when there is a note only.
    pub ruled: Option<Ruled>,
    /// How long an approved block is to last, in seconds; `None` for the policy's term.
    duration_seconds: Option<i64>,
    note: String,
    by: String,
}

impl Ruling {
    /// A ruling without note, name and duration.
    pub fn new(ruled: Option<Ruled>) -> Self {
        Self { ruled, duration_seconds: None, note: String::new(), by: String::new() }
    }

    /// The same with the length of the block, which only an approval has.
    pub fn lasting(mut self, seconds: Option<i64>) -> Result<Self, RulingError> {
        if let Some(seconds) = seconds {
            if self.ruled != Some(Ruled::Approve) {
                return Err(RulingError::DurationOfNothing);
            }
            if !DURATION_SECONDS.contains(&seconds) {
                return Err(RulingError::Duration(seconds));
            }
        }
        self.duration_seconds = seconds;
        Ok(self)
    }

    /// The same with a note and the name of who decided; both may be empty. They go into
    /// plans and onto terminals, so they are plain text of bounded length.
    pub fn with_words(mut self, note: &str, by: &str) -> Result<Self, RulingError> {
        for (name, text) in [("note", note), ("by", by)] {
            let characters = text.chars().count();
            if characters > MOST_CHARACTERS {
                return Err(RulingError::TooLong { name, characters });
            }
            if text.chars().any(portcullis_ingest::is_unsafe_to_print) {
                return Err(RulingError::NotPlain { name });
            }
        }
        note.trim().clone_into(&mut self.note);
        by.trim().clone_into(&mut self.by);
        Ok(self)
    }

    /// How long an approved block is to last, in seconds.
    pub fn duration_seconds(&self) -> Option<i64> {
        self.duration_seconds
    }

    /// Why, in the reviewer's words; may be empty.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// Who decided; empty unless told.
    pub fn by(&self) -> &str {
        &self.by
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.ruled.is_none() && self.note.is_empty()
    }
}

/// `approved in review by kim: same tool as last week`.
impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.ruled {
            Some(Ruled::Approve) => "approved in review",
            Some(Ruled::Reject) => "rejected in review",
            Some(Ruled::Pardon) => "pardoned in review",
            None => "seen in review",
        })?;
        if !self.by.is_empty() {
            write!(f, " by {}", self.by)?;
        }
        if !self.note.is_empty() {
            write!(f, ": {}", self.note)?;
        }
        Ok(())
    }
}

/// What happens to sources that nobody decided about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undecided {
    /// What the policy says.
    #[default]
    AsPlanned,
    /// Nothing: only what was approved is blocked.
    LeftAlone,
}

/// Decisions about sources, by source.
///
/// Invariant: every source is one IPv4 address or one IPv6 /64; no ruling is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rulings {
    /// What happens to the others.
    pub undecided: Undecided,
    by_source: BTreeMap<IpNet, Ruling>,
}

impl Rulings {
    /// The ruling about a source.
    pub fn of(&self, source: IpNet) -> Option<&Ruling> {
        self.by_source.get(&source)
    }

    /// All rulings, in order of source.
    pub fn iter(&self) -> impl Iterator<Item = (IpNet, &Ruling)> {
        self.by_source.iter().map(|(source, ruling)| (*source, ruling))
    }

    /// Whether nothing was decided, and nothing is left alone for that.
    pub fn is_empty(&self) -> bool {
        self.by_source.is_empty() && self.undecided == Undecided::AsPlanned
    }

    /// Sets the ruling about a source; an empty one takes it away.
    pub fn rule(&mut self, source: IpNet, ruling: Ruling) -> Result<(), RulingError> {
        let source = source.trunc();
        if source.prefix_len() != Family::of(source).source_bits() {
            return Err(RulingError::NotASource(source));
        }
        if ruling.is_empty() {
            self.by_source.remove(&source);
        } else {
            self.by_source.insert(source, ruling);
        }
        Ok(())
    }

    /// The file as a value, for a plan that was made with it.
    pub(crate) fn document(&self) -> serde_json::Value {
        serde_json::to_value(File::of(self)).expect("every field serialises")
    }

    /// The file: indented JSON with a line feed at its end. The same rulings are the same
    /// bytes.
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(&File::of(self)).expect("every field serialises");
        text.push('\n');
        text
    }

    /// Reads the file.
    pub fn from_json(text: &str) -> Result<Self, RulingsError> {
        let json = |error: serde_json::Error| RulingsError::Json(error.to_string());
        let version: Versioned = serde_json::from_str(text).map_err(json)?;
        if version.schema_version != SCHEMA_VERSION {
            return Err(RulingsError::SchemaVersion(version.schema_version));
        }
        let file: File = serde_json::from_str(text).map_err(json)?;
        let mut rulings = Self { undecided: file.undecided, by_source: BTreeMap::new() };
        for (index, line) in file.decisions.iter().enumerate() {
            let number = index + 1;
            let wrong = |why| RulingsError::Line { number, why };
            let (source, ruling) = line.read().map_err(wrong)?;
            if rulings.by_source.contains_key(&source) {
                return Err(wrong(RulingError::Again(source)));
            }
            rulings.rule(source, ruling).map_err(wrong)?;
        }
        Ok(rulings)
    }
}

/// Any version of the file.
#[derive(Deserialize)]
struct Versioned {
    schema_version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema_version: u32,
    #[serde(default)]
    undecided: Undecided,
    decisions: Vec<Line>,
}

impl File {
    fn of(rulings: &Rulings) -> Self {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let line = |(source, ruling): (&IpNet, &Ruling)| Line {
            source: source.to_string(),
            decision: ruling.ruled,
            duration_seconds: ruling.duration_seconds,
            note: text(&ruling.note),
            by: text(&ruling.by),
        };
        Self {
            schema_version: SCHEMA_VERSION,
            undecided: rulings.undecided,
            decisions: rulings.by_source.iter().map(line).collect(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    decision: Option<Ruled>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    duration_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    by: Option<String>,
}

impl Line {
    fn read(&self) -> Result<(IpNet, Ruling), RulingError> {
        let source = parse_source(&self.source)?;
        let words = |text: &Option<String>| text.clone().unwrap_or_default();
        let ruling = Ruling::new(self.decision)
            .lasting(self.duration_seconds)?
            .with_words(&words(&self.note), &words(&self.by))?;
        if ruling.is_empty() { Err(RulingError::Nothing) } else { Ok((source, ruling)) }
    }
}

/// A source as people write it: an IPv6 address stands for its /64, as everywhere.
pub fn parse_source(text: &str) -> Result<IpNet, RulingError> {
    let network = parse_address_or_network(text)?;
    let width = Family::of(network).source_bits();
    if text.contains('/') && network.prefix_len() != width {
        return Err(RulingError::NotASource(network));
    }
    Ok(IpNet::new(network.addr(), width).expect("a width of the family").trunc())
}

/// Why a decision cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulingError {
    /// The source cannot be read.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    /// Not what detection calls a source.
    #[error("`{0}` is not one source: name one IPv4 address or one IPv6 /64")]
    NotASource(IpNet),
    /// Two decisions about one source.
    #[error("`{0}` is decided about twice; keep one of the two")]
    Again(IpNet),
    /// Neither a decision nor a note.
    #[error("it says nothing; give `decision` as `approve`, `reject` or `pardon`, or a `note`")]
    Nothing,
    /// A length of something that is not a block.
    #[error("only an approved block has a duration")]
    DurationOfNothing,
    /// Too short to work everywhere, or too long.
    #[error("a block of {0} s; a person may ask for 300 s (5 minutes) to 2592000 s (30 days)")]
    Duration(i64),
    /// A text that is too long.
    #[error("`{name}` has {characters} characters, limit {MOST_CHARACTERS}")]
    TooLong {
        /// Which one.
        name: &'static str,
        /// How long it is.
        characters: usize,
    },
    /// A text that could act on a terminal.
    #[error("`{name}` holds a control or direction character; write plain text on one line")]
    NotPlain {
        /// Which one.
        name: &'static str,
    },
}

/// Why a decisions file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulingsError {
    /// Not JSON, or not the fields that belong there.
    #[error("{0}")]
    Json(String),
    /// A version that this program does not know.
    #[error("schema_version is {0}, and this program reads {SCHEMA_VERSION}")]
    SchemaVersion(u32),
    /// One decision, counted from 1.
    #[error("decision {number}: {why}")]
    Line {
        /// Which one.
        number: usize,
        /// What is wrong with it.
        #[source]
        why: RulingError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::network;

    fn sample() -> Rulings {
        let mut rulings = Rulings { undecided: Undecided::LeftAlone, ..Rulings::default() };
        let approved = Ruling::new(Some(Ruled::Approve)).lasting(Some(14_400)).expect("4 h");
        let approved = approved.with_words(" same tool as last week ", "kim").expect("plain");
        rulings.rule(network("203.0.113.9/32"), approved).expect("a source");
        let noted = Ruling::new(None).with_words("asked the partner", "").expect("plain");
        rulings.rule(network("2001:db8:0:7::/64"), noted).expect("a source");
        rulings.rule(network("198.51.100.7/32"), Ruling::new(Some(Ruled::Pardon))).expect("one");
        rulings
    }

    #[test]
    fn what_is_written_is_read_back_and_the_same_is_the_same_bytes() {
        let text = sample().to_json();
        assert_eq!(Rulings::from_json(&text), Ok(sample()));
        assert_eq!(text, sample().to_json());
        assert_eq!(
            sample().of(network("203.0.113.9/32")).expect("there").note(),
            "same tool as last week"
        );
    }

    #[test]
    fn an_empty_ruling_takes_the_ruling_away() {
        let mut rulings = sample();
        rulings.rule(network("203.0.113.9/32"), Ruling::new(None)).expect("a source");
        assert_eq!(rulings.of(network("203.0.113.9/32")), None);
        assert_eq!(rulings.iter().count(), 2);
    }

    #[test]
    fn a_source_is_read_as_people_write_it() {
        for (text, source) in [
            ("203.0.113.9", "203.0.113.9/32"),
            ("203.0.113.9/32", "203.0.113.9/32"),
            ("2001:db8::7", "2001:db8::/64"),
            ("2001:db8::/64", "2001:db8::/64"),
        ] {
            assert_eq!(parse_source(text), Ok(network(source)), "{text}");
        }
        for text in ["203.0.113.0/24", "2001:db8::/48", "::ffff:203.0.113.9", "x", "", "../etc"] {
            assert!(parse_source(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_says_where_and_why() {
        #[track_caller]
        fn check(decisions: &str, expected: &str) {
            let text = format!("{{\"schema_version\": 1, \"decisions\": [{decisions}]}}");
            let error = Rulings::from_json(&text).expect_err("refused").to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        let good = r#"{"source": "203.0.113.9", "decision": "approve"}"#;
        check(&format!("{good}, {good}"), "decision 2: `203.0.113.9/32` is decided about twice");
        check(r#"{"source": "203.0.113.9"}"#, "decision 1: it says nothing");
        check(
            r#"{"source": "203.0.113.0/24", "note": "x"}"#,
            "decision 1: `203.0.113.0/24` is not one",
        );
        check(r#"{"source": "x", "note": "x"}"#, "decision 1: `x` is not an address");
        check(r#"{"source": "203.0.113.9", "decision": "allow"}"#, "unknown variant `allow`");
        check(r#"{"source": "203.0.113.9", "ttl": 1}"#, "unknown field `ttl`");
        let lasting = |what: &str, seconds: i64| {
            format!(
                "{{\"source\": \"203.0.113.9\", \"decision\": \"{what}\", \"duration_seconds\": {seconds}}}"
            )
        };
        check(&lasting("approve", 299), "decision 1: a block of 299 s");
        check(&lasting("approve", 2_592_001), "decision 1: a block of 2592001 s");
        check(&lasting("reject", 300), "decision 1: only an approved block");
        check("{\"source\": \"203.0.113.9\", \"note\": \"\\u202e\"}", "decision 1: `note` holds");
        let error = Rulings::from_json(r#"{"schema_version": 7, "x": 1}"#);
        assert_eq!(error, Err(RulingsError::SchemaVersion(7)));
    }
}
