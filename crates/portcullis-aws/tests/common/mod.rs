//! What tests of several stores put into them.

use portcullis_ingest::Timestamp;
use portcullis_remediation::{AuditHead, AuditLine, Event};

/// So many lines of an account, numbered from 1.
pub(crate) fn lines(count: u64) -> Vec<AuditLine> {
    let line = |sequence| AuditLine {
        sequence,
        time: Timestamp::from_epoch_ms(1_762_247_520_000).expect("a time of this century"),
        operation: "op-1".to_owned(),
        who: "tests".to_owned(),
        event: Event::Add,
        set: None,
        network: None,
        reason: "a reason".to_owned(),
        plan_sha256: None,
        previous_sha256: AuditHead::default().sha256,
    };
    (1..=count).map(line).collect()
}
