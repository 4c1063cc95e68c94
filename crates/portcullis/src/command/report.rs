//! `portcullis report`: what was found and what the plan is, as one page to send around.

use std::path::Path;

use portcullis_ingest::Timestamp;
use portcullis_remediation::Sets;

use super::lists::Lists;
use super::plan::{current_sets, time_of, write_whole};
use super::{Page, Prepared, inert, load_judgement, print, tell};
use crate::args::{Global, PlanInputs, Report};
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::counted;
use crate::terminal::Terminal;

pub(super) fn run(
    arguments: &Report,
    configuration: &Configuration,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let base = Base::read(&arguments.plan, configuration, terminal)?;
    let rules = load_judgement(arguments.plan.rules.as_deref(), &arguments.plan.crawlers)?;
    let prepared = Prepared::new(&arguments.logs, global, terminal)?;
    prepared.require_client()?;

    let (findings, overview, tally) = prepared.reading().survey(&rules);
    prepared.progress.finish();
    let gaps = tell(&tally, Page::Shown, terminal);
    let Base { now, sets, lists } = base;
    let policy = configuration.policy();
    let plan = portcullis_remediation::plan(&findings, &sets, &lists.never_block, &policy, now);
    let page = portcullis_review::report(&portcullis_review::Report {
        locations: &arguments.logs.locations,
        findings: &findings,
        overview: &overview,
        plan: &plan,
    });
    prepared.tell_joined(terminal);
    if arguments.output == Path::new("-") {
        print(page.as_bytes())?;
    } else {
        write_whole(&arguments.output, page.as_bytes(), "the report")?;
        terminal.next(format_args!(
            "open `{}` in a browser: {} in {}",
            inert(&arguments.output.to_string_lossy()),
            counted(findings.offenders.len() as u64, "offender", "offenders"),
            portcullis_review::byte_size(page.len() as u64),
        ));
    }
    Ok(prepared.exit.or_worse(gaps))
}

/// What a plan that is reviewed starts from.
struct Base {
    now: Timestamp,
    sets: Sets,
    lists: Lists,
}

impl Base {
    fn read(
        inputs: &PlanInputs,
        configuration: &Configuration,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        Ok(Self {
            now: time_of(inputs.at.as_deref())?,
            lists: Lists::read(Some(&inputs.protected), configuration)?,
            sets: current_sets(inputs.current.as_deref(), terminal)?,
        })
    }
}
