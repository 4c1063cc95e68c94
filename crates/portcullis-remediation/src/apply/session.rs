//! Holds the lease, and keeps the ledger that is stored and the one in hand the same.
//!
//! Every save is a compare-and-swap and carries a name of its own. So a save of which
//! the answer was lost is recognised when the ledger is read, and a ledger that
//! somebody else has saved since is never written over.

use portcullis_ingest::Timestamp;
use sha2::{Digest, Sha256};

use super::{Applied, ApplyError, MAX_CONFLICTS, MAX_TROUBLES, Order};
use crate::audit::{Said, Speaker};
use crate::changes::Changes;
use crate::ipset::{IpSet, hexadecimal};
use crate::ledger::{Lease, Ledger};
use crate::store::{Clock, IpSets, LedgerStore, ReadError, SaveError, StoreError, Version};
use crate::term::{MINUTE_MS, later};

/// How long a lease lasts from the last save, in milliseconds. A guess: some hundred
/// times what a write takes, so that only the dead lose theirs.
const LEASE_MS: i64 = 5 * MINUTE_MS;

/// From when on after its first failure a call is not made again, in milliseconds. Ten tries
/// wait for some 16 seconds; where each try takes long itself, or is made of tries, this is
/// the end: two sets fail well within the four minutes that a run has, and an invocation.
pub(super) const PATIENCE_MS: i64 = 30_000;

/// One holder of the lease and the ledger as it last saved it.
pub(super) struct Session<'a, Store, Time> {
    store: &'a Store,
    pub(super) clock: &'a Time,
    pub(super) who: &'a str,
    pub(super) operation: &'a str,
    pub(super) plan_sha256: Option<&'a str>,
    pub(super) ledger: Ledger,
    version: Option<Version>,
    /// Saves so far, so that each has a name of its own.
    saves: u32,
    pub(super) applied: Applied,
    /// Whether a set was written as the changes want it.
    pub(super) has_written: bool,
}

impl<'a, Store: LedgerStore, Time: Clock> Session<'a, Store, Time> {
    /// Loads the ledger and takes the lease.
    pub(super) async fn open(
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
            has_written: false,
        };
        // Whoever saves first has the lease; the others look again, and see who it is.
        for _ in 0..MAX_CONFLICTS {
            session.look(order).await?;
            match session.save().await {
                Ok(()) => {
                    session.hand_on().await;
                    return Ok(session);
                }
                Err(ApplyError::LeaseLost) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ApplyError::LeaseLost)
    }

    /// Loads the ledger, unless it is lost or another target's, or somebody else has the lease.
    pub(super) async fn look(&mut self, order: &Order<'_>) -> Result<(), ApplyError> {
        if let Some((ledger, version)) = self.load().await? {
            self.ledger = ledger;
            self.version = Some(version);
        } else if self.store.is_lost().await? {
            return Err(ApplyError::LedgerLost);
        }
        if self.ledger.target() != order.target {
            return Err(ApplyError::OtherTarget {
                what: "ledger",
                expected: Box::new(order.target.clone()),
                found: Box::new(self.ledger.target().clone()),
            });
        }
        let now = self.clock.now();
        match self.ledger.lease() {
            Some(lease) if now < lease.expires && !order.takes_lease => {
                Err(ApplyError::Leased(lease.clone()))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn load(&mut self) -> Result<Option<(Ledger, Version)>, ApplyError> {
        let begun = self.clock.now();
        let mut attempt = 0;
        loop {
            match self.store.load().await {
                Ok(found) => return Ok(found),
                Err(error) if attempt >= MAX_TROUBLES || self.is_over(begun) => {
                    return Err(error.into());
                }
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
    pub(super) async fn save(&mut self) -> Result<(), ApplyError> {
        self.ledger.lease = Some(Lease {
            who: self.who.to_owned(),
            operation: self.operation.to_owned(),
            expires: later(self.clock.now(), LEASE_MS),
        });
        self.save_as_it_is().await
    }

    pub(super) async fn save_as_it_is(&mut self) -> Result<(), ApplyError> {
        self.saves += 1;
        let now = self.clock.now();
        // Two runs of one operation must not take each other's saves for their own.
        self.ledger.written_by = format!("{} {} {} {now}", self.operation, self.who, self.saves);
        let begun = now;
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
            if self.is_over(begun) {
                break;
            }
        }
        Err(last.into())
    }

    /// Hands lines of the account on. They leave the ledger with its next save.
    pub(super) async fn hand_on(&mut self) {
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
    pub(super) async fn close(&mut self) -> Result<(), ApplyError> {
        self.hand_on().await;
        self.ledger.lease = None;
        self.save_as_it_is().await
    }

    pub(super) fn say(&mut self, said: Said) {
        let speaker = Speaker {
            time: self.clock.now(),
            operation: self.operation,
            who: self.who,
            plan_sha256: self.plan_sha256,
        };
        let line = self.ledger.audit.extend(speaker, said);
        self.ledger.unsent.push(line);
    }

    /// Whether what failed first at that time has been tried for long enough.
    pub(super) fn is_over(&self, begun: Timestamp) -> bool {
        self.clock.now() >= later(begun, PATIENCE_MS)
    }

    /// Lets others go first. The wait grows and differs from writer to writer, so that
    /// those who met once do not meet again.
    pub(super) async fn pause(&self, subject: &str, attempt: u32) {
        let digest = Sha256::digest(format!("{} {} {subject} {attempt}", self.operation, self.who));
        let part = u64::from(u16::from_be_bytes([digest[0], digest[1]]));
        let base = 100_u64 << attempt.min(4);
        self.clock.wait(base + base * part / 65_536).await;
    }

    pub(super) async fn read(
        &mut self,
        sets: &impl IpSets,
        name: &str,
    ) -> Result<IpSet, ApplyError> {
        let begun = self.clock.now();
        let mut attempt = 0;
        loop {
            match sets.read(name).await {
                Ok(set) => return Ok(set),
                Err(ReadError::Temporary(_)) if attempt < MAX_TROUBLES && !self.is_over(begun) => {
                    self.applied.troubles += 1;
                    self.pause(name, attempt).await;
                    attempt += 1;
                }
                Err(error) => return Err(ApplyError::Read { set: name.to_owned(), error }),
            }
        }
    }
}
