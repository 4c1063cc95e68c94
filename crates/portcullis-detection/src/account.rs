//! One source or one request, accounted for in full.
//!
//! A finding says who and why in a line; whoever acts on it wants to see the sum, what
//! speaks for the source, how near the limits it came, and what would have changed the
//! verdict. All of it is taken from the scan that gives the verdict, so that there is one
//! truth: an account is that scan, asked about one source.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use ipnet::IpNet;
use portcullis_ingest::{Request, Timestamp, UntrustedBuf};

use crate::background::Background;
use crate::correlation::Correlation;
use crate::coverage::Coverage;
use crate::offender::Detection;
use crate::outcome::{Outcome, Outcomes};
use crate::rule::Measure;
use crate::signature::{Hit, Verdict};
use crate::source::SourceKey;
use crate::standing::{Change, Ground, Standing};
use crate::timeline::Timeline;

/// Most requests of one id that are shown.
///
/// Ids are unique where API Gateway makes them. A log whose ids clients choose can have one on
/// every record, and an answer is for people.
pub const MOST_SAME_ID: usize = 20;

/// Whom a scan is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The source of an address.
    Source(IpAddr),
    /// A request, and its source; of several with one id, that of the worst.
    Request(UntrustedBuf),
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What was looked at, and what could not be seen.
    pub coverage: Coverage,
    /// The requests of the id, when one was asked for and found.
    pub request: Option<SameId>,
    /// The source; `None` when no request of it was found, or the request's client is
    /// unknown.
    pub account: Option<Account>,
}

/// The requests that bear the id that was asked for.
///
/// Whoever can choose the id of his request can choose that of an honest one. So all of them
/// are the answer, and the worst is the first of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SameId {
    /// The request with the highest score, of equals the first by time and place.
    pub worst: AskedRequest,
    /// The others in the same order, with the worst at most [`MOST_SAME_ID`].
    pub others: Vec<AskedRequest>,
    /// How many there are.
    pub requests: u64,
}

/// A request that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedRequest {
    /// Key or path of its object.
    pub object: Arc<str>,
    /// Byte offset of the record in the object's text.
    pub offset: u64,
    /// Time of the request.
    pub time: Option<Timestamp>,
    /// Client of the request.
    pub client: Option<IpAddr>,
    /// Answered status.
    pub status: Option<u16>,
    /// What became of it.
    pub outcome: Outcome,
    /// Method as logged.
    pub method: Option<UntrustedBuf>,
    /// Path as logged.
    pub path: Option<UntrustedBuf>,
    /// Score of its signatures; see [`crate::request_score`].
    pub score: u32,
    /// Whether the score reaches the block level.
    pub flagged: bool,
    /// The rules that fired.
    pub hits: Vec<Hit>,
}

/// Everything known of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// An IPv4 address, or the /64 of IPv6 addresses.
    pub source: IpNet,
    /// What is thought of it.
    pub standing: Standing,
    /// Sum over the detections of [`crate::source_points`], and of the points of the
    /// correlations.
    pub score: u32,
    /// The rules that fired, by the score they add from the highest, then by id.
    pub detections: Vec<Detection>,
    /// What they mean together.
    pub correlations: Vec<Correlation>,
    /// All requests.
    pub requests: u64,
    /// Of those, the ones with a score at or over the block level.
    pub flagged_requests: u64,
    /// Of those, the ones answered 2xx or 3xx and not flagged.
    pub good_requests: u64,
    /// What became of flagged requests, as in [`crate::Offender`].
    pub outcomes: Outcomes,
    /// Different principals, as in [`crate::Offender`].
    pub principals: u64,
    /// Time of the first request.
    pub first: Option<Timestamp>,
    /// Time of the last request.
    pub last: Option<Timestamp>,
    /// Why it stands so.
    pub grounds: Vec<Ground>,
    /// What would have made it stand otherwise.
    pub changes: Vec<Change>,
    /// What every rate rule by client measured, fired or not, in the order of the rule set.
    pub rates: Vec<RateCount>,
    /// Its requests by time.
    pub timeline: Timeline,
    /// What is known of it besides its requests.
    pub background: Background,
}

/// How near a source came to the threshold of a rate rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateCount {
    /// The rule's id.
    pub rule: Arc<str>,
    /// What is counted.
    pub measure: Measure,
    /// Highest value in one window; of an error share, in windows with enough errors.
    pub peak: u64,
    /// Least value that fires.
    pub threshold: u64,
    /// For an error share, the least number of errors in the window; else 1.
    pub minimum: u32,
    /// Length of the window, in seconds.
    pub window_seconds: u32,
    /// Which requests are counted, for a person: `answered 4xx`. Empty where all are.
    pub counted: String,
    /// Counted requests, in any window.
    pub requests: u64,
}

/// Gathers, during a scan, what only an answer needs.
pub(crate) struct Watch {
    question: Question,
    /// Which source a request has is known only once it was read, so that all are kept
    /// when a request is asked for.
    timelines: HashMap<SourceKey, Timeline, RandomState>,
    /// The worst of those that were asked for, in order.
    asked: Vec<AskedRequest>,
    /// How many were asked for.
    asked_requests: u64,
}

impl Watch {
    pub(crate) fn new(question: Question) -> Self {
        Self { question, timelines: HashMap::default(), asked: Vec::new(), asked_requests: 0 }
    }

    /// The source that is asked about, when that is known from the beginning.
    pub(crate) fn asked_source(&self) -> Option<SourceKey> {
        match &self.question {
            Question::Source(address) => Some(SourceKey::of(*address)),
            Question::Request(_) => None,
        }
    }

    pub(crate) fn observe(&mut self, request: &Request<'_>, verdict: &Verdict) {
        let source = request.client.map(SourceKey::of);
        let is_asked = match &self.question {
            Question::Source(address) => source == Some(SourceKey::of(*address)),
            Question::Request(id) => {
                let id = Some(id.as_untrusted());
                if request.id == id || request.request_id == id {
                    self.asked_requests += 1;
                    self.keep(AskedRequest::of(request, verdict));
                }
                true
            }
        };
        if let Some(source) = source.filter(|_| is_asked) {
            self.timelines.entry(source).or_default().observe(request, verdict);
        }
    }

    /// Of too many requests with one id, the worst are kept.
    fn keep(&mut self, found: AskedRequest) {
        let place = self.asked.partition_point(|kept| kept.rank() <= found.rank());
        self.asked.insert(place, found);
        self.asked.truncate(MOST_SAME_ID);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (source, timeline) in other.timelines {
            self.timelines.entry(source).or_default().merge(timeline);
        }
        self.asked_requests += other.asked_requests;
        for asked in other.asked {
            self.keep(asked);
        }
    }

    /// The requests, the source that is asked about, and its timeline.
    pub(crate) fn finish(mut self) -> (Option<SameId>, Option<SourceKey>, Timeline) {
        let address = match &self.question {
            Question::Source(address) => Some(*address),
            Question::Request(_) => self.asked.first().and_then(|worst| worst.client),
        };
        let source = address.map(SourceKey::of);
        let timeline = source.and_then(|source| self.timelines.remove(&source));
        let requests = self.asked_requests;
        let mut asked = self.asked.into_iter();
        let same_id = asked.next().map(|worst| SameId { worst, others: asked.collect(), requests });
        (same_id, source, timeline.unwrap_or_default())
    }
}

impl AskedRequest {
    /// The worst first, then by time and place.
    fn rank(&self) -> impl Ord + use<> {
        let place = (Arc::clone(&self.object), self.offset);
        (Reverse(self.score), self.time.is_none(), self.time, place)
    }

    fn of(request: &Request<'_>, verdict: &Verdict) -> Self {
        Self {
            object: request.origin.object.into(),
            offset: request.origin.offset,
            time: request.time,
            client: request.client,
            status: request.status,
            outcome: Outcome::of(request),
            method: request.method.map(portcullis_ingest::Untrusted::to_buf),
            path: request.path.map(portcullis_ingest::Untrusted::to_buf),
            score: verdict.score(),
            flagged: verdict.flagged(),
            hits: verdict.hits().to_vec(),
        }
    }
}
