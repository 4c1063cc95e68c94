//! Finds out what is ours when the ledger is lost.
//!
//! A set does not say whose its entries are. Without the ledger two things still do:
//! the account, whose lines say what was put in and taken out and whose chain shows
//! when somebody altered it; and plans that are known to have been applied. What
//! neither names is somebody else's, and stays: rather is an entry of ours left behind
//! than one of theirs taken out.
//!
//! What is found comes back as a ledger in which every entry is already over. It serves
//! to release or to expire them; when they would have ended is not known any more.

use std::collections::BTreeMap;

use ipnet::IpNet;
use portcullis_ingest::Timestamp;

use crate::audit::{AuditError, AuditLine, Event, verify_lines};
use crate::changes::{Change, Changes};
use crate::ipset::Sets;
use crate::ledger::{Cause, Entry, Ledger};
use crate::target::Target;

/// A ledger made anew, and what could not be taken into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// The ledger; the account goes on where it was.
    pub ledger: Ledger,
    /// Networks that the account or a plan names and that no set holds any more.
    pub gone: Vec<IpNet>,
    /// Entries of the sets that nothing shows to be ours, by set. They are left alone.
    pub unclaimed: BTreeMap<String, Vec<IpNet>>,
}

impl Ledger {
    /// What is ours in `sets` by the `account` and by `applied`, plans of which somebody
    /// knows that they were carried out. `lineage` must be a text that is never used
    /// again.
    ///
    /// Fails when the account does not fit together: whoever can alter it could have
    /// entries of others taken out.
    pub fn rebuild(
        target: &Target,
        lineage: &str,
        account: &str,
        applied: &[Changes],
        sets: &Sets,
        now: Timestamp,
    ) -> Result<Rebuilt, AuditError> {
        let (lines, head) = verify_lines(account)?;
        let mut claimed = claimed(&lines);
        for changes in applied.iter().filter(|changes| changes.target == *target) {
            for change in &changes.changes {
                if let Change::Add { set, network, .. } = change {
                    claimed.entry(*network).or_insert_with(|| (set.clone(), &changes.operation));
                }
            }
        }
        let mut ledger = Self::new(target.clone(), lineage);
        ledger.audit = head;
        let mut gone = Vec::new();
        for (network, (set, operation)) in claimed {
            let is_there = sets.get(&set).is_some_and(|set| set.addresses().contains(&network));
            if is_there {
                ledger.entries.insert(network, over(set, operation, now));
            } else {
                gone.push(network);
            }
        }
        let mut unclaimed = BTreeMap::new();
        for set in sets {
            let is_ours = |network: &&IpNet| {
                ledger.entries.get(*network).is_some_and(|e| e.set == set.name())
            };
            let others: Vec<_> = set.addresses().iter().filter(|n| !is_ours(n)).copied().collect();
            if !others.is_empty() {
                unclaimed.insert(set.name().to_owned(), others);
            }
        }
        Ok(Rebuilt { ledger, gone, unclaimed })
    }
}

/// What the account says was put in and not taken out again: the set, and who did it.
fn claimed(lines: &[AuditLine]) -> BTreeMap<IpNet, (String, &str)> {
    let mut claimed = BTreeMap::new();
    for line in lines {
        let (Some(network), Some(set)) = (line.network, &line.set) else {
            continue;
        };
        match line.event {
            Event::Add => {
                claimed.insert(network, (set.clone(), line.operation.as_str()));
            }
            Event::Expire | Event::Remove | Event::Override | Event::Pardon => {
                claimed.remove(&network);
            }
            Event::Renew | Event::Release => {}
        }
    }
    claimed
}

/// An entry of which only the place and the operation are known.
fn over(set: String, operation: &str, now: Timestamp) -> Entry {
    Entry {
        set,
        operation: operation.to_owned(),
        added: now,
        renewed: None,
        expires: now,
        strikes: 1,
        cause: Cause {
            score: 0,
            rules: Vec::new(),
            reason: "found again in the account after the ledger was lost".to_owned(),
            evidence: Vec::new(),
            last: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditHead, Said, Speaker};
    use crate::testing::{cause, network, now, target};
    use crate::{Family, IpSet, Kind, Removal};

    /// An account of these events, and its head.
    fn account(events: &[(Event, &str)]) -> (String, AuditHead) {
        let mut head = AuditHead::default();
        let speaker = Speaker { time: now(), operation: "op-1", who: "tests", plan_sha256: None };
        let lines: Vec<_> = events
            .iter()
            .map(|(event, text)| {
                let said = Said {
                    event: *event,
                    set: Some("edge".to_owned()),
                    network: Some(network(text)),
                    reason: "a reason".to_owned(),
                };
                head.extend(speaker, said).to_json() + "\n"
            })
            .collect();
        (lines.concat(), head)
    }

    fn sets(entries: &[&str]) -> Sets {
        let mut set = IpSet::new("edge", Family::V4).expect("a valid name");
        for entry in entries {
            set.insert(network(entry)).expect("a valid entry");
        }
        Sets::new(vec![set]).expect("one set")
    }

    const ONE: &str = "198.18.0.1/32";
    const TWO: &str = "198.18.0.2/32";
    const THREE: &str = "198.18.0.3/32";
    const FOREIGN: &str = "203.0.113.7/32";

    fn rebuild(account: &str, applied: &[Changes], sets: &Sets) -> Result<Rebuilt, AuditError> {
        Ledger::rebuild(&target(), "lineage-2", account, applied, sets, now())
    }

    #[test]
    fn what_the_account_put_in_and_the_set_still_holds_is_ours_and_nothing_else() {
        let (text, head) = account(&[
            (Event::Add, ONE),
            (Event::Add, TWO),
            (Event::Add, THREE),
            (Event::Renew, ONE),
            (Event::Expire, TWO),
        ]);
        let found = rebuild(&text, &[], &sets(&[ONE, TWO, FOREIGN])).expect("it fits");
        let ours: Vec<_> = found.ledger.entries().keys().copied().collect();
        assert_eq!(ours, [network(ONE)]);
        assert_eq!(found.gone, [network(THREE)]);
        // Somebody else put the second in again after it had expired.
        assert_eq!(found.unclaimed["edge"], [network(TWO), network(FOREIGN)]);
        assert_eq!(found.ledger.audit_head(), &head);
        let released = Changes::release_all(&found.ledger, "op-9", now());
        assert_eq!(released.changes.len(), 1);
        let expired = Changes::expire(&found.ledger, None, "op-9", now());
        let remove =
            Change::Remove { set: "edge".to_owned(), network: network(ONE), why: Removal::Expired };
        assert_eq!(expired.changes, [remove]);
    }

    #[test]
    fn every_way_of_leaving_ends_the_claim() {
        for event in [Event::Expire, Event::Remove, Event::Override, Event::Pardon] {
            let (text, _) = account(&[(Event::Add, ONE), (event, ONE)]);
            let found = rebuild(&text, &[], &sets(&[ONE])).expect("it fits");
            assert!(found.ledger.entries().is_empty(), "{event:?}");
            let (text, _) = account(&[(Event::Add, ONE), (event, ONE), (Event::Add, ONE)]);
            let found = rebuild(&text, &[], &sets(&[ONE])).expect("it fits");
            assert_eq!(found.ledger.entries().len(), 1, "{event:?} and again");
        }
    }

    #[test]
    fn a_plan_that_was_applied_claims_what_it_added_in_its_own_target() {
        let plan = |target| {
            let mut changes = Changes::none(Kind::Plan, "op-7", &target, now());
            changes.changes.push(Change::Add {
                set: "edge".to_owned(),
                network: network(TWO),
                term_ms: 1,
                strikes: 1,
                cause: cause(),
            });
            changes
        };
        let found = rebuild("", &[plan(target())], &sets(&[TWO, FOREIGN])).expect("it fits");
        assert_eq!(found.ledger.entries()[&network(TWO)].operation, "op-7");
        assert_eq!(found.unclaimed["edge"], [network(FOREIGN)]);
        let other = crate::Target::new("444455556666", "eu-west-1", crate::Scope::Regional);
        let found = rebuild("", &[plan(other)], &sets(&[TWO])).expect("it fits");
        assert!(found.ledger.entries().is_empty());
    }

    #[test]
    fn an_account_that_was_altered_claims_nothing() {
        let (text, _) = account(&[(Event::Add, ONE), (Event::Add, TWO)]);
        let forged = text.replacen("198.18.0.1", "203.0.113.7", 1);
        let error = rebuild(&forged, &[], &sets(&[ONE, FOREIGN])).expect_err("altered");
        assert_eq!(error.line, 2);
    }
}
