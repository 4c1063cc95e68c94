//! Reads a record of a format that a template describes.
//!
//! JSON ends by its structure, XML at its closing tag, lines at their line feed. What is
//! not written as its template says is read by its keys, if the form has keys; how it was
//! written is then remembered as a variant for the records that follow. Only what is read
//! in neither way becomes a reject.

use std::ops::ControlFlow;

use memchr::memmem;

use super::ends::{after_separators, line, line_end, seam, without_typed_end};
use super::{Out, Reader, STRUCTURE_SEARCH_BYTES};
use crate::direct::{Filling, Memory};
use crate::format::{Compiled, KeyReading};
use crate::glued::{self, Next, Seam};
use crate::smuggled::smuggled;
use crate::template::Template;
use crate::{Origin, RejectReason, Request, Sink, json, keyed, value};

/// Text looked at for a line feed before records are taken to be glued.
const LINE_SEARCH_BYTES: usize = 128 * 1024;

impl Reader<'_> {
    pub(super) fn json<S: Sink>(
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
            // The last record has nothing behind it that would be lost.
            None if whole && seam(text, b'}', head).is_none() => text.len(),
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
        let seam = seam(text, b'}', head);
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

    pub(super) fn xml<S: Sink>(
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

    pub(super) fn lines<S: Sink>(
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
            // Records of other lines are lines, so either nothing separates these or a client
            // wrote the seam.
            if glued::are_several(template, line) {
                out.reject(RejectReason::Smuggled, line, line.len(), origin);
                return;
            }
            if let Err(reason) = self.cut_slowly(template, line, origin, out) {
                out.reject(reason, line, line.len(), origin);
            }
        })
    }
}
