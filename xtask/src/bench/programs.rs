//! Runs a program and measures it; says what many runs took.

use std::fs::File;
use std::path::Path;
use std::process::{Command as Process, ExitStatus, Stdio};
use std::time::Instant;

use serde::Serialize;

use super::machine;

/// One run of a program.
pub(super) struct Run {
    pub(super) seconds: f64,
    /// Highest resident memory; `None` where the system does not tell.
    pub(super) peak_bytes: Option<u64>,
    pub(super) status: ExitStatus,
}

/// Runs a program whose output goes to a file.
pub(super) fn run(process: &mut Process, output: &Path) -> Result<Run, String> {
    let name = process.get_program().to_string_lossy().into_owned();
    let file = File::create(output)
        .map_err(|error| format!("failed to write {}: {error}", output.display()))?;
    let begun = Instant::now();
    let mut child = process
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| format!("failed to start {name}: {error}"))?;
    let memory = machine::watch_memory(child.id());
    let status = child.wait().map_err(|error| format!("failed to wait for {name}: {error}"))?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Run { seconds, peak_bytes: memory.finish(), status })
}

/// Runs `portcullis scan` so that its findings go to a file. An exit code of 3 says that
/// some input was not covered, and is no failure.
pub(super) fn scan(process: &mut Process, findings: &Path) -> Result<Run, String> {
    let run = run(process, findings)?;
    if !matches!(run.status.code(), Some(0 | 3)) {
        return Err(format!("the scan ended with {}", run.status));
    }
    Ok(run)
}

/// Whether a shell can do this, and so finds what a measurement needs.
pub(super) fn is_installed(needs: &str) -> bool {
    let mut shell = Process::new("sh");
    shell.args(["-c", needs]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.status().is_ok_and(|status| status.success())
}

/// The runs of one program, in seconds.
#[derive(Debug, Serialize)]
pub(super) struct Times {
    pub(super) median: f64,
    pub(super) fastest: f64,
    pub(super) slowest: f64,
}

impl Times {
    pub(super) fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_unstable_by(f64::total_cmp);
        Self {
            median: seconds[seconds.len() / 2],
            fastest: seconds[0],
            slowest: seconds[seconds.len() - 1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_however_runs_come() {
        let times = Times::of(vec![5.0, 1.0, 9.0, 2.0, 3.0]);
        assert_eq!(
            [times.median, times.fastest, times.slowest].map(f64::to_bits),
            [3.0, 1.0, 9.0].map(f64::to_bits)
        );
    }
}
