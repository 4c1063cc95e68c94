//! Sliding windows over ordered panes.
//!
//! A burst is a window `[t, t + W)` that holds at least a rule's threshold. Windows begin
//! at a counted pane. Those that overlap, and those that begin less than the rule's quiet
//! period after the last counted pane of a burst, are one burst.

use std::collections::{BTreeMap, HashMap, VecDeque};

use foldhash::fast::FixedState;

use super::key::ROUTE_BITS;
use super::pane::Pane;
use crate::rule::{Measure, Rate};

/// Windows of one rule that reached the threshold, merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Burst {
    /// Seconds since 1970 of the first counted pane.
    pub(crate) first: i64,
    /// Of the last.
    pub(crate) last: i64,
    /// The highest value of a window, in the measure's unit.
    pub(crate) peak: u64,
    /// Counted requests from the first to the last.
    pub(crate) requests: u64,
}

/// Slides the window over ordered panes. Gives the bursts, and the highest value of a
/// window with enough in it to count. A share is one of `all`, and of as many `forgotten`
/// requests as any window may lack.
pub(crate) fn bursts<'p>(
    rate: &Rate,
    counted: impl Iterator<Item = &'p Pane> + Clone,
    all: impl Iterator<Item = &'p Pane>,
    forgotten: u64,
) -> (Vec<Burst>, u64) {
    let mut peak = 0;
    let length = i64::from(rate.panes() * rate.pane_seconds());
    let quiet = i64::from(rate.quiet_seconds());
    let mut window = Window::new(rate.measure());
    window.all = forgotten;
    let mut bursts: Vec<Burst> = Vec::new();
    // How far the windows of the last burst reach, exclusive.
    let mut reach = i64::MIN;
    let mut head = counted.clone().peekable();
    let mut tail = counted.clone().peekable();
    let mut all = all.peekable();
    // Panes of every request that the window holds, as it moves.
    let mut inside = VecDeque::new();
    let mut latest = i64::MIN;
    while let Some(start) = tail.peek().map(|pane| pane.second) {
        while let Some(pane) = head.next_if(|pane| pane.second - start < length) {
            window.enter(pane);
            latest = pane.second;
        }
        while let Some(pane) = all.next_if(|pane| pane.second - start < length) {
            window.all += u64::from(pane.count);
            inside.push_back(pane);
        }
        while let Some(pane) = inside.pop_front_if(|pane| pane.second < start) {
            window.all -= u64::from(pane.count);
        }
        let value = window.value();
        let enough = window.requests >= u64::from(rate.minimum());
        if enough {
            peak = peak.max(value);
        }
        if enough && value >= rate.threshold() {
            let joins = |burst: &&mut Burst| start < reach || start - burst.last < quiet;
            match bursts.last_mut().filter(joins) {
                Some(burst) => {
                    burst.peak = burst.peak.max(value);
                    burst.last = latest;
                }
                None => bursts.push(Burst { first: start, last: latest, peak: value, requests: 0 }),
            }
            reach = start + length;
        }
        // The next window begins at the next counted pane of another second.
        while let Some(pane) = tail.next_if(|pane| pane.second == start) {
            window.leave(pane);
        }
    }
    let mut panes = counted.peekable();
    for burst in &mut bursts {
        while let Some(pane) = panes.next_if(|pane| pane.second <= burst.last) {
            if pane.second >= burst.first {
                burst.requests += u64::from(pane.count);
            }
        }
    }
    (bursts, peak)
}

/// Where the window with the highest value begins, of ordered panes; the latest of several.
pub(super) fn begin_of_fullest<'p>(
    rate: &Rate,
    counted: impl Iterator<Item = &'p Pane> + Clone,
) -> i64 {
    let length = i64::from(rate.panes() * rate.pane_seconds());
    let mut window = Window::new(rate.measure());
    let (mut most, mut begin) = (0, 0);
    let mut head = counted.clone().peekable();
    let mut tail = counted.peekable();
    while let Some(start) = tail.peek().map(|pane| pane.second) {
        while let Some(pane) = head.next_if(|pane| pane.second - start < length) {
            window.enter(pane);
        }
        if window.value() >= most {
            (most, begin) = (window.value(), start);
        }
        while let Some(pane) = tail.next_if(|pane| pane.second == start) {
            window.leave(pane);
        }
    }
    begin
}

/// The most requests that a window holds.
pub(crate) fn fullest(rate: &Rate, counted: &[Pane]) -> u64 {
    let length = i64::from(rate.panes() * rate.pane_seconds());
    let (mut tail, mut requests, mut most) = (0, 0, 0);
    for pane in counted {
        while counted[tail].second <= pane.second - length {
            requests -= u64::from(counted[tail].count);
            tail += 1;
        }
        requests += u64::from(pane.count);
        most = most.max(requests);
    }
    most
}

/// What a window holds.
struct Window {
    measure: Measure,
    requests: u64,
    /// Wider than a pane's sum: a log may claim any size.
    bytes: u128,
    all: u64,
    /// How many panes of each thing told apart.
    apart: HashMap<u64, u32, FixedState>,
    /// How many different objects of each route.
    routes: HashMap<u64, u32, FixedState>,
    /// How many routes have so many objects, by that number, so that the highest is known
    /// when one leaves.
    routes_by_objects: BTreeMap<u32, u32>,
}

impl Window {
    fn new(measure: Measure) -> Self {
        Self {
            measure,
            requests: 0,
            bytes: 0,
            all: 0,
            apart: HashMap::default(),
            routes: HashMap::default(),
            routes_by_objects: BTreeMap::new(),
        }
    }

    fn enter(&mut self, pane: &Pane) {
        self.requests += u64::from(pane.count);
        self.bytes += u128::from(pane.bytes);
        if pane.key == 0 {
            return;
        }
        let panes = self.apart.entry(pane.key).or_default();
        *panes += 1;
        if *panes == 1 && self.measure == Measure::DistinctObjects {
            self.objects(pane.key >> (64 - ROUTE_BITS), |objects| objects + 1);
        }
    }

    fn leave(&mut self, pane: &Pane) {
        self.requests -= u64::from(pane.count);
        self.bytes -= u128::from(pane.bytes);
        if let Some(panes) = self.apart.get_mut(&pane.key) {
            *panes -= 1;
            if *panes == 0 {
                self.apart.remove(&pane.key);
                if self.measure == Measure::DistinctObjects {
                    self.objects(pane.key >> (64 - ROUTE_BITS), |objects| objects - 1);
                }
            }
        }
    }

    /// Changes the number of objects of a route.
    fn objects(&mut self, route: u64, change: impl Fn(u32) -> u32) {
        let objects = self.routes.entry(route).or_default();
        let before = *objects;
        let after = change(before);
        *objects = after;
        if after == 0 {
            self.routes.remove(&route);
        }
        if let Some(routes) = self.routes_by_objects.get_mut(&before) {
            *routes -= 1;
            if *routes == 0 {
                self.routes_by_objects.remove(&before);
            }
        }
        if after > 0 {
            *self.routes_by_objects.entry(after).or_default() += 1;
        }
    }

    fn value(&self) -> u64 {
        match self.measure {
            Measure::Count => self.requests,
            Measure::DistinctPaths | Measure::DistinctRoutes | Measure::DistinctAgents => {
                self.apart.len() as u64
            }
            Measure::DistinctObjects => {
                self.routes_by_objects.last_key_value().map_or(0, |(most, _)| u64::from(*most))
            }
            Measure::Bytes => u64::try_from(self.bytes).unwrap_or(u64::MAX),
            Measure::ErrorShare => (self.requests * 100).checked_div(self.all).unwrap_or(0),
        }
    }
}
