//! The exit codes of the table that every command's help prints.

use crate::support::{Files, Record, attacks, honest, portcullis};

#[track_caller]
fn check(arguments: &[&str], code: i32) {
    portcullis(arguments).run().expect_code(code);
}

#[test]
fn each_row_of_the_table() {
    let files = Files::new();
    let clean = files.write("clean.log", honest("198.51.100.7", 20));
    let attacked = files.write("attacked.log", attacks("203.0.113.9", 20));
    let broken = files.write("broken.log", Record::default().line() + "no record\n");
    let both = files.write("both.log", attacks("203.0.113.9", 20) + "no record\n");
    let missing = files.path("missing.log");

    // 0: done; findings alone do not change it.
    check(&["scan", &clean], 0);
    check(&["scan", &attacked], 0);
    check(&["scan", &clean, "--exit-code"], 0);
    check(&["plan", &attacked], 0);
    check(&["plan", &clean, "--detailed-exitcode"], 0);
    check(&["--help"], 0);
    check(&["--version"], 0);
    check(&["man"], 0);
    check(&["completions", "bash"], 0);
    // 1: failed.
    check(&["scan", &missing], 1);
    check(&["scan", &missing, &attacked, "--exit-code"], 1);
    // 2: what was asked for is there.
    check(&["scan", &attacked, "--exit-code"], 2);
    check(&["scan", &attacked, "--fail-on", "low"], 2);
    check(&["plan", &attacked, "--detailed-exitcode"], 2);
    check(&["formats", "check", "apigw-rest-clf"], 2);
    // 3: partial, and more important than what was found.
    check(&["scan", &broken], 3);
    check(&["decode", &broken], 3);
    check(&["classify", &broken], 3);
    check(&["plan", &broken], 3);
    check(&["scan", &both, "--exit-code"], 3);
    // 64: wrong usage, never clap's 2.
    check(&[], 64);
    check(&["nonsense"], 64);
    check(&["scan"], 64);
    check(&["scan", &clean, "--threads", "0"], 64);
    check(&["scan", &clean, "-o", "yaml"], 64);
    check(&["scan", &clean, "--format", "no-such-preset"], 64);
    check(&["scan", &clean, "--max-object-bytes", "0"], 64);
    check(&["plan", &clean, "--at", "yesterday"], 64);
    check(&["scan", &clean, "--from", "2025-11-05", "--to", "2025-11-04"], 64);
    check(&["scan", &clean, "--lookback", "3d"], 64);
}

#[test]
fn the_least_severity_decides() {
    let files = Files::new();
    let attacked = files.write("attacked.log", attacks("203.0.113.9", 20));
    let ran = portcullis(["scan", &attacked, "-o", "json"]).run().expect_code(0);
    let severity = ran.json()["offenders"][0]["severity"].as_str().expect("a string").to_owned();
    let order = ["low", "medium", "high", "critical"];
    let found = order.iter().position(|name| *name == severity).expect("a severity");
    for (place, least) in order.iter().enumerate() {
        check(&["scan", &attacked, "--fail-on", least], if place <= found { 2 } else { 0 });
    }
}

#[test]
fn the_help_names_the_codes_and_scripts_can_be_made() {
    for arguments in [vec!["--help"], vec!["scan", "--help"], vec!["plan", "--help"]] {
        let help = portcullis(&arguments).run().expect_code(0).text();
        assert!(help.contains("Exit codes:") && help.contains("64"), "{help}");
    }
    let page = portcullis(["man"]).run().text();
    assert!(page.contains(".TH portcullis") && page.contains("PORTCULLIS RULES TEST"), "{page}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(
            portcullis(["completions", shell]).run().expect_code(0).text().contains("portcullis")
        );
    }
}

#[test]
fn an_unknown_preset_names_the_known_ones() {
    let files = Files::new();
    let clean = files.write("clean.log", honest("198.51.100.7", 1));
    let ran = portcullis(["decode", &clean, "--format", "apigw-clf"]).run().expect_code(64);
    assert!(ran.stderr.contains("`apigw-clf` is no preset's name"), "{}", ran.stderr);
    assert!(ran.stderr.contains("apigw-rest-clf"), "{}", ran.stderr);
}
