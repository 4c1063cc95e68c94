//! Finds candidates: per logged field, the rules whose literals stand in a text.
//!
//! Every rule's literals are looked for at once, by their first bytes; what follows those is
//! compared in place. A literal is of interest until every rule that wants it has been told
//! of it, so that a text full of one costs little more than one that has it once.

use std::ops::Range;
use std::sync::OnceLock;

use super::beginnings::{Beginnings, FIRST_BYTES};
use super::candidates::{Candidate, Candidates};
use super::member::Member;
use super::parts::{Noted, Parts};
use super::views::ViewSet;
use crate::rule::{Place, Rule, RuleKind, Subject};
use crate::tokens::Tokens;
use crate::view::View;

/// Everything needed to find candidates. Shared by all threads.
#[derive(Debug)]
pub(crate) struct Engine {
    uses: Vec<Use>,
    /// For each subject, what searches its views.
    searches: [Searches; Subject::ALL.len()],
    /// What searches the views of a query and notes its parts.
    noting: Searches,
    views: [ViewSet; Subject::ALL.len()],
    /// Rules without literals: their tokeniser looks at every text.
    always: [Vec<Always>; Subject::ALL.len()],
}

/// For each set of views, what finds the literals that rules look for in these, and no
/// others: hostile text is full of literals, and each that nobody asked for costs a look.
/// Made when a text first has these views; `None` when rules look for nothing.
type Searches = [OnceLock<Option<Box<Literals>>>; 1 << View::ALL.len()];

#[derive(Debug)]
struct Literals {
    /// Finds the first bytes of literals.
    beginnings: Beginnings,
    /// For each group of beginnings, the literals that begin so.
    groups: Vec<Group>,
    /// For each subject and view, as [`bits`] have them, the short groups it looks for.
    live: [u64; u64::BITS as usize],
    /// For each literal, the rules that want it.
    uses: Vec<Vec<Use>>,
    /// How many uses there are in all, of this search or others.
    interests: usize,
}

/// Literals that begin nearly alike.
#[derive(Debug, Default)]
struct Group {
    literals: Vec<Member>,
    /// What any of them looks at; see [`bits`].
    mask: u64,
    /// Length of the longest.
    longest: usize,
}

/// One rule's interest in one literal.
#[derive(Debug, Clone)]
struct Use {
    /// Its place among all uses of all rules.
    number: usize,
    rule: u32,
    place: Place,
    mask: u64,
    views: ViewSet,
    /// The literal as written, for the raw view.
    exact: Box<[u8]>,
}

#[derive(Debug)]
struct Always {
    rule: u32,
    views: ViewSet,
    tokens: Tokens,
}

/// Bits of the subjects × views that something looks at.
const fn bits(subject: Subject, views: ViewSet) -> u64 {
    (views.bits() as u64) << (subject as u32 * View::ALL.len() as u32)
}

/// Every view of a subject.
const fn all_views(subject: Subject) -> u64 {
    ((1 << View::ALL.len()) - 1) << (subject as u32 * View::ALL.len() as u32)
}

/// The places of the bits that are set.
fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = (bits != 0).then(|| bits.trailing_zeros() as usize);
        bits &= bits.wrapping_sub(1);
        place
    })
}

/// Bits of names and values in every view.
const fn all_views_of_parts() -> u64 {
    all_views(Subject::Names) | all_views(Subject::Values)
}

impl Engine {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut views = [ViewSet::EMPTY; Subject::ALL.len()];
        let mut always: [Vec<Always>; Subject::ALL.len()] = Default::default();
        for (rule, index) in rules.iter().zip(0..) {
            let RuleKind::Signature(signature) = rule.kind() else {
                continue;
            };
            let of_rule: ViewSet = signature.views().iter().copied().collect();
            for subject in signature.subjects() {
                let of_subject = &mut views[*subject as usize];
                *of_subject = of_subject.union(of_rule);
                if let (true, Some(tokens)) = (signature.literals().is_empty(), signature.tokens) {
                    let entry = Always { rule: index, views: of_rule, tokens };
                    always[*subject as usize].push(entry);
                }
            }
        }
        Self { uses: uses(rules), searches: <_>::default(), noting: <_>::default(), views, always }
    }

    /// The views that any rule looks at.
    pub(super) const fn views(&self, subject: Subject) -> ViewSet {
        self.views[subject as usize]
    }

    /// Whether a rule without literals looks at it.
    pub(super) const fn has_always(&self, subject: Subject) -> bool {
        !self.always[subject as usize].is_empty()
    }

    /// Whether a rule without literals may say something about the text.
    pub(super) fn always_may_hold(&self, subject: Subject, text: &[u8]) -> bool {
        let possible = Tokens::possible_in(text);
        self.always[subject as usize].iter().any(|always| possible.has(always.tokens))
    }

    /// Finds the rules without literals that may say something about a text, which stands
    /// for `views` of `subject`.
    pub(super) fn always(
        &self,
        subject: Subject,
        views: ViewSet,
        text: &[u8],
        candidates: &mut Candidates,
    ) {
        let always = &self.always[subject as usize];
        if always.is_empty() {
            return;
        }
        let possible = Tokens::possible_in(text);
        for always in always {
            let views = always.views.both(views);
            if !views.is_empty() && possible.has(always.tokens) {
                candidates.found.extend(views.distinct().map(|view| Candidate {
                    rule: always.rule,
                    view,
                    start: 0,
                    end: 0,
                }));
            }
        }
    }

    /// Finds the rules whose literals are in a text, which stands for `views` of `subject`.
    /// Of a whole query as logged, also notes which parts are worth a search.
    pub(super) fn literals(
        &self,
        subject: Subject,
        views: ViewSet,
        text: &[u8],
        candidates: &mut Candidates,
        parts: Option<&mut Parts>,
    ) {
        let (searches, of_parts) = match parts {
            Some(_) => (&self.noting, all_views_of_parts()),
            None => (&self.searches[subject as usize], 0),
        };
        let literals = searches[usize::from(views.bits())]
            .get_or_init(|| Literals::new(&self.uses, bits(subject, views) | of_parts));
        if let Some(literals) = literals {
            literals.search(subject, views, text, candidates, parts);
        }
    }

    /// Notes which parts of a query as logged are worth a search.
    pub(super) fn note_parts(&self, query: &[u8], parts: &mut Parts) {
        let mut nothing = Candidates::default();
        self.literals(Subject::Query, ViewSet::EMPTY, query, &mut nothing, Some(parts));
    }
}

/// Every interest of every rule.
fn uses(rules: &[Rule]) -> Vec<Use> {
    let mut uses = Vec::new();
    for (rule, index) in rules.iter().zip(0..) {
        let RuleKind::Signature(signature) = rule.kind() else {
            continue;
        };
        let views: ViewSet = signature.views().iter().copied().collect();
        let subjects = signature.subjects().iter();
        let mask = subjects.fold(0, |mask, subject| mask | bits(*subject, views));
        for literal in signature.literals() {
            let (number, place) = (uses.len(), literal.place());
            let exact = literal.text().as_bytes().into();
            uses.push(Use { number, rule: index, place, mask, views, exact });
        }
    }
    uses
}

impl Literals {
    /// What finds the literals that anything of a mask looks for; see [`bits`]. `None` when
    /// there are none.
    fn new(uses: &[Use], mask: u64) -> Option<Box<Self>> {
        let of_mask = uses.iter().filter(|one| one.mask & mask != 0);
        let mut wanted: Vec<(Vec<u8>, Use)> =
            of_mask.map(|one| (one.exact.to_ascii_lowercase(), one.clone())).collect();
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
        let interests = uses.len();
        let mut texts: Vec<Vec<u8>> = Vec::new();
        let mut uses: Vec<Vec<Use>> = Vec::new();
        for (text, interest) in wanted {
            if texts.last() == Some(&text) {
                uses.last_mut().expect("as many as texts").push(interest);
            } else {
                texts.push(text);
                uses.push(vec![interest]);
            }
        }
        if texts.is_empty() {
            return None;
        }
        let beginnings = Beginnings::new(texts.iter().map(Vec::as_slice));
        let mut groups: Vec<Group> = Vec::new();
        let mut live = [0; u64::BITS as usize];
        for (literal, (text, uses)) in texts.iter().zip(&uses).enumerate() {
            let mask = uses.iter().fold(0, |mask, one| mask | one.mask);
            let number = beginnings.group(text);
            groups.resize_with(groups.len().max(number + 1), Group::default);
            let group = &mut groups[number];
            group.literals.push(Member::new(literal, text, mask));
            group.mask |= mask;
            group.longest = group.longest.max(text.len());
            for of_bit in ones(mask).filter(|_| text.len() < FIRST_BYTES) {
                live[of_bit] |= 1 << number;
            }
        }
        Some(Box::new(Self { beginnings, groups, live, uses, interests }))
    }

    fn search(
        &self,
        subject: Subject,
        views: ViewSet,
        text: &[u8],
        candidates: &mut Candidates,
        mut parts: Option<&mut Parts>,
    ) {
        let wanted = bits(subject, views);
        let mut noted = Noted::default();
        candidates.begin(self.groups.len(), self.uses.len(), self.interests);
        let of_parts = if parts.is_some() { all_views_of_parts() } else { 0 };
        let live = ones(wanted | of_parts).fold(0, |live, bit| live | self.live[bit]);
        self.beginnings.visit(text, live, |end, number| {
            let group = &self.groups[number];
            let spent =
                group.mask & wanted == 0 || candidates.spent_groups[number] == candidates.search;
            let noting = group.mask & of_parts != 0
                && !noted.holds(end.saturating_sub(FIRST_BYTES), end + group.longest);
            if spent && !noting {
                return parts.is_none();
            }
            let mut found_any = false;
            for member in &group.literals {
                let literal = member.literal;
                let of_interest =
                    member.mask & wanted != 0 && candidates.spent[literal] != candidates.search;
                let noting = noting && member.mask & of_parts != 0;
                if !of_interest && !noting {
                    continue;
                }
                let Some(seen) = member.stands_in(text, end) else {
                    continue;
                };
                let noting = noting && !noted.holds(seen.start, seen.end);
                if noting && let Some(parts) = parts.as_deref_mut() {
                    self.note_part(member, text, &seen, &mut noted, parts);
                }
                if of_interest {
                    self.seen(literal, text, seen, wanted, views, candidates);
                    found_any = true;
                }
            }
            let has_more = |member: &Member| {
                member.mask & wanted != 0 && candidates.spent[member.literal] != candidates.search
            };
            if !found_any || group.literals.iter().any(has_more) {
                return false;
            }
            candidates.spent_groups[number] = candidates.search;
            parts.is_none()
        });
    }

    /// Takes in a literal that was seen.
    fn seen(
        &self,
        literal: usize,
        text: &[u8],
        seen: Range<usize>,
        wanted: u64,
        views: ViewSet,
        candidates: &mut Candidates,
    ) {
        let mut spent = true;
        for one in self.uses[literal].iter().filter(|one| one.mask & wanted != 0) {
            if candidates.spent_uses[one.number] == candidates.search {
                continue;
            }
            if !stands(one.place, text, seen.start, seen.end) {
                spent = false;
                continue;
            }
            let mut here = one.views.both(views);
            if here.contains(View::Raw) && text[seen.clone()] != *one.exact {
                here = here.without(View::Raw);
                spent = false;
            } else {
                candidates.spent_uses[one.number] = candidates.search;
            }
            candidates.found.extend(here.distinct().map(|view| Candidate {
                rule: one.rule,
                view,
                start: seen.start as u32,
                end: seen.end as u32,
            }));
        }
        if spent {
            candidates.spent[literal] = candidates.search;
        }
    }

    /// Notes whether a literal in a whole query may stand so in a name or a value.
    fn note_part(
        &self,
        member: &Member,
        query: &[u8],
        seen: &Range<usize>,
        noted: &mut Noted,
        parts: &mut Parts,
    ) {
        let Some(part) = noted.part_of(query, seen) else {
            return;
        };
        // A part's ends are word boundaries in the query too; its start and its end are
        // not the query's.
        let stands_so = self.uses[member.literal].iter().any(|one| {
            one.mask & all_views(part) != 0
                && (one.place != Place::Word || stands(one.place, query, seen.start, seen.end))
        });
        if stands_so {
            noted.note(part, parts);
        }
    }
}

/// Whether a literal at `start..end` stands where its rule wants it.
fn stands(place: Place, text: &[u8], start: usize, end: usize) -> bool {
    let before = start.checked_sub(1).map(|at| text[at]);
    let after = text.get(end).copied();
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match place {
        Place::Anywhere => true,
        Place::Word => !before.is_some_and(word) && !after.is_some_and(word),
        Place::Segment => {
            before.is_none_or(|byte| byte == b'/')
                && after.is_none_or(|byte| matches!(byte, b'/' | b';' | b'?'))
        }
        Place::End => after.is_none(),
        Place::Start => before.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rule::RuleSet;

    /// The same by looking for every literal of every rule at every place.
    fn naive(rules: &[Rule], subject: Subject, views: ViewSet, text: &[u8]) -> Vec<Candidate> {
        let mut found = Vec::new();
        for (rule, index) in rules.iter().zip(0..) {
            let RuleKind::Signature(signature) = rule.kind() else {
                continue;
            };
            let of_rule: ViewSet = signature.views().iter().copied().collect();
            if !signature.subjects().contains(&subject) {
                continue;
            }
            for literal in signature.literals() {
                let exact = literal.text().as_bytes();
                for (start, window) in text.windows(exact.len()).enumerate() {
                    let end = start + exact.len();
                    let seen = window.eq_ignore_ascii_case(exact)
                        && stands(literal.place(), text, start, end);
                    let here = of_rule.both(views);
                    let here = if window == exact { here } else { here.without(View::Raw) };
                    found.extend(here.distinct().filter(|_| seen).map(|view| Candidate {
                        rule: index,
                        view,
                        start: start as u32,
                        end: end as u32,
                    }));
                }
            }
        }
        found.sort_unstable();
        found.dedup_by_key(|candidate| (candidate.rule, candidate.view));
        found
    }

    /// Literals of the rules, whole or cut, and what may stand between them.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let literals: Vec<Vec<u8>> = RuleSet::builtin()
            .rules()
            .iter()
            .filter_map(|rule| match rule.kind() {
                RuleKind::Signature(signature) => Some(signature),
                RuleKind::Rate(_) => None,
            })
            .flat_map(|signature| signature.literals().to_vec())
            .map(|literal| literal.text().as_bytes().to_vec())
            .collect();
        let literal = (proptest::sample::select(literals), 0..4_usize, any::<bool>());
        let literal = literal.prop_map(|(mut literal, cut, upper)| {
            literal.truncate(literal.len() - cut.min(literal.len() - 1) * usize::from(cut < 3));
            if upper { literal.to_ascii_uppercase() } else { literal }
        });
        let between = proptest::collection::vec(any::<u8>(), 0..3);
        let between = prop_oneof![between, "[ &=/.'a-z]{0,3}".prop_map(String::into_bytes)];
        proptest::collection::vec((literal, between), 0..24)
            .prop_map(|parts| parts.into_iter().flat_map(|(a, b)| [a, b]).flatten().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_rules_found_are_those_whose_literals_stand_in_the_text(
            text in text(),
            subject in proptest::sample::select(Subject::ALL.to_vec()),
            views in 1_usize..1 << View::ALL.len(),
        ) {
            let rules = RuleSet::builtin();
            let engine = rules.engine();
            let views: ViewSet =
                View::ALL.iter().copied().filter(|view| views >> *view as usize & 1 != 0).collect();
            let mut candidates = Candidates::default();
            let mut parts = Parts::default();
            engine.literals(subject, views, &text, &mut candidates, None);
            let expected = naive(rules.rules(), subject, views, &text);
            prop_assert_eq!(candidates.found().collect::<Vec<_>>(), &expected[..]);
            candidates.clear();
            engine.literals(subject, views, &text, &mut candidates, Some(&mut parts));
            prop_assert_eq!(candidates.found().collect::<Vec<_>>(), expected);
        }
    }
}
