//! Writing what a scan found.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use portcullis_ingest::{Joined, RejectReason};

use super::json::{Object, Secrets};
use super::{SCHEMA_VERSION, source_name};
use crate::audit::{Audit, AuditedObject};
use crate::background::Background;
use crate::correlation::Correlation;
use crate::coverage::{BlindRule, Coverage};
use crate::forgery::{ForgedRecord, Forgery};
use crate::offender::{Detection, Evidence, Findings, Offender};
use crate::outcome::Outcomes;
use crate::suspect::Suspect;
use crate::traffic::SourceTraffic;

/// Appends the whole document to `out`.
pub fn write_document(
    out: &mut Vec<u8>,
    findings: &Findings,
    joined: Option<Joined>,
    secrets: Secrets,
) {
    let mut document = Object::open(out, secrets);
    document.number("schema_version", SCHEMA_VERSION);
    document.object("coverage", |object| coverage(object, &findings.coverage, joined));
    document.objects("offenders", &findings.offenders, offender);
    document.objects("watched", &findings.watched, offender);
    document.objects("suspects", &findings.suspects, suspect);
    document.objects("suspected_forgeries", &findings.forgeries, forgery);
    if let Some(of) = &findings.audit {
        document.object("audit", |object| audit(object, of));
    }
    if let Some(of) = &findings.traffic {
        document.objects("traffic", of.sources(), traffic);
    }
    document.close();
}

fn audit(object: &mut Object<'_>, audit: &Audit) {
    object.number("listed", audit.listed);
    object.number("requests_of_sources", audit.requests_of_sources);
    object.objects("objects", &audit.objects, audited);
}

pub(super) fn audited(object: &mut Object<'_>, audited: &AuditedObject) {
    object.text("object", &audited.object);
    if let Some(format) = &audited.format {
        object.text("format", format);
    }
    object.number("records", audited.records);
    object.number("requests", audited.requests);
    object.number("rejects", audited.rejects);
    object.number("duplicates", audited.duplicates);
    object.number("outside_span", audited.outside_span);
    object.number("text_bytes", audited.text_bytes);
    if let Some(reason) = &audited.incomplete {
        object.text("incomplete", reason);
    }
}

pub(super) fn traffic(object: &mut Object<'_>, (source, traffic): (IpNet, &SourceTraffic)) {
    object.text("source", &source_name(source));
    object.number("good_requests", traffic.good_requests);
    if !traffic.principals.is_empty() {
        // Not every reader of JSON holds 64 bits.
        let principals: Vec<String> =
            traffic.principals.iter().map(|principal| format!("{principal:016x}")).collect();
        object.texts("principals", principals.iter().map(String::as_str));
    }
}

/// Appends one offender as one line, without its line feed.
pub fn write_offender(out: &mut Vec<u8>, of: &Offender, secrets: Secrets) {
    let mut object = Object::open(out, secrets);
    offender(&mut object, of);
    object.close();
}

/// Writes what was looked at, and what could not be seen.
pub fn coverage(object: &mut Object<'_>, coverage: &Coverage, joined: Option<Joined>) {
    object.number("objects", coverage.objects);
    object.number("incomplete_objects", coverage.incomplete.len() as u64);
    object.number("records", coverage.records);
    object.number("requests", coverage.requests);
    object.number("rejects", coverage.rejected());
    let blind: &BTreeMap<Arc<str>, BlindRule> = &coverage.blind;
    object.objects("blind_rules", blind, |object, (rule, blind)| {
        object.text("rule", rule);
        object.texts("missing", blind.missing.iter().copied());
        object.number("objects", blind.objects);
    });
    object.objects("incomplete", &coverage.incomplete, |object, (name, reason)| {
        object.text("object", name);
        object.text("reason", reason);
    });
    object.object("rejects_by_reason", |object| {
        for (reason, count) in RejectReason::ALL.iter().zip(coverage.rejects) {
            object.number(reason.name(), count);
        }
    });
    object.number("rejects_with_signatures", coverage.rejects_with_signatures);
    object.number("rejects_not_searched", coverage.rejects_not_searched);
    object.number("requests_without_client", coverage.requests_without_client);
    object.number("flagged_without_client", coverage.flagged_without_client);
    object.number("requests_without_time", coverage.requests_without_time);
    object.number("requests_blocked_by_waf", coverage.requests_blocked_by_waf);
    object.number("objects_blind_to_blocks", coverage.objects_blind_to_blocks);
    object.number("truncated_fields", coverage.truncated_fields);
    object.object("formats", |object| {
        for (format, objects) in &coverage.formats {
            object.number(format, *objects);
        }
    });
    object.number("requests_outside_span", coverage.requests_outside_span);
    object.number("duplicates", coverage.duplicates);
    object.number("open_crawler_claims", coverage.open_claims);
    object.number("text_bytes", coverage.text_bytes);
    let forgotten = &coverage.forgotten;
    if !forgotten.is_nothing() {
        object.object("forgotten", |object| {
            object.number("times", forgotten.times);
            object.number("requests", forgotten.requests);
            object.object("missing_requests_at_most", |object| {
                for (rule, requests) in &forgotten.missing {
                    object.number(rule, *requests);
                }
            });
            object.object("not_told_apart_at_most", |object| {
                for (rule, things) in &forgotten.not_told_apart {
                    object.number(rule, *things);
                }
            });
            object.number("sources_with_shortened_evidence", forgotten.shortened);
            object.number("over_limit_bytes", forgotten.over_limit_bytes);
        });
    }
    if let Some(joined) = joined {
        object.object("join", |object| {
            object.number("matched", joined.matched);
            object.number("waf_without_request", joined.unmatched_waf);
            object.number("requests_without_waf", joined.unmatched_requests);
            object.number("waf_not_kept", joined.not_kept);
        });
    }
}

pub(super) fn offender(object: &mut Object<'_>, offender: &Offender) {
    let detections = &offender.detections;
    object.text("source", &source_name(offender.source));
    object.number("score", offender.score);
    object.text("severity", offender.severity.name());
    object.texts("categories", offender.categories.iter().map(|category| category.name()));
    object.texts("rules", detections.iter().map(|detection| &*detection.rule));
    object.number("requests", offender.requests);
    object.number("flagged_requests", offender.flagged_requests);
    object.number("good_requests", offender.good_requests);
    object.display("first", offender.first);
    object.display("last", offender.last);
    let with_rule = detections
        .iter()
        .flat_map(|detection| detection.evidence.iter().map(move |evidence| (detection, evidence)));
    object.objects("evidence", with_rule, evidence);
    object.text("confidence", offender.confidence.name());
    object.number("principals", offender.principals);
    object.object("outcomes", |object| outcomes(object, offender.outcomes));
    object.texts("grounds", offender.grounds.iter().map(|ground| ground.name()));
    object.objects("correlations", offender.correlations.iter().copied(), correlation);
    object.objects("detections", detections, detection);
    background(object, &offender.background);
}

pub(super) fn suspect(object: &mut Object<'_>, suspect: &Suspect) {
    object.text("key", suspect.key.name());
    object.untrusted("value", Some(suspect.value.as_untrusted()));
    object.number("score", suspect.score);
    object.text("severity", suspect.severity.name());
    object.text("confidence", suspect.confidence.name());
    object.texts("rules", suspect.detections.iter().map(|detection| &*detection.rule));
    object.number("requests", suspect.requests);
    object.number("clients", suspect.clients);
    object.objects("contributors", &suspect.contributors, |object, contributor| {
        object.text("source", &source_name(contributor.source));
        object.number("requests", contributor.requests);
    });
    object.display("first", suspect.first);
    object.display("last", suspect.last);
    let with_rule = suspect
        .detections
        .iter()
        .flat_map(|detection| detection.evidence.iter().map(move |evidence| (detection, evidence)));
    object.objects("evidence", with_rule, evidence);
    object.objects("detections", &suspect.detections, detection);
}

/// Writes one request that a rule fired on.
pub fn evidence(object: &mut Object<'_>, (detection, evidence): (&Detection, &Evidence)) {
    object.text("rule", &detection.rule);
    object.text("object", &evidence.object);
    object.number("offset", evidence.offset);
    object.display("time", evidence.time);
    object.untrusted("id", evidence.id.as_ref().map(|id| id.as_untrusted()));
    object.display("outcome", evidence.outcome);
    object.display("field", evidence.field);
    object.display("view", evidence.view);
    // A rate has no text; its evidence is the place alone.
    if evidence.field.is_some() {
        object.untrusted("text", Some(evidence.text.as_untrusted()));
        object.untrusted("matched", Some(evidence.matched.as_untrusted()));
    }
}

/// Writes how many requests had which outcome.
pub fn outcomes(object: &mut Object<'_>, outcomes: Outcomes) {
    for (outcome, requests) in outcomes.iter() {
        object.number(outcome.name(), requests);
    }
}

/// Writes what is known of a source besides its requests.
pub fn background(object: &mut Object<'_>, known: &Background) {
    if let Some(country) = &known.country {
        object.text("country", country);
    }
    if let Some(network) = &known.network {
        object.number("as_number", network.number);
        if let Some(name) = &network.name {
            object.text("as_name", name);
        }
    }
    if !known.listed.is_empty() {
        object.texts("listed", known.listed.iter().map(|name| &**name));
    }
    if let Some(asset) = &known.asset {
        object.text("asset", asset);
    }
}

/// Writes what findings mean together, and what it adds to the score.
pub fn correlation(object: &mut Object<'_>, correlation: Correlation) {
    object.text("correlation", correlation.name());
    object.text("reason", correlation.reason());
    object.number("points", correlation.points());
}

pub(super) fn forgery(object: &mut Object<'_>, forgery: &Forgery) {
    object.text("reason", forgery.reason.name());
    object.text("title", forgery.title);
    object.text("explanation", forgery.explanation);
    object.text("severity", forgery.severity.name());
    object.text("confidence", forgery.confidence.name());
    object.number("records", forgery.records);
    object.objects("evidence", &forgery.evidence, forged_record);
    object.object("last", |object| forged_record(object, &forgery.last));
}

fn forged_record(object: &mut Object<'_>, record: &ForgedRecord) {
    object.text("object", &record.object);
    object.number("offset", record.offset);
    object.number("length", record.length);
    object.untrusted("text", Some(record.text.as_untrusted()));
}

fn detection(object: &mut Object<'_>, detection: &Detection) {
    object.text("rule", &detection.rule);
    object.text("title", &detection.title);
    object.text("category", detection.category.name());
    object.text("severity", detection.severity.name());
    object.text("confidence", detection.confidence.name());
    object.number("points", detection.points);
    object.number("requests", detection.requests);
    object.display("first", detection.first);
    object.display("last", detection.last);
    if let Some(why) = detection.suggests {
        object.text("suggests_only", why.name());
    }
    if let Some(rate) = &detection.rate {
        object.object("rate", |object| {
            object.text("by", rate.by.name());
            object.text("measure", rate.measure.name());
            object.number("peak", rate.peak);
            object.number("threshold", rate.threshold);
            object.number("window_seconds", rate.window_seconds);
            object.number("bursts", rate.bursts);
        });
    } else {
        object.object("outcomes", |object| outcomes(object, detection.outcomes));
    }
}
