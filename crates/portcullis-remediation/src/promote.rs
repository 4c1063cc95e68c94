//! Decides which entries of canary sets have earned their place in a set that blocks.
//!
//! A canary set is used by a rule that counts and lets pass. So an entry in it shows,
//! without harm to anybody, what its block would do: if the requests that keep coming
//! from it are bad ones, it is promoted when its probation is over; if honest requests
//! are among them, it is not, whatever the score. Who does not come back is not
//! promoted either; its term ends in the canary set.
//!
//! A promotion is two operations, one after the other: the entry leaves the canary set,
//! and it enters a set that blocks. If only the first is carried out nothing is lost
//! but time: the source passes and is found again. The never-block list, a person's
//! decision and the brakes are asked again when the second is applied, as with every
//! addition.

use std::collections::BTreeMap;
use std::fmt;

use ipnet::IpNet;
use portcullis_detection::Findings;
use portcullis_ingest::Timestamp;

use crate::brake::Figures;
use crate::changes::{Change, Changes, Kind};
use crate::ipset::{Family, MAX_ADDRESSES, Sets};
use crate::ledger::{Cause, Entry, Ledger, Removal};
use crate::term::{HOUR_MS, MOST_AHEAD_MS, Terms, later};

/// What a canary has to stand before it blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probation {
    /// How long an entry must have been in a canary set, in milliseconds.
    pub length_ms: i64,
    /// Good requests from the entry from which on it is not promoted, in thousandths of
    /// all its requests.
    pub good_share: u64,
    /// Most entries in one set; above [`MAX_ADDRESSES`] it counts as that.
    pub max_addresses: usize,
    /// How long the promoted are blocked.
    pub terms: Terms,
}

impl Default for Probation {
    /// One hour, and 1 % of the requests. Both are guesses.
    fn default() -> Self {
        Self {
            length_ms: HOUR_MS,
            good_share: 10,
            max_addresses: MAX_ADDRESSES,
            terms: Terms::default(),
        }
    }
}

/// Why an entry stays in its canary set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Its probation is not over.
    OnProbation {
        /// When it is.
        until: Timestamp,
    },
    /// Nothing was heard of it in the logs that were scanned.
    Quiet,
    /// Too many of its requests were good ones.
    GoodRequests {
        /// Good requests.
        good_requests: u64,
        /// All requests.
        requests: u64,
    },
    /// No set of its family that blocks has room.
    NoRoom,
}

/// `2 of 31 requests were good ones`.
impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnProbation { until } => write!(f, "its probation ends {until}"),
            Self::Quiet => f.write_str("nothing came from it since, in these logs"),
            Self::GoodRequests { good_requests, requests } => {
                write!(f, "{good_requests} of its {requests} requests were good ones")
            }
            Self::NoRoom => f.write_str("no set that blocks has room for it"),
        }
    }
}

/// What is to be done to promote canaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotion {
    /// Takes the entries out of the canary sets. To be applied first.
    pub leave: Changes,
    /// Puts them into sets that block. To be applied when the first was.
    pub block: Changes,
    /// Entries that stay where they are, and why.
    pub held: BTreeMap<IpNet, Held>,
}

/// Decides about every entry of ours in the sets `canary`; `blocking` are the sets that
/// the promoted enter. The findings are of logs that begin no later than the probation;
/// an entry of which nothing is younger than itself counts as quiet.
/// `operations` names the two operations; no name is ever used twice.
pub fn promote(
    findings: &Findings,
    ledger: &Ledger,
    canary: &Sets,
    blocking: &Sets,
    probation: &Probation,
    operations: [&str; 2],
    now: Timestamp,
) -> Promotion {
    let coverage = &findings.coverage;
    let [leave, block] = operations.map(|operation| Changes {
        figures: Figures {
            records: coverage.records,
            unreadable: coverage.rejected(),
            ..Figures::default()
        },
        ..Changes::none(Kind::Plan, operation, ledger.target(), now)
    });
    let mut promotion = Promotion { leave, block, held: BTreeMap::new() };
    let mut blocking = blocking.clone();
    let limit = probation.max_addresses.min(MAX_ADDRESSES);
    for (network, entry) in ledger.entries() {
        let is_there = canary.get(&entry.set).is_some_and(|set| set.addresses().contains(network));
        if !is_there || entry.expires <= now {
            continue;
        }
        if let Some(held) = held(*network, entry, findings, probation, now) {
            promotion.held.insert(*network, held);
            continue;
        }
        let mut sets = blocking.of_family(Family::of(*network));
        let Some(set) = sets.find(|set| set.addresses().len() < limit) else {
            promotion.held.insert(*network, Held::NoRoom);
            continue;
        };
        set.insert(*network).expect("an entry of one set fits every set of its family");
        promotion.leave.changes.push(Change::Remove {
            set: entry.set.clone(),
            network: *network,
            why: Removal::Promoted,
        });
        promotion.block.changes.push(Change::Add {
            set: set.name().to_owned(),
            network: *network,
            term_ms: probation.terms.term_ms(entry.strikes, operations[1], *network),
            strikes: entry.strikes,
            cause: Cause {
                last: fired_last(*network, findings, now).max(entry.cause.last),
                ..entry.cause.clone()
            },
        });
    }
    promotion
}

/// Why the entry is not promoted yet.
fn held(
    network: IpNet,
    entry: &Entry,
    findings: &Findings,
    probation: &Probation,
    now: Timestamp,
) -> Option<Held> {
    let until = later(entry.added, probation.length_ms);
    if now < until {
        return Some(Held::OnProbation { until });
    }
    let sources = findings.offenders.iter().chain(&findings.watched);
    let inside = || sources.clone().filter(|offender| network.contains(&offender.source));
    let requests: u64 = inside().map(|offender| offender.requests).sum();
    // What it did before it was in the set is why it is there, and shows nothing new.
    // What is ahead of the clock was made nobody knows when.
    let since = entry.added..=later(now, MOST_AHEAD_MS);
    let is_since = |last| last != entry.added && since.contains(&last);
    let came_back = inside().any(|offender| offender.last.is_none_or(is_since));
    if requests == 0 || !came_back {
        return Some(Held::Quiet);
    }
    // What strangers inside the network did well counts too, where that was counted.
    let good_requests = match &findings.traffic {
        Some(traffic) => traffic.within(network).map(|(_, well)| well.good_requests).sum(),
        None => inside().map(|offender| offender.good_requests).sum::<u64>(),
    };
    let too_many = good_requests > 0 && good_requests * 1_000 >= requests * probation.good_share;
    too_many.then_some(Held::GoodRequests { good_requests, requests })
}

/// When a rule fired last for a source inside the network, as far as the clock bears it out.
fn fired_last(network: IpNet, findings: &Findings, now: Timestamp) -> Option<Timestamp> {
    let latest = later(now, MOST_AHEAD_MS);
    let sources = findings.offenders.iter().chain(&findings.watched);
    let inside = sources.filter(|offender| network.contains(&offender.source));
    let detections = inside.flat_map(|offender| &offender.detections);
    detections.filter_map(|detection| detection.last).filter(|last| *last <= latest).max()
}

#[cfg(test)]
mod tests {
    use portcullis_detection::{Offender, SourceTraffic, Traffic};

    use super::*;
    use crate::IpSet;
    use crate::term::MINUTE_MS;
    use crate::testing::{entry, findings, ledger, network, now, offender};

    const SOURCE: &str = "198.18.0.1/32";

    fn set(name: &str, entries: &[&str]) -> Sets {
        let mut set = IpSet::new(name, Family::V4).expect("a valid name");
        for entry in entries {
            set.insert(network(entry)).expect("a valid entry");
        }
        Sets::new(vec![set]).expect("one set")
    }

    /// In the canary set since so many minutes.
    fn on_probation(minutes: i64) -> Ledger {
        let mut ledger = ledger();
        let since = later(now(), -minutes * MINUTE_MS);
        let entry = Entry { set: "canary".to_owned(), added: since, strikes: 2, ..entry("op-1") };
        ledger.entries.insert(network(SOURCE), entry);
        ledger
    }

    fn promoted(findings: &Findings, ledger: &Ledger, room: usize) -> Promotion {
        let probation = Probation { max_addresses: room, ..Probation::default() };
        let (canary, blocking) = (set("canary", &[SOURCE]), set("block", &["203.0.113.7/32"]));
        promote(findings, ledger, &canary, &blocking, &probation, ["op-2", "op-3"], now())
    }

    #[track_caller]
    fn check(offenders: Vec<Offender>, minutes: i64, room: usize, expected: Option<&str>) {
        let promotion = promoted(&findings(offenders, &[]), &on_probation(minutes), room);
        let held = promotion.held.get(&network(SOURCE)).map(Held::to_string);
        assert_eq!(held.as_deref(), expected);
        let is_promoted = usize::from(expected.is_none());
        assert_eq!(promotion.leave.changes.len(), is_promoted);
        assert_eq!(promotion.block.changes.len(), is_promoted);
    }

    fn back(requests: u64, good_requests: u64) -> Vec<Offender> {
        let [one, other] = [offender(SOURCE), offender("198.18.0.2/32")];
        let last = Some(now());
        vec![Offender { requests, good_requests, last, ..one }, other]
    }

    #[test]
    fn a_canary_that_goes_on_attacking_is_promoted_after_its_probation() {
        check(back(40, 0), 60, 10, None);
        check(back(40, 0), 59, 10, Some("its probation ends 2025-11-04T09:13:00.000Z"));
        let promotion = promoted(&findings(back(40, 0), &[]), &on_probation(90), 10);
        let [Change::Remove { set, why: Removal::Promoted, .. }] = &promotion.leave.changes[..]
        else {
            panic!("{:?}", promotion.leave.changes)
        };
        assert_eq!(set, "canary");
        let [Change::Add { set, network: added, strikes: 2, term_ms, .. }] =
            &promotion.block.changes[..]
        else {
            panic!("{:?}", promotion.block.changes)
        };
        assert_eq!((set.as_str(), *added), ("block", network(SOURCE)));
        assert_eq!(*term_ms, Terms::default().term_ms(2, "op-3", network(SOURCE)));
        assert_eq!([&promotion.leave.operation, &promotion.block.operation], ["op-2", "op-3"]);
    }

    #[test]
    fn honest_requests_and_silence_hold_it_back() {
        check(back(1_000, 9), 60, 10, None);
        check(back(1_000, 10), 60, 10, Some("10 of its 1000 requests were good ones"));
        check(
            vec![offender("198.18.0.2/32")],
            60,
            10,
            Some("nothing came from it since, in these logs"),
        );
        check(back(40, 0), 60, 1, Some("no set that blocks has room for it"));
        let before = later(now(), -60 * MINUTE_MS);
        for (last, expected) in [
            (before, Some("nothing came from it since, in these logs")),
            (later(before, 1), None),
            (later(now(), 6 * MINUTE_MS), Some("nothing came from it since, in these logs")),
        ] {
            let back = back(40, 0).into_iter();
            check(back.map(|o| Offender { last: Some(last), ..o }).collect(), 60, 10, expected);
        }
    }

    #[test]
    fn strangers_inside_a_wide_entry_count() {
        let wide = network("198.18.0.0/30");
        let mut ledger = ledger();
        let since = later(now(), -HOUR_MS);
        let entry = Entry { set: "canary".to_owned(), added: since, ..entry("op-1") };
        ledger.entries.insert(wide, entry);
        let (canary, blocking) = (set("canary", &["198.18.0.0/30"]), set("block", &[]));
        let mut findings = findings(back(40, 0), &[]);
        let mut promote_with = |good_requests| {
            let mut traffic = Traffic::default();
            let well = SourceTraffic { good_requests, ..SourceTraffic::default() };
            traffic.add(network("198.18.0.3/32"), well);
            findings.traffic = Some(traffic);
            let probation = Probation::default();
            promote(&findings, &ledger, &canary, &blocking, &probation, ["a", "b"], now()).held
        };
        assert_eq!(promote_with(0), BTreeMap::new());
        let held = Held::GoodRequests { good_requests: 1, requests: 80 };
        assert_eq!(promote_with(1), BTreeMap::from([(wide, held)]));
    }

    #[test]
    fn what_is_over_gone_or_elsewhere_is_not_looked_at() {
        let mut over = on_probation(60);
        over.entries.get_mut(&network(SOURCE)).expect("it is there").expires = now();
        let mut elsewhere = on_probation(60);
        elsewhere.entries.get_mut(&network(SOURCE)).expect("it is there").set = "block".into();
        for ledger in [over, elsewhere, ledger()] {
            let promotion = promoted(&findings(back(40, 0), &[]), &ledger, 10);
            assert!(promotion.held.is_empty() && promotion.leave.changes.is_empty());
        }
    }
}
