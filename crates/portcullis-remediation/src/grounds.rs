//! What speaks against a source, in the form that a plan may stand on and carry.
//!
//! An object that ended early is read again later, and until then nothing found in it
//! may block anybody: it is set aside here, and the score is what the rest bears out.
//! What is stamped ahead of the clock is set aside too: a block that it carried would be
//! renewed by it whenever it ends, although nothing came since.
//!
//! Plans are reviewed, attached to tickets and kept by build servers, so nothing that
//! a client wrote may be in them: no path, no user agent, no query. What remains of
//! the evidence is a pointer, the object and the byte where a record begins, which
//! says nothing to those who may not read the logs.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use portcullis_detection::{
    Category, Evidence, Offender, RateFigure, Severity, points, source_points,
};
use portcullis_ingest::Timestamp;

/// Where one record begins: the object's key or path and the byte offset in its text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EvidencePointer {
    /// Key or path of the object.
    pub object: Arc<str>,
    /// Byte offset of the record in the decompressed object.
    pub offset: u64,
}

/// One rule that fired on a source.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleGround {
    /// The rule's id.
    pub rule: Arc<str>,
    /// What the rule adds to the score, in points, repetition included.
    pub points: u32,
    /// Requests it fired on.
    pub requests: u64,
    /// For a rate rule, the worst window.
    pub rate: Option<RateFigure>,
    /// A few of the records it fired on.
    pub evidence: Vec<EvidencePointer>,
}

/// What speaks against one source in objects that were read to their end.
#[derive(Debug, Clone, PartialEq)]
pub struct Grounds {
    /// The source's score, in points; below the offender's where evidence was set aside.
    pub score: u32,
    /// The worst of the rules that fired; `None` when all evidence was set aside.
    pub severity: Option<Severity>,
    /// What those rules are about, in order.
    pub categories: Vec<Category>,
    /// The rules, the weightiest first.
    pub rules: Vec<RuleGround>,
    /// All requests of the source.
    pub requests: u64,
    /// Those with a score at or over the block level.
    pub flagged_requests: u64,
    /// When the first was made, if the log says so.
    pub first: Option<Timestamp>,
    /// When the last was made, if the log says so.
    pub last: Option<Timestamp>,
    /// When one of the rules fired last, if the log says so.
    pub fired: Option<Timestamp>,
    /// The latest time of what was set aside because it is ahead of the clock.
    pub ahead: Option<Timestamp>,
}

impl Grounds {
    /// What speaks against `offender`, without what was found in incomplete objects, and
    /// without what is stamped later than `latest`.
    pub fn new(
        offender: &Offender,
        is_incomplete: impl Fn(&str) -> bool,
        latest: Timestamp,
    ) -> Self {
        let mut score = 0_u32;
        let mut all_complete = true;
        let mut severity = None;
        let mut categories = BTreeSet::new();
        let mut rules = Vec::with_capacity(offender.detections.len());
        let (mut fired, mut ahead) = (None, None);
        for detection in &offender.detections {
            let is_ahead = detection.last.is_some_and(|last| last > latest);
            if is_ahead {
                ahead = ahead.max(detection.last);
            }
            let counts = |evidence: &&Evidence| {
                // Of a rule that fired ahead of the clock too, times must be known.
                let is_in_time = !is_ahead || evidence.time.is_some_and(|time| time <= latest);
                is_in_time && !is_incomplete(&evidence.object)
            };
            let counted: Vec<&Evidence> = detection.evidence.iter().filter(counts).collect();
            let is_whole = !is_ahead && counted.len() == detection.evidence.len();
            all_complete &= is_whole;
            // A window half of which is in doubt bears nothing out.
            if counted.is_empty() || (detection.rate.is_some() && !is_whole) {
                all_complete = false;
                continue;
            }
            fired = fired.max(if is_ahead {
                counted.iter().filter_map(|evidence| evidence.time).max()
            } else {
                detection.last
            });
            // How many of the requests count is not known, only that the records pointed
            // to do.
            let (requests, added_points) = if is_whole {
                (detection.requests, detection.points)
            } else {
                let known = counted.len() as u64;
                let once = points(detection.severity, detection.confidence);
                (known, source_points(once, known))
            };
            score = score.saturating_add(added_points);
            severity = severity.max(Some(detection.severity));
            categories.insert(detection.category);
            rules.push(RuleGround {
                rule: Arc::clone(&detection.rule),
                points: added_points,
                requests,
                rate: detection.rate,
                evidence: counted.into_iter().map(pointer).collect(),
            });
        }
        rules.sort_by(|left, right| {
            right.points.cmp(&left.points).then_with(|| left.rule.cmp(&right.rule))
        });
        Self {
            score: if all_complete { offender.score } else { score },
            severity,
            categories: categories.into_iter().collect(),
            rules,
            requests: offender.requests,
            flagged_requests: offender.flagged_requests,
            first: offender.first,
            last: offender.last,
            fired,
            ahead,
        }
    }
}

fn pointer(evidence: &Evidence) -> EvidencePointer {
    EvidencePointer { object: Arc::clone(&evidence.object), offset: evidence.offset }
}

/// How many rules are named where a person reads; the rest are counted.
const RULES_SHOWN: usize = 2;

/// `traversal/encoded-dot-dot (31 requests), rate/flood (412 requests in 60 s, limit
/// 300) and 3 more rules`.
impl fmt::Display for Grounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rule) in self.rules.iter().take(RULES_SHOWN).enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{rule}")?;
        }
        match self.rules.len().saturating_sub(RULES_SHOWN) {
            0 => Ok(()),
            1 => f.write_str(" and 1 more rule"),
            more => write!(f, " and {more} more rules"),
        }
    }
}

impl fmt::Display for RuleGround {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.rule)?;
        match &self.rate {
            Some(rate) => f.write_str(&rate.in_words(|number| number.to_string())),
            None if self.requests == 1 => f.write_str("1 request"),
            None => write!(f, "{} requests", self.requests),
        }?;
        f.write_str(")")
    }
}
