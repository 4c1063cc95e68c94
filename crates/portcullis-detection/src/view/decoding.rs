//! The decoded view: encodings undone, however often they were laid over each other.
//!
//! Sources: WHATWG URL and HTML standards (percent-decoding, character references);
//! Unicode 15 corrigendum 1 (overlong forms).

use super::MOST_ROUNDS;
use super::pairs::Pairs;

/// Which bytes of a text stand for something special before decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    /// `+` is a plus.
    Literal,
    /// `+` is a space, as in form-encoded queries.
    Space,
}

/// Whether [`decode`] would change more than the case of letters.
pub(crate) fn needs_decoding(text: &[u8], plus: Plus) -> bool {
    first_form(text, plus).is_some() || memchr::memchr(0, text).is_some()
}

/// Where the first encoded form begins.
fn first_form(text: &[u8], plus: Plus) -> Option<usize> {
    let mut at = 0;
    loop {
        at = FORMS.first_in(text, at)?;
        if is_space(text[at], plus) || encoded_form(&text[at..]).is_some() {
            return Some(at);
        }
        at += 1;
    }
}

/// Whether the byte is a plus that means a space.
fn is_space(byte: u8, plus: Plus) -> bool {
    byte == b'+' && plus == Plus::Space
}

/// Writes the decoded view of `text` to `out`, using `spare` between rounds. Never longer
/// than `text`.
pub(crate) fn decode(text: &[u8], plus: Plus, out: &mut Vec<u8>, spare: &mut Vec<u8>) {
    out.clear();
    decode_round(text, plus, out);
    remove_nul(out);
    for _ in 1..MOST_ROUNDS {
        let Some(first) = first_form(out, Plus::Literal) else {
            break;
        };
        std::mem::swap(out, spare);
        out.clear();
        out.extend_from_slice(&spare[..first]);
        decode_round(&spare[first..], Plus::Literal, out);
        remove_nul(out);
    }
}

/// Removes bytes that many servers end a text at or pass over. Between the rounds, because
/// what stands around one may be an encoded form: `%%0041`.
pub(super) fn remove_nul(text: &mut Vec<u8>) {
    if memchr::memchr(0, text).is_some() {
        text.retain(|byte| *byte != 0);
    }
}

/// One round: every encoded form undone once.
pub(super) fn decode_round(text: &[u8], plus: Plus, out: &mut Vec<u8>) {
    let begun = out.len();
    let mut at = 0;
    while let Some(form) = FORMS.first_in(text, at) {
        out.extend_from_slice(&text[at..form]);
        let length = if is_space(text[form], plus) {
            out.push(b' ');
            1
        } else {
            match encoded_form(&text[form..]) {
                Some((Meaning::Byte(byte), length)) => {
                    out.push(byte);
                    length
                }
                Some((Meaning::Character(character), length)) => {
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    length
                }
                None => {
                    out.push(text[form]);
                    1
                }
            }
        };
        at = form + length;
    }
    out.extend_from_slice(&text[at..]);
    out[begun..].make_ascii_lowercase();
}

/// Where an encoded form may begin, or a plus stands.
static FORMS: Pairs = Pairs::new(&[
    (b"+", None),
    (b"%", Some(b"0123456789abcdefABCDEFuU")),
    (b"&", Some(b"#abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")),
    (b"\\", Some(b"xXuU")),
    // Of the high bytes only those that `unusual_utf8` knows as a lead, so that other
    // scripts cost no more than ASCII.
    (&[0xc0, 0xc1, 0xca, 0xcb, 0xe0, 0xe2, 0xe3, 0xef, 0xf0, 0xf8, 0xfc], None),
]);

/// What an encoded form stands for.
#[derive(Clone, Copy)]
enum Meaning {
    Byte(u8),
    Character(char),
}

/// The encoded form that `text` begins with: its meaning and its length.
fn encoded_form(text: &[u8]) -> Option<(Meaning, usize)> {
    match text.first()? {
        b'%' => percent_form(text),
        b'&' => entity(text),
        b'\\' => backslash_form(text),
        0x80.. => unusual_utf8(text).map(|(byte, length)| (Meaning::Byte(byte), length)),
        _ => None,
    }
}

/// `%41` or `%u0041`.
fn percent_form(text: &[u8]) -> Option<(Meaning, usize)> {
    match text {
        [_, b'u' | b'U', digits @ ..] if digits.len() >= 4 => {
            character(hex(&digits[..4])?).map(|meaning| (meaning, 6))
        }
        [_, high, low, ..] => Some((Meaning::Byte(u8::try_from(hex(&[*high, *low])?).ok()?), 3)),
        _ => None,
    }
}

/// `\x41`, `\u0041` or `\u{41}`.
fn backslash_form(text: &[u8]) -> Option<(Meaning, usize)> {
    match text {
        [_, b'x' | b'X', high, low, ..] => {
            Some((Meaning::Byte(u8::try_from(hex(&[*high, *low])?).ok()?), 4))
        }
        [_, b'u' | b'U', b'{', rest @ ..] => {
            let digits = rest.iter().take(7).position(|byte| *byte == b'}')?;
            let code = hex(rest.get(..digits).filter(|digits| !digits.is_empty())?)?;
            character(code).map(|meaning| (meaning, digits + 4))
        }
        [_, b'u' | b'U', digits @ ..] if digits.len() >= 4 => {
            character(hex(&digits[..4])?).map(|meaning| (meaning, 6))
        }
        _ => None,
    }
}

/// An HTML character reference: `&lt;`, `&#60;`, `&#x3c`.
///
/// Without its semicolon a named reference counts only where HTML's attribute rule counts
/// it, not before `=` or a letter or digit: `a=1&lt=2` is two parameters.
fn entity(text: &[u8]) -> Option<(Meaning, usize)> {
    let name = text.get(1..)?;
    if let [b'#', digits @ ..] = name {
        let (digits, radix, before) = match digits {
            [b'x' | b'X', digits @ ..] => (digits, 16, 3),
            _ => (digits, 10, 2),
        };
        let length = digits.iter().take_while(|byte| char::from(**byte).is_digit(radix)).count();
        let significant = digits[..length].iter().skip_while(|byte| **byte == b'0');
        let mut code = 0_u32;
        for byte in significant {
            let digit = char::from(*byte).to_digit(radix)?;
            code = code.checked_mul(radix)?.checked_add(digit)?;
        }
        if length == 0 {
            return None;
        }
        let semicolon = usize::from(digits.get(length) == Some(&b';'));
        return character(code).map(|meaning| (meaning, before + length + semicolon));
    }
    // In a query nearly every ampersand stands before the next parameter's name, so the
    // end of the name is looked at before the names that are known.
    let length = name.iter().take(LONGEST_ENTITY + 1).take_while(|b| b.is_ascii_alphanumeric());
    let (name, rest) = name.split_at(length.count());
    let semicolon = rest.first() == Some(&b';');
    if name.len() > LONGEST_ENTITY || (!semicolon && rest.first() == Some(&b'=')) {
        return None;
    }
    let (_, byte, _) = ENTITIES.iter().find(|(known, _, without_semicolon)| {
        name.eq_ignore_ascii_case(known.as_bytes()) && (semicolon || *without_semicolon)
    })?;
    Some((Meaning::Byte(*byte), 1 + name.len() + usize::from(semicolon)))
}

/// Length of the longest name in [`ENTITIES`].
const LONGEST_ENTITY: usize = 7;

/// Named references that attacks use: name, meaning, whether HTML knows it without `;`.
const ENTITIES: &[(&str, u8, bool)] = &[
    ("lt", b'<', true),
    ("gt", b'>', true),
    ("amp", b'&', true),
    ("quot", b'"', true),
    ("nbsp", b' ', true),
    ("apos", b'\'', false),
    ("tab", b'\t', false),
    ("newline", b'\n', false),
    ("colon", b':', false),
    ("semi", b';', false),
    ("comma", b',', false),
    ("period", b'.', false),
    ("sol", b'/', false),
    ("bsol", b'\\', false),
    ("lpar", b'(', false),
    ("rpar", b')', false),
    ("lsqb", b'[', false),
    ("rsqb", b']', false),
    ("lbrack", b'[', false),
    ("rbrack", b']', false),
    ("lcub", b'{', false),
    ("rcub", b'}', false),
    ("lbrace", b'{', false),
    ("rbrace", b'}', false),
    ("equals", b'=', false),
    ("plus", b'+', false),
    ("percnt", b'%', false),
    ("dollar", b'$', false),
    ("num", b'#', false),
    ("excl", b'!', false),
    ("quest", b'?', false),
    ("vert", b'|', false),
    ("grave", b'`', false),
    ("lowbar", b'_', false),
    ("hyphen", b'-', false),
];

/// A code point, with full-width and look-alike forms as the ASCII they stand for.
fn character(code: u32) -> Option<Meaning> {
    let character = char::from_u32(code)?;
    Some(match ascii_twin(character) {
        Some(byte) => Meaning::Byte(byte),
        None if character.is_ascii() => Meaning::Byte(character as u8),
        None => Meaning::Character(character),
    })
}

/// The ASCII character that best-fit conversions make of a wider one.
fn ascii_twin(character: char) -> Option<u8> {
    match character {
        '\u{ff01}'..='\u{ff5e}' => u8::try_from(u32::from(character) - 0xff01 + 0x21).ok(),
        '\u{3000}' => Some(b' '),
        '\u{2044}' | '\u{2215}' => Some(b'/'),
        '\u{2216}' => Some(b'\\'),
        '\u{2b9}' | '\u{2bc}' => Some(b'\''),
        _ => None,
    }
}

/// Overlong UTF-8 for an ASCII character, or a character with an ASCII twin: the ASCII
/// byte and the form's length.
fn unusual_utf8(text: &[u8]) -> Option<(u8, usize)> {
    match *text {
        // Lenient decoders did not check that the second byte is a continuation, so
        // `%c1%1c` was a backslash as `%c1%9c` was.
        [lead @ (0xc0 | 0xc1), last, ..] if last & 0x40 == 0 => {
            Some(((lead & 1) << 6 | (last & 0x3f), 2))
        }
        [0xe0, next @ (0x80 | 0x81), last @ 0x80..=0xbf, ..]
        | [0xf0, 0x80, next @ (0x80 | 0x81), last @ 0x80..=0xbf, ..]
        | [0xf8, 0x80, 0x80, next @ (0x80 | 0x81), last @ 0x80..=0xbf, ..]
        | [0xfc, 0x80, 0x80, 0x80, next @ (0x80 | 0x81), last @ 0x80..=0xbf, ..] => {
            let length = match text[0] {
                0xe0 => 3,
                0xf0 => 4,
                0xf8 => 5,
                _ => 6,
            };
            Some(((next & 1) << 6 | (last & 0x3f), length))
        }
        [a @ (0xca | 0xcb), b @ 0x80..=0xbf, ..] => {
            let code = u32::from(a & 0x1f) << 6 | u32::from(b & 0x3f);
            ascii_twin(char::from_u32(code)?).map(|byte| (byte, 2))
        }
        [a @ (0xe2 | 0xe3 | 0xef), b @ 0x80..=0xbf, c @ 0x80..=0xbf, ..] => {
            let code = u32::from(a & 0x0f) << 12 | u32::from(b & 0x3f) << 6 | u32::from(c & 0x3f);
            ascii_twin(char::from_u32(code)?).map(|byte| (byte, 3))
        }
        _ => None,
    }
}

/// Reads up to eight hexadecimal digits; anything else is none.
fn hex(digits: &[u8]) -> Option<u32> {
    let mut value = 0;
    for byte in digits {
        value = value << 4 | char::from(*byte).to_digit(16)?;
    }
    Some(value)
}
