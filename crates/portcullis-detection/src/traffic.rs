//! Sums up what sources do well, for whoever has to know what a block would cost.
//!
//! Findings name those who did wrong. What a block would take away from those who did
//! not is in the other requests: of sources that nothing speaks against, and of the
//! offenders themselves. A request counts as good as in [`crate::Offender`]: answered
//! 2xx or 3xx, not flagged, and not stopped by AWS WAF.
//!
//! A source without a good request does not count: blocking it takes nothing away. What
//! is kept of each is a number and the fingerprints of its principals, which the scan
//! holds anyway, at most 1,000 of each source.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

/// What one source did well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceTraffic {
    /// Good requests.
    pub good_requests: u64,
    /// Fingerprints of its principals, or of API keys where no principal is logged. All
    /// of them count as behind the good requests, so that no fewer are told than there
    /// are.
    pub principals: BTreeSet<u64>,
}

/// What all sources did well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    sources: BTreeMap<IpNet, SourceTraffic>,
}

impl Traffic {
    /// Takes in what one source did well; of one that is known it is added.
    pub fn add(&mut self, source: IpNet, traffic: SourceTraffic) {
        // The principals of a source that did nothing well so far may count later.
        if traffic != SourceTraffic::default() {
            let known = self.sources.entry(source).or_default();
            known.good_requests += traffic.good_requests;
            known.principals.extend(traffic.principals);
        }
    }

    /// Takes in all that another one knows.
    pub fn merge(&mut self, other: Self) {
        for (source, traffic) in other.sources {
            self.add(source, traffic);
        }
    }

    /// The sources that did anything well, in order of network.
    pub fn sources(&self) -> impl Iterator<Item = (IpNet, &SourceTraffic)> {
        good(self.sources.iter())
    }

    /// The sources inside `network` that did anything well, in order.
    pub fn within(&self, network: IpNet) -> impl Iterator<Item = (IpNet, &SourceTraffic)> {
        let first = IpNet::new(network.network(), 0).expect("0 is a length");
        let last = IpNet::from(network.broadcast());
        let near = self.sources.range(first..=last);
        good(near).filter(move |(source, _)| network.contains(source))
    }

    /// Good requests of all sources together.
    pub fn good_requests(&self) -> u64 {
        self.sources.values().map(|source| source.good_requests).sum()
    }

    /// Different principals of all sources together.
    pub fn principals(&self) -> u64 {
        let principals = self.sources().flat_map(|(_, source)| &source.principals);
        principals.collect::<BTreeSet<_>>().len() as u64
    }
}

fn good<'t>(
    sources: impl Iterator<Item = (&'t IpNet, &'t SourceTraffic)>,
) -> impl Iterator<Item = (IpNet, &'t SourceTraffic)> {
    let did_well = sources.filter(|(_, traffic)| traffic.good_requests > 0);
    did_well.map(|(source, traffic)| (*source, traffic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> IpNet {
        text.parse().expect("a network")
    }

    fn traffic() -> Traffic {
        let mut traffic = Traffic::default();
        for (source, good_requests, principals) in [
            ("198.18.0.0/32", 1, vec![1]),
            ("198.18.0.255/32", 2, vec![1, 2]),
            ("198.18.1.0/32", 4, vec![3]),
            ("198.18.0.7/32", 0, vec![9]),
            ("2001:db8::/64", 8, vec![]),
            ("2001:db8:0:ff::/64", 16, vec![]),
            ("2001:db8:0:100::/64", 32, vec![]),
        ] {
            let principals = principals.into_iter().collect();
            traffic.add(network(source), SourceTraffic { good_requests, principals });
        }
        traffic
    }

    #[test]
    fn a_network_holds_its_first_and_last_source_and_no_neighbour() {
        let traffic = traffic();
        let good = |text: &str| -> u64 {
            traffic.within(network(text)).map(|(_, source)| source.good_requests).sum()
        };
        assert_eq!(good("198.18.0.0/24"), 3);
        assert_eq!(good("198.18.0.0/32"), 1);
        assert_eq!(good("198.18.0.0/23"), 7);
        assert_eq!(good("198.18.0.1/32"), 0);
        assert_eq!(good("2001:db8::/56"), 24);
        assert_eq!(good("::/0"), 56);
    }

    #[test]
    fn principals_are_counted_once_and_quiet_sources_not_at_all() {
        let mut traffic = traffic();
        assert_eq!((traffic.good_requests(), traffic.principals()), (63, 3));
        assert!(traffic.sources().all(|(source, _)| source != network("198.18.0.7/32")));
        traffic.merge(self::traffic());
        assert_eq!((traffic.good_requests(), traffic.principals()), (126, 3));
    }
}
