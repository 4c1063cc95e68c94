//! Counts behaviour over time, exactly and in any order.
//!
//! A rate rule says by what requests are counted together (a client, a network, an API
//! key), what is measured, and in how long a window. What is counted once for several
//! rules is a *series*: requests that meet the same conditions, in panes of one width.
//! Series by client are kept with the client's other state; the others make *groups* of
//! their own.
//!
//! Windows up to an hour have a resolution of one second: a request at 12:00:00.900 counts
//! as 12:00:00. Longer ones are cut into at most [`Rate::MOST_PANES`] panes that begin at
//! multiples of their width, and measured over whole panes: never more than the truth, and
//! never less than the truth of a window that is one pane shorter.
//!
//! Which requests count is a rule's condition. Requests that AWS WAF blocked never do:
//! else a block would renew itself for as long as the client retries. Where a log cannot
//! tell such a block from a refusal, the panes say so, and a rule that needs them to fire
//! only suggests.

mod bank;
mod counts;
mod group;
mod key;
mod pane;
mod thinning;
mod window;

use std::sync::Arc;

use portcullis_ingest::{Request, WafAction};

use bank::Bank;
pub(crate) use counts::{Counts, Entry, Growth, Room};
pub(crate) use group::{Group, GroupKey};
use key::Apart;
pub(crate) use key::hash;
pub use key::{HashKey, Key};
pub(crate) use pane::Pane;
pub(crate) use window::Burst;
use window::bursts;

use crate::rule::{Conditions, Measure, Rate, Rule, RuleKind};
use crate::state::{Reader, StateError};

/// API Gateway's response type for a request that AWS WAF blocked.
///
/// Source: API Gateway guide, "Gateway response types".
const WAF_FILTERED: &[u8] = b"WAF_FILTERED";

/// The status that AWS WAF's block answers with, unless the operator set another.
const BLOCK_STATUS: u16 = 403;

/// What rate rules count, each kind of counting once.
#[derive(Debug, Default)]
pub(crate) struct RatePlan {
    series: Vec<SeriesPlan>,
    banks: Vec<Bank>,
    /// Banks by client, and the others.
    by_client: Vec<u16>,
    by_group: Vec<u16>,
    rules: Vec<PlannedRate>,
    /// Requests without which no rule by client has a burst.
    least_by_client: u64,
    /// What the hashes of what is told apart are keyed with.
    pub(crate) hash_key: HashKey,
}

/// One series, and where it is counted.
#[derive(Debug)]
struct SeriesPlan {
    counted: Counted,
    bank: u16,
    /// Its bit in the bank.
    bit: u32,
}

/// Requests that are counted together.
#[derive(Debug, PartialEq, Eq)]
struct Counted {
    by: Key,
    conditions: Conditions,
    pane_seconds: u32,
    /// What is told apart.
    apart: Option<Apart>,
    /// Whether the bytes of responses are summed up.
    sums_bytes: bool,
}

#[derive(Debug)]
struct PlannedRate {
    rule: usize,
    rate: Rate,
    /// The series that is counted.
    counted: usize,
    /// The series of every request, where a share is asked for.
    all: Option<usize>,
    /// Counted requests without which there is no burst.
    least: u64,
}

/// The bursts of one rule and key.
#[derive(Debug)]
pub(crate) struct Bursts<'p> {
    pub(crate) rule: usize,
    pub(crate) rate: &'p Rate,
    pub(crate) found: Vec<Burst>,
    /// Whether there are any without the requests that AWS WAF may have blocked.
    pub(crate) clear: bool,
    /// Places of counted requests, one for each pane, in time order.
    pub(crate) places: Vec<Pane>,
}

/// What one rule measured on one source, fired or not.
#[derive(Debug)]
pub(crate) struct Peak<'p> {
    pub(crate) rule: usize,
    pub(crate) rate: &'p Rate,
    /// The highest value of a window.
    pub(crate) value: u64,
    /// Counted requests.
    pub(crate) requests: u64,
}

/// The fullest window of one rule on one source or group.
#[derive(Debug)]
pub(crate) struct Fullest<'p> {
    pub(crate) rule: usize,
    pub(crate) rate: &'p Rate,
    /// The most requests that a window holds.
    pub(crate) requests: u64,
    counted: Vec<Pane>,
}

impl Fullest<'_> {
    /// The highest value of a window, in the measure's unit; of a share, 0.
    pub(crate) fn peak(&self) -> u64 {
        bursts(self.rate, self.counted.iter(), std::iter::empty(), 0).1
    }
}

/// Places looked at to choose evidence from; panes of one second are not in order of
/// place.
const MOST_PLACES: usize = 1_000;

impl RatePlan {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let rate = |rule: &'_ Rule| match rule.kind() {
            RuleKind::Rate(rate) => Some(Rate::clone(rate)),
            RuleKind::Signature(_) => None,
        };
        let rates = rules.iter().enumerate().filter_map(|(index, rule)| Some((index, rate(rule)?)));
        Self::of_rates(rates)
    }

    /// What rules count, each with its index.
    fn of_rates(rates: impl Iterator<Item = (usize, Rate)>) -> Self {
        let mut plan = Self::default();
        for (index, rate) in rates {
            let counted = plan.series(Counted {
                by: rate.by(),
                conditions: rate.conditions().clone(),
                pane_seconds: rate.pane_seconds(),
                apart: told_apart(rate.measure()),
                sums_bytes: rate.measure() == Measure::Bytes,
            });
            let all = (rate.measure() == Measure::ErrorShare).then(|| {
                plan.series(Counted {
                    by: rate.by(),
                    conditions: Conditions::default(),
                    pane_seconds: rate.pane_seconds(),
                    apart: None,
                    sums_bytes: false,
                })
            });
            let least = least_requests(&rate);
            plan.rules.push(PlannedRate { rule: index, rate, counted, all, least });
        }
        for (bank, number) in plan.banks.iter_mut().zip(0..) {
            let counted = |series: &usize| &plan.series[*series].counted;
            bank.fill(bank.series.clone().iter().map(counted));
            let list =
                if bank.by == Key::Client { &mut plan.by_client } else { &mut plan.by_group };
            list.push(number);
        }
        let by_client = plan.of(Key::Client).map(|planned| planned.least);
        plan.least_by_client = by_client.min().unwrap_or(u64::MAX);
        plan
    }

    fn series(&mut self, wanted: Counted) -> usize {
        if let Some(place) = self.series.iter().position(|series| series.counted == wanted) {
            return place;
        }
        let place = self.banks.iter().position(|bank| bank.has_room_for(&wanted));
        let place = place.unwrap_or_else(|| {
            self.banks.push(Bank::of(&wanted));
            self.banks.len() - 1
        });
        let bit = self.banks[place].add(self.series.len(), &wanted);
        let bank = u16::try_from(place).expect("far fewer rules than banks have numbers");
        self.series.push(SeriesPlan { counted: wanted, bank, bit });
        self.series.len() - 1
    }

    /// The bursts of one source or group, of each rule by that key that has any. Of
    /// `forgotten` requests nothing is left.
    pub(crate) fn bursts<'p>(
        &'p self,
        by: Key,
        counts: &'p Counts,
        forgotten: u64,
        objects: &'p [Arc<str>],
    ) -> impl Iterator<Item = Bursts<'p>> {
        let busy = by != Key::Client || !self.is_calm(counts);
        let totals = if busy { counts.totals(self) } else { Vec::new() };
        let enough = move |planned: &&PlannedRate| {
            totals.get(planned.counted).is_some_and(|total| *total >= planned.least)
        };
        self.of(by).filter(enough).filter_map(move |planned| {
            let counted = counts.panes(self, planned.counted, objects);
            // Nearly every source stops here, before things are told apart in windows.
            if window::fullest(&planned.rate, &counted) < planned.least {
                return None;
            }
            let all = self.panes_of_all(planned, counts, objects);
            let (found, _) = bursts(&planned.rate, counted.iter(), all.iter(), forgotten);
            if found.is_empty() {
                return None;
            }
            let is_clear = |pane: &&Pane| !pane.unclear;
            let clear = counted.iter().all(|pane| !pane.unclear) || {
                let counted = counted.iter().filter(is_clear);
                !bursts(&planned.rate, counted, all.iter(), forgotten).0.is_empty()
            };
            let inside = |pane: &&Pane| {
                let next = found.partition_point(|burst| burst.last < pane.second);
                found.get(next).is_some_and(|burst| burst.first <= pane.second)
            };
            let places = counted.iter().filter(inside).take(MOST_PLACES).copied().collect();
            Some(Bursts { rule: planned.rule, rate: &planned.rate, found, clear, places })
        })
    }

    /// Whether a source has too few requests for a burst of any rule by client.
    pub(crate) fn is_calm(&self, counts: &Counts) -> bool {
        counts.at_most() < self.least_by_client
    }

    /// The panes of which a rule measures a share.
    fn panes_of_all(
        &self,
        planned: &PlannedRate,
        counts: &Counts,
        objects: &[Arc<str>],
    ) -> Vec<Pane> {
        planned.all.map_or_else(Vec::new, |all| counts.panes(self, all, objects))
    }

    /// What each rule by client measured on one source.
    pub(crate) fn peaks<'p>(
        &'p self,
        counts: &'p Counts,
        forgotten: u64,
        objects: &'p [Arc<str>],
    ) -> impl Iterator<Item = Peak<'p>> {
        self.of(Key::Client).map(move |planned| {
            let counted = counts.panes(self, planned.counted, objects);
            let all = self.panes_of_all(planned, counts, objects);
            let (_, value) = bursts(&planned.rate, counted.iter(), all.iter(), forgotten);
            let requests = counted.iter().map(|pane| u64::from(pane.count)).sum();
            Peak { rule: planned.rule, rate: &planned.rate, value, requests }
        })
    }

    /// The fullest window of each rule by that key of which anything was counted, but for
    /// those of which `skips` says so, given the rule and all requests that were counted.
    pub(crate) fn fullest<'p>(
        &'p self,
        by: Key,
        counts: &'p Counts,
        objects: &'p [Arc<str>],
        skips: impl Fn(usize, &Rate, u64) -> bool + 'p,
    ) -> impl Iterator<Item = Fullest<'p>> {
        let totals = counts.totals(self);
        let wanted = move |planned: &&PlannedRate| {
            let total = totals[planned.counted];
            total > 0 && !skips(planned.rule, &planned.rate, total)
        };
        self.of(by).filter(wanted).map(move |planned| {
            let counted = counts.panes(self, planned.counted, objects);
            let requests = window::fullest(&planned.rate, &counted);
            Fullest { rule: planned.rule, rate: &planned.rate, requests, counted }
        })
    }

    /// The series that those rules count, in any order and repeated.
    pub(crate) fn counted(&self, rules: &[usize]) -> impl Iterator<Item = usize> {
        let wanted = |planned: &&PlannedRate| rules.contains(&planned.rule);
        self.rules.iter().filter(wanted).map(|planned| planned.counted)
    }

    fn of(&self, by: Key) -> impl Iterator<Item = &PlannedRate> {
        self.rules.iter().filter(move |planned| planned.rate.by() == by)
    }

    /// The rules by client that tell things apart.
    pub(crate) fn tell_apart(&self, by: Key) -> impl Iterator<Item = usize> {
        let tells = |planned: &&PlannedRate| self.series[planned.counted].counted.apart.is_some();
        self.of(by).filter(tells).map(|planned| planned.rule)
    }

    /// Gives what a request adds to the counts of its client. Requests of which only their
    /// object's time is known would all count as one burst, and those that AWS WAF blocked
    /// never count.
    pub(crate) fn observe_client(
        &self,
        request: &Request<'_>,
        object: u32,
        mut add: impl FnMut(Entry),
    ) {
        if counts_at_all(request) {
            for number in &self.by_client {
                let bank = &self.banks[usize::from(*number)];
                if let Some(entry) = bank.entry(*number, self, request, object) {
                    add(entry);
                }
            }
        }
    }

    /// Gives what a request adds to groups: the key with its value, and the entry.
    pub(crate) fn observe_groups(
        &self,
        request: &Request<'_>,
        object: u32,
        mut add: impl FnMut(Key, &[u8], Entry),
    ) {
        if self.by_group.is_empty() || !counts_at_all(request) {
            return;
        }
        for number in &self.by_group {
            let bank = &self.banks[usize::from(*number)];
            if let Some(entry) = bank.entry(*number, self, request, object)
                && let Some(value) = bank.by.value(request)
            {
                add(bank.by, &value, entry);
            }
        }
    }

    /// The series in which an entry counts.
    fn series_of(&self, entry: &Entry) -> impl Iterator<Item = usize> {
        let series = &self.banks[usize::from(entry.bank)].series;
        bank::bits(entry.series).map(|bit| series[bit])
    }

    /// The number of a series by that key.
    fn read_series(&self, reader: &mut Reader<'_>, by: Key) -> Result<usize, StateError> {
        let index = usize::try_from(reader.number()?).unwrap_or(usize::MAX);
        let known = self.series.get(index).is_some_and(|series| series.counted.by == by);
        if known { Ok(index) } else { Err(StateError::Value("a series")) }
    }
}

/// Counted requests that every window of a burst holds at least.
fn least_requests(rate: &Rate) -> u64 {
    let least = match rate.measure() {
        Measure::Bytes | Measure::ErrorShare => 1,
        Measure::Count
        | Measure::DistinctPaths
        | Measure::DistinctRoutes
        | Measure::DistinctObjects
        | Measure::DistinctAgents => rate.threshold(),
    };
    least.max(u64::from(rate.minimum()))
}

fn told_apart(measure: Measure) -> Option<Apart> {
    match measure {
        Measure::Count | Measure::Bytes | Measure::ErrorShare => None,
        Measure::DistinctPaths => Some(Apart::Paths),
        Measure::DistinctRoutes => Some(Apart::Routes),
        Measure::DistinctObjects => Some(Apart::Objects),
        Measure::DistinctAgents => Some(Apart::Agents),
    }
}

fn counts_at_all(request: &Request<'_>) -> bool {
    request.time.is_some() && !request.time_is_of_object && !is_blocked(request)
}

/// Whether AWS WAF blocked the request, by its action or by the gateway's answer.
pub(crate) fn is_blocked(request: &Request<'_>) -> bool {
    let filtered = request.error_type.is_some_and(|error| error.bytes() == WAF_FILTERED);
    filtered || request.waf_action == Some(WafAction::Block)
}

/// Whether the request may be one that AWS WAF blocked, and the log has no field that
/// would tell.
fn may_be_blocked(request: &Request<'_>) -> bool {
    request.waf_is_unknown
        && request.status == Some(BLOCK_STATUS)
        && request.waf_action.is_none()
        && request.error_type.is_none()
}

#[cfg(test)]
mod tests;
