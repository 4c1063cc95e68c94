//! Joins AWS WAF's records with access logs, by extended request id.
//!
//! The access log knows status, latency and principal; AWS WAF's log knows the query
//! string, the headers and which of its rules matched. Joined, one request tells
//! both. The table of WAF records is bounded: what does not fit is counted, and
//! reported as a request of its own, as is what finds no partner.
//!
//! That `httpRequest.requestId` of AWS WAF is API Gateway's `extendedRequestId` is
//! inferred from documented samples of both; it is not confirmed on a live stage.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{Request, Untrusted, WafAction};

/// AWS WAF records by request id, waiting for their access-log record.
#[derive(Debug)]
pub struct Join {
    /// What each id's record adds.
    records: HashMap<Box<[u8]>, Added>,
    max_bytes: usize,
    bytes: usize,
    not_kept: u64,
    unmatched_requests: AtomicU64,
}

/// What a WAF record adds to a request.
#[derive(Debug)]
struct Added {
    /// In the order of [`texts`].
    texts: [Option<Box<[u8]>>; ADDED_TEXTS],
    action: Option<WafAction>,
    matched: AtomicBool,
}

const ADDED_TEXTS: usize = 11;

/// The texts of a request that AWS WAF's record may add.
fn texts<'r, 'o>(request: &'r mut Request<'o>) -> [&'r mut Option<Untrusted<'o>>; ADDED_TEXTS] {
    [
        &mut request.query,
        &mut request.headers,
        &mut request.referer,
        &mut request.user_agent,
        &mut request.host,
        &mut request.forwarded_for,
        &mut request.waf_rule,
        &mut request.waf_labels,
        &mut request.ja3,
        &mut request.ja4,
        &mut request.country,
    ]
}

/// How many records found their partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// WAF records that an access-log record was joined with.
    pub matched: u64,
    /// WAF records without an access-log record.
    pub unmatched_waf: u64,
    /// Access-log records without a WAF record.
    pub unmatched_requests: u64,
    /// WAF records that the table had no room for, or that have no id.
    pub not_kept: u64,
}

/// Bytes that a record costs beside its texts: the map's slot and the boxes' heads.
const RECORD_BYTES: usize = 320;

impl Join {
    /// An empty table that holds at most about `max_bytes`.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            records: HashMap::new(),
            max_bytes,
            bytes: 0,
            not_kept: 0,
            unmatched_requests: AtomicU64::new(0),
        }
    }

    /// Keeps what a WAF record adds. Of records with the same id, the first counts:
    /// Firehose may deliver one twice.
    pub fn insert(&mut self, waf: &Request<'_>) {
        let Some(id) = waf.id else {
            self.not_kept += 1;
            return;
        };
        if self.records.contains_key(id.bytes()) {
            return;
        }
        let mut waf = *waf;
        let texts: [Option<Box<[u8]>>; ADDED_TEXTS] =
            texts(&mut waf).map(|text| text.map(|text| text.bytes().into()));
        let length: usize = texts.iter().flatten().map(|text| text.len()).sum();
        let cost = RECORD_BYTES + id.bytes().len() + length;
        if self.bytes + cost > self.max_bytes {
            self.not_kept += 1;
            return;
        }
        self.bytes += cost;
        let added = Added { texts, action: waf.waf_action, matched: AtomicBool::new(false) };
        self.records.insert(id.bytes().into(), added);
    }

    /// The request with what its WAF record adds. What the access log says stands.
    pub fn join<'o>(&'o self, request: &Request<'o>) -> Request<'o> {
        let added = request.id.and_then(|id| self.records.get(id.bytes()));
        let Some(added) = added else {
            self.unmatched_requests.fetch_add(1, Ordering::Relaxed);
            return *request;
        };
        added.matched.store(true, Ordering::Relaxed);
        let mut joined = *request;
        for (logged, added) in texts(&mut joined).into_iter().zip(&added.texts) {
            *logged = logged.or_else(|| added.as_deref().map(Untrusted::new));
        }
        joined.waf_action = request.waf_action.or(added.action);
        joined
    }

    /// Whether a WAF record has been joined with an access-log record, so that it is
    /// no request of its own. Ask when every access log has been read.
    pub fn is_joined(&self, waf: &Request<'_>) -> bool {
        let added = waf.id.and_then(|id| self.records.get(id.bytes()));
        added.is_some_and(|added| added.matched.load(Ordering::Relaxed))
    }

    /// What was joined so far.
    pub fn joined(&self) -> Joined {
        let matched =
            self.records.values().filter(|added| added.matched.load(Ordering::Relaxed)).count();
        Joined {
            matched: matched as u64,
            unmatched_waf: (self.records.len() - matched) as u64,
            unmatched_requests: self.unmatched_requests.load(Ordering::Relaxed),
            not_kept: self.not_kept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waf<'o>(id: &'o str, query: &'o str) -> Request<'o> {
        Request {
            id: Some(Untrusted::new(id.as_bytes())),
            query: Some(Untrusted::new(query.as_bytes())),
            waf_labels: Some(Untrusted::new(b"a:b")),
            waf_action: Some(WafAction::Block),
            ..Request::default()
        }
    }

    fn access(id: &str) -> Request<'_> {
        Request { id: Some(Untrusted::new(id.as_bytes())), status: Some(403), ..Request::default() }
    }

    #[test]
    fn a_request_tells_what_both_logs_know() {
        let mut join = Join::new(1 << 20);
        join.insert(&waf("a", "q=1"));
        join.insert(&waf("a", "q=2"));
        join.insert(&waf("b", "q=3"));
        let request = access("a");
        let joined = join.join(&request);
        assert_eq!(joined.query.map(Untrusted::bytes), Some(&b"q=1"[..]));
        assert_eq!((joined.status, joined.waf_action), (Some(403), Some(WafAction::Block)));
        assert_eq!(join.join(&access("c")), access("c"));
        assert!(join.is_joined(&waf("a", "")) && !join.is_joined(&waf("b", "")));
        let expected = Joined { matched: 1, unmatched_waf: 1, unmatched_requests: 1, not_kept: 0 };
        assert_eq!(join.joined(), expected);
    }

    #[test]
    fn the_table_stays_within_its_bound_and_says_what_it_dropped() {
        let mut join = Join::new(1_000);
        for id in ["a", "b", "c", "d", "e"] {
            join.insert(&waf(id, "q=1"));
        }
        assert!(join.bytes <= 1_000);
        let Joined { unmatched_waf, not_kept, .. } = join.joined();
        assert_eq!((unmatched_waf, not_kept), (3, 2));
        assert!(!join.is_joined(&waf("e", "")));
    }
}
