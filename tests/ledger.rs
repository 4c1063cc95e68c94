//! `ledger rebuild` on a fake AWS: what is ours is found again, and nothing else.

use std::fs;

use serde_json::{Value, json};

use crate::support::attacks;
use crate::target::{AT, REGION, V4, V6, World, networks};

const FOREIGN: &str = "192.0.2.0/24";

/// A target with a block of either family beside an entry of somebody else, and the file
/// of the plan that made them.
fn blocking() -> (World, String) {
    let world = World::new("enforce");
    world.fake.edit(REGION, "REGIONAL", V4, &[FOREIGN], &[]);
    let text = attacks("203.0.113.9", 20) + &attacks("2001:db8:1:2::17", 20);
    let log = world.files.write("a.log", text);
    let (plan, _) = world.plan(&log, AT);
    world.act(&["apply", &plan], AT).expect_code(0);
    assert_eq!(world.held(V4).len(), 2);
    (world, plan)
}

fn lose(world: &World, name: &str) {
    fs::remove_file(world.files.path(&format!("ledger/{name}"))).expect("it was there");
}

fn rebuild(world: &World, more: &[&str]) -> Value {
    world.act(&[&["ledger", "rebuild"], more].concat(), AT).expect_code(0).json()
}

fn release_all(world: &World) {
    world.act(&["release-all"], AT).expect_code(0);
    assert_eq!(world.held(V4), [FOREIGN.to_owned()].into());
    assert!(world.held(V6).is_empty());
    let verified = world.run(&["audit", "verify"]).run().expect_code(0).text();
    assert!(verified.starts_with("whole: "), "{verified}");
}

#[test]
fn a_lost_ledger_is_made_anew_and_everything_of_ours_can_leave() {
    let (world, _) = blocking();
    lose(&world, "ledger.json");
    // Without a ledger nothing is ours, so that nothing leaves.
    world.act(&["release-all", "--dry-run"], AT).expect_code(0);
    assert_eq!(world.held(V4).len(), 2);

    let tried = rebuild(&world, &["--dry-run"]);
    assert_eq!(networks(&tried["ours"]), ["2001:db8:1:2::/64", "203.0.113.9/32"]);
    assert!(!world.files.root().join("ledger/ledger.json").exists());
    let rebuilt = rebuild(&world, &[]);
    assert_eq!(rebuilt["ours"], tried["ours"]);
    assert_eq!(rebuilt["unclaimed"], json!([{"set": V4, "networks": [FOREIGN]}]));
    release_all(&world);
}

#[test]
fn a_plan_that_was_applied_stands_in_for_a_lost_account() {
    let (world, plan) = blocking();
    lose(&world, "ledger.json");
    lose(&world, "audit.jsonl");
    let nothing = rebuild(&world, &["--dry-run"]);
    assert_eq!(nothing["ours"], json!([]));
    let text = fs::read_to_string(&plan).expect("the plan");
    let altered = world.files.write("altered.json", text.replace("203.0.113.9", "192.0.2.0"));
    let ran = world.act(&["ledger", "rebuild", "--plan", &altered], AT).expect_code(5);
    assert!(ran.stderr.contains("altered"), "{}", ran.stderr);
    let rebuilt = rebuild(&world, &["--plan", &plan]);
    assert_eq!(networks(&rebuilt["ours"]), ["2001:db8:1:2::/64", "203.0.113.9/32"]);
    release_all(&world);
}

#[test]
fn a_ledger_that_is_there_is_never_written_over() {
    let (world, _) = blocking();
    let path = world.files.path("ledger/ledger.json");
    let whole = fs::read(&path).expect("the ledger");
    for (text, says) in [(&whole[..], "it can be read"), (b"{\"schema", "move it aside")] {
        fs::write(&path, text).expect("written");
        let ran = world.act(&["ledger", "rebuild"], AT).expect_code(1);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
        assert_eq!(fs::read(&path).expect("the ledger"), text);
    }
    fs::rename(&path, world.files.path("ledger/damaged.json")).expect("moved aside");
    rebuild(&world, &[]);
    release_all(&world);
}

#[test]
fn an_account_that_was_altered_and_the_kill_switch_stop_it() {
    let (world, _) = blocking();
    lose(&world, "ledger.json");
    world.act(&["ledger", "rebuild", "--halt", "shop is down"], AT).expect_code(4);
    let account = world.files.path("ledger/audit.jsonl");
    let text = fs::read_to_string(&account).expect("the account");
    fs::write(&account, text.replace("203.0.113.9/32", FOREIGN)).expect("altered");
    let ran = world.act(&["ledger", "rebuild"], AT).expect_code(1);
    assert!(ran.stderr.contains("audit line"), "{}", ran.stderr);
    assert!(!world.files.root().join("ledger/ledger.json").exists());
}
