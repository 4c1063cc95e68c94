//! What is tried again when a service is busy: how often, after how long, and that it is
//! counted. That nothing is lost by it is in `tests/safety`.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::audit::AuditLine;
use crate::ipset::Sets;
use crate::ledger::Ledger;
use crate::memory::{MemoryIpSets, MemoryLedger};
use crate::store::{ReadError, SaveError, Version, WriteError};
use crate::term::{HOUR_MS, later};
use crate::testing::{cause, ledger, network, now, target};

/// Services that fail so many times before they answer, and a clock that notes every wait.
struct Busy {
    sets: MemoryIpSets,
    store: MemoryLedger,
    loads: Cell<u32>,
    saves: Cell<u32>,
    reads: Cell<u32>,
    appends: Cell<u32>,
    /// What writes of sets are answered with before they are carried out, the last first.
    writes: RefCell<Vec<WriteError>>,
    /// By whom the ledger was saved, and until when it was theirs, at each save.
    saved: RefCell<Vec<(String, Option<Timestamp>)>>,
    /// Calls that were made, those that failed included.
    calls: Cell<u32>,
    /// How long each call takes that fails, and how long all have taken, in milliseconds.
    takes: u64,
    taken: Cell<u64>,
    waits: RefCell<Vec<u64>>,
}

fn fails(left: &Cell<u32>) -> bool {
    let fails = left.get() > 0;
    left.set(left.get().saturating_sub(1));
    fails
}

impl Busy {
    fn new() -> Self {
        Self {
            sets: MemoryIpSets::new(&Sets::empty()),
            store: MemoryLedger::new(&ledger()),
            loads: Cell::new(0),
            saves: Cell::new(0),
            reads: Cell::new(0),
            appends: Cell::new(0),
            writes: RefCell::default(),
            saved: RefCell::default(),
            calls: Cell::new(0),
            takes: 0,
            taken: Cell::new(0),
            waits: RefCell::default(),
        }
    }

    fn apply(&self) -> Result<Applied, ApplyError> {
        let change = Change::Add {
            set: "portcullis-v4".to_owned(),
            network: network("198.18.0.1/32"),
            term_ms: HOUR_MS,
            strikes: 1,
            cause: cause(),
        };
        let none = Changes::none(Kind::Plan, "op-9", &target(), now());
        self.carry_out(&Changes { changes: vec![change], ..none })
    }

    fn carry_out(&self, changes: &Changes) -> Result<Applied, ApplyError> {
        let list = NeverBlock::parse("list", "198.51.100.0/24").expect("a list");
        let target = target();
        let order = Order::new(&target, "tests", Some(&list));
        match pin!(apply(changes, &order, self, self, self))
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(result) => result,
            Poll::Pending => panic!("memory does not make anybody wait"),
        }
    }

    fn passed(&self) -> u64 {
        self.waits.borrow().iter().sum::<u64>() + self.taken.get()
    }

    /// A call fails.
    fn fail(&self) {
        self.calls.set(self.calls.get() + 1);
        self.taken.set(self.taken.get() + self.takes);
    }

    /// Each wait is of the length that its place asks for, bent upwards by at most as much.
    #[track_caller]
    fn waited(&self, times: usize) {
        let waits = self.waits.borrow();
        assert_eq!(waits.len(), times, "{waits:?}");
        for (attempt, wait) in waits.iter().enumerate() {
            let base = [100, 200, 400, 800, 1_600][attempt.min(4)];
            assert!((base..2 * base).contains(wait), "{waits:?}");
        }
    }
}

impl IpSets for Busy {
    async fn read(&self, name: &str) -> Result<IpSet, ReadError> {
        if fails(&self.reads) {
            self.fail();
            return Err(ReadError::Temporary("slow down".to_owned()));
        }
        self.sets.read(name).await
    }

    async fn write(&self, set: &IpSet) -> Result<(), WriteError> {
        let error = self.writes.borrow_mut().pop();
        match error {
            Some(error) => {
                self.fail();
                Err(error)
            }
            None => self.sets.write(set).await,
        }
    }
}

impl LedgerStore for Busy {
    async fn load(&self) -> Result<Option<(Ledger, Version)>, StoreError> {
        if fails(&self.loads) {
            self.fail();
            return Err(StoreError("slow down".to_owned()));
        }
        self.store.load().await
    }

    async fn save(
        &self,
        ledger: &Ledger,
        replaces: Option<&Version>,
    ) -> Result<Version, SaveError> {
        if fails(&self.saves) {
            self.fail();
            return Err(SaveError::Unknown("no answer".to_owned()));
        }
        let lease = ledger.lease().map(|lease| lease.expires);
        self.saved.borrow_mut().push((ledger.written_by.clone(), lease));
        self.store.save(ledger, replaces).await
    }

    async fn append_audit(&self, lines: &[AuditLine]) -> Result<(), StoreError> {
        if fails(&self.appends) {
            return Err(StoreError("the disk is full".to_owned()));
        }
        self.store.append_audit(lines).await
    }

    async fn audit(&self) -> Result<String, StoreError> {
        self.store.audit().await
    }

    async fn halted(&self) -> Result<Option<String>, StoreError> {
        self.store.halted().await
    }
}

impl Clock for Busy {
    fn now(&self) -> Timestamp {
        later(now(), self.passed().cast_signed())
    }

    async fn wait(&self, milliseconds: u64) {
        self.waits.borrow_mut().push(milliseconds);
    }
}

/// Three troubles are counted and waited out; too many are an error after eleven tries, or
/// ten saves.
#[track_caller]
fn check(which: impl Fn(&Busy) -> &Cell<u32>, most_tries: u32) {
    let busy = Busy::new();
    which(&busy).set(3);
    let applied = busy.apply().expect("it answers the fourth time");
    assert_eq!((applied.troubles, busy.calls.get()), (3, 3));
    busy.waited(3);
    let busy = Busy::new();
    which(&busy).set(most_tries);
    busy.apply().expect_err("it never answers");
    assert!(busy.waits.borrow().len() >= 10, "{:?}", busy.waits);
}

#[test]
fn a_ledger_that_cannot_be_read_is_read_again_after_growing_waits() {
    check(|busy| &busy.loads, 11);
}

#[test]
fn a_set_that_cannot_be_read_is_read_again_after_growing_waits() {
    check(|busy| &busy.reads, 11);
}

#[test]
fn a_save_without_an_answer_is_made_again_after_growing_waits() {
    check(|busy| &busy.saves, 10);
}

#[test]
fn an_account_that_cannot_be_written_waits_in_the_ledger() {
    let busy = Busy::new();
    busy.appends.set(u32::MAX);
    let applied = busy.apply().expect("the block matters more than its account");
    assert!(applied.audit_unsent.is_some());
    let waiting = busy.store.get().expect("it is there").unsent().to_vec();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].network, Some(network("198.18.0.1/32")));

    busy.appends.set(0);
    let nothing = Changes::none(Kind::Plan, "op-10", &target(), now());
    let applied = busy.carry_out(&nothing).expect("nothing is in the way");
    assert!(applied.audit_unsent.is_none());
    assert!(busy.store.get().expect("it is there").unsent().is_empty());
    let text = pin!(busy.store.audit()).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(text)) = text else { panic!("memory answers") };
    assert_eq!(text.lines().count(), 1);
}

/// What never answers is given up on within so many seconds, waits and calls together.
#[track_caller]
fn gives_up(takes: u64, prepare: impl Fn(&mut Busy), seconds: std::ops::RangeInclusive<u64>) {
    let mut busy = Busy::new();
    busy.takes = takes;
    prepare(&mut busy);
    busy.apply().expect_err("no answer, ever");
    assert!(seconds.contains(&(busy.passed() / 1_000)), "{} ms, {:?}", busy.passed(), busy.waits);
}

#[test]
fn whatever_never_answers_is_given_up_on_in_time_however_long_each_call_takes() {
    let writes = |busy: &mut Busy| {
        busy.writes.replace((0..100).map(|_| unanswered()).collect());
    };
    // At once, after ten seconds each, and after ten tries of its own each.
    for (takes, seconds) in [(0, 10..=30), (10_000, 30..=45), (16_000, 30..=50)] {
        gives_up(takes, writes, seconds.clone());
        gives_up(takes, |busy| busy.loads.set(u32::MAX), seconds.clone());
        gives_up(takes, |busy| busy.saves.set(u32::MAX), seconds.clone());
        gives_up(takes, |busy| busy.reads.set(u32::MAX), seconds);
    }
}

fn throttled() -> WriteError {
    WriteError::Busy("slow down".to_owned())
}

fn unanswered() -> WriteError {
    WriteError::Unknown("no answer".to_owned())
}

#[test]
fn a_write_is_made_again_and_what_was_in_its_way_is_counted() {
    let busy = Busy::new();
    busy.writes.replace(vec![unanswered(), WriteError::Stale, throttled()]);
    let applied = busy.apply().expect("the fourth is carried out");
    assert_eq!((applied.troubles, applied.conflicts), (2, 1));
    let waits = busy.waits.borrow();
    assert!(waits.len() == 3 && waits.is_sorted(), "{waits:?}");
}

#[test]
fn settling_what_was_begun_is_counted_too_and_books_no_addition_that_never_arrived() {
    let busy = Busy::new();
    busy.writes.replace((0..100).map(|_| unanswered()).collect());
    busy.apply().expect_err("no answer, ever");
    let begun = busy.store.get().expect("it is there");
    assert!(begun.intent().is_some());

    busy.waits.borrow_mut().clear();
    busy.writes.replace(vec![throttled(), unanswered()]);
    let nothing = Changes::none(Kind::Plan, "op-10", &target(), now());
    let applied = busy.carry_out(&nothing).expect("the third is carried out");
    assert_eq!((applied.troubles, applied.recovered.len()), (2, 0));
    let ledger = busy.store.get().expect("it is there");
    assert_eq!((ledger.intent(), ledger.added.len()), (None, 0));
}

#[test]
fn two_who_are_in_each_others_way_do_not_wait_equally_long() {
    let waits = ["op-10", "op-11"].map(|operation| {
        let busy = Busy::new();
        busy.loads.set(1);
        let nothing = Changes::none(Kind::Plan, operation, &target(), now());
        busy.carry_out(&nothing).expect("it answers the second time");
        busy.waited(1);
        busy.waits.take()
    });
    assert_ne!(waits[0], waits[1]);
}

#[test]
fn each_save_has_a_name_of_its_own_and_leases_the_sets_for_five_minutes() {
    let busy = Busy::new();
    busy.apply().expect("nothing is in the way");
    let saved = busy.saved.borrow();
    let mut names: Vec<_> = saved.iter().map(|(name, _)| name).collect();
    names.dedup();
    assert!(names.len() > 1 && names.len() == saved.len(), "{saved:?}");
    let leases: Vec<_> = saved.iter().filter_map(|(_, expires)| *expires).collect();
    assert!(!leases.is_empty());
    assert!(leases.iter().all(|expires| *expires == later(now(), 5 * 60_000)), "{leases:?}");
}
