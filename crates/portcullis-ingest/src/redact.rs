//! Hides secrets in text that is shown.
//!
//! Query strings, headers and referers carry session ids, API keys and tokens.
//! Detection reads them as they are; whatever leaves the program is passed through
//! [`redacted`], which keeps names and shapes and hides the values.
//!
//! Names, separators and whole documents may be percent-encoded or escaped, in a record
//! several times over. So text is searched as logged, and once more for each time that
//! this can be undone; what is hidden are the bytes as logged.

mod find;
mod name;

use std::borrow::Cow;
use std::ops::Range;

/// What stands where a secret was.
const MARK: &[u8] = b"[redacted]";

/// How often encodings are undone.
const MOST_UNDONE: usize = 3;

/// How often what is shown is looked at again.
const MOST_LOOKS: usize = 8;

/// Whether text is searched as logged, or after something in it was undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    AsLogged,
    Undone,
}

/// The text with the values of secret parameters and keys, credential headers, passwords in
/// URLs, JSON web tokens and AWS access keys hidden. Text without any is borrowed.
///
/// What was redacted is redacted to itself.
pub fn redacted(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(mut shown) = hidden(text) else { return Cow::Borrowed(text) };
    for _ in 0..MOST_LOOKS {
        // Where something was hidden, the rest may read otherwise.
        match hidden(&shown) {
            Some(again) if again != shown => shown = again,
            _ => return Cow::Owned(shown),
        }
    }
    Cow::Borrowed(MARK)
}

/// The text without what is found in it as it is; `None` when nothing is.
fn hidden(text: &[u8]) -> Option<Vec<u8>> {
    let mut secrets: Vec<Range<usize>> = Vec::new();
    find::secrets(text, Reading::AsLogged, &mut |secret| secrets.push(secret));
    let mut view = Undone::of(text, |at| at);
    for _ in 0..MOST_UNDONE {
        let Some(Undone { text, starts }) = view else { break };
        find::secrets(&text, Reading::Undone, &mut |secret| {
            secrets.push(starts[secret.start]..starts[secret.end]);
        });
        view = Undone::of(&text, |at| starts[at]);
    }
    if secrets.is_empty() {
        return None;
    }
    secrets.sort_unstable_by_key(|secret| secret.start);
    let mut out = Vec::with_capacity(text.len());
    let mut copied = 0;
    for secret in secrets {
        if secret.start > copied || copied == 0 {
            out.extend_from_slice(&text[copied..secret.start]);
            out.extend_from_slice(MARK);
        }
        copied = copied.max(secret.end);
    }
    out.extend_from_slice(&text[copied..]);
    Some(out)
}

/// Text in which escapes were undone once.
struct Undone {
    text: Vec<u8>,
    /// Where each byte began in the text as logged, and where that ends.
    starts: Vec<usize>,
}

impl Undone {
    /// `None` when there is nothing to undo. `start` tells where a byte began as logged.
    fn of(text: &[u8], start: impl Fn(usize) -> usize) -> Option<Self> {
        let first =
            memchr::memchr2_iter(b'%', b'\\', text).find(|at| escape(&text[*at..]).is_some())?;
        let mut undone = Self { text: Vec::with_capacity(text.len()), starts: Vec::new() };
        undone.text.extend_from_slice(&text[..first]);
        undone.starts.extend((0..first).map(&start));
        let mut at = first;
        while at < text.len() {
            let (byte, length) = escape(&text[at..]).unwrap_or((text[at], 1));
            undone.text.push(byte);
            undone.starts.push(start(at));
            at += length;
        }
        undone.starts.push(start(text.len()));
        Some(undone)
    }
}

/// The byte that an escape at the beginning of `text` stands for, and its length: of URLs,
/// of JSON, and of what servers write.
fn escape(text: &[u8]) -> Option<(u8, usize)> {
    let byte = |high: &u8, low: &u8| {
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        u8::try_from(digit(high)? << 4 | digit(low)?).ok()
    };
    match text {
        [b'%', high, low, ..] => Some((byte(high, low)?, 3)),
        [b'\\', b'x', high, low, ..] => Some((byte(high, low)?, 4)),
        [b'\\', b'u', b'0', b'0', high, low, ..] => Some((byte(high, low)?, 6)),
        [b'\\', byte @ (b'"' | b'\'' | b'/' | b'\\'), ..] => Some((*byte, 2)),
        _ => None,
    }
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

    #[test]
    fn names_are_known_however_they_are_written() {
        for name in [
            "user[password]",
            "user%5Bpassword%5D",
            "user%255Bpassword%255D",
            "token%5B%5D",
            "p%61ssword",
            "a.b[0][token]",
            "login[pwd]",
            "password ",
            "amp;password",
            &format!("{}_password", "a".repeat(200)),
        ] {
            check(&format!("q=1&{name}=abc&x=2"), &format!("q=1&{name}=[redacted]&x=2"));
        }
        check("x=1%26password%3Dabc%26y%3D1&q=2", "x=1%26password%3D[redacted]%26y%3D1&q=2");
        check("password%3Dabc&q=2", "password%3D[redacted]&q=2");
    }

    #[test]
    fn nothing_of_a_password_shows_behind_an_attack_in_its_place() {
        for value in
            ["' or '1'='1abc", r#"" or "1"="1abc"#, "%0aabc", "a;abc", "a#abc", "a'+abc", "a%26abc"]
        {
            check(&format!("a=1&password={value}&q=2"), "a=1&password=[redacted]&q=2");
        }
        // In a record, what stands behind the field does, and in a text, what follows a word.
        check(
            r#""GET /?password=' or 1=1 HTTP/1.1" 200 5 "-" "x""#,
            r#""GET /?password=[redacted]" 200 5 "-" "x""#,
        );
        check("q=1 or password='x' or 1=1", "q=1 or password=[redacted] or 1=1");
    }

    #[test]
    fn secrets_in_json_are_hidden() {
        for json in [
            r#"{"password":"<>","user":"u"}"#,
            r#"{ "password" : "<>", "user":"u"}"#,
            r#"{"password":<>,"user":"u"}"#,
            r"{'token':'<>','user':'u'}",
            r#"{password:"<>",user:"u"}"#,
            r#"{"a":{"credentials":<>},"user":"u"}"#,
            r"%7B%22password%22%3A%22<>%22%2C%22user%22%3A%22u%22%7D",
            r"%257B%2522password%2522%253A%2522<>%2522%257D",
            r#"{"body":"{\"password\":\"<>\",\"user\":\"u\"}"}"#,
            r"{\x22password\x22:\x22<>\x22,\x22user\x22:\x22u\x22}",
        ] {
            check(&json.replace("<>", "s3cret"), &json.replace("<>", "[redacted]"));
        }
        check(r#"{"password":"a\"b","user":"u"}"#, r#"{"password":"[redacted]","user":"u"}"#);
        check(r#"{"password":["a","b"],"user":"u"}"#, r#"{"password":[redacted],"user":"u"}"#);
    }

    #[test]
    fn passwords_in_urls_are_hidden() {
        check("u=https://bob:abc@h/a&x=1", "u=https://bob:[redacted]@h/a&x=1");
        check("u=//bob:abc@h", "u=//bob:[redacted]@h");
        check(
            "u=https%3A%2F%2Fbob%3Aa%40bc%40h%2Fa&x=1",
            "u=https%3A%2F%2Fbob%3A[redacted]%40h%2Fa&x=1",
        );
        for text in ["u=https://h:443/@bob", "u=https://bob@h/", "u=mailto:a@b", "/a//b:1/c@d"] {
            check(text, text);
        }
    }

    #[test]
    fn codes_and_tickets_of_signing_in_are_hidden() {
        check("code=4/0AbCdEf-ghi&state=x", "code=[redacted]&state=x");
        check("/oauth2/callback?code=SplxlOBeZQ", "/oauth2/callback?code=[redacted]");
        check("service=a&ticket=ST-18-aA5Yuvrxzpv8", "service=a&ticket=[redacted]");
        for text in [
            "code=404",
            "code=404&state=TX",
            "code=phpinfo()&state=x",
            "code=SplxlOBeZQ&interstate=x",
            "ticket=4711",
            "zipcode=1234567890&state=x",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn hostile_text_costs_no_more_than_its_length() {
        for part in [
            "a=",
            "token=",
            "password=",
            "code=",
            "code=abcdefgh",
            "ticket=ST-",
            "\"a\":",
            "\"token\":",
            "\"password\":",
            "\"password\":\"",
            "'a':'",
            "a:",
            "cookie: ",
            "//",
            "//a:",
            "a@",
            "://a:@",
            "eyJ",
            ".eyJ",
            "AKIA",
            "%25",
            "password%3D",
            "\\\"",
            "=\"",
            " =",
            "[",
            "{\"password\":[",
        ] {
            let text = part.repeat(400_000 / part.len());
            let started = std::time::Instant::now();
            let shown = redacted(text.as_bytes()).len();
            assert!(started.elapsed().as_secs() < 10, "{part}: {shown}");
        }
    }

    /// Text of what can be read in several ways.
    fn hostile() -> impl Strategy<Value = String> {
        let parts = [
            "password token code state ticket cookie x = & ; # ? [ ] . \" ' \\ : { } , // / @ 0 %22",
            "%3D %26 %25 %5B %3A %2F%2F %40 \\x22 \\u0022 [redacted] redacted ST- eyJ abcdefgh",
            "AKIAIOSFODNN7EXAMPLE",
        ];
        let parts: Vec<&str> = parts.iter().flat_map(|some| some.split(' ')).collect();
        let part = prop::sample::select([parts, vec![" ", "\n", ": "]].concat());
        prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn what_was_redacted_is_redacted_to_itself(text in hostile()) {
            let once = redacted(text.as_bytes()).into_owned();
            let is_whole = text.as_bytes() == MARK || hidden(text.as_bytes()).is_some_and(|h| h == MARK);
            prop_assert!(once != MARK || is_whole, "never settled: {}", text);
            prop_assert_eq!(redacted(&once).into_owned(), once);
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
