//! Counts what blocks would have taken away from those who did nothing wrong.
//!
//! The window that the evidence comes from is played again with the blocks in place:
//! each good request of a source inside an entry would have been refused. That is the
//! *blast radius* of a plan, and the brakes are held against it.
//!
//! Requests that AWS WAF stopped are not good ones. Principals are counted once, and
//! all of a source's as soon as one of its good requests would have been refused,
//! because the scan does not keep who made which: a little too many, never too few.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use portcullis_detection::Traffic;

use crate::brake::BlastRadius;

/// What one entry would have blocked of good traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collateral {
    /// Good requests.
    pub good_requests: u64,
    /// Different principals behind the sources that made them.
    pub principals: u64,
}

/// What the entries would have blocked, each and all together.
pub(crate) fn collateral(
    entries: impl IntoIterator<Item = IpNet>,
    traffic: &Traffic,
) -> (BTreeMap<IpNet, Collateral>, BlastRadius) {
    let mut each = BTreeMap::new();
    let mut blocked: BTreeMap<IpNet, u64> = BTreeMap::new();
    let mut all_principals: BTreeSet<u64> = BTreeSet::new();
    for entry in entries {
        let mut good_requests = 0;
        let mut principals = BTreeSet::new();
        for (source, well) in traffic.within(entry) {
            good_requests += well.good_requests;
            principals.extend(&well.principals);
            blocked.insert(source, well.good_requests);
        }
        each.insert(entry, Collateral { good_requests, principals: principals.len() as u64 });
        all_principals.append(&mut principals);
    }
    let blast_radius = BlastRadius {
        good_requests: traffic.good_requests(),
        blocked_good_requests: blocked.values().sum(),
        principals: traffic.principals(),
        blocked_principals: all_principals.len() as u64,
    };
    (each, blast_radius)
}

#[cfg(test)]
mod tests {
    use portcullis_detection::SourceTraffic;

    use super::*;
    use crate::testing::network;

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
        let entries = ["198.18.0.0/30", "198.18.0.2/32", "203.0.113.1/32", "2001:db8::/64"];
        let (each, whole) = collateral(entries.map(network), &traffic);
        let of = |text| {
            let Collateral { good_requests, principals } = each[&network(text)];
            (good_requests, principals)
        };
        assert_eq!(entries.map(of), [(30, 3), (20, 2), (0, 0), (5, 0)]);
        assert_eq!(
            whole,
            BlastRadius {
                good_requests: 105,
                blocked_good_requests: 35,
                principals: 4,
                blocked_principals: 3,
            }
        );
    }
}
