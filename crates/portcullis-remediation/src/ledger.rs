//! Remembers which entries of the sets are ours, why, and until when.
//!
//! An IP set holds bare networks: whose they are and why they are there is in nobody's
//! memory but this one. What the ledger does not list is somebody else's and is never
//! touched. So an entry enters the ledger before it can enter a set (as an
//! [`Intent`]), and leaves it only when the set is known not to hold it.
//!
//! It also remembers what is over: strikes of networks whose block has ended, and
//! networks that a person took out of a set and that stay out until a cool-off ends.
//!
//! How the document is written is left to `ledger_file`, where it is kept to
//! [`crate::LedgerStore`], and when it changes to [`crate::apply()`].

use std::collections::BTreeMap;

use ipnet::IpNet;
use portcullis_ingest::Timestamp;
use serde::{Deserialize, Serialize};

use crate::audit::{AuditHead, AuditLine};
use crate::grounds::Grounds;
use crate::prefix::around;
use crate::target::Target;
use crate::term::{DAY_MS, FORGET_MS, later, rfc3339};

/// How long a network that a person took out of a set, or pardoned, stays out, in
/// milliseconds. A guess: long enough to fix the rule that was wrong about it.
pub(crate) const COOL_OFF_MS: i64 = 7 * DAY_MS;

/// What speaks against a network, as it was when the network was blocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// The score, in points.
    pub score: u32,
    /// Ids of the rules that fired, the weightiest first.
    pub rules: Vec<String>,
    /// The same in words, such as `probe/dotfiles (31 requests)`.
    pub reason: String,
    /// Where the records are that show it.
    pub evidence: Vec<Pointer>,
    /// When a rule fired last, if the log says so.
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none", default)]
    pub last: Option<Timestamp>,
}

/// One record of the logs: the object's key or path and the byte offset in its text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointer {
    /// Id of the rule that the record shows.
    pub rule: String,
    /// Key or path of the object.
    pub object: String,
    /// Byte offset of the record in the decompressed object.
    pub offset: u64,
}

impl Cause {
    /// From the grounds of a plan; `last` is when a rule fired last.
    pub fn new(grounds: &Grounds, last: Option<Timestamp>) -> Self {
        let pointers = grounds.rules.iter().flat_map(|rule| {
            rule.evidence.iter().map(|pointer| Pointer {
                rule: rule.rule.to_string(),
                object: pointer.object.to_string(),
                offset: pointer.offset,
            })
        });
        Self {
            score: grounds.score,
            rules: grounds.rules.iter().map(|rule| rule.rule.to_string()).collect(),
            reason: grounds.to_string(),
            evidence: pointers.collect(),
            last,
        }
    }
}

/// One entry of a set that is ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The set that holds it.
    pub set: String,
    /// The operation that added it.
    pub operation: String,
    /// When it was added.
    #[serde(with = "rfc3339")]
    pub added: Timestamp,
    /// When its block was last prolonged.
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none", default)]
    pub renewed: Option<Timestamp>,
    /// When it is to leave the set.
    #[serde(with = "rfc3339")]
    pub expires: Timestamp,
    /// Offences counted so far, this one included.
    pub strikes: u32,
    /// What speaks against it.
    pub cause: Cause,
}

impl Entry {
    /// When the block began or was last prolonged: only what happened later is news.
    pub fn since(&self) -> Timestamp {
        self.renewed.unwrap_or(self.added)
    }
}

/// A network whose block is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Past {
    /// Offences counted so far.
    pub strikes: u32,
    /// When the last block ended.
    #[serde(with = "rfc3339")]
    pub ended: Timestamp,
}

/// A network that a person decided about; it is not blocked until the cool-off ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// When the decision was noticed or made.
    #[serde(with = "rfc3339")]
    pub noticed: Timestamp,
    /// When the network may be blocked again.
    #[serde(with = "rfc3339")]
    pub until: Timestamp,
    /// What the person did.
    pub note: String,
}

/// What is about to be done to one set, written down before it is done.
///
/// Whoever finds one after a crash cannot know whether it was done, and settles it
/// before doing anything else: what it names is neither ours nor not ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// The operation.
    pub operation: String,
    /// Who ran it.
    pub who: String,
    /// Hash of the plan, if the operation came from one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plan_sha256: Option<String>,
    /// The set that is written.
    pub set: String,
    /// Digest of the set as it was read.
    pub base_sha256: String,
    /// Digest of the set as it is written.
    pub target_sha256: String,
    /// Entries that the set did not hold and is to hold; ours if it does.
    pub additions: BTreeMap<IpNet, Entry>,
    /// Entries of ours that the set is not to hold any more.
    pub removals: BTreeMap<IpNet, Removal>,
}

/// Why an entry of ours leaves its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Removal {
    /// Its time is over.
    Expired,
    /// It overlaps a network that is never blocked.
    Protected,
    /// The operation that added it is undone by hand.
    RolledBack,
    /// All entries are given up by hand.
    Released,
    /// It is forgiven by hand.
    Pardoned,
    /// It leaves a canary set for one that blocks.
    Promoted,
}

impl Removal {
    /// Why, in words.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Expired => "its time is over",
            Self::Protected => "it overlaps a network that is never blocked",
            Self::RolledBack => "the operation that added it was rolled back",
            Self::Released => "all entries were released",
            Self::Pardoned => "it was pardoned",
            Self::Promoted => "its probation is over, and it goes on in a set that blocks",
        }
    }

    /// Whether it is a block that ends before its time. A canary blocks nobody.
    pub const fn is_early(self) -> bool {
        !matches!(self, Self::Expired | Self::Promoted)
    }

    /// Whether a person decided so about this network, which then stays out for a while.
    pub const fn is_decision(self) -> bool {
        matches!(self, Self::RolledBack | Self::Pardoned)
    }
}

/// Who may change the sets of the target, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Who holds it.
    pub who: String,
    /// For which operation.
    pub operation: String,
    /// From when on somebody else may take it.
    #[serde(with = "rfc3339")]
    pub expires: Timestamp,
}

/// How many entries were added at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Added {
    /// When.
    #[serde(with = "rfc3339")]
    pub time: Timestamp,
    /// How many.
    pub entries: u64,
}

/// A version of the ledger that a plan was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerStamp {
    /// The ledger, told apart from another one of the same target.
    pub lineage: String,
    /// How many changes it had seen.
    pub serial: u64,
}

/// What is ours in the sets of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Version of the document's shape.
    pub(crate) schema_version: u32,
    pub(crate) target: Target,
    pub(crate) lineage: String,
    /// Rises with every change of the entries, not with leases and intents.
    pub(crate) serial: u64,
    /// Names this very document, so that a writer who saw no answer knows his own.
    pub(crate) written_by: String,
    /// The operation that changed the entries last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) last_operation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) lease: Option<Lease>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) intent: Option<Intent>,
    /// Runs in a row that failed.
    pub(crate) failed_runs: u32,
    /// Additions of the last day, the oldest first.
    pub(crate) added: Vec<Added>,
    pub(crate) entries: BTreeMap<IpNet, Entry>,
    pub(crate) past: BTreeMap<IpNet, Past>,
    pub(crate) overrides: BTreeMap<IpNet, Override>,
    pub(crate) audit: AuditHead,
    /// Lines of the account that may not have been stored yet.
    pub(crate) unsent: Vec<AuditLine>,
}

impl Ledger {
    /// The ledger of a target that owns nothing yet. `lineage` tells it apart from any
    /// other one, so it must be a text that is never used again.
    pub fn new(target: Target, lineage: &str) -> Self {
        Self {
            schema_version: crate::ledger_file::SCHEMA_VERSION,
            target,
            lineage: lineage.to_owned(),
            serial: 0,
            written_by: String::new(),
            last_operation: None,
            lease: None,
            intent: None,
            failed_runs: 0,
            added: Vec::new(),
            entries: BTreeMap::new(),
            past: BTreeMap::new(),
            overrides: BTreeMap::new(),
            audit: AuditHead::default(),
            unsent: Vec::new(),
        }
    }

    /// The account, region and scope that it speaks of.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Which version of which ledger this is.
    pub fn stamp(&self) -> LedgerStamp {
        LedgerStamp { lineage: self.lineage.clone(), serial: self.serial }
    }

    /// Our entries, in order of network.
    pub fn entries(&self) -> &BTreeMap<IpNet, Entry> {
        &self.entries
    }

    /// Networks whose block is over and not forgotten.
    pub fn past(&self) -> &BTreeMap<IpNet, Past> {
        &self.past
    }

    /// Networks that a person decided about, whether or not the cool-off has ended.
    pub fn overrides(&self) -> &BTreeMap<IpNet, Override> {
        &self.overrides
    }

    /// Our entry that holds all of `network`, the narrowest if there are several.
    pub fn entry_around(&self, network: IpNet) -> Option<(IpNet, &Entry)> {
        around(network).rev().find_map(|wider| Some((wider, self.entries.get(&wider)?)))
    }

    /// The block that is over of `network` or of one around it, unless it has been quiet
    /// for so long that it is forgotten.
    pub fn past_around(&self, network: IpNet, now: Timestamp) -> Option<&Past> {
        let counts = |past: &&Past| now < later(past.ended, FORGET_MS);
        around(network).rev().find_map(|wider| self.past.get(&wider).filter(counts))
    }

    /// A decision that still holds about `network`, one around it, or one inside it.
    pub fn override_of(&self, network: IpNet, now: Timestamp) -> Option<&Override> {
        let first = IpNet::new(network.network(), 0).expect("0 is a length");
        let inside = self.overrides.range(first..=IpNet::from(network.broadcast()));
        let wider = around(network).filter_map(|wider| self.overrides.get(&wider));
        wider.chain(inside.map(|(_, decision)| decision)).find(|decision| now < decision.until)
    }

    /// The decisions of people that still hold.
    pub fn overrides_at(&self, now: Timestamp) -> impl Iterator<Item = (IpNet, &Override)> {
        let holds = move |(_, decision): &(&IpNet, &Override)| now < decision.until;
        self.overrides.iter().filter(holds).map(|(network, decision)| (*network, decision))
    }

    /// Who may change the sets now.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// What was begun and is not known to be done.
    pub fn intent(&self) -> Option<&Intent> {
        self.intent.as_ref()
    }

    /// Runs in a row that failed.
    pub fn failed_runs(&self) -> u32 {
        self.failed_runs
    }

    /// The newest line of the account.
    pub fn audit_head(&self) -> &AuditHead {
        &self.audit
    }

    /// Lines of the account that may not have been stored yet.
    pub fn unsent(&self) -> &[AuditLine] {
        &self.unsent
    }

    /// Entries added within the day before `now`.
    pub fn added_within_a_day(&self, now: Timestamp) -> u64 {
        let recent = self.added.iter().filter(|added| now < later(added.time, DAY_MS));
        recent.map(|added| added.entries).sum()
    }

    /// Offences of `network` that are not forgotten: those of its block or of one around
    /// it, or those of earlier blocks unless it has been quiet for 30 days.
    pub fn strikes(&self, network: IpNet, now: Timestamp) -> u32 {
        match self.entry_around(network) {
            Some((_, entry)) => entry.strikes,
            None => self.past_around(network, now).map_or(0, |past| past.strikes),
        }
    }

    /// Notes that our entry is no longer in its set, and why.
    pub(crate) fn end(&mut self, network: IpNet, removal: Removal, now: Timestamp) {
        let Some(entry) = self.entries.remove(&network) else {
            return;
        };
        match removal {
            Removal::Pardoned => {
                self.past.remove(&network);
            }
            // The block has not begun yet.
            Removal::Promoted => {}
            _ => {
                self.past.insert(network, Past { strikes: entry.strikes, ended: now });
            }
        }
        if removal.is_decision() {
            self.decide(network, removal.reason(), now);
        }
    }

    /// Notes that a person took our entry out of its set.
    pub(crate) fn overrule(&mut self, network: IpNet, now: Timestamp) {
        if let Some(entry) = self.entries.remove(&network) {
            self.past.insert(network, Past { strikes: entry.strikes, ended: now });
            self.decide(network, "somebody else took it out of the set", now);
        }
    }

    /// Keeps a network out until the cool-off ends.
    pub(crate) fn decide(&mut self, network: IpNet, note: &str, now: Timestamp) {
        let until = later(now, COOL_OFF_MS);
        self.overrides.insert(network, Override { noticed: now, until, note: note.to_owned() });
    }

    /// Drops what no decision depends on any more.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        self.added.retain(|added| now < later(added.time, DAY_MS));
        self.past.retain(|_, past| now < later(past.ended, FORGET_MS));
        self.overrides.retain(|_, decision| now < decision.until);
    }
}

#[cfg(test)]
mod tests;
