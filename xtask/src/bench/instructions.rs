//! Counts the instructions that each stage of a scan spends on a record.
//!
//! Times of a busy machine scatter by half, instructions repeat to a thousandth. Valgrind
//! counts those of the detection crate's example `stages`, one stage with what comes before
//! it, of half of a log and of all of it: the difference is of records that came when all
//! automata and memories were warm, and a stage adds what it takes more than the one
//! before. Instructions are no time: waiting for memory and guessing branches wrongly cost
//! none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use serde::Serialize;

use super::subject::Destination;
use super::{Log, generated, machine, programs, stages};
use crate::workspace;

/// Stages of the example, each with those before it.
const STAGES: [&str; 3] = ["decode", "classify", "scan"];

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Text of each log to generate
    #[arg(long, value_name = "N", default_value_t = 30_000_000)]
    bytes: u64,
    /// Measure only these logs
    #[arg(long, value_enum, default_values_t = [Log::Json, Log::Clf, Log::Combined, Log::Waf])]
    only: Vec<Log>,
    #[command(flatten)]
    destination: Destination,
}

#[derive(Debug, Serialize)]
struct Report {
    valgrind: String,
    logs: Vec<Figures>,
}

/// Instructions for each record.
#[derive(Debug, Serialize)]
struct Figures {
    log: &'static str,
    format: &'static str,
    /// Counted records; about as many came before.
    records: u64,
    bytes_per_record: f64,
    decoding: f64,
    signatures: f64,
    gathering: f64,
    whole: f64,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), String> {
    if !programs::is_installed("command -v valgrind") {
        return Err("Valgrind counts the instructions, and is not installed".to_owned());
    }
    let valgrind = Process::new("valgrind")
        .arg("--version")
        .output()
        .map_err(|error| format!("failed to start Valgrind: {error}"))?;
    let valgrind = String::from_utf8_lossy(&valgrind.stdout).trim().to_owned();
    let program = stages::build()?;
    let machine = machine::announce();
    println!("instructions for each record in the steady state, {valgrind}");
    println!(
        "{:<9} {:>8} {:>8} {:>9} {:>11} {:>10} {:>8}",
        "log", "records", "bytes", "decoding", "signatures", "gathering", "whole"
    );
    let mut logs = Vec::new();
    for log in &arguments.only {
        let figures = measure(*log, arguments.bytes, &program)?;
        println!(
            "{:<9} {:>8} {:>8.0} {:>9.0} {:>11.0} {:>10.0} {:>8.0}",
            figures.log,
            figures.records,
            figures.bytes_per_record,
            figures.decoding,
            figures.signatures,
            figures.gathering,
            figures.whole,
        );
        logs.push(figures);
    }
    arguments.destination.write(&machine, &Report { valgrind, logs })
}

fn measure(log: Log, bytes: u64, program: &Path) -> Result<Figures, String> {
    let (directory, manifest) = generated(&format!("{}-counted", log.name()), log.format(), bytes)?;
    let objects: Vec<PathBuf> =
        manifest.objects.iter().map(|object| directory.join(&object.key)).collect();
    // Those that come last are small: they hold what came late.
    let (mut half, mut text) = (0, 0);
    while text < manifest.text_bytes / 2 {
        text += manifest.objects[half].text_bytes;
        half += 1;
    }
    let second = &manifest.objects[half..];
    if text > manifest.text_bytes / 4 * 3 {
        return Err(format!("{bytes} bytes of {} are too few objects: give more", log.name()));
    }
    let records: u64 = second.iter().map(|object| object.records).sum();
    let text_bytes: u64 = second.iter().map(|object| object.text_bytes).sum();
    let mut each = [0.0; STAGES.len()];
    for (each, stage) in each.iter_mut().zip(STAGES) {
        let before = count(program, log, stage, &objects[..half])?;
        let after = count(program, log, stage, &objects)?;
        *each = after.saturating_sub(before) as f64 / records as f64;
    }
    let [decoding, classified, whole] = each;
    Ok(Figures {
        log: log.name(),
        format: log.format(),
        records,
        bytes_per_record: text_bytes as f64 / records as f64,
        decoding,
        signatures: classified - decoding,
        gathering: whole - classified,
        whole,
    })
}

/// Instructions of one stage, with those before it, of these objects.
fn count(program: &Path, log: Log, stage: &str, objects: &[PathBuf]) -> Result<u64, String> {
    let counts = workspace::target().join("bench").join("callgrind.out");
    let output = Process::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=stages::counted*"])
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(program)
        .args([log.format(), "--once", stage])
        .args(objects)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("failed to start Valgrind: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("counting {stage} of {} failed: {said}", log.name()));
    }
    let text = fs::read_to_string(&counts)
        .map_err(|error| format!("failed to read {}: {error}", counts.display()))?;
    total(&text).ok_or_else(|| format!("Valgrind counted nothing of {stage} of {}", log.name()))
}

/// What was counted in all, of the file that Callgrind writes; `None` when that is nothing.
fn total(counts: &str) -> Option<u64> {
    let line = counts.lines().find_map(|line| line.strip_prefix("totals: "))?;
    line.split(' ').next()?.parse().ok().filter(|total| *total > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_its_line_and_nothing_is_no_total() {
        let file = |total| format!("version: 1\nevents: Ir\nfn=(1) a\n7 30\n\ntotals: {total}\n");
        assert_eq!(total(&file("4711")), Some(4711));
        assert_eq!(total(&file("4711 2")), Some(4711));
        assert_eq!(total(&file("0")), None);
        assert_eq!(total("events: Ir\n"), None);
    }
}
