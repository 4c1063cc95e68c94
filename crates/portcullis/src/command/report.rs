//! `portcullis report`: what was found and what the plan is, as one page to send around.

use std::path::Path;

use portcullis_remediation::Rulings;

use super::judgement::Judge;
use super::lists::Lists;
use super::plan::{Base, time_of};
use super::written::{is_stdout, require_apart, write_whole};
use super::{Page, Prepared, inert, tell};
use crate::args::{Global, Report};
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::counted;
use crate::pipeline::Surveyed;
use crate::terminal::Terminal;

pub(super) fn run(
    arguments: &Report,
    configuration: &Configuration,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    is_a_page(&arguments.output)?;
    let now = time_of(arguments.plan.at.as_deref())?;
    let Judge { rules, known } = Judge::load(&arguments.plan.judgement, terminal)?;
    let proxies = &arguments.logs.reading.trusted_proxies;
    let lists =
        Lists::read(Some(&arguments.plan.protected), proxies, configuration)?.knowing(&known);
    let base = Base::given(arguments.plan.current.as_deref(), terminal)?;
    let prepared = Prepared::new(&arguments.logs, global, terminal)?;
    prepared.require_client()?;
    let protected = arguments.plan.protected.never_block.iter();
    require_apart(&arguments.output, &prepared.inputs, protected.map(AsRef::as_ref))?;

    let Surveyed { findings, overview, tally, .. } = prepared.reading().survey(&rules, None);
    prepared.progress.finish();
    let gaps = tell(&tally, Page::Shown, terminal);
    let plan = base.plan(&findings, &lists, configuration, &Rulings::default(), now);
    let page = portcullis_review::report(&portcullis_review::Report {
        locations: &arguments.logs.locations,
        findings: &findings,
        overview: &overview,
        plan: &plan,
    });
    prepared.tell_joined(terminal);
    write_whole(&arguments.output, page.as_bytes(), "the report")?;
    if !is_stdout(&arguments.output) {
        terminal.next(format_args!(
            "open `{}` in a browser: {} in {}",
            inert(&arguments.output.to_string_lossy()),
            counted(findings.offenders.len() as u64, "offender", "offenders"),
            portcullis_review::byte_size(page.len() as u64),
        ));
    }
    Ok(prepared.exit.or_worse(gaps))
}

/// Whoever names a file of another format would send around what nothing opens.
fn is_a_page(output: &Path) -> Result<(), Failure> {
    let ending = output.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let others = ["md", "json", "csv", "txt", "pdf", "xml"];
    if !others.iter().any(|other| ending.eq_ignore_ascii_case(other)) {
        return Ok(());
    }
    let why =
        format!("`{}` says .{ending}, and a report is HTML", inert(&output.to_string_lossy()));
    Err(Failure::because("write the report", why)
        .hint("name it .html; `scan -o json` is for programs")
        .exit_with(Exit::Usage))
}
