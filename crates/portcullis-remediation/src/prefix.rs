//! Reads one network as people and AWS write it, in the one form that can be compared.
//!
//! AWS WAF refuses a network with host bits set and the network of all addresses,
//! and Rust, Python and the consoles each forgive something different. Here every
//! entry is either canonical or an error that names the entry and its repair, so
//! that two networks are equal exactly when their values are. Where the entry stood
//! is added by whoever read the file ([`crate::InputError`]).

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

/// Why a text is not a network that can be compared or sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Neither an address nor `address/length`.
    #[error("`{0}` is not an address or network; write `198.51.100.7/32` or `2001:db8::/64`")]
    NotANetwork(String),
    /// An address without a length where AWS wants one.
    #[error("`{address}` has no prefix length; write `{whole}` for the one address")]
    NoLength {
        /// The address as written.
        address: String,
        /// The network that holds this address alone.
        whole: IpNet,
    },
    /// Bits behind the prefix are set, so the writer may have meant either of two things.
    #[error(
        "`{entry}` has host bits set; write `{network}` for the network or `{single}` for the one address"
    )]
    HostBits {
        /// The network as written, without its zeroing.
        entry: IpNet,
        /// The network that contains the written address.
        network: IpNet,
        /// The written address alone.
        single: IpNet,
    },
    /// An IPv4 address in IPv6 clothes: no comparison with IPv4 would ever match it.
    #[error("`{entry}` is IPv4 written as IPv6; write it as `{plain}`")]
    MappedIpv4 {
        /// The network as written.
        entry: IpNet,
        /// The same addresses as IPv4.
        plain: IpNet,
    },
}

/// Parses `address/length`; every bit behind the prefix must be zero.
///
/// ```
/// use portcullis_remediation::parse_network;
/// assert_eq!(parse_network("2001:DB8:0::/48").unwrap().to_string(), "2001:db8::/48");
/// assert!(parse_network("198.51.100.7/24").is_err());
/// ```
pub fn parse_network(text: &str) -> Result<IpNet, PrefixError> {
    match parse(text)? {
        (address, None) => {
            Err(PrefixError::NoLength { address: text.to_owned(), whole: IpNet::from(address) })
        }
        (_, Some(network)) => without_host_bits(network),
    }
}

/// Parses `address` or `address/length`, and refuses IPv4 written as IPv6.
///
/// The stricter reader is for lists written by people, where an entry that silently
/// matches nothing is the dangerous one.
pub fn parse_address_or_network(text: &str) -> Result<IpNet, PrefixError> {
    let (address, network) = parse(text)?;
    let network = without_host_bits(network.unwrap_or(IpNet::from(address)))?;
    match plain_ipv4(network) {
        Some(plain) => Err(PrefixError::MappedIpv4 { entry: network, plain }),
        None => Ok(network),
    }
}

/// The networks that hold `network`, itself included, the widest first.
pub(crate) fn around(network: IpNet) -> impl DoubleEndedIterator<Item = IpNet> {
    (0..=network.prefix_len()).map(move |length| {
        IpNet::new(network.addr(), length).expect("no longer than its own length").trunc()
    })
}

/// The first of some networks, in order, that overlaps `network` in either direction.
pub(crate) fn overlapping(networks: &BTreeSet<IpNet>, network: IpNet) -> Option<IpNet> {
    let first = IpNet::new(network.network(), 0).expect("0 is a length");
    let last = IpNet::from(network.broadcast());
    let begins_inside = networks.range(first..=last).next().copied();
    around(network).find(|wider| networks.contains(wider)).or(begins_inside)
}

/// The one address, or the address and the network around it, host bits and all.
///
/// Written out because the length must be plain digits: `ipnet` and `inet_aton` each
/// read some text that the other, or AWS, reads differently.
fn parse(text: &str) -> Result<(IpAddr, Option<IpNet>), PrefixError> {
    let not_a_network = || PrefixError::NotANetwork(shown(text));
    let Some((address, length)) = text.split_once('/') else {
        return Ok((text.parse().map_err(|_| not_a_network())?, None));
    };
    let address: IpAddr = address.parse().map_err(|_| not_a_network())?;
    let digits = length.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (length.len() > 1 && length.starts_with('0')) {
        return Err(not_a_network());
    }
    let length = length.parse().map_err(|_| not_a_network())?;
    let network = IpNet::new(address, length).map_err(|_| not_a_network())?;
    Ok((address, Some(network)))
}

fn without_host_bits(network: IpNet) -> Result<IpNet, PrefixError> {
    let canonical = network.trunc();
    if canonical == network {
        Ok(network)
    } else {
        Err(PrefixError::HostBits {
            entry: network,
            network: canonical,
            single: IpNet::from(network.addr()),
        })
    }
}

/// The IPv4 network that an IPv4-mapped IPv6 network stands for.
fn plain_ipv4(network: IpNet) -> Option<IpNet> {
    let IpNet::V6(network) = network else {
        return None;
    };
    let address = network.addr().to_ipv4_mapped()?;
    let length = network.prefix_len().checked_sub(96)?;
    IpNet::new(IpAddr::V4(address), length).ok()
}

/// The entry for a message: nothing in it can move a cursor, and it is not endless.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let found = parse_address_or_network(text);
        let found = found.map(|network| network.to_string()).map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn one_network_has_one_form() {
        check("198.51.100.7", Ok("198.51.100.7/32"));
        check("198.51.100.0/24", Ok("198.51.100.0/24"));
        check("2001:DB8:0:0::/64", Ok("2001:db8::/64"));
        check("2001:db8::1", Ok("2001:db8::1/128"));
        check("0.0.0.0/0", Ok("0.0.0.0/0"));
    }

    #[test]
    fn host_bits_are_an_error_that_offers_both_readings() {
        check(
            "198.51.100.7/24",
            Err("`198.51.100.7/24` has host bits set; write `198.51.100.0/24` for the network or \
                 `198.51.100.7/32` for the one address"),
        );
        check(
            "2001:db8::1/64",
            Err("`2001:db8::1/64` has host bits set; write `2001:db8::/64` for the network or \
                 `2001:db8::1/128` for the one address"),
        );
    }

    #[test]
    fn ipv4_in_ipv6_clothes_is_named_for_what_it_is() {
        check(
            "::ffff:192.0.2.0/120",
            Err("`::ffff:192.0.2.0/120` is IPv4 written as IPv6; write it as `192.0.2.0/24`"),
        );
    }

    #[test]
    fn an_address_alone_is_no_entry_of_a_set() {
        let error = parse_network("198.51.100.7").expect_err("a set wants CIDR notation");
        assert_eq!(
            error.to_string(),
            "`198.51.100.7` has no prefix length; write `198.51.100.7/32` for the one address"
        );
    }

    #[test]
    fn forgiven_elsewhere_refused_here() {
        for text in [
            "",
            "/",
            "/24",
            "198.51.100.0/",
            "198.51.100.0/33",
            "2001:db8::/129",
            "010.0.0.1",
            "198.51.100",
            "198.51.100.0/024",
            "198.51.100.0/+24",
            "198.51.100.0/24/24",
            "198.51.100.0/255.255.255.0",
            "198.51.100.1-198.51.100.9",
            "fe80::1%eth0",
            "[2001:db8::1]",
            "198.51.100.7:443",
            "hello",
            " 198.51.100.7",
        ] {
            let found = parse_address_or_network(text);
            assert!(matches!(found, Err(PrefixError::NotANetwork(_))), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_message_never_carries_control_characters_or_a_whole_file() {
        let text = format!("\u{1b}[2J{}", "x".repeat(10_000));
        let message = parse_network(&text).expect_err("not a network").to_string();
        assert!(!message.contains('\u{1b}') && message.len() < 200, "{message}");
    }
}
