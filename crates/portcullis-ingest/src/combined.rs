//! Apache's and nginx's combined log format.
//!
//! `client ident user [time] "request" status bytes "referer" "user agent"`, with
//! backslash escapes in the quoted fields. Servers and people vary it: a virtual
//! host in front, further quoted fields at the end, the whole line in quotes once
//! more, requests that are no HTTP at all. The common format (without the last two
//! fields) is accepted too.
//!
//! Virtual host and user are what a client sends, and nothing in them is escaped but quotes.
//! A line in which they leave two places for the client, or two for the time, is refused. A
//! user is no principal: servers log the name that a client says, whoever asked for one.
//!
//! Source: Apache HTTP Server, "Log Files"; nginx, `ngx_http_log_module`.

pub(crate) mod plain;

use std::net::IpAddr;

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
    ]
    .into_iter()
    .collect()
}

/// What the lines of an object begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Front {
    /// The client, or a virtual host.
    Unknown,
    Client,
    /// A virtual host, which a client may choose by its `Host` header.
    Host,
}

impl Front {
    /// What lines begin with that have the address of a client in only one place.
    pub(crate) fn of<'l>(lines: impl Iterator<Item = &'l [u8]>) -> Self {
        let mut known = Self::Unknown;
        for line in lines {
            match read(line, Self::Unknown) {
                Ok(Line { front, .. }) if known == Self::Unknown => known = front,
                Ok(Line { front, .. }) if known != front => return Self::Unknown,
                _ => {}
            }
        }
        known
    }
}

/// The fields of a line, as they are written there.
struct Line<'o> {
    front: Front,
    client: IpAddr,
    time: Timestamp,
    request: &'o [u8],
    status: Option<u16>,
    response_bytes: Option<u64>,
    referer: Option<&'o [u8]>,
    user_agent: Option<&'o [u8]>,
}

/// Reads one line, whatever is in it; [`plain`] is quicker.
pub(crate) fn request<'o>(
    line: &'o [u8],
    front: Front,
    scratch: &'o mut Vec<u8>,
    origin: Origin<'o>,
) -> Result<Request<'o>, RejectReason> {
    Ok(build(&read(line, front)?, scratch, origin))
}

/// Most times in a line that may be the request's. Each quoted field can end in one.
const MOST_TIMES: usize = 16;

/// The one way to read a line. A user is a client's text and may hold brackets, so every
/// time in brackets is tried that a quoted field follows.
fn read(line: &[u8], front: Front) -> Result<Line<'_>, RejectReason> {
    let line = unwrapped(line);
    let mut found = Err(RejectReason::Shape);
    let mut tried = 0;
    for bracket in memchr::memmem::find_iter(line, b" [") {
        let Some((time, rest)) = time_and_rest(&line[bracket + 2..]) else {
            if tried == 0 {
                found = Err(RejectReason::Value);
            }
            continue;
        };
        if tried == MOST_TIMES {
            return Err(RejectReason::Ambiguous);
        }
        tried += 1;
        match (behind_time(&line[..bracket], front, time, rest), &found) {
            (Ok(_), Ok(_)) | (Err(RejectReason::Ambiguous), _) => {
                return Err(RejectReason::Ambiguous);
            }
            (Ok(line), Err(_)) => found = Ok(line),
            (Err(reason), Err(_)) if tried == 1 => found = Err(reason),
            (Err(_), _) => {}
        }
    }
    found
}

/// The time that a bracket holds, and what stands behind the next quote.
fn time_and_rest(text: &[u8]) -> Option<(Timestamp, &[u8])> {
    let close = memchr::memchr(b']', &text[..text.len().min(MOST_TIME_BYTES)])?;
    let rest = text[close..].strip_prefix(b"] \"")?;
    Some((value::parse_time(&text[..close])?, rest))
}

/// Bytes in which a time and its bracket end.
const MOST_TIME_BYTES: usize = 64;

/// Reads a line whose time ends behind `before`; `rest` begins with the request.
fn behind_time<'o>(
    before: &[u8],
    front: Front,
    time: Timestamp,
    rest: &'o [u8],
) -> Result<Line<'o>, RejectReason> {
    let shape = RejectReason::Shape;
    let (request, rest) = request_field(rest).ok_or(shape)?;
    let mut parts = rest.strip_prefix(b" ").ok_or(shape)?.splitn(3, |byte| *byte == b' ');
    let status = parse_status(parts.next().ok_or(shape)?)?;
    let response_bytes = match parts.next().ok_or(shape)? {
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
    let (front, client) = client(before, front)?;
    Ok(Line { front, client, time, request, status, response_bytes, referer, user_agent })
}

fn build<'o>(line: &Line<'o>, scratch: &'o mut Vec<u8>, origin: Origin<'o>) -> Request<'o> {
    scratch.clear();
    let mut unescaped = |text: &'o [u8]| {
        memchr::memchr(b'\\', text).map(|_| {
            let start = scratch.len();
            unescape_backslashes(text, scratch);
            start..scratch.len()
        })
    };
    let request_range = unescaped(line.request);
    let referer_range = line.referer.and_then(&mut unescaped);
    let agent_range = line.user_agent.and_then(&mut unescaped);
    let scratch: &'o [u8] = scratch;
    let plain = |range: Option<std::ops::Range<usize>>, text: &'o [u8]| {
        range.map_or(text, |range| &scratch[range])
    };
    let present = |text: &'o [u8]| (!text.is_empty() && text != b"-").then(|| Untrusted::new(text));
    let (method, target, protocol) = split_request(plain(request_range, line.request));
    let (path, query) = split_target(target);
    Request {
        time: Some(line.time),
        client: Some(line.client),
        method: method.and_then(present),
        path: path.and_then(present),
        query: query.map(Untrusted::new),
        status: line.status,
        user_agent: line.user_agent.map(|text| plain(agent_range, text)).and_then(present),
        referer: line.referer.map(|text| plain(referer_range, text)).and_then(present),
        protocol: protocol.map(Untrusted::new),
        response_bytes: line.response_bytes,
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

/// The client in `client ident user`, with an optional virtual host in front.
///
/// Host and user are a client's text, and either may hold an address: the client is the
/// only one that an ident and a user follow, or stands where the object's lines have it.
fn client(text: &[u8], front: Front) -> Result<(Front, IpAddr), RejectReason> {
    const BEHIND: usize = 2;
    let words = memchr::memchr_iter(b' ', text).count() + 1;
    let candidates = words.checked_sub(BEHIND).filter(|count| *count > 0);
    let candidates = candidates.ok_or(RejectReason::Shape)?;
    let mut addresses = text
        .split(|byte| *byte == b' ')
        .take(candidates)
        .enumerate()
        .filter_map(|(place, word)| Some((place, parse_address(word)?)));
    match (addresses.next(), addresses.next(), addresses.next()) {
        (Some((0, client)), None, _) => Ok((Front::Client, client)),
        (Some((0, client)), Some(_), _) if front == Front::Client => Ok((front, client)),
        (Some((0, _)), Some((1, client)), None) if front == Front::Host => Ok((front, client)),
        (Some((1, client)), None, _) => Ok((Front::Host, client)),
        (Some(_), Some(_), _) => Err(RejectReason::Ambiguous),
        _ => Err(RejectReason::Value),
    }
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
        let shown = match request(line.as_bytes(), Front::Unknown, &mut scratch, Origin::default())
        {
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
