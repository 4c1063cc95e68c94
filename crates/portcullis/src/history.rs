//! What runs before this one have read, so that each object counts once.
//!
//! A schedule reads what is new and decides over hours or days. So what a scan gathered
//! is kept, by the hour in which objects were written, together with the objects that it
//! was gathered from: name, version and size. The next run lists the same hours again,
//! because objects come late and several in one second, and reads those that are not
//! kept. Hours that have passed out of sight are dropped whole; the same bound is what
//! leaves objects out of the list, so none is forgotten that would be listed again.
//!
//! An object counts when it was read to its end, and not before: one that ended early is
//! tried again. One that was replaced takes its hour with it, because what it had added
//! cannot be taken out: the hour is read anew. What was kept with other rules or settings
//! is not mixed with what these would find.
//!
//! Firehose delivers at least once, so a record may come again in an object of a later run.
//! The identities of the last [`MOST_IDENTITIES`] records are kept too. An object of which
//! records did not count, because others had told of the same requests, is read anew when
//! any hour is: the others may be in it, and gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use portcullis_detection::{RuleSet, Scan, StateError};
use portcullis_ingest::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::location::Input;

const HOUR_MS: i64 = 3_600_000;

/// Begins the document. The number is the version of its form.
const MAGIC: &str = "portcullis history 2\n";

/// Identities of records that are kept, over all hours: 8 MiB. Twins come seconds to minutes
/// apart, as long as it takes Firehose to try again.
const MOST_IDENTITIES: usize = 1 << 20;

/// What is kept between runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Tells apart what was kept with other rules or settings.
    settings: String,
    /// By hours since 1970.
    hours: BTreeMap<i64, Hour>,
}

/// What was gathered from objects written in one hour.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Hour {
    objects: BTreeMap<String, Version>,
    scan: Vec<u8>,
    /// Of records, in the order in which they were read; see [`crate::duplicates`].
    identities: Vec<u64>,
}

impl Hour {
    /// The scan, and the identities after it.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.scan.clone();
        bytes.extend(self.identities.iter().flat_map(|identity| identity.to_le_bytes()));
        bytes
    }
}

/// An object that was read to its end, and what of it counts.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'i> {
    /// The object.
    pub input: &'i Input,
    /// Identities of its records that count.
    pub identities: &'i [u64],
    /// Whether some of its records did not count, as twins of others.
    pub has_twins: bool,
}

/// Tells an object from another of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    #[serde(rename = "version")]
    tag: String,
    bytes: u64,
    /// Whether some of its records did not count, as twins of others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    has_twins: bool,
}

impl Version {
    fn of(Counted { input, has_twins, .. }: Counted<'_>) -> Self {
        let (tag, bytes) = (input.version.clone(), input.bytes.unwrap_or(0));
        Self { tag, bytes, has_twins }
    }

    fn is_of(&self, input: &Input) -> bool {
        self.tag == input.version && self.bytes == input.bytes.unwrap_or(0)
    }
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

/// What is to be read, so that everything listed counts once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Places in the list of inputs, each with the hour it belongs to, in order.
    pub read: Vec<(usize, i64)>,
    /// Inputs that are kept already.
    pub known: u64,
    /// Inputs written before the hours that are kept.
    pub before: u64,
    /// Hours that are read anew because an object in them was replaced.
    pub anew: BTreeSet<i64>,
    /// Objects of those hours that are no longer there to be read.
    pub lost: u64,
}

impl History {
    /// Nothing is kept yet.
    pub fn new(settings: String) -> Self {
        Self { settings, hours: BTreeMap::new() }
    }

    /// Whether it was kept with these rules and settings.
    pub fn is_of(&self, settings: &str) -> bool {
        self.settings == settings
    }

    /// The first instant of the hours that are kept, when looking back from `now`.
    pub fn begin(now: Timestamp, lookback_ms: i64) -> Timestamp {
        let begin = (now.epoch_ms() - lookback_ms).max(0);
        Timestamp::from_epoch_ms(begin - begin % HOUR_MS).unwrap_or(now)
    }

    /// Drops what was written before `begin`.
    pub fn forget_before(&mut self, begin: Timestamp) {
        let first = begin.epoch_ms() / HOUR_MS;
        self.hours = self.hours.split_off(&first);
    }

    /// What of `inputs` is to be read. Hours that are read anew are empty from here on.
    pub fn work(&mut self, inputs: &[Input], begin: Timestamp) -> Work {
        let mut work = Work::default();
        let mut kept: HashMap<&str, (i64, &Version)> = HashMap::new();
        for (hour, kept_hour) in &self.hours {
            kept.extend(kept_hour.objects.iter().map(|(name, v)| (name.as_str(), (*hour, v))));
        }
        let mut same = Vec::new();
        for (place, input) in inputs.iter().enumerate() {
            let written = input.written.unwrap_or(begin);
            if written < begin {
                work.before += 1;
                continue;
            }
            match kept.get(input.name.as_str()) {
                Some((hour, version)) if version.is_of(input) => {
                    same.push((place, *hour));
                }
                Some((hour, _)) => {
                    work.anew.insert(*hour);
                    work.read.push((place, written.epoch_ms() / HOUR_MS));
                }
                None => work.read.push((place, written.epoch_ms() / HOUR_MS)),
            }
        }
        if !work.anew.is_empty() {
            let with_twins = self
                .hours
                .iter()
                .filter(|(_, kept)| kept.objects.values().any(|version| version.has_twins));
            work.anew.extend(with_twins.map(|(hour, _)| *hour));
        }
        let was_kept = |(place, _): &&(usize, i64)| kept.contains_key(inputs[*place].name.as_str());
        let replaced = work.read.iter().filter(was_kept).count();
        let in_anew: usize = work.anew.iter().map(|hour| self.hours[hour].objects.len()).sum();
        let again: Vec<_> =
            same.iter().filter(|(_, hour)| work.anew.contains(hour)).copied().collect();
        work.known = (same.len() - again.len()) as u64;
        work.lost = in_anew.saturating_sub(replaced + again.len()) as u64;
        work.read.extend(again);
        work.read.sort_unstable();
        for hour in &work.anew {
            self.hours.insert(*hour, Hour::default());
        }
        work
    }

    /// Keeps what was gathered from an hour's objects, all read to their end.
    pub fn keep<'i>(
        &mut self,
        rules: &RuleSet,
        hour: i64,
        objects: impl Iterator<Item = Counted<'i>>,
        scan: Scan<'_>,
    ) -> Result<(), HistoryError> {
        let kept = self.hours.entry(hour).or_default();
        let mut all = scan.into_bytes();
        if !kept.scan.is_empty() {
            let mut whole = Scan::from_bytes(rules, &kept.scan)?;
            whole.merge(Scan::from_bytes(rules, &all)?);
            all = whole.into_bytes();
        }
        kept.scan = all;
        for object in objects {
            kept.identities.extend_from_slice(object.identities);
            kept.objects.insert(object.input.name.clone(), Version::of(object));
        }
        let all: usize = self.hours.values().map(|hour| hour.identities.len()).sum();
        let mut too_many = all.saturating_sub(MOST_IDENTITIES);
        for hour in self.hours.values_mut() {
            let oldest = too_many.min(hour.identities.len());
            hour.identities.drain(..oldest);
            too_many -= oldest;
        }
        Ok(())
    }

    /// Identities of the records that were read last, the oldest first.
    pub fn identities(&self) -> impl Iterator<Item = u64> {
        self.hours.values().flat_map(|hour| hour.identities.iter().copied())
    }

    /// Everything that is kept, in at most so many bytes of memory.
    pub fn scan<'r>(&self, rules: &'r RuleSet, memory: usize) -> Result<Scan<'r>, HistoryError> {
        let mut whole = Scan::new(rules);
        whole.limit_memory(memory);
        for hour in self.hours.values().filter(|hour| !hour.scan.is_empty()) {
            whole.merge(Scan::from_bytes(rules, &hour.scan)?);
        }
        Ok(whole)
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
        let mut bytes = format!("{MAGIC}{index}\n").into_bytes();
        for kept in self.hours.values() {
            bytes.extend_from_slice(&kept.bytes());
        }
        bytes
    }

    /// Reads a document.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HistoryError> {
        let rest = bytes.strip_prefix(MAGIC.as_bytes()).ok_or(HistoryError::Magic)?;
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

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        write!(hex, "{byte:02x}").expect("writing to a string never fails");
    }
    hex
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use portcullis_detection::ObjectSeen;
    use proptest::prelude::*;

    use super::*;

    static RULES: LazyLock<RuleSet> = LazyLock::new(RuleSet::builtin);

    const LOOKBACK_MS: i64 = 25 * HOUR_MS;
    const START_MS: i64 = 490_000 * HOUR_MS;

    /// What may happen to a bucket and to those who read it.
    #[derive(Debug, Clone)]
    enum Event {
        /// An object appears, or takes the place of the one of that name.
        Put {
            name: u8,
        },
        Delete {
            name: u8,
        },
        /// Time passes, in quarters of an hour.
        Wait(u8),
        /// A run, in which these objects end early, and which may be killed before it
        /// saves.
        Run {
            broken: u8,
            killed: bool,
        },
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (0..12_u8).prop_map(|name| Event::Put { name }),
            1 => (0..12_u8).prop_map(|name| Event::Delete { name }),
            2 => (1..40_u8).prop_map(Event::Wait),
            3 => (any::<u8>(), prop::bool::weighted(0.2))
                .prop_map(|(broken, killed)| Event::Run { broken, killed }),
        ]
    }

    /// An object of which the records say which it is: two bits for each.
    fn seen(name: &str, number: u64) -> ObjectSeen<'_> {
        ObjectSeen {
            object: name,
            format: Some("recommended"),
            fields: portcullis_ingest::FieldSet::default(),
            records: 1 << (2 * number),
            text_bytes: 1,
            outside_span: 0,
            duplicates: 0,
            incomplete: None,
        }
    }

    /// How often each object was counted.
    fn counts(history: &History, rules: &RuleSet) -> Vec<u64> {
        let records =
            history.scan(rules, 1 << 30).expect("it can be read").finish().coverage.records;
        (0..31).map(|number| records >> (2 * number) & 3).collect()
    }

    /// One run, as the program does it; gives what it read.
    fn run(
        history: &mut History,
        rules: &RuleSet,
        inputs: &[Input],
        now: Timestamp,
        broken: u8,
    ) -> usize {
        let begin = History::begin(now, LOOKBACK_MS);
        history.forget_before(begin);
        let work = history.work(inputs, begin);
        for (place, hour) in &work.read {
            let input = &inputs[*place];
            if broken >> (place % 8) & 1 == 1 {
                continue;
            }
            let mut scan = Scan::new(rules);
            scan.object(&seen(&input.name, input.version.parse().expect("a number")));
            let counted = Counted { input, identities: &[], has_twins: false };
            history.keep(rules, *hour, std::iter::once(counted), scan).expect("it can be kept");
        }
        work.read.len()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_happens_each_object_counts_once(
            events in prop::collection::vec(event(), 1..40),
        ) {
            let rules = &*RULES;
            let mut stored = History::new("settings".to_owned()).to_bytes();
            let mut bucket: BTreeMap<u8, (u64, Timestamp)> = BTreeMap::new();
            let mut now = Timestamp::from_epoch_ms(START_MS).expect("a time");
            let mut puts = 0;
            let finally = Event::Run { broken: 0, killed: false };
            for event in events.into_iter().chain([finally]) {
                match event {
                    Event::Put { name } if puts < 31 => {
                        bucket.insert(name, (puts, now));
                        puts += 1;
                    }
                    Event::Put { .. } => {}
                    Event::Delete { name } => drop(bucket.remove(&name)),
                    Event::Wait(quarters) => {
                        let later = now.epoch_ms() + i64::from(quarters) * HOUR_MS / 4;
                        now = Timestamp::from_epoch_ms(later).expect("a time");
                    }
                    Event::Run { broken, killed } => {
                        let inputs: Vec<Input> = bucket
                            .iter()
                            .map(|(name, (number, written))| {
                                Input::test(&format!("{name}"), &number.to_string(), *written)
                            })
                            .collect();
                        let mut history = History::from_bytes(&stored).expect("it was written");
                        run(&mut history, rules, &inputs, now, broken);
                        if killed {
                            continue;
                        }
                        stored = history.to_bytes();
                        let begin = History::begin(now, LOOKBACK_MS);
                        let counts = counts(&history, rules);
                        prop_assert!(counts.iter().all(|count| *count <= 1), "{counts:?}");
                        for (place, (_, (number, written))) in bucket.iter().enumerate() {
                            let count = counts[usize::try_from(*number).expect("small")];
                            if *written < begin {
                                prop_assert_eq!(count, 0, "out of sight");
                            } else if broken >> (place % 8) & 1 == 0 {
                                prop_assert_eq!(count, 1, "listed, and read to its end");
                            }
                        }
                        if broken == 0 {
                            let mut again = History::from_bytes(&stored).expect("it was written");
                            prop_assert_eq!(run(&mut again, rules, &inputs, now, 0), 0);
                            prop_assert_eq!(again.to_bytes(), stored.clone());
                        }
                    }
                }
            }
        }

        #[test]
        fn a_document_that_was_altered_is_refused(place in 0..400_usize, bit in 0..8_u8) {
            let rules = &*RULES;
            let mut history = History::new("settings".to_owned());
            let now = Timestamp::from_epoch_ms(START_MS).expect("a time");
            run(&mut history, rules, &[Input::test("a", "1", now)], now, 0);
            let mut bytes = history.to_bytes();
            let place = place % bytes.len();
            bytes[place] ^= 1 << bit;
            // What is altered is refused, or another history: never taken for this one.
            if let Ok(other) = History::from_bytes(&bytes) {
                prop_assert_ne!(other, history);
            }
        }
    }
}
