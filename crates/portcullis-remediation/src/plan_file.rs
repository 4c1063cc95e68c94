//! Writes a plan as JSON that can be reviewed, compared, and approved by its hash.
//!
//! The same plan is the same bytes. `plan_sha256` is taken over all other fields with
//! their keys sorted and no white space, so it survives a tool that reorders keys or
//! indents; `jq -jcS 'del(.plan_sha256)' plan.json | sha256sum` shows it again.
//! Nothing that a client wrote is in the file, see [`crate::Grounds`].

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::brake::BlastRadius;
use crate::changes::Changes;
use crate::decision::{Decision, Outcome, Withheld};
use crate::grounds::{Grounds, RuleGround};
use crate::ipset::{Family, IpSet, hexadecimal};
use crate::plan::Plan;
use crate::suggest::Suggestion;

/// Version of the file's shape.
pub(crate) const SCHEMA_VERSION: u32 = 1;

impl Plan {
    /// The plan as indented JSON with a line feed at its end.
    pub fn to_json(&self) -> String {
        let mut document = Document::of(self);
        document.plan_sha256 = Some(hash_without_itself(&document));
        let mut text = serde_json::to_string_pretty(&document).expect("every field serialises");
        text.push('\n');
        text
    }

    /// SHA-256 of the plan, in lower-case hexadecimal: `plan_sha256` of its JSON.
    pub fn sha256(&self) -> String {
        hash_without_itself(&Document::of(self))
    }
}

fn hash_without_itself(document: &Document<'_>) -> String {
    let mut value = serde_json::to_value(document).expect("every field serialises");
    value.as_object_mut().expect("a document is an object").remove("plan_sha256");
    hash_of(&value)
}

/// SHA-256 over a document without its hash: keys sorted, no white space.
pub(crate) fn hash_of(document: &Value) -> String {
    let mut text = String::new();
    write_canonical(document, &mut text);
    hexadecimal(&Sha256::digest(text))
}

/// Sorts keys itself, because whether `serde_json` does depends on a feature that any
/// crate of a build may switch on.
fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            for (index, (key, field)) in sorted.into_iter().enumerate() {
                text.push(if index == 0 { '{' } else { ',' });
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_canonical(field, text);
            }
            text.push_str(if fields.is_empty() { "{}" } else { "}" });
        }
        Value::Array(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                text.push(if index == 0 { '[' } else { ',' });
                write_canonical(entry, text);
            }
            text.push_str(if entries.is_empty() { "[]" } else { "]" });
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

#[derive(Serialize)]
struct Document<'plan> {
    schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_sha256: Option<String>,
    created_at: String,
    policy: PolicyDocument,
    coverage: CoverageDocument,
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    blast_radius: Option<BlastRadius>,
    sets: Vec<SetDocument<'plan>>,
    additions: Vec<AdditionDocument<'plan>>,
    already_blocked: Vec<AlreadyBlockedDocument<'plan>>,
    withheld: Vec<WithheldDocument<'plan>>,
    conflicts: Vec<ConflictDocument<'plan>>,
    suggestions: Vec<SuggestionDocument<'plan>>,
    notes: Vec<NoteDocument>,
    /// What a reviewer decided; left out where nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    reviewed: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<&'plan Changes>,
}

#[derive(Serialize)]
struct PolicyDocument {
    min_score: u32,
    min_severity: &'static str,
    shared_good_requests: u64,
    shared_principals: u64,
    max_addresses: usize,
    merge: MergeDocument,
}

#[derive(Serialize)]
struct MergeDocument {
    widest_v4: u8,
    widest_v6: u8,
    good_requests: u64,
}

#[derive(Serialize)]
struct CoverageDocument {
    objects: u64,
    incomplete_objects: usize,
    records: u64,
    requests: u64,
    rejects: u64,
    blind_rules: usize,
}

#[derive(Serialize)]
struct Counts {
    offenders: usize,
    watched: usize,
    additions: usize,
    already_blocked: usize,
    withheld: usize,
    withheld_by_reason: BTreeMap<&'static str, usize>,
}

#[derive(Serialize)]
struct SetDocument<'plan> {
    name: &'plan str,
    family: Family,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'plan str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock_token: Option<&'plan str>,
    base_count: usize,
    base_sha256: String,
    target_count: usize,
    target_sha256: String,
    target: Vec<String>,
}

#[derive(Serialize)]
struct AdditionDocument<'plan> {
    set: &'plan str,
    address: String,
    /// The network around this and other offenders that becomes the entry; without it the
    /// address does.
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_have_blocked: Option<CollateralDocument>,
    #[serde(flatten)]
    grounds: GroundsDocument<'plan>,
    evidence: Vec<EvidenceDocument<'plan>>,
}

#[derive(Serialize)]
struct CollateralDocument {
    good_requests: u64,
    principals: u64,
}

#[derive(Serialize)]
struct GroundsDocument<'plan> {
    score: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    categories: Vec<&'static str>,
    rules: Vec<&'plan str>,
    reason: String,
    requests: u64,
    flagged_requests: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
}

#[derive(Serialize)]
struct EvidenceDocument<'plan> {
    rule: &'plan str,
    object: &'plan str,
    offset: u64,
}

#[derive(Serialize)]
struct AlreadyBlockedDocument<'plan> {
    source: String,
    set: &'plan str,
    entry: String,
    score: u32,
    rules: Vec<&'plan str>,
}

#[derive(Serialize)]
struct WithheldDocument<'plan> {
    source: String,
    code: &'static str,
    explanation: String,
    score: u32,
    rules: Vec<&'plan str>,
}

#[derive(Serialize)]
struct ConflictDocument<'plan> {
    set: &'plan str,
    entry: String,
    explanation: String,
}

#[derive(Serialize)]
struct SuggestionDocument<'plan> {
    handle: &'static str,
    id: &'plan str,
    score: u32,
    rules: &'plan [String],
    requests: u64,
    clients: u64,
    shared_sources: Vec<String>,
    explanation: String,
}

#[derive(Serialize)]
struct NoteDocument {
    code: &'static str,
    explanation: String,
}

impl<'plan> Document<'plan> {
    /// Everything but the hash.
    fn of(plan: &'plan Plan) -> Self {
        let mut additions = Vec::new();
        let mut already_blocked = Vec::new();
        let mut withheld = Vec::new();
        let mut withheld_by_reason = BTreeMap::new();
        let watched = plan.decisions().iter().filter(|decision| decision.is_watched).count();
        for decision in plan.decisions() {
            match &decision.outcome {
                Outcome::Add { set, entry } => {
                    additions.push(addition(plan, decision, set, *entry));
                }
                Outcome::AlreadyBlocked { set, entry } => {
                    already_blocked.push(AlreadyBlockedDocument {
                        source: decision.source.to_string(),
                        set,
                        entry: entry.to_string(),
                        score: decision.grounds.score,
                        rules: rule_ids(&decision.grounds),
                    });
                }
                Outcome::Withheld(reason) => {
                    *withheld_by_reason.entry(reason.code()).or_default() += 1;
                    withheld.push(withheld_document(decision, reason));
                }
            }
        }
        Self {
            schema_version: SCHEMA_VERSION,
            plan_sha256: None,
            created_at: plan.created_at().to_string(),
            policy: PolicyDocument {
                min_score: plan.policy().min_score,
                min_severity: plan.policy().min_severity.name(),
                shared_good_requests: plan.policy().shared_good_requests,
                shared_principals: plan.policy().shared_principals,
                max_addresses: plan.policy().max_addresses,
                merge: MergeDocument {
                    widest_v4: plan.policy().merge.widest_v4,
                    widest_v6: plan.policy().merge.widest_v6,
                    good_requests: plan.policy().merge.good_requests,
                },
            },
            coverage: CoverageDocument {
                objects: plan.coverage().objects,
                incomplete_objects: plan.coverage().incomplete.len(),
                records: plan.coverage().records,
                requests: plan.coverage().requests,
                rejects: plan.coverage().rejected(),
                blind_rules: plan.coverage().blind.len(),
            },
            counts: Counts {
                offenders: plan.decisions().len() - watched,
                watched,
                additions: additions.len(),
                already_blocked: already_blocked.len(),
                withheld: withheld.len(),
                withheld_by_reason,
            },
            blast_radius: plan.blast_radius(),
            sets: plan.base().iter().zip(plan.target()).map(set_document).collect(),
            additions,
            already_blocked,
            withheld,
            conflicts: plan
                .conflicts()
                .iter()
                .map(|conflict| ConflictDocument {
                    set: &conflict.set,
                    entry: conflict.entry.to_string(),
                    explanation: conflict.to_string(),
                })
                .collect(),
            suggestions: plan.suggestions().iter().map(suggestion).collect(),
            notes: plan
                .notes()
                .iter()
                .map(|note| NoteDocument { code: note.code(), explanation: note.to_string() })
                .collect(),
            reviewed: (!plan.rulings().is_empty()).then(|| plan.rulings().document()),
            changes: plan.changes(),
        }
    }
}

fn suggestion(suggestion: &Suggestion) -> SuggestionDocument<'_> {
    SuggestionDocument {
        handle: suggestion.handle.name(),
        id: &suggestion.id,
        score: suggestion.score,
        rules: &suggestion.rules,
        requests: suggestion.requests,
        clients: suggestion.clients,
        shared_sources: suggestion.shared_sources.iter().map(ToString::to_string).collect(),
        explanation: suggestion.to_string(),
    }
}

/// A plan keeps the sets and their order, so base and target pair up.
fn set_document<'plan>((base, target): (&'plan IpSet, &'plan IpSet)) -> SetDocument<'plan> {
    SetDocument {
        name: base.name(),
        family: base.family(),
        description: base.description(),
        lock_token: base.lock_token(),
        base_count: base.addresses().len(),
        base_sha256: base.digest(),
        target_count: target.addresses().len(),
        target_sha256: target.digest(),
        target: target.addresses().iter().map(ToString::to_string).collect(),
    }
}

fn addition<'plan>(
    plan: &Plan,
    decision: &'plan Decision,
    set: &'plan str,
    entry: IpNet,
) -> AdditionDocument<'plan> {
    let grounds = &decision.grounds;
    let pointers = |rule: &'plan RuleGround| {
        rule.evidence.iter().map(|pointer| EvidenceDocument {
            rule: &rule.rule,
            object: &pointer.object,
            offset: pointer.offset,
        })
    };
    AdditionDocument {
        set,
        address: decision.source.to_string(),
        entry: (entry != decision.source).then(|| entry.to_string()),
        would_have_blocked: plan.collateral(entry).map(|collateral| CollateralDocument {
            good_requests: collateral.good_requests,
            principals: collateral.principals,
        }),
        grounds: GroundsDocument {
            score: grounds.score,
            severity: grounds.severity.map(portcullis_detection::Severity::name),
            categories: grounds.categories.iter().map(|category| category.name()).collect(),
            rules: rule_ids(grounds),
            reason: grounds.to_string(),
            requests: grounds.requests,
            flagged_requests: grounds.flagged_requests,
            first: grounds.first.map(|time| time.to_string()),
            last: grounds.last.map(|time| time.to_string()),
        },
        evidence: grounds.rules.iter().flat_map(pointers).collect(),
    }
}

fn withheld_document<'plan>(
    decision: &'plan Decision,
    reason: &Withheld,
) -> WithheldDocument<'plan> {
    WithheldDocument {
        source: decision.source.to_string(),
        code: reason.code(),
        explanation: decision.explanation(reason),
        score: decision.grounds.score,
        rules: rule_ids(&decision.grounds),
    }
}

fn rule_ids(grounds: &Grounds) -> Vec<&str> {
    grounds.rules.iter().map(|rule| &*rule.rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{findings, network, now, offender};
    use crate::{BlockPolicy, NeverBlock, Sets, plan};

    fn sample() -> Plan {
        let mut v4 = IpSet::new("edge", Family::V4)
            .and_then(|set| set.with_description("kept by hand"))
            .expect("a valid set")
            .with_lock_token(Some("8d1c9f3e".to_owned()));
        for entry in ["192.0.2.1/32", "198.51.100.9/32"] {
            v4.insert(network(entry)).expect("a valid entry");
        }
        let current = Sets::new(vec![v4]).expect("one set");
        let list = NeverBlock::parse("list", "198.51.100.0/24 head office").expect("a valid list");
        let offenders = vec![
            offender("203.0.113.9/32"),
            offender("192.0.2.1/32"),
            offender("198.51.100.7/32"),
            offender("2001:db8:0:7::/64"),
        ];
        plan(&findings(offenders, &[]), &current, &list, &BlockPolicy::default(), now())
    }

    #[test]
    fn the_file_says_what_changes_and_why() {
        let golden = include_str!("plan_file/golden.json");
        assert_eq!(sample().to_json(), golden);
    }

    #[test]
    fn the_same_plan_is_the_same_bytes() {
        assert_eq!(sample().to_json(), sample().to_json());
    }

    #[test]
    fn the_hash_can_be_taken_by_anybody() {
        let text = sample().to_json();
        let mut document: BTreeMap<String, Value> =
            serde_json::from_str(&text).expect("the plan is JSON");
        let stated = document.remove("plan_sha256").expect("the plan states its hash");
        // Keys of a map without `preserve_order` are sorted at every level.
        let rest = serde_json::to_string(&document).expect("values serialise");
        assert_eq!(stated, Value::from(hexadecimal(&Sha256::digest(&rest))));
        assert_eq!(stated, Value::from(sample().sha256()));
        let tampered = rest.replace("203.0.113.9", "203.0.113.8");
        assert_ne!(stated, Value::from(hexadecimal(&Sha256::digest(&tampered))));
    }

    #[test]
    fn nothing_that_a_client_wrote_is_in_the_file() {
        assert!(!sample().to_json().contains("canary"));
    }

    #[test]
    fn canonical_text_sorts_keys_at_every_level() {
        let value = serde_json::json!({"b": [{"d": 1, "c": []}, {}], "a": "\u{1b}\"", "é": null});
        let mut text = String::new();
        write_canonical(&value, &mut text);
        assert_eq!(text, r#"{"a":"\u001b\"","b":[{"c":[],"d":1},{}],"é":null}"#);
    }
}
