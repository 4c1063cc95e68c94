//! Measures what passes before the first record is read: reading rules, building automata.
//!
//! An operator asks for a version, and a schedule scans a single object, far more often than
//! anybody scans a day.

use std::process::Command as Process;

use serde::Serialize;

use super::machine;
use super::programs::{self, Times};
use crate::{firehose, workspace};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Measured runs; one more warms up
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    #[command(flatten)]
    subject: super::Subject,
}

#[derive(Debug, Serialize)]
struct Report {
    schema_version: u32,
    machine: machine::Machine,
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
    let machine = machine::describe();
    println!("{machine}");
    let commands = ["--version", "rules list", "scan of one object"];
    let output = workspace::target().join("bench").join("start.out");
    let mut seconds = vec![Vec::new(); commands.len()];
    for round in 0..=arguments.runs {
        for (command, seconds) in commands.iter().zip(&mut seconds) {
            let mut process = Process::new(&binary);
            match *command {
                "--version" => process.arg("--version"),
                "rules list" => process.args(["rules", "list"]),
                _ => process.arg("scan").arg(object).args(["--quiet", "--output", "json"]),
            };
            let run = programs::scan(&mut process, &output)?;
            if round > 0 {
                seconds.push(run.seconds);
            }
        }
    }
    println!("program: {:.1} MB", program_bytes as f64 / 1e6);
    println!("{:<20} {:>8} {:>9}", "command", "ms", "fastest");
    let figures = commands.into_iter().zip(seconds).map(|(command, seconds)| {
        let times = Times::of(seconds);
        println!("{command:<20} {:>8.1} {:>9.1}", times.median * 1e3, times.fastest * 1e3);
        Figures { command, times }
    });
    let commands = figures.collect();
    if let Some(json) = &arguments.subject.json {
        let report = Report { schema_version: 1, machine, program_bytes, commands };
        firehose::write_json(json, &report)?;
    }
    Ok(())
}
