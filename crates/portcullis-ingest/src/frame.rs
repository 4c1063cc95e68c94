//! Decides where one record ends and the next begins.
//!
//! API Gateway adds a newline only if the operator put one in the format, and
//! Firehose joins records byte to byte. So an object may hold lines, lines with
//! CRLF, `…}{"requestId"…`, or the two characters `\n` that somebody typed. JSON
//! ends by its structure, XML at its closing tag, lines at their line feed; see
//! [`crate::glued`] for the rest. Text that no record fits becomes a reject up to
//! the next place where a record may begin.
//!
//! Sources: API Gateway guide, "Set up logging"; Firehose guide, "Data delivery".

use std::ops::ControlFlow;

use memchr::memmem;

use crate::cut::Piece;
use crate::direct::{Filling, Memory};
use crate::format::{Compiled, KeyReading, LogFormat, Reading};
use crate::glued::{self, Next, Seam};
use crate::keyed;
use crate::minute::Minute;
use crate::smuggled::smuggled;
use crate::source::cloudfront::{self, Column};
use crate::source::envelope::{self, Envelope};
use crate::source::{alb, waf};
use crate::tally::Tally;
use crate::template::{Form, Template};
use crate::{Origin, Reject, RejectReason, Request, Sink, Untrusted, combined, json, value};

/// Text looked at for a line feed before records are taken to be glued.
const LINE_SEARCH_BYTES: usize = 128 * 1024;

/// Text searched for the closing brace of a JSON record that is not written as its
/// template says.
pub(crate) const STRUCTURE_SEARCH_BYTES: usize = 64 * 1024;

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
        if text[0] == b'#' {
            // Headers of line formats; a record of JSON or XML never begins so.
            return line(text, whole, |line| {
                if let Some(names) = line.strip_prefix(b"#Fields:") {
                    self.columns = cloudfront::columns(names).or(self.columns.take());
                }
            });
        }
        if whole && self.cut_off && self.ends_inside(text) {
            out.reject(RejectReason::CutOff, text, text.len(), origin);
            return Some(text.len());
        }
        match self.format.map(|format| &format.reading) {
            None => line(text, whole, |line| {
                out.reject(RejectReason::Shape, line, line.len(), origin);
            }),
            Some(Reading::Combined) => line(text, whole, |line| {
                out.take(line, origin, &combined::request(line, &mut self.scratch, origin));
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
            Some(Reading::Envelope(kind, inner)) => {
                self.envelope(*kind, inner.as_deref(), text, whole, origin, out)
            }
            Some(Reading::Template(compiled)) => match compiled.template.form {
                Form::Json => self.json(compiled, text, whole, origin, out),
                Form::Xml => self.xml(compiled, text, whole, origin, out),
                Form::Csv | Form::Line => self.lines(compiled, text, whole, origin, out),
            },
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
            Some(Reading::Waf | Reading::CloudFrontJson | Reading::Envelope(..)) => false,
            Some(Reading::Combined | Reading::Alb | Reading::CloudFrontLines) | None => true,
        };
        by_line && memchr::memchr(b'\n', text).is_none()
    }

    /// The first place in `text` where a new record may begin, for skipping over
    /// one that is too long.
    pub(crate) fn boundary(&self, text: &[u8]) -> Option<usize> {
        let line = memchr::memchr(b'\n', text).map(|at| at + 1);
        let head = match self.format.map(|format| &format.reading) {
            Some(Reading::Template(compiled)) => compiled.template.head(),
            _ => b"",
        };
        let seam = if head.len() >= 4 { memmem::find(text, head) } else { None };
        [line, seam].into_iter().flatten().min()
    }

    fn json<S: Sink>(
        &mut self,
        compiled: &Compiled,
        text: &[u8],
        whole: bool,
        origin: Origin<'_>,
        out: &mut Out<'_, '_, S>,
    ) -> Option<usize> {
        let head = compiled.template.head();
        let template = &compiled.template;
        if let Some(length) = template.cut_json(text, &mut self.pieces) {
            let record = &text[..length];
            let request = value::request(template, record, &self.pieces, &mut self.scratch, origin);
            out.take(record, origin, &request);
            return Some(length);
        }
        if let Some(variant) = &self.variant
            && let Some(length) = variant.cut_json(text, &mut self.pieces)
        {
            if let ControlFlow::Break(step) =
                smuggled(template, text, length, whole, json::object_end, origin, out)
            {
                return step;
            }
            let record = &text[..length];
            let mut request = Request::default();
            let mut plain = Filling::new(&mut request, origin, &mut self.variant_memory);
            if plain.json(variant, record).is_some() {
                plain.finish();
                out.tally.request(out.sink, &request);
                return Some(length);
            }
            let request = value::request(variant, record, &self.pieces, &mut self.scratch, origin);
            out.take(record, origin, &request);
            return Some(length);
        }
        if text[0] != b'{' {
            let record = if head.len() >= 2 { memmem::find(text, head) } else { None };
            let end = [line_end(text), record].into_iter().flatten().min();
            let end = end.or(whole.then_some(text.len()))?;
            out.reject(RejectReason::Shape, &text[..end], end, origin);
            return Some(end);
        }
        // A line that ends in a brace is taken at its word; otherwise a value may hold
        // the line feed, and the structure is followed for as far as is affordable.
        let line = line_end(text);
        let reach = match line {
            Some(end) if text[..end].trim_ascii_end().ends_with(b"}") => end,
            _ => text.len().min(STRUCTURE_SEARCH_BYTES),
        };
        let structural = json::object_end(&text[..reach]);
        if structural.is_none()
            && line != Some(reach)
            && text.len() < STRUCTURE_SEARCH_BYTES
            && !whole
        {
            return None;
        }
        if let Some(end) = structural {
            if let ControlFlow::Break(step) =
                smuggled(template, text, end, whole, json::object_end, origin, out)
            {
                return step;
            }
            match self.keyed(compiled, &text[..end], origin, out) {
                Ok(()) => return Some(end),
                Err(RejectReason::Shape) => {}
                Err(reason) => {
                    out.reject(reason, &text[..end], end, origin);
                    return Some(end);
                }
            }
        }
        // No JSON: values without their quotes, quotes within quotes. Braces and
        // quotes then say little about where the record ends.
        let seam = json_seam(text, head);
        let mut reason = RejectReason::Shape;
        for end in [structural, seam].into_iter().flatten() {
            let record = text[..end].trim_ascii_end();
            match self.cut(&compiled.template, record, origin, out) {
                Ok(()) => return Some(end),
                Err(error) => reason = error,
            }
        }
        let end = match [structural, seam].into_iter().flatten().min() {
            Some(end) => end,
            None if whole => {
                let record = text.trim_ascii_end();
                match self.cut(&compiled.template, record, origin, out) {
                    Ok(()) => return Some(text.len()),
                    Err(_) => reason = RejectReason::CutOff,
                }
                text.len()
            }
            None => return None,
        };
        out.reject(reason, &text[..end], end, origin);
        Some(end)
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
        kind: Envelope,
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
        let length = envelope::open(kind, text, &mut |at, mut record| {
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

    /// Reads a record by its keys, and remembers how it was written for the next.
    fn keyed<S: Sink>(
        &mut self,
        compiled: &Compiled,
        record: &[u8],
        origin: Origin<'_>,
        out: &mut Out<'_, '_, S>,
    ) -> Result<(), RejectReason> {
        let keys = match &compiled.keys {
            KeyReading::Known(keys) => Some(keys),
            KeyReading::Common => None,
            KeyReading::None => return Err(RejectReason::Shape),
        };
        let (template, pieces) = keyed::read(compiled.template.form, record, keys)?;
        let request = value::request(&template, record, &pieces, &mut self.scratch, origin)?;
        out.tally.request(out.sink, &request);
        self.variant = Some(template);
        self.variant_memory = Memory::default();
        Ok(())
    }

    fn cut<S: Sink>(
        &mut self,
        template: &Template,
        record: &[u8],
        origin: Origin<'_>,
        out: &mut Out<'_, '_, S>,
    ) -> Result<(), RejectReason> {
        let mut request = Request::default();
        let mut plain = Filling::new(&mut request, origin, &mut self.memory);
        if plain.record(template, record, &mut self.pieces).is_some() {
            plain.finish();
            out.tally.request(out.sink, &request);
            return Ok(());
        }
        self.cut_slowly(template, record, origin, out)
    }

    /// The same, of a record that is not plain.
    fn cut_slowly<S: Sink>(
        &mut self,
        template: &Template,
        record: &[u8],
        origin: Origin<'_>,
        out: &mut Out<'_, '_, S>,
    ) -> Result<(), RejectReason> {
        template.cut(record, &mut self.pieces)?;
        let request = value::request(template, record, &self.pieces, &mut self.scratch, origin)?;
        out.tally.request(out.sink, &request);
        Ok(())
    }

    fn xml<S: Sink>(
        &mut self,
        compiled: &Compiled,
        text: &[u8],
        whole: bool,
        origin: Origin<'_>,
        out: &mut Out<'_, '_, S>,
    ) -> Option<usize> {
        let Some(closing) = compiled.closing.as_deref() else {
            return self.lines(compiled, text, whole, origin, out);
        };
        let head = compiled.template.head();
        let opening = &head[..head.iter().position(|b| b" >".contains(b)).unwrap_or(head.len())];
        if !text.starts_with(opening) {
            let tag = memmem::find(text, opening);
            let end = [tag, line_end(text)].into_iter().flatten().min();
            let end = end.or(whole.then_some(text.len()))?;
            out.reject(RejectReason::Shape, &text[..end], end, origin);
            return Some(end);
        }
        // The closing tag ends the record where a record, or nothing, follows.
        let mut from = 0;
        let end = loop {
            let Some(found) = memmem::find(&text[from..], closing) else {
                if !whole {
                    return None;
                }
                out.reject(RejectReason::CutOff, text, text.len(), origin);
                return Some(text.len());
            };
            let end = from + found + closing.len();
            let rest = after_separators(&text[end..]);
            let line_follows = matches!(text.get(end), Some(b'\n' | b'\r'));
            if rest.starts_with(opening) || line_follows || (whole && rest.is_empty()) {
                break end;
            }
            if rest.len() < opening.len() && !whole {
                return None;
            }
            from = end;
        };
        let record = &text[..end];
        let Err(reason) = self.cut(&compiled.template, record, origin, out) else {
            return Some(end);
        };
        let closed = |text: &[u8]| memmem::find(text, closing).map(|at| at + closing.len());
        if let ControlFlow::Break(step) =
            smuggled(&compiled.template, text, end, whole, closed, origin, out)
        {
            return step;
        }
        let reason = match reason {
            RejectReason::Shape | RejectReason::Shifted => {
                match self.keyed(compiled, record, origin, out) {
                    Ok(()) => return Some(end),
                    Err(RejectReason::Shape) => reason,
                    Err(other) => other,
                }
            }
            reason => reason,
        };
        out.reject(reason, record, end, origin);
        Some(end)
    }

    fn lines<S: Sink>(
        &mut self,
        compiled: &Compiled,
        text: &[u8],
        whole: bool,
        origin: Origin<'_>,
        out: &mut Out<'_, '_, S>,
    ) -> Option<usize> {
        let template = &compiled.template;
        let seam = Seam::of(template);
        if self.lines.is_none() {
            if Self::finds_lines(text) {
                self.lines = Some(true);
            } else if whole || text.len() >= LINE_SEARCH_BYTES {
                self.lines = Some(seam.is_none());
                out.tally.glued_without_seam =
                    seam.is_none() && template.cut(text, &mut self.pieces).is_err();
            } else {
                return None;
            }
        }
        if self.lines == Some(false)
            && let Some(seam) = seam
        {
            let known_end = whole && !self.cut_off;
            return match glued::next(template, seam, text, known_end, &mut self.pieces) {
                Next::Record(length) => {
                    let record = &text[..length];
                    let request =
                        value::request(template, record, &self.pieces, &mut self.scratch, origin);
                    out.take(record, origin, &request);
                    Some(length)
                }
                Next::Reject(length, reason) => {
                    out.reject(reason, &text[..length], length, origin);
                    Some(length)
                }
                Next::More if whole => {
                    out.reject(RejectReason::CutOff, text, text.len(), origin);
                    Some(text.len())
                }
                Next::More => None,
            };
        }
        line(text, whole, |line| {
            let line = if template.ends_line { without_typed_end(line) } else { line };
            if let Err(reason) = self.cut_slowly(template, line, origin, out) {
                out.reject(reason, line, line.len(), origin);
            }
        })
    }
}

/// Gives the line that `text` begins with to `read`; its length with the line end.
fn line(text: &[u8], whole: bool, read: impl FnOnce(&[u8])) -> Option<usize> {
    let (line, length) = match memchr::memchr(b'\n', text) {
        Some(end) => (&text[..end], end + 1),
        None if whole => (text, text.len()),
        None => return None,
    };
    read(line.strip_suffix(b"\r").unwrap_or(line));
    Some(length)
}

fn line_end(text: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', text).map(|at| at + 1)
}

/// The line without a line end typed as two characters.
pub(crate) fn without_typed_end(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii_end();
    line.strip_suffix(b"\\n").or_else(|| line.strip_suffix(b"\\r")).unwrap_or(line).trim_ascii_end()
}

/// The text after white space, a byte order mark, and line ends typed as `\n`.
pub(crate) fn after_separators(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        let shorter = text
            .strip_prefix(b"\\n")
            .or_else(|| text.strip_prefix(b"\\r"))
            .or_else(|| text.strip_prefix(b"\xef\xbb\xbf"));
        match shorter {
            Some(rest) => text = rest,
            None => return text,
        }
    }
}

/// Where a JSON object that could not be read ends: by its structure, else at the line
/// feed. `None` when more text is needed to tell.
fn unread_object_end(text: &[u8], whole: bool) -> Option<usize> {
    let line = line_end(text);
    let structure = if text[0] == b'{' {
        json::object_end(&text[..line.unwrap_or(text.len())])
    } else {
        // Garbage in front of an object that nothing separates from it.
        memmem::find(text, b"{\"").filter(|at| line.is_none_or(|line| *at < line))
    };
    structure.or(line).or(whole.then_some(text.len()))
}

/// Where the next JSON record may begin: after a line feed, or at the template's own
/// first text after a closing brace.
fn json_seam(text: &[u8], head: &[u8]) -> Option<usize> {
    let line = line_end(text);
    let mut from = 1;
    let glued = loop {
        let Some(found) = text.get(from..).and_then(|rest| memmem::find(rest, head)) else {
            break None;
        };
        let at = from + found;
        if head.len() >= 2 && text[..at].trim_ascii_end().ends_with(b"}") {
            break Some(at);
        }
        from = at + 1;
    };
    [line, glued].into_iter().flatten().min()
}
