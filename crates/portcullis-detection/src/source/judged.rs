//! What a source comes to.
//!
//! Rules give detections, detections together give correlations, and both with what the
//! source does well give its standing. An offender in a list and an account of it are two
//! readings of one [`Judged`], so that they cannot disagree.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Marks, Source, SourceKey};
use crate::account::{Account, RateCount};
use crate::background::Background;
use crate::correlation::{Correlation, Facts, correlations};
use crate::level::Category;
use crate::memory::Remembered;
use crate::offender::{Detection, Offender};
use crate::rate::{Counts, Key};
use crate::rule::{RuleKind, RuleSet};
use crate::standing::{Figures, Standing, Weight};
use crate::tally::rate_detection;
use crate::timeline::Timeline;

impl Source {
    /// What the source comes to. Its counts must be in order.
    ///
    /// What is remembered of its forgotten requests speaks for it, as far as they can be
    /// nobody else's.
    pub(crate) fn judge(
        mut self,
        key: SourceKey,
        rules: &RuleSet,
        objects: &[Arc<str>],
        remembered: Remembered,
    ) -> Judged {
        let mut marks = *self.marks.take().unwrap_or_default();
        // Of what was forgotten nobody knows who sent it.
        let is_crawler = marks.is_crawler(self.requests);
        self.requests += remembered.requests;
        self.good += remembered.good;
        let mut grounds = Grounds::default();
        for (index, tally) in std::mem::take(&mut marks.tallies) {
            grounds.add(rules, index, tally.detection(rules, index));
        }
        grounds.add_rates(rules, Key::Client, &self.counts, remembered.counted, objects);
        grounds.order();
        let forgotten = remembered.counted;
        let mut judged = Judged {
            source: self,
            marks,
            is_crawler,
            forgotten,
            grounds,
            correlations: Vec::new(),
            background: rules.background(key.network()),
        };
        judged.correlations = judged.correlated();
        judged
    }
}

/// What rules found, and what the decision needs of each.
#[derive(Debug, Default)]
pub(crate) struct Grounds {
    /// By the score it adds from the highest, then by id.
    pub(crate) detections: Vec<Detection>,
    /// In any order.
    weights: Vec<Weight>,
    /// Indices of the rules, in any order.
    pub(crate) rules: Vec<usize>,
}

impl Grounds {
    /// What the rules by one key found in counts that are in order.
    pub(crate) fn of_rates(
        rules: &RuleSet,
        by: Key,
        counts: &Counts,
        forgotten: u64,
        objects: &[Arc<str>],
    ) -> Self {
        let mut grounds = Self::default();
        grounds.add_rates(rules, by, counts, forgotten, objects);
        grounds.order();
        grounds
    }

    fn add_rates(
        &mut self,
        rules: &RuleSet,
        by: Key,
        counts: &Counts,
        forgotten: u64,
        objects: &[Arc<str>],
    ) {
        for bursts in rules.rates().bursts(by, counts, forgotten, objects) {
            self.add(rules, bursts.rule, rate_detection(rules, &bursts, objects));
        }
    }

    fn add(&mut self, rules: &RuleSet, index: usize, detection: Detection) {
        let rule = &rules.rules()[index];
        self.weights.push(Weight {
            rule_points: rule.points(),
            category: rule.category(),
            severity: rule.severity(),
            confidence: rule.confidence(),
            is_rate: matches!(rule.kind(), RuleKind::Rate(_)),
            suggests: detection.suggests.is_some(),
            requests: detection.requests,
        });
        self.rules.push(index);
        self.detections.push(detection);
    }

    fn order(&mut self) {
        self.detections.sort_by(|a, b| b.points.cmp(&a.points).then_with(|| a.rule.cmp(&b.rule)));
        // Those of all offenders are held at once.
        self.detections.shrink_to_fit();
    }

    /// Sum over the detections.
    pub(crate) fn score(&self) -> u32 {
        self.detections.iter().map(|detection| detection.points).sum()
    }
}

/// A source with what speaks against it.
pub(crate) struct Judged {
    /// But for its marks.
    source: Source,
    marks: Marks,
    /// Whether crawlers sent at least half of its requests.
    is_crawler: bool,
    /// Requests whose counts were forgotten, at most.
    forgotten: u64,
    grounds: Grounds,
    correlations: Vec<Correlation>,
    background: Background,
}

impl Judged {
    /// What the rules that fired mean together.
    fn correlated(&self) -> Vec<Correlation> {
        let weights = &self.grounds.weights;
        let about_requests = |weight: &&Weight| !weight.is_rate && !weight.is_agent();
        let signatures = weights.iter().filter(about_requests);
        let categories: BTreeSet<Category> = signatures.clone().map(|w| w.category).collect();
        let in_full = |weight: &&Weight| weight.is_rate && !weight.suggests;
        correlations(&Facts {
            scanner_agent: weights.iter().any(Weight::is_agent),
            probes: self.marks.probes.hashes().len(),
            rules: signatures.count(),
            categories: categories.len(),
            rules_of_any_kind: weights.len(),
            rates: weights.iter().filter(in_full).count(),
            requests: self.source.requests,
            flagged_requests: self.marks.flagged,
            good_requests: self.source.good,
            false_claims: self.marks.false_claims,
            listed: !self.background.listed.is_empty(),
        })
    }

    fn figures(&self) -> Figures<'_> {
        Figures {
            score: self.score(),
            hearsay: Correlation::hearsay(&self.correlations),
            is_crawler: self.is_crawler,
            correlated: self.correlations.iter().any(|correlation| correlation.is_ground()),
            flagged_requests: self.marks.flagged,
            good_requests: self.source.good,
            requests: self.source.requests,
            weights: &self.grounds.weights,
        }
    }

    pub(crate) fn score(&self) -> u32 {
        let of_correlations = self.correlations.iter().map(|correlation| correlation.points());
        self.grounds.score() + of_correlations.sum::<u32>()
    }

    pub(crate) fn standing(&self) -> Standing {
        self.figures().standing()
    }

    /// As it stands in a list; `None` when no rule fired.
    pub(crate) fn offender(self, key: SourceKey) -> Option<Offender> {
        let Grounds { detections, .. } = &self.grounds;
        let severity = detections.iter().map(|detection| detection.severity).max()?;
        let confidence = detections.iter().map(|detection| detection.confidence).max()?;
        let mut categories: Vec<_> =
            detections.iter().map(|detection| detection.category).collect();
        categories.sort_unstable();
        categories.dedup();
        let (score, grounds) = (self.score(), self.figures().grounds());
        let Source { requests, good, span, .. } = self.source;
        Some(Offender {
            source: key.network(),
            score,
            grounds,
            severity,
            confidence,
            categories,
            requests,
            flagged_requests: self.marks.flagged,
            good_requests: good,
            outcomes: self.marks.outcomes,
            principals: self.source.principals.hashes().len() as u64,
            first: span.first,
            last: span.last,
            detections: self.grounds.detections,
            correlations: self.correlations,
            background: self.background,
        })
    }

    /// In full.
    pub(crate) fn account(
        self,
        key: SourceKey,
        rules: &RuleSet,
        objects: &[Arc<str>],
        timeline: Timeline,
    ) -> Account {
        let figures = self.figures();
        let rates = rules.rates().peaks(&self.source.counts, self.forgotten, objects).map(|peak| {
            RateCount {
                rule: Arc::clone(rules.rules()[peak.rule].shared_id()),
                measure: peak.rate.measure(),
                peak: peak.value,
                threshold: peak.rate.threshold(),
                minimum: peak.rate.minimum(),
                window_seconds: peak.rate.window_seconds(),
                counted: peak.rate.conditions().in_few_words(),
                requests: peak.requests,
            }
        });
        Account {
            source: key.network(),
            standing: figures.standing(),
            score: figures.score,
            grounds: figures.grounds(),
            changes: figures.changes(),
            rates: rates.collect(),
            timeline,
            requests: self.source.requests,
            flagged_requests: self.marks.flagged,
            good_requests: self.source.good,
            outcomes: self.marks.outcomes,
            principals: self.source.principals.hashes().len() as u64,
            first: self.source.span.first,
            last: self.source.span.last,
            detections: self.grounds.detections,
            correlations: self.correlations,
            background: self.background,
        }
    }
}
