//! Which things are still told apart of a source or group that had too many.
//!
//! Whoever asks for a million paths must neither fill the memory nor look the calmer for it.
//! So entries are folded, which then count as requests and are told apart no longer, but not
//! those that a rule needs to fire: of every rule, the newest in its fullest window, and in
//! the window that ends with the latest request, because more may follow that. Twice its
//! threshold of different things are enough of each. As long as requests come in the order
//! of time, a window that reaches a threshold is therefore found, whatever came before it.
//! What room is left goes to the newest.
//!
//! Which entries these are depends on the entries alone and not on their order.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use foldhash::fast::FixedState;

use super::counts::Entry;
use super::key::ROUTE_BITS;
use super::pane::Pane;
use super::window::begin_of_fullest;
use super::{PlannedRate, RatePlan};
use crate::rule::{Measure, Rate};

/// Entries of one source or group in which things are told apart at least, before there are
/// too many, 10 MiB. A guess: five different paths a second for half a day.
const FEWEST: usize = 1 << 18;

/// The same at most, however much memory there is.
const MOST: usize = 1 << 20;

/// The part of a scan's memory that one source or group may take before.
const SHARE: usize = 16;

/// So often a rule's threshold of different things is kept of a window.
const TIMES_THRESHOLD: u64 = 2;

/// Of different objects, this is for each route, and so many routes have it.
const ROUTES: u64 = 8;

/// Rules may ask for thresholds that no memory has room for.
const MOST_NEEDED: u64 = 1 << 22;

impl RatePlan {
    /// How many entries of one source or group are too many, in a scan of so much memory.
    pub(crate) fn most_entries(&self, memory: usize) -> usize {
        let share = memory / SHARE / size_of::<Entry>();
        share.clamp(FEWEST, MOST).max(self.needed_entries())
    }

    /// How many entries there must be before there are too many, so that half of them are
    /// enough for two windows of each rule, twice: of all requests, and of those that AWS WAF
    /// did not answer.
    pub(super) fn needed_entries(&self) -> usize {
        let needed = self.telling_apart().map(|planned| of_window(&planned.rate).1);
        let needed = needed.fold(0, u64::saturating_add).saturating_mul(2 * 2 * 2);
        usize::try_from(needed.min(MOST_NEEDED)).unwrap_or(MOST)
    }

    fn telling_apart(&self) -> impl Iterator<Item = &PlannedRate> {
        self.rules.iter().filter(|planned| self.series[planned.counted].counted.apart.is_some())
    }
}

/// Different things that are kept of a rule's window: of each route, and together.
fn of_window(rate: &Rate) -> (u64, u64) {
    let each = rate.threshold().saturating_mul(TIMES_THRESHOLD);
    match rate.measure() {
        Measure::DistinctObjects => (each, each.saturating_mul(ROUTES)),
        _ => (each, each),
    }
}

/// For each entry whether its thing is to be folded, so that little more than half of `most`
/// stay. They must be in order.
pub(super) fn folded(entries: &[Entry], plan: &RatePlan, most: usize) -> Vec<bool> {
    let mut thinning =
        Thinning { entries, stays: vec![false; entries.len()], left: (most / 2) as u64 };
    let seconds = thinning.keep_what_stands_alone();
    let mut rules: Vec<&PlannedRate> = plan.telling_apart().collect();
    // The lower its threshold, the more surely there is room for what it needs.
    rules.sort_by_key(|planned| (planned.rate.threshold(), planned.rule));
    for planned in rules {
        thinning.keep_what_is_needed(plan, planned);
    }
    thinning.left = thinning.left.saturating_sub(seconds);
    thinning.keep_newest();
    thinning.stays.into_iter().map(|stays| !stays).collect()
}

struct Thinning<'e> {
    entries: &'e [Entry],
    stays: Vec<bool>,
    /// How many more may stay.
    left: u64,
}

impl Thinning<'_> {
    /// Keeps what tells nothing apart, and what folding would not make fewer: an entry that
    /// shares its second with none of its kind. Gives the number of seconds, by kind.
    fn keep_what_stands_alone(&mut self) -> u64 {
        let mut first = 0;
        let mut seconds = 0;
        for together in self.entries.chunk_by(Entry::is_of_one_kind_and_second) {
            let alone = together.len() == 1;
            for (stays, entry) in self.stays[first..].iter_mut().zip(together) {
                *stays = alone || !entry.tells_apart();
            }
            first += together.len();
            seconds += 1;
        }
        seconds
    }

    /// Keeps what a rule needs to fire.
    fn keep_what_is_needed(&mut self, plan: &RatePlan, planned: &PlannedRate) {
        let series = &plan.series[planned.counted];
        let rate = &planned.rate;
        let width = i64::from(series.counted.pane_seconds);
        let length = i64::from(rate.panes()) * width;
        let counted = self.entries.iter().enumerate().filter(|(_, entry)| {
            entry.tells_apart() && entry.bank == series.bank && entry.series & series.bit != 0
        });
        let mut counted: Vec<(usize, Pane)> =
            counted.map(|(place, entry)| (place, entry.pane(width, true))).collect();
        // Without what AWS WAF may have answered a rule does more than suggest.
        for clear in [false, true] {
            let before = counted.len();
            counted.retain(|(_, pane)| !(clear && pane.unclear));
            let Some((_, latest)) = counted.last().filter(|_| !clear || counted.len() < before)
            else {
                return;
            };
            let fullest = begin_of_fullest(rate, counted.iter().map(|(_, pane)| pane));
            for begin in [fullest, latest.second - length + 1] {
                let from = counted.partition_point(|(_, pane)| pane.second < begin);
                let until = counted.partition_point(|(_, pane)| pane.second < begin + length);
                self.keep_newest_of(rate, &counted[from..until]);
            }
        }
    }

    /// Keeps of these entries of one window the newest of each thing, as many as are enough.
    fn keep_newest_of(&mut self, rate: &Rate, window: &[(usize, Pane)]) {
        let (most_each, mut most) = of_window(rate);
        let mut known: HashSet<u64, FixedState> = HashSet::default();
        let mut routes: HashMap<u64, u64, FixedState> = HashMap::default();
        for (place, pane) in window.iter().rev() {
            let key = pane.key;
            if most == 0 || self.left == 0 {
                return;
            }
            if !known.insert(key) {
                continue;
            }
            let is_object = rate.measure() == Measure::DistinctObjects;
            let route = if is_object { key >> (64 - ROUTE_BITS) } else { 0 };
            let of_route = routes.entry(route).or_default();
            if *of_route < most_each {
                *of_route += 1;
                most -= 1;
                self.keep(*place);
            }
        }
    }

    /// Keeps the newest of the others, as long as there is room.
    fn keep_newest(&mut self) {
        let mut others: Vec<usize> =
            (0..self.entries.len()).filter(|place| !self.stays[*place]).collect();
        others.sort_by_key(|place| (Reverse(self.entries[*place].second), *place));
        for place in others.into_iter().take(usize::try_from(self.left).unwrap_or(usize::MAX)) {
            self.keep(place);
        }
    }

    fn keep(&mut self, place: usize) {
        if !self.stays[place] {
            self.stays[place] = true;
            self.left -= 1;
        }
    }
}
