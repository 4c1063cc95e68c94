//! CloudFront standard logs: version 1 (tabs, `#Fields`) and version 2 (W3C, JSON).
//!
//! Values are percent-encoded once by CloudFront, so a client's `%20` stands there
//! as `%2520`: they are decoded once here, and what the client encoded is left to
//! detection. Which fields there are, and in which order, is the owner's choice:
//! `#Fields` is obeyed, wherever it stands.
//!
//! Source: CloudFront guide, "Standard logging (access logs)" (read 2026-11).

use crate::draft::{Draft, Text};
use crate::json::Pull;
use crate::value::parse_whole;
use crate::variable::parse_status;
use crate::{Field, FieldSet, Origin, RejectReason, Request, Timestamp};

use super::{client, keep_to_one_line, milliseconds, unescape_hex};

/// What a field of the log means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Date,
    Time,
    Epoch,
    Client,
    Method,
    HostHeader,
    Distribution,
    Path,
    Query,
    Status,
    Referer,
    UserAgent,
    Cookie,
    Id,
    Bytes,
    Seconds,
    ForwardedFor,
    Protocol,
    Country,
    Other,
}

/// The fields of version 1, for objects whose header is missing.
pub(crate) const VERSION_1: &str = "date time x-edge-location sc-bytes c-ip cs-method cs(Host) \
    cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type \
    x-edge-request-id x-host-header cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol \
    ssl-cipher x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields \
    c-port time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len \
    sc-range-start sc-range-end";

/// Fields a line must have to be one: those of the first years.
const LEAST_COLUMNS: usize = 12;

/// The meaning of a name. Columns of Parquet may hold neither hyphens nor brackets.
fn column(name: &[u8]) -> Column {
    match name {
        b"date" => Column::Date,
        b"time" => Column::Time,
        b"timestamp" | b"timestamp(ms)" => Column::Epoch,
        b"c-ip" | b"c_ip" => Column::Client,
        b"cs-method" | b"cs_method" => Column::Method,
        b"x-host-header" | b"x_host_header" => Column::HostHeader,
        b"cs(Host)" | b"cs_host" => Column::Distribution,
        b"cs-uri-stem" | b"cs_uri_stem" => Column::Path,
        b"cs-uri-query" | b"cs_uri_query" => Column::Query,
        b"sc-status" | b"sc_status" => Column::Status,
        b"cs(Referer)" | b"cs_referer" => Column::Referer,
        b"cs(User-Agent)" | b"cs_user_agent" => Column::UserAgent,
        b"cs(Cookie)" | b"cs_cookie" => Column::Cookie,
        b"x-edge-request-id" | b"x_edge_request_id" => Column::Id,
        b"sc-bytes" | b"sc_bytes" => Column::Bytes,
        b"time-taken" | b"time_taken" => Column::Seconds,
        b"x-forwarded-for" | b"x_forwarded_for" => Column::ForwardedFor,
        b"cs-protocol-version" | b"cs_protocol_version" => Column::Protocol,
        b"c-country" | b"c_country" => Column::Country,
        _ => Column::Other,
    }
}

/// The columns that a `#Fields:` line names; `None` when it is no line of CloudFront.
pub(crate) fn columns(names: &[u8]) -> Option<Vec<Column>> {
    let names = names.split(u8::is_ascii_whitespace).filter(|name| !name.is_empty());
    let columns: Vec<Column> = names.map(column).collect();
    let known = columns.iter().filter(|c| **c != Column::Other).count();
    (known >= 2).then_some(columns)
}

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
        F::Referer,
        F::Protocol,
        F::ResponseBytes,
        F::LatencyMs,
        F::ForwardedFor,
        F::Headers,
    ]
    .into_iter()
    .collect()
}

/// Whether a line without a header before it looks like one of CloudFront.
pub(crate) fn is_line(line: &[u8]) -> bool {
    let mut values = line.split(|byte| *byte == b'\t');
    let dated = values.next().is_some_and(|date| date.len() == 10 && date[4] == b'-')
        && values.next().is_some_and(|time| time.len() == 8 && time[2] == b':');
    dated && values.count() + 2 >= LEAST_COLUMNS
}

/// Whether a JSON object is a record of CloudFront.
pub(crate) fn is_record(text: &[u8]) -> bool {
    let mut known = 0;
    let _ = Pull::new(text).object(|pull, key| {
        let ours = [&b"cs-"[..], b"cs(", b"cs_", b"c-ip", b"c_ip"];
        known += usize::from(ours.iter().any(|start| key.starts_with(start)));
        pull.skip()
    });
    known >= 2
}

/// Reads one line of tab-separated values.
pub(crate) fn request<'o>(
    line: &'o [u8],
    columns: &[Column],
    scratch: &'o mut Vec<u8>,
    origin: Origin<'o>,
) -> Result<Request<'o>, RejectReason> {
    scratch.clear();
    let mut reader = Reader::new(scratch);
    let mut start = 0;
    let mut count = 0;
    for value in line.split(|byte| *byte == b'\t') {
        match columns.get(count) {
            Some(column) => reader.take(*column, value, start)?,
            // Published lines end in a tab.
            None if value.is_empty() => {}
            None => return Err(RejectReason::Shape),
        }
        start += value.len() + 1;
        count += 1;
    }
    if count < columns.len().min(LEAST_COLUMNS) {
        return Err(RejectReason::Shape);
    }
    reader.finish(line, origin)
}

/// Reads the JSON record that `text` begins with; its length too.
pub(crate) fn json_request<'o>(
    text: &'o [u8],
    scratch: &'o mut Vec<u8>,
    origin: Origin<'o>,
) -> Result<(usize, Request<'o>), RejectReason> {
    scratch.clear();
    let mut reader = Reader::new(scratch);
    let mut reason = RejectReason::Shape;
    let mut client_seen = false;
    let mut pull = Pull::new(text);
    let read = pull.object(|pull, key| {
        let column = column(key);
        if column == Column::Other {
            return pull.skip();
        }
        if column == Column::Client && std::mem::replace(&mut client_seen, true) {
            reason = RejectReason::Forged;
            return None;
        }
        let piece = pull.scalar()?.piece;
        reader.take(column, piece.of(text), piece.start).map_err(|error| reason = error).ok()
    });
    read.ok_or(reason)?;
    let length = pull.at;
    Ok((length, reader.finish(text, origin)?))
}

/// A date and a time of day, which stand in two fields.
#[derive(Default)]
struct Moment {
    text: [u8; 19],
    parts: u8,
}

impl Moment {
    fn put(&mut self, at: usize, length: usize, value: &[u8]) {
        if value.len() == length {
            self.text[at..at + length].copy_from_slice(value);
            self.parts += 1;
        }
    }

    fn timestamp(&mut self) -> Option<Timestamp> {
        self.text[10] = b'T';
        (self.parts == 2).then(|| Timestamp::parse_rfc3339(&self.text)).flatten()
    }
}

struct Reader<'s> {
    draft: Draft,
    moment: Moment,
    scratch: &'s mut Vec<u8>,
}

impl<'s> Reader<'s> {
    fn new(scratch: &'s mut Vec<u8>) -> Self {
        let draft = Draft { path_is_whole: true, ..Draft::default() };
        Self { draft, moment: Moment::default(), scratch }
    }

    fn take(&mut self, column: Column, value: &[u8], start: usize) -> Result<(), RejectReason> {
        if value.is_empty() || value == b"-" {
            return Ok(());
        }
        match column {
            Column::Date => self.moment.put(0, 10, value),
            Column::Time => self.moment.put(11, 8, value),
            Column::Epoch => {
                let time = Timestamp::parse_epoch(value).ok_or(RejectReason::Value)?;
                // `timestamp(ms)` says more than `timestamp`.
                self.draft.time_epoch = self.draft.time_epoch.max(Some(time));
            }
            Column::Client => self.draft.client = client(value)?,
            Column::Status => self.draft.status = parse_status(value)?,
            Column::Bytes => self.draft.response_bytes = parse_whole(value)?,
            Column::Seconds => self.draft.latency_ms = milliseconds(value),
            Column::Other => {}
            column => {
                let text = self.text(column, value, start);
                *self.slot(column) = Some(text);
            }
        }
        Ok(())
    }

    fn slot(&mut self, column: Column) -> &mut Option<Text> {
        match column {
            Column::Method => &mut self.draft.method,
            Column::HostHeader => &mut self.draft.host,
            // The viewer's own Host header is worth more than the distribution's name.
            Column::Distribution => &mut self.draft.route,
            Column::Path => &mut self.draft.path,
            Column::Query => &mut self.draft.query,
            Column::Referer => &mut self.draft.referer,
            Column::UserAgent => &mut self.draft.user_agent,
            Column::Cookie => &mut self.draft.headers,
            Column::Id => &mut self.draft.extended_id,
            Column::ForwardedFor => &mut self.draft.forwarded_for,
            Column::Protocol => &mut self.draft.protocol,
            _ => &mut self.draft.country,
        }
    }

    /// The value, decoded once.
    fn text(&mut self, column: Column, value: &[u8], start: usize) -> Text {
        let at = self.scratch.len();
        if column == Column::Cookie {
            self.scratch.extend_from_slice(b"cookie: ");
        } else if memchr::memchr2(b'%', b'\\', value).is_none() {
            return Text::record(start..start + value.len());
        }
        unescape_hex(b"%", value, self.scratch);
        if column == Column::Cookie {
            keep_to_one_line(&mut self.scratch[at..]);
        }
        Text::scratch(at..self.scratch.len())
    }

    fn finish<'o>(
        mut self,
        record: &'o [u8],
        origin: Origin<'o>,
    ) -> Result<Request<'o>, RejectReason>
    where
        's: 'o,
    {
        let distribution = self.draft.route.take();
        self.draft.host = self.draft.host.or(distribution);
        self.draft.time_clf = self.moment.timestamp();
        if self.draft.time_clf.is_none() && self.draft.time_epoch.is_none() {
            return Err(RejectReason::Value);
        }
        Ok(self.draft.finish(record, self.scratch, origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_obeyed_and_values_decoded_once() {
        let columns = columns(b" cs-uri-stem c-ip x sc-status date time cs(User-Agent) time-taken")
            .expect("columns");
        let line = b"/a%2520b\t192.0.2.1\t?\t000\t2024-12-18\t13:30:45\tMozilla/5.0%20(x)\t0.365";
        let mut scratch = Vec::new();
        let r = request(line, &columns, &mut scratch, Origin::default()).expect("a line");
        let text = |field| r.text(field).map(|t| t.escaped().to_string()).unwrap_or_default();
        assert_eq!(text(Field::Path), "/a%20b");
        assert_eq!(text(Field::UserAgent), "Mozilla/5.0 (x)");
        assert_eq!((r.status, r.latency_ms), (None, Some(365)));
        assert_eq!(r.time.map(|t| t.to_string()).as_deref(), Some("2024-12-18T13:30:45.000Z"));
    }

    #[test]
    fn a_line_break_in_a_cookie_is_a_space() {
        let columns = columns(b" date time c-ip cs(Cookie)").expect("columns");
        let line = b"2024-12-18\t13:30:45\t192.0.2.1\ta=1%0D%0Ab=2%250a";
        let mut scratch = Vec::new();
        let r = request(line, &columns, &mut scratch, Origin::default()).expect("a line");
        let headers = r.text(Field::Headers).map(crate::Untrusted::bytes);
        assert_eq!(headers, Some(&b"cookie: a=1  b=2%0a"[..]));
    }

    #[test]
    fn columns_of_parquet_are_known_too() {
        let record = br#"{"date":"2024-12-18","time":"13:30:45","c_ip":"192.0.2.1","cs_uri_stem":"/a","cs_user_agent":"x%20y","sc_status":404}"#;
        assert!(is_record(record));
        let mut scratch = Vec::new();
        let (_, r) = json_request(record, &mut scratch, Origin::default()).expect("a record");
        assert_eq!(r.user_agent.map(crate::Untrusted::bytes), Some(&b"x y"[..]));
        assert_eq!((r.status, r.client.is_some()), (Some(404), true));
    }

    #[test]
    fn json_records_are_read_by_the_same_names() {
        let record = br#"{"timestamp(ms)":"1734528645123","c-ip":"192.0.2.1","cs-uri-stem":"/a","cs-uri-query":"b=%2527","sc-status":"404","x":"-"} "#;
        assert!(is_record(record));
        let mut scratch = Vec::new();
        let (length, r) = json_request(record, &mut scratch, Origin::default()).expect("a record");
        assert_eq!(length, record.len() - 1);
        assert_eq!(r.query.map(crate::Untrusted::bytes), Some(&b"b=%27"[..]));
        assert_eq!(r.time.map(Timestamp::epoch_ms), Some(1_734_528_645_123));
    }
}
