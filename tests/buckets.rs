//! Logs in S3 as a location, read by the real program from a stand-in for S3.

use std::fs;
use std::path::Path;
use std::time::Duration;

use fake_aws::{FakeAws, Faults, Options};

use crate::support::{Files, Ran, Record, attacks, gzip, honest, portcullis, sources, workspace};
use crate::target::with_dummy_credentials;

/// A bucket with these objects.
fn bucket<'o>(objects: impl IntoIterator<Item = (&'o str, Vec<u8>)>) -> FakeAws {
    let fake = FakeAws::start(Options { page_size: 5, ..Options::default() });
    fake.create_bucket("logs");
    for (key, content) in objects {
        fake.put_object("logs", key, &content);
    }
    fake
}

fn run(fake: &FakeAws, arguments: &[&str]) -> Ran {
    with_dummy_credentials(portcullis(arguments))
        .env("PORTCULLIS_REGION", "eu-west-1")
        .env("PORTCULLIS_ENDPOINT_URL", &fake.url())
        .run()
}

/// Every file of a tree with its path below it.
fn tree(root: &Path, below: &str, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(root.join(below)).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = format!("{below}{}", entry.file_name().to_str().expect("UTF-8"));
        if entry.file_type().expect("a type").is_dir() {
            tree(root, &format!("{name}/"), files);
        } else {
            files.push((name, fs::read(entry.path()).expect("a file")));
        }
    }
}

/// The shipped dataset, in a bucket and on disk.
fn dataset() -> (FakeAws, String) {
    let root = workspace().join("datasets/firehose/recommended");
    let mut files = Vec::new();
    tree(&root, "", &mut files);
    assert!(files.len() > 10, "the dataset has objects");
    let fake = bucket(files.iter().map(|(key, content)| (key.as_str(), content.clone())));
    (fake, root.to_str().expect("UTF-8").to_owned())
}

/// Findings without the names of objects.
fn renamed(ran: &Ran, root: &str) -> String {
    ran.text().replace(root, "").replace("s3://logs/", "/")
}

#[test]
fn a_bucket_gives_the_findings_of_its_objects_on_disk() {
    let (fake, root) = dataset();
    let there = run(&fake, &["scan", "s3://logs/", "-o", "json"]).expect_code(0);
    let here = portcullis(["scan", &root, "-o", "json"]).run().expect_code(0);
    assert!(!sources(&there.json()).is_empty());
    assert_eq!(renamed(&there, "s3://logs"), renamed(&here, &root));
}

#[test]
fn a_bad_network_changes_nothing_of_the_findings() {
    let (fake, root) = dataset();
    fake.set_faults(Faults {
        throttle: 300,
        reset_before: 40,
        reset_after: 40,
        short_body: 100,
        slow: 50,
        slowness: Duration::from_millis(20),
        ..Faults::default()
    });
    let there = run(&fake, &["scan", "s3://logs/", "-o", "json"]).expect_code(0);
    let here = portcullis(["scan", &root, "-o", "json"]).run().expect_code(0);
    assert_eq!(renamed(&there, "s3://logs"), renamed(&here, &root));
    let (calls, injected) = fake.figures();
    assert!(injected * 4 > calls, "{injected} of {calls}");
}

#[test]
fn a_span_leaves_requests_and_objects_outside_alone() {
    let day = |key: &str| format!("api/2025/11/{key}/09/s-1-2025-11-{key}-09-00-00-x");
    let attack = Record { epoch_ms: 1_762_000_000_000, ..Record::default() };
    let old = attack.line();
    let fake = bucket([
        (day("01").as_str(), gzip(old.as_bytes())),
        (
            day("04").as_str(),
            gzip((honest("198.51.100.7", 5) + &attacks("203.0.113.9", 20)).as_bytes()),
        ),
    ]);
    fake.date_object("logs", &day("01"), 1_762_000_000);
    let bounds = ["--from", "2025-11-04T09:12:00Z", "--to", "2025-11-04T09:12:10Z"];
    let arguments = [&["scan", "s3://logs/api/", "-o", "json"][..], &bounds].concat();
    let ran = run(&fake, &arguments).expect_code(0);
    let scan = ran.json();
    assert_eq!(scan["coverage"]["objects"], 1);
    // Ten attacks, one a second, and the honest requests of the first and the eighth second.
    assert_eq!(scan["coverage"]["requests"], 12);
    assert_eq!(scan["coverage"]["requests_outside_span"], 13);
    assert_eq!(sources(&scan), ["203.0.113.9"]);
    assert!(ran.stderr.contains("left out"), "{}", ran.stderr);
}

#[test]
fn a_span_holds_for_files_too() {
    let files = Files::new();
    let log = files.write("a.log", attacks("203.0.113.9", 20));
    let scan = |options: &[&str]| {
        let arguments = [&["scan", log.as_str(), "-o", "json"][..], options].concat();
        portcullis(arguments).run().expect_code(0).json()["coverage"]["requests"].clone()
    };
    assert_eq!(scan(&[]), 20);
    assert_eq!(scan(&["--from", "2025-11-04T09:12:15Z"]), 5);
    assert_eq!(scan(&["--to", "2025-11-04T09:12:15Z", "--since", "5s"]), 5);
    assert_eq!(scan(&["--since", "1h"]), 0);
}

#[test]
fn what_cannot_be_listed_is_named_with_its_fix() {
    let fake = bucket([]);
    let ran = run(&fake, &["scan", "s3://elsewhere/api/"]).expect_code(1);
    assert!(ran.stderr.contains("failed to list `s3://elsewhere/api/`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("check the bucket's name"), "{}", ran.stderr);
    let ran = run(&fake, &["scan", "s3://a b/"]).expect_code(1);
    assert!(ran.stderr.contains("it is no s3://BUCKET/PREFIX"), "{}", ran.stderr);
}

#[test]
fn the_same_object_named_twice_is_read_once() {
    let fake = bucket([("api/a", gzip(attacks("203.0.113.9", 3).as_bytes()))]);
    let ran = run(&fake, &["scan", "s3://logs/api/", "s3://logs/", "-o", "json"]).expect_code(0);
    assert_eq!(ran.json()["coverage"]["requests"], 3);
}

#[test]
fn a_page_of_keys_is_one_call_and_an_object_is_another() {
    let fake = FakeAws::start(Options { page_size: 1_000, ..Options::default() });
    fake.create_bucket("logs");
    let (keys, read) = (12_000, 40);
    for n in 0..keys {
        let (key, content) = (format!("api/{n:05}.gz"), honest("198.51.100.7", 1));
        fake.put_object("logs", &key, &gzip(content.as_bytes()));
        if n >= read {
            // Written two months before the traffic.
            fake.date_object("logs", &key, 1_757_000_000);
        }
    }
    let scan = ["scan", "s3://logs/api/", "--from", "2025-11-04T09:00:00Z", "-o", "json"];
    let scan = run(&fake, &[&scan[..], &["--keep-duplicates"]].concat()).expect_code(0).json();
    assert_eq!(scan["coverage"]["requests"], read);
    let calls: Vec<(String, u64)> = fake.take_calls().into_iter().collect();
    let expected = [("s3:GetObject".to_owned(), read), ("s3:ListBucket".to_owned(), keys / 1_000)];
    assert_eq!(calls, expected);
}
