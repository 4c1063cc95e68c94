//! What one source did when, in few lines.
//!
//! A source may come once or send for a month, and a page that explains it has room for
//! a few dozen lines. So requests are counted in periods, which double in length whenever
//! there are too many of them. The length that results depends on the requests alone: at
//! each length the periods only ever grow in number, so it is the least length at which
//! there are few enough, in whatever order the requests came.

use std::collections::BTreeMap;

use portcullis_ingest::{Request, Timestamp};

use crate::rate::is_blocked;
use crate::signature::Verdict;

/// Most periods of one timeline.
pub(crate) const MOST_PERIODS: usize = 48;

/// Length of the shortest period, in seconds.
const LEAST_SECONDS: i64 = 60;

/// Requests of one source by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    seconds: i64,
    /// By number of the period since 1970.
    periods: BTreeMap<i64, Counts>,
}

/// What happened in one period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All requests.
    pub requests: u64,
    /// Of those, the ones with a score at or over the block level.
    pub flagged: u64,
    /// Of those, the ones answered 2xx or 3xx and not flagged.
    pub good: u64,
    /// Of those, the ones that AWS WAF blocked.
    pub blocked_by_waf: u64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { seconds: LEAST_SECONDS, periods: BTreeMap::new() }
    }
}

impl Timeline {
    /// Length of each period, in seconds.
    pub const fn period_seconds(&self) -> u64 {
        self.seconds.unsigned_abs()
    }

    /// The periods in which there were requests, by their beginning. Requests of unknown
    /// time are in none.
    pub fn periods(&self) -> impl Iterator<Item = (Timestamp, Counts)> {
        self.periods.iter().filter_map(|(number, counts)| {
            let begin = Timestamp::from_epoch_ms(number * self.seconds * 1_000)?;
            Some((begin, *counts))
        })
    }

    pub(crate) fn observe(&mut self, request: &Request<'_>, verdict: &Verdict) {
        let Some(time) = request.time else { return };
        let answered_well = request.status.is_some_and(|code| (200..400).contains(&code));
        let counts = Counts {
            requests: 1,
            flagged: u64::from(verdict.flagged() && !is_blocked(request)),
            good: u64::from(answered_well && !verdict.flagged()),
            blocked_by_waf: u64::from(is_blocked(request)),
        };
        self.add(time.epoch_seconds().div_euclid(self.seconds), counts);
    }

    pub(crate) fn merge(&mut self, mut other: Self) {
        while self.seconds < other.seconds {
            self.double();
        }
        while other.seconds < self.seconds {
            other.double();
        }
        for (number, counts) in other.periods {
            // Adding may double the length, and the numbers of the others with it.
            let number = (number * other.seconds).div_euclid(self.seconds);
            self.add(number, counts);
        }
    }

    fn add(&mut self, number: i64, counts: Counts) {
        self.periods.entry(number).or_default().add(counts);
        while self.periods.len() > MOST_PERIODS {
            self.double();
        }
    }

    fn double(&mut self) {
        self.seconds *= 2;
        for (number, counts) in std::mem::take(&mut self.periods) {
            self.periods.entry(number.div_euclid(2)).or_default().add(counts);
        }
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.flagged += other.flagged;
        self.good += other.good;
        self.blocked_by_waf += other.blocked_by_waf;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timeline(seconds: impl IntoIterator<Item = i64>) -> Timeline {
        let mut timeline = Timeline::default();
        for second in seconds {
            let time = Timestamp::from_epoch_ms(second * 1_000);
            timeline.observe(&Request { time, ..Request::default() }, &Verdict::default());
        }
        timeline
    }

    proptest! {
        #[test]
        fn a_timeline_does_not_depend_on_order_or_split(
            seconds in proptest::collection::vec(0..3_000_000_i64, 0..300),
            split in any::<prop::sample::Index>(),
        ) {
            let whole = timeline(seconds.iter().copied());
            prop_assert_eq!(&timeline(seconds.iter().rev().copied()), &whole);
            let (left, right) = seconds.split_at(split.index(seconds.len() + 1));
            let mut merged = timeline(left.iter().copied());
            merged.merge(timeline(right.iter().copied()));
            prop_assert_eq!(&merged, &whole);
            let requests: u64 = whole.periods().map(|(_, counts)| counts.requests).sum();
            prop_assert_eq!(requests, seconds.len() as u64);
            prop_assert!(whole.periods.len() <= MOST_PERIODS);
        }
    }

    #[test]
    fn a_few_minutes_are_shown_by_the_minute() {
        let timeline = timeline([0, 59, 60, 180]);
        assert_eq!(timeline.period_seconds(), 60);
        let requests: Vec<u64> = timeline.periods().map(|(_, counts)| counts.requests).collect();
        assert_eq!(requests, [2, 1, 1]);
    }
}
