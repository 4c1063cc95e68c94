//! Text inside base64.
//!
//! Some parameters are base64 for honest reasons: a cursor, a state, a picture. Attackers
//! use the same to pass filters that look at the bytes as sent. So a value or path segment
//! that is wholly base64 is searched as the text it stands for, too. Hard is only what to
//! leave alone: most words and identifiers are base64 letters, and stand for nothing. Text
//! is told from noise as it is decoded, which ends after a few bytes for nearly everything
//! that is not meant so.
//!
//! Source: RFC 4648, sections 4 and 5.

use portcullis_ingest::Request;

use super::{Classifier, without_line_break};
use crate::rule::Subject;

/// Least letters worth decoding: nine bytes hold little of an attack, and fewer are too
/// often text by accident.
const LEAST_LETTERS: usize = 12;

/// How often base64 may stand in base64.
pub(super) const MOST_DEPTH: usize = 2;

/// Of how many bytes one may be no text, and of fewer too, so that a length byte or a NUL
/// hides nothing.
const TEXT_TO_NOISE: usize = 16;

impl Classifier<'_> {
    /// Searches what a part of a field stands for, as one value, if it is base64 of text.
    /// Returns whether nothing in it depends on the rest of the request and nothing was
    /// found.
    pub(super) fn in_base64(
        &mut self,
        shown: Subject,
        part: &[u8],
        whole: &[u8],
        start: usize,
        request: &Request<'_>,
    ) -> bool {
        let mut unwrapped = std::mem::take(&mut self.unwrapped);
        let mut clean = true;
        for depth in 0..unwrapped.len() {
            let (outer, inner) = unwrapped.split_at_mut(depth);
            let (outer, text) = (outer.last().map_or(part, |outer| &outer[..]), &mut inner[0]);
            if !unwrap(outer, text) {
                break;
            }
            for byte in &mut *text {
                *byte = without_line_break(*byte);
            }
            let wanted = self.rules.engine().views(Subject::Values);
            self.search.shown_in_base64 = Some(shown);
            clean &= self.text(Subject::Values, wanted, text, whole, start, request);
            self.search.shown_in_base64 = None;
        }
        self.unwrapped = unwrapped;
        clean
    }
}

/// Writes the text that a whole value stands for to `out`, if it is base64 of text. Knows
/// both alphabets, padding or none, letters that are percent-encoded, and white space, which
/// decoders pass over; in a query, `+` may have been meant so or be a space, and is one before
/// all letters.
fn unwrap(value: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    if value.len() < LEAST_LETTERS {
        return false;
    }
    let mut bits = 0_u32;
    let mut letters = 0_usize;
    let mut noise = Noise::default();
    let mut padding = 0;
    let mut at = 0;
    while at < value.len() {
        let (byte, length) = plain(&value[at..]);
        at += length;
        if byte.is_ascii_whitespace() || (byte == b'+' && length == 1 && letters == 0) {
            continue;
        }
        if byte == b'=' && padding < 2 {
            padding += 1;
            continue;
        }
        let Some(sextet) = sextet(byte).filter(|_| padding == 0) else {
            return false;
        };
        bits = bits << 6 | sextet;
        letters += 1;
        if !letters.is_multiple_of(4) {
            continue;
        }
        for shift in [16, 8, 0] {
            let byte = (bits >> shift) as u8;
            noise.add(byte);
            out.push(byte);
        }
        if noise.bytes > (out.len() / TEXT_TO_NOISE).max(1) {
            return false;
        }
    }
    match letters % 4 {
        2 => out.push((bits >> 4) as u8),
        3 => out.extend([(bits >> 10) as u8, (bits >> 2) as u8]),
        rest => return rest == 0 && letters >= LEAST_LETTERS,
    }
    letters >= LEAST_LETTERS
}

/// The first byte that a value stands for, and how many bytes it is written as.
fn plain(value: &[u8]) -> (u8, usize) {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    if let [b'%', high, low, ..] = *value
        && let (Some(high), Some(low)) = (digit(high), digit(low))
    {
        return ((high << 4 | low) as u8, 3);
    }
    (value.first().copied().unwrap_or_default(), 1)
}

/// What a letter of either alphabet stands for.
const fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(value as u32)
}

/// Counts the bytes that are not of text in UTF-8.
#[derive(Default)]
struct Noise {
    bytes: usize,
    /// How many bytes the character at hand still needs.
    continued: u32,
}

impl Noise {
    const fn add(&mut self, byte: u8) {
        let continues = byte & 0xc0 == 0x80;
        let is_text = match byte {
            _ if continues != (self.continued > 0) => false,
            0x80..0xc0 | 0xc2..0xf5 | b' '..=b'~' | b'\t' | b'\n' | b'\r' => true,
            _ => false,
        };
        self.bytes += !is_text as usize;
        self.continued = match byte {
            0x80..0xc0 => self.continued.saturating_sub(1),
            0xc2..0xf5 => byte.leading_ones() - 1,
            _ => 0,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<&str>) {
        let mut out = Vec::new();
        let text = unwrap(value.as_bytes(), &mut out).then(|| String::from_utf8_lossy(&out));
        assert_eq!(text.as_deref(), expected, "{value}");
    }

    #[test]
    fn text_in_either_alphabet_is_found_with_and_without_padding() {
        check("PHNjcmlwdD5hbGVydCgxKQ==", Some("<script>alert(1)"));
        check("PHNjcmlwdD5hbGVydCgxKQ", Some("<script>alert(1)"));
        check("PHNjcmlwdD5hbGVydCgxKQ%3D%3d", Some("<script>alert(1)"));
        check("Pz8/Pj4+Pz8/Pj4+", Some("???>>>???>>>"));
        check("Pz8_Pj4-Pz8_Pj4-", Some("???>>>???>>>"));
        check("Pz8%2FPj4%2bPz8%2fPj4%2B", Some("???>>>???>>>"));
        check("YScgb3IgJzEnPScx", Some("a' or '1'='1"));
    }

    #[test]
    fn what_decoders_pass_over_hides_no_text() {
        check("%50HNjcmlwdD5hbGVydCgxKQ%3D%3D", Some("<script>alert(1)"));
        check("PHNjcmlwdD5h%0d%0abGVydCgxKQ==%0A", Some("<script>alert(1)"));
        check("+%20PHNjcmlwdD5hbGVydCgxKQ==", Some("<script>alert(1)"));
        check("ADxzY3JpcHQ+YWxlcnQoMSk=", Some("\0<script>alert(1)"));
        check("77u/PHNjcmlwdD5hbGVydCgxKQ==", Some("\u{feff}<script>alert(1)"));
        check("0J/RgNC40LLQtdGCIDxzY3JpcHQ+", Some("Привет <script>"));
        check("5L2g5aW9PHNjcmlwdD4=", Some("你好<script>"));
    }

    #[test]
    fn identifiers_tokens_and_pictures_are_none() {
        for value in [
            "",
            "c2hvcnQ",
            "running-shoes-for-men",
            "internationalization",
            "d41d8cd98f00b204e9800998ecf8427e",
            "550e8400-e29b-41d4-a716-446655440000",
            "Cj0KCQiA5rGuBhCnARIsAJxa9k",
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N",
            "PHNjcmlwdD5hbGVydCgxKQ==x",
            "PHNjcmlwdD5hbGVydCgxKQ===",
            "PHNjcmlwdD5hbGVyd",
        ] {
            check(value, None);
        }
    }

    proptest! {
        #[test]
        fn nothing_grows_or_panics(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            unwrap(&value, &mut out);
            prop_assert!(out.len() <= value.len());
        }
    }
}
