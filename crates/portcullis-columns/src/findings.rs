//! Findings as rows.

use portcullis_detection::{Detection, Findings, Offender, Outcome, Standing, SuggestsOnly};
use portcullis_ingest::{Untrusted, UntrustedBuf};
use portcullis_review::source;

use crate::schema::{DETECTIONS, OFFENDERS};
use crate::table::Table;

/// A table of [`DETECTIONS`]: those on offenders, then those on watched sources, each in the
/// order of a scan.
pub fn detections(findings: &Findings) -> Table {
    let mut table = Table::new(&DETECTIONS);
    for (offender, standing) in standing_out(findings) {
        for detection in &offender.detections {
            push_detection(&mut table, offender, standing, detection);
        }
    }
    table
}

/// A table of [`OFFENDERS`], and behind them the watched sources, in the order of a scan.
pub fn offenders(findings: &Findings) -> Table {
    let mut table = Table::new(&OFFENDERS);
    for (offender, standing) in standing_out(findings) {
        push_offender(&mut table, offender, standing);
    }
    table
}

fn standing_out(findings: &Findings) -> impl Iterator<Item = (&Offender, Standing)> {
    let offenders = findings.offenders.iter().map(|offender| (offender, Standing::Offender));
    let watched = findings.watched.iter().map(|offender| (offender, Standing::Watched));
    offenders.chain(watched)
}

fn push_detection(
    table: &mut Table,
    offender: &Offender,
    standing: Standing,
    detection: &Detection,
) {
    let rate = detection.rate.as_ref();
    let of = |outcome| rate.is_none().then(|| detection.outcomes.of(outcome));
    let evidence = detection.evidence.first();
    let object = evidence.map(|evidence| Untrusted::new(evidence.object.as_bytes()));
    let id = evidence.and_then(|evidence| evidence.id.as_ref());
    let text = evidence.filter(|evidence| evidence.field.is_some());
    let text = text.map(|evidence| evidence.text.as_untrusted());
    let outcome = evidence.and_then(|evidence| evidence.outcome);
    table
        .row()
        .text(Some(&source(offender.source)))
        .text(Some(standing.name()))
        .text(Some(&detection.rule))
        .text(Some(&detection.title))
        .text(Some(detection.category.name()))
        .text(Some(detection.severity.name()))
        .text(Some(detection.confidence.name()))
        .integer(Some(u64::from(detection.points)))
        .integer(Some(detection.requests))
        .integer(of(Outcome::Answered))
        .integer(of(Outcome::Failed))
        .integer(of(Outcome::Blocked))
        .time(detection.first)
        .time(detection.last)
        .text(rate.map(|rate| rate.measure.name()))
        .integer(rate.map(|rate| rate.peak))
        .integer(rate.map(|rate| rate.threshold))
        .integer(rate.map(|rate| u64::from(rate.window_seconds)))
        .text(detection.suggests.map(SuggestsOnly::name))
        .untrusted(object)
        .integer(evidence.map(|evidence| evidence.offset))
        .time(evidence.and_then(|evidence| evidence.time))
        .untrusted(id.map(UntrustedBuf::as_untrusted))
        .text(outcome.map(Outcome::name))
        .text(evidence.and_then(|evidence| evidence.field))
        .untrusted(text)
        .end();
}

fn push_offender(table: &mut Table, offender: &Offender, standing: Standing) {
    let mut evidence = offender.detections.iter().flat_map(|detection| &detection.evidence);
    let example = evidence.find(|evidence| evidence.field.is_some());
    let categories = joined(offender.categories.iter().map(|category| category.name()));
    let rules = joined(offender.detections.iter().map(|detection| &*detection.rule));
    let known = &offender.background;
    let listed = joined(known.listed.iter().map(|name| &**name));
    let grounds = joined(offender.grounds.iter().map(|ground| ground.name()));
    table
        .row()
        .text(Some(&source(offender.source)))
        .text(Some(standing.name()))
        .integer(Some(u64::from(offender.score)))
        .text(Some(offender.severity.name()))
        .text(Some(offender.confidence.name()))
        .text(Some(&categories))
        .text(Some(&rules))
        .integer(Some(offender.requests))
        .integer(Some(offender.flagged_requests))
        .integer(Some(offender.outcomes.of(Outcome::Answered)))
        .integer(Some(offender.good_requests))
        .integer(Some(offender.principals))
        .time(offender.first)
        .time(offender.last)
        .text(Some(&grounds))
        .text(example.and_then(|evidence| evidence.field))
        .untrusted(example.map(|evidence| evidence.text.as_untrusted()))
        .text(known.country.as_deref())
        .integer(known.network.as_ref().map(|network| u64::from(network.number)))
        .text(known.network.as_ref().and_then(|network| network.name.as_deref()))
        .text(Some(&*listed).filter(|listed| !listed.is_empty()))
        .text(known.asset.as_deref())
        .end();
}

fn joined<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;
    use crate::testing::findings;

    #[test]
    fn each_rule_on_a_source_is_a_row_with_its_evidence() {
        let found = findings(b"/a");
        let table = detections(&found);
        assert_eq!(table.rows(), found.offenders[0].detections.len());
        let rules: Vec<_> = table.column("rule").collect();
        assert!(rules.contains(&Value::Text("lfi/system-account-files")), "{rules:?}");
        for source in table.column("source") {
            assert_eq!(source, Value::Text("203.0.113.9"));
        }
        for text in table.column("evidence_text") {
            assert!(matches!(text, Value::Text(text) if text.contains("etc/passwd")), "{text:?}");
        }
    }

    #[test]
    fn secrets_are_hidden() {
        let found = findings(b"/a?token=c4naryc4nary&x=");
        let shown = |table: &Table, name| format!("{:?}", table.column(name).collect::<Vec<_>>());
        for text in
            [shown(&detections(&found), "evidence_text"), shown(&offenders(&found), "example")]
        {
            assert!(text.contains("[redacted]") && !text.contains("c4nary"), "{text}");
        }
    }
}
