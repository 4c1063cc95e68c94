//! Counts what an object holds, and adds to its requests what only the object knows.

use ipnet::IpNet;

use crate::object::{ObjectReport, ReadOptions, Sink};
use crate::reject::MOST_SEARCHED;
use crate::{Field, RejectReason, Request, Timestamp, Untrusted, forwarded, object_time};

/// Counts of one object, or of some of its parts.
#[derive(Debug)]
pub(crate) struct Tally<'o> {
    trusted_proxies: &'o [IpNet],
    /// Time in the object's key.
    object_time: Option<Timestamp>,
    /// Whether the format tells nothing of AWS WAF; see [`Request::waf_is_unknown`].
    waf_is_unknown: bool,
    requests: u64,
    rejects: [u64; RejectReason::ALL.len()],
    part_bytes: u64,
    part: PartTally,
    pub(crate) glued_without_seam: bool,
    /// Whether lines of CloudFront came without the names of their columns.
    pub(crate) assumed_columns: bool,
}

/// Counts of the part that is being read, for what must not depend on the parts before it.
#[derive(Debug, Default)]
struct PartTally {
    number: u64,
    requests: u64,
    rejects: u64,
}

impl<'o> Tally<'o> {
    pub(crate) fn new(object: &str, options: &'o ReadOptions, report: &ObjectReport) -> Self {
        Self {
            trusted_proxies: &options.trusted_proxies,
            object_time: object_time::of(object),
            waf_is_unknown: ![Field::WafAction, Field::ErrorType]
                .into_iter()
                .any(|field| report.fields.contains(field)),
            requests: 0,
            rejects: [0; RejectReason::ALL.len()],
            part_bytes: options.part_bytes.max(1) as u64,
            part: PartTally::default(),
            glued_without_seam: false,
            assumed_columns: false,
        }
    }

    /// Adds to the report what was counted.
    pub(crate) fn tell(&self, report: &mut ObjectReport) {
        report.requests += self.requests;
        for (sum, count) in report.rejects.iter_mut().zip(self.rejects) {
            *sum += count;
        }
        report.records = report.requests + report.rejected();
        if self.glued_without_seam {
            report.notes.push(
                "records are joined without a separator, and nothing marks where this format's \
                 last value ends: end the access-log format with a line break, or with \
                 $context.extendedRequestId"
                    .to_owned(),
            );
        }
        if self.assumed_columns {
            report.notes.push(
                "CloudFront lines without a #Fields header are read in the order of version 1: if \
                 yours differs, deliver the log as W3C or JSON"
                    .to_owned(),
            );
        }
    }

    /// Counts requests that were read one after the other by their part.
    fn count(&mut self, requests: &[Request<'_>]) {
        self.requests += requests.len() as u64;
        let is_of_this_part =
            |request: &Request<'_>| request.origin.offset / self.part_bytes == self.part.number;
        if requests.last().is_none_or(is_of_this_part) {
            self.part.requests += requests.len() as u64;
            return;
        }
        for request in requests {
            self.enter(request.origin.offset);
            self.part.requests += 1;
        }
    }

    /// Begins with the part in which a record begins, if it is another.
    fn enter(&mut self, offset: u64) {
        let number = offset / self.part_bytes;
        if number != self.part.number {
            self.part = PartTally { number, ..PartTally::default() };
        }
    }

    pub(crate) fn request<S: Sink>(&mut self, sink: &mut S, request: &Request<'_>) {
        self.count(std::slice::from_ref(request));
        // A request is not copied for nothing.
        if self.lacks_something(request) {
            let mut request = *request;
            self.complete(&mut request);
            sink.request(&request);
        } else {
            sink.request(request);
        }
    }

    /// Takes requests that were read one after the other.
    pub(crate) fn requests<S: Sink>(&mut self, sink: &mut S, requests: &mut [Request<'_>]) {
        self.count(requests);
        for request in &mut *requests {
            if self.lacks_something(request) {
                self.complete(request);
            }
        }
        sink.requests(requests);
    }

    /// Whether the object says something about a request that its record does not.
    fn lacks_something(&self, request: &Request<'_>) -> bool {
        // Only of a 403 does it matter.
        let waf_is_unknown = self.waf_is_unknown && request.status == Some(403);
        request.time.is_none() || !self.trusted_proxies.is_empty() || waf_is_unknown
    }

    fn complete(&self, request: &mut Request<'_>) {
        request.waf_is_unknown = self.waf_is_unknown && request.status == Some(403);
        if request.time.is_none() && self.object_time.is_some() {
            request.time = self.object_time;
            request.time_is_of_object = true;
        }
        if !self.trusted_proxies.is_empty()
            && let Some(peer) = request.client
        {
            let header = request.forwarded_for.map(Untrusted::bytes);
            request.client = forwarded::client(peer, header, self.trusted_proxies);
        }
    }

    /// Counts a reject of the record at that offset, and says whether it is worth a search; see
    /// [`crate::Reject::is_searched`].
    pub(crate) fn reject(&mut self, reason: RejectReason, offset: u64) -> bool {
        self.rejects[reason as usize] += 1;
        self.enter(offset);
        self.part.rejects += 1;
        self.part.rejects <= MOST_SEARCHED.max(self.part.requests)
    }
}
