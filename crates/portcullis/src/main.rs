//! The program: command line, files, terminal and exit codes.
//!
//! Everything that thinks is in the libraries; this crate decides which bytes they see,
//! how their answers look, and what a script can rely on. `pipeline` shows the whole
//! flow on one screen.

#![allow(
    unreachable_pub,
    reason = "a program has no users of its types: `pub` means the other modules"
)]

mod args;
mod bucket;
mod command;
mod config;
mod digest;
mod directory;
mod duplicates;
mod exit;
mod failure;
mod format;
mod heartbeat;
mod history;
mod joining;
mod location;
mod names;
mod operation;
mod ordered;
mod output;
mod pipeline;
mod progress;
mod quarantine;
mod remote;
mod server;
mod sigma;
mod span;
mod stop;
mod terminal;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use crate::exit::Exit;
use crate::terminal::Terminal;

fn main() -> ExitCode {
    #[cfg_attr(not(feature = "lambda"), expect(unused_mut, reason = "nothing else changes it"))]
    let mut arguments = match args::parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // Help for a closed pipe is help nobody waits for.
            let _ = error.print();
            return exit.into();
        }
    };
    #[cfg(feature = "lambda")]
    if matches!(arguments.command, args::Command::Lambda(_)) {
        // What a function writes is read by CloudWatch and never by a terminal.
        arguments.global.log = args::LogShape::Json;
    }
    let terminal = Terminal::new(&arguments.global);
    let exit = match command::run(arguments, &terminal) {
        Ok(exit) => exit,
        Err(failure) => {
            terminal.error(&failure);
            failure.exit()
        }
    };
    exit.into()
}
