//! `portcullis calibrate`: thresholds that spare honest clients.

use portcullis_detection::Budget;

use super::judgement::load_crawlers;
use super::{Page, Prepared, load_rules, print, tell};
use crate::args::{Calibrate, Global, TableOrJson};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::calibrate::{write_json, write_table};
use crate::terminal::Terminal;

pub(super) fn run(
    arguments: &Calibrate,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let crawlers = load_crawlers(&arguments.crawlers, terminal)?;
    let rules = load_rules(arguments.rules.as_deref())?.with_crawlers(crawlers);
    let prepared = Prepared::new(&arguments.logs, global, terminal)?;
    prepared.require_client()?;
    let (calibration, tally) = prepared.reading().calibration(&rules);
    prepared.progress.finish();

    let budget = match arguments.harm_clients {
        Some(clients) => Budget::Clients(clients),
        None => Budget::Share(arguments.harm_budget),
    };
    let mut out = Vec::new();
    match arguments.output {
        TableOrJson::Table => {
            write_table(&mut out, &calibration, budget, terminal)
                .expect("writing to memory does not fail");
        }
        TableOrJson::Json => write_json(&mut out, &calibration, budget),
    }
    print(&out)?;
    prepared.tell_joined(terminal);
    let gaps = tell(&tally, Page::None, terminal);
    Ok(prepared.exit.or_worse(gaps))
}
