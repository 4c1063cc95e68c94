//! What a change of rules comes to, and which sources it changes.
//!
//! Of sources that nobody reports only their good requests are known. So where a source is
//! quiet on one side, what fired there is not known either, and only rules that are gone,
//! new or changed are named as the difference.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::pairs::{Pairs, RuleChange};
use crate::coverage::Coverage;
use crate::offender::{Detection, Findings, Offender};
use crate::standing::Standing;

/// What the change comes to.
#[derive(Debug)]
pub struct Difference {
    /// What the new rules looked at, and what they could not see.
    pub coverage: Coverage,
    /// Sums over all requests.
    pub totals: Totals,
    /// Every rule of either set, by id.
    pub rules: Vec<RuleDifference>,
    /// Sources that are reported otherwise: those newly offenders first, then those no
    /// longer, then the others; each by score and address.
    pub sources: Vec<SourceDifference>,
}

/// Sums over all requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// Answered 2xx or 3xx and not flagged by the old rules.
    pub good_requests: u64,
    /// Flagged by the old rules. Requests that AWS WAF blocked are held against nobody and
    /// never count as flagged.
    pub flagged_old: u64,
    /// Flagged by the new rules.
    pub flagged_new: u64,
    /// Flagged by the new rules alone.
    pub flagged_added: u64,
    /// Flagged by the old rules alone.
    pub flagged_dropped: u64,
    /// Good requests that the new rules flag.
    pub good_flagged: u64,
    /// Other good requests of sources that are newly offenders.
    pub good_behind: u64,
}

impl Totals {
    /// Good requests that the change harms.
    pub const fn harm(&self) -> u64 {
        self.good_flagged + self.good_behind
    }

    /// Adds those of other requests. A sum that is added must be named here.
    pub(super) fn merge(&mut self, other: Self) {
        let Self {
            requests,
            good_requests,
            flagged_old,
            flagged_new,
            flagged_added,
            flagged_dropped,
            good_flagged,
            good_behind,
        } = other;
        self.requests += requests;
        self.good_requests += good_requests;
        self.flagged_old += flagged_old;
        self.flagged_new += flagged_new;
        self.flagged_added += flagged_added;
        self.flagged_dropped += flagged_dropped;
        self.good_flagged += good_flagged;
        self.good_behind += good_behind;
    }
}

/// What a change of rules means for one rule.
#[derive(Debug)]
pub struct RuleDifference {
    /// The rule's id.
    pub rule: Arc<str>,
    /// What became of the rule.
    pub change: RuleChange,
    /// Whether it is a rate. Rates judge sources, not requests, so that their figures are
    /// those of the sources that are reported.
    pub is_rate: bool,
    /// Requests on which the old rule fired.
    pub requests_old: u64,
    /// Requests on which the new rule fires.
    pub requests_new: u64,
    /// The requests on which only the new rule fires, with evidence.
    pub added: Option<Detection>,
    /// The requests on which only the old rule fired, with evidence.
    pub dropped: Option<Detection>,
    /// Requests that are newly flagged, and on which the changed rule fires.
    pub flagged_added: u64,
    /// Requests that are no longer flagged, and on which the rule fired.
    pub flagged_dropped: u64,
    /// Good requests that are newly flagged, and on which the changed rule fires.
    pub good_flagged: u64,
    /// Other good requests of the sources below.
    pub good_behind: u64,
    /// Sources that are newly offenders, and on which the changed rule fires.
    pub offenders_added: Vec<IpNet>,
}

impl RuleDifference {
    /// Good requests that the change of this rule harms. What two changed rules harm
    /// together counts for both.
    pub const fn harm(&self) -> u64 {
        self.good_flagged + self.good_behind
    }
}

/// What a change of rules means for one source.
#[derive(Debug)]
pub struct SourceDifference {
    /// An IPv4 address, or the /64 of IPv6 addresses.
    pub source: IpNet,
    /// How it stood.
    pub standing_old: Standing,
    /// How it stands.
    pub standing_new: Standing,
    /// Its score, 0 where it was quiet.
    pub score_old: u32,
    /// Its score, 0 where it is quiet.
    pub score_new: u32,
    /// Its good requests.
    pub good_requests: u64,
    /// Different principals, or API keys; 1,000 means so many or more.
    pub principals: u64,
    /// Rules that fire on it now and did not, with evidence. Of a source that was quiet,
    /// only rules that are new or changed are known not to have fired.
    pub rules_added: Vec<Detection>,
    /// Rules that fired on it and do not now. Of a source that is quiet, only rules that
    /// are gone or changed are known not to fire.
    pub rules_dropped: Vec<Detection>,
}

impl SourceDifference {
    /// Whether it is an offender that was none.
    pub fn is_added(&self) -> bool {
        self.standing_new == Standing::Offender && self.standing_old != Standing::Offender
    }

    /// Whether it was an offender and is none.
    pub fn is_dropped(&self) -> bool {
        self.standing_old == Standing::Offender && self.standing_new != Standing::Offender
    }
}

/// The sources that are reported otherwise. `good` gives the good requests of one.
pub(super) fn source_differences(
    old: &Findings,
    new: &Findings,
    pairs: &Pairs<'_>,
    good: impl Fn(IpNet) -> u64,
) -> Vec<SourceDifference> {
    type Side<'f> = Option<(Standing, &'f Offender)>;
    let mut reported: BTreeMap<IpNet, [Side<'_>; 2]> = BTreeMap::new();
    for (side, findings) in [old, new].into_iter().enumerate() {
        for (standing, list) in
            [(Standing::Offender, &findings.offenders), (Standing::Watched, &findings.watched)]
        {
            for offender in list {
                reported.entry(offender.source).or_default()[side] = Some((standing, offender));
            }
        }
    }
    let mut differences: Vec<SourceDifference> = reported
        .into_iter()
        .filter_map(|(source, [old, new])| {
            let detections = |side: Side<'_>| {
                side.map_or(Vec::new(), |(_, offender)| offender.detections.clone())
            };
            let (before, after) = (detections(old), detections(new));
            // Of what is in one list alone: of a quiet source the other list is not known,
            // and a rule that did not change fires the same.
            let alone = |list: &[Detection], other: &[Detection], is_quiet: bool| {
                let differs = |detection: &&Detection| {
                    let pair = pairs
                        .list
                        .iter()
                        .find(|pair| pair.rule().id() == &*detection.rule)
                        .expect("a detection is of a rule of either set");
                    if is_quiet {
                        pair.change != RuleChange::Same
                    } else {
                        !other.iter().any(|theirs| theirs.rule == detection.rule)
                    }
                };
                list.iter().filter(differs).cloned().collect::<Vec<_>>()
            };
            let score = |side: Side<'_>| side.map_or(0, |(_, offender)| offender.score);
            let standing = |side: Side<'_>| side.map_or(Standing::Quiet, |(standing, _)| standing);
            let same = score(old) == score(new) && standing(old) == standing(new);
            let (_, any) = new.or(old)?;
            (!same).then(|| SourceDifference {
                source,
                standing_old: standing(old),
                standing_new: standing(new),
                score_old: score(old),
                score_new: score(new),
                good_requests: good(source),
                principals: any.principals,
                rules_added: alone(&after, &before, old.is_none()),
                rules_dropped: alone(&before, &after, new.is_none()),
            })
        })
        .collect();
    let group = |difference: &SourceDifference| {
        (!difference.is_added(), difference.is_added() || !difference.is_dropped())
    };
    differences.sort_by(|a, b| {
        let score = |of: &SourceDifference| of.score_new.max(of.score_old);
        group(a).cmp(&group(b)).then(score(b).cmp(&score(a))).then(a.source.cmp(&b.source))
    });
    differences
}
