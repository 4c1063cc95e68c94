//! Names whose values are secrets.

use std::ops::Range;

/// Parts of a name whose value is a secret, whatever it looks like.
const SECRET_NAMES: [&[u8]; 6] =
    [b"password", b"passwd", b"passphrase", b"secret", b"credential", b"cookie"];

/// Parts of a name whose value is a secret when it looks like a token. A quote or a
/// blank in it is an attack on the parameter, which evidence has to show.
const TOKEN_NAMES: [&[u8]; 16] = [
    b"token",
    b"apikey",
    b"api_key",
    b"api-key",
    b"auth",
    b"session",
    b"sessid",
    b"jwt",
    b"signature",
    b"private",
    b"csrf",
    b"xsrf",
    b"otp",
    b"bearer",
    b"refresh",
    b"assertion",
];

/// Names that mean a token only as a whole, alone or inside of what is structured:
/// `user[pwd]`.
const TOKEN_WHOLE_NAMES: [&[u8]; 8] =
    [b"sid", b"pwd", b"pass", b"passcode", b"pin", b"key", b"sig", b"hmac"];

/// Most bytes of a name that are looked at: its last.
const MOST_NAME_BYTES: usize = 128;

/// What the value of a name may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Secret,
    Token,
    /// A code of OAuth, or one of anything else.
    Code,
    /// A ticket of CAS, or one of anything else.
    Ticket,
    Other,
}

pub(super) fn kind(name: &[u8]) -> Kind {
    let mut lower = [0; MOST_NAME_BYTES];
    let lower = lowered(name, &mut lower);
    let mut parts = lower.split(|byte| b"[].".contains(byte)).filter(|part| !part.is_empty());
    if has_any(lower, &SECRET_NAMES) {
        Kind::Secret
    } else if has_any(lower, &TOKEN_NAMES) || parts.any(|part| TOKEN_WHOLE_NAMES.contains(&part)) {
        Kind::Token
    } else {
        match lower {
            b"code" => Kind::Code,
            b"ticket" | b"pgtid" | b"pgtiou" => Kind::Ticket,
            _ => Kind::Other,
        }
    }
}

/// Whether a header's value is to be hidden: credentials have blanks.
pub(super) fn is_secret_header(name: &[u8]) -> bool {
    let mut lower = [0; MOST_NAME_BYTES];
    let lower = lowered(name, &mut lower);
    has_any(lower, &SECRET_NAMES) || has_any(lower, &TOKEN_NAMES)
}

fn lowered<'l>(name: &[u8], lower: &'l mut [u8; MOST_NAME_BYTES]) -> &'l [u8] {
    let lower = &mut lower[..name.len()];
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    lower
}

fn has_any(name: &[u8], words: &[&[u8]]) -> bool {
    let begins_one = |byte: &u8| words.iter().any(|word| word[0] == *byte);
    let begins = |at: usize| words.iter().any(|word| name[at..].starts_with(word));
    (0..name.len()).any(|at| begins_one(&name[at]) && begins(at))
}

/// The name that ends at `end`, as forms and languages structure it: `user[password]`.
pub(super) fn name_before(text: &[u8], end: usize) -> Range<usize> {
    let is_of_it = |byte: &&u8| is_name_byte(**byte) || b"[].".contains(byte);
    end - text[..end].iter().rev().take(MOST_NAME_BYTES).take_while(is_of_it).count()..end
}

pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}
