//! Counts what one client does over time, exactly and in any order.
//!
//! A burst is a window `[t, t + W)` that holds at least a rule's threshold. Objects arrive
//! late and out of order, threads see parts, so no running window can be kept: each source
//! keeps *panes*, how many counted requests fell into each second, and the windows slide
//! over the panes once everything was seen. Panes merge by addition, which makes the
//! result independent of order and of how the work was split.
//!
//! Windows have a resolution of one second: a request at 12:00:00.900 counts as 12:00:00.
//! Windows begin at a counted request; overlapping ones are one burst.
//!
//! Which requests count is a rule's condition. Requests that AWS WAF blocked never do:
//! else a block would renew itself for as long as the client retries.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use portcullis_ingest::{Request, WafAction};

use crate::rule::{Conditions, Measure, Rate, Rule, RuleKind};

/// API Gateway's response type for a request that AWS WAF blocked.
///
/// Source: API Gateway guide, "Gateway response types".
const WAF_FILTERED: &[u8] = b"WAF_FILTERED";

/// Panes of a source are put in order when their number has doubled since the last time,
/// and not before this many, so that ordering costs little for each request.
const LEAST_UNSORTED: usize = 64;

/// What rate rules count, each kind of counting once.
#[derive(Debug, Default)]
pub(crate) struct RatePlan {
    series: Vec<SeriesPlan>,
    rules: Vec<PlannedRate>,
}

/// Requests that are counted together.
#[derive(Debug, PartialEq, Eq)]
struct SeriesPlan {
    conditions: Conditions,
    by_path: bool,
}

#[derive(Debug)]
struct PlannedRate {
    rule: usize,
    rate: Rate,
    /// The series that is counted.
    counted: usize,
    /// The series of every request, where a share is asked for.
    all: Option<usize>,
}

/// Windows of one rule and one source that reached the threshold, merged where they
/// overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Burst {
    /// Seconds since 1970 of the first counted request.
    pub(crate) first: i64,
    /// Of the last.
    pub(crate) last: i64,
    /// The highest value of a window, in the measure's unit.
    pub(crate) peak: u32,
    /// Counted requests.
    pub(crate) requests: u64,
}

/// The bursts of one rule and source.
#[derive(Debug)]
pub(crate) struct Bursts<'p> {
    pub(crate) rule: usize,
    pub(crate) rate: &'p Rate,
    pub(crate) found: Vec<Burst>,
    /// Places of counted requests, one for each second and path, in time order.
    pub(crate) places: Vec<Pane>,
}

impl RatePlan {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut plan = Self::default();
        for (index, rule) in rules.iter().enumerate() {
            let RuleKind::Rate(rate) = rule.kind() else {
                continue;
            };
            let by_path = rate.measure() == Measure::DistinctPaths;
            let counted =
                plan.series(SeriesPlan { conditions: rate.conditions().clone(), by_path });
            let all = (rate.measure() == Measure::ErrorShare).then(|| {
                plan.series(SeriesPlan { conditions: Conditions::default(), by_path: false })
            });
            plan.rules.push(PlannedRate { rule: index, rate: Rate::clone(rate), counted, all });
        }
        plan
    }

    fn series(&mut self, wanted: SeriesPlan) -> usize {
        if let Some(place) = self.series.iter().position(|series| *series == wanted) {
            return place;
        }
        self.series.push(wanted);
        self.series.len() - 1
    }

    /// The bursts of one source, of each rule that has any.
    pub(crate) fn bursts<'p>(&'p self, rates: &'p SourceRates) -> impl Iterator<Item = Bursts<'p>> {
        self.rules.iter().filter_map(|planned| {
            let counted = rates.panes(planned.counted);
            let all = planned.all.map_or(&[][..], |all| rates.panes(all));
            let (bursts, _) = bursts(&planned.rate, counted, all);
            if bursts.is_empty() {
                return None;
            }
            let inside = |pane: &&Pane| {
                let next = bursts.partition_point(|burst| burst.last < pane.second);
                bursts.get(next).is_some_and(|burst| burst.first <= pane.second)
            };
            let places = counted.iter().filter(inside).take(MOST_PLACES).copied().collect();
            Some(Bursts { rule: planned.rule, rate: &planned.rate, found: bursts, places })
        })
    }
}

/// What one rule measured on one source, fired or not.
#[derive(Debug)]
pub(crate) struct Peak<'p> {
    pub(crate) rule: usize,
    pub(crate) rate: &'p Rate,
    /// The highest value of a window.
    pub(crate) value: u32,
    /// Counted requests.
    pub(crate) requests: u64,
}

impl RatePlan {
    /// What each rule measured on one source.
    pub(crate) fn peaks<'p>(&'p self, rates: &'p SourceRates) -> impl Iterator<Item = Peak<'p>> {
        self.rules.iter().map(|planned| {
            let counted = rates.panes(planned.counted);
            let all = planned.all.map_or(&[][..], |all| rates.panes(all));
            let (_, value) = bursts(&planned.rate, counted, all);
            let requests = counted.iter().map(|pane| u64::from(pane.count)).sum();
            Peak { rule: planned.rule, rate: &planned.rate, value, requests }
        })
    }
}

/// Places looked at to choose evidence from; panes of one second are not in order of
/// place.
const MOST_PLACES: usize = 1_000;

/// How many counted requests of one source fell into one second, or of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pane {
    /// Seconds since 1970.
    pub(crate) second: i64,
    /// Hash of the path, where paths are told apart; else 0.
    key: u64,
    /// Of the requests, the one that stands first: its offset.
    pub(crate) offset: u64,
    /// Its object, as the scan numbers them.
    pub(crate) object: u32,
    count: u32,
}

impl Pane {
    /// Adds a pane of the same second and key.
    fn absorb(&mut self, other: &Self, objects: &[Arc<str>]) {
        self.count = self.count.saturating_add(other.count);
        let place = |pane: &Self| (objects.get(pane.object as usize), pane.offset);
        if place(other) < place(self) {
            self.object = other.object;
            self.offset = other.offset;
        }
    }
}

/// Panes of one series, in order up to a point.
#[derive(Debug, Default)]
struct Panes {
    entries: Vec<Pane>,
    sorted: usize,
}

impl Panes {
    fn add(&mut self, pane: Pane, objects: &[Arc<str>]) {
        match self.entries.last_mut() {
            Some(last) if (last.second, last.key) == (pane.second, pane.key) => {
                last.absorb(&pane, objects);
            }
            Some(_) => {
                self.entries.push(pane);
                if self.entries.len() > LEAST_UNSORTED.max(2 * self.sorted) {
                    self.order(objects);
                }
            }
            // Most sources of a large scan come once.
            None => {
                self.entries.reserve_exact(1);
                self.entries.push(pane);
            }
        }
    }

    /// Sorts by second and key, each once.
    fn order(&mut self, objects: &[Arc<str>]) {
        self.entries.sort_unstable_by_key(|pane| (pane.second, pane.key));
        self.entries.dedup_by(|next, kept| {
            let same = (next.second, next.key) == (kept.second, kept.key);
            if same {
                kept.absorb(next, objects);
            }
            same
        });
        self.sorted = self.entries.len();
    }
}

/// Everything counted of one source.
#[derive(Debug, Default)]
pub(crate) struct SourceRates {
    series: Vec<(usize, Panes)>,
}

/// Whether AWS WAF blocked the request, by its action or by the gateway's answer.
pub(crate) fn is_blocked(request: &Request<'_>) -> bool {
    let filtered = request.error_type.is_some_and(|error| error.bytes() == WAF_FILTERED);
    filtered || request.waf_action == Some(WafAction::Block)
}

impl SourceRates {
    /// Counts a request that stands at `object` and its own offset.
    pub(crate) fn observe(
        &mut self,
        plan: &RatePlan,
        request: &Request<'_>,
        object: u32,
        objects: &[Arc<str>],
    ) {
        // Requests that have only their object's time would all count as one burst.
        let time = request.time.filter(|_| !request.time_is_of_object);
        let Some(time) = time else { return };
        if is_blocked(request) {
            return;
        }
        for (index, series) in plan.series.iter().enumerate() {
            if !series.conditions.hold(request) {
                continue;
            }
            let key = match (series.by_path, request.path) {
                (false, _) => 0,
                (true, Some(path)) => path_hash(path.bytes()),
                (true, None) => continue,
            };
            let second = time.epoch_seconds();
            let pane = Pane { second, key, offset: request.origin.offset, object, count: 1 };
            self.of(index).add(pane, objects);
        }
    }

    /// Adds what another scan counted, whose objects are numbered by `renumbered`.
    pub(crate) fn merge(&mut self, other: Self, renumbered: &[u32], objects: &[Arc<str>]) {
        for (index, mut theirs) in other.series {
            for pane in &mut theirs.entries {
                if let Some(object) = renumbered.get(pane.object as usize) {
                    pane.object = *object;
                }
            }
            let mine = self.of(index);
            mine.entries.append(&mut theirs.entries);
            mine.order(objects);
        }
    }

    /// Puts everything in order, for [`RatePlan::bursts`].
    pub(crate) fn order(&mut self, objects: &[Arc<str>]) {
        for (_, panes) in &mut self.series {
            panes.order(objects);
        }
    }

    fn of(&mut self, index: usize) -> &mut Panes {
        let place = self.series.iter().position(|(series, _)| *series == index);
        let place = place.unwrap_or_else(|| {
            self.series.push((index, Panes::default()));
            self.series.len() - 1
        });
        &mut self.series[place].1
    }

    fn panes(&self, index: usize) -> &[Pane] {
        let found = self.series.iter().find(|(series, _)| *series == index);
        found.map_or(&[], |(_, panes)| &panes.entries)
    }
}

/// A fixed hash, so that threads and runs agree. Colliding paths count as one: whoever
/// makes his own paths collide makes only himself look calmer, and needs 64 bits for it.
fn path_hash(path: &[u8]) -> u64 {
    use std::hash::BuildHasher as _;
    FixedState::with_seed(0x7061_7468).hash_one(path)
}

/// Slides the window over ordered panes. Gives the bursts, and the highest value of a
/// window with enough in it to count.
fn bursts(rate: &Rate, counted: &[Pane], all: &[Pane]) -> (Vec<Burst>, u32) {
    let mut peak = 0;
    let length = i64::from(rate.window_seconds());
    let mut window = Window::default();
    let mut bursts: Vec<Burst> = Vec::new();
    // How far the windows of the last burst reach, exclusive.
    let mut reach = i64::MIN;
    let (mut head, mut all_head, mut all_tail) = (0, 0, 0);
    let mut tail = 0;
    while let Some(first) = counted.get(tail) {
        let start = first.second;
        while let Some(pane) = counted.get(head).filter(|pane| pane.second - start < length) {
            window.enter(pane);
            head += 1;
        }
        while let Some(pane) = all.get(all_head).filter(|pane| pane.second - start < length) {
            window.all += u64::from(pane.count);
            all_head += 1;
        }
        while let Some(pane) = all.get(all_tail).filter(|pane| pane.second < start) {
            // A pane before the window may lie in a gap that no window ever held.
            if all_tail < all_head {
                window.all -= u64::from(pane.count);
            } else {
                all_head += 1;
            }
            all_tail += 1;
        }
        let value = window.value(rate.measure());
        let enough =
            rate.measure() != Measure::ErrorShare || window.requests >= u64::from(rate.minimum());
        if enough {
            peak = peak.max(value);
        }
        if enough && value >= rate.threshold() {
            let last = counted[head - 1].second;
            match bursts.last_mut().filter(|_| start < reach) {
                Some(burst) => {
                    burst.peak = burst.peak.max(value);
                    burst.last = last;
                }
                None => bursts.push(Burst { first: start, last, peak: value, requests: 0 }),
            }
            reach = start + length;
        }
        // The next window begins at the next second that has a counted request.
        while let Some(pane) = counted.get(tail).filter(|pane| pane.second == start) {
            window.leave(pane);
            tail += 1;
        }
    }
    let mut panes = counted.iter().peekable();
    for burst in &mut bursts {
        while let Some(pane) = panes.next_if(|pane| pane.second <= burst.last) {
            if pane.second >= burst.first {
                burst.requests += u64::from(pane.count);
            }
        }
    }
    (bursts, peak)
}

/// What a window holds.
#[derive(Default)]
struct Window {
    requests: u64,
    all: u64,
    paths: HashMap<u64, u32, FixedState>,
}

impl Window {
    fn enter(&mut self, pane: &Pane) {
        self.requests += u64::from(pane.count);
        if pane.key != 0 {
            *self.paths.entry(pane.key).or_default() += 1;
        }
    }

    fn leave(&mut self, pane: &Pane) {
        self.requests -= u64::from(pane.count);
        if let Some(panes) = self.paths.get_mut(&pane.key) {
            *panes -= 1;
            if *panes == 0 {
                self.paths.remove(&pane.key);
            }
        }
    }

    fn value(&self, measure: Measure) -> u32 {
        let value = match measure {
            Measure::Count => self.requests,
            Measure::DistinctPaths => self.paths.len() as u64,
            Measure::ErrorShare => (self.requests * 100).checked_div(self.all).unwrap_or(0),
        };
        u32::try_from(value).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::rule::StatusSet;

    fn rate(measure: Measure, threshold: u32, minimum: u32, window_seconds: u32) -> Rate {
        Rate { measure, threshold, minimum, window_seconds, conditions: Conditions::default() }
    }

    fn pane(second: i64, key: u64, count: u32) -> Pane {
        Pane { second, key, offset: 0, object: 0, count }
    }

    /// A request: its second, its path, whether it is counted.
    type Event = (i64, u64, bool);

    fn ordered(panes: impl Iterator<Item = Pane>) -> Vec<Pane> {
        let mut ordered = Panes::default();
        for pane in panes {
            ordered.add(pane, &[]);
        }
        ordered.order(&[]);
        ordered.entries
    }

    fn windowed(rate: &Rate, events: &[Event]) -> Vec<Burst> {
        let by_path = rate.measure() == Measure::DistinctPaths;
        let counted = events.iter().filter(|(_, _, counted)| *counted);
        let counted = ordered(
            counted.map(|(second, path, _)| pane(*second, if by_path { *path } else { 0 }, 1)),
        );
        let all = ordered(events.iter().map(|(second, _, _)| pane(*second, 0, 1)));
        let (bursts, peak) = bursts(rate, &counted, &all);
        let highest = bursts.iter().map(|burst| burst.peak).max();
        assert!(highest.is_none_or(|highest| highest == peak), "{peak}: {bursts:?}");
        bursts
    }

    /// The definition, word for word: every window that begins at a counted request.
    fn naive(rate: &Rate, events: &[Event]) -> Vec<Burst> {
        let length = i64::from(rate.window_seconds());
        let mut starts: Vec<i64> = events
            .iter()
            .filter(|(_, _, counted)| *counted)
            .map(|(second, _, _)| *second)
            .collect();
        starts.sort_unstable();
        starts.dedup();
        let mut bursts: Vec<(i64, Burst)> = Vec::new();
        for start in starts {
            let inside: Vec<&Event> = events
                .iter()
                .filter(|(second, _, _)| (start..start + length).contains(second))
                .collect();
            let counted: Vec<&&Event> = inside.iter().filter(|(_, _, counted)| *counted).collect();
            let value = match rate.measure() {
                Measure::Count => counted.len(),
                Measure::DistinctPaths => {
                    counted.iter().map(|(_, path, _)| path).collect::<HashSet<_>>().len()
                }
                Measure::ErrorShare if counted.len() < rate.minimum() as usize => continue,
                Measure::ErrorShare => counted.len() * 100 / inside.len(),
            } as u32;
            if value < rate.threshold() {
                continue;
            }
            let last = counted.iter().map(|(second, _, _)| *second).max().expect("its first");
            if let Some((reach, burst)) = bursts.last_mut().filter(|(reach, _)| start < *reach) {
                *reach = start + length;
                burst.last = last;
                burst.peak = burst.peak.max(value);
            } else {
                let burst = Burst { first: start, last, peak: value, requests: 0 };
                bursts.push((start + length, burst));
            }
        }
        let requests = |burst: &Burst| {
            events
                .iter()
                .filter(|(second, _, counted)| {
                    *counted && (burst.first..=burst.last).contains(second)
                })
                .count() as u64
        };
        bursts.into_iter().map(|(_, burst)| Burst { requests: requests(&burst), ..burst }).collect()
    }

    proptest! {
        #[test]
        fn windows_equal_naive_windows(
            events in proptest::collection::vec((0..300_i64, 1..8_u64, any::<bool>()), 0..120),
            measure in proptest::sample::select(Measure::ALL),
            (threshold, minimum, window) in (1..12_u32, 1..6_u32, 1..70_u32),
        ) {
            let threshold =
                if measure == Measure::ErrorShare { threshold * 8 } else { threshold };
            let rate = rate(measure, threshold, minimum, window);
            prop_assert_eq!(windowed(&rate, &events), naive(&rate, &events));
        }
    }

    #[test]
    fn a_burst_across_a_minute_counts_once() {
        let events: Vec<Event> = (0..120).map(|n| (59 + n / 60, 1, true)).collect();
        let bursts = windowed(&rate(Measure::Count, 100, 1, 60), &events);
        assert_eq!(bursts, [Burst { first: 59, last: 60, peak: 120, requests: 120 }]);
    }

    #[test]
    fn two_bursts_far_apart_are_two() {
        let events: Vec<Event> = (0..20).map(|n| (n / 10 * 1_000, 1, true)).collect();
        assert_eq!(windowed(&rate(Measure::Count, 10, 1, 60), &events).len(), 2);
    }

    #[test]
    fn conditions_decide_what_is_counted() {
        let mut statuses = StatusSet::EMPTY;
        statuses.set(400..=499, true);
        statuses.set(404..=404, false);
        let conditions = Conditions { statuses: Some(statuses), ..Conditions::default() };
        let holds = |status| conditions.hold(&Request { status, ..Request::default() });
        assert!(holds(Some(403)));
        assert!(!holds(Some(404)) && !holds(Some(200)) && !holds(None));
    }
}
