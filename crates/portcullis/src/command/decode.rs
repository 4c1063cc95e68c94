//! `portcullis decode`: every request as one line of JSON, or as an event of OCSF.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use portcullis_ingest::Request;

use super::written::{is_stdout, require_apart};
use super::{Page, Prepared, tell};
use crate::args::{Decode, DecodeOutput, Global};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ordered::Outputs;
use crate::output::request;
use crate::terminal::Terminal;

pub(super) fn run(
    arguments: &Decode,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let prepared = Prepared::new(&arguments.logs, global, terminal)?;
    if let Some(path) = &arguments.rejects {
        require_apart(path, &prepared.inputs, [])?;
    }
    let mut rejects = arguments.rejects.as_deref().map(rejects_to).transpose()?;
    let mut stdout = io::stdout().lock();
    let mut outputs = Outputs {
        results: &mut stdout,
        rejects: rejects.as_mut().map(|file| file as &mut dyn Write),
    };
    let secrets = arguments.logs.secrets();
    let shape = arguments.output;
    let write = |out: &mut Vec<u8>, request: &Request<'_>| match shape {
        DecodeOutput::Jsonl => request::write(out, request, secrets),
        DecodeOutput::Ocsf => {
            let event = portcullis_review::http_activity(request, env!("CARGO_PKG_VERSION"));
            out.extend_from_slice(event.to_string().as_bytes());
        }
    };
    let result = prepared.reading().decode(&mut outputs, &write, secrets);
    prepared.progress.finish();
    let tally = result.map_err(|error| Failure::writing(&error))?;
    prepared.tell_joined(terminal);
    Ok(prepared.exit.or_worse(tell(&tally, Page::None, terminal)))
}

/// Where lines about what could not be read go, as they come.
fn rejects_to(path: &Path) -> Result<Box<dyn Write>, Failure> {
    if is_stdout(path) {
        return Ok(Box::new(io::stdout()));
    }
    let file = File::create(path).map_err(|error| {
        Failure::new(format!("create `{}`", super::inert(&path.to_string_lossy())), &error)
    })?;
    Ok(Box::new(file))
}
