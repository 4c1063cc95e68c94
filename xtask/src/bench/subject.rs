//! What benchmarks have in common: the program that is measured, how often, with how many
//! threads, and where the figures go.

use std::path::PathBuf;

use serde::Serialize;

use super::machine::Machine;
use super::programs::Times;
use crate::firehose;

/// Where figures go beside the terminal.
#[derive(Debug, clap::Args)]
pub(super) struct Destination {
    /// Write the figures to a file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report<'f, F> {
    schema_version: u32,
    machine: &'f Machine,
    #[serde(flatten)]
    figures: &'f F,
}

impl Destination {
    /// Writes figures where they are wanted, with the machine they were taken on.
    pub(super) fn write(&self, machine: &Machine, figures: &impl Serialize) -> Result<(), String> {
        let Some(file) = &self.json else { return Ok(()) };
        firehose::write_json(file, &Report { schema_version: 1, machine, figures })
    }
}

/// The program that is measured, and where its figures go.
#[derive(Debug, clap::Args)]
pub(super) struct Subject {
    /// Measure this program instead of building the workspace's
    #[arg(long, value_name = "PROGRAM")]
    binary: Option<PathBuf>,
    #[command(flatten)]
    pub(super) destination: Destination,
}

impl Subject {
    pub(super) fn program(&self) -> Result<PathBuf, String> {
        self.binary.as_ref().map_or_else(super::build_program, |binary| Ok(binary.clone()))
    }
}

/// The threads of what is measured.
#[derive(Debug, clap::Args)]
pub(super) struct Threads {
    /// Threads of whatever is measured [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    threads: Option<u32>,
}

impl Threads {
    pub(super) fn number(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(cores, |threads| threads as usize)
    }
}

/// How often everything is measured.
#[derive(Debug, clap::Args)]
pub(super) struct Rounds {
    /// Measured rounds, in each of which everything runs once; one more warms up
    #[arg(long = "runs", value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) number: u32,
}

impl Rounds {
    /// Runs each of several things once in every round, and gives what each took: a machine
    /// that slows down slows all of them. The first round only fills the file cache.
    pub(super) fn in_turn<T, R>(
        &self,
        things: &[T],
        mut run: impl FnMut(&T) -> Result<R, String>,
    ) -> Result<Vec<Vec<R>>, String> {
        let mut took: Vec<Vec<R>> = things.iter().map(|_| Vec::new()).collect();
        for round in 0..=self.number {
            for (thing, took) in things.iter().zip(&mut took) {
                let one = run(thing)?;
                if round > 0 {
                    took.push(one);
                }
            }
        }
        Ok(took)
    }

    /// The same of what takes seconds.
    pub(super) fn time<T>(
        &self,
        things: &[T],
        run: impl FnMut(&T) -> Result<f64, String>,
    ) -> Result<Vec<Times>, String> {
        Ok(self.in_turn(things, run)?.into_iter().map(Times::of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_runs_once_a_round_and_the_first_round_does_not_count() {
        let mut order = Vec::new();
        let took = Rounds { number: 2 }
            .in_turn(&["a", "b"], |thing| {
                order.push(*thing);
                Ok(order.len())
            })
            .expect("nothing fails");
        assert_eq!(order, ["a", "b", "a", "b", "a", "b"]);
        assert_eq!(took, [[3, 5], [4, 6]]);
        let failed = Rounds { number: 1 }.time(&[0], |_| Err("gone".to_owned()));
        assert_eq!(failed.err().as_deref(), Some("gone"));
    }
}
