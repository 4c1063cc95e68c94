//! Says which networks may be blocked to keep out several offenders with one entry.
//!
//! A wide block hits people of whom the logs say nothing. So it is made only where
//! there is no room for the offenders one by one, and only where all of this holds:
//! it is not wider than a limit; nothing in it is never blocked, was decided to be left
//! alone, or was taken out by a person; strangers who were seen in it made hardly a
//! good request; and at least half of the *subscribers* that it could hold are
//! offenders, so that the unseen cannot be many. A subscriber is one address of IPv4
//! and one /56 of IPv6.
//!
//! Without a count of what strangers did nothing is merged.
//!
//! Source for the /56: RIPE-690, "Best Current Operational Practice for Operators: IPv6
//! prefix assignment for end-users", section 4.2.

use std::collections::BTreeSet;

use ipnet::IpNet;
use portcullis_detection::Traffic;

use crate::fit::Candidate;
use crate::prefix::overlapping;
use crate::protect::NeverBlock;

/// The least that an IPv6 subscriber gets, in bits.
const SUBSCRIBER_V6: u8 = 56;

/// How far blocks may be widened where there is not room for all offenders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeLimits {
    /// Shortest prefix of IPv4, in bits.
    pub widest_v4: u8,
    /// Shortest prefix of IPv6, in bits.
    pub widest_v6: u8,
    /// Good requests of strangers in one network that may be blocked.
    pub good_requests: u64,
}

impl MergeLimits {
    /// Every block is one address or one /64, whoever is left out.
    pub const NONE: Self = Self { widest_v4: 32, widest_v6: 64, good_requests: 0 };
}

impl Default for MergeLimits {
    /// A /24, a /48, and no good request of a stranger.
    fn default() -> Self {
        Self { widest_v4: 24, widest_v6: 48, good_requests: 0 }
    }
}

/// What a wider block is held against.
pub(crate) struct Merging<'a> {
    pub(crate) limits: MergeLimits,
    pub(crate) never_block: &'a NeverBlock,
    /// What sources did well, if that was counted.
    pub(crate) traffic: Option<&'a Traffic>,
    /// Networks that a decision leaves alone.
    pub(crate) left_alone: &'a BTreeSet<IpNet>,
}

impl Merging<'_> {
    /// Whether `network` may be blocked for the sake of the `offenders` in it.
    pub(crate) fn may_merge(&self, network: IpNet, offenders: &[Candidate]) -> bool {
        let widest = match network {
            IpNet::V4(_) => self.limits.widest_v4,
            IpNet::V6(_) => self.limits.widest_v6,
        };
        network.prefix_len() >= widest.max(1)
            && is_half_full(network, offenders)
            && self.never_block.protection(network).is_none()
            && overlapping(self.left_alone, network).is_none()
            && self
                .good_requests_of_strangers(network, offenders)
                .is_some_and(|good| good <= self.limits.good_requests)
    }

    fn good_requests_of_strangers(&self, network: IpNet, offenders: &[Candidate]) -> Option<u64> {
        let is_stranger = |source: &IpNet| {
            offenders.binary_search_by_key(source, |offender| offender.source).is_err()
        };
        let strangers = self.traffic?.within(network).filter(|(source, _)| is_stranger(source));
        Some(strangers.map(|(_, traffic)| traffic.good_requests).sum())
    }
}

/// Whether at least half of the subscribers that the network can hold are offenders.
fn is_half_full(network: IpNet, offenders: &[Candidate]) -> bool {
    let (subscriber, guilty) = match network {
        IpNet::V4(_) => (32, offenders.len()),
        IpNet::V6(_) => {
            let subscriber_of = |offender: &Candidate| {
                let address = offender.source.addr();
                IpNet::new(address, SUBSCRIBER_V6).expect("56 is a length").trunc()
            };
            let subscribers: BTreeSet<_> = offenders.iter().map(subscriber_of).collect();
            (SUBSCRIBER_V6, subscribers.len())
        }
    };
    let width = u32::from(subscriber.saturating_sub(network.prefix_len()));
    (guilty as u64)
        .checked_mul(2)
        .zip(1_u64.checked_shl(width))
        .is_some_and(|(twice, all)| twice >= all)
}

#[cfg(test)]
mod tests {
    use portcullis_detection::SourceTraffic;

    use super::*;
    use crate::testing::network;

    /// What a wider block is held against, and nothing speaks against any.
    struct Case {
        limits: MergeLimits,
        never_block: NeverBlock,
        traffic: Option<Traffic>,
        left_alone: BTreeSet<IpNet>,
    }

    impl Default for Case {
        fn default() -> Self {
            Self {
                limits: MergeLimits::default(),
                never_block: NeverBlock::built_in(),
                traffic: Some(Traffic::default()),
                left_alone: BTreeSet::new(),
            }
        }
    }

    impl Case {
        /// Whether the network may be blocked for these offenders.
        fn may_merge(&self, wide: &str, offenders: &[&str]) -> bool {
            let candidate = |source: &&str| Candidate { source: network(source), worth: 1 };
            let mut offenders: Vec<_> = offenders.iter().map(candidate).collect();
            offenders.sort_by_key(|offender| offender.source);
            let merging = Merging {
                limits: self.limits,
                never_block: &self.never_block,
                traffic: self.traffic.as_ref(),
                left_alone: &self.left_alone,
            };
            merging.may_merge(network(wide), &offenders)
        }
    }

    const FOUR: [&str; 4] = ["198.18.0.0/32", "198.18.0.1/32", "198.18.0.2/32", "198.18.0.7/32"];

    #[test]
    fn half_of_the_subscribers_must_be_offenders() {
        let case = Case::default();
        assert!(case.may_merge("198.18.0.0/29", &FOUR));
        assert!(!case.may_merge("198.18.0.0/29", &FOUR[1..]));
        // One /56 is one subscriber, however few of its /64s were seen.
        let two = ["2001:db8:0:1::/64", "2001:db8:0:fe::/64"];
        assert!(case.may_merge("2001:db8::/56", &two));
        let three = ["2001:db8:0:1::/64", "2001:db8:0:100::/64", "2001:db8:0:101::/64"];
        assert!(case.may_merge("2001:db8::/55", &three));
        assert!(case.may_merge("2001:db8::/54", &three));
        assert!(!case.may_merge("2001:db8::/53", &three));
    }

    #[test]
    fn no_network_is_wider_than_the_limit() {
        let all: Vec<_> = (0..512).map(|n| format!("198.18.{}.{}/32", n / 256, n % 256)).collect();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        let case = Case::default();
        assert!(case.may_merge("198.18.0.0/24", &all[..256]));
        assert!(!case.may_merge("198.18.0.0/23", &all));
        let narrow = Case { limits: MergeLimits::NONE, ..Case::default() };
        assert!(!narrow.may_merge("198.18.0.0/31", &all[..2]));
        let subscribers: Vec<_> = (0..512).map(|n| format!("2001:db8:{n:x}::/64")).collect();
        let subscribers: Vec<_> = subscribers.iter().map(String::as_str).collect();
        assert!(!case.may_merge("2001:db8::/47", &subscribers[..2]));
        let wide = MergeLimits { widest_v6: 39, ..MergeLimits::default() };
        let wide = Case { limits: wide, ..Case::default() };
        assert!(!wide.may_merge("2001:db8::/39", &subscribers), "one /56 in 256 is not half");
    }

    #[test]
    fn strangers_who_did_well_forbid_it_and_offenders_do_not() {
        let well = |good_requests| SourceTraffic { good_requests, ..SourceTraffic::default() };
        let mut traffic = Traffic::default();
        traffic.add(network("198.18.0.2/32"), well(50));
        traffic.add(network("198.18.0.8/32"), well(50));
        let mut case = Case { traffic: Some(traffic.clone()), ..Case::default() };
        assert!(case.may_merge("198.18.0.0/29", &FOUR));
        traffic.add(network("198.18.0.3/32"), well(2));
        traffic.add(network("198.18.0.4/32"), well(1));
        case.traffic = Some(traffic);
        for (good_requests, expected) in [(0, false), (2, false), (3, true)] {
            case.limits.good_requests = good_requests;
            assert_eq!(case.may_merge("198.18.0.0/29", &FOUR), expected, "{good_requests}");
        }
        case.traffic = None;
        assert!(!case.may_merge("198.18.0.0/29", &FOUR), "nobody counted what strangers did");
    }

    #[test]
    fn who_is_protected_or_left_alone_is_not_blocked_with_the_neighbours() {
        let never_block = NeverBlock::parse("list", "198.18.0.5").expect("a list");
        let case = Case { never_block, ..Case::default() };
        assert!(!case.may_merge("198.18.0.0/29", &FOUR));
        for (alone, expected) in
            [("198.18.0.6/32", false), ("198.18.0.0/16", false), ("198.18.0.8/32", true)]
        {
            let case = Case { left_alone: BTreeSet::from([network(alone)]), ..Case::default() };
            assert_eq!(case.may_merge("198.18.0.0/29", &FOUR), expected, "{alone}");
        }
    }
}
