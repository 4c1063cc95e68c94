//! What was found: the offenders, the rules that fired on each, and the requests that show it.
//!
//! These are shapes only, in the order in which they are read: all findings, one source, one
//! rule on it, one request. Who is an offender is decided in `standing`, what to do about
//! one in remediation.

use std::sync::Arc;

use ipnet::IpNet;
use portcullis_ingest::{RejectReason, Timestamp, UntrustedBuf};

use crate::audit::Audit;
use crate::background::Background;
use crate::correlation::Correlation;
use crate::coverage::Coverage;
use crate::forgery::Forgery;
use crate::level::{Category, Confidence, Severity, named};
use crate::outcome::{Outcome, Outcomes};
use crate::rate::Key;
use crate::rule::Measure;
use crate::standing::Ground;
use crate::suspect::Suspect;
use crate::traffic::Traffic;

/// What a scan found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What was looked at, and what could not be seen.
    pub coverage: Coverage,
    /// Sources to act on, by score from the highest, then by address.
    pub offenders: Vec<Offender>,
    /// Sources that would be offenders but for their good history, that do nothing but say
    /// what they are, or of which everything only suggests; in the same order.
    pub watched: Vec<Offender>,
    /// What other than a client's address rate rules fired on, by score from the highest,
    /// then by key and value. Never a ground for a block by itself.
    pub suspects: Vec<Suspect>,
    /// Records that somebody seems to have written into, in the order of
    /// [`portcullis_ingest::RejectReason::ALL`]. They speak against no source.
    pub forgeries: Vec<Forgery>,
    /// What all sources did well, if somebody asked for it: [`crate::Scan::traffic`].
    pub traffic: Option<Traffic>,
    /// Requests of all sources together, of those that nothing speaks against too.
    pub requests_of_sources: u64,
    /// What the findings are held against before they are acted on, if somebody counted; see
    /// [`Findings::accept`].
    pub audit: Option<Audit>,
}

impl Findings {
    /// Puts everything in its order.
    pub(crate) fn sort(&mut self) {
        for list in [&mut self.offenders, &mut self.watched] {
            list.sort_by(|a, b| b.score.cmp(&a.score).then(a.source.cmp(&b.source)));
        }
        self.suspects.sort_by(|a, b| {
            let place = |suspect: &Suspect| (suspect.key, suspect.value.clone());
            b.score.cmp(&a.score).then_with(|| place(a).cmp(&place(b)))
        });
        self.forgeries.sort_by_key(|forgery| {
            RejectReason::ALL.iter().position(|reason| *reason == forgery.reason)
        });
    }
}

/// A source and what speaks against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offender {
    /// An IPv4 address, or the /64 of IPv6 addresses.
    pub source: IpNet,
    /// Sum over the detections of [`crate::source_points`], and of the points of the
    /// correlations.
    pub score: u32,
    /// Why it stands as it does.
    pub grounds: Vec<Ground>,
    /// The highest of the detections.
    pub severity: Severity,
    /// The highest of the detections.
    pub confidence: Confidence,
    /// Of the detections, sorted, each once.
    pub categories: Vec<Category>,
    /// The rules that fired, by the score they add from the highest, then by id.
    pub detections: Vec<Detection>,
    /// What they mean together.
    pub correlations: Vec<Correlation>,
    /// All requests of the source.
    pub requests: u64,
    /// Of those, the ones with a score at or over the block level.
    pub flagged_requests: u64,
    /// Of those, the ones answered 2xx or 3xx and not flagged.
    pub good_requests: u64,
    /// What became of the requests with a score at or over the block level, those that AWS
    /// WAF stopped included.
    pub outcomes: Outcomes,
    /// Different principals, or API keys where no principal is logged; exact up to 1,000,
    /// which means 1,000 or more.
    pub principals: u64,
    /// Time of the first request.
    pub first: Option<Timestamp>,
    /// Time of the last request.
    pub last: Option<Timestamp>,
    /// What is known of it besides its requests.
    pub background: Background,
}

/// One rule that fired on a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    /// The rule's id.
    pub rule: Arc<str>,
    /// The rule's title.
    pub title: Arc<str>,
    /// The rule's category.
    pub category: Category,
    /// The rule's severity.
    pub severity: Severity,
    /// The rule's confidence.
    pub confidence: Confidence,
    /// What the rule adds to the source's score, repetition included.
    pub points: u32,
    /// Requests it fired on; of a rate, requests counted in bursts.
    pub requests: u64,
    /// What became of those requests; of a rate, none.
    pub outcomes: Outcomes,
    /// Time of the first of them; of a rate, to the second.
    pub first: Option<Timestamp>,
    /// Time of the last of them; of a rate, to the second.
    pub last: Option<Timestamp>,
    /// For rates, the figures.
    pub rate: Option<RateFigure>,
    /// Why it only suggests: it adds to the score and makes no offender. `None` when it
    /// counts in full.
    pub suggests: Option<SuggestsOnly>,
    /// Up to three of the requests: those that were answered, then those that failed, then
    /// others; among these the first by time, object and offset.
    pub evidence: Vec<Evidence>,
}

named! {
    /// Why a detection only suggests.
    SuggestsOnly {
        /// It needs responses with status 403 of which the log does not tell whether AWS WAF
        /// gave them. Counting a block's own answers would renew it for ever.
        WafUnknown = "waf-unknown",
    }
}

/// What a rate rule measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateFigure {
    /// By what requests were counted together.
    pub by: Key,
    /// What was measured.
    pub measure: Measure,
    /// Highest value in one window, in the measure's unit; see [`Measure::unit`].
    pub peak: u64,
    /// The rule's threshold, in the same unit.
    pub threshold: u64,
    /// Length of the window, in seconds.
    pub window_seconds: u32,
    /// Bursts: windows over the threshold, those that overlap or follow within the rule's
    /// quiet period counted once.
    pub bursts: u64,
}

impl RateFigure {
    /// The figures in words, with the two numbers as the caller shows numbers: `412
    /// requests in 60 s, limit 300`.
    pub fn in_words(&self, number: impl Fn(u64) -> String) -> String {
        let (peak, threshold) = (number(self.peak), number(self.threshold));
        let (measure, window) = (self.measure, window_in_words(self.window_seconds));
        format!("{peak}{} in {window}, limit {threshold}{}", measure.unit(), measure.sign())
    }
}

/// A window's length: in seconds up to an hour, then in hours or days where they are
/// whole.
pub fn window_in_words(seconds: u32) -> String {
    const HOUR: u32 = 3_600;
    const DAY: u32 = 24 * HOUR;
    match seconds {
        _ if seconds > HOUR && seconds.is_multiple_of(DAY) => format!("{} d", seconds / DAY),
        _ if seconds > HOUR && seconds.is_multiple_of(HOUR) => format!("{} h", seconds / HOUR),
        _ => format!("{seconds} s"),
    }
}

/// One request that a rule fired on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Key or path of the object.
    pub object: Arc<str>,
    /// Byte offset of the record in the object's text.
    pub offset: u64,
    /// Time of the request; of a rate, to the second.
    pub time: Option<Timestamp>,
    /// Request id. A rate keeps none.
    pub id: Option<UntrustedBuf>,
    /// What became of the request; `None` for a rate.
    pub outcome: Option<Outcome>,
    /// The text the rule fired on, as rules name it: `path`, `values`, …; `None` for a rate.
    pub field: Option<&'static str>,
    /// The view of that text; `None` for a rate.
    pub view: Option<&'static str>,
    /// The field as logged, cut to 256 bytes around the match. Empty for a rate.
    pub text: UntrustedBuf,
    /// The matched bytes after decoding, cut to 128. Empty for a rate.
    pub matched: UntrustedBuf,
}
