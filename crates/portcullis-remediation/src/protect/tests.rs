use std::net::IpAddr;

use super::*;
use crate::testing::{network, one_a_line};
use proptest::prelude::*;

fn parse(text: &str) -> NeverBlock {
    NeverBlock::parse("never-block.txt", text).expect("a valid list")
}

#[track_caller]
fn check(list: &str, asked: &str, expected: Option<(&str, Option<&str>)>) {
    let list = parse(list);
    let found = list.protection(network(asked)).map(|protection| match protection {
        Protection::Reserved { entry, purpose } => (entry.to_string(), Some(purpose.into())),
        Protection::NeverBlock { entry, note } | Protection::Asset { entry, name: note } => {
            (entry.to_string(), note)
        }
        Protection::TrustedProxy { entry } => (entry.to_string(), None),
        Protection::Aws { entry, range } => (entry.to_string(), Some(range.service.name().into())),
    });
    let expected = expected.map(|(entry, note)| (entry.to_owned(), note.map(Arc::from)));
    assert_eq!(found, expected, "{asked}");
}

#[test]
fn overlap_in_either_direction_protects() {
    let list = "198.51.100.0/24 head office\n203.0.113.7 monitor\n2001:db8:1::/48\n";
    check(list, "198.51.100.9/32", Some(("198.51.100.0/24", Some("head office"))));
    check(list, "203.0.113.0/24", Some(("203.0.113.7/32", Some("monitor"))));
    check(list, "203.0.113.7/32", Some(("203.0.113.7/32", Some("monitor"))));
    check(list, "203.0.113.8/32", None);
    check(list, "2001:db8:1:2::/64", Some(("2001:db8:1::/48", None)));
    check(list, "2001:db8::/32", Some(("2001:db8:1::/48", None)));
    check(list, "2001:db8:2::/64", None);
}

#[test]
fn reserved_ranges_come_first_and_cannot_be_switched_off() {
    check("", "10.1.2.3/32", Some(("10.0.0.0/8", Some("private (RFC 1918)"))));
    check("10.0.0.0/8 ours", "10.1.2.3/32", Some(("10.0.0.0/8", Some("private (RFC 1918)"))));
    check("", "::/64", Some(("::ffff:0.0.0.0/96", Some("IPv4-mapped (RFC 4291)"))));
    check("", "fd00::/64", Some(("fc00::/7", Some("unique local (RFC 4193)"))));
    check("", "0.0.0.0/1", Some(("127.0.0.0/8", Some("loopback (RFC 1122)"))));
}

#[test]
fn services_of_aws_are_protected_after_the_operators_own_words() {
    check("", "13.32.1.2/32", Some(("13.32.0.0/15", Some("CLOUDFRONT"))));
    check("13.32.1.2 our edge", "13.32.1.2/32", Some(("13.32.1.2/32", Some("our edge"))));
    check("", "15.177.9.9/32", Some(("15.177.0.0/18", Some("ROUTE53_HEALTHCHECKS"))));
    check(
        "",
        "2600:1f14:fff:f800::/64",
        Some(("2600:1f14:fff:f800::/53", Some("ROUTE53_HEALTHCHECKS"))),
    );
    // Around a range counts as much as inside it; a rented machine next to it does not.
    check("", "15.177.0.0/16", Some(("15.177.0.0/18", Some("ROUTE53_HEALTHCHECKS"))));
    check("", "15.177.64.1/32", None);
    let protection = parse("").protection(network("13.35.0.1/32")).expect("CloudFront");
    assert_eq!(protection.to_string(), "AWS CLOUDFRONT 13.35.0.0/16 (published 2024-09-13)");
}

#[test]
fn a_trusted_proxy_is_protected_and_named_as_one() {
    let proxies =
        ["203.0.113.9/24", "2001:db8:7::/48"].map(|text| text.parse().expect("a network"));
    let list = parse("203.0.113.7 monitor").with_trusted_proxies(&proxies);
    let shown = |text| list.protection(network(text)).map(|found| found.to_string());
    assert_eq!(shown("203.0.113.9/32").as_deref(), Some("trusted proxy 203.0.113.0/24"));
    assert_eq!(shown("2001:db8::/32").as_deref(), Some("trusted proxy 2001:db8:7::/48"));
    assert_eq!(shown("203.0.113.7/32").as_deref(), Some("never-block 203.0.113.7/32 (monitor)"));
    assert_eq!(shown("203.0.114.1/32"), None);
    // Whoever has no list must not block: proxies are none.
    assert_eq!(list.operator_entries(), 1);
}

#[test]
fn newer_ranges_protect_more() {
    let text = r#"{"syncToken": "1762214400", "prefixes": [
        {"ip_prefix": "198.51.100.0/24", "service": "CLOUDFRONT"},
        {"ip_prefix": "203.0.113.0/26", "service": "ROUTE53_HEALTHCHECKS"}],
        "ipv6_prefixes": []}"#;
    let newer = AwsRanges::with_file("ip-ranges.json", text).expect("a whole file");
    let list = parse("192.0.2.1").with_aws_ranges(newer);
    let shown = |text| list.protection(network(text)).map(|found| found.to_string());
    assert_eq!(shown("192.0.2.1/32").as_deref(), Some("never-block 192.0.2.1/32"));
    assert_eq!(
        shown("198.51.100.9/32").as_deref(),
        Some("AWS CLOUDFRONT 198.51.100.0/24 (published 2025-11-04)")
    );
    assert_eq!(
        shown("13.32.1.2/32").as_deref(),
        Some("AWS CLOUDFRONT 13.32.0.0/15 (published 2024-09-13)")
    );
    assert_eq!(list.aws_ranges().published().epoch_ms(), 1_762_214_400_000);
}

#[test]
fn every_reserved_range_refuses_its_first_and_last_address() {
    let built_in = NeverBlock::built_in();
    for range in RESERVED {
        let entry = network(range.network);
        assert_eq!(entry, entry.trunc(), "{}", range.network);
        for address in [entry.network(), entry.broadcast()] {
            assert_eq!(
                built_in.protection(IpNet::from(address)),
                Some(Protection::Reserved { entry, purpose: range.purpose }),
                "{address}"
            );
        }
    }
}

#[test]
fn named_kinds_of_address_are_all_reserved() {
    for address in [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "169.254.169.254",
        "172.31.255.255",
        "192.168.1.1",
        "192.88.99.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:192.0.2.1",
        "64:ff9b::c000:201",
        "2001:0:1::1",
        "2002:c000:201::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "febf::1",
        "ff02::1",
    ] {
        let source = IpNet::from(address.parse::<IpAddr>().expect("an address"));
        assert!(NeverBlock::built_in().protection(source).is_some(), "{address}");
    }
}

#[test]
fn documentation_networks_and_neighbours_of_reserved_ones_are_ordinary() {
    for ordinary in [
        "192.0.2.1/32",
        "198.51.100.1/32",
        "203.0.113.1/32",
        "198.18.0.1/32",
        "198.19.255.255/32",
        "2001:db8:0:1::/64",
        "1.0.0.0/32",
        "9.255.255.255/32",
        "11.0.0.0/32",
        "100.63.255.255/32",
        "100.128.0.0/32",
        "172.15.255.255/32",
        "172.32.0.0/32",
        "192.167.255.255/32",
        "192.169.0.0/32",
        "223.255.255.255/32",
        "2001:1::/64",
        "2003::/64",
        "2600::/64",
    ] {
        check("", ordinary, None);
    }
}

#[test]
fn notes_comments_blank_lines_and_line_ends_are_read() {
    let list = parse(
        "\u{feff}# offices\r\n\r\n  198.51.100.0/24\thead office,  egress # since May\r\n\
         198.51.100.0/24 said twice\r\n203.0.113.9#no note",
    );
    assert_eq!(list.operator_entries(), 2);
    assert_eq!(
        list.protection(network("198.51.100.1/32")),
        Some(Protection::NeverBlock {
            entry: network("198.51.100.0/24"),
            note: Some("head office,  egress".into()),
        })
    );
    assert_eq!(
        list.protection(network("203.0.113.9/32")),
        Some(Protection::NeverBlock { entry: network("203.0.113.9/32"), note: None })
    );
}

#[test]
fn a_list_fails_with_every_bad_line() {
    let text = "198.51.100.0/24 fine\n\n  198.51.100.7/24 office\nlocalhost\n\
                203.0.113.1-203.0.113.9\n::ffff:192.0.2.1\n192.0.2.1 naïve \u{1b}[2J\n";
    let errors = NeverBlock::parse("never-block.txt", text).expect_err("five bad lines");
    let shown: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "never-block.txt:3:3: `198.51.100.7/24` has host bits set; write \
             `198.51.100.0/24` for the network or `198.51.100.7/32` for the one address",
            "never-block.txt:4:1: `localhost` is not an address or network; write \
             `198.51.100.7/32` or `2001:db8::/64`",
            "never-block.txt:5:1: `203.0.113.1-203.0.113.9` is not an address or network; \
             write `198.51.100.7/32` or `2001:db8::/64`",
            "never-block.txt:6:1: `::ffff:192.0.2.1/128` is IPv4 written as IPv6; write it \
             as `192.0.2.1/32`",
            "never-block.txt:7:17: the note holds a control character; write plain text",
        ]
    );
}

#[test]
fn a_hundred_thousand_entries_answer_a_hundred_thousand_questions() {
    let every_other = |number: u32| std::net::Ipv4Addr::from(0xc600_0000 + number * 2);
    let list = parse(&one_a_line((0..100_000).map(every_other)));
    let protected = (0..200_000_u32)
        .filter(|number| {
            let address = std::net::Ipv4Addr::from(0xc600_0000 + number);
            list.protection(IpNet::from(IpAddr::V4(address))).is_some()
        })
        .count();
    assert_eq!((list.operator_entries(), protected), (100_000, 100_000));
}

/// Networks in a small space, so that they often meet.
fn any_network() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (any::<u16>(), 12_u8..=32).prop_map(|(low, length)| {
            let address = std::net::Ipv4Addr::from(0xc612_0000 | u32::from(low));
            IpNet::new(address.into(), length).expect("at most 32").trunc()
        }),
        (any::<u16>(), 28_u8..=128).prop_map(|(low, length)| {
            let bits = (0x2001_0db8_u128 << 96) | (u128::from(low) << 60);
            let address = std::net::Ipv6Addr::from(bits);
            IpNet::new(address.into(), length).expect("at most 128").trunc()
        }),
    ]
}

fn overlap(left: &IpNet, right: &IpNet) -> bool {
    left.contains(right) || right.contains(left)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn binary_search_agrees_with_asking_every_entry(
        entries in proptest::collection::vec(any_network(), 0..40),
        asked in proptest::collection::vec(any_network(), 1..40),
    ) {
        let list = parse(&one_a_line(&entries));
        for network in asked {
            let by_hand = entries.iter().any(|entry| overlap(entry, &network));
            let found = list.operator.overlapping(network).map(|(entry, _)| entry);
            prop_assert_eq!(found.is_some(), by_hand, "{}", network);
            if let Some(entry) = found {
                prop_assert!(overlap(&entry, &network) && entries.contains(&entry));
            }
        }
    }
}
