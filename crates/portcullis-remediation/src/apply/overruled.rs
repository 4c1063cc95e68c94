//! What somebody takes out of a set stays out, whichever run is the first to see it.

use std::cell::Cell;

use super::tests::{Bench, SOURCE, add, at_once, changes};
use super::*;
use crate::ipset::Sets;
use crate::ledger::{Entry, Ledger};
use crate::memory::MemoryIpSets;
use crate::term::{HOUR_MS, later};
use crate::testing::{entry, ledger, network, now};

/// A ledger that owns the source until this time from now, and sets from which somebody
/// took it.
fn emptied(until_ms: i64) -> Bench {
    let mut owning = ledger();
    let entry = Entry { expires: later(now(), until_ms), ..entry("op-1") };
    owning.entries.insert(network(SOURCE), entry);
    let bench = Bench::new(&owning);
    edit(&bench, |set| assert!(set.remove(&network(SOURCE))));
    bench
}

/// Somebody else edits the set.
fn edit(bench: &Bench, change: impl FnOnce(&mut IpSet)) {
    let mut theirs = bench.sets.get("portcullis-v4").expect("it is there");
    change(&mut theirs);
    at_once(bench.sets.write(&theirs)).expect("the token is new");
}

fn expire(ledger: &Ledger) -> Changes {
    Changes::expire(ledger, None, "op-8", now())
}

/// The changes note that a person decided, say nothing else, and put nothing back.
#[track_caller]
fn noted(bench: &Bench, changes: &Changes, expected: &[Done]) {
    let applied = bench.apply(changes, |_| {}).expect("nothing is in the way");
    assert_eq!(applied.overridden, [network(SOURCE)]);
    let done: Vec<_> = applied.done.into_iter().map(|(_, done)| done).collect();
    assert_eq!(done, expected);
    assert_eq!(bench.account(), ["Override: somebody else took it out of the set"]);
    assert!(bench.ledger().override_of(network(SOURCE), now()).is_some());
    assert!(bench.ledger().entries().is_empty());
    let again =
        Changes { operation: "op-10".to_owned(), ..super::tests::changes(vec![add(SOURCE)]) };
    let applied = bench.apply(&again, |_| {}).expect("nothing is in the way");
    assert_eq!(applied.done[0].1, Done::Overridden);
    assert_eq!(bench.v4(), [""; 0]);
}

#[test]
fn a_run_with_nothing_to_do_notes_what_somebody_took_out() {
    let bench = emptied(HOUR_MS);
    noted(&bench, &expire(&bench.ledger()), &[]);
}

#[test]
fn an_entry_whose_time_is_over_and_that_somebody_took_out_did_not_expire() {
    let bench = emptied(0);
    noted(&bench, &expire(&bench.ledger()), &[Done::AlreadyGone]);
}

#[test]
fn rolling_back_what_somebody_took_out_is_no_removal() {
    let bench = emptied(HOUR_MS);
    let back = Changes::rollback(&bench.ledger(), "op-1", "op-8", now());
    noted(&bench, &back, &[Done::AlreadyGone]);
}

#[test]
fn a_plan_for_another_set_notes_what_somebody_took_out_of_one_that_it_read() {
    let bench = emptied(HOUR_MS);
    let base = Sets::new(
        ["portcullis-v4", "portcullis-v6"]
            .map(|name| bench.sets.get(name).expect("it is there"))
            .to_vec(),
    );
    let base = base.expect("two names");
    let base = base.iter().map(|set| crate::changes::SetBase {
        set: set.name().to_owned(),
        family: set.family(),
        // Whether it moved matters only where something is to be changed.
        sha256: "another".to_owned(),
    });
    let plan = Changes { base: base.collect(), ..changes(Vec::new()) };
    noted(&bench, &plan, &[]);
}

#[test]
fn who_takes_an_entry_out_and_puts_it_back_owns_it() {
    let bench = emptied(HOUR_MS);
    bench.apply(&expire(&bench.ledger()), |_| {}).expect("nothing is in the way");
    edit(&bench, |set| assert_eq!(set.insert(network(SOURCE)), Ok(true)));
    let all = Changes::release_all(&bench.ledger(), "op-10", now());
    bench.apply(&all, |_| {}).expect("there is nothing of ours");
    bench.apply(&expire(&bench.ledger()), |_| {}).expect("nothing is in the way");
    assert_eq!(bench.v4(), [SOURCE]);
}

#[test]
fn a_pardon_of_what_somebody_took_out_forgets_its_strikes() {
    let bench = emptied(HOUR_MS);
    let pardon = Changes::pardon(&bench.ledger(), network(SOURCE), "op-8", now());
    let applied = bench.apply(&pardon, |_| {}).expect("nothing is in the way");
    assert_eq!(applied.done[0].1, Done::Forgiven);
    assert_eq!(bench.ledger().strikes(network(SOURCE), now()), 0);
    assert!(bench.ledger().override_of(network(SOURCE), now()).is_some());
    assert_eq!(bench.account(), ["Pardon: it was pardoned"]);
}

/// Sets whose writes are carried out and not answered, so many times.
struct Unanswered<'bench>(&'bench MemoryIpSets, Cell<u32>);

impl IpSets for Unanswered<'_> {
    async fn read(&self, name: &str) -> Result<IpSet, crate::store::ReadError> {
        self.0.read(name).await
    }

    async fn write(&self, set: &IpSet) -> Result<(), crate::store::WriteError> {
        self.0.write(set).await?;
        let lost = self.1.get();
        self.1.set(lost.saturating_sub(1));
        if lost == 0 {
            return Ok(());
        }
        Err(crate::store::WriteError::Unknown("no answer".to_owned()))
    }
}

#[test]
fn a_removal_of_ours_whose_answer_was_lost_is_nobody_elses() {
    let mut owning = ledger();
    owning.entries.insert(network(SOURCE), Entry { expires: now(), ..entry("op-1") });
    let bench = Bench::new(&owning);
    let (sets, target) = (Unanswered(&bench.sets, Cell::new(1)), owning.target().clone());
    let order = Order::new(&target, "tests", None);
    let clock = super::tests::Standing(Cell::new(now()));
    let applied = at_once(apply(&expire(&owning), &order, &sets, &bench.store, &clock));
    let applied = applied.expect("the second answer arrives");
    assert_eq!((applied.done[0].1.clone(), applied.overridden), (Done::Removed, Vec::new()));
    assert_eq!(bench.account(), ["Expire: its time is over"]);
    assert!(bench.ledger().overrides().is_empty());
}
