//! Says what an error of the SDK means for what was asked.
//!
//! The SDK tells apart where a call failed: before it was sent, on its way, or in the
//! service. What remediation needs to know is whether it *happened*. Only a refusal by
//! the service says that it did not; a fault of the service, a lost connection and a
//! timeout say nothing.

use std::error::Error;

use aws_sdk_wafv2::config::http::HttpResponse;
use aws_sdk_wafv2::error::{ProvideErrorMetadata, SdkError};

/// What became of a call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was refused because there were too many; it did not happen.
    Throttled,
    /// It was refused; it did not happen, and never will.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// Codes by which AWS services say that there were too many calls.
///
/// Source: AWS SDKs and Tools Reference Guide, "Retry behavior".
const THROTTLING: [&str; 8] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "SlowDown",
];

/// The fate, the service's code for it if it gave one, and all of it in words.
pub(crate) fn failure<Kind>(error: &SdkError<Kind, HttpResponse>) -> (Fate, Option<String>, String)
where
    Kind: ProvideErrorMetadata + Error + 'static,
{
    let code = error.code().map(str::to_owned);
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let is_throttling = code.as_deref().is_some_and(|code| THROTTLING.contains(&code));
    let fate = match error {
        SdkError::ConstructionFailure(_) => Fate::Refused,
        SdkError::ServiceError(_) if is_throttling || status == 429 => Fate::Throttled,
        // S3's word for a body that came too slowly.
        SdkError::ServiceError(_) if code.as_deref() == Some("RequestTimeout") => Fate::Unknown,
        SdkError::ServiceError(_) if (400..500).contains(&status) => Fate::Refused,
        _ => Fate::Unknown,
    };
    let text = match (&code, error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.clone(),
        _ => chain(error),
    };
    (fate, code, printable(&text))
}

/// An error and what it came from.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

/// What a server says is shown to people, so nothing in it may move a cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}
