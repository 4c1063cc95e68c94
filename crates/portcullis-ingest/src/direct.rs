//! Reads plain records in one pass, straight into a request.
//!
//! Almost every record is plain: written as its template says, without an escape, with
//! values of their types and one possible reading. This module notices while it reads
//! when a record is not, and gives up; then `cut` and `value` read it, or refuse it. So
//! nothing is decided here: what this reads, they would read the same, and a test says so.
//!
//! What makes a reading the only one, without a search: in JSON a string ends at its
//! first quote. In XML, when the record has no more `<` than its template, no value holds
//! one. In lines, a value whose type excludes the text around it (no address holds a
//! blank) ends where that text first stands, seen from either end of the record. Where all
//! values are of such types, one pass reads the record; otherwise what is left in the middle
//! has one reading when the cuts from its two ends agree.

mod json;
mod lines;

use std::ops::Range;

use lines::are_told_apart;

use crate::address::plain_v4_before;
use crate::cut::Piece;
use crate::draft::split_target;
use crate::minute::Minute;
use crate::template::{Capture, Form, Setting, Template};
use crate::value::{parse_whole, waf_action};
use crate::variable::{Shape, Slot, parse_status};
use crate::{Origin, Request, Timestamp, Untrusted, parse_address};

/// Digits of an epoch in milliseconds.
const EPOCH_BYTES: usize = 13;

/// Most digits of a number; see [`parse_whole`].
const MOST_DIGITS: usize = 18;

/// How the plain records of a template are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Not here: every record goes the long way.
    None,
    /// Strings and bare numbers of a JSON object.
    Json,
    /// By the number of `<` in the fixed text.
    Markup(usize),
    /// A line.
    Line {
        /// Values before this one are cut from the left.
        left: usize,
        /// Values from this one on are cut from the right.
        right: usize,
        /// Whether one pass from the left does as well, most of the time.
        told_apart: bool,
    },
}

impl Plan {
    pub(crate) fn of(form: Form, captures: &[Capture], tail: &[u8]) -> Self {
        if captures.is_empty() || !are_simple(captures) {
            return Self::None;
        }
        match form {
            Form::Json => {
                let plain = |capture: &Capture| match capture.setting {
                    Setting::Quoted => capture.fills_quotes,
                    Setting::Bare => capture.slot == Slot::Other || capture.shape.excludes(b'\\'),
                    Setting::Markup => false,
                };
                let closed = captures.iter().skip(1).all(|c| !c.before.is_empty());
                if closed && !tail.is_empty() && captures.iter().all(plain) {
                    return Self::Json;
                }
                Self::None
            }
            Form::Xml => {
                let marks = |text: &[u8]| memchr::memchr_iter(b'<', text).count();
                let fixed = captures.iter().map(|c| marks(&c.before)).sum::<usize>() + marks(tail);
                let told_apart = captures.iter().skip(1).all(|c| c.before.contains(&b'<'));
                if told_apart { Self::Markup(fixed) } else { Self::None }
            }
            Form::Csv | Form::Line => {
                let last = captures.len() - 1;
                let ends =
                    |index: usize| captures[index].shape.excludes(captures[index + 1].before[0]);
                let left = (0..last).take_while(|index| ends(*index)).count();
                let begins = |index: usize| {
                    let before = &captures[index].before;
                    captures[index].shape.excludes(before[before.len() - 1])
                };
                let right = (left + 1..=last).rev().take_while(|index| begins(*index)).count();
                let told_apart = are_told_apart(captures, tail);
                Self::Line { left, right: captures.len() - right, told_apart }
            }
        }
    }
}

/// Whether every value fills a field of its own, as it is.
fn are_simple(captures: &[Capture]) -> bool {
    let kept = || captures.iter().filter(|capture| capture.slot != Slot::Other);
    let once = |capture: &Capture| kept().filter(|other| other.slot == capture.slot).count() == 1;
    kept().all(|capture| capture.slot != Slot::QueryParameter && once(capture))
}

/// What the record before held: times repeat, and the names of the API always do.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    minute: Minute,
    /// By the number of a run's first value.
    runs: Vec<Run>,
    /// Lengths of ids, by the number of their value: most are of one length.
    lengths: Vec<usize>,
}

/// Values that often are those of the record before, one behind the other.
#[derive(Debug, Clone, Default)]
struct Run {
    /// From the first value to the quote that ends the last, with the fixed text between.
    text: Vec<u8>,
    /// The values that a request keeps, and where they stand in the text.
    kept: Vec<(Slot, Range<usize>)>,
    /// The number of the value behind the last.
    next: usize,
}

/// Whether most records of an object have the same value there.
fn repeats(capture: &Capture) -> bool {
    let slot_repeats = matches!(
        capture.slot,
        Slot::ApiId
            | Slot::ApiKeyId
            | Slot::ErrorType
            | Slot::Host
            | Slot::Other
            | Slot::Protocol
            | Slot::Stage
            | Slot::WafAction
    );
    slot_repeats && capture.setting == Setting::Quoted
}

/// A request in the making, while no value needs a decision.
pub(crate) struct Filling<'o, 't> {
    request: &'t mut Request<'o>,
    request_id: Option<Untrusted<'o>>,
    time_clf: Option<Timestamp>,
    /// Rank of the principal that is known.
    principal: u8,
    memory: &'t mut Memory,
}

impl<'o, 't> Filling<'o, 't> {
    /// Begins with nothing in the request but where its record stands.
    pub(crate) fn new(
        request: &'t mut Request<'o>,
        origin: Origin<'o>,
        memory: &'t mut Memory,
    ) -> Self {
        *request = Request { origin, ..Request::default() };
        Self { request, request_id: None, time_clf: None, principal: u8::MAX, memory }
    }

    /// Forgets what was taken.
    fn empty(&mut self) {
        *self.request = Request { origin: self.request.origin, ..Request::default() };
        self.request_id = None;
        self.time_clf = None;
        self.principal = u8::MAX;
    }

    /// Takes a value; `None` when it is not of its type.
    #[inline]
    fn take(&mut self, capture: &Capture, value: &'o [u8]) -> Option<()> {
        if value.is_empty() || value == b"-" {
            return Some(());
        }
        let request = &mut *self.request;
        match capture.slot {
            Slot::Client => request.client = Some(parse_address(value)?),
            Slot::TimeClf => self.time_clf = Some(self.memory.minute.time(value)?),
            Slot::TimeEpoch => request.time = Some(Timestamp::parse_epoch(value)?),
            Slot::Status => request.status = parse_status(value).ok()?,
            Slot::ResponseBytes => request.response_bytes = parse_whole(value).ok()?,
            Slot::LatencyMs => request.latency_ms = parse_whole(value).ok()?,
            _ => {
                // Where a value ends may rest on its shape, so that one is asked for here.
                let is_odd_id = || capture.slot == Slot::RequestId && !capture.admits(value);
                if !capture.shape.holds(value) || is_odd_id() {
                    return None;
                }
                self.keep(capture.slot, value);
            }
        }
        Some(())
    }

    /// Takes the value that `rest` begins with, if its type alone tells where it ends, and if
    /// `next`, which no such value holds, stands there: then nobody needs to look for that
    /// first. Gives the value's length.
    #[inline]
    fn quick(
        &mut self,
        capture: &Capture,
        index: usize,
        rest: &'o [u8],
        next: u8,
    ) -> Option<usize> {
        let closed =
            |length: usize| (rest.get(length) == Some(&next)).then(|| (&rest[..length], length));
        match capture.slot {
            Slot::Client => {
                let (address, length) = plain_v4_before(rest)?;
                closed(length)?;
                self.request.client = Some(address);
                Some(length)
            }
            Slot::RequestId | Slot::ExtendedId if capture.shape == Shape::Id => {
                // One that is absent or empty is left to others.
                let length = *self.memory.lengths.get(index)?;
                let (value, length) = closed(length).filter(|(value, _)| value.len() > 1)?;
                if !capture.shape.holds(value) {
                    return None;
                }
                self.keep(capture.slot, value);
                Some(length)
            }
            Slot::TimeEpoch => {
                let (value, length) = closed(EPOCH_BYTES)?;
                self.request.time = Some(Timestamp::parse_epoch(value)?);
                Some(length)
            }
            Slot::Status => {
                let (value, length) = closed(3)?;
                self.request.status = parse_status(value).ok()?;
                Some(length)
            }
            Slot::ResponseBytes | Slot::LatencyMs => {
                let digits = rest.iter().take(MOST_DIGITS + 1);
                let digits = digits.take_while(|byte| byte.is_ascii_digit()).count();
                // What is empty is left to others, too.
                let (value, length) = closed(digits).filter(|_| digits > 0)?;
                let number = parse_whole(value).ok()?;
                match capture.slot {
                    Slot::ResponseBytes => self.request.response_bytes = number,
                    _ => self.request.latency_ms = number,
                }
                Some(length)
            }
            _ => None,
        }
    }

    /// Remembers how long an id is.
    #[inline]
    fn note_length(&mut self, capture: &Capture, index: usize, length: usize) {
        if matches!(capture.slot, Slot::RequestId | Slot::ExtendedId) {
            let lengths = &mut self.memory.lengths;
            if lengths.len() <= index {
                lengths.resize(index + 1, 0);
            }
            lengths[index] = length;
        }
    }

    /// Takes text that has its shape.
    #[inline]
    fn keep(&mut self, slot: Slot, value: &'o [u8]) {
        match slot {
            Slot::RequestId => self.request_id = Some(Untrusted::new(value)),
            Slot::Principal(rank) if rank < self.principal => {
                self.principal = rank;
                self.request.principal = Some(Untrusted::new(value));
            }
            _ => fill(self.request, slot, value),
        }
    }

    /// Completes the request, once a whole record was read.
    pub(crate) fn finish(self) {
        match self.request.id {
            Some(_) => self.request.request_id = self.request_id,
            None => self.request.id = self.request_id,
        }
        self.request.time = self.request.time.or(self.time_clf);
    }

    /// Reads a plain record of any other form.
    pub(crate) fn record(
        &mut self,
        template: &Template,
        record: &'o [u8],
        pieces: &mut Vec<Piece>,
    ) -> Option<()> {
        match template.plan {
            Plan::Markup(marks) => markup(template, marks, record, self),
            Plan::Line { left, right, told_apart } => {
                if told_apart {
                    if lines::told_apart(template, record, self).is_some() {
                        return Some(());
                    }
                    self.empty();
                }
                lines::line(template, (left, right), record, pieces, self)
            }
            Plan::None | Plan::Json => None,
        }
    }
}

/// Fills the field of a slot that alone has it.
#[inline]
fn fill<'o>(request: &mut Request<'o>, slot: Slot, value: &'o [u8]) {
    let text = Some(Untrusted::new(value));
    match slot {
        Slot::WafAction => request.waf_action = waf_action(value),
        Slot::ExtendedId => request.id = text,
        Slot::Method => request.method = text,
        Slot::Path => {
            let (path, query) = split_target(value);
            request.path = path.map(Untrusted::new);
            request.query = query.map(Untrusted::new);
        }
        Slot::Route => request.route = text,
        Slot::UserAgent => request.user_agent = text,
        Slot::Host => request.host = text,
        Slot::Referer => request.referer = text,
        Slot::Protocol => request.protocol = text,
        Slot::ApiId => request.api_id = text,
        Slot::Stage => request.stage = text,
        Slot::ApiKeyId => request.api_key_id = text,
        Slot::ErrorType => request.error_type = text,
        Slot::ForwardedFor => request.forwarded_for = text,
        _ => {}
    }
}

fn markup<'o>(
    template: &Template,
    marks: usize,
    record: &'o [u8],
    filling: &mut Filling<'o, '_>,
) -> Option<()> {
    let mut at = after(record, 0, template.head())?;
    for (index, capture) in template.captures.iter().enumerate() {
        let next = template.text_after(index);
        let end = match next.first() {
            Some(first) => at + memchr::memchr(*first, &record[at..])?,
            None => record.len(),
        };
        let value = &record[at..end];
        if capture.slot != Slot::Other {
            // A reference stands for another text.
            if memchr::memchr(b'&', value).is_some() {
                return None;
            }
            filling.take(capture, value)?;
        }
        at = after(record, end, next)?;
    }
    let found = memchr::memchr_iter(b'<', record).count();
    (at == record.len() && found == marks).then_some(())
}

/// The place behind `literal`, if it stands at `at`.
#[inline]
fn after(text: &[u8], at: usize, literal: &[u8]) -> Option<usize> {
    let end = at + literal.len();
    is_equal(text.get(at..end)?, literal).then_some(end)
}

/// Compares short texts of one length, eight bytes at a time.
#[inline]
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let word = |text: &[u8], at: usize| {
        u64::from_ne_bytes(text[at..at + 8].try_into().expect("eight bytes"))
    };
    let length = one.len();
    if length < 8 || length != other.len() {
        return length == other.len() && one.iter().zip(other).all(|(one, other)| one == other);
    }
    let mut at = 0;
    while at + 8 < length {
        if word(one, at) != word(other, at) {
            return false;
        }
        at += 8;
    }
    word(one, length - 8) == word(other, length - 8)
}

#[cfg(test)]
mod tests;
