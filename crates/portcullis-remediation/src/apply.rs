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
//! One case cannot be told apart: somebody else adds the very network that we were
//! adding, while our answer was lost. It is then taken for ours, and the account says
//! when.

use std::collections::BTreeMap;

use ipnet::IpNet;
use portcullis_ingest::Timestamp;
use sha2::{Digest, Sha256};

use crate::audit::{Event, Said, Speaker};
use crate::brake::{BrakeLimits, BrakeOverride, Braked, Run, brakes};
use crate::changes::{Change, Changes, Kind};
use crate::delta::{Delta, Done, Situation, delta};
use crate::ipset::{IpSet, MAX_ADDRESSES, hexadecimal};
use crate::ledger::{Added, Entry, Intent, Lease, Ledger, LedgerStamp, Removal};
use crate::protect::NeverBlock;
use crate::store::{
    Clock, IpSets, LedgerStore, ReadError, SaveError, StoreError, Version, WriteError,
};
use crate::target::Target;
use crate::term::{MINUTE_MS, later};

/// How long a lease lasts from the last save, in milliseconds. A guess: some hundred
/// times what a write takes, so that only the dead lose theirs.
const LEASE_MS: i64 = 5 * MINUTE_MS;

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
    /// Writes that were refused because somebody else had changed the set.
    pub conflicts: u32,
    /// Calls that were made again because the service was busy or did not answer.
    pub troubles: u32,
    /// Why lines of the account are not stored yet, if they are not. They are in the
    /// ledger and handed on by the next run.
    pub audit_unsent: Option<StoreError>,
}

/// Why changes were not carried out, or not to their end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Another plan was approved.
    #[error("the plan has the hash {found}, and {expected} was approved")]
    OtherPlan {
        /// What was approved.
        expected: String,
        /// What is here.
        found: String,
    },
    /// The changes are too old.
    #[error("the plan was good until {not_after}, and it is {now}; make a new one")]
    Outdated {
        /// The end of its time.
        not_after: Timestamp,
        /// The time now.
        now: Timestamp,
    },
    /// The changes are for another account, region or scope.
    #[error("the {what} is for {found}, and this is {expected}")]
    OtherTarget {
        /// `plan` or `ledger`.
        what: &'static str,
        /// Where we are.
        expected: Target,
        /// What it is for.
        found: Target,
    },
    /// Only a person releases a brake.
    #[error("brake {} cannot be released in an unattended run", .0.brake)]
    Unattended(BrakeOverride),
    /// Somebody else is at it.
    #[error("{} is changing the sets (operation {}) and has until {}", .0.who, .0.operation, .0.expires)]
    Leased(Lease),
    /// The ledger has changed since the changes were made.
    #[error("the ledger has moved from {} to {} since the plan was made; make a new one", .planned.serial, .found.serial)]
    LedgerMoved {
        /// What the changes were made from.
        planned: LedgerStamp,
        /// What is there.
        found: LedgerStamp,
    },
    /// A set has changed since the changes were made.
    #[error("set `{set}` has changed since the plan was made; make a new one, or apply to what is there now")]
    BaseMoved {
        /// The set.
        set: String,
    },
    /// A brake stops the run.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Braked(Vec<Braked>),
    /// A set cannot be read.
    #[error("failed to read set `{set}`: {error}")]
    Read {
        /// The set.
        set: String,
        /// Why.
        error: ReadError,
    },
    /// A set cannot be written. What was begun is in the ledger, and the next run
    /// settles it.
    #[error("failed to write set `{set}`, tried {tries} times: {error}")]
    Write {
        /// The set.
        set: String,
        /// How often it was tried.
        tries: u32,
        /// Why, the last time.
        error: WriteError,
    },
    /// The lease ran out and somebody else took it. What was begun is settled by them.
    #[error("the lease was lost; somebody else has the sets now")]
    LeaseLost,
    /// The ledger cannot be read or saved.
    #[error("failed to keep the ledger: {0}")]
    Store(#[from] StoreError),
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
            session.ledger.failed_runs = 0;
            session.close().await?;
            Ok(session.applied)
        }
        Err(error) => {
            if matches!(error, ApplyError::Read { .. } | ApplyError::Write { .. }) {
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
            expected: order.target.clone(),
            found: changes.target.clone(),
        });
    }
    if now >= changes.not_after {
        return Err(ApplyError::Outdated { not_after: changes.not_after, now });
    }
    match order.overrides.first() {
        Some(released) if !order.is_attended => Err(ApplyError::Unattended(released.clone())),
        _ => Ok(()),
    }
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
    if let Some(intent) = session.ledger.intent.clone() {
        session.recover(&intent, sets).await?;
    }
    let is_resumed = session.ledger.last_operation.as_deref() == Some(&*changes.operation);
    if let Some(planned) = &changes.ledger
        && !is_resumed
    {
        let found = session.ledger.stamp();
        // A ledger that has seen nothing yet gets its lineage when it is first saved.
        let is_new = planned.serial == 0 && found.serial == 0;
        if *planned != found && !is_new {
            return Err(ApplyError::LedgerMoved { planned: planned.clone(), found });
        }
    }
    let mut current = Vec::new();
    for name in changes.sets() {
        let set = session.read(sets, &name).await?;
        let base = changes.base.iter().find(|base| base.set == name);
        if base.is_some_and(|base| base.sha256 != set.digest())
            && !is_resumed
            && !order.allow_moved_base
        {
            return Err(ApplyError::BaseMoved { set: name });
        }
        current.push(set);
    }
    let admitted = session.check(changes, order, &current)?;
    session.forgive(changes).await?;
    for set in current {
        session.settle(set, &admitted, order, sets).await?;
    }
    Ok(())
}

/// One holder of the lease and the ledger as it last saved it.
struct Session<'a, Store, Time> {
    store: &'a Store,
    clock: &'a Time,
    who: &'a str,
    operation: &'a str,
    plan_sha256: Option<&'a str>,
    ledger: Ledger,
    version: Option<Version>,
    /// Saves so far, so that each has a name of its own.
    saves: u32,
    applied: Applied,
}

impl<'a, Store: LedgerStore, Time: Clock> Session<'a, Store, Time> {
    /// Loads the ledger and takes the lease.
    async fn open(
        changes: &'a Changes,
        order: &Order<'a>,
        store: &'a Store,
        clock: &'a Time,
    ) -> Result<Self, ApplyError> {
        let text = format!("{}\n{}", changes.operation, clock.now());
        let lineage = hexadecimal(&Sha256::digest(text));
        let mut session = Self {
            store,
            clock,
            who: order.who,
            operation: &changes.operation,
            plan_sha256: order.plan_sha256,
            ledger: Ledger::new(order.target.clone(), &lineage),
            version: None,
            saves: 0,
            applied: Applied::default(),
        };
        if let Some((ledger, version)) = session.load().await? {
            session.ledger = ledger;
            session.version = Some(version);
        }
        let Self { ledger, .. } = &session;
        if ledger.target() != order.target {
            return Err(ApplyError::OtherTarget {
                what: "ledger",
                expected: order.target.clone(),
                found: ledger.target().clone(),
            });
        }
        let now = clock.now();
        let is_held = |lease: &&Lease| now < lease.expires && !order.takes_lease;
        if let Some(lease) = ledger.lease().filter(is_held) {
            return Err(ApplyError::Leased(lease.clone()));
        }
        session.save().await?;
        session.hand_on().await;
        Ok(session)
    }

    async fn load(&mut self) -> Result<Option<(Ledger, Version)>, ApplyError> {
        let mut attempt = 0;
        loop {
            match self.store.load().await {
                Ok(found) => return Ok(found),
                Err(error) if attempt >= MAX_TROUBLES => return Err(error.into()),
                Err(_) => {
                    self.applied.troubles += 1;
                    self.pause("ledger", attempt).await;
                    attempt += 1;
                }
            }
        }
    }

    /// Saves the ledger and prolongs the lease. After a lost answer the stored ledger
    /// says whether it is this one.
    async fn save(&mut self) -> Result<(), ApplyError> {
        self.ledger.lease = Some(Lease {
            who: self.who.to_owned(),
            operation: self.operation.to_owned(),
            expires: later(self.clock.now(), LEASE_MS),
        });
        self.save_as_it_is().await
    }

    async fn save_as_it_is(&mut self) -> Result<(), ApplyError> {
        self.saves += 1;
        let now = self.clock.now();
        // Two runs of one operation must not take each other's saves for their own.
        self.ledger.written_by = format!("{} {} {} {now}", self.operation, self.who, self.saves);
        let mut last = StoreError("no answer".to_owned());
        for attempt in 0..MAX_TROUBLES {
            match self.store.save(&self.ledger, self.version.as_ref()).await {
                Ok(version) => {
                    self.version = Some(version);
                    return Ok(());
                }
                Err(SaveError::Refused(reason)) => return Err(StoreError(reason).into()),
                Err(SaveError::Conflict) => {}
                Err(SaveError::Unknown(reason)) => {
                    self.applied.troubles += 1;
                    last = StoreError(reason);
                    self.pause("ledger", attempt).await;
                }
            }
            let found = self.load().await?;
            if let Some((stored, version)) = &found
                && stored.written_by == self.ledger.written_by
            {
                self.version = Some(version.clone());
                return Ok(());
            }
            if found.map(|(_, version)| version) != self.version {
                return Err(ApplyError::LeaseLost);
            }
        }
        Err(last.into())
    }

    /// Hands lines of the account on. They leave the ledger with its next save.
    async fn hand_on(&mut self) {
        if self.ledger.unsent.is_empty() {
            return;
        }
        match self.store.append_audit(&self.ledger.unsent).await {
            Ok(()) => {
                self.ledger.unsent.clear();
                self.applied.audit_unsent = None;
            }
            Err(error) => self.applied.audit_unsent = Some(error),
        }
    }

    /// Gives the lease back.
    async fn close(&mut self) -> Result<(), ApplyError> {
        self.hand_on().await;
        self.ledger.lease = None;
        self.save_as_it_is().await
    }

    fn say(&mut self, said: Said) {
        let speaker = Speaker {
            time: self.clock.now(),
            operation: self.operation,
            who: self.who,
            plan_sha256: self.plan_sha256,
        };
        let line = self.ledger.audit.extend(speaker, said);
        self.ledger.unsent.push(line);
    }

    /// Lets others go first. The wait grows and differs from writer to writer, so that
    /// those who met once do not meet again.
    async fn pause(&self, subject: &str, attempt: u32) {
        let digest = Sha256::digest(format!("{} {} {subject} {attempt}", self.operation, self.who));
        let part = u64::from(u16::from_be_bytes([digest[0], digest[1]]));
        let base = 250_u64 << attempt.min(6);
        self.clock.wait(base + base * part / 65_536).await;
    }

    async fn read(&mut self, sets: &impl IpSets, name: &str) -> Result<IpSet, ApplyError> {
        let mut attempt = 0;
        loop {
            match sets.read(name).await {
                Ok(set) => return Ok(set),
                Err(ReadError::Temporary(_)) if attempt < MAX_TROUBLES => {
                    self.applied.troubles += 1;
                    self.pause(name, attempt).await;
                    attempt += 1;
                }
                Err(error) => return Err(ApplyError::Read { set: name.to_owned(), error }),
            }
        }
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
            let delta = delta(changes, set, &BTreeMap::new(), self.situation(order, now));
            for (change, done) in delta.done {
                if matches!(done, Done::Added | Done::Renewed | Done::Removed) {
                    admitted.changes.push(change);
                } else {
                    idle.push((change, done));
                }
            }
            additions
                .extend(delta.additions.iter().map(|(network, entry)| (*network, entry.cause.last)));
            let early = delta.removals.values().filter(|why| **why != Removal::Expired);
            removals += early.count() as u64;
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

    /// Forgets the strikes of pardoned networks that are in no set. No set is written,
    /// so the ledger alone changes.
    async fn forgive(&mut self, changes: &Changes) -> Result<(), ApplyError> {
        let now = self.clock.now();
        let mut any = false;
        for change in &changes.changes {
            let Change::Remove { network, why: Removal::Pardoned, .. } = change else {
                continue;
            };
            let is_over = !self.ledger.entries.contains_key(network);
            if is_over && self.ledger.past.remove(network).is_some() {
                self.ledger.decide(*network, Removal::Pardoned.reason(), now);
                let reason = "its strikes were forgotten".to_owned();
                self.say(Said { event: Event::Pardon, set: None, network: Some(*network), reason });
                self.applied.done.push((change.clone(), Done::Forgiven));
                any = true;
            }
        }
        if any {
            self.ledger.serial += 1;
            self.save().await?;
        }
        Ok(())
    }

    /// Brings one set to where the changes want it, and the ledger with it.
    async fn settle(
        &mut self,
        mut current: IpSet,
        changes: &Changes,
        order: &Order<'_>,
        sets: &impl IpSets,
    ) -> Result<(), ApplyError> {
        let name = current.name().to_owned();
        let (mut conflicts, mut troubles) = (0, 0);
        // Additions of tries of which the answer was lost.
        let mut unsettled: BTreeMap<IpNet, Entry> = BTreeMap::new();
        let mut is_settled = true;
        loop {
            let now = self.clock.now();
            let delta = delta(changes, &current, &unsettled, self.situation(order, now));
            if is_settled && !delta.needs_write(&current) {
                return self.commit(&name, delta).await;
            }
            self.intend(&current, &delta, &unsettled).await?;
            let written = sets.write(&delta.target).await;
            let tries = conflicts + troubles + 1;
            let error = match written {
                Ok(()) => {
                    let after = self.read(sets, &name).await;
                    let shows = |set: &IpSet| set.addresses() == delta.target.addresses();
                    if !after.is_ok_and(|set| shows(&set)) {
                        self.applied.unconfirmed.push(name.clone());
                    }
                    return self.commit(&name, delta).await;
                }
                Err(error) => error,
            };
            let may_try_again = match &error {
                WriteError::Stale => {
                    conflicts += 1;
                    self.applied.conflicts += 1;
                    conflicts <= MAX_CONFLICTS
                }
                WriteError::Busy(_) => {
                    troubles += 1;
                    self.applied.troubles += 1;
                    troubles <= MAX_TROUBLES
                }
                WriteError::Unknown(_) => {
                    troubles += 1;
                    self.applied.troubles += 1;
                    is_settled = false;
                    unsettled.extend(delta.additions);
                    troubles <= MAX_TROUBLES
                }
                WriteError::Refused(_) => false,
            };
            if !may_try_again {
                if is_settled {
                    // Nothing of it was written: there is nothing to settle.
                    self.ledger.intent = None;
                }
                return Err(ApplyError::Write { set: name, tries, error });
            }
            self.pause(&name, tries).await;
            current = self.read(sets, &name).await?;
        }
    }

    /// Writes down what is about to be written, and what may still be on its way.
    async fn intend(
        &mut self,
        current: &IpSet,
        delta: &Delta,
        unsettled: &BTreeMap<IpNet, Entry>,
    ) -> Result<(), ApplyError> {
        let mut additions = unsettled.clone();
        additions.extend(delta.additions.clone());
        self.ledger.intent = Some(Intent {
            operation: self.operation.to_owned(),
            who: self.who.to_owned(),
            plan_sha256: self.plan_sha256.map(str::to_owned),
            set: current.name().to_owned(),
            base_sha256: current.digest(),
            target_sha256: delta.target.digest(),
            additions,
            removals: delta.removals.clone(),
        });
        self.save().await
    }

    /// Takes what was written into the ledger, and into the account.
    async fn commit(&mut self, set: &str, delta: Delta) -> Result<(), ApplyError> {
        let had_intent = self.ledger.intent.take().is_some();
        let changes_ledger = !delta.is_empty();
        let now = self.clock.now();
        let additions = delta.additions.len() as u64;
        for (network, entry) in delta.additions {
            self.take_in(set, network, entry, "");
        }
        if additions > 0 {
            self.ledger.added.push(Added { time: now, entries: additions });
        }
        for (network, entry) in delta.renewals {
            let reason = format!("{}; until {}", entry.cause.reason, entry.expires);
            self.tell(Event::Renew, set, network, reason);
            self.ledger.entries.insert(network, entry);
        }
        for (network, why) in delta.removals {
            self.let_go(set, network, why, now);
        }
        for network in delta.overruled {
            self.ledger.overrule(network, now);
            let reason = "somebody else took it out of the set".to_owned();
            self.tell(Event::Override, set, network, reason);
            self.applied.overridden.push(network);
        }
        self.applied.done.extend(delta.done);
        if changes_ledger {
            self.ledger.serial += 1;
            self.ledger.last_operation = Some(self.operation.to_owned());
            self.ledger.forget(now);
        }
        if changes_ledger || had_intent {
            self.save().await?;
            self.hand_on().await;
        }
        Ok(())
    }

    fn take_in(&mut self, set: &str, network: IpNet, entry: Entry, note: &str) {
        let reason = format!("{}; until {}{note}", entry.cause.reason, entry.expires);
        self.tell(Event::Add, set, network, reason);
        self.ledger.past.remove(&network);
        self.ledger.entries.insert(network, entry);
    }

    fn let_go(&mut self, set: &str, network: IpNet, why: Removal, now: Timestamp) {
        let event = match why {
            Removal::Expired => Event::Expire,
            Removal::Pardoned => Event::Pardon,
            _ => Event::Remove,
        };
        self.ledger.end(network, why, now);
        self.tell(event, set, network, why.reason().to_owned());
    }

    fn tell(&mut self, event: Event, set: &str, network: IpNet, reason: String) {
        self.say(Said { event, set: Some(set.to_owned()), network: Some(network), reason });
    }

    /// Settles what an earlier run began: writes the set once more with the value it
    /// has, which shows that the value is the newest and that nothing older is on its
    /// way, and takes from it what became of each entry.
    async fn recover(&mut self, intent: &Intent, sets: &impl IpSets) -> Result<(), ApplyError> {
        let mut tries = 0;
        let current = loop {
            let current = self.read(sets, &intent.set).await?;
            let Err(error) = sets.write(&current).await else {
                break current;
            };
            tries += 1;
            self.applied.troubles += 1;
            if tries > MAX_CONFLICTS + MAX_TROUBLES || matches!(error, WriteError::Refused(_)) {
                return Err(ApplyError::Write { set: intent.set.clone(), tries, error });
            }
            self.pause(&intent.set, tries).await;
        };
        let now = self.clock.now();
        let note = format!(" (begun by {} as {})", intent.who, intent.operation);
        let mut additions = 0;
        for (network, entry) in &intent.additions {
            let is_there = current.addresses().contains(network);
            if is_there && !self.ledger.entries.contains_key(network) {
                self.take_in(&intent.set, *network, entry.clone(), &note);
                self.applied.recovered.push(*network);
                additions += 1;
            }
        }
        for (network, why) in &intent.removals {
            let is_ours = self.ledger.entries.contains_key(network);
            if is_ours && !current.addresses().contains(network) {
                self.let_go(&intent.set, *network, *why, now);
                self.applied.recovered.push(*network);
            }
        }
        if additions > 0 {
            self.ledger.added.push(Added { time: now, entries: additions });
        }
        self.ledger.intent = None;
        if !self.applied.recovered.is_empty() {
            self.ledger.serial += 1;
            // The operation that was cut short may go on where it was.
            self.ledger.last_operation = Some(intent.operation.clone());
        }
        self.save().await?;
        self.hand_on().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
