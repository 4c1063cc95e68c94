//! What a scan has gathered, as bytes that travel: to another run, another thread, another
//! machine.
//!
//! A scan drains into one state for each source, one for each group, and one for what is
//! of the scan as a whole. Their bytes are canonical: the same requests give the same
//! bytes, in whatever order they were seen and however often states were merged. States of
//! one key merge by being absorbed, in any order, and what comes out is what one scan of
//! all requests would have found. A state is bound to its format version and to the rules
//! it was made with, and refused by others.
//!
//! Nothing here is secret or proof: whoever can write a state can write any findings.

mod bytes;

use std::fmt;

pub(crate) use bytes::{Reader, Writer};

use crate::coverage::Coverage;
use crate::forgery::Forgeries;
use crate::memory::Sketch;
use crate::rate::{Group, GroupKey, Key, Room};
use crate::rule::RuleSet;
use crate::scan::Scan;
use crate::source::{Source, SourceKey};

/// Version of the bytes. Another one is refused.
const VERSION: u8 = 7;

/// What begins the bytes of a whole scan.
const MAGIC: &[u8] = b"portcullis scan\n";

const SUMMARY: u8 = b's';
const SOURCE_V4: u8 = b'4';
const SOURCE_V6: u8 = b'6';
const GROUP: u8 = b'g';

/// Whose state it is: a source, a group, or the scan as a whole. States of one key are to
/// come together; the bytes say nothing else to whoever moves them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey(Box<[u8]>);

impl StateKey {
    /// The bytes, to be sorted or hashed by.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn of_source(key: SourceKey) -> Self {
        let mut bytes = Vec::with_capacity(9);
        match key {
            SourceKey::V4(bits) => {
                bytes.push(SOURCE_V4);
                bytes.extend_from_slice(&bits.to_be_bytes());
            }
            SourceKey::V6(bits) => {
                bytes.push(SOURCE_V6);
                bytes.extend_from_slice(&bits.to_be_bytes());
            }
        }
        Self(bytes.into())
    }

    fn of_group(key: &GroupKey) -> Self {
        let mut bytes = vec![GROUP, key.by as u8];
        bytes.extend_from_slice(&key.value);
        Self(bytes.into())
    }
}

impl From<Vec<u8>> for StateKey {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

/// Why a state was refused. Nothing of it was taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It ends early, or claims to hold more than it does.
    #[error("the state ends early")]
    Short,
    /// There is more behind its end.
    #[error("{0} bytes follow the state's end")]
    Trailing(usize),
    /// It is of another version, or no state at all.
    #[error("the state has format version {0}, expected {VERSION}")]
    Version(u8),
    /// It was made with other rules.
    #[error("the state was made with other rules ({theirs}, expected {ours}); scan again")]
    OtherRules {
        /// Digest of the rules it was made with.
        theirs: RuleDigest,
        /// Digest of the rules of this scan.
        ours: RuleDigest,
    },
    /// A key that no state has.
    #[error("unknown kind of state")]
    Key,
    /// A value that cannot be.
    #[error("{0} in the state cannot be")]
    Value(&'static str),
}

/// Tells rule sets apart: equal rules, read from any files, give an equal digest. No
/// defence against somebody who looks for another set with the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RuleDigest(pub(crate) u64);

impl fmt::Display for RuleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl RuleDigest {
    /// The digest of rules in order. The hash that states use for what they tell apart is
    /// mixed in, so that machines on which it differs refuse each other.
    pub(crate) fn of<'t>(rules: impl Iterator<Item = (&'t str, &'t str)>) -> Self {
        let begin = Self(0xcbf2_9ce4_8422_2325).with(&crate::rate::hash(0, b"probe").to_le_bytes());
        rules.fold(begin, |digest, (id, text)| digest.with(id.as_bytes()).with(text.as_bytes()))
    }

    /// The digest with some more bytes.
    pub(crate) fn with(self, bytes: &[u8]) -> Self {
        let mix =
            |digest: u64, byte: &u8| (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.iter().chain(&bytes.len().to_le_bytes()).fold(self.0, mix))
    }
}

fn header(rules: &RuleSet) -> Vec<u8> {
    let mut header = vec![VERSION];
    header.extend_from_slice(&rules.digest().0.to_le_bytes());
    header
}

/// What follows the header, when it is ours.
fn behind_header<'b>(bytes: &'b [u8], rules: &RuleSet) -> Result<&'b [u8], StateError> {
    let (version, rest) = bytes.split_first().ok_or(StateError::Short)?;
    if *version != VERSION {
        return Err(StateError::Version(*version));
    }
    let (digest, rest) = rest.split_first_chunk::<8>().ok_or(StateError::Short)?;
    let theirs = RuleDigest(u64::from_le_bytes(*digest));
    let ours = rules.digest();
    if theirs == ours { Ok(rest) } else { Err(StateError::OtherRules { theirs, ours }) }
}

impl<'r> Scan<'r> {
    /// Takes everything gathered out as states, sorted by key, and leaves the scan empty.
    /// What only a question or an overview needs stays.
    pub fn drain(&mut self) -> Vec<(StateKey, Vec<u8>)> {
        self.catch_up();
        let header = header(self.rules);
        let names = std::mem::take(&mut self.objects).names;
        let mut states = Vec::with_capacity(self.sources.len() + self.groups.len() + 1);
        let rates = self.rules.rates();
        for (key, source) in self.sources.drain() {
            let mut writer = Writer::default();
            source.write(&mut writer, rates, &names);
            states.push((StateKey::of_source(key), writer.finish(&header)));
        }
        for (key, group) in self.groups.drain() {
            let mut writer = Writer::default();
            group.write(&mut writer, rates, &names);
            states.push((StateKey::of_group(&key), writer.finish(&header)));
        }
        let mut writer = Writer::default();
        std::mem::take(&mut self.coverage).write(&mut writer);
        std::mem::take(&mut self.forgeries).write(&mut writer);
        std::mem::take(&mut self.sketch).write(&mut writer);
        self.kept_bytes = 0;
        states.push((StateKey(Box::new([SUMMARY])), writer.finish(&header)));
        states.sort_unstable();
        states
    }

    /// Takes in a state that [`Scan::drain`] gave, of this scan or another with the same
    /// rules.
    ///
    /// # Errors
    /// When the bytes are not such a state; nothing of it is taken in then.
    pub fn absorb(&mut self, key: &StateKey, state: &[u8]) -> Result<(), StateError> {
        let mut reader = Reader::new(behind_header(state, self.rules)?)?;
        let reader = &mut reader;
        match &*key.0 {
            [SUMMARY] => {
                let coverage = Coverage::read(reader, self.rules)?;
                let forgeries = Forgeries::read(reader)?;
                let sketch = Sketch::read(reader)?;
                reader.finish()?;
                self.coverage.merge(coverage);
                self.forgeries.merge(forgeries);
                self.sketch.merge(sketch);
            }
            [SOURCE_V4, bits @ ..] => {
                let bits = bits.try_into().map_err(|_| StateError::Key)?;
                self.absorb_source(SourceKey::V4(u32::from_be_bytes(bits)), reader)?;
            }
            [SOURCE_V6, bits @ ..] => {
                let bits = bits.try_into().map_err(|_| StateError::Key)?;
                self.absorb_source(SourceKey::V6(u64::from_be_bytes(bits)), reader)?;
            }
            [GROUP, by, value @ ..] => {
                let by = *Key::ALL.get(usize::from(*by)).ok_or(StateError::Key)?;
                let group = Group::read(reader, by, self.rules)?;
                reader.finish()?;
                let renumbered = self.renumbered(reader.objects());
                let (rates, most_entries) = (self.rules.rates(), self.most_entries);
                let mine = self.groups.entry(GroupKey { by, value: value.into() }).or_default();
                self.kept_bytes += group.bytes();
                let room = Room { rates, objects: &self.objects.names, most_entries };
                let folded = mine.merge(group, &renumbered, room);
                self.note_folded(by, folded);
                self.stay_within_memory();
            }
            _ => return Err(StateError::Key),
        }
        Ok(())
    }

    fn absorb_source(&mut self, key: SourceKey, reader: &mut Reader<'_>) -> Result<(), StateError> {
        let source = Source::read(reader, self.rules)?;
        reader.finish()?;
        let renumbered = self.renumbered(reader.objects());
        let (rates, most_entries) = (self.rules.rates(), self.most_entries);
        let mine = self.sources.entry(key).or_default();
        self.kept_bytes += source.bytes();
        let room = Room { rates, objects: &self.objects.names, most_entries };
        let folded = mine.merge(source, &renumbered, room);
        self.note_folded(Key::Client, folded);
        self.stay_within_memory();
        Ok(())
    }

    /// Everything gathered, as one text of bytes; see [`Scan::drain`].
    pub fn into_bytes(mut self) -> Vec<u8> {
        let mut writer = Writer::default();
        let states = self.drain();
        writer.length(states.len());
        for (key, state) in &states {
            writer.bytes(&key.0);
            writer.bytes(state);
        }
        writer.finish(&[MAGIC, &header(self.rules)].concat())
    }

    /// A scan that has gathered what [`Scan::into_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are not a scan's, or one with other rules.
    pub fn from_bytes(rules: &'r RuleSet, bytes: &[u8]) -> Result<Self, StateError> {
        let states = bytes.strip_prefix(MAGIC).ok_or(StateError::Key)?;
        let mut reader = Reader::new(behind_header(states, rules)?)?;
        let mut scan = Self::new(rules);
        for _ in 0..reader.length()? {
            let key = StateKey(reader.bytes()?.into());
            scan.absorb(&key, reader.bytes()?)?;
        }
        reader.finish()?;
        Ok(scan)
    }
}
