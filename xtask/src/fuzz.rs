//! Fuzzes every parser with libFuzzer.
//!
//! `cargo fuzz` wants a nightly toolchain for its sanitizers; coverage needs none. So
//! the targets of `fuzz/` are built here with coverage instrumentation, debug
//! assertions and overflow checks, and run one after another. A crash, a hang of ten
//! seconds or 2 GiB of memory fails the run and leaves the input behind.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use flate2::read::MultiGzDecoder;

use crate::workspace;

/// `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    /// Seconds for each target
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// Run only these targets
    #[arg(long, value_name = "TARGET")]
    only: Vec<String>,
}

const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing";

/// Bytes of a dataset's object that a decoder's target starts from.
const SEED_BYTES: u64 = 3_000;

/// Runs `cargo xtask fuzz`.
pub(crate) fn run(command: &Command) -> Result<(), String> {
    all(command.seconds, &command.only)
}

/// Runs the targets for some seconds each.
pub(crate) fn all(seconds: u32, only: &[String]) -> Result<(), String> {
    let home = workspace::target().join("fuzz");
    let programs = build(&home)?;
    println!("{:<20} {:>12} {:>9}", "target", "executions", "coverage");
    for target in targets()? {
        if only.is_empty() || only.contains(&target) {
            run_target(&home, &programs.join(&target), &target, seconds)?;
        }
    }
    Ok(())
}

/// Names of the targets: the files beside `common.rs`.
fn targets() -> Result<Vec<String>, String> {
    let folder = workspace::root().join("fuzz/targets");
    let entries = fs::read_dir(&folder)
        .map_err(|error| format!("failed to list {}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .filter(|name| name != "common")
        .collect();
    names.sort();
    Ok(names)
}

/// Builds the targets; where their programs are.
fn build(home: &Path) -> Result<PathBuf, String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // A target of its own keeps the flags away from build scripts and macros.
    let host = "x86_64-unknown-linux-gnu";
    let status = Process::new(program)
        .args(["build", "--quiet", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml"])
        .args(["--target", host])
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_TARGET_DIR", home)
        .current_dir(workspace::root())
        .status()
        .map_err(|error| format!("failed to start cargo: {error}"))?;
    if !status.success() {
        return Err(format!("failed to build the fuzz targets: cargo ended with {status}"));
    }
    Ok(home.join(host).join("release"))
}

fn run_target(home: &Path, program: &Path, target: &str, seconds: u32) -> Result<(), String> {
    let corpus = home.join("corpus").join(target);
    let artifacts = home.join("artifacts");
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder)
            .map_err(|error| format!("failed to create {}: {error}", folder.display()))?;
    }
    if let Some(seed) = seed(target) {
        fs::write(corpus.join("seed"), seed)
            .map_err(|error| format!("failed to write a seed of {target}: {error}"))?;
    }
    let output = Process::new(program)
        .arg(format!("-max_total_time={seconds}"))
        .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .arg(format!("-artifact_prefix={}/{target}-", artifacts.display()))
        .arg(&corpus)
        .output()
        .map_err(|error| format!("failed to start {}: {error}", program.display()))?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let tail: Vec<&str> = log.lines().rev().take(40).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        return Err(format!("{target} failed:\n{}", tail.join("\n")));
    }
    let word_after = |mark: &str| {
        let at = log.rfind(mark)? + mark.len();
        log[at..].split_whitespace().next()
    };
    let executions = word_after("stat::number_of_executed_units:").unwrap_or("?");
    let coverage = word_after("cov: ").unwrap_or("?");
    println!("{target:<20} {executions:>12} {coverage:>9}");
    Ok(())
}

/// The beginning of a dataset's first object, for the decoders.
fn seed(target: &str) -> Option<Vec<u8>> {
    let format = match target.strip_prefix("decode_")? {
        "recommended" => "firehose/recommended".to_owned(),
        "combined" => "combined".to_owned(),
        shape => format!("firehose/apigw-rest-{shape}"),
    };
    let object = first_file(&workspace::root().join("datasets").join(format))?;
    let mut text = Vec::new();
    let file = fs::File::open(object).ok()?;
    MultiGzDecoder::new(file).take(SEED_BYTES).read_to_end(&mut text).ok()?;
    Some(text)
}

fn first_file(folder: &Path) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    entries.into_iter().find_map(|path| if path.is_dir() { first_file(&path) } else { Some(path) })
}
