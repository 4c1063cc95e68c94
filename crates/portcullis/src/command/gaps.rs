//! What is said of input that could not be read, and the exit code that it means.

use portcullis_ingest::RejectReason;

use super::words::inert;
use crate::exit::Exit;
use crate::output::counted;
use crate::pipeline::Tally;
use crate::progress::human_count;
use crate::terminal::Terminal;

/// How many names a message lists before it only counts.
const NAMES_IN_A_MESSAGE: usize = 5;

/// Where a page for people stands, which says itself what could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// On stdout.
    Shown,
    /// Nowhere: stdout is for programs.
    None,
}

/// Says on stderr what could not be read and what to change, as far as no page says it
/// already, and gives the exit code that it means.
pub(super) fn tell(tally: &Tally, page: Page, terminal: &Terminal) -> Exit {
    for failure in &tally.unreadable {
        terminal.error(failure);
    }
    if page == Page::None {
        for gap in gaps(tally) {
            terminal.warn(gap);
        }
    }
    for note in &tally.notes {
        terminal.note(inert(note));
    }
    if tally.outside_span > 0 {
        let requests = counted(tally.outside_span, "request", "requests");
        terminal.note(format_args!("{requests} outside the span of time passed over"));
    }
    exit_of(tally)
}

/// The exit code that the gaps mean.
fn exit_of(tally: &Tally) -> Exit {
    if !tally.unreadable.is_empty() {
        Exit::Failed
    } else if tally.rejected() > 0 || !tally.incomplete.is_empty() || !tally.unrecognised.is_empty()
    {
        Exit::Partial
    } else {
        Exit::Done
    }
}

/// What could not be read, one sentence each.
fn gaps(tally: &Tally) -> Vec<String> {
    let mut gaps = Vec::new();
    if tally.rejected() > 0 {
        let reasons: Vec<String> = RejectReason::ALL
            .iter()
            .zip(tally.rejects)
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| format!("{} ({})", reason.explanation(), human_count(count)))
            .collect();
        let records = counted(tally.rejected(), "record", "records");
        gaps.push(format!("{records} could not be read: {}", reasons.join(", ")));
    }
    for (object, reason) in tally.incomplete.iter().take(NAMES_IN_A_MESSAGE) {
        gaps.push(format!("`{}` is incomplete: {reason}", inert(object)));
    }
    if let Some(more) = more_than_listed(tally.incomplete.len()) {
        gaps.push(format!("{more} more objects are incomplete"));
    }
    for object in tally.unrecognised.iter().take(NAMES_IN_A_MESSAGE) {
        gaps.push(format!(
            "the format of `{}` was not recognised; name it with --format",
            inert(object)
        ));
    }
    if let Some(more) = more_than_listed(tally.unrecognised.len()) {
        gaps.push(format!("the format of {more} more objects was not recognised"));
    }
    gaps
}

fn more_than_listed(count: usize) -> Option<usize> {
    count.checked_sub(NAMES_IN_A_MESSAGE).filter(|more| *more > 0)
}
