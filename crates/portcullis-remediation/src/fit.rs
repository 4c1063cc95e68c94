//! Finds room for more offenders than there is room for.
//!
//! As long as there is room, each block is one address or one IPv6 /64. When there is
//! not, neighbours may share an entry, if the network that holds them holds hardly
//! anybody else; and of what then remains the best are kept. That choice is exact:
//! networks hold each other or are apart, so the widest that may be blocked is never
//! worth less than those inside it, and the entries that are worth most together are
//! those that are worth most each.
//!
//! An entry is not widened without need: what room is left goes into splitting the
//! networks again, the one with most strangers first.
//!
//! Who may be blocked, and what a network may hold besides, is for others to say.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// A source that is to be blocked if there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// One address or one /64; no two of one family are the same.
    pub(crate) source: IpNet,
    /// See [`crate::worth`].
    pub(crate) worth: u64,
}

/// One entry and the candidates that it blocks, in order of network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The source itself, or the smallest network that holds all sources.
    pub(crate) network: IpNet,
    /// The sources.
    pub(crate) sources: Vec<Candidate>,
}

impl Part {
    fn new(sources: &[Candidate]) -> Self {
        let network = smallest_around(sources);
        Self { network, sources: sources.to_vec() }
    }

    fn worth(&self) -> u128 {
        self.sources.iter().map(|candidate| u128::from(candidate.worth)).sum()
    }

    /// Addresses, or /64s, of which nobody was found guilty; what matters is the order.
    fn strangers(&self) -> u64 {
        let width = self.sources[0].source.prefix_len() - self.network.prefix_len();
        (1_u64 << width.min(63)) - self.sources.len() as u64
    }
}

/// At most `room` entries, the most worthy first, that together keep out as much as any
/// choice of so many could. `may_merge` says whether a network may be blocked to keep
/// out the candidates in it; it is not asked while there is room for all.
pub(crate) fn fit(
    mut candidates: Vec<Candidate>,
    room: usize,
    may_merge: impl Fn(IpNet, &[Candidate]) -> bool,
) -> Vec<Part> {
    candidates.sort_unstable_by_key(|candidate| candidate.source);
    let mut parts = if candidates.len() <= room || room == 0 {
        candidates.iter().map(|candidate| Part::new(std::slice::from_ref(candidate))).collect()
    } else {
        let parts = widest(&candidates, &may_merge);
        narrowed(parts, room, &may_merge)
    };
    parts.sort_by_key(|part| (Reverse(part.worth()), part.network));
    parts.truncate(room);
    parts
}

/// The widest networks that may be blocked, and the candidates that are in none.
fn widest(candidates: &[Candidate], may_merge: &impl Fn(IpNet, &[Candidate]) -> bool) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = vec![candidates];
    while let Some(sources) = rest.pop() {
        if sources.len() <= 1 || may_merge(smallest_around(sources), sources) {
            parts.extend((!sources.is_empty()).then(|| Part::new(sources)));
        } else {
            rest.extend(halves(sources));
        }
    }
    parts
}

/// Splits networks again as long as there is room for the pieces.
fn narrowed(
    parts: Vec<Part>,
    room: usize,
    may_merge: &impl Fn(IpNet, &[Candidate]) -> bool,
) -> Vec<Part> {
    let mut count = parts.len();
    let mut done = Vec::new();
    let mut wide: BTreeMap<(Reverse<u64>, IpNet), Part> = BTreeMap::new();
    let sort_in = |part: Part, wide: &mut BTreeMap<_, _>, done: &mut Vec<_>| {
        if part.sources.len() == 1 {
            done.push(part);
        } else {
            wide.insert((Reverse(part.strangers()), part.network), part);
        }
    };
    for part in parts {
        sort_in(part, &mut wide, &mut done);
    }
    while let Some((_, part)) = wide.pop_first() {
        let halves = halves(&part.sources);
        let pieces: Vec<_> = halves.iter().flat_map(|half| widest(half, may_merge)).collect();
        if count - 1 + pieces.len() > room {
            done.push(part);
            continue;
        }
        count = count - 1 + pieces.len();
        for piece in pieces {
            sort_in(piece, &mut wide, &mut done);
        }
    }
    done
}

/// The candidates before and after the middle of the smallest network around them; at
/// least one on either side. There must be two, in order.
fn halves(sources: &[Candidate]) -> [&[Candidate]; 2] {
    let network = smallest_around(sources);
    let bit = 127 - u32::from(network.prefix_len() + offset(network));
    let is_low = |candidate: &Candidate| bits(candidate.source) >> bit & 1 == 0;
    let (low, high) = sources.split_at(sources.partition_point(is_low));
    [low, high]
}

/// The smallest network that holds all of the candidates, which are in order.
fn smallest_around(sources: &[Candidate]) -> IpNet {
    let (first, last) = (sources[0].source, sources[sources.len() - 1].source);
    let common = (bits(first) ^ bits(last)).leading_zeros() as u8 - offset(first);
    let length = common.min(first.prefix_len());
    IpNet::new(first.addr(), length).expect("no longer than the source's own").trunc()
}

/// The address as a number of 128 bits.
fn bits(network: IpNet) -> u128 {
    match network.network() {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => address.into(),
    }
}

/// Bits of that number before an address of the family begins.
const fn offset(network: IpNet) -> u8 {
    match network {
        IpNet::V4(_) => 96,
        IpNet::V6(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::network;

    fn candidates(sources: &[(&str, u64)]) -> Vec<Candidate> {
        let candidate =
            |(source, worth): &(&str, u64)| Candidate { source: network(source), worth: *worth };
        sources.iter().map(candidate).collect()
    }

    #[track_caller]
    fn check(sources: &[(&str, u64)], room: usize, widest: u8, expected: &[&str]) {
        let parts = fit(candidates(sources), room, |network, _| network.prefix_len() >= widest);
        let networks: Vec<_> = parts.iter().map(|part| part.network.to_string()).collect();
        assert_eq!(networks, expected);
        for part in &parts {
            assert!(part.sources.iter().all(|member| part.network.contains(&member.source)));
        }
    }

    const NEIGHBOURS: [(&str, u64); 5] = [
        ("198.18.0.0/32", 1),
        ("198.18.0.1/32", 2),
        ("198.18.0.7/32", 4),
        ("198.18.1.0/32", 8),
        ("198.19.0.0/32", 5),
    ];

    #[test]
    fn nothing_is_merged_while_there_is_room() {
        let singles =
            ["198.18.1.0/32", "198.19.0.0/32", "198.18.0.7/32", "198.18.0.1/32", "198.18.0.0/32"];
        check(&NEIGHBOURS, 5, 0, &singles);
        check(&NEIGHBOURS, 9, 0, &singles);
    }

    #[test]
    fn neighbours_share_an_entry_when_there_is_no_room_and_no_wider_than_needed() {
        let pair = ["198.18.1.0/32", "198.19.0.0/32", "198.18.0.7/32", "198.18.0.0/31"];
        check(&NEIGHBOURS, 4, 24, &pair);
        check(&NEIGHBOURS, 3, 24, &["198.18.1.0/32", "198.18.0.0/29", "198.19.0.0/32"]);
        check(&NEIGHBOURS, 2, 24, &["198.18.1.0/32", "198.18.0.0/29"]);
        check(&NEIGHBOURS, 2, 16, &["198.18.0.0/23", "198.19.0.0/32"]);
        check(&NEIGHBOURS, 0, 16, &[]);
    }

    #[test]
    fn where_nothing_may_be_merged_the_most_worthy_are_kept() {
        check(&NEIGHBOURS, 2, 32, &["198.18.1.0/32", "198.19.0.0/32"]);
        check(&[("198.18.0.9/32", 1), ("198.18.0.8/32", 1)], 1, 32, &["198.18.0.8/32"]);
    }

    #[test]
    fn ipv6_is_merged_by_its_64s() {
        let sources = [
            ("2001:db8:0:0::/64", 1),
            ("2001:db8:0:1::/64", 1),
            ("2001:db8:0:ff::/64", 1),
            ("2001:db8:1:0::/64", 1),
        ];
        check(&sources, 2, 48, &["2001:db8::/56", "2001:db8:1::/64"]);
        check(&sources, 3, 48, &["2001:db8::/63", "2001:db8:0:ff::/64", "2001:db8:1::/64"]);
    }

    #[test]
    fn the_smallest_network_may_be_the_whole_internet() {
        let both = candidates(&[("0.0.0.0/32", 1), ("255.255.255.255/32", 1)]);
        assert_eq!(smallest_around(&both), network("0.0.0.0/0"));
        assert_eq!(halves(&both).map(<[Candidate]>::len), [1, 1]);
    }

    /// The most that so few entries can be worth: every choice of networks is tried.
    fn best_by_hand(
        sources: &[Candidate],
        room: usize,
        may_merge: &impl Fn(IpNet, &[Candidate]) -> bool,
    ) -> u128 {
        let mut networks: BTreeSet<IpNet> = BTreeSet::new();
        for candidate in sources {
            for length in 24..=32 {
                let wide = IpNet::new(candidate.source.addr(), length).expect("a length").trunc();
                let inside: Vec<_> =
                    sources.iter().filter(|other| wide.contains(&other.source)).copied().collect();
                if length == 32 || (inside.len() > 1 && may_merge(wide, &inside)) {
                    networks.insert(wide);
                }
            }
        }
        let networks: Vec<_> = networks.into_iter().collect();
        let kept_out = |chosen: u32| -> u128 {
            let chosen = || (0..networks.len()).filter(move |index| chosen >> index & 1 == 1);
            let is_in = |candidate: &&Candidate| {
                chosen().any(|index| networks[index].contains(&candidate.source))
            };
            sources.iter().filter(is_in).map(|candidate| u128::from(candidate.worth)).sum()
        };
        (0..1_u32 << networks.len())
            .filter(|chosen| chosen.count_ones() as usize <= room)
            .map(kept_out)
            .max()
            .expect("nothing at all is a choice too")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// What may be merged is told from the network as given here and as the smallest
        /// around the same candidates, so that both searches have the same choices.
        #[test]
        fn no_choice_of_so_many_entries_keeps_out_more(
            hosts in proptest::collection::btree_map(0_u8..16, 1_u64..9, 1..5),
            room in 0_usize..5,
            widest in 28_u8..=32,
            refused in 0_u8..16,
        ) {
            let sources: Vec<_> = hosts
                .iter()
                .map(|(host, worth)| Candidate {
                    source: network(&format!("198.18.0.{host}/32")),
                    worth: *worth,
                })
                .collect();
            let refused = network(&format!("198.18.0.{refused}/32"));
            let may_merge = |_: IpNet, inside: &[Candidate]| {
                let network = smallest_around(inside);
                network.prefix_len() >= widest && !network.contains(&refused)
            };
            let parts = fit(sources.clone(), room, may_merge);
            prop_assert!(parts.len() <= room);
            let found: u128 = parts.iter().map(Part::worth).sum();
            prop_assert_eq!(found, best_by_hand(&sources, room, &may_merge));

            let mut kept = BTreeSet::new();
            for part in &parts {
                let single = part.sources.len() == 1;
                prop_assert!(single || may_merge(part.network, &part.sources));
                prop_assert!(part.sources.iter().all(|member| kept.insert(member.source)));
                let inside = sources.iter().filter(|c| part.network.contains(&c.source)).count();
                prop_assert_eq!(inside, part.sources.len(), "nobody inside is counted out");
            }
            if sources.len() <= room {
                prop_assert!(parts.iter().all(|part| part.sources.len() == 1));
            }
        }
    }
}
