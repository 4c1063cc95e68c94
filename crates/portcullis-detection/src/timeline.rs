//! What happened when, in few lines: of one source, or of all.
//!
//! A source may come once or send for a month, and a page that explains it has room for
//! a few dozen lines. So requests are counted in periods, which double in length whenever
//! there are too many of them. The length that results depends on the requests alone: at
//! each length the periods only ever grow in number, so it is the least length at which
//! there are few enough, in whatever order the requests came.
//!
//! Timelines of different length are drawn side by side on one [`Axis`].

use portcullis_ingest::{Request, Timestamp};

use crate::rate::is_blocked;
use crate::signature::Verdict;

/// Most periods of one timeline.
pub(crate) const MOST_PERIODS: usize = 48;

/// Length of the shortest period, in seconds.
const LEAST_SECONDS: i64 = 60;

/// Requests by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    seconds: i64,
    /// By number of the period since 1970, sorted.
    periods: Vec<(i64, Counts)>,
}

/// What happened in one period. A count that does not fit stays at its highest value:
/// there are as many timelines as sources, and each is small.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All requests.
    pub requests: u32,
    /// Of those, the ones with a score at or over the block level.
    pub flagged: u32,
    /// Of those, the ones answered 2xx or 3xx and not flagged.
    pub good: u32,
    /// Of those, the ones that AWS WAF blocked.
    pub blocked_by_waf: u32,
}

/// Equal periods without a gap, on which timelines are drawn side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    seconds: i64,
    first: i64,
    cells: usize,
}

impl Axis {
    /// The axis that shows all of `timeline` in few cells; `None` when it is empty. Every
    /// timeline of requests that `timeline` counts too can be drawn on it.
    pub fn of(timeline: &Timeline) -> Option<Self> {
        let (first, last) = (timeline.periods.first()?.0, timeline.periods.last()?.0);
        let mut axis = Self { seconds: timeline.seconds, first, cells: 0 };
        let mut last = last;
        while (last - axis.first).unsigned_abs() >= MOST_PERIODS as u64 {
            axis.seconds *= 2;
            axis.first = axis.first.div_euclid(2);
            last = last.div_euclid(2);
        }
        axis.cells = (last - axis.first).unsigned_abs() as usize + 1;
        Some(axis)
    }

    /// How many cells there are, at most 48.
    pub const fn cells(&self) -> usize {
        self.cells
    }

    /// Length of each cell, in seconds.
    pub const fn cell_seconds(&self) -> u64 {
        self.seconds.unsigned_abs()
    }

    /// When a cell begins; `None` beyond what a [`Timestamp`] can tell. The number of
    /// cells gives the end of the axis.
    pub fn begin(&self, cell: usize) -> Option<Timestamp> {
        let number = self.first + i64::try_from(cell).ok()?;
        Timestamp::from_epoch_ms(number * self.seconds * 1_000)
    }
}

impl Default for Timeline {
    fn default() -> Self {
        Self { seconds: LEAST_SECONDS, periods: Vec::new() }
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

    /// What happened in each cell of an axis.
    pub fn on(&self, axis: &Axis) -> Vec<Counts> {
        let mut cells = vec![Counts::default(); axis.cells];
        for (number, counts) in &self.periods {
            let cell = (number * self.seconds).div_euclid(axis.seconds) - axis.first;
            if let Some(cell) = usize::try_from(cell).ok().and_then(|cell| cells.get_mut(cell)) {
                cell.add(*counts);
            }
        }
        cells
    }

    pub(crate) fn observe(&mut self, request: &Request<'_>, verdict: &Verdict) {
        let Some(time) = request.time else { return };
        let answered_well = request.status.is_some_and(|code| (200..400).contains(&code));
        let counts = Counts {
            requests: 1,
            flagged: u32::from(verdict.flagged() && !is_blocked(request)),
            good: u32::from(answered_well && !verdict.flagged()),
            blocked_by_waf: u32::from(is_blocked(request)),
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
        match self.periods.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(place) => self.periods[place].1.add(counts),
            Err(place) => self.periods.insert(place, (number, counts)),
        }
        while self.periods.len() > MOST_PERIODS {
            self.double();
        }
    }

    fn double(&mut self) {
        self.seconds *= 2;
        for (number, _) in &mut self.periods {
            *number = number.div_euclid(2);
        }
        self.periods.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            if is_same {
                kept.1.add(next.1);
            }
            is_same
        });
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        for (mine, theirs) in [
            (&mut self.requests, other.requests),
            (&mut self.flagged, other.flagged),
            (&mut self.good, other.good),
            (&mut self.blocked_by_waf, other.blocked_by_waf),
        ] {
            *mine = mine.saturating_add(theirs);
        }
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
            let requests: u32 = whole.periods().map(|(_, counts)| counts.requests).sum();
            prop_assert_eq!(requests as usize, seconds.len());
            prop_assert!(whole.periods.len() <= MOST_PERIODS);
        }

        #[test]
        fn every_part_of_a_timeline_is_drawn_on_the_axis_of_the_whole(
            seconds in proptest::collection::vec(0..30_000_000_i64, 1..300),
            part in 1..300_usize,
        ) {
            let axis = Axis::of(&timeline(seconds.iter().copied())).expect("it is not empty");
            prop_assert!((1..=MOST_PERIODS).contains(&axis.cells()));
            let part = &seconds[..part.min(seconds.len())];
            let drawn = timeline(part.iter().copied()).on(&axis);
            for (cell, counts) in drawn.iter().enumerate() {
                let begin = axis.begin(cell).expect("a time").epoch_seconds();
                let end = axis.begin(cell + 1).expect("a time").epoch_seconds();
                let inside = part.iter().filter(|second| (begin..end).contains(second)).count();
                prop_assert_eq!(counts.requests as usize, inside);
            }
        }
    }

    #[test]
    fn a_few_minutes_are_shown_by_the_minute() {
        let timeline = timeline([0, 59, 60, 180]);
        assert_eq!(timeline.period_seconds(), 60);
        let requests: Vec<u32> = timeline.periods().map(|(_, counts)| counts.requests).collect();
        assert_eq!(requests, [2, 1, 1]);
    }
}
