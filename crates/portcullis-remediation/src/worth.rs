//! Says how much harm a block is expected to avoid, where there is not room for all.
//!
//! Two things count: how bad the source is, which is its score, and whether it will
//! still be there, because a block keeps out only who comes back. Attacks end, and
//! addresses are handed on: what was seen an hour ago is half as likely to go on as
//! what was seen now. So the worth of a block is *score × 2^(−hours since a rule
//! fired last)*, in whole numbers, so that two machines rank alike.
//!
//! The half-life is a guess, as long as a first block: [`crate::Terms`].

use portcullis_ingest::Timestamp;

use crate::term::{HOUR_MS, MINUTE_MS};

/// The worth of a point now: so much that after 20 halvings a minute still shows.
const POINT: u64 = 1 << 30;

/// Hours after which nothing is halved any more; no older evidence blocks anybody.
const MOST_HOURS: i64 = 20;

/// What a block of a source with this score is worth `now`, when a rule fired last at
/// `last`. Nobody knows when: that counts as very long ago. More is better; never 0 for
/// a score above 0.
pub(crate) fn worth(score: u32, last: Option<Timestamp>, now: Timestamp) -> u64 {
    let age_ms = last.map_or(i64::MAX, |last| now.epoch_ms().saturating_sub(last.epoch_ms()));
    let age_ms = age_ms.clamp(0, MOST_HOURS * HOUR_MS);
    let at_hour = POINT >> (age_ms / HOUR_MS);
    // Between two full hours it falls in a straight line, minute by minute.
    let minutes = (age_ms % HOUR_MS / MINUTE_MS).cast_unsigned();
    let of_point = at_hour - at_hour * minutes / 120;
    u64::from(score) * of_point
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::later;
    use crate::testing::now;

    fn after(score: u32, minutes: i64) -> u64 {
        worth(score, Some(now()), later(now(), minutes * MINUTE_MS))
    }

    #[test]
    fn an_hour_halves_it_and_the_fall_never_stops_on_the_way() {
        assert_eq!(after(80, 0), 80 * POINT);
        assert_eq!(after(80, 30), 60 * POINT);
        assert_eq!(after(80, 60), 40 * POINT);
        assert_eq!(after(80, 120), 20 * POINT);
        for minute in 0..19 * 60 {
            assert!(after(80, minute) > after(80, minute + 1), "{minute}");
        }
    }

    #[test]
    fn the_worse_of_two_is_worth_more_unless_it_has_been_gone_for_longer() {
        assert!(after(81, 5) > after(80, 5));
        assert!(after(100, 60) < after(80, 0));
    }

    #[test]
    fn nobody_knows_when_is_long_ago_and_the_future_is_now() {
        assert_eq!(worth(80, None, now()), 80 * (POINT >> 20));
        assert_eq!(after(80, 21 * 60), after(80, 20 * 60));
        assert_eq!(after(80, -600), 80 * POINT);
        assert_eq!(worth(0, Some(now()), now()), 0);
    }
}
