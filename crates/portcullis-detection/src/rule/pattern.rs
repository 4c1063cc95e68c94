//! The regular expressions of one rule.

use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::packed;
use regex::bytes::{Regex, RegexBuilder};
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind, PatternSet, meta};
use regex_syntax::hir::Hir;

use super::{limit, loose, required};

/// Bytes one compiled expression may take: some hundred times what a careful one does,
/// and little enough that a thousand rules fit.
const EXPRESSION_BYTES: usize = 1 << 20;

/// Least bytes of a text in which required literals are looked for before the expressions
/// are: a shorter one is read faster than the literals are found out and two searches begun.
const LONG_TEXT_BYTES: usize = 512;

/// Most expressions that are one automaton. Text that many of more begin in leads to so many
/// states that they have no room, and are made anew for the next text.
const MOST_TOGETHER: usize = 40;

/// Expressions of which any may match, over bytes, with ASCII classes.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    texts: Vec<String>,
    /// All of them, in order.
    groups: Vec<Group>,
}

impl Patterns {
    /// Compiles the expressions.
    ///
    /// # Errors
    /// The place of each that does not compile, with the reason.
    pub(crate) fn new(texts: Vec<String>) -> Result<Self, Vec<(usize, String)>> {
        let mut broken = Vec::new();
        let mut groups = Vec::new();
        for (first, texts) in (0..).step_by(MOST_TOGETHER).zip(texts.chunks(MOST_TOGETHER)) {
            match Group::new(texts) {
                Ok(group) => groups.push(group),
                Err(of_group) => {
                    broken.extend(of_group.into_iter().map(|(place, why)| (first + place, why)));
                }
            }
        }
        if broken.is_empty() { Ok(Self { texts, groups }) } else { Err(broken) }
    }

    /// Takes expressions that are known to compile, because a test compiles them.
    pub(crate) fn known_to_compile(texts: Vec<String>) -> Self {
        let groups = texts.chunks(MOST_TOGETHER).map(Group::known_to_compile).collect();
        Self { texts, groups }
    }

    /// Whether there is no expression.
    pub(crate) const fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether any matches.
    pub(crate) fn match_in(&self, text: &[u8]) -> bool {
        self.groups.iter().any(|group| group.match_in(text))
    }

    /// Whether the first match of any reaches beyond a place in the text.
    pub(crate) fn match_beyond(&self, text: &[u8], place: usize) -> bool {
        self.groups.iter().any(|group| {
            let ends = |each: usize| group.each(each).find(text).map(|found| found.end());
            group.match_in(text)
                && (0..group.texts.len()).any(|each| ends(each).is_some_and(|end| end > place))
        })
    }

    /// The places of those that match, as bits; those behind the 64th share the last.
    pub(crate) fn matches_in(&self, text: &[u8]) -> u64 {
        let mut bits = 0;
        for (first, group) in (0..).step_by(MOST_TOGETHER).zip(&self.groups) {
            for place in group.matches_in(text).iter() {
                bits |= 1 << (first + place.as_usize()).min(63);
            }
        }
        bits
    }

    /// Where the first expression that matches does.
    pub(crate) fn find_in(&self, text: &[u8]) -> Option<Range<usize>> {
        self.groups.iter().find_map(|group| group.find_in(text))
    }

    /// The expressions, as written.
    pub(crate) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Bytes that an expression takes compiled, as the least power of two that holds it.
    pub(crate) fn compiled_bytes(text: &str) -> usize {
        let mut bytes = 1 << 10;
        while bytes < EXPRESSION_BYTES && regex_of(text, bytes).is_err() {
            bytes *= 2;
        }
        bytes
    }

    /// A limit for which text can be made that an expression reads slowly; see [`limit`].
    pub(crate) fn long_limit(text: &str) -> Option<u32> {
        limit::long(&syntax::parse_with(text, &syntax()).ok()?)
    }
}

/// Expressions that are searched at once.
///
/// Most candidates match none of a rule's expressions, so all are searched at once; only
/// to tell where one matches is it compiled by itself, when it first does.
#[derive(Debug, Default)]
struct Group {
    texts: Vec<String>,
    /// All of them; compiled when there first is a candidate, unless that was done to check
    /// them.
    together: OnceLock<meta::Regex>,
    each: Vec<OnceLock<meta::Regex>>,
    /// For each, all before it; compiled when it is the first that is seen in a long text.
    before: Vec<OnceLock<meta::Regex>>,
    /// Finds literals one of which is in every text that any expression matches, where the
    /// expressions tell and the processor finds them many bytes at a time. Known when there
    /// first is a long text.
    required: OnceLock<Option<packed::Searcher>>,
    /// Matches wherever any expression does, and costs less; see [`loose`]. Known when there
    /// first is a candidate.
    loose: OnceLock<Option<meta::Regex>>,
}

impl Group {
    /// Compiles the expressions; see [`Patterns::new`].
    fn new(texts: &[String]) -> Result<Self, Vec<(usize, String)>> {
        if let Some(together) = together(texts) {
            return Ok(Self {
                together: OnceLock::from(together),
                ..Self::known_to_compile(texts)
            });
        }
        let broken: Vec<(usize, String)> = texts
            .iter()
            .enumerate()
            .filter_map(|(place, text)| {
                Some((place, reason(&regex_of(text, EXPRESSION_BYTES).err()?)))
            })
            .collect();
        let too_large = "compiled together, the expressions are too large".to_owned();
        Err(if broken.is_empty() { vec![(0, too_large)] } else { broken })
    }

    fn known_to_compile(texts: &[String]) -> Self {
        let each = vec![OnceLock::new(); texts.len()];
        Self { before: each.clone(), texts: texts.to_vec(), each, ..Self::default() }
    }

    /// All expressions.
    fn together(&self) -> &meta::Regex {
        let compile = || together(&self.texts).expect("checked when they were taken");
        self.together.get_or_init(compile)
    }

    /// Whether any matches.
    fn match_in(&self, text: &[u8]) -> bool {
        self.may_match_in(text) && self.together().is_match(text)
    }

    /// A quick look that says no only where none matches.
    fn may_match_in(&self, text: &[u8]) -> bool {
        let loose = self.loose.get_or_init(|| {
            let expressions = loose::expressions(&self.texts, syntax())?;
            Some(together_of(&expressions).expect("smaller than what they were made from"))
        });
        let loosely = || loose.as_ref().is_none_or(|loose| loose.is_match(text));
        !self.lacks_required(text) && loosely()
    }

    /// Whether the text is long and lacks what every match needs.
    fn lacks_required(&self, text: &[u8]) -> bool {
        if text.len() < LONG_TEXT_BYTES {
            return false;
        }
        let required = self.required.get_or_init(|| {
            required::literals(&self.texts, syntax()).and_then(packed::Searcher::new)
        });
        required.as_ref().is_some_and(|required| required.find(text).is_none())
    }

    /// Those that match.
    fn matches_in(&self, text: &[u8]) -> PatternSet {
        let together = self.together();
        let mut matches = PatternSet::new(together.pattern_len());
        together.which_overlapping_matches(&Input::new(text), &mut matches);
        matches
    }

    /// Where the first expression that matches does.
    fn find_in(&self, text: &[u8]) -> Option<Range<usize>> {
        let together = self.may_match_in(text).then(|| self.together())?;
        let seen = together.search_half(&Input::new(text).earliest(true))?.pattern().as_usize();
        let first = if seen == 0 {
            0
        } else if text.len() < LONG_TEXT_BYTES {
            self.matches_in(text).iter().next().map_or(seen, |first| first.as_usize())
        } else {
            // Telling all matches of a long text apart takes longer than searching it again for
            // those before the one that was seen.
            self.first_in(text, seen)
        };
        self.each(first).find(text).map(|found| found.range())
    }

    /// The first expression that matches, of those before one that does.
    fn first_in(&self, text: &[u8], mut seen: usize) -> usize {
        while seen > 0 {
            let before = self.before[seen]
                .get_or_init(|| together(&self.texts[..seen]).expect("compiled as a part before"));
            match before.search_half(&Input::new(text).earliest(true)) {
                Some(earlier) => seen = earlier.pattern().as_usize(),
                None => break,
            }
        }
        seen
    }

    /// One expression by itself. Each part of the whole is smaller than the whole, so none
    /// is refused here.
    fn each(&self, place: usize) -> &meta::Regex {
        self.each[place].get_or_init(|| {
            builder(config()).build(&self.texts[place]).expect("compiled as a part before")
        })
    }
}

/// Expressions of which any may match, as one automaton, if they compile.
fn together(texts: &[String]) -> Option<meta::Regex> {
    let parsed = texts.iter().map(|text| syntax::parse_with(text, &syntax()).ok());
    together_of(&parsed.collect::<Option<Vec<_>>>()?)
}

fn together_of(expressions: &[Hir]) -> Option<meta::Regex> {
    let config = config().match_kind(MatchKind::All);
    let config = config.nfa_size_limit(Some(EXPRESSION_BYTES * expressions.len()));
    builder(config).build_many_from_hir(expressions).ok()
}

/// A literal was seen before, so looking for literals again finds little, and in a text full
/// of them costs much: the automaton alone takes the same for every byte. One that is needed
/// a few times is not worth other automata beside it.
fn config() -> meta::Config {
    meta::Config::new().auto_prefilter(false).utf8_empty(false).onepass(false)
}

fn builder(config: meta::Config) -> meta::Builder {
    let mut builder = meta::Builder::new();
    builder.configure(config).syntax(syntax());
    builder
}

/// How expressions are read: over bytes, with ASCII classes.
fn syntax() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

fn regex_of(text: &str, bytes: usize) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).unicode(false).size_limit(bytes).build()
}

/// The last line of a message is the reason; those before draw the expression, which the
/// error shows anyway.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_place_is_that_of_the_first_expression_that_matches(
            expressions in proptest::sample::subsequence(
                vec!["union +select", "[ab]+c", "'.*'", "sel", r"\bor\b", "a|union", "x{2,}", "^b", "a.{0,9}b", "'[^b]{2,12}?x"],
                1..8,
            ).prop_shuffle(),
            parts in proptest::collection::vec(
                proptest::sample::select(vec!["union ", "select", "a", "b", "c", "'", " or ", "x", "\n"]),
                0..12,
            ),
            padding in proptest::sample::select(vec![0, LONG_TEXT_BYTES]),
            // So that they are in two groups.
            others in proptest::sample::select(vec![0, MOST_TOGETHER - 3]),
        ) {
            let others = (0..others).map(|number| format!("never {number}"));
            let texts: Vec<String> =
                others.chain(expressions.iter().map(|text| (*text).to_owned())).collect();
            let patterns = Patterns::new(texts.clone()).expect("expressions that compile");
            let text = parts.concat() + &"-".repeat(padding);
            let expected = texts.iter().find_map(|expression| {
                let regex = regex_of(expression, usize::MAX).expect("it compiles");
                regex.find(text.as_bytes()).map(|found| found.range())
            });
            prop_assert_eq!(patterns.match_in(text.as_bytes()), expected.is_some());
            prop_assert_eq!(patterns.matches_in(text.as_bytes()) != 0, expected.is_some());
            prop_assert_eq!(patterns.find_in(text.as_bytes()), expected);
        }
    }
}
