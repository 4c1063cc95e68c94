//! `rules lint`: what is wrong with rules, for people, programs and code hosts.

use serde_json::Value;

use crate::rules::RULE;
use crate::support::{Files, portcullis};

/// A directory with one rule that has one fault of each level.
fn faulty() -> Files {
    let files = Files::new();
    let rule = RULE
        .replace("contains = [\"/harness-probe\"]", "contains = [\"/harness-probe\", \"s\"]")
        .replace("path = \"/harness\"", "path = \"/harness-probe/x\"");
    files.write("rules/other/probe.toml", rule);
    files
}

#[test]
fn the_shipped_rules_have_nothing_worse_than_notes() {
    let ran = portcullis(["rules", "lint", "--level", "warning"]).run().expect_code(0);
    assert!(ran.text().starts_with("0 errors, 0 warnings, 0 notes in "), "{}", ran.text());
}

#[test]
fn each_finding_has_a_place_a_caret_and_a_remedy() {
    let files = faulty();
    let ran = portcullis(["rules", "lint", &files.path("rules")]).run().expect_code(2);
    let text = ran.text();
    let place = format!("warning[common-literal] {}:10:31: ", files.path("rules/other/probe.toml"));
    assert!(text.contains(&place), "{text}");
    let line = "    10 | contains = [\"/harness-probe\", \"s\"]\n       |                               ^^^\n  fix: ";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("error[example-fails]"), "{text}");
    assert!(text.contains("note[missing-runbook]"), "{text}");
    assert!(text.ends_with(" in 1 rule\n"), "{text}");
}

#[test]
fn a_file_that_does_not_load_hides_none_of_the_others() {
    let files = faulty();
    let misspelt = RULE.replace("fields =", "feilds =").replace("probe\"\nt", "other\"\nt");
    files.write("rules/other/other.toml", misspelt);
    let ran = portcullis(["rules", "lint", &files.path("rules")]).run().expect_code(2);
    let text = ran.text();
    assert!(text.contains("unknown key `feilds` in [signature]"), "{text}");
    assert!(text.contains("did you mean `fields`?"), "{text}");
    assert!(text.contains("warning[common-literal]"), "{text}");
}

#[test]
fn a_file_that_is_no_text_hides_none_of_the_others_either() {
    let files = faulty();
    let latin =
        RULE.replace("probe\"\nt", "other\"\nt").replace("title = \"", "title = \"caf\u{e9} ");
    let latin: Vec<u8> = latin.chars().map(|one| u8::try_from(one).expect("Latin 1")).collect();
    files.write("rules/other/other.toml", latin);
    let ran = portcullis(["rules", "lint", &files.path("rules")]).run().expect_code(2);
    let text = ran.text();
    let place = format!("error[does-not-load] {}:2:13: ", files.path("rules/other/other.toml"));
    assert!(text.contains(&(place + "not UTF-8: byte 0xE9")), "{text}");
    assert!(text.contains("warning[common-literal]"), "{text}");

    let ran = portcullis(["rules", "test", &files.path("rules")]).run().expect_code(1);
    assert!(ran.stderr.contains("other.toml:2:13: not UTF-8"), "{}", ran.stderr);
}

#[test]
fn the_exit_code_is_asked_for_by_level() {
    let files = Files::new();
    files.write("rules/other/probe.toml", RULE);
    let lint = |level: &str| {
        let rules = files.path("rules");
        portcullis(["rules", "lint", &rules, "--fail-on", level]).run().code
    };
    // The rule of this harness has near misses that hold none of its literals.
    assert_eq!(lint("warning"), Some(2));
    assert_eq!(lint("error"), Some(0));
    assert_eq!(lint("never"), Some(0));
    assert_eq!(lint("note"), Some(2));
}

#[test]
fn a_format_that_hides_the_path_makes_path_rules_blind() {
    let files = Files::new();
    files.write("rules/other/probe.toml", RULE);
    let rules = files.path("rules");
    let blind = |format: &str| {
        let ran = portcullis(["rules", "lint", &rules, "--format", format, "-o", "json"]).run();
        let found = ran.json()["findings"].as_array().expect("a list").clone();
        found.iter().filter(|finding| finding["check"] == "blind").count()
    };
    assert_eq!(blind("apigw-rest-clf"), 1);
    assert_eq!(blind("recommended"), 0);
}

#[test]
fn json_and_sarif_name_the_same_findings() {
    let files = faulty();
    let rules = files.path("rules");
    let run = |shape: &str| portcullis(["rules", "lint", &rules, "-o", shape]).run();
    let json = run("json").expect_code(2).json();
    // Whoever uploads SARIF wants the step to succeed.
    let sarif = run("sarif").expect_code(0).json();

    assert_eq!(sarif["version"], "2.1.0");
    let of_run = &sarif["runs"][0];
    let kinds = of_run["tool"]["driver"]["rules"].as_array().expect("rules");
    let results = of_run["results"].as_array().expect("results");
    let findings = json["findings"].as_array().expect("findings");
    assert_eq!(results.len(), findings.len());
    assert!(findings.len() >= 3, "{json}");
    let number = |value: &Value| value.as_u64().expect("a number");
    for (result, finding) in results.iter().zip(findings) {
        assert_eq!(result["ruleId"], finding["check"]);
        assert_eq!(result["level"], finding["level"]);
        let kind = &kinds[usize::try_from(number(&result["ruleIndex"])).expect("small")];
        assert_eq!(kind["id"], finding["check"]);
        let place = &result["locations"][0]["physicalLocation"];
        let region = &place["region"];
        assert_eq!(region["startLine"], finding["line"]);
        assert_eq!(region["startColumn"], finding["column"]);
        let end = number(&finding["column"]) + number(&finding["width"]);
        assert_eq!(number(&region["endColumn"]), end);
        let uri = place["artifactLocation"]["uri"].as_str().expect("a text");
        assert!(uri.ends_with("rules/other/probe.toml"), "{uri}");
    }
}
