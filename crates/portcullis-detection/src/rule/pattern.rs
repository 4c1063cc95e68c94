//! The regular expressions of one rule.

use std::ops::Range;
use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind, PatternSet, meta};

/// Bytes one compiled expression may take: some hundred times what a careful one does,
/// and little enough that a thousand rules fit.
const EXPRESSION_BYTES: usize = 1 << 20;

/// Expressions of which any may match, over bytes, with ASCII classes.
///
/// Most candidates match none of a rule's expressions, so all are searched at once; only
/// to tell where a match stands are they compiled one by one, when there first is one.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    texts: Vec<String>,
    together: Option<meta::Regex>,
    each: OnceLock<Vec<Regex>>,
}

impl Patterns {
    /// Compiles the expressions.
    ///
    /// # Errors
    /// The place of each that does not compile, with the reason.
    pub(crate) fn new(texts: Vec<String>) -> Result<Self, Vec<(usize, String)>> {
        if texts.is_empty() {
            return Ok(Self::default());
        }
        // A literal was seen before, so looking for literals again finds little, and in a
        // text full of them costs much: the automaton alone takes the same for every byte.
        let together = meta::Builder::new()
            .configure(
                meta::Config::new()
                    .auto_prefilter(false)
                    .match_kind(MatchKind::All)
                    .utf8_empty(false)
                    .nfa_size_limit(Some(EXPRESSION_BYTES * texts.len())),
            )
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .build_many(&texts);
        if let Ok(together) = together {
            return Ok(Self { texts, together: Some(together), each: OnceLock::new() });
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

    /// Whether there is no expression.
    pub(crate) const fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether any matches.
    pub(crate) fn match_in(&self, text: &[u8]) -> bool {
        self.together.as_ref().is_some_and(|together| together.is_match(text))
    }

    /// The places of those that match, as bits; those behind the 64th share the last.
    pub(crate) fn matches_in(&self, text: &[u8]) -> u64 {
        let Some(together) = &self.together else {
            return 0;
        };
        let mut matches = PatternSet::new(together.pattern_len());
        together.which_overlapping_matches(&Input::new(text), &mut matches);
        matches.iter().fold(0, |bits, place| bits | 1 << place.as_usize().min(63))
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

    /// Where the first expression that matches does.
    pub(crate) fn find_in(&self, text: &[u8]) -> Option<Range<usize>> {
        if !self.match_in(text) {
            return None;
        }
        let each = self.each.get_or_init(|| {
            // Each part of the whole is smaller than the whole, so none is refused here.
            self.texts.iter().filter_map(|text| regex_of(text, usize::MAX).ok()).collect()
        });
        each.iter().find_map(|regex| regex.find(text)).map(|found| found.range())
    }
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
