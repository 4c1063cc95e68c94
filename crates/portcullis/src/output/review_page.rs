//! What a review tells of one source beyond its account: what it sent, who is like it, and
//! what the plan does about it.

use std::io::{self, Write};

use portcullis_detection::Answer;
use portcullis_review::Review;

use crate::output::table::{Align, Cell, Table};
use crate::terminal::{BAD, HEADING, Painted, Terminal};

/// Writes it below the account.
pub fn write(
    out: &mut impl Write,
    answer: &Answer,
    review: &Review,
    terminal: &Terminal,
) -> io::Result<()> {
    let heading = |text| Painted { text, style: HEADING, colour: terminal.colour };
    let told = answer.account.as_ref().and_then(|account| review.told(account.source));
    let Some(told) = told else {
        writeln!(out, "\n{}", heading("The plan"))?;
        return writeln!(out, "  it is no offender: there is nothing to decide");
    };
    for (title, rows) in &told.sent {
        writeln!(out, "\n{}", heading(title))?;
        let mut table = Table::new([
            ("REQUESTS", Align::Right),
            ("ANSWERED 2XX", Align::Right),
            ("WHAT", Align::Left),
        ]);
        for [text, requests, answered] in rows {
            let number = answered.split(' ').next().unwrap_or("");
            table.row(vec![
                Cell::plain(requests),
                Cell::styled(number, if *title == "May have worked" { BAD } else { HEADING }),
                Cell::plain(text),
            ]);
        }
        table.write(out, terminal.width, terminal.colour)?;
    }
    writeln!(out, "\n{}", heading("Similar sources"))?;
    if told.alike.is_empty() {
        writeln!(out, "  none shares its network, or its user agent and a probed path")?;
    } else {
        let mut table = Table::new([
            ("SOURCE", Align::Left),
            ("SCORE", Align::Right),
            ("PLAN", Align::Left),
            ("IN COMMON", Align::Left),
        ]);
        for [source, why, score, plan] in &told.alike {
            table.row([source, score, plan, why].map(Cell::plain).into());
        }
        table.write(out, terminal.width, terminal.colour)?;
        if !told.more_alike.is_empty() {
            writeln!(out, "{}", told.more_alike)?;
        }
    }
    writeln!(out, "\n{}", heading("The plan"))?;
    for line in told.plan {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}
