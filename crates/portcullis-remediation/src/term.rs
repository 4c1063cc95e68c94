//! Says how long a block lasts.
//!
//! A first offence costs an hour, because the address may belong to somebody else
//! tomorrow; whoever comes back stays out longer, up to a week. Only a person blocks
//! for longer. Blocks that were made together must not end together, or everybody
//! returns in the same minute: each term is bent by up to a tenth, by a hash of the
//! operation and the network, so that the same plan is the same plan.

use ipnet::IpNet;
use portcullis_ingest::Timestamp;
use sha2::{Digest, Sha256};

/// One minute, in milliseconds.
pub(crate) const MINUTE_MS: i64 = 60_000;
/// One hour, in milliseconds.
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;
/// One day, in milliseconds.
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// How far ahead of the clock a time may be that is believed, in milliseconds: clocks
/// differ, and nobody's is right by the second. What is further ahead is no evidence.
pub(crate) const MOST_AHEAD_MS: i64 = 5 * MINUTE_MS;

/// Steps of the terms: the first, second and third offence, and all later ones.
const STEPS: usize = 4;

/// Shortest term of a step, in milliseconds: what a new entry may take to work everywhere.
const SHORTEST_MS: i64 = 5 * MINUTE_MS;

/// Longest term of a step, in milliseconds. Only a person blocks for longer.
pub(crate) const LONGEST_MS: i64 = 7 * DAY_MS;

/// Quiet time after which earlier offences are forgotten, in milliseconds.
pub(crate) const FORGET_MS: i64 = 30 * DAY_MS;

/// How long blocks last, offence by offence.
///
/// Invariant: no step is shorter than the one before; all are 5 minutes to 7 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms([i64; STEPS]);

impl Default for Terms {
    /// 1 h, 4 h, 24 h, then 7 d.
    fn default() -> Self {
        Self([HOUR_MS, 4 * HOUR_MS, DAY_MS, LONGEST_MS])
    }
}

impl Terms {
    /// Terms of the first offence, the second and so on, in milliseconds; the last one
    /// is that of all later offences too.
    pub fn new(steps_ms: &[i64]) -> Result<Self, TermsError> {
        let last = match steps_ms {
            [_, .., last] | [last] if steps_ms.len() <= STEPS => *last,
            _ => return Err(TermsError::Count(steps_ms.len())),
        };
        let mut terms = [last; STEPS];
        terms[..steps_ms.len()].copy_from_slice(steps_ms);
        if let Some(place) = terms.iter().position(|term| *term < SHORTEST_MS) {
            return Err(TermsError::TooShort { step: place + 1 });
        }
        if let Some(place) = terms.iter().position(|term| *term > LONGEST_MS) {
            return Err(TermsError::TooLong { step: place + 1 });
        }
        match terms.windows(2).position(|pair| pair[1] < pair[0]) {
            Some(place) => Err(TermsError::Shrinks { step: place + 2 }),
            None => Ok(Self(terms)),
        }
    }

    /// How long a network is blocked for its offence number `strikes`, counted from 1, in
    /// milliseconds: its step, bent by up to 10 % either way.
    pub fn term_ms(&self, strikes: u32, operation: &str, network: IpNet) -> i64 {
        let place = (strikes.max(1) as usize - 1).min(STEPS - 1);
        let term = self.0[place];
        let digest = Sha256::digest(format!("{operation}\n{network}"));
        // 0 to 2,000 ten-thousandths, less 1,000: from a tenth less to a tenth more.
        let part = i64::from(u16::from_be_bytes([digest[0], digest[1]])) % 2_001 - 1_000;
        term + term / 10_000 * part
    }
}

/// Why terms cannot be used. Steps count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// None, or too many.
    #[error("{0} steps; expected 1 to 4")]
    Count(usize),
    /// One that ends before it works everywhere.
    #[error("step {step} is shorter than 5 minutes, which a block may take to work everywhere")]
    TooShort {
        /// Which one.
        step: usize,
    },
    /// One that only a person decides on.
    #[error("step {step} is longer than 7 days; only a person blocks for longer")]
    TooLong {
        /// Which one.
        step: usize,
    },
    /// A later offence that costs less.
    #[error("step {step} is shorter than the one before; who comes back stays out longer")]
    Shrinks {
        /// Which one.
        step: usize,
    },
}

/// `time` and `ms` milliseconds more; stops at the last instant there is.
pub(crate) fn later(time: Timestamp, ms: i64) -> Timestamp {
    Timestamp::from_epoch_ms(time.epoch_ms().saturating_add(ms)).unwrap_or(Timestamp::MAX)
}

/// Times as RFC 3339 text, in the files that people read.
pub(crate) mod rfc3339 {
    use portcullis_ingest::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    pub(crate) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(time)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        Timestamp::parse_rfc3339(text.as_bytes())
            .ok_or_else(|| de::Error::custom("expected a time such as 2025-11-04T09:12:00Z"))
    }

    /// The same for a time that may be missing.
    pub(crate) mod option {
        use super::{Deserializer, Serializer, Timestamp, de};
        use serde::Deserialize as _;

        #[expect(clippy::ref_option, reason = "serde gives a reference")]
        pub(crate) fn serialize<S: Serializer>(
            time: &Option<Timestamp>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => to.collect_str(time),
                None => to.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            let Some(text) = Option::<String>::deserialize(from)? else {
                return Ok(None);
            };
            let time = Timestamp::parse_rfc3339(text.as_bytes());
            time.map(Some)
                .ok_or_else(|| de::Error::custom("expected a time such as 2025-11-04T09:12:00Z"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::network;

    #[test]
    fn terms_grow_to_a_week_and_are_bent_by_a_tenth_at_most() {
        for (strikes, hours) in [(0, 1), (1, 1), (2, 4), (3, 24), (4, 168), (9, 168)] {
            let whole = hours * HOUR_MS;
            let mut seen = std::collections::BTreeSet::new();
            for number in 0..200 {
                let address = std::net::Ipv4Addr::from(0xc612_0000_u32 + number);
                let term = Terms::default().term_ms(
                    strikes,
                    "op-1",
                    IpNet::from(std::net::IpAddr::V4(address)),
                );
                assert!((whole * 9 / 10..=whole * 11 / 10).contains(&term), "{strikes}: {term}");
                seen.insert(term);
            }
            assert!(seen.len() > 100, "blocks made together end at {} times", seen.len());
        }
    }

    #[test]
    fn the_same_operation_gives_the_same_term() {
        let source = network("198.18.0.1/32");
        assert_eq!(
            Terms::default().term_ms(2, "op-1", source),
            Terms::default().term_ms(2, "op-1", source)
        );
        assert_ne!(
            Terms::default().term_ms(2, "op-1", source),
            Terms::default().term_ms(2, "op-2", source)
        );
    }

    #[test]
    fn fewer_steps_repeat_the_last() {
        let terms = Terms::new(&[HOUR_MS, DAY_MS]).expect("good terms");
        let source = network("198.18.0.1/32");
        for strikes in 2..6 {
            assert_eq!(terms.term_ms(strikes, "op-1", source), terms.term_ms(2, "op-1", source));
        }
        assert!(terms.term_ms(1, "op-1", source) < 2 * HOUR_MS);
        assert_eq!(Terms::new(&[HOUR_MS, 4 * HOUR_MS, DAY_MS, 7 * DAY_MS]), Ok(Terms::default()));
    }

    #[test]
    fn terms_without_sense_are_refused() {
        for (steps, expected) in [
            (&[][..], TermsError::Count(0)),
            (&[HOUR_MS; 5], TermsError::Count(5)),
            (&[5 * MINUTE_MS - 1, HOUR_MS], TermsError::TooShort { step: 1 }),
            (&[HOUR_MS, 7 * DAY_MS + 1], TermsError::TooLong { step: 2 }),
            (&[HOUR_MS, 2 * HOUR_MS, HOUR_MS], TermsError::Shrinks { step: 3 }),
        ] {
            assert_eq!(Terms::new(steps), Err(expected), "{steps:?}");
        }
        assert!(Terms::new(&[5 * MINUTE_MS, 7 * DAY_MS]).is_ok());
    }
}
