//! `plan --decisions`: what a person decided is in the plan, and in what apply does.

use serde_json::json;

use crate::support::{Files, attacks, portcullis};
use crate::target::{AT, V4, World};

const DATASET: &str = "datasets/firehose/recommended";
const DAY: &str = "2026-03-02T12:00:00Z";

fn decisions(files: &Files, decisions: &serde_json::Value) -> String {
    let file = json!({"schema_version": 1, "decisions": decisions});
    files.write("decisions.json", file.to_string())
}

#[test]
fn the_plan_follows_the_decisions_and_says_whose_they_are() {
    let files = Files::new();
    let file = decisions(
        &files,
        &json!([
            {"source": "198.18.30.9", "decision": "reject", "note": "our own test", "by": "kim"},
            {"source": "2001:db8:1:f000::7", "decision": "pardon"},
        ]),
    );
    let arguments = ["plan", DATASET, "--at", DAY, "--decisions", &file];
    let plan = portcullis([&arguments[..], &["-o", "json"]].concat()).run().json();
    let code = |source: &str| {
        let withheld = plan["withheld"].as_array().expect("a list").iter();
        let mut same = withheld.filter(|one| one["source"] == source);
        same.next().map(|one| one["code"].as_str().expect("a code").to_owned())
    };
    assert_eq!(code("198.18.30.9/32").as_deref(), Some("rejected"));
    assert_eq!(code("2001:db8:1:f000::/64").as_deref(), Some("pardoned"));
    assert_eq!(plan["reviewed"]["decisions"][0]["note"], "our own test");
    let page = portcullis(arguments).run().text();
    assert!(page.contains("not blocked: rejected in review"), "{page}");
    assert!(page.contains("rejected in review by kim: our own test"), "{page}");
}

#[test]
fn a_bad_decisions_file_stops_the_plan_and_says_where() {
    let files = Files::new();
    let file = decisions(&files, &json!([{"source": "198.18.30.0/24", "decision": "reject"}]));
    let ran = portcullis(["plan", DATASET, "--decisions", &file]).run().expect_code(1);
    assert!(
        ran.stderr.contains("decision 1: `198.18.30.0/24` is not one source"),
        "{}",
        ran.stderr
    );
}

#[test]
fn an_approved_duration_is_how_long_apply_blocks() {
    let world = World::new("suggest");
    let log = world.files.write("a.log", attacks("203.0.113.9", 60));
    let file = decisions(
        &world.files,
        &json!([{"source": "203.0.113.9", "decision": "approve", "duration_seconds": 5400}]),
    );
    let out = world.files.path("plan.json");
    let plan = ["plan", &log, "--target", "prod", "--out", &out, "--at", AT, "-o", "json"];
    let plan = world.run(&[&plan[..], &["--decisions", &file]].concat()).run();
    let hash = plan.expect_code(0).json()["plan_sha256"].as_str().expect("a hash").to_owned();
    let applied = world.act(&["apply", &out, "--expect-hash", &hash], AT).expect_code(0);
    assert_eq!(world.held(V4).len(), 1);
    assert!(applied.text().contains("2025-11-04T11:30:00"), "90 minutes: {}", applied.text());
}
