#![no_main]

use portcullis_detection::RuleSet;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let loaded = RuleSet::load([("other/rule.toml".to_owned(), text.to_owned())]);
        if let Err(errors) = loaded {
            assert!(!errors.to_string().is_empty());
        }
    }
});
