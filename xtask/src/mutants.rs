//! Breaks the code that decides about blocks in small ways, and counts what no test notices.
//!
//! A test that runs a line need not notice when the line is wrong. `cargo mutants` turns a
//! comparison round, empties a function, drops a condition, one at a time, and runs the
//! tests on each. What survives is either a claim that no test makes, or a change that makes
//! no difference. The files that must not be wrong are few, and the score is of them: what
//! is planned, carried out, protected and owned.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::process::cargo;
use crate::workspace;

/// `cargo xtask mutants`.
#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    /// Only each n-th mutant, beginning with the k-th counted from 0
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
    /// Only the mutants of these files of crates/portcullis-remediation/src
    #[arg(long, value_name = "FILE")]
    only: Vec<String>,
    /// Only mutants whose description matches this regular expression
    #[arg(long, value_name = "REGEX")]
    matching: Option<String>,
    /// Show the mutants and run none
    #[arg(long)]
    list: bool,
}

/// What plans, applies, protects and owns, below the sources of the crate.
const FILES: [&str; 6] =
    ["plan.rs", "apply.rs", "apply/session.rs", "apply/settle.rs", "protect.rs", "ledger.rs"];

/// Least share of mutants that the tests notice, in percent.
const LEAST_SCORE: usize = 90;

/// Cases of each property for one mutant. There are hundreds of mutants, and a property
/// that needs more than this to notice one would miss it on most days anyway.
const CASES: &str = "32";

/// Seconds that the tests may take with a mutant; they take a few without.
const PATIENCE: &str = "120";

/// Runs `cargo xtask mutants`.
pub(crate) fn run(command: &Command) -> Result<(), String> {
    let output = workspace::target().join("mutants");
    let output_text = output.to_string_lossy();
    let sources = "crates/portcullis-remediation/src";
    let files: Vec<String> = FILES
        .iter()
        .filter(|file| command.only.is_empty() || command.only.iter().any(|only| only == *file))
        .map(|file| format!("--file={sources}/{file}"))
        .collect();
    if files.is_empty() {
        return Err(format!("no such file; there are {}", FILES.join(", ")));
    }
    let mut arguments = vec!["mutants", "--package", "portcullis-remediation"];
    arguments.extend(files.iter().map(String::as_str));
    arguments.extend(["--output", &output_text, "--timeout", PATIENCE, "--no-shuffle"]);
    if let Some(shard) = &command.shard {
        arguments.extend(["--shard", shard]);
    }
    if let Some(matching) = &command.matching {
        arguments.extend(["--re", matching]);
    }
    if command.list {
        arguments.push("--list");
        return cargo(&arguments, &[]);
    }
    let begun = fs::create_dir_all(&output).and_then(|()| remove_earlier(&output));
    begun.map_err(|error| format!("failed to empty {}: {error}", output.display()))?;
    // It ends with a failure as soon as one mutant survives; the score is judged below.
    let ran = cargo(&arguments, &[("PROPTEST_CASES", CASES)]);
    let report = output.join("mutants.out/outcomes.json");
    let text = fs::read_to_string(&report).map_err(|error| {
        let install = "cargo install cargo-mutants installs what is missing, if it is that";
        format!("{}: {error} ({}); {install}", report.display(), ran.err().unwrap_or_default())
    })?;
    let outcomes: Outcomes = serde_json::from_str(&text)
        .map_err(|error| format!("failed to understand {}: {error}", report.display()))?;
    println!("{}", outcomes.summary());
    outcomes.verdict()
}

/// Takes away what an earlier run reported, so that it is not read for this one's.
fn remove_earlier(output: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(output.join("mutants.out")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What `cargo mutants` reports, as much of it as matters here.
#[derive(Deserialize)]
struct Outcomes {
    /// A test failed.
    caught: usize,
    /// All tests passed.
    missed: usize,
    /// The tests did not end, which whoever runs them notices too.
    timeout: usize,
    /// It is no program any more.
    unviable: usize,
}

impl Outcomes {
    fn noticed(&self) -> usize {
        self.caught + self.timeout
    }

    fn all(&self) -> usize {
        self.noticed() + self.missed
    }

    fn summary(&self) -> String {
        let share = self.noticed() as f64 * 100.0 / self.all().max(1) as f64;
        format!(
            "{} of {} mutants were noticed ({share:.1} %), {} of them because the tests did not \
             end; {} more do not compile",
            self.noticed(),
            self.all(),
            self.timeout,
            self.unviable
        )
    }

    fn verdict(&self) -> Result<(), String> {
        if self.all() == 0 {
            return Err("no mutant was tried".to_owned());
        }
        if self.noticed() * 100 < self.all() * LEAST_SCORE {
            return Err(format!("{} mutants survived; at most 1 in 10 may", self.missed));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(caught: usize, missed: usize, timeout: usize) -> Outcomes {
        Outcomes { caught, missed, timeout, unviable: 3 }
    }

    #[test]
    fn nine_in_ten_must_be_noticed_and_a_hang_is_noticed() {
        assert_eq!(outcomes(88, 10, 2).verdict(), Ok(()));
        assert!(outcomes(89, 11, 0).verdict().is_err());
        assert!(outcomes(0, 0, 0).verdict().is_err());
        assert_eq!(
            outcomes(88, 10, 2).summary(),
            "90 of 100 mutants were noticed (90.0 %), 2 of them because the tests did not end; 3 \
             more do not compile"
        );
    }
}
