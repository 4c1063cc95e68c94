//! Why changes were not carried out.

use ipnet::IpNet;
use portcullis_ingest::Timestamp;

use crate::brake::{BrakeOverride, Braked};
use crate::ipset::Family;
use crate::ledger::{Lease, LedgerStamp};
use crate::store::{ReadError, StoreError, WriteError};
use crate::target::Target;

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
    /// The changes are of a time that has not come.
    #[error("the plan was made at {created_at}, and it is {now}; set the clock right")]
    NotYet {
        /// When they were made, by their own words.
        created_at: Timestamp,
        /// The time now.
        now: Timestamp,
    },
    /// The changes are for other sets than those of the target.
    #[error("the plan is for {}, and the target's sets are {}", listed(found), listed(expected))]
    OtherSets {
        /// The sets that the target lets additions go into.
        expected: Vec<String>,
        /// Those that the changes are for.
        found: Vec<String>,
    },
    /// A network is to enter a set of the other family.
    #[error(
        "{network} cannot be in the set {}, which holds {family}",
        listed(std::slice::from_ref(set))
    )]
    OtherFamily {
        /// The network.
        network: IpNet,
        /// The set.
        set: String,
        /// What it holds.
        family: Family,
    },
    /// The changes are for another account, region or scope.
    #[error("the {what} is for {found}, and this is {expected}")]
    OtherTarget {
        /// `plan` or `ledger`.
        what: &'static str,
        /// Where we are.
        expected: Box<Target>,
        /// What it is for.
        found: Box<Target>,
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
        planned: Box<LedgerStamp>,
        /// What is there.
        found: Box<LedgerStamp>,
    },
    /// A set has changed since the changes were made.
    #[error(
        "set `{set}` has changed since the plan was made; make a new one, or apply to what is there now"
    )]
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
    /// There is an account and no ledger. A new one would know nothing of what is ours in
    /// the sets, and would have to be taken away before the lost one can be made anew.
    #[error(
        "there is no ledger, and an account of changes is there: the ledger is lost, and with it \
         which entries are ours"
    )]
    LedgerLost,
    /// The ledger cannot be read or saved.
    #[error("failed to keep the ledger: {0}")]
    Store(#[from] StoreError),
}

/// `` `a`, `b` ``; names come out of files that anybody may have written.
fn listed(sets: &[String]) -> String {
    let sets: Vec<_> = sets.iter().map(|set| format!("`{}`", set.escape_debug())).collect();
    sets.join(", ")
}
