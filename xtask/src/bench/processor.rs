//! The processor's time, of this process and of those it began that have ended.
//!
//! What a core can do is not what the clock on the wall says where others want the machine,
//! or where a second core unpacks ahead.

use std::fs;

/// Ticks of the kernel's accounting in a second; the same on every architecture.
const TICKS: f64 = 100.0;

/// Seconds so far, of all threads, in user and in kernel mode.
pub(super) fn seconds() -> Result<f64, String> {
    let failed = |error: &dyn std::fmt::Display| format!("failed to read processor time: {error}");
    let line = fs::read_to_string("/proc/self/stat").map_err(|error| failed(&error))?;
    // The name of the program stands in brackets, and may hold blanks.
    let behind = line.rsplit_once(')').map_or("", |(_, behind)| behind);
    let ticks = behind.split_whitespace().skip(11).take(4).map(str::parse::<f64>);
    let ticks: Vec<f64> = ticks.collect::<Result<_, _>>().map_err(|error| failed(&error))?;
    if ticks.len() == 4 { Ok(ticks.iter().sum::<f64>() / TICKS) } else { Err(failed(&line)) }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    #[test]
    fn work_counts_and_sleep_does_not() {
        let before = super::seconds().expect("Linux tells");
        std::thread::sleep(Duration::from_millis(300));
        let slept = super::seconds().expect("Linux tells");
        assert!(slept - before < 0.2, "{before} {slept}");
        let begun = Instant::now();
        while super::seconds().expect("Linux tells") - slept < 0.1 {
            assert!(begun.elapsed() < Duration::from_mins(1), "no work was counted");
        }
    }
}
