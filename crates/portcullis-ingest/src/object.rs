//! Reads one delivered object: its compression, then record after record.
//!
//! Compression is recognised by the bytes, never by a name or a header, and may be
//! nested. Text is streamed through a window that holds one record and a bit more,
//! so memory does not grow with the object, whatever it unpacks to. An object that
//! ends early is *incomplete*: what was read counts, and the report says so.
//!
//! Sources: RFC 1952 (gzip members); Firehose guide, "Data delivery".

use std::io::{self, Read};

use ipnet::IpNet;

use crate::ahead::Ahead;
use crate::frame::{Out, Reader};
use crate::tally::Tally;
use crate::window::Window;
use crate::{FieldSet, LogFormat, Origin, Reject, RejectReason, Request, compression, detect};

/// How objects are read, and what one may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// Most bytes of decompressed text that are read of an object. Firehose buffers
    /// at most 128 MiB; the default leaves room for objects that others joined.
    pub object_bytes: u64,
    /// Longest record in bytes; a Firehose record has at most 1,000 KiB.
    pub record_bytes: usize,
    /// Bytes of text that are read at a time.
    pub window_bytes: usize,
    /// Bytes of text of a part: an object's parts may be read by several threads; see
    /// [`crate::read_object_in_parts`].
    pub part_bytes: usize,
    /// Proxies in front of the API whose `X-Forwarded-For` entries are believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            object_bytes: 16 << 30,
            record_bytes: 1 << 20,
            window_bytes: 256 * 1024,
            part_bytes: 4 << 20,
            trusted_proxies: Vec::new(),
        }
    }
}

/// Takes what an object holds.
pub trait Sink {
    /// A request was read.
    fn request(&mut self, request: &Request<'_>);
    /// Some requests were read, one after the other: nothing but [`Sink::request`] of each, in
    /// their order. Who looks something up for each of them can look up all at once, which
    /// spares most of the time that memory takes to answer.
    fn requests(&mut self, requests: &[Request<'_>]) {
        for request in requests {
            self.request(request);
        }
    }
    /// A span could not be read.
    fn reject(&mut self, reject: &Reject<'_>);
}

/// How an object was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectReport {
    /// Name of the format it was read with; `None` when none was recognised.
    pub format: Option<String>,
    /// Fields that the format gives.
    pub fields: FieldSet,
    /// Spans that should be records: requests and rejects.
    pub records: u64,
    /// Records that were read.
    pub requests: u64,
    /// Records that were not, by reason, in the order of [`RejectReason::ALL`].
    pub rejects: [u64; RejectReason::ALL.len()],
    /// Bytes of decompressed text.
    pub text_bytes: u64,
    /// Why the object was not read to its end.
    pub incomplete: Option<Incomplete>,
    /// What the operator should know or change, one sentence each.
    pub notes: Vec<String>,
}

impl ObjectReport {
    /// Records that could not be read.
    pub fn rejected(&self) -> u64 {
        self.rejects.iter().sum()
    }
}

/// Why an object was not read to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// The compressed stream is cut off or damaged.
    #[error("compressed data ends early or is damaged after {text_bytes} bytes of text: {message}")]
    Compression {
        /// Bytes of text before.
        text_bytes: u64,
        /// What the decompressor said.
        message: String,
    },
    /// The source failed.
    #[error("reading failed after {text_bytes} bytes of text: {message}")]
    Read {
        /// Bytes of text before.
        text_bytes: u64,
        /// What the system said.
        message: String,
    },
    /// The text is longer than the limit.
    #[error("unpacks to more than the limit of {limit} bytes; raise it with --max-object-bytes")]
    TooLarge {
        /// [`ReadOptions::object_bytes`].
        limit: u64,
    },
}

/// Bytes looked at to recognise a format.
const SAMPLE_BYTES: usize = 256 * 1024;
/// Bytes of a record over the limit that its reject shows.
const SHOWN_BYTES: usize = 4 * 1024;

/// Reads one object; `format: None` recognises it. Never fails: what went wrong
/// stands in the report.
pub fn read_object(
    object: &str,
    input: impl Read,
    format: Option<&LogFormat>,
    options: &ReadOptions,
    sink: &mut impl Sink,
) -> ObjectReport {
    read(object, compression::text(input), format, options, sink)
}

/// Reads one object as [`read_object`] does, and unpacks it on a thread of its own
/// meanwhile: for objects so large and few that threads have nothing else to do.
pub fn read_object_ahead(
    object: &str,
    input: impl Read + Send,
    format: Option<&LogFormat>,
    options: &ReadOptions,
    sink: &mut impl Sink,
) -> ObjectReport {
    std::thread::scope(|scope| {
        let text = Ahead::start(scope, input)
            .map(|(text, compressed)| (Box::new(text) as Box<dyn Read>, compressed));
        read(object, text, format, options, sink)
    })
}

/// Reads the text of one object; whether it was compressed stands with it.
fn read(
    object: &str,
    text: io::Result<(Box<dyn Read + '_>, bool)>,
    format: Option<&LogFormat>,
    options: &ReadOptions,
    sink: &mut impl Sink,
) -> ObjectReport {
    let mut window = Window::new(text, options);
    let mut detected = None;
    let (format, mut report) = recognise(&mut window, format, &mut detected);
    let mut tally = Tally::new(object, options, &report);
    let mut out = Out { sink, tally: &mut tally };
    records(object, &mut window, &mut Reader::new(format), options, &mut out);
    tally.tell(&mut report);
    report.text_bytes = window.offset + window.text().len() as u64;
    report.incomplete = window.incomplete;
    report
}

/// Recognises the format of an object's text, if nobody named it, and begins the report.
pub(crate) fn recognise<'f>(
    window: &mut Window<'_>,
    format: Option<&'f LogFormat>,
    detected: &'f mut Option<LogFormat>,
) -> (Option<&'f LogFormat>, ObjectReport) {
    let mut report = ObjectReport::default();
    window.fill(SAMPLE_BYTES);
    if format.is_none() {
        *detected = detect::format(window.text(), window.whole());
    }
    let format = format.or(detected.as_ref());
    if let Some(format) = format {
        report.format = Some(format.name().to_owned());
        report.fields = format.fields();
    } else if !window.text().trim_ascii().is_empty() {
        report.notes.push(
            "no known log format recognised: name a preset or give the stage's access-log format \
             with --format"
                .to_owned(),
        );
    }
    (format, report)
}

/// Reads the records of a view.
pub(crate) fn records<S: Sink>(
    object: &str,
    window: &mut Window<'_>,
    reader: &mut Reader<'_>,
    options: &ReadOptions,
    out: &mut Out<'_, '_, S>,
) {
    loop {
        let text = window.text();
        if text.is_empty() {
            if window.whole() {
                return;
            }
            window.fill(options.window_bytes);
            continue;
        }
        let origin = Origin { object, offset: window.offset };
        reader.cut_off = window.incomplete.is_some();
        match reader.step(text, window.whole(), origin, out) {
            Some(length) => window.consume(length),
            None if window.whole() => {
                // A reader asks for more only while there is some.
                out.reject(RejectReason::CutOff, text, text.len(), origin);
                let length = text.len();
                window.consume(length);
            }
            None if text.len() <= options.record_bytes => {
                let wanted = text.len() + options.window_bytes;
                window.fill(wanted);
            }
            None => skip_long_record(object, window, reader, out),
        }
    }
}

/// Passes over a record that is longer than the limit, up to where one may begin.
fn skip_long_record<S: Sink>(
    object: &str,
    window: &mut Window<'_>,
    reader: &Reader<'_>,
    out: &mut Out<'_, '_, S>,
) {
    let shown = window.text()[..window.text().len().min(SHOWN_BYTES)].to_vec();
    let start = window.offset;
    // The first byte belongs to the record: a boundary lies behind it.
    window.consume(1);
    loop {
        if let Some(end) = reader.boundary(window.text()) {
            window.consume(end);
            break;
        }
        // A boundary may straddle two reads.
        let keep = window.text().len().min(SHOWN_BYTES);
        window.consume(window.text().len() - keep);
        if window.whole() {
            window.consume(keep);
            break;
        }
        window.fill(keep + window.step);
    }
    let length = (window.offset - start) as usize;
    out.reject(RejectReason::TooLong, &shown, length, Origin { object, offset: start });
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::Timestamp;

    #[derive(Default)]
    struct Seen {
        paths: Vec<String>,
        rejects: Vec<(&'static str, u64, u64)>,
    }

    impl Sink for Seen {
        fn request(&mut self, request: &Request<'_>) {
            self.paths.push(request.path.map_or(String::new(), |p| p.escaped().to_string()));
        }
        fn reject(&mut self, reject: &Reject<'_>) {
            self.rejects.push((reject.reason.name(), reject.origin.offset, reject.length));
        }
    }

    #[test]
    fn rejects_are_searched_while_no_more_are_rejected_than_read() {
        #[derive(Default)]
        struct Searched(Vec<bool>);
        impl Sink for Searched {
            fn request(&mut self, _: &Request<'_>) {}
            fn reject(&mut self, reject: &Reject<'_>) {
                self.0.push(reject.is_searched);
            }
        }
        let searched = |good: usize, bad: usize| {
            let text = [record("/a").as_str(), "\n"].concat().repeat(good) + &"bad\n".repeat(bad);
            let format = LogFormat::parse(FORMAT).expect("a template");
            let mut sink = Searched::default();
            let options = ReadOptions::default();
            read_object("o", text.as_bytes(), Some(&format), &options, &mut sink);
            assert_eq!(sink.0.len(), bad);
            sink.0.partition_point(|searched| *searched)
        };
        assert_eq!(searched(0, 1_500), 256);
        assert_eq!(searched(1_200, 1_500), 1_200);
        assert_eq!(searched(1_500, 1_500), 1_500);
    }

    const FORMAT: &str =
        r#"{"ip":"$context.identity.sourceIp","path":"$context.path","status":"$context.status"}"#;

    fn record(path: &str) -> String {
        format!(r#"{{"ip":"192.0.2.1","path":"{path}","status":"200"}}"#)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).expect("in memory");
        encoder.finish().expect("in memory")
    }

    fn read(bytes: &[u8], options: &ReadOptions) -> (Seen, ObjectReport) {
        let mut seen = Seen::default();
        let format = LogFormat::parse(FORMAT).expect("a template");
        let report = read_object("object", bytes, Some(&format), options, &mut seen);
        let mut ahead = Seen::default();
        let report_ahead = read_object_ahead("object", bytes, Some(&format), options, &mut ahead);
        assert_eq!(report_ahead, report);
        assert_eq!((&ahead.paths, &ahead.rejects), (&seen.paths, &seen.rejects));
        assert_eq!(report.requests, seen.paths.len() as u64);
        assert_eq!(report.rejected(), seen.rejects.len() as u64);
        (seen, report)
    }

    #[test]
    fn every_separator_and_every_compression_gives_the_same_requests() {
        for separator in ["\n", "\r\n", "", " ", "\\n"] {
            let text = ["/a", "/b", "/c"].map(record).join(separator);
            let halves = [gzip(&text.as_bytes()[..40]), gzip(&text.as_bytes()[40..])].concat();
            for bytes in [
                text.clone().into_bytes(),
                gzip(text.as_bytes()),
                halves,
                gzip(&gzip(text.as_bytes())),
            ] {
                let (seen, report) = read(&bytes, &ReadOptions::default());
                assert_eq!(seen.paths, ["/a", "/b", "/c"], "{separator:?}");
                assert_eq!(report.text_bytes, text.len() as u64);
                assert_eq!(report.incomplete, None);
            }
        }
    }

    #[test]
    fn a_truncated_object_keeps_what_was_read_and_says_so() {
        let text = (0..2_000).map(|n| record(&format!("/{n}")) + "\n").collect::<String>();
        let bytes = gzip(text.as_bytes());
        let (seen, report) = read(&bytes[..bytes.len() / 2], &ReadOptions::default());
        assert!(seen.paths.len() > 100, "{}", seen.paths.len());
        assert!(matches!(report.incomplete, Some(Incomplete::Compression { .. })), "{report:?}");
    }

    #[test]
    fn a_bad_record_is_rejected_with_its_place_and_hides_no_other() {
        for separator in ["\n", ""] {
            let text = [record("/a"), "garbage".to_owned(), record("/b")].join(separator);
            let (seen, _) = read(text.as_bytes(), &ReadOptions::default());
            assert_eq!(seen.paths, ["/a", "/b"], "{separator:?}");
            assert_eq!(seen.rejects.len(), 1);
            assert_eq!(seen.rejects[0].1, (record("/a").len() + separator.len()) as u64);
        }
    }

    #[test]
    fn a_record_over_the_limit_is_one_reject() {
        let long = "x".repeat(3 << 20);
        let text = [record("/a"), record(&long), record("/b")].join("\n");
        let (seen, report) = read(text.as_bytes(), &ReadOptions::default());
        assert_eq!(seen.paths, ["/a", "/b"]);
        assert_eq!(seen.rejects[0].0, "too-long");
        assert_eq!(seen.rejects[0].2, record(&long).len() as u64 + 1);
        assert_eq!(report.text_bytes, text.len() as u64);
    }

    #[test]
    fn text_over_the_limit_makes_the_object_incomplete() {
        let text = (0..100).map(|n| record(&format!("/{n}")) + "\n").collect::<String>();
        let options = ReadOptions { object_bytes: 1_000, ..ReadOptions::default() };
        let (_, report) = read(&gzip(text.as_bytes()), &options);
        assert_eq!(report.incomplete, Some(Incomplete::TooLarge { limit: 1_000 }));
        let options = ReadOptions { object_bytes: text.len() as u64, ..ReadOptions::default() };
        assert_eq!(read(&gzip(text.as_bytes()), &options).1.incomplete, None);
    }

    #[test]
    fn whoever_reads_no_further_ends_the_unpacking() {
        // More than may wait to be read.
        let text = record(&"x".repeat(1_000)).repeat(8_000);
        let options = ReadOptions { object_bytes: 1_000_000, ..ReadOptions::default() };
        let (seen, report) = read(&gzip(text.as_bytes()), &options);
        assert!(seen.paths.len() > 900, "{}", seen.paths.len());
        assert_eq!(report.incomplete, Some(Incomplete::TooLarge { limit: 1_000_000 }));
    }

    #[test]
    fn nothing_at_all_is_an_object_too() {
        for bytes in [&b""[..], b"\n\n", b"#\n"] {
            let (seen, report) = read(bytes, &ReadOptions::default());
            assert_eq!((seen.paths.len(), report.rejected(), report.incomplete), (0, 0, None));
        }
    }

    #[test]
    fn records_are_the_same_however_the_text_is_split() {
        let text = (0..40).map(|n| record(&format!("/{n}")) + "\n").collect::<String>() + "garbage";
        let whole = read(text.as_bytes(), &ReadOptions::default());
        for window_bytes in [1, 2, 3, 7, 50, 51, 64, 1_000] {
            let options = ReadOptions { window_bytes, ..ReadOptions::default() };
            let split = read(text.as_bytes(), &options);
            assert_eq!(split.0.paths, whole.0.paths, "{window_bytes}");
            assert_eq!(split.0.rejects, whole.0.rejects, "{window_bytes}");
        }
    }

    #[test]
    fn lines_of_cloudfront_without_names_are_read_and_remarked() {
        let line = "2026-01-26\t10:11:07\tAMS1\t5\t192.0.2.1\tGET\td\t/a\t200\t-\tcurl\t-\n";
        let names = "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) \
                     cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query\n";
        for (text, remarks) in [(line.to_owned(), 1), (names.to_owned() + line, 0)] {
            let mut seen = Seen::default();
            let options = ReadOptions::default();
            let report = read_object("object", text.as_bytes(), None, &options, &mut seen);
            assert_eq!(seen.paths, ["/a"]);
            assert_eq!(report.notes.len(), remarks, "{:?}", report.notes);
        }
    }

    #[test]
    fn a_request_without_time_has_its_objects_and_says_so() {
        struct Times(Vec<(Option<Timestamp>, bool)>);
        impl Sink for Times {
            fn request(&mut self, request: &Request<'_>) {
                self.0.push((request.time, request.time_is_of_object));
            }
            fn reject(&mut self, _: &Reject<'_>) {}
        }
        let mut times = Times(Vec::new());
        let key = "2026/01/02/03/s-1-2026-01-02-03-04-05-x.gz";
        let text = record("/a");
        read_object(key, text.as_bytes(), None, &ReadOptions::default(), &mut times);
        let expected = Timestamp::parse_rfc3339(b"2026-01-02T03:04:05Z");
        assert_eq!(times.0, [(expected, true)]);
    }
}
