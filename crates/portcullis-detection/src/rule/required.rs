//! What a text must hold for an expression to match.
//!
//! An expression's automaton reads a text byte by byte and waits for memory at most of
//! them when the text is random. Most expressions need some word, though, and words are
//! found many bytes at a time: a long text without any of them need not be read. Rule
//! authors cannot be asked for that, so it is read off the expressions.
//!
//! Wherever a match begins, what follows a place in a concatenation begins with one of a
//! few literals, or with anything. The place is chosen whose literals are longest.

use regex_automata::util::syntax::{self, Config};
use regex_syntax::hir::literal::{Extractor, Literal};
use regex_syntax::hir::{Hir, HirKind};

/// Least length of a literal that is worth looking for: any two bytes stand by chance in a
/// random text of some thousand.
const LEAST_BYTES: usize = 3;

/// Bytes of a literal beyond which it is no rarer.
const ENOUGH_BYTES: usize = 5;

/// Most literals that are found many bytes at a time; so many fill the buckets of such
/// searches.
const MOST_LITERALS: usize = 64;

/// Literals one of which stands in every text that any of the expressions matches; `None`
/// when an expression matches without, or there are too many.
pub(super) fn literals(expressions: &[String], syntax: Config) -> Option<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for expression in expressions {
        all.extend(of(&syntax::parse_with(expression, &syntax).ok()?)?);
    }
    all.sort();
    all.dedup();
    (all.len() <= MOST_LITERALS).then_some(all)
}

/// The same of one expression or part of it.
fn of(expression: &Hir) -> Option<Vec<Vec<u8>>> {
    let inside = match expression.kind() {
        HirKind::Capture(capture) => of(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => of(&repetition.sub),
        HirKind::Alternation(parts) => {
            parts.iter().map(of).collect::<Option<Vec<_>>>().map(|parts| parts.concat())
        }
        HirKind::Concat(parts) => {
            let from_each = (1..parts.len()).map(|at| Hir::concat(parts[at..].to_vec()));
            let behind = from_each.filter_map(|rest| beginnings(&rest));
            best(behind.chain(parts.iter().filter_map(of)))
        }
        _ => None,
    };
    best(inside.into_iter().chain(beginnings(expression)))
}

/// The literals that an expression's matches begin with.
fn beginnings(expression: &Hir) -> Option<Vec<Vec<u8>>> {
    let mut found = Extractor::new().extract(expression);
    found.keep_first_bytes(ENOUGH_BYTES);
    found.dedup();
    let long_enough = found.min_literal_len().is_some_and(|length| length >= LEAST_BYTES);
    let literals = found.literals().filter(|literals| long_enough && !literals.is_empty())?;
    let few = literals.len() <= MOST_LITERALS;
    few.then(|| literals.iter().map(Literal::as_bytes).map(<[u8]>::to_vec).collect())
}

/// Of several sets of which each will do, the one whose shortest literal is longest, and of
/// those the smallest.
fn best(sets: impl Iterator<Item = Vec<Vec<u8>>>) -> Option<Vec<Vec<u8>>> {
    sets.max_by_key(|set| (set.iter().map(Vec::len).min(), std::cmp::Reverse(set.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expressions: &[&str], expected: Option<&[&str]>) {
        let expressions: Vec<String> = expressions.iter().map(|&text| text.to_owned()).collect();
        let syntax = Config::new().unicode(false).utf8(false);
        let found = literals(&expressions, syntax);
        let expected: Option<Vec<Vec<u8>>> =
            expected.map(|texts| texts.iter().map(|text| text.as_bytes().to_vec()).collect());
        assert_eq!(found, expected, "{expressions:?}");
    }

    #[test]
    fn the_longest_word_of_a_concatenation_is_required() {
        check(&["['\"] *union +all"], Some(&["union"]));
        check(&[r"\bor\b.*sleep *\("], Some(&["sleep"]));
        check(&["(?:foo|bar)+[a-z]"], Some(&["bar", "foo"]));
        check(&["a(?:bcd|xyz)?.*(?:left|right)"], Some(&["left", "right"]));
    }

    #[test]
    fn every_expression_has_its_own() {
        check(&["alpha", "beta"], Some(&["alpha", "beta"]));
        check(&["alpha", "[0-9]+"], None);
    }

    #[test]
    fn nothing_is_required_of_what_may_be_absent_or_short() {
        check(&["(?:union)*[0-9]"], None);
        check(&["or"], None);
        check(&["(?:union|)"], None);
        check(&["[a-z]+"], None);
    }
}
