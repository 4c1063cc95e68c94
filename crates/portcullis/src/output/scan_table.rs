//! What a scan found, for people: who, why, and what could not be seen.

use std::io::{self, Write};

use portcullis_detection::{
    Correlation, Detection, Findings, Forgery, Ground, Offender, Outcome, Suspect,
};
use portcullis_ingest::{Untrusted, redacted};

use crate::output::table::{Align, Cell, Table};
use crate::output::{counted, rate_in_words, severity_style, source, write_not_seen};
use crate::progress::{human_bytes, human_count};
use crate::terminal::{ATTENTION, GOOD, HEADING, Painted, Terminal};

/// Reasons shown beside an offender; the others are counted.
const REASONS: usize = 4;
/// Clients shown beside a suspect.
const CONTRIBUTORS: usize = 3;
/// Characters of a logged text shown as the example.
const EXAMPLE_CHARACTERS: usize = 100;

/// Writes the whole page; `top` is how many offenders it shows.
pub fn write(
    out: &mut impl Write,
    findings: &Findings,
    top: usize,
    terminal: &Terminal,
) -> io::Result<()> {
    let coverage = &findings.coverage;
    let count = findings.offenders.len() as u64;
    let heading = match count {
        0 => "No offender".to_owned(),
        _ => counted(count, "offender", "offenders"),
    };
    let style = match count {
        0 if coverage.requests == 0 => ATTENTION,
        0 => GOOD,
        _ => HEADING,
    };
    writeln!(
        out,
        "{} in {} requests, {} {}, {} of text",
        Painted { text: &heading, style, colour: terminal.colour },
        human_count(coverage.requests),
        human_count(coverage.objects),
        if coverage.objects == 1 { "object" } else { "objects" },
        human_bytes(coverage.text_bytes),
    )?;
    if coverage.requests == 0 {
        writeln!(out, "nothing was judged: no request was read, or none of the time asked for")?;
    }
    if coverage.requests_blocked_by_waf > 0 {
        let blocked = human_count(coverage.requests_blocked_by_waf);
        writeln!(out, "AWS WAF blocked {blocked} of them, which are held against nobody")?;
    }
    if count > 0 {
        writeln!(out)?;
        offenders(&findings.offenders[..findings.offenders.len().min(top)]).write(
            out,
            terminal.width,
            terminal.colour,
        )?;
        if let Some(more) = findings.offenders.len().checked_sub(top).filter(|more| *more > 0) {
            writeln!(out, "and {more} more; --top {count} shows all")?;
        }
    }
    if !findings.watched.is_empty() {
        let heading = "Watched: not to act on, for what else they do or do not do, or because it is too little";
        let heading = Painted { text: heading, style: HEADING, colour: terminal.colour };
        writeln!(out, "\n{heading}")?;
        offenders(&findings.watched[..findings.watched.len().min(top)]).write(
            out,
            terminal.width,
            terminal.colour,
        )?;
        if let Some(more) = findings.watched.len().checked_sub(top).filter(|more| *more > 0) {
            writeln!(out, "and {more} more")?;
        }
    }
    if !findings.suspects.is_empty() {
        let heading = "Suspects: shared by many clients, never blocked by themselves";
        let heading = Painted { text: heading, style: HEADING, colour: terminal.colour };
        writeln!(out, "\n{heading}")?;
        let shown = &findings.suspects[..findings.suspects.len().min(top)];
        suspects(shown).write(out, terminal.width, terminal.colour)?;
        if let Some(more) = findings.suspects.len().checked_sub(top).filter(|more| *more > 0) {
            writeln!(out, "and {more} more")?;
        }
    }
    if !findings.forgeries.is_empty() {
        let heading = "Suspected forgeries: records that a client wrote into, held against nobody";
        let heading = Painted { text: heading, style: HEADING, colour: terminal.colour };
        writeln!(out, "\n{heading}")?;
        forgeries(&findings.forgeries).write(out, terminal.width, terminal.colour)?;
    }
    write_not_seen(out, coverage, terminal)
}

fn forgeries(forgeries: &[Forgery]) -> Table {
    let mut table = Table::new([
        ("KIND", Align::Left),
        ("SEVERITY", Align::Left),
        ("CONFIDENCE", Align::Left),
        ("RECORDS", Align::Right),
        ("WHAT", Align::Left),
    ]);
    for forgery in forgeries {
        let first = &forgery.evidence[0];
        let object = Untrusted::new(first.object.as_bytes()).escaped();
        table.row(vec![
            Cell::plain(forgery.reason.name()),
            Cell::styled(forgery.severity.name(), severity_style(forgery.severity)),
            Cell::plain(forgery.confidence.name()),
            Cell::plain(human_count(forgery.records)),
            Cell::plain(format!(
                "{}\nfirst in {object} at byte {}\ne.g. {}",
                forgery.title,
                first.offset,
                shown(first.text.as_untrusted())
            )),
        ]);
    }
    table
}

fn offenders(offenders: &[Offender]) -> Table {
    let mut table = Table::new([
        ("SOURCE", Align::Left),
        ("SCORE", Align::Right),
        ("SEVERITY", Align::Left),
        ("REQUESTS", Align::Right),
        ("FLAGGED", Align::Right),
        ("GOOD", Align::Right),
        ("WHY", Align::Left),
    ]);
    for offender in offenders {
        table.row(vec![
            Cell::plain(source(offender.source)),
            Cell::plain(offender.score.to_string()),
            Cell::styled(offender.severity.name(), severity_style(offender.severity)),
            Cell::plain(human_count(offender.requests)),
            Cell::plain(human_count(offender.flagged_requests)),
            Cell::plain(human_count(offender.good_requests)),
            Cell::plain(why(offender)),
        ]);
    }
    table
}

fn suspects(suspects: &[Suspect]) -> Table {
    let mut table = Table::new([
        ("WHAT", Align::Left),
        ("SCORE", Align::Right),
        ("SEVERITY", Align::Left),
        ("REQUESTS", Align::Right),
        ("CLIENTS", Align::Right),
        ("WHY, AND WHO SENT MOST", Align::Left),
    ]);
    for suspect in suspects {
        // Tables are pasted into tickets: secrets stay hidden whatever the options.
        let value = redacted(suspect.value.as_untrusted().bytes());
        let value = Untrusted::new(&value).escaped().to_string();
        let mut shown: String = value.chars().take(EXAMPLE_CHARACTERS).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        let mut why: Vec<String> = suspect.detections.iter().map(reason).collect();
        why.extend(suspect.contributors.iter().take(CONTRIBUTORS).map(|contributor| {
            let requests = counted(contributor.requests, "request", "requests");
            format!("{} ({requests})", source(contributor.source))
        }));
        table.row(vec![
            Cell::plain(format!("{} {shown}", suspect.key)),
            Cell::plain(suspect.score.to_string()),
            Cell::styled(suspect.severity.name(), severity_style(suspect.severity)),
            Cell::plain(human_count(suspect.requests)),
            Cell::plain(human_count(suspect.clients)),
            Cell::plain(why.join("\n")),
        ]);
    }
    table
}

/// The weightiest reasons, one a line, and an example of what was sent.
fn why(offender: &Offender) -> String {
    let detections = &offender.detections;
    let mut lines: Vec<String> = detections.iter().take(REASONS).map(reason).collect();
    if let Some(more) = detections.len().checked_sub(REASONS).filter(|more| *more > 0) {
        lines.push(format!("and {}", counted(more as u64, "more rule", "more rules")));
    }
    let answered = offender.outcomes.of(Outcome::Answered);
    if answered > 0 {
        let flagged = human_count(offender.outcomes.requests());
        lines.push(format!("{} of {flagged} flagged were answered 2xx", human_count(answered)));
    }
    if offender.grounds.contains(&Ground::OnlyItsAgent) {
        lines.push("says what it is, and attacked nothing".to_owned());
    }
    if offender.grounds.contains(&Ground::GoodHistory) {
        let good = human_count(offender.good_requests);
        lines.push(format!("{good} good requests outweigh that"));
    }
    if offender.grounds.contains(&Ground::LesserRate) {
        lines.push("a rate to be looked at, which alone makes nobody an offender".to_owned());
    }
    if offender.grounds.contains(&Ground::VerifiedCrawler) {
        lines.push("a crawler, by its address or the name of its host".to_owned());
    }
    if offender.correlations.contains(&Correlation::FalseCrawler) {
        lines.push("says to be a crawler, and is not".to_owned());
    }
    let known = offender.background.in_words();
    if !known.is_empty() {
        lines.push(known);
    }
    lines.extend(detections.iter().find_map(example));
    lines.join("\n")
}

fn reason(detection: &Detection) -> String {
    match &detection.rate {
        Some(rate) if detection.suggests.is_some() => {
            format!("{} ({}; only suggests)", detection.rule, rate_in_words(rate))
        }
        Some(rate) => format!("{} ({})", detection.rule, rate_in_words(rate)),
        None if detection.requests == 1 => format!("{} (1 request)", detection.rule),
        None => format!("{} ({} requests)", detection.rule, human_count(detection.requests)),
    }
}

fn example(detection: &Detection) -> Option<String> {
    let evidence = detection.evidence.iter().find(|evidence| evidence.field.is_some())?;
    Some(format!("e.g. {} {}", evidence.field?, shown(evidence.text.as_untrusted())))
}

/// Logged text, cut and harmless. Tables are pasted into tickets: secrets stay hidden
/// whatever the options.
fn shown(text: Untrusted<'_>) -> String {
    let text = redacted(text.bytes());
    let text = Untrusted::new(&text).escaped().to_string();
    let mut shown: String = text.chars().take(EXAMPLE_CHARACTERS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
