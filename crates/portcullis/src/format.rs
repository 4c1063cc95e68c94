//! What `--format` means: a preset's name, a template, or a file that holds one.

use std::fs;

use portcullis_ingest::{LogFormat, PRESETS};

use crate::exit::Exit;
use crate::failure::Failure;

/// The format that `argument` names.
pub fn parse(argument: &str) -> Result<LogFormat, Failure> {
    if let Some(format) = LogFormat::preset(argument) {
        return Ok(format);
    }
    let (template, action) = match argument.strip_prefix('@') {
        Some(file) => {
            let action = format!("read the log format in `{file}`");
            let template =
                fs::read_to_string(file).map_err(|error| Failure::new(action.clone(), &error))?;
            (template, action)
        }
        None if argument.contains("$context") => {
            (argument.to_owned(), "read the log format".to_owned())
        }
        None => return Err(unknown_preset(argument)),
    };
    LogFormat::parse(&template).map_err(|error| {
        Failure::new(action, &error).hint(
            "portcullis formats check FORMAT says what a format gives and what to log instead",
        )
    })
}

fn unknown_preset(argument: &str) -> Failure {
    let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
    Failure::because(
        "read the log format",
        format!("`{argument}` is no preset's name, and no template: it holds no $context variable"),
    )
    .hint(format!(
        "presets are {}; @{argument} would read the template from that file; in a shell, put a \
         template in single quotes, or $context is taken for a shell variable",
        names.join(", ")
    ))
    .exit_with(Exit::Usage)
}
