//! `run`: what a schedule does, on a bucket and a target that are not there for show.

use std::process::Command;
use std::time::Duration;

use fake_aws::Hold;
use serde_json::Value;

use crate::support::{Files, Ran, attacks, gzip, honest, portcullis};
use crate::target::{V4, World, with_dummy_credentials};

const ATTACKER: &str = "203.0.113.9";

/// A target, a bucket of logs, and a configuration that names both.
fn world(mode: &str) -> World {
    let world = World::with(mode, "");
    let text = std::fs::read_to_string(&world.configuration).expect("it was written");
    let source = format!(
        "[source]\nlocation = \"s3://logs/api/\"\nstate = \"state/history\"\n\
         region = \"eu-west-1\"\nendpoint-url = \"{}\"\n",
        world.fake.url()
    );
    world.files.write("portcullis.toml", text.replace("[[target]]", &(source + "[[target]]")));
    world.fake.create_bucket("logs");
    world
}

fn put(world: &World, key: &str, text: &str) {
    world.fake.put_object("logs", &format!("api/{key}"), &gzip(text.as_bytes()));
}

/// While the tests' traffic is fresh, so that the brakes have nothing against it.
const AT: &str = "2025-11-04T09:20:00Z";

fn run(world: &World, more: &[&str]) -> Ran {
    world.run(&[&["run", "--at", AT][..], more].concat()).run()
}

fn summary(ran: &Ran) -> Value {
    serde_json::from_str(ran.text().lines().last().expect("a line")).expect("JSON")
}

fn heartbeat(world: &World) -> Value {
    let text = std::fs::read(world.files.path("state/history.heartbeat")).expect("it beats");
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn a_run_blocks_what_is_new_and_the_next_one_has_nothing_to_do() {
    let world = world("enforce");
    put(&world, "1", &(honest("198.51.100.7", 40) + &attacks(ATTACKER, 5)));
    let ran = run(&world, &["-o", "json"]).expect_code(0);
    let first = summary(&ran);
    assert_eq!(first["analysis"]["objects_read"], 1);
    assert_eq!(first["targets"][0]["added"][0]["network"], "203.0.113.9/32");
    assert!(world.held(V4).contains("203.0.113.9/32"));
    let state = std::fs::read(world.files.path("state/history")).expect("it is kept");

    let ran = run(&world, &[]).expect_code(0);
    let line = ran.text();
    assert_eq!(line.lines().count(), 1, "{line}");
    let expected =
        "0 objects read (1 before, 0 left), 45 requests, 1 offender; prod (enforce): 0 blocked";
    assert!(line.contains(expected), "{line}");
    assert!(line.trim_end().ends_with("done"), "{line}");
    assert_eq!(std::fs::read(world.files.path("state/history")).expect("kept"), state);
    let heartbeat = heartbeat(&world);
    assert_eq!(heartbeat["last_exit"], 0);
    for time in ["last_begun", "last_finished", "last_good", "last_expire"] {
        assert!(heartbeat[time].as_str().is_some_and(|time| time.ends_with('Z')), "{heartbeat}");
    }
}

#[test]
fn the_mode_decides_what_becomes_of_a_plan() {
    for mode in ["observe", "suggest"] {
        let world = world(mode);
        put(&world, "1", &(honest("198.51.100.7", 40) + &attacks(ATTACKER, 5)));
        let plans = world.files.path("plans");
        let ran = run(&world, &["--plans", &plans, "-o", "json"]).expect_code(0);
        let target = &summary(&ran)["targets"][0];
        assert_eq!((&target["planned"], &target["mode"]), (&1.into(), &mode.into()));
        assert!(world.held(V4).is_empty());
        let plan = world.files.path("plans/prod.json");
        let hash = target["plan_sha256"].as_str().expect("a hash");
        let applied = world.act(&["apply", &plan, "--expect-hash", hash], AT);
        assert_eq!(applied.code, Some(if mode == "suggest" { 0 } else { 4 }), "{}", applied.stderr);
    }
}

/// The same records, at one time after the other.
#[test]
fn evidence_ahead_of_the_clock_neither_blocks_nor_prolongs_and_is_named() {
    let world = world("enforce");
    put(&world, "1", &(honest("198.51.100.7", 40) + &attacks(ATTACKER, 5)));
    let plans = world.files.path("plans");
    let run = |at: &str| {
        let ran = world.run(&["run", "--at", at, "--plans", &plans, "-o", "json"]).run();
        summary(&ran.expect_code(0))["targets"][0].clone()
    };
    let withheld = || {
        let plan = std::fs::read_to_string(world.files.path("plans/prod.json")).expect("a plan");
        let plan: Value = serde_json::from_str(&plan).expect("JSON");
        plan["withheld"][0]["code"].clone()
    };
    for at in ["2015-11-04T09:20:00Z", "2025-11-02T09:20:00Z", "2025-11-04T09:05:00Z"] {
        assert_eq!(run(at)["planned"], 0, "{at}");
        assert_eq!(withheld(), "future-evidence", "{at}");
        assert!(world.held(V4).is_empty());
    }
    // The clock is set right, then back by two days: the block ends, and stays ended.
    assert_eq!(run(AT)["planned"], 1);
    let ledger = world.files.path("ledger/ledger.json");
    let text = std::fs::read_to_string(&ledger).expect("kept");
    let mut kept: Value = serde_json::from_str(&text).expect("JSON");
    let entry = &mut kept["entries"]["203.0.113.9/32"];
    entry["added"] = "2025-11-02T08:00:00.000Z".into();
    entry["expires"] = "2025-11-02T09:00:00.000Z".into();
    std::fs::write(&ledger, kept.to_string()).expect("written");
    for _ in 0..2 {
        assert_eq!(run("2025-11-02T09:20:00Z")["prolonged"], 0);
        assert!(world.held(V4).is_empty());
    }
}

#[test]
fn blocks_end_even_when_no_log_can_be_read() {
    let world = world("enforce");
    put(&world, "1", &(honest("198.51.100.7", 40) + &attacks(ATTACKER, 5)));
    run(&world, &[]).expect_code(0);
    std::fs::write(world.files.path("state/history"), "shopping list").expect("written");
    let ran =
        world.run(&["run", "--at", "2025-11-04T12:00:00Z", "-o", "json"]).run().expect_code(1);
    let summary = summary(&ran);
    assert_eq!(summary["targets"][0]["expired"], 1);
    assert_eq!(summary["targets"][0]["overdue"], 1);
    assert!(summary["problems"][0].as_str().is_some_and(|text| text.contains("no history")));
    assert!(world.held(V4).is_empty());
    assert!(ran.stderr.contains("runs were missed"), "{}", ran.stderr);
    let heartbeat = heartbeat(&world);
    assert_eq!(heartbeat["last_exit"], 1);
    assert!(heartbeat["last_good"].as_str() < heartbeat["last_finished"].as_str());
}

#[test]
fn a_brake_refuses_a_plan_and_what_was_read_is_kept() {
    let world = world("enforce");
    put(&world, "1", &(honest("198.51.100.7", 40) + &attacks(ATTACKER, 5)));
    let ran = run(&world, &["--halt", "maintenance"]).expect_code(4);
    assert!(ran.text().contains(", braked;"), "{}", ran.text());
    assert!(world.held(V4).is_empty());
    let ran = run(&world, &[]).expect_code(0);
    assert!(ran.text().contains("0 objects read (1 before"), "{}", ran.text());
}

#[test]
fn reading_ends_at_the_deadline_and_the_next_run_goes_on() {
    let world = world("enforce");
    for n in 0..6 {
        put(&world, &n.to_string(), &attacks(&format!("203.0.113.{n}"), 5));
    }
    let mut runs = 0;
    loop {
        // No time at all: what is left is said, and whatever was read is kept.
        let deadline = if runs < 2 { "1s" } else { "5m" };
        let threads = ["--threads", "1", "--deadline", deadline, "-o", "json"];
        world.fake.set_faults(fake_aws::Faults {
            slow: if runs < 2 { 1_000 } else { 0 },
            slowness: Duration::from_millis(150),
            ..fake_aws::Faults::default()
        });
        let ran = run(&world, &threads);
        let analysis = summary(&ran)["analysis"].clone();
        runs += 1;
        if analysis["objects_left"] == 0 {
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            assert_eq!(analysis["requests"], 30);
            assert_eq!(analysis["offenders"], 6);
            break;
        }
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        assert!(ran.stderr.contains("left for the next run"), "{}", ran.stderr);
        assert!(runs < 4, "it comes to an end");
    }
    assert!(runs > 1, "a second is too short for eight slow calls one after the other");
}

#[test]
fn one_run_at_a_time_and_the_other_says_who_is_at_work() {
    for state in ["state/history", "s3://logs/state/history"] {
        let world = world("observe");
        put(&world, "1", &attacks(ATTACKER, 5));
        let text = std::fs::read_to_string(&world.configuration).expect("it was written");
        world.files.write("portcullis.toml", text.replace("state/history", state));

        // The first run is stopped while it lists the bucket.
        let mut first = world
            .command(&["run"])
            .env("PORTCULLIS_WHO", "first@test")
            .spawn()
            .expect("the program starts");
        let held = hold_list(&world, &mut first);
        // The other one is not in its way at the ledger either.
        let ledger = || std::fs::read(world.files.path("ledger/ledger.json")).expect("kept");
        let before = ledger();
        let ran = run(&world, &[]).expect_code(6);
        assert!(ran.stderr.contains("first@test"), "{}", ran.stderr);
        assert_eq!(ledger(), before);
        drop(held);
        let code = first.wait().expect("it ends").code();
        assert!(matches!(code, Some(0 | 1)), "{code:?}");
        run(&world, &[]).expect_code(0);
    }
}

/// Waits until the run lists the logs, and stops it there.
fn hold_list(world: &World, run: &mut std::process::Child) -> fake_aws::Held {
    loop {
        let held = world.fake.hold(1, Hold::Late);
        match held.wait(Duration::from_secs(30)) {
            Some(call) if call.starts_with("GET /logs") && !call.contains("state") => return held,
            Some(_) => drop(held),
            None => panic!("it does not list: {:?}", run.try_wait()),
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_is_told_to_end_keeps_what_it_read() {
    let world = world("observe");
    for n in 0..40 {
        put(&world, &format!("{n:02}"), &attacks(&format!("203.0.113.{n}"), 5));
    }
    world.fake.set_faults(fake_aws::Faults {
        slow: 1_000,
        slowness: Duration::from_millis(100),
        ..fake_aws::Faults::default()
    });
    let mut first = world.command(&["run", "--threads", "1"]).spawn().expect("the program starts");
    // Of the calls before the first object none is for one.
    let begun = std::time::Instant::now();
    while !world.fake.take_permissions().iter().any(|(_, of)| of.starts_with("logs/api/")) {
        assert!(begun.elapsed() < Duration::from_mins(1), "it reads no object");
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = first.id().to_string();
    let told = Command::new("kill").args(["-TERM", &id]).status().expect("there is `kill`");
    assert!(told.success());
    assert_eq!(first.wait().expect("it ends").code(), Some(3));
    world.fake.set_faults(fake_aws::Faults::default());
    let ran = run(&world, &["-o", "json"]).expect_code(0);
    let analysis = summary(&ran)["analysis"].clone();
    assert!(analysis["objects_read_before"].as_u64() >= Some(1), "{analysis}");
    assert_eq!((&analysis["requests"], &analysis["offenders"]), (&200.into(), &40.into()));
}

#[test]
fn a_source_that_is_not_described_is_asked_for_and_a_wrong_one_is_shown_in_its_place() {
    let files = Files::new();
    let run = |text: &str| {
        let configuration = files.write("portcullis.toml", text);
        with_dummy_credentials(portcullis(["run"])).env("PORTCULLIS_CONFIG", &configuration).run()
    };
    let ran = run("").expect_code(64);
    assert!(ran.stderr.contains("give `state` in [source]"), "{}", ran.stderr);
    let ran = run("[source]\nstate = \"history\"\n").expect_code(64);
    assert!(ran.stderr.contains("give `location` in [source]"), "{}", ran.stderr);
    let ran = run("[source]\nlookback = \"1 day\"\n").expect_code(1);
    let shown = "portcullis.toml:2:12: expected a length of time such as 90s, 30m, 6h or 2d\n    \
                 2 | lookback = \"1 day\"\n      |            ^^^^^^^";
    assert!(ran.stderr.contains(shown), "{}", ran.stderr);
    let ran = run("[source]\nlocaton = \"s3://logs\"\n").expect_code(1);
    assert!(ran.stderr.contains("did you mean `location`?"), "{}", ran.stderr);
}
