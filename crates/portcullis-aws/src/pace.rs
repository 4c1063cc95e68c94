//! Keeps to one update a second.
//!
//! AWS allows one create, put or update call per second and account and region, and
//! shares it among all tools, the console included. Going slower than the limit costs
//! a second or two a run; going faster costs everybody else their calls.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Least time between two updates. AWS counts at its end, where calls may arrive closer
/// together than they were sent.
///
/// Source: AWS WAF quotas, "Create, Put, Update: 1 per second".
const LEAST: Duration = Duration::from_millis(1_100);

/// A turnstile for updates; clones share it. There is one for each account and region.
#[derive(Debug, Clone)]
pub struct Pace {
    last: Arc<Mutex<Option<Instant>>>,
    least: Duration,
}

impl Default for Pace {
    /// A little more than a second.
    fn default() -> Self {
        Self::of(LEAST)
    }
}

impl Pace {
    /// A turnstile that lets one update through in `least`.
    pub fn of(least: Duration) -> Self {
        Self { last: Arc::default(), least }
    }

    /// Returns when the next update may be sent.
    pub(crate) async fn turn(&self) {
        let mut last = self.last.lock().await;
        if let Some(last) = *last {
            sleep_until(last + self.least).await;
        }
        *last = Some(Instant::now());
    }
}
