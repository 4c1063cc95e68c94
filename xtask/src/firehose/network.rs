//! Hands out client addresses so that honest and hostile ones never meet.
//!
//! Addresses come only from the benchmarking network `198.18.0.0/15` and the
//! documentation network `2001:db8::/32`, so a simulation names nobody. The range
//! can be cut into sixteen blocks: simulations that use different blocks can be
//! scanned together without their clients becoming one.
//!
//! Inside a block, the last sixteenth of the IPv4 addresses and the upper /64
//! networks belong to attackers; the rest to honest clients.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How many blocks the range can be cut into.
pub(crate) const BLOCKS: u32 = 16;

const V4_BASE: u32 = u32::from_be_bytes([198, 18, 0, 0]);
const V4_SIZE: u32 = 1 << 17;
/// First /64 number (of 65,536 in a block's /48) that belongs to attackers.
const HOSTILE_SUBNET: u16 = 0xf000;

/// The addresses of one simulation, handed out one by one.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    base: u32,
    honest_size: u32,
    size: u32,
    site: u16,
    honest_v4: u32,
    hostile_v4: u32,
    honest_v6: u16,
    hostile_v6: u16,
}

impl Network {
    /// The addresses of a block, or of the whole range.
    pub(crate) fn new(block: Option<u32>) -> Self {
        let size = if block.is_some() { V4_SIZE / BLOCKS } else { V4_SIZE };
        Self {
            base: V4_BASE + block.unwrap_or(0) * size,
            honest_size: size - size / 16,
            size,
            site: block.map_or(0, |block| block as u16 + 1),
            honest_v4: 0,
            hostile_v4: 0,
            honest_v6: 0,
            hostile_v6: 0,
        }
    }

    /// The next honest IPv4 address; after the last the first comes again.
    pub(crate) fn honest_v4(&mut self) -> IpAddr {
        // 7,919 has no factor in common with the sizes, so the walk visits every
        // address once and neighbours in time are not neighbours in number.
        loop {
            let offset = (u64::from(self.honest_v4) * 7_919 % u64::from(self.honest_size)) as u32;
            self.honest_v4 += 1;
            let address = Ipv4Addr::from(self.base + offset);
            if !matches!(address.octets()[3], 0 | 255) {
                return address.into();
            }
        }
    }

    /// The next hostile IPv4 address.
    pub(crate) fn hostile_v4(&mut self) -> IpAddr {
        let hostile_size = self.size - self.honest_size;
        let offset = self.honest_size + 9 + self.hostile_v4 * 37 % (hostile_size - 16);
        self.hostile_v4 += 1;
        Ipv4Addr::from(self.base + offset).into()
    }

    /// An address in the next honest /64.
    pub(crate) fn honest_v6(&mut self, host: u64) -> IpAddr {
        let subnet = self.honest_v6 % HOSTILE_SUBNET;
        self.honest_v6 = (subnet + 1) % HOSTILE_SUBNET;
        self.subnet(subnet) | host
    }

    /// The next hostile /64.
    pub(crate) fn hostile_v6(&mut self) -> Subnet {
        let subnet = HOSTILE_SUBNET + self.hostile_v6 % 0x0fff;
        self.hostile_v6 += 1;
        self.subnet(subnet)
    }

    fn subnet(&self, number: u16) -> Subnet {
        Subnet(Ipv6Addr::new(0x2001, 0xdb8, self.site, number, 0, 0, 0, 0))
    }
}

/// An IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet(Ipv6Addr);

impl std::ops::BitOr<u64> for Subnet {
    type Output = IpAddr;

    fn bitor(self, host: u64) -> IpAddr {
        Ipv6Addr::from(u128::from(self.0) | u128::from(host)).into()
    }
}

/// What a detector can tell apart: an IPv4 address, or the /64 of an IPv6 one.
pub(crate) fn source(client: IpAddr) -> String {
    match client {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let subnet = Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX));
            format!("{subnet}/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn honest_and_hostile_addresses_are_disjoint() {
        for block in [None, Some(0), Some(15)] {
            let mut network = Network::new(block);
            let honest: BTreeSet<IpAddr> = (0..7_000).map(|_| network.honest_v4()).collect();
            assert_eq!(honest.len(), 7_000, "an address was handed out twice");
            assert!((0..400).all(|_| !honest.contains(&network.hostile_v4())));
            let subnets: BTreeSet<String> =
                (0..5_000).map(|host| source(network.honest_v6(host))).collect();
            assert_eq!(subnets.len(), 5_000);
            assert!((0..50).all(|_| !subnets.contains(&source(network.hostile_v6() | 1))));
        }
    }

    #[test]
    fn blocks_do_not_overlap() {
        let addresses = |block| {
            let mut network = Network::new(Some(block));
            (0..3_000)
                .flat_map(|_| [network.honest_v4(), network.hostile_v4(), network.honest_v6(1)])
                .collect::<BTreeSet<IpAddr>>()
        };
        for block in 1..BLOCKS {
            assert!(addresses(block - 1).is_disjoint(&addresses(block)));
        }
    }

    #[test]
    fn every_address_is_reserved_for_tests() {
        let mut network = Network::new(Some(BLOCKS - 1));
        for _ in 0..8_000 {
            for address in [network.honest_v4(), network.hostile_v4()] {
                let IpAddr::V4(address) = address else { panic!("{address} is not IPv4") };
                assert!(matches!(address.octets(), [198, 18 | 19, _, _]), "{address}");
            }
        }
    }

    #[test]
    fn a_source_is_an_address_or_a_64() {
        assert_eq!(source("198.18.0.9".parse().expect("valid")), "198.18.0.9");
        assert_eq!(source("2001:db8:1:f000::9".parse().expect("valid")), "2001:db8:1:f000::/64");
    }
}
