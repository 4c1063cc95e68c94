//! `query`: answers agree with `scan`, reach nothing else, and hold nothing that acts.

use crate::support::{Files, Ran, Record, portcullis};

const DATASET: &str = "datasets/firehose/recommended";

fn query(sql: &str, location: &str, shape: &str) -> Ran {
    portcullis(["query", sql, location, "--output", shape, "--quiet"]).run()
}

#[test]
fn answers_agree_with_a_scan() {
    let scan = portcullis(["scan", DATASET, "--output", "json"]).run().expect_code(0).json();
    let count = |table: &str| {
        let sql = format!("SELECT count(*) AS n FROM {table}");
        query(&sql, DATASET, "json").expect_code(0).json()["rows"][0]["n"].clone()
    };
    assert_eq!(count("requests"), scan["coverage"]["requests"]);
    let sources = ["offenders", "watched"].map(|name| scan[name].as_array().expect("a list").len());
    assert_eq!(count("offenders"), sources.iter().sum::<usize>());

    let worst = "SELECT source, score FROM offenders ORDER BY score DESC, source LIMIT 1";
    let lines = query(worst, DATASET, "jsonl").expect_code(0).lines();
    assert_eq!(lines[0]["source"], scan["offenders"][0]["source"]);
    assert_eq!(lines[0]["score"], scan["offenders"][0]["score"]);
    let text = query(worst, DATASET, "csv").expect_code(0).text();
    assert_eq!(text.lines().next(), Some("source,score"));
}

#[test]
fn no_question_reaches_a_file() {
    let ran = query("SELECT * FROM read_csv('/etc/passwd')", DATASET, "csv").expect_code(1);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("read_csv"), "{}", ran.stderr);
}

#[test]
fn what_is_no_question_says_so() {
    let ran = query("DROP TABLE requests", DATASET, "table").expect_code(1);
    assert!(ran.stderr.contains("begins with SELECT"), "{}", ran.stderr);
    let ran = query("SELECT colour FROM requests", DATASET, "table").expect_code(1);
    assert!(ran.stderr.contains("colour") && ran.stderr.contains("docs/columns.md"));
}

#[test]
fn what_a_client_wrote_does_not_act_in_an_answer() {
    let files = Files::new();
    let record = Record {
        path: "/prod/=HYPERLINK\u{1b}[2J\u{202e}".to_owned(),
        user_agent: "=1+1".to_owned(),
        ..Record::default()
    };
    let log = files.write("log", record.line());
    let sql = "SELECT user_agent, path, '=' || path AS made FROM requests";
    for shape in ["table", "json", "jsonl", "csv"] {
        let text = query(sql, &log, shape).expect_code(0).text();
        assert!(text.contains("HYPERLINK"), "{shape}: {text}");
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{shape}: {text}");
        let begins =
            |line: &str| line.split(',').any(|cell| cell.trim_matches('"').starts_with('='));
        assert!(shape != "csv" || !text.lines().any(begins), "{text}");
    }
}
