//! What is counted of one source or group, in little memory.
//!
//! A request may count in a dozen series, and most sources of a large log come a few times
//! and never again. So a request is one [`Entry`], which says in which series of a bank it
//! counts, and the panes of a series are made of the entries when somebody asks for them.
//! Requests that count alike in one second share an entry.
//!
//! One client that asks for millions of paths must not fill the memory alone. When there are
//! too many entries, only a part of what is told apart is: see [`super::thinning`]. The others
//! still count as requests. So distinct things may be fewer than there were, never more, and
//! the number that is no longer told apart is given to whoever states it.

use std::sync::Arc;

use super::pane::{Pane, merge_equal};
use super::{Key, RatePlan, thinning};
use crate::rule::RuleSet;
use crate::state::{Reader, StateError, Writer};

/// Entries are put in order when their number has doubled since the last time, and not
/// before this many, so that ordering costs little for each request.
const LEAST_UNSORTED: usize = 64;

/// What counts are kept by: the same for all sources and groups of a scan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room<'s> {
    pub(crate) rates: &'s RatePlan,
    /// Names of objects, as the scan numbers them.
    pub(crate) objects: &'s [Arc<str>],
    /// Entries of one source or group beyond which fewer things are told apart.
    pub(crate) most_entries: usize,
}

/// Requests of one second that count in the same series, and in which nothing differs that
/// these tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Seconds since 1970.
    pub(super) second: i64,
    /// Hash of what the bank tells apart, 0 where no series does; in a bank that sums
    /// bytes, their sum.
    pub(super) key: u64,
    /// Of the requests, the one that stands first: its offset.
    pub(super) offset: u64,
    /// Its object, as the scan numbers them.
    pub(super) object: u32,
    /// Requests.
    pub(super) count: u32,
    /// In which series of the bank they count, as bits.
    pub(super) series: u32,
    pub(super) bank: u16,
    /// Whether the key is a sum.
    pub(super) sums: bool,
    /// Whether AWS WAF may have blocked them, and the log cannot tell.
    pub(super) unclear: bool,
}

impl Entry {
    /// What entries are ordered by, and merged where it is equal.
    const fn rank(&self) -> (u16, i64, u32, bool, u64) {
        (self.bank, self.second, self.series, self.unclear, if self.sums { 0 } else { self.key })
    }

    /// Whether its thing is told apart from others.
    pub(super) const fn tells_apart(&self) -> bool {
        !self.sums && self.key != 0
    }

    /// Whether the two would be one, if nothing were told apart.
    pub(super) fn is_of_one_kind_and_second(&self, other: &Self) -> bool {
        let rank = |entry: &Self| (entry.bank, entry.second, entry.series, entry.unclear);
        rank(self) == rank(other)
    }

    /// What it is in a series with panes of that width.
    pub(super) fn pane(&self, width: i64, tells_apart: bool) -> Pane {
        Pane {
            second: self.second.div_euclid(width) * width,
            key: if tells_apart { self.key } else { 0 },
            unclear: self.unclear,
            object: self.object,
            offset: self.offset,
            count: self.count,
            bytes: if self.sums { self.key } else { 0 },
        }
    }

    /// The same entry for a scan that numbers objects otherwise; `renumbered` has its number
    /// of each that is known to both.
    pub(crate) fn renumbered(self, renumbered: &[u32]) -> Self {
        let object = renumbered.get(self.object as usize).copied().unwrap_or(self.object);
        Self { object, ..self }
    }

    /// Adds an entry of the same rank.
    fn absorb(&mut self, other: &Self, objects: &[Arc<str>]) {
        self.count = self.count.saturating_add(other.count);
        if self.sums {
            self.key = self.key.saturating_add(other.key);
        }
        let place = |entry: &Self| (objects.get(entry.object as usize), entry.offset);
        if place(other) < place(self) {
            self.object = other.object;
            self.offset = other.offset;
        }
    }
}

/// By how much counts changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Growth {
    pub(crate) bytes: usize,
    /// Entries whose things are no longer told apart.
    pub(crate) folded: u64,
}

impl std::ops::AddAssign for Growth {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.folded += other.folded;
    }
}

/// Everything counted of one source or group.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    entries: Vec<Entry>,
    /// How many entries are in order, from the first.
    sorted: u32,
}

impl Counts {
    /// Adds one.
    pub(crate) fn add(&mut self, entry: Entry, room: Room<'_>) -> Growth {
        let mut growth = Growth::default();
        let before = self.entries.capacity();
        match self.entries.last_mut() {
            Some(last) if last.rank() == entry.rank() => {
                last.absorb(&entry, room.objects);
                return growth;
            }
            Some(_) => {}
            // Most sources of a large scan come once.
            None => self.entries.reserve_exact(1),
        }
        self.entries.push(entry);
        if self.is_worth_ordering() {
            self.order(room.objects);
            growth.folded = self.stay_below(room.most_entries, room);
        }
        let grown = self.entries.capacity().saturating_sub(before);
        Growth { bytes: grown * size_of::<Entry>(), ..growth }
    }

    /// Adds what another scan counted, whose objects are numbered by `renumbered`. Gives the
    /// number of entries whose things are no longer told apart.
    pub(crate) fn merge(&mut self, mut other: Self, renumbered: &[u32], room: Room<'_>) -> u64 {
        other.renumber(renumbered);
        if self.entries.is_empty() {
            *self = other;
            return 0;
        }
        self.entries.append(&mut other.entries);
        if !self.is_worth_ordering() {
            return 0;
        }
        self.order(room.objects);
        self.stay_below(room.most_entries, room)
    }

    /// Numbers the objects as another scan does.
    pub(crate) fn renumber(&mut self, renumbered: &[u32]) {
        for entry in &mut self.entries {
            *entry = entry.renumbered(renumbered);
        }
    }

    /// Something of the entry that the next one is compared with, for whoever wants memory to
    /// bring it.
    pub(crate) fn latest(&self) -> i64 {
        self.entries.last().map_or(0, |entry| entry.second)
    }

    const fn is_worth_ordering(&self) -> bool {
        let doubled = 2 * self.sorted as usize;
        self.entries.len() > if doubled > LEAST_UNSORTED { doubled } else { LEAST_UNSORTED }
    }

    /// Sorts by rank, each once.
    pub(crate) fn order(&mut self, objects: &[Arc<str>]) {
        if self.entries.len() == self.sorted as usize {
            return;
        }
        self.entries.sort_unstable_by_key(Entry::rank);
        self.entries.dedup_by(|next, kept| {
            let same = next.rank() == kept.rank();
            if same {
                kept.absorb(next, objects);
            }
            same
        });
        self.sorted = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
    }

    /// Tells fewer things apart when there are more entries than that. Gives the number of
    /// entries whose things are not told apart any more.
    pub(crate) fn stay_below(&mut self, most: usize, room: Room<'_>) -> u64 {
        if self.entries.len() > most {
            self.order(room.objects);
        }
        if self.entries.len() <= most {
            return 0;
        }
        let mut folded = 0;
        let is_folded = thinning::folded(&self.entries, room.rates, most);
        for (entry, _) in self.entries.iter_mut().zip(is_folded).filter(|(_, folded)| *folded) {
            entry.key = 0;
            folded += 1;
        }
        if folded > 0 {
            self.sorted = 0;
            self.order(room.objects);
            self.entries.shrink_to_fit();
        }
        folded
    }

    /// Requests counted, or somewhat more where they count in several banks.
    pub(crate) fn at_most(&self) -> u64 {
        self.entries.iter().map(|entry| u64::from(entry.count)).sum()
    }

    /// Counted requests by series.
    pub(super) fn totals(&self, plan: &RatePlan) -> Vec<u64> {
        let mut totals = vec![0; plan.series.len()];
        for entry in &self.entries {
            for series in plan.series_of(entry) {
                totals[series] += u64::from(entry.count);
            }
        }
        totals
    }

    /// The panes of a series, in order, each once.
    pub(super) fn panes(&self, plan: &RatePlan, series: usize, objects: &[Arc<str>]) -> Vec<Pane> {
        let planned = &plan.series[series];
        let width = i64::from(planned.counted.pane_seconds);
        let of_series =
            |entry: &&Entry| entry.bank == planned.bank && entry.series & planned.bit != 0;
        let tells_apart = planned.counted.apart.is_some();
        let pane = |entry: &Entry| entry.pane(width, tells_apart);
        let mut panes: Vec<Pane> = self.entries.iter().filter(of_series).map(pane).collect();
        merge_equal(&mut panes, objects);
        panes
    }

    /// Bytes that they take.
    pub(crate) const fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }

    /// Drops everything; gives the requests of the series with the most.
    pub(crate) fn forget(&mut self, plan: &RatePlan) -> u64 {
        let most = self.totals(plan).into_iter().max().unwrap_or(0);
        *self = Self::default();
        most
    }

    /// Writes the panes of each series.
    pub(crate) fn write(&self, writer: &mut Writer, plan: &RatePlan, objects: &[Arc<str>]) {
        let totals = self.totals(plan);
        let counted = || (0..totals.len()).filter(|series| totals[*series] > 0);
        writer.length(counted().count());
        for series in counted() {
            writer.length(series);
            Pane::write_all(&self.panes(plan, series, objects), writer, objects);
        }
    }

    /// Counts whose objects are numbered as in [`Reader::objects`].
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        by: Key,
        rules: &RuleSet,
    ) -> Result<Self, StateError> {
        let plan = rules.rates();
        let mut counts = Self::default();
        let mut next = 0;
        for _ in 0..reader.length()? {
            let series = plan.read_series(reader, by)?;
            if series < next {
                return Err(StateError::Value("the order of series"));
            }
            next = series + 1;
            let planned = &plan.series[series];
            let sums = planned.counted.sums_bytes;
            counts.entries.extend(Pane::read_all(reader)?.into_iter().map(|pane| Entry {
                second: pane.second,
                key: if sums { pane.bytes } else { pane.key },
                offset: pane.offset,
                object: pane.object,
                count: pane.count,
                series: planned.bit,
                bank: planned.bank,
                sums,
                unclear: pane.unclear,
            }));
        }
        Ok(counts)
    }
}
