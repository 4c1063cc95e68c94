//! `portcullis decode`: every request as one line of JSON.

use std::fs::File;
use std::io::{self, Write};

use super::{Page, Prepared, tell};
use crate::args::{Decode, Global};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ordered::Outputs;
use crate::terminal::Terminal;

pub(super) fn run(
    arguments: &Decode,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let prepared = Prepared::new(&arguments.logs, global, terminal)?;
    let mut rejects = match &arguments.rejects {
        Some(path) => Some(File::create(path).map_err(|error| {
            Failure::new(format!("create `{}`", super::inert(&path.to_string_lossy())), &error)
        })?),
        None => None,
    };
    let mut stdout = io::stdout().lock();
    let mut outputs = Outputs {
        results: &mut stdout,
        rejects: rejects.as_mut().map(|file| file as &mut dyn Write),
    };
    let result = prepared.reading().decode(&mut outputs, arguments.logs.secrets());
    prepared.progress.finish();
    let tally = result.map_err(|error| Failure::writing(&error))?;
    prepared.tell_joined(terminal);
    Ok(prepared.exit.or_worse(tell(&tally, Page::None, terminal)))
}
