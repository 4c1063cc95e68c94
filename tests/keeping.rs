//! `--state`: many runs over a bucket find what one scan of all of it finds.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use fake_aws::{FakeAws, Faults, Options};
use serde_json::Value;

use crate::support::{Files, Ran, attacks, gzip, honest, portcullis};
use crate::target::{DUMMY_CREDENTIALS, with_dummy_credentials};

fn arguments<'a>(state: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["scan", "s3://logs/api/", "-o", "json", "--state", state][..], more].concat()
}

fn settings(fake: &FakeAws) -> [(&'static str, String); 2] {
    [("PORTCULLIS_REGION", "eu-west-1".to_owned()), ("PORTCULLIS_ENDPOINT_URL", fake.url())]
}

fn run(fake: &FakeAws, arguments: &[&str]) -> Ran {
    let run = with_dummy_credentials(portcullis(arguments));
    settings(fake).iter().fold(run, |run, (name, value)| run.env(name, value)).run()
}

fn bucket() -> FakeAws {
    let fake = FakeAws::start(Options { page_size: 5, ..Options::default() });
    fake.create_bucket("logs");
    fake
}

/// Object number `n`: an attacker of its own, and somebody who attacks in all of them.
fn object(n: i64) -> Vec<u8> {
    let text = honest("198.51.100.7", n)
        + &attacks(&format!("203.0.113.{n}"), 5)
        + &attacks("192.0.2.1", 3);
    gzip(text.as_bytes())
}

fn put(fake: &FakeAws, n: i64) {
    // Late keys sort before earlier ones, and all come in one second.
    fake.put_object("logs", &format!("api/part-{}/{n}", (n * 7) % 11), &object(n));
}

/// What one scan of everything finds.
#[track_caller]
fn whole(fake: &FakeAws) -> Value {
    run(fake, &["scan", "s3://logs/api/", "-o", "json"]).expect_code(0).json()
}

/// Findings are long: a difference is told by what was counted.
#[track_caller]
fn same(found: &Value, expected: &Value) {
    assert_eq!(found["coverage"]["requests"], expected["coverage"]["requests"]);
    assert!(found == expected, "as many requests, and other findings");
}

#[test]
fn many_runs_find_what_one_scan_finds_and_another_run_changes_nothing() {
    let (fake, files) = (bucket(), Files::new());
    let state = files.path("state");
    for n in 1..8 {
        put(&fake, n);
        let ran = run(&fake, &arguments(&state, &[])).expect_code(0);
        assert!(
            ran.stderr.contains(&format!("1 object to read, {} read before", n - 1)),
            "{}",
            ran.stderr
        );
        same(&ran.json(), &whole(&fake));
    }
    let before = fs::read(&state).expect("it is kept");
    let ran = run(&fake, &arguments(&state, &[])).expect_code(0);
    same(&ran.json(), &whole(&fake));
    assert!(ran.stderr.contains("0 objects to read, 7 read before"), "{}", ran.stderr);
    assert_eq!(fs::read(&state).expect("it is kept"), before);
}

#[test]
fn a_replaced_object_counts_as_what_it_is_now_and_a_deleted_one_as_it_was() {
    let (fake, files) = (bucket(), Files::new());
    let state = files.path("state");
    for n in [1, 2] {
        put(&fake, n);
    }
    run(&fake, &arguments(&state, &[])).expect_code(0);
    fake.put_object("logs", "api/part-7/1", &object(3));
    let ran = run(&fake, &arguments(&state, &[])).expect_code(0);
    same(&ran.json(), &whole(&fake));
    let before = whole(&fake);
    fake.delete_object("logs", "api/part-7/1");
    same(&run(&fake, &arguments(&state, &[])).expect_code(0).json(), &before);
}

#[test]
fn an_object_that_ends_early_is_tried_again() {
    let (fake, files) = (bucket(), Files::new());
    let state = files.path("state");
    put(&fake, 1);
    let content = object(2);
    fake.put_object("logs", "api/part-3/2", &content[..content.len() - 9]);
    let ran = run(&fake, &arguments(&state, &[])).expect_code(3);
    assert_eq!(ran.json()["coverage"]["incomplete_objects"], 1);
    fake.put_object("logs", "api/part-3/2", &content);
    same(&run(&fake, &arguments(&state, &[])).expect_code(0).json(), &whole(&fake));
}

#[test]
fn the_state_may_be_in_the_bucket_and_a_bad_network_miscounts_nothing() {
    let fake = bucket();
    for n in 1..6 {
        put(&fake, n);
        fake.set_faults(Faults {
            throttle: 200,
            reset_before: 50,
            short_body: 100,
            ..Faults::default()
        });
        // A save of which the answer was lost is told, and counts all the same.
        let ran = run(&fake, &arguments("s3://logs/state/history", &[]));
        assert!(matches!(ran.code, Some(0 | 1)), "{}", ran.stderr);
        fake.set_faults(Faults::default());
    }
    let ran = run(&fake, &arguments("s3://logs/state/history", &[])).expect_code(0);
    same(&ran.json(), &whole(&fake));
}

#[test]
fn runs_at_once_and_runs_that_are_killed_miscount_nothing() {
    let (fake, files) = (bucket(), Files::new());
    let state = files.path("state");
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.env_clear().args(arguments(&state, &[]));
        command.envs(DUMMY_CREDENTIALS).envs(settings(&fake));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the program starts")
    };
    for n in 1..6_i64 {
        put(&fake, n);
        let mut runs = [start(), start(), start()];
        std::thread::sleep(Duration::from_millis(n.unsigned_abs() * 40));
        runs[0].kill().expect("it is killed, or over");
        for run in &mut runs[1..] {
            let code = run.wait().expect("it ends").code();
            assert!(matches!(code, Some(0 | 6)), "{code:?}");
        }
        runs[0].wait().expect("it ended");
    }
    let ran = run(&fake, &arguments(&state, &[])).expect_code(0);
    same(&ran.json(), &whole(&fake));
}

#[test]
fn other_rules_begin_anew_and_what_is_no_state_is_refused() {
    let (fake, files) = (bucket(), Files::new());
    let state = files.path("state");
    put(&fake, 1);
    run(&fake, &arguments(&state, &[])).expect_code(0);
    let ran = run(&fake, &arguments(&state, &["--max-object-bytes", "1G"])).expect_code(0);
    assert!(ran.stderr.contains("all of the lookback is read again"), "{}", ran.stderr);
    let no_state = files.write("notes.txt", "shopping list");
    let ran = run(&fake, &arguments(&no_state, &[])).expect_code(1);
    assert!(ran.stderr.contains("it is no history of portcullis"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("remove it"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&no_state).expect("untouched"), "shopping list");
}
