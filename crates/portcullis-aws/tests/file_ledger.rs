//! A ledger in a directory: several at once, and after a crash.

mod common;

use std::fs;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use portcullis_aws::FileLedger;
use portcullis_remediation::{Ledger, LedgerStore as _, SaveError, Scope, Target};

use common::lines;

/// Files make nobody wait in the way of a future.
fn run<Output>(future: impl Future<Output = Output>) -> Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("files answer at once"),
    }
}

fn ledger(lineage: &str) -> Ledger {
    Ledger::new(Target::new("111122223333", "eu-west-1", Scope::Regional), lineage)
}

#[test]
fn what_is_saved_is_read_back_and_an_old_version_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = FileLedger::new(directory.path().join("state"));
    assert_eq!(run(store.load()), Ok(None));
    let first = run(store.save(&ledger("one"), None)).expect("there is none yet");
    assert_eq!(run(store.save(&ledger("two"), None)), Err(SaveError::Conflict));
    let second = run(store.save(&ledger("two"), Some(&first))).expect("it is the newest");
    assert_eq!(run(store.save(&ledger("three"), Some(&first))), Err(SaveError::Conflict));
    assert_eq!(run(store.load()), Ok(Some((ledger("two"), second))));
}

#[test]
fn of_eight_who_save_at_once_one_wins_each_round() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = FileLedger::new(directory.path());
    run(store.save(&ledger("start"), None)).expect("there is none yet");
    for round in 0..20 {
        let won = std::thread::scope(|scope| {
            let (_, version) = run(store.load()).expect("it is there").expect("it was saved");
            let threads: Vec<_> = (0..8)
                .map(|number| {
                    let (store, version) = (&store, version.clone());
                    let ours = ledger(&format!("{round} {number}"));
                    scope.spawn(move || run(store.save(&ours, Some(&version))).is_ok())
                })
                .collect();
            let won = threads.into_iter().map(|thread| thread.join().expect("no panic"));
            won.filter(|won| *won).count()
        });
        assert_eq!(won, 1, "round {round}");
    }
}

#[test]
fn lines_are_stored_once_and_half_a_line_is_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = FileLedger::new(directory.path());
    run(store.append_audit(&lines(2))).expect("the disk is there");
    run(store.append_audit(&lines(3))).expect("the disk is there");
    let whole: String = lines(3).iter().map(|line| line.to_json() + "\n").collect();
    assert_eq!(run(store.audit()), Ok(whole.clone()));
    // A crash in the middle of the fourth.
    let path = directory.path().join("audit.jsonl");
    fs::write(&path, format!("{whole}{{\"sequence\":4,\"ti")).expect("the disk is there");
    run(store.append_audit(&lines(4)[3..])).expect("the disk is there");
    let whole: String = lines(4).iter().map(|line| line.to_json() + "\n").collect();
    assert_eq!(run(store.audit()), Ok(whole));
}

#[test]
fn an_account_that_was_cut_off_is_not_written_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = FileLedger::new(directory.path());
    let path = directory.path().join("audit.jsonl");
    let whole: String = lines(3).iter().map(|line| line.to_json() + "\n").collect();
    let first = whole.lines().next().expect("three lines");
    for (left, says) in [(format!("{first}\n"), "ends with line 1"), (String::new(), "is empty")] {
        fs::write(&path, &left).expect("the disk is there");
        let error = run(store.append_audit(&lines(4)[3..])).expect_err("lines are missing");
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.to_string().contains("line 4 is the next"), "{error}");
        assert_eq!(run(store.audit()), Ok(left));
    }
    fs::write(&path, &whole).expect("the disk is there");
    run(store.append_audit(&lines(4)[3..])).expect("it is whole again");
}

#[test]
fn a_crash_before_the_rename_leaves_the_old_ledger() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = FileLedger::new(directory.path());
    let version = run(store.save(&ledger("one"), None)).expect("there is none yet");
    fs::write(directory.path().join("ledger.part"), "{\"schema_ver").expect("the disk is there");
    assert_eq!(run(store.load()), Ok(Some((ledger("one"), version.clone()))));
    run(store.save(&ledger("two"), Some(&version))).expect("it is the newest");
}

#[test]
fn what_is_there_and_no_ledger_is_never_taken_for_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = FileLedger::new(directory.path());
    fs::write(directory.path().join("ledger.json"), "").expect("the disk is there");
    assert!(run(store.load()).is_err());
    assert_eq!(run(store.save(&ledger("one"), None)), Err(SaveError::Conflict));
    assert_eq!(run(store.halted()), Ok(None));
    fs::write(directory.path().join("HALT"), "by hand\n").expect("the disk is there");
    assert_eq!(run(store.halted()), Ok(Some("by hand".to_owned())));
}
