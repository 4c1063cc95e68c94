//! Input that is missing, broken or hostile: said clearly, the right code, and nothing
//! else lost.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Files, Record, attacks, gzip, honest, portcullis, sources, workspace};

#[test]
fn a_missing_path_is_named_and_the_others_are_read() {
    let files = Files::new();
    let good = files.write("good.log", Record::default().line());
    let missing = files.path("missing.log");
    let ran = portcullis(["decode", &missing, &good]).run().expect_code(1);
    assert_eq!(ran.lines().len(), 1);
    assert!(ran.stderr.contains(&format!("error: failed to read `{missing}`")), "{}", ran.stderr);
    assert!(ran.stderr.contains("No such file"), "{}", ran.stderr);
}

#[test]
fn an_empty_file_is_an_object_without_requests() {
    let files = Files::new();
    let empty = files.write("empty.log", "");
    let ran = portcullis(["scan", &empty, "-o", "json"]).run().expect_code(0);
    assert_eq!(ran.json()["coverage"]["objects"], 1);
    assert_eq!(ran.json()["coverage"]["requests"], 0);
    assert_eq!(ran.stderr, "");
    let ran = portcullis(["decode", &empty]).run().expect_code(0);
    assert!(ran.stdout.is_empty());
}

#[test]
fn a_directory_without_logs_is_an_error() {
    let files = Files::new();
    files.write("only/README.md", "no log");
    let ran = portcullis(["scan", &files.path("only")]).run().expect_code(1);
    assert!(ran.stderr.contains("no log file in"), "{}", ran.stderr);
    let ran = portcullis(["scan", &files.path("only"), "--verbose"]).run().expect_code(1);
    assert!(ran.stderr.contains("README.md"), "{}", ran.stderr);
}

#[test]
fn a_truncated_gzip_gives_what_is_there_and_blocks_nobody() {
    let files = Files::new();
    let whole = gzip(attacks("203.0.113.9", 3_000).as_bytes());
    let object = files.write("cut.gz", &whole[..whole.len() * 2 / 3]);

    let ran = portcullis(["decode", &object]).run().expect_code(3);
    let lines = ran.lines();
    assert!(lines.len() > 500 && lines.len() < 3_000, "{} lines", lines.len());
    for line in &lines {
        assert_eq!(line["client"], "203.0.113.9");
    }
    assert!(ran.stderr.contains("cut.gz` is incomplete"), "{}", ran.stderr);

    let ran = portcullis(["scan", &object, "-o", "json"]).run().expect_code(3);
    let scan = ran.json();
    assert_eq!(scan["coverage"]["incomplete_objects"], 1);
    assert_eq!(sources(&scan), ["203.0.113.9"], "what was found is shown");

    let ran = portcullis(["plan", &object, "-o", "json"]).run().expect_code(3);
    let plan = ran.json();
    assert_eq!(plan["counts"]["additions"], 0, "and never blocked on");
    assert_eq!(plan["withheld"][0]["source"], "203.0.113.9/32");
    assert_eq!(plan["withheld"][0]["code"], "incomplete-evidence");
}

#[test]
fn half_an_object_does_not_tip_a_plan_that_whole_objects_do_not_bear_out() {
    let files = Files::new();
    let half = gzip(attacks("203.0.113.9", 3_000).as_bytes());
    files.write("logs/a-cut.gz", &half[..half.len() / 2]);
    files.write("logs/b-whole.log", attacks("198.51.100.7", 5) + &honest("203.0.113.9", 20));
    let ran = portcullis(["plan", &files.path("logs"), "-o", "json"]).run().expect_code(3);
    let plan = ran.json();
    let added: Vec<_> = plan["additions"].as_array().expect("a list").iter().collect();
    assert_eq!(added.len(), 1, "{plan}");
    assert_eq!(added[0]["address"], "198.51.100.7/32");
    assert_eq!(plan["withheld"][0]["source"], "203.0.113.9/32");
    assert_eq!(plan["withheld"][0]["code"], "incomplete-evidence");
}

/// Runs the program with this much address space, and gives how long it took.
fn within(megabytes: usize, arguments: &str) -> (Option<i32>, String, String, Duration) {
    let program = env!("CARGO_BIN_EXE_portcullis");
    let script = format!("ulimit -v {} && exec {program} {arguments}", megabytes * 1024);
    let started = Instant::now();
    let output = Command::new("sh")
        .args(["-c", &script])
        .env_clear()
        .current_dir(workspace())
        .output()
        .expect("sh starts");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
        started.elapsed(),
    )
}

#[test]
fn a_gzip_bomb_costs_time_in_proportion_and_no_memory() {
    let files = Files::new();
    // One member of 64 MiB of zeros, sixteen times: 1 GiB in about 1 MB.
    let member = gzip(&vec![0; 64 << 20]);
    let bomb = files.write("bomb.gz", member.repeat(16));
    let (code, stdout, stderr, took) = within(600, &format!("scan {bomb} -o json --threads 2"));
    assert_eq!(code, Some(3), "{stderr}");
    let scan: serde_json::Value = serde_json::from_str(&stdout).expect("a document");
    assert_eq!(scan["coverage"]["text_bytes"], 1_u64 << 30);
    assert_eq!(scan["coverage"]["requests"], 0);
    assert!(took < Duration::from_secs(90), "{took:?}");

    let (code, stdout, stderr, _) =
        within(600, &format!("scan {bomb} -o json --max-object-bytes 8M"));
    assert_eq!(code, Some(3), "{stderr}");
    let scan: serde_json::Value = serde_json::from_str(&stdout).expect("a document");
    assert_eq!(scan["coverage"]["incomplete_objects"], 1);
    assert!(stderr.contains("limit of 8388608 bytes"), "{stderr}");
}

#[test]
fn a_line_of_100_mb_is_one_reject_and_the_lines_around_it_are_read() {
    let files = Files::new();
    let mut text = Record { id: "before".to_owned(), ..Record::default() }.line().into_bytes();
    let start = text.len();
    text.extend_from_slice(br#"{"requestId":"long","ip":"198.51.100.7","path":"/"#);
    text.resize(text.len() + 100_000_000, b'a');
    text.extend_from_slice(b"\"}\n");
    let length = text.len() - start - 1;
    text.extend_from_slice(
        Record { id: "after".to_owned(), ..Record::default() }.line().as_bytes(),
    );
    let object = files.write("long.log", &text);
    let rejects = files.path("rejects.jsonl");

    let (code, stdout, stderr, took) = within(600, &format!("decode {object} --rejects {rejects}"));
    assert_eq!(code, Some(3), "{stderr}");
    let ids: Vec<_> = stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["id"].clone())
        .collect();
    assert_eq!(ids, ["before", "after"]);
    assert!(stderr.contains("1 record could not be read"), "{stderr}");
    assert!(took < Duration::from_mins(1), "{took:?}");

    let rejects = std::fs::read_to_string(rejects).expect("the rejects were written");
    let reject: serde_json::Value = serde_json::from_str(&rejects).expect("one line of JSON");
    assert_eq!(reject["reason"], "too-long");
    assert_eq!(reject["offset"], start);
    let spans = reject["length"].as_u64().expect("a number") as usize;
    assert!(spans == length || spans == length + 1, "{spans} of {length}");
}

#[test]
fn binary_noise_is_rejected_and_does_not_reach_the_terminal() {
    let files = Files::new();
    // A linear congruential generator: noise that is the same on every machine.
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    })
    .take(300_000)
    .collect();
    files.write("logs/noise.bin", &noise);
    files.write("logs/good.log", Record::default().line());
    for command in ["decode", "classify", "scan"] {
        for format in [None, Some("recommended"), Some("combined"), Some("apigw-rest-csv")] {
            let mut arguments = vec![command.to_owned(), files.path("logs/noise.bin")];
            arguments.extend(format.map(|format| format!("--format={format}")));
            let ran = portcullis(&arguments).run().expect_code(3);
            assert!(!ran.stdout.contains(&0x1b) && !ran.stderr.contains('\u{1b}'));
            assert!(ran.stderr.is_ascii() || !ran.stderr.contains('\u{fffd}'));
        }
    }
    let ran = portcullis(["decode", &files.path("logs")]).run().expect_code(3);
    assert_eq!(ran.lines().len(), 1, "the good object is still read");
}

#[test]
fn a_template_without_an_address_can_be_decoded_and_not_held_against_anyone() {
    let files = Files::new();
    let template = r#"{"id":"$context.requestId","status":"$context.status"}"#;
    let object = files.write("a.log", "{\"id\":\"r-1\",\"status\":\"200\"}\n");
    let ran = portcullis(["decode", &object, "--format", template]).run().expect_code(0);
    assert_eq!(ran.lines()[0]["id"], "r-1");
    for command in ["scan", "plan"] {
        let ran = portcullis([command, &object, "--format", template]).run().expect_code(1);
        assert!(ran.stderr.contains("no client address"), "{}", ran.stderr);
        assert!(ran.stderr.contains("$context.identity.sourceIp"), "{}", ran.stderr);
        assert!(ran.stdout.is_empty());
    }
}

#[test]
fn a_broken_template_is_refused_with_its_reason() {
    let files = Files::new();
    let object = files.write("a.log", Record::default().line());
    for (template, reason) in [
        ("$context.status$context.path", "side by side"),
        ("a $context.status\nb", "line break"),
        ("$context. ", "names no variable"),
    ] {
        let ran = portcullis(["decode", &object, "--format", template]).run().expect_code(1);
        assert!(ran.stderr.contains("failed to read the log format"), "{}", ran.stderr);
        assert!(ran.stderr.contains(reason), "{}", ran.stderr);
    }
}

#[test]
fn a_broken_rule_is_shown_with_file_line_column_and_caret() {
    let files = Files::new();
    let object = files.write("a.log", Record::default().line());
    let rule = crate::rules::RULE.replace(r#"fields = ["path"]"#, r#"fields = ["uri"]"#);
    files.write("rules/other/probe.toml", rule);
    let rules = files.path("rules");
    for arguments in [
        vec!["scan", &object, "--rules", &rules],
        vec!["classify", &object, "--rules", &rules],
        vec!["plan", &object, "--rules", &rules],
        vec!["rules", "test", &rules],
        vec!["rules", "list", "--rules", &rules],
    ] {
        let ran = portcullis(&arguments).run().expect_code(1);
        assert!(ran.stdout.is_empty());
        assert!(ran.stderr.starts_with("error: failed to load rules\n"), "{}", ran.stderr);
        assert!(ran.stderr.contains("other/probe.toml:9:11: "), "{}", ran.stderr);
        let caret = ran.stderr.lines().find(|line| line.contains('^')).expect("a caret");
        let source = ran.stderr.lines().find(|line| line.contains("fields = [")).expect("the line");
        assert_eq!(caret.find('^'), source.find("\"uri\""), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("API Gateway logs the request path as `path`"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_rules_directory_that_is_missing_or_empty_is_an_error() {
    let files = Files::new();
    let object = files.write("a.log", Record::default().line());
    let ran = portcullis(["scan", &object, "--rules", &files.path("none")]).run().expect_code(1);
    assert!(ran.stderr.contains("failed to load rules"), "{}", ran.stderr);
    files.write("empty/README.md", "");
    let ran = portcullis(["scan", &object, "--rules", &files.path("empty")]).run().expect_code(1);
    assert!(ran.stderr.contains("no .toml file"), "{}", ran.stderr);
}

#[test]
fn an_object_that_cannot_be_opened_fails_alone() {
    let files = Files::new();
    files.write("logs/good.log", Record::default().line());
    let gone = files.root().join("logs/gone.log");
    std::os::unix::fs::symlink(files.root().join("nowhere"), &gone).expect("linked");
    let ran = portcullis(["decode", &files.path("logs")]).run().expect_code(1);
    assert_eq!(ran.lines().len(), 1);
    assert!(ran.stderr.contains("gone.log"), "{}", ran.stderr);
}

#[test]
fn a_linked_directory_that_was_not_read_is_told_of() {
    let files = Files::new();
    files.write("logs/good.log", Record::default().line());
    files.write("elsewhere/other.log", Record::default().line());
    for name in ["one", "two"] {
        let link = files.root().join("logs").join(name);
        std::os::unix::fs::symlink(files.root().join("elsewhere"), link).expect("linked");
    }
    let ran = portcullis(["scan", &files.path("logs")]).run().expect_code(0);
    assert!(ran.stderr.contains("2 linked directories"), "{}", ran.stderr);
    assert!(ran.stderr.contains(&files.path("logs/one")), "{}", ran.stderr);
    let named = portcullis(["decode", &files.path("logs/one")]).run().expect_code(0);
    assert_eq!(named.lines().len(), 1);
    assert!(!named.stderr.contains("linked"), "{}", named.stderr);
}
