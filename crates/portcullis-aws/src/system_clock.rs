//! The time of this machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_ingest::Timestamp;
use portcullis_remediation::Clock;

/// The machine's clock; it waits without holding up other tasks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// A clock before 1970 counts as 1970 and one after 9999 as its end: blocks made by
    /// it end at once or are refused as too old, and neither lasts for ever.
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let epoch_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_epoch_ms(epoch_ms).unwrap_or(Timestamp::MAX)
    }

    async fn wait(&self, milliseconds: u64) {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
}
