//! The automata that find candidates: one per logged field, holding every rule's literals.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
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
    search: AhoCorasick,
    /// For each pattern of the search, the rules that want it.
    uses: Vec<Vec<Use>>,
    /// For each pattern, the subjects and views any of its uses looks at; see [`bits`].
    masks: Vec<u64>,
}

/// One rule's interest in one pattern.
#[derive(Debug)]
struct Use {
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
    /// For each pattern, the search in which it had nothing left to say.
    spent: Vec<u64>,
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

/// Whether literals that rules look for in parts of the query stand where those parts are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) names: bool,
    pub(super) values: bool,
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

    /// Whether the whole query is searched in every view in which its parts are.
    pub(super) fn query_covers_parts(&self) -> bool {
        let parts = self.views(Subject::Names).union(self.views(Subject::Values));
        parts.both(self.views(Subject::Query)) == parts
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
                candidates.found.extend(views.iter().map(|view| Candidate {
                    rule: always.rule,
                    view,
                    start: 0,
                    end: 0,
                }));
            }
        }
    }

    /// Finds the rules whose literals are in a text, which stands for `views` of `subject`.
    /// Of a whole query, also says which parts are worth a search.
    pub(super) fn literals(
        &self,
        subject: Subject,
        views: ViewSet,
        text: &[u8],
        candidates: &mut Candidates,
        parts: &mut Parts,
    ) {
        let place = FIELDS.iter().position(|field| *field == subject.field());
        if let Some(automaton) = place.and_then(|place| self.automata[place].as_ref()) {
            automaton.search(subject, views, text, candidates, parts);
        }
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
                patterns.push((lower, Use { rule: index, place, mask, views, exact }));
            }
        }
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
        let search = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&texts)
            .expect("rule files hold far fewer literals than an automaton can");
        let masks =
            uses.iter().map(|uses| uses.iter().fold(0, |mask, one| mask | one.mask)).collect();
        Some(Self { search, uses, masks })
    }

    fn search(
        &self,
        subject: Subject,
        views: ViewSet,
        text: &[u8],
        candidates: &mut Candidates,
        parts: &mut Parts,
    ) {
        let wanted = bits(subject, views);
        let is_query = subject == Subject::Query;
        candidates.search += 1;
        candidates.spent.resize(candidates.spent.len().max(self.masks.len()), 0);
        for seen in self.search.find_overlapping_iter(text) {
            let pattern = seen.pattern().as_usize();
            let mask = self.masks[pattern];
            if is_query {
                self.note_part(pattern, text, seen.range(), parts);
            }
            // A pattern that has nothing left to say is passed over, so that a text full
            // of quotes costs little more than one with a single quote.
            if mask & wanted == 0 || candidates.spent[pattern] == candidates.search {
                continue;
            }
            let mut spent = true;
            for one in &self.uses[pattern] {
                if one.mask & wanted == 0 {
                    continue;
                }
                if !stands(one.place, text, seen.start(), seen.end()) {
                    spent = false;
                    continue;
                }
                let mut here = one.views.both(views);
                if here.contains(View::Raw) && text[seen.range()] != *one.exact {
                    here = here.without(View::Raw);
                    spent = false;
                }
                candidates.found.extend(here.iter().map(|view| Candidate {
                    rule: one.rule,
                    view,
                    start: seen.start() as u32,
                    end: seen.end() as u32,
                }));
            }
            if spent {
                candidates.spent[pattern] = candidates.search;
            }
        }
    }

    /// Notes whether a literal in a whole query may stand so in a name or a value.
    fn note_part(
        &self,
        pattern: usize,
        query: &[u8],
        seen: std::ops::Range<usize>,
        parts: &mut Parts,
    ) {
        let mask = self.masks[pattern];
        let for_names = mask & all_views(Subject::Names) != 0 && !parts.names;
        let for_values = mask & all_views(Subject::Values) != 0 && !parts.values;
        if !for_names && !for_values {
            return;
        }
        let parameter = memchr::memrchr(b'&', &query[..seen.start]).map_or(0, |and| and + 1);
        let in_value = memchr::memchr(b'=', &query[parameter..seen.start]).is_some() || {
            // Without an equals sign the whole parameter is a value.
            let end = memchr::memchr2(b'&', b'=', &query[seen.start..]);
            end.is_none_or(|end| query[seen.start + end] == b'&')
        };
        let (part, flag) = match in_value {
            true if for_values => (Subject::Values, &mut parts.values),
            false if for_names => (Subject::Names, &mut parts.names),
            _ => return,
        };
        // A part's ends are word boundaries in the query too; its start and its end are
        // not the query's.
        *flag = self.uses[pattern].iter().any(|one| {
            one.mask & all_views(part) != 0
                && (one.place != Place::Word || stands(one.place, query, seen.start, seen.end))
        });
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
