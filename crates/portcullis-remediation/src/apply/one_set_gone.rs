//! A set that cannot be reached keeps its entries, and keeps no block alive in another.

use std::cell::Cell;

use super::tests::{SOURCE, Standing, add, at_once, changes};
use super::*;
use crate::ipset::Sets;
use crate::ledger::{Entry, Intent, Ledger};
use crate::memory::{MemoryIpSets, MemoryLedger};
use crate::store::{ReadError, WriteError};
use crate::testing::{entry, ledger, network, now};

const OTHER: &str = "2001:db8:0:7::/64";
const V4: &str = "portcullis-v4";
const V6: &str = "portcullis-v6";

/// What happens to whoever wants one of the sets.
#[derive(Clone)]
enum Trouble {
    Gone,
    Denied,
    /// Writes are not carried out and not answered.
    Silent,
}

struct Troubled {
    sets: MemoryIpSets,
    store: MemoryLedger,
    set: &'static str,
    trouble: Option<Trouble>,
}

impl Troubled {
    /// Two sets with an entry of ours each whose time is over.
    fn new(set: &'static str, trouble: Trouble) -> Self {
        let mut owning = ledger();
        let mut sets: Vec<IpSet> = Sets::empty().iter().cloned().collect();
        for (place, (name, text)) in [(V4, SOURCE), (V6, OTHER)].into_iter().enumerate() {
            let entry = Entry { set: name.to_owned(), expires: now(), ..entry("op-1") };
            owning.entries.insert(network(text), entry);
            sets[place].insert(network(text)).expect("a valid entry");
        }
        let sets = MemoryIpSets::new(&Sets::new(sets).expect("two names"));
        Self { sets, store: MemoryLedger::new(&owning), set, trouble: Some(trouble) }
    }

    fn apply(&self, changes: &Changes) -> Result<Applied, ApplyError> {
        let list = NeverBlock::parse("list", "198.51.100.0/24").expect("a list");
        let order = Order::new(&changes.target, "tests", Some(&list));
        at_once(apply(changes, &order, self, &self.store, &Standing(Cell::new(now()))))
    }

    fn expire(&self, operation: &str) -> Applied {
        let changes = Changes::expire(&self.ledger(), None, operation, now());
        self.apply(&changes).expect("the other set is dealt with")
    }

    fn ledger(&self) -> Ledger {
        self.store.get().expect("it is there")
    }

    /// What is in the sets, and what is ours.
    fn left(&self) -> (Vec<String>, Vec<String>) {
        let sets = [V4, V6].map(|name| self.sets.get(name).expect("it is there"));
        let there = sets.iter().flat_map(|set| set.addresses().iter().map(ToString::to_string));
        (there.collect(), self.ledger().entries().keys().map(ToString::to_string).collect())
    }
}

impl IpSets for Troubled {
    async fn read(&self, name: &str) -> Result<IpSet, ReadError> {
        match self.trouble {
            Some(Trouble::Gone) if name == self.set => Err(ReadError::Missing(name.to_owned())),
            _ => self.sets.read(name).await,
        }
    }

    async fn write(&self, set: &IpSet) -> Result<(), WriteError> {
        match self.trouble {
            Some(Trouble::Denied) if set.name() == self.set => {
                Err(WriteError::Refused("not allowed".to_owned()))
            }
            Some(Trouble::Silent) if set.name() == self.set => {
                Err(WriteError::Unknown("no answer".to_owned()))
            }
            _ => self.sets.write(set).await,
        }
    }
}

#[test]
fn a_set_that_cannot_be_reached_keeps_its_entries_and_the_others_lose_theirs() {
    for trouble in [Trouble::Gone, Trouble::Denied, Trouble::Silent] {
        for (set, kept) in [(V4, SOURCE), (V6, OTHER)] {
            let mut troubled = Troubled::new(set, trouble.clone());
            for operation in ["op-2", "op-3"] {
                let applied = troubled.expire(operation);
                assert_eq!(applied.unreached.len(), 1, "{:?}", applied.unreached);
                assert!(applied.unreached[0].to_string().contains(set));
                let only = vec![kept.to_owned()];
                assert_eq!(troubled.left(), (only.clone(), only));
            }
            assert_eq!(troubled.ledger().failed_runs(), 0);
            troubled.trouble = None;
            let applied = troubled.expire("op-4");
            assert_eq!((applied.unreached, applied.overridden), (Vec::new(), Vec::new()));
            assert_eq!(troubled.left(), (Vec::new(), Vec::new()));
            assert_eq!(troubled.ledger().intent(), None);
        }
    }
}

#[test]
fn what_was_begun_in_a_set_that_is_gone_is_not_forgotten_and_stops_nothing_elsewhere() {
    let mut troubled = Troubled::new(V4, Trouble::Gone);
    let begun = Intent {
        operation: "op-0".to_owned(),
        who: "another".to_owned(),
        plan_sha256: None,
        set: V4.to_owned(),
        base_sha256: "11".to_owned(),
        target_sha256: "22".to_owned(),
        additions: [(network("198.18.0.2/32"), entry("op-0"))].into(),
        removals: [].into(),
    };
    let owning = Ledger { intent: Some(begun.clone()), ..troubled.ledger() };
    troubled.store = MemoryLedger::new(&owning);
    let applied = troubled.expire("op-2");
    assert_eq!(applied.unreached.len(), 1, "{:?}", applied.unreached);
    assert_eq!(troubled.ledger().intent(), Some(&begun));
    assert_eq!(troubled.left(), (vec![SOURCE.to_owned()], vec![SOURCE.to_owned()]));
    troubled.trouble = None;
    troubled.expire("op-3");
    assert_eq!((troubled.left(), troubled.ledger().intent()), ((Vec::new(), Vec::new()), None));
}

#[test]
fn a_plan_is_carried_out_in_all_its_sets_or_refused() {
    let troubled = Troubled::new(V6, Trouble::Gone);
    let mut both = changes(vec![add("198.18.0.3/32"), add("2001:db8:0:8::/64")]);
    if let Change::Add { set, .. } = &mut both.changes[1] {
        V6.clone_into(set);
    }
    let error = troubled.apply(&both).expect_err("one set is gone").to_string();
    assert_eq!(error, "failed to read set `portcullis-v6`: there is no IP set `portcullis-v6`");
    assert_eq!(troubled.left().0, [SOURCE, OTHER]);
    assert_eq!(troubled.ledger().failed_runs(), 1);
}
