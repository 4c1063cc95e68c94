use super::*;
use crate::ledger::{Entry, Past};
use crate::testing::{cause, entry, ledger, network, now, target};

fn networks(changes: &Changes) -> Vec<String> {
    changes
        .changes
        .iter()
        .map(|change| match change {
            Change::Remove { network, why, .. } => format!("{network} {why:?}"),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn owning() -> Ledger {
    let mut ledger = ledger();
    for (source, operation, ms) in
        [("198.18.0.1/32", "op-1", 0), ("198.18.0.2/32", "op-2", 1), ("198.18.0.3/32", "op-2", 0)]
    {
        let expires = later(now(), ms);
        ledger.entries.insert(network(source), Entry { expires, ..entry(operation) });
    }
    ledger.past.insert(network("198.18.0.9/32"), Past { strikes: 2, ended: now() });
    ledger
}

#[test]
fn an_entry_leaves_at_its_minute_and_not_before() {
    let changes = Changes::expire(&owning(), None, "op-9", now());
    assert_eq!(networks(&changes), ["198.18.0.1/32 Expired", "198.18.0.3/32 Expired"]);
    assert_eq!(changes.sets(&ledger()), ["portcullis-v4"]);
}

#[test]
fn an_entry_that_became_protected_leaves_at_once() {
    let list = NeverBlock::parse("list", "198.18.0.0/30").expect("a list");
    let changes = Changes::expire(&owning(), Some(&list), "op-9", now());
    let expected = ["198.18.0.1/32 Expired", "198.18.0.2/32 Protected", "198.18.0.3/32 Expired"];
    assert_eq!(networks(&changes), expected);
}

#[test]
fn rollback_takes_out_what_one_operation_added() {
    let changes = Changes::rollback(&owning(), "op-2", "op-9", now());
    assert_eq!(networks(&changes), ["198.18.0.2/32 RolledBack", "198.18.0.3/32 RolledBack"]);
}

#[test]
fn release_takes_out_all_and_pardon_what_overlaps_even_if_it_is_over() {
    assert_eq!(Changes::release_all(&owning(), "op-9", now()).changes.len(), 3);
    let one = Changes::pardon(&owning(), network("198.18.0.2/32"), "op-9", now());
    assert_eq!(networks(&one), ["198.18.0.2/32 Pardoned"]);
    let nobody = Changes::pardon(&owning(), network("198.18.0.7/32"), "op-9", now());
    assert_eq!(networks(&nobody), ["198.18.0.7/32 Pardoned"]);
    let over = Changes::pardon(&owning(), network("198.18.0.8/31"), "op-9", now());
    assert_eq!(networks(&over), ["198.18.0.9/32 Pardoned", "198.18.0.8/31 Pardoned"]);
}

fn sample() -> Changes {
    let mut changes = Changes::none(Kind::Plan, "op-9", &target(), now());
    changes.changes.push(Change::Add {
        set: "portcullis-v4".to_owned(),
        network: network("198.18.0.7/32"),
        term_ms: HOUR_MS,
        strikes: 1,
        cause: cause(),
    });
    changes
}

#[test]
fn a_plan_file_is_read_back_with_the_hash_that_was_approved() {
    let read = ReviewedChanges::from_json(&sample().to_json()).expect("our own text");
    assert_eq!(read.changes, sample());
    assert_eq!(read.plan_sha256, sample().sha256());
    // A tool that sorts keys and drops white space changes nothing.
    let value: Value = serde_json::from_str(&sample().to_json()).expect("JSON");
    assert_eq!(ReviewedChanges::from_json(&value.to_string()), Ok(read));
}

#[test]
fn a_plan_that_was_altered_is_refused() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = ReviewedChanges::from_json(text).expect_err("refused").to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let text = sample().to_json();
    check(&text.replace("198.18.0.7", "198.18.0.8"), "it was altered: it states the hash");
    check(&text.replace("plan_sha256", "sha256"), "it states no `plan_sha256`");
    check(&text.replace("\"schema_version\": 1", "\"schema_version\": 7"), "schema_version is 7");
    check("[]", "schema_version is null");
    check("", "EOF");
    let mut wide = sample();
    wide.changes = vec![removal(network("198.18.0.1/24"), "s", Removal::Expired)];
    check(&wide.to_json(), "`198.18.0.1/24` has host bits set");
}

/// A plan whose hash was taken anew is still no plan of ours.
#[test]
fn a_plan_that_promises_what_no_plan_does_is_refused() {
    #[track_caller]
    fn check(alter: impl FnOnce(&mut Changes), expected: &str) {
        let mut forged = sample();
        alter(&mut forged);
        let error = ReviewedChanges::from_json(&forged.to_json()).expect_err("refused");
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    fn change(forged: &mut Changes) -> (&mut IpNet, &mut i64, &mut u32) {
        match &mut forged.changes[0] {
            Change::Add { network, term_ms, strikes, .. } => (network, term_ms, strikes),
            other => panic!("{other:?}"),
        }
    }
    let month = 30 * 24 * HOUR_MS;
    let mut longest = sample();
    *change(&mut longest).1 = month;
    ReviewedChanges::from_json(&longest.to_json()).expect("a person may block for a month");
    for term in [month + 1, 100 * 365 * 24 * HOUR_MS, i64::MAX, 0, -5] {
        let expected = format!("198.18.0.7/32 would be blocked for {term} ms; expected 1 to");
        check(|forged| *change(forged).1 = term, &expected);
    }
    for strikes in [0, u32::MAX] {
        let expected = format!("198.18.0.7/32 has {strikes} strikes; expected 1 to 1000000");
        check(|forged| *change(forged).2 = strikes, &expected);
    }
    let good_from = "it is good from 2025-11-04T09:12:00.000Z to ";
    check(|forged| forged.not_after = later(forged.not_after, 1), good_from);
    check(|forged| forged.not_after = later(forged.created_at, -1), good_from);
    let escape = "the operation `x\\u{1b}[31m` is no name";
    check(|forged| forged.operation = "x\u{1b}[31m".to_owned(), escape);
    let v4 = SetBase { set: "portcullis-v4".into(), family: Family::V4, sha256: String::new() };
    let other_family = |forged: &mut Changes| {
        forged.base.push(v4);
        *change(forged).0 = network("2001:db8:1:2::/64");
    };
    let expected = "2001:db8:1:2::/64 cannot be in the set `portcullis-v4`, which holds IPv4";
    check(other_family, expected);
}
