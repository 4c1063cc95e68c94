//! `plan --findings`: a plan on findings that were written before.

use crate::support::{Files, attacks, gzip, honest, portcullis};

const AT: &str = "2025-11-04T12:00:00Z";

fn logs(files: &Files) -> String {
    files.write("logs/a.log", attacks("203.0.113.9", 20) + &honest("198.51.100.7", 40));
    files.write("logs/b.log", attacks("203.0.113.11", 9) + &honest("203.0.113.12", 300));
    let cut = attacks("192.0.2.77", 30);
    files.write("logs/c.log.gz", gzip(cut.as_bytes()));
    files.path("logs")
}

/// Makes the compressed object end early.
fn cut(files: &Files) {
    let path = files.path("logs/c.log.gz");
    let bytes = std::fs::read(&path).expect("it was written");
    std::fs::write(&path, &bytes[..bytes.len() - 20]).expect("it can be written");
}

#[test]
fn a_plan_on_findings_is_the_plan_on_the_logs() {
    let files = Files::new();
    let logs = logs(&files);
    for code in [0, 3] {
        let scan = portcullis(["scan", &logs, "--for-plan", "-o", "json"]).run().expect_code(code);
        let file = files.write("findings.json", &scan.stdout);
        let plan = |words: &[&str]| {
            let words = [&["plan"], words, &["--at", AT, "-o", "json"]].concat();
            portcullis(words).run().expect_code(code).text()
        };
        assert_eq!(plan(&["--findings", &file]), plan(&[&logs]));
        cut(&files);
    }
}

#[test]
fn findings_that_were_not_written_for_a_plan_are_refused() {
    let files = Files::new();
    let logs = logs(&files);
    let scan = portcullis(["scan", &logs, "-o", "json"]).run().expect_code(0);
    let file = files.write("findings.json", &scan.stdout);
    let ran = portcullis(["plan", "--findings", &file, "--at", AT]).run().expect_code(4);
    assert!(ran.stderr.contains("carry no audit"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--for-plan"), "{}", ran.stderr);
}

#[test]
fn findings_that_do_not_add_up_are_refused_by_what_differs() {
    let files = Files::new();
    let logs = logs(&files);
    let good = portcullis(["scan", &logs, "--for-plan", "-o", "json"]).run().expect_code(0).json();
    let refused = |change: &dyn Fn(&mut serde_json::Value), code, words: &str| {
        let mut changed = good.clone();
        change(&mut changed);
        let file = files.write("changed.json", changed.to_string());
        let ran = portcullis(["plan", "--findings", &file, "--at", AT]).run().expect_code(code);
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
        assert!(ran.stdout.is_empty());
    };
    refused(
        &|all| {
            let twice = all["offenders"][0].clone();
            all["offenders"].as_array_mut().expect("a list").push(twice);
        },
        4,
        "found more than once: 192.0.2.77",
    );
    refused(
        &|all| drop(all["audit"]["objects"].as_array_mut().expect("a list").pop()),
        4,
        "3 objects were listed, 2 were read",
    );
    refused(
        &|all| all["audit"]["requests_of_sources"] = 5.into(),
        4,
        "requests: 399 by the objects, 5 by the sources",
    );
    refused(&|all| drop(all.as_object_mut().expect("an object").remove("audit")), 4, "no audit");
    refused(&|all| all["schema_version"] = 2.into(), 1, "schema version 2, expected 1");
    let hostile = "\u{1b}[2Jnobody\u{202e}";
    refused(&|all| all["offenders"][0]["source"] = hostile.into(), 1, "is no network");
    let file = files.write("no.json", "no findings");
    portcullis(["plan", "--findings", &file]).run().expect_code(1);
    let file = files.write("damaged.parquet", "PAR1 and nothing that is behind it PAR1");
    let ran = portcullis(["plan", "--findings", &file]).run().expect_code(1);
    assert!(ran.stderr.contains("no whole file of Parquet"), "{}", ran.stderr);
    portcullis(["plan", "--findings", &file, &logs]).run().expect_code(64);
    portcullis(["plan"]).run().expect_code(64);
}

#[test]
fn what_judges_requests_changes_no_findings_and_it_is_said() {
    let files = Files::new();
    let logs = logs(&files);
    let scan = portcullis(["scan", &logs, "--for-plan", "-o", "json"]).run().expect_code(0);
    let findings = files.write("findings.json", &scan.stdout);
    let list = files.write("list.txt", "203.0.113.0/24\n");
    let config = "[enrichment]\nassets = [\"own.csv\"]\nreputation = { some = \"list.txt\" }\n";
    files.write("own.csv", "203.0.113.9,ours\n");
    let config = files.write("portcullis.toml", config);
    let words = ["plan", "--findings", &findings, "--at", AT, "-o", "json"];
    let said = "findings stay as they were judged when they were made; not used: --reputation";
    for options in [["--reputation", &format!("some={list}")], ["--config", &config]] {
        let ran = portcullis([&words[..], &options[..]].concat()).run().expect_code(0);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
    // What protects is asked of the plan.
    let text =
        portcullis([&words[..], &["--config", &config]].concat()).run().expect_code(0).text();
    assert!(text.contains("\"asset\""), "{text}");
    let quiet = portcullis(words).run().expect_code(0);
    assert!(!quiet.stderr.contains("not used"), "{}", quiet.stderr);
}
