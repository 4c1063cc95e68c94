//! Measures a whole scan against the least any reader of these objects must do.
//!
//! Log objects are compressed, so no scan is faster than gunzip. The figure that
//! matters is therefore the time of `portcullis scan` divided by the time of
//! gunzip alone, on the same objects with the same threads. Runs are interleaved,
//! so that a machine that slows down slows all of them, and medians are compared.
//! Nothing here asserts a time.

mod adversarial;
mod bucket;
mod decode;
mod detection;
mod gunzip;
mod machine;
mod memory;
mod peers;
mod processor;
mod programs;
mod rules;
mod spark;
mod stages;
mod start;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use clap::Parser as _;
use programs::Times;
use serde::Serialize;

use crate::firehose::{self, Manifest, Options};
use crate::workspace;

/// `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Measure a bucket of many small objects: calls, time, memory
    Bucket(bucket::Arguments),
    /// Time `portcullis scan` against gunzip alone
    Scan(ScanArguments),
    /// Time decoding alone against gunzip and `serde_json`
    Decode(decode::Arguments),
    /// Measure what is found and what is flagged wrongly, where the evaluation data is
    Detection(detection::Arguments),
    /// Measure what text made to waste time costs beside honest text
    Adversarial(adversarial::Arguments),
    /// Time the stages of a scan: unpacking, decoding, classifying, gathering
    Classify(stages::Arguments),
    /// Measure what is kept of each client, and the bound on it
    Memory(memory::Arguments),
    /// Time other programs on the same log, those that are installed
    Peers(peers::Arguments),
    /// Time scans with few rules and with many
    Rules(rules::Arguments),
    /// Time a scan in the program, through Python, and in Spark on one core
    Spark(spark::Arguments),
    /// Time what passes before the first record is read
    Start(start::Arguments),
}

#[derive(Debug, clap::Args)]
struct ScanArguments {
    /// Text of each log to generate
    #[arg(long, value_name = "N", default_value_t = 1_000_000_000)]
    bytes: u64,
    /// Measured runs of each program; one more warms up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Threads for gunzip and for the scan [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    threads: Option<u32>,
    /// Measure only these logs
    #[arg(long, value_enum)]
    only: Vec<Log>,
    #[command(flatten)]
    subject: Subject,
}

/// The program that is measured, and where its figures go.
#[derive(Debug, clap::Args)]
struct Subject {
    /// Measure this program instead of building the workspace's
    #[arg(long, value_name = "PROGRAM")]
    binary: Option<PathBuf>,
    /// Write the figures to a file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Subject {
    fn program(&self) -> Result<PathBuf, String> {
        self.binary.as_ref().map_or_else(build, |binary| Ok(binary.clone()))
    }
}

/// A log to measure with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Log {
    Json,
    Clf,
}

impl Log {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Clf => "clf",
        }
    }

    /// The console's CLF shows neither path nor agent; this one shows what rules look at.
    fn format(self) -> &'static str {
        match self {
            Self::Json => "recommended",
            Self::Clf => {
                r#"$context.identity.sourceIp - $context.authorizer.principalId [$context.requestTime] "$context.httpMethod $context.path $context.protocol" $context.status $context.responseLength $context.responseLatency "$context.identity.userAgent" $context.requestId $context.extendedRequestId"#
            }
        }
    }
}

/// Runs `cargo xtask bench`.
pub(crate) fn run(command: &Command) -> Result<(), String> {
    match &command.what {
        What::Bucket(arguments) => bucket::run(arguments),
        What::Scan(arguments) => scan(arguments),
        What::Decode(arguments) => decode::run(arguments),
        What::Detection(arguments) => detection::run(arguments),
        What::Adversarial(arguments) => adversarial::run(arguments),
        What::Classify(arguments) => stages::run(arguments),
        What::Memory(arguments) => memory::run(arguments),
        What::Peers(arguments) => peers::run(arguments),
        What::Rules(arguments) => rules::run(arguments),
        What::Spark(arguments) => spark::run(arguments),
        What::Start(arguments) => start::run(arguments),
    }
}

/// Everything measured, as `--json` writes it. Times are seconds.
#[derive(Debug, Serialize)]
struct Figures {
    schema_version: u32,
    machine: machine::Machine,
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
    libdeflate: Times,
    zlib_rs: Times,
    scan: Times,
    scan_to_libdeflate: f64,
    scan_to_zlib_rs: f64,
    /// Highest resident memory of the scan; absent where the system does not tell.
    scan_peak_bytes: Option<u64>,
}

fn scan(arguments: &ScanArguments) -> Result<(), String> {
    let binary = arguments.subject.program()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.map_or(cores, |threads| threads as usize);
    let machine = machine::describe();
    println!("{machine}");
    let mut logs = Vec::new();
    for log in [Log::Json, Log::Clf] {
        if arguments.only.is_empty() || arguments.only.contains(&log) {
            let (directory, manifest) = generated(log.name(), log.format(), arguments.bytes)?;
            let figures = measure(log, &directory, &manifest, &binary, threads, arguments.runs)?;
            print(&figures, threads, arguments.runs);
            logs.push(figures);
        }
    }
    if let Some(file) = &arguments.subject.json {
        firehose::write_json(file, &Figures { schema_version: 1, machine, threads, logs })?;
    }
    Ok(())
}

/// Builds something of the workspace for release.
fn cargo_build(what: &[&str]) -> Result<(), String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Process::new(program)
        .args(["build", "--release"])
        .args(what)
        .current_dir(workspace::root())
        .status()
        .map_err(|error| format!("failed to start cargo: {error}"))?;
    if !status.success() {
        return Err(format!("failed to build {}: cargo ended with {status}", what.join(" ")));
    }
    Ok(())
}

fn build() -> Result<PathBuf, String> {
    cargo_build(&["--package", "portcullis"])?;
    Ok(workspace::target()
        .join("release")
        .join(format!("portcullis{}", std::env::consts::EXE_SUFFIX)))
}

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// The objects to measure with; generated once for each recipe and generator.
fn generated(name: &str, format: &str, bytes: u64) -> Result<(PathBuf, Manifest), String> {
    let bytes = bytes.to_string();
    let line = ["bench", "--format", format, "--target-bytes", &bytes].into_iter().chain([
        "--seed",
        "77",
        "--hours",
        "6",
        "--scale",
        "60",
        "--buffer-mb",
        "16",
    ]);
    let options = Line::try_parse_from(line)
        .map_err(|error| format!("failed to read the benchmark's own arguments: {error}"))?
        .options;
    let recipe = firehose::fingerprint(&options)?;
    let home = workspace::target().join("bench").join(name);
    let directory = home.join(&recipe[..16]);
    let manifest_file = directory.join("MANIFEST.json");
    if let Ok(text) = fs::read(&manifest_file) {
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| format!("failed to read {}: {error}", manifest_file.display()))?;
        return Ok((directory.join("objects"), manifest));
    }
    // Another recipe's gigabytes, or a generation that was interrupted.
    if home.exists() {
        fs::remove_dir_all(&home)
            .map_err(|error| format!("failed to remove {}: {error}", home.display()))?;
    }
    println!("generating {bytes} bytes of {name} text in {}", directory.display());
    let objects = directory.join("objects");
    let (manifest, truth) = firehose::generate(&options, &objects)?;
    firehose::write_json(&directory.join("truth.json"), &truth)?;
    firehose::write_json(&manifest_file, &manifest)?;
    Ok((objects, manifest))
}

fn measure(
    log: Log,
    directory: &Path,
    manifest: &Manifest,
    binary: &Path,
    threads: usize,
    runs: u32,
) -> Result<LogFigures, String> {
    let objects: Vec<PathBuf> =
        manifest.objects.iter().map(|object| directory.join(&object.key)).collect();
    let (mut libdeflate, mut zlib_rs, mut scan) = (Vec::new(), Vec::new(), Vec::new());
    let mut peak = None;
    for run in 0..=runs {
        let fast =
            gunzip::time(&objects, threads, gunzip::Library::Libdeflate, manifest.text_bytes)?;
        let pure = gunzip::time(&objects, threads, gunzip::Library::ZlibRs, manifest.text_bytes)?;
        let (whole, memory) = time_scan(log, directory, binary, threads)?;
        peak = peak.max(memory);
        // The first round only fills the file cache and warms the processor.
        if run > 0 {
            libdeflate.push(fast);
            zlib_rs.push(pure);
            scan.push(whole);
        }
    }
    warn_about_lost_records(&findings_file(log), manifest);
    let (libdeflate, zlib_rs, scan) = (Times::of(libdeflate), Times::of(zlib_rs), Times::of(scan));
    Ok(LogFigures {
        log: log.name(),
        format: log.format(),
        objects: objects.len(),
        records: manifest.records,
        text_bytes: manifest.text_bytes,
        stored_bytes: manifest.bytes,
        scan_to_libdeflate: scan.median / libdeflate.median,
        scan_to_zlib_rs: scan.median / zlib_rs.median,
        libdeflate,
        zlib_rs,
        scan,
        scan_peak_bytes: peak,
    })
}

fn findings_file(log: Log) -> PathBuf {
    workspace::target().join("bench").join(format!("{}-findings.json", log.name()))
}

/// One whole scan: seconds and peak memory.
fn time_scan(
    log: Log,
    directory: &Path,
    binary: &Path,
    threads: usize,
) -> Result<(f64, Option<u64>), String> {
    let run = programs::scan(
        Process::new(binary).arg("scan").arg(directory).args([
            "--format",
            log.format(),
            "--quiet",
            "--output",
            "json",
            "--threads",
            &threads.to_string(),
        ]),
        &findings_file(log),
    )?;
    Ok((run.seconds, run.peak_bytes))
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

fn print(figures: &LogFigures, threads: usize, runs: u32) {
    println!(
        "\n{}: {:.1} MB of text in {} objects of {:.1} MB, {} records; {threads} threads, median of {runs}",
        figures.log,
        figures.text_bytes as f64 / 1e6,
        figures.objects,
        figures.stored_bytes as f64 / 1e6,
        figures.records,
    );
    for (name, times) in [
        ("gunzip, libdeflate", &figures.libdeflate),
        ("gunzip, zlib-rs", &figures.zlib_rs),
        ("portcullis scan", &figures.scan),
    ] {
        println!(
            "  {name:<20} {:7.3} s  ({:.3} to {:.3})  {:7.0} MB/s of text",
            times.median,
            times.fastest,
            times.slowest,
            figures.text_bytes as f64 / 1e6 / times.median,
        );
    }
    println!(
        "  scan / gunzip: {:.2} with libdeflate, {:.2} with zlib-rs",
        figures.scan_to_libdeflate, figures.scan_to_zlib_rs
    );
    if let Some(peak) = figures.scan_peak_bytes {
        println!("  peak memory of the scan: {:.0} MB", peak as f64 / 1e6);
    }
}
