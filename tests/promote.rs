//! `promote` on a fake AWS: who may block after probation, and who stays counted.

use std::fs;

use serde_json::Value;

use crate::remediation::retries;
use crate::support::{Ran, Record, START_EPOCH_MS, attacks};
use crate::target::{AT, REGION, V4, World};

const COUNTED: &str = "counted-v4";
const ATTACKER: &str = "203.0.113.9";
const ENTRY: &str = "203.0.113.9/32";

/// An hour and a minute after the entry came into the canary set.
const AFTER: &str = "2025-11-04T11:01:00Z";

/// A target whose attacker is counted since [`AT`], and went on until 10:50, so that its
/// term was prolonged at 10:50; with the log of all that.
fn counted() -> (World, String) {
    let world = World::new("canary");
    world.fake.create_ip_set(REGION, "REGIONAL", COUNTED, "IPV4");
    let text = fs::read_to_string(&world.configuration).expect("the configuration");
    let text = format!("{text}canary-sets = [\"{COUNTED}\"]\n");
    fs::write(&world.configuration, text).expect("written");
    let log = world.files.write("a.log", attacks(ATTACKER, 20));
    world.block(&log, AT);
    world.files.write("a.log", attacks(ATTACKER, 20) + &retries(ATTACKER, "-"));
    world.block(&log, "2025-11-04T10:50:00Z");
    assert_eq!(world.held(COUNTED), [ENTRY.to_owned()].into());
    (world, log)
}

fn promote(world: &World, log: &str, more: &[&str], at: &str) -> Ran {
    world.act(&[&["promote", log], more].concat(), at)
}

#[track_caller]
fn stays_counted(world: &World, ran: &Ran, why: &str) {
    let document: Value = ran.json();
    assert_eq!(document["held"][0]["network"], ENTRY, "{document}");
    let held = document["held"][0]["why"].as_str().expect("a reason");
    assert!(held.contains(why), "{held}");
    assert_eq!(document["operations"], serde_json::json!([]));
    is_counted(world);
}

#[track_caller]
fn is_counted(world: &World) {
    assert_eq!(world.held(COUNTED), [ENTRY.to_owned()].into());
    assert!(world.held(V4).is_empty());
}

#[test]
fn a_canary_that_goes_on_attacking_blocks_after_its_probation() {
    let (world, log) = counted();
    let early = promote(&world, &log, &[], "2025-11-04T10:59:00Z").expect_code(0);
    stays_counted(&world, &early, "its probation ends 2025-11-04T11:00:");
    let tried = promote(&world, &log, &["--dry-run"], AFTER).expect_code(0).json();
    assert_eq!(tried["operations"][1]["changes"][0]["done"], "added", "{tried}");
    is_counted(&world);

    let done = promote(&world, &log, &[], AFTER).expect_code(0).json();
    let steps = done["operations"].as_array().expect("a list");
    let outcomes: Vec<_> = steps.iter().map(|step| step["changes"][0]["done"].as_str()).collect();
    assert_eq!(outcomes, ["removed", "added"].map(Some), "{done}");
    assert!(world.held(COUNTED).is_empty());
    assert_eq!(world.held(V4), [ENTRY.to_owned()].into());
    let lines = world.run(&["audit", "show", "-o", "json"]).run().expect_code(0).lines();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str()).collect();
    assert_eq!(events, ["add", "renew", "remove", "add"].map(Some));

    // Its term goes on as that of any block, and there is nothing left to promote.
    let again = world.run(&["promote", &log, "--at", AFTER]);
    let again = again.run().expect_code(0).text();
    assert_eq!(again, "nothing is promoted on prod\n");
    world.act(&["expire"], "2025-11-04T15:30:00Z").expect_code(0);
    assert!(world.held(V4).is_empty());
}

#[test]
fn who_stopped_and_who_does_well_stays_counted() {
    let (world, log) = counted();
    let silent = world.files.write("silent.log", attacks(ATTACKER, 20));
    let ran = promote(&world, &silent, &[], AFTER).expect_code(0);
    stays_counted(&world, &ran, "nothing came from it");
    // Not even when somebody asks for older requests: they are why it is counted.
    let ran = promote(&world, &silent, &["--from", "2025-11-04"], AFTER).expect_code(0);
    stays_counted(&world, &ran, "nothing came from it");

    let good: String = (0..20)
        .map(|n| {
            Record {
                id: format!("good-{n}"),
                client: ATTACKER.to_owned(),
                epoch_ms: START_EPOCH_MS + 50 * 60_000 + 7_000 * n,
                ..Record::default()
            }
            .line()
        })
        .collect();
    let text = fs::read_to_string(&log).expect("the log") + &good;
    let mixed = world.files.write("mixed.log", text);
    let ran = promote(&world, &mixed, &[], AFTER).expect_code(0);
    stays_counted(&world, &ran, "20 of its 3");
}

#[test]
fn what_would_not_be_blocked_does_not_leave_its_canary_set() {
    let (world, log) = counted();
    world.files.write("never-block.txt", "not a network\n");
    let ran = promote(&world, &log, &[], AFTER).expect_code(0);
    stays_counted(&world, &ran, "there is no never-block list");
    world.files.write("never-block.txt", "198.51.100.0/24\n");

    let ran = promote(&world, &log, &["--halt", "shop is down"], AFTER).expect_code(4);
    assert!(ran.stderr.contains("shop is down"), "{}", ran.stderr);
    is_counted(&world);
    let text = fs::read_to_string(&world.configuration).expect("the configuration");
    let braked = format!("brakes.adds-per-run = 0\n{text}");
    fs::write(&world.configuration, braked).expect("written");
    let ran = promote(&world, &log, &[], AFTER).expect_code(4);
    assert!(ran.stderr.contains("--override adds-per-run=REASON"), "{}", ran.stderr);
    is_counted(&world);
    let by_hand = ["--override", "adds-per-run=known"];
    promote(&world, &log, &by_hand, AFTER).expect_code(0);
    assert_eq!(world.held(V4), [ENTRY.to_owned()].into());
}

#[test]
fn what_is_known_of_a_canary_counts_as_it_does_for_a_plan() {
    let (world, log) = counted();
    let assets = world.files.write("assets.csv", format!("{ATTACKER},build server\n"));
    let ran = promote(&world, &log, &["--assets", &assets], AFTER).expect_code(0);
    stays_counted(&world, &ran, "build server");
    promote(&world, &log, &[], AFTER).expect_code(0);
    assert_eq!(world.held(V4), [ENTRY.to_owned()].into());
}

#[test]
fn the_mode_and_the_canary_sets_must_be_there() {
    let (world, log) = counted();
    for mode in ["observe", "suggest"] {
        let ran = promote(&world, &log, &["--mode", mode], AFTER).expect_code(4);
        assert!(ran.stderr.contains(mode), "{}", ran.stderr);
    }
    is_counted(&world);
    let without = World::new("enforce");
    let ran = without.act(&["promote", &log], AFTER).expect_code(64);
    assert!(ran.stderr.contains("canary-sets"), "{}", ran.stderr);
}
