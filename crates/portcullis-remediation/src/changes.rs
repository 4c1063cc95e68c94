//! States exactly what is to be done to the sets, so that applying it makes no choices.
//!
//! A plan says what it thinks of every offender; of that, [`Changes`] are the part
//! that is carried out. Expiry, rollback, pardon and release give changes too, from
//! the ledger alone: they need no logs, no rules and no scan, and work when those are
//! broken.
//!
//! Each change can be checked against the ledger again when it is carried out, so
//! that carrying it out twice is carrying it out once.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use portcullis_ingest::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::brake::Figures;
use crate::ipset::Family;
use crate::ledger::{Cause, Ledger, LedgerStamp, Removal};
use crate::plan_file::hash_of;
use crate::protect::NeverBlock;
use crate::target::Target;
use crate::term::{HOUR_MS, later, rfc3339};

/// How long changes may be carried out after they were made, in milliseconds.
pub(crate) const VALID_MS: i64 = HOUR_MS;

/// What the changes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A scan.
    Plan,
    /// The clock.
    Expire,
    /// A person who undoes one operation.
    Rollback,
    /// A person who gives up all entries.
    ReleaseAll,
    /// A person who forgives a network.
    Pardon,
}

/// One change to one set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Change {
    /// Put a network into a set.
    Add {
        /// The set's name.
        set: String,
        /// The network.
        network: IpNet,
        /// How long it stays, in milliseconds from when it is added.
        term_ms: i64,
        /// Offences counted so far, this one included.
        strikes: u32,
        /// What speaks against it.
        cause: Cause,
    },
    /// Let an entry of ours stay longer.
    Renew {
        /// The set's name.
        set: String,
        /// The network.
        network: IpNet,
        /// How long it stays, in milliseconds from when it is renewed.
        term_ms: i64,
        /// Offences counted so far, this one included.
        strikes: u32,
        /// What speaks against it now.
        cause: Cause,
    },
    /// Take an entry of ours out of its set.
    Remove {
        /// The set's name.
        set: String,
        /// The network.
        network: IpNet,
        /// Why.
        why: Removal,
    },
}

impl Change {
    /// The set that it is about.
    pub fn set(&self) -> &str {
        match self {
            Self::Add { set, .. } | Self::Renew { set, .. } | Self::Remove { set, .. } => set,
        }
    }

    /// The network that it is about.
    pub fn network(&self) -> IpNet {
        match self {
            Self::Add { network, .. }
            | Self::Renew { network, .. }
            | Self::Remove { network, .. } => *network,
        }
    }
}

/// A set as it was when the changes were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetBase {
    /// The set's name.
    pub set: String,
    /// What it holds.
    pub family: Family,
    /// Digest of its entries, see [`crate::IpSet::digest`].
    pub sha256: String,
}

/// Hashes of what a plan was made with, for whoever has to show that later.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digests {
    /// The rules, in lower-case hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rules_sha256: Option<String>,
    /// The never-block lists.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub never_block_sha256: Option<String>,
    /// The configuration.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub configuration_sha256: Option<String>,
}

/// What is to be done to the sets of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    /// Names the operation; never used twice.
    pub operation: String,
    /// What the changes come from.
    pub kind: Kind,
    /// Whose sets they are for.
    pub target: Target,
    /// When they were made.
    #[serde(with = "rfc3339")]
    pub created_at: Timestamp,
    /// From when on they are not carried out any more.
    #[serde(with = "rfc3339")]
    pub not_after: Timestamp,
    /// The version of the ledger they were made from; `None` where each change is
    /// right whatever else has changed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ledger: Option<LedgerStamp>,
    /// The sets as they were; empty where that does not matter.
    pub base: Vec<SetBase>,
    /// The changes; additions from the worst offender down.
    pub changes: Vec<Change>,
    /// What the brakes are held against.
    pub figures: Figures,
    /// What they were made with.
    #[serde(default)]
    pub digests: Digests,
}

impl Changes {
    pub(crate) fn none(kind: Kind, operation: &str, target: &Target, now: Timestamp) -> Self {
        Self {
            operation: operation.to_owned(),
            kind,
            target: target.clone(),
            created_at: now,
            not_after: later(now, VALID_MS),
            ledger: None,
            base: Vec::new(),
            changes: Vec::new(),
            figures: Figures::default(),
            digests: Digests::default(),
        }
    }

    /// Takes out every entry whose time is over, and every one that overlaps what is
    /// never blocked. Without a list, or with one that could not be read, time alone
    /// counts.
    pub fn expire(
        ledger: &Ledger,
        never_block: Option<&NeverBlock>,
        operation: &str,
        now: Timestamp,
    ) -> Self {
        let mut changes = Self::none(Kind::Expire, operation, ledger.target(), now);
        changes.changes = due(ledger, never_block, now).collect();
        changes
    }

    /// Takes out what the operation `undone` added, as far as it is still ours.
    pub fn rollback(ledger: &Ledger, undone: &str, operation: &str, now: Timestamp) -> Self {
        let mut changes = Self::none(Kind::Rollback, operation, ledger.target(), now);
        let added = ledger.entries().iter().filter(|(_, entry)| entry.operation == undone);
        changes.changes = added
            .map(|(network, entry)| removal(*network, &entry.set, Removal::RolledBack))
            .collect();
        changes
    }

    /// Takes out everything that is ours.
    pub fn release_all(ledger: &Ledger, operation: &str, now: Timestamp) -> Self {
        let mut changes = Self::none(Kind::ReleaseAll, operation, ledger.target(), now);
        let entries = ledger.entries().iter();
        changes.changes = entries
            .map(|(network, entry)| removal(*network, &entry.set, Removal::Released))
            .collect();
        changes
    }

    /// Takes out every entry of ours that overlaps `network`, forgets the strikes, and keeps
    /// `network` out for a while whether or not anything of ours was there.
    pub fn pardon(ledger: &Ledger, network: IpNet, operation: &str, now: Timestamp) -> Self {
        let mut changes = Self::none(Kind::Pardon, operation, ledger.target(), now);
        let overlaps = |other: &IpNet| network.contains(other) || other.contains(&network);
        let entries = ledger.entries().iter().map(|(network, entry)| (network, entry.set.as_str()));
        // A network that is in no set any more has strikes to forget all the same.
        let past = ledger.past().keys().map(|network| (network, ""));
        changes.changes = entries
            .chain(past)
            .filter(|(network, _)| overlaps(network))
            .map(|(network, set)| removal(*network, set, Removal::Pardoned))
            .collect();
        if !changes.changes.iter().any(|change| change.network() == network) {
            changes.changes.push(removal(network, "", Removal::Pardoned));
        }
        changes
    }

    /// The sets to read: those that changes name, and those in which something is ours
    /// and that a clock or a plan looks after, so that what somebody took out of them is
    /// noticed although nothing is to be done there. IPv4 before IPv6, then by name.
    pub(crate) fn sets(&self, ledger: &Ledger) -> Vec<String> {
        let is_looked_after = |set: &str| match self.kind {
            Kind::Expire => true,
            Kind::Plan => self.base.iter().any(|base| base.set == set),
            Kind::Rollback | Kind::ReleaseAll | Kind::Pardon => false,
        };
        let named = self.changes.iter().map(|change| (change.set(), change.network()));
        let owned = ledger.entries().iter().map(|(network, entry)| (&*entry.set, *network));
        let family_of: BTreeMap<&str, Family> = named
            .filter(|(set, _)| !set.is_empty())
            .chain(owned.filter(|(set, _)| is_looked_after(set)))
            .map(|(set, network)| (set, Family::of(network)))
            .collect();
        let mut sets: Vec<_> = family_of.into_iter().map(|(set, family)| (family, set)).collect();
        sets.sort_unstable();
        sets.into_iter().map(|(_, set)| set.to_owned()).collect()
    }

    /// The sets that they were made for, and those that additions and longer stays go into.
    pub(crate) fn planned_sets(&self) -> BTreeSet<&str> {
        let stays = self.changes.iter().filter(|change| !matches!(change, Change::Remove { .. }));
        let base = self.base.iter().map(|base| base.set.as_str());
        base.chain(stays.map(Change::set)).collect()
    }

    /// The changes as a plan file of their own: indented JSON with its hash.
    pub fn to_json(&self) -> String {
        let mut document = self.document();
        document["plan_sha256"] = Value::from(self.sha256());
        let mut text = serde_json::to_string_pretty(&document).expect("values serialise");
        text.push('\n');
        text
    }

    /// The hash in [`Changes::to_json`], in lower-case hexadecimal. A plan that came
    /// from a scan holds more, and has another hash.
    pub fn sha256(&self) -> String {
        hash_of(&self.document())
    }

    fn document(&self) -> Value {
        serde_json::json!({"schema_version": crate::plan_file::SCHEMA_VERSION, "changes": self})
    }
}

fn removal(network: IpNet, set: &str, why: Removal) -> Change {
    Change::Remove { set: set.to_owned(), network, why }
}

/// Our entries that are to leave, whatever a scan says.
pub(crate) fn due<'a>(
    ledger: &'a Ledger,
    never_block: Option<&'a NeverBlock>,
    now: Timestamp,
) -> impl Iterator<Item = Change> + 'a {
    ledger.entries().iter().filter_map(move |(network, entry)| {
        let protected = never_block.is_some_and(|list| list.protection(*network).is_some());
        let why = match (protected, entry.expires <= now) {
            (_, true) => Removal::Expired,
            (true, false) => Removal::Protected,
            (false, false) => return None,
        };
        Some(removal(*network, &entry.set, why))
    })
}

/// Why a plan file is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanFileError {
    /// Not JSON, or not the fields that belong there.
    #[error("{0}")]
    Json(String),
    /// A version that this program does not know.
    #[error("schema_version is {0}, and this program reads {version}", version = crate::plan_file::SCHEMA_VERSION)]
    SchemaVersion(String),
    /// The file states no hash.
    #[error("it states no `plan_sha256`")]
    NoHash,
    /// The file is not the one that its hash was taken of.
    #[error("it was altered: it states the hash {stated}, and its content has {found}")]
    Altered {
        /// The hash in the file.
        stated: String,
        /// The hash of the file.
        found: String,
    },
    /// The plan was made without a ledger and names no account.
    #[error("it was made for no account; make the plan with a ledger and a target")]
    NoChanges,
    /// A network that no set can hold.
    #[error("`{0}` has host bits set or is every address")]
    Network(IpNet),
    /// An operation with a name that no program of ours gives.
    #[error("the operation `{}` is no name; expected 1 to {longest} letters, digits and signs", .0.escape_debug(), longest = crate::plan_limits::LONGEST_NAME)]
    Operation(String),
    /// A plan that could be carried out for longer than plans may.
    #[error("it is good from {created_at} to {not_after}; a plan is good for {} min", VALID_MS / 60_000)]
    Validity {
        /// When it was made.
        created_at: Timestamp,
        /// Until when it is good.
        not_after: Timestamp,
    },
    /// A block that is over at once, or lasts longer than blocks may.
    #[error("{network} would be blocked for {term_ms} ms; expected 1 to {longest_ms} ms")]
    Term {
        /// The network.
        network: IpNet,
        /// How long, in milliseconds.
        term_ms: i64,
        /// How long it may be, in milliseconds.
        longest_ms: i64,
    },
    /// A number of offences that nobody comes to.
    #[error("{network} has {strikes} strikes; expected 1 to {}", crate::plan_limits::MOST_STRIKES)]
    Strikes {
        /// The network.
        network: IpNet,
        /// Its offences.
        strikes: u32,
    },
    /// A network and the set that it is to enter are of two families.
    #[error("{network} cannot be in the set `{}`, which holds {family}", set.escape_debug())]
    Family {
        /// The network.
        network: IpNet,
        /// The set.
        set: String,
        /// What it holds.
        family: Family,
    },
}

/// Changes as they were read from a plan file, and the hash of that file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewedChanges {
    /// What is to be done.
    pub changes: Changes,
    /// The hash that the reviewer approved.
    pub plan_sha256: String,
}

impl ReviewedChanges {
    /// Reads the changes out of a plan file, whose hash must be right.
    pub fn from_json(text: &str) -> Result<Self, PlanFileError> {
        let json = |error: serde_json::Error| PlanFileError::Json(error.to_string());
        let mut document: Value = serde_json::from_str(text).map_err(json)?;
        let version = document.get("schema_version").cloned().unwrap_or_default();
        if version != crate::plan_file::SCHEMA_VERSION {
            return Err(PlanFileError::SchemaVersion(version.to_string()));
        }
        let stated = document.as_object_mut().and_then(|fields| fields.remove("plan_sha256"));
        let Some(Value::String(stated)) = stated else {
            return Err(PlanFileError::NoHash);
        };
        let found = hash_of(&document);
        if stated != found {
            return Err(PlanFileError::Altered { stated, found });
        }
        let changes = document.get_mut("changes").map(Value::take).unwrap_or_default();
        if changes.is_null() {
            return Err(PlanFileError::NoChanges);
        }
        let changes: Changes = serde_json::from_value(changes).map_err(json)?;
        let mut networks = changes.changes.iter().map(Change::network);
        let is_wide = |network: &IpNet| network.trunc() != *network || network.prefix_len() == 0;
        if let Some(network) = networks.find(is_wide) {
            return Err(PlanFileError::Network(network));
        }
        crate::plan_limits::within(&changes)?;
        Ok(Self { changes, plan_sha256: stated })
    }
}

#[cfg(test)]
mod tests;
