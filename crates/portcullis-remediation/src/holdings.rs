//! What is ours already, and whether an offender has done anything since.
//!
//! A block that works leaves traces that look like an attack: the client tries again,
//! the firewall turns it away, and the log says so. If such requests counted, a
//! blocked client would renew its own block for ever. So whoever is or was blocked
//! must have done something *new*: something that passed the firewall after the block
//! began, or after it ended. Whether a request passed is known to whoever read the
//! log; if that is not known, nothing counts as new.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use portcullis_detection::{Findings, Offender};
use portcullis_ingest::Timestamp;

use crate::brake::Figures;
use crate::changes::{Change, Changes, Digests, Kind, SetBase, due};
use crate::decision::{Decision, Outcome, Withheld};
use crate::grounds::Grounds;
use crate::ipset::Sets;
use crate::ledger::{Cause, Ledger, Removal};
use crate::protect::NeverBlock;
use crate::ruling::{Ruled, Rulings};
use crate::term::{HOUR_MS, MINUTE_MS, Terms, later};

/// How long a new entry may take to work everywhere, in milliseconds. What passes in
/// that time does not show that the block is not enough.
///
/// Source: AWS WAF Developer Guide, changes take "a few seconds to a number of minutes".
const PROPAGATION_MS: i64 = 5 * MINUTE_MS;

/// Oldest evidence that blocks, in hours, where a signature fired. A guess: the address
/// may belong to somebody else the next day.
const SIGNATURE_HOURS: i64 = 24;

/// The same where only rates were exceeded, which say less about the time after.
const RATE_HOURS: i64 = 6;

/// Whether requests that the firewall turned away are among the findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockedRequests {
    /// They may be, so that nothing shows that an offender did anything new.
    MayCount,
    /// They were kept out of the scan.
    LeftOut,
}

/// What is ours, and who asks.
#[derive(Debug, Clone, Copy)]
pub struct Holdings<'a> {
    /// The ledger of the target.
    pub ledger: &'a Ledger,
    /// Names the operation; never used twice.
    pub operation: &'a str,
    /// Whether requests that the firewall turned away are among the findings.
    pub blocked_requests: BlockedRequests,
}

/// What the ledger says about the findings.
pub(crate) struct News<'a> {
    holdings: Holdings<'a>,
    /// Entries that leave.
    due: Vec<Change>,
    /// Entries of ours that stay longer.
    renewals: Vec<Change>,
    terms: Terms,
    /// What a person decided.
    rulings: &'a Rulings,
    now: Timestamp,
}

impl<'a> News<'a> {
    /// `offenders` are those that deserve a block.
    pub(crate) fn new<'f>(
        holdings: &Holdings<'a>,
        offenders: impl Iterator<Item = (&'f Offender, &'f Grounds)>,
        current: &Sets,
        never_block: &NeverBlock,
        (terms, rulings): (Terms, &'a Rulings),
        now: Timestamp,
    ) -> Self {
        let nothing = Vec::new;
        let mut news =
            Self { holdings: *holdings, due: nothing(), renewals: nothing(), terms, rulings, now };
        let mut renewed = BTreeSet::new();
        for (offender, grounds) in offenders {
            let source = offender.source.trunc();
            let Some((network, entry)) = holdings.ledger.entry_around(source) else {
                continue;
            };
            let set = current.get(&entry.set);
            let is_there = set.is_some_and(|set| set.addresses().contains(&network));
            let last = grounds.fired;
            let since = later(entry.since(), PROPAGATION_MS);
            let is_new = is_there && news.is_later(last, since);
            if is_new && !news.is_old(grounds, last) && renewed.insert(network) {
                let strikes = entry.strikes.saturating_add(1);
                news.renewals.push(Change::Renew {
                    set: entry.set.clone(),
                    network,
                    term_ms: news.term_ms(strikes, network, [source]),
                    strikes,
                    cause: news.reviewed(Cause::new(grounds, last), [source]),
                });
            }
        }
        let leaves = |change: &Change| match change {
            Change::Remove { network, why: Removal::Expired, .. } => !renewed.contains(network),
            _ => true,
        };
        let pardoned = news.pardoned();
        let is_pardoned = |network| pardoned.iter().any(|change| change.network() == network);
        news.due = due(holdings.ledger, Some(never_block), now)
            .filter(leaves)
            .filter(|change| !is_pardoned(change.network()))
            .collect();
        // Who is pardoned is not what the policy blocks, so that none of it was renewed.
        news.due.extend(pardoned);
        news
    }

    /// What pardons take out, and what they only forget.
    fn pardoned(&self) -> Vec<Change> {
        let Holdings { ledger, operation, .. } = self.holdings;
        let mut pardoned: BTreeMap<IpNet, Change> = BTreeMap::new();
        let rulings = self.rulings.iter();
        for (source, _) in rulings.filter(|(_, ruling)| ruling.ruled == Some(Ruled::Pardon)) {
            let changes = Changes::pardon(ledger, source, operation, self.now).changes;
            // Whom nothing is held against needs no change: the decision keeps him out.
            let concerns_us = |change: &Change| {
                !change.set().is_empty() || ledger.past().contains_key(&change.network())
            };
            let changes = changes.into_iter().filter(concerns_us);
            pardoned.extend(changes.map(|change| (change.network(), change)));
        }
        pardoned.into_values().collect()
    }

    /// How long an entry for these sources lasts: what a reviewer said, the shortest if
    /// he said several, else the policy's term.
    fn term_ms(
        &self,
        strikes: u32,
        network: IpNet,
        sources: impl IntoIterator<Item = IpNet>,
    ) -> i64 {
        let ruled = sources.into_iter().filter_map(|source| self.rulings.of(source));
        let shortest = ruled.filter_map(crate::Ruling::duration_seconds).min();
        shortest.map_or_else(
            || self.terms.term_ms(strikes, self.holdings.operation, network),
            |seconds| seconds * 1_000,
        )
    }

    /// The cause with what a reviewer said about these sources.
    fn reviewed(&self, mut cause: Cause, sources: impl IntoIterator<Item = IpNet>) -> Cause {
        for ruling in sources.into_iter().filter_map(|source| self.rulings.of(source)) {
            cause.reason = format!("{}; {ruling}", cause.reason);
        }
        cause
    }

    /// The sets without what leaves.
    pub(crate) fn remaining(&self, current: &Sets) -> Sets {
        let mut leaving: BTreeMap<&str, Vec<IpNet>> = BTreeMap::new();
        for change in &self.due {
            leaving.entry(change.set()).or_default().push(change.network());
        }
        let without = current.iter().cloned().map(|mut set| {
            for network in leaving.remove(set.name()).unwrap_or_default() {
                set.remove(&network);
            }
            set
        });
        Sets::new(without.collect()).expect("the sets have the names that they had")
    }

    /// Why an offender that deserves a block is not blocked now.
    pub(crate) fn withheld(&self, grounds: &Grounds, source: IpNet) -> Option<Withheld> {
        let ledger = self.holdings.ledger;
        if let Some(decision) = ledger.override_of(source, self.now) {
            return Some(Withheld::Overridden { until: decision.until });
        }
        let last = grounds.fired;
        // Ours by the ledger and not in its set, or about to leave it.
        if let Some((network, entry)) = ledger.entry_around(source) {
            let leaves = self.due.iter().any(|change| change.network() == network);
            let since = if leaves { entry.expires.min(self.now) } else { self.now };
            return Some(Withheld::NothingNew { since });
        }
        if let Some(past) = ledger.past_around(source, self.now) {
            let since = past.ended;
            if !self.is_later(last, since) {
                return Some(Withheld::NothingNew { since });
            }
        }
        if self.rulings.of(source).is_some_and(|ruling| ruling.ruled == Some(Ruled::Approve)) {
            return None;
        }
        let limit_hours = limit_hours(grounds);
        self.is_old(grounds, last).then_some(Withheld::OldEvidence { last, limit_hours })
    }

    fn is_later(&self, last: Option<Timestamp>, since: Timestamp) -> bool {
        self.holdings.blocked_requests == BlockedRequests::LeftOut
            && last.is_some_and(|last| last > since)
    }

    fn is_old(&self, grounds: &Grounds, last: Option<Timestamp>) -> bool {
        let limit = limit_hours(grounds) * HOUR_MS;
        last.is_none_or(|last| self.now.epoch_ms() - last.epoch_ms() > limit)
    }

    /// All that is to be done: what leaves, then what comes, then what stays longer.
    pub(crate) fn changes(
        self,
        findings: &Findings,
        current: &Sets,
        decisions: &[Decision],
    ) -> Changes {
        let Holdings { ledger, operation, .. } = self.holdings;
        let mut changes = Changes::none(Kind::Plan, operation, ledger.target(), self.now);
        changes.ledger = Some(ledger.stamp());
        changes.base = current
            .iter()
            .map(|set| SetBase {
                set: set.name().to_owned(),
                family: set.family(),
                sha256: set.digest(),
            })
            .collect();
        changes.figures = Figures {
            records: findings.coverage.records,
            unreadable: findings.coverage.rejected(),
            ..Figures::default()
        };
        changes.digests = Digests::default();
        changes.changes.clone_from(&self.due);
        let mut places: BTreeMap<IpNet, usize> = BTreeMap::new();
        let mut added: Vec<(&str, IpNet, Vec<&Decision>)> = Vec::new();
        for decision in decisions {
            let Outcome::Add { set, entry } = &decision.outcome else {
                continue;
            };
            let place = *places.entry(*entry).or_insert_with(|| {
                added.push((set, *entry, Vec::new()));
                added.len() - 1
            });
            added[place].2.push(decision);
        }
        changes.changes.extend(added.into_iter().map(|(set, network, members)| {
            let strikes_of = |member: &&Decision| ledger.strikes(member.source, self.now);
            let strikes = members.iter().map(strikes_of).max().unwrap_or_default();
            let strikes = strikes.saturating_add(1);
            let last = members.iter().filter_map(|member| member.grounds.fired).max();
            let sources = || members.iter().map(|member| member.source);
            Change::Add {
                set: set.to_owned(),
                network,
                term_ms: self.term_ms(strikes, network, sources()),
                strikes,
                cause: self.reviewed(cause(&members, last), sources()),
            }
        }));
        changes.changes.extend(self.renewals);
        changes
    }
}

/// What speaks against the members of one entry, the worst first: all of it for the
/// worst, and for the others how many they are.
fn cause(members: &[&Decision], last: Option<Timestamp>) -> Cause {
    let worst = members[0];
    let mut cause = Cause::new(&worst.grounds, last);
    if members.len() > 1 {
        cause.reason =
            format!("{} offenders, the worst is {}: {}", members.len(), worst.source, cause.reason);
    }
    cause
}

fn limit_hours(grounds: &Grounds) -> i64 {
    let all_rates = grounds.rules.iter().all(|rule| rule.rate.is_some());
    if all_rates { RATE_HOURS } else { SIGNATURE_HOURS }
}

#[cfg(test)]
mod tests;
