//! The processor's time, of this process and of those it began that have ended.
//!
//! What a core can do is not what the clock on the wall says where others want the machine,
//! or where a second core unpacks ahead.

use std::fs;

use serde::Serialize;

/// Ticks of the kernel's accounting in a second; the same on every architecture.
const TICKS: f64 = 100.0;

/// Seconds that something took.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Took {
    pub(super) clock: f64,
    pub(super) processor: f64,
}

/// What a run in this process, or of a program that it waits for, took. The run tells its
/// seconds on the clock.
pub(super) fn timed(run: impl FnOnce() -> Result<f64, String>) -> Result<Took, String> {
    let before = seconds()?;
    let clock = run()?;
    Ok(Took { clock, processor: seconds()? - before })
}

/// Seconds so far, of all threads, in user and in kernel mode.
fn seconds() -> Result<f64, String> {
    let line = fs::read_to_string("/proc/self/stat")
        .map_err(|error| format!("failed to read processor time: {error}"))?;
    told(&line).ok_or_else(|| format!("failed to read processor time in `{}`", line.trim_end()))
}

/// The fields `utime`, `stime`, `cutime` and `cstime`, in seconds.
fn told(line: &str) -> Option<f64> {
    // The name of the program stands in brackets, and may hold blanks and brackets.
    let (_, behind) = line.rsplit_once(')')?;
    let ticks = behind.split_whitespace().skip(11).take(4).map(str::parse::<f64>);
    let ticks: Vec<f64> = ticks.collect::<Result<_, _>>().ok()?;
    (ticks.len() == 4).then(|| ticks.iter().sum::<f64>() / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_and_childrens_ticks_are_seconds_whatever_the_program_is_called() {
        let line = "7 (a) b) S 1 7 7 0 -1 4194560 90 80 0 0 100 20 3000 400 20 0 2 0 99 1 1";
        assert_eq!(told(line).map(f64::to_bits), Some(35.2_f64.to_bits()));
        assert_eq!(told("7 (a) S 1 7 7"), None);
        assert_eq!(told("nonsense"), None);
    }

    #[test]
    fn this_machine_tells() {
        assert!(seconds().expect("Linux tells") >= 0.0);
    }
}
