//! `portcullis rules lint`: what is wrong with rules, and how to mend it.

use std::fmt::Write as _;
use std::path::Path;

use portcullis_detection::RuleSet;
use portcullis_detection::lint::{Formats, Given, Level, Report, lint};
use portcullis_ingest::{LogFormat, PRESETS};

use super::{RuleFiles, inert, print, rule_files};
use crate::args::{LevelArgument, Lint, LintOutput};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::counted;
use crate::output::lint::{write_json, write_sarif};
use crate::terminal::{ATTENTION, BAD, FAINT, GOOD, Painted, Terminal};

pub(super) fn run(arguments: &Lint, terminal: &Terminal) -> Result<Exit, Failure> {
    let RuleFiles { texts, unreadable } = files(arguments.directory.as_deref())?;
    let mut report = lint(texts, &formats(&arguments.formats)?);
    report.add_unreadable(unreadable);
    let found = if report.findings.iter().any(|one| reaches(one.level, arguments.fail_on)) {
        Exit::Found
    } else {
        Exit::Done
    };
    report.findings.retain(|finding| reaches(finding.level, arguments.level));
    let mut out = Vec::new();
    match arguments.output {
        LintOutput::Human => out.extend(page(&report, terminal).into_bytes()),
        LintOutput::Json => write_json(&mut out, &report),
        LintOutput::Sarif => write_sarif(&mut out, &report),
    }
    print(&out)?;
    Ok(if arguments.output == LintOutput::Sarif { Exit::Done } else { found })
}

fn files(directory: Option<&Path>) -> Result<RuleFiles, Failure> {
    let builtin =
        || RuleFiles { texts: RuleSet::builtin_files().collect(), ..RuleFiles::default() };
    directory.map_or_else(|| Ok(builtin()), rule_files)
}

/// The formats asked for, or all presets that somebody's logs can have.
fn formats(asked: &[String]) -> Result<Formats, Failure> {
    let given =
        |format: &LogFormat| Given { format: inert(format.name()), fields: format.fields() };
    if asked.is_empty() {
        let presets = PRESETS.iter().filter_map(|preset| LogFormat::preset(preset.name));
        // An envelope gives the fields of whatever it holds.
        let known = presets.filter(|format| !format.fields().is_empty());
        return Ok(Formats::Known(known.map(|format| given(&format)).collect()));
    }
    let formats = asked.iter().map(|text| crate::format::parse(text).map(|format| given(&format)));
    formats.collect::<Result<_, _>>().map(Formats::Asked)
}

fn reaches(level: Level, least: LevelArgument) -> bool {
    match least {
        LevelArgument::Note => true,
        LevelArgument::Warning => level >= Level::Warning,
        LevelArgument::Error => level >= Level::Error,
        LevelArgument::Never => false,
    }
}

fn page(report: &Report, terminal: &Terminal) -> String {
    let mut text = String::new();
    let colour = terminal.colour;
    for finding in &report.findings {
        let style = match finding.level {
            Level::Error => BAD,
            Level::Warning => ATTENTION,
            Level::Note => FAINT,
        };
        let head = format!("{}[{}]", finding.level, finding.check);
        let head = Painted { text: &head, style, colour };
        // Expressions are read with the backslashes that they have.
        let as_written = |line: &str| inert(line).replace(r"\\", r"\");
        let lines: Vec<String> = finding.to_string().lines().map(as_written).collect();
        let lines = lines.join("\n");
        let _ = writeln!(text, "{head} {lines}\n");
    }
    let counts = [
        counted(report.count(Level::Error) as u64, "error", "errors"),
        counted(report.count(Level::Warning) as u64, "warning", "warnings"),
        counted(report.count(Level::Note) as u64, "note", "notes"),
    ];
    let rules = counted(report.rules as u64, "rule", "rules");
    let summary = format!("{} in {rules}", counts.join(", "));
    let is_good = report.findings.iter().all(|finding| finding.level == Level::Note);
    let style = if is_good { GOOD } else { BAD };
    let _ = writeln!(text, "{}", Painted { text: &summary, style, colour });
    text
}
