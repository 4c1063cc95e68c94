//! Findings that a rule's author knows of: `# lint: allow CHECK: reason`.

use std::ops::Range;

use super::{Check, Finding, Level, find};
use crate::lint::source::Source;

/// How an allowance begins.
const MARK: &str = "# lint:";

/// One allowance.
struct Allowance {
    check: Check,
    span: Range<usize>,
    used: bool,
}

/// Takes out what is allowed, and tells of allowances that are wrong or that nothing needs.
/// Errors cannot be allowed.
pub(super) fn apply(sources: &[Source<'_>], findings: Vec<Finding>) -> Vec<Finding> {
    let mut kept = Vec::new();
    let mut findings = findings;
    for source in sources {
        let mut allowances = read(source, &mut kept);
        findings.retain(|finding| {
            if finding.rule.as_deref() != Some(source.rule().id()) || finding.level == Level::Error
            {
                return true;
            }
            let allowance = allowances.iter_mut().find(|one| one.check == finding.check);
            allowance.is_none_or(|allowance| {
                allowance.used = true;
                false
            })
        });
        for unused in allowances.iter().filter(|allowance| !allowance.used) {
            let message = format!("there is no `{}` to allow", unused.check);
            let told = (message, "take the comment out".to_owned());
            find(&mut kept, source, Check::Allowance, unused.span.clone(), told);
        }
    }
    kept.append(&mut findings);
    kept
}

fn read(source: &Source<'_>, findings: &mut Vec<Finding>) -> Vec<Allowance> {
    let mut allowances = Vec::new();
    let mut start = 0;
    for line in source.text().split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let span = start + indent..start + line.trim_end().len();
        start += line.len();
        let Some(body) = line.trim().strip_prefix(MARK) else { continue };
        match understood(body.trim()) {
            Ok(check) => allowances.push(Allowance { check, span, used: false }),
            Err(message) => {
                let form = format!("write `{MARK} allow CHECK: reason`");
                find(findings, source, Check::Allowance, span, (message, form));
            }
        }
    }
    allowances
}

fn understood(body: &str) -> Result<Check, String> {
    let allowed = body.strip_prefix("allow ").ok_or("not an allowance")?;
    let (name, reason) = allowed.split_once(':').ok_or("an allowance without a reason")?;
    let check = Check::from_name(name.trim())
        .ok_or_else(|| format!("`{}` is no check", name.trim().escape_debug()))?;
    if reason.trim().is_empty() {
        return Err("an allowance without a reason".to_owned());
    }
    Ok(check)
}
