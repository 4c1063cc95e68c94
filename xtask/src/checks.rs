//! Runs everything a change must pass, and says at the end what passed.
//!
//! All steps run even when one fails, so that one run shows every problem.

use std::time::{Duration, Instant};

use crate::process::{cargo, debug_program};
use crate::{browser, datasets, day, fuzz, kill_loop, moto, setup, spark, tidy, workspace};

/// `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    /// Try many more cases in each property test, and more faults, kills and prefixes
    #[arg(long)]
    long: bool,
    /// Run only these steps
    #[arg(long, value_enum, value_name = "STEP")]
    only: Vec<Step>,
}

/// One thing to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Step {
    Format,
    Tidy,
    Clippy,
    Tests,
    KillLoop,
    Day,
    Moto,
    Spark,
    Browser,
    Setup,
    Datasets,
    Fuzz,
}

impl Step {
    const ALL: [Self; 12] = [
        Self::Format,
        Self::Tidy,
        Self::Clippy,
        Self::Tests,
        Self::KillLoop,
        Self::Day,
        Self::Moto,
        Self::Spark,
        Self::Browser,
        Self::Setup,
        Self::Datasets,
        Self::Fuzz,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Format => "cargo fmt --all --check",
            Self::Tidy => "tidy: paths, words, rule examples",
            Self::Clippy => "cargo clippy --workspace --all-targets -- -D warnings",
            Self::Tests => "cargo test --workspace",
            Self::KillLoop => "kill loop: the program dies at every step",
            Self::Day => "a short simulated day under enforce",
            Self::Moto => {
                "the program against moto, seen by boto3; exports read by DuckDB and polars"
            }
            Self::Spark => "a scan on Apache Spark finds the same, whatever is killed",
            Self::Browser => "the report in Chromium",
            Self::Setup => "what init writes passes the linters of those who read it",
            Self::Datasets => "datasets are what the generator writes",
            Self::Fuzz => "every fuzz target for some seconds",
        }
    }

    fn run(self, long: bool) -> Result<(), String> {
        match self {
            Self::Format => cargo(&["fmt", "--all", "--check"], &[]),
            Self::Tidy => tidy::check(&workspace::root()),
            Self::Clippy => {
                let lint = ["--", "-D", "warnings"];
                let all = ["clippy", "--quiet", "--workspace", "--all-targets"];
                cargo(&[&all[..], &lint].concat(), &[])?;
                // No member of the workspace: it is linked without Python.
                let module = "crates/portcullis-spark/Cargo.toml";
                cargo(
                    &[&["clippy", "--quiet", "--locked", "--manifest-path", module], &lint[..]]
                        .concat(),
                    &[],
                )
            }
            Self::Tests => {
                cargo(&["test", "--workspace"], &[])?;
                if !long {
                    return Ok(());
                }
                cargo(&["test", "--workspace"], &[("PROPTEST_CASES", LONG_CASES)])?;
                let hostile =
                    ["test", "--release", "--package", "portcullis-ingest", "--test", "hostile"];
                cargo(&hostile, &[("PROPTEST_CASES", LONG_HOSTILE_CASES)])?;
                let safety = [
                    "test",
                    "--release",
                    "--package",
                    "portcullis-remediation",
                    "--test",
                    "safety",
                ];
                cargo(
                    &safety,
                    &[
                        ("PORTCULLIS_FAULT_OPERATIONS", LONG_FAULT_OPERATIONS),
                        ("PORTCULLIS_PREFIX_QUESTIONS", LONG_PREFIX_QUESTIONS),
                    ],
                )
            }
            Self::KillLoop => {
                kill_loop::iterate(if long { LONG_KILL_ITERATIONS } else { KILL_ITERATIONS }, 1)
            }
            Self::Day => day::run(&day::Command::short(debug_program()?)),
            Self::Moto => moto::run(),
            Self::Spark => spark::check_all(long),
            Self::Browser => browser::check(),
            Self::Setup => setup::check(),
            Self::Datasets => datasets::check(&workspace::root().join("datasets")),
            Self::Fuzz => fuzz::all(if long { LONG_FUZZ_SECONDS } else { FUZZ_SECONDS }, &[]),
        }
    }
}

/// Cases per property in a long run; proptest's own default is 256.
const LONG_CASES: &str = "4096";

/// Hostile records that the decoder is tried with in a long run.
const LONG_HOSTILE_CASES: &str = "1000000";

/// Operations in a storm of faults, and questions to the never-block list, in a long run.
const LONG_FAULT_OPERATIONS: &str = "100000";
const LONG_PREFIX_QUESTIONS: &str = "10000000";

/// Runs to kill.
const KILL_ITERATIONS: u32 = 500;
const LONG_KILL_ITERATIONS: u32 = 10_000;

/// Seconds for each fuzz target.
const FUZZ_SECONDS: u32 = 4;
const LONG_FUZZ_SECONDS: u32 = 600;

/// Runs `cargo xtask test`.
pub(crate) fn run(command: &Command) -> Result<(), String> {
    let mut results: Vec<(Step, Result<(), String>, Duration)> = Vec::new();
    for step in Step::ALL {
        if !command.only.is_empty() && !command.only.contains(&step) {
            continue;
        }
        println!("\n== {}", step.title());
        let begun = Instant::now();
        let result = step.run(command.long);
        if let Err(message) = &result {
            println!("{message}");
        }
        results.push((step, result, begun.elapsed()));
    }
    println!();
    for (step, result, time) in &results {
        let verdict = if result.is_ok() { "ok    " } else { "FAILED" };
        println!("{verdict} {:6.1} s  {}", time.as_secs_f64(), step.title());
    }
    if !workspace::root().join(EVALUATION_DATA).is_dir() {
        println!(
            "note: {EVALUATION_DATA} is absent, so the evaluation tests on real logs did not run"
        );
    }
    match results.iter().filter(|(_, result, _)| result.is_err()).count() {
        0 => Ok(()),
        failed => Err(format!("{failed} of {} steps failed", results.len())),
    }
}

/// Where evaluation tests look for logs that cannot be part of the source.
const EVALUATION_DATA: &str = "../shared/data";
