//! Objects of a bucket that are replaced only by those who read them.
//!
//! Sources: Amazon S3 User Guide, "Conditional writes"; S3 is strongly consistent, so
//! that what was saved is read at once.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use portcullis_remediation::{SaveError, StoreError, Version};

use crate::connection::Connection;
use crate::failure::{Fate, failure};

/// How often a read is tried by the SDK.
const READ_TRIES: u32 = 3;

/// Most time for one write: long enough for the largest state on a slow line.
const WRITE_TIME: Duration = Duration::from_mins(2);

/// A bucket, to read and to write.
#[derive(Debug)]
pub(crate) struct S3Place {
    pub(crate) reads: Client,
    pub(crate) writes: Client,
    pub(crate) bucket: String,
}

impl S3Place {
    /// Nothing is asked yet.
    pub(crate) fn new(connection: &Connection, bucket: &str) -> Self {
        let config = || {
            Builder::from(&connection.config)
                .force_path_style(connection.path_style)
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        };
        let retry = RetryConfig::standard().with_max_attempts(READ_TRIES);
        let patience = TimeoutConfig::builder().operation_attempt_timeout(WRITE_TIME).build();
        Self {
            reads: Client::from_conf(config().retry_config(retry).build()),
            // A second try of a save that went through would be told that somebody
            // changed the object.
            writes: Client::from_conf(
                config().retry_config(RetryConfig::disabled()).timeout_config(patience).build(),
            ),
            bucket: bucket.to_owned(),
        }
    }

    /// An object's content and `ETag`; `None` when there is none.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, String)>, StoreError> {
        let place = format!("s3://{}/{key}", self.bucket);
        let output = match self.reads.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(output) => output,
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => {
                return Ok(None);
            }
            Err(error) => return Err(StoreError(format!("{place}: {}", failure(&error).2))),
        };
        let tag = output.e_tag().unwrap_or_default().to_owned();
        let bytes = output.body.collect().await;
        let bytes = bytes.map_err(|_| StoreError(format!("{place}: the object ended early")))?;
        Ok(Some((bytes.to_vec(), tag)))
    }

    /// Replaces an object if it still is what it was: `None` means that there is none.
    pub(crate) async fn replace(
        &self,
        key: &str,
        content_type: &str,
        content: Vec<u8>,
        replaces: Option<&Version>,
    ) -> Result<Version, SaveError> {
        let call = self
            .writes
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .body(ByteStream::from(content));
        let call = match replaces {
            Some(Version(tag)) => call.if_match(tag),
            None => call.if_none_match("*"),
        };
        match call.send().await {
            Ok(output) => match output.e_tag() {
                Some(tag) => Ok(Version(tag.to_owned())),
                None => Err(SaveError::Unknown("the answer holds no ETag".to_owned())),
            },
            Err(error) => {
                let status = error.raw_response().map_or(0, |response| response.status().as_u16());
                let (fate, code, text) = failure(&error);
                // What is gone was deleted by somebody; 409 is a race of two saves.
                let is_gone = status == 404 && code.as_deref() == Some("NoSuchKey");
                Err(match fate {
                    _ if matches!(status, 409 | 412) || is_gone => SaveError::Conflict,
                    Fate::Refused => SaveError::Refused(text),
                    Fate::Throttled | Fate::Unknown => SaveError::Unknown(text),
                })
            }
        }
    }
}
