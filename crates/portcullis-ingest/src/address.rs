//! Client addresses in one canonical form.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Length of the IPv6 prefix that counts as one source: one customer usually holds a
/// whole /64, and rotating inside it costs nothing.
const SOURCE_PREFIX_V6: u8 = 64;

/// Parses an address as logs write it: plain, in brackets, with a zone id, and for
/// IPv4 or bracketed IPv6 with a port. IPv4-mapped IPv6 is folded to IPv4. Octal and
/// short forms (`010.0.0.1`, `127.1`) are refused.
pub fn parse_address(text: &[u8]) -> Option<IpAddr> {
    if let Some(address) = parse_plain_v4(text) {
        return Some(address);
    }
    if let Some(address) = parse_plain_v6(text) {
        return Some(address);
    }
    if text.len() > 72 {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let host = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        if !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
            return None;
        }
        host
    } else if text.bytes().filter(|byte| *byte == b':').count() == 1 {
        let (host, port) = text.split_once(':')?;
        if !is_port(port) {
            return None;
        }
        host
    } else {
        text
    };
    let host = match host.split_once('%') {
        Some((host, zone))
            if !zone.is_empty() && zone.bytes().all(|b| b.is_ascii_alphanumeric()) =>
        {
            host
        }
        Some(_) => return None,
        None => host,
    };
    Some(host.parse::<IpAddr>().ok()?.to_canonical())
}

/// The common case: four decimal parts.
#[inline]
pub(crate) fn parse_plain_v4(text: &[u8]) -> Option<IpAddr> {
    let (address, length) = plain_v4_before(text)?;
    (length == text.len()).then_some(address)
}

/// The address of four decimal parts that a text begins with, and its length.
#[inline]
pub(crate) fn plain_v4_before(text: &[u8]) -> Option<(IpAddr, usize)> {
    let digit = |at: usize| {
        let digit = text.get(at)?.wrapping_sub(b'0');
        (digit < 10).then_some(u16::from(digit))
    };
    let mut octets = [0_u8; 4];
    let mut at = 0;
    for (part, octet) in octets.iter_mut().enumerate() {
        if part > 0 {
            if text.get(at) != Some(&b'.') {
                return None;
            }
            at += 1;
        }
        let mut value = digit(at)?;
        at += 1;
        // A part that begins with 0 has no other digit, as it might be octal.
        if value > 0
            && let Some(second) = digit(at)
        {
            value = value * 10 + second;
            at += 1;
            if let Some(third) = digit(at) {
                value = value * 10 + third;
                at += 1;
            }
        }
        *octet = u8::try_from(value).ok()?;
    }
    Some((IpAddr::from(octets), at))
}

/// What each byte is worth as a hexadecimal digit; 255 when it is none.
static HEXADECIMAL: [u8; 256] = {
    let mut table = [255; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit] as usize] = digit as u8;
        table[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
};

/// The other common case: groups of hexadecimal digits, with at most one `::`. Nothing
/// that would fold to IPv4.
fn parse_plain_v6(text: &[u8]) -> Option<IpAddr> {
    let mut groups = [0_u16; 8];
    let mut count = 0;
    // How many groups stand before the `::`.
    let mut gap = None;
    let mut at = 0;
    if text.starts_with(b"::") {
        gap = Some(0);
        at = 2;
    }
    while at < text.len() {
        let mut value = 0_u16;
        let start = at;
        while let Some(digit) = text.get(at).map(|byte| HEXADECIMAL[usize::from(*byte)])
            && digit < 16
        {
            if at - start == 4 {
                return None;
            }
            value = value << 4 | u16::from(digit);
            at += 1;
        }
        if at == start || count == 8 {
            return None;
        }
        groups[count] = value;
        count += 1;
        match text.get(at..) {
            None | Some([]) => break,
            Some([b':', b':', ..]) if gap.is_none() => {
                gap = Some(count);
                at += 2;
            }
            Some([b':', _, ..]) => at += 1,
            Some(_) => return None,
        }
    }
    match gap {
        // A gap stands for one group at least; std has it so too.
        Some(gap) if count < 8 => {
            groups.copy_within(gap..count, 8 - (count - gap));
            groups[gap..8 - (count - gap)].fill(0);
        }
        None if count == 8 => {}
        _ => return None,
    }
    if groups[..5] == [0; 5] {
        return None;
    }
    Some(IpAddr::V6(Ipv6Addr::from(groups)))
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The network that counts as one source: the address itself for IPv4, its /64 for IPv6.
pub fn source_network(client: IpAddr) -> IpNet {
    match client {
        IpAddr::V4(v4) => IpNet::V4(Ipv4Net::from(v4)),
        IpAddr::V6(v6) => {
            let prefix = u128::from(v6) >> (128 - SOURCE_PREFIX_V6) << (128 - SOURCE_PREFIX_V6);
            IpNet::V6(
                Ipv6Net::new(Ipv6Addr::from(prefix), SOURCE_PREFIX_V6).expect("64 is at most 128"),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(
            parse_address(text.as_bytes()).map(|a| a.to_string()).as_deref(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn one_canonical_form() {
        check("192.0.2.1", Some("192.0.2.1"));
        check("::ffff:192.0.2.1", Some("192.0.2.1"));
        check("192.0.2.1:443", Some("192.0.2.1"));
        check("[2001:DB8::0:1]:443", Some("2001:db8::1"));
        check("fe80::1%eth0", Some("fe80::1"));
    }

    #[test]
    fn tricks_are_refused() {
        for trick in [
            "010.0.0.1",
            "127.1",
            "192.0.2.256",
            "192.0.2.1:",
            "[::1",
            "::1%",
            "1.2.3.4.5",
            "",
            "192.0.2.1 ",
        ] {
            check(trick, None);
        }
    }

    proptest::proptest! {
        #[test]
        fn ipv6_is_read_as_the_standard_library_reads_it(
            text in "[0-9a-fA-F:]{0,24}|([0-9a-f]{1,4}:){0,8}(:[0-9a-f]{0,4}){0,3}",
            groups: [u16; 8],
            zeros in 0_u8..=255,
        ) {
            let groups = std::array::from_fn(|at| if zeros >> at & 1 == 1 { 0 } else { groups[at] });
            let text_of_groups = Ipv6Addr::from(groups).to_string();
            for text in [text, text_of_groups] {
                let Some(plain) = parse_plain_v6(text.as_bytes()) else {
                    continue;
                };
                let known: Option<IpAddr> = text.parse().ok();
                proptest::prop_assert_eq!(known.map(|known| known.to_canonical()), Some(plain));
            }
            let address = Ipv6Addr::from(groups);
            if groups[..5] != [0; 5] {
                let plain = parse_plain_v6(address.to_string().as_bytes());
                proptest::prop_assert_eq!(plain, Some(IpAddr::V6(address)));
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn ipv4_is_read_as_the_standard_library_reads_it(
            text in "[0-9.]{0,16}|([0-9]{1,3}[.]){3}[0-9]{1,4}|(2[0-9]{2}[.]){3}[0-9]{1,3}",
        ) {
            let known: Option<std::net::Ipv4Addr> = text.parse().ok();
            proptest::prop_assert_eq!(parse_plain_v4(text.as_bytes()), known.map(IpAddr::V4));
        }
    }

    #[test]
    fn an_ipv6_source_is_its_64() {
        let source = source_network("2001:db8:0:1:ffff::9".parse().expect("an address"));
        assert_eq!(source.to_string(), "2001:db8:0:1::/64");
    }
}
