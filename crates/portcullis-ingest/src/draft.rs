//! A request in the making.
//!
//! Decoding may have to write text (unescaped values, joined headers) to a scratch
//! buffer that still grows, so a draft keeps ranges and becomes a borrowing
//! [`Request`] only when everything is written.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::Range;

use crate::{Origin, Request, Timestamp, Untrusted, WafAction};

/// Text of a request: a part of the record, or of the scratch buffer. Small, because
/// a draft holds two dozen of them for every record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    start: u32,
    /// Twice the length, one more in the scratch buffer, plus one so as not to be 0.
    length_and_place: NonZeroU32,
}

impl Text {
    /// A part of the record.
    pub(crate) fn record(range: Range<usize>) -> Self {
        Self::new(&range, 0)
    }

    /// A part of the scratch buffer.
    pub(crate) fn scratch(range: Range<usize>) -> Self {
        Self::new(&range, 1)
    }

    fn new(range: &Range<usize>, place: u32) -> Self {
        // Records are limited to a few MiB; envelopes unpack to no more than they are.
        let length = u32::try_from(range.len()).expect("a record has under 2 GiB");
        let start = u32::try_from(range.start).expect("a record has under 2 GiB");
        Self { start, length_and_place: NonZeroU32::MIN.saturating_add(length * 2 + place) }
    }

    /// Whether it stands in the scratch buffer.
    pub(crate) fn is_scratch(self) -> bool {
        (self.length_and_place.get() - 1) % 2 == 1
    }

    /// Where it stands.
    pub(crate) fn range(self) -> Range<usize> {
        let length = (self.length_and_place.get() - 1) / 2;
        self.start as usize..(self.start + length) as usize
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub(crate) extended_id: Option<Text>,
    pub(crate) request_id: Option<Text>,
    pub(crate) client: Option<IpAddr>,
    pub(crate) time_clf: Option<Timestamp>,
    pub(crate) time_epoch: Option<Timestamp>,
    pub(crate) method: Option<Text>,
    /// The request target: a `?` begins the query, unless `path_is_whole`.
    pub(crate) path: Option<Text>,
    /// Whether the query is logged apart from the path.
    pub(crate) path_is_whole: bool,
    pub(crate) query: Option<Text>,
    pub(crate) route: Option<Text>,
    pub(crate) status: Option<u16>,
    pub(crate) user_agent: Option<Text>,
    pub(crate) host: Option<Text>,
    pub(crate) referer: Option<Text>,
    pub(crate) protocol: Option<Text>,
    pub(crate) response_bytes: Option<u64>,
    pub(crate) latency_ms: Option<u64>,
    pub(crate) api_id: Option<Text>,
    pub(crate) stage: Option<Text>,
    pub(crate) api_key_id: Option<Text>,
    pub(crate) principal: Option<(u8, Text)>,
    pub(crate) error_type: Option<Text>,
    pub(crate) waf_action: Option<WafAction>,
    pub(crate) waf_rule: Option<Text>,
    pub(crate) waf_labels: Option<Text>,
    pub(crate) ja3: Option<Text>,
    pub(crate) ja4: Option<Text>,
    pub(crate) country: Option<Text>,
    pub(crate) forwarded_for: Option<Text>,
    pub(crate) headers: Option<Text>,
}

impl Draft {
    /// The request. `record` and `scratch` are what the draft's ranges point into.
    pub(crate) fn finish<'o>(
        self,
        record: &'o [u8],
        scratch: &'o [u8],
        origin: Origin<'o>,
    ) -> Request<'o> {
        let bytes = |text: Text| {
            if text.is_scratch() { &scratch[text.range()] } else { &record[text.range()] }
        };
        let text = |text: Option<Text>| {
            text.map(bytes).filter(|text| !text.is_empty()).map(Untrusted::new)
        };
        let (path, logged_query) = match self.path.map(bytes) {
            Some(path) if self.path_is_whole => (present(path), None),
            Some(target) => split_target(target),
            None => (None, None),
        };
        Request {
            id: text(self.extended_id.or(self.request_id)),
            request_id: self.extended_id.and_then(|_| text(self.request_id)),
            time: self.time_epoch.or(self.time_clf),
            client: self.client,
            method: text(self.method),
            path: path.map(Untrusted::new),
            query: text(self.query).or(logged_query.map(Untrusted::new)),
            route: text(self.route),
            status: self.status,
            user_agent: text(self.user_agent),
            host: text(self.host),
            referer: text(self.referer),
            protocol: text(self.protocol),
            response_bytes: self.response_bytes,
            latency_ms: self.latency_ms,
            api_id: text(self.api_id),
            stage: text(self.stage),
            api_key_id: text(self.api_key_id),
            principal: text(self.principal.map(|(_, text)| text)),
            error_type: text(self.error_type),
            waf_action: self.waf_action,
            waf_rule: text(self.waf_rule),
            waf_labels: text(self.waf_labels),
            ja3: text(self.ja3),
            ja4: text(self.ja4),
            country: text(self.country),
            forwarded_for: text(self.forwarded_for),
            headers: text(self.headers),
            time_is_of_object: false,
            waf_is_unknown: false,
            origin,
        }
    }
}

/// Splits a request target into path and query; an empty part is absent.
pub(crate) fn split_target(target: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    match memchr::memchr(b'?', target) {
        Some(mark) => (present(&target[..mark]), present(&target[mark + 1..])),
        None => (present(target), None),
    }
}

fn present(text: &[u8]) -> Option<&[u8]> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_split_at_its_first_question_mark() {
        assert_eq!(split_target(b"/a?b?c"), (Some(&b"/a"[..]), Some(&b"b?c"[..])));
        assert_eq!(split_target(b"/a?"), (Some(&b"/a"[..]), None));
    }
}
