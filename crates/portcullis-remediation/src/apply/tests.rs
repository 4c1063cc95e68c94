//! What is refused, and what is left behind by a refusal. What faults and other writers
//! do is in `tests/safety`.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::brake::Brake;
use crate::changes::SetBase;
use crate::ipset::{Family, Sets};
use crate::ledger::{Ledger, LedgerStamp, Override, Past};
use crate::memory::{MemoryIpSets, MemoryLedger};
use crate::term::{HOUR_MS, later};
use crate::testing::{cause, entry, ledger, network, now, target};

pub(super) const SOURCE: &str = "198.18.0.1/32";

pub(super) struct Standing(pub(super) Cell<Timestamp>);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        self.0.get()
    }

    async fn wait(&self, milliseconds: u64) {
        self.0.set(later(self.0.get(), milliseconds.cast_signed()));
    }
}

pub(super) fn at_once<Output>(future: impl Future<Output = Output>) -> Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("memory does not make anybody wait"),
    }
}

pub(super) fn add(source: &str) -> Change {
    Change::Add {
        set: "portcullis-v4".to_owned(),
        network: network(source),
        term_ms: HOUR_MS,
        strikes: 1,
        cause: cause(),
    }
}

pub(super) fn changes(changes: Vec<Change>) -> Changes {
    Changes { changes, ..Changes::none(Kind::Plan, "op-9", &target(), now()) }
}

/// The default sets, a ledger, and somebody who applies.
pub(super) struct Bench {
    pub(super) sets: MemoryIpSets,
    pub(super) store: MemoryLedger,
}

impl Bench {
    pub(super) fn new(ledger: &Ledger) -> Self {
        let mut sets: Vec<IpSet> = Sets::empty().iter().cloned().collect();
        for network in ledger.entries().keys() {
            sets[0].insert(*network).expect("a valid entry");
        }
        let sets = Sets::new(sets).expect("two names");
        Self { sets: MemoryIpSets::new(&sets), store: MemoryLedger::new(ledger) }
    }

    pub(super) fn apply(
        &self,
        changes: &Changes,
        change_order: impl FnOnce(&mut Order<'_>),
    ) -> Result<Applied, ApplyError> {
        let list = NeverBlock::parse("list", "198.51.100.0/24").expect("a list");
        let target = target();
        let mut order = Order::new(&target, "tests", Some(&list));
        change_order(&mut order);
        // The closure may have put in nothing that lives shorter than the list.
        let clock = Standing(Cell::new(now()));
        at_once(apply(changes, &order, &self.sets, &self.store, &clock))
    }

    pub(super) fn v4(&self) -> Vec<String> {
        let set = self.sets.get("portcullis-v4").expect("it is there");
        set.addresses().iter().map(ToString::to_string).collect()
    }

    pub(super) fn ledger(&self) -> Ledger {
        self.store.get().expect("it is there")
    }

    pub(super) fn account(&self) -> Vec<String> {
        let text = at_once(self.store.audit()).expect("memory");
        let lines = crate::verify_audit(&text, self.ledger().audit_head()).expect("it holds");
        lines.into_iter().map(|line| format!("{:?}: {}", line.event, line.reason)).collect()
    }
}

/// The changes are refused with these words, and nothing is left behind.
#[track_caller]
fn refused(changes: &Changes, change_order: impl FnOnce(&mut Order<'_>), expected: &str) {
    let bench = Bench::new(&ledger());
    let error = bench.apply(changes, change_order).expect_err("it is refused").to_string();
    assert!(error.starts_with(expected), "{error}");
    assert_eq!(bench.v4(), [""; 0]);
    let ledger = bench.ledger();
    assert_eq!((ledger.entries().len(), ledger.lease(), ledger.intent()), (0, None, None));
}

#[test]
fn what_was_not_approved_is_refused() {
    let changes = changes(vec![add(SOURCE)]);
    let hash = changes.sha256();
    refused(&changes, |order| order.expected_sha256 = Some("11"), "the plan has the hash ");
    let read = |order: &mut Order<'_>| {
        order.plan_sha256 = Some("22");
        order.expected_sha256 = Some("11");
    };
    refused(&changes, read, "the plan has the hash 22, and 11 was approved");
    let bench = Bench::new(&ledger());
    let target = target();
    let list = NeverBlock::parse("list", "198.51.100.0/24").expect("a list");
    let order = Order { expected_sha256: Some(&hash), ..Order::new(&target, "tests", Some(&list)) };
    let clock = Standing(Cell::new(now()));
    at_once(apply(&changes, &order, &bench.sets, &bench.store, &clock)).expect("it was approved");
}

/// Sets that block, and one of canaries.
static NAMES: LazyLock<[String; 3]> =
    LazyLock::new(|| ["portcullis-v4", "portcullis-v6", "canary-v4"].map(str::to_owned));

#[test]
fn a_plan_for_other_sets_than_those_of_the_target_is_refused() {
    let base = ["portcullis-v4", "portcullis-v6"].map(|set| SetBase {
        set: set.to_owned(),
        family: if set.ends_with('4') { Family::V4 } else { Family::V6 },
        sha256: IpSet::new(set, Family::V4).expect("a name").digest(),
    });
    let planned = Changes { base: base.to_vec(), ..changes(vec![add(SOURCE)]) };
    let expected = "the plan is for `portcullis-v4`, `portcullis-v6`, and the target's sets are \
                    `canary-v4`";
    refused(&planned, |order| order.sets = Some(&NAMES[2..]), expected);
    // One set of the two, or one more, is another target too.
    refused(&planned, |order| order.sets = Some(&NAMES[..1]), "the plan is for ");
    refused(&planned, |order| order.sets = Some(&NAMES[..]), "the plan is for ");
    let bench = Bench::new(&ledger());
    bench.apply(&planned, |order| order.sets = Some(&NAMES[..2])).expect("the target's own sets");
    assert_eq!(bench.v4(), [SOURCE]);
    // What was made from no sets may use any of the target's, and no others.
    let promoted = changes(vec![add(SOURCE)]);
    refused(&promoted, |order| order.sets = Some(&NAMES[2..]), "the plan is for `portcullis-v4`");
    let bench = Bench::new(&ledger());
    bench.apply(&promoted, |order| order.sets = Some(&NAMES[..2])).expect("one of the sets");
}

#[test]
fn what_the_set_cannot_hold_or_has_not_come_is_refused_as_what_it_is() {
    let wrong = changes(vec![add("2001:db8:1:2::/64")]);
    let expected = "2001:db8:1:2::/64 cannot be in the set `portcullis-v4`, which holds IPv4";
    refused(&wrong, |_| {}, expected);
    let at = later(now(), 6 * 60_000);
    let early =
        Changes { created_at: at, not_after: later(at, HOUR_MS), ..changes(vec![add(SOURCE)]) };
    refused(&early, |_| {}, "the plan was made at 2025-11-04T09:18:00.000Z, and it is 2025-11-04");
}

#[test]
fn what_is_old_or_meant_for_others_is_refused() {
    let good = changes(vec![add(SOURCE)]);
    let old = Changes { not_after: now(), ..good.clone() };
    refused(&old, |_| {}, "the plan was good until 2025-11-04T09:12:00.000Z, and it is");
    let other = Target::new("444455556666", "eu-west-1", target().scope());
    let theirs = Changes { target: other, ..good.clone() };
    let expected = "the plan is for 444455556666/eu-west-1/REGIONAL, and this is 111122223333/";
    refused(&theirs, |_| {}, expected);
    let stamp = LedgerStamp { lineage: "lineage-1".to_owned(), serial: 7 };
    let moved = Changes { ledger: Some(stamp), ..good.clone() };
    refused(&moved, |_| {}, "the ledger has moved from 7 to 0 since the plan was made");
    let base = SetBase {
        set: "portcullis-v4".to_owned(),
        family: Family::V4,
        sha256: "another".to_owned(),
    };
    let changed = Changes { base: vec![base], ..good };
    refused(&changed, |_| {}, "set `portcullis-v4` has changed since the plan was made");
    let bench = Bench::new(&ledger());
    bench.apply(&changed, |order| order.allow_moved_base = true).expect("it is allowed");
    assert_eq!(bench.v4(), [SOURCE]);
}

#[test]
fn a_brake_stops_the_run_until_a_person_releases_it() {
    let sources: Vec<_> = (0..11).map(|number| add(&format!("198.18.0.{number}/32"))).collect();
    let many = changes(sources);
    refused(&many, |_| {}, "brake change-share: 11 changes to 0 entries, limit 10");
    let overrides =
        [BrakeOverride { brake: Brake::ChangeShare, reason: "seen by two of us".to_owned() }];
    let bench = Bench::new(&ledger());
    let target = target();
    let list = NeverBlock::parse("list", "198.51.100.0/24").expect("a list");
    let clock = Standing(Cell::new(now()));
    let mut order = Order::new(&target, "tests", Some(&list));
    order.overrides = &overrides;
    let error = at_once(apply(&many, &order, &bench.sets, &bench.store, &clock));
    let error = error.expect_err("nobody is there").to_string();
    assert_eq!(error, "brake change-share cannot be released in an unattended run");
    order.is_attended = true;
    at_once(apply(&many, &order, &bench.sets, &bench.store, &clock)).expect("it is released");
    assert_eq!(bench.v4().len(), 11);
    let told = bench.account();
    assert!(told[0].starts_with("Release: brake change-share: 11 changes"), "{told:?}");
    assert!(told[0].ends_with("released: seen by two of us"), "{told:?}");
    assert_eq!(told.len(), 12);
}

#[test]
fn the_kill_switch_stops_even_what_only_takes_out() {
    let mut owning = ledger();
    owning.entries.insert(network(SOURCE), entry("op-1"));
    let bench = Bench::new(&owning);
    bench.store.halt(Some("by hand"));
    let release = Changes::release_all(&owning, "op-9", now());
    let error = bench.apply(&release, |_| {}).expect_err("it is pulled").to_string();
    assert_eq!(error, "brake halt: the kill switch is pulled: by hand");
    assert_eq!(bench.v4(), [SOURCE]);
    bench.store.halt(None);
    bench.apply(&release, |_| {}).expect("it is let go");
    assert_eq!(bench.v4(), [""; 0]);
}

#[test]
fn taking_out_many_before_their_time_is_braked_unless_all_are_given_up() {
    let mut owning = ledger();
    for number in 0..11 {
        owning.entries.insert(network(&format!("198.18.0.{number}/32")), entry("op-1"));
    }
    let bench = Bench::new(&owning);
    let back = Changes::rollback(&owning, "op-1", "op-9", now());
    let error = bench.apply(&back, |_| {}).expect_err("the limit is ten").to_string();
    let expected = "brake removals: 11 removals before their time from 11 entries, limit 10";
    assert!(error.contains(expected), "{error}");
    assert_eq!(bench.v4().len(), 11);
    let all = Changes::release_all(&owning, "op-9", now());
    bench.apply(&all, |_| {}).expect("whoever gives everything up means everything");
    assert_eq!(bench.v4(), [""; 0]);
}

#[test]
fn somebody_elses_lease_is_respected_until_it_ends_or_is_taken() {
    let mut leased = ledger();
    let expires = later(now(), 1);
    let lease =
        crate::ledger::Lease { who: "another".to_owned(), operation: "op-1".to_owned(), expires };
    leased.lease = Some(lease);
    let bench = Bench::new(&leased);
    let changes = changes(vec![add(SOURCE)]);
    let error = bench.apply(&changes, |_| {}).expect_err("it is leased").to_string();
    assert_eq!(
        error,
        "another is changing the sets (operation op-1) and has until 2025-11-04T09:12:00.001Z"
    );
    bench.apply(&changes, |order| order.takes_lease = true).expect("it is taken");
    leased.lease.as_mut().expect("it is there").expires = now();
    let bench = Bench::new(&leased);
    bench.apply(&changes, |_| {}).expect("it has ended");
}

#[test]
fn carrying_out_twice_is_carrying_out_once() {
    let bench = Bench::new(&ledger());
    let mut once = changes(vec![add(SOURCE)]);
    once.ledger = Some(ledger().stamp());
    bench.apply(&once, |_| {}).expect("nothing is in the way");
    let (set, entries) = (bench.sets.get("portcullis-v4"), bench.ledger().entries().clone());
    let (writes, told) = (bench.sets.writes(), bench.account());
    let again = bench.apply(&once, |_| {}).expect("it is the same operation");
    assert_eq!(again.done[0].1, Done::AlreadyOurs);
    assert_eq!((bench.sets.get("portcullis-v4"), bench.ledger().entries()), (set, &entries));
    assert_eq!((bench.sets.writes(), bench.account()), (writes, told));
}

#[test]
fn an_entry_that_was_renewed_in_between_is_not_due() {
    let mut owning = ledger();
    owning.entries.insert(network(SOURCE), entry("op-1"));
    let bench = Bench::new(&owning);
    let late = Changes::expire(&owning, None, "op-9", later(now(), HOUR_MS));
    let mut early = late.clone();
    early.not_after = later(now(), HOUR_MS);
    let applied = bench.apply(&early, |_| {}).expect("nothing is in the way");
    assert_eq!(applied.done[0].1, Done::NotDue);
    assert_eq!(bench.v4(), [SOURCE]);
}

#[test]
fn what_a_person_took_out_is_not_put_back_and_what_he_put_in_is_not_ours() {
    let mut owning = ledger();
    owning.entries.insert(network(SOURCE), entry("op-1"));
    let bench = Bench::new(&owning);
    let mut theirs = bench.sets.get("portcullis-v4").expect("it is there");
    theirs.remove(&network(SOURCE));
    theirs.insert(network("198.18.0.2/32")).expect("a valid entry");
    at_once(bench.sets.write(&theirs)).expect("the token is new");

    let both = changes(vec![add(SOURCE), add("198.18.0.2/32")]);
    let applied = bench.apply(&both, |_| {}).expect("nothing is in the way");
    assert_eq!(applied.overridden, [network(SOURCE)]);
    let done: Vec<_> = applied.done.iter().map(|(_, done)| done.clone()).collect();
    assert_eq!(done, [Done::Overridden, Done::AlreadyThere(network("198.18.0.2/32"))]);
    assert_eq!(bench.v4(), ["198.18.0.2/32"]);
    assert!(bench.ledger().entries().is_empty());
    assert!(bench.ledger().override_of(network(SOURCE), now()).is_some());
    assert_eq!(bench.account(), ["Override: somebody else took it out of the set"]);
}

#[test]
fn a_pardon_forgets_what_is_over_without_touching_a_set() {
    let mut quiet = ledger();
    quiet.past.insert(network(SOURCE), Past { strikes: 3, ended: now() });
    let bench = Bench::new(&quiet);
    let writes = bench.sets.writes();
    let pardon = Changes::pardon(&quiet, network(SOURCE), "op-9", now());
    let applied = bench.apply(&pardon, |_| {}).expect("nothing is in the way");
    assert_eq!(applied.done[0].1, Done::Forgiven);
    assert_eq!((bench.sets.writes(), bench.ledger().strikes(network(SOURCE), now())), (writes, 0));
    assert_eq!(bench.account(), ["Pardon: its strikes were forgotten"]);
    let Override { until, .. } = bench.ledger().overrides()[&network(SOURCE)].clone();
    assert_eq!(until, later(now(), 7 * 24 * HOUR_MS));
    assert_eq!(bench.ledger().stamp().serial, quiet.stamp().serial + 1);
}

#[test]
fn a_pardon_keeps_out_whom_nothing_was_held_against() {
    let bench = Bench::new(&ledger());
    let pardon = Changes::pardon(&ledger(), network(SOURCE), "op-8", now());
    for _ in 0..2 {
        let applied = bench.apply(&pardon, |_| {}).expect("nothing is in the way");
        assert_eq!(applied.done[0].1, Done::Forgiven);
        assert_eq!(bench.account(), ["Pardon: it is kept out"]);
    }
    let applied = bench.apply(&changes(vec![add(SOURCE)]), |_| {}).expect("nothing is in the way");
    assert_eq!(applied.done[0].1, Done::Overridden);
    assert_eq!(bench.v4(), [""; 0]);
}

#[test]
fn a_failed_run_is_counted_and_the_third_stops_additions_until_something_is_written() {
    let mut owning = ledger();
    let over = crate::ledger::Entry { expires: now(), ..entry("op-1") };
    owning.entries.insert(network("198.18.0.2/32"), over);
    let bench = Bench::new(&owning);
    let mut wrong = changes(vec![add(SOURCE)]);
    if let Change::Add { set, .. } = &mut wrong.changes[0] {
        "missing".clone_into(set);
    }
    let nothing = Changes::expire(&ledger(), None, "op-7", now());
    for failed in 1..=3 {
        // The schedule of `expire`, and the first thing that `run` does.
        bench.apply(&nothing, |_| {}).expect("there is nothing to do");
        let error = bench.apply(&wrong, |_| {}).expect_err("there is no such set").to_string();
        assert_eq!(error, "failed to read set `missing`: there is no IP set `missing`");
        assert_eq!(bench.ledger().failed_runs(), failed);
    }
    bench.apply(&nothing, |_| {}).expect("there is nothing to do");
    let idle = changes(vec![add("198.51.100.1/32")]);
    let applied = bench.apply(&idle, |_| {}).expect("it is protected");
    assert!(matches!(applied.done[0].1, Done::Protected(_)));
    let good = changes(vec![add(SOURCE)]);
    let error = bench.apply(&good, |_| {}).expect_err("three failed").to_string();
    assert_eq!(error, "brake failing-runs: 3 runs in a row failed, limit 3");
    let expire = Changes::expire(&bench.ledger(), None, "op-8", now());
    bench.apply(&expire, |_| {}).expect("expiry goes on");
    bench.apply(&good, |_| {}).expect("the row has ended");
    assert_eq!(bench.v4(), [SOURCE]);
}

#[test]
fn a_person_who_releases_the_brake_ends_the_row_of_failed_runs() {
    let bench = Bench::new(&Ledger { failed_runs: 3, ..ledger() });
    let overrides =
        [BrakeOverride { brake: Brake::FailingRuns, reason: "the key is back".to_owned() }];
    let target = target();
    let list = NeverBlock::parse("list", "198.51.100.0/24").expect("a list");
    let mut order = Order::new(&target, "tests", Some(&list));
    order.overrides = &overrides;
    order.is_attended = true;
    let clock = Standing(Cell::new(now()));
    let good = changes(vec![add(SOURCE)]);
    at_once(apply(&good, &order, &bench.sets, &bench.store, &clock)).expect("it is released");
    assert_eq!((bench.v4(), bench.ledger().failed_runs()), (vec![SOURCE.to_owned()], 0));
}

#[test]
fn without_its_ledger_an_account_stops_every_run_and_no_new_ledger_is_written() {
    let mut bench = Bench::new(&ledger());
    let block = changes(vec![add(SOURCE)]);
    bench.apply(&block, |_| {}).expect("nothing is in the way");
    let text = at_once(bench.store.audit()).expect("memory");
    let account: Vec<_> = text.lines().filter_map(crate::AuditLine::from_json).collect();
    let owning = bench.ledger();
    bench.store = MemoryLedger::default();
    at_once(bench.store.append_audit(&account)).expect("memory");

    let release = Changes::release_all(&owning, "op-10", now());
    let expire = Changes::expire(&ledger(), None, "op-11", now());
    for changes in [&block, &release, &expire] {
        assert_eq!(bench.apply(changes, |_| {}), Err(ApplyError::LedgerLost));
        assert_eq!((bench.store.get(), bench.v4()), (None, vec![SOURCE.to_owned()]));
    }

    let sets = Sets::new(vec![bench.sets.get("portcullis-v4").expect("it is there")]);
    let sets = sets.expect("one set");
    let rebuilt = Ledger::rebuild(&target(), "lineage-2", &text, &[], &sets, now());
    let rebuilt = rebuilt.expect("it fits").ledger;
    at_once(bench.store.save(&rebuilt, None)).expect("there is none");
    let expire = Changes::expire(&rebuilt, None, "op-12", now());
    bench.apply(&expire, |_| {}).expect("it is there again");
    assert_eq!(bench.v4(), [""; 0]);
}

/// Sets that show an old value first, or of which answers are lost.
struct Unreliable<'bench> {
    sets: &'bench MemoryIpSets,
    /// Shown by a read instead of what is there, after so many others.
    old: Cell<Option<(u32, IpSet)>>,
    /// Whether writes are kept back and not answered.
    keeps_back: bool,
    kept_back: std::cell::RefCell<Vec<IpSet>>,
}

impl<'bench> Unreliable<'bench> {
    fn of(bench: &'bench Bench, old: Option<(u32, IpSet)>, keeps_back: bool) -> Self {
        let kept_back = std::cell::RefCell::default();
        Self { sets: &bench.sets, old: Cell::new(old), keeps_back, kept_back }
    }

    fn apply(&self, bench: &Bench, changes: &Changes) -> Result<Applied, ApplyError> {
        let target = target();
        let list = NeverBlock::parse("list", "198.51.100.0/24").expect("a list");
        let order = Order::new(&target, "tests", Some(&list));
        at_once(apply(changes, &order, self, &bench.store, &Standing(Cell::new(now()))))
    }
}

impl IpSets for Unreliable<'_> {
    async fn read(&self, name: &str) -> Result<IpSet, crate::store::ReadError> {
        match self.old.take() {
            Some((0, old)) => return Ok(old),
            Some((others, old)) => self.old.set(Some((others - 1, old))),
            None => {}
        }
        self.sets.read(name).await
    }

    async fn write(&self, set: &IpSet) -> Result<(), crate::store::WriteError> {
        if self.keeps_back {
            self.kept_back.borrow_mut().push(set.clone());
            return Err(crate::store::WriteError::Unknown("no answer".to_owned()));
        }
        self.sets.write(set).await
    }
}

#[test]
fn an_old_read_does_not_make_an_entry_somebody_elses() {
    let bench = Bench::new(&ledger());
    let before = bench.sets.get("portcullis-v4").expect("it is there");
    bench.apply(&changes(vec![add(SOURCE)]), |_| {}).expect("nothing is in the way");
    let sets = Unreliable::of(&bench, Some((0, before)), false);
    // There is nothing to do but to believe the read, or not.
    let idle = Changes { operation: "op-10".to_owned(), ..changes(vec![add(SOURCE)]) };
    let applied = sets.apply(&bench, &idle);
    assert_eq!(applied.expect("it is read again").overridden, []);
    assert!(bench.ledger().entries().contains_key(&network(SOURCE)));
}

#[test]
fn a_write_that_the_next_read_does_not_show_is_told() {
    let bench = Bench::new(&ledger());
    let before = bench.sets.get("portcullis-v4").expect("it is there");
    let sets = Unreliable::of(&bench, Some((1, before)), false);
    let block = changes(vec![add(SOURCE)]);
    let applied = sets.apply(&bench, &block);
    assert_eq!(applied.expect("it was written").unconfirmed, ["portcullis-v4"]);
    assert_eq!(bench.v4(), [SOURCE]);

    let another = Changes { operation: "op-10".to_owned(), ..changes(vec![add("198.18.0.2/32")]) };
    let applied = sets.apply(&bench, &another);
    assert_eq!(applied.expect("nothing is in the way").unconfirmed, [""; 0]);
}

#[test]
fn a_write_that_may_still_arrive_is_not_forgotten() {
    let bench = Bench::new(&ledger());
    let sets = Unreliable::of(&bench, None, true);
    let block = changes(vec![add(SOURCE)]);
    sets.apply(&bench, &block).expect_err("no answer, ever");
    assert!(bench.ledger().intent().is_some());
    // It arrives after everybody gave up, and the next run finds whose it is.
    let late = sets.kept_back.borrow()[0].clone();
    at_once(bench.sets.write(&late)).expect("its token is still good");
    let nothing = Changes { operation: "op-10".to_owned(), ..changes(Vec::new()) };
    let applied = bench.apply(&nothing, |_| {}).expect("it is settled");
    assert_eq!(applied.recovered, [network(SOURCE)]);
    assert_eq!(bench.ledger().added_within_a_day(now()), 1);
    assert!(bench.ledger().stamp().serial > ledger().stamp().serial);
    assert!(bench.ledger().entries().contains_key(&network(SOURCE)));
    assert_eq!((bench.v4(), bench.ledger().intent()), (vec![SOURCE.to_owned()], None));
    // What arrives later still is too old.
    let later_still = sets.kept_back.borrow()[1].clone();
    assert!(at_once(bench.sets.write(&later_still)).is_err());
}

#[test]
fn what_was_begun_is_given_up_on_after_a_bounded_number_of_tries_and_stays_begun() {
    let bench = Bench::new(&ledger());
    let sets = Unreliable::of(&bench, None, true);
    let block = changes(vec![add(SOURCE)]);
    sets.apply(&bench, &block).expect_err("no answer, ever");
    let nothing = Changes { operation: "op-10".to_owned(), ..changes(Vec::new()) };
    let error = sets.apply(&bench, &nothing);
    let Err(ApplyError::Write { tries, .. }) = error else { panic!("{error:?}") };
    assert!((MAX_TROUBLES..=MAX_CONFLICTS + MAX_TROUBLES + 1).contains(&tries), "{tries}");
    assert!(bench.ledger().intent().is_some());
    assert_eq!(bench.ledger().added_within_a_day(now()), 0);
}

#[test]
fn each_change_is_booked_once_under_its_name() {
    let mut owning = ledger();
    let over = crate::ledger::Entry { expires: now(), ..entry("op-1") };
    owning.entries.insert(network("198.18.0.2/32"), over);
    let bench = Bench::new(&owning);
    let serial = |bench: &Bench| bench.ledger().stamp().serial;
    let before = serial(&bench);
    let block = changes(vec![add(SOURCE), add("198.18.0.3/32")]);
    bench.apply(&block, |_| {}).expect("nothing is in the way");
    assert_eq!(serial(&bench), before + 1);
    assert_eq!(bench.ledger().added_within_a_day(now()), 2);
    let booked = bench.ledger().added.len();

    let pardon = Changes::pardon(&bench.ledger(), network(SOURCE), "op-10", now());
    bench.apply(&pardon, |_| {}).expect("nothing is in the way");
    let expire = Changes::expire(&bench.ledger(), None, "op-11", now());
    bench.apply(&expire, |_| {}).expect("nothing is in the way");
    let back = Changes::rollback(&bench.ledger(), "op-9", "op-12", now());
    bench.apply(&back, |_| {}).expect("nothing is in the way");

    assert_eq!(bench.v4(), [""; 0]);
    assert_eq!(bench.ledger().added.len(), booked, "only additions are booked as such");
    let told = bench.account();
    let events: Vec<_> = told.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(events, ["Add", "Add", "Pardon", "Expire", "Remove"]);
}

#[test]
fn an_entry_is_due_at_its_very_millisecond() {
    let mut owning = ledger();
    let due = crate::ledger::Entry { expires: now(), ..entry("op-1") };
    owning.entries.insert(network(SOURCE), due);
    let bench = Bench::new(&owning);
    let expire = Changes::expire(&owning, None, "op-9", now());
    let applied = bench.apply(&expire, |_| {}).expect("nothing is in the way");
    assert_eq!(applied.done[0].1, Done::Removed);
    assert_eq!(bench.v4(), [""; 0]);
}

#[test]
fn a_plan_from_before_the_first_save_fits_a_ledger_that_has_seen_nothing_and_no_other() {
    let stamp = LedgerStamp { lineage: String::new(), serial: 0 };
    let planned = Changes { ledger: Some(stamp), ..changes(vec![add(SOURCE)]) };
    let bench = Bench::new(&ledger());
    bench.apply(&planned, |_| {}).expect("the ledger has seen nothing yet");
    assert_eq!(bench.v4(), [SOURCE]);
    let bench = Bench::new(&Ledger { serial: 1, ..ledger() });
    let error = bench.apply(&planned, |_| {}).expect_err("somebody was here meanwhile");
    assert!(matches!(error, ApplyError::LedgerMoved { .. }), "{error}");
    assert!(bench.v4().is_empty());
}
