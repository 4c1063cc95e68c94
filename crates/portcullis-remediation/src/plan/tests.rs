use std::collections::BTreeSet;

use portcullis_detection::{Detection, Key, Measure, RateFigure, Severity, SourceTraffic, Traffic};
use proptest::prelude::*;

use super::*;
use crate::MergeLimits;
use crate::protect::RESERVED;
use crate::term::{DAY_MS, later};
use crate::testing::{detection, findings, network, now, offender, one_a_line};

const LIST: &str = "198.51.100.0/24 head office\n203.0.113.7\n2001:db8:1:1::7 monitor\n";

fn never_block() -> NeverBlock {
    NeverBlock::parse("never-block.txt", LIST).expect("a valid list")
}

fn sets(entries: &[(&str, Family, &[&str])]) -> Sets {
    let filled = entries.iter().map(|(name, family, addresses)| {
        let mut set = IpSet::new(name, *family).expect("a valid name");
        for address in *addresses {
            set.insert(network(address)).expect("a valid entry");
        }
        set
    });
    Sets::new(filled.collect()).expect("different names")
}

fn default_plan(offenders: Vec<Offender>) -> Plan {
    plan(&findings(offenders, &[]), &Sets::empty(), &never_block(), &BlockPolicy::default(), now())
}

/// Each decision as a person sees it.
fn lines(plan: &Plan) -> Vec<String> {
    plan.decisions()
        .iter()
        .map(|decision| {
            format!("{}  {}  {}", decision.source, decision.verdict(), decision.grounds)
        })
        .collect()
}

/// The verdict on one offender under the default policy and empty sets.
#[track_caller]
fn check(offender: Offender, code: &str, verdict: &str) {
    let plan = default_plan(vec![offender]);
    let [decision] = plan.decisions() else { panic!("one offender, one decision") };
    let found = match &decision.outcome {
        Outcome::Add { .. } => "add",
        Outcome::AlreadyBlocked { .. } => "already-blocked",
        Outcome::Withheld(withheld) => withheld.code(),
    };
    assert_eq!((found, decision.verdict().as_str()), (code, verdict));
    assert_eq!(plan.has_changes(), code == "add");
    let entries: usize = plan.target().iter().map(|set| set.addresses().len()).sum();
    assert_eq!(entries, usize::from(code == "add"));
}

#[test]
fn an_offender_enters_the_set_of_its_family() {
    let plan = default_plan(vec![offender("203.0.113.9/32"), offender("2001:db8:0:7::/64")]);
    assert_eq!(
        lines(&plan),
        [
            "203.0.113.9/32  to be blocked in portcullis-v4  probe/dotfiles (31 requests)",
            "2001:db8:0:7::/64  to be blocked in portcullis-v6  probe/dotfiles (31 requests)",
        ]
    );
    assert_eq!(
        plan.target(),
        &sets(&[
            ("portcullis-v4", Family::V4, &["203.0.113.9/32"]),
            ("portcullis-v6", Family::V6, &["2001:db8:0:7::/64"]),
        ])
    );
    assert_eq!(plan.base(), &Sets::empty());
}

#[test]
fn a_protected_source_is_never_blocked() {
    check(
        offender("198.51.100.7/32"),
        "never-block",
        "not blocked: inside never-block 198.51.100.0/24 (head office)",
    );
    check(
        offender("203.0.113.7/32"),
        "never-block",
        "not blocked: inside never-block 203.0.113.7/32",
    );
    check(
        offender("2001:db8:1:1::/64"),
        "never-block",
        "not blocked: around never-block 2001:db8:1:1::7/128 (monitor)",
    );
    check(
        offender("10.1.2.3/32"),
        "reserved",
        "not blocked: inside reserved 10.0.0.0/8, private (RFC 1918)",
    );
}

#[test]
fn only_one_address_or_one_64_is_blocked() {
    for (source, verdict) in [
        (
            "203.0.113.128/25",
            "not blocked: its network is not a /32, the only width that is blocked",
        ),
        (
            "2001:db8:7::/48",
            "not blocked: its network is not a /64, the only width that is blocked",
        ),
        (
            "2001:db8:7::1/128",
            "not blocked: its network is not a /64, the only width that is blocked",
        ),
    ] {
        check(offender(source), "wrong-width", verdict);
    }
}

#[test]
fn the_score_is_held_against_the_limit() {
    let scored = |score| Offender { score, ..offender("203.0.113.9/32") };
    check(scored(49), "below-block-score", "not blocked: score 49 is below 50");
    check(scored(50), "add", "to be blocked in portcullis-v4");
}

#[test]
fn the_worst_severity_is_held_against_the_limit() {
    let of_severity = |severity| {
        let mut offender = offender("203.0.113.9/32");
        offender.detections[0].severity = severity;
        offender
    };
    check(
        of_severity(Severity::Low),
        "below-severity",
        "not blocked: severity low is below medium",
    );
    check(of_severity(Severity::Medium), "add", "to be blocked in portcullis-v4");
}

#[test]
fn a_source_shared_by_honest_users_is_withheld_with_the_numbers() {
    let shared = |good_requests, principals| Offender {
        good_requests,
        principals,
        ..offender("203.0.113.9/32")
    };
    check(
        shared(500, 0),
        "shared-egress",
        "not blocked: honest users share it (500 good requests, limit 500; 0 principals, limit 10); \
         act on the API key or principal instead",
    );
    check(
        shared(3, 10),
        "shared-egress",
        "not blocked: honest users share it (3 good requests, limit 500; 10 principals, limit 10); \
         act on the API key or principal instead",
    );
    check(shared(499, 9), "add", "to be blocked in portcullis-v4");
}

#[test]
fn what_an_incomplete_object_says_blocks_nobody() {
    let broken = "2025/11/04/08/access-1.gz";
    let whole = "2025/11/04/08/access-2.gz";
    let decide = |detections: Vec<Detection>, score| {
        let offender = Offender { detections, score, ..offender("203.0.113.9/32") };
        let findings = findings(vec![offender], &[broken]);
        let policy = BlockPolicy { min_score: 100, ..BlockPolicy::default() };
        plan(&findings, &Sets::empty(), &never_block(), &policy, now()).decisions()[0].clone()
    };

    let all_broken = decide(vec![detection("a", broken, &[0, 9])], 320);
    assert_eq!(all_broken.outcome, Outcome::Withheld(Withheld::IncompleteEvidence));
    assert_eq!(
        all_broken.verdict(),
        "not blocked: all evidence is in objects that ended early; scan again when they are complete"
    );

    // 31 requests are worth four times 80 points, of which at most the whole object counts.
    let one_whole = decide(vec![detection("a", broken, &[0]), detection("b", whole, &[5])], 640);
    let entry = network("203.0.113.9/32");
    assert_eq!(one_whole.outcome, Outcome::Add { set: "portcullis-v4".into(), entry });
    assert_eq!(one_whole.grounds.score, 320);
    assert_eq!(one_whole.grounds.to_string(), "b (31 requests)");

    // One record is known to be whole, so one request counts.
    let mut mixed = detection("a", broken, &[0]);
    mixed.evidence.extend(detection("a", whole, &[5]).evidence);
    let mixed = decide(vec![mixed], 320);
    assert_eq!(
        mixed.outcome,
        Outcome::Withheld(Withheld::BelowBlockScore { score: 80, limit: 100 })
    );

    let mut window = detection("rate/flood", broken, &[0]);
    window.evidence.extend(detection("rate/flood", whole, &[5]).evidence);
    window.rate = Some(flood());
    let window = decide(vec![window], 320);
    assert_eq!(window.outcome, Outcome::Withheld(Withheld::IncompleteEvidence));
}

#[test]
fn a_watched_source_is_shown_and_not_blocked() {
    let watched =
        Offender { good_requests: 400, flagged_requests: 2, ..offender("203.0.113.9/32") };
    let mut findings = findings(vec![offender("203.0.113.8/32")], &[]);
    let says_what_it_is = Offender {
        good_requests: 0,
        flagged_requests: 4,
        grounds: vec![Ground::Flagged, Ground::OnlyItsAgent],
        ..offender("203.0.113.10/32")
    };
    findings.watched = vec![watched, offender("10.0.0.1/32"), says_what_it_is];
    let policy = BlockPolicy::default();
    let plan = plan(&findings, &Sets::empty(), &never_block(), &policy, now());
    let verdicts: Vec<_> =
        plan.decisions().iter().map(|d| format!("{} {}", d.source, d.verdict())).collect();
    assert_eq!(
        verdicts,
        [
            "10.0.0.1/32 not blocked: inside reserved 10.0.0.0/8, private (RFC 1918)",
            "203.0.113.8/32 to be blocked in portcullis-v4",
            "203.0.113.9/32 not blocked: watched only: its 400 good requests outweigh 2 flagged \
             ones",
            "203.0.113.10/32 not blocked: watched only: nothing but its agent speaks against it, \
             which says what it is",
        ]
    );
    let counts =
        &serde_json::from_str::<serde_json::Value>(&plan.to_json()).expect("JSON")["counts"];
    assert_eq!((&counts["offenders"], &counts["watched"]), (&1.into(), &3.into()));
}

#[test]
fn a_plan_of_old_logs_says_so() {
    let codes_after = |days: i64| -> Vec<&str> {
        let found = findings(vec![offender("203.0.113.9/32")], &[]);
        let later = later(now(), days * DAY_MS);
        let plan = plan(&found, &Sets::empty(), &never_block(), &BlockPolicy::default(), later);
        plan.notes().iter().map(Note::code).filter(|code| *code == "old-logs").collect()
    };
    assert_eq!(codes_after(6), [""; 0]);
    assert_eq!(codes_after(8), ["old-logs"]);
}

fn flood() -> RateFigure {
    RateFigure {
        by: Key::Client,
        measure: Measure::Count,
        peak: 412,
        threshold: 300,
        window_seconds: 60,
        bursts: 1,
    }
}

#[test]
fn rate_rules_show_their_worst_window() {
    for (measure, peak, threshold, shown) in [
        (Measure::Count, 412, 300, "412 requests in 60 s, limit 300"),
        (Measure::DistinctPaths, 71, 40, "71 different paths in 60 s, limit 40"),
        (Measure::ErrorShare, 97, 80, "97 % errors in 60 s, limit 80 %"),
    ] {
        let mut offender = offender("203.0.113.9/32");
        offender.detections[0].rate = Some(RateFigure { measure, peak, threshold, ..flood() });
        let plan = default_plan(vec![offender]);
        assert_eq!(plan.decisions()[0].grounds.to_string(), format!("probe/dotfiles ({shown})"));
    }
}

#[test]
fn the_weightiest_rules_are_named_and_the_rest_counted() {
    let mut offender = offender("203.0.113.9/32");
    offender.detections = ["d", "b", "c", "a"].map(|rule| detection(rule, "object", &[0])).to_vec();
    offender.detections[0].points = 400;
    offender.detections[2].points = 1;
    let shown = lines(&default_plan(vec![offender.clone()])).remove(0);
    assert!(shown.ends_with("  d (31 requests), a (31 requests) and 2 more rules"), "{shown}");
    offender.detections.truncate(3);
    let shown = lines(&default_plan(vec![offender])).remove(0);
    assert!(shown.ends_with("  d (31 requests), b (31 requests) and 1 more rule"), "{shown}");
}

#[test]
fn what_is_in_a_set_stays_and_is_not_added_again() {
    let current =
        sets(&[("one", Family::V4, &["203.0.113.9/32"]), ("two", Family::V4, &["198.18.0.0/16"])]);
    let low = Offender { score: 1, ..offender("203.0.113.9/32") };
    let offenders = vec![low, offender("198.18.3.4/32"), offender("2001:db8:0:7::/64")];
    let plan =
        plan(&findings(offenders, &[]), &current, &never_block(), &BlockPolicy::default(), now());
    let verdicts: Vec<_> = plan.decisions().iter().map(Decision::verdict).collect();
    assert_eq!(
        verdicts,
        [
            "already blocked in two by 198.18.0.0/16",
            "not blocked: there is no IPv6 set to hold it; add one to the sets",
            "already blocked in one",
        ]
    );
    assert_eq!(plan.target(), &current);
    assert!(!plan.has_changes());
}

#[test]
fn an_entry_of_others_inside_a_protected_network_is_shown_and_left() {
    let current =
        sets(&[("edge", Family::V4, &["192.0.2.1/32", "198.51.100.0/25", "203.0.113.0/24"])]);
    let plan =
        plan(&findings(Vec::new(), &[]), &current, &never_block(), &BlockPolicy::default(), now());
    let shown: Vec<_> = plan.conflicts().iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "198.51.100.0/25 is in edge, although inside never-block 198.51.100.0/24 (head \
             office); it stays until a person removes it",
            "203.0.113.0/24 is in edge, although around never-block 203.0.113.7/32; it stays \
             until a person removes it",
        ]
    );
    assert_eq!(plan.target(), &current);
}

#[test]
fn sets_of_one_family_fill_one_after_the_other_and_the_worst_offenders_get_the_room() {
    let current = sets(&[
        ("a", Family::V4, &["192.0.2.1/32"]),
        ("b", Family::V4, &[]),
        ("c", Family::V6, &[]),
    ]);
    let scored = |source: &str, score| Offender { score, ..offender(source) };
    let offenders = vec![
        scored("203.0.113.9/32", 70),
        scored("203.0.113.10/32", 70),
        scored("203.0.113.200/32", 90),
        scored("203.0.113.1/32", 60),
        scored("2001:db8:0:1::/64", 55),
    ];
    let policy = BlockPolicy { max_addresses: 2, ..BlockPolicy::default() };
    let plan = plan(&findings(offenders, &[]), &current, &never_block(), &policy, now());
    let verdicts: Vec<_> =
        plan.decisions().iter().map(|d| format!("{} {}", d.source, d.verdict())).collect();
    assert_eq!(
        verdicts,
        [
            "203.0.113.200/32 to be blocked in a",
            "203.0.113.9/32 to be blocked in b",
            "203.0.113.10/32 to be blocked in b",
            "203.0.113.1/32 not blocked: no room: rank 4 by the harm that a block avoids, and the sets hold 4 entries",
            "2001:db8:0:1::/64 to be blocked in c",
        ]
    );
}

/// The AWS solution that failed here blocked nobody, and only when it mattered most.
#[test]
fn twenty_thousand_offenders_give_a_full_set_and_ten_thousand_reasons() {
    let offenders = (0..20_000_u32).map(|number| {
        let address = std::net::Ipv4Addr::from(0xc612_0000 + number);
        let mut offender = offender("203.0.113.9/32");
        offender.source = IpNet::from(std::net::IpAddr::V4(address));
        offender.score = 100 + number;
        offender
    });
    let plan = default_plan(offenders.collect());
    let target = plan.target().get("portcullis-v4").expect("the IPv4 set");
    assert_eq!(target.addresses().len(), MAX_ADDRESSES);
    assert_eq!(target.addresses().first(), Some(&network("198.18.39.16/32")));
    let full: Vec<_> = plan.decisions()[MAX_ADDRESSES..].iter().map(|d| &d.outcome).collect();
    let ranks = (MAX_ADDRESSES + 1..=20_000)
        .map(|rank| Outcome::Withheld(Withheld::SetFull { limit: MAX_ADDRESSES, rank }));
    assert!(full.into_iter().eq(&ranks.collect::<Vec<_>>()));
}

#[test]
fn a_limit_above_what_aws_accepts_counts_as_that() {
    let addresses: Vec<_> =
        (0..MAX_ADDRESSES).map(|n| format!("198.18.{}.{}/32", n / 256, n % 256)).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let current = sets(&[("full", Family::V4, &addresses)]);
    let policy = BlockPolicy { max_addresses: usize::MAX, ..BlockPolicy::default() };
    let findings = findings(vec![offender("203.0.113.9/32")], &[]);
    let plan = plan(&findings, &current, &never_block(), &policy, now());
    assert_eq!(
        plan.decisions()[0].outcome,
        Outcome::Withheld(Withheld::SetFull { limit: MAX_ADDRESSES, rank: 1 })
    );
    assert_eq!(plan.policy(), &policy, "a plan says by what it was made");
}

#[test]
fn only_what_complete_objects_bear_out_earns_room() {
    let (broken, whole) = ("2025/11/04/08/access-1.gz", "2025/11/04/08/access-2.gz");
    let mut mostly_broken = offender("203.0.113.1/32");
    mostly_broken.detections = vec![detection("a", whole, &[0]), detection("b", broken, &[0])];
    mostly_broken.score = 640;
    let mut all_whole = offender("203.0.113.2/32");
    all_whole.detections = vec![detection("a", whole, &[8])];
    all_whole.score = 400;
    let findings = findings(vec![mostly_broken, all_whole], &[broken]);
    let policy = BlockPolicy { max_addresses: 1, ..BlockPolicy::default() };
    let plan = plan(&findings, &Sets::empty(), &never_block(), &policy, now());
    let added: Vec<_> = plan.additions().map(|(decision, _)| decision.source).collect();
    assert_eq!(added, [network("203.0.113.2/32")]);
}

#[test]
fn a_source_with_host_bits_is_blocked_as_its_network() {
    let plan = default_plan(vec![offender("2001:db8:0:7::9/64")]);
    let added: Vec<_> = plan.additions().map(|(decision, _)| decision.source).collect();
    assert_eq!(added, [network("2001:db8:0:7::/64")]);
}

#[test]
fn a_source_given_twice_takes_one_entry() {
    let plan = default_plan(vec![offender("203.0.113.9/32"), offender("203.0.113.9/32")]);
    let verdicts: Vec<_> = plan.decisions().iter().map(Decision::verdict).collect();
    assert_eq!(verdicts, ["to be blocked in portcullis-v4", "already blocked in portcullis-v4"]);
}

/// Findings of a scan that also counted what these sources did well.
fn counted(offenders: Vec<Offender>, well: &[(&str, u64)]) -> Findings {
    let mut traffic = Traffic::default();
    for (index, (source, good_requests)) in well.iter().enumerate() {
        let principals = [index as u64].into();
        traffic.add(network(source), SourceTraffic { good_requests: *good_requests, principals });
    }
    Findings { traffic: Some(traffic), ..findings(offenders, &[]) }
}

fn room_for(max_addresses: usize) -> BlockPolicy {
    BlockPolicy { max_addresses, ..BlockPolicy::default() }
}

#[test]
fn without_room_neighbours_share_an_entry_unless_a_stranger_lives_there() {
    let offenders = || {
        let sources = ["198.18.0.0/32", "198.18.0.1/32", "198.18.0.3/32", "203.0.113.9/32"];
        sources.map(offender).to_vec()
    };
    let verdicts = |findings: &Findings| -> Vec<String> {
        let plan = plan(findings, &Sets::empty(), &never_block(), &room_for(2), now());
        let written: BTreeSet<_> =
            plan.target().iter().flat_map(|set| set.addresses().iter().copied()).collect();
        assert_eq!(written, plan.added_entries());
        plan.decisions().iter().map(|d| format!("{} {}", d.source, d.verdict())).collect()
    };
    assert_eq!(
        verdicts(&counted(offenders(), &[("198.18.0.1/32", 3)])),
        [
            "198.18.0.0/32 to be blocked in portcullis-v4 by 198.18.0.0/30",
            "198.18.0.1/32 to be blocked in portcullis-v4 by 198.18.0.0/30",
            "198.18.0.3/32 to be blocked in portcullis-v4 by 198.18.0.0/30",
            "203.0.113.9/32 to be blocked in portcullis-v4",
        ]
    );
    let left_out = "not blocked: no room: rank 4 by the harm that a block avoids, and the sets \
                    hold 2 entries";
    assert_eq!(
        verdicts(&counted(offenders(), &[("198.18.0.2/32", 1)])),
        [
            "198.18.0.0/32 to be blocked in portcullis-v4 by 198.18.0.0/31".to_owned(),
            "198.18.0.1/32 to be blocked in portcullis-v4 by 198.18.0.0/31".to_owned(),
            "198.18.0.3/32 to be blocked in portcullis-v4".to_owned(),
            format!("203.0.113.9/32 {left_out}"),
        ]
    );
    // Where nobody counted what strangers do, nothing is widened.
    let uncounted = verdicts(&findings(offenders(), &[]));
    assert_eq!(uncounted.iter().filter(|line| line.contains(" by 198")).count(), 0);
    // A neighbour that is left alone for a reason is not blocked with the others.
    let mut shared = offenders();
    shared[1].principals = 10;
    let shared = verdicts(&counted(shared, &[]));
    assert_eq!(shared.iter().filter(|line| line.contains(" by 198")).count(), 0, "{shared:?}");
}

#[test]
fn who_was_seen_last_gets_the_room_before_who_is_long_gone() {
    let seen = |source: &str, score, minutes: i64| {
        let mut offender = Offender { score, ..offender(source) };
        offender.detections[0].last = Timestamp::from_epoch_ms(now().epoch_ms() - minutes * 60_000);
        offender
    };
    let offenders = vec![seen("198.18.0.1/32", 500, 180), seen("198.18.0.9/32", 100, 5)];
    let findings = findings(offenders, &[]);
    let plan = plan(&findings, &Sets::empty(), &never_block(), &room_for(1), now());
    assert_eq!(plan.added_entries().into_iter().collect::<Vec<_>>(), [network("198.18.0.9/32")]);
    let notes: Vec<_> = plan.notes().iter().map(Note::to_string).collect();
    let full = "the IPv4 sets hold 1 entries, and 1 more offenders have no room; add a set";
    assert!(notes.iter().any(|note| note == full), "{notes:?}");
}

#[test]
fn a_plan_says_what_it_would_have_taken_from_others() {
    let well = [("203.0.113.9/32", 30), ("203.0.113.8/32", 970), ("192.0.2.1/32", 0)];
    let mut findings = counted(vec![offender("203.0.113.9/32"), offender("192.0.2.1/32")], &well);
    findings.coverage.requests = 1_031;
    let policy = BlockPolicy::default();
    let plan = plan(&findings, &Sets::empty(), &never_block(), &policy, now());
    assert_eq!(
        plan.collateral(network("203.0.113.9/32")),
        Some(Collateral { good_requests: 30, principals: 1 })
    );
    assert_eq!(plan.collateral(network("192.0.2.1/32")), Some(Collateral::default()));
    assert_eq!(plan.collateral(network("203.0.113.8/32")), None);
    let blast = BlastRadius {
        good_requests: 1_000,
        blocked_good_requests: 30,
        principals: 2,
        blocked_principals: 1,
    };
    assert_eq!(plan.blast_radius(), Some(blast));
    assert_eq!(plan.coverage(), &findings.coverage);
    let json: serde_json::Value = serde_json::from_str(&plan.to_json()).expect("JSON");
    assert_eq!(json["blast_radius"]["blocked_good_requests"], 30);
    let blocked = json["additions"][1]["would_have_blocked"].clone();
    assert_eq!(blocked, serde_json::json!({"good_requests": 30, "principals": 1}));
}

/// What one case of the properties is made of.
#[derive(Debug, Clone)]
struct Case {
    offenders: Vec<Offender>,
    list: Vec<IpNet>,
    current: Sets,
    policy: BlockPolicy,
    traffic: Option<Traffic>,
}

/// Networks in a small space, so that they meet; some reserved, some too wide.
fn any_source() -> impl Strategy<Value = IpNet> {
    let v4 = |base: u32| {
        move |low: u8| IpNet::from(std::net::IpAddr::from((base | u32::from(low)).to_be_bytes()))
    };
    let v6 = |low: u8| {
        let bits = (0x2001_0db8_u128 << 96) | (u128::from(low) << 64);
        IpNet::new(std::net::Ipv6Addr::from(bits).into(), 64).expect("64 is a length")
    };
    prop_oneof![
        8 => any::<u8>().prop_map(v4(0xcb00_7100)),
        1 => any::<u8>().prop_map(v4(0x0a00_0000)),
        6 => any::<u8>().prop_map(v6),
        1 => (any::<u8>(), 20_u8..32).prop_map(move |(low, length)| {
            IpNet::new(v4(0xcb00_7100)(low).addr(), length).expect("a length").trunc()
        }),
        1 => (any::<u8>(), 40_u8..128).prop_map(move |(low, length)| {
            IpNet::new(v6(low).addr(), length).expect("a length").trunc()
        }),
    ]
}

fn any_offender() -> impl Strategy<Value = Offender> {
    (any_source(), 30_u32..80, 0..4_usize, 0..700_u64, 0..14_u64).prop_map(
        |(source, score, severity, good_requests, principals)| {
            let mut offender = offender("203.0.113.9/32");
            offender.detections[0].severity = Severity::ALL[severity];
            Offender {
                source,
                score,
                severity: Severity::ALL[severity],
                good_requests,
                principals,
                ..offender
            }
        },
    )
}

fn any_case() -> impl Strategy<Value = Case> {
    let networks = |most| proptest::collection::vec(any_source(), 0..most);
    (
        proptest::collection::vec(any_offender(), 0..60),
        networks(6),
        networks(8),
        0..12_usize,
        any::<bool>(),
        proptest::option::of(proptest::collection::vec((any_source(), 0..3_u64), 0..20)),
    )
        .prop_map(|(mut offenders, list, entries, max_addresses, two_sets, well)| {
            let mut seen = BTreeSet::new();
            offenders.retain(|offender| seen.insert(offender.source));
            let mut one = IpSet::new("a-v4", Family::V4).expect("a valid name");
            let mut six = IpSet::new("b-v6", Family::V6).expect("a valid name");
            for entry in entries {
                let set = if Family::of(entry) == Family::V4 { &mut one } else { &mut six };
                set.insert(entry).expect("a valid entry");
            }
            let mut current = vec![one, six];
            if two_sets {
                current.push(IpSet::new("c-v4", Family::V4).expect("a valid name"));
            }
            let current = Sets::new(current).expect("different names");
            let merge = MergeLimits { good_requests: 2, ..MergeLimits::default() };
            let policy = BlockPolicy { max_addresses, merge, ..BlockPolicy::default() };
            let traffic = well.map(|well| {
                let mut traffic = Traffic::default();
                for (source, good_requests) in well {
                    traffic.add(source, SourceTraffic { good_requests, ..Default::default() });
                }
                traffic
            });
            Case { offenders, list, current, policy, traffic }
        })
}

impl Case {
    fn plan(&self, current: &Sets) -> Plan {
        let never_block =
            NeverBlock::parse("list", &one_a_line(&self.list)).expect("canonical networks");
        let traffic = self.traffic.clone();
        let findings = Findings { traffic, ..findings(self.offenders.clone(), &[]) };
        plan(&findings, current, &never_block, &self.policy, now())
    }

    /// Whether the offender should be blocked if there were room, said anew without
    /// any of the code under test.
    fn deserves(&self, offender: &Offender) -> bool {
        let overlap = |network: &IpNet| {
            network.contains(&offender.source) || offender.source.contains(network)
        };
        let covered = |entry: &IpNet| entry.contains(&offender.source);
        !self.list.iter().any(overlap)
            && !RESERVED.iter().any(|range| overlap(&network(range.network)))
            && !self.current.iter().flat_map(IpSet::addresses).any(covered)
            && [("v4", 32), ("v6", 64)].contains(&match offender.source {
                IpNet::V4(source) => ("v4", source.prefix_len()),
                IpNet::V6(source) => ("v6", source.prefix_len()),
            })
            && offender.score >= 50
            && offender.severity >= Severity::Medium
            && offender.good_requests < 500
            && offender.principals < 10
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_offender_has_one_outcome_and_the_sets_hold_the_true_best(case in any_case()) {
        // One by one: which networks neighbours may share is `fit`'s own property.
        let policy = BlockPolicy { merge: MergeLimits::NONE, ..case.policy };
        let case = Case { policy, ..case };
        let plan = case.plan(&case.current);

        let mut asked: Vec<_> = case.offenders.iter().map(|offender| offender.source).collect();
        let mut answered: Vec<_> = plan.decisions().iter().map(|decision| decision.source).collect();
        asked.sort();
        answered.sort();
        prop_assert_eq!(asked, answered);

        let mut added = BTreeSet::new();
        for family in Family::ALL {
            let mut best: Vec<_> = case
                .offenders
                .iter()
                .filter(|offender| Family::of(offender.source) == family && case.deserves(offender))
                .map(|offender| (std::cmp::Reverse(offender.score), offender.source))
                .collect();
            best.sort();
            let of_family = case.current.iter().filter(|set| set.family() == family);
            let room: usize = of_family
                .map(|set| case.policy.max_addresses.saturating_sub(set.addresses().len()))
                .sum();
            added.extend(best.iter().take(room).map(|(_, source)| *source));
        }
        let planned: BTreeSet<_> = plan.additions().map(|(decision, _)| decision.source).collect();
        prop_assert_eq!(planned, added);

        let wanted_but_no_room = plan.decisions().iter().filter(|decision| {
            matches!(decision.outcome, Outcome::Withheld(Withheld::SetFull { .. }))
        });
        let deserving = case.offenders.iter().filter(|offender| case.deserves(offender)).count();
        prop_assert_eq!(plan.additions().count() + wanted_but_no_room.count(), deserving);
    }

    #[test]
    fn the_target_is_what_was_there_and_what_was_added(case in any_case()) {
        let plan = case.plan(&case.current);
        for (base, target) in plan.base().iter().zip(plan.target()) {
            prop_assert_eq!(base.name(), target.name());
            prop_assert!(
                target.addresses().len() <= case.policy.max_addresses.max(base.addresses().len())
            );
            let mut expected = base.addresses().clone();
            for decision in plan.decisions() {
                let Outcome::Add { set, entry } = &decision.outcome else { continue };
                prop_assert!(entry.contains(&decision.source));
                prop_assert!(*entry == decision.source || case.traffic.is_some());
                if **set == *base.name() {
                    expected.insert(*entry);
                    prop_assert_eq!(Family::of(decision.source), target.family());
                }
            }
            prop_assert_eq!(target.addresses(), &expected);
        }
    }

    #[test]
    fn an_entry_that_neighbours_share_holds_nobody_who_is_not_to_be_blocked(case in any_case()) {
        let plan = case.plan(&case.current);
        for entry in plan.added_entries() {
            let inside = |network: &IpNet| entry.contains(network) || network.contains(&entry);
            prop_assert!(!case.list.iter().any(inside));
            let is_single = plan.additions().any(|(decision, _)| decision.source == entry);
            if is_single {
                continue;
            }
            for decision in plan.decisions().iter().filter(|d| entry.contains(&d.source)) {
                prop_assert!(!matches!(decision.outcome, Outcome::Withheld(_)), "{:?}", decision);
            }
            let strangers: u64 = case.traffic.iter().flat_map(|traffic| traffic.within(entry))
                .filter(|(source, _)| !plan.additions().any(|(d, _)| d.source == *source))
                .map(|(_, well)| well.good_requests)
                .sum();
            prop_assert!(strangers <= 2, "{} {}", entry, strangers);
        }
    }

    #[test]
    fn planning_on_the_target_changes_nothing(case in any_case()) {
        let first = case.plan(&case.current);
        let second = case.plan(first.target());
        prop_assert!(!second.has_changes());
        prop_assert_eq!(second.target(), first.target());
    }

    #[test]
    fn the_order_of_offenders_does_not_matter(case in any_case(), turn in any::<usize>()) {
        let mut turned = case.clone();
        let by = turn % case.offenders.len().max(1);
        turned.offenders.rotate_left(by);
        turned.offenders.reverse();
        prop_assert_eq!(case.plan(&case.current).to_json(), turned.plan(&case.current).to_json());
    }
}
