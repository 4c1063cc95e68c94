//! What applying needs from the outside: sets, a ledger, and a clock.
//!
//! Each is a trait, so that AWS, a directory and memory can stand behind it, and so
//! that tests can fail every call in every way. What matters in each signature is what
//! an error *means*: whether the write is known not to have happened, or may yet
//! happen. A caller that guesses here loses somebody's edit.

use portcullis_ingest::Timestamp;

use crate::audit::AuditLine;
use crate::ipset::IpSet;
use crate::ledger::Ledger;

/// Why a set could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is no such set.
    #[error("there is no IP set `{0}`")]
    Missing(String),
    /// It may work later.
    #[error("{0}")]
    Temporary(String),
    /// It will not work by trying again.
    #[error("{0}")]
    Refused(String),
}

/// Why a set was not written, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Somebody else wrote the set after it was read. It was not written, and the
    /// value that was to be written is of no more use: read again and decide again.
    #[error("somebody else changed the set after it was read")]
    Stale,
    /// It was not written, and may be later.
    #[error("{0}")]
    Busy(String),
    /// It was not written, and will not be by trying again.
    #[error("{0}")]
    Refused(String),
    /// It may have been written, or may be written yet.
    #[error("{0}")]
    Unknown(String),
}

/// The IP sets of one target.
///
/// Implementations must not retry a write by themselves: the second try of a write
/// that had succeeded looks exactly like somebody else's, and [`WriteError::Stale`]
/// would no longer mean that nothing was written.
#[expect(async_fn_in_trait, reason = "callers are generic, so whether it is Send shows there")]
pub trait IpSets {
    /// The set of this name with its lock token. It may be a little old; a write with
    /// its token shows.
    async fn read(&self, name: &str) -> Result<IpSet, ReadError>;

    /// Replaces the whole value, description included, if the set still has the lock
    /// token of `set`.
    async fn write(&self, set: &IpSet) -> Result<(), WriteError>;
}

/// Names one stored version of a ledger: an `ETag`, or a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub String);

/// Why a ledger could not be read, or its account not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// Why a ledger was not saved, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaveError {
    /// The stored version is another one than was read, and not what was to be saved: that
    /// was not saved, or somebody else has read it and saved over it.
    #[error("somebody else changed the ledger after it was read")]
    Conflict,
    /// It may have been saved, or may be saved yet.
    #[error("{0}")]
    Unknown(String),
    /// It was not saved.
    #[error("{0}")]
    Refused(String),
}

/// Where the ledger of one target is kept, and its account.
#[expect(async_fn_in_trait, reason = "callers are generic, so whether it is Send shows there")]
pub trait LedgerStore {
    /// The ledger and its version; `None` when there has never been one. What is there
    /// and cannot be read is an error.
    async fn load(&self) -> Result<Option<(Ledger, Version)>, StoreError>;

    /// Saves the ledger if the stored version is still `replaces`, or if there is none
    /// and `replaces` is `None`. It reads back what was saved before, at once.
    async fn save(&self, ledger: &Ledger, replaces: Option<&Version>)
    -> Result<Version, SaveError>;

    /// Stores lines of the account. A line whose sequence number is stored already is
    /// left as it is: lines are handed on again after a crash.
    async fn append_audit(&self, lines: &[AuditLine]) -> Result<(), StoreError>;

    /// The whole account, as [`crate::verify_audit`] reads it.
    async fn audit(&self) -> Result<String, StoreError>;

    /// Whether the account has a line.
    async fn has_account(&self) -> Result<bool, StoreError> {
        Ok(!self.audit().await?.is_empty())
    }

    /// Whether a ledger that was not found was there before: an account of what it knew is.
    /// A ledger is saved before its account, so that the first one, made meanwhile, is found.
    async fn is_lost(&self) -> Result<bool, StoreError> {
        Ok(self.has_account().await? && self.load().await?.is_none())
    }

    /// Whether the kill switch is pulled, and what was written on it.
    async fn halted(&self) -> Result<Option<String>, StoreError>;
}

/// Time, and how to let it pass.
#[expect(async_fn_in_trait, reason = "callers are generic, so whether it is Send shows there")]
pub trait Clock {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Returns after about so many milliseconds.
    async fn wait(&self, milliseconds: u64);
}
