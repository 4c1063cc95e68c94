//! Finds the seams between records of CLF, CSV and text that nothing separates.
//!
//! Firehose joins records byte to byte, so `… <request id>192.0.2.1 - - [` may be
//! two records. A seam is recognised when the last value has a fixed shape (a
//! request id, a status, an epoch) or fixed text follows it, and the text after it
//! can begin a record. A number of any length in front of an address cannot be told
//! from it: such formats have no seam and are refused with the fix.

use memchr::memmem;

use crate::cut::Piece;
use crate::template::Template;
use crate::variable::Shape;
use crate::{RejectReason, parse_address};

/// What marks the end of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seam {
    /// Fixed text after the last value.
    Tail,
    /// The shape of the last value.
    Value(Shape),
}

impl Seam {
    pub(crate) fn of(template: &Template) -> Option<Self> {
        let first = &template.captures[0];
        let last = template.captures.last()?;
        let begins_clearly = !first.before.is_empty() || first.shape == Shape::Address;
        if !begins_clearly {
            return None;
        }
        if !template.tail.is_empty() {
            return Some(Self::Tail);
        }
        match last.shape {
            shape @ (Shape::Id | Shape::Status | Shape::Epoch | Shape::ClfTime) => {
                Some(Self::Value(shape))
            }
            shape @ Shape::Integer if first.before.first().is_some_and(|b| !b.is_ascii_digit()) => {
                Some(Self::Value(shape))
            }
            _ => None,
        }
    }
}

/// What stands at the beginning of text without separators.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A record of this length; its values are in `pieces`.
    Record(usize),
    /// Something of this length that is no record.
    Reject(usize, RejectReason),
    /// No seam in sight: more text is needed.
    More,
}

/// Reads the record that `text` begins with. `whole`: nothing follows `text`.
pub(crate) fn next(
    template: &Template,
    seam: Seam,
    text: &[u8],
    whole: bool,
    pieces: &mut Vec<Piece>,
) -> Next {
    let mut first = None;
    let mut from = 0;
    // A few ends are tried: free text may hold something that looks like one.
    for _ in 0..8 {
        let Some(end) = end_after(template, seam, text, from, whole) else {
            break;
        };
        match template.cut(&text[..end], pieces) {
            Ok(()) if template.shapes_hold(&text[..end], pieces) => return Next::Record(end),
            Ok(()) => first = first.or(Some((end, RejectReason::Value))),
            Err(reason) => first = first.or(Some((end, reason))),
        }
        from = end;
    }
    match first {
        Some((end, reason)) => Next::Reject(end, reason),
        None if whole => Next::Reject(text.len(), RejectReason::CutOff),
        None => Next::More,
    }
}

/// The first place after `from` where a record may end.
fn end_after(
    template: &Template,
    seam: Seam,
    text: &[u8],
    mut from: usize,
    whole: bool,
) -> Option<usize> {
    let last = template.captures.last().expect("a template has a variable");
    let mark: &[u8] = match seam {
        Seam::Tail => &template.tail,
        Seam::Value(_) => &last.before,
    };
    loop {
        let mut end = from + memmem::find(&text[from..], mark)? + mark.len();
        from = end - mark.len() + 1;
        if let Seam::Value(shape) = seam {
            match fixed_length(shape, &text[end..]) {
                Some(length) => end += length,
                None => continue,
            }
        }
        if (whole && end == text.len()) || begins_record(template, &text[end..], whole) {
            return Some(end);
        }
    }
}

/// Length of the value that `text` begins with, where its shape fixes one.
fn fixed_length(shape: Shape, text: &[u8]) -> Option<usize> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    match shape {
        _ if text.first() == Some(&b'-') => Some(1),
        Shape::Id => id_length(text),
        Shape::Status => (digits >= 3).then_some(3),
        Shape::Epoch => (digits >= 13).then_some(13),
        Shape::Integer => (digits > 0).then_some(digits),
        Shape::ClfTime => (text.len() >= 26).then_some(26),
        _ => None,
    }
}

/// Request ids: a UUID of 36 characters (REST), or 16 characters of URL-safe base64
/// that end in `=` (HTTP and WebSocket APIs, and every extended request id).
fn id_length(text: &[u8]) -> Option<usize> {
    if let Some(uuid) = text.get(..36)
        && uuid.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    {
        return Some(36);
    }
    let short = text.get(..16)?;
    let base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'/');
    (short[..15].iter().all(base64) && short[15] == b'=').then_some(16)
}

/// Whether a record may begin here, separators before it aside.
fn begins_record(template: &Template, text: &[u8], whole: bool) -> bool {
    let text = crate::frame::after_separators(text);
    if text.is_empty() {
        return whole;
    }
    let first = &template.captures[0];
    let Some(value) = text.strip_prefix(&*first.before) else {
        return false;
    };
    if first.shape != Shape::Address {
        return true;
    }
    match memmem::find(&value[..value.len().min(64)], template.text_after(0)) {
        Some(end) => &value[..end] == b"-" || parse_address(&value[..end]).is_some(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";

    fn template() -> Template {
        Template::parse(
            "$context.identity.sourceIp [$context.requestTime] $context.path $context.requestId",
        )
        .expect("a template")
    }

    #[test]
    fn a_uuid_in_front_of_an_address_is_a_seam() {
        let template = template();
        let seam = Seam::of(&template).expect("a seam");
        let record = format!("192.0.2.1 [26/Jan/2019:19:45:25 +0000] /a {UUID}");
        let text = format!("{record}1{}", &record[1..]);
        let mut pieces = Vec::new();
        assert_eq!(
            next(&template, seam, text.as_bytes(), true, &mut pieces),
            Next::Record(record.len())
        );
        assert_eq!(
            next(&template, seam, record.as_bytes(), true, &mut pieces),
            Next::Record(record.len())
        );
        assert_eq!(next(&template, seam, &record.as_bytes()[..20], false, &mut pieces), Next::More);
    }

    #[test]
    fn a_number_in_front_of_an_address_is_none() {
        let template = Template::parse("$context.identity.sourceIp $context.responseLength")
            .expect("a template");
        assert_eq!(Seam::of(&template), None);
    }
}
