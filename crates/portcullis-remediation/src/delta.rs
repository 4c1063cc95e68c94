//! Holds changes against one set as it was just read, and says what is left to do.
//!
//! Between a plan and its application, and again between two tries, others may have
//! changed the set, the ledger or the never-block list. So every change is asked again
//! whether it still holds: what is there already is somebody else's, what is gone was
//! taken out by a person, what is protected by now is left out. Only our own
//! differences are carried over; the rest of the set is taken from the latest read.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use portcullis_ingest::Timestamp;

use crate::changes::{Change, Changes};
use crate::ipset::{IpSet, MAX_ADDRESSES};
use crate::ledger::{Entry, Ledger, Removal};
use crate::protect::{NeverBlock, Protection};
use crate::term::later;

/// What became of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// The network is in the set now, and ours.
    Added,
    /// The entry stays longer now.
    Renewed,
    /// The entry is not in the set any more.
    Removed,
    /// The network's strikes are forgotten; it was in no set.
    Forgiven,
    /// It was to leave, and somebody else had taken it out before.
    AlreadyGone,
    /// It was ours already.
    AlreadyOurs,
    /// Somebody else's entry holds it already.
    AlreadyThere(IpNet),
    /// The network is not ours, so that it is neither renewed nor removed.
    NotOurs,
    /// Its time is not over any more: it was renewed in between.
    NotDue,
    /// A person decided about it, and the cool-off has not ended.
    Overridden,
    /// It overlaps a network that is never blocked.
    Protected(Protection),
    /// There is no operator's never-block list, or it could not be read: nothing is
    /// blocked without one.
    NoNeverBlockList,
    /// The set is full.
    SetFull {
        /// Entries that it may hold.
        limit: usize,
    },
}

/// What is left to do to one set.
#[derive(Debug, Clone)]
pub(crate) struct Delta {
    /// The set as it should be.
    pub(crate) target: IpSet,
    /// Ours once the target is written.
    pub(crate) additions: BTreeMap<IpNet, Entry>,
    /// Not ours any more once the target is written.
    pub(crate) removals: BTreeMap<IpNet, Removal>,
    /// Ours by the ledger, and taken out of the set by somebody else.
    pub(crate) overruled: BTreeSet<IpNet>,
    /// Entries as they are after their renewal.
    pub(crate) renewals: BTreeMap<IpNet, Entry>,
    /// What became of each change, in their order.
    pub(crate) done: Vec<(Change, Done)>,
}

impl Delta {
    /// Whether the set has to be written: either its value changes, or ownership is
    /// given up. A read may be old, and only a write that its lock token lets through
    /// proves that an entry is really gone.
    pub(crate) fn needs_write(&self, current: &IpSet) -> bool {
        self.target.addresses() != current.addresses()
            || !self.removals.is_empty()
            || !self.overruled.is_empty()
    }

    /// Whether the ledger changes at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.additions.is_empty()
            && self.removals.is_empty()
            && self.overruled.is_empty()
            && self.renewals.is_empty()
    }
}

/// What earlier tries may have carried out, for their answers were lost.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unsettled {
    /// If these are in the set, they are ours.
    pub(crate) additions: BTreeMap<IpNet, Entry>,
    /// If these are not, it was us who took them out.
    pub(crate) removals: BTreeSet<IpNet>,
}

impl Unsettled {
    /// Takes in what a try was to do.
    pub(crate) fn extend(&mut self, delta: Delta) {
        self.additions.extend(delta.additions);
        self.removals.extend(delta.removals.into_keys());
    }
}

/// What the changes are held against.
#[derive(Clone, Copy)]
pub(crate) struct Situation<'a> {
    pub(crate) ledger: &'a Ledger,
    /// `None` when there is none or it could not be read.
    pub(crate) never_block: Option<&'a NeverBlock>,
    /// Most entries in one set.
    pub(crate) max_addresses: usize,
    pub(crate) now: Timestamp,
}

/// Says what is left to do to the set `current`, after tries that are `unsettled`.
pub(crate) fn delta(
    changes: &Changes,
    current: &IpSet,
    unsettled: &Unsettled,
    situation: Situation<'_>,
) -> Delta {
    let mut delta = Delta {
        target: current.clone(),
        additions: BTreeMap::new(),
        removals: BTreeMap::new(),
        overruled: BTreeSet::new(),
        renewals: BTreeMap::new(),
        done: Vec::new(),
    };
    let here = |change: &&Change| change.set() == current.name();
    let is_removal = |change: &&Change| matches!(change, Change::Remove { .. });
    // What leaves makes room for what comes.
    for change in changes.changes.iter().filter(here).filter(is_removal) {
        let done = remove(change, current, unsettled, situation, &mut delta);
        delta.done.push((change.clone(), done));
    }
    for (network, entry) in situation.ledger.entries() {
        let gone = entry.set == current.name() && !current.addresses().contains(network);
        if gone && !delta.removals.contains_key(network) {
            delta.overruled.insert(*network);
        }
    }
    for change in changes.changes.iter().filter(here).filter(|change| !is_removal(change)) {
        let done = place(change, &changes.operation, current, unsettled, situation, &mut delta);
        delta.done.push((change.clone(), done));
    }
    // An earlier try may have put in what is not wanted any more, or what no longer
    // fits: it is ours all the same, and the ledger must know it.
    for (network, entry) in &unsettled.additions {
        if current.addresses().contains(network) && !delta.additions.contains_key(network) {
            delta.additions.insert(*network, entry.clone());
        }
    }
    delta
}

fn remove(
    change: &Change,
    current: &IpSet,
    unsettled: &Unsettled,
    situation: Situation<'_>,
    delta: &mut Delta,
) -> Done {
    let Change::Remove { set, network, why } = change else {
        unreachable!("only removals come here");
    };
    let Some(entry) = situation.ledger.entries().get(network).filter(|entry| entry.set == *set)
    else {
        return Done::NotOurs;
    };
    if *why == Removal::Expired && situation.now < entry.expires {
        return Done::NotDue;
    }
    if !current.addresses().contains(network) && !unsettled.removals.contains(network) {
        // A pardon says more than whoever took it out: the strikes are forgotten too.
        if *why == Removal::Pardoned {
            delta.removals.insert(*network, *why);
            return Done::Forgiven;
        }
        return Done::AlreadyGone;
    }
    delta.target.remove(network);
    delta.removals.insert(*network, *why);
    Done::Removed
}

fn place(
    change: &Change,
    operation: &str,
    current: &IpSet,
    unsettled: &Unsettled,
    situation: Situation<'_>,
    delta: &mut Delta,
) -> Done {
    let Situation { ledger, never_block, max_addresses, now } = situation;
    let (Change::Add { set, network, term_ms, strikes, cause }
    | Change::Renew { set, network, term_ms, strikes, cause }) = change
    else {
        unreachable!("removals go elsewhere");
    };
    let ours = ledger.entries().get(network);
    if ours.is_some() && delta.overruled.contains(network) {
        return Done::Overridden;
    }
    // A person's decision and a missing list also hold for a longer stay.
    if ledger.override_of(*network, now).is_some() {
        return Done::Overridden;
    }
    let Some(list) = never_block.filter(|list| list.operator_entries() > 0) else {
        return Done::NoNeverBlockList;
    };
    if let Some(protection) = list.protection(*network) {
        return Done::Protected(protection);
    }
    let expires = later(now, *term_ms);
    match (change, ours) {
        (Change::Renew { .. }, None) => Done::NotOurs,
        (Change::Renew { .. }, Some(entry)) => {
            if delta.removals.contains_key(network) || entry.set != *set {
                return Done::NotOurs;
            }
            let renewed = Entry {
                renewed: Some(now),
                expires: entry.expires.max(expires),
                strikes: *strikes,
                cause: cause.clone(),
                ..entry.clone()
            };
            if entry.cause == renewed.cause && entry.strikes == renewed.strikes {
                return Done::AlreadyOurs;
            }
            delta.renewals.insert(*network, renewed);
            Done::Renewed
        }
        (_, Some(_)) => Done::AlreadyOurs,
        (_, None) if delta.additions.contains_key(network) => Done::AlreadyOurs,
        (_, None) => {
            let there = current.covering(*network);
            let may_be_ours = unsettled.additions.contains_key(network);
            if let Some(entry) = there.filter(|entry| !(may_be_ours && entry == network)) {
                return Done::AlreadyThere(entry);
            }
            let limit = max_addresses.min(MAX_ADDRESSES);
            if there.is_none() && delta.target.addresses().len() >= limit {
                return Done::SetFull { limit };
            }
            if delta.target.insert(*network).is_err() {
                return Done::SetFull { limit };
            }
            let entry = Entry {
                set: set.clone(),
                operation: operation.to_owned(),
                added: now,
                renewed: None,
                expires,
                strikes: *strikes,
                cause: cause.clone(),
            };
            delta.additions.insert(*network, entry);
            Done::Added
        }
    }
}
