use portcullis_ingest::Field;

use super::*;

/// A rule of which every check approves, with one part replaced.
fn rule(id: &str, replaced: &str, by: &str) -> (String, String) {
    let text = r#"id = "ID"
title = "One"
category = "other"
severity = "low"
confidence = "low"
misses = "Much."
runbook = "Look."

[signature]
fields = ["path"]
contains = ["probe"]
regex = ['^/probe\b']

[[example]]
name = "a"
request = { path = "/probe" }
fires = true
[[example]]
name = "b"
request = { path = "/PROBE" }
fires = true
[[example]]
name = "c"
request = { path = "/a/probe" }
fires = false
[[example]]
name = "d"
request = { path = "/prober" }
fires = false
"#;
    assert!(text.contains(replaced), "{replaced}");
    (format!("rules/{id}.toml"), text.replacen(replaced, by, 1).replace("ID", id))
}

fn nothing_asked() -> Formats {
    Formats::Known(Vec::new())
}

/// What is found in files, by `level check: place: message`.
fn found(files: impl IntoIterator<Item = (String, String)>, formats: &Formats) -> Vec<String> {
    let report = lint(files, formats);
    let shown = |one: &Finding| {
        let Finding { check, level, line, column, message, .. } = one;
        format!("{level} {check} {line}:{column} {message}")
    };
    report.findings.iter().map(shown).collect()
}

/// Checks what a change to a good rule gives.
#[track_caller]
fn check(replaced: &str, by: &str, expected: &[&str]) {
    let found = found([rule("other/one", replaced, by)], &nothing_asked());
    // Figures that depend on the other rules are left out.
    let alike = |(found, expected): (&String, &&str)| found.starts_with(expected);
    let same = found.len() == expected.len() && found.iter().zip(expected).all(alike);
    assert!(same, "found {found:#?}\nexpected {expected:#?}");
}

#[test]
fn a_good_rule_gives_nothing() {
    check("low", "low", &[]);
}

#[test]
fn each_check_finds_its_fault() {
    check(
        "fields",
        "feilds",
        &[
            "error does-not-load 9:2 missing key `fields` in [signature]",
            "error does-not-load 10:1 unknown key `feilds` in [signature]",
        ],
    );
    check(
        "path = \"/prober\"",
        "path = \"/probe/x\"",
        &["error example-fails 27:8 this example fires and should not"],
    );
    check("runbook = \"Look.\"\n", "", &["note missing-runbook 1:6 no runbook"]);
    check(
        "\"other\"\ns",
        "\"rce\"\ns",
        &["warning category-is-not-the-directory 3:12 category `rce` in the directory `other`"],
    );
    check(
        "[\"probe\"]",
        "[\"probe\", \"/probe\"]",
        &["note redundant-literal 11:22 wherever this stands, `probe` does"],
    );
    check(
        "[\"probe\"]",
        "[\"probe\", \"a//b\"]\nviews = [\"path\"]",
        &["warning impossible-literal 11:22 the view path holds no `//`"],
    );
    check("[\"probe\"]", "[\"probe\", \"s\"]", &["warning common-literal 11:22 stands in "]);
    check(
        "/a/probe",
        "/a/b",
        &[
            "note idle-near-miss 23:8 this near miss holds no literal of the rule in the fields it looks at",
        ],
    );
    check(
        "path = \"/PROBE\"",
        "path = \"/probe\"",
        &["warning duplicate-example 19:8 the same requests as in `a`"],
    );
    check(
        "fires = true",
        "fires = true\ngenerated = true",
        &["warning generated-example 15:8 1 of 4 examples are generated"],
    );
    check(
        "['^/probe\\b']",
        "['^/probe\\b', '/sonde']\nunless = ['x']",
        &[
            "note unproved-regex 12:23 no example that fires needs this expression",
            "note unproved-regex 13:11 no near miss needs this expression",
        ],
    );
    check(
        "['^/probe\\b']",
        "['^/probe\\b|^/probe(?:[a-z]{1,300}[0-9]{1,300}){9}']",
        &["warning heavy-regex 12:10 takes more than "],
    );
    check(
        "['^/probe\\b']",
        "['/probe[^;]{0,80}x', '^/probe\\b']",
        &[
            "warning long-limit 12:10 counts 80 bytes, among which it may begin again",
            "note unproved-regex 12:10 no example that fires needs this expression",
        ],
    );
}

#[test]
fn a_finding_is_allowed_with_a_reason_and_only_where_it_is() {
    check("runbook = \"Look.\"\n", "# lint: allow missing-runbook: nothing to do\n", &[]);
    check(
        "runbook = \"Look.\"\n",
        "# lint: allow missing-runbook\n",
        &[
            "note missing-runbook 1:6 no runbook",
            "warning allowance 7:1 an allowance without a reason",
        ],
    );
    check(
        "[signature]",
        "  # lint: allow overlap: none\n[signature]",
        &["warning allowance 9:3 there is no `overlap` to allow"],
    );
    check(
        "[signature]",
        "# lint: allow all: please\n[signature]",
        &["warning allowance 9:1 `all` is no check"],
    );
}

#[test]
fn an_error_cannot_be_allowed() {
    let (file, text) = rule("other/one", "path = \"/prober\"", "path = \"/probe/x\"");
    let text = format!("# lint: allow example-fails: it should not\n{text}");
    let found = found([(file, text)], &nothing_asked());
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|one| one.starts_with("error example-fails")), "{found:?}");
}

#[test]
fn of_two_rules_that_are_alike_the_second_is_one_too_many() {
    let files = || [rule("other/one", "low", "low"), rule("other/two", "low", "low")];
    let overlap =
        "warning overlap 1:6 `other/one` fires wherever this rule does, and is worth as much";
    assert_eq!(found(files(), &nothing_asked()), [overlap]);
    // A rule that finds less and is worth more refines.
    let refined = [rule("other/one", "low", "low"), rule("other/two", "\"low\"", "\"high\"")];
    assert_eq!(found(refined, &nothing_asked()).len(), 1, "now the first adds nothing");
}

#[test]
fn rules_that_agree_on_their_examples_are_only_asked_about() {
    let wider = rule("other/wide", "['^/probe\\b']", "['^/probe', 'probe$']");
    let (file, text) = wider;
    let text = text.replace("/a/probe", "/a-probe/x").replace("/prober", "/my-probe-2");
    let files = [rule("other/one", "low", "low"), (file, text)];
    let found: Vec<_> = found(files, &nothing_asked());
    let asked = |one: &String| one.starts_with("note overlap") && one.contains("every example");
    assert!(found.iter().any(asked), "{found:?}");
}

#[test]
fn a_rate_that_a_laxer_rate_covers_is_told() {
    let rate = |id: &str, threshold: u32, window: &str| {
        let text = format!(
            "id = \"{id}\"\ntitle = \"t\"\ncategory = \"rate\"\nseverity = \"low\"\n\
             confidence = \"low\"\nmisses = \"m\"\nrunbook = \"r\"\n[rate]\nby = \"client\"\n\
             measure = \"count\"\nthreshold = {threshold}\nwindow = \"{window}\"\n"
        );
        let example = |name: &str, repeat: u32, fires: bool| {
            format!(
                "[[example]]\nname = \"{name}\"\nrequests = [{{ repeat = {repeat}, every = \
                 \"10ms\", request = {{ path = \"/\" }} }}]\nfires = {fires}\n"
            )
        };
        let examples = [
            example("a", threshold, true),
            example("b", threshold + 9, true),
            example("c", 2, false),
            example("d", 3, false),
        ];
        (format!("{id}.toml"), text + &examples.concat())
    };
    let files = [rate("rate/lax", 50, "2m"), rate("rate/strict", 90, "60s")];
    assert_eq!(
        found(files, &nothing_asked()),
        ["warning overlap 1:6 `rate/lax` fires wherever this rule does, and is worth as much"]
    );
    let apart = [rate("rate/short", 50, "10s"), rate("rate/strict", 90, "60s")];
    assert_eq!(found(apart, &nothing_asked()), [""; 0]);
}

#[test]
fn a_format_that_hides_the_path_makes_the_rule_blind() {
    let given = |format: &str, fields: &[Field]| Given {
        format: format.to_owned(),
        fields: fields.iter().copied().collect(),
    };
    let (sees, blind) = (given("sees", &[Field::Path]), given("blind", &[Field::Status]));
    let files = || [rule("other/one", "low", "low")];
    let told = |formats| found(files(), &formats);
    assert_eq!(
        told(Formats::Asked(vec![sees.clone(), blind.clone()])),
        ["warning blind 10:10 blind with `blind`"]
    );
    assert_eq!(told(Formats::Known(vec![sees, blind.clone()])), [""; 0]);
    assert_eq!(
        told(Formats::Known(vec![blind])),
        ["warning blind 10:10 blind with every log format that is known"]
    );
}

#[test]
fn the_rules_of_this_project_have_nothing_to_mend() {
    let report = lint(RuleSet::builtin_files(), &nothing_asked());
    let worse: Vec<String> = report
        .findings
        .iter()
        .filter(|finding| finding.level > Level::Note)
        .map(|finding| format!("{}: {finding}", finding.check))
        .collect();
    assert!(worse.is_empty(), "{}", worse.join("\n"));
    assert!(report.rules > 100);
}
