//! Findings to test tables with.

use std::sync::OnceLock;

use portcullis_detection::{Findings, RuleSet, Scan};
use portcullis_ingest::{Origin, Request, Untrusted};

/// What a scan of one attack finds, whose path begins with the text.
pub(crate) fn findings(text: &[u8]) -> Findings {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    let mut scan = Scan::new(RULES.get_or_init(RuleSet::builtin));
    let path = [text, b"/../../../etc/passwd"].concat();
    scan.observe(&Request {
        client: Some("203.0.113.9".parse().expect("an address")),
        path: Some(Untrusted::new(&path)),
        origin: Origin { object: "=cmd()", offset: 0 },
        ..Request::default()
    });
    scan.finish()
}
