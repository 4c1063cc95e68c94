//! What went wrong with a bucket, and what to do about it.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::failure::{Fate, allowing, failure};

/// What was asked of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// `s3:ListBucket`.
    List,
    /// `s3:GetObject`.
    Get,
}

impl Asked {
    fn action(self) -> &'static str {
        match self {
            Self::List => "s3:ListBucket",
            Self::Get => "s3:GetObject",
        }
    }
}

/// A call on a bucket that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ObjectError {
    /// `s3://bucket/prefix` or `s3://bucket/key`.
    pub place: String,
    /// What S3 said, or how the connection ended.
    pub message: String,
    /// What to do about it, where that is known.
    pub fix: Option<String>,
    /// Whether trying again may help.
    pub(crate) may_pass: bool,
}

impl ObjectError {
    /// Understands an error of the SDK.
    pub(crate) fn of<Kind>(
        asked: Asked,
        bucket: &str,
        key: &str,
        error: &SdkError<Kind, HttpResponse>,
    ) -> Self
    where
        Kind: ProvideErrorMetadata + Error + 'static,
    {
        let (fate, code, message) = failure(error);
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = code.as_deref().unwrap_or_default();
        let fix = match (code, status) {
            ("AccessDenied", _) if message.contains("kms:") => Some(
                "the objects are encrypted with a KMS key: allow kms:Decrypt on that key to the \
                 role, in the role's policy and in the key's"
                    .to_owned(),
            ),
            (kms, _) if kms.starts_with("KMS.") => {
                Some("the KMS key of the objects is disabled or gone: enable it again".to_owned())
            }
            // It is told with 403 too, and is no matter of rights.
            ("InvalidObjectState", _) => {
                Some("it is archived: restore it, or leave its prefix out".to_owned())
            }
            ("AccessDenied" | "Forbidden", _) | (_, Some(403))
                if code != "SignatureDoesNotMatch" =>
            {
                Some(format!(
                    "{}; or --requester-pays, if the bucket demands it",
                    allowing(asked.action(), &resource(asked, bucket, key))
                ))
            }
            ("NoSuchBucket", _) => Some("check the bucket's name".to_owned()),
            ("PermanentRedirect" | "AuthorizationHeaderMalformed", _) | (_, Some(301)) => {
                Some("the bucket is in another region: name it with --region".to_owned())
            }
            ("NoSuchKey", _) | (_, Some(404)) => {
                Some("it was deleted after it was listed; run again to list anew".to_owned())
            }
            ("PreconditionFailed", _) | (_, Some(412)) => Some(
                "it was replaced after it was listed; run again to read the new one".to_owned(),
            ),
            _ => None,
        };
        Self {
            place: format!("s3://{bucket}/{key}"),
            message,
            fix,
            may_pass: fate != Fate::Refused,
        }
    }

    /// An object of which less came than there is.
    pub(crate) fn ended_early(bucket: &str, key: &str, message: String) -> Self {
        Self { place: format!("s3://{bucket}/{key}"), message, fix: None, may_pass: true }
    }
}

/// The resource to name in a policy, so that what was asked is allowed.
fn resource(asked: Asked, bucket: &str, key: &str) -> String {
    match asked {
        Asked::List => format!("arn:aws:s3:::{bucket}"),
        Asked::Get => {
            let top = key.split_once('/').map_or(String::new(), |(top, _)| format!("{top}/"));
            format!("arn:aws:s3:::{bucket}/{top}*")
        }
    }
}
