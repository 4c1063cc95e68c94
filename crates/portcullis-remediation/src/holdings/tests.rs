use portcullis_detection::{Key, Measure, RateFigure};
use proptest::prelude::*;

use super::*;
use crate::ledger::{Entry, Past};
use crate::term::FORGET_MS;
use crate::testing::{detection, entry, findings, ledger, network, now, offender};
use crate::{BlockPolicy, Family, IpSet, Plan, ReviewedChanges, plan_changes};

const SOURCE: &str = "198.18.0.1/32";

/// An offender on which a rule fired last so many minutes before now.
fn seen(source: &str, minutes: i64) -> Offender {
    let mut offender = offender(source);
    for detection in &mut offender.detections {
        detection.last = Some(later(now(), -minutes * MINUTE_MS));
    }
    offender
}

/// The default sets, with these entries.
fn sets(entries: &[&str]) -> Sets {
    let empty = Sets::empty();
    let filled = empty.iter().cloned().map(|mut set| {
        for entry in entries.iter().map(|text| network(text)) {
            if Family::of(entry) == set.family() {
                set.insert(entry).expect("a valid entry");
            }
        }
        set
    });
    Sets::new(filled.collect()).expect("two names")
}

/// Ours since so many minutes, for so many more.
fn owned(source: &str, since: i64, more: i64) -> Ledger {
    let mut ledger = ledger();
    let entry = Entry {
        added: later(now(), -since * MINUTE_MS),
        expires: later(now(), more * MINUTE_MS),
        ..entry("op-1")
    };
    ledger.entries.insert(network(source), entry);
    ledger
}

fn plan(
    offenders: Vec<Offender>,
    current: &Sets,
    ledger: &Ledger,
    blocked: BlockedRequests,
) -> Plan {
    let list = NeverBlock::parse("list", "198.51.100.0/24 head office").expect("a list");
    let holdings = Holdings { ledger, operation: "op-9", blocked_requests: blocked };
    let findings = findings(offenders, &[]);
    plan_changes(&findings, current, &list, &BlockPolicy::default(), &holdings, now())
}

/// Each change in a line.
fn lines(plan: &Plan) -> Vec<String> {
    let changes = &plan.changes().expect("a plan with a ledger").changes;
    // Terms are bent by a tenth at most.
    let hours = |ms: &i64| {
        let is_near = |hours: &i64| (hours * HOUR_MS - ms).abs() <= hours * HOUR_MS / 10;
        [1, 4, 24, 168].into_iter().find(is_near).expect("one of the terms")
    };
    changes
        .iter()
        .map(|change| match change {
            Change::Add { network, strikes, term_ms, .. } => {
                format!("add {network} strike {strikes} for {} h", hours(term_ms))
            }
            Change::Renew { network, strikes, term_ms, .. } => {
                format!("renew {network} strike {strikes} for {} h", hours(term_ms))
            }
            Change::Remove { network, why, .. } => format!("remove {network} {why:?}"),
        })
        .collect()
}

#[track_caller]
fn check(offender: Offender, current: &Sets, ledger: &Ledger, expected: &[&str]) {
    let plan = plan(vec![offender], current, ledger, BlockedRequests::LeftOut);
    assert_eq!(lines(&plan), expected);
}

#[track_caller]
fn withheld(offender: Offender, ledger: &Ledger, code: &str) {
    let plan = plan(vec![offender], &sets(&[]), ledger, BlockedRequests::LeftOut);
    match &plan.decisions()[0].outcome {
        Outcome::Withheld(reason) => assert_eq!(reason.code(), code),
        other => panic!("{other:?}"),
    }
    assert!(!lines(&plan).iter().any(|line| line.starts_with("add")));
}

#[test]
fn a_first_offence_is_blocked_for_an_hour_and_the_next_for_longer() {
    check(seen(SOURCE, 1), &sets(&[]), &ledger(), &["add 198.18.0.1/32 strike 1 for 1 h"]);
    let mut back = ledger();
    let past = Past { strikes: 2, ended: later(now(), -60 * MINUTE_MS) };
    back.past.insert(network(SOURCE), past);
    check(seen(SOURCE, 1), &sets(&[]), &back, &["add 198.18.0.1/32 strike 3 for 24 h"]);
    let long_ago = Past { strikes: 2, ended: later(now(), -FORGET_MS) };
    back.past.insert(network(SOURCE), long_ago);
    check(seen(SOURCE, 1), &sets(&[]), &back, &["add 198.18.0.1/32 strike 1 for 1 h"]);
}

#[test]
fn a_blocked_client_that_keeps_retrying_never_renews_its_own_block() {
    let ledger = owned(SOURCE, 30, 30);
    let current = sets(&[SOURCE]);
    // Its requests of a minute ago may all have been turned away.
    let offenders = || vec![seen(SOURCE, 1)];
    let plan_of = |blocked| plan(offenders(), &current, &ledger, blocked);
    assert_eq!(lines(&plan_of(BlockedRequests::MayCount)), [""; 0]);
    // They passed, so the block does not hold.
    let renewed = ["renew 198.18.0.1/32 strike 2 for 4 h"];
    assert_eq!(lines(&plan_of(BlockedRequests::LeftOut)), renewed);
}

#[test]
fn what_passed_before_a_new_entry_works_everywhere_renews_nothing() {
    check(seen(SOURCE, 26), &sets(&[SOURCE]), &owned(SOURCE, 30, 30), &[]);
    let renewed = &["renew 198.18.0.1/32 strike 2 for 4 h"];
    check(seen(SOURCE, 24), &sets(&[SOURCE]), &owned(SOURCE, 30, 30), renewed);
}

#[test]
fn an_entry_leaves_when_its_time_is_over_although_old_logs_still_speak_against_it() {
    let ledger = owned(SOURCE, 60, 0);
    let expected = &["remove 198.18.0.1/32 Expired"];
    check(seen(SOURCE, 60), &sets(&[SOURCE]), &ledger, expected);
    // And it is not put back by the same logs a moment later.
    let mut after = ledger.clone();
    after.end(network(SOURCE), Removal::Expired, now());
    withheld(seen(SOURCE, 60), &after, "nothing-new");
    // Nor by requests that were turned away until then.
    let plan = plan(vec![seen(SOURCE, -1)], &sets(&[]), &after, BlockedRequests::MayCount);
    assert_eq!(lines(&plan), [""; 0]);
}

#[test]
fn an_entry_whose_time_is_over_stays_if_it_offends_all_the_same() {
    let renewed = &["renew 198.18.0.1/32 strike 2 for 4 h"];
    check(seen(SOURCE, 1), &sets(&[SOURCE]), &owned(SOURCE, 60, 0), renewed);
}

#[test]
fn somebody_elses_entry_is_neither_renewed_nor_removed() {
    check(seen(SOURCE, 1), &sets(&[SOURCE]), &ledger(), &[]);
}

#[test]
fn what_a_person_took_out_stays_out_until_the_cool_off_ends() {
    let mut ledger = owned(SOURCE, 30, 30);
    // Not in the set any more: not known to the ledger yet, and not put back either.
    withheld(seen(SOURCE, 1), &ledger, "nothing-new");
    ledger.overrule(network(SOURCE), now());
    withheld(seen(SOURCE, 1), &ledger, "overridden");
}

#[test]
fn old_evidence_blocks_nobody() {
    withheld(seen(SOURCE, 24 * 60 + 1), &ledger(), "old-evidence");
    let mut undated = offender(SOURCE);
    undated.detections = vec![detection("probe/dotfiles", "an-object", &[0])];
    withheld(undated, &ledger(), "old-evidence");
}

#[test]
fn evidence_ahead_of_the_clock_blocks_nobody_and_prolongs_nothing() {
    let days = 24 * 60;
    check(seen(SOURCE, -5), &sets(&[]), &ledger(), &["add 198.18.0.1/32 strike 1 for 1 h"]);
    for minutes in [6, 60, 2 * days, 3_650 * days] {
        let ahead = || seen(SOURCE, -minutes);
        withheld(ahead(), &ledger(), "future-evidence");
        // A block of ours ends at its time, and the same records do not begin another.
        check(ahead(), &sets(&[SOURCE]), &owned(SOURCE, 30, 30), &[]);
        let over = owned(SOURCE, 60, 0);
        check(ahead(), &sets(&[SOURCE]), &over, &["remove 198.18.0.1/32 Expired"]);
        let mut after = over.clone();
        after.end(network(SOURCE), Removal::Expired, now());
        withheld(ahead(), &after, "future-evidence");
    }
}

#[test]
fn what_is_not_ahead_of_the_clock_counts_by_itself() {
    // Two of its requests are known to be of now, and of a rate no part is.
    let with_times = |minutes: [i64; 2]| {
        let mut offender = seen(SOURCE, -60);
        for (evidence, ago) in offender.detections[0].evidence.iter_mut().zip(minutes) {
            evidence.time = Some(later(now(), -ago * MINUTE_MS));
        }
        offender
    };
    let plan_of = |offender| plan(vec![offender], &sets(&[]), &ledger(), BlockedRequests::LeftOut);
    let plan = plan_of(with_times([9, 7]));
    let grounds = &plan.decisions()[0].grounds;
    assert_eq!(grounds.rules[0].requests, 2);
    assert_eq!(grounds.fired, Some(later(now(), -7 * MINUTE_MS)));
    assert_eq!(grounds.ahead, Some(later(now(), HOUR_MS)));
    assert_eq!(lines(&plan), ["add 198.18.0.1/32 strike 1 for 1 h"]);
    let one = plan_of(with_times([9, -60]));
    assert_eq!(one.decisions()[0].grounds.rules[0].requests, 1);
    let mut rate = with_times([9, 7]);
    rate.detections[0].rate = Some(RateFigure {
        by: Key::Client,
        measure: Measure::Count,
        peak: 400,
        threshold: 300,
        window_seconds: 60,
        bursts: 1,
    });
    withheld(rate, &ledger(), "future-evidence");
}

#[test]
fn expiry_makes_room_for_those_who_come() {
    let mut ledger = owned(SOURCE, 60, 0);
    ledger.past.clear();
    let list = NeverBlock::parse("list", "198.51.100.0/24").expect("a list");
    let holdings =
        Holdings { ledger: &ledger, operation: "op-9", blocked_requests: BlockedRequests::LeftOut };
    let policy = BlockPolicy { max_addresses: 1, ..BlockPolicy::default() };
    let current = sets(&[SOURCE]);
    let findings = findings(vec![seen("198.18.0.2/32", 1)], &[]);
    let plan = plan_changes(&findings, &current, &list, &policy, &holdings, now());
    let expected = ["remove 198.18.0.1/32 Expired", "add 198.18.0.2/32 strike 1 for 1 h"];
    assert_eq!(lines(&plan), expected);
    assert_eq!(plan.target(), &sets(&["198.18.0.2/32"]));
}

#[test]
fn the_plan_file_carries_the_changes_to_whoever_applies_them() {
    let ledger = owned(SOURCE, 60, 0);
    let plan =
        plan(vec![seen("198.18.0.2/32", 1)], &sets(&[SOURCE]), &ledger, BlockedRequests::LeftOut);
    let read = ReviewedChanges::from_json(&plan.to_json()).expect("our own file");
    assert_eq!(Some(&read.changes), plan.changes());
    assert_eq!(read.plan_sha256, plan.sha256());
    assert_eq!(read.changes.base.len(), 2);
    assert_eq!(read.changes.ledger, Some(ledger.stamp()));
    assert!(!plan.to_json().contains("canary"), "nothing that a client wrote");
}

fn any_minutes() -> impl Strategy<Value = i64> {
    -10..2_000_i64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The changes do to the sets what the target says, and each network is in one.
    #[test]
    fn the_target_is_the_base_and_the_changes(
        owned in proptest::collection::btree_map(0..30_u8, (any_minutes(), any_minutes()), 0..20),
        foreign in proptest::collection::btree_set(0..40_u8, 0..20),
        seen_before in proptest::collection::btree_map(0..40_u8, any_minutes(), 0..30),
        room in 5..60_usize,
    ) {
        let address = |number: &u8| network(&format!("198.18.0.{number}/32"));
        let mut ledger = ledger();
        let mut v4 = IpSet::new("portcullis-v4", Family::V4).expect("a valid name");
        for (number, (since, more)) in &owned {
            let added = later(now(), -since * MINUTE_MS);
            let expires = later(now(), (more - 500) * MINUTE_MS);
            ledger.entries.insert(address(number), Entry { added, expires, ..entry("op-1") });
            v4.insert(address(number)).expect("a valid entry");
        }
        for number in &foreign {
            v4.insert(address(number)).expect("a valid entry");
        }
        let current = Sets::new(vec![v4]).expect("one set");
        let offenders: Vec<_> = seen_before
            .iter()
            .map(|(number, minutes)| seen(&address(number).to_string(), *minutes))
            .collect();
        let list = NeverBlock::parse("list", "198.18.0.7 monitor").expect("a list");
        let blocked_requests = BlockedRequests::LeftOut;
        let holdings = Holdings { ledger: &ledger, operation: "op-9", blocked_requests };
        let policy = BlockPolicy { max_addresses: room, ..BlockPolicy::default() };
        let findings = findings(offenders, &[]);
        let plan = plan_changes(&findings, &current, &list, &policy, &holdings, now());

        let mut by_hand = current.get("portcullis-v4").expect("it is there").addresses().clone();
        for change in &plan.changes().expect("a plan with a ledger").changes {
            let is_ours = ledger.entries().contains_key(&change.network());
            match change {
                Change::Add { network, .. } => {
                    prop_assert!(by_hand.insert(*network), "{} was there", network);
                    prop_assert!(list.protection(*network).is_none());
                }
                Change::Renew { .. } => prop_assert!(is_ours),
                Change::Remove { network, .. } => {
                    prop_assert!(is_ours, "{} is somebody else's", network);
                    prop_assert!(by_hand.remove(network));
                }
            }
        }
        let target = plan.target().get("portcullis-v4").expect("it is there");
        prop_assert_eq!(target.addresses(), &by_hand);
        let added = plan.additions().count();
        prop_assert!(added == 0 || target.addresses().len() <= room);
        // Nothing of ours outlives its time, unless it offended again.
        for (network, entry) in ledger.entries() {
            let changes = &plan.changes().expect("a plan with a ledger").changes;
            let named = changes.iter().any(|change| change.network() == *network);
            prop_assert!(entry.expires > now() || named, "{} was forgotten", network);
        }
    }
}

#[test]
fn a_plan_has_changes_when_only_something_of_ours_leaves_and_none_when_nothing_does() {
    let none = plan(Vec::new(), &sets(&[]), &ledger(), BlockedRequests::LeftOut);
    assert!(!none.has_changes());
    let over = owned(SOURCE, 61, -1);
    let leaving = plan(Vec::new(), &sets(&[SOURCE]), &over, BlockedRequests::LeftOut);
    assert_eq!(lines(&leaving), ["remove 198.18.0.1/32 Expired"]);
    assert!(leaving.has_changes());
}
