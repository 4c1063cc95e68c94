//! What is forgotten when the memory that a scan may use is full.
//!
//! Sources and values are chosen by clients, so there may be any number of them. While
//! what is kept fits, everything is exact. When it does not, the *calm* are forgotten: of
//! whom no signature fired, and whose every window holds at most a sixteenth of what its
//! rule asks for. Whoever comes near a threshold, or set off anything, is kept.
//!
//! What is forgotten is counted, and errs on the side of the client: a window may then
//! hold fewer requests than there were, by a number that is stated for each rule, and never
//! more. The requests that a share is of are remembered in a sketch that never gives less
//! than there were.
//!
//! Good requests are another matter, because they let attackers go. In a sketch whoever
//! shares a cell with others has theirs too, and with a memory that is far too small that is
//! hundreds of requests for everybody. So a client gets what its cells hold above what the
//! cells of others hold, of which 95 in 100 set the measure: an attacker gets nothing, and a
//! shared address with thousands of good requests nearly all of them.
//!
//! Which sources are forgotten depends on what came first; so after the limit was reached,
//! and only then, the order of objects and the threads may show in the result. With one
//! thread it is the same each time.

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::rate::{Counts, Key, RatePlan};
use crate::rule::{Measure, Rate, RuleSet};
use crate::state::{Reader, StateError, Writer};

/// Bytes that a scan may use for what it keeps of clients, unless told otherwise.
pub(crate) const DEFAULT_BYTES: usize = 320 << 20;

/// How many times a calm window goes into its rule's threshold.
const CALM_SHARE: u64 = 16;

/// Bytes of the limit for each cell of a sketch's row.
const BYTES_PER_CELL: usize = 384;

/// Rows of a sketch: an estimate is the least of them.
const ROWS: usize = 2;

/// What was forgotten of clients that were calm, because memory was full.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// How often clients and groups were forgotten; one that came back and was forgotten
    /// again counts twice.
    pub times: u64,
    /// Requests of clients of which nothing is kept. They are in no client's numbers, other
    /// than as an estimate in those of clients that came back, which gives nobody what only
    /// others can have sent.
    pub requests: u64,
    /// By rule: how many requests, or different things, fewer than there were any window of
    /// a client may hold.
    pub missing: BTreeMap<Arc<str>, u64>,
    /// By rule: how many different things fewer than there were any window of a client or
    /// group may hold, because it had so many that they are told apart only in part.
    pub not_told_apart: BTreeMap<Arc<str>, u64>,
    /// Sources of whose evidence, but for that of a few rules, only the places are kept and not
    /// what was logged. Known when a scan is finished.
    pub shortened: u64,
    /// Most bytes that what must be kept took, when that was more than the limit; else 0.
    pub over_limit_bytes: u64,
}

impl Forgotten {
    /// Whether the limit was never reached, so that everything is exact.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Notes that so many things are no longer told apart in what is counted by that key.
    pub(crate) fn note_folded(&mut self, rules: &RuleSet, by: Key, folded: u64) {
        if folded == 0 {
            return;
        }
        for rule in rules.rates().tell_apart(by) {
            let id = Arc::clone(rules.rules()[rule].shared_id());
            *self.not_told_apart.entry(id).or_default() += folded;
        }
    }

    /// Adds what another scan forgot.
    pub fn merge(&mut self, other: Self) {
        self.times += other.times;
        self.requests += other.requests;
        self.shortened += other.shortened;
        for (rule, requests) in other.missing {
            *self.missing.entry(rule).or_default() += requests;
        }
        for (rule, things) in other.not_told_apart {
            *self.not_told_apart.entry(rule).or_default() += things;
        }
        self.over_limit_bytes = self.over_limit_bytes.max(other.over_limit_bytes);
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.number(self.times);
        writer.number(self.requests);
        for by_rule in [&self.missing, &self.not_told_apart] {
            writer.length(by_rule.len());
            for (rule, number) in by_rule {
                writer.bytes(rule.as_bytes());
                writer.number(*number);
            }
        }
        writer.number(self.over_limit_bytes);
    }

    pub(crate) fn read(reader: &mut Reader<'_>, rules: &RuleSet) -> Result<Self, StateError> {
        let mut forgotten =
            Self { times: reader.count()?, requests: reader.count()?, ..Self::default() };
        for by_rule in [&mut forgotten.missing, &mut forgotten.not_told_apart] {
            for _ in 0..reader.length()? {
                let rule = rules.rule(reader.text()?).ok_or(StateError::Value("a rule"))?;
                by_rule.insert(Arc::clone(rule.shared_id()), reader.count()?);
            }
        }
        forgotten.over_limit_bytes = reader.count()?;
        Ok(forgotten)
    }
}

/// How many requests the fullest window of each rule by a key holds, where that is more than
/// the rule's number in `known`; `None` when one of them is near its threshold.
pub(crate) fn calm(
    rates: &RatePlan,
    by: Key,
    counts: &Counts,
    objects: &[Arc<str>],
    known: &BTreeMap<usize, u64>,
) -> Option<Vec<(usize, u64)>> {
    let near = |value: u64, least| value.saturating_mul(CALM_SHARE) > least;
    // Nearly all clients asked a few times: no window holds more than all of it.
    let is_little = |rule: usize, rate: &Rate, requests: u64| {
        let far = match rate.measure() {
            Measure::ErrorShare => !near(requests, u64::from(rate.minimum())),
            Measure::Bytes => false,
            _ => !near(requests, rate.threshold()),
        };
        far && known.get(&rule).is_some_and(|most| requests <= *most)
    };
    let mut fullest = Vec::new();
    for window in rates.fullest(by, counts, objects, is_little) {
        let rate = window.rate;
        let is_near = match rate.measure() {
            // A share is asked of a least number of errors.
            Measure::ErrorShare => near(window.requests, u64::from(rate.minimum())),
            Measure::Bytes => near(window.peak(), rate.threshold()),
            // No more different things than requests, and those are counted much sooner.
            Measure::Count
            | Measure::DistinctPaths
            | Measure::DistinctRoutes
            | Measure::DistinctObjects
            | Measure::DistinctAgents => {
                near(window.requests, rate.threshold()) && near(window.peak(), rate.threshold())
            }
        };
        if is_near {
            return None;
        }
        fullest.push((window.rule, window.requests));
    }
    Some(fullest)
}

/// Numbers remembered of what was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// Requests whose panes are gone.
    pub(crate) counted: u64,
    /// Requests of which nothing else is kept.
    pub(crate) requests: u64,
    /// Of those, the good ones.
    pub(crate) good: u64,
}

/// Columns of a cell.
const COUNTED: usize = 0;
const REQUESTS: usize = 1;
const GOOD: usize = 2;

/// What 95 of 100 cells of each row hold no more than, by column: so much is explained by
/// chance. Two cells, one in each row, exceed it for one client in 400, and then by little.
#[derive(Debug, Default)]
pub(crate) struct Noise([[u32; 3]; ROWS]);

/// Remembers numbers by a hash, in bounded space: never less than was added.
///
/// A count-min sketch. Cormode and Muthukrishnan, "An improved data stream summary: the
/// count-min sketch and its applications", Journal of Algorithms 55 (2005).
#[derive(Debug, Default)]
pub(crate) struct Sketch {
    /// Rows one after the other, each of a power of two of cells. Empty until used.
    cells: Vec<[u32; 3]>,
}

impl Sketch {
    pub(crate) fn add(&mut self, limit: usize, key: u64, numbers: Remembered) {
        if self.cells.is_empty() {
            let row = (limit / BYTES_PER_CELL).next_power_of_two().clamp(1 << 8, 1 << 22);
            self.cells = vec![[0; 3]; ROWS * row];
        }
        let columns = [numbers.counted, numbers.requests, numbers.good];
        for place in self.places(key) {
            for (sum, number) in self.cells[place].iter_mut().zip(columns) {
                *sum = sum.saturating_add(u32::try_from(number).unwrap_or(u32::MAX));
            }
        }
    }

    /// What is remembered by that key: of what was counted never less than was added, of
    /// requests and good ones what is above the noise.
    pub(crate) fn estimate(&self, noise: &Noise, key: u64) -> Remembered {
        if self.cells.is_empty() {
            return Remembered::default();
        }
        let places = self.places(key);
        let least = |column: usize, noise: &Noise| {
            let rows = places.iter().zip(&noise.0);
            let above = rows.map(|(place, noise)| {
                self.cells[*place][column] - noise[column].min(self.cells[*place][column])
            });
            u64::from(above.min().unwrap_or_default())
        };
        let requests = least(REQUESTS, noise);
        // More of them were above the noise than all requests together: then all were good.
        let good = least(GOOD, noise).min(requests);
        Remembered { counted: least(COUNTED, &Noise::default()), requests, good }
    }

    /// What a cell holds of clients that have nothing to do with whoever asks.
    pub(crate) fn noise(&self) -> Noise {
        let mut noise = Noise::default();
        if self.cells.is_empty() {
            return noise;
        }
        let row = self.cells.len() / ROWS;
        for (cells, noise) in self.cells.chunks(row).zip(&mut noise.0) {
            for column in [REQUESTS, GOOD] {
                let mut held: Vec<u32> = cells.iter().map(|cell| cell[column]).collect();
                let (_, most, _) = held.select_nth_unstable(row * 95 / 100);
                noise[column] = *most;
            }
        }
        noise
    }

    fn places(&self, key: u64) -> [usize; ROWS] {
        let row = self.cells.len() / ROWS;
        // The lowest bits count, so that a longer row folds onto a shorter one.
        std::array::from_fn(|index| {
            let hash = FixedState::with_seed(index as u64).hash_one(key);
            index * row + (usize::try_from(hash & 0xffff_ffff).unwrap_or(0) & (row - 1))
        })
    }

    pub(crate) fn merge(&mut self, mut other: Self) {
        if other.cells.is_empty() {
            return;
        }
        if self.cells.is_empty() {
            *self = other;
            return;
        }
        while self.cells.len() > other.cells.len() {
            self.fold();
        }
        while other.cells.len() > self.cells.len() {
            other.fold();
        }
        for (mine, theirs) in self.cells.iter_mut().zip(&other.cells) {
            add_cell(mine, theirs);
        }
    }

    /// Halves the rows.
    fn fold(&mut self) {
        let row = self.cells.len() / ROWS;
        let mut folded = Vec::with_capacity(self.cells.len() / 2);
        for cells in self.cells.chunks(row) {
            let (low, high) = cells.split_at(row / 2);
            folded.extend(low.iter().zip(high).map(|(low, high)| {
                let mut sum = *low;
                add_cell(&mut sum, high);
                sum
            }));
        }
        self.cells = folded;
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.number(self.cells.len().checked_ilog2().map_or(0, u64::from));
        let filled = || self.cells.iter().enumerate().filter(|(_, cell)| **cell != [0; 3]);
        writer.length(filled().count());
        for (place, cell) in filled() {
            writer.length(place);
            for number in cell {
                writer.number(u64::from(*number));
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let wrong = StateError::Value("a sketch");
        let cells = match reader.number()? {
            0 => 0,
            bits @ 9..=23 => 1_usize << bits,
            _ => return Err(wrong),
        };
        let mut sketch = Self { cells: vec![[0; 3]; cells] };
        for _ in 0..reader.length()? {
            let place = usize::try_from(reader.number()?).unwrap_or(usize::MAX);
            let cell = sketch.cells.get_mut(place).ok_or(wrong.clone())?;
            for number in cell {
                *number = u32::try_from(reader.number()?).map_err(|_| wrong.clone())?;
            }
        }
        Ok(sketch)
    }
}

fn add_cell(sum: &mut [u32; 3], other: &[u32; 3]) {
    for (mine, theirs) in sum.iter_mut().zip(other) {
        *mine = mine.saturating_add(*theirs);
    }
}

/// The hash that a sketch remembers something by.
pub(crate) fn sketch_key(of: &impl std::hash::Hash) -> u64 {
    FixedState::with_seed(0x736b_6574).hash_one(of)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sketch_never_gives_less_than_was_added_however_it_is_merged(
            added in proptest::collection::vec((0..2_000_u64, 0..50_u64, any::<bool>()), 0..400),
            (small, large) in (0..3_usize, 0..3_usize),
        ) {
            let limits = [100_000, 400_000, 800_000];
            let (mut left, mut right) = (Sketch::default(), Sketch::default());
            let mut truth: BTreeMap<u64, u64> = BTreeMap::new();
            for (key, number, in_left) in &added {
                let numbers = Remembered { counted: *number, requests: 1, good: 0 };
                if *in_left {
                    left.add(limits[small], *key, numbers);
                } else {
                    right.add(limits[large], *key, numbers);
                }
                *truth.entry(*key).or_default() += number;
            }
            left.merge(right);
            for (key, sum) in truth {
                let without_noise = left.estimate(&Noise::default(), key);
                prop_assert!(without_noise.counted >= sum);
                prop_assert!(without_noise.requests >= 1);
                prop_assert_eq!(without_noise.good, 0);
                let estimate = left.estimate(&left.noise(), key);
                prop_assert_eq!(estimate.counted, without_noise.counted);
                prop_assert!(estimate.requests <= without_noise.requests);
            }
        }
    }

    #[test]
    fn what_others_did_well_is_credited_to_nobody_and_what_a_crowd_did_to_the_crowd() {
        let mut sketch = Sketch::default();
        let sent = |good| Remembered { counted: 0, requests: good, good };
        for client in 0..200_000 {
            sketch.add(1 << 16, client, sent(1));
        }
        let crowds = 1_000_000..1_000_010;
        for crowd in crowds.clone() {
            sketch.add(1 << 16, crowd, sent(5_000));
        }
        let noise = sketch.noise();
        let strangers = (2_000_000..2_010_000).map(|key| sketch.estimate(&noise, key));
        let credited: Vec<u64> =
            strangers.map(|estimate| estimate.good).filter(|good| *good > 0).collect();
        assert!(credited.len() < 100, "{credited:?}");
        // Without the noise taken off everybody had some 780.
        assert!(sketch.estimate(&Noise::default(), 2_000_000).good > 600);
        for crowd in crowds {
            let Remembered { good, requests, .. } = sketch.estimate(&noise, crowd);
            assert!((4_800..=5_200).contains(&good) && good <= requests, "{good}");
        }
    }
}
