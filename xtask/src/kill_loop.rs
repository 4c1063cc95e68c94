//! Kills the program at every step of changing sets, as often as is wanted.

use crate::process::cargo;

/// `cargo xtask kill-loop`.
#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    /// Runs to kill and to recover from
    #[arg(long, value_name = "N", default_value_t = 500)]
    iterations: u32,
    /// Same seed, same plans, edits and steps; the moments of signals differ
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs `cargo xtask kill-loop`.
pub(crate) fn run(command: &Command) -> Result<(), String> {
    iterate(command.iterations, command.seed)
}

/// Kills and recovers so many times; fails at the first violated invariant.
pub(crate) fn iterate(iterations: u32, seed: u64) -> Result<(), String> {
    let (iterations, seed) = (iterations.to_string(), seed.to_string());
    cargo(
        &["test", "--workspace", "--test", "e2e", "kill_loop::", "--", "--nocapture"],
        &[("PORTCULLIS_KILL_LOOP", &iterations), ("PORTCULLIS_SEED", &seed)],
    )
}
