//! Offenders and findings for tests.

use std::sync::Arc;

use ipnet::IpNet;
use portcullis_detection::{
    Background, Category, Confidence, Coverage, Detection, Evidence, Findings, Ground, Offender,
    Outcomes, Severity, points, source_points,
};
use portcullis_ingest::{Timestamp, UntrustedBuf};

use crate::ledger::{Cause, Entry, Ledger};
use crate::target::{Scope, Target};
use crate::term::{HOUR_MS, later};

/// 2025-11-04T09:12:00Z.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_epoch_ms(1_762_247_520_000).expect("a time of this century")
}

pub(crate) fn network(text: &str) -> IpNet {
    text.parse().expect("a network")
}

/// A never-block list.
pub(crate) fn one_a_line<Entry: ToString>(entries: impl IntoIterator<Item = Entry>) -> String {
    let lines: Vec<_> = entries.into_iter().map(|entry| entry.to_string()).collect();
    lines.join("\n")
}

/// A source on which one rule of high severity and confidence fired 31 times, so that
/// nothing but the source itself could speak for withholding a block.
pub(crate) fn offender(source: &str) -> Offender {
    let detection = detection("probe/dotfiles", "2025/11/04/08/access-1.gz", &[0, 512]);
    Offender {
        source: network(source),
        score: 320,
        grounds: vec![Ground::Flagged],
        severity: Severity::High,
        confidence: Confidence::High,
        categories: vec![detection.category],
        detections: vec![detection],
        correlations: Vec::new(),
        requests: 40,
        flagged_requests: 31,
        good_requests: 0,
        outcomes: Outcomes::default(),
        principals: 0,
        first: Timestamp::from_epoch_ms(1_762_243_200_000),
        last: Timestamp::from_epoch_ms(1_762_243_260_000),
        background: Background::default(),
    }
}

/// 31 requests of one rule, with evidence at these offsets of one object.
pub(crate) fn detection(rule: &str, object: &str, offsets: &[u64]) -> Detection {
    let (severity, confidence) = (Severity::High, Confidence::High);
    Detection {
        rule: rule.into(),
        title: "A title that no plan needs".into(),
        category: Category::SensitiveFile,
        severity,
        confidence,
        points: source_points(points(severity, confidence), 31),
        requests: 31,
        outcomes: Outcomes::default(),
        first: None,
        last: None,
        rate: None,
        suggests: None,
        evidence: offsets.iter().map(|offset| evidence(&object.into(), *offset)).collect(),
    }
}

/// Evidence whose text holds `canary`, which must never leave it.
fn evidence(object: &Arc<str>, offset: u64) -> Evidence {
    let canary = |text: &str| UntrustedBuf::from(format!("canary-{text}").into_bytes());
    Evidence {
        object: Arc::clone(object),
        offset,
        time: None,
        id: Some(canary("id")),
        outcome: None,
        field: Some("path"),
        view: Some("decoded"),
        text: canary("text"),
        matched: canary("match"),
    }
}

pub(crate) fn findings(offenders: Vec<Offender>, incomplete: &[&str]) -> Findings {
    let mut coverage = Coverage::default();
    for object in incomplete {
        coverage.incomplete.insert((*object).into(), "ended inside a gzip member".into());
    }
    Findings { coverage, offenders, ..Findings::default() }
}

/// A ledger of the tests' target that owns nothing.
pub(crate) fn ledger() -> Ledger {
    Ledger::new(target(), "lineage-1")
}

pub(crate) fn target() -> Target {
    Target::new("111122223333", "eu-west-1", Scope::Regional)
}

/// An entry of `portcullis-v4`, added now for an hour.
pub(crate) fn entry(operation: &str) -> Entry {
    Entry {
        set: "portcullis-v4".to_owned(),
        operation: operation.to_owned(),
        added: now(),
        renewed: None,
        expires: later(now(), HOUR_MS),
        strikes: 1,
        cause: cause(),
    }
}

pub(crate) fn cause() -> Cause {
    Cause {
        score: 320,
        rules: vec!["probe/dotfiles".to_owned()],
        reason: "probe/dotfiles (31 requests)".to_owned(),
        evidence: Vec::new(),
        last: Some(now()),
    }
}
