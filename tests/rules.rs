//! `rules`: the proof that rules carry, and what people see of them.

use crate::support::{Files, portcullis};

/// A whole rule.
pub const RULE: &str = r#"id = "other/probe"
title = "A probe for the harness"
category = "other"
severity = "high"
confidence = "high"
misses = "Everything that is not a probe."

[signature]
fields = ["path"]
contains = ["/harness-probe"]

[[example]]
name = "plain"
request = { method = "GET", path = "/harness-probe" }
fires = true
[[example]]
name = "encoded"
request = { method = "GET", path = "/%68arness-probe" }
fires = true
[[example]]
name = "near"
request = { method = "GET", path = "/harness" }
fires = false
[[example]]
name = "other"
request = { method = "GET", path = "/" }
fires = false
"#;

#[test]
fn every_shipped_example_holds() {
    let ran = portcullis(["rules", "test"]).run().expect_code(0);
    assert!(ran.text().contains("rules hold"), "{}", ran.text());
}

#[test]
fn at_least_sixty_rules_are_listed_and_each_can_be_shown() {
    let ran = portcullis(["rules", "list"]).run().expect_code(0);
    let text = ran.text();
    let ids: Vec<&str> =
        text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(ids.len() >= 60, "{} rules", ids.len());
    for id in [ids[0], ids[ids.len() / 2], ids[ids.len() - 1]] {
        let shown = portcullis(["rules", "show", id]).run().expect_code(0).text();
        for part in [id, "worth", "looks at", "misses", "fires on", "stays quiet on"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }
}

#[test]
fn a_directory_of_rules_replaces_the_built_in_ones() {
    let files = Files::new();
    files.write("rules/other/probe.toml", RULE);
    let rules = files.path("rules");
    let ran = portcullis(["rules", "test", &rules]).run().expect_code(0);
    assert_eq!(ran.text(), "4 of 4 examples of 1 rule hold\n");
    let list = portcullis(["rules", "list", "--rules", &rules]).run().expect_code(0).text();
    assert_eq!(list.lines().count(), 2, "{list}");
}

#[test]
fn an_example_that_does_not_hold_is_named() {
    let files = Files::new();
    files.write(
        "rules/other/probe.toml",
        RULE.replace("path = \"/harness\"", "path = \"/harness-probe-2\""),
    );
    let ran = portcullis(["rules", "test", &files.path("rules")]).run().expect_code(2);
    assert!(ran.text().contains("example `near` fires and should not"), "{}", ran.text());
    assert!(ran.text().contains("probe.toml"), "{}", ran.text());
    assert!(ran.text().contains("3 of 4 examples"), "{}", ran.text());
}

#[test]
fn an_unknown_rule_gets_a_hint() {
    let ran = portcullis(["rules", "show", "sqli/union"]).run().expect_code(1);
    assert!(ran.stderr.contains("no rule has the id `sqli/union`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: these come near: "), "{}", ran.stderr);
}
