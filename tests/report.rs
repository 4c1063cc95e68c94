//! `report`: one page that holds what the scan and the plan say, and runs nothing.

use crate::support::{Files, attacks, portcullis};

const DATASET: &str = "datasets/firehose/recommended";
const AT: &str = "2026-03-02T12:00:00Z";

#[test]
fn the_report_says_what_scan_and_plan_say() {
    let files = Files::new();
    let page = files.path("report.html");
    let ran = portcullis(["report", DATASET, "-o", &page, "--at", AT]).run().expect_code(0);
    assert!(ran.stdout.is_empty(), "the page goes to the file");
    assert!(ran.stderr.contains("next: open"), "{}", ran.stderr);
    let page = std::fs::read_to_string(page).expect("the page was written");
    let scan = portcullis(["scan", DATASET, "-o", "json"]).run().json();
    let plan = portcullis(["plan", DATASET, "-o", "json", "--at", AT]).run().json();
    let offenders = scan["offenders"].as_array().expect("a list");
    assert_eq!(page.matches("<details class=\"offender").count(), offenders.len());
    for offender in offenders {
        let source = offender["source"].as_str().expect("an address");
        assert!(page.contains(&format!("<b>{source}</b>")), "{source} is missing");
    }
    let additions = plan["additions"].as_array().expect("a list").len();
    assert_eq!(page.matches("class=\"act block\"").count(), additions);
    assert!(page.contains("19 rules could not look"), "what could not be seen is missing");
}

#[test]
fn a_file_of_another_format_is_not_written() {
    let files = Files::new();
    let page = files.path("report.md");
    let ran = portcullis(["report", DATASET, "-o", &page, "--at", AT]).run().expect_code(64);
    assert!(ran.stderr.contains("says .md, and a report is HTML"), "{}", ran.stderr);
    assert!(!std::path::Path::new(&page).exists());
}

#[test]
fn no_command_writes_over_what_it_reads() {
    let files = Files::new();
    let text = attacks("203.0.113.9", 20);
    let log = files.write("a.log", &text);
    let list = files.write("never-block.txt", "198.51.100.0/24 head office\n");
    for arguments in [
        &["report", &log, "-o", &log][..],
        &["decode", &log, "--rejects", &log],
        &["plan", &log, "--out", &log],
        &["plan", &log, "--never-block", &list, "--out", &list],
    ] {
        let ran = portcullis(arguments).run().expect_code(64);
        assert!(ran.stderr.contains("would be lost"), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(std::fs::read_to_string(&log).expect("the log"), text);
    assert!(std::fs::read_to_string(&list).expect("the list").contains("head office"));
}

#[test]
fn threads_change_no_byte() {
    let report = |threads| {
        portcullis(["report", DATASET, "-o", "-", "--at", AT, "--threads", threads]).run().text()
    };
    assert_eq!(report("1"), report("4"));
}

#[test]
fn nothing_a_client_wrote_becomes_markup() {
    let files = Files::new();
    let attack = "\"><script>alert(1)</script><img src=x onerror=alert(1)>' or 1=1--";
    let line = |path: &str, agent: &str| {
        format!(
            "203.0.113.9 - - [04/Nov/2025:09:12:00 +0000] \"GET {path} HTTP/1.1\" 200 1 \"-\" \
             \"{agent}\"\n"
        )
    };
    let encoded = attack.replace(' ', "%20").replace('"', "%22");
    let log = line(&format!("/a?q={encoded}"), &attack.replace('"', "'"))
        + &line("/../../etc/passwd", "{{7*7}}</style></title><svg/onload=alert(1)>");
    let object = files.write("a.log", log);
    let page = portcullis(["report", &object, "-o", "-", "--at", AT]).run().text();
    assert!(page.contains("203.0.113.9"), "the client is an offender");
    for markup in ["<script", "<img", "onload=alert(1)>", "</title><", "<iframe", "javascript:"] {
        assert!(!page.contains(markup), "{markup} is on the page");
    }
    assert_eq!(page.matches("</style>").count(), 1);
}

#[test]
fn secrets_are_not_on_the_page() {
    let files = Files::new();
    let line = concat!(
        r#"203.0.113.9 - - [04/Nov/2025:09:12:00 +0000] "#,
        r#""GET /a?password=hunter2&id=1'+or+'1'='1 HTTP/1.1" 200 1 "-" "curl/8""#,
        "\n"
    );
    let object = files.write("a.log", line);
    let page =
        portcullis(["report", &object, "-o", "-", "--at", AT, "--show-secrets"]).run().text();
    assert!(page.contains("[redacted]"), "the evidence is shown");
    assert!(!page.contains("hunter2"), "reports are sent around");
}
