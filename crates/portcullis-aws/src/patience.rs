//! How often a call is made, and how long to wait before it is made again.
//!
//! A service that throttles is well, and says so three times in ten on a bad day; a call
//! that gives up at the third refusal then fails one time in forty, and work of twenty
//! calls one time in two. So all calls are patient in the same way: longer each time,
//! never as long as somebody else, and not for ever.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use portcullis_remediation::StoreError;

use crate::failure::Fate;

/// Most tries of one call on a document, a set or a queue.
///
/// With three calls in ten throttled, one call in 170,000 meets ten. They wait for sixteen
/// seconds in all, on average, and no longer, because somebody may be watching.
pub(crate) const MOST_TRIES: u32 = 10;

/// Most time between two tries.
const LONGEST: Duration = Duration::from_secs(5);

/// About the time before the second try.
const SHORTEST: Duration = Duration::from_millis(200);

/// Waits before the next try: longer each time, and never the same for two.
pub(crate) async fn back_off(failures: u32) {
    let most = SHORTEST.saturating_mul(1 << failures.clamp(1, 6).saturating_sub(1)).min(LONGEST);
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    let milliseconds = most / 2 + fastrand::u64(0..=most / 2);
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// The same for calls that the SDK may make again by itself: those that change nothing, or
/// nothing more at the second time.
pub(crate) fn tries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(MOST_TRIES)
        .with_initial_backoff(SHORTEST)
        .with_max_backoff(LONGEST)
}

/// Asks until there is an answer, or a refusal, or enough was asked.
pub(crate) async fn patiently<Answer>(
    ask: impl AsyncFn() -> Result<Answer, (Fate, StoreError)>,
) -> Result<Answer, StoreError> {
    let mut failures = 0;
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err((Fate::Refused, error)) => return Err(error),
            Err((Fate::Throttled | Fate::Unknown, error)) => error,
        };
        failures += 1;
        if failures >= MOST_TRIES {
            return Err(error);
        }
        back_off(failures).await;
    }
}
