//! Carries changes out, so that nobody's edit is lost and nothing of ours is forgotten.
//!
//! The sets and the ledger are two places that no transaction spans, others write the
//! sets too, every answer may be lost on its way, and the process may be killed
//! between any two calls. The order that stands all of this:
//!
//! 1. take the lease, a field of the ledger that is saved by compare-and-swap;
//! 2. settle what an earlier run began and did not finish;
//! 3. read the sets, hold them against the plan, ask the brakes;
//! 4. save the *intent*: what is about to be written;
//! 5. write the whole set once, with the lock token of the read it was made from;
//! 6. read again, whatever the answer was; what is not settled starts again at 4,
//!    from that read and from our own differences only;
//! 7. save the new ledger together with the lines of the account; give the lease back.
//!
//! One rule settles every doubt: *ownership changes only on the back of a write that
//! its lock token let through*. Such a write proves that the value it was made from
//! was the newest, and kills every write that is still on its way with an older
//! token. So an answer that was lost is settled by reading and writing once more, and
//! a writer who slept through the end of its lease finds both its lock token and its
//! version of the ledger too old.
//!
//! One case cannot be told apart, by anybody: somebody else adds the very network that
//! we were adding, between our read and our write, and our answer is lost or we are
//! killed before we hear that the write was refused. The set then looks as if the write
//! had gone through. The network is taken for ours, so that it leaves the set at its
//! time and not never, and the account says whose operation was settled so.

mod error;
mod session;
mod settle;

use std::collections::BTreeSet;

use ipnet::IpNet;
use portcullis_ingest::Timestamp;

use crate::audit::{Event, Said};
use crate::brake::{BrakeLimits, BrakeOverride, Run, brakes};
use crate::changes::{Change, Changes, Kind};
use crate::delta::{Done, Situation, Unsettled, delta};
use crate::ipset::{Family, IpSet, MAX_ADDRESSES};
use crate::ledger::Removal;
use crate::protect::NeverBlock;
use crate::store::{Clock, IpSets, LedgerStore, StoreError};
use crate::target::Target;
use crate::term::{MOST_AHEAD_MS, later};

pub use error::ApplyError;
use session::Session;

/// How often a set is read again because somebody else had changed it.
const MAX_CONFLICTS: u32 = 5;

/// How often a call is made again because the service was busy or did not answer.
const MAX_TROUBLES: u32 = 10;

/// The circumstances under which changes are carried out.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// Whose sets these are.
    pub target: &'a Target,
    /// Who gives the order, for the lease and the account.
    pub who: &'a str,
    /// The never-block list as it is now; `None` when it could not be read, and then
    /// nothing is added.
    pub never_block: Option<&'a NeverBlock>,
    /// What the brakes allow.
    pub limits: BrakeLimits,
    /// Brakes that a person released.
    pub overrides: &'a [BrakeOverride],
    /// Whether a person is there. Without one no brake can be released.
    pub is_attended: bool,
    /// The hash of the plan file that the changes were read from, for the account.
    pub plan_sha256: Option<&'a str>,
    /// The hash that the reviewer approved, if he named one.
    pub expected_sha256: Option<&'a str>,
    /// Whether to go on when others changed a set after the plan was made.
    pub allow_moved_base: bool,
    /// Whether to take a lease that somebody else still holds. Nothing is lost if the
    /// holder lives after all: it finds its lock token and its ledger too old.
    pub takes_lease: bool,
    /// Most entries in one set; above [`MAX_ADDRESSES`] it counts as that.
    pub max_addresses: usize,
    /// The sets that the target lets additions go into. A plan that was made for others, or
    /// adds to others, is refused; `None` lets it be any.
    pub sets: Option<&'a [String]>,
}

impl<'a> Order<'a> {
    /// An unattended order with the default limits.
    pub fn new(target: &'a Target, who: &'a str, never_block: Option<&'a NeverBlock>) -> Self {
        Self {
            target,
            who,
            never_block,
            limits: BrakeLimits::default(),
            overrides: &[],
            is_attended: false,
            plan_sha256: None,
            expected_sha256: None,
            allow_moved_base: false,
            takes_lease: false,
            max_addresses: MAX_ADDRESSES,
            sets: None,
        }
    }
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// What became of each change.
    pub done: Vec<(Change, Done)>,
    /// Entries of ours that somebody else had taken out of their set.
    pub overridden: Vec<IpNet>,
    /// Networks that an earlier run had begun to add or remove and that are settled now.
    pub recovered: Vec<IpNet>,
    /// Sets of which a read after the write did not show what was written: somebody
    /// changed it again, or it is not visible everywhere yet.
    pub unconfirmed: Vec<String>,
    /// Why sets were left as they are, if some were. What only takes entries out goes on
    /// with the other sets, so that one that is gone keeps no block alive in another; all
    /// else is carried out whole or is an error.
    pub unreached: Vec<ApplyError>,
    /// Writes that were refused because somebody else had changed the set.
    pub conflicts: u32,
    /// Calls that were made again because the service was busy or did not answer.
    pub troubles: u32,
    /// Why lines of the account are not stored yet, if they are not. They are in the
    /// ledger and handed on by the next run.
    pub audit_unsent: Option<StoreError>,
}

/// Carries the changes out. Carrying the same changes out twice is carrying them out
/// once. On an error nothing is half known: what was begun is in the ledger.
pub async fn apply(
    changes: &Changes,
    order: &Order<'_>,
    sets: &impl IpSets,
    store: &impl LedgerStore,
    clock: &impl Clock,
) -> Result<Applied, ApplyError> {
    admissible(changes, order, clock.now())?;
    let halt = store.halted().await?;
    let mut session = Session::open(changes, order, store, clock).await?;
    let result = run(&mut session, changes, order, sets, halt.as_deref()).await;
    match result {
        Ok(()) => {
            // A run that had nothing to write shows nothing of whether writing works.
            if session.has_written {
                session.ledger.failed_runs = 0;
            }
            session.close().await?;
            Ok(session.applied)
        }
        Err(error) => {
            // What only takes out is tried beside each plan, and would count it twice.
            let counts = matches!(error, ApplyError::Read { .. } | ApplyError::Write { .. });
            if counts && changes.kind == Kind::Plan {
                session.ledger.failed_runs = session.ledger.failed_runs.saturating_add(1);
            }
            if error != ApplyError::LeaseLost {
                // The first error is the one to tell; the lease ends by itself.
                let _ = session.close().await;
            }
            Err(error)
        }
    }
}

/// What can be refused before anything is read.
fn admissible(changes: &Changes, order: &Order<'_>, now: Timestamp) -> Result<(), ApplyError> {
    if let Some(expected) = order.expected_sha256 {
        let found = order.plan_sha256.map_or_else(|| changes.sha256(), str::to_owned);
        if found != expected {
            return Err(ApplyError::OtherPlan { expected: expected.to_owned(), found });
        }
    }
    if changes.target != *order.target {
        return Err(ApplyError::OtherTarget {
            what: "plan",
            expected: Box::new(order.target.clone()),
            found: Box::new(changes.target.clone()),
        });
    }
    if let Some(sets) = order.sets {
        let allowed: BTreeSet<&str> = sets.iter().map(String::as_str).collect();
        let planned = changes.planned_sets();
        let is_for_others = !changes.base.is_empty() && planned != allowed;
        if is_for_others || !planned.is_subset(&allowed) {
            let list = |sets: BTreeSet<&str>| sets.into_iter().map(str::to_owned).collect();
            return Err(ApplyError::OtherSets { expected: list(allowed), found: list(planned) });
        }
    }
    if changes.kind == Kind::Plan && changes.created_at > later(now, MOST_AHEAD_MS) {
        return Err(ApplyError::NotYet { created_at: changes.created_at, now });
    }
    if now >= changes.not_after {
        return Err(ApplyError::Outdated { not_after: changes.not_after, now });
    }
    match order.overrides.first() {
        Some(released) if !order.is_attended => Err(ApplyError::Unattended(released.clone())),
        _ => Ok(()),
    }
}

/// The first network that is to enter a set that cannot hold it.
fn misplaced<'a>(changes: &Changes, current: &'a [IpSet]) -> Option<(IpNet, &'a IpSet)> {
    changes.changes.iter().filter(|change| !matches!(change, Change::Remove { .. })).find_map(
        |change| {
            let set = current.iter().find(|set| set.name() == change.set())?;
            (Family::of(change.network()) != set.family()).then_some((change.network(), set))
        },
    )
}

async fn run<Store: LedgerStore, Time: Clock>(
    session: &mut Session<'_, Store, Time>,
    changes: &Changes,
    order: &Order<'_>,
    sets: &impl IpSets,
    halt: Option<&str>,
) -> Result<(), ApplyError> {
    if let Some(reason) = halt {
        // The switch stops everything, the settling of earlier runs included.
        let figures = &changes.figures;
        let run = Run {
            halt: Some(reason),
            failed_runs: 0,
            additions: &[],
            added_today: 0,
            removals: 0,
            entries: 0,
            figures,
            now: session.clock.now(),
        };
        session.ask_brakes(&run, order)?;
    }
    if let Some(intent) = session.ledger.intent.clone()
        && let Err(error) = session.recover(&intent, sets).await
    {
        session.leave_out(error, changes.kind)?;
    }
    let is_resumed = session.ledger.last_operation.as_deref() == Some(&*changes.operation);
    if let Some(planned) = &changes.ledger
        && !is_resumed
    {
        let found = session.ledger.stamp();
        // A ledger that has seen nothing yet gets its lineage when it is first saved.
        let is_new = planned.serial == 0 && found.serial == 0;
        if *planned != found && !is_new {
            return Err(ApplyError::LedgerMoved {
                planned: Box::new(planned.clone()),
                found: Box::new(found),
            });
        }
    }
    let mut current = Vec::new();
    for name in changes.sets(&session.ledger) {
        if session.is_begun(&name) {
            continue;
        }
        let set = match session.read(sets, &name).await {
            Ok(set) => set,
            Err(error) => {
                session.leave_out(error, changes.kind)?;
                continue;
            }
        };
        let base = changes.base.iter().find(|base| base.set == name);
        let is_changed = changes.changes.iter().any(|change| change.set() == name);
        if base.is_some_and(|base| base.sha256 != set.digest())
            && is_changed
            && !is_resumed
            && !order.allow_moved_base
        {
            return Err(ApplyError::BaseMoved { set: name });
        }
        current.push(set);
    }
    if let Some((network, set)) = misplaced(changes, &current) {
        return Err(ApplyError::OtherFamily {
            network,
            set: set.name().to_owned(),
            family: set.family(),
        });
    }
    let admitted = session.check(changes, order, &current)?;
    session.forgive(changes).await?;
    for set in current {
        if let Err(error) = session.settle(set, &admitted, order, sets).await {
            session.leave_out(error, changes.kind)?;
        }
    }
    Ok(())
}

impl<Store: LedgerStore, Time: Clock> Session<'_, Store, Time> {
    /// Whether it is not known what became of a write to the set.
    fn is_begun(&self, set: &str) -> bool {
        self.ledger.intent.as_ref().is_some_and(|intent| intent.set == set)
    }

    /// Goes on without the set that the error is about, where nothing is to be added.
    fn leave_out(&mut self, error: ApplyError, kind: Kind) -> Result<(), ApplyError> {
        let is_of_one_set = matches!(error, ApplyError::Read { .. } | ApplyError::Write { .. });
        if kind == Kind::Plan || !is_of_one_set {
            return Err(error);
        }
        self.applied.unreached.push(error);
        Ok(())
    }

    /// Asks the brakes about all that the changes would do to the sets as they are.
    /// Gives the changes that would do something: later tries carry out these or fewer,
    /// so that what the brakes admitted is not exceeded whatever others do meanwhile.
    fn check(
        &mut self,
        changes: &Changes,
        order: &Order<'_>,
        current: &[IpSet],
    ) -> Result<Changes, ApplyError> {
        let now = self.clock.now();
        let mut additions = Vec::new();
        let mut removals = 0;
        let mut admitted = Changes { changes: Vec::new(), ..changes.clone() };
        let mut idle = Vec::new();
        for set in current {
            let delta = delta(changes, set, &Unsettled::default(), self.situation(order, now));
            for (change, done) in delta.done {
                match done {
                    // What a read does not show may be there all the same: it was an old one.
                    Done::Removed | Done::Forgiven | Done::AlreadyGone => {
                        let is_early =
                            matches!(change, Change::Remove { why, .. } if why.is_early());
                        removals += u64::from(is_early);
                        admitted.changes.push(change);
                    }
                    Done::Added | Done::Renewed => admitted.changes.push(change),
                    _ => idle.push((change, done)),
                }
            }
            additions.extend(
                delta.additions.iter().map(|(network, entry)| (*network, entry.cause.last)),
            );
        }
        // Whoever gives everything up means everything.
        if changes.kind == Kind::ReleaseAll {
            removals = 0;
        }
        let run = Run {
            halt: None,
            failed_runs: self.ledger.failed_runs,
            additions: &additions,
            added_today: self.ledger.added_within_a_day(now),
            removals,
            entries: current.iter().map(|set| set.addresses().len() as u64).sum(),
            figures: &changes.figures,
            now,
        };
        self.ask_brakes(&run, order)?;
        self.applied.done.extend(idle);
        Ok(admitted)
    }

    fn ask_brakes(&mut self, run: &Run<'_>, order: &Order<'_>) -> Result<(), ApplyError> {
        let mut stopped = Vec::new();
        for braked in brakes(run, &order.limits) {
            match order.overrides.iter().find(|released| released.brake == braked.brake) {
                Some(released) => self.say(Said {
                    event: Event::Release,
                    set: None,
                    network: None,
                    reason: format!("{braked}; released: {}", released.reason),
                }),
                None => stopped.push(braked),
            }
        }
        if stopped.is_empty() { Ok(()) } else { Err(ApplyError::Braked(stopped)) }
    }

    fn situation<'s>(&'s self, order: &Order<'s>, now: Timestamp) -> Situation<'s> {
        Situation {
            ledger: &self.ledger,
            never_block: order.never_block,
            max_addresses: order.max_addresses,
            now,
        }
    }

    /// Forgets the strikes of pardoned networks that are in no set, and keeps them out. No
    /// set is written, so the ledger alone changes.
    async fn forgive(&mut self, changes: &Changes) -> Result<(), ApplyError> {
        let now = self.clock.now();
        let mut any = false;
        for change in &changes.changes {
            let Change::Remove { network, set, why: Removal::Pardoned } = change else {
                continue;
            };
            let is_over = !self.ledger.entries.contains_key(network);
            let had_strikes = is_over && self.ledger.past.remove(network).is_some();
            if !had_strikes && !set.is_empty() {
                continue;
            }
            self.applied.done.push((change.clone(), Done::Forgiven));
            // By this very pardon, carried out once before.
            let decided = self.ledger.overrides.get(network);
            if decided.is_some_and(|decided| decided.noticed >= changes.created_at) && !had_strikes
            {
                continue;
            }
            self.ledger.decide(*network, Removal::Pardoned.reason(), now);
            let reason = if had_strikes { "its strikes were forgotten" } else { "it is kept out" };
            let reason = reason.to_owned();
            self.say(Said { event: Event::Pardon, set: None, network: Some(*network), reason });
            any = true;
        }
        if any {
            self.ledger.serial += 1;
            self.save().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod one_set_gone;
#[cfg(test)]
mod overruled;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod troubles;
