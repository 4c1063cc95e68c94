//! Shows an error of a configuration as errors of rules are shown: the place, the line,
//! a caret under what is meant, what would be right, and what was probably meant.

use std::fmt::Write as _;
use std::ops::Range;

use portcullis_detection::did_you_mean;
use portcullis_ingest::Untrusted;

use crate::failure::Failure;

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
        Some(question) => failure.hint(question),
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
        Self {
            what: format!("unknown {noun} `{name}`"),
            expected: format!("expected {expected}"),
            meant: did_you_mean(name, &names.collect::<Vec<_>>()),
        }
    }
}

fn inert(text: &str) -> String {
    Untrusted::new(text.as_bytes()).escaped().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_guessed_from_afar() {
        assert_eq!(Said::of("unknown field `zzzzzz`, expected `name`").meant, None);
        let meant = Said::of("unknown field `nmae`, expected `name`").meant;
        assert_eq!(meant.as_deref(), Some("did you mean `name`?"));
    }
}
