//! Knows which networks are never blocked, however badly they behave.
//!
//! Blocking the wrong network takes customers off line, or the operator: so a
//! network is refused when it *overlaps* a protected one in either direction, be it
//! an address inside a protected range or a range around a protected address. The
//! built-in ranges cannot be switched off; the operator's list adds to them, and so do the
//! proxies that he trusts: behind one are all his clients, and a block of it is one of
//! everybody. A list that cannot be read in full is no list, and whoever has no list must not block.
//! Whether an offender deserves a block is decided elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use crate::aws_ranges::{AwsRange, AwsRanges, day};
use crate::network_list::{self, Assets, Entries, NetworkListError, Ranges, Shape};

/// A range that no one on the internet may be the source of, or that stands for a
/// whole crowd of senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// The range in CIDR notation.
    pub network: &'static str,
    /// What it is for, and where that is written down.
    pub purpose: &'static str,
}

/// The built-in ranges.
///
/// Source: IANA IPv4 and IPv6 Special-Purpose Address Registries, and the documents
/// named at each entry.
///
/// Documentation and benchmarking networks (`192.0.2.0/24`, `198.51.100.0/24`,
/// `203.0.113.0/24`, `198.18.0.0/15`, `2001:db8::/32`) are left out on purpose and
/// count as ordinary addresses: nobody routes them, so real traffic never comes from
/// them, and the simulations and tests that ship with Portcullis can show blocks from
/// end to end without naming anybody's real network.
pub const RESERVED: &[Reserved] = &[
    reserved("0.0.0.0/8", "this network (RFC 791)"),
    reserved("10.0.0.0/8", "private (RFC 1918)"),
    reserved("100.64.0.0/10", "carrier-grade NAT (RFC 6598)"),
    reserved("127.0.0.0/8", "loopback (RFC 1122)"),
    reserved("169.254.0.0/16", "link-local (RFC 3927)"),
    reserved("172.16.0.0/12", "private (RFC 1918)"),
    reserved("192.0.0.0/24", "IETF protocol assignments (RFC 6890)"),
    reserved("192.88.99.0/24", "6to4 relays (RFC 7526)"),
    reserved("192.168.0.0/16", "private (RFC 1918)"),
    reserved("224.0.0.0/4", "multicast (RFC 5771)"),
    reserved("240.0.0.0/4", "reserved for the future, and broadcast (RFC 1112, RFC 919)"),
    reserved("::/96", "unspecified, loopback and IPv4-compatible (RFC 4291)"),
    reserved("::ffff:0:0/96", "IPv4-mapped (RFC 4291)"),
    reserved("64:ff9b::/96", "NAT64, shared by many (RFC 6052)"),
    reserved("64:ff9b:1::/48", "NAT64 of one network (RFC 8215)"),
    reserved("100::/64", "discard only (RFC 6666)"),
    reserved("2001::/32", "Teredo tunnels (RFC 4380)"),
    reserved("2001:20::/28", "host identities, not routed (RFC 7343)"),
    reserved("2002::/16", "6to4 tunnels (RFC 3056)"),
    reserved("5f00::/16", "segment routing (RFC 9602)"),
    reserved("fc00::/7", "unique local (RFC 4193)"),
    reserved("fe80::/10", "link-local (RFC 4291)"),
    reserved("fec0::/10", "site-local, deprecated (RFC 3879)"),
    reserved("ff00::/8", "multicast (RFC 4291)"),
];

const fn reserved(network: &'static str, purpose: &'static str) -> Reserved {
    Reserved { network, purpose }
}

/// Why a network is not to be blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protection {
    /// It overlaps a built-in range.
    Reserved {
        /// The range.
        entry: IpNet,
        /// What the range is for.
        purpose: &'static str,
    },
    /// It overlaps an entry of the operator's list.
    NeverBlock {
        /// The entry.
        entry: IpNet,
        /// The operator's note beside it.
        note: Option<Arc<str>>,
    },
    /// It overlaps a network of proxies that the operator trusts to name their clients.
    TrustedProxy {
        /// The network.
        entry: IpNet,
    },
    /// It overlaps a network of the operator's own.
    Asset {
        /// The network.
        entry: IpNet,
        /// What the operator calls it.
        name: Option<Arc<str>>,
    },
    /// It overlaps a range of an AWS service that speaks for everybody.
    Aws {
        /// The range as AWS publishes it.
        entry: IpNet,
        /// Whose it is, and since when that is known.
        range: AwsRange,
    },
}

impl Protection {
    /// The protected network.
    pub const fn entry(&self) -> IpNet {
        match self {
            Self::Reserved { entry, .. }
            | Self::NeverBlock { entry, .. }
            | Self::TrustedProxy { entry }
            | Self::Asset { entry, .. }
            | Self::Aws { entry, .. } => *entry,
        }
    }
}

/// `reserved 10.0.0.0/8, private (RFC 1918)`, `never-block 198.51.100.0/24 (head office)`,
/// `trusted proxy 203.0.113.0/24`, `own asset 198.51.100.7/32 (build server)`,
/// `AWS CLOUDFRONT 13.32.0.0/15 (published 2024-09-13)`.
impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved { entry, purpose } => write!(f, "reserved {entry}, {purpose}"),
            Self::NeverBlock { entry, note: Some(note) } => {
                write!(f, "never-block {entry} ({note})")
            }
            Self::NeverBlock { entry, note: None } => write!(f, "never-block {entry}"),
            Self::TrustedProxy { entry } => write!(f, "trusted proxy {entry}"),
            Self::Asset { entry, name: Some(name) } => write!(f, "own asset {entry} ({name})"),
            Self::Asset { entry, name: None } => write!(f, "own asset {entry}"),
            Self::Aws { entry, range: AwsRange { service, published } } => {
                write!(f, "AWS {service} {entry} (published {})", day(*published))
            }
        }
    }
}

/// Networks that are never blocked: reserved ranges, the operator's list, his proxies and
/// own networks, and AWS services.
///
/// Invariant: every entry is canonical; building one fails on the first bad entry.
#[derive(Debug, Clone)]
pub struct NeverBlock {
    reserved: Ranges<&'static str>,
    operator: Ranges<Option<Arc<str>>>,
    trusted_proxies: Ranges<Option<Arc<str>>>,
    assets: Ranges<Option<Arc<str>>>,
    aws: Ranges<AwsRange>,
    aws_ranges: AwsRanges,
    /// How many different networks the operator listed.
    entries: usize,
}

impl NeverBlock {
    /// What is built in alone: reserved ranges, and those of AWS as of the snapshot.
    pub fn built_in() -> Self {
        Self::new(BTreeMap::new())
    }

    fn new(operator: Entries) -> Self {
        let entries = operator.len();
        let aws_ranges = AwsRanges::built_in();
        Self {
            reserved: reserved_ranges(),
            operator: Ranges::new(operator),
            trusted_proxies: Ranges::new(Entries::new()),
            assets: Ranges::new(Entries::new()),
            aws: Ranges::new(aws_ranges.ranges().clone()),
            aws_ranges,
            entries,
        }
    }

    /// The same list with newer ranges of AWS.
    #[must_use]
    pub fn with_aws_ranges(self, aws_ranges: AwsRanges) -> Self {
        let aws = Ranges::new(aws_ranges.ranges().clone());
        Self { aws, aws_ranges, ..self }
    }

    /// The same list with the proxies whose word about their clients is taken.
    #[must_use]
    pub fn with_trusted_proxies(self, proxies: &[IpNet]) -> Self {
        let networks = proxies.iter().map(|network| (network.trunc(), None)).collect();
        Self { trusted_proxies: Ranges::new(networks), ..self }
    }

    /// The same list with the operator's own networks: whoever sits there is looked for and
    /// spoken to, not shut out.
    #[must_use]
    pub fn with_assets(self, assets: &Assets) -> Self {
        Self { assets: Ranges::new(assets.0.clone()), ..self }
    }

    /// What is built in and the operator's list `text`: one address or network a
    /// line, then, if wanted, white space and a note; `#` begins a comment.
    ///
    /// ```text
    /// # offices
    /// 198.51.100.0/24   head office, egress
    /// 2001:db8:40::/44  # a comment is not shown, a note is
    /// ```
    ///
    /// Fails with every line that is wrong: a list that protects less than it seems to
    /// is worse than none. `file` is the name that errors carry.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<NetworkListError>> {
        let entries = network_list::parse(file, text, Shape::Notes)?;
        Ok(Self::new(entries))
    }

    /// How many different networks the operator's list names.
    pub fn operator_entries(&self) -> usize {
        self.entries
    }

    /// The ranges of AWS that are in it.
    pub fn aws_ranges(&self) -> &AwsRanges {
        &self.aws_ranges
    }

    /// Why `network` is not to be blocked, if it overlaps a protected network in
    /// either direction: reserved first, then the operator's list, his proxies and his own
    /// networks, then AWS.
    pub fn protection(&self, network: IpNet) -> Option<Protection> {
        if let Some((entry, purpose)) = self.reserved.overlapping(network) {
            return Some(Protection::Reserved { entry, purpose });
        }
        if let Some((entry, note)) = self.operator.overlapping(network) {
            return Some(Protection::NeverBlock { entry, note: note.clone() });
        }
        if let Some((entry, _)) = self.trusted_proxies.overlapping(network) {
            return Some(Protection::TrustedProxy { entry });
        }
        if let Some((entry, name)) = self.assets.overlapping(network) {
            return Some(Protection::Asset { entry, name: name.clone() });
        }
        let (entry, range) = self.aws.overlapping(network)?;
        Some(Protection::Aws { entry, range: *range })
    }
}

fn reserved_ranges() -> Ranges<&'static str> {
    let network = |range: &Reserved| {
        range.network.parse::<IpNet>().expect("the built-in ranges are networks")
    };
    Ranges::new(RESERVED.iter().map(|range| (network(range), range.purpose)).collect())
}

#[cfg(test)]
mod tests;
