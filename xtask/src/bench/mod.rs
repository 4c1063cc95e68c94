//! Measures speed, memory and what detection finds.
//!
//! What is compared runs in turn, round by round, so that a machine that slows down slows
//! all of it; medians are compared. Logs are generated once and kept below the target
//! directory. Nothing here asserts a time, unless a limit is asked for.

mod adversarial;
mod bucket;
mod build;
mod decode;
mod detection;
mod examples;
mod gunzip;
mod instructions;
mod machine;
mod memory;
mod peers;
mod processor;
mod programs;
mod rules;
mod scan;
mod spark;
mod stages;
mod start;
mod subject;

use std::fs;
use std::path::PathBuf;
use std::process::Command as Process;

use clap::Parser as _;

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
    /// Time building, and say how large the program is; clean builds take long
    Build(build::Arguments),
    /// Time `portcullis scan` against gunzip alone
    Scan(scan::Arguments),
    /// Time decoding alone against gunzip and `serde_json`
    Decode(decode::Arguments),
    /// Measure what is found and what is flagged wrongly, where the evaluation data is
    Detection(detection::Arguments),
    /// Measure what text made to waste time costs beside honest text
    Adversarial(adversarial::Arguments),
    /// Time the stages of a scan: unpacking, decoding, classifying, gathering
    Classify(stages::Arguments),
    /// Count the instructions of the stages with Valgrind, where it is installed
    Instructions(instructions::Arguments),
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

/// A log to measure with.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Log {
    /// The recommended format, JSON by template
    Json,
    /// An access-log format with path and agent
    Clf,
    /// Apache's and nginx's lines
    Combined,
    /// AWS WAF's own log
    Waf,
}

impl Log {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Clf => "clf",
            Self::Combined => "combined",
            Self::Waf => "waf",
        }
    }

    /// What the generator and the program call it, or its template.
    ///
    /// The console's CLF shows neither path nor agent; this one shows what rules look at.
    fn format(self) -> &'static str {
        match self {
            Self::Json => "recommended",
            Self::Combined => "combined",
            Self::Waf => "aws-waf",
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
        What::Build(arguments) => build::run(arguments),
        What::Scan(arguments) => scan::run(arguments),
        What::Decode(arguments) => decode::run(arguments),
        What::Detection(arguments) => detection::run(arguments),
        What::Adversarial(arguments) => adversarial::run(arguments),
        What::Classify(arguments) => stages::run(arguments),
        What::Instructions(arguments) => instructions::run(arguments),
        What::Memory(arguments) => memory::run(arguments),
        What::Peers(arguments) => peers::run(arguments),
        What::Rules(arguments) => rules::run(arguments),
        What::Spark(arguments) => spark::run(arguments),
        What::Start(arguments) => start::run(arguments),
    }
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

fn build_program() -> Result<PathBuf, String> {
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
