//! Objects of a bucket that are replaced only by those who read them.
//!
//! S3 refuses a save whose `ETag` is no longer the stored one, and that alone keeps two
//! writers apart. It makes a save that goes wrong hard, though: when a save was throttled,
//! broken or not answered, nobody knows whether it happened, and one that is simply sent
//! again may be told that somebody else was there, which was itself. So the SDK may not send
//! a save again; it is done here, and only after the stored object was read. If that is what
//! was to be saved, it is saved. If it is what was there before, the save is sent again,
//! under the same condition, so that of all tries at most one changes anything, even one
//! that comes late. If it is something else, somebody else saved.
//!
//! Sources: Amazon S3 User Guide, "Conditional writes" (409 asks for another try, after a
//! look at what is stored); S3 is strongly consistent, so that what was saved is read at once.

use std::time::{Duration, Instant};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use portcullis_remediation::{SaveError, StoreError, Version};

use crate::connection::Connection;
use crate::failure::{Fate, allowing, failure, with_remedy};
use crate::patience::{MOST_TRIES, back_off, patiently};

/// Most time for one write: long enough for the largest state on a slow line. No other try
/// of it begins later than that after the first.
const WRITE_TIME: Duration = Duration::from_mins(2);

/// How often the content of an object that answers is asked for, when it does not come whole.
const BODIES: u32 = 5;

/// A bucket, to read and to write.
#[derive(Debug)]
pub(crate) struct S3Place {
    reads: Client,
    writes: Client,
    bucket: String,
}

impl S3Place {
    /// Nothing is asked yet.
    pub(crate) fn new(connection: &Connection, bucket: &str) -> Self {
        let config = || {
            Builder::from(&connection.config)
                .force_path_style(connection.path_style)
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .retry_config(RetryConfig::disabled())
        };
        let patience = TimeoutConfig::builder().operation_attempt_timeout(WRITE_TIME).build();
        Self {
            reads: Client::from_conf(config().build()),
            writes: Client::from_conf(config().timeout_config(patience).build()),
            bucket: bucket.to_owned(),
        }
    }

    /// An object as errors name it.
    pub(crate) fn place(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// An object's content and `ETag`; `None` when there is none.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, String)>, StoreError> {
        let ask = async || self.reads.get_object().bucket(&self.bucket).key(key).send().await;
        for _ in 0..BODIES {
            let found = patiently(async || match ask().await {
                Ok(output) => Ok(Some(output)),
                Err(error)
                    if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) =>
                {
                    Ok(None)
                }
                Err(error) => {
                    let (fate, code, text) = failure(&error);
                    let text = self.remedied(code.as_deref(), text, "s3:GetObject", key);
                    Err((fate, StoreError(format!("{}: {text}", self.place(key)))))
                }
            });
            let Some(output) = found.await? else {
                return Ok(None);
            };
            let tag = output.e_tag().unwrap_or_default().to_owned();
            // The SDK holds it against its length and its checksum.
            if let Ok(bytes) = output.body.collect().await {
                return Ok(Some((bytes.to_vec(), tag)));
            }
        }
        Err(StoreError(format!("{}: the object ended early", self.place(key))))
    }

    /// Keys that begin so, sorted.
    pub(crate) async fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut keys = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let page = patiently(async || {
                let call = self.reads.list_objects_v2().bucket(&self.bucket).prefix(prefix);
                call.set_continuation_token(token.clone()).send().await.map_err(|error| {
                    let (fate, _, text) = failure(&error);
                    (fate, StoreError(format!("{}: {}", self.place(prefix), with_remedy(text))))
                })
            });
            let page = page.await?;
            keys.extend(
                page.contents().iter().filter_map(|object| object.key().map(str::to_owned)),
            );
            token = page.next_continuation_token().map(str::to_owned);
            if token.is_none() {
                keys.sort();
                return Ok(keys);
            }
        }
    }

    /// Whether there is a key that begins so.
    pub(crate) async fn holds_any(&self, prefix: &str) -> Result<bool, StoreError> {
        let page = patiently(async || {
            let call = self.reads.list_objects_v2().bucket(&self.bucket).prefix(prefix);
            call.max_keys(1).send().await.map_err(|error| {
                let (fate, _, text) = failure(&error);
                (fate, StoreError(format!("{}: {}", self.place(prefix), with_remedy(text))))
            })
        });
        Ok(!page.await?.contents().is_empty())
    }

    /// Replaces an object if it still is what it was: `None` means that there is none.
    ///
    /// # Errors
    ///
    /// [`SaveError::Conflict`] when something else is there: instead of what was to be
    /// saved, or over it.
    pub(crate) async fn replace(
        &self,
        key: &str,
        content_type: &str,
        content: Vec<u8>,
        replaces: Option<&Version>,
    ) -> Result<Version, SaveError> {
        let begun = Instant::now();
        let mut failures = 0;
        loop {
            let error = match self.put(key, content_type, &content, replaces).await {
                Ok(version) => return Ok(version),
                Err(SaveError::Unknown(text)) => text,
                Err(certain) if failures == 0 => return Err(certain),
                // What refuses this try may be the doing of one before.
                Err(refusal) => refusal.to_string(),
            };
            failures += 1;
            if failures >= MOST_TRIES || begun.elapsed() > WRITE_TIME {
                return Err(SaveError::Unknown(error));
            }
            back_off(failures).await;
            match self.get(key).await {
                Ok(Some((stored, tag))) if stored == content => return Ok(Version(tag)),
                Ok(found) => {
                    if found.map(|(_, tag)| Version(tag)).as_ref() != replaces {
                        return Err(SaveError::Conflict);
                    }
                }
                Err(StoreError(unread)) => {
                    return Err(SaveError::Unknown(format!("{error}; then {unread}")));
                }
            }
        }
    }

    /// Stores an object that never changes; one that is there already is left as it is.
    pub(crate) async fn store_once(
        &self,
        key: &str,
        content_type: &str,
        content: &[u8],
    ) -> Result<(), StoreError> {
        let named = |fate, text| Err((fate, StoreError(format!("{}: {text}", self.place(key)))));
        patiently(async || match self.put(key, content_type, content, None).await {
            Ok(_) | Err(SaveError::Conflict) => Ok(()),
            Err(SaveError::Refused(text)) => named(Fate::Refused, text),
            Err(SaveError::Unknown(text)) => named(Fate::Unknown, text),
        })
        .await
    }

    /// What was said, and what to allow if that is the matter. S3 often says no more than
    /// that access is denied.
    fn remedied(&self, code: Option<&str>, text: String, action: &str, key: &str) -> String {
        let told = with_remedy(text);
        if code == Some("AccessDenied") && !told.contains("allow ") {
            format!("{told}; {}", allowing(action, &format!("arn:aws:s3:::{}/{key}", self.bucket)))
        } else {
            told
        }
    }

    /// One try.
    async fn put(
        &self,
        key: &str,
        content_type: &str,
        content: &[u8],
        replaces: Option<&Version>,
    ) -> Result<Version, SaveError> {
        let call = self
            .writes
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .body(ByteStream::from(content.to_vec()));
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
                let text = self.remedied(code.as_deref(), text, "s3:PutObject", key);
                // What is gone was deleted by somebody.
                let is_gone = status == 404 && code.as_deref() == Some("NoSuchKey");
                Err(match fate {
                    _ if status == 412 || is_gone => SaveError::Conflict,
                    // Two saves met, and this one may be made again.
                    _ if status == 409 => SaveError::Unknown(text),
                    Fate::Refused => SaveError::Refused(text),
                    Fate::Throttled | Fate::Unknown => SaveError::Unknown(text),
                })
            }
        }
    }
}
