#![no_main]

#[path = "../../crates/portcullis-columns/tests/outputs/inert.rs"]
mod inert;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // Longer texts are cut before they are shown.
    let data = data.get(..1_000).unwrap_or(data);
    inert::check(data);
    inert::check_shown(data);
});
