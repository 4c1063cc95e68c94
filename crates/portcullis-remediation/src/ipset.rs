//! One AWS WAF IP set as a value, and the group of sets that a plan is made for.
//!
//! WAF updates replace a whole set, so whoever changes one entry must hold all of
//! them, exactly as WAF does. An [`IpSet`] therefore admits nothing that WAF would
//! refuse: no network of the other family, no host bits, no `/0`, no entry beyond the
//! limit. Equality and digests compare parsed networks, because the text that WAF
//! echoes for IPv6 is not specified. How sets are read and written is left to
//! `sets_file`, and what should be in them to `plan`.

use std::collections::BTreeSet;
use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::prefix::around;

/// Most CIDR entries AWS accepts in one IP set; the quota cannot be raised.
///
/// Source: AWS WAF quotas, "IP addresses in CIDR notation per IP set".
/// <https://docs.aws.amazon.com/waf/latest/developerguide/limits.html>
pub const MAX_ADDRESSES: usize = 10_000;

/// Longest name of an IP set, in characters.
///
/// Source: AWS WAF API, `CreateIPSet`, `Name`: `^[\w\-]+$`, 1 to 128.
const MAX_NAME: usize = 128;

/// Which of the two internets an IP set holds. A WAF set holds one, never both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4, `IPV4` in the WAF API.
    #[serde(rename = "ipv4")]
    V4,
    /// IPv6, `IPV6` in the WAF API.
    #[serde(rename = "ipv6")]
    V6,
}

impl Family {
    /// Both families, in their order.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of a network.
    pub const fn of(network: IpNet) -> Self {
        match network {
            IpNet::V4(_) => Self::V4,
            IpNet::V6(_) => Self::V6,
        }
    }

    /// Prefix length of a source, in bits: an IPv4 address, or the /64 of IPv6 addresses.
    pub(crate) const fn source_bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 64,
        }
    }

    /// The family by its name in our files (`ipv4`) or in the WAF API (`IPV4`).
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "ipv4" | "IPV4" => Some(Self::V4),
            "ipv6" | "IPV6" => Some(Self::V6),
            _ => None,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Why a network cannot be an entry of a set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The network is of the other family.
    #[error("`{network}` is {found} and set `{set}` holds {expected}")]
    WrongFamily {
        /// The network that was offered.
        network: IpNet,
        /// The set it was offered to.
        set: String,
        /// What the set holds.
        expected: Family,
        /// What the network is.
        found: Family,
    },
    /// WAF has no entry for all addresses.
    #[error("`{0}` is every address, and AWS WAF accepts no `/0`")]
    EveryAddress(IpNet),
    /// Bits behind the prefix are set.
    #[error("`{0}` has host bits set, and AWS WAF accepts networks only")]
    HostBits(IpNet),
    /// The set already holds as many entries as WAF accepts.
    #[error(
        "set `{set}` would hold more than {MAX_ADDRESSES} entries, the most that AWS WAF accepts; `{network}` is one too many"
    )]
    Full {
        /// The network that was offered.
        network: IpNet,
        /// The set it was offered to.
        set: String,
    },
}

/// Why a set cannot be described so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// The name is not one that WAF accepts.
    #[error("`{}` is not a name for an IP set: use 1 to {MAX_NAME} letters, digits, `_` and `-`", .0.escape_debug())]
    Name(String),
    /// The description is not one that WAF accepts.
    #[error(
        "the description is not one that AWS WAF accepts: use 3 to 256 letters, digits, spaces and `_+=:#@/-,.`, with no space at either end"
    )]
    Description,
    /// Two sets of one group have the same name.
    #[error("set `{0}` is there twice")]
    Duplicate(String),
}

/// The whole value of one IP set.
///
/// Invariant: every address is canonical, of the set's family and no `/0`; there are
/// at most [`MAX_ADDRESSES`]; name and description are ones that WAF accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpSet {
    name: String,
    family: Family,
    addresses: BTreeSet<IpNet>,
    description: Option<String>,
    lock_token: Option<String>,
}

impl IpSet {
    /// An empty set.
    pub fn new(name: &str, family: Family) -> Result<Self, SetError> {
        let allowed =
            |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
            return Err(SetError::Name(name.chars().take(MAX_NAME + 1).collect()));
        }
        Ok(Self {
            name: name.to_owned(),
            family,
            addresses: BTreeSet::new(),
            description: None,
            lock_token: None,
        })
    }

    /// The same set with a description. It is part of the value: an update that leaves
    /// it out may lose it. An empty one, as WAF shows a missing one, counts as none.
    pub fn with_description(mut self, description: &str) -> Result<Self, SetError> {
        // Source: AWS WAF API, `CreateIPSet`, pattern of `Description`.
        let solid =
            |character: char| character.is_ascii_alphanumeric() || "_+=:#@/-,.".contains(character);
        let allowed = description.chars().all(|c| solid(c) || c.is_ascii_whitespace());
        let ends = description.starts_with(solid) && description.ends_with(solid);
        self.description = match description.len() {
            0 => None,
            3..=256 if allowed && ends => Some(description.to_owned()),
            _ => return Err(SetError::Description),
        };
        Ok(self)
    }

    /// The same set with the token that names this very version of it in WAF.
    #[must_use]
    pub fn with_lock_token(mut self, lock_token: Option<String>) -> Self {
        self.lock_token = lock_token;
        self
    }

    /// Adds one network; `false` when the set already held it.
    pub fn insert(&mut self, network: IpNet) -> Result<bool, EntryError> {
        let found = Family::of(network);
        if found != self.family {
            return Err(EntryError::WrongFamily {
                network,
                set: self.name.clone(),
                expected: self.family,
                found,
            });
        }
        if network.prefix_len() == 0 {
            return Err(EntryError::EveryAddress(network));
        }
        if network.trunc() != network {
            return Err(EntryError::HostBits(network));
        }
        if self.addresses.len() >= MAX_ADDRESSES && !self.addresses.contains(&network) {
            return Err(EntryError::Full { network, set: self.name.clone() });
        }
        Ok(self.addresses.insert(network))
    }

    /// Takes one network out; `false` when the set did not hold it.
    pub fn remove(&mut self, network: &IpNet) -> bool {
        self.addresses.remove(network)
    }

    /// The set's name in WAF.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the set holds.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The entries, in order of address and then of length.
    pub fn addresses(&self) -> &BTreeSet<IpNet> {
        &self.addresses
    }

    /// The description, if WAF holds one.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The token of the version that was read, if it was read from WAF.
    pub fn lock_token(&self) -> Option<&str> {
        self.lock_token.as_deref()
    }

    /// The widest entry that holds all of `network`.
    pub fn covering(&self, network: IpNet) -> Option<IpNet> {
        around(network).find(|wider| self.addresses.contains(wider))
    }

    /// SHA-256, in lower-case hexadecimal, of the canonical entries in order of
    /// address, each followed by a line feed. It does not depend on how or in which
    /// order the entries were written.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for network in &self.addresses {
            hash.update(format!("{network}\n"));
        }
        hexadecimal(&hash.finalize())
    }
}

/// The IP sets that one plan fills: any number for each family, told apart by name.
///
/// Invariant: sorted by name, and no name is there twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sets(Vec<IpSet>);

impl Sets {
    /// A group of sets; their order does not matter.
    pub fn new(mut sets: Vec<IpSet>) -> Result<Self, SetError> {
        sets.sort_by(|left, right| left.name.cmp(&right.name));
        match sets.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(pair) => Err(SetError::Duplicate(pair[0].name.clone())),
            None => Ok(Self(sets)),
        }
    }

    /// The two empty sets that a first plan is made for: `portcullis-v4` and
    /// `portcullis-v6`.
    pub fn empty() -> Self {
        let set = |name, family| IpSet::new(name, family).expect("the built-in names are valid");
        Self(vec![set("portcullis-v4", Family::V4), set("portcullis-v6", Family::V6)])
    }

    /// The sets in order of their names.
    pub fn iter(&self) -> std::slice::Iter<'_, IpSet> {
        self.0.iter()
    }

    /// The set of this name.
    pub fn get(&self, name: &str) -> Option<&IpSet> {
        self.0.iter().find(|set| set.name == name)
    }

    /// The set, first by name, whose entry holds all of `network`, and that entry.
    pub fn covering(&self, network: IpNet) -> Option<(&IpSet, IpNet)> {
        self.0.iter().find_map(|set| set.covering(network).map(|entry| (set, entry)))
    }

    /// The sets of one family, to be filled.
    pub(crate) fn of_family(&mut self, family: Family) -> impl Iterator<Item = &mut IpSet> {
        self.0.iter_mut().filter(move |set| set.family == family)
    }
}

impl<'sets> IntoIterator for &'sets Sets {
    type Item = &'sets IpSet;
    type IntoIter = std::slice::Iter<'sets, IpSet>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string never fails");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::network;
    use proptest::prelude::*;

    fn set(family: Family, entries: &[&str]) -> IpSet {
        let mut set = IpSet::new("test", family).expect("a valid name");
        for entry in entries {
            set.insert(network(entry)).expect("a valid entry");
        }
        set
    }

    #[test]
    fn ipv6_never_enters_an_ipv4_set() {
        let mut v4 = set(Family::V4, &[]);
        assert_eq!(
            v4.insert(network("2001:db8::/64")).expect_err("wrong family").to_string(),
            "`2001:db8::/64` is IPv6 and set `test` holds IPv4"
        );
        assert!(v4.addresses().is_empty());
    }

    #[test]
    fn what_waf_refuses_is_refused_here() {
        let mut v4 = set(Family::V4, &[]);
        assert_eq!(
            v4.insert(network("0.0.0.0/0")),
            Err(EntryError::EveryAddress(network("0.0.0.0/0")))
        );
        assert_eq!(
            v4.insert(network("198.51.100.7/24")),
            Err(EntryError::HostBits(network("198.51.100.7/24")))
        );
        assert_eq!(
            v4.insert(network("198.51.100.0/1")),
            Err(EntryError::HostBits(network("198.51.100.0/1")))
        );
        assert_eq!(v4.insert(network("128.0.0.0/1")), Ok(true));
    }

    #[test]
    fn entry_10001_is_refused_and_a_known_entry_is_not() {
        let mut v4 = set(Family::V4, &[]);
        for number in 0..MAX_ADDRESSES as u32 {
            let address = std::net::Ipv4Addr::from(0xc612_0000 + number);
            assert_eq!(v4.insert(IpNet::from(std::net::IpAddr::V4(address))), Ok(true));
        }
        let extra = network("203.0.113.1/32");
        assert_eq!(
            v4.insert(extra),
            Err(EntryError::Full { network: extra, set: "test".to_owned() })
        );
        assert_eq!(v4.insert(network("198.18.0.0/32")), Ok(false));
        assert_eq!(v4.addresses().len(), MAX_ADDRESSES);
    }

    #[test]
    fn names_and_descriptions_follow_the_waf_patterns() {
        for name in ["", "has space", "naïve", "dot.dot", &"x".repeat(129)] {
            assert!(matches!(IpSet::new(name, Family::V4), Err(SetError::Name(_))), "{name}");
        }
        assert!(IpSet::new(&"x".repeat(128), Family::V4).is_ok());
        for (description, accepted) in [
            ("ab", false),
            ("abc", true),
            ("blocked by portcullis", true),
            (" leading", false),
            ("trailing ", false),
            ("(parentheses)", false),
        ] {
            let described = set(Family::V4, &[]).with_description(description);
            assert_eq!(described.is_ok(), accepted, "{description}");
        }
        let shown_as_empty = set(Family::V4, &[]).with_description("").expect("AWS shows none so");
        assert_eq!(shown_as_empty.description(), None);
    }

    #[test]
    fn digest_depends_on_the_networks_alone() {
        let one = set(Family::V4, &["198.18.0.2/32", "198.18.0.10/32"]);
        let other = set(Family::V4, &["198.18.0.10/32", "198.18.0.2/32", "198.18.0.2/32"]);
        assert_eq!(one.digest(), other.digest());
        // printf '198.18.0.2/32\n198.18.0.10/32\n' | sha256sum
        assert_eq!(
            one.digest(),
            "9105abe3f992ca9f8693c6fbf2387c10eba065aa4750a2ff3e61e852c3396ad9"
        );
        // printf '' | sha256sum
        assert_eq!(
            set(Family::V6, &[]).digest(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn the_widest_entry_covers() {
        let v4 = set(Family::V4, &["198.18.0.0/24", "198.18.0.0/16", "198.19.0.1/32"]);
        let covering = |text: &str| v4.covering(network(text)).map(|entry| entry.to_string());
        assert_eq!(covering("198.18.0.9/32").as_deref(), Some("198.18.0.0/16"));
        assert_eq!(covering("198.19.0.1/32").as_deref(), Some("198.19.0.1/32"));
        assert_eq!(covering("198.19.0.0/24"), None);
        assert_eq!(covering("2001:db8::/64"), None);
    }

    #[test]
    fn two_sets_of_one_name_are_refused() {
        let sets = vec![set(Family::V4, &[]), set(Family::V6, &[])];
        assert_eq!(Sets::new(sets), Err(SetError::Duplicate("test".to_owned())));
    }

    proptest! {
        #[test]
        fn covering_agrees_with_asking_every_entry(
            entries in proptest::collection::vec((any::<u16>(), 8_u8..=32), 0..40),
            asked in (any::<u16>(), 8_u8..=32),
        ) {
            let network = |(low, length): (u16, u8)| {
                let address = std::net::Ipv4Addr::from(0xc612_0000 | u32::from(low));
                IpNet::new(address.into(), length).expect("at most 32").trunc()
            };
            let mut set = set(Family::V4, &[]);
            for entry in &entries {
                set.insert(network(*entry)).expect("a valid entry");
            }
            let asked = network(asked);
            let widest = set
                .addresses()
                .iter()
                .filter(|entry| entry.contains(&asked))
                .min_by_key(|entry| entry.prefix_len());
            prop_assert_eq!(set.covering(asked), widest.copied());
        }
    }
}
