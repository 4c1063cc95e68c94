//! Which sources are like another one: of one neighbourhood, or with the same tool and the
//! same targets.
//!
//! Whoever attacks from many addresses is one attacker, and a reviewer who decided about
//! one of them wants to see the others. Addresses of one /24 (IPv4) or /48 (IPv6) often
//! have one owner, and those of one autonomous system one provider, where that is known; a user agent together with probed paths is the mark of a tool. An agent
//! alone says little, since half the world uses the same browser, so it only counts beside a
//! path. The texts of a story are a sample by hash, the same for all sources, so that those
//! of two sources can be compared.

use std::collections::{BTreeMap, HashMap};

use ipnet::IpNet;
use portcullis_detection::{Offender, Overview, TextCount, Texts};

/// Similar sources shown.
const SHOWN: usize = 12;

/// One source that is like another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alike {
    pub(super) source: IpNet,
    pub(super) is_neighbour: bool,
    /// Whether both are in one autonomous system.
    pub(super) same_system: bool,
    pub(super) same_agent: bool,
    /// Probed paths that both have, of those that are kept of the first.
    pub(super) paths: usize,
}

/// Sources by what they have in common.
#[derive(Debug, Default)]
pub(super) struct Similar {
    networks: BTreeMap<IpNet, Vec<IpNet>>,
    /// Autonomous systems of the sources, and the sources in each.
    system_of: HashMap<IpNet, u32>,
    systems: HashMap<u32, Vec<IpNet>>,
    /// By probed path.
    paths: HashMap<Box<[u8]>, Vec<IpNet>>,
}

impl Similar {
    pub(super) fn new<'o>(
        overview: &Overview,
        offenders: impl Iterator<Item = &'o Offender>,
    ) -> Self {
        let mut similar = Self::default();
        for offender in offenders {
            if let Some(network) = &offender.background.network {
                similar.system_of.insert(offender.source, network.number);
                similar.systems.entry(network.number).or_default().push(offender.source);
            }
        }
        for (source, story) in &overview.stories {
            similar.networks.entry(neighbourhood(*source)).or_default().push(*source);
            for path in &story.probed.kept {
                similar.paths.entry(bytes(path).into()).or_default().push(*source);
            }
        }
        similar
    }

    /// The sources most like this one, and how many there are.
    pub(super) fn of(&self, source: IpNet, overview: &Overview) -> (Vec<Alike>, usize) {
        let Some(story) = overview.stories.get(&source) else {
            return (Vec::new(), 0);
        };
        let mut found: BTreeMap<IpNet, Alike> = BTreeMap::new();
        let alike = |source| Alike {
            source,
            is_neighbour: false,
            same_system: false,
            same_agent: false,
            paths: 0,
        };
        for path in &story.probed.kept {
            for other in self.paths.get(bytes(path)).into_iter().flatten() {
                found.entry(*other).or_insert_with(|| alike(*other)).paths += 1;
            }
        }
        for alike in found.values_mut() {
            let theirs = &overview.stories[&alike.source].agents;
            alike.same_agent = share_one(&story.agents, theirs);
        }
        found.retain(|_, alike| alike.same_agent);
        for other in self.networks.get(&neighbourhood(source)).into_iter().flatten() {
            found.entry(*other).or_insert_with(|| alike(*other)).is_neighbour = true;
        }
        let system = self.system_of.get(&source);
        for other in system.and_then(|system| self.systems.get(system)).into_iter().flatten() {
            found.entry(*other).or_insert_with(|| alike(*other)).same_system = true;
        }
        found.remove(&source);
        let number = found.len();
        let mut found: Vec<Alike> = found.into_values().collect();
        found.sort_by_key(|alike| {
            (std::cmp::Reverse((alike.paths, alike.is_neighbour, alike.same_system)), alike.source)
        });
        found.truncate(SHOWN);
        (found, number)
    }
}

fn bytes(text: &TextCount) -> &[u8] {
    text.text.as_untrusted().bytes()
}

fn share_one(some: &Texts, others: &Texts) -> bool {
    some.kept.iter().any(|one| others.kept.iter().any(|other| one.text == other.text))
}

/// The network around a source that often has one owner.
fn neighbourhood(source: IpNet) -> IpNet {
    let length = match source {
        IpNet::V4(_) => 24,
        IpNet::V6(_) => 48,
    };
    IpNet::new(source.addr(), length).expect("a length of the family").trunc()
}

#[cfg(test)]
mod tests {
    use portcullis_detection::{Background, Network, Story};
    use portcullis_ingest::Untrusted;

    use super::*;

    fn texts(all: &[&str]) -> Texts {
        let count = |text: &&str| TextCount {
            text: Untrusted::new(text.as_bytes()).to_buf(),
            requests: 1,
            answered: 0,
        };
        Texts { kept: all.iter().map(count).collect(), is_sample: false }
    }

    #[test]
    fn a_neighbour_and_who_shares_agent_and_path_are_alike_and_a_browser_is_not() {
        let mut overview = Overview::default();
        for (source, agent, paths) in [
            ("203.0.113.9/32", "tool", &["/.env", "/.git"][..]),
            ("203.0.113.200/32", "other", &[]),
            ("198.51.100.1/32", "tool", &["/.git", "/.env", "/x"]),
            ("198.51.100.2/32", "tool", &["/y"]),
            ("198.51.100.3/32", "other", &["/.env"]),
            ("2001:db8::/64", "tool", &["/.env"]),
        ] {
            let story = Story { agents: texts(&[agent]), probed: texts(paths), ..Story::default() };
            overview.stories.insert(source.parse().expect("a network"), story);
        }
        let one = crate::testing::findings(b"/a").offenders.remove(0);
        let in_one_system = ["203.0.113.9/32", "198.51.100.2/32"].map(|source| Offender {
            source: source.parse().expect("a network"),
            background: Background {
                network: Some(Network { number: 64_496, name: None }),
                ..Background::default()
            },
            ..one.clone()
        });
        let similar = Similar::new(&overview, in_one_system.iter());
        let (found, number) = similar.of("203.0.113.9/32".parse().expect("one"), &overview);
        let found: Vec<_> = found
            .iter()
            .map(|alike| {
                (alike.source.to_string(), alike.paths, alike.is_neighbour, alike.same_system)
            })
            .collect();
        let expected = [
            ("198.51.100.1/32".to_owned(), 2, false, false),
            ("2001:db8::/64".to_owned(), 1, false, false),
            ("203.0.113.200/32".to_owned(), 0, true, false),
            ("198.51.100.2/32".to_owned(), 0, false, true),
        ];
        assert_eq!((found.as_slice(), number), (&expected[..], 4));
    }
}
