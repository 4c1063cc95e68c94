//! Turns the cut values of a record into a [`Request`].
//!
//! Undoes the escaping of the place a value stood in. Values without escapes are
//! borrowed from the record; the others are written to a scratch buffer that lives
//! as long as the request, so the steady state allocates nothing.

use crate::cut::Piece;
use crate::draft::{Draft, Text};
use crate::template::{Capture, Form, Setting, Template};
use crate::variable::{Slot, parse_status};
use crate::{Origin, RejectReason, Request, Timestamp, WafAction, parse_address};

/// Builds the request of a record that was cut into `pieces`.
pub(crate) fn request<'o>(
    template: &Template,
    record: &'o [u8],
    pieces: &[Piece],
    scratch: &'o mut Vec<u8>,
    origin: Origin<'o>,
) -> Result<Request<'o>, RejectReason> {
    scratch.clear();
    let mut draft = Draft::default();
    for (capture, piece) in template.captures.iter().zip(pieces) {
        if capture.slot != Slot::Other {
            fill(&mut draft, template.form, capture, record, piece, scratch)?;
        }
    }
    Ok(draft.finish(record, scratch, origin))
}

fn fill(
    draft: &mut Draft,
    form: Form,
    capture: &Capture,
    record: &[u8],
    piece: &Piece,
    scratch: &mut Vec<u8>,
) -> Result<(), RejectReason> {
    let mut piece = *piece;
    let mut raw = piece.of(record);
    if let [b'"', .., b'"'] = raw
        && raw.len() >= 2
        && (form == Form::Csv || form == Form::Json && capture.setting == Setting::Bare)
    {
        piece = Piece { start: piece.start + 1, end: piece.end - 1 };
        raw = piece.of(record);
    }
    if raw.is_empty() || raw == b"-" {
        return Ok(());
    }
    let invalid = RejectReason::Value;
    match capture.slot {
        Slot::Client => draft.client = Some(parse_address(raw).ok_or(invalid)?),
        Slot::TimeClf => draft.time_clf = Some(parse_time(raw).ok_or(invalid)?),
        Slot::TimeEpoch => draft.time_epoch = Some(parse_time(raw).ok_or(invalid)?),
        Slot::Status => draft.status = parse_status(raw)?,
        Slot::ResponseBytes => draft.response_bytes = parse_whole(raw)?,
        Slot::LatencyMs => draft.latency_ms = parse_whole(raw)?,
        Slot::WafAction => draft.waf_action = waf_action(raw),
        slot => {
            if !capture.admits(raw) {
                return Err(invalid);
            }
            let text = unescaped(form, capture, record, &piece, scratch);
            match slot {
                Slot::ExtendedId => draft.extended_id = Some(text),
                Slot::RequestId => draft.request_id = Some(text),
                Slot::Method => draft.method = Some(text),
                Slot::Path => draft.path = Some(text),
                Slot::Route => draft.route = Some(text),
                Slot::UserAgent => draft.user_agent = Some(text),
                Slot::Host => draft.host = Some(text),
                Slot::Referer => draft.referer = Some(text),
                Slot::Protocol => draft.protocol = Some(text),
                Slot::ApiId => draft.api_id = Some(text),
                Slot::Stage => draft.stage = Some(text),
                Slot::ApiKeyId => draft.api_key_id = Some(text),
                Slot::ErrorType => draft.error_type = Some(text),
                Slot::ForwardedFor => draft.forwarded_for = Some(text),
                Slot::Principal(rank) => {
                    if draft.principal.as_ref().is_none_or(|(known, _)| rank < *known) {
                        draft.principal = Some((rank, text));
                    }
                }
                Slot::QueryParameter => {
                    draft.query =
                        Some(with_parameter(draft.query.take(), capture, text, record, scratch));
                }
                _ => unreachable!("typed slots are matched above"),
            }
        }
    }
    Ok(())
}

/// Joins the parameters of an overridden query string back into one.
fn with_parameter(
    query: Option<Text>,
    capture: &Capture,
    value: Text,
    record: &[u8],
    scratch: &mut Vec<u8>,
) -> Text {
    let name = capture.name.rsplit('.').next().unwrap_or_default();
    // A key called `query` holds the whole query string, not a parameter of it.
    if query.is_none() && matches!(name, "query" | "queryString" | "querystring") {
        return value;
    }
    let start = scratch.len();
    let push = |text: Text, scratch: &mut Vec<u8>| {
        if text.is_scratch() {
            scratch.extend_from_within(text.range());
        } else {
            scratch.extend_from_slice(&record[text.range()]);
        }
    };
    if let Some(query) = query {
        push(query, scratch);
        scratch.push(b'&');
    }
    scratch.extend_from_slice(name.as_bytes());
    scratch.push(b'=');
    push(value, scratch);
    Text::scratch(start..scratch.len())
}

pub(crate) fn parse_time(text: &[u8]) -> Option<Timestamp> {
    Timestamp::parse_clf(text)
        .or_else(|| Timestamp::parse_epoch(text))
        .or_else(|| Timestamp::parse_rfc3339(text))
}

/// A whole number; negative means "not measured".
pub(crate) fn parse_whole(text: &[u8]) -> Result<Option<u64>, RejectReason> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() || digits.len() > 18 {
        return Err(RejectReason::Value);
    }
    let mut value = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(RejectReason::Value);
        }
        value = value * 10 + u64::from(digit);
    }
    Ok((!negative).then_some(value))
}

pub(crate) fn waf_action(text: &[u8]) -> Option<WafAction> {
    match text.strip_prefix(b"WAF_").unwrap_or(text) {
        b"ALLOW" => Some(WafAction::Allow),
        b"BLOCK" => Some(WafAction::Block),
        b"CAPTCHA" => Some(WafAction::Captcha),
        b"CHALLENGE" => Some(WafAction::Challenge),
        _ => None,
    }
}

fn unescaped(
    form: Form,
    capture: &Capture,
    record: &[u8],
    piece: &Piece,
    scratch: &mut Vec<u8>,
) -> Text {
    let raw = piece.of(record);
    let start = scratch.len();
    match capture.setting {
        Setting::Quoted if memchr::memchr(b'\\', raw).is_some() => {
            unescape_backslashes(raw, scratch);
        }
        Setting::Markup if memchr::memchr(b'&', raw).is_some() => unescape_entities(raw, scratch),
        Setting::Bare if form == Form::Json && memchr::memchr(b'\\', raw).is_some() => {
            unescape_backslashes(raw, scratch);
        }
        Setting::Bare if form == Form::Csv && memchr::memmem::find(raw, b"\"\"").is_some() => {
            undouble_quotes(raw, scratch);
        }
        _ => return Text::record(piece.start..piece.end),
    }
    Text::scratch(start..scratch.len())
}

/// Undoes JSON's escapes and `\xHH`. What is no escape stays as it is.
pub(crate) fn unescape_backslashes(mut raw: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(b'\\', raw) {
        out.extend_from_slice(&raw[..at]);
        raw = &raw[at..];
        let simple = match raw.get(1) {
            Some(b'"') => Some(b'"'),
            Some(b'\\') => Some(b'\\'),
            Some(b'/') => Some(b'/'),
            Some(b'b') => Some(8),
            Some(b'f') => Some(12),
            Some(b'n') => Some(b'\n'),
            Some(b'r') => Some(b'\r'),
            Some(b't') => Some(b'\t'),
            _ => None,
        };
        if let Some(byte) = simple {
            out.push(byte);
            raw = &raw[2..];
        } else if raw.get(1) == Some(&b'x')
            && let Some(byte) = hex(raw.get(2..4))
        {
            out.push(byte as u8);
            raw = &raw[4..];
        } else if raw.get(1) == Some(&b'u')
            && let Some(unit) = hex(raw.get(2..6))
        {
            raw = &raw[6..];
            let mut code = unit;
            if (0xd800..0xdc00).contains(&unit)
                && raw.starts_with(b"\\u")
                && let Some(low @ 0xdc00..=0xdfff) = hex(raw.get(2..6))
            {
                code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                raw = &raw[6..];
            }
            push_code_point(code, out);
        } else {
            out.push(b'\\');
            raw = &raw[1..];
        }
    }
    out.extend_from_slice(raw);
}

fn hex(digits: Option<&[u8]>) -> Option<u32> {
    digits?.iter().try_fold(0, |value, byte| Some(value * 16 + char::from(*byte).to_digit(16)?))
}

/// Writes a code point as UTF-8; a lone surrogate in the same three-byte form, so
/// that nothing is lost.
fn push_code_point(code: u32, out: &mut Vec<u8>) {
    match char::from_u32(code) {
        Some(character) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        None => out.extend_from_slice(&[
            0xe0 | (code >> 12) as u8,
            0x80 | (code >> 6 & 0x3f) as u8,
            0x80 | (code & 0x3f) as u8,
        ]),
    }
}

/// Undoes XML's five entities and numeric references. What is none stays as it is.
pub(crate) fn unescape_entities(mut raw: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(b'&', raw) {
        out.extend_from_slice(&raw[..at]);
        raw = &raw[at..];
        let end = raw.iter().take(12).position(|byte| *byte == b';');
        if let Some(end) = end
            && let Some(code) = entity(&raw[1..end])
        {
            push_code_point(code, out);
            raw = &raw[end + 1..];
        } else {
            out.push(b'&');
            raw = &raw[1..];
        }
    }
    out.extend_from_slice(raw);
}

fn entity(name: &[u8]) -> Option<u32> {
    let character = match name {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        [b'#', b'x' | b'X', digits @ ..] if (1..=6).contains(&digits.len()) => {
            return hex(Some(digits)).filter(|code| *code <= 0x10_ffff);
        }
        [b'#', digits @ ..] if (1..=7).contains(&digits.len()) => {
            return std::str::from_utf8(digits)
                .ok()?
                .parse()
                .ok()
                .filter(|code| *code <= 0x10_ffff);
        }
        _ => return None,
    };
    Some(character as u32)
}

fn undouble_quotes(raw: &[u8], out: &mut Vec<u8>) {
    let mut bytes = raw.iter().peekable();
    while let Some(byte) = bytes.next() {
        out.push(*byte);
        if *byte == b'"' && bytes.peek() == Some(&&b'"') {
            bytes.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(undo: fn(&[u8], &mut Vec<u8>), raw: &str, expected: &[u8]) {
        let mut out = Vec::new();
        undo(raw.as_bytes(), &mut out);
        assert_eq!(out, expected, "{raw}");
    }

    #[test]
    fn backslashes() {
        check(unescape_backslashes, r#"a\"b\\c\u0041\x42\n"#, b"a\"b\\cAB\n");
        check(unescape_backslashes, r"\ud83d\ude00", "😀".as_bytes());
        check(unescape_backslashes, r"\ud83dx", b"\xed\xa0\xbdx");
        check(unescape_backslashes, r"\q\", br"\q\");
    }

    #[test]
    fn entities() {
        check(unescape_entities, "&lt;a&#x26;&#65;&nope;&", b"<a&A&nope;&");
    }
}
