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

/// Terms of the first, second and third offence and of all later ones, in milliseconds.
const TERMS_MS: [i64; 4] = [HOUR_MS, 4 * HOUR_MS, DAY_MS, 7 * DAY_MS];

/// Quiet time after which earlier offences are forgotten, in milliseconds.
pub(crate) const FORGET_MS: i64 = 30 * DAY_MS;

/// How long a network is blocked for its offence number `strikes`, counted from 1, in
/// milliseconds: 1 h, 4 h, 24 h, then 7 d, each bent by up to 10 % either way.
pub fn term_ms(strikes: u32, operation: &str, network: IpNet) -> i64 {
    let place = (strikes.max(1) as usize - 1).min(TERMS_MS.len() - 1);
    let term = TERMS_MS[place];
    let digest = Sha256::digest(format!("{operation}\n{network}"));
    // 0 to 2,000 ten-thousandths, less 1,000: from a tenth less to a tenth more.
    let part = i64::from(u16::from_be_bytes([digest[0], digest[1]])) % 2_001 - 1_000;
    term + term / 10_000 * part
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
                let term = term_ms(strikes, "op-1", IpNet::from(std::net::IpAddr::V4(address)));
                assert!((whole * 9 / 10..=whole * 11 / 10).contains(&term), "{strikes}: {term}");
                seen.insert(term);
            }
            assert!(seen.len() > 100, "blocks made together end at {} times", seen.len());
        }
    }

    #[test]
    fn the_same_operation_gives_the_same_term() {
        let source = network("198.18.0.1/32");
        assert_eq!(term_ms(2, "op-1", source), term_ms(2, "op-1", source));
        assert_ne!(term_ms(2, "op-1", source), term_ms(2, "op-2", source));
    }
}
