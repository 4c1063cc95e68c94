//! How results look: JSON for programs, tables for people.

pub mod account;
pub mod account_page;
pub mod applied;
pub mod backtest;
pub mod bench;
pub mod calibrate;
pub mod lint;
pub mod metrics;
pub mod notice;
pub mod request;
pub mod review_page;
pub mod scan_table;
pub mod summary;
pub mod table;
pub mod verdict;

use std::io;

use anstyle::Style;
use portcullis_detection::{Coverage, Severity};
use portcullis_review::gaps;

pub use portcullis_detection::document::{self as findings, json};
pub use portcullis_review::{count, counted, rate_in_words, source};

use crate::terminal::{ATTENTION, BAD, FAINT, HEADING, Painted, Terminal};

/// How a severity looks. The word always stands there too.
pub fn severity_style(severity: Severity) -> Style {
    match severity {
        Severity::Low => FAINT,
        Severity::Medium => Style::new(),
        Severity::High => ATTENTION,
        Severity::Critical => BAD,
    }
}

/// Writes a sentence, indented and no wider than the terminal.
pub fn write_indented(out: &mut impl io::Write, text: &str, terminal: &Terminal) -> io::Result<()> {
    let width = terminal.width.map_or(usize::MAX, |width| width.saturating_sub(2).max(1));
    for line in table::wrap(text, width) {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

/// Writes what a scan could not see, if anything, under a heading.
pub fn write_not_seen(
    out: &mut impl io::Write,
    coverage: &Coverage,
    terminal: &Terminal,
) -> io::Result<()> {
    let gaps = gaps(coverage);
    if gaps.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", Painted { text: "Not seen", style: HEADING, colour: terminal.colour })?;
    for gap in gaps {
        write_indented(out, &gap, terminal)?;
    }
    Ok(())
}
