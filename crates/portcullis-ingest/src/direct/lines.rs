//! Lines: values that end where the text behind them begins.

use super::{Filling, after};
use crate::cut::Piece;
use crate::glued;
use crate::minute::TIME_BYTES;
use crate::template::{Capture, Form, Template};
use crate::variable::{MOST_TOKEN_BYTES, Shape, Slot};

/// Whether every value ends before the first byte of the text behind it, and holds no last
/// byte of the text before it: then a record has one reading, seen from either end, and the
/// first byte that a value excludes ends it. Of values without a type, that is so if the two
/// bytes are the same.
pub(super) fn are_told_apart(captures: &[Capture], tail: &[u8]) -> bool {
    captures.iter().enumerate().all(|(index, capture)| {
        let before = capture.before.last().filter(|_| index > 0);
        let next = captures.get(index + 1).map_or(tail, |next| &next.before).first();
        match capture.shape {
            Shape::RouteKey if next == Some(&b' ') => false,
            Shape::Free | Shape::RouteKey => {
                next.is_some() && before.is_none_or(|b| Some(b) == next)
            }
            shape => before.into_iter().chain(next).all(|byte| shape.excludes(*byte)),
        }
    })
}

/// Reads a record of a template whose values [`are_told_apart`].
pub(super) fn told_apart<'o>(
    template: &Template,
    record: &'o [u8],
    filling: &mut Filling<'o, '_>,
) -> Option<()> {
    if holds_escape(template.form, record) {
        return None;
    }
    let mut at = after(record, 0, template.head())?;
    for (index, capture) in template.captures.iter().enumerate() {
        let next = template.text_after(index);
        if let Some(first) = next.first()
            && let Some(length) = filling.quick(capture, index, &record[at..], *first)
        {
            at = after(record, at + length, next)?;
            continue;
        }
        let value = &record[at..at + length(capture.shape, &record[at..], next)?];
        match capture.shape {
            // Its length is where its type ends, so it is of its type.
            Shape::Token | Shape::Resource if (2..=MOST_TOKEN_BYTES).contains(&value.len()) => {
                filling.keep(capture.slot, value);
            }
            _ => {
                take_typed(capture, value, filling)?;
                filling.note_length(capture, index, value.len());
            }
        }
        at = after(record, at + value.len(), next)?;
    }
    (at == record.len()).then_some(())
}

/// Length of the plain value that `rest` begins with, if `next` is what stands behind it.
#[inline]
fn length(shape: Shape, rest: &[u8], next: &[u8]) -> Option<usize> {
    let run = || {
        let is_over = |byte: &u8| shape.excludes(*byte);
        rest.iter().position(is_over).unwrap_or(rest.len())
    };
    Some(match shape {
        // What is no time of this form is not plain.
        Shape::ClfTime => TIME_BYTES.min(rest.len()),
        Shape::Protocol if matches!(rest.get(..8), Some(b"HTTP/1.1" | b"HTTP/2.0")) => 8,
        Shape::Address | Shape::Id | Shape::RouteKey | Shape::Free => match next.first() {
            Some(first) => memchr::memchr(*first, rest)?,
            None => rest.len(),
        },
        _ => run(),
    })
}

/// Whether a record of that form holds what only the long way undoes.
fn holds_escape(form: Form, record: &[u8]) -> bool {
    match form {
        Form::Csv => memchr::memchr2(b'"', b'\\', record).is_some(),
        _ => memchr::memchr(b'\\', record).is_some(),
    }
}

/// Reads a record by cutting the values before `left` from its left end, those from `right`
/// on from its right end, and what lies between from both.
pub(super) fn line<'o>(
    template: &Template,
    (left, right): (usize, usize),
    record: &'o [u8],
    pieces: &mut Vec<Piece>,
    filling: &mut Filling<'o, '_>,
) -> Option<()> {
    let captures = &template.captures;
    if holds_escape(template.form, record) || !record.ends_with(&template.tail) {
        return None;
    }
    let mut start = after(record, 0, template.head())?;
    let mut end = record.len() - template.tail.len();
    for (index, capture) in captures[..left].iter().enumerate() {
        let next = template.text_after(index);
        let found = start + memchr::memchr(next[0], record.get(start..end)?)?;
        take_typed(capture, &record[start..found], filling)?;
        start = after(record, found, next)?;
    }
    for capture in captures[right..].iter().rev() {
        let before = &capture.before;
        let found = start + memchr::memrchr(before[before.len() - 1], record.get(start..end)?)? + 1;
        take_typed(capture, &record[found..end], filling)?;
        end = found.checked_sub(before.len())?;
        if !record[end..].starts_with(before) {
            return None;
        }
    }
    middle(template, left, right, record.get(..end)?, start, pieces)?;
    // Only a value that holds the text behind it may hold the rest of a record.
    let next = template.text_after(right - 1);
    if pieces.last().is_some_and(|last| next.find(last.of(record)).is_some())
        && glued::are_several(template, record)
    {
        return None;
    }
    for (capture, piece) in captures[left..right].iter().zip(&*pieces) {
        take_typed(capture, piece.of(record), filling)?;
    }
    Some(())
}

/// Cuts the values between the two ends, if the cuts from either end agree.
fn middle(
    template: &Template,
    left: usize,
    right: usize,
    record: &[u8],
    mut start: usize,
    pieces: &mut Vec<Piece>,
) -> Option<()> {
    pieces.clear();
    let text = record.get(start..)?;
    let (begin, mut end) = (start, record.len());
    for index in left..right - 1 {
        let next = template.text_after(index);
        let found = start + next.find(record.get(start..)?)?;
        pieces.push(Piece { start, end: found });
        start = found + next.len();
    }
    pieces.push(Piece { start, end });
    for (capture, piece) in template.captures[left..right].iter().zip(&*pieces).skip(1).rev() {
        let before = &capture.before;
        // The text before a value stands once more only where its last byte is in the value,
        // which a type may exclude.
        if !capture.shape.excludes(before[before.len() - 1])
            && begin + before.rfind(&text[..end - begin])? + before.len() != piece.start
        {
            return None;
        }
        end = piece.start - before.len();
    }
    Some(())
}

/// Takes a value whose place rests on its type, so that the type must hold whether or not
/// anybody keeps the value. An empty or a quoted one may be cut in another way.
fn take_typed<'o>(capture: &Capture, value: &'o [u8], filling: &mut Filling<'o, '_>) -> Option<()> {
    if matches!(value, [] | [b'"', ..]) {
        return None;
    }
    if capture.slot == Slot::Other {
        return capture.shape.holds(value).then_some(());
    }
    filling.take(capture, value)
}
