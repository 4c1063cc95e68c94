//! Whose request it was, when it came through proxies the operator names.
//!
//! The address of the TCP connection is the only one nobody can forge. When that is
//! a proxy the operator trusts, the proxy's `X-Forwarded-For` entry is trusted too:
//! the last one, which the proxy added. So the list is read from its right end for
//! as long as the addresses are trusted proxies; the first that is not is the
//! client. What stands further left, the client may have made up.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::parse_address;

/// The client of a request from `peer`. `None` when the header holds something else
/// than an address where the client's should be.
pub(crate) fn client(
    peer: IpAddr,
    forwarded_for: Option<&[u8]>,
    trusted: &[IpNet],
) -> Option<IpAddr> {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(&peer) {
        return Some(peer);
    }
    let mut client = peer;
    for entry in forwarded_for.unwrap_or_default().rsplit(|byte| *byte == b',') {
        let entry = entry.trim_ascii();
        if entry.is_empty() {
            break;
        }
        client = parse_address(entry)?;
        if !is_trusted(&client) {
            break;
        }
    }
    Some(client)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(peer: &str, header: &str, expected: Option<&str>) {
        let trusted = [
            "10.0.0.0/8".parse().expect("a network"),
            "2001:db8:ff::/48".parse().expect("a network"),
        ];
        let client = client(peer.parse().expect("an address"), Some(header.as_bytes()), &trusted);
        assert_eq!(client.map(|c| c.to_string()).as_deref(), expected, "{peer} {header}");
    }

    #[test]
    fn only_what_trusted_proxies_wrote_counts() {
        check("192.0.2.1", "203.0.113.9", Some("192.0.2.1"));
        check("10.0.0.1", "203.0.113.9", Some("203.0.113.9"));
        check("10.0.0.1", "203.0.113.66, 203.0.113.9, 10.9.9.9", Some("203.0.113.9"));
        check("2001:db8:ff::1", "203.0.113.9:4711", Some("203.0.113.9"));
        check("10.0.0.1", "unknown", None);
        check("10.0.0.1", "203.0.113.9, unknown, 10.1.1.1", None);
        check("10.0.0.1", "", Some("10.0.0.1"));
        check("10.0.0.1", "10.2.2.2", Some("10.2.2.2"));
    }

    proptest! {
        #[test]
        fn whatever_a_client_sends_ahead_its_own_address_is_found(
            forged in "[ -~]{0,60}",
            own in any::<[u8; 4]>(),
            proxies in prop::collection::vec(any::<[u8; 3]>(), 1..5),
        ) {
            let own = IpAddr::from(own);
            let trusted: [IpNet; 1] = ["10.0.0.0/8".parse().expect("a network")];
            prop_assume!(!trusted[0].contains(&own));
            let proxy = |[a, b, c]: [u8; 3]| IpAddr::from([10, a, b, c]);
            // Each proxy appends the peer it saw.
            let seen = proxies[..proxies.len() - 1].iter().map(|p| proxy(*p));
            let addresses: Vec<String> =
                std::iter::once(own).chain(seen).map(|address| address.to_string()).collect();
            let header = format!("{forged}, {}", addresses.join(", "));
            let peer = proxy(proxies[proxies.len() - 1]);
            prop_assert_eq!(client(peer, Some(header.as_bytes()), &trusted), Some(own));
        }
    }
}
