//! What a scan could not see, in sentences.
//!
//! "No offender" is only as good as what was looked at, so this stands on every page for
//! people, in one wording.

use std::collections::BTreeMap;

use portcullis_detection::{Coverage, Findings, Overview};
use portcullis_ingest::{LogFormat, RejectReason, Untrusted};

use crate::words::{byte_size, count, counted};

/// Names that one sentence lists before it only counts.
const NAMES: usize = 3;

/// What a page cannot show, one sentence each: what could not be seen, and what was left out
/// of the overview.
pub(crate) fn gaps_of_page(findings: &Findings, overview: &Overview) -> Vec<String> {
    let mut gaps = gaps(&findings.coverage);
    if overview.left_out > 0 {
        let all = overview.left_out + overview.stories.len() as u64;
        gaps.push(format!(
            "what {} of {} sent over time, its paths and agents, is not shown: memory was full \
             (--memory)",
            count(overview.left_out),
            counted(all, "source", "sources"),
        ));
    }
    gaps
}

/// What a scan could not see, one sentence each; the gravest first.
pub fn gaps(coverage: &Coverage) -> Vec<String> {
    let mut gaps = Vec::new();
    for (object, reason) in coverage.incomplete.iter().take(NAMES) {
        let object = Untrusted::new(object.as_bytes()).escaped();
        let reason = Untrusted::new(reason.as_bytes()).escaped();
        gaps.push(format!("{object} is incomplete: {reason}; what it shows is never blocked on"));
    }
    if let Some(more) = coverage.incomplete.len().checked_sub(NAMES).filter(|more| *more > 0) {
        gaps.push(format!("{more} more objects are incomplete"));
    }
    if let Some(objects) = coverage.formats.get("unknown") {
        gaps.push(format!(
            "the format of {} was not recognised: name it with --format",
            counted(*objects, "object", "objects")
        ));
    }
    gaps.extend(rejects(coverage));
    gaps.extend(blind_rules(coverage));
    let forgotten = &coverage.forgotten;
    if forgotten.times > 0 || !forgotten.missing.is_empty() {
        let most = forgotten.missing.values().max().copied().unwrap_or(0);
        gaps.push(format!(
            "memory was full, and clients that did nothing remarkable were forgotten {} times, \
             with {}: a rate's window may hold up to {} fewer than there were, and with several \
             threads another run may forget others; raise --memory",
            count(forgotten.times),
            counted(forgotten.requests, "request", "requests"),
            counted(most, "request", "requests"),
        ));
    }
    if let Some(most) = forgotten.not_told_apart.values().max() {
        gaps.push(format!(
            "a client asked for so many different things that {} of them are told apart no longer: \
             older windows may hold fewer than there were, but for the fullest of each rule",
            count(*most)
        ));
    }
    if forgotten.shortened > 0 {
        gaps.push(format!(
            "memory was full: of the evidence against {}, what was logged is kept for three rules, \
             and of the others where it stands; raise --memory",
            counted(forgotten.shortened, "source", "sources")
        ));
    }
    if forgotten.over_limit_bytes > 0 {
        gaps.push(format!(
            "what is known of clients that must not be forgotten took {}, more than --memory gives",
            byte_size(forgotten.over_limit_bytes)
        ));
    }
    if coverage.requests_without_client > 0 {
        gaps.push(format!(
            "{} without a client address, {} of them attacks: nobody can be named",
            counted(coverage.requests_without_client, "request", "requests"),
            count(coverage.flagged_without_client)
        ));
    }
    if coverage.requests_without_time > 0 {
        gaps.push(format!(
            "{} without a time: no rate counts them",
            counted(coverage.requests_without_time, "request", "requests")
        ));
    }
    if coverage.truncated_fields > 0 {
        gaps.push(format!(
            "{} too long, of too many parts, or of too many attacks, to be looked at in full",
            counted(coverage.truncated_fields, "field", "fields")
        ));
    }
    if coverage.open_claims > 0 {
        gaps.push(format!(
            "{} to be a crawler, and no name of its host was to be had: judged as anybody",
            counted(coverage.open_claims, "client says", "clients say")
        ));
    }
    gaps
}

fn rejects(coverage: &Coverage) -> Option<String> {
    let rejected = coverage.rejected();
    if rejected == 0 {
        return None;
    }
    let reasons: Vec<String> = RejectReason::ALL
        .iter()
        .zip(coverage.rejects)
        .filter(|(_, count)| *count > 0)
        .map(|(reason, number)| format!("{} {}", count(number), reason.name()))
        .collect();
    let suspicious = match (coverage.rejects_with_signatures, coverage.rejects_not_searched) {
        (0, 0) => String::new(),
        (number, 0) => format!("; {} hold attacks, held against nobody", count(number)),
        (number, left) => {
            let searched = count(rejected.saturating_sub(left));
            match number {
                0 => format!("; {searched} of them were searched, and hold no attack"),
                _ => format!(
                    "; of the {searched} that were searched {} hold attacks, held against nobody",
                    count(number)
                ),
            }
        }
    };
    Some(format!(
        "{} could not be read ({}){suspicious}",
        counted(rejected, "record", "records"),
        reasons.join(", ")
    ))
}

/// How many rules were blind, and for want of what. A rule may lack several fields of
/// which one would do, so the fields are named in the order of how many rules want them.
fn blind_rules(coverage: &Coverage) -> Option<String> {
    let mut wanted: BTreeMap<&str, u64> = BTreeMap::new();
    for field in coverage.blind.values().flat_map(|blind| &blind.missing) {
        *wanted.entry(*field).or_default() += 1;
    }
    if wanted.is_empty() {
        return None;
    }
    // No access log of API Gateway carries these, whatever its format.
    let is_incurable = wanted.keys().all(|field| matches!(*field, "query" | "referer" | "headers"));
    let mut fields: Vec<_> = wanted.into_iter().collect();
    fields.sort_by_key(|(field, rules)| (std::cmp::Reverse(*rules), *field));
    let fields: Vec<_> = fields.iter().map(|(field, _)| format!("`{field}`")).collect();
    let everywhere = coverage.blind.values().all(|blind| blind.objects == coverage.objects);
    let place = if everywhere { "" } else { " in some of the objects" };
    let rules = counted(coverage.blind.len() as u64, "rule", "rules");
    let lack =
        format!("{rules} could not look{place}: the log format has no {}", fields.join(", no "));
    if is_incurable {
        return Some(format!("{lack}, and no API Gateway format can; AWS WAF logs do"));
    }
    // Presets can be named; what was inferred from the records cannot.
    let format = match coverage.formats.keys().next() {
        Some(name) if coverage.formats.len() == 1 && LogFormat::preset(name).is_some() => name,
        _ => "FORMAT",
    };
    Some(format!("{lack} (run `portcullis formats check {format}`)"))
}
