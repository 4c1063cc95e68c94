//! What a person decided, and what no person can decide.

use proptest::prelude::*;

use super::*;
use crate::changes::Change;
use crate::holdings::BlockedRequests;
use crate::ledger::{Entry, Ledger, Removal};
use crate::term::{DAY_MS, HOUR_MS, later};
use crate::testing::{entry, findings, ledger, network, now, offender};

const LIST: &str = "198.51.100.0/24 head office\n";

fn rulings<'s>(all: impl IntoIterator<Item = (&'s str, Ruled)>) -> Rulings {
    let mut rulings = Rulings::default();
    for (source, ruled) in all {
        rulings.rule(network(source), Ruling::new(Some(ruled))).expect("a source");
    }
    rulings
}

fn reviewed(findings: &Findings, rulings: &Rulings, ledger: Option<&Ledger>) -> Plan {
    let list = NeverBlock::parse("list", LIST).expect("a list");
    let mut sets = Sets::empty();
    if let Some(ledger) = ledger {
        let filled = sets.iter().cloned().map(|mut set| {
            let family = set.family();
            for network in ledger.entries.keys().filter(|network| Family::of(**network) == family) {
                set.insert(*network).expect("a valid entry");
            }
            set
        });
        sets = Sets::new(filled.collect()).expect("two names");
    }
    let left_out = BlockedRequests::LeftOut;
    let holdings =
        ledger.map(|ledger| Holdings { ledger, operation: "op-9", blocked_requests: left_out });
    let policy = BlockPolicy::default();
    plan_reviewed(findings, &sets, &list, &policy, holdings.as_ref(), rulings, now())
}

/// What became of one source: `add`, `already-blocked`, or why not.
fn outcome(plan: &Plan, source: &str) -> &'static str {
    let decision = plan.decisions().iter().find(|decision| decision.source == network(source));
    match &decision.expect("a decision").outcome {
        Outcome::Add { .. } => "add",
        Outcome::AlreadyBlocked { .. } => "already-blocked",
        Outcome::Withheld(withheld) => withheld.code(),
    }
}

/// An offender that the policy would leave alone.
fn mild(source: &str) -> Offender {
    Offender { good_requests: 9_000, principals: 90, ..offender(source) }
}

#[test]
fn an_approval_lifts_the_limits_of_the_policy() {
    let found = findings(vec![mild("203.0.113.9/32"), mild("203.0.113.8/32")], &[]);
    let plan = reviewed(&found, &rulings([("203.0.113.9/32", Ruled::Approve)]), None);
    assert_eq!(outcome(&plan, "203.0.113.9/32"), "add");
    assert_eq!(outcome(&plan, "203.0.113.8/32"), "shared-egress");
    let ruled = |source: &str| plan.ruling(network(source)).and_then(|ruling| ruling.ruled);
    assert_eq!(ruled("203.0.113.9/32"), Some(Ruled::Approve));
    assert_eq!(ruled("203.0.113.8/32"), None);
}

#[test]
fn an_approval_lifts_no_protection_and_no_want_of_evidence() {
    let office = offender("198.51.100.7/32");
    let provisional = offender("203.0.113.9/32");
    let found = findings(vec![office, provisional], &["2025/11/04/08/access-1.gz"]);
    let all = [("198.51.100.7/32", Ruled::Approve), ("203.0.113.9/32", Ruled::Approve)];
    let plan = reviewed(&found, &rulings(all), None);
    assert_eq!(outcome(&plan, "198.51.100.7/32"), "never-block");
    assert_eq!(outcome(&plan, "203.0.113.9/32"), "incomplete-evidence");
}

#[test]
fn what_is_rejected_is_left_alone_and_the_plan_says_so() {
    let found = findings(vec![offender("203.0.113.9/32"), offender("203.0.113.8/32")], &[]);
    let plan = reviewed(&found, &rulings([("203.0.113.9/32", Ruled::Reject)]), None);
    assert_eq!(outcome(&plan, "203.0.113.9/32"), "rejected");
    assert_eq!(outcome(&plan, "203.0.113.8/32"), "add");
    let text = plan.to_json();
    assert!(text.contains("\"decision\": \"reject\"") && text.contains("rejected in review"));
}

#[test]
fn whoever_is_undecided_can_be_left_alone() {
    let found = findings(vec![offender("203.0.113.9/32"), offender("203.0.113.8/32")], &[]);
    let mut rulings = rulings([("203.0.113.9/32", Ruled::Approve)]);
    rulings.undecided = Undecided::LeftAlone;
    let plan = reviewed(&found, &rulings, None);
    assert_eq!(outcome(&plan, "203.0.113.9/32"), "add");
    assert_eq!(outcome(&plan, "203.0.113.8/32"), "undecided");
}

#[test]
fn decisions_about_sources_that_are_not_there_block_nothing_and_are_told() {
    let found = findings(vec![offender("203.0.113.9/32")], &[]);
    let plan = reviewed(&found, &rulings([("203.0.113.77/32", Ruled::Approve)]), None);
    assert_eq!(plan.added_entries(), BTreeSet::from([network("203.0.113.9/32")]));
    assert!(plan.notes().contains(&Note::DecidedAndNotSeen { sources: 1 }));
}

#[test]
fn a_duration_is_kept_to_the_second_and_the_note_is_on_record() {
    let mut last = offender("203.0.113.9/32");
    last.detections[0].last = Some(later(now(), -60_000));
    let mut rulings = Rulings::default();
    let ruling = Ruling::new(Some(Ruled::Approve)).lasting(Some(5_400)).expect("90 minutes");
    let ruling = ruling.with_words("came back", "kim").expect("plain");
    rulings.rule(network("203.0.113.9/32"), ruling).expect("a source");
    let plan = reviewed(&findings(vec![last], &[]), &rulings, Some(&ledger()));
    let [Change::Add { term_ms, cause, .. }] = &plan.changes().expect("a ledger").changes[..]
    else {
        panic!("one addition")
    };
    assert_eq!(*term_ms, 5_400_000);
    assert!(cause.reason.ends_with("; approved in review by kim: came back"), "{}", cause.reason);
}

#[test]
fn old_evidence_blocks_when_a_person_says_so() {
    let mut old = offender("203.0.113.9/32");
    old.detections[0].last = Some(later(now(), -3 * DAY_MS));
    let found = findings(vec![old], &[]);
    let own = ledger();
    assert_eq!(
        outcome(&reviewed(&found, &Rulings::default(), Some(&own)), "203.0.113.9/32"),
        "old-evidence"
    );
    let approved = rulings([("203.0.113.9/32", Ruled::Approve)]);
    assert_eq!(outcome(&reviewed(&found, &approved, Some(&own)), "203.0.113.9/32"), "add");
    // What another person took out stays out.
    let mut own = own;
    own.decide(network("203.0.113.9/32"), "taken out", now());
    assert_eq!(outcome(&reviewed(&found, &approved, Some(&own)), "203.0.113.9/32"), "overridden");
}

#[test]
fn a_pardon_ends_a_block_of_ours_once_whether_or_not_it_is_over() {
    for expires in [later(now(), HOUR_MS), later(now(), -1)] {
        let mut own = ledger();
        own.entries.insert(network("203.0.113.9/32"), Entry { expires, ..entry("op-1") });
        let mut again = offender("203.0.113.9/32");
        again.detections[0].last = Some(now());
        let found = findings(vec![again], &[]);
        let plan = reviewed(&found, &rulings([("203.0.113.9/32", Ruled::Pardon)]), Some(&own));
        assert_eq!(outcome(&plan, "203.0.113.9/32"), "pardoned");
        let changes = &plan.changes().expect("a ledger").changes;
        assert!(
            matches!(&changes[..], [Change::Remove { why: Removal::Pardoned, .. }]),
            "{changes:?}"
        );
        assert!(plan.target().iter().all(|set| set.addresses().is_empty()));
    }
}

#[test]
fn a_block_is_renewed_only_for_who_would_be_blocked_anew() {
    let again = |source: &str| {
        let mut again = offender(source);
        again.detections[0].last = Some(now());
        again
    };
    let renewed = |offender: Offender| {
        let mut own = ledger();
        let added = later(now(), -HOUR_MS);
        own.entries.insert(offender.source, Entry { added, ..entry("op-1") });
        let plan = reviewed(&findings(vec![offender], &[]), &Rulings::default(), Some(&own));
        let changes = &plan.changes().expect("a ledger").changes;
        changes.iter().any(|change| matches!(change, Change::Renew { .. }))
    };
    assert!(renewed(again("203.0.113.9/32")));
    // Shared by honest users; and inside a protected network.
    assert!(!renewed(Offender { good_requests: 9_000, principals: 90, ..again("203.0.113.9/32") }));
    assert!(!renewed(again("198.51.100.7/32")));
}

proptest! {
    #[test]
    fn no_ruling_blocks_what_is_protected_or_was_rejected(
        sources in proptest::collection::btree_map(0..=255_u8, (any::<bool>(), 0..4_usize), 1..24),
        left_alone in any::<bool>(),
    ) {
        let address = |n: u8, office: bool| {
            let network = if office { "198.51.100" } else { "203.0.113" };
            format!("{network}.{n}/32")
        };
        let mut rulings = Rulings::default();
        let mut offenders = Vec::new();
        for (n, (office, ruled)) in &sources {
            offenders.push(offender(&address(*n, *office)));
            let ruled = Ruled::ALL.get(*ruled).copied();
            rulings.rule(network(&address(*n, *office)), Ruling::new(ruled)).expect("a source");
        }
        if left_alone {
            rulings.undecided = Undecided::LeftAlone;
        }
        let plan = reviewed(&findings(offenders, &[]), &rulings, None);
        for entry in plan.added_entries() {
            prop_assert!(!network("198.51.100.0/24").contains(&entry));
            for (source, ruling) in rulings.iter() {
                let spared = ruling.ruled != Some(Ruled::Approve);
                prop_assert!(!(spared && entry.contains(&source)), "{entry} holds {source}");
            }
            if left_alone {
                let ruling = rulings.of(entry).map(|ruling| ruling.ruled);
                prop_assert_eq!(ruling, Some(Some(Ruled::Approve)));
            }
        }
    }
}
