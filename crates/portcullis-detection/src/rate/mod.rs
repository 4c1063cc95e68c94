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

mod group;
mod key;
mod pane;
mod window;

use std::sync::Arc;

use portcullis_ingest::{Request, WafAction};

pub(crate) use group::{Group, GroupKey};
pub use key::Key;
pub(crate) use key::hash;
use key::{Apart, apart};
pub(crate) use pane::{Pane, Panes};
pub(crate) use window::Burst;
use window::{bursts, fullest};

use crate::rule::{Conditions, Measure, Rate, Rule, RuleKind, RuleSet};
use crate::state::{Reader, StateError, Writer};

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
    /// Series by client, and the others.
    by_client: Vec<usize>,
    by_group: Vec<usize>,
    rules: Vec<PlannedRate>,
}

/// Requests that are counted together.
#[derive(Debug, PartialEq, Eq)]
struct SeriesPlan {
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

/// Places looked at to choose evidence from; panes of one second are not in order of
/// place.
const MOST_PLACES: usize = 1_000;

impl RatePlan {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut plan = Self::default();
        for (index, rule) in rules.iter().enumerate() {
            let RuleKind::Rate(rate) = rule.kind() else {
                continue;
            };
            let counted = plan.series(SeriesPlan {
                by: rate.by(),
                conditions: rate.conditions().clone(),
                pane_seconds: rate.pane_seconds(),
                apart: told_apart(rate.measure()),
                sums_bytes: rate.measure() == Measure::Bytes,
            });
            let all = (rate.measure() == Measure::ErrorShare).then(|| {
                plan.series(SeriesPlan {
                    by: rate.by(),
                    conditions: Conditions::default(),
                    pane_seconds: rate.pane_seconds(),
                    apart: None,
                    sums_bytes: false,
                })
            });
            plan.rules.push(PlannedRate { rule: index, rate: Rate::clone(rate), counted, all });
        }
        for (index, series) in plan.series.iter().enumerate() {
            let list =
                if series.by == Key::Client { &mut plan.by_client } else { &mut plan.by_group };
            list.push(index);
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

    /// The bursts of one source or group, of each rule by that key that has any. Of
    /// `forgotten` requests no panes are left.
    pub(crate) fn bursts<'p>(
        &'p self,
        by: Key,
        counts: &'p Counts,
        forgotten: u64,
    ) -> impl Iterator<Item = Bursts<'p>> {
        self.of(by).filter_map(move |planned| {
            let counted = counts.panes(planned.counted);
            let all = planned.all.map_or(&[][..], |all| counts.panes(all));
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

    /// What each rule by client measured on one source.
    pub(crate) fn peaks<'p>(
        &'p self,
        counts: &'p Counts,
        forgotten: u64,
    ) -> impl Iterator<Item = Peak<'p>> {
        self.of(Key::Client).map(move |planned| {
            let counted = counts.panes(planned.counted);
            let all = planned.all.map_or(&[][..], |all| counts.panes(all));
            let (_, value) = bursts(&planned.rate, counted.iter(), all.iter(), forgotten);
            let requests = counted.iter().map(|pane| u64::from(pane.count)).sum();
            Peak { rule: planned.rule, rate: &planned.rate, value, requests }
        })
    }

    /// Of each rule by that key: its index, the highest value of a window, and the most
    /// requests that one holds.
    pub(crate) fn fullest(
        &self,
        by: Key,
        counts: &Counts,
    ) -> impl Iterator<Item = (usize, &Rate, u64, u64)> {
        self.of(by).filter_map(|planned| {
            let counted = counts.panes(planned.counted);
            if counted.is_empty() {
                return None;
            }
            let all = planned.all.map_or(&[][..], |all| counts.panes(all));
            let (_, peak) = bursts(&planned.rate, counted.iter(), all.iter(), 0);
            Some((planned.rule, &planned.rate, peak, fullest(&planned.rate, counted)))
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

    /// Counts a request by its client. Requests of which only their object's time is known
    /// would all count as one burst, and those that AWS WAF blocked never count. Gives the
    /// bytes by which the counts grew.
    pub(crate) fn observe(
        &self,
        counts: &mut Counts,
        request: &Request<'_>,
        object: u32,
        objects: &[Arc<str>],
    ) -> usize {
        if !counts_at_all(request) {
            return 0;
        }
        let mut grown = 0;
        for &index in &self.by_client {
            if let Some(pane) = self.series[index].pane(request, object) {
                grown += counts.of(index).add(pane, objects);
            }
        }
        grown
    }

    /// Gives what a request adds to groups: the series, the key with its value, the pane.
    pub(crate) fn observe_groups(
        &self,
        request: &Request<'_>,
        object: u32,
        mut add: impl FnMut(usize, Key, &[u8], Pane),
    ) {
        if self.by_group.is_empty() || !counts_at_all(request) {
            return;
        }
        for &index in &self.by_group {
            let series = &self.series[index];
            if let Some(pane) = series.pane(request, object)
                && let Some(value) = series.by.value(request)
            {
                add(index, series.by, &value, pane);
            }
        }
    }
}

impl SeriesPlan {
    fn pane(&self, request: &Request<'_>, object: u32) -> Option<Pane> {
        if !self.conditions.hold(request) {
            return None;
        }
        let key = match self.apart {
            None => 0,
            Some(what) => apart(what, request)?,
        };
        let bytes = if self.sums_bytes { request.response_bytes? } else { 0 };
        let second = request.time?.epoch_seconds();
        let width = i64::from(self.pane_seconds);
        let second = if width == 1 { second } else { second.div_euclid(width) * width };
        let unclear = may_be_blocked(request);
        let offset = request.origin.offset;
        Some(Pane { second, key, unclear, object, offset, count: 1, bytes })
    }
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

/// Everything counted of one source or group, by series.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    series: Vec<(usize, Panes)>,
}

impl Counts {
    /// Adds what another scan counted, whose objects are numbered by `renumbered`.
    pub(crate) fn merge(&mut self, other: Self, renumbered: &[u32], objects: &[Arc<str>]) {
        for (index, theirs) in other.series {
            self.of(index).merge(theirs, renumbered, objects);
        }
    }

    /// Puts everything in order, for [`RatePlan::bursts`].
    pub(crate) fn order(&mut self, objects: &[Arc<str>]) {
        for (_, panes) in &mut self.series {
            panes.order(objects);
        }
    }

    pub(crate) fn of(&mut self, index: usize) -> &mut Panes {
        let place = self.series.iter().position(|(series, _)| *series == index);
        let place = place.unwrap_or_else(|| {
            self.series.push((index, Panes::default()));
            self.series.len() - 1
        });
        &mut self.series[place].1
    }

    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> usize {
        let own = self.series.capacity() * size_of::<(usize, Panes)>();
        own + self.series.iter().map(|(_, panes)| panes.bytes()).sum::<usize>()
    }

    /// Drops everything; gives the requests of the series with the most.
    pub(crate) fn forget(&mut self) -> u64 {
        let series = std::mem::take(&mut self.series);
        let requests = |(_, panes): &(usize, Panes)| {
            panes.entries().iter().map(|pane| u64::from(pane.count)).sum()
        };
        series.iter().map(requests).max().unwrap_or(0)
    }

    /// Counted requests of a series.
    pub(crate) fn requests(&self, index: usize) -> u64 {
        self.panes(index).iter().map(|pane| u64::from(pane.count)).sum()
    }

    fn panes(&self, index: usize) -> &[Pane] {
        let found = self.series.iter().find(|(series, _)| *series == index);
        found.map_or(&[], |(_, panes)| panes.entries())
    }
}

impl Counts {
    /// Writes panes that are in order.
    pub(crate) fn write(&self, writer: &mut Writer, objects: &[Arc<str>]) {
        let mut series: Vec<&(usize, Panes)> = self.series.iter().collect();
        series.sort_unstable_by_key(|(index, _)| *index);
        writer.length(series.len());
        for (index, panes) in series {
            writer.length(*index);
            panes.write(writer, objects);
        }
    }

    pub(crate) fn read(
        reader: &mut Reader<'_>,
        by: Key,
        rules: &RuleSet,
    ) -> Result<Self, StateError> {
        let mut counts = Self::default();
        for _ in 0..reader.length()? {
            let index = rules.rates().read_series(reader, by)?;
            if counts.series.last().is_some_and(|(before, _)| *before >= index) {
                return Err(StateError::Value("the order of series"));
            }
            counts.series.push((index, Panes::read(reader)?));
        }
        Ok(counts)
    }
}

impl RatePlan {
    /// The number of a series by that key.
    fn read_series(&self, reader: &mut Reader<'_>, by: Key) -> Result<usize, StateError> {
        let index = usize::try_from(reader.number()?).unwrap_or(usize::MAX);
        let known = self.series.get(index).is_some_and(|series| series.by == by);
        if known { Ok(index) } else { Err(StateError::Value("a series")) }
    }
}

#[cfg(test)]
mod tests;
