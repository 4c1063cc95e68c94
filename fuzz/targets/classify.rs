#![no_main]

use std::sync::LazyLock;

use portcullis_detection::RuleSet;
use portcullis_ingest::{Request, Untrusted};

static RULES: LazyLock<RuleSet> = LazyLock::new(RuleSet::builtin);

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = Untrusted::new(data);
    let request = Request {
        path: Some(text),
        query: Some(text),
        user_agent: Some(text),
        referer: Some(text),
        host: Some(text),
        ..Request::default()
    };
    RULES.classify(&request);
    RULES.scan_text(data);
});
