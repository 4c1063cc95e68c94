//! `portcullis plan`: the IP-set changes that would block the offenders.
//!
//! It reads logs, the current sets and the never-block lists, and prints; nothing is
//! changed anywhere. A list that cannot be read in full stops the plan: a plan made
//! without it could block the very network it protects.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_ingest::Timestamp;
use portcullis_remediation::{
    AwsRanges, BlockPolicy, InputError, NeverBlock, Outcome, Plan as BlockPlan, Sets, plan,
};

use super::{Page, Prepared, inert, load_rules, print, read_option_file, tell};
use crate::args::{Global, Plan, PlanOutput};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::table::{Align, Cell, Table};
use crate::output::{counted, source, write_not_seen};
use crate::pipeline::Purpose;
use crate::terminal::{ATTENTION, BAD, FAINT, GOOD, HEADING, Painted, Terminal};

pub(super) fn run(arguments: &Plan, global: &Global, terminal: &Terminal) -> Result<Exit, Failure> {
    let now = time(arguments.at.as_deref())?;
    let rules = load_rules(arguments.rules.as_deref())?;
    let never_block = never_block(arguments)?;
    let current = current_sets(arguments, terminal)?;
    let prepared = Prepared::new(&arguments.logs, global, terminal)?;
    prepared.require_client()?;

    let (findings, tally) = prepared.reading().findings(&rules, Purpose::Block);
    prepared.progress.finish();
    let page = match arguments.output {
        PlanOutput::Human => Page::Shown,
        PlanOutput::Json => Page::None,
    };
    let gaps = tell(&tally, page, terminal);
    let plan = plan(&findings, &current, &never_block, &BlockPolicy::default(), now);

    if let Some(path) = &arguments.out {
        write_whole(path, plan.to_json().as_bytes())?;
    }
    match arguments.output {
        PlanOutput::Json => print(plan.to_json().as_bytes())?,
        PlanOutput::Human => human(&plan, arguments, terminal)?,
    };
    let changes =
        if arguments.detailed_exitcode && plan.has_changes() { Exit::Found } else { Exit::Done };
    Ok(prepared.exit.or_worse(gaps).or_worse(changes))
}

fn time(at: Option<&str>) -> Result<Timestamp, Failure> {
    let Some(text) = at else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        return now
            .and_then(|now| i64::try_from(now.as_millis()).ok())
            .and_then(Timestamp::from_epoch_ms)
            .ok_or_else(|| {
                Failure::because("tell the time", "the clock is before 1970 or after 9999")
                    .hint("--at 2025-11-04T09:12:00Z gives the time by hand")
            });
    };
    Timestamp::parse_rfc3339(text.as_bytes()).ok_or_else(|| {
        Failure::because("read --at", format!("`{}` is no RFC 3339 time", inert(text)))
            .hint("write it as 2025-11-04T09:12:00Z")
            .exit_with(Exit::Usage)
    })
}

fn current_sets(arguments: &Plan, terminal: &Terminal) -> Result<Sets, Failure> {
    let Some(path) = &arguments.current else {
        let sets = Sets::empty();
        let names: Vec<&str> = sets.iter().map(portcullis_remediation::IpSet::name).collect();
        terminal.note(format_args!(
            "no --current given: planning for two empty sets, {}",
            names.join(" and ")
        ));
        return Ok(sets);
    };
    let text = read_option_file(path, "the current sets in")?;
    Sets::from_json(&path.to_string_lossy(), &text)
        .map_err(|errors| bad_input("read the current sets", &errors, &text))
}

fn never_block(arguments: &Plan) -> Result<NeverBlock, Failure> {
    let mut all = String::new();
    for path in &arguments.never_block {
        let text = read_option_file(path, "the never-block list")?;
        NeverBlock::parse(&path.to_string_lossy(), &text)
            .map_err(|errors| bad_input("read the never-block list", &errors, &text))?;
        all.push_str(text.strip_prefix('\u{feff}').unwrap_or(&text));
        all.push('\n');
    }
    let list = NeverBlock::parse("never-block lists", &all)
        .map_err(|errors| bad_input("read the never-block lists", &errors, &all))?;
    let Some(path) = &arguments.aws_ranges else {
        return Ok(list);
    };
    let text = read_option_file(path, "the AWS ranges in")?;
    let ranges = AwsRanges::with_file(&path.to_string_lossy(), &text)
        .map_err(|errors| bad_input("read the AWS ranges", &errors, &text))?;
    Ok(list.with_aws_ranges(ranges))
}

/// Every error of a file with the line it stands in and a caret under its place.
fn bad_input<Kind: std::error::Error>(
    action: &str,
    errors: &[InputError<Kind>],
    text: &str,
) -> Failure {
    let mut detail = String::new();
    for error in errors {
        let _ = writeln!(detail, "{}", inert_lines(&error.to_string()));
        let Some(line) = text.lines().nth(error.line.saturating_sub(1) as usize) else {
            continue;
        };
        // Tabs and worse would move the caret away from its place.
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let before: String = line.chars().take(error.column.saturating_sub(1) as usize).collect();
        let indent = " ".repeat(unicode_width::UnicodeWidthStr::width(before.as_str()));
        let number = error.line.to_string();
        let _ = writeln!(detail, "  {number} | {}", inert(&line));
        let _ = writeln!(detail, "  {} | {indent}^", " ".repeat(number.len()));
    }
    Failure::because(action, detail)
}

fn inert_lines(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

/// Writes a file whole or not at all: a reader never finds half a plan.
fn write_whole(path: &Path, contents: &[u8]) -> Result<(), Failure> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}.part", std::process::id()));
    let unfinished = Path::new(&unfinished);
    let written = File::create(unfinished)
        .and_then(|mut file| file.write_all(contents).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(unfinished, path));
    written.map_err(|error| {
        // The plan is not there, and neither should its beginning be.
        let _ = fs::remove_file(unfinished);
        Failure::new(format!("write the plan to `{}`", inert(&path.to_string_lossy())), &error)
    })
}

fn human(plan: &BlockPlan, arguments: &Plan, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut out = Vec::new();
    let memory = "writing to memory does not fail";
    summary(plan, terminal, &mut out).expect(memory);
    if !plan.decisions().is_empty() {
        decisions(plan).write(&mut out, terminal.width, terminal.colour).expect(memory);
    }
    for conflict in plan.conflicts() {
        let word = Painted { text: "!", style: BAD, colour: terminal.colour };
        writeln!(out, "{word} {}", inert(&conflict.to_string())).expect(memory);
    }
    for note in plan.notes() {
        let word = Painted { text: "!", style: ATTENTION, colour: terminal.colour };
        writeln!(out, "{word} {note}").expect(memory);
    }
    write_not_seen(&mut out, plan.coverage(), terminal.colour).expect(memory);
    print(&out)?;
    match &arguments.out {
        Some(path) => terminal.next(format_args!(
            "review the plan in `{}`; nothing has been changed",
            inert(&path.to_string_lossy())
        )),
        None => terminal.next("--out plan.json saves the plan; nothing has been changed"),
    }
    Ok(Exit::Done)
}

fn summary(plan: &BlockPlan, terminal: &Terminal, out: &mut Vec<u8>) -> io::Result<()> {
    let decisions = plan.decisions();
    let add = plan.additions().count();
    let already = decisions
        .iter()
        .filter(|decision| matches!(decision.outcome, Outcome::AlreadyBlocked { .. }))
        .count();
    let heading = format!(
        "{}: {add} to block, {already} already blocked, {} not blocked",
        counted(decisions.len() as u64, "offender", "offenders"),
        decisions.len() - add - already
    );
    let heading = Painted { text: &heading, style: HEADING, colour: terminal.colour };
    writeln!(out, "{heading}, as of {}", plan.created_at())?;
    for (base, target) in plan.base().iter().zip(plan.target()) {
        let (before, after) = (base.addresses().len(), target.addresses().len());
        let change = if before == after {
            "no change".to_owned()
        } else {
            format!("{before} → {}", counted(after as u64, "entry", "entries"))
        };
        writeln!(out, "  {} ({}): {change}", inert(base.name()), base.family())?;
    }
    writeln!(out)
}

fn decisions(plan: &BlockPlan) -> Table {
    let mut table = Table::new([
        ("", Align::Left),
        ("SOURCE", Align::Left),
        ("SCORE", Align::Right),
        ("DECISION AND WHY", Align::Left),
    ]);
    for decision in plan.decisions() {
        let (mark, style) = match decision.outcome {
            Outcome::Add { .. } => ("+", GOOD),
            Outcome::AlreadyBlocked { .. } => ("=", FAINT),
            Outcome::Withheld(_) => ("-", ATTENTION),
        };
        table.row(vec![
            Cell::styled(mark, style),
            Cell::plain(source(decision.source)),
            Cell::plain(decision.grounds.score.to_string()),
            Cell::plain(format!("{}\n{}", inert(&decision.verdict()), decision.grounds)),
        ]);
    }
    table
}
