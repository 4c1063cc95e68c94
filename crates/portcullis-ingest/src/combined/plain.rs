//! Reads the plain lines in one pass.
//!
//! Almost every line is plain: an address in front, no escape, quotes only around fields, and
//! a request of HTTP. This module gives up where a line is not, and the long way reads it, or
//! refuses it. So nothing is decided here: what this reads, [`super::request`] reads the
//! same, and a test says so.

use super::{further_fields, split_request};
use crate::cut::quote_or_backslash;
use crate::draft::split_target;
use crate::minute::{Minute, TIME_BYTES};
use crate::variable::parse_status;
use crate::{Origin, Request, Untrusted, parse_address};

/// Reads one line, if it is plain.
#[inline]
pub(crate) fn request<'o>(
    line: &'o [u8],
    origin: Origin<'o>,
    minute: &mut Minute,
) -> Option<Request<'o>> {
    let first = memchr::memchr(b' ', line)?;
    let client = parse_address(&line[..first])?;
    let rest = match &line[first..] {
        [b' ', b'-', b' ', b'-', b' ', b'[', rest @ ..] => rest,
        rest => after_user(rest)?,
    };
    let time = minute.time(rest.get(..TIME_BYTES)?)?;
    let request = rest[TIME_BYTES..].strip_prefix(b"] \"")?;
    let end = plain_end(request)?;
    let (method, target, protocol) = split_http(&request[..end]);
    let (path, query) = split_target(target);
    let [b' ', a, b, c, b' ', rest @ ..] = &request[end + 1..] else { return None };
    let status = parse_status(&[*a, *b, *c]).ok()?;
    let (response_bytes, rest) = length(rest)?;
    let (referer, user_agent) = if rest.is_empty() {
        (None, None)
    } else {
        let referer = rest.strip_prefix(b" \"")?;
        let end = plain_end(referer)?;
        let agent = referer[end + 1..].strip_prefix(b" \"")?;
        let agent_end = plain_end(agent)?;
        let rest = &agent[agent_end + 1..];
        if !rest.is_empty() && (may_hold_a_time(request) || !further_fields(rest)) {
            return None;
        }
        (present(&referer[..end]), present(&agent[..agent_end]))
    };
    Some(Request {
        time: Some(time),
        client: Some(client),
        method: method.and_then(present),
        path: path.and_then(present),
        query: query.map(Untrusted::new),
        status,
        user_agent,
        referer,
        protocol: protocol.map(Untrusted::new),
        response_bytes,
        origin,
        ..Request::default()
    })
}

/// What follows ` [`, of what follows the address: two words. Of more, another may be the
/// client.
fn after_user(text: &[u8]) -> Option<&[u8]> {
    let identity = text.strip_prefix(b" ").filter(|text| text.first() != Some(&b'['))?;
    let user = &identity[memchr::memchr(b' ', identity)? + 1..];
    let end = memchr::memchr(b' ', user).filter(|_| user[0] != b'[')?;
    user[end..].strip_prefix(b" [")
}

/// Whether a quoted field may follow a time behind the first field of `text`. Only where
/// there are further fields may what begins so be read as a request.
fn may_hold_a_time(text: &[u8]) -> bool {
    memchr::memchr_iter(b']', text).any(|at| text[at..].starts_with(b"] \""))
}

/// Where the quoted field ends whose text this is; `None` when it holds an escape.
#[inline]
fn plain_end(text: &[u8]) -> Option<usize> {
    quote_or_backslash(text, 0).filter(|end| text[*end] == b'"')
}

/// `method target protocol`, as [`split_request`] has it.
#[inline]
fn split_http(request: &[u8]) -> (Option<&[u8]>, &[u8], Option<&[u8]>) {
    const PROTOCOL: usize = b" HTTP/1.1".len();
    if let Some(method) = request.iter().take(8).position(|byte| !byte.is_ascii_uppercase())
        && method > 0
        && request[method] == b' '
        && let Some(target) = request.len().checked_sub(PROTOCOL)
        && target > method
        && let [b' ', b'H', b'T', b'T', b'P', b'/', a, b, c] = &request[target..]
        && [a, b, c].iter().all(|byte| **byte != b' ')
    {
        return (
            Some(&request[..method]),
            &request[method + 1..target],
            Some(&request[target + 1..]),
        );
    }
    split_request(request)
}

/// The bytes of the response, and what follows.
#[inline]
fn length(text: &[u8]) -> Option<(Option<u64>, &[u8])> {
    let mut value = 0_u64;
    let mut at = 0;
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0'))
        && digit <= 9
    {
        if at == 18 {
            return None;
        }
        value = value * 10 + u64::from(digit);
        at += 1;
    }
    let value = match (at, text.first()) {
        (0, Some(b'-')) => {
            at = 1;
            None
        }
        (0, _) => return None,
        _ => Some(value),
    };
    matches!(text.get(at), None | Some(b' ')).then(|| (value, &text[at..]))
}

fn present(text: &[u8]) -> Option<Untrusted<'_>> {
    (!text.is_empty() && text != b"-").then(|| Untrusted::new(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Front;
    use super::*;

    /// Checks a line that is read here, and says whether it is.
    fn check(line: &[u8], minute: &mut Minute) -> bool {
        let origin = Origin::default();
        let Some(plain) = request(line, origin, minute) else { return false };
        for front in [Front::Unknown, Front::Client, Front::Host] {
            let mut scratch = Vec::new();
            let known = super::super::request(line, front, &mut scratch, origin);
            assert_eq!(known, Ok(plain), "{}", String::from_utf8_lossy(line));
        }
        true
    }

    #[test]
    fn plain_lines_are_read_here() {
        let mut minute = Minute::default();
        for line in [
            r#"192.0.2.1 - - [26/Jan/2019:19:45:25 +0330] "GET /a?b=c HTTP/1.1" 200 30975 "-" "ua" "-""#,
            r#"192.0.2.1 - - [26/Jan/2019:19:45:26 +0330] "GET / HTTP/1.1" 200 3"#,
            r#"2001:db8::1 - bob [26/Jan/2019:19:45:25 +0330] "POST /a b HTTP/2" 304 - "-" "a b""#,
            r#"192.0.2.1 - - [26/Jan/2019:19:45:25 +0330] "-" 408 - "-" "-""#,
        ] {
            assert!(check(line.as_bytes(), &mut minute), "{line}");
        }
    }

    /// What may stand in each place of a line: what servers write there, or text that ends
    /// fields and begins others.
    fn part(usual: &'static [&'static str]) -> impl Strategy<Value = String> {
        let odd = prop::sample::select(vec![
            "",
            " ",
            "-",
            "\"",
            "\\",
            "\\\"",
            "[",
            " [",
            "]",
            "] \"",
            "\" 200 5 \"",
            "\" 403 -",
            "?",
            "HTTP/1.1",
            " HTTP/",
            "GET",
            "/a",
            "é",
            "12",
            "0",
            "000",
            "404",
            "99999999999999999999",
            "203.0.113.9",
            "::1",
            "26/Jan/2019:19:45:61 +0330",
            " [26/Jan/2019:19:45:25 +0330] \"",
            "1720635321",
            "\t",
            "x y",
            " - ",
        ]);
        let odd = prop::collection::vec(odd, 0..4).prop_map(|parts| parts.concat());
        prop_oneof![5 => prop::sample::select(usual).prop_map(str::to_owned), 1 => odd]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50_000))]

        #[test]
        fn what_is_read_here_is_what_the_long_way_reads(
            client in part(&["192.0.2.1", "2001:db8::1", "198.18.0.7:443", "h 192.0.2.1", "198.18.0.7 192.0.2.1"]),
            users in part(&["- -", "- bob", "- a b", "-  -", "x [y", "-", "198.18.0.7 -", "- 198.18.0.7 - -"]),
            time in part(&["26/Jan/2019:19:45:25 +0330", "26/Jan/2019:19:45:60 +0330", "1720635321"]),
            request in part(&["GET /a HTTP/1.1", "GET /a?b=c HTTP/2.0", "GET HTTP/1.1", "POST /a b HTTP/2",
                "get / HTTP/1.0", "GET  HTTP/1.1", "G /a HTTP/ .1", "-", "OPTIONSTOOLONG / HTTP/1.1", ""]),
            status in part(&["200", "404", "000", "0"]),
            bytes in part(&["5", "-", "123456", "-5"]),
            texts in part(&[" \"-\" \"ua\"", "", " ", " \"http://a/\" \"a b\" \"x\" y", " \"a\" \"b\" z \"", " \"a\"",
                " \"a\" \"b\" [26/Jan/2019:19:45:25 +0330] \"GET / HTTP/1.1\" 200 5 \"-\" \"ua\"",
                " \"a\" \"b [26/Jan/2019:19:45:25 +0330] \" \"c\""]),
        ) {
            let line = format!("{client} {users} [{time}] \"{request}\" {status} {bytes}{texts}");
            let mut minute = Minute::default();
            check(line.as_bytes(), &mut minute);
            check(line.as_bytes(), &mut minute);
        }
    }
}
