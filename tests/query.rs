//! `query`: answers agree with `scan`, reach nothing else, and hold nothing that acts.

use crate::support::{Files, Ran, Record, portcullis, workspace};

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

    let worst = "SELECT source, score, first FROM offenders ORDER BY score DESC, source LIMIT 1";
    let lines = query(worst, DATASET, "jsonl").expect_code(0).lines();
    assert_eq!(lines[0]["source"], scan["offenders"][0]["source"]);
    assert_eq!(lines[0]["score"], scan["offenders"][0]["score"]);
    assert_eq!(lines[0]["first"], scan["offenders"][0]["first"]);
    let text = query(worst, DATASET, "csv").expect_code(0).text();
    assert_eq!(text.lines().next(), Some("source,score,first"));
    let first = scan["offenders"][0]["first"].as_str().expect("a time");
    assert!(text.contains(first), "{text}");
}

/// The questions of `docs/columns.md`.
pub fn documented() -> Vec<String> {
    let text = std::fs::read_to_string(workspace().join("docs/columns.md")).expect("the page");
    let block = text.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next());
    let plain = |line: &&str| !line.starts_with("--");
    let questions = block.expect("a block of SQL").split(';');
    let questions = questions.map(|one| one.lines().filter(plain).collect::<Vec<_>>().join("\n"));
    questions.map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
}

/// How many rows each question of the documentation has.
pub fn documented_answers() -> Vec<usize> {
    let rows = |sql: &String| {
        let answer = query(sql, DATASET, "json").expect_code(0).json();
        answer["rows"].as_array().expect("rows").len()
    };
    documented().iter().map(rows).collect()
}

#[test]
fn the_questions_of_the_documentation_are_answered() {
    let questions = documented();
    assert_eq!(questions.len(), 5, "{questions:?}");
    // Not in vain: each has an answer in the data set.
    assert!(documented_answers().iter().all(|rows| *rows > 0));
    let alike = query(&questions[1], DATASET, "json").expect_code(0).json();
    assert_eq!(alike["rows"][0]["source"], "198.18.30.46");
    let row = query(&questions[3], DATASET, "json").expect_code(0).json()["rows"][0].clone();
    let number = |name: &str| row[name].as_f64().expect("a number");
    let known = "SELECT count(DISTINCT source) AS n FROM requests \
                 WHERE NOT flagged AND source NOT IN (SELECT source FROM offenders)";
    let known = query(known, DATASET, "json").expect_code(0).json()["rows"][0]["n"].as_f64();
    assert_eq!(Some(number("sources")), known);
    let steps = [1.0, number("median"), number("all_but_one_percent"), number("most")];
    assert!(steps.is_sorted(), "{row}");
}

#[test]
fn no_question_reaches_a_file() {
    let ran = query("SELECT * FROM read_csv('/etc/passwd')", DATASET, "csv").expect_code(1);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("read_csv"), "{}", ran.stderr);
}

#[test]
fn what_is_no_question_says_so() {
    let ran = query("DROP TABLE requests", DATASET, "table").expect_code(64);
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
