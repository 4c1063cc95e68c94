//! Reading what was looked at: the coverage, and the audit of each object.

use std::collections::BTreeMap;

use portcullis_ingest::{Field, RejectReason};
use serde::Deserialize;

use super::Read;
use super::value::wrong;
use crate::audit::{Audit, AuditedObject};
use crate::coverage::{BlindRule, Coverage};
use crate::memory::Forgotten;

#[derive(Deserialize)]
pub(in crate::document) struct CoverageJson {
    objects: u64,
    records: u64,
    requests: u64,
    blind_rules: Vec<BlindRuleJson>,
    incomplete: Vec<IncompleteJson>,
    rejects_by_reason: BTreeMap<String, u64>,
    rejects_with_signatures: u64,
    #[serde(default)]
    rejects_not_searched: u64,
    requests_without_client: u64,
    flagged_without_client: u64,
    requests_without_time: u64,
    requests_blocked_by_waf: u64,
    objects_blind_to_blocks: u64,
    truncated_fields: u64,
    formats: BTreeMap<String, u64>,
    requests_outside_span: u64,
    duplicates: u64,
    open_crawler_claims: u64,
    text_bytes: u64,
    #[serde(default)]
    forgotten: ForgottenJson,
}

#[derive(Deserialize)]
struct BlindRuleJson {
    rule: String,
    missing: Vec<String>,
    objects: u64,
}

#[derive(Deserialize)]
struct IncompleteJson {
    object: String,
    reason: String,
}

#[derive(Deserialize, Default)]
struct ForgottenJson {
    times: u64,
    requests: u64,
    missing_requests_at_most: BTreeMap<String, u64>,
    #[serde(default)]
    not_told_apart_at_most: BTreeMap<String, u64>,
    #[serde(default)]
    sources_with_shortened_evidence: u64,
    over_limit_bytes: u64,
}

impl CoverageJson {
    pub(in crate::document) fn read(self) -> Read<Coverage> {
        let mut coverage = Coverage {
            objects: self.objects,
            records: self.records,
            requests: self.requests,
            rejects_with_signatures: self.rejects_with_signatures,
            rejects_not_searched: self.rejects_not_searched,
            requests_without_client: self.requests_without_client,
            flagged_without_client: self.flagged_without_client,
            requests_without_time: self.requests_without_time,
            requests_blocked_by_waf: self.requests_blocked_by_waf,
            objects_blind_to_blocks: self.objects_blind_to_blocks,
            truncated_fields: self.truncated_fields,
            formats: self.formats,
            requests_outside_span: self.requests_outside_span,
            duplicates: self.duplicates,
            open_claims: self.open_crawler_claims,
            text_bytes: self.text_bytes,
            ..Coverage::default()
        };
        for (name, count) in self.rejects_by_reason {
            let reason = RejectReason::ALL.iter().position(|reason| reason.name() == name);
            let reason = reason.ok_or_else(|| wrong(&name, "reason", "the coverage"))?;
            coverage.rejects[reason] = count;
        }
        for IncompleteJson { object, reason } in self.incomplete {
            coverage.incomplete.insert(object.into(), reason);
        }
        let field = |name: String| {
            let field = Field::ALL.into_iter().map(Field::name).find(|field| *field == name);
            field.ok_or_else(|| wrong(&name, "field", "the coverage"))
        };
        for BlindRuleJson { rule, missing, objects } in self.blind_rules {
            let missing = missing.into_iter().map(field).collect::<Read<_>>()?;
            coverage.blind.insert(rule.into(), BlindRule { missing, objects });
        }
        let by_rule = |numbers: BTreeMap<String, u64>| {
            numbers.into_iter().map(|(rule, number)| (rule.into(), number)).collect()
        };
        let forgotten = self.forgotten;
        coverage.forgotten = Forgotten {
            times: forgotten.times,
            requests: forgotten.requests,
            missing: by_rule(forgotten.missing_requests_at_most),
            not_told_apart: by_rule(forgotten.not_told_apart_at_most),
            shortened: forgotten.sources_with_shortened_evidence,
            over_limit_bytes: forgotten.over_limit_bytes,
        };
        Ok(coverage)
    }
}

#[derive(Deserialize)]
pub(super) struct AuditJson {
    listed: u64,
    requests_of_sources: u64,
    objects: Vec<AuditedJson>,
}

#[derive(Deserialize)]
pub(in crate::document) struct AuditedJson {
    object: String,
    format: Option<String>,
    records: u64,
    requests: u64,
    rejects: u64,
    duplicates: u64,
    outside_span: u64,
    text_bytes: u64,
    incomplete: Option<String>,
}

impl AuditJson {
    pub(super) fn read(self) -> Audit {
        Audit {
            listed: self.listed,
            requests_of_sources: self.requests_of_sources,
            objects: self.objects.into_iter().map(AuditedJson::read).collect(),
        }
    }
}

impl AuditedJson {
    pub(in crate::document) fn read(self) -> AuditedObject {
        AuditedObject {
            object: self.object.into(),
            format: self.format,
            records: self.records,
            requests: self.requests,
            rejects: self.rejects,
            duplicates: self.duplicates,
            outside_span: self.outside_span,
            text_bytes: self.text_bytes,
            incomplete: self.incomplete,
        }
    }
}
