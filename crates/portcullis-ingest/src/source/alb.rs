//! Access logs of Application Load Balancers.
//!
//! Fields are separated by blanks, texts are in double quotes, and a `"` within is
//! written `\x22`. New fields are appended: what follows the known ones is ignored.
//!
//! Source: Elastic Load Balancing guide, "Access log entries" (read 2026-11).

use crate::draft::{Draft, Text};
use crate::value::parse_whole;
use crate::variable::parse_status;
use crate::{Field, FieldSet, Origin, RejectReason, Request, Timestamp, WafAction};

use super::{client, milliseconds, unescape_hex};

pub(crate) fn fields() -> FieldSet {
    use Field as F;
    [
        F::Id,
        F::Time,
        F::Client,
        F::Method,
        F::Path,
        F::Query,
        F::Status,
        F::UserAgent,
        F::Host,
        F::Protocol,
        F::ResponseBytes,
        F::LatencyMs,
        F::WafAction,
    ]
    .into_iter()
    .collect()
}

/// Fields a line must have: up to the user agent. Later ones came with the years.
const LEAST_FIELDS: usize = 14;
/// Fields that are read: up to `actions_executed`.
const READ_FIELDS: usize = 23;

// Positions of the fields that are used.
const TIME: usize = 1;
const CLIENT: usize = 3;
const TIMES: std::ops::Range<usize> = 5..8;
const STATUS: usize = 8;
const SENT_BYTES: usize = 11;
const REQUEST: usize = 12;
const USER_AGENT: usize = 13;
const TRACE_ID: usize = 17;
const DOMAIN: usize = 18;
const CREATION_TIME: usize = 21;
const ACTIONS: usize = 22;

/// Whether a line looks like one of a load balancer.
pub(crate) fn is_line(line: &[u8]) -> bool {
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let kind = words.next().unwrap_or_default();
    matches!(kind, b"http" | b"https" | b"h2" | b"grpc" | b"grpcs" | b"ws" | b"wss")
        && words.next().is_some_and(|time| Timestamp::parse_rfc3339(time).is_some())
        && words.next().is_some_and(|name| name.starts_with(b"app/"))
}

/// Reads one line.
pub(crate) fn request<'o>(
    line: &'o [u8],
    scratch: &'o mut Vec<u8>,
    origin: Origin<'o>,
) -> Result<Request<'o>, RejectReason> {
    let mut values: [&[u8]; READ_FIELDS] = [b"-"; READ_FIELDS];
    let count = split(line, &mut values).ok_or(RejectReason::Shape)?;
    if count < LEAST_FIELDS {
        return Err(RejectReason::Shape);
    }
    let invalid = RejectReason::Value;
    let mut draft = Draft { client: client(without_port(values[CLIENT]))?, ..Draft::default() };
    let time = Timestamp::parse_rfc3339(values[TIME]).ok_or(invalid)?;
    draft.time_epoch = Timestamp::parse_rfc3339(values[CREATION_TIME]).or(Some(time));
    if values[STATUS] != b"-" {
        draft.status = parse_status(values[STATUS])?;
    }
    draft.response_bytes = match values[SENT_BYTES] {
        b"-" => None,
        bytes => parse_whole(bytes)?,
    };
    // The three times add up to the client's wait; -1 means "was not dispatched".
    draft.latency_ms = values[TIMES].iter().map(|time| milliseconds(time)).sum();
    draft.waf_action = match values[ACTIONS] {
        b"waf" => Some(WafAction::Block),
        actions if actions.starts_with(b"waf,") => Some(WafAction::Allow),
        _ => None,
    };
    scratch.clear();
    let mut text = |raw: &[u8]| {
        let start = offset(line, raw);
        if memchr::memmem::find(raw, b"\\x").is_none() {
            return Text::record(start..start + raw.len());
        }
        let start = scratch.len();
        unescape_hex(b"\\x", raw, scratch);
        Text::scratch(start..scratch.len())
    };
    let mut present = |raw: &[u8]| (!raw.is_empty() && raw != b"-").then(|| text(raw));
    draft.user_agent = present(values[USER_AGENT]);
    draft.request_id = present(trace(values[TRACE_ID]));
    draft.host = present(values[DOMAIN]);
    let (method, url, protocol) = split_request(values[REQUEST]);
    draft.method = present(method);
    draft.protocol = present(protocol);
    let (authority, target) = split_url(url);
    draft.path = present(target);
    if draft.host.is_none() && !authority.is_empty() {
        draft.host = present(without_port(authority));
    }
    Ok(draft.finish(line, scratch, origin))
}

/// Splits at blanks outside quotes; how many values there were, `None` when a quote
/// is not closed.
fn split<'l>(line: &'l [u8], values: &mut [&'l [u8]; READ_FIELDS]) -> Option<usize> {
    let mut rest = line;
    let mut count = 0;
    while !rest.is_empty() {
        let (value, after) = if let Some(quoted) = rest.strip_prefix(b"\"") {
            let end = memchr::memchr(b'"', quoted)?;
            (&quoted[..end], &quoted[end + 1..])
        } else {
            rest.split_at(memchr::memchr(b' ', rest).unwrap_or(rest.len()))
        };
        if count < READ_FIELDS {
            values[count] = value;
        }
        count += 1;
        rest = match after.split_first() {
            Some((b' ', after)) => after,
            Some(_) => return None,
            None => after,
        };
    }
    Some(count)
}

fn offset(line: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - line.as_ptr() as usize
}

fn without_port(text: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', text) {
        Some(colon) if text[colon + 1..].iter().all(u8::is_ascii_digit) => {
            let host = &text[..colon];
            host.strip_prefix(b"[").and_then(|h| h.strip_suffix(b"]")).unwrap_or(host)
        }
        _ => text,
    }
}

/// `Self=…;Root=…` → the root's id.
fn trace(value: &[u8]) -> &[u8] {
    let root = value.split(|byte| *byte == b';').find_map(|part| part.strip_prefix(b"Root="));
    root.unwrap_or(value)
}

fn split_request(request: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let absent: &[u8] = b"-";
    let Some(first) = memchr::memchr(b' ', request) else {
        return (absent, request, absent);
    };
    let (method, rest) = (&request[..first], &request[first + 1..]);
    match memchr::memrchr(b' ', rest) {
        Some(last) => (method, &rest[..last], &rest[last + 1..]),
        None => (method, rest, absent),
    }
}

/// `protocol://host:port/target` → host with port, and target.
fn split_url(url: &[u8]) -> (&[u8], &[u8]) {
    let Some(scheme) = memchr::memmem::find(&url[..url.len().min(8)], b"://") else {
        return (b"", url);
    };
    let rest = &url[scheme + 3..];
    match rest.iter().position(|byte| matches!(byte, b'/' | b'?')) {
        Some(end) => rest.split_at(end),
        // Of a request that is malformed the target is `-`.
        None => (rest.strip_suffix(b"-").unwrap_or(rest), b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"https 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 [2001:db8::1]:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://www.example.com:443/a?b=\x22 HTTP/1.1" "curl/7.46.0" ECDHE TLSv1.2 arn:x "Root=1-58337281-1d84f3d73c47ec4e58577259" "www.example.com" "arn:y" 1 2018-07-02T22:22:48.364000Z "waf,forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_1 "-" new"#;

    #[test]
    fn a_malformed_request_has_a_host_and_no_target() {
        assert_eq!(
            split_url(b"http://www.example.com:80-"),
            (&b"www.example.com:80"[..], &b""[..])
        );
        assert_eq!(split_url(b"http://-:80-"), (&b"-:80"[..], &b""[..]));
        assert_eq!(split_url(b"https://a.example:443/-"), (&b"a.example:443"[..], &b"/-"[..]));
    }

    #[test]
    fn a_line_with_fields_to_come_is_read() {
        assert!(is_line(LINE.as_bytes()));
        let mut scratch = Vec::new();
        let r = request(LINE.as_bytes(), &mut scratch, Origin::default()).expect("a line");
        let text = |field| r.text(field).map(|t| t.escaped().to_string()).unwrap_or_default();
        assert_eq!(r.client.map(|c| c.to_string()).as_deref(), Some("2001:db8::1"));
        assert_eq!(r.time.map(|t| t.to_string()).as_deref(), Some("2018-07-02T22:22:48.364Z"));
        assert_eq!((text(Field::Path), text(Field::Query)), ("/a".to_owned(), "b=\"".to_owned()));
        assert_eq!(text(Field::Id), "1-58337281-1d84f3d73c47ec4e58577259");
        assert_eq!((r.status, r.response_bytes, r.latency_ms), (Some(200), Some(57), Some(171)));
        assert_eq!(r.waf_action, Some(WafAction::Allow));
    }

    #[test]
    fn other_lines_are_refused() {
        let mut scratch = Vec::new();
        for line in ["", "hello", &LINE[..150], &LINE.replace("[2001:db8::1]:2817", "nobody")] {
            assert!(request(line.as_bytes(), &mut scratch, Origin::default()).is_err(), "{line}");
        }
    }
}
