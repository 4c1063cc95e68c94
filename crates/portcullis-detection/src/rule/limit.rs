//! Limits that make an expression slow on text that was made for it.
//!
//! `<img[^>]{0,200}src` must remember where each `<img` of the last two hundred bytes stood.
//! In a text full of them that is a state of its own for nearly every byte, which takes fifty
//! times as long as reading one that is known. Behind `://[^/]{0,200}` nothing is to be
//! remembered: a slash ends what the one before began.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// How many beginnings may fit into what a limit counts: all ways to place them are few.
const FEW: u32 = 12;

/// Limits up to which nothing is said: most rules have some, behind a mark of one byte.
const SHORT: u32 = 24;

/// The first long limit behind something that may stand within it.
pub(super) fn long(expression: &Hir) -> Option<u32> {
    behind(&[], expression)
}

/// The same of a part that stands behind others.
fn behind(before: &[&Hir], expression: &Hir) -> Option<u32> {
    match expression.kind() {
        HirKind::Repetition(repetition) => match (repetition.max, repetition.sub.kind()) {
            (Some(limit), HirKind::Class(gap)) if limit > SHORT => {
                let least = |part: &&Hir| part.properties().minimum_len().unwrap_or_default();
                let begins = before.iter().map(least).sum::<usize>() as u32;
                let fit = begins > 0 && limit > FEW * begins;
                let once = before.first().is_some_and(|first| {
                    first.properties().look_set_prefix().contains(Look::Start)
                });
                let ends = before.iter().any(|part| leaves(part, gap));
                (fit && !once && !ends).then_some(limit)
            }
            _ => behind(before, &repetition.sub),
        },
        HirKind::Concat(parts) => parts.iter().enumerate().find_map(|(place, part)| {
            let before: Vec<&Hir> = before.iter().copied().chain(&parts[..place]).collect();
            behind(&before, part)
        }),
        HirKind::Alternation(parts) => parts.iter().find_map(|part| behind(before, part)),
        HirKind::Capture(capture) => behind(before, &capture.sub),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => None,
    }
}

/// Whether whatever matches holds a byte that is none of `gap`.
fn leaves(expression: &Hir, gap: &Class) -> bool {
    let Class::Bytes(gap_bytes) = gap else {
        return false;
    };
    let in_gap =
        |byte: u8| gap_bytes.iter().any(|range| (range.start()..=range.end()).contains(&byte));
    match expression.kind() {
        HirKind::Literal(literal) => literal.0.iter().any(|byte| !in_gap(*byte)),
        HirKind::Class(Class::Bytes(class)) => {
            let mut both = class.clone();
            both.intersect(gap_bytes);
            both.ranges().is_empty()
        }
        HirKind::Repetition(repetition) => repetition.min > 0 && leaves(&repetition.sub, gap),
        HirKind::Capture(capture) => leaves(&capture.sub, gap),
        HirKind::Concat(parts) => parts.iter().any(|part| leaves(part, gap)),
        HirKind::Alternation(parts) => parts.iter().all(|part| leaves(part, gap)),
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(Class::Unicode(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use regex_automata::util::syntax;

    use super::*;

    #[track_caller]
    fn check(expression: &str, expected: Option<u32>) {
        let config = syntax::Config::new().unicode(false).utf8(false);
        let parsed = syntax::parse_with(expression, &config).expect("it parses");
        assert_eq!(long(&parsed), expected, "{expression}");
    }

    #[test]
    fn a_long_limit_behind_what_may_stand_in_it_is_found() {
        check("<img[^>]{0,200}src", Some(200));
        check("(?:a|b(or|and) .{0,60})x", Some(60));
        check(r"(?:select|\()[^;]{1,80}from", Some(80));
        check(r"[^>]*\bon[^>]{0,40}=", Some(40));
        check(";[^|]{0,25}id", Some(25));
    }

    #[test]
    fn short_limits_and_what_one_beginning_ends_are_not() {
        check("<img[^>]{0,48}src", None);
        check("<img[^>]*src", None);
        check(";[^|]{0,24}id", None);
        check("<img[^<>]{0,200}src", None);
        check("://[^/@]{1,60}@", None);
        check(r"^echo +[^|]{1,60}\|", None);
        check(r"[\w-]{0,200}\.env", None);
        check("(?:'[^']{0,90}'|a)", None);
    }
}
