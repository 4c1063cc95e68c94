//! A place in a rule file, and how it is shown.

use std::fmt;
use std::ops::Range;

/// A place in a text: its first line, and what of it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Line, from 1.
    pub(crate) line: u32,
    /// Column in characters, from 1.
    pub(crate) column: u32,
    /// How many characters of the line are meant, at least 1.
    pub(crate) width: u32,
    /// The line itself.
    pub(crate) source_line: String,
}

impl Spot {
    /// The spot of a span of bytes. A span of several lines is shown on its first only.
    pub(crate) fn at(text: &str, span: Range<usize>) -> Self {
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let end = text.floor_char_boundary(span.end.min(text.len())).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        Self {
            line: count_lines(&text[..line_start]) + 1,
            column: count(&text[line_start..start]) + 1,
            width: count(&text[start..end.min(line_start + line.len()).max(start)]).max(1),
            source_line: line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        }
    }
}

/// Writes a line with its number and, under it, carets and what to say beside them. Each of
/// the two lines begins with a line feed.
pub(crate) fn write_caret(
    f: &mut impl fmt::Write,
    (line, column, width): (u32, u32, u32),
    source_line: &str,
    label: &str,
) -> fmt::Result {
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    write!(f, "\n    {number} | {source_line}")?;
    let before = " ".repeat(column.saturating_sub(1) as usize);
    let carets = "^".repeat(width as usize);
    write!(f, "\n    {gutter} | {before}{carets}")?;
    if !label.is_empty() {
        write!(f, " {label}")?;
    }
    Ok(())
}

fn count_lines(text: &str) -> u32 {
    u32::try_from(text.bytes().filter(|byte| *byte == b'\n').count()).unwrap_or(u32::MAX)
}
