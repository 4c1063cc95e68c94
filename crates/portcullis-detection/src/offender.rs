//! Decides which sources are offenders.
//!
//! A source is many requests, and often many people: an office behind one address, a
//! crawler, a monitor. Points alone would turn the busiest of them into offenders, so two
//! questions come before: is there anything that an honest client does not do, and is it
//! more than a drop in what else the source does well. What fails the second is *watched*:
//! shown with the same evidence, and not proposed for a block.
//!
//! What to do about an offender is left to remediation.

use std::sync::Arc;

use ipnet::IpNet;
use portcullis_ingest::{Timestamp, UntrustedBuf};

use crate::coverage::Coverage;
use crate::level::{BLOCK_LEVEL, Category, Confidence, Severity};
use crate::rule::Measure;

/// Least number of different observed rules that make an offender without any single
/// request being flagged.
///
/// A guess: an honest client with one odd habit sets off one rule, or two about the same
/// habit; three point to somebody who tries things.
const LEAST_OBSERVED_RULES: usize = 3;

/// Least number of good requests (answered 2xx or 3xx, not flagged) that can outweigh
/// flagged ones. A guess: less is too little to speak of a history.
const LEAST_GOOD_REQUESTS: u64 = 200;

/// Share of flagged requests, as one in this many, under which a good history outweighs
/// them. A guess: below one percent, the many behind a shared address pay for one.
const GOOD_HISTORY_SHARE: u64 = 100;

/// How often a near-certain rule about a serious attack must fire so that no good history
/// outweighs it. Once can be a curious user or a false alarm, three times is neither.
const LEAST_CERTAIN_REQUESTS: u64 = 3;

/// What a scan found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What was looked at, and what could not be seen.
    pub coverage: Coverage,
    /// Sources to act on, by score from the highest, then by address.
    pub offenders: Vec<Offender>,
    /// Sources that would be offenders but for their good history, in the same order.
    pub watched: Vec<Offender>,
}

/// A source and what speaks against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offender {
    /// An IPv4 address, or the /64 of IPv6 addresses.
    pub source: IpNet,
    /// Sum over the detections of [`crate::source_points`].
    pub score: u32,
    /// The highest of the detections.
    pub severity: Severity,
    /// The highest of the detections.
    pub confidence: Confidence,
    /// Of the detections, sorted, each once.
    pub categories: Vec<Category>,
    /// The rules that fired, by the score they add from the highest, then by id.
    pub detections: Vec<Detection>,
    /// All requests of the source.
    pub requests: u64,
    /// Of those, the ones with a score at or over the block level.
    pub flagged_requests: u64,
    /// Of those, the ones answered 2xx or 3xx and not flagged.
    pub good_requests: u64,
    /// Different principals, or API keys where no principal is logged; exact up to 1,000,
    /// which means 1,000 or more.
    pub principals: u64,
    /// Time of the first request.
    pub first: Option<Timestamp>,
    /// Time of the last request.
    pub last: Option<Timestamp>,
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
    /// Time of the first of them; of a rate, to the second.
    pub first: Option<Timestamp>,
    /// Time of the last of them; of a rate, to the second.
    pub last: Option<Timestamp>,
    /// For rates, the figures.
    pub rate: Option<RateFigure>,
    /// Up to three of the requests: the first by time, object and offset.
    pub evidence: Vec<Evidence>,
}

/// What a rate rule measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateFigure {
    /// What was counted.
    pub measure: Measure,
    /// Highest value in one window: requests, paths, or percent.
    pub peak: u32,
    /// The rule's threshold, in the same unit.
    pub threshold: u32,
    /// Length of the window, in seconds.
    pub window_seconds: u32,
    /// Bursts: windows over the threshold, those that overlap counted once.
    pub bursts: u64,
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
    /// The text the rule fired on, as rules name it: `path`, `values`, …; `None` for a rate.
    pub field: Option<&'static str>,
    /// The view of that text; `None` for a rate.
    pub view: Option<&'static str>,
    /// The field as logged, cut to 256 bytes around the match. Empty for a rate.
    pub text: UntrustedBuf,
    /// The matched bytes after decoding, cut to 128. Empty for a rate.
    pub matched: UntrustedBuf,
}

/// What is thought of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing to report.
    Quiet,
    /// Would be an offender but for its good history.
    Watched,
    /// To act on.
    Offender,
}

/// One detection's figures, as the decision needs them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    /// The rule's points, once.
    pub(crate) rule_points: u32,
    pub(crate) severity: Severity,
    pub(crate) confidence: Confidence,
    pub(crate) is_rate: bool,
    pub(crate) requests: u64,
}

/// Decides about a source with that score.
pub(crate) fn standing(
    score: u32,
    flagged_requests: u64,
    good_requests: u64,
    requests: u64,
    weights: &[Weight],
) -> Standing {
    if score < BLOCK_LEVEL {
        return Standing::Quiet;
    }
    let rate_alone = |weight: &Weight| weight.is_rate && weight.rule_points >= BLOCK_LEVEL;
    let observed_points: u32 = weights.iter().map(|weight| weight.rule_points).sum();
    let many_observed = weights.len() >= LEAST_OBSERVED_RULES && observed_points >= BLOCK_LEVEL;
    if flagged_requests == 0 && !weights.iter().any(rate_alone) && !many_observed {
        return Standing::Quiet;
    }
    let certain = |weight: &Weight| {
        weight.severity >= Severity::High
            && weight.confidence == Confidence::High
            && weight.requests >= LEAST_CERTAIN_REQUESTS
    };
    let good_history = good_requests >= LEAST_GOOD_REQUESTS
        && flagged_requests.saturating_mul(GOOD_HISTORY_SHARE) < requests;
    if good_history && !weights.iter().any(certain) {
        return Standing::Watched;
    }
    Standing::Offender
}
