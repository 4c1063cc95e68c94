//! A ledger on S3.
//!
//! Three kinds of object below one prefix: `ledger.json`, replaced only if its `ETag` is
//! the one that was read; `audit/000000000001.json` and so on, one line each, made once
//! and never replaced, so that they can be kept under an object lock; and `HALT`, whose
//! being there is the kill switch.
//!
//! Sources: Amazon S3 User Guide, "Conditional writes"; S3 is strongly consistent, so
//! that what was saved is read at once.

use aws_config::retry::RetryConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use portcullis_remediation::{AuditLine, Ledger, LedgerStore, SaveError, StoreError, Version};

use crate::connection::Connection;
use crate::failure::{Fate, failure};

/// How often a read is tried by the SDK.
const READ_TRIES: u32 = 3;

/// A ledger below one prefix of a bucket.
#[derive(Debug)]
pub struct S3Ledger {
    reads: Client,
    writes: Client,
    bucket: String,
    prefix: String,
}

impl S3Ledger {
    /// The ledger below `prefix`, such as `portcullis/eu-west-1`; nothing is read yet.
    pub fn new(connection: &Connection, bucket: &str, prefix: &str) -> Self {
        let client = |retry| {
            let config = Builder::from(&connection.config)
                .force_path_style(connection.path_style)
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .retry_config(retry);
            Client::from_conf(config.build())
        };
        let prefix = prefix.trim_matches('/');
        Self {
            reads: client(RetryConfig::standard().with_max_attempts(READ_TRIES)),
            // A second try of a save that went through would be told that somebody
            // changed the ledger.
            writes: client(RetryConfig::disabled()),
            bucket: bucket.to_owned(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// An object's text and `ETag`; `None` when there is none.
    async fn get(&self, key: &str) -> Result<Option<(String, String)>, StoreError> {
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
        let text = String::from_utf8(bytes.to_vec());
        let text = text.map_err(|_| StoreError(format!("{place}: the object is not text")))?;
        Ok(Some((text, tag)))
    }
}

impl LedgerStore for S3Ledger {
    async fn load(&self) -> Result<Option<(Ledger, Version)>, StoreError> {
        let key = self.key("ledger.json");
        let Some((text, tag)) = self.get(&key).await? else {
            return Ok(None);
        };
        let ledger = Ledger::from_json(&text)
            .map_err(|error| StoreError(format!("s3://{}/{key}: {error}", self.bucket)))?;
        Ok(Some((ledger, Version(tag))))
    }

    async fn save(
        &self,
        ledger: &Ledger,
        replaces: Option<&Version>,
    ) -> Result<Version, SaveError> {
        let body = ByteStream::from(ledger.to_json().into_bytes());
        let call = self
            .writes
            .put_object()
            .bucket(&self.bucket)
            .key(self.key("ledger.json"))
            .content_type("application/json")
            .body(body);
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

    async fn append_audit(&self, lines: &[AuditLine]) -> Result<(), StoreError> {
        for line in lines {
            let key = self.key(&format!("audit/{:012}.json", line.sequence));
            let call = self
                .writes
                .put_object()
                .bucket(&self.bucket)
                .key(&key)
                .content_type("application/json")
                .if_none_match("*")
                .body(ByteStream::from(format!("{}\n", line.to_json()).into_bytes()));
            if let Err(error) = call.send().await {
                let status = error.raw_response().map_or(0, |response| response.status().as_u16());
                // It was stored before.
                if status != 412 {
                    let place = format!("s3://{}/{key}", self.bucket);
                    return Err(StoreError(format!("{place}: {}", failure(&error).2)));
                }
            }
        }
        Ok(())
    }

    async fn audit(&self) -> Result<String, StoreError> {
        let prefix = self.key("audit/");
        let mut keys = Vec::new();
        let mut token = None;
        loop {
            let call = self.reads.list_objects_v2().bucket(&self.bucket).prefix(&prefix);
            let page = call.set_continuation_token(token).send().await;
            let page = page.map_err(|error| {
                StoreError(format!("s3://{}/{prefix}: {}", self.bucket, failure(&error).2))
            })?;
            keys.extend(
                page.contents().iter().filter_map(|object| object.key().map(str::to_owned)),
            );
            token = page.next_continuation_token().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        keys.sort();
        let mut account = String::new();
        for key in keys {
            // One that went away since is missed by whoever verifies the account.
            if let Some((text, _)) = self.get(&key).await? {
                account.push_str(&text);
            }
        }
        Ok(account)
    }

    async fn halted(&self) -> Result<Option<String>, StoreError> {
        let switch = self.get(&self.key("HALT")).await?;
        Ok(switch.map(|(text, _)| text.trim().to_owned()))
    }
}
