//! When to stop taking up work: at a deadline, or when somebody asks for it.
//!
//! Whoever stops a service sends SIGTERM and waits for a while; whoever runs in a function
//! with a limit is killed at it. Both must find a run that has saved what it read. So work
//! is taken up object by object, and before each one this is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// When to stop.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    reading_ends: Option<Instant>,
    asked: Arc<AtomicBool>,
}

impl Stop {
    /// Stops reading so that what was read can be saved and decided on before `deadline`
    /// milliseconds are over: a quarter of the time is left for that.
    #[must_use]
    pub fn within(self, deadline: Option<i64>) -> Self {
        let time = deadline.and_then(|deadline| u64::try_from(deadline).ok());
        let reading = time.map(|time| Duration::from_millis(time / 4 * 3));
        let ends = reading.and_then(|reading| Instant::now().checked_add(reading));
        Self { reading_ends: ends, ..self }
    }

    /// Stops when the process is told to end: SIGTERM or SIGINT where there are signals,
    /// Ctrl-C elsewhere. A second signal ends it at once.
    pub fn on_signals() -> std::io::Result<Self> {
        let stop = Self::default();
        let asked = Arc::clone(&stop.asked);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("signals".to_owned());
        let (ready, is_ready) = std::sync::mpsc::channel();
        thread.spawn(move || {
            let first = || ready.send(()).is_ok();
            let _ = runtime.block_on(told_to_end(first));
            asked.store(true, Ordering::Relaxed);
            let _ = runtime.block_on(told_to_end(|| true));
            std::process::exit(130);
        })?;
        // A signal that comes before anybody listens ends the process as ever.
        let _ = is_ready.recv();
        Ok(stop)
    }

    /// Whether nothing more is to be taken up.
    pub fn is_due(&self) -> bool {
        self.is_asked() || self.reading_ends.is_some_and(|end| Instant::now() >= end)
    }

    /// Whether somebody wants the process to end.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

#[cfg(unix)]
async fn told_to_end(ready: impl FnOnce() -> bool) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    ready();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn told_to_end(ready: impl FnOnce() -> bool) -> std::io::Result<()> {
    ready();
    tokio::signal::ctrl_c().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_ends_when_three_quarters_of_the_time_are_over() {
        assert!(!Stop::default().is_due());
        assert!(!Stop::default().within(Some(60_000)).is_due());
        let stop = Stop::default().within(Some(4));
        std::thread::sleep(Duration::from_millis(3));
        assert!(stop.is_due());
        assert!(!stop.is_asked());
    }
}
