//! Shows an error of a configuration as errors of rules are shown: the place, the line,
//! a caret under what is meant, what would be right, and what was probably meant.

use std::fmt::Write as _;
use std::ops::Range;

use portcullis_ingest::Untrusted;

use crate::failure::Failure;

/// Most letters by which a name may differ from the one that was probably meant.
const FAR: usize = 3;

/// The failure to read `text`. `message` is the parser's; `span` counts bytes.
pub(super) fn failure(
    file: &str,
    text: &str,
    message: &str,
    span: Option<Range<usize>>,
) -> Failure {
    let span = span.unwrap_or(0..0);
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let line_start = text[..start].rfind('\n').map_or(0, |end| end + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let number = text[..start].matches('\n').count() + 1;
    let column = text[line_start..start].chars().count() + 1;
    let line_end = line_start + line.len();
    let end = text.floor_char_boundary(span.end.min(line_end).max(start));
    let carets = text[start..end].chars().count().max(1);

    let said = Said::of(message);
    let mut detail = format!("{}:{number}:{column}: {}\n", inert(file), inert(&said.what));
    // Tabs and worse would move the caret away from its place.
    let shown: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let gutter = " ".repeat(number.to_string().len());
    let _ = writeln!(detail, "  {number} | {shown}");
    let _ = write!(detail, "  {gutter} | {}{}", " ".repeat(column - 1), "^".repeat(carets));
    if !said.expected.is_empty() {
        let _ = write!(detail, " {}", said.expected);
    }
    let failure = Failure::because("read the configuration", detail);
    match said.meant {
        Some(name) => failure.hint(format!("did you mean `{name}`?")),
        None => failure,
    }
}

/// What a parser said, taken apart.
struct Said {
    what: String,
    expected: String,
    meant: Option<String>,
}

impl Said {
    /// Serde words unknown names as ``unknown field `a`, expected one of `b`, `c` ``.
    fn of(message: &str) -> Self {
        let whole = || Self { what: message.to_owned(), expected: String::new(), meant: None };
        let noun = match message.split_once(" `") {
            Some(("unknown field", _)) => "key",
            Some(("unknown variant", _)) => "name",
            _ => return whole(),
        };
        let Some((_, expected)) = message.split_once(", expected ") else {
            return whole();
        };
        let mut names = message.split('`').skip(1).step_by(2);
        let Some(name) = names.next() else {
            return whole();
        };
        let nearest = names.map(|other| (distance(name, other), other)).min();
        Self {
            what: format!("unknown {noun} `{name}`"),
            expected: format!("expected {expected}"),
            meant: nearest
                .filter(|(far, other)| *far <= FAR && *far < other.len())
                .map(|(_, other)| other.to_owned()),
        }
    }
}

/// Letters to put in, take out or change, by Levenshtein.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (place, other) in right.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[place + 1];
            row[place + 1] = changed.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[right.len()]
}

fn inert(text: &str) -> String {
    Untrusted::new(text.as_bytes()).escaped().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_letters() {
        for (left, right, expected) in
            [("", "", 0), ("abc", "abc", 0), ("regoin", "region", 2), ("", "abc", 3), ("a", "b", 1)]
        {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn nothing_is_guessed_from_afar() {
        assert_eq!(Said::of("unknown field `zzzzzz`, expected `name`").meant, None);
        assert_eq!(
            Said::of("unknown field `nmae`, expected `name`").meant.as_deref(),
            Some("name")
        );
    }
}
