//! Aligned columns at any width.
//!
//! Every column but the last is as wide as its widest cell. The last one takes what is
//! left and wraps inside it; where too little is left, it stands on its own lines below
//! the row. Cells are text of our own or escaped already: nothing here cleans them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr};

use crate::terminal::{HEADING, Painted};

/// Between two columns.
const GAP: usize = 2;
/// The last column is moved below its row when it would be narrower than this.
const LEAST_LAST_WIDTH: usize = 30;
/// How far a moved last column is indented.
const BELOW_INDENT: usize = 4;

/// On which side a column's cells are flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// One cell; the last cell of a row may hold several lines.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell in the terminal's own style.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::new() }
    }

    /// A cell in a style.
    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

/// Rows of cells under titles.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(Cow<'static, str>, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns and no row.
    pub fn new<T: Into<Cow<'static, str>>>(columns: impl IntoIterator<Item = (T, Align)>) -> Self {
        let columns = columns.into_iter().map(|(title, align)| (title.into(), align));
        Self { columns: columns.collect(), rows: Vec::new() }
    }

    /// Adds a row; it has one cell for each column.
    pub fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "a row has one cell for each column");
        self.rows.push(cells);
    }

    /// Writes the table; `width` is the terminal's, `None` for no limit.
    pub fn write(
        &self,
        out: &mut impl Write,
        width: Option<usize>,
        colour: bool,
    ) -> io::Result<()> {
        let last = self.columns.len() - 1;
        let widths: Vec<usize> = (0..last)
            .map(|column| {
                let cells = self.rows.iter().map(|row| row[column].text.width());
                cells.chain([self.columns[column].0.width()]).max().unwrap_or(0)
            })
            .collect();
        let before_last = widths.iter().map(|width| width + GAP).sum::<usize>();
        let left = width.map_or(usize::MAX, |width| width.saturating_sub(before_last));
        let last_cells = self.rows.iter().flat_map(|row| row[last].text.lines());
        let titles_width = self.columns[last].0.width();
        let widest = last_cells.map(UnicodeWidthStr::width).max().unwrap_or(0).max(titles_width);
        let (last_width, indent, is_below) = if left >= LEAST_LAST_WIDTH.min(widest) {
            (left, before_last, false)
        } else {
            let below = width.map_or(usize::MAX, |width| width.saturating_sub(BELOW_INDENT));
            (below.max(1), BELOW_INDENT, true)
        };

        let titles: Vec<Cell> =
            self.columns.iter().map(|(title, _)| Cell::styled(title.as_ref(), HEADING)).collect();
        for row in std::iter::once(&titles).chain(&self.rows) {
            let mut line = String::new();
            for (column, width) in widths.iter().enumerate() {
                let cell = &row[column];
                let padding = " ".repeat(width - cell.text.width());
                let text = Painted { text: &cell.text, style: cell.style, colour };
                let gap = " ".repeat(GAP);
                let _ = match self.columns[column].1 {
                    Align::Left => write!(line, "{text}{padding}{gap}"),
                    Align::Right => write!(line, "{padding}{text}{gap}"),
                };
            }
            let cell = &row[last];
            let mut is_first = !is_below;
            if is_below {
                writeln!(out, "{}", line.trim_end())?;
            }
            for text in cell.text.lines().flat_map(|text| wrap(text, last_width)) {
                let padding = match self.columns[last].1 {
                    Align::Right if !is_below => " ".repeat(widest - text.width()),
                    _ => String::new(),
                };
                let text = Painted { text: &text, style: cell.style, colour };
                let text = format_args!("{padding}{text}");
                if is_first {
                    writeln!(out, "{line}{text}")?;
                } else {
                    writeln!(out, "{}{text}", " ".repeat(indent))?;
                }
                is_first = false;
            }
            if is_first {
                writeln!(out, "{}", line.trim_end())?;
            }
        }
        Ok(())
    }
}

/// Breaks one line into lines of at most `width` columns, between words where possible.
/// Continuation lines are indented by two.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    if text.width() <= width {
        return vec![text.to_owned()];
    }
    let continuation = if width > 8 { "  " } else { "" };
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_inclusive(' ') {
        if !line.trim().is_empty() && line.width() + word.trim_end().width() > width {
            lines.push(std::mem::replace(&mut line, continuation.to_owned()));
        }
        for character in word.chars() {
            let is_full = line.width() + character.width().unwrap_or(0) > width;
            if is_full && character == ' ' {
                continue;
            }
            if is_full && !line.trim().is_empty() {
                lines.push(std::mem::replace(&mut line, continuation.to_owned()));
            }
            line.push(character);
        }
    }
    if !line.trim().is_empty() {
        lines.push(line);
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table =
            Table::new([("SOURCE", Align::Left), ("SCORE", Align::Right), ("WHY", Align::Left)]);
        table.row(vec![
            Cell::plain("198.51.100.7"),
            Cell::plain("160"),
            Cell::plain("sqli/union-select (31 requests)\nxss/script (2 requests)"),
        ]);
        table.row(vec![
            Cell::plain("2001:db8::/64"),
            Cell::plain("50"),
            Cell::plain("rate/flood 日本 😀"),
        ]);
        table
    }

    fn written(width: Option<usize>) -> String {
        let mut out = Vec::new();
        table().write(&mut out, width, false).expect("a vector takes everything");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn reasons_stand_beside_their_source() {
        assert_eq!(
            written(None),
            "SOURCE         SCORE  WHY\n\
             198.51.100.7     160  sqli/union-select (31 requests)\n\
             \u{20}                     xss/script (2 requests)\n\
             2001:db8::/64     50  rate/flood 日本 😀\n"
        );
    }

    #[test]
    fn on_a_narrow_terminal_reasons_stand_below() {
        assert_eq!(
            written(Some(40)),
            "SOURCE         SCORE\n\
             \u{20}   WHY\n\
             198.51.100.7     160\n\
             \u{20}   sqli/union-select (31 requests)\n\
             \u{20}   xss/script (2 requests)\n\
             2001:db8::/64     50\n\
             \u{20}   rate/flood 日本 😀\n"
        );
    }

    #[test]
    fn a_short_last_column_stays_where_it_fits_and_numbers_stand_on_the_right() {
        let mut table = Table::new([("FROM", Align::Left), ("BLOCKED", Align::Right)]);
        for (from, number) in [("08:00", "7"), ("09:00", "1,234")] {
            table.row(vec![Cell::plain(from), Cell::plain(number)]);
        }
        let mut out = Vec::new();
        table.write(&mut out, Some(20), false).expect("a vector takes everything");
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(text, "FROM   BLOCKED\n08:00        7\n09:00    1,234\n");
    }

    #[test]
    fn every_width_is_survived_and_wide_ones_are_kept() {
        for width in 0..200 {
            let text = written(Some(width));
            if width >= 40 {
                assert!(text.lines().all(|line| line.width() <= width), "{width}: {text}");
            }
        }
    }

    #[test]
    fn wrapping_loses_no_character() {
        let text = "a-very-long-word-without-any-space and some short ones 日本日本日本";
        for width in 2..80 {
            let lines = wrap(text, width);
            assert!(lines.iter().all(|line| line.width() <= width), "{width}: {lines:?}");
            let kept: String = lines.concat().replace(' ', "");
            assert_eq!(kept, text.replace(' ', ""));
        }
    }

    #[test]
    fn colour_is_the_only_difference_colour_makes() {
        let mut out = Vec::new();
        table().write(&mut out, None, true).expect("a vector takes everything");
        assert!(out.contains(&0x1b));
        assert!(!written(None).contains('\u{1b}'));
    }
}
