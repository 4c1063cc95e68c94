//! Views: one text, read the ways a server behind it might read it.
//!
//! Attackers write `%252e`, `&lt;`, `un/**/ion` or `c''at` because some layer below undoes
//! it. Guessing the layers per rule would need a pattern per encoding, so the undoing is
//! done once, here, to a fixpoint, and rules are written against plain text. That is hard
//! only in what must *not* happen: the work is bounded, a text never grows, and honest
//! text (`price&lt=5`, `100% + 5`) must come out as it went in.
//!
//! What a view means for a rule is the rule's business; which views are worth computing is
//! the signature engine's.
//!
//! Sources: WHATWG URL and HTML standards (percent-decoding, character references);
//! Unicode 15 corrigendum 1 (overlong forms); `MySQL` manual, "Comments"; Bash manual,
//! "Quoting" and "Word Splitting".

mod pairs;

use crate::level::named;
use pairs::Pairs;

named! {
    /// One way to read a text.
    View {
        /// As logged.
        Raw = "raw",
        /// Encodings undone, ASCII letters in lower case.
        Decoded = "decoded",
        /// Of that, comments, white space and shell quoting folded away.
        Folded = "folded",
        /// Of the decoded, slashes and dot segments made uniform.
        Path = "path",
    }
}

/// Most rounds of decoding. Servers decode once or twice; a text that still changes after
/// this many was made to waste time, and is looked at as it then stands.
const MOST_ROUNDS: usize = 5;

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
fn remove_nul(text: &mut Vec<u8>) {
    if memchr::memchr(0, text).is_some() {
        text.retain(|byte| *byte != 0);
    }
}

/// One round: every encoded form undone once.
fn decode_round(text: &[u8], plus: Plus, out: &mut Vec<u8>) {
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

/// Whether [`fold`] may change the text. May say yes for nothing, but not for every dollar
/// sign and caret that stands alone: each yes costs a round.
pub(crate) fn needs_folding(text: &[u8]) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let joins = |next: Option<&u8>| {
        next.is_some_and(|&next| word(next) || matches!(next, b'\'' | b'"' | b'`' | b'^'))
    };
    let mut places =
        std::iter::successors(TRICKS.first_in(text, 0), |at| TRICKS.first_in(text, at + 1));
    places.any(|at| match text[at] {
        b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | 0xa0 | b' ' | b'$' | b'/' | b'\\' => true,
        quote @ (b'\'' | b'"' | b'`') => text[at + 1] == quote && joins(text.get(at + 2)),
        b'^' => at.checked_sub(1).is_some_and(|before| word(text[before])),
        _ => false,
    })
}

/// Where a trick may begin that folding undoes.
static TRICKS: Pairs = Pairs::new(&[
    (b"\t\n\x0b\x0c\r\xa0\xc2", None),
    (b" ", Some(b" ")),
    (b"'\"`", Some(b"'\"`")),
    (b"/", Some(b"*")),
    (b"*", Some(b"/")),
    (b"$", Some(b"{iI@*")),
    (b"^", Some(b"_'\"`^0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")),
    (b"\\", Some(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")),
]);

/// Writes the folded view of a decoded text to `out`, using `spare` between rounds. Never
/// longer than the text and one byte.
pub(crate) fn fold(decoded: &[u8], out: &mut Vec<u8>, spare: &mut Vec<u8>) {
    fold_round(decoded, out);
    for _ in 1..MOST_ROUNDS {
        if !needs_folding(out) {
            break;
        }
        std::mem::swap(out, spare);
        fold_round(spare, out);
        if out == spare {
            break;
        }
    }
}

/// One round: every trick undone once.
fn fold_round(text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut at = 0;
    let mut comment_may_end = true;
    let mut in_conditional_comment = false;
    loop {
        // A space behind one that was written is the next to be looked at.
        if out.last() != Some(&b' ') || text.get(at) != Some(&b' ') {
            let next = TRICKS.first_in(text, at).unwrap_or(text.len());
            out.extend_from_slice(&text[at..next]);
            at = next;
        }
        let Some(&byte) = text.get(at) else {
            break;
        };
        let rest = &text[at..];
        let length = match byte {
            b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' => {
                space(out);
                1
            }
            0xc2 if rest.get(1) == Some(&0xa0) => {
                space(out);
                2
            }
            // MySQL takes a lone 0xa0 for white space; after another high byte it is
            // part of a character.
            0xa0 if out.last().is_none_or(u8::is_ascii) => {
                space(out);
                1
            }
            b'/' if rest.get(1) == Some(&b'*') => {
                let conditional = conditional_comment(rest);
                if conditional > 0 {
                    in_conditional_comment = true;
                    space(out);
                    conditional
                } else if let Some(end) =
                    comment_may_end.then(|| memchr::memmem::find(&rest[2..], b"*/")).flatten()
                {
                    space(out);
                    end + 4
                } else {
                    comment_may_end = false;
                    out.push(byte);
                    1
                }
            }
            b'*' if in_conditional_comment && rest.get(1) == Some(&b'/') => {
                in_conditional_comment = false;
                space(out);
                2
            }
            b'$' => match shell_space(rest) {
                0 if inside_word(out, rest, 2) && matches!(rest.get(1), Some(b'@' | b'*')) => 2,
                0 => {
                    out.push(byte);
                    1
                }
                length => {
                    space(out);
                    length
                }
            },
            b'\\' if rest.get(1).is_some_and(u8::is_ascii_alphabetic) => 1,
            b'^' if inside_word(out, rest, 1) => 1,
            b'\'' | b'"' | b'`' if rest.get(1) == Some(&byte) && inside_word(out, rest, 2) => 2,
            _ => {
                out.push(byte);
                1
            }
        };
        at += length;
    }
}

/// Adds a space unless there is one.
fn space(out: &mut Vec<u8>) {
    if out.last() != Some(&b' ') {
        out.push(b' ');
    }
}

/// Length of the opening of a comment whose content runs, `/*!50000` or `/*m!100100`;
/// 0 for others.
fn conditional_comment(text: &[u8]) -> usize {
    let before = match text {
        [b'/', b'*', b'!', ..] => 3,
        [b'/', b'*', b'm', b'!', ..] => 4,
        _ => return 0,
    };
    before + text[before..].iter().take(6).take_while(|byte| byte.is_ascii_digit()).count()
}

/// Length of a shell's variable for white space, `${ifs}`, `$ifs` or `$ifs$9`; 0 for others.
fn shell_space(text: &[u8]) -> usize {
    let same =
        |start: &[u8]| text.get(..start.len()).is_some_and(|t| t.eq_ignore_ascii_case(start));
    if same(b"${ifs") {
        // `${ifs%??}` cuts the value and leaves a space.
        return text.iter().take(16).position(|byte| *byte == b'}').map_or(0, |end| end + 1);
    }
    if !same(b"$ifs") {
        return 0;
    }
    match text.get(4..) {
        Some([b'$', digit, ..]) if digit.is_ascii_digit() => 6,
        Some([next, ..]) if next.is_ascii_alphanumeric() || *next == b'_' => 0,
        _ => 4,
    }
}

/// Whether what takes `length` bytes here stands between two characters of a word.
fn inside_word(out: &[u8], rest: &[u8], length: usize) -> bool {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let quote = |byte: &u8| matches!(byte, b'\'' | b'"' | b'`' | b'^');
    out.last().is_some_and(word) && rest.get(length).is_some_and(|next| word(next) || quote(next))
}

/// Whether [`path`] would change the text.
pub(crate) fn needs_path(text: &[u8]) -> bool {
    memchr::memchr2_iter(b'\\', b'/', text)
        .any(|at| text[at] == b'\\' || matches!(text[at + 1..], [b'/', ..] | [b'.', b'/', ..]))
}

/// Writes the path view of a decoded text to `out`. Never longer than the text.
pub(crate) fn path(decoded: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut at = 0;
    for slash in memchr::memchr2_iter(b'/', b'\\', decoded) {
        out.extend_from_slice(&decoded[at..slash]);
        at = slash + 1;
        if out.ends_with(b"/.") {
            out.pop();
        }
        if out.last() != Some(&b'/') {
            out.push(b'/');
        }
    }
    out.extend_from_slice(&decoded[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(text: &[u8], plus: Plus) -> Vec<u8> {
        let (mut out, mut spare) = (Vec::new(), Vec::new());
        decode(text, plus, &mut out, &mut spare);
        out
    }

    fn folded(text: &[u8]) -> Vec<u8> {
        let (mut out, mut spare) = (Vec::new(), Vec::new());
        fold(text, &mut out, &mut spare);
        out
    }

    #[track_caller]
    fn check(text: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
        let (text, expected) = (text.as_ref(), expected.as_ref());
        let out = decoded(text, Plus::Space);
        assert_eq!(
            String::from_utf8_lossy(&out),
            String::from_utf8_lossy(expected),
            "{}",
            String::from_utf8_lossy(text)
        );
        let changes = !text.eq_ignore_ascii_case(expected);
        assert_eq!(needs_decoding(text, Plus::Space), changes, "{}", String::from_utf8_lossy(text));
    }

    #[track_caller]
    fn check_folded(text: &str, expected: &str) {
        assert_eq!(String::from_utf8_lossy(&folded(text.as_bytes())), expected, "{text}");
    }

    #[test]
    fn percent_encodings_are_undone_to_the_end() {
        check("%2e%2E/", "../");
        check("%252e%25252e", "..");
        check("%%32%65", ".");
        check("%u002e%u002E", "..");
        check("a%00b", "ab");
        check("%%0041", "a");
        check("%25%00%32e", ".");
    }

    #[test]
    fn what_is_no_encoding_stays() {
        check("100% of %zz %4", "100% of %zz %4");
        check("a&lt=1&amp=2&copy=3", "a&lt=1&amp=2&copy=3");
        check("c:\\temp\\name", "c:\\temp\\name");
        check("naïve 日本 ça", "naïve 日本 ça");
        check("%ud83d", "%ud83d");
    }

    #[test]
    fn plus_is_a_space_once_and_only_in_queries() {
        check("a+b", "a b");
        check("a%2bb", "a+b");
        assert_eq!(decoded(b"a+b", Plus::Literal), b"a+b");
    }

    #[test]
    fn wide_and_overlong_forms_become_ascii() {
        check(b"%c0%af%c1%9c%c1%1c%c0%2e", "/\\\\.");
        check("%e0%80%af%f0%80%80%af%f8%80%80%80%af%fc%80%80%80%80%af", "////");
        check("＜ＳＣＲＩＰＴ＞", "<script>");
        check("%uff1c%u2215%u02bc", "</'");
    }

    #[test]
    fn character_references_are_undone() {
        check("&lt;a&gt;", "<a>");
        check("&#60;&#x3C;&#0000060", "<<<");
        check("&lt script&gt", "< script>");
        check("java&Tab;script&colon;", "java\tscript:");
        check("&amp;lt;", "<");
        check("&#8217;", "\u{2019}");
    }

    #[test]
    fn escapes_of_script_strings_are_undone() {
        check("\\x3cscript\\u003e\\u{3e}", "<script>>");
        check("\\u{}\\u{110000}\\x4", "\\u{}\\u{110000}\\x4");
    }

    #[test]
    fn sql_comments_and_white_space_fold_to_a_space() {
        check_folded("union/**/all/*x*/select", "union all select");
        check_folded("1/*!50000union*/select", "1 union select");
        check_folded("a\t\n\r  b\u{a0}c", "a b c");
        check_folded("open /* without end", "open /* without end");
        check_folded("text/html", "text/html");
    }

    #[test]
    fn shell_quoting_inside_words_is_undone() {
        check_folded("c''at${ifs}/etc/pa\"\"sswd", "cat /etc/passwd");
        check_folded("c\\at$ifs$9/e^tc", "cat /etc");
        check_folded("wh``oami$@", "whoami$@");
        check_folded("who$@ami", "whoami");
        check_folded("cat$ifs/etc", "cat /etc");
        check_folded("$ifsx 'a' '' b", "$ifsx 'a' '' b");
    }

    #[test]
    fn paths_get_one_kind_of_slash_and_no_empty_segments() {
        let check = |text: &str, expected: &str| {
            let mut out = Vec::new();
            path(text.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        };
        check("/a//b\\..\\c", "/a/b/../c");
        check("/./././a/./b", "/a/b");
        check("/.\\/./x", "/x");
        check("/.git/./config", "/.git/config");
    }

    /// One layer of percent-encoding: of all bytes, or of what a browser would encode.
    fn percent_encoded(text: &[u8], all: bool) -> Vec<u8> {
        let mut out = Vec::new();
        for byte in text {
            if !all && (byte.is_ascii_alphanumeric() || b"-._~".contains(byte)) {
                out.push(*byte);
            } else {
                out.extend_from_slice(format!("%{byte:02x}").as_bytes());
            }
        }
        out
    }

    fn tricky() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"%25".to_vec()),
            Just(b"%00".to_vec()),
            Just(b"%".to_vec()),
            Just(b"25".to_vec()),
            Just(b"&amp;".to_vec()),
            Just(b"&#x26;".to_vec()),
            Just(b"\\x5c".to_vec()),
            Just(b"\\".to_vec()),
            Just(b"x5c".to_vec()),
            Just(b"%c0%af".to_vec()),
            Just(b"/*".to_vec()),
            Just(b"*/".to_vec()),
            Just(b"''".to_vec()),
            Just(b"\"\"a".to_vec()),
            Just(b"$ifs".to_vec()),
            Just(b"/./".to_vec()),
            Just(b"\xa0".to_vec()),
            Just(b" ".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..4),
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn decoding_never_grows_and_says_when_it_is_needed(text in tricky()) {
            for plus in [Plus::Literal, Plus::Space] {
                let out = decoded(&text, plus);
                prop_assert!(out.len() <= text.len());
                if !needs_decoding(&text, plus) {
                    prop_assert_eq!(out, text.to_ascii_lowercase());
                }
            }
        }

        #[test]
        fn a_decoded_text_at_its_fixpoint_decodes_to_itself_from_under_any_layers(
            text in tricky(),
            layers in 1..MOST_ROUNDS,
            all in any::<bool>(),
        ) {
            // Twice the rounds bring nearly every text to its fixpoint.
            let plain = decoded(&decoded(&text, Plus::Space), Plus::Literal);
            prop_assume!(!needs_decoding(&plain, Plus::Literal));
            prop_assert_eq!(&decoded(&plain, Plus::Literal), &plain);
            let mut wrapped = plain.clone();
            for _ in 0..layers {
                wrapped = percent_encoded(&wrapped, all);
            }
            prop_assert_eq!(decoded(&wrapped, Plus::Literal), plain);
        }

        #[test]
        fn decoding_stops_at_a_fixpoint_or_after_all_rounds(text in tricky()) {
            let out = decoded(&text, Plus::Literal);
            let mut rounds = Vec::new();
            let mut last = text.clone();
            while needs_decoding(&last, Plus::Literal) && rounds.len() < MOST_ROUNDS {
                let mut next = Vec::new();
                decode_round(&last, Plus::Literal, &mut next);
                remove_nul(&mut next);
                rounds.push(next.len());
                last = next;
            }
            prop_assert_eq!(out, last.to_ascii_lowercase());
        }

        #[test]
        fn folding_hardly_grows_and_says_when_it_is_needed(text in tricky()) {
            let text = text.to_ascii_lowercase();
            let out = folded(&text);
            prop_assert!(out.len() <= text.len() + 1);
            if !needs_folding(&text) {
                prop_assert_eq!(out, text);
            }
        }

        #[test]
        fn the_path_view_is_idempotent(text in tricky()) {
            let (mut once, mut twice) = (Vec::new(), Vec::new());
            path(&text, &mut once);
            path(&once, &mut twice);
            prop_assert_eq!(&once, &twice);
            prop_assert!(once.len() <= text.len());
            if !needs_path(&text) {
                prop_assert_eq!(once, text);
            }
        }
    }
}
