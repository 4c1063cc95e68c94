//! Says what a measurement was made on, and how much memory a program took.

use std::fmt;
use std::fs;
use std::process::Command as Process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Serialize;

/// The machine and the compiler; `unknown` where the system does not tell.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    processor: String,
    cores: usize,
    memory_bytes: u64,
    system: String,
    compiler: String,
}

impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} ({} cores), {:.0} GB, {}, {}",
            self.processor,
            self.cores,
            self.memory_bytes as f64 / 1e9,
            self.system,
            self.compiler
        )
    }
}

/// Describes this machine, on the terminal too.
pub(super) fn announce() -> Machine {
    let machine = describe();
    println!("{machine}");
    machine
}

fn describe() -> Machine {
    let unknown = || "unknown".to_owned();
    let memory_kilobytes = value_of("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    let compiler = Process::new("rustc").arg("--version").output().ok();
    Machine {
        processor: value_of("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
        cores: thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: memory_kilobytes.unwrap_or(0) * 1_024,
        system: fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(
            |_| std::env::consts::OS.to_owned(),
            |release| format!("{} {}", std::env::consts::OS, release.trim()),
        ),
        compiler: compiler.map_or_else(unknown, |output| {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }),
    }
}

/// The value of the first `key : value` line with this key.
fn value_of(file: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.trim() == key)
        .map(|(_, value)| value.trim().to_owned())
}

/// Watches the memory of a running process.
pub(super) struct MemoryWatch {
    ended: Arc<AtomicBool>,
    watcher: JoinHandle<Option<u64>>,
}

/// Begins to watch; the kernel keeps the peak, so looking now and then is enough.
pub(super) fn watch_memory(process: u32) -> MemoryWatch {
    let ended = Arc::new(AtomicBool::new(false));
    let watcher = thread::spawn({
        let ended = Arc::clone(&ended);
        move || {
            let file = format!("/proc/{process}/status");
            let mut peak = None;
            while !ended.load(Ordering::Relaxed) {
                let kilobytes = value_of(&file, "VmHWM")
                    .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
                peak = peak.max(kilobytes.map(|kilobytes| kilobytes * 1_024));
                thread::sleep(Duration::from_millis(20));
            }
            peak
        }
    });
    MemoryWatch { ended, watcher }
}

impl MemoryWatch {
    /// Highest resident memory in bytes; `None` where the system does not tell.
    pub(super) fn finish(self) -> Option<u64> {
        self.ended.store(true, Ordering::Relaxed);
        self.watcher.join().expect("the watcher does not panic")
    }
}
