//! Finds secrets in text as it is read: nothing in it is encoded any more.
//!
//! Each way to write one has what it cannot do without: a `=` behind a parameter's name, a
//! `:` behind a key's or a header's, `//` before the user of an URL. Those are looked for, and
//! what stands around them is looked at. What is found is passed over, and names and runs
//! are bounded, so that hostile text costs no more than its length.

use std::ops::Range;

use super::name::{Kind, is_name_byte, is_secret_header, kind, name_before};
use super::{MARK, Reading};

/// What stands in front of an attack in a token's place, and is this long, is a token.
const LEAST_TOKEN_BYTES: usize = 8;

/// What ends the value of a parameter.
const ENDS: &[u8] = b"&;# \"\n";

/// Gives the places of all secrets, in no order.
pub(super) fn secrets(text: &[u8], reading: Reading, found: &mut impl FnMut(Range<usize>)) {
    parameters(text, found);
    keys(text, reading, found);
    words(text, found);
    users(text, found);
}

/// Values of parameters: `name=value`.
fn parameters(text: &[u8], found: &mut impl FnMut(Range<usize>)) {
    let mut signs_in = None;
    let (mut at, mut quoted, mut counted) = (0, false, 0);
    while let Some(sign) = memchr::memchr(b'=', &text[at..]) {
        let sign = at + sign;
        at = sign + 1;
        let name = name_before(text, blanks_before(text, sign));
        let start = at + blanks(&text[at..]);
        // Looking at a value that stays would be looking at all others behind it, too.
        let hidden = match kind(&text[name.clone()]) {
            Kind::Secret => {
                quoted ^= quotes(text, counted..name.start) % 2 == 1;
                counted = name.start;
                start..secret_end(text, name.start, start, quoted)
            }
            Kind::Token => token(text, start, ENDS),
            Kind::Code if *signs_in.get_or_insert_with(|| has_signing_in(text)) => {
                long_token(text, start)
            }
            Kind::Ticket if is_ticket(&text[start..]) => start..start + token_bytes(&text[start..]),
            _ => continue,
        };
        if !hidden.is_empty() {
            at = hidden.end;
            found(hidden);
        }
    }
}

/// Where the secret value ends that begins at `start`. A parameter's goes on to the next
/// one, whatever attack stands in it; a word's inside a text ends like others.
fn secret_end(text: &[u8], name: usize, start: usize, quoted: bool) -> usize {
    let is_parameter = name == 0 || b"?&;#\n".contains(&text[name - 1]);
    let ends = |at: usize| match text[at] {
        b'&' | b'\n' => true,
        // A record of which this is a field goes on behind its quote.
        b'"' if quoted => text[at - 1] != b'\\',
        byte => !is_parameter && ENDS.contains(&byte),
    };
    (start..text.len()).find(|at| ends(*at)).unwrap_or(text.len())
}

/// Quotes that nothing escapes.
fn quotes(text: &[u8], range: Range<usize>) -> usize {
    let found = memchr::memchr_iter(b'"', text.get(range.clone()).unwrap_or_default());
    found.map(|at| range.start + at).filter(|at| *at == 0 || text[at - 1] != b'\\').count()
}

/// Whether a signing in that ends in a code of OAuth stands in the text: by the state that
/// comes with it, or the path.
fn has_signing_in(text: &[u8]) -> bool {
    let is_parameter = |at: usize| at == 0 || b"?&;".contains(&text[at - 1]);
    memchr::memmem::find_iter(text, b"state=").any(is_parameter)
        || ["callback", "oauth", "oidc"]
            .iter()
            .any(|word| memchr::memmem::find(text, word.as_bytes()).is_some())
}

/// Whether text begins as a ticket of CAS does.
///
/// Source: CAS Protocol 3.0 Specification, "CAS Entities".
fn is_ticket(text: &[u8]) -> bool {
    ["ST-", "PT-", "PGT-", "PGTIOU-", "TGT-"].iter().any(|kind| text.starts_with(kind.as_bytes()))
}

/// The token that a value is, or begins with.
fn token(text: &[u8], start: usize, ends: &[u8]) -> Range<usize> {
    let end = start + token_bytes(&text[start..]);
    if text.get(end).is_none_or(|byte| ends.contains(byte)) {
        return start..end;
    }
    long_token(text, start)
}

fn long_token(text: &[u8], start: usize) -> Range<usize> {
    let length = token_bytes(&text[start..]);
    start..start + if length < LEAST_TOKEN_BYTES { 0 } else { length }
}

fn token_bytes(text: &[u8]) -> usize {
    let is_token_byte = |byte: &&u8| is_name_byte(**byte) || b".~+/=%:|,".contains(byte);
    text.iter().take_while(is_token_byte).count()
}

/// Values of keys in JSON and what looks like it (`"name": "value"`, `name:'value'`), and
/// header lines, which are only looked for in text as logged.
fn keys(text: &[u8], reading: Reading, found: &mut impl FnMut(Range<usize>)) {
    let mut at = 0;
    while let Some(colon) = memchr::memchr(b':', &text[at..]) {
        let colon = at + colon;
        at = colon + 1;
        let before = blanks_before(text, colon);
        let is_quoted = before > 0 && b"\"'".contains(&text[before - 1]);
        let name = &text[name_before(text, before - usize::from(is_quoted))];
        let start = at + blanks(&text[at..]);
        let hidden = match text.get(start) {
            _ if name.is_empty() => continue,
            _ if !is_quoted && reading == Reading::AsLogged && text.get(at) == Some(&b' ') => {
                if !is_secret_header(name) {
                    continue;
                }
                let line = &text[at + 1..];
                at + 1..at + 1 + memchr::memchr(b'\n', line).unwrap_or(line.len())
            }
            Some(quote @ (b'"' | b'\'')) => match kind(name) {
                Kind::Secret => start + 1..string_end(text, start + 1, *quote),
                Kind::Token => token(text, start + 1, &[*quote]),
                _ => continue,
            },
            Some(_) if is_quoted => match kind(name) {
                Kind::Secret => start..bare_end(text, start),
                Kind::Token => token(text, start, b"}] "),
                _ => continue,
            },
            _ => continue,
        };
        if !hidden.is_empty() {
            at = hidden.end;
            found(hidden);
        }
    }
}

/// Where the string ends; an escaped quote is of it.
fn string_end(text: &[u8], start: usize, quote: u8) -> usize {
    let mut ends = memchr::memchr_iter(quote, &text[start..]).map(|at| start + at);
    ends.find(|at| text[at - 1] != b'\\').unwrap_or(text.len())
}

/// Where a value ends that has no quotes: a number, a list, an object.
fn bare_end(text: &[u8], start: usize) -> usize {
    let value = &text[start..];
    if value.starts_with(MARK) {
        return start + MARK.len();
    }
    let end = match value[0] {
        b'[' => memchr::memchr(b']', value).map(|end| end + 1),
        b'{' => memchr::memchr(b'}', value).map(|end| end + 1),
        _ => value.iter().position(|byte| b",}]& \n".contains(byte)),
    };
    end.map_or(text.len(), |end| start + end)
}

/// JSON web tokens and AWS access key ids, which are secrets wherever they stand.
fn words(text: &[u8], found: &mut impl FnMut(Range<usize>)) {
    let begins = |start: usize| start == 0 || !is_name_byte(text[start - 1]);
    let mut at = 0;
    while let Some(place) = memchr::memmem::find(&text[at..], b"eyJ") {
        let start = at + place;
        let length = if begins(start) { web_token(&text[start..]) } else { None };
        at = start + length.unwrap_or(1);
        if length.is_some() {
            found(start..at);
        }
    }
    for behind in memchr::memmem::find_iter(text, b"IA") {
        // `AKIA` and `ASIA`.
        if let Some(start) = behind.checked_sub(2)
            && let [b'A', b'K' | b'S'] = text[start..behind]
            && begins(start)
            && let Some(length) = access_key(&text[start..])
        {
            found(start..start + length);
        }
    }
}

fn web_token(text: &[u8]) -> Option<usize> {
    let length = text.iter().take_while(|b| is_name_byte(**b) || **b == b'.').count();
    let has_dot = memchr::memchr(b'.', &text[..length]).is_some();
    (length >= 20 && has_dot).then_some(length)
}

fn access_key(text: &[u8]) -> Option<usize> {
    let is_key_byte = |byte: &&u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let length = text.iter().take(21).take_while(is_key_byte).count();
    (length == 20).then_some(length)
}

/// Passwords in URLs: `//user:password@host`.
fn users(text: &[u8], found: &mut impl FnMut(Range<usize>)) {
    let mut at = 0;
    while let Some(slashes) = memchr::memmem::find(&text[at..], b"//") {
        let start = at + slashes + text[at + slashes..].iter().take_while(|b| **b == b'/').count();
        let ends = |byte: &&u8| !b"/?#&\"'<>\\ \t\r\n".contains(byte);
        let authority = &text[start..][..text[start..].iter().take_while(ends).count()];
        at = start + authority.len();
        if let Some(sign) = memchr::memrchr(b'@', authority)
            && let Some(colon) = memchr::memchr(b':', &authority[..sign])
            && colon + 1 < sign
        {
            found(start + colon + 1..start + sign);
        }
    }
}

/// Most blanks around a sign.
const MOST_BLANKS: usize = 8;

fn blanks(text: &[u8]) -> usize {
    text.iter().take(MOST_BLANKS).take_while(|byte| **byte == b' ').count()
}

/// Where the blanks begin that end at `end`.
fn blanks_before(text: &[u8], end: usize) -> usize {
    end - text[..end].iter().rev().take(MOST_BLANKS).take_while(|byte| **byte == b' ').count()
}
