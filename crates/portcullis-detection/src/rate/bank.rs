//! Series that are counted side by side.
//!
//! Most requests count in few of the series, and which ones follows from the status alone,
//! or nearly. So a bank holds up to 32 series as bits, a table gives the bits of each
//! status, and only for series that ask for a method or an error type as well is the
//! request looked at again.

use portcullis_ingest::Request;

use super::counts::Entry;
use super::key::{Apart, apart};
use super::{Counted, Key, RatePlan, may_be_blocked};

/// Series of one bank.
const MOST_SERIES: usize = u32::BITS as usize;

/// Statuses that a condition can tell; a request without one has the place behind them.
const STATUSES: usize = 1_024;

/// Series by the same key that share an entry for each request.
#[derive(Debug)]
pub(super) struct Bank {
    pub(super) by: Key,
    /// Indices of the series, in the order of their bits.
    pub(super) series: Vec<usize>,
    /// What is told apart in those series that tell anything apart.
    apart: Option<Apart>,
    /// Which ones those are.
    telling_apart: u32,
    sums_bytes: bool,
    /// For each status the series whose condition on it holds.
    by_status: Vec<u32>,
    /// Series with other conditions.
    asking_more: u32,
}

impl Bank {
    /// A bank for such series.
    pub(super) const fn of(counted: &Counted) -> Self {
        Self {
            by: counted.by,
            series: Vec::new(),
            apart: None,
            telling_apart: 0,
            sums_bytes: counted.sums_bytes,
            by_status: Vec::new(),
            asking_more: 0,
        }
    }

    /// Whether a series can be counted here.
    pub(super) fn has_room_for(&self, counted: &Counted) -> bool {
        self.by == counted.by
            && self.series.len() < MOST_SERIES
            && self.sums_bytes == counted.sums_bytes
            && (self.apart.is_none() || counted.apart.is_none() || self.apart == counted.apart)
    }

    /// Adds a series that there is room for, and gives its bit.
    pub(super) fn add(&mut self, series: usize, counted: &Counted) -> u32 {
        let bit = 1 << self.series.len();
        self.series.push(series);
        self.apart = self.apart.or(counted.apart);
        if counted.apart.is_some() {
            self.telling_apart |= bit;
        }
        bit
    }

    /// Fills the table from the conditions of its series, in their order.
    pub(super) fn fill<'c>(&mut self, series: impl Iterator<Item = &'c Counted>) {
        self.by_status = vec![0; STATUSES + 1];
        for (counted, place) in series.zip(0..) {
            let conditions = &counted.conditions;
            for (status, bits) in (0..).zip(&mut self.by_status) {
                let holds = conditions.statuses.is_none_or(|set| set.contains(status));
                *bits |= u32::from(holds) << place;
            }
            self.asking_more |= u32::from(conditions.ask_more_than_status()) << place;
        }
    }

    /// What a request adds, if it counts in any series. It must have a time.
    pub(super) fn entry(
        &self,
        number: u16,
        plan: &RatePlan,
        request: &Request<'_>,
        object: u32,
    ) -> Option<Entry> {
        let status = request.status.map_or(STATUSES, usize::from).min(STATUSES);
        let mut series = self.by_status[status];
        for bit in bits(series & self.asking_more) {
            if !plan.series[self.series[bit]].counted.conditions.hold(request) {
                series &= !(1 << bit);
            }
        }
        let mut key = 0;
        if series & self.telling_apart != 0 {
            match self.apart.and_then(|what| apart(what, request, plan.hash_key)) {
                Some(hash) => key = hash,
                None => series &= !self.telling_apart,
            }
        }
        if series == 0 {
            return None;
        }
        if self.sums_bytes {
            key = request.response_bytes?;
        }
        Some(Entry {
            second: request.time?.epoch_seconds(),
            key,
            offset: request.origin.offset,
            object,
            count: 1,
            series,
            bank: number,
            sums: self.sums_bytes,
            unclear: may_be_blocked(request),
        })
    }
}

/// The places of the bits that are set.
pub(super) fn bits(mut set: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = set.trailing_zeros();
        (set != 0).then(|| {
            set &= set - 1;
            place as usize
        })
    })
}
