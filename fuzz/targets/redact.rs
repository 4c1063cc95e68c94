#![no_main]

use portcullis_ingest::{Untrusted, is_unsafe_to_print, redacted};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let once = redacted(data).into_owned();
    assert_eq!(redacted(&once).into_owned(), once);
    let shown = Untrusted::new(data).escaped().to_string();
    assert!(!shown.chars().any(is_unsafe_to_print));
});
