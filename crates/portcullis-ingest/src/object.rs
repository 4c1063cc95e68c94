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
    /// The object is packed in a way that is not read.
    #[error("cannot be read: it is {message}")]
    Unsupported {
        /// What it is, and what to do.
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

/// Recognises the format of an object's text, or what a named one stands in, and begins the
/// report.
pub(crate) fn recognise<'f>(
    window: &mut Window<'_>,
    format: Option<&'f LogFormat>,
    detected: &'f mut Option<LogFormat>,
) -> (Option<&'f LogFormat>, ObjectReport) {
    let mut report = ObjectReport::default();
    window.fill(SAMPLE_BYTES);
    *detected = match format {
        None => detect::format(window.text(), window.whole()),
        Some(format) => detect::given(format, window.text()),
    };
    let format = detected.as_ref().or(format);
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
mod tests;
