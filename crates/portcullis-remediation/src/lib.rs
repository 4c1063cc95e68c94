//! Offenders → [`Plan`]: which IP-set changes an operator would make, and why not others.
//!
//! [`plan()`] takes what a scan found, what the [`Sets`] hold now, the networks that are
//! [`NeverBlock`] and a [`BlockPolicy`]. It gives the whole value that each set should
//! have and one [`Decision`] for every offender. Blocking the wrong party costs more
//! than missing the right one, so whatever is in doubt is withheld, with its reason.
//!
//! [`plan_reviewed()`] does it with what a person decided, the [`Rulings`].
//! [`plan_changes()`] does the same knowing the [`Ledger`] of what is ours, and
//! [`apply()`] carries its [`Changes`] out. [`Changes::expire`], [`Changes::rollback`],
//! [`Changes::release_all`] and [`Changes::pardon`] need no scan. [`promote()`] moves
//! entries from sets that count to sets that block, and [`Ledger::rebuild`] finds out
//! what is ours when the ledger is lost.
//!
//! Nothing here opens a file or a socket, reads a clock or the environment: texts, sets
//! and `now` are arguments, and what applying needs from outside are traits.

mod apply;
mod audit;
mod aws_ranges;
mod brake;
mod changes;
mod collateral;
mod decision;
mod delta;
mod explain;
mod fit;
mod grounds;
mod holdings;
mod input;
mod ipset;
mod ledger;
mod ledger_file;
mod memory;
mod merge;
mod network_list;
mod note;
mod plan;
mod plan_file;
mod plan_limits;
mod policy;
mod prefix;
mod promote;
mod protect;
mod rebuild;
mod ruling;
mod sets_file;
mod status;
mod store;
mod suggest;
mod target;
mod term;
#[cfg(test)]
mod testing;
mod worth;

pub use apply::{Applied, ApplyError, Order, apply};
pub use audit::{AuditError, AuditFault, AuditHead, AuditLine, Event, verify as verify_audit};
pub use aws_ranges::{AwsRange, AwsRanges, AwsRangesError, AwsRangesErrorKind, AwsService};
pub use brake::{
    BlastRadius, Brake, BrakeLimits, BrakeOverride, BrakeOverrideError, Braked, Figures, Origin,
};
pub use changes::{Change, Changes, Digests, Kind, PlanFileError, ReviewedChanges, SetBase};
pub use collateral::Collateral;
pub use decision::{Conflict, Decision, Outcome, Withheld};
pub use delta::Done;
pub use grounds::{EvidencePointer, Grounds, RuleGround};
pub use holdings::{BlockedRequests, Holdings};
pub use input::InputError;
pub use ipset::{EntryError, Family, IpSet, MAX_ADDRESSES, SetError, Sets};
pub use ledger::{
    Added, Cause, Entry, Intent, Lease, Ledger, LedgerStamp, Override, Past, Pointer, Removal,
};
pub use ledger_file::LedgerError;
pub use memory::{MemoryIpSets, MemoryLedger};
pub use merge::MergeLimits;
pub use network_list::{Assets, NetworkListError, NetworkListErrorKind, ReputationList};
pub use note::Note;
pub use plan::{Plan, plan, plan_changes, plan_reviewed};
pub use policy::BlockPolicy;
pub use prefix::{PrefixError, parse_address_or_network, parse_network};
pub use promote::{Held, Probation, Promotion, promote};
pub use protect::{NeverBlock, Protection, RESERVED, Reserved};
pub use rebuild::Rebuilt;
pub use ruling::{Ruled, Ruling, RulingError, Rulings, RulingsError, Undecided, parse_source};
pub use sets_file::{SetsError, SetsErrorKind};
pub use status::{SetStatus, Status, status};
pub use store::{
    Clock, IpSets, LedgerStore, ReadError, SaveError, StoreError, Version, WriteError,
};
pub use suggest::{Handle, Suggestion};
pub use target::{Scope, Target};
pub use term::{Terms, TermsError};
