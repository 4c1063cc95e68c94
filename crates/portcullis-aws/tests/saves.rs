//! Documents and ledgers on S3 are saved over bad connections, each save once.

mod common;

use std::time::Duration;

use fake_aws::{ACCOUNT, FakeAws, Faults};
use portcullis_aws::{Connection, Document, Keys, Options, S3Ledger};
use portcullis_remediation::{Ledger, LedgerStore as _, SaveError, Scope, Target};

use common::lines;

fn fake() -> FakeAws {
    let fake = FakeAws::start(fake_aws::Options::default());
    fake.create_bucket("state");
    fake
}

async fn connection(fake: &FakeAws) -> Connection {
    let keys = Keys { id: "AKIAEXAMPLE".to_owned(), secret: "secret".to_owned() };
    let options = Options {
        region: Some("eu-west-1".to_owned()),
        endpoint_url: Some(fake.url()),
        keys: Some(keys),
        path_style: true,
        ..Options::default()
    };
    Connection::open(&options).await
}

async fn document(fake: &FakeAws) -> Document {
    Document::open("s3://state/history", &connection(fake).await)
}

fn run<Output>(future: impl Future<Output = Output>) -> Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(future)
}

/// Each in three calls in ten.
const KINDS: [(&str, Faults); 4] = [
    ("throttled", Faults { throttle: 300, ..CLEAN }),
    ("broken", Faults { broken: 150, broken_after: 150, ..CLEAN }),
    ("not begun", Faults { reset_before: 300, ..CLEAN }),
    ("not answered", Faults { reset_after: 300, ..CLEAN }),
];

const CLEAN: Faults = Faults {
    throttle: 0,
    broken: 0,
    broken_after: 0,
    reset_before: 0,
    reset_after: 0,
    slow: 0,
    short_body: 0,
    stale_read: 0,
    bit_flip: 0,
    slowness: Duration::ZERO,
};

#[test]
fn saves_get_through_three_failures_in_ten_and_none_takes_itself_for_somebody_else() {
    for (kind, faults) in KINDS {
        let fake = fake();
        fake.set_faults(faults);
        run(async {
            let document = document(&fake).await;
            let mut version = None;
            for number in 0..12 {
                let content = format!("{kind} {number}").into_bytes();
                let saved = document.save(content.clone(), version.as_ref()).await;
                let saved = saved.unwrap_or_else(|error| panic!("{kind} {number}: {error:?}"));
                assert_eq!(fake.object("state", "history"), Some(content.clone()), "{kind}");
                let read = document.load().await.expect("reads get through").expect("it is there");
                assert_eq!(read, (content, saved.clone()), "{kind} {number}");
                version = Some(saved);
            }
        });
        assert!(fake.figures().1 > 0, "{kind}: nothing failed");
    }
}

#[test]
fn of_writers_at_once_over_bad_connections_every_entry_is_there_once() {
    const WRITERS: u32 = 3;
    const ENTRIES: u32 = 6;
    let fake = fake();
    fake.set_faults(Faults {
        throttle: 80,
        broken: 40,
        broken_after: 60,
        reset_before: 40,
        reset_after: 80,
        ..CLEAN
    });
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let fake = &fake;
            scope.spawn(move || run(write_entries(fake, writer, ENTRIES)));
        }
    });
    let text = fake.object("state", "history").expect("it was saved");
    let mut lines: Vec<String> =
        String::from_utf8(text).expect("text").lines().map(str::to_owned).collect();
    lines.sort();
    let expected: Vec<String> =
        (0..WRITERS).flat_map(|w| (0..ENTRIES).map(move |n| format!("{w} {n}"))).collect();
    assert_eq!(lines, expected);
    assert!(fake.figures().1 > 0, "nothing failed");
}

/// Adds entries as every caller adds: to what was read, and after a conflict to what is read
/// then, unless it is there.
async fn write_entries(fake: &FakeAws, writer: u32, entries: u32) {
    let document = document(fake).await;
    for number in 0..entries {
        let entry = format!("{writer} {number}\n");
        loop {
            let stored = document.load().await.expect("reads get through");
            let (mut content, version) = stored.map_or((Vec::new(), None), |(c, v)| (c, Some(v)));
            if String::from_utf8_lossy(&content).contains(&entry) {
                break;
            }
            content.extend_from_slice(entry.as_bytes());
            match document.save(content, version.as_ref()).await {
                Ok(_) => break,
                Err(SaveError::Conflict) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

#[test]
fn what_somebody_else_saved_between_two_tries_is_not_saved_over() {
    let fake = fake();
    run(async {
        let document = document(&fake).await;
        let version = document.save(b"read".to_vec(), None).await.expect("there is none yet");
        fake.set_faults(Faults { throttle: 1_000, ..CLEAN });
        let others = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            fake.put_object("state", "history", b"theirs");
            fake.set_faults(CLEAN);
        };
        let (saved, ()) = tokio::join!(document.save(b"ours".to_vec(), Some(&version)), others);
        assert_eq!(saved, Err(SaveError::Conflict));
        assert_eq!(fake.object("state", "history").as_deref(), Some(&b"theirs"[..]));
        assert!(fake.figures().1 > 0, "nothing failed");
    });
}

#[test]
fn what_is_refused_is_not_tried_again_and_what_fails_always_ends() {
    let fake = fake();
    run(async {
        let missing = Document::open("s3://missing/history", &connection(&fake).await);
        let calls = fake.figures().0;
        let error = missing.save(b"ours".to_vec(), None).await.expect_err("there is no bucket");
        assert!(matches!(&error, SaveError::Refused(text) if text.contains("NoSuchBucket")));
        assert_eq!(fake.figures().0, calls + 1);

        fake.set_faults(Faults { throttle: 1_000, ..CLEAN });
        let error = document(&fake).await.save(b"ours".to_vec(), None).await;
        let error = error.expect_err("every call is throttled");
        assert!(matches!(&error, SaveError::Unknown(text) if text.contains("SlowDown")));
        assert_eq!(fake.object("state", "history"), None);
    });
}

#[test]
fn a_ledger_and_its_account_are_written_over_a_bad_connection() {
    let fake = fake();
    fake.set_faults(Faults { throttle: 150, reset_after: 150, ..CLEAN });
    run(async {
        let store = S3Ledger::new(&connection(&fake).await, "state", "ledger");
        let ledger = Ledger::new(Target::new(ACCOUNT, "eu-west-1", Scope::Regional), "lineage");
        let version = store.save(&ledger, None).await.expect("it gets through");
        assert_eq!(store.load().await, Ok(Some((ledger, version))));
        let lines = lines(8);
        store.append_audit(&lines).await.expect("it gets through");
        let account: String = lines.iter().map(|line| line.to_json() + "\n").collect();
        assert_eq!(store.audit().await, Ok(account));
    });
    assert!(fake.figures().1 > 0, "nothing failed");
}
