//! The automata that find candidates: one per logged field, holding every rule's literals.
//!
//! Whole literals would make an automaton of several megabytes. Honest text stays in the
//! few states near its root, but text made to visit all of them would wait for memory at
//! every byte. So the automaton holds no more than the first bytes of each literal, which
//! fits into a processor's cache, and what follows them is compared in place.

use std::ops::Range;

use aho_corasick::automaton::Automaton as _;
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind};
use portcullis_ingest::Field;

use super::FIELDS;
use super::views::ViewSet;
use crate::rule::{Place, Rule, RuleKind, Subject};
use crate::tokens::Tokens;
use crate::view::View;

/// Everything needed to find candidates. Immutable, shared by all threads.
#[derive(Debug)]
pub(crate) struct Engine {
    automata: [Option<Automaton>; FIELDS.len()],
    views: [ViewSet; Subject::ALL.len()],
    /// Rules without literals: their tokeniser looks at every text.
    always: [Vec<Always>; Subject::ALL.len()],
}

#[derive(Debug)]
struct Automaton {
    /// Finds the first bytes of literals.
    search: DFA,
    /// For each beginning that it finds, the literals that begin so.
    beginnings: Vec<Beginning>,
    /// The literals, in lower case.
    texts: Vec<Vec<u8>>,
    /// For each literal, the rules that want it.
    uses: Vec<Vec<Use>>,
    /// How many uses there are in all.
    interests: usize,
    /// For each literal, the subjects and views any of its uses looks at; see [`bits`].
    masks: Vec<u64>,
}

/// Bytes of a literal that the automaton holds.
const FIRST_BYTES: usize = 3;

/// The literals that begin alike.
#[derive(Debug, Default)]
struct Beginning {
    /// Each with its first byte behind the beginning; `None` where there is none.
    literals: Vec<(Option<u8>, usize)>,
    /// What any of them looks at; see [`bits`].
    mask: u64,
    /// Length of the longest.
    longest: usize,
}

/// One rule's interest in one literal.
#[derive(Debug)]
struct Use {
    /// Its place among all uses.
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

/// A rule whose literal was seen, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) rule: u32,
    pub(super) view: View,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// Candidates of one search, and scratch memory to find them.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    found: Vec<Candidate>,
    /// For each beginning, the search in which no literal had anything left to say.
    spent_beginnings: Vec<u64>,
    /// The same for each literal.
    spent: Vec<u64>,
    /// The same for each use of a literal.
    spent_uses: Vec<u64>,
    search: u64,
}

impl Candidates {
    pub(super) const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Each rule and view once, at its first literal.
    pub(super) fn found(&mut self) -> impl Iterator<Item = Candidate> {
        self.found.sort_unstable();
        self.found.dedup_by_key(|candidate| (candidate.rule, candidate.view));
        self.found.iter().copied()
    }

    pub(super) fn clear(&mut self) {
        self.found.clear();
    }
}

/// Bits of the subjects × views that something looks at.
const fn bits(subject: Subject, views: ViewSet) -> u64 {
    (views.bits() as u64) << (subject as u32 * View::ALL.len() as u32)
}

/// Every view of a subject.
const fn all_views(subject: Subject) -> u64 {
    ((1 << View::ALL.len()) - 1) << (subject as u32 * View::ALL.len() as u32)
}

/// Bits of names and values in every view.
const fn all_views_of_parts() -> u64 {
    all_views(Subject::Names) | all_views(Subject::Values)
}

/// The parameters of a query in whose name or value a literal stands that rules look for
/// there, by where they start, ascending.
#[derive(Debug, Default)]
pub(super) struct Parts {
    names: Vec<usize>,
    values: Vec<usize>,
}

impl Parts {
    /// Whether a literal was seen in that part of the parameter at `start`.
    ///
    /// Parameters are asked for in order, so only the last can still be added twice.
    fn has(&self, part: Subject, start: usize) -> bool {
        self.of(part).last() == Some(&start)
    }

    fn add(&mut self, part: Subject, start: usize) {
        match part {
            Subject::Names => self.names.push(start),
            _ => self.values.push(start),
        }
    }

    /// The parameters by their starts.
    pub(super) fn of(&self, part: Subject) -> &[usize] {
        if part == Subject::Names { &self.names } else { &self.values }
    }

    pub(super) fn clear(&mut self) {
        self.names.clear();
        self.values.clear();
    }
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
        Self { automata: FIELDS.map(|field| Automaton::new(rules, field)), views, always }
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
        self.always[subject as usize].iter().any(|always| always.tokens.may_be_in(text))
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
        for always in &self.always[subject as usize] {
            let views = always.views.both(views);
            if !views.is_empty() && always.tokens.may_be_in(text) {
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
        let place = FIELDS.iter().position(|field| *field == subject.field());
        if let Some(automaton) = place.and_then(|place| self.automata[place].as_ref()) {
            automaton.search(subject, views, text, candidates, parts);
        }
    }

    /// Notes which parts of a query as logged are worth a search.
    pub(super) fn note_parts(&self, query: &[u8], parts: &mut Parts) {
        let mut nothing = Candidates::default();
        self.literals(Subject::Query, ViewSet::EMPTY, query, &mut nothing, Some(parts));
    }
}

impl Automaton {
    /// `None` when no rule has a literal for the field.
    fn new(rules: &[Rule], field: Field) -> Option<Self> {
        let mut patterns: Vec<(Vec<u8>, Use)> = Vec::new();
        for (rule, index) in rules.iter().zip(0..) {
            let RuleKind::Signature(signature) = rule.kind() else {
                continue;
            };
            let views: ViewSet = signature.views().iter().copied().collect();
            let mask = signature
                .subjects()
                .iter()
                .filter(|subject| subject.field() == field)
                .fold(0, |mask, subject| mask | bits(*subject, views));
            if mask == 0 {
                continue;
            }
            for literal in signature.literals() {
                let exact: Box<[u8]> = literal.text().as_bytes().into();
                let place = literal.place();
                let lower = exact.to_ascii_lowercase();
                let number = patterns.len();
                patterns.push((lower, Use { number, rule: index, place, mask, views, exact }));
            }
        }
        let interests = patterns.len();
        patterns.sort_by(|a, b| a.0.cmp(&b.0));
        let mut texts: Vec<Vec<u8>> = Vec::new();
        let mut uses: Vec<Vec<Use>> = Vec::new();
        for (text, interest) in patterns {
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
        let masks: Vec<u64> =
            uses.iter().map(|uses| uses.iter().fold(0, |mask, one| mask | one.mask)).collect();
        // The literals are sorted, so those that begin alike come together.
        let mut first_bytes: Vec<&[u8]> = Vec::new();
        let mut beginnings: Vec<Beginning> = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let (first, rest) = text.split_at(text.len().min(FIRST_BYTES));
            if first_bytes.last() != Some(&first) {
                first_bytes.push(first);
                beginnings.push(Beginning::default());
            }
            let beginning = beginnings.last_mut().expect("one was added");
            beginning.literals.push((rest.first().copied(), number));
            beginning.mask |= masks[number];
            beginning.longest = beginning.longest.max(text.len());
        }
        let search = DFA::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(&first_bytes)
            .expect("rule files hold far fewer literals than an automaton can");
        Some(Self { search, beginnings, texts, uses, interests, masks })
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
        let mut parameter = Parameter::default();
        candidates.search += 1;
        let beginnings = candidates.spent_beginnings.len().max(self.beginnings.len());
        candidates.spent_beginnings.resize(beginnings, 0);
        candidates.spent.resize(candidates.spent.len().max(self.masks.len()), 0);
        candidates.spent_uses.resize(candidates.spent_uses.len().max(self.interests), 0);
        let mut state = self.search.start_state(Anchored::No).expect("built for such searches");
        for (end, byte) in (1..).zip(text) {
            state = self.search.next_state(Anchored::No, state, *byte);
            if !self.search.is_special(state) || !self.search.is_match(state) {
                continue;
            }
            for index in 0..self.search.match_len(state) {
                let pattern = self.search.match_pattern(state, index);
                let start = end - self.search.pattern_len(pattern);
                let pattern = pattern.as_usize();
                let beginning = &self.beginnings[pattern];
                let noting = parts.is_some()
                    && beginning.mask & all_views_of_parts() != 0
                    && !parameter.has_noted(start, start + beginning.longest);
                // What has nothing left to say is passed over, so that a text full of quotes
                // costs little more than one with a single quote.
                let spent = candidates.spent_beginnings[pattern] == candidates.search;
                if (spent || beginning.mask & wanted == 0) && !noting {
                    continue;
                }
                let next = text.get(end).map(u8::to_ascii_lowercase);
                for &(first, literal) in &beginning.literals {
                    if first.is_some() && first != next {
                        continue;
                    }
                    let of_interest = self.masks[literal] & wanted != 0
                        && candidates.spent[literal] != candidates.search;
                    let whole = start + self.texts[literal].len();
                    let noting = noting
                        && self.masks[literal] & all_views_of_parts() != 0
                        && !parameter.has_noted(start, whole);
                    if !of_interest && !noting {
                        continue;
                    }
                    let rest = &self.texts[literal][end - start..];
                    if !text.get(end..whole).is_some_and(|text| text.eq_ignore_ascii_case(rest)) {
                        continue;
                    }
                    if noting && let Some(parts) = parts.as_deref_mut() {
                        self.note_part(literal, text, start..whole, &mut parameter, parts);
                    }
                    if of_interest {
                        self.seen(literal, text, start..whole, wanted, views, candidates);
                        let has_more = |literal: usize| {
                            self.masks[literal] & wanted != 0
                                && candidates.spent[literal] != candidates.search
                        };
                        if !beginning.literals.iter().any(|(_, literal)| has_more(*literal)) {
                            candidates.spent_beginnings[pattern] = candidates.search;
                        }
                    }
                }
            }
        }
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
        literal: usize,
        query: &[u8],
        seen: Range<usize>,
        at: &mut Parameter,
        parts: &mut Parts,
    ) {
        let mask = self.masks[literal];
        if mask & all_views_of_parts() == 0 || !at.holds(query, &seen) {
            return;
        }
        let part = match at.equals {
            Some(equals) if seen.end <= equals => Subject::Names,
            Some(equals) if seen.start <= equals => return,
            // Without an equals sign the whole parameter is a value.
            _ => Subject::Values,
        };
        if mask & all_views(part) == 0 {
            return;
        }
        // A part's ends are word boundaries in the query too; its start and its end are
        // not the query's.
        let stands_so = self.uses[literal].iter().any(|one| {
            one.mask & all_views(part) != 0
                && (one.place != Place::Word || stands(one.place, query, seen.start, seen.end))
        });
        if stands_so {
            if !parts.has(part, at.start) {
                parts.add(part, at.start);
            }
            at.noted = match (part, at.equals) {
                (Subject::Names, Some(equals)) => at.start..equals,
                (_, Some(equals)) => equals + 1..at.end,
                (_, None) => at.start..at.end,
            };
        }
    }
}

/// The parameter of a query that a search has come to. It only moves forward, so that
/// following a search costs no more than the query is long.
#[derive(Debug, Default)]
struct Parameter {
    start: usize,
    end: usize,
    equals: Option<usize>,
    begun: bool,
    /// The name or value that was noted last: what else stands in it says nothing new.
    noted: Range<usize>,
}

impl Parameter {
    /// Whether what stands at `start..end` is in a part that is noted already.
    const fn has_noted(&self, start: usize, end: usize) -> bool {
        self.noted.start <= start && end <= self.noted.end
    }

    /// Whether the parameter at the literal's start holds it whole. Moves there.
    ///
    /// Literals come in the order in which their first bytes end. So one that starts before
    /// the parameter of an earlier literal reaches over an ampersand, and is in no parameter.
    fn holds(&mut self, query: &[u8], seen: &Range<usize>) -> bool {
        while !self.begun || seen.start > self.end {
            if self.begun {
                self.start = self.end + 1;
            }
            self.begun = true;
            let text = &query[self.start..];
            let length = memchr::memchr(b'&', text).unwrap_or(text.len());
            self.end = self.start + length;
            self.equals = memchr::memchr(b'=', &text[..length]).map(|at| self.start + at);
        }
        self.start <= seen.start && seen.end <= self.end
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
