//! The same input gives the same bytes, whatever the threads.

use std::fmt::Write as _;

use crate::support::{Files, Record, attacks, gzip, honest, portcullis, workspace};

/// Objects of very different sizes, some broken, one larger than what may wait for the
/// writer.
fn objects() -> Files {
    let files = Files::new();
    for object in 0..12 {
        let mut text = String::new();
        for n in 0..(object * 97) % 300 {
            let client = format!("198.18.{}.{}", object, n % 250 + 1);
            text += &honest(&client, 2);
            if n % 40 == 0 {
                text += &attacks(&client, 3);
            }
            if n % 100 == 7 {
                let _ = writeln!(text, "not a record {n}");
            }
        }
        if object == 3 {
            text += &honest("198.18.200.1", 30_000);
        }
        let name = format!("logs/{object:02}.gz");
        let bytes = gzip(text.as_bytes());
        let end = if object == 5 { bytes.len() / 2 } else { bytes.len() };
        files.write(&name, &bytes[..end]);
    }
    files.write("logs/12-empty", "");
    files.write("logs/13-other.log", Record::default().line());
    files
}

#[test]
fn every_number_of_threads_gives_the_same_bytes() {
    let files = objects();
    let logs = files.path("logs");
    for command in [
        vec!["scan", "-o", "json"],
        vec!["scan", "-o", "jsonl"],
        vec!["scan", "-o", "table"],
        vec!["decode"],
        vec!["classify"],
        vec!["plan", "-o", "json", "--at", "2025-11-04T12:00:00Z"],
    ] {
        let run = |threads: &str| {
            let mut arguments = command.clone();
            arguments.extend([logs.as_str(), "--threads", threads]);
            portcullis(&arguments).run().expect_code(3)
        };
        let one = run("1");
        assert!(!one.stdout.is_empty());
        for threads in ["2", "8"] {
            let many = run(threads);
            assert!(one.stdout == many.stdout, "{command:?}: {threads} threads differ from 1");
            assert_eq!(one.stderr, many.stderr, "{command:?}");
        }
    }
}

#[test]
fn the_datasets_too_and_run_after_run() {
    if !workspace().join("datasets/firehose").is_dir() {
        eprintln!("not run: datasets/firehose is not there");
        return;
    }
    let run = |threads: &str| {
        let ran =
            portcullis(["scan", "datasets/firehose", "-o", "json", "--threads", threads]).run();
        assert!(matches!(ran.code, Some(0 | 3)), "{}", ran.stderr);
        ran.stdout
    };
    let one = run("1");
    for threads in ["1", "2", "8"] {
        assert!(one == run(threads), "{threads} threads differ");
    }
}

#[test]
fn a_large_object_streams_through_in_little_memory() {
    let files = Files::new();
    // About 140 MB of text, twice: far more than what is allowed below.
    let record = Record::default().line();
    let part = gzip(record.repeat(20_000).as_bytes());
    let object = part.repeat(12);
    let a = files.write("a.gz", &object);
    let b = files.write("b.gz", &object);
    let program = env!("CARGO_BIN_EXE_portcullis");
    let script = format!("ulimit -v 400000 && {program} decode {a} {b} --threads 2 | wc -l");
    let output =
        std::process::Command::new("sh").args(["-c", &script]).output().expect("sh starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "480000", "{stderr}");
}
