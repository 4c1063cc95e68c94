//! `portcullis classify`: a verdict on every request as one line of JSON.

use std::io;

use super::{Page, Prepared, load_rules, tell};
use crate::args::{Classify, Global};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ordered::Outputs;
use crate::terminal::Terminal;

pub(super) fn run(
    arguments: &Classify,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let rules = load_rules(arguments.rules.as_deref())?;
    let prepared = Prepared::new(&arguments.logs, global, terminal)?;
    let mut stdout = io::stdout().lock();
    let mut outputs = Outputs { results: &mut stdout, rejects: None };
    let result = prepared.reading().classify(&rules, &mut outputs);
    prepared.progress.finish();
    let tally = result.map_err(|error| Failure::writing(&error))?;
    prepared.tell_joined(terminal);
    Ok(prepared.exit.or_worse(tell(&tally, Page::None, terminal)))
}
