//! Counts what blocks would have taken away from those who did nothing wrong.
//!
//! The window that the evidence comes from is played again with the blocks in place:
//! each good request of a source inside an entry would have been refused. That is the
//! *blast radius* of a plan, and the brakes are held against it.
//!
//! An attacker's own successes are the hard part. Whoever walks through the numbers of
//! other people's orders is let in now and then, on an account of his own, and at an API
//! with few clients that is more than the brakes allow: they would stop the run because
//! the attack went on for a while. Whom the rules fired on cannot decide what is left
//! out, for the brakes are there for the day on which the rules are wrong. So the share
//! does: a source that is answered well in fewer than one in twenty of the requests that
//! one rule holds against it has *yield*, no good traffic. A wrong rule that fires on
//! honest clients does not make it so, because most of what they send is answered well.
//!
//! Requests that AWS WAF stopped are not good ones. Principals are counted once, and
//! all of a source's as soon as one of its good requests would have been refused,
//! because the scan does not keep who made which: a little too many, never too few.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use portcullis_detection::{Offender, SourceTraffic, Traffic};

use crate::brake::BlastRadius;

/// What one entry would have blocked of good traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collateral {
    /// Good requests.
    pub good_requests: u64,
    /// Different principals behind the sources that made them.
    pub principals: u64,
}

/// Requests held against an offender for each good one, above which the good ones are
/// yield. A guess: guessed ids and passwords are right more rarely, and a client that
/// somebody depends on is answered well more often, even on a day with an outage.
const HELD_AGAINST_EACH_YIELD: u64 = 20;

/// What each entry would have blocked, yield included, for whoever reviews them.
pub(crate) fn collateral(
    entries: &BTreeSet<IpNet>,
    traffic: &Traffic,
) -> BTreeMap<IpNet, Collateral> {
    let of_entry = |entry: &IpNet| (*entry, total(traffic.within(*entry).map(|(_, well)| well)));
    entries.iter().map(of_entry).collect()
}

/// What all entries together would have blocked, for the brakes. What has only yield is
/// left out on both sides.
pub(crate) fn blast_radius(
    entries: &BTreeSet<IpNet>,
    traffic: &Traffic,
    offenders: &[Offender],
) -> BlastRadius {
    let held_against: BTreeMap<IpNet, u64> = offenders
        .iter()
        .map(|offender| (offender.source.trunc(), held_against(offender)))
        .collect();
    let is_good = |(source, well): &(IpNet, &SourceTraffic)| {
        let held_against = held_against.get(source).copied().unwrap_or_default();
        well.good_requests * HELD_AGAINST_EACH_YIELD >= held_against
    };
    // Entries may lie inside one another, and each source counts once.
    let blocked = entries.iter().flat_map(|entry| traffic.within(*entry)).filter(is_good);
    let blocked = total(blocked.collect::<BTreeMap<_, _>>().into_values());
    let all = total(traffic.sources().filter(is_good).map(|(_, well)| well));
    BlastRadius {
        good_requests: all.good_requests,
        blocked_good_requests: blocked.good_requests,
        principals: all.principals,
        blocked_principals: blocked.principals,
    }
}

fn total<'t>(sources: impl Iterator<Item = &'t SourceTraffic>) -> Collateral {
    let mut good_requests = 0;
    let mut principals: BTreeSet<u64> = BTreeSet::new();
    for well in sources {
        good_requests += well.good_requests;
        principals.extend(&well.principals);
    }
    Collateral { good_requests, principals: principals.len() as u64 }
}

/// Requests held against an offender, at least: rules overlap, so those of the one rule
/// with the most.
fn held_against(offender: &Offender) -> u64 {
    let in_full = offender.detections.iter().filter(|detection| detection.suggests.is_none());
    in_full.map(|detection| detection.requests).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use portcullis_detection::SuggestsOnly;

    use super::*;
    use crate::testing::{network, offender};

    #[test]
    fn each_good_request_and_principal_counts_once() {
        let mut traffic = Traffic::default();
        for (source, good_requests, principals) in [
            ("198.18.0.1/32", 10, vec![1, 2]),
            ("198.18.0.2/32", 20, vec![2, 3]),
            ("198.18.7.1/32", 70, vec![4]),
            ("2001:db8::/64", 5, vec![]),
        ] {
            let principals = principals.into_iter().collect();
            traffic.add(network(source), SourceTraffic { good_requests, principals });
        }
        let texts = ["198.18.0.0/30", "198.18.0.2/32", "203.0.113.1/32", "2001:db8::/64"];
        let entries = texts.map(network).into();
        let each = collateral(&entries, &traffic);
        let of = |text| {
            let Collateral { good_requests, principals } = each[&network(text)];
            (good_requests, principals)
        };
        assert_eq!(texts.map(of), [(30, 3), (20, 2), (0, 0), (5, 0)]);
        assert_eq!(
            blast_radius(&entries, &traffic, &[]),
            BlastRadius {
                good_requests: 105,
                blocked_good_requests: 35,
                principals: 4,
                blocked_principals: 3,
            }
        );
    }
    /// The blast radius of a block of one offender, beside a client with 1,000 good
    /// requests on an account of its own.
    #[track_caller]
    fn check(attacker: &Offender, expected: (u64, u64, u64, u64)) {
        let mut traffic = Traffic::default();
        for (source, good_requests, principal) in
            [(network("198.18.7.1/32"), 1_000, 1), (attacker.source, attacker.good_requests, 2)]
        {
            let principals = [principal].into();
            traffic.add(source, SourceTraffic { good_requests, principals });
        }
        let entries = [attacker.source].into();
        let found = blast_radius(&entries, &traffic, std::slice::from_ref(attacker));
        let found = (
            found.blocked_good_requests,
            found.good_requests,
            found.blocked_principals,
            found.principals,
        );
        assert_eq!(found, expected);
        // Whoever reviews the block sees all of it.
        let each = collateral(&entries, &traffic);
        assert_eq!(each[&attacker.source].good_requests, attacker.good_requests);
    }

    /// One offender of whose requests a rule holds so many against it.
    fn attacker(held_against: u64, good_requests: u64) -> Offender {
        let mut attacker = Offender { good_requests, ..offender("203.0.113.9/32") };
        attacker.detections[0].requests = held_against;
        attacker
    }

    #[test]
    fn a_guess_in_twenty_that_comes_right_is_yield_and_one_more_is_good_traffic() {
        check(&attacker(2_000, 99), (0, 1_000, 0, 1));
        check(&attacker(2_000, 100), (100, 1_100, 1, 2));
    }

    #[test]
    fn a_wrong_rule_that_fires_on_an_honest_client_leaves_what_it_does_well_in_the_count() {
        // Every second request of a client that is answered well.
        check(&attacker(200, 200), (200, 1_200, 1, 2));
        // Any of two rules suffices, and what only suggests does not.
        let mut twice = attacker(2_000, 90);
        twice.detections.push(attacker(10, 0).detections.remove(0));
        check(&twice, (0, 1_000, 0, 1));
        twice.detections[0].suggests = Some(SuggestsOnly::WafUnknown);
        check(&twice, (90, 1_090, 1, 2));
    }

    #[test]
    fn an_account_that_honest_clients_use_too_is_counted_with_them() {
        let mut traffic = Traffic::default();
        for source in ["198.18.7.1/32", "203.0.113.9/32"] {
            let well = SourceTraffic { good_requests: 10, principals: [1].into() };
            traffic.add(network(source), well);
        }
        let attacker = attacker(2_000, 10);
        let both = ["198.18.7.1/32", "203.0.113.9/32"].map(network).into();
        let found = blast_radius(&both, &traffic, &[attacker]);
        assert_eq!((found.blocked_principals, found.blocked_good_requests), (1, 10));
    }
}
