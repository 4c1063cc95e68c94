//! Stops a run that would change more than a good run ever does.
//!
//! Every rule may be right and the whole still be wrong: a new rule that fires on
//! everybody, a list that came back empty, a log that was half read. So before
//! anything is written, the run as a whole is held against limits that have nothing
//! to do with the reasons for the single blocks. A brake stops the whole run: which
//! part of a wrong run is right cannot be told.
//!
//! A person may release one brake for one run, with a reason that goes into the
//! account. An unattended run cannot. What leaves a set because its time is over is
//! never braked, except by the kill switch.

use std::fmt;

use ipnet::IpNet;
use portcullis_ingest::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ipset::Family;
use crate::term::{HOUR_MS, MOST_AHEAD_MS, later};

/// The brakes, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Brake {
    /// Somebody pulled the kill switch.
    Halt,
    /// Too many runs in a row failed.
    FailingRuns,
    /// Too many additions in this run.
    AddsPerRun,
    /// Too many additions within a day.
    AddsPerDay,
    /// Too much of the sets would change.
    ChangeShare,
    /// Too many entries would leave before their time.
    Removals,
    /// A network is wider than any that neighbours share.
    PrefixWidth,
    /// Too many good requests would have been blocked.
    BlastRequests,
    /// Too many principals would have been blocked.
    BlastPrincipals,
    /// Too many additions come from one network operator or country.
    OneOrigin,
    /// Too little of the logs could be read.
    Coverage,
    /// The evidence is too old.
    EvidenceAge,
}

impl Brake {
    /// All brakes, in their order.
    pub const ALL: [Self; 12] = [
        Self::Halt,
        Self::FailingRuns,
        Self::AddsPerRun,
        Self::AddsPerDay,
        Self::ChangeShare,
        Self::Removals,
        Self::PrefixWidth,
        Self::BlastRequests,
        Self::BlastPrincipals,
        Self::OneOrigin,
        Self::Coverage,
        Self::EvidenceAge,
    ];

    /// The brake's permanent name, as `--override NAME=REASON` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Halt => "halt",
            Self::FailingRuns => "failing-runs",
            Self::AddsPerRun => "adds-per-run",
            Self::AddsPerDay => "adds-per-day",
            Self::ChangeShare => "change-share",
            Self::Removals => "removals",
            Self::PrefixWidth => "prefix-width",
            Self::BlastRequests => "blast-requests",
            Self::BlastPrincipals => "blast-principals",
            Self::OneOrigin => "one-origin",
            Self::Coverage => "coverage",
            Self::EvidenceAge => "evidence-age",
        }
    }
}

impl fmt::Display for Brake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the brakes allow. Shares are in thousandths, because limits are compared
/// exactly. All defaults are guesses, made to be small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrakeLimits {
    /// Additions in one run.
    pub adds_per_run: u64,
    /// Additions within 24 hours.
    pub adds_per_day: u64,
    /// Additions and removals before their time, in thousandths of the entries.
    pub change_share: u64,
    /// Changes and removals that are allowed however few entries there are.
    pub floor: u64,
    /// Removals before their time, in thousandths of the entries.
    pub removal_share: u64,
    /// Shortest prefix of an IPv4 addition, in bits.
    pub widest_v4: u8,
    /// Shortest prefix of an IPv6 addition, in bits.
    pub widest_v6: u8,
    /// Good requests that would have been blocked, in thousandths of all good ones.
    pub blast_requests: u64,
    /// Principals that would have been blocked, in thousandths of all.
    pub blast_principals: u64,
    /// Additions of one origin, in thousandths of all, from `floor` additions on.
    pub one_origin: u64,
    /// Records that must have been readable, in thousandths of all.
    pub coverage: u64,
    /// Oldest evidence for an addition, in milliseconds. Ahead of the clock none may be by
    /// more than 5 minutes.
    pub evidence_age_ms: i64,
    /// Failed runs in a row from which on nothing is changed.
    pub failing_runs: u32,
}

impl Default for BrakeLimits {
    /// 50 additions a run and 500 a day; 10 % of the entries, or 10 of them; a /24 and a
    /// /48; 0.5 % of good requests and 0.1 % of principals; 50 % of one origin; 99 %
    /// coverage; 24 h; 3 failed runs.
    fn default() -> Self {
        Self {
            adds_per_run: 50,
            adds_per_day: 500,
            change_share: 100,
            floor: 10,
            removal_share: 100,
            widest_v4: 24,
            widest_v6: 48,
            blast_requests: 5,
            blast_principals: 1,
            one_origin: 500,
            coverage: 990,
            evidence_age_ms: 24 * HOUR_MS,
            failing_runs: 3,
        }
    }
}

impl BrakeLimits {
    const fn widest(&self, family: Family) -> u8 {
        match family {
            Family::V4 => self.widest_v4,
            Family::V6 => self.widest_v6,
        }
    }
}

/// What would have been blocked if the additions had been there a day before. Sources
/// that are answered well in a few of very many requests count on neither side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlastRadius {
    /// Good requests of the last 24 hours.
    pub good_requests: u64,
    /// Those that the additions would have blocked.
    pub blocked_good_requests: u64,
    /// Different principals of the last 24 hours.
    pub principals: u64,
    /// Those of whom the additions would have blocked a good request.
    pub blocked_principals: u64,
}

/// The origin, a network operator or country, that most additions come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Its name, such as `AS64496`.
    pub name: String,
    /// Additions that come from it.
    pub additions: u64,
}

/// What a plan knows that the brakes are held against. What is missing was not
/// measured and brakes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Records found in the logs.
    pub records: u64,
    /// Those that could not be read.
    pub unreadable: u64,
    /// What would have been blocked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub blast_radius: Option<BlastRadius>,
    /// Where most additions come from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<Origin>,
}

/// One run as the brakes see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) halt: Option<&'a str>,
    pub(crate) failed_runs: u32,
    /// Networks to be added, each with the time of its newest evidence.
    pub(crate) additions: &'a [(IpNet, Option<Timestamp>)],
    pub(crate) added_today: u64,
    /// Entries that leave before their time, by nobody's explicit order.
    pub(crate) removals: u64,
    /// Entries of all sets together, whoever put them there.
    pub(crate) entries: u64,
    pub(crate) figures: &'a Figures,
    pub(crate) now: Timestamp,
}

/// A brake that stops the run, with the numbers that disagree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("brake {brake}: {detail}")]
pub struct Braked {
    /// The brake.
    pub brake: Brake,
    /// What was found and what is allowed.
    pub detail: String,
}

/// A brake that a person released for one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrakeOverride {
    /// The brake.
    pub brake: Brake,
    /// Why; it goes into the account.
    pub reason: String,
}

/// Why a text releases no brake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrakeOverrideError {
    /// No such brake.
    #[error("`{}` is no brake; the brakes are {}", .0.escape_debug(), brake_names())]
    Unknown(String),
    /// No reason.
    #[error("brake {0} is not released without a reason; write `{0}=REASON`")]
    NoReason(Brake),
}

fn brake_names() -> String {
    Brake::ALL.map(Brake::name).join(", ")
}

impl BrakeOverride {
    /// Parses `BRAKE=REASON`.
    ///
    /// ```
    /// use portcullis_remediation::{Brake, BrakeOverride};
    /// let released = BrakeOverride::parse("adds-per-run=botnet, seen by two of us").unwrap();
    /// assert_eq!(released.brake, Brake::AddsPerRun);
    /// assert!(BrakeOverride::parse("adds-per-run").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, BrakeOverrideError> {
        let (name, reason) = text.split_once('=').unwrap_or((text, ""));
        let brake = Brake::ALL.into_iter().find(|brake| brake.name() == name.trim());
        let brake = brake.ok_or_else(|| BrakeOverrideError::Unknown(name.to_owned()))?;
        let reason: String = reason.trim().chars().filter(|c| !c.is_control()).collect();
        if reason.is_empty() {
            return Err(BrakeOverrideError::NoReason(brake));
        }
        Ok(Self { brake, reason })
    }
}

/// The brakes that stop the run, in their order.
pub(crate) fn brakes(run: &Run<'_>, limits: &BrakeLimits) -> Vec<Braked> {
    let adds = run.additions.len() as u64;
    let widest = run
        .additions
        .iter()
        .map(|(network, _)| *network)
        .find(|network| network.prefix_len() < limits.widest(Family::of(*network)));
    let oldest = run.additions.iter().filter_map(|(network, last)| Some(((*last)?, network))).min();
    let latest = run.additions.iter().filter_map(|(network, last)| Some(((*last)?, network))).max();
    let ahead = latest.filter(|(last, _)| *last > later(run.now, MOST_AHEAD_MS));
    let today = run.added_today + adds;
    let changes = adds + run.removals;
    let allowed = |share: u64| (run.entries * share / 1_000).max(limits.floor);
    let (allowed_changes, allowed_removals) =
        (allowed(limits.change_share), allowed(limits.removal_share));
    let blast = run.figures.blast_radius.unwrap_or_default();
    let (records, unreadable) = (run.figures.records, run.figures.unreadable);
    let percent = |part: u64, whole: u64| part as f64 * 100.0 / whole.max(1) as f64;
    let limit = |thousandths: u64| thousandths as f64 / 10.0;

    let stops = |brake: Brake| -> Option<String> {
        match brake {
            Brake::Halt => run.halt.map(|reason| format!("the kill switch is pulled: {reason}")),
            Brake::FailingRuns => (run.failed_runs >= limits.failing_runs && adds > 0).then(|| {
                format!("{} runs in a row failed, limit {}", run.failed_runs, limits.failing_runs)
            }),
            Brake::AddsPerRun => (adds > limits.adds_per_run)
                .then(|| format!("{adds} additions in one run, limit {}", limits.adds_per_run)),
            Brake::AddsPerDay => (adds > 0 && today > limits.adds_per_day)
                .then(|| format!("{today} additions in 24 h, limit {}", limits.adds_per_day)),
            Brake::ChangeShare => (changes > allowed_changes).then(|| {
                format!(
                    "{changes} changes to {} entries, limit {allowed_changes} ({} %, at least {})",
                    run.entries,
                    limit(limits.change_share),
                    limits.floor
                )
            }),
            Brake::Removals => (run.removals > allowed_removals).then(|| {
                format!(
                    "{} removals before their time from {} entries, limit {allowed_removals} ({} %, at least {})",
                    run.removals,
                    run.entries,
                    limit(limits.removal_share),
                    limits.floor
                )
            }),
            Brake::PrefixWidth => widest.map(|network| {
                let allowed = limits.widest(Family::of(network));
                format!("{network} is a /{}, limit /{allowed}", network.prefix_len())
            }),
            Brake::BlastRequests => (adds > 0
                && blast.blocked_good_requests * 1_000 > blast.good_requests * limits.blast_requests)
                .then(|| {
                    format!(
                        "{} of {} good requests ({:.2} %) would have been blocked, limit {} %",
                        blast.blocked_good_requests,
                        blast.good_requests,
                        percent(blast.blocked_good_requests, blast.good_requests),
                        limit(limits.blast_requests)
                    )
                }),
            Brake::BlastPrincipals => (adds > 0
                && blast.blocked_principals * 1_000 > blast.principals * limits.blast_principals)
                .then(|| {
                    format!(
                        "{} of {} principals ({:.2} %) would have been blocked, limit {} %",
                        blast.blocked_principals,
                        blast.principals,
                        percent(blast.blocked_principals, blast.principals),
                        limit(limits.blast_principals)
                    )
                }),
            Brake::OneOrigin => run.figures.origin.as_ref().and_then(|origin| {
                let many = adds >= limits.floor.max(1);
                (many && origin.additions * 1_000 > adds * limits.one_origin).then(|| {
                    format!(
                        "{} of {adds} additions come from {}, limit {} %",
                        origin.additions,
                        origin.name,
                        limit(limits.one_origin)
                    )
                })
            }),
            Brake::Coverage => (adds > 0
                && (records - unreadable.min(records)) * 1_000 < records * limits.coverage)
                .then(|| {
                    format!(
                        "{unreadable} of {records} records ({:.2} %) could not be read, limit {} %",
                        percent(unreadable, records),
                        limit(1_000 - limits.coverage.min(1_000))
                    )
                }),
            Brake::EvidenceAge => oldest.and_then(|(last, network)| {
                if let Some((last, network)) = ahead {
                    return Some(format!(
                        "the newest evidence against {network} is of {last}, ahead of the clock, \
                         which says {}",
                        run.now
                    ));
                }
                let age = run.now.epoch_ms() - last.epoch_ms();
                (age > limits.evidence_age_ms).then(|| {
                    format!(
                        "the newest evidence against {network} is {} min old, limit {} min",
                        age / 60_000,
                        limits.evidence_age_ms / 60_000
                    )
                })
            }),
        }
    };
    let stopped = |brake: Brake| stops(brake).map(|detail| Braked { brake, detail });
    Brake::ALL.into_iter().filter_map(stopped).collect()
}

#[cfg(test)]
mod tests;
