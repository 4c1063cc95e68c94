//! Expressions that match wherever others do, with less to remember.
//!
//! An expression that allows up to three hundred bytes between two marks must remember where
//! each of the first marks stood, and an automaton for it has as many states as there are
//! ways to place them: a text full of marks makes it build new states all the time, and at
//! last give up for something slower. Without the limit it only remembers that there was a
//! mark. Nearly every text that does not match within the limit does not match without.

use regex_automata::util::syntax::{self, Config};
use regex_syntax::hir::{Hir, HirKind, Repetition};

/// Repetitions beyond which a limit is worth to be forgotten.
const MANY: u32 = 8;

/// The expressions without upper limits of many repetitions; `None` when they have no such
/// limits.
pub(super) fn expressions(texts: &[String], syntax: Config) -> Option<Vec<Hir>> {
    if !texts.iter().any(|text| may_have_limits(text)) {
        return None;
    }
    let exact: Vec<Hir> =
        texts.iter().map(|text| syntax::parse_with(text, &syntax).ok()).collect::<Option<_>>()?;
    let loose: Vec<Hir> = exact.iter().map(without_limits).collect();
    (loose != exact).then_some(loose)
}

/// Whether a counted repetition may be in an expression: most have none and need not be parsed
/// to know it.
fn may_have_limits(text: &str) -> bool {
    text.as_bytes().windows(2).any(|pair| matches!(pair, [b'{', b'0'..=b'9' | b',']))
}

fn without_limits(expression: &Hir) -> Hir {
    match expression.kind() {
        HirKind::Repetition(repetition) => {
            let limited = repetition.max.is_some_and(|max| max > MANY);
            Hir::repetition(Repetition {
                min: if limited { repetition.min.min(MANY) } else { repetition.min },
                max: repetition.max.filter(|_| !limited),
                greedy: repetition.greedy,
                sub: Box::new(without_limits(&repetition.sub)),
            })
        }
        HirKind::Capture(capture) => without_limits(&capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(without_limits).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(without_limits).collect()),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => {
            expression.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syntax() -> Config {
        Config::new().unicode(false).utf8(false)
    }

    #[track_caller]
    fn check(exact: &str, expected: Option<&str>) {
        let found = expressions(&[exact.to_owned()], syntax());
        let expected =
            expected.map(|text| vec![syntax::parse_with(text, &syntax()).expect("it parses")]);
        assert_eq!(found, expected, "{exact}");
    }

    #[test]
    fn high_limits_are_forgotten_and_low_ones_are_kept() {
        check("<[^>]{0,300}?on", Some("<[^>]*?on"));
        check("a(?:b{2,3}|c{3,9})d", Some("a(?:b{2,3}|c{3,})d"));
        check("(x{20})+", Some("(?:x{8,})+"));
        check("a{1,8}b*", None);
    }

    #[test]
    fn if_one_has_a_limit_all_are_given() {
        let texts = ["ab+".to_owned(), "c{0,9}d".to_owned()];
        assert_eq!(expressions(&texts, syntax()).map(|loose| loose.len()), Some(2));
    }
}
