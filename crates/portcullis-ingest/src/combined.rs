//! Apache's and nginx's combined log format.
//!
//! `client ident user [time] "request" status bytes "referer" "user agent"`, with
//! backslash escapes in the quoted fields. Servers and people vary it: a virtual
//! host in front, further quoted fields at the end, the whole line in quotes once
//! more, requests that are no HTTP at all. The common format (without the last two
//! fields) is accepted too.
//!
//! Source: Apache HTTP Server, "Log Files"; nginx, `ngx_http_log_module`.

pub(crate) mod plain;

use crate::cut::string_end;
use crate::draft::split_target;
use crate::value::{self, parse_whole, unescape_backslashes};
use crate::variable::parse_status;
use crate::{Field, FieldSet, Origin, RejectReason, Request, Timestamp, Untrusted, parse_address};

pub(crate) fn fields() -> FieldSet {
    use Field as F;
    [
        F::Client,
        F::Time,
        F::Method,
        F::Path,
        F::Query,
        F::Status,
        F::UserAgent,
        F::Referer,
        F::Protocol,
        F::ResponseBytes,
        F::Principal,
    ]
    .into_iter()
    .collect()
}

/// Reads one line, whatever is in it; [`plain`] is quicker.
pub(crate) fn request<'o>(
    line: &'o [u8],
    scratch: &'o mut Vec<u8>,
    origin: Origin<'o>,
) -> Result<Request<'o>, RejectReason> {
    let line = unwrapped(line);
    let shape = RejectReason::Shape;
    let bracket = memchr::memmem::find(line, b" [").ok_or(shape)?;
    let (client, user) = client_and_user(&line[..bracket])?;
    let rest = &line[bracket + 2..];
    let close = memchr::memchr(b']', rest).ok_or(shape)?;
    let time = value::parse_time(&rest[..close]).ok_or(RejectReason::Value)?;
    let rest = rest[close + 1..].strip_prefix(b" \"").ok_or(shape)?;
    let (target, rest) = request_field(rest).ok_or(shape)?;
    let mut parts = rest.strip_prefix(b" ").ok_or(shape)?.splitn(3, |byte| *byte == b' ');
    let status = parse_status(parts.next().ok_or(shape)?)?;
    let bytes = match parts.next().ok_or(shape)? {
        b"-" => None,
        digits => parse_whole(digits)?,
    };
    let (referer, user_agent) = match parts.next() {
        None | Some(b"") => (None, None),
        Some(quoted) => {
            let quoted = quoted.strip_prefix(b"\"").ok_or(shape)?;
            let end = string_end(quoted, 0).ok_or(shape)?;
            let agent = quoted[end + 1..].strip_prefix(b" \"").ok_or(shape)?;
            let agent_end = string_end(agent, 0).ok_or(shape)?;
            if !further_fields(&agent[agent_end + 1..]) {
                return Err(shape);
            }
            (Some(&quoted[..end]), Some(&agent[..agent_end]))
        }
    };
    Ok(build(client, time, user, target, status, bytes, [referer, user_agent], scratch, origin))
}

#[expect(clippy::too_many_arguments, reason = "one line's fields, used once")]
fn build<'o>(
    client: std::net::IpAddr,
    time: Timestamp,
    user: &'o [u8],
    request: &'o [u8],
    status: Option<u16>,
    response_bytes: Option<u64>,
    texts: [Option<&'o [u8]>; 2],
    scratch: &'o mut Vec<u8>,
    origin: Origin<'o>,
) -> Request<'o> {
    scratch.clear();
    let mut ranges = [None, None, None];
    for (range, text) in ranges.iter_mut().zip([Some(request), texts[0], texts[1]]) {
        if let Some(text) = text
            && memchr::memchr(b'\\', text).is_some()
        {
            let start = scratch.len();
            unescape_backslashes(text, scratch);
            *range = Some(start..scratch.len());
        }
    }
    let scratch: &'o [u8] = scratch;
    let [request_range, referer_range, agent_range] = ranges;
    let plain = |range: Option<std::ops::Range<usize>>, text: &'o [u8]| {
        range.map_or(text, |range| &scratch[range])
    };
    let present = |text: &'o [u8]| (!text.is_empty() && text != b"-").then(|| Untrusted::new(text));
    let (method, target, protocol) = split_request(plain(request_range, request));
    let (path, query) = split_target(target);
    Request {
        time: Some(time),
        client: Some(client),
        method: method.and_then(present),
        path: path.and_then(present),
        query: query.map(Untrusted::new),
        status,
        user_agent: texts[1].map(|t| plain(agent_range, t)).and_then(present),
        referer: texts[0].map(|t| plain(referer_range, t)).and_then(present),
        protocol: protocol.map(Untrusted::new),
        response_bytes,
        principal: present(user),
        origin,
        ..Request::default()
    }
}

/// The line without a second pair of quotes around it.
fn unwrapped(line: &[u8]) -> &[u8] {
    match line {
        [b'"', inner @ .., b'"'] if inner.first().is_some_and(|b| *b != b'"') => inner,
        _ => line,
    }
}

/// `client ident user`, with an optional virtual host in front.
fn client_and_user(text: &[u8]) -> Result<(std::net::IpAddr, &[u8]), RejectReason> {
    let mut words = text.splitn(3, |byte| *byte == b' ');
    let first = words.next().ok_or(RejectReason::Shape)?;
    let second = words.next().ok_or(RejectReason::Shape)?;
    let rest = words.next().ok_or(RejectReason::Shape)?;
    if let Some(client) = parse_address(first) {
        return Ok((client, rest));
    }
    let client = parse_address(second).ok_or(RejectReason::Value)?;
    let user = rest.splitn(2, |byte| *byte == b' ').nth(1).ok_or(RejectReason::Shape)?;
    Ok((client, user))
}

/// The request field and what follows it. Its quotes may be raw: the field ends at
/// the first quote that a status follows.
fn request_field(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut from = 0;
    let mut found = None;
    while let Some(end) = string_end(text, from) {
        let after = &text[end + 1..];
        if matches!(after, [b' ', a, b, c, b' ', ..] if [a, b, c].iter().all(|d| d.is_ascii_digit()))
        {
            if found.is_some() {
                // Two places could end it: raw quotes that a client chose.
                return None;
            }
            found = Some((&text[..end], after));
            if from == 0 {
                // Servers escape quotes, so the first unescaped one is the end.
                return found;
            }
        }
        from = end + 1;
    }
    found
}

/// Whether only quoted or bare words follow, as servers append them.
fn further_fields(mut rest: &[u8]) -> bool {
    while let Some(after) = rest.strip_prefix(b" ") {
        rest = if let Some(quoted) = after.strip_prefix(b"\"") {
            match string_end(quoted, 0) {
                Some(end) => &quoted[end + 1..],
                None => return false,
            }
        } else {
            let end = memchr::memchr(b' ', after).unwrap_or(after.len());
            &after[end..]
        };
    }
    rest.is_empty()
}

/// `method target protocol`; a request that is no HTTP becomes the target.
fn split_request(request: &[u8]) -> (Option<&[u8]>, &[u8], Option<&[u8]>) {
    let Some(first) = memchr::memchr(b' ', request) else {
        return (None, request, None);
    };
    let method = &request[..first];
    if method.is_empty() || method.len() > 32 || !method.iter().all(u8::is_ascii_graphic) {
        return (None, request, None);
    }
    let rest = &request[first + 1..];
    match memchr::memrchr(b' ', rest) {
        Some(last) if rest[last + 1..].starts_with(b"HTTP/") => {
            (Some(method), &rest[..last], Some(&rest[last + 1..]))
        }
        _ => (Some(method), rest, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let mut scratch = Vec::new();
        let shown = match request(line.as_bytes(), &mut scratch, Origin::default()) {
            Ok(r) => format!(
                "{:?} {:?} {:?} {:?} {:?}",
                r.method, r.path, r.query, r.status, r.user_agent
            )
            .replace("Some(", "")
            .replace(')', ""),
            Err(reason) => reason.name().to_owned(),
        };
        assert_eq!(shown, expected, "{line}");
    }

    #[test]
    fn lines_as_servers_write_them() {
        check(
            r#"192.0.2.1 - - [26/Jan/2019:19:45:25 +0330] "GET /a?b=c HTTP/1.1" 200 30975 "-" "ua" "-""#,
            r#""GET" "/a" "b=c" 200 "ua""#,
        );
        check(
            r#""192.0.2.1 - - [26/Jan/2019:19:45:25 +0330] "GET / HTTP/1.1" 200 3 "-" "ua"""#,
            r#""GET" "/" None 200 "ua""#,
        );
        check(
            r#"www.example.com 192.0.2.1 - bob [26/Jan/2019:19:45:25 +0330] "GET / HTTP/1.1" 200 -"#,
            r#""GET" "/" None 200 None"#,
        );
        check(
            r#"192.0.2.1 - - [26/Jan/2019:19:45:25 +0330] "GET /\"a HTTP/1.1" 200 3 "-" "a \"b\"""#,
            r#""GET" "/"a" None 200 "a "b"""#,
        );
    }

    #[test]
    fn requests_that_are_no_http_are_kept() {
        check(
            r#"192.0.2.1 - - [26/Jan/2019:19:45:25 +0330] "\x16\x03\x01" 400 226 "-" "-""#,
            r#"None "\u{16}\u{3}\u{1}" None 400 None"#,
        );
        check(
            r#"192.0.2.1 - - [26/Jan/2019:19:45:25 +0330] "-" 408 - "-" "-""#,
            "None None None 408 None",
        );
    }

    #[test]
    fn other_lines_are_refused() {
        check("hello", "shape");
        check(r#"here - - [26/Jan/2019:19:45:25 +0330] "GET / HTTP/1.1" 200 3 "-" "-""#, "value");
        check(
            r#"192.0.2.1 - - [26/Jan/2019:19:45:25 +0330] "GET / HTTP/1.1" 200 3 id "x""#,
            "shape",
        );
    }
}
