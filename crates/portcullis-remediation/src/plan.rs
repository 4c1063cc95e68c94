//! Decides what the IP sets should hold, and why each offender is blocked or not.
//!
//! Three questions, in this order and one function each: may the source be blocked at
//! all ([`protect`]), does it deserve it ([`judge`]), is there room ([`fit`]). Cutting
//! to the room first, as others have done, spends it on networks that are protected
//! anyway and drops the worst offender for one that sorts earlier.
//!
//! AWS replaces a set as a whole, so a plan states the whole value that each set
//! should have. What a set holds already was put there by somebody: it stays, and
//! room for it comes first, unless the ledger says that it is ours and its time is
//! over. Every offender, and every source that detection only
//! watches, gets exactly one [`Outcome`].
//!
//! Reading the sets, writing them and the clock are left to others.

use std::cmp::Reverse;
use std::sync::Arc;

use ipnet::IpNet;
use portcullis_detection::{Coverage, Findings, Offender, Severity};
use portcullis_ingest::Timestamp;

use crate::brake::{BlastRadius, Origin, narrowest};
use crate::changes::{Changes, Digests};
use crate::grounds::Grounds;
use crate::holdings::{Holdings, News};
use crate::ipset::{Family, IpSet, MAX_ADDRESSES, Sets};
use crate::note::{Note, notes};
use crate::policy::BlockPolicy;
use crate::protect::{NeverBlock, Protection};

/// Why an offender is not blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Withheld {
    /// The source overlaps a network that is never blocked.
    Protected(Protection),
    /// The source is not one IPv4 address or one IPv6 /64, the only blocks made.
    WrongWidth {
        /// The only length, in bits, that is blocked in this family.
        allowed: u8,
    },
    /// No set of the source's family is there to hold it.
    NoSet {
        /// The source's family.
        family: Family,
    },
    /// All that speaks against the source was found in objects that ended early.
    IncompleteEvidence,
    /// The severity is too low.
    BelowSeverity {
        /// The severity that complete objects bear out.
        severity: Severity,
        /// The least that is blocked.
        limit: Severity,
    },
    /// The score is too low.
    BelowBlockScore {
        /// The score that complete objects bear out, in points.
        score: u32,
        /// The least that is blocked, in points.
        limit: u32,
    },
    /// Honest users come from the same source.
    SharedEgress {
        /// Good requests from the source.
        good_requests: u64,
        /// The number of them from which a source counts as shared.
        good_requests_limit: u64,
        /// Different principals behind the source.
        principals: u64,
        /// The number of them from which a source counts as shared.
        principals_limit: u64,
    },
    /// Detection only watches the source: its good history outweighs what was flagged.
    Watched {
        /// Requests that were flagged.
        flagged_requests: u64,
        /// Good requests from the source.
        good_requests: u64,
    },
    /// A person took it out of a set, or pardoned it, and the cool-off has not ended.
    Overridden {
        /// When it ends.
        until: Timestamp,
    },
    /// It was blocked before, and nothing that passed the firewall since speaks against
    /// it. Requests that were blocked say only that the block worked.
    NothingNew {
        /// When the last block ended.
        since: Timestamp,
    },
    /// What speaks against it is too long ago, or nobody knows when it was.
    OldEvidence {
        /// When a rule fired last, if the log says so.
        last: Option<Timestamp>,
        /// The oldest evidence that blocks, in hours.
        limit_hours: i64,
    },
    /// Better grounds took all the room.
    SetFull {
        /// Entries that the sets of this family hold together.
        limit: usize,
        /// Place among this family's offenders to be blocked, by score; counted from 1.
        rank: usize,
    },
}

impl Withheld {
    /// The reason's permanent name in outputs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Protected(Protection::Reserved { .. }) => "reserved",
            Self::Protected(Protection::NeverBlock { .. }) => "never-block",
            Self::Protected(Protection::Aws { .. }) => "aws-range",
            Self::WrongWidth { .. } => "wrong-width",
            Self::NoSet { .. } => "no-set",
            Self::IncompleteEvidence => "incomplete-evidence",
            Self::BelowSeverity { .. } => "below-severity",
            Self::BelowBlockScore { .. } => "below-block-score",
            Self::SharedEgress { .. } => "shared-egress",
            Self::Watched { .. } => "watched",
            Self::Overridden { .. } => "overridden",
            Self::NothingNew { .. } => "nothing-new",
            Self::OldEvidence { .. } => "old-evidence",
            Self::SetFull { .. } => "set-full",
        }
    }
}

/// What a plan does about one offender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The source becomes an entry of this set.
    Add {
        /// The set's name.
        set: Arc<str>,
    },
    /// A set already holds the source.
    AlreadyBlocked {
        /// The set's name.
        set: Arc<str>,
        /// The entry: the source or a network around it.
        entry: IpNet,
    },
    /// The source is not blocked.
    Withheld(Withheld),
}

/// One offender, what speaks against it, and what is done about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The source, in canonical form.
    pub source: IpNet,
    /// What speaks against it.
    pub grounds: Grounds,
    /// What is done about it.
    pub outcome: Outcome,
}

/// An entry that somebody else put into a set and that overlaps a protected network.
/// It is shown and left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The set's name.
    pub set: Arc<str>,
    /// The entry in the set.
    pub entry: IpNet,
    /// The protected network that it overlaps.
    pub protection: Protection,
}

/// What the IP sets should hold, and why.
///
/// Invariant: the target is the base, less what the changes remove, and the sources of
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
    changes: Option<Changes>,
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
    decide(findings, current, never_block, policy, None, now)
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
    decide(findings, current, never_block, policy, Some(holdings), now)
}

fn decide(
    findings: &Findings,
    current: &Sets,
    never_block: &NeverBlock,
    policy: &BlockPolicy,
    holdings: Option<&Holdings<'_>>,
    now: Timestamp,
) -> Plan {
    let incomplete = &findings.coverage.incomplete;
    let mut suspects: Vec<Suspect<'_>> = Vec::new();
    for (offenders, is_watched) in [(&findings.offenders, false), (&findings.watched, true)] {
        suspects.extend(offenders.iter().map(|offender| Suspect {
            offender,
            grounds: Grounds::new(offender, |object| incomplete.contains_key(object)),
            is_watched,
        }));
    }
    suspects.sort_by_key(|suspect| (Reverse(suspect.grounds.score), suspect.offender.source));

    let news = holdings.map(|holdings| {
        let blockable = |suspect: &&Suspect<'_>| {
            protect(suspect.offender.source.trunc(), never_block).is_none()
                && judge(suspect, policy).is_none()
        };
        let suspects = suspects.iter().filter(blockable);
        let offenders = suspects.map(|suspect| (suspect.offender, &suspect.grounds));
        News::new(holdings, offenders, current, never_block, now)
    });
    let remaining = news.as_ref().map_or_else(|| current.clone(), |news| news.remaining(current));
    let mut room = Room::new(&remaining, policy);
    let mut decisions = Vec::with_capacity(suspects.len());
    for suspect in suspects {
        let source = suspect.offender.source.trunc();
        let memory = || {
            let news = news.as_ref()?;
            news.withheld(suspect.offender, &suspect.grounds, source).map(Outcome::Withheld)
        };
        let outcome = protect(source, never_block)
            .map(Outcome::Withheld)
            .or_else(|| already_blocked(source, &remaining))
            .or_else(|| judge(&suspect, policy).map(Outcome::Withheld))
            .or_else(memory)
            .unwrap_or_else(|| fit(source, &mut room));
        decisions.push(Decision { source, grounds: suspect.grounds, outcome });
    }

    let changes = news.map(|news| news.changes(findings, current, &decisions));
    Plan {
        created_at: now,
        policy: *policy,
        coverage: findings.coverage.clone(),
        base: current.clone(),
        decisions,
        conflicts: conflicts(&remaining, never_block),
        notes: notes(&room.target, room.limit, never_block, now),
        target: room.target,
        changes,
    }
}

/// One of the findings on its way through the questions.
struct Suspect<'findings> {
    offender: &'findings Offender,
    grounds: Grounds,
    /// Whether detection itself would leave the source alone.
    is_watched: bool,
}

/// May the source be blocked at all?
fn protect(source: IpNet, never_block: &NeverBlock) -> Option<Withheld> {
    if let Some(protection) = never_block.protection(source) {
        return Some(Withheld::Protected(protection));
    }
    let allowed = narrowest(Family::of(source));
    (source.prefix_len() != allowed).then_some(Withheld::WrongWidth { allowed })
}

/// Asked before the source is judged: an entry that is there stays there, and to say
/// "not blocked" of it because its score has fallen would be wrong.
fn already_blocked(source: IpNet, sets: &Sets) -> Option<Outcome> {
    let (set, entry) = sets.covering(source)?;
    Some(Outcome::AlreadyBlocked { set: set.name().into(), entry })
}

/// Does the source deserve it?
fn judge(suspect: &Suspect<'_>, policy: &BlockPolicy) -> Option<Withheld> {
    let Suspect { offender, grounds, is_watched } = suspect;
    let BlockPolicy { min_score, min_severity, shared_good_requests, shared_principals, .. } =
        *policy;
    let Some(severity) = grounds.severity else {
        return Some(Withheld::IncompleteEvidence);
    };
    if severity < min_severity {
        return Some(Withheld::BelowSeverity { severity, limit: min_severity });
    }
    if grounds.score < min_score {
        return Some(Withheld::BelowBlockScore { score: grounds.score, limit: min_score });
    }
    let Offender { good_requests, principals, .. } = **offender;
    if good_requests >= shared_good_requests || principals >= shared_principals {
        return Some(Withheld::SharedEgress {
            good_requests,
            good_requests_limit: shared_good_requests,
            principals,
            principals_limit: shared_principals,
        });
    }
    is_watched
        .then_some(Withheld::Watched { flagged_requests: offender.flagged_requests, good_requests })
}

/// The sets as they fill up, offered the worst offender first.
struct Room {
    target: Sets,
    /// Most entries in one set.
    limit: usize,
    /// Offenders of each family that were offered so far, in the order of [`Family::ALL`].
    offered: [usize; 2],
}

impl Room {
    fn new(current: &Sets, policy: &BlockPolicy) -> Self {
        let limit = policy.max_addresses.min(MAX_ADDRESSES);
        Self { target: current.clone(), limit, offered: [0; 2] }
    }
}

/// Is there room? The first set of the family, by name, that has some takes the source.
fn fit(source: IpNet, room: &mut Room) -> Outcome {
    // A source that is given twice takes one entry.
    if let Some(twice) = already_blocked(source, &room.target) {
        return twice;
    }
    let family = Family::of(source);
    let offered = &mut room.offered[family as usize];
    *offered += 1;
    let mut sets = 0;
    for set in room.target.of_family(family) {
        sets += 1;
        if set.addresses().len() < room.limit {
            set.insert(source).expect("a source is canonical, of this family, and there is room");
            return Outcome::Add { set: set.name().into() };
        }
    }
    Outcome::Withheld(match sets {
        0 => Withheld::NoSet { family },
        _ => Withheld::SetFull { limit: sets * room.limit, rank: *offered },
    })
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

    /// What its reader should know besides.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The decisions that add an entry, and the set each adds to.
    pub fn additions(&self) -> impl Iterator<Item = (&Decision, &str)> {
        self.decisions.iter().filter_map(|decision| match &decision.outcome {
            Outcome::Add { set } => Some((decision, &**set)),
            _ => None,
        })
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

    /// The same plan with what its additions would have blocked, for the brakes.
    #[must_use]
    pub fn with_blast_radius(mut self, blast_radius: BlastRadius) -> Self {
        if let Some(changes) = &mut self.changes {
            changes.figures.blast_radius = Some(blast_radius);
        }
        self
    }

    /// The same plan with where most of its additions come from, for the brakes.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        if let Some(changes) = &mut self.changes {
            changes.figures.origin = Some(origin);
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
mod tests;
