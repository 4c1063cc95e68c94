//! A network and services that fail, in each way by itself: what `scan`, `run` and `watch`
//! say then is what they say of a clean network, or they say that it is not all.

use std::time::Duration;

use fake_aws::{FakeAws, Faults};
use serde_json::Value;

use crate::support::{Ran, attacks, honest};
use crate::target::{V4, World};
use crate::watch::{AT, put, world};

/// Objects of the bucket, each with an attacker of its own.
const OBJECTS: usize = 8;

/// Each way to fail, in thousandths of the calls.
fn kinds() -> [(&'static str, Faults); 5] {
    let clean = Faults::default();
    [
        ("throttling", Faults { throttle: 300, ..clean }),
        ("resets", Faults { reset_before: 150, reset_after: 150, ..clean }),
        ("broken services", Faults { broken: 150, broken_after: 50, ..clean }),
        (
            "slow and short bodies",
            Faults { slow: 200, slowness: Duration::from_millis(50), short_body: 200, ..clean },
        ),
        ("bit flips", Faults { bit_flip: 300, ..clean }),
    ]
}

/// How long a service that runs all the time meets failures.
const FAILING: Duration = Duration::from_secs(3);

/// A bucket and a queue that tells of its objects.
fn filled() -> World {
    let world = world();
    for n in 0..OBJECTS {
        let text = attacks(&format!("203.0.113.{n}"), 5) + &honest("198.51.100.7", 5);
        put(&world.fake, n, &text);
    }
    world
}

/// Requests of the whole bucket.
const REQUESTS: usize = OBJECTS * 10;

/// Whether the summary of the last round counts everything.
fn is_whole(analysis: &Value) -> bool {
    analysis["requests"] == REQUESTS && analysis["offenders"] == OBJECTS
}

fn analysis(ran: &Ran) -> Value {
    let rounds = ran.lines().into_iter();
    let mut read = rounds.filter_map(|round| round.get("analysis").cloned());
    read.rfind(|analysis| !analysis.is_null()).unwrap_or_default()
}

/// Holds that failures were thrown, and stops them.
#[track_caller]
fn end_faults(fake: &FakeAws, kind: &str) {
    assert!(fake.figures().1 > 0, "{kind}: nothing failed");
    fake.set_faults(Faults::default());
}

/// Holds that what is not all is said: 3, or 1 when nothing could be decided, or 4 when so
/// much could not be read that a brake held what was decided.
#[track_caller]
fn expect_honest(kind: &str, ran: &Ran, whole: bool) {
    match ran.code {
        Some(0) => assert!(whole, "{kind}: a silent gap: {}\n{}", ran.text(), ran.stderr),
        Some(1 | 3 | 4) => assert!(!ran.stderr.is_empty(), "{kind}: nothing was said"),
        code => panic!("{kind}: {code:?}: {}", ran.stderr),
    }
}

#[test]
fn scan_finds_the_same_or_says_what_it_could_not_read() {
    let world = filled();
    let url = world.fake.url();
    for (kind, faults) in kinds() {
        world.fake.set_faults(faults);
        let scan = ["scan", "s3://logs/api/", "-o", "json", "--region", "eu-west-1"];
        let ran = world.run(&[&scan[..], &["--endpoint-url", &url]].concat()).run();
        let found: Value = serde_json::from_slice(&ran.stdout).unwrap_or_default();
        let offenders = found["offenders"].as_array().map_or(0, Vec::len);
        let whole = found["coverage"]["requests"] == REQUESTS && offenders == OBJECTS;
        expect_honest(kind, &ran, whole);
        end_faults(&world.fake, kind);
    }
}

#[test]
fn run_counts_the_same_or_says_so_and_the_next_run_makes_up_for_it() {
    for (kind, faults) in kinds() {
        let world = filled();
        world.fake.set_faults(faults);
        let run = ["run", "--at", AT, "-o", "json"];
        let ran = world.run(&run).run();
        expect_honest(kind, &ran, is_whole(&analysis(&ran)));
        end_faults(&world.fake, kind);
        // The lock of a run that could not give it back would be over in two minutes.
        world.fake.delete_object("state", "history.run");
        let ran = world.run(&[&run[..], &["--take-lease"]].concat()).run().expect_code(0);
        assert!(is_whole(&analysis(&ran)), "{kind}: {}", ran.text());
        assert_eq!(world.held(V4).len(), OBJECTS, "{kind}");
    }
}

#[test]
fn watch_counts_everything_when_the_failures_are_over() {
    for (kind, faults) in kinds() {
        let world = filled();
        world.fake.set_faults(faults);
        let watch = ["watch", "--at", AT, "--until-idle", "3s", "--visibility", "5s"];
        let mut running = world.command(&watch).spawn().expect("the program starts");
        std::thread::sleep(FAILING);
        end_faults(&world.fake, kind);
        // The lock of a round that could not give it back would be over in two minutes.
        world.fake.delete_object("state", "history.run");
        let code = running.wait().expect("it ends").code();
        assert!(matches!(code, Some(0 | 1)), "{kind}: {code:?}");
        // Whatever it did: what it did not count is still there to be told of.
        world.fake.delete_object("state", "history.run");
        world.fake.show_messages("new-objects");
        let again = ["watch", "--at", AT, "-o", "json", "--until-idle", "1s", "--take-lease"];
        let ran = world.run(&again).run().expect_code(0);
        assert!(is_whole(&analysis(&ran)), "{kind}: {}", ran.text());
        assert_eq!(world.fake.queue("new-objects").0, 0, "{kind}");
        assert_eq!(world.held(V4).len(), OBJECTS, "{kind}");
    }
}

/// Three calls in ten fail all the time, those that save state, lock and ledger among them.
fn unceasing() -> [(&'static str, Faults); 2] {
    let clean = Faults::default();
    [
        ("throttling", Faults { throttle: 300, ..clean }),
        ("resets", Faults { reset_before: 150, reset_after: 150, ..clean }),
    ]
}

#[test]
fn run_gets_through_throttling_and_resets_that_do_not_end() {
    for (kind, faults) in unceasing() {
        let world = filled();
        world.fake.set_faults(faults);
        let ran = world.run(&["run", "--at", AT, "-o", "json"]).run();
        end_faults(&world.fake, kind);
        assert_eq!(ran.code, Some(0), "{kind}: {}", ran.stderr);
        assert!(is_whole(&analysis(&ran)), "{kind}: {}", ran.text());
        assert_eq!(world.held(V4).len(), OBJECTS, "{kind}");
        expect_nothing_left(&world, kind);
    }
}

#[test]
fn watch_gets_through_throttling_and_resets_that_do_not_end() {
    for (kind, faults) in unceasing() {
        let world = filled();
        world.fake.set_faults(faults);
        let ran = world.run(&["watch", "--at", AT, "-o", "json", "--until-idle", "2s"]).run();
        end_faults(&world.fake, kind);
        assert_eq!(ran.code, Some(0), "{kind}: {}", ran.stderr);
        assert!(is_whole(&analysis(&ran)), "{kind}: {}", ran.text());
        for round in ran.lines() {
            assert_eq!(round["problems"], serde_json::json!([]), "{kind}: {round}");
        }
        assert_eq!(world.fake.queue("new-objects").0, 0, "{kind}");
        assert_eq!(world.held(V4).len(), OBJECTS, "{kind}");
        expect_nothing_left(&world, kind);
    }
}

/// Holds that one more run finds nothing to do, and changes not a byte of the state.
#[track_caller]
fn expect_nothing_left(world: &World, kind: &str) {
    let state = world.fake.object("state", "history").expect("it was saved");
    let ran = world.run(&["run", "--at", AT, "-o", "json"]).run().expect_code(0);
    let analysis = analysis(&ran);
    assert!(is_whole(&analysis), "{kind}: {analysis}");
    assert_eq!(analysis["objects_read"], 0, "{kind}: {analysis}");
    assert_eq!(world.fake.object("state", "history"), Some(state), "{kind}");
}

#[test]
fn an_object_that_is_listed_and_then_gone_is_named() {
    let world = filled();
    let url = world.fake.url();
    let scan = ["scan", "s3://logs/api/", "-o", "json", "--region", "eu-west-1"];
    let scan = [&scan[..], &["--endpoint-url", &url]].concat();
    // It is on the first page, and gone when that was answered.
    world.fake.delete_object_during_list("logs", "api/part 0+.gz");
    let ran = world.run(&scan).run();
    assert_ne!(ran.code, Some(0));
    assert!(ran.stderr.contains("part 0+.gz"), "{}", ran.stderr);
    let offenders = ran.json()["offenders"].as_array().expect("the others are read").len();
    assert_eq!(offenders, OBJECTS - 1);

    world.fake.delete_object_during_list("logs", "api/part 1+.gz");
    let ran = world.run(&["run", "--at", AT, "-o", "json"]).run();
    assert_ne!(ran.code, Some(0));
    assert!(ran.stderr.contains("part 1+.gz"), "{}", ran.stderr);
    let analysis = analysis(&ran);
    assert_eq!(analysis["incomplete_objects"], 1);
    assert_eq!(analysis["offenders"], OBJECTS - 2);
}
