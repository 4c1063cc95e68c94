//! Measures what passes before the first record is read: reading rules, building automata.
//!
//! An operator asks for a version, and a schedule scans a single object, far more often than
//! anybody scans a day.

use std::process::Command as Process;

use serde::Serialize;

use super::machine;
use super::programs::{self, Times};
use super::subject::{Rounds, Subject};
use crate::workspace;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    rounds: Rounds,
    #[command(flatten)]
    subject: Subject,
}

#[derive(Debug, Serialize)]
struct Report {
    /// Bytes of the program.
    program_bytes: u64,
    commands: Vec<Figures>,
}

#[derive(Debug, Serialize)]
struct Figures {
    command: &'static str,
    times: Times,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), String> {
    let binary = arguments.subject.program()?;
    let objects = workspace::root().join("datasets").join("firehose").join("recommended");
    let mut objects = workspace::files_below(&objects)?;
    objects.sort();
    let object = objects.first().ok_or("datasets/firehose/recommended holds no object")?;
    let program_bytes = binary
        .metadata()
        .map_err(|error| format!("failed to look at {}: {error}", binary.display()))?
        .len();
    let machine = machine::announce();
    let commands = ["--version", "rules list", "scan of one object"];
    let output = workspace::target().join("bench").join("start.out");
    let times = arguments.rounds.time(&commands, |command| {
        let mut process = Process::new(&binary);
        match *command {
            "--version" => process.arg("--version"),
            "rules list" => process.args(["rules", "list"]),
            _ => process.arg("scan").arg(object).args(["--quiet", "--output", "json"]),
        };
        Ok(programs::scan(&mut process, &output)?.seconds)
    })?;
    println!("program: {:.1} MB", program_bytes as f64 / 1e6);
    println!("{:<20} {:>8} {:>9}", "command", "ms", "fastest");
    let figures = commands.into_iter().zip(times).map(|(command, times)| {
        println!("{command:<20} {:>8.1} {:>9.1}", times.median * 1e3, times.fastest * 1e3);
        Figures { command, times }
    });
    let commands = figures.collect();
    arguments.subject.destination.write(&machine, &Report { program_bytes, commands })
}
