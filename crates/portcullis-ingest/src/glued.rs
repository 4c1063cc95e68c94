//! Finds the seams between records of CLF, CSV and text that nothing separates.
//!
//! Firehose joins records byte to byte, so `… <request id>192.0.2.1 - - [` may be
//! two records. A seam is recognised when the last value has a fixed shape (a
//! request id, a status, an epoch) or fixed text follows it, and the text after it
//! can begin a record. A number of any length in front of an address cannot be told
//! from it: such formats have no seam and are refused with the fix.
//!
//! A client whose text is not escaped can write what looks like a seam. What it wrote is
//! seen where the text behind is no record and both together are one, or where other records
//! of the object are lines of their own. Whoever writes two whole records is not: only
//! escaping, or a line feed that the operator puts into the format, tells them apart.

use memchr::memmem;

use crate::cut::Piece;
use crate::frame::{STRUCTURE_SEARCH_BYTES, after_separators};
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
            Ok(()) if template.shapes_hold(&text[..end], pieces) => {
                return match behind(template, seam, text, end, whole) {
                    Behind::Record => Next::Record(end),
                    Behind::Rest(length) => Next::Reject(end + length, RejectReason::Smuggled),
                    Behind::Unknown => Next::More,
                };
            }
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

/// The first place in a text behind what seems to be the end of a record, where another may
/// begin.
pub(crate) fn seam_in(template: &Template, text: &[u8]) -> Option<usize> {
    end_after(template, Seam::of(template)?, text, 0, false)
}

/// Whether a line reads as several records, one behind the other.
pub(crate) fn are_several(template: &Template, line: &[u8]) -> bool {
    let Some(seam) = Seam::of(template) else {
        return false;
    };
    if end_after(template, seam, line, 0, true) == Some(line.len()) {
        return false;
    }
    let (mut rest, mut records, mut pieces) = (line, 0, Vec::new());
    while let Next::Record(length) = next(template, seam, rest, true, &mut pieces) {
        records += 1;
        rest = after_separators(&rest[length..]);
        if rest.is_empty() {
            return records > 1;
        }
    }
    false
}

/// What stands behind a record.
enum Behind {
    /// Nothing, or something by itself.
    Record,
    /// So many bytes that are no record, but the rest of this one.
    Rest(usize),
    /// More text is needed.
    Unknown,
}

/// Looks at what stands behind a record that ends at `end`.
fn behind(template: &Template, seam: Seam, text: &[u8], end: usize, whole: bool) -> Behind {
    let rest = after_separators(&text[end..]);
    if rest.is_empty() {
        return Behind::Record;
    }
    let begin = text.len() - rest.len();
    let Some(length) = end_after(template, seam, rest, 0, whole) else {
        let may_come = !whole && rest.len() < STRUCTURE_SEARCH_BYTES;
        return if may_come { Behind::Unknown } else { Behind::Record };
    };
    let mut pieces = Vec::new();
    let next = &rest[..length];
    let stands_alone = template.cut(next, &mut pieces).is_ok()
        && template.shapes_hold(next, &pieces)
        && template.says_who_and_when(&pieces);
    if stands_alone {
        return Behind::Record;
    }
    let are_one = template.may_be_one(&text[..begin + length], &mut pieces);
    if are_one { Behind::Rest(begin + length - end) } else { Behind::Record }
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
    let text = after_separators(text);
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

    const COMMAS: &str = "$context.identity.sourceIp,$context.requestTime,$context.httpMethod,\
        $context.path,$context.identity.userAgent,$context.status,$context.requestId";

    fn commas(client: &str, path: &str) -> String {
        format!("{client},26/Jan/2019:19:45:25 +0000,GET,{path},curl,403,{UUID}")
    }

    /// The lengths and reasons of what a text is read as.
    fn all(template: &str, text: &str) -> Vec<(usize, Option<RejectReason>)> {
        let template = Template::parse(template).expect("a template");
        let seam = Seam::of(&template).expect("a seam");
        let (mut rest, mut read, mut pieces) = (text.as_bytes(), Vec::new(), Vec::new());
        while !rest.is_empty() {
            let (length, reason) = match next(&template, seam, rest, true, &mut pieces) {
                Next::Record(length) => (length, None),
                Next::Reject(length, reason) => (length, Some(reason)),
                Next::More => panic!("nothing follows {rest:?}"),
            };
            read.push((length, reason));
            rest = &rest[length..];
        }
        read
    }

    #[test]
    fn a_seam_that_a_client_wrote_is_seen_when_what_follows_is_the_rest_of_the_record() {
        let honest = commas("192.0.2.1", "/a");
        let smuggled = Some(RejectReason::Smuggled);
        for path in [
            format!("/x,curl,200,{UUID}198.51.100.9"),
            format!("/x,curl,200,{UUID}198.51.100.9,,,/y"),
            format!("/x,curl,200,{UUID}\\n 198.51.100.9,,GET,/y"),
        ] {
            let forged = commas("192.0.2.7", &path);
            let text = [&honest[..], &forged, &honest].concat();
            let expected = [(honest.len(), None), (forged.len(), smuggled), (honest.len(), None)];
            assert_eq!(all(COMMAS, &text), expected, "{path}");
        }
        assert_eq!(all(COMMAS, &honest.repeat(3)), [(honest.len(), None); 3]);
    }

    #[test]
    fn a_line_is_several_records_only_when_each_is_whole() {
        let template = Template::parse(COMMAS).expect("a template");
        let honest = commas("192.0.2.1", "/a");
        let are_several = |line: &str| are_several(&template, line.as_bytes());
        assert!(!are_several(&honest));
        assert!(!are_several(&format!("{honest} \\n")), "what separates is no record");
        assert!(are_several(&honest.repeat(2)));
        assert!(are_several(&honest.repeat(20)));
        assert!(!are_several(&commas("192.0.2.7", &format!("/x,curl,200,{UUID}198.51.100.9"))));
    }

    #[test]
    fn a_number_in_front_of_an_address_is_none() {
        let template = Template::parse("$context.identity.sourceIp $context.responseLength")
            .expect("a template");
        assert_eq!(Seam::of(&template), None);
    }
}
