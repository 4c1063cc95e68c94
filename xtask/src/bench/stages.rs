//! Measures the stages of a scan, one format after another, on one thread.
//!
//! An example program of the detection crate times them in one process, in turn, each with
//! what comes before it: what a stage adds is the difference.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::subject::Destination;
use super::{Log, examples, generated, machine};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Text of each log to generate
    #[arg(long, value_name = "N", default_value_t = 100_000_000)]
    bytes: u64,
    #[command(flatten)]
    destination: Destination,
}

/// What the example program prints. Times are seconds.
#[derive(Debug, Serialize, Deserialize)]
struct Figures {
    bytes: u64,
    requests: u64,
    unpack: f64,
    decode: f64,
    classify: f64,
    scan: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    logs: Vec<(&'static str, Figures)>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), String> {
    let program = build()?;
    let machine = machine::announce();
    println!("nanoseconds per record that each stage adds, and the whole behind unpacking");
    println!(
        "{:<8} {:>9} {:>8} {:>8} {:>9} {:>8} {:>8}",
        "log", "records", "unpack", "decode", "classify", "gather", "whole"
    );
    let mut logs = Vec::new();
    for log in [Log::Json, Log::Clf, Log::Combined, Log::Waf] {
        let objects = generated(log.name(), log.format(), arguments.bytes)?;
        let figures: Figures = examples::figures(&program, log.format(), &objects)?;
        let each = |seconds: f64| seconds / figures.requests as f64 * 1e9;
        println!(
            "{:<8} {:>9} {:>8.0} {:>8.0} {:>9.0} {:>8.0} {:>8.0}",
            log.name(),
            figures.requests,
            each(figures.unpack),
            each(figures.decode),
            each(figures.classify - figures.decode),
            each(figures.scan - figures.classify),
            each(figures.scan),
        );
        logs.push((log.name(), figures));
    }
    arguments.destination.write(&machine, &Report { logs })
}

/// Builds the example program.
pub(super) fn build() -> Result<PathBuf, String> {
    examples::build("portcullis-detection", "stages")
}
