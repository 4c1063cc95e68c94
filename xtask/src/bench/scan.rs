//! Measures a whole scan against the least any reader of these objects must do.
//!
//! Log objects are compressed, so no scan is faster than gunzip. The figure that matters is
//! therefore the time of `portcullis scan` divided by the time of gunzip alone, on the same
//! objects with the same threads. Gunzip is measured three ways. libdeflate in this process
//! is the strictest: it keeps no text and has its memory already. zlib-rs streams, as a
//! reader must that cannot hold an object. The program `libdeflate-gzip` is what an operator
//! would run instead; it starts for each object, asks for memory, and writes all text to a
//! place that discards it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use serde::Serialize;

use super::programs::{self, Times};
use super::subject::{Rounds, Subject, Threads};
use super::{Log, generated, gunzip, machine};
use crate::firehose::Manifest;
use crate::workspace;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Text of each log to generate
    #[arg(long, value_name = "N", default_value_t = 2_000_000_000)]
    bytes: u64,
    /// Measure only these logs
    #[arg(long, value_enum, default_values_t = [Log::Json, Log::Clf, Log::Waf])]
    only: Vec<Log>,
    #[command(flatten)]
    rounds: Rounds,
    #[command(flatten)]
    threads: Threads,
    #[command(flatten)]
    subject: Subject,
}

/// Everything measured, as `--json` writes it. Times are seconds.
#[derive(Debug, Serialize)]
struct Figures {
    threads: usize,
    logs: Vec<LogFigures>,
}

#[derive(Debug, Serialize)]
struct LogFigures {
    log: &'static str,
    format: &'static str,
    objects: usize,
    records: u64,
    text_bytes: u64,
    stored_bytes: u64,
    scan: Times,
    gunzip: Vec<Gunzip>,
    /// Highest resident memory of the scan; absent where the system does not tell.
    scan_peak_bytes: Option<u64>,
}

/// Unpacking alone.
#[derive(Debug, Serialize)]
struct Gunzip {
    by: &'static str,
    times: Times,
    /// The median of the scan divided by its own: the lower, the nearer to the limit.
    scan_ratio: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Scan,
    Libdeflate,
    ZlibRs,
    LibdeflateGzip,
}

impl Reader {
    fn name(self) -> &'static str {
        match self {
            Self::Scan => "portcullis scan",
            Self::Libdeflate => "libdeflate in one process",
            Self::ZlibRs => "zlib-rs in one process",
            Self::LibdeflateGzip => "program libdeflate-gzip",
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), String> {
    let binary = arguments.subject.program()?;
    let threads = arguments.threads.number();
    let machine = machine::announce();
    let mut readers = vec![Reader::Scan, Reader::Libdeflate, Reader::ZlibRs];
    if programs::is_installed("command -v libdeflate-gzip && command -v xargs") {
        readers.push(Reader::LibdeflateGzip);
    } else {
        println!("libdeflate-gzip is not installed (or xargs is not), so it is not measured");
    }
    let mut logs = Vec::new();
    for log in &arguments.only {
        let (directory, manifest) = generated(log.name(), log.format(), arguments.bytes)?;
        let figures =
            measure(*log, &directory, &manifest, &binary, threads, &arguments.rounds, &readers)?;
        print(&figures, threads, arguments.rounds.number);
        logs.push(figures);
    }
    arguments.subject.destination.write(&machine, &Figures { threads, logs })
}

fn measure(
    log: Log,
    directory: &Path,
    manifest: &Manifest,
    binary: &Path,
    threads: usize,
    rounds: &Rounds,
    readers: &[Reader],
) -> Result<LogFigures, String> {
    let objects: Vec<PathBuf> =
        manifest.objects.iter().map(|object| directory.join(&object.key)).collect();
    let findings = workspace::target().join("bench").join(format!("{}-findings.json", log.name()));
    let mut peak = None;
    let unpack = |library| gunzip::time(&objects, threads, library, manifest.text_bytes);
    let times = rounds.time(readers, |reader| match reader {
        Reader::Libdeflate => unpack(gunzip::Library::Libdeflate),
        Reader::ZlibRs => unpack(gunzip::Library::ZlibRs),
        Reader::LibdeflateGzip => gunzip::time_program(&objects, threads),
        Reader::Scan => {
            let mut process = Process::new(binary);
            process.arg("scan").arg(directory).args(["--format", log.format(), "--quiet"]);
            process.args(["--output", "json", "--threads", &threads.to_string()]);
            let run = programs::scan(&mut process, &findings)?;
            peak = peak.max(run.peak_bytes);
            Ok(run.seconds)
        }
    })?;
    warn_about_lost_records(&findings, manifest);
    let mut times = readers.iter().zip(times);
    let (_, scan) = times.next().expect("the scan is the first reader");
    let gunzip = times.map(|(reader, times)| Gunzip {
        by: reader.name(),
        scan_ratio: scan.median / times.median,
        times,
    });
    Ok(LogFigures {
        log: log.name(),
        format: log.format(),
        objects: objects.len(),
        records: manifest.records,
        text_bytes: manifest.text_bytes,
        stored_bytes: manifest.bytes,
        gunzip: gunzip.collect(),
        scan,
        scan_peak_bytes: peak,
    })
}

/// A fast scan that skips records is no fast scan.
fn warn_about_lost_records(findings: &Path, manifest: &Manifest) {
    let records = fs::read(findings)
        .ok()
        .and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok())
        .and_then(|value| value["coverage"]["records"].as_u64());
    if records != Some(manifest.records) {
        let read = records.map_or_else(|| "unknown".to_owned(), |records| records.to_string());
        eprintln!("warning: {} records were delivered, records read: {read}", manifest.records);
    }
}

fn print(figures: &LogFigures, threads: usize, rounds: u32) {
    println!(
        "\n{}: {:.1} MB of text, {} records, stored as {:.1} MB in {} objects; {threads} threads, median of {rounds}",
        figures.log,
        figures.text_bytes as f64 / 1e6,
        figures.records,
        figures.stored_bytes as f64 / 1e6,
        figures.objects,
    );
    let print = |name: &str, times: &Times, ratio: &str| {
        println!(
            "  {name:<26} {:7.3} s  ({:.3} to {:.3})  {:7.0} MB/s of text{ratio}",
            times.median,
            times.fastest,
            times.slowest,
            figures.text_bytes as f64 / 1e6 / times.median,
        );
    };
    print(Reader::Scan.name(), &figures.scan, "");
    for gunzip in &figures.gunzip {
        print(gunzip.by, &gunzip.times, &format!("  scan ÷ it: {:5.2}", gunzip.scan_ratio));
    }
    if let Some(peak) = figures.scan_peak_bytes {
        println!("  peak memory of the scan: {:.0} MB", peak as f64 / 1e6);
    }
}
