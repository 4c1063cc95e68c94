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

/// What the SDK says when it sent nothing, because nobody told it who asks or where; and
/// what to say of it. It has no type for this that others could look at.
const UNSENT: [(&str, &str); 3] = [
    ("no credentials found", NOBODY),
    ("IMDS is disabled", NOBODY),
    ("A region must be set", "no region is known: give --region, or set AWS_REGION"),
];

const NOBODY: &str = "no AWS credentials were found: name a --profile, set AWS_PROFILE or \
                      AWS_ACCESS_KEY_ID, or run where a role is given";

/// The fate, the service's code for it if it gave one, and all of it in words.
pub(crate) fn failure<Kind>(error: &SdkError<Kind, HttpResponse>) -> (Fate, Option<String>, String)
where
    Kind: ProvideErrorMetadata + Error + 'static,
{
    let code = error.code().map(str::to_owned);
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    if let SdkError::DispatchFailure(_) = error {
        let told = chain(error);
        if let Some((_, said)) = UNSENT.iter().find(|(sign, _)| told.contains(sign)) {
            return (Fate::Refused, None, (*said).to_owned());
        }
    }
    let is_throttling = code.as_deref().is_some_and(|code| THROTTLING.contains(&code));
    let fate = match error {
        SdkError::ConstructionFailure(_) => Fate::Refused,
        SdkError::ServiceError(_) if is_throttling || status == 429 => Fate::Throttled,
        // S3's word for a body that came too slowly.
        SdkError::ServiceError(_) if code.as_deref() == Some("RequestTimeout") => Fate::Unknown,
        // 301 is S3's for a bucket of another region.
        SdkError::ServiceError(_) if status == 301 || (400..500).contains(&status) => Fate::Refused,
        _ => Fate::Unknown,
    };
    let text = match (&code, error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.clone(),
        _ => chain(error),
    };
    (fate, code, printable(&text))
}

/// The same words, with the statement of a policy that would allow what was refused, where
/// the service says what that was: every service of AWS has the same sentence for it.
pub(crate) fn with_remedy(text: String) -> String {
    let Some((_, refused)) = text.split_once("not authorized to perform: ") else {
        return text;
    };
    let word = |text: &str| {
        let word = text.trim_start_matches('"').split([' ', '"']).next().unwrap_or_default();
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b":/-_.*".contains(&b);
        (!word.is_empty() && word.bytes().all(is_plain)).then(|| word.to_owned())
    };
    let resource = refused.split_once("on resource: ").and_then(|(_, rest)| word(rest));
    match (word(refused), resource) {
        (Some(action), Some(resource)) => {
            let remedy = allowing(&action, &resource);
            format!("{text}; {remedy}")
        }
        _ => text,
    }
}

/// What to do so that an action is allowed.
pub(crate) fn allowing(action: &str, resource: &str) -> String {
    format!(
        "allow {action} to the role, with a statement such as \
         {{\"Effect\":\"Allow\",\"Action\":\"{action}\",\"Resource\":\"{resource}\"}}"
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_names_action_and_resource_gets_its_line_of_policy() {
        let waf = "AccessDeniedException: User: arn:aws:sts::111122223333:assumed-role/x/y is not \
                   authorized to perform: wafv2:UpdateIPSet on resource: \
                   arn:aws:wafv2:eu-west-1:111122223333:regional/ipset/a/b because no policy allows it";
        assert!(
            with_remedy(waf.to_owned()).ends_with(
                "; allow wafv2:UpdateIPSet to the role, with a statement such as \
                 {\"Effect\":\"Allow\",\"Action\":\"wafv2:UpdateIPSet\",\"Resource\":\
                 \"arn:aws:wafv2:eu-west-1:111122223333:regional/ipset/a/b\"}"
            ),
            "{waf}"
        );
        let s3 = r#"AccessDenied: User: x is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::state/history" because"#;
        assert!(
            with_remedy(s3.to_owned()).contains(r#""Resource":"arn:aws:s3:::state/history"}"#),
            "{s3}"
        );
        for other in [
            "SlowDown: Reduce your request rate",
            "x is not authorized to perform: s3:GetObject",
            "x is not authorized to perform:  on resource: \u{1b}[2J",
        ] {
            assert_eq!(with_remedy(other.to_owned()), other);
        }
    }
}
