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

#[test]
fn one_large_file_is_scanned_in_parts_and_the_bytes_are_the_same() {
    const FORMAT: &str = "$context.identity.sourceIp [$context.requestTime] \
        \"$context.httpMethod $context.path $context.protocol\" $context.status \
        $context.responseLength $context.extendedRequestId";
    let line = |number: usize| {
        let path = match number % 97 {
            0 => "/etc/passwd?f=../../../../etc/passwd".to_owned(),
            1 => format!("/.env{number}"),
            _ => format!("/pets/{}", number.wrapping_mul(2_654_435_761) % 1_000_003),
        };
        format!(
            "198.18.{}.{} [04/Nov/2025:{:02}:{:02}:07 +0000] \"GET {path} HTTP/1.1\" {} {} {:011x}=\n",
            number % 7,
            number % 240 + 1,
            10 + number / 30_000,
            number / 500 % 60,
            if number.is_multiple_of(5) { 404 } else { 200 },
            number.wrapping_mul(40_503) % 9_973,
            number.wrapping_mul(0x9e37_79b9_7f4a) & 0xfff_ffff_ffff,
        )
    };
    let mut text = String::new();
    for number in 0..100_000 {
        text += &line(number);
        // Twins near and far, and what is no record.
        if number % 10_007 == 7 {
            text += &line(number);
            text += &line(number / 2);
            text += "not a record\n";
        }
    }
    let files = Files::new();
    let bytes = gzip(text.as_bytes());
    assert!(bytes.len() > 1 << 20 && text.len() > 8 << 20, "{} {}", bytes.len(), text.len());
    let log = files.write("large.gz", &bytes);
    for options in [&["-o", "json"][..], &["-o", "json", "--keep-duplicates"]] {
        let run = |threads: &str| {
            let arguments = ["scan", &log, "--format", FORMAT, "--threads", threads];
            portcullis(arguments.iter().chain(options)).run().expect_code(3)
        };
        let one = run("1");
        let found: serde_json::Value = serde_json::from_slice(&one.stdout).expect("JSON");
        let twins = if options.len() == 2 { 20 } else { 0 };
        assert_eq!(found["coverage"]["duplicates"], twins, "{}", found["coverage"]);
        assert_eq!(found["coverage"]["requests"], 100_020 - twins);
        for threads in ["2", "3", "8"] {
            let many = run(threads);
            assert!(one.stdout == many.stdout, "{options:?}: {threads} threads differ from 1");
            assert_eq!(one.stderr, many.stderr, "{options:?}");
        }
    }
}
