//! What a change of rules would have changed over logs of the past.
//!
//! Two scans look at every request, one with the old rules and one with the new. A rule
//! whose file is the same in both says the same of every request, so whatever differs is
//! the work of the rules that were added, removed or changed.
//!
//! A new rule that finds more is not yet better: what it finds may be people. So the harm
//! is counted beside it, in *good requests*: answered 2xx or 3xx and not flagged by the old
//! rules. A changed rule harms the good requests that it newly flags, and the other good
//! requests of the sources that it makes offenders, because a block would stop those too.
//!
//! Everything kept is a sum, a minimum or a set, so that order and threads do not show.

mod difference;
mod pairs;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use ipnet::IpNet;
use portcullis_ingest::{Reject, Request};

pub use difference::{Difference, RuleDifference, SourceDifference, Totals};
pub use pairs::RuleChange;

use crate::coverage::ObjectSeen;
use crate::offender::{Findings, Offender};
use crate::rate::is_blocked;
use crate::rule::{Rule, RuleKind, RuleSet};
use crate::scan::Scan;
use crate::signature::Verdict;
use crate::source::SourceKey;
use crate::tally::Tally;
use difference::source_differences;
use pairs::{NEW, OLD, Pair, Pairs};

/// Two scans of the same requests. One for each worker; merge them at the end.
pub struct Comparison<'r> {
    old: Scan<'r>,
    new: Scan<'r>,
    pairs: Pairs<'r>,
    rules: Vec<Seen>,
    /// Good requests that are newly flagged, by source.
    sources: HashMap<SourceKey, u64, RandomState>,
    totals: Totals,
    object: Arc<str>,
    /// By pair, for the request at hand.
    fired: Vec<[bool; 2]>,
}

/// What is counted of one pair.
#[derive(Default)]
struct Seen {
    requests: [u64; 2],
    added: Tally,
    dropped: Tally,
    flagged_added: u64,
    flagged_dropped: u64,
    good_flagged: u64,
}

impl<'r> Comparison<'r> {
    /// Begins with nothing seen.
    pub fn new(old: &'r RuleSet, new: &'r RuleSet) -> Self {
        let pairs = Pairs::new(old, new);
        let count = pairs.list.len();
        Self {
            old: Scan::new(old),
            new: Scan::new(new),
            pairs,
            rules: (0..count).map(|_| Seen::default()).collect(),
            sources: HashMap::default(),
            totals: Totals::default(),
            object: "".into(),
            fired: vec![[false; 2]; count],
        }
    }

    /// Sets how many bytes may be kept of clients; see [`Scan::limit_memory`].
    pub fn limit_memory(&mut self, bytes: usize) {
        self.old.limit_memory(bytes / 2);
        self.new.limit_memory(bytes / 2);
    }

    /// Takes in one request.
    pub fn observe(&mut self, request: &Request<'_>) {
        if *self.object != *request.origin.object {
            self.object = request.origin.object.into();
        }
        let held = !is_blocked(request);
        let old = self.old.observe(request);
        let flagged_old = held && old.flagged();
        let new = self.new.observe(request);
        let flagged_new = held && new.flagged();
        let answered_well = request.status.is_some_and(|code| (200..400).contains(&code));
        let is_good = held && answered_well && !old.flagged();
        let newly = flagged_new && !flagged_old;
        let no_longer = flagged_old && !flagged_new;

        let totals = &mut self.totals;
        totals.requests += 1;
        totals.good_requests += u64::from(is_good);
        totals.flagged_old += u64::from(flagged_old);
        totals.flagged_new += u64::from(flagged_new);
        totals.flagged_added += u64::from(newly);
        totals.flagged_dropped += u64::from(no_longer);
        totals.good_flagged += u64::from(is_good && newly);
        if let Some(client) = request.client
            && is_good
            && newly
        {
            *self.sources.entry(SourceKey::of(client)).or_default() += 1;
        }
        if held && !(old.hits().is_empty() && new.hits().is_empty()) {
            self.compare(request, [newly, no_longer, is_good]);
        }
    }

    fn compare(&mut self, request: &Request<'_>, [newly, no_longer, is_good]: [bool; 3]) {
        let Self { old, new, pairs, rules, object, fired, .. } = self;
        let verdicts: [&Verdict; 2] = [old.verdict(), new.verdict()];
        for (side, verdict) in verdicts.into_iter().enumerate() {
            for hit in verdict.hits() {
                fired[pairs.of[side][hit.rule]][side] = true;
            }
        }
        for (side, verdict) in verdicts.into_iter().enumerate() {
            for hit in verdict.hits() {
                let pair = pairs.of[side][hit.rule];
                let seen = &mut rules[pair];
                seen.requests[side] += 1;
                let changed = pairs.list[pair].change != RuleChange::Same;
                match (side, fired[pair]) {
                    (OLD, [_, false]) => seen.dropped.observe(request, hit, object),
                    (NEW, [false, _]) => seen.added.observe(request, hit, object),
                    _ => {}
                }
                if changed && side == NEW && newly {
                    seen.flagged_added += 1;
                    seen.good_flagged += u64::from(is_good);
                }
                if changed && side == OLD && no_longer {
                    seen.flagged_dropped += 1;
                }
            }
        }
        for (side, verdict) in verdicts.into_iter().enumerate() {
            for hit in verdict.hits() {
                fired[pairs.of[side][hit.rule]] = [false; 2];
            }
        }
    }

    /// Takes in a record that could not be read.
    pub fn observe_reject(&mut self, reject: &Reject<'_>) {
        self.old.observe_reject(reject);
        self.new.observe_reject(reject);
    }

    /// Takes in what reading one object gave.
    pub fn object(&mut self, object: &ObjectSeen<'_>) {
        self.old.object(object);
        self.new.object(object);
    }

    /// Takes in everything another comparison of the same rules saw.
    pub fn merge(&mut self, other: Self) {
        self.old.merge(other.old);
        self.new.merge(other.new);
        for (mine, theirs) in self.rules.iter_mut().zip(other.rules) {
            for (sum, count) in mine.requests.iter_mut().zip(theirs.requests) {
                *sum += count;
            }
            mine.added.merge(theirs.added);
            mine.dropped.merge(theirs.dropped);
            mine.flagged_added += theirs.flagged_added;
            mine.flagged_dropped += theirs.flagged_dropped;
            mine.good_flagged += theirs.good_flagged;
        }
        for (source, flagged) in other.sources {
            *self.sources.entry(source).or_default() += flagged;
        }
        self.totals.merge(other.totals);
    }

    /// Says what the change comes to.
    pub fn finish(self) -> Difference {
        let Self { mut old, new, pairs, rules, sources, mut totals, .. } = self;
        let key = |offender: &Offender| SourceKey::of(offender.source.addr());
        let new = new.finish();
        // What is good is what the old rules leave alone.
        let mut good = old.good_requests(new.offenders.iter().chain(&new.watched).map(key));
        let old = old.finish();
        for offender in old.offenders.iter().chain(&old.watched) {
            good.insert(key(offender), offender.good_requests);
        }
        let mut rules: Vec<RuleDifference> = pairs
            .list
            .iter()
            .zip(&rules)
            .map(|(pair, seen)| seen.difference(pair, &pairs))
            .collect();
        for (side, findings) in [&old, &new].into_iter().enumerate() {
            add_rates(&mut rules, side, findings);
        }
        let of = |known: &HashMap<SourceKey, u64, RandomState>, source: IpNet| {
            known.get(&SourceKey::of(source.addr())).copied().unwrap_or(0)
        };
        let flagged = sources;
        let sources = source_differences(&old, &new, &pairs, |source| of(&good, source));
        for source in sources.iter().filter(|source| source.is_added()) {
            // When memory was full, fewer may be known to be good than were flagged.
            let behind = of(&good, source.source).saturating_sub(of(&flagged, source.source));
            totals.good_behind += behind;
            for detection in &source.rules_added {
                let is_it = |rule: &&mut RuleDifference| rule.rule == detection.rule;
                if let Some(rule) = rules.iter_mut().find(is_it)
                    && rule.change != RuleChange::Same
                {
                    rule.good_behind += behind;
                    rule.offenders_added.push(source.source);
                }
            }
        }
        for rule in &mut rules {
            rule.offenders_added.sort_unstable();
        }
        Difference { coverage: new.coverage, totals, rules, sources }
    }
}

impl Seen {
    fn difference(&self, pair: &Pair<'_>, pairs: &Pairs<'_>) -> RuleDifference {
        let detection = |tally: &Tally, side: usize, rule: Option<(usize, &Rule)>| {
            let (index, _) = rule.filter(|_| tally.requests > 0)?;
            Some(tally.clone().detection(pairs.rules[side], index))
        };
        let rule = pair.rule();
        RuleDifference {
            rule: Arc::clone(rule.shared_id()),
            change: pair.change,
            is_rate: matches!(rule.kind(), RuleKind::Rate(_)),
            requests_old: self.requests[OLD],
            requests_new: self.requests[NEW],
            added: detection(&self.added, NEW, pair.new),
            dropped: detection(&self.dropped, OLD, pair.old),
            flagged_added: self.flagged_added,
            flagged_dropped: self.flagged_dropped,
            good_flagged: self.good_flagged,
            good_behind: 0,
            offenders_added: Vec::new(),
        }
    }
}

/// Adds what rates counted on the sources that are reported.
fn add_rates(rules: &mut [RuleDifference], side: usize, findings: &Findings) {
    let reported = findings.offenders.iter().chain(&findings.watched);
    let of_groups = findings.suspects.iter().flat_map(|suspect| &suspect.detections);
    for detection in reported.flat_map(|offender| &offender.detections).chain(of_groups) {
        let place = rules.binary_search_by(|rule| rule.rule.cmp(&detection.rule));
        if let Some(rule) = place.ok().map(|place| &mut rules[place]).filter(|rule| rule.is_rate) {
            let requests =
                if side == OLD { &mut rule.requests_old } else { &mut rule.requests_new };
            *requests += detection.requests;
        }
    }
}

#[cfg(test)]
mod tests;
