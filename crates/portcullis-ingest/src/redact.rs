//! Hides secrets in text that is shown.
//!
//! Query strings, headers and referers carry session ids, API keys and tokens.
//! Detection reads them as they are; whatever leaves the program is passed through
//! [`redacted`], which keeps names and shapes and hides the values.

use std::borrow::Cow;

/// What stands where a secret was.
const MARK: &[u8] = b"[redacted]";

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

/// Names that mean a token only as a whole.
const TOKEN_WHOLE_NAMES: [&[u8]; 6] = [b"sid", b"pwd", b"pass", b"key", b"sig", b"hmac"];

/// The text with the values of secret parameters, credential headers, JSON web
/// tokens and AWS access keys hidden. Text without any is borrowed.
pub fn redacted(text: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while at < text.len() {
        let hidden = secret_at(text, at);
        match hidden {
            Some(range) => {
                out.extend_from_slice(&text[copied..range.start]);
                out.extend_from_slice(MARK);
                copied = range.end;
                at = range.end.max(at + 1);
            }
            None => at = next_start(text, at),
        }
    }
    if copied == 0 && out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.extend_from_slice(&text[copied..]);
    Cow::Owned(out)
}

/// How much of a parameter's value is to be hidden.
fn secret_length(name: &[u8], value: &[u8]) -> usize {
    let lower = name.to_ascii_lowercase();
    let has = |words: &[&[u8]]| words.iter().any(|w| memchr::memmem::find(&lower, w).is_some());
    if value == MARK || has(&SECRET_NAMES) {
        return value.len();
    }
    if !TOKEN_WHOLE_NAMES.contains(&lower.as_slice()) && !has(&TOKEN_NAMES) {
        return 0;
    }
    let is_token_byte = |byte: &&u8| is_name_byte(**byte) || b".~+/=%:|,".contains(byte);
    let token = value.iter().take_while(is_token_byte).count();
    if token == value.len() || token >= LEAST_TOKEN_BYTES { token } else { 0 }
}

/// What stands in front of an attack in a token's place, and is this long, is a token.
const LEAST_TOKEN_BYTES: usize = 8;

/// Whether a header's value is to be hidden: credentials have blanks.
fn is_secret_header(name: &[u8]) -> bool {
    let lower = name.to_ascii_lowercase();
    SECRET_NAMES.iter().chain(&TOKEN_NAMES).any(|word| memchr::memmem::find(&lower, word).is_some())
}

/// The secret value of the word that begins at `at`.
fn secret_at(text: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let rest = &text[at..];
    if let Some(length) = token_length(rest) {
        return Some(at..at + length);
    }
    let name_length = rest.iter().take(64).take_while(|b| is_name_byte(**b)).count();
    let (name, after) = rest.split_at(name_length);
    let (separator, ends): (usize, &[u8]) = match after {
        [b'=', ..] => (1, b"&;# \"\n"),
        [b'%', b'3', b'd' | b'D', ..] => (3, b"&;# \"\n"),
        // A header line: everything to its end is the value.
        [b':', b' ', ..] => (2, b"\n"),
        [b'"', b':', b'"', ..] => (3, b"\""),
        _ => return None,
    };
    if name.is_empty() {
        return None;
    }
    let start = at + name_length + separator;
    let length = text[start..].iter().take_while(|b| !ends.contains(b)).count();
    let value = &text[start..start + length];
    let hidden = match ends {
        b"\n" if is_secret_header(name) => length,
        b"\n" => 0,
        _ => secret_length(name, value),
    };
    (hidden > 0).then_some(start..start + hidden)
}

/// Length of a JSON web token or an AWS access key id, which are secrets wherever
/// they stand.
fn token_length(text: &[u8]) -> Option<usize> {
    if text.starts_with(b"eyJ") {
        let length = text.iter().take_while(|b| is_name_byte(**b) || **b == b'.').count();
        let dots = memchr::memchr_iter(b'.', &text[..length]).count();
        return (length >= 20 && dots >= 1).then_some(length);
    }
    if text.starts_with(b"AKIA") || text.starts_with(b"ASIA") {
        let length =
            text.iter().take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit()).count();
        return (length == 20).then_some(length);
    }
    None
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// Where the next word begins.
fn next_start(text: &[u8], at: usize) -> usize {
    let word = text[at..].iter().take_while(|b| is_name_byte(**b)).count();
    at + word.max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(String::from_utf8_lossy(&redacted(text.as_bytes())), expected);
    }

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        check("q=1&access_token=abc&x=2", "q=1&access_token=[redacted]&x=2");
        check("/a?X-Api-Key=abc", "/a?X-Api-Key=[redacted]");
        check(
            "Authorization: Bearer abc def\nAccept: */*\n",
            "Authorization: [redacted]\nAccept: */*\n",
        );
        check("cookie: a=b; c=d", "cookie: [redacted]");
        check("https://x/?next=%2F&sid=77#top", "https://x/?next=%2F&sid=[redacted]#top");
        check("v=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "v=[redacted]");
        check(r#"{"password":"p","user":"u"}"#, r#"{"password":"[redacted]","user":"u"}"#);
        check("id=AKIAIOSFODNN7EXAMPLE", "id=[redacted]");
    }

    #[test]
    fn other_text_is_untouched() {
        for text in [
            "q=tokens are fun",
            "token=1'or'1'='1",
            "code=phpinfo()",
            "id=1' or 1=1--",
            "/etc/passwd",
            "keyboard=qwerty",
            "monkey=1",
            "",
        ] {
            assert!(matches!(redacted(text.as_bytes()), Cow::Borrowed(_)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_canary_in_a_secret_parameter_never_shows(
            before in "[a-z0-9=&%/]{0,20}", name in "(access_token|password|X-Api-Key|sessionid|sig)",
            after in "(&[a-z=]{0,10})?",
        ) {
            let text = format!("{before}&{name}=c4nary{after}");
            let shown = redacted(text.as_bytes()).into_owned();
            prop_assert!(memchr::memmem::find(&shown, b"c4nary").is_none());
        }

        #[test]
        fn redacting_twice_changes_nothing_more(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let once = redacted(&text).into_owned();
            let twice = redacted(&once).into_owned();
            prop_assert_eq!(twice, once);
        }
    }
}
