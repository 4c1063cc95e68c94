//! `export`: Parquet that is whole or not there, and says what `scan` says.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::moto::python;
use crate::support::{Files, Ran, Record, attacks, portcullis, workspace};

const DATASET: &str = "datasets/firehose/recommended";

/// Every file below a directory, by its path.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).expect("below the root");
                let name = name.to_str().expect("UTF-8").to_owned();
                files.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    files
}

fn export(location: &str, to: &str, more: &[&str]) -> Ran {
    let arguments = ["export", location, "--out", to, "--quiet"];
    portcullis(arguments.iter().chain(more).copied()).run()
}

fn manifest(place: &str) -> Value {
    let text = fs::read(Path::new(place).join("manifest.json")).expect("a manifest");
    serde_json::from_slice(&text).expect("JSON")
}

fn scan(location: &str) -> Value {
    portcullis(["scan", location, "--output", "json"]).run().expect_code(0).json()
}

fn rows(manifest: &Value) -> BTreeMap<&str, u64> {
    let tables = manifest["tables"].as_array().expect("tables");
    let row = |table: &Value| table["rows"].as_u64().expect("a number");
    tables.iter().map(|table| (table["table"].as_str().expect("a name"), row(table))).collect()
}

/// What a scan says that the tables of an export of the same logs hold.
fn expected(scan: &Value) -> BTreeMap<&str, u64> {
    let sources = || {
        let lists = [&scan["offenders"], &scan["watched"]];
        lists.into_iter().flat_map(|list| list.as_array().expect("a list"))
    };
    let detections = sources().map(|of| of["detections"].as_array().expect("a list").len());
    let requests = scan["coverage"]["requests"].as_u64().expect("a number");
    BTreeMap::from([
        ("requests", requests),
        ("detections", detections.sum::<usize>() as u64),
        ("offenders", sources().count() as u64),
    ])
}

#[test]
fn an_export_holds_what_a_scan_finds() {
    let files = Files::new();
    let place = files.path("out");
    let said = export(DATASET, &place, &[]).expect_code(0).text();
    assert!(said.contains("10,764 requests") && said.contains("offenders"), "{said}");
    let (manifest, scan) = (manifest(&place), scan(DATASET));
    assert_eq!(rows(&manifest), expected(&scan));
    assert_eq!(manifest["coverage"], scan["coverage"]);
}

#[test]
fn an_export_is_the_same_whatever_the_threads() {
    let files = Files::new();
    let (one, four) = (files.path("one"), files.path("four"));
    export(DATASET, &one, &["--threads", "1"]).expect_code(0);
    export(DATASET, &four, &["--threads", "4"]).expect_code(0);
    assert!(tree(Path::new(&one)) == tree(Path::new(&four)), "the files differ");
}

#[test]
fn an_export_replaces_an_earlier_one_and_nothing_else() {
    let files = Files::new();
    let log = files.write("log", attacks("203.0.113.9", 20));
    let place = files.path("out");
    files.write("out/thesis.txt", "years of work");
    let refused = export(&log, &place, &[]).expect_code(1);
    assert!(refused.stderr.contains("something other than an export"), "{}", refused.stderr);
    assert_eq!(tree(Path::new(&place)).len(), 1);

    fs::remove_file(files.path("out/thesis.txt")).expect("removed");
    export(&log, &place, &[]).expect_code(0);
    files.write("out/requests/date=2001-01-01/hour=00/part-0.parquet", "of the earlier one");
    export(&log, &place, &[]).expect_code(0);
    let names: Vec<String> = tree(Path::new(&place)).into_keys().collect();
    assert!(!names.iter().any(|name| name.contains("2001")), "{names:?}");
    let beside: Vec<_> = fs::read_dir(files.root()).expect("a directory").collect();
    assert_eq!(beside.len(), 2, "only the log and the export are left: {beside:?}");
}

#[test]
fn a_killed_export_leaves_nothing_that_looks_whole() {
    let files = Files::new();
    let place = files.path("out");
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["export", "-", "--out", &place])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let lines: String = (0..20_000).map(|_| Record::default().line()).collect();
    // The end never comes, so the program waits for more when it is killed.
    stdin.write_all(lines.as_bytes()).expect("written");
    let begun = Instant::now();
    let is_begun = || fs::read_dir(files.root()).expect("a directory").next().is_some();
    while !is_begun() {
        assert!(begun.elapsed() < Duration::from_mins(1), "the export does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert!(!Path::new(&place).exists());

    let log = files.write("log", &lines);
    export(&log, &place, &["--keep-duplicates"]).expect_code(0);
    assert_eq!(rows(&manifest(&place))["requests"], 20_000);
    let mut beside: Vec<_> = fs::read_dir(files.root())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    beside.sort();
    assert_eq!(beside, ["log", "out"], "what the killed run left is gone");
    assert!(!Path::new(&place).join("lock").exists());
}

#[test]
fn an_export_behind_a_link_is_replaced_there_and_stays_as_private() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let files = Files::new();
    let log = files.write("log", Record::default().line());
    let place = files.path("out");
    symlink("kept", &place).expect("linked");
    export(&log, &place, &[]).expect_code(0);
    let kept = files.root().join("kept");
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o700)).expect("ours");
    export(&log, &place, &[]).expect_code(0);
    assert!(fs::symlink_metadata(&place).expect("there").is_symlink());
    assert_eq!(fs::metadata(&kept).expect("there").permissions().mode() & 0o777, 0o700);
    assert_eq!(rows(&manifest(&place))["requests"], 1);
}

#[test]
fn logs_without_a_request_make_tables_without_rows() {
    let files = Files::new();
    let log = files.write("log", "this is no log\n");
    let place = files.path("out");
    export(&log, &place, &["--format", "combined"]).expect_code(3);
    assert_eq!(rows(&manifest(&place)).values().sum::<u64>(), 0);
    let names: Vec<String> = tree(Path::new(&place)).into_keys().collect();
    assert_eq!(names.iter().filter(|name| name.ends_with(".parquet")).count(), 3, "{names:?}");
}

/// What a Python script of the tests prints, told this.
fn witness(script: &str, arguments: &[&str], stdin: Vec<u8>) -> Value {
    let mut child = Command::new(python())
        .arg(workspace().join("tests/readers").join(script))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the witness starts");
    let mut pipe = child.stdin.take().expect("stdin is piped");
    let writer = std::thread::spawn(move || pipe.write_all(&stdin));
    let output = child.wait_with_output().expect("the witness ends");
    // A script that reads no input may end before it was given any.
    let _ = writer.join().expect("the writer does not panic");
    assert!(output.status.success(), "{script} failed");
    serde_json::from_slice(&output.stdout).expect("the witness prints JSON")
}

#[test]
#[ignore = "needs the published schema of OCSF, which `cargo xtask moto` installs"]
fn events_are_valid_by_the_published_schema_of_ocsf() {
    let offenders = portcullis(["scan", DATASET, "-o", "ocsf"]).run().expect_code(0);
    let requests = portcullis(["decode", DATASET, "-o", "ocsf"]).run().expect_code(0);
    let requests: Vec<u8> = requests
        .stdout
        .split_inclusive(|byte| *byte == b'\n')
        .take(400)
        .flatten()
        .copied()
        .collect();
    let files = Files::new();
    let hostile = Record { path: "\u{1b}[2J/\"{}".to_owned(), ..Record::default() };
    let hostile = files.write("log", hostile.line());
    let hostile = portcullis(["decode", &hostile, "-o", "ocsf"]).run().expect_code(0);
    let known = crate::enrichment::events(&files, "ocsf");
    for (events, expected) in
        [(offenders.stdout, 10), (requests, 400), (hostile.stdout, 1), (known, 3)]
    {
        let seen = witness("ocsf.py", &[], events);
        assert_eq!(seen["failures"], Value::Array(Vec::new()));
        assert_eq!(seen["events"], expected);
    }
    // What is not valid is noticed.
    let wrong = r#"{"class_uid":4002,"metadata":{"version":"1.5.0"},"nonsense":1}"#;
    let seen = witness("ocsf.py", &[], wrong.as_bytes().to_vec());
    let failures = seen["failures"].as_array().expect("a list");
    assert!(
        failures.iter().any(|failure| failure.to_string().contains("nonsense")),
        "{failures:?}"
    );
}

/// What DuckDB and polars find in an export.
fn witnesses(place: &str) -> Value {
    let questions = serde_json::to_vec(&crate::query::documented()).expect("texts");
    witness("export.py", &[place], questions)
}

#[test]
#[ignore = "needs DuckDB and polars, which `cargo xtask moto` installs"]
fn duckdb_and_polars_read_what_scan_says() {
    let files = Files::new();
    for location in [DATASET, "datasets/firehose/apigw-rest-clf"] {
        let place = files.path("out");
        export(location, &place, &[]);
        let (scan, seen) = (scan(location), witnesses(&place));
        let expected = expected(&scan);
        let flagged = scan["offenders"][0]["flagged_requests"].as_u64().unwrap_or(0);
        for reader in ["duckdb", "polars"] {
            let seen = &seen[reader];
            for (table, rows) in &expected {
                assert_eq!(seen["rows"][table], *rows, "{table} in {location} by {reader}");
            }
            assert_eq!(seen["top"], scan["offenders"][0]["source"], "{location} by {reader}");
            assert!(seen["flagged"].as_u64().expect("a number") >= flagged);
        }
        assert_eq!(seen["duckdb"]["first"], seen["polars"]["first"]);
        assert_eq!(seen["duckdb"]["in_their_hour"], expected["requests"]);
        assert_eq!(seen["duckdb"]["joined"], expected["detections"]);
        if location == DATASET {
            let answers: Vec<Value> =
                crate::query::documented_answers().into_iter().map(Value::from).collect();
            assert_eq!(seen["duckdb"]["answers"], Value::Array(answers));
        }
        let types = &seen["duckdb"]["types"]["requests"];
        for (column, kind) in [
            ("time", "TIMESTAMP WITH TIME ZONE"),
            ("status", "BIGINT"),
            ("path", "VARCHAR"),
            ("flagged", "BOOLEAN"),
            ("date", "DATE"),
            ("hour", "BIGINT"),
        ] {
            assert_eq!(types[column], kind, "{column}");
        }
        let types = &seen["polars"]["types"]["requests"];
        assert_eq!(types["time"], "Datetime(time_unit='ms', time_zone='UTC')");
    }
}
