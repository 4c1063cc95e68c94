#![no_main]

use portcullis_ingest::LogFormat;

mod common;

// The first line is a template, the rest an object.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let Ok(template) = std::str::from_utf8(&data[..end]) else { return };
    if let Ok(format) = LogFormat::parse(template) {
        format.warnings();
        common::read(&data[end..], Some(&format), 1 << 16);
        common::read(&data[end..], Some(&format), 3);
    }
});
