//! The project's own chores: tests, generated datasets, benchmarks.
//!
//! Run as `cargo xtask COMMAND`. Nothing here depends on the Portcullis crates:
//! the generator must be able to prove them wrong.

#![forbid(unsafe_code)]

mod bench;
mod browser;
mod checks;
mod datasets;
mod day;
mod firehose;
mod fuzz;
mod kill_loop;
mod moto;
mod mutants;
mod process;
mod setup;
mod spark;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::Parser as _;

/// The project's chores.
#[derive(Debug, clap::Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write what Firehose would deliver for a simulated API with named attackers
    Firehose(firehose::Command),
    /// Write the datasets that come with the source, or check them
    Datasets(datasets::Command),
    /// Run everything a change must pass
    Test(checks::Command),
    /// Kill the program at every step of changing sets, and look at what is left
    KillLoop(kill_loop::Command),
    /// Simulate a day under attack with the program under `enforce`
    SimulateDay(day::Command),
    /// Run the tests against moto, an AWS stand-in, after installing it for them
    Moto,
    /// Test the scan on Apache Spark, with workers that are killed
    TestSpark(spark::Command),
    /// Test the pages in a browser
    Browser(browser::Command),
    /// Fuzz every parser
    Fuzz(fuzz::Command),
    /// Break what decides about blocks in small ways, and count what no test notices
    Mutants(mutants::Command),
    /// Measure speed
    Bench(bench::Command),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Firehose(command) => firehose::run(&command),
        Command::Datasets(command) => datasets::run(&command),
        Command::Test(command) => checks::run(&command),
        Command::KillLoop(command) => kill_loop::run(&command),
        Command::SimulateDay(command) => day::run(&command),
        Command::Moto => moto::run(),
        Command::TestSpark(command) => spark::run(&command),
        Command::Browser(command) => browser::run(&command),
        Command::Fuzz(command) => fuzz::run(&command),
        Command::Mutants(command) => mutants::run(&command),
        Command::Bench(command) => bench::run(&command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
