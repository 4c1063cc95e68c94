//! Cuts one record into the values of its template.
//!
//! Nothing marks where a value ends but the fixed text after it, and a client may
//! have written that very text. So a record counts only when there is exactly one
//! way to cut it. Two quick cuts decide almost always: one takes each fixed text
//! where it first occurs, the other, from the end, where it last occurs. Every
//! other cut lies between the two, so when they agree there is no other. When they
//! differ, a bounded search over the values' shapes looks for a second reading, between
//! the first and the last value that a client may write: the rest is anchored at the
//! record's ends.
//!
//! Records of JSON templates have a grammar of their own: API Gateway escapes
//! quotes in them, so a string ends at its first quote without a backslash, and one
//! pass from the left finds the record's end as well ([`Template::cut_json`]).

use std::collections::HashSet;
use std::ops::Range;

use memchr::memchr2;

use crate::RejectReason;
use crate::template::{Capture, Setting, Template};
use crate::variable::{Shape, Slot};

/// Where a value stands in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Piece {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Piece {
    pub(crate) fn of<'r>(&self, record: &'r [u8]) -> &'r [u8] {
        &record[self.start..self.end]
    }
}

/// Most steps of the search for a second reading. A record that needs more is
/// treated as ambiguous; honest ones need a few dozen.
const MAX_SEARCH_STEPS: usize = 50_000;

/// Steps before anything is remembered that led nowhere: most searches are over by then.
const FEW_SEARCH_STEPS: usize = 64;

impl Template {
    /// Cuts a record that `text` begins with, in the strict JSON reading. Gives the
    /// record's length, or `None` when the text does not fit.
    pub(crate) fn cut_json(&self, text: &[u8], pieces: &mut Vec<Piece>) -> Option<usize> {
        pieces.clear();
        let mut at = 0;
        for (index, capture) in self.captures.iter().enumerate() {
            at = after_literal(text, at, &capture.before)?;
            let start = at;
            let next = self.text_after(index);
            at = match capture.setting {
                Setting::Quoted if capture.fills_quotes => {
                    let end = string_end(text, at)?;
                    // `"$context.error.messageString"` puts quotes round a quoted value.
                    if end == at && !text[at..].starts_with(next) {
                        let inner = string_end(text, at + 1)?;
                        if text.get(inner + 1) != Some(&b'"') {
                            return None;
                        }
                        inner + 1
                    } else {
                        end
                    }
                }
                Setting::Bare => {
                    if text.get(at) == Some(&b'"') {
                        string_end(text, at + 1)? + 1
                    } else {
                        at + memchr::memchr(*next.first()?, &text[at..])?
                    }
                }
                Setting::Quoted | Setting::Markup => return None,
            };
            pieces.push(Piece { start, end: at });
        }
        after_literal(text, at, &self.tail)
    }

    /// Cuts `record`, which must be one whole record, if there is exactly one way.
    pub(crate) fn cut(&self, record: &[u8], pieces: &mut Vec<Piece>) -> Result<(), RejectReason> {
        let left = self.cut_from_left(record, pieces);
        if left && self.agrees_from_right(record, pieces) {
            // Whether the values have their shapes is seen when they are read.
            return Ok(());
        }
        if !record.starts_with(self.head()) || !record.ends_with(&self.tail) {
            return Err(RejectReason::Shape);
        }
        let reason = match self.cut_anchored(record, pieces) {
            // A value the gateway wrote holds the text that should end it.
            Err(reason @ (RejectReason::Shape | RejectReason::Shifted)) => reason,
            result => return result,
        };
        let values = 0..self.captures.len();
        let text = self.head().len()..record.len() - self.tail.len();
        pieces.clear();
        match Search::new(self, record, values, text.end).run(text.start, pieces) {
            // All fixed text is there, and yet no value fits where it should stand.
            Err(RejectReason::Shape) if left => Err(reason),
            result => result,
        }
    }

    /// Cuts what stands before the first and after the last value that a client may
    /// write from the record's two ends, where no client's text can reach; only what
    /// lies between is searched for readings. When those ends hold and nothing between
    /// them does, the record is shifted.
    fn cut_anchored(&self, record: &[u8], pieces: &mut Vec<Piece>) -> Result<(), RejectReason> {
        let shape = RejectReason::Shape;
        let first = self.captures.iter().position(Capture::is_open);
        let last = self.captures.iter().rposition(Capture::is_open);
        let misfit = if first.is_some() { RejectReason::Shifted } else { shape };
        let (first, last) = (first.unwrap_or(0), last.unwrap_or(self.captures.len() - 1));
        pieces.clear();
        let mut start = self.head().len();
        for (index, capture) in self.captures[..first].iter().enumerate() {
            let next = self.text_after(index);
            let end = start + next.find(&record[start..]).ok_or(shape)?;
            if !capture.shape.holds(unquoted(&record[start..end])) {
                return Err(shape);
            }
            pieces.push(Piece { start, end });
            start = end + next.len();
        }
        let mut end = record.len() - self.tail.len();
        let mut right = Vec::new();
        for capture in self.captures[last + 1..].iter().rev() {
            let text = record.get(start..end).ok_or(shape)?;
            let found = start + capture.before.rfind(text).ok_or(shape)?;
            let piece = Piece { start: found + capture.before.len(), end };
            if !capture.shape.holds(unquoted(piece.of(record))) {
                return Err(shape);
            }
            right.push(piece);
            end = found;
        }
        if first == last {
            // One value between two known ends: there is nothing to search.
            let text = record.get(start..end).ok_or(shape)?;
            if !self.captures[first].shape.holds(unquoted(text)) {
                return Err(shape);
            }
            pieces.push(Piece { start, end });
        } else {
            Search::new(self, record, first..last + 1, end)
                .run(start, pieces)
                .map_err(|reason| if reason == shape { misfit } else { reason })?;
        }
        pieces.extend(right.into_iter().rev());
        Ok(())
    }

    /// Whether every value that a request keeps has its shape.
    pub(crate) fn shapes_hold(&self, record: &[u8], pieces: &[Piece]) -> bool {
        self.captures
            .iter()
            .zip(pieces)
            .all(|(c, piece)| c.slot == Slot::Other || c.admits(unquoted(piece.of(record))))
    }

    /// Whether `record` reads as one whole record, in one way or in several.
    pub(crate) fn may_be_one(&self, record: &[u8], pieces: &mut Vec<Piece>) -> bool {
        match self.cut(record, pieces) {
            Ok(()) => self.shapes_hold(record, pieces),
            Err(reason) => reason == RejectReason::Ambiguous,
        }
    }

    /// Whether no value that the gateway always writes is empty: it writes `-` for what is
    /// absent.
    pub(crate) fn says_who_and_when(&self, pieces: &[Piece]) -> bool {
        let always =
            |shape| matches!(shape, Shape::Address | Shape::ClfTime | Shape::Epoch | Shape::Status);
        self.captures
            .iter()
            .zip(pieces)
            .all(|(c, piece)| !always(c.shape) || piece.start < piece.end)
    }

    fn cut_from_left(&self, record: &[u8], pieces: &mut Vec<Piece>) -> bool {
        pieces.clear();
        let Some(mut at) = after_literal(record, 0, self.head()) else {
            return false;
        };
        for index in 0..self.captures.len() {
            let next = self.text_after(index);
            let end = if index + 1 == self.captures.len() {
                match record.len().checked_sub(next.len()) {
                    Some(end) if end >= at && record.ends_with(next) => end,
                    _ => return false,
                }
            } else {
                match next.find(&record[at..]) {
                    Some(found) => at + found,
                    None => return false,
                }
            };
            pieces.push(Piece { start: at, end });
            at = end + next.len();
        }
        true
    }

    /// Whether the cut that takes every fixed text as far right as possible is the
    /// same as `pieces`.
    fn agrees_from_right(&self, record: &[u8], pieces: &[Piece]) -> bool {
        let mut end = pieces[pieces.len() - 1].end;
        for (capture, piece) in self.captures.iter().zip(pieces).skip(1).rev() {
            let before = &capture.before;
            match before.rfind(&record[..end]) {
                Some(found) if found + before.len() == piece.start => end = found,
                _ => return false,
            }
        }
        true
    }
}

/// Depth-first search over all cuts of some values that have their shapes. Cuts that
/// differ only in values a request does not keep are the same reading.
struct Search<'t> {
    template: &'t Template,
    record: &'t [u8],
    /// Numbers of the values.
    values: Range<usize>,
    /// Where the last of them ends.
    end: usize,
    /// The first value after which no kept one follows.
    kept: usize,
    steps: usize,
    /// Value numbers and their starts from which no cut reaches the end, in a long search. The
    /// keys are seeded at random, as clients choose them.
    dead: HashSet<(usize, usize), foldhash::fast::RandomState>,
    found: Option<Vec<Piece>>,
}

impl<'t> Search<'t> {
    fn new(template: &'t Template, record: &'t [u8], values: Range<usize>, end: usize) -> Self {
        let kept = template.captures[values.clone()].iter().rposition(|c| c.slot != Slot::Other);
        let kept = kept.map_or(values.start, |last| values.start + last + 1);
        Self {
            template,
            record,
            values,
            end,
            kept,
            steps: 0,
            dead: HashSet::default(),
            found: None,
        }
    }

    /// Adds the values' places to `pieces` if there is exactly one reading.
    fn run(mut self, start: usize, pieces: &mut Vec<Piece>) -> Result<(), RejectReason> {
        let mut current = Vec::with_capacity(self.values.len());
        self.visit(self.values.start, start, &mut current)?;
        pieces.extend(self.found.ok_or(RejectReason::Shape)?);
        Ok(())
    }

    /// Whether any cut goes through; an error when two readings differ.
    fn visit(
        &mut self,
        index: usize,
        start: usize,
        current: &mut Vec<Piece>,
    ) -> Result<bool, RejectReason> {
        if start > self.end || self.dead.contains(&(index, start)) {
            return Ok(false);
        }
        let shape = self.template.captures[index].shape;
        let next = self.template.text_after(index);
        let last = index + 1 == self.values.end;
        let mut any = false;
        let mut from = start;
        while from <= self.end {
            self.steps += 1;
            if self.steps > MAX_SEARCH_STEPS {
                return Err(RejectReason::Ambiguous);
            }
            let end = if last {
                self.end
            } else {
                match next.find(&self.record[from..self.end]) {
                    Some(found) => from + found,
                    None => break,
                }
            };
            let value = &self.record[start..end];
            if shape.holds(unquoted(value)) {
                current.push(Piece { start, end });
                any |= if last {
                    self.reached_end(current)?;
                    true
                } else {
                    self.visit(index + 1, end + next.len(), current)?
                };
                current.pop();
            } else if shape.excludes_all_from(value) {
                break;
            }
            // How the values nobody keeps are cut makes no difference.
            if last || (any && index >= self.kept) {
                break;
            }
            from = end + 1;
        }
        if !any && self.steps > FEW_SEARCH_STEPS {
            self.dead.insert((index, start));
        }
        Ok(any)
    }

    fn reached_end(&mut self, current: &[Piece]) -> Result<(), RejectReason> {
        let Some(found) = &self.found else {
            self.found = Some(current.to_vec());
            return Ok(());
        };
        let captures = &self.template.captures[self.values.clone()];
        let same = captures
            .iter()
            .zip(found)
            .zip(current)
            .all(|((capture, first), second)| capture.slot == Slot::Other || first == second);
        if same { Ok(()) } else { Err(RejectReason::Ambiguous) }
    }
}

/// A typed value without the quotes some writers put round every value.
fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

fn after_literal(text: &[u8], at: usize, literal: &[u8]) -> Option<usize> {
    text[at..].starts_with(literal).then_some(at + literal.len())
}

/// The first quote at or after `at` that no backslash escapes.
pub(crate) fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = quote_or_backslash(text, at)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// The first `"` or `\\` at or after `at`. Values are short, so the first bytes are
/// looked at eight at a time right here; what is longer is left to `memchr`.
#[inline]
pub(crate) fn quote_or_backslash(text: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    // A byte's top bit is set where the byte of `word` equals `byte`; bytes behind the
    // first may be set wrongly.
    let equal = |word: u64, byte: u8| {
        let difference = word ^ (ONES * u64::from(byte));
        difference.wrapping_sub(ONES) & !difference & TOPS
    };
    for _ in 0..4 {
        let Some(chunk) = text.get(at..at + 8) else { break };
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let found = equal(word, b'"') | equal(word, b'\\');
        if found != 0 {
            return Some(at + (found.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    Some(at + memchr2(b'"', b'\\', text.get(at..)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLF: &str = "$context.identity.sourceIp - - [$context.requestTime] \
        \"$context.httpMethod $context.path $context.protocol\" $context.status \
        $context.requestId \"$context.identity.userAgent\"";

    #[track_caller]
    fn check(template: &str, record: &str, expected: Result<&[&str], RejectReason>) {
        let template = Template::parse(template).expect("a template");
        let mut pieces = Vec::new();
        let cut = template.cut(record.as_bytes(), &mut pieces);
        let cut = match cut {
            Ok(()) if !template.shapes_hold(record.as_bytes(), &pieces) => Err(RejectReason::Value),
            cut => cut,
        };
        let result = cut.map(|()| {
            pieces
                .iter()
                .map(|p| std::str::from_utf8(p.of(record.as_bytes())).expect("text"))
                .collect::<Vec<_>>()
        });
        assert_eq!(result.as_deref(), expected.as_ref().map(|e| &**e), "{record}");
    }

    #[test]
    fn a_path_with_blanks_has_one_reading() {
        check(
            CLF,
            "192.0.2.1 - - [26/Jan/2019:19:45:25 +0000] \"GET /a b c HTTP/1.1\" 200 id \"x \\\" y\"",
            Ok(&[
                "192.0.2.1",
                "26/Jan/2019:19:45:25 +0000",
                "GET",
                "/a b c",
                "HTTP/1.1",
                "200",
                "id",
                "x \\\" y",
            ]),
        );
    }

    #[test]
    fn a_status_written_by_the_client_makes_the_record_ambiguous() {
        check(
            CLF,
            "192.0.2.1 - - [26/Jan/2019:19:45:25 +0000] \"GET /a HTTP/1.1\" 200 forged \"x HTTP/1.1\" 403 id \"x\"",
            Err(RejectReason::Ambiguous),
        );
    }

    #[test]
    fn a_value_of_another_type_is_said_to_be_one() {
        check(
            CLF,
            "localhost - - [26/Jan/2019:19:45:25 +0000] \"GET /a HTTP/1.1\" 200 id \"x\"",
            Err(RejectReason::Value),
        );
        check(CLF, "hello", Err(RejectReason::Shape));
    }

    #[test]
    fn separators_that_shift_every_reading_are_told_from_another_format() {
        check(
            CLF,
            "192.0.2.1 - - [26/Jan/2019:19:45:25 +0000] \"GET /a HTTP/1.1\" 5 7 200 id \"x\"",
            Err(RejectReason::Shifted),
        );
        // Another format's line has the blanks and quotes, but not the outer values.
        check(
            CLF,
            "a.example - - [26/Jan/2019:19:45:25 +0000] \"GET /a HTTP/1.1\" 5 7 200 id \"x\"",
            Err(RejectReason::Shape),
        );
    }

    #[test]
    fn a_quoted_message_in_quotes_is_read() {
        let template =
            Template::parse(r#"{"m":"$context.error.messageString","s":"$context.status"}"#)
                .expect("a template");
        let mut pieces = Vec::new();
        for record in
            [r#"{"m":""Forbidden"","s":"403"}"#, r#"{"m":"-","s":"200"}"#, r#"{"m":"","s":"200"}"#]
        {
            assert_eq!(
                template.cut_json(record.as_bytes(), &mut pieces),
                Some(record.len()),
                "{record}"
            );
        }
    }

    #[test]
    fn searching_for_a_second_reading_is_bounded() {
        let record =
            format!("192.0.2.1 - - [26/Jan/2019:19:45:25 +0000] \"{}", " \"".repeat(50_000));
        let template = Template::parse(CLF).expect("a template");
        assert!(template.cut(record.as_bytes(), &mut Vec::new()).is_err());
    }
}
