//! Eight processes change the same two sets under a storm of faults, while somebody
//! else edits them and processes are killed. Afterwards every promise is checked:
//!
//! * I1: every entry that we put in is in the ledger;
//! * I2: no entry of somebody else was taken out, or is in the ledger;
//! * I3: nothing that is never blocked was blocked;
//! * I4: no run added more than its brake allows;
//! * I5: the account has one line for each change, and its chain holds;
//! * I6: what is past its time is gone after the next good run;
//! * I7: carrying changes out twice is carrying them out once.
//!
//! `PORTCULLIS_FAULT_OPERATIONS` sets the number of operations of the long form.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::pin::Pin;

use portcullis_remediation::{
    ApplyError, BrakeLimits, Change, Changes, Clock as _, Done, Event, Family, Order, apply,
    verify_audit,
};

use crate::world::{
    Faults, Owner, SETS, World, add, candidate, changes, never_block, now_or_never, of_owner,
    target, time,
};

const PROCESSES: usize = 8;

/// What the operations came to.
#[derive(Default)]
struct Tally {
    begun: Cell<u64>,
    done: Cell<u64>,
    errors: std::cell::RefCell<BTreeMap<&'static str, u64>>,
    most_conflicts: Cell<u32>,
}

fn limits() -> BrakeLimits {
    // Sets of this size change by more than a tenth all the time.
    BrakeLimits { adds_per_run: 6, floor: 40, adds_per_day: u64::MAX, ..BrakeLimits::default() }
}

/// One process: operation after operation until all have had their share.
async fn process(world: &World, tally: &Tally, number: usize, operations: u64) {
    let list = never_block();
    let target = target();
    while tally.begun.get() < operations {
        tally.begun.set(tally.begun.get() + 1);
        let operation = format!("op-{}", tally.begun.get());
        let changes = wanted(world, &operation);
        let who = format!("process-{number}");
        let mut order = Order::new(&target, &who, (world.below(20) > 0).then_some(&list));
        order.limits = limits();
        order.max_addresses = 50;
        // The same changes are sometimes carried out twice, by accident.
        let times = 1 + world.below(5) / 4;
        let mut time = 0;
        while time < times {
            time += 1;
            match apply(&changes, &order, world, world, world).await {
                // Somebody else is at it, or was killed while he was.
                Err(ApplyError::Leased(_)) => {
                    time -= 1;
                    for _ in 0..world.below(30) {
                        world.wait(200).await;
                    }
                }
                Ok(applied) => {
                    tally.done.set(tally.done.get() + 1);
                    tally.most_conflicts.set(tally.most_conflicts.get().max(applied.conflicts));
                    let added = applied.done.iter().filter(|(_, done)| *done == Done::Added);
                    if added.count() as u64 > limits().adds_per_run {
                        world.violation(format!("{operation} added more than its brake allows"));
                    }
                    if order.never_block.is_none()
                        && applied.done.iter().any(|(_, done)| *done == Done::Added)
                    {
                        world.violation(format!("{operation} added without a never-block list"));
                    }
                }
                Err(error) => {
                    let name = match &error {
                        ApplyError::LeaseLost => "lease lost",
                        ApplyError::Braked(_) => "braked",
                        ApplyError::Write { .. } => "write",
                        ApplyError::Read { .. } => "read",
                        ApplyError::Store(_) => "store",
                        ApplyError::Outdated { .. } => "outdated",
                        other => panic!("{other}"),
                    };
                    *tally.errors.borrow_mut().entry(name).or_default() += 1;
                }
            }
        }
    }
}

/// A random operation that fits the ledger as it is.
fn wanted(world: &World, operation: &str) -> Changes {
    let now = world.now();
    let ledger = world.ledger.get();
    match (world.below(10), &ledger) {
        (0..=2, Some(ledger)) => Changes::expire(ledger, None, operation, now),
        (3, Some(ledger)) => {
            let any = ledger.entries().values().next().map(|entry| entry.operation.clone());
            Changes::rollback(ledger, &any.unwrap_or_default(), operation, now)
        }
        (4, Some(ledger)) => {
            // Mostly one of ours: a pardon keeps others from being blocked for a week.
            let ours = ledger.entries().keys().next().filter(|_| world.below(5) > 0).copied();
            let network = ours.unwrap_or_else(|| candidate(world, Family::V4));
            Changes::pardon(ledger, network, operation, now)
        }
        (5, Some(ledger)) => {
            let renewed = ledger.entries().iter().take(3).map(|(network, entry)| Change::Renew {
                set: entry.set.clone(),
                network: *network,
                term_ms: 600_000,
                strikes: entry.strikes + 1,
                cause: entry.cause.clone(),
            });
            changes(operation, renewed.collect(), now)
        }
        _ => {
            let count = 1 + world.below(7);
            let any = |_| {
                let family = Family::ALL[world.below(2) as usize];
                add(candidate(world, family), i64::from(60_000 + world.below(3_600_000)), now)
            };
            changes(operation, (0..count).map(any).collect(), now)
        }
    }
}

/// After the storm: one run with a good connection settles everything.
fn settle(world: &World) {
    world.calm();
    world.pass(3_600_000);
    for round in 0..3 {
        let ledger = world.ledger.get().expect("something was done");
        let list = never_block();
        let mut changes =
            Changes::expire(&ledger, Some(&list), &format!("settle-{round}"), world.now());
        // Touch both sets, so that what others took out is noticed too.
        for (set, network) in [(SETS[0], "198.18.99.1/32"), (SETS[1], "2001:db8:0:99::/64")] {
            let network = network.parse().expect("a network");
            let why = portcullis_remediation::Removal::Expired;
            changes.changes.push(Change::Remove { set: set.to_owned(), network, why });
        }
        let target = target();
        let order = Order { takes_lease: true, ..Order::new(&target, "after", Some(&list)) };
        let result = run_alone(world, &changes, &order);
        let applied = result.unwrap_or_else(|error| panic!("a run without faults failed: {error}"));
        assert_eq!(applied.unreached, [], "a run without faults left out a set");
    }
}

fn run_alone(
    world: &World,
    changes: &Changes,
    order: &Order<'_>,
) -> Result<portcullis_remediation::Applied, ApplyError> {
    let result = Cell::new(None);
    world.run(1, |_| {
        // The borrows end with the run, which is over before this returns.
        let result = &result;
        let future = async move {
            result.set(Some(apply(changes, order, world, world, world).await));
        };
        let future: Pin<Box<dyn Future<Output = ()> + '_>> = Box::pin(future);
        future
    });
    result.into_inner().expect("the process ended")
}

fn check(world: &World) {
    let ledger = world.ledger.get().expect("something was done");
    let ours = of_owner(world, Owner::Ours);
    let listed = ledger.entries().keys().copied().collect();
    assert_eq!(ours, listed, "I1 and I2: ours by the world, ours by the ledger");
    assert_eq!(world.violations.borrow().as_slice(), [] as [String; 0]);
    assert_eq!((ledger.intent(), ledger.lease()), (None, None));
    let now = world.now();
    let late = ledger.entries().values().filter(|entry| entry.expires <= now).count();
    assert_eq!(late, 0, "I6: entries past their time");
    check_account(world);
}

/// The account tells the same story as the world: each entry was put in as often, and
/// left as often, and never twice in a row.
fn check_account(world: &World) {
    let ledger = world.ledger.get().expect("something was done");
    let text = now_or_never(portcullis_remediation::LedgerStore::audit(world)).expect("memory");
    let lines = verify_audit(&text, ledger.audit_head()).expect("I5: the chain holds");
    let mut told: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for line in lines {
        let Some(network) = line.network.filter(|_| line.set.is_some()) else {
            continue;
        };
        let (put_in, taken_out) = told.entry(network).or_default();
        match line.event {
            Event::Add => *put_in += 1,
            Event::Renew => {}
            _ => *taken_out += 1,
        }
        assert!((0..=1).contains(&(*put_in - *taken_out)), "I5: {network} is told twice");
    }
    for (network, (put_in, taken_out)) in told {
        let count = |of: &std::cell::RefCell<BTreeMap<_, u64>>| {
            of.borrow().get(&network).copied().unwrap_or_default()
        };
        let truth = (count(&world.put_in), count(&world.taken_out));
        assert_eq!(put_in - taken_out, truth.0 - truth.1, "I5: {network}");
        // While an answer is lost somebody may take out what was put in, and nobody
        // will ever know that it was there. Nothing is told that did not happen.
        assert!(put_in <= truth.0, "I5: {network} is told more often than it happened");
        let figures = world.figures.get();
        if figures.injected == 0 {
            assert_eq!((put_in, taken_out), truth, "I5: {network}");
        }
    }
}

fn storm(seed: u64, operations: u64, faults: Faults) -> (World, Tally) {
    let world = World::new(seed, faults);
    let tally = Tally::default();
    {
        let (world, tally) = (&world, &tally);
        world.run(PROCESSES, |number| Box::pin(process(world, tally, number, operations)));
    }
    settle(&world);
    check(&world);
    (world, tally)
}

#[test]
fn nothing_is_lost_in_a_storm_of_faults() {
    let wanted = std::env::var("PORTCULLIS_FAULT_OPERATIONS").ok();
    let wanted: u64 = wanted.map_or(500, |text| text.parse().expect("a number of operations"));
    let per_storm = 250;
    let (mut begun, mut done, mut conflicts) = (0, 0, 0);
    let mut figures = crate::world::WorldFigures::default();
    let mut errors: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..wanted.div_ceil(per_storm) {
        let (world, tally) = storm(seed, per_storm.min(wanted), Faults::STORM);
        begun += tally.begun.get();
        done += tally.done.get();
        conflicts = conflicts.max(tally.most_conflicts.get());
        for (name, count) in tally.errors.borrow().iter() {
            *errors.entry(name).or_default() += count;
        }
        let of_storm = world.figures.get();
        figures.calls += of_storm.calls;
        figures.injected += of_storm.injected;
        figures.kills += of_storm.kills;
        figures.foreign_writes += of_storm.foreign_writes;
        figures.our_writes += of_storm.our_writes;
    }
    println!(
        "{begun} operations, {done} carried out to the end; not: {errors:?}; \
         at most {conflicts} conflicts in one; {figures:?}"
    );
    assert!(done * 4 > begun, "most of the time nothing was done at all");
    assert!(figures.our_writes > 0 && figures.foreign_writes > 0 && figures.kills > 0);
}

#[test]
fn eight_writers_without_faults_get_everything_done() {
    let (world, tally) = storm(7, 150, Faults::default());
    let failed: u64 = tally.errors.borrow().values().sum();
    let excused: u64 = ["lease lost", "braked"]
        .iter()
        .filter_map(|name| tally.errors.borrow().get(name).copied())
        .sum();
    assert_eq!(failed, excused, "{:?}", tally.errors.borrow());
    assert!(world.figures.get().our_writes > 30);
}

#[test]
fn somebody_else_who_adds_what_we_are_adding_keeps_it() {
    let mut conflicts = 0;
    for seed in 100..103 {
        let (world, tally) = storm(seed, 60, Faults::CROWD);
        conflicts += tally.most_conflicts.get();
        assert!(world.figures.get().foreign_writes > 0);
    }
    assert!(conflicts > 0, "nobody ever came in between");
}

#[test]
fn with_a_clock_and_no_new_logs_every_entry_leaves_at_its_minute() {
    let world = World::new(1, Faults::default());
    let (list, target) = (never_block(), target());
    let order = Order::new(&target, "tests", Some(&list));
    let start = world.now();
    let additions = (0..9).map(|number| {
        let network = format!("198.18.0.{number}/32").parse().expect("a network");
        add(network, i64::from(number + 1) * 60_000, start)
    });
    let additions = changes("op-add", additions.collect(), start);
    run_alone(&world, &additions, &order).expect("nothing is in the way");
    let added = world.now();
    for minute in 0..=10_i64 {
        // Applying takes some milliseconds of the world's time.
        world.pass(60_000 - (world.now().epoch_ms() - added.epoch_ms()) % 60_000);
        let ledger = world.ledger.get().expect("entries were added");
        let due = ledger.entries().values().filter(|entry| entry.expires <= world.now()).count();
        let before = world.set(SETS[0]).addresses().len();
        let expire = Changes::expire(&ledger, None, &format!("op-{minute}"), world.now());
        run_alone(&world, &expire, &order).expect("nothing is in the way");
        assert_eq!(world.set(SETS[0]).addresses().len(), before - due, "minute {minute}");
        let left = world.ledger.get().expect("it is there").entries().len();
        assert_eq!(left, 8_usize.saturating_sub(minute as usize), "minute {minute}");
    }
}

#[test]
fn a_process_killed_at_any_step_leaves_nothing_behind() {
    // Counts the steps of one undisturbed run, then kills at each of them in turn.
    let additions = || {
        let now = time(crate::world::START_MS);
        let networks = ["198.18.0.1/32", "198.18.0.2/32", "2001:db8:0:1::/64"];
        let add = |text: &str| add(text.parse().expect("a network"), 600_000, now);
        changes("op-1", networks.into_iter().map(add).collect(), now)
    };
    let (list, target) = (never_block(), target());
    let order = Order { takes_lease: true, ..Order::new(&target, "tests", Some(&list)) };
    let mut killed_at = 0;
    loop {
        let world = World::new(3, Faults::default());
        let changes = additions();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut is_done = false;
        {
            let mut process = Box::pin(apply(&changes, &order, &world, &world, &world));
            for _ in 0..killed_at {
                if process.as_mut().poll(&mut context).is_ready() {
                    is_done = true;
                    break;
                }
            }
        }
        run_alone(&world, &changes, &order).expect("the second run is not disturbed");
        let ledger = world.ledger.get().expect("it was saved");
        assert_eq!(ledger.entries().len(), 3, "killed at step {killed_at}");
        let there: usize = SETS.iter().map(|name| world.set(name).addresses().len()).sum();
        assert_eq!(there, 3, "killed at step {killed_at}");
        settle(&world);
        check(&world);
        if is_done {
            break;
        }
        killed_at += 1;
    }
    assert!(killed_at > 20, "a run has more than {killed_at} steps");
}
