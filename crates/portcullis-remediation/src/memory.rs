//! Sets and a ledger that live in memory, with the rules of the real ones.
//!
//! They refuse what WAF and a conditional write refuse, a stale token above all, so
//! that what works here is not mistaken about locks. They serve dry runs and tests;
//! faults are added around them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::audit::AuditLine;
use crate::ipset::{IpSet, Sets};
use crate::ledger::Ledger;
use crate::store::{IpSets, LedgerStore, ReadError, SaveError, StoreError, Version, WriteError};

/// IP sets in memory.
#[derive(Debug, Default)]
pub struct MemoryIpSets(Mutex<SetsState>);

#[derive(Debug, Default)]
struct SetsState {
    sets: BTreeMap<String, IpSet>,
    writes: u64,
}

impl SetsState {
    fn token(&mut self) -> String {
        self.writes += 1;
        format!("token-{}", self.writes)
    }
}

impl MemoryIpSets {
    /// These sets, with lock tokens of their own.
    pub fn new(sets: &Sets) -> Self {
        let mut state = SetsState::default();
        for set in sets {
            let token = state.token();
            state.sets.insert(set.name().to_owned(), set.clone().with_lock_token(Some(token)));
        }
        Self(Mutex::new(state))
    }

    /// The set as it is now.
    pub fn get(&self, name: &str) -> Option<IpSet> {
        locked(&self.0).sets.get(name).cloned()
    }

    /// How often a set was written, the first time included.
    pub fn writes(&self) -> u64 {
        locked(&self.0).writes
    }
}

impl IpSets for MemoryIpSets {
    async fn read(&self, name: &str) -> Result<IpSet, ReadError> {
        self.get(name).ok_or_else(|| ReadError::Missing(name.to_owned()))
    }

    async fn write(&self, set: &IpSet) -> Result<(), WriteError> {
        let mut state = locked(&self.0);
        let Some(stored) = state.sets.get(set.name()) else {
            return Err(WriteError::Refused(format!("there is no IP set `{}`", set.name())));
        };
        if stored.lock_token() != set.lock_token() {
            return Err(WriteError::Stale);
        }
        if stored.family() != set.family() {
            return Err(WriteError::Refused("a set keeps its family".to_owned()));
        }
        let token = state.token();
        state.sets.insert(set.name().to_owned(), set.clone().with_lock_token(Some(token)));
        Ok(())
    }
}

/// A ledger and its account in memory.
#[derive(Debug, Default)]
pub struct MemoryLedger(Mutex<LedgerState>);

#[derive(Debug, Default)]
struct LedgerState {
    /// As text, so that what cannot be written and read back shows.
    ledger: Option<(String, u64)>,
    account: Vec<AuditLine>,
    /// The number of the last line that was there before.
    told: u64,
    halted: Option<String>,
}

impl MemoryLedger {
    /// A store that holds this ledger.
    pub fn new(ledger: &Ledger) -> Self {
        let stored = Some((ledger.to_json(), 1));
        let unsent = ledger.unsent().first().map(|line| line.sequence);
        let told = unsent.map_or(ledger.audit_head().sequence, |first| first - 1);
        Self(Mutex::new(LedgerState { ledger: stored, told, ..LedgerState::default() }))
    }

    /// Pulls the kill switch, or lets it go.
    pub fn halt(&self, reason: Option<&str>) {
        locked(&self.0).halted = reason.map(str::to_owned);
    }

    /// The ledger as it is now.
    pub fn get(&self) -> Option<Ledger> {
        let state = locked(&self.0);
        let (text, _) = state.ledger.as_ref()?;
        Some(Ledger::from_json(text).expect("only ledgers are stored"))
    }
}

impl LedgerStore for MemoryLedger {
    async fn load(&self) -> Result<Option<(Ledger, Version)>, StoreError> {
        let state = locked(&self.0);
        let Some((text, version)) = &state.ledger else {
            return Ok(None);
        };
        let ledger = Ledger::from_json(text).map_err(|error| StoreError(error.to_string()))?;
        Ok(Some((ledger, Version(version.to_string()))))
    }

    async fn save(
        &self,
        ledger: &Ledger,
        replaces: Option<&Version>,
    ) -> Result<Version, SaveError> {
        let mut state = locked(&self.0);
        let stored = state.ledger.as_ref().map(|(_, version)| Version(version.to_string()));
        if stored.as_ref() != replaces {
            return Err(SaveError::Conflict);
        }
        let version = state.ledger.as_ref().map_or(0, |(_, version)| *version) + 1;
        state.ledger = Some((ledger.to_json(), version));
        Ok(Version(version.to_string()))
    }

    async fn append_audit(&self, lines: &[AuditLine]) -> Result<(), StoreError> {
        let mut state = locked(&self.0);
        for line in lines {
            let next = state.told + state.account.len() as u64 + 1;
            if line.sequence > next {
                let found = line.sequence;
                return Err(StoreError(format!("line {found} came before line {next}")));
            }
            if line.sequence == next {
                state.account.push(line.clone());
            }
        }
        Ok(())
    }

    async fn audit(&self) -> Result<String, StoreError> {
        let state = locked(&self.0);
        Ok(state.account.iter().map(|line| line.to_json() + "\n").collect())
    }

    async fn halted(&self) -> Result<Option<String>, StoreError> {
        Ok(locked(&self.0).halted.clone())
    }
}

/// A panic elsewhere leaves whole values behind: each is changed in one assignment.
fn locked<State>(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
