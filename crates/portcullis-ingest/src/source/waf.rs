//! AWS WAF full logs: one JSON object for each request.
//!
//! The only log of an API that holds the query string and every header. Keys that
//! are not needed are passed over, so new ones do no harm; a trusted key that stands
//! twice does.
//!
//! A client may send a header on several lines, and a proxy may add a line of its own.
//! `X-Forwarded-For` is a list, whatever lines it came on, and its last entries are the
//! proxies' own, so all of its lines count. The other headers with a field of their own
//! have one value: servers refuse a second line or keep to the first, so the first is
//! the field, and the others stand among the headers, where they are searched.
//!
//! Sources: AWS WAF guide, "Log fields" and "Log examples" (read 2026-11); RFC 9110, 5.2
//! and 5.3 (field lines).

use crate::cut::{Piece, quote_or_backslash};
use crate::draft::{Draft, Text};
use crate::json::{Leaf, Pull};
use crate::value::{unescape_backslashes, waf_action};
use crate::variable::parse_status;
use crate::{Field, FieldSet, Origin, RejectReason, Request, Timestamp};

use super::{client, keep_to_one_line};

pub(crate) fn fields() -> FieldSet {
    use Field as F;
    [
        F::Id,
        F::Time,
        F::Client,
        F::Method,
        F::Path,
        F::Query,
        F::UserAgent,
        F::Host,
        F::Referer,
        F::Protocol,
        F::ApiId,
        F::Stage,
        F::WafAction,
        F::WafRule,
        F::WafLabels,
        F::Ja3,
        F::Ja4,
        F::Country,
        F::ForwardedFor,
        F::Headers,
    ]
    .into_iter()
    .collect()
}

/// Whether a JSON object is a record of AWS WAF.
pub(crate) fn is_record(text: &[u8]) -> bool {
    let (mut acl, mut request) = (false, false);
    let _ = Pull::new(text).object(|pull, key| {
        acl |= key == b"webaclId";
        request |= key == b"httpRequest";
        pull.skip()
    });
    acl && request
}

/// Headers with a field of their own, in the order of [`Named`].
const NAMED: [&[u8]; 4] = [b"user-agent", b"host", b"referer", b"x-forwarded-for"];
type Named = [Option<Leaf>; NAMED.len()];

/// The place of `X-Forwarded-For` among them.
const FORWARDED_FOR: usize = 3;

/// Keys of a request, in the order and the way that AWS WAF writes them.
const REQUEST_KEYS: [&[u8]; 11] = [
    br#""clientIp":"#,
    br#""country":"#,
    br#""headers":"#,
    br#""uri":"#,
    br#""args":"#,
    br#""httpVersion":"#,
    br#""httpMethod":"#,
    br#""requestId":"#,
    br#""fragment":"#,
    br#""scheme":"#,
    br#""host":"#,
];

/// What stood between the time and the request of the last record that was read piece by
/// piece: half of a record, and the same for most of an access control list.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    text: Vec<u8>,
    /// What it says; its texts stand at the same place in each record.
    draft: Draft,
    seen: u8,
}

/// What records begin with, before their time.
const BEFORE_TIME: &[u8] = br#"{"timestamp":"#;

/// Digits of a time.
const TIME_BYTES: usize = 13;

/// Where what follows the time begins.
const BEHIND_TIME: usize = BEFORE_TIME.len() + TIME_BYTES;

/// The time of a record that begins with it, and what stands behind.
fn time_first(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (time, behind) = text.strip_prefix(BEFORE_TIME)?.split_at_checked(TIME_BYTES)?;
    (time.iter().all(u8::is_ascii_digit) && behind.starts_with(b",")).then_some((time, behind))
}

impl Memory {
    /// The time of a record that goes on as the one before did.
    fn knows(&self, text: &[u8]) -> Option<Timestamp> {
        let (time, behind) = time_first(text)?;
        let is_known = !self.text.is_empty() && behind.starts_with(&self.text);
        if is_known { Timestamp::parse_epoch(time) } else { None }
    }
}

struct Reader<'s> {
    draft: Draft,
    scratch: &'s mut Vec<u8>,
    memory: &'s mut Memory,
    reason: RejectReason,
    seen: u8,
    headers: Named,
    /// Lines of `X-Forwarded-For` behind the first.
    more_forwarded: Vec<Leaf>,
}

/// Reads the record that `text` begins with; its length too.
pub(crate) fn request<'o>(
    text: &'o [u8],
    scratch: &'o mut Vec<u8>,
    memory: &mut Memory,
    origin: Origin<'o>,
) -> Result<(usize, Request<'o>), RejectReason> {
    scratch.clear();
    let known = memory.knows(text);
    let mut reader = Reader {
        draft: match known {
            Some(time) => Draft { time_epoch: Some(time), ..memory.draft.clone() },
            None => Draft { path_is_whole: true, ..Draft::default() },
        },
        scratch,
        memory,
        reason: RejectReason::Shape,
        seen: 0,
        headers: Named::default(),
        more_forwarded: Vec::new(),
    };
    let mut pull = Pull::new(text);
    let read = match known {
        Some(_) => reader.behind_known(text, &mut pull),
        None => pull.object(|pull, key| reader.top(text, pull, key)),
    };
    if read.is_none() {
        return Err(reader.reason);
    }
    if reader.seen & TIME == 0 || reader.seen & CLIENT == 0 {
        return Err(RejectReason::Shape);
    }
    let [user_agent, host, referer, forwarded_for] =
        reader.headers.map(|value| value.map(|value| unescaped(text, value, reader.scratch)));
    let mut draft = reader.draft;
    draft.user_agent = user_agent;
    draft.host = host.or(draft.host);
    draft.referer = referer;
    draft.forwarded_for = match reader.headers[FORWARDED_FOR] {
        Some(first) if !reader.more_forwarded.is_empty() => {
            Some(one_list(text, first, &reader.more_forwarded, reader.scratch))
        }
        _ => forwarded_for,
    };
    Ok((pull.at, draft.finish(text, scratch, origin)))
}

// Trusted keys that were seen.
const TIME: u8 = 1;
const CLIENT: u8 = 2;
const ACTION: u8 = 4;
const ID: u8 = 8;

impl Reader<'_> {
    /// Notes a trusted key; `None` when it stands twice.
    fn once(&mut self, key: u8) -> Option<()> {
        if self.seen & key != 0 {
            self.reason = RejectReason::Forged;
            return None;
        }
        self.seen |= key;
        Some(())
    }

    fn typed<T>(&mut self, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.reason = RejectReason::Value;
        }
        value
    }

    /// A string, or nothing where the value is `null`; `None` when it is neither.
    fn text(&mut self, text: &[u8], pull: &mut Pull<'_>) -> Option<Text> {
        let leaf = pull.scalar()?;
        if leaf.quoted {
            Some(unescaped(text, leaf, self.scratch))
        } else {
            Some(Text::record(0..0))
        }
    }

    fn top<'t>(&mut self, text: &'t [u8], pull: &mut Pull<'t>, key: &[u8]) -> Option<()> {
        match key {
            b"timestamp" => {
                self.once(TIME)?;
                let value = pull.scalar()?.piece.of(text);
                self.draft.time_epoch = Some(self.typed(Timestamp::parse_epoch(value))?);
            }
            b"action" => {
                self.once(ACTION)?;
                self.draft.waf_action = waf_action(pull.scalar()?.piece.of(text));
            }
            b"terminatingRuleId" => self.draft.waf_rule = Some(self.text(text, pull)?),
            b"ja3Fingerprint" => self.draft.ja3 = Some(self.text(text, pull)?),
            b"ja4Fingerprint" => self.draft.ja4 = Some(self.text(text, pull)?),
            b"responseCodeSent" => {
                let value = pull.scalar()?.piece.of(text);
                if value != b"null" {
                    self.draft.status = self.typed(parse_status(value).ok())?;
                }
            }
            b"httpSourceId" => {
                let leaf = pull.scalar()?;
                self.source(text, leaf.piece);
            }
            b"labels" => self.labels(text, pull)?,
            b"httpRequest" => {
                self.remember(text, pull.at);
                pull.usual_object(&REQUEST_KEYS, |pull, key| self.http_request(text, pull, key))?;
            }
            _ => pull.skip()?,
        }
        Some(())
    }

    /// Remembers what stands before the request, if it begins there, and can be told again.
    fn remember(&mut self, text: &[u8], end: usize) {
        let is_plain = self.seen & CLIENT == 0 && self.scratch.is_empty();
        if is_plain && time_first(text).is_some() {
            self.memory.text.clear();
            self.memory.text.extend_from_slice(&text[BEHIND_TIME..end]);
            self.memory.draft = self.draft.clone();
            self.memory.seen = self.seen;
        }
    }

    /// Reads a record from its request on, when what stands before is known.
    fn behind_known<'t>(&mut self, text: &'t [u8], pull: &mut Pull<'t>) -> Option<()> {
        self.seen = self.memory.seen;
        pull.at = BEHIND_TIME + self.memory.text.len();
        pull.usual_object(&REQUEST_KEYS, |pull, key| self.http_request(text, pull, key))?;
        pull.other_members(|pull, key| self.top(text, pull, key))
    }

    /// `<account>:<api id>:<stage>`, for API Gateway.
    fn source(&mut self, text: &[u8], piece: Piece) {
        let mut parts = piece.of(text).split(|byte| *byte == b':');
        if let (Some(account), Some(api), Some(stage), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        {
            let api_start = piece.start + account.len() + 1;
            let stage_start = api_start + api.len() + 1;
            self.draft.api_id = Some(Text::record(api_start..api_start + api.len()));
            self.draft.stage = Some(Text::record(stage_start..stage_start + stage.len()));
        }
    }

    fn labels<'t>(&mut self, text: &'t [u8], pull: &mut Pull<'t>) -> Option<()> {
        let start = self.scratch.len();
        pull.array(|pull| {
            pull.object(|pull, key| {
                if key != b"name" {
                    return pull.skip();
                }
                if self.scratch.len() > start {
                    self.scratch.push(b',');
                }
                self.scratch.extend_from_slice(pull.scalar()?.piece.of(text));
                Some(())
            })
        })?;
        self.draft.waf_labels = Some(Text::scratch(start..self.scratch.len()));
        Some(())
    }

    fn http_request<'t>(&mut self, text: &'t [u8], pull: &mut Pull<'t>, key: &[u8]) -> Option<()> {
        match key {
            b"clientIp" => {
                self.once(CLIENT)?;
                let value = pull.scalar()?.piece.of(text);
                self.draft.client = self.typed(client(value).ok())?;
            }
            b"requestId" => {
                self.once(ID)?;
                let id = pull.scalar()?;
                let absent = matches!(id.piece.of(text), b"null" | b"-");
                self.draft.extended_id = (!absent).then(|| unescaped(text, id, self.scratch));
            }
            b"country" => {
                let leaf = pull.scalar()?;
                self.draft.country = (leaf.piece.of(text) != b"-" && leaf.quoted)
                    .then_some(Text::record(leaf.piece.start..leaf.piece.end));
            }
            b"uri" => self.draft.path = Some(self.text(text, pull)?),
            b"args" => self.draft.query = Some(self.text(text, pull)?),
            b"httpMethod" => self.draft.method = Some(self.text(text, pull)?),
            b"httpVersion" => self.draft.protocol = Some(self.text(text, pull)?),
            b"host" => self.draft.host = Some(self.text(text, pull)?),
            b"headers" => self.headers(text, pull)?,
            _ => pull.skip()?,
        }
        Some(())
    }

    fn headers<'t>(&mut self, text: &'t [u8], pull: &mut Pull<'t>) -> Option<()> {
        let (start, begun, named) = (self.scratch.len(), pull.at, self.headers);
        let more_forwarded = self.more_forwarded.len();
        self.each_header(text, pull, LineBreaks::Escaped)?;
        // JSON has line breaks in no string. Who wrote one there, or between headers, has
        // them read again.
        if memchr::memchr2(b'\n', b'\r', &text[begun..pull.at]).is_some() {
            self.scratch.truncate(start);
            (pull.at, self.headers) = (begun, named);
            self.more_forwarded.truncate(more_forwarded);
            self.each_header(text, pull, LineBreaks::Anywhere)?;
        }
        self.draft.headers = Some(Text::scratch(start..self.scratch.len()));
        Some(())
    }

    fn each_header<'t>(
        &mut self,
        text: &'t [u8],
        pull: &mut Pull<'t>,
        breaks: LineBreaks,
    ) -> Option<()> {
        pull.array(|pull| {
            pull.peek()?;
            if let Some((name, value, end)) = plain_header(text, pull.at) {
                pull.at = end;
                self.header(text, name, value, breaks);
                return Some(());
            }
            let (mut name, mut value) = (None, None);
            pull.object(|pull, key| {
                match key {
                    b"name" => name = Some(pull.scalar()?),
                    // An example of the guide has `myValue`.
                    b"value" | b"myValue" => value = Some(pull.scalar()?),
                    _ => pull.skip()?,
                }
                Some(())
            })?;
            if let (Some(name), Some(value)) = (name, value) {
                self.header(text, name, value, breaks);
            }
            Some(())
        })
    }

    fn header(&mut self, text: &[u8], name: Leaf, value: Leaf, breaks: LineBreaks) {
        let raw_name = name.piece.of(text);
        let named = NAMED.iter().position(|known| raw_name.eq_ignore_ascii_case(known));
        if let Some(index) = named {
            if self.headers[index].is_none() {
                self.headers[index] = Some(value);
                return;
            }
            if index == FORWARDED_FOR {
                self.more_forwarded.push(value);
            }
        }
        let at = self.scratch.len();
        self.put(text, name);
        self.scratch.extend_from_slice(b": ");
        self.put(text, value);
        if breaks == LineBreaks::Anywhere || name.escaped || value.escaped {
            keep_to_one_line(&mut self.scratch[at..]);
        }
        self.scratch.push(b'\n');
    }

    fn put(&mut self, text: &[u8], part: Leaf) {
        let written = part.piece.of(text);
        if part.escaped {
            unescape_backslashes(written, self.scratch);
        } else {
            self.scratch.extend_from_slice(written);
        }
    }
}

/// Where a line break of a header may come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LineBreaks {
    /// From an escape.
    Escaped,
    /// It may also stand there as it is.
    Anywhere,
}

/// The text of a value, unescaped when it has to be.
fn unescaped(record: &[u8], value: Leaf, scratch: &mut Vec<u8>) -> Text {
    let Piece { start, end } = value.piece;
    if !value.escaped {
        return Text::record(start..end);
    }
    let begun = scratch.len();
    unescape_backslashes(&record[start..end], scratch);
    Text::scratch(begun..scratch.len())
}

/// Several lines of one header as the list that they are.
fn one_list(record: &[u8], first: Leaf, more: &[Leaf], scratch: &mut Vec<u8>) -> Text {
    let begun = scratch.len();
    unescape_backslashes(first.piece.of(record), scratch);
    for line in more {
        scratch.extend_from_slice(b", ");
        unescape_backslashes(line.piece.of(record), scratch);
    }
    Text::scratch(begun..scratch.len())
}

/// The name and the value of the header at that place, and its end, where it is written the
/// way AWS WAF writes it and needs no unescaping; most of a record is headers.
fn plain_header(text: &[u8], at: usize) -> Option<(Leaf, Leaf, usize)> {
    let string = |at: usize, before: &[u8]| {
        let start = at + before.len();
        text.get(at..)?.starts_with(before).then_some(())?;
        let end = quote_or_backslash(text, start).filter(|end| text[*end] == b'"')?;
        Some(Leaf { piece: Piece { start, end }, quoted: true, escaped: false })
    };
    let name = string(at, br#"{"name":""#)?;
    let value = string(name.piece.end, br#"","value":""#)?;
    let end = value.piece.end;
    text[end..].starts_with(br#""}"#).then_some((name, value, end + 2))
}

#[cfg(test)]
mod tests;
