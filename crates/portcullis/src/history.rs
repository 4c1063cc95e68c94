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
//!
//! How it is written down is left to `document`.

mod document;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use portcullis_detection::{RuleSet, Scan};
use portcullis_ingest::Timestamp;
use serde::{Deserialize, Serialize};

use crate::location::Input;
pub use document::HistoryError;

const HOUR_MS: i64 = 3_600_000;

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
}

#[cfg(test)]
mod tests;
