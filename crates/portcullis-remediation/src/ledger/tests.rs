use super::*;
use crate::testing::{entry, ledger, network, now};

#[test]
fn strikes_survive_the_block_and_fade_after_thirty_quiet_days() {
    let source = network("198.18.0.1/32");
    let mut ledger = ledger();
    assert_eq!(ledger.strikes(source, now()), 0);
    ledger.entries.insert(source, Entry { strikes: 3, ..entry("op-1") });
    assert_eq!(ledger.strikes(source, now()), 3);
    ledger.end(source, Removal::Expired, now());
    assert!(ledger.entries().is_empty());
    ledger.forget(later(now(), FORGET_MS - 1));
    assert_eq!(ledger.past().len(), 1);
    assert_eq!(ledger.strikes(source, later(now(), FORGET_MS - 1)), 3);
    assert_eq!(ledger.strikes(source, later(now(), FORGET_MS)), 0);
    ledger.forget(later(now(), FORGET_MS));
    assert!(ledger.past().is_empty());
}

#[test]
fn a_pardon_forgets_the_strikes_and_keeps_the_network_out_for_a_while() {
    let source = network("198.18.0.1/32");
    let mut ledger = ledger();
    ledger.entries.insert(source, entry("op-1"));
    ledger.end(source, Removal::Pardoned, now());
    assert_eq!(ledger.strikes(source, now()), 0);
    assert!(ledger.override_of(source, later(now(), COOL_OFF_MS - 1)).is_some());
    assert!(ledger.override_of(source, later(now(), COOL_OFF_MS)).is_none());
    ledger.forget(later(now(), COOL_OFF_MS - 1));
    assert_eq!(ledger.overrides().len(), 1);
    ledger.forget(later(now(), COOL_OFF_MS));
    assert!(ledger.overrides().is_empty());
}

#[test]
fn a_canary_that_goes_on_as_a_block_has_no_past() {
    let source = network("198.18.0.1/32");
    let mut ledger = ledger();
    ledger.entries.insert(source, Entry { strikes: 3, ..entry("op-1") });
    ledger.end(source, Removal::Promoted, now());
    assert!(ledger.past().is_empty() && ledger.overrides().is_empty());
    assert_eq!(ledger.strikes(source, now()), 0);
}

#[test]
fn every_removal_has_its_own_reason_and_only_blocks_that_end_by_themselves_are_not_early() {
    let all = [
        (Removal::Expired, false, false),
        (Removal::Protected, true, false),
        (Removal::RolledBack, true, true),
        (Removal::Released, true, false),
        (Removal::Pardoned, true, true),
        (Removal::Promoted, false, false),
    ];
    for (removal, is_early, is_decision) in all {
        assert_eq!((removal.is_early(), removal.is_decision()), (is_early, is_decision));
    }
    let reasons = all.map(|(removal, ..)| removal.reason());
    assert_eq!(std::collections::BTreeSet::from(reasons).len(), all.len());
}

#[test]
fn an_entry_that_a_person_took_out_keeps_its_strikes_and_stays_out() {
    let source = network("198.18.0.1/32");
    let mut ledger = ledger();
    ledger.entries.insert(source, entry("op-1"));
    ledger.overrule(source, now());
    assert_eq!(ledger.strikes(source, now()), 1);
    assert!(ledger.override_of(source, now()).is_some());
    // What is not ours cannot be overruled.
    ledger.overrule(network("198.18.0.2/32"), now());
    assert_eq!(ledger.overrides().len(), 1);
}

#[test]
fn who_is_inside_a_blocked_network_shares_its_block_and_its_past() {
    let (network, member) = (network("198.18.0.0/29"), network("198.18.0.3/32"));
    let mut ledger = ledger();
    ledger.entries.insert(network, Entry { strikes: 2, ..entry("op-1") });
    assert_eq!(ledger.entry_around(member).map(|(wider, _)| wider), Some(network));
    assert_eq!(ledger.entry_around(crate::testing::network("198.18.0.8/32")), None);
    assert_eq!(ledger.strikes(member, now()), 2);
    ledger.entries.insert(member, Entry { strikes: 5, ..entry("op-1") });
    assert_eq!(ledger.strikes(member, now()), 5, "the narrowest counts");
    ledger.end(member, Removal::Pardoned, now());
    ledger.end(network, Removal::Expired, now());
    assert_eq!(ledger.strikes(member, now()), 2);
    assert_eq!(ledger.past_around(member, later(now(), FORGET_MS)), None);
}

#[test]
fn a_decision_holds_for_what_is_inside_and_for_what_is_around() {
    let mut ledger = ledger();
    ledger.decide(network("198.18.0.0/29"), "taken out", now());
    let holds = |text: &str, ms| ledger.override_of(network(text), later(now(), ms)).is_some();
    assert!(holds("198.18.0.7/32", 0) && holds("198.18.0.0/16", 0) && holds("198.18.0.0/29", 0));
    assert!(!holds("198.18.0.8/32", 0) && !holds("198.18.0.8/29", 0));
    assert!(!holds("198.18.0.7/32", COOL_OFF_MS) && !holds("198.18.0.0/16", COOL_OFF_MS));
    assert_eq!(ledger.overrides_at(now()).count(), 1);
    assert_eq!(ledger.overrides_at(later(now(), COOL_OFF_MS)).count(), 0);
}

#[test]
fn additions_count_for_one_day() {
    let mut ledger = ledger();
    ledger.added =
        vec![Added { time: now(), entries: 7 }, Added { time: later(now(), 5), entries: 2 }];
    assert_eq!(ledger.added_within_a_day(later(now(), DAY_MS - 1)), 9);
    assert_eq!(ledger.added_within_a_day(later(now(), DAY_MS)), 2);
    ledger.forget(later(now(), DAY_MS - 1));
    assert_eq!(ledger.added.len(), 2);
    ledger.forget(later(now(), DAY_MS));
    assert_eq!(ledger.added_within_a_day(later(now(), DAY_MS)), 2);
    assert_eq!(ledger.added.len(), 1);
}
