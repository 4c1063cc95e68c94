//! What an unattended run tells: numbers for machines, messages for people, lines for logs.

use serde_json::Value;

use crate::support::{attacks, gzip, honest};
use crate::target::World;

const AT: &str = "2025-11-04T09:20:00Z";
const SECRET: &str = "T0SECRET";

/// A target and a bucket, with everybody to be told.
fn world(mode: &str, hook: &str) -> World {
    let world = World::with(mode, "");
    let text = std::fs::read_to_string(&world.configuration).expect("it was written");
    let url = world.fake.url();
    let source = format!(
        "[source]\nlocation = \"s3://logs/api/\"\nstate = \"history\"\nregion = \"eu-west-1\"\n\
         endpoint-url = \"{url}\"\n[report]\nmetrics = \"portcullis.prom\"\nemf = true\n\
         webhook-file = \"webhook\"\n\
         topic = \"arn:aws:sns:eu-west-1:111122223333:portcullis\"\n[[target]]"
    );
    world.files.write("portcullis.toml", text.replace("[[target]]", &source));
    world.files.write("webhook", hook.replace("URL", &url));
    world.fake.create_bucket("logs");
    let log = honest("198.51.100.7", 40) + &attacks("203.0.113.9", 5);
    world.fake.put_object("logs", "api/1", &gzip(log.as_bytes()));
    world
}

#[test]
fn a_block_is_told_to_people_and_in_numbers_and_a_quiet_run_in_numbers_alone() {
    let world = world("enforce", &format!("URL/hook/{SECRET}\n"));
    let ran = world.run(&["run", "--at", AT]).run().expect_code(0);
    let told = world.fake.take_told();
    assert_eq!(told.len(), 2, "{told:?}");
    let slack: Value = serde_json::from_str(&told[0]).expect("JSON");
    let text = slack["text"].as_str().expect("a text");
    assert_eq!(text, told[1].split_once('\n').expect("a subject").1);
    assert!(text.starts_with("Portcullis: 1 new block\n1 new block on prod:\n  203.0.113.9/32: "));
    let file = std::fs::read_to_string(world.files.path("portcullis.prom")).expect("numbers");
    for line in ["portcullis_objects_read 1", "portcullis_requests 45", "portcullis_offenders 1"] {
        assert!(file.lines().any(|found| found == line), "{line}\n{file}");
    }
    assert!(file.contains("portcullis_blocked_entries{target=\"prod\"} 1"), "{file}");
    let embedded: Vec<Value> =
        ran.text().lines().skip(1).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        (&embedded[0]["Offenders"], &embedded[1]["AddedEntries"]),
        (&1.0.into(), &1.0.into())
    );
    world.run(&["run", "--at", AT]).run().expect_code(0);
    assert!(world.fake.take_told().is_empty());
}

#[test]
fn who_cannot_be_told_makes_the_run_fail_and_the_secret_is_nowhere() {
    for hook in [
        format!("https://127.0.0.1:1/{SECRET}"),
        format!("http://hooks.example.com/{SECRET}"),
        format!("URL/nowhere/{SECRET}"),
    ] {
        let world = world("enforce", &hook);
        let ran = world.run(&["run", "--at", AT, "--verbose"]).run().expect_code(1);
        assert!(ran.stderr.contains("failed to tell the webhook of"), "{}", ran.stderr);
        assert!(!(ran.stderr.clone() + &ran.text()).contains(SECRET), "{}", ran.stderr);
        // The topic is told all the same, and the block stands.
        assert_eq!(world.fake.take_told().len(), 1);
        let file = std::fs::read_to_string(world.files.path("portcullis.prom")).expect("numbers");
        assert!(file.contains("portcullis_added_entries{target=\"prod\"} 1"), "{file}");
    }
}

#[test]
fn a_service_logs_lines_of_json() {
    let world = world("enforce", &format!("URL/hook/{SECRET}"));
    let ran = world.run(&["run", "--at", AT, "--log", "json", "--halt", "x\u{1b}[31m"]).run();
    let lines: Vec<Value> = ran
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    let error = lines.iter().find(|line| line["level"] == "ERROR").expect("the refusal");
    assert!(error["fields"]["message"].as_str().is_some_and(|text| text.contains("halt")));
    assert!(error["timestamp"].is_string());
    assert!(!ran.stderr.contains('\u{1b}'));
    assert_eq!(ran.code, Some(4));
}
