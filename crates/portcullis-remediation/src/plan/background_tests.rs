//! What is known of sources besides their requests, and what a plan makes of it.

use portcullis_detection::{Background, Network};

use super::*;
use crate::holdings::BlockedRequests;
use crate::network_list::Assets;
use crate::term::later;
use crate::testing::{findings, ledger, now, offender};

fn in_network(source: &str, number: u32) -> Offender {
    let network = Some(Network { number, name: None });
    let background = Background { network, ..Background::default() };
    Offender { background, ..recent(source) }
}

/// An offender on which a rule fired a minute ago.
fn recent(source: &str) -> Offender {
    let mut offender = offender(source);
    for detection in &mut offender.detections {
        detection.last = Some(later(now(), -60_000));
    }
    offender
}

fn changes_of(offenders: Vec<Offender>, never_block: &NeverBlock) -> Plan {
    let ledger = ledger();
    let blocked_requests = BlockedRequests::LeftOut;
    let holdings = Holdings { ledger: &ledger, operation: "op-9", blocked_requests };
    let (found, policy) = (findings(offenders, &[]), BlockPolicy::default());
    plan_changes(&found, &Sets::empty(), never_block, &policy, &holdings, now())
}

#[test]
fn an_asset_is_in_the_plan_and_not_blocked() {
    let mut assets = Assets::default();
    assets.add("assets.csv", "203.0.113.0/28,build servers").expect("a list");
    let list = NeverBlock::built_in().with_assets(&assets);
    let plan = changes_of(vec![recent("203.0.113.9/32"), recent("203.0.113.99/32")], &list);
    let verdicts: Vec<String> = plan.decisions().iter().map(Decision::verdict).collect();
    assert_eq!(
        verdicts,
        [
            "not blocked: inside own asset 203.0.113.0/28 (build servers)",
            "to be blocked in portcullis-v4",
        ]
    );
    let Outcome::Withheld(withheld) = &plan.decisions()[0].outcome else { panic!("withheld") };
    assert_eq!(withheld.code(), "asset");
}

#[test]
fn the_network_that_most_additions_come_from_is_held_against_its_brake() {
    let hosts = |number: u32, hosts: std::ops::Range<u8>| {
        hosts.map(move |host| in_network(&format!("203.0.113.{host}/32"), number))
    };
    let mut offenders: Vec<Offender> = hosts(64_496, 0..8).chain(hosts(64_497, 8..13)).collect();
    let protected = in_network("10.0.0.1/32", 64_497);
    offenders.extend([recent("203.0.113.20/32"), protected]);
    let plan = changes_of(offenders, &NeverBlock::built_in());
    let figures = &plan.changes().expect("a plan with a ledger").figures;
    let origin = figures.origin.as_ref().expect("networks are known");
    assert_eq!((origin.name.as_str(), origin.additions), ("AS64496", 8));
}

#[test]
fn where_no_network_is_known_nothing_is_said_of_it() {
    let plan = changes_of(vec![recent("203.0.113.9/32")], &NeverBlock::built_in());
    assert_eq!(plan.changes().expect("a plan with a ledger").figures.origin, None);
}
