//! What every decoder must keep to, whatever it is fed.

use std::sync::OnceLock;

use portcullis_ingest::{LogFormat, ObjectReport, ReadOptions, Reject, Request, Sink, read_object};

/// Collects what was read as text, and checks that offsets lie in the object.
#[derive(Default)]
pub struct Seen {
    pub requests: Vec<String>,
    pub rejects: Vec<(u64, u64)>,
}

impl Sink for Seen {
    fn request(&mut self, request: &Request<'_>) {
        self.requests.push(format!("{request:?}"));
    }
    fn reject(&mut self, reject: &Reject<'_>) {
        self.rejects.push((reject.origin.offset, reject.length));
    }
}

/// Reads an object in windows of a given size.
pub fn read(data: &[u8], format: Option<&LogFormat>, window_bytes: usize) -> (Seen, ObjectReport) {
    // Small limits, so that the fuzzer reaches them.
    let options = ReadOptions {
        object_bytes: 1 << 20,
        record_bytes: 1 << 12,
        window_bytes,
        ..ReadOptions::default()
    };
    let mut seen = Seen::default();
    let report = read_object("2026/01/02/03/object", data, format, &options, &mut seen);
    assert_eq!(report.requests, seen.requests.len() as u64);
    assert_eq!(report.rejected(), seen.rejects.len() as u64);
    // Offsets inside envelopes are those of the escaped text.
    if !report.format.as_deref().is_some_and(|name| name.contains("cloudwatch") || name.contains("firehose")) {
        for (offset, length) in &seen.rejects {
            assert!(offset + length <= report.text_bytes, "{offset} + {length} in {report:?}");
        }
    }
    (seen, report)
}

/// Reads an object as one format, and again in another window.
#[allow(dead_code)]
pub fn decode(data: &[u8], preset: &str) {
    static FORMAT: OnceLock<LogFormat> = OnceLock::new();
    let format = FORMAT.get_or_init(|| LogFormat::preset(preset).expect("a preset"));
    let (whole, _) = read(data, Some(format), 1 << 16);
    // Records longer than the limit are cut where the windows happen to end.
    if data.len() < 1 << 12 && !data.starts_with(&[0x1f]) {
        let (split, _) = read(data, Some(format), 7);
        assert_eq!(whole.requests, split.requests);
    }
}
