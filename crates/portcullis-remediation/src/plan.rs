//! Decides what the IP sets should hold, and why each offender is blocked or not.
//!
//! Three questions, in this order and one function each: may the source be blocked at
//! all ([`protect`]), does it deserve it ([`judge`]), is there room ([`make_room`]).
//! Cutting to the room first, as others have done, spends it on networks that are
//! protected anyway and drops the worst offender for one that sorts earlier. So the
//! first two are asked of everybody before the third is asked of anybody.
//!
//! AWS replaces a set as a whole, so a plan states the whole value that each set
//! should have. What a set holds already was put there by somebody: it stays, and
//! room for it comes first, unless the ledger says that it is ours and its time is
//! over. Every offender, and every source that detection only
//! watches, gets exactly one [`Outcome`].
//!
//! Reading the sets, writing them and the clock are left to others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;
use portcullis_detection::{Coverage, Findings, Ground, Offender};
use portcullis_ingest::Timestamp;

use crate::brake::{BlastRadius, Origin};
use crate::changes::{Changes, Digests};
use crate::collateral::{Collateral, blast_radius, collateral};
use crate::decision::{Conflict, Decision, Outcome, Withheld};
use crate::fit::{Candidate, fit};
use crate::grounds::Grounds;
use crate::holdings::{Holdings, News};
use crate::ipset::{Family, IpSet, MAX_ADDRESSES, Sets};
use crate::merge::Merging;
use crate::note::{Note, notes};
use crate::policy::BlockPolicy;
use crate::protect::NeverBlock;
use crate::ruling::{Ruled, Ruling, Rulings, Undecided};
use crate::suggest::{Suggestion, suggestions};
use crate::term::{MOST_AHEAD_MS, later};
use crate::worth::worth;

/// What the IP sets should hold, and why.
///
/// Invariant: the target is the base, less what the changes remove, and the entries of
/// the `Add` decisions, no more and no less; no added entry overlaps a protected
/// network.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    created_at: Timestamp,
    policy: BlockPolicy,
    coverage: Coverage,
    base: Sets,
    target: Sets,
    decisions: Vec<Decision>,
    conflicts: Vec<Conflict>,
    notes: Vec<Note>,
    /// By entry that is added; empty when nobody counted what sources do well.
    collateral: BTreeMap<IpNet, Collateral>,
    blast_radius: Option<BlastRadius>,
    suggestions: Vec<Suggestion>,
    changes: Option<Changes>,
    rulings: Rulings,
}

/// Makes a plan that knows of no ledger: it adds, and nothing that is there is ours.
/// The same arguments give the same plan, whatever the order of the offenders.
pub fn plan(
    findings: &Findings,
    current: &Sets,
    never_block: &NeverBlock,
    policy: &BlockPolicy,
    now: Timestamp,
) -> Plan {
    plan_reviewed(findings, current, never_block, policy, None, &Rulings::default(), now)
}

/// Makes a plan that can be applied: it adds, renews what is ours, and removes what is
/// ours and over. The same arguments give the same plan, whatever the order of the
/// offenders.
pub fn plan_changes(
    findings: &Findings,
    current: &Sets,
    never_block: &NeverBlock,
    policy: &BlockPolicy,
    holdings: &Holdings<'_>,
    now: Timestamp,
) -> Plan {
    let nothing = Rulings::default();
    plan_reviewed(findings, current, never_block, policy, Some(holdings), &nothing, now)
}

/// Makes either plan with what a person decided about sources: see [`Rulings`].
pub fn plan_reviewed(
    findings: &Findings,
    current: &Sets,
    never_block: &NeverBlock,
    policy: &BlockPolicy,
    holdings: Option<&Holdings<'_>>,
    rulings: &Rulings,
    now: Timestamp,
) -> Plan {
    let incomplete = &findings.coverage.incomplete;
    // Without a ledger nothing is carried out, and logs of any time may be looked at.
    let latest = holdings.map_or(Timestamp::MAX, |_| later(now, MOST_AHEAD_MS));
    let mut suspects: Vec<Suspect<'_>> = Vec::new();
    for (offenders, is_watched) in [(&findings.offenders, false), (&findings.watched, true)] {
        suspects.extend(offenders.iter().map(|offender| Suspect {
            offender,
            grounds: Grounds::new(offender, |object| incomplete.contains_key(object), latest),
            is_watched,
        }));
    }
    suspects.sort_by_key(|suspect| (Reverse(suspect.grounds.score), suspect.offender.source));

    let news = holdings.map(|holdings| {
        let blockable = |suspect: &&Suspect<'_>| {
            protect(suspect.offender.source.trunc(), never_block).is_none()
                && judge(suspect, policy, rulings).is_none()
        };
        let suspects = suspects.iter().filter(blockable);
        let offenders = suspects.map(|suspect| (suspect.offender, &suspect.grounds));
        News::new(holdings, offenders, current, never_block, (policy.terms, rulings), now)
    });
    let remaining = news.as_ref().map_or_else(|| current.clone(), |news| news.remaining(current));
    let answered: Vec<(Suspect<'_>, Option<Outcome>)> = suspects
        .into_iter()
        .map(|suspect| {
            let source = suspect.offender.source.trunc();
            let memory = || {
                let news = news.as_ref()?;
                news.withheld(&suspect.grounds, source).map(Outcome::Withheld)
            };
            let outcome = protect(source, never_block)
                .map(Outcome::Withheld)
                .or_else(|| already_blocked(source, &remaining))
                .or_else(|| judge(&suspect, policy, rulings).map(Outcome::Withheld))
                .or_else(memory);
            (suspect, outcome)
        })
        .collect();

    let is_withheld = |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Withheld(_)));
    let mut left_alone: BTreeSet<IpNet> = answered
        .iter()
        .filter(|(_, outcome)| is_withheld(outcome))
        .map(|(suspect, _)| suspect.offender.source.trunc())
        .collect();
    left_alone.extend(
        holdings
            .iter()
            .flat_map(|holdings| holdings.ledger.overrides_at(now).map(|(network, _)| network)),
    );
    let merging = Merging {
        limits: policy.merge,
        never_block,
        traffic: findings.traffic.as_ref(),
        left_alone: &left_alone,
    };
    let wanted = answered.iter().filter(|(_, outcome)| outcome.is_none());
    let candidates = wanted.map(|(suspect, _)| suspect.candidate(now)).collect();
    let limit = policy.max_addresses.min(MAX_ADDRESSES);
    let (target, mut places) = make_room(candidates, &remaining, limit, &merging);

    let mut decisions = Vec::with_capacity(answered.len());
    for (suspect, outcome) in answered {
        let source = suspect.offender.source.trunc();
        let outcome = outcome.unwrap_or_else(|| {
            let place = places.get_mut(&source).expect("whoever is wanted has a place or a reason");
            // A source that is given twice takes one entry.
            let again = match &*place {
                Outcome::Add { set, entry } => {
                    Outcome::AlreadyBlocked { set: Arc::clone(set), entry: *entry }
                }
                other => other.clone(),
            };
            std::mem::replace(place, again)
        });
        let Suspect { grounds, is_watched, .. } = suspect;
        decisions.push(Decision { source, grounds, outcome, is_watched });
    }

    let mut changes = news.map(|news| news.changes(findings, current, &decisions));
    if let Some(changes) = &mut changes {
        changes.figures.origin = origin(findings, &decisions);
    }
    let mut notes = notes(&target, limit, &decisions, never_block, now);
    let known: BTreeSet<IpNet> = decisions.iter().map(|decision| decision.source).collect();
    let unseen = rulings.iter().filter(|(source, _)| !known.contains(source)).count();
    if unseen > 0 {
        notes.push(Note::DecidedAndNotSeen { sources: unseen });
    }
    let plan = Plan {
        created_at: now,
        policy: *policy,
        coverage: findings.coverage.clone(),
        base: current.clone(),
        conflicts: conflicts(&remaining, never_block),
        notes,
        target,
        suggestions: suggestions(findings, &decisions, policy),
        decisions,
        collateral: BTreeMap::new(),
        blast_radius: None,
        changes,
        rulings: rulings.clone(),
    };
    plan.weighed(findings)
}

/// The network that most additions come from, where it is known of any: a plan that shuts
/// out one provider's customers is for a person to judge.
fn origin(findings: &Findings, decisions: &[Decision]) -> Option<Origin> {
    let all = findings.offenders.iter().chain(&findings.watched);
    let networks: BTreeMap<IpNet, u32> = all
        .filter_map(|offender| {
            Some((offender.source.trunc(), offender.background.network.as_ref()?.number))
        })
        .collect();
    let mut additions: BTreeMap<u32, u64> = BTreeMap::new();
    for decision in decisions {
        if let (Outcome::Add { .. }, Some(number)) =
            (&decision.outcome, networks.get(&decision.source))
        {
            *additions.entry(*number).or_default() += 1;
        }
    }
    let most =
        additions.into_iter().max_by_key(|(number, additions)| (*additions, Reverse(*number)));
    most.map(|(number, additions)| Origin { name: format!("AS{number}"), additions })
}

/// One of the findings on its way through the questions.
struct Suspect<'findings> {
    offender: &'findings Offender,
    grounds: Grounds,
    /// Whether detection itself would leave the source alone.
    is_watched: bool,
}

impl Suspect<'_> {
    fn candidate(&self, now: Timestamp) -> Candidate {
        let last = self.grounds.fired.or(self.grounds.last);
        let worth = worth(self.grounds.score, last, now);
        Candidate { source: self.offender.source.trunc(), worth }
    }
}

/// May the source be blocked at all?
fn protect(source: IpNet, never_block: &NeverBlock) -> Option<Withheld> {
    if let Some(protection) = never_block.protection(source) {
        return Some(Withheld::Protected(protection));
    }
    let allowed = Family::of(source).source_bits();
    (source.prefix_len() != allowed).then_some(Withheld::WrongWidth { allowed })
}

/// Asked before the source is judged: an entry that is there stays there, and to say
/// "not blocked" of it because its score has fallen would be wrong.
fn already_blocked(source: IpNet, sets: &Sets) -> Option<Outcome> {
    let (set, entry) = sets.covering(source)?;
    Some(Outcome::AlreadyBlocked { set: set.name().into(), entry })
}

/// Does the source deserve it? A person's word outranks the limits, but not the want of
/// complete evidence.
fn judge(suspect: &Suspect<'_>, policy: &BlockPolicy, rulings: &Rulings) -> Option<Withheld> {
    let Suspect { offender, grounds, is_watched } = suspect;
    let ruled = rulings.of(offender.source.trunc()).and_then(|ruling| ruling.ruled);
    match ruled {
        Some(Ruled::Reject) => return Some(Withheld::Rejected),
        Some(Ruled::Pardon) => return Some(Withheld::Pardoned),
        Some(Ruled::Approve) => {
            return grounds.severity.is_none().then(|| unsupported(grounds));
        }
        None if rulings.undecided == Undecided::LeftAlone => return Some(Withheld::Undecided),
        None => {}
    }
    let BlockPolicy { min_score, min_severity, shared_good_requests, shared_principals, .. } =
        *policy;
    let Some(severity) = grounds.severity else {
        return Some(unsupported(grounds));
    };
    let too_little = if severity < min_severity {
        Some(Withheld::BelowSeverity { severity, limit: min_severity })
    } else if grounds.score < min_score {
        Some(Withheld::BelowBlockScore { score: grounds.score, limit: min_score })
    } else {
        None
    };
    let Offender { good_requests, principals, .. } = **offender;
    let watched = is_watched.then_some(Withheld::Watched {
        flagged_requests: offender.flagged_requests,
        good_requests,
        ground: [Ground::VerifiedCrawler, Ground::OnlyItsAgent, Ground::GoodHistory]
            .into_iter()
            .find(|ground| offender.grounds.contains(ground)),
    });
    if too_little.is_some() {
        // Detection says more of it than that its score is low.
        if watched.is_some() {
            return watched;
        }
        // With what was set aside it might be enough: that is why it is not.
        let ahead = grounds.ahead.map(|last| Withheld::FutureEvidence { last });
        return ahead.or(too_little);
    }
    if good_requests >= shared_good_requests || principals >= shared_principals {
        return Some(Withheld::SharedEgress {
            good_requests,
            good_requests_limit: shared_good_requests,
            principals,
            principals_limit: shared_principals,
        });
    }
    watched
}

/// Why nothing is left that speaks against a source.
fn unsupported(grounds: &Grounds) -> Withheld {
    grounds.ahead.map_or(Withheld::IncompleteEvidence, |last| Withheld::FutureEvidence { last })
}

/// Is there room? The sets with what is put into them, and the outcome for each source:
/// an entry of the first set of its family, by name, that has room, or none.
fn make_room(
    mut candidates: Vec<Candidate>,
    remaining: &Sets,
    limit: usize,
    merging: &Merging<'_>,
) -> (Sets, BTreeMap<IpNet, Outcome>) {
    let mut target = remaining.clone();
    let mut outcomes = BTreeMap::new();
    candidates.sort_by_key(|candidate| (candidate.source, Reverse(candidate.worth)));
    candidates.dedup_by_key(|candidate| candidate.source);
    candidates.sort_by_key(|candidate| (Reverse(candidate.worth), candidate.source));
    for family in Family::ALL {
        let is_of_family = |candidate: &&Candidate| Family::of(candidate.source) == family;
        let candidates: Vec<_> = candidates.iter().filter(is_of_family).copied().collect();
        let room_of = |set: &mut IpSet| limit.saturating_sub(set.addresses().len());
        let rooms: Vec<usize> = target.of_family(family).map(room_of).collect();
        let parts = fit(candidates.clone(), rooms.iter().sum(), |network, offenders| {
            merging.may_merge(network, offenders)
        });
        for part in parts {
            let mut sets = target.of_family(family);
            let set = sets.find(|set| set.addresses().len() < limit).expect("parts fit the room");
            set.insert(part.network).expect("a network of sources is canonical and of this family");
            let name: Arc<str> = set.name().into();
            outcomes.extend(part.sources.iter().map(|member| {
                (member.source, Outcome::Add { set: Arc::clone(&name), entry: part.network })
            }));
        }
        for (index, candidate) in candidates.iter().enumerate() {
            outcomes.entry(candidate.source).or_insert(Outcome::Withheld(match rooms.len() {
                0 => Withheld::NoSet { family },
                sets => Withheld::SetFull { limit: sets * limit, rank: index + 1 },
            }));
        }
    }
    (target, outcomes)
}

/// Entries of the current sets that overlap a protected network.
pub(crate) fn conflicts(current: &Sets, never_block: &NeverBlock) -> Vec<Conflict> {
    let conflicts_of = |set: &IpSet| {
        let name: Arc<str> = set.name().into();
        let conflict = move |entry: &IpNet| {
            let protection = never_block.protection(*entry)?;
            Some(Conflict { set: Arc::clone(&name), entry: *entry, protection })
        };
        set.addresses().iter().filter_map(conflict).collect::<Vec<_>>()
    };
    current.iter().flat_map(conflicts_of).collect()
}

impl Plan {
    /// When the plan was made, as its maker said.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// The limits that were applied.
    pub fn policy(&self) -> &BlockPolicy {
        &self.policy
    }

    /// What the scan saw that the plan stands on.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// The sets that the plan was made from.
    pub fn base(&self) -> &Sets {
        &self.base
    }

    /// The sets as they should be, each as a whole.
    pub fn target(&self) -> &Sets {
        &self.target
    }

    /// One decision for each offender and each watched source, in order of the score
    /// that complete objects bear out, then of address.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// Entries of others that overlap a protected network. The plan leaves them.
    pub fn conflicts(&self) -> &[Conflict] {
        &self.conflicts
    }

    /// Whom to act on by API key or principal, the worst first. The plan does not do it.
    pub fn suggestions(&self) -> &[Suggestion] {
        &self.suggestions
    }

    /// What its reader should know besides.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The decisions to keep a source out, and the set that gets the entry. Several may
    /// share one entry: see [`Outcome::Add`].
    pub fn additions(&self) -> impl Iterator<Item = (&Decision, &str)> {
        self.decisions.iter().filter_map(|decision| match &decision.outcome {
            Outcome::Add { set, .. } => Some((decision, &**set)),
            _ => None,
        })
    }

    /// The entries that are added, in order of network.
    pub fn added_entries(&self) -> BTreeSet<IpNet> {
        let entry_of = |decision: &Decision| match decision.outcome {
            Outcome::Add { entry, .. } => Some(entry),
            _ => None,
        };
        self.decisions.iter().filter_map(entry_of).collect()
    }

    /// What an added entry would have blocked of good traffic in the logs that were
    /// scanned, all of it; `None` when nobody counted that, or nothing of it is added.
    pub fn collateral(&self, entry: IpNet) -> Option<Collateral> {
        self.collateral.get(&entry).copied()
    }

    /// What all added entries would have blocked, if that was counted. What attackers were
    /// answered well now and then is left out: see `collateral`.
    pub fn blast_radius(&self) -> Option<BlastRadius> {
        self.blast_radius
    }

    /// What a person decided about sources, those of the plan and others.
    pub fn rulings(&self) -> &Rulings {
        &self.rulings
    }

    /// What a person decided about one source.
    pub fn ruling(&self, source: IpNet) -> Option<&Ruling> {
        self.rulings.of(source)
    }

    /// Whether the sets or the ledger should change at all.
    pub fn has_changes(&self) -> bool {
        self.additions().next().is_some()
            || self.changes.as_ref().is_some_and(|changes| !changes.changes.is_empty())
    }

    /// What [`crate::apply()`] carries out; `None` in a plan that knows of no ledger.
    pub fn changes(&self) -> Option<&Changes> {
        self.changes.as_ref()
    }

    /// The same plan with what its additions would have blocked, for the reader and for
    /// the brakes.
    fn weighed(mut self, findings: &Findings) -> Self {
        let Some(traffic) = &findings.traffic else {
            return self;
        };
        let entries = self.added_entries();
        let whole = blast_radius(&entries, traffic, &findings.offenders);
        self.collateral = collateral(&entries, traffic);
        self.blast_radius = Some(whole);
        if let Some(changes) = &mut self.changes {
            changes.figures.blast_radius = Some(whole);
        }
        self
    }

    /// The same plan with the hashes of what it was made with.
    #[must_use]
    pub fn with_digests(mut self, digests: Digests) -> Self {
        if let Some(changes) = &mut self.changes {
            changes.digests = digests;
        }
        self
    }
}

#[cfg(test)]
mod background_tests;
#[cfg(test)]
mod reviewed_tests;
#[cfg(test)]
mod tests;
