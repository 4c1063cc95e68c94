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

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use ipnet::IpNet;
use portcullis_ingest::{Reject, Request};

use crate::coverage::{Coverage, ObjectSeen};
use crate::level::named;
use crate::offender::{Detection, Findings, Offender};
use crate::rate::is_blocked;
use crate::rule::{Rule, RuleKind, RuleSet};
use crate::scan::Scan;
use crate::signature::Verdict;
use crate::source::SourceKey;
use crate::standing::Standing;
use crate::tally::Tally;

/// Two scans of the same requests. One for each worker; merge them at the end.
pub struct Comparison<'r> {
    old: Scan<'r>,
    new: Scan<'r>,
    pairs: Pairs<'r>,
    rules: Vec<Seen>,
    sources: HashMap<SourceKey, Good, RandomState>,
    totals: Totals,
    object: Arc<str>,
    /// By pair, for the request at hand.
    fired: Vec<[bool; 2]>,
}

named! {
    /// What became of a rule.
    RuleChange {
        /// Only the new rules have it.
        Added = "added",
        /// Only the old rules have it.
        Removed = "removed",
        /// Both have it, and its files differ.
        Changed = "changed",
        /// Both have it, with the same file.
        Same = "same",
    }
}

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

/// The rules of both sets, paired by id.
struct Pairs<'r> {
    rules: [&'r RuleSet; 2],
    /// Sorted by id.
    list: Vec<Pair<'r>>,
    /// For each set, the pair of each rule by its index.
    of: [Vec<usize>; 2],
}

/// One rule of either set or both, with its indices.
struct Pair<'r> {
    old: Option<(usize, &'r Rule)>,
    new: Option<(usize, &'r Rule)>,
    change: RuleChange,
}

impl<'r> Pair<'r> {
    fn rule(&self) -> &'r Rule {
        let (_, rule) = self.new.or(self.old).expect("a pair has a rule");
        rule
    }
}

impl<'r> Pairs<'r> {
    fn new(old: &'r RuleSet, new: &'r RuleSet) -> Self {
        type Sides<'r> = [Option<(usize, &'r Rule)>; 2];
        let mut by_id: BTreeMap<&str, Sides<'r>> = BTreeMap::new();
        for (side, rules) in [old, new].into_iter().enumerate() {
            for (index, rule) in rules.rules().iter().enumerate() {
                by_id.entry(rule.id()).or_default()[side] = Some((index, rule));
            }
        }
        let mut pairs = Self {
            rules: [old, new],
            list: Vec::new(),
            of: [vec![0; old.rules().len()], vec![0; new.rules().len()]],
        };
        for [old, new] in by_id.into_values() {
            for (side, rule) in [old, new].into_iter().enumerate() {
                if let Some((index, _)) = rule {
                    pairs.of[side][index] = pairs.list.len();
                }
            }
            let change = match (old, new) {
                (None, _) => RuleChange::Added,
                (_, None) => RuleChange::Removed,
                (Some((_, old)), Some((_, new))) if old.source() == new.source() => {
                    RuleChange::Same
                }
                _ => RuleChange::Changed,
            };
            pairs.list.push(Pair { old, new, change });
        }
        pairs
    }
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

/// The good requests of one source.
#[derive(Clone, Copy, Default)]
struct Good {
    requests: u64,
    flagged: u64,
}

const OLD: usize = 0;
const NEW: usize = 1;

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
        {
            let good = self.sources.entry(SourceKey::of(client)).or_default();
            good.requests += 1;
            good.flagged += u64::from(newly);
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
        for (source, theirs) in other.sources {
            let good = self.sources.entry(source).or_default();
            good.requests += theirs.requests;
            good.flagged += theirs.flagged;
        }
        let Totals {
            requests,
            good_requests,
            flagged_old,
            flagged_new,
            flagged_added,
            flagged_dropped,
            good_flagged,
            good_behind,
        } = other.totals;
        let totals = &mut self.totals;
        totals.requests += requests;
        totals.good_requests += good_requests;
        totals.flagged_old += flagged_old;
        totals.flagged_new += flagged_new;
        totals.flagged_added += flagged_added;
        totals.flagged_dropped += flagged_dropped;
        totals.good_flagged += good_flagged;
        totals.good_behind += good_behind;
    }

    /// Says what the change comes to.
    pub fn finish(self) -> Difference {
        let Self { old, new, pairs, rules, sources, mut totals, .. } = self;
        let (old, new) = (old.finish(), new.finish());
        let mut rules: Vec<RuleDifference> = pairs
            .list
            .iter()
            .zip(&rules)
            .map(|(pair, seen)| seen.difference(pair, &pairs))
            .collect();
        for (side, findings) in [&old, &new].into_iter().enumerate() {
            add_rates(&mut rules, side, findings);
        }
        let good =
            |source: IpNet| sources.get(&SourceKey::of(source.addr())).copied().unwrap_or_default();
        let sources = source_differences(&old, &new, &pairs, |source| good(source).requests);
        for source in sources.iter().filter(|source| source.is_added()) {
            let good = good(source.source);
            let behind = good.requests - good.flagged;
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
            Some(tally.detection(pairs.rules[side], index))
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

fn source_differences(
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

#[cfg(test)]
mod tests {
    use portcullis_ingest::{Origin, Untrusted};

    use super::*;

    fn rules(literals: &[(&str, &str)]) -> RuleSet {
        let files = literals.iter().map(|(id, literal)| {
            let text = format!(
                "id = \"other/{id}\"\ntitle = \"t\"\ncategory = \"other\"\nseverity = \"high\"\n\
                 confidence = \"high\"\nmisses = \"m\"\n[signature]\nfields = [\"path\"]\n\
                 contains = [\"{literal}\"]\n"
            );
            let example = |name: &str, path: &str, fires: bool| {
                format!(
                    "[[example]]\nname = \"{name}\"\nrequest = {{ path = \"{path}\" }}\n\
                     fires = {fires}\n"
                )
            };
            let examples = [
                example("a", literal, true),
                example("b", &format!("/x{literal}"), true),
                example("c", "/", false),
                example("d", "/-", false),
            ];
            (format!("other/{id}.toml"), text + &examples.concat())
        });
        RuleSet::load(files).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// `(last byte of the client, path, status)`.
    type Event = (u8, &'static str, u16);

    fn compared(old: &RuleSet, new: &RuleSet, parts: &[&[(usize, Event)]]) -> Difference {
        let mut whole = Comparison::new(old, new);
        for part in parts {
            let mut comparison = Comparison::new(old, new);
            for (offset, (client, path, status)) in *part {
                comparison.observe(&Request {
                    client: Some([192, 0, 2, *client].into()),
                    path: Some(Untrusted::new(path.as_bytes())),
                    status: Some(*status),
                    origin: Origin { object: "o", offset: *offset as u64 },
                    ..Request::default()
                });
            }
            whole.merge(comparison);
        }
        whole.finish()
    }

    const EVENTS: [Event; 6] = [
        (1, "/old", 404),
        (2, "/new", 200),
        (2, "/fine", 200),
        (2, "/fine", 304),
        (3, "/both", 404),
        (4, "/fine", 200),
    ];

    fn numbered() -> Vec<(usize, Event)> {
        EVENTS.into_iter().enumerate().collect()
    }

    #[test]
    fn harm_is_the_good_requests_of_those_newly_accused() {
        let old = rules(&[("kept", "/both"), ("gone", "/old")]);
        let new = rules(&[("kept", "/both"), ("fresh", "/new")]);
        let found = compared(&old, &new, &[&numbered()]);
        let expected = Totals {
            requests: 6,
            good_requests: 4,
            flagged_old: 2,
            flagged_new: 2,
            flagged_added: 1,
            flagged_dropped: 1,
            good_flagged: 1,
            good_behind: 2,
        };
        assert_eq!(found.totals, expected);
        let rule = |id: &str| found.rules.iter().find(|rule| &*rule.rule == id).expect(id);
        let fresh = rule("other/fresh");
        assert_eq!((fresh.change, fresh.harm()), (RuleChange::Added, 3));
        assert_eq!(fresh.added.as_ref().map(|added| added.evidence[0].offset), Some(1));
        let gone = rule("other/gone");
        assert_eq!((gone.change, gone.harm(), gone.flagged_dropped), (RuleChange::Removed, 0, 1));
        assert_eq!(rule("other/kept").change, RuleChange::Same);
        let sources: Vec<_> = found.sources.iter().map(|one| one.source.to_string()).collect();
        assert_eq!(sources, ["192.0.2.2/32", "192.0.2.1/32"]);
        assert!(found.sources[0].is_added() && found.sources[1].is_dropped());
    }

    #[test]
    fn order_and_split_do_not_show() {
        let old = rules(&[("kept", "/both"), ("one", "/old")]);
        let new = rules(&[("kept", "/both"), ("one", "/new")]);
        let whole = format!("{:?}", compared(&old, &new, &[&numbered()]));
        for turn in 0..EVENTS.len() {
            let mut events = numbered();
            events.rotate_left(turn);
            let (left, right) = events.split_at(turn);
            assert_eq!(format!("{:?}", compared(&old, &new, &[right, left])), whole, "{turn}");
        }
    }

    #[test]
    fn the_same_rules_change_nothing() {
        let rules = rules(&[("kept", "/both"), ("one", "/old")]);
        let found = compared(&rules, &rules, &[&numbered()]);
        assert!(found.sources.is_empty());
        assert_eq!((found.totals.flagged_added, found.totals.harm()), (0, 0));
        assert!(found.rules.iter().all(|rule| rule.added.is_none() && rule.dropped.is_none()));
    }
}
