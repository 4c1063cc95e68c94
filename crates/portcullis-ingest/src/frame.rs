//! Decides where one record ends and the next begins.
//!
//! API Gateway adds a newline only if the operator put one in the format, and
//! Firehose joins records byte to byte. So an object may hold lines, lines with
//! CRLF, `…}{"requestId"…`, or the two characters `\n` that somebody typed. JSON
//! ends by its structure, XML at its closing tag, lines at their line feed; see
//! [`crate::glued`] for the rest. Text that no record fits becomes a reject up to
//! the next place where a record may begin.
//!
//! Records of a template are read in `templated`; what lines have in common, and where
//! text ends that could not be read, is in `ends`.
//!
//! Sources: API Gateway guide, "Set up logging"; Firehose guide, "Data delivery".

mod ends;
mod templated;

pub(crate) use ends::{after_separators, first_line, without_typed_end};
use ends::{line, line_end, seam, unread_object_end};

use crate::cut::Piece;
use crate::direct::Memory;
use crate::format::{LogFormat, Reading};
use crate::glued;
use crate::minute::Minute;
use crate::source::cloudfront::{self, Column};
use crate::source::envelope;
use crate::source::{alb, waf};
use crate::tally::Tally;
use crate::template::{Form, Template};
use crate::{Origin, Reject, RejectReason, Request, Sink, Untrusted, combined, json};

/// Text searched for the closing brace of a JSON record that is not written as its
/// template says.
pub(crate) const STRUCTURE_SEARCH_BYTES: usize = 64 * 1024;

/// What stands around and between objects where somebody made an array of them.
const ARRAY_MARKS: &[u8] = b"[,]";

/// Reads the records of one object, step by step.
pub(crate) struct Reader<'f> {
    pub(crate) format: Option<&'f LogFormat>,
    /// A template that earlier records of this object had instead of the format's.
    variant: Option<Template>,
    pub(crate) lines: Option<bool>,
    /// Whether the object ends early: its last line may go on behind the end.
    pub(crate) cut_off: bool,
    /// Columns of CloudFront's lines, from the last header.
    columns: Option<Vec<Column>>,
    /// Reader of the records inside envelopes.
    inner: Option<Box<Reader<'f>>>,
    pub(crate) pieces: Vec<Piece>,
    scratch: Vec<u8>,
    pub(crate) minute: Minute,
    pub(crate) memory: Memory,
    variant_memory: Memory,
    waf_memory: waf::Memory,
}

/// Where results go.
pub(crate) struct Out<'s, 't, S> {
    pub(crate) sink: &'s mut S,
    pub(crate) tally: &'s mut Tally<'t>,
}

impl<S: Sink> Out<'_, '_, S> {
    pub(crate) fn reject(
        &mut self,
        reason: RejectReason,
        text: &[u8],
        length: usize,
        origin: Origin<'_>,
    ) {
        let is_searched = self.tally.reject(reason, origin.offset);
        let text = Untrusted::new(text);
        self.sink.reject(&Reject { reason, text, origin, length: length as u64, is_searched });
    }

    /// Takes what a record was read as.
    fn take(
        &mut self,
        record: &[u8],
        origin: Origin<'_>,
        request: &Result<Request<'_>, RejectReason>,
    ) {
        match request {
            Ok(request) => self.tally.request(self.sink, request),
            Err(reason) => self.reject(*reason, record, record.len(), origin),
        }
    }
}

/// Reads the JSON record that a text begins with; its length too.
type ReadObject =
    for<'o> fn(&'o [u8], &'o mut Vec<u8>, &mut waf::Memory, Origin<'o>) -> ObjectRead<'o>;
type ObjectRead<'o> = Result<(usize, Request<'o>), RejectReason>;

fn cloudfront_object<'o>(
    text: &'o [u8],
    scratch: &'o mut Vec<u8>,
    _: &mut waf::Memory,
    origin: Origin<'o>,
) -> ObjectRead<'o> {
    cloudfront::json_request(text, scratch, origin)
}

impl<'f> Reader<'f> {
    pub(crate) fn new(format: Option<&'f LogFormat>) -> Self {
        Self {
            format,
            variant: None,
            lines: None,
            cut_off: false,
            columns: None,
            inner: None,
            pieces: Vec::new(),
            scratch: Vec::new(),
            minute: Minute::default(),
            memory: Memory::default(),
            variant_memory: Memory::default(),
            waf_memory: waf::Memory::default(),
        }
    }

    /// Whether each record of a template of lines that begins so is a line.
    pub(crate) fn finds_lines(text: &[u8]) -> bool {
        memchr::memchr(b'\n', after_separators(text)).is_some()
    }

    /// Takes what `text` begins with: plain records, separators, a record, or a reject. Gives the
    /// bytes consumed, `None` when more text is needed. `whole`: nothing follows.
    pub(crate) fn step<S: Sink>(
        &mut self,
        text: &[u8],
        whole: bool,
        origin: Origin<'_>,
        out: &mut Out<'_, '_, S>,
    ) -> Option<usize> {
        let plain = self.plain_records(text, origin, out);
        if plain > 0 {
            return Some(plain);
        }
        let rest = after_separators(text);
        if rest.len() < text.len() {
            return Some(text.len() - rest.len());
        }
        if self.reads_objects() {
            let between = text.iter().take_while(|byte| ARRAY_MARKS.contains(byte)).count();
            if between > 0 {
                return Some(between);
            }
        }
        if text[0] == b'#' {
            // Headers of line formats; a record of JSON or XML never begins so.
            let length = line(text, whole, |line| {
                if let Some(names) = line.strip_prefix(b"#Fields:") {
                    self.columns = cloudfront::columns(names).or(self.columns.take());
                }
            })?;
            if text[..length].ends_with(b"\n") {
                // What stands among lines is one, even if it is the last and has no end.
                self.lines.get_or_insert(true);
            }
            return Some(length);
        }
        if whole && self.cut_off && self.ends_inside(text) {
            out.reject(RejectReason::CutOff, text, text.len(), origin);
            return Some(text.len());
        }
        match self.format.map(|format| &format.reading) {
            None => line(text, whole, |line| {
                out.reject(RejectReason::Shape, line, line.len(), origin);
            }),
            Some(Reading::Combined(front)) => line(text, whole, |line| {
                let request = combined::request(line, *front, &mut self.scratch, origin);
                out.take(line, origin, &request);
            }),
            Some(Reading::Alb) => line(text, whole, |line| {
                out.take(line, origin, &alb::request(line, &mut self.scratch, origin));
            }),
            Some(Reading::CloudFrontLines) if text[0] == b'{' => {
                self.object(cloudfront_object, text, whole, origin, out)
            }
            Some(Reading::CloudFrontLines) => line(text, whole, |line| {
                let columns = self.columns.get_or_insert_with(|| {
                    out.tally.assumed_columns = true;
                    cloudfront::columns(cloudfront::VERSION_1.as_bytes()).expect("known names")
                });
                let request = cloudfront::request(line, columns, &mut self.scratch, origin);
                out.take(line, origin, &request);
            }),
            Some(Reading::CloudFrontJson) => {
                self.object(cloudfront_object, text, whole, origin, out)
            }
            Some(Reading::Waf) => self.object(waf::request, text, whole, origin, out),
            Some(Reading::Envelope(_, inner)) => {
                self.envelope(inner.as_deref(), text, whole, origin, out)
            }
            Some(Reading::Template(compiled)) => match compiled.template.form {
                Form::Json => self.json(compiled, text, whole, origin, out),
                Form::Xml => self.xml(compiled, text, whole, origin, out),
                Form::Csv | Form::Line => self.lines(compiled, text, whole, origin, out),
            },
        }
    }

    /// Whether records are JSON objects.
    fn reads_objects(&self) -> bool {
        match self.format.map(|format| &format.reading) {
            Some(Reading::Template(compiled)) => compiled.template.form == Form::Json,
            Some(Reading::Waf | Reading::CloudFrontJson | Reading::Envelope(..)) => true,
            Some(Reading::Combined(_) | Reading::Alb | Reading::CloudFrontLines) | None => false,
        }
    }

    /// Whether the last record of an object that ends early may miss its end: a line
    /// without a line feed. Objects of JSON and XML say themselves where they end.
    fn ends_inside(&self, text: &[u8]) -> bool {
        let by_line = match self.format.map(|format| &format.reading) {
            Some(Reading::Template(compiled)) => {
                matches!(compiled.template.form, Form::Csv | Form::Line)
                    && self.lines != Some(false)
            }
            _ => !self.reads_objects(),
        };
        by_line && memchr::memchr(b'\n', text).is_none()
    }

    /// The first place in `text` where a new record may begin, for skipping over
    /// one that is too long. Where its own beginning merely stands, no record need end: to
    /// try each of those would cost the whole limit each time.
    pub(crate) fn boundary(&self, text: &[u8]) -> Option<usize> {
        let Some(Reading::Template(compiled)) = self.format.map(|format| &format.reading) else {
            return line_end(text);
        };
        let template = &compiled.template;
        match template.form {
            Form::Json => seam(text, b'}', template.head()),
            Form::Xml => seam(text, b'>', template.head()),
            Form::Csv | Form::Line => glued::seam_in(template, text)
                .filter(|_| self.lines == Some(false))
                .into_iter()
                .chain(line_end(text))
                .min(),
        }
    }

    /// A JSON object of a source with a reader of its own.
    fn object<S: Sink>(
        &mut self,
        read: ReadObject,
        text: &[u8],
        whole: bool,
        origin: Origin<'_>,
        out: &mut Out<'_, '_, S>,
    ) -> Option<usize> {
        let reason = match read(text, &mut self.scratch, &mut self.waf_memory, origin) {
            Ok((length, request)) => {
                out.tally.request(out.sink, &request);
                return Some(length);
            }
            Err(reason) => reason,
        };
        let end = unread_object_end(text, whole)?;
        let cut_off = reason == RejectReason::Shape && end == text.len() && whole;
        let reason = if cut_off { RejectReason::CutOff } else { reason };
        out.reject(reason, &text[..end], end, origin);
        Some(end)
    }

    /// The records inside one envelope.
    fn envelope<S: Sink>(
        &mut self,
        format: Option<&'f LogFormat>,
        text: &[u8],
        whole: bool,
        origin: Origin<'_>,
        out: &mut Out<'_, '_, S>,
    ) -> Option<usize> {
        if !whole && json::object_end(text).is_none() && text[0] == b'{' {
            return None;
        }
        let inner = self.inner.get_or_insert_with(|| {
            // Each message is a record of its own.
            Box::new(Self { lines: Some(true), ..Self::new(format) })
        });
        let length = envelope::open(text, &mut |at, mut record| {
            let origin = Origin { offset: origin.offset + at as u64, ..origin };
            while !record.is_empty() {
                let length = inner.step(record, true, origin, out).unwrap_or(record.len());
                record = &record[length..];
            }
        });
        if length.is_some() {
            return length;
        }
        let end = unread_object_end(text, whole)?;
        out.reject(RejectReason::Shape, &text[..end], end, origin);
        Some(end)
    }
}
