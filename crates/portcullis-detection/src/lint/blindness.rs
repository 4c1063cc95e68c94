//! Rules that a log format makes blind.

use portcullis_ingest::Field;

use super::source::Source;
use super::{Check, Finding, Formats, Given, find};
use crate::rule::{Rule, RuleKind};

pub(super) fn check(sources: &[Source<'_>], formats: &Formats, findings: &mut Vec<Finding>) {
    for source in sources {
        let rule = source.rule();
        let told = match formats {
            Formats::Asked(formats) => {
                let blind: Vec<&Given> = formats.iter().filter(|one| is_blind(rule, one)).collect();
                let Some(first) = blind.first() else { continue };
                let missing = rule.missing_fields(first.fields);
                let missing: Vec<&str> = missing.iter().map(Field::name).collect();
                let names: Vec<String> =
                    blind.iter().map(|given| format!("`{}`", given.format)).collect();
                let message = format!("blind with {}", names.join(", "));
                let fix = format!(
                    "log {}, or leave the rule to logs that have it",
                    missing.join(" and ")
                );
                (message, fix)
            }
            Formats::Known(formats) => {
                if formats.is_empty() || !formats.iter().all(|one| is_blind(rule, one)) {
                    continue;
                }
                let message = "blind with every log format that is known".to_owned();
                let fix = "ask for fewer fields or conditions together: no log has them all";
                (message, fix.to_owned())
            }
        };
        let span = match rule.kind() {
            RuleKind::Signature(_) => source.value("signature", "fields"),
            RuleKind::Rate(_) => source.value("rate", "measure"),
        };
        find(findings, source, Check::Blind, span, told);
    }
}

fn is_blind(rule: &Rule, given: &Given) -> bool {
    !rule.missing_fields(given.fields).is_empty()
}
