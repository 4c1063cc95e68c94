//! The progress bar of long readings, on stderr and only on a terminal.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
pub use portcullis_review::{byte_size as human_bytes, count as human_count};

use crate::location::Input;

/// A reading shorter than this draws nothing: a bar that flashes up only unsettles.
const QUIET_START: Duration = Duration::from_millis(700);

/// Counts what the workers have done and draws it.
pub struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    objects: AtomicU64,
    objects_total: u64,
    requests: AtomicU64,
    rejects: AtomicU64,
}

impl Progress {
    /// Progress over `inputs`; `wanted` is what the command line says.
    pub fn new(inputs: &[Input], wanted: bool) -> Self {
        let plain_terminal = std::env::var_os("TERM").is_some_and(|term| term == "dumb")
            || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let draws = wanted && std::io::stderr().is_terminal() && !plain_terminal;
        Self {
            bar: draws.then(|| bar(inputs)),
            started: Instant::now(),
            objects: AtomicU64::new(0),
            objects_total: inputs.len() as u64,
            requests: AtomicU64::new(0),
            rejects: AtomicU64::new(0),
        }
    }

    /// Stored bytes were read.
    pub fn bytes(&self, bytes: u64) {
        let Some(bar) = &self.bar else { return };
        bar.inc(bytes);
        if bar.is_hidden() && self.started.elapsed() >= QUIET_START {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        }
        bar.set_message(format!(
            "{} of {} objects, {} requests, {} rejected",
            human_count(self.objects.load(Ordering::Relaxed)),
            human_count(self.objects_total),
            human_count(self.requests.load(Ordering::Relaxed)),
            human_count(self.rejects.load(Ordering::Relaxed)),
        ));
    }

    /// Records were read.
    pub fn records(&self, requests: u64, rejects: u64) {
        self.requests.fetch_add(requests, Ordering::Relaxed);
        self.rejects.fetch_add(rejects, Ordering::Relaxed);
    }

    /// An object is done.
    pub fn object(&self) {
        self.objects.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the bar away, so that messages stand alone.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(inputs: &[Input]) -> ProgressBar {
    // With a pipe among the inputs, the whole is unknown.
    let total = inputs.iter().map(|input| input.bytes).sum::<Option<u64>>();
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden()),
            "{wide_bar} {binary_bytes_per_sec}, {eta} left\n{msg}",
        ),
        None => (
            ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
            "{spinner} {binary_bytes} read, {binary_bytes_per_sec}\n{msg}",
        ),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is well formed"))
}
