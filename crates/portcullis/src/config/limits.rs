//! `[policy]` and `[brakes]`: what it takes to be blocked, and what stops a run.
//!
//! A plan and the brakes keep to the same widest networks, so both are made of one setting.

use portcullis_detection::Severity;
use portcullis_remediation::{BlockPolicy, BrakeLimits, MergeLimits, Terms};
use serde::{Deserialize, Deserializer, de};

use super::Configuration;
use crate::span;

/// `[policy]`: what it takes to be blocked.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct PolicySettings {
    min_score: Option<u32>,
    #[serde(deserialize_with = "severity")]
    min_severity: Option<Severity>,
    shared_good_requests: Option<u64>,
    shared_principals: Option<u64>,
    max_addresses: Option<usize>,
    /// Shortest prefixes that neighbours may share where there is not room for all, and
    /// good requests of strangers that such a network may cost. A plan and the brakes
    /// keep to the same.
    widest_ipv4: Option<u8>,
    widest_ipv6: Option<u8>,
    merge_good_requests: Option<u64>,
    /// Terms of the first offence, the second and so on: `["1h", "4h", "24h", "7d"]`.
    #[serde(deserialize_with = "terms")]
    ttl: Option<Terms>,
}

/// `[brakes]`: what stops a run.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct BrakeSettings {
    adds_per_run: Option<u64>,
    adds_per_day: Option<u64>,
    floor: Option<u64>,
    change_percent: Option<Percent>,
    removal_percent: Option<Percent>,
    blast_requests_percent: Option<Percent>,
    blast_principals_percent: Option<Percent>,
    one_origin_percent: Option<Percent>,
    coverage_percent: Option<Percent>,
    evidence_age_hours: Option<u32>,
    failing_runs: Option<u32>,
}

/// A share, kept in thousandths as the brakes have it.
#[derive(Debug, Clone, Copy)]
struct Percent(u64);

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let percent = f64::deserialize(from)?;
        if (0.0..=100.0).contains(&percent) {
            return Ok(Self((percent * 10.0).round() as u64));
        }
        Err(de::Error::custom(format!("{percent} is no share; expected a percentage, 0 to 100")))
    }
}

fn severity<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Severity>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Name {
        Low,
        Medium,
        High,
        Critical,
    }
    Ok(Some(match Name::deserialize(from)? {
        Name::Low => Severity::Low,
        Name::Medium => Severity::Medium,
        Name::High => Severity::High,
        Name::Critical => Severity::Critical,
    }))
}

fn terms<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Terms>, D::Error> {
    let steps = Vec::<String>::deserialize(from)?;
    let steps: Result<Vec<i64>, String> = steps.iter().map(|step| span::length(step)).collect();
    let steps = steps.map_err(de::Error::custom)?;
    Terms::new(&steps).map(Some).map_err(de::Error::custom)
}

impl Configuration {
    /// The limits of a plan.
    pub fn policy(&self) -> BlockPolicy {
        let usual = BlockPolicy::default();
        let given = &self.policy;
        BlockPolicy {
            min_score: given.min_score.unwrap_or(usual.min_score),
            min_severity: given.min_severity.unwrap_or(usual.min_severity),
            shared_good_requests: given.shared_good_requests.unwrap_or(usual.shared_good_requests),
            shared_principals: given.shared_principals.unwrap_or(usual.shared_principals),
            max_addresses: given.max_addresses.unwrap_or(usual.max_addresses),
            merge: MergeLimits {
                widest_v4: given.widest_ipv4.unwrap_or(usual.merge.widest_v4),
                widest_v6: given.widest_ipv6.unwrap_or(usual.merge.widest_v6),
                good_requests: given.merge_good_requests.unwrap_or(usual.merge.good_requests),
            },
            terms: given.ttl.unwrap_or(usual.terms),
        }
    }

    /// The limits of the brakes.
    pub fn brakes(&self) -> BrakeLimits {
        let usual = BrakeLimits::default();
        let given = &self.brakes;
        let share = |given: Option<Percent>, usual| given.map_or(usual, |Percent(share)| share);
        let hours = |hours: u32| i64::from(hours) * 3_600_000;
        BrakeLimits {
            adds_per_run: given.adds_per_run.unwrap_or(usual.adds_per_run),
            adds_per_day: given.adds_per_day.unwrap_or(usual.adds_per_day),
            change_share: share(given.change_percent, usual.change_share),
            floor: given.floor.unwrap_or(usual.floor),
            removal_share: share(given.removal_percent, usual.removal_share),
            widest_v4: self.policy.widest_ipv4.unwrap_or(usual.widest_v4),
            widest_v6: self.policy.widest_ipv6.unwrap_or(usual.widest_v6),
            blast_requests: share(given.blast_requests_percent, usual.blast_requests),
            blast_principals: share(given.blast_principals_percent, usual.blast_principals),
            one_origin: share(given.one_origin_percent, usual.one_origin),
            coverage: share(given.coverage_percent, usual.coverage),
            evidence_age_ms: given.evidence_age_hours.map_or(usual.evidence_age_ms, hours),
            failing_runs: given.failing_runs.unwrap_or(usual.failing_runs),
        }
    }
}
