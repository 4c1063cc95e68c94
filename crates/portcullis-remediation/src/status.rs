//! Holds the ledger against the sets and shows where they differ.
//!
//! Nothing is repaired here. A difference is usually a decision that somebody made in
//! the console, and whoever looks at the status is the one to judge it.

use std::collections::BTreeMap;

use ipnet::IpNet;
use portcullis_ingest::Timestamp;

use crate::brake::BrakeLimits;
use crate::decision::Conflict;
use crate::ipset::Sets;
use crate::ledger::{Entry, Ledger, Override};
use crate::note::is_nearly_full;
use crate::protect::NeverBlock;

/// The ledger and the sets, side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Status<'a> {
    /// Entries of ours that are in their set, and whose time is not over.
    pub blocked: BTreeMap<IpNet, &'a Entry>,
    /// Entries of ours whose time is over and that are still in their set: expiry has
    /// not run.
    pub overdue: BTreeMap<IpNet, &'a Entry>,
    /// Entries of ours that somebody else took out of their set, or whose set is not
    /// among those that were read. The next run notes the former as overrides.
    pub missing: BTreeMap<IpNet, &'a Entry>,
    /// Networks that a person decided about and that stay out for now.
    pub overrides: BTreeMap<IpNet, &'a Override>,
    /// For each set the entries that are somebody else's, how many entries there are,
    /// and how many it can hold.
    pub sets: Vec<SetStatus<'a>>,
    /// Entries, ours or not, that overlap a network that is never blocked.
    pub conflicts: Vec<Conflict>,
    /// Whether an earlier run was cut short and the next one has to settle it.
    pub is_unsettled: bool,
    /// Failed runs in a row, if they are so many that nothing is added any more.
    pub stopped_by_failures: Option<u32>,
    /// Additions of the last 24 hours, and the most that there may be.
    pub added_today: (u64, u64),
}

/// One set of a [`Status`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetStatus<'a> {
    /// The set's name.
    pub set: &'a str,
    /// Entries that are not ours.
    pub foreign: Vec<IpNet>,
    /// All entries.
    pub entries: usize,
    /// Most entries.
    pub limit: usize,
}

impl SetStatus<'_> {
    /// Whether the set is filled to 80 % or more.
    pub fn is_nearly_full(&self) -> bool {
        is_nearly_full(self.entries, self.limit)
    }
}

/// Compares; `never_block` may be missing, and conflicts are then not looked for.
pub fn status<'a>(
    ledger: &'a Ledger,
    sets: &'a Sets,
    never_block: Option<&NeverBlock>,
    limits: &BrakeLimits,
    now: Timestamp,
) -> Status<'a> {
    let mut status = Status {
        blocked: BTreeMap::new(),
        overdue: BTreeMap::new(),
        missing: BTreeMap::new(),
        overrides: BTreeMap::new(),
        sets: Vec::new(),
        conflicts: never_block.map(|list| crate::plan::conflicts(sets, list)).unwrap_or_default(),
        is_unsettled: ledger.intent().is_some(),
        stopped_by_failures: Some(ledger.failed_runs())
            .filter(|failed| *failed >= limits.failing_runs),
        added_today: (ledger.added_within_a_day(now), limits.adds_per_day),
    };
    for (network, entry) in ledger.entries() {
        let is_there = sets.get(&entry.set).is_some_and(|set| set.addresses().contains(network));
        let list = match (is_there, entry.expires <= now) {
            (false, _) => &mut status.missing,
            (true, true) => &mut status.overdue,
            (true, false) => &mut status.blocked,
        };
        list.insert(*network, entry);
    }
    let holds = |decision: &Override| now < decision.until;
    let overrides = ledger.overrides().iter().filter(|(_, decision)| holds(decision));
    status.overrides = overrides.map(|(network, decision)| (*network, decision)).collect();
    status.sets = sets
        .iter()
        .map(|set| {
            let is_ours = |network: &&IpNet| {
                ledger.entries().get(*network).is_some_and(|entry| entry.set == set.name())
            };
            let foreign = set.addresses().iter().filter(|network| !is_ours(network));
            SetStatus {
                set: set.name(),
                foreign: foreign.copied().collect(),
                entries: set.addresses().len(),
                limit: crate::MAX_ADDRESSES,
            }
        })
        .collect();
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{entry, ledger, network, now};
    use crate::{Family, IpSet};

    #[test]
    fn what_differs_is_shown_and_nothing_is_repaired() {
        let mut ledger = ledger();
        let (there, late, gone) =
            (network("198.18.0.1/32"), network("198.18.0.2/32"), network("198.18.0.3/32"));
        ledger.entries.insert(there, entry("op-1"));
        ledger.entries.insert(late, Entry { expires: now(), ..entry("op-1") });
        ledger.entries.insert(gone, entry("op-1"));
        ledger.decide(network("198.18.0.4/32"), "pardoned", now());
        ledger.failed_runs = 3;
        let mut set = IpSet::new("portcullis-v4", Family::V4).expect("a valid name");
        let foreign = network("203.0.113.7/32");
        for entry in [there, late, foreign] {
            set.insert(entry).expect("a valid entry");
        }
        let sets = Sets::new(vec![set]).expect("one set");
        let list = NeverBlock::parse("list", "203.0.113.0/24 partner").expect("a list");
        let limits = BrakeLimits::default();
        let status = status(&ledger, &sets, Some(&list), &limits, now());
        let names = |list: &BTreeMap<IpNet, &Entry>| list.keys().copied().collect::<Vec<_>>();
        assert_eq!(names(&status.blocked), [there]);
        assert_eq!(names(&status.overdue), [late]);
        assert_eq!(names(&status.missing), [gone]);
        assert_eq!(status.overrides.len(), 1);
        assert_eq!(status.sets[0].foreign, [foreign]);
        assert!(!status.sets[0].is_nearly_full());
        assert_eq!(status.conflicts[0].entry, foreign);
        assert_eq!((status.stopped_by_failures, status.added_today), (Some(3), (0, 500)));
        assert!(!status.is_unsettled);
    }

    #[test]
    fn a_set_is_nearly_full_from_four_fifths_on() {
        let filled =
            |entries| SetStatus { set: "any", foreign: Vec::new(), entries, limit: 10_000 };
        assert!(!filled(7_999).is_nearly_full());
        assert!(filled(8_000).is_nearly_full());
    }
}
