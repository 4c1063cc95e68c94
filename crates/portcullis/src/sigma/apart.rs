//! What of a text about a whole URI can be asked of path and query apart.
//!
//! Sigma's fields hold URIs as they were sent, with the `?` between path and query and with
//! escapes. Rules look at the path or at the query, without the `?` and after decoding. So a
//! text across the `?` is in neither, and an escaped divider of a URI is no longer told from
//! one that divides: `zq%2Fother` would be found in the honest path `/zq/other`.

use super::pattern::{Pattern, Piece, decoded};

/// Characters that mean something else when they are escaped.
const DIVIDERS: [char; 5] = ['/', '?', '#', '&', '='];

/// Why a text can stand in neither path nor query, if it cannot.
pub(super) fn across(pattern: &Pattern) -> Option<String> {
    let is_mark = |(at, piece): (usize, &Piece)| match piece {
        // At the beginning it is any character: for a parameter, the one before it.
        Piece::One => at > 0,
        Piece::Many => false,
        Piece::Text(text) => text.contains('?'),
        Piece::Expression { regex, .. } => regex.contains(r"\?") || regex.contains("[?]"),
    };
    pattern.pieces.iter().enumerate().any(is_mark).then(|| {
        format!(
            "`{}` stands across the `?` of a URI, and path and query are searched apart",
            pattern.shown()
        )
    })
}

/// Why a text is found less often in path and query apart, if it is.
pub(super) fn narrowed(pattern: &Pattern) -> Option<String> {
    let may_cross = pattern.pieces.iter().any(|piece| match piece {
        Piece::Many => true,
        Piece::Expression { regex, .. } => holds_any_character(regex),
        Piece::One | Piece::Text(_) => false,
    });
    may_cross.then(|| {
        format!(
            "`{}` is found in the path or in the query, and not where it begins in one and ends \
             in the other",
            pattern.shown()
        )
    })
}

/// Whether something in the expression matches a question mark without naming it.
fn holds_any_character(regex: &str) -> bool {
    let mut before = None;
    for character in regex.chars() {
        match (before, character) {
            (Some('\\'), 'S' | 'W' | 'D') | (Some('['), '^') => return true,
            (Some('\\'), _) => {
                before = None;
                continue;
            }
            (_, '.') => return true,
            _ => {}
        }
        before = Some(character);
    }
    false
}

/// Why a text of a URI means something else after decoding, if it does.
pub(super) fn undivided(text: &str) -> Option<String> {
    let plain = decoded(text).ok()?;
    let divider = DIVIDERS.into_iter().find(|divider| {
        dividing(&plain, *divider) > dividing(&text.to_ascii_lowercase(), *divider)
    })?;
    Some(format!(
        "`{text}` is compared after decoding, where its escaped `{divider}` is no longer told from \
         one that divides a URI"
    ))
}

/// How often the character divides. A slash beside two dots climbs, escaped or not, and no
/// client sends one in earnest.
fn dividing(text: &str, divider: char) -> usize {
    let climbs = |at: usize| text[..at].ends_with("..") || text[at + 1..].starts_with("..");
    text.match_indices(divider).filter(|(at, _)| divider != '/' || !climbs(*at)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_divider_means_something_else_and_a_climbing_slash_does_not() {
        for told in ["zq%2Fother", "zq%252fother", "cmd%3D", "a%26b", "a%3fb"] {
            assert!(undivided(told).is_some(), "{told}");
        }
        for same in ["/zq/other", "..%2f..%2fetc", "%2e%2e%2Fetc", "a=b&c", "union%20select"] {
            assert_eq!(undivided(same), None, "{same}");
        }
    }

    #[test]
    fn what_matches_a_question_mark_without_naming_it() {
        for any in ["a.b", "a[^/]b", r"a\Sb"] {
            assert!(holds_any_character(any), "{any}");
        }
        for named in [r"a\.b", "a[x/]b", r"a\wb", r"\\[a]"] {
            assert!(!holds_any_character(named), "{named}");
        }
    }
}
