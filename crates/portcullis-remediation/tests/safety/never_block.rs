//! What is never blocked, held against a search that asks every range.
//!
//! `PORTCULLIS_PREFIX_QUESTIONS` sets the number of questions of the long form.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use portcullis_remediation::{Assets, AwsRanges, NeverBlock, Protection, RESERVED};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::world::network;

/// A range as numbers, so that the search below shares no code with what it checks.
#[derive(Clone, Copy)]
struct Range {
    is_v6: bool,
    first: u128,
    last: u128,
}

impl Range {
    fn of(network: IpNet) -> Self {
        let number = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        };
        let (bits, is_v6) = if network.addr().is_ipv6() { (128, true) } else { (32, false) };
        let hosts = bits - u32::from(network.prefix_len());
        let size = 1_u128.checked_shl(hosts).map_or(u128::MAX, |size| size - 1);
        let first = number(network.addr()) & !size;
        Self { is_v6, first, last: first + size }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.is_v6 == other.is_v6 && self.first <= other.last && other.first <= self.last
    }
}

/// A network near the ranges that matter as often as anywhere.
fn any_network(random: &mut ChaCha8Rng, near: &[IpNet]) -> IpNet {
    let somewhere = match random.random_range(0..4_u8) {
        0 => IpAddr::V4(Ipv4Addr::from(random.random::<u32>())),
        1 => IpAddr::V6(Ipv6Addr::from((0x2 << 124) | (random.random::<u128>() >> 4))),
        _ => match near[random.random_range(0..near.len())].addr() {
            // The last bits and some in front of them: inside, beside, around.
            IpAddr::V4(address) => {
                let flipped = random.random::<u32>() >> random.random_range(4..32_u32);
                IpAddr::V4(Ipv4Addr::from(u32::from(address) ^ flipped))
            }
            IpAddr::V6(address) => {
                let flipped = random.random::<u128>() >> random.random_range(16..128_u32);
                IpAddr::V6(Ipv6Addr::from(u128::from(address) ^ flipped))
            }
        },
    };
    let bits = if somewhere.is_ipv4() { 32 } else { 128 };
    let length =
        if random.random_range(0..2_u8) == 0 { bits } else { random.random_range(1..=bits) };
    IpNet::new(somewhere, length).expect("a length of this family").trunc()
}

#[test]
fn never_block_agrees_with_asking_every_range_and_keeps_its_precedence() {
    let wanted = std::env::var("PORTCULLIS_PREFIX_QUESTIONS").ok();
    let wanted: u64 = wanted.map_or(40_000, |text| text.parse().expect("a number of questions"));
    let per_list = 1_000;
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let reserved: Vec<IpNet> = RESERVED.iter().map(|range| network(range.network)).collect();
    let aws: Vec<IpNet> = AwsRanges::built_in().ranges().keys().copied().collect();
    let built_in: Vec<IpNet> = reserved.iter().chain(&aws).copied().collect();
    let ranges = |networks: &[IpNet]| networks.iter().copied().map(Range::of).collect::<Vec<_>>();
    let (reserved, aws) = (ranges(&reserved), ranges(&aws));
    let mut protected = [0_u64; 6];
    for _ in 0..wanted.div_ceil(per_list) {
        let count = random.random_range(0..40_usize);
        let listed: Vec<IpNet> = (0..count).map(|_| any_network(&mut random, &built_in)).collect();
        // IPv4 in IPv6 clothes is refused by the list's reader.
        let is_mapped = |entry: &IpNet| match entry {
            IpNet::V4(_) => false,
            IpNet::V6(entry) => entry.addr().to_ipv4_mapped().is_some(),
        };
        let listed: Vec<IpNet> = listed.into_iter().filter(|entry| !is_mapped(entry)).collect();
        let (listed, rest) = listed.split_at(listed.len() / 3);
        let (proxies, owned) = rest.split_at(rest.len() / 2);
        let text = listed.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let names =
            owned.iter().map(|network| format!("{network},ours")).collect::<Vec<_>>().join("\n");
        let mut assets = Assets::default();
        assets.add("assets", &names).expect("canonical networks");
        let list = NeverBlock::parse("list", &text).expect("canonical networks");
        let list = list.with_trusted_proxies(proxies).with_assets(&assets);
        let of_operator = listed.iter().chain(proxies).chain(owned);
        let near: Vec<IpNet> = of_operator.chain(&built_in).copied().collect();
        let (listed, proxies, owned) = (ranges(listed), ranges(proxies), ranges(owned));
        for _ in 0..per_list {
            let asked = any_network(&mut random, &near);
            let range = Range::of(asked);
            let hit = |ranges: &[Range]| ranges.iter().any(|other| other.overlaps(&range));
            let expected = [&reserved, &listed, &proxies, &owned, &aws];
            let expected = expected.iter().position(|ranges| hit(ranges)).unwrap_or(5);
            let found = list.protection(asked);
            let (kind, entry) = match &found {
                Some(Protection::Reserved { entry, .. }) => (0, Some(*entry)),
                Some(Protection::NeverBlock { entry, .. }) => (1, Some(*entry)),
                Some(Protection::TrustedProxy { entry }) => (2, Some(*entry)),
                Some(Protection::Asset { entry, .. }) => (3, Some(*entry)),
                Some(Protection::Aws { entry, .. }) => (4, Some(*entry)),
                None => (5, None),
            };
            assert_eq!(kind, expected, "{asked} in {text}");
            assert!(entry.is_none_or(|entry| Range::of(entry).overlaps(&range)), "{asked}");
            protected[kind] += 1;
        }
    }
    println!("{wanted} questions: reserved, listed, proxies, owned, AWS, free: {protected:?}");
    assert!(protected.iter().all(|count| *count > 0), "{protected:?}");
}
