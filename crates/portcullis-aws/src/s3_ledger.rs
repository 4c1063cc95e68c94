//! A ledger on S3.
//!
//! Three kinds of object below one prefix: `ledger.json`, replaced only if its `ETag` is
//! the one that was read; `audit/000000000001.json` and so on, one line each, made once
//! and never replaced, so that they can be kept under an object lock; and `HALT`, whose
//! being there is the kill switch.
//!
//! Sources: Amazon S3 User Guide, "Conditional writes"; S3 is strongly consistent, so
//! that what was saved is read at once.

use portcullis_remediation::{AuditLine, Ledger, LedgerStore, SaveError, StoreError, Version};

use crate::connection::Connection;
use crate::s3_place::S3Place;

/// A ledger below one prefix of a bucket.
#[derive(Debug)]
pub struct S3Ledger {
    place: S3Place,
    prefix: String,
}

impl S3Ledger {
    /// The ledger below `prefix`, such as `portcullis/eu-west-1`; nothing is read yet.
    pub fn new(connection: &Connection, bucket: &str, prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        Self {
            place: S3Place::new(connection, bucket),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// An object's text and `ETag`; `None` when there is none.
    async fn get(&self, key: &str) -> Result<Option<(String, String)>, StoreError> {
        let Some((bytes, tag)) = self.place.get(key).await? else {
            return Ok(None);
        };
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| {
            StoreError(format!("{}: the object is not text", self.place.place(key)))
        })?;
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
            .map_err(|error| StoreError(format!("{}: {error}", self.place.place(&key))))?;
        Ok(Some((ledger, Version(tag))))
    }

    async fn save(
        &self,
        ledger: &Ledger,
        replaces: Option<&Version>,
    ) -> Result<Version, SaveError> {
        let key = self.key("ledger.json");
        self.place.replace(&key, "application/json", ledger.to_json().into_bytes(), replaces).await
    }

    async fn append_audit(&self, lines: &[AuditLine]) -> Result<(), StoreError> {
        let key_of = |sequence: u64| self.key(&format!("audit/{sequence:012}.json"));
        // Each line follows one that is stored, or that is stored just now.
        if let Some(before) = lines.first().map(|line| line.sequence.saturating_sub(1))
            && before > 0
            && self.get(&key_of(before)).await?.is_none()
        {
            return Err(StoreError(format!(
                "{}: it is gone: lines were taken out of the account; restore it from a copy",
                self.place.place(&key_of(before))
            )));
        }
        for line in lines {
            let key = key_of(line.sequence);
            let text = format!("{}\n", line.to_json());
            self.place.store_once(&key, "application/json", text.as_bytes()).await?;
        }
        Ok(())
    }

    async fn audit(&self) -> Result<String, StoreError> {
        let mut account = String::new();
        for key in self.place.keys(&self.key("audit/")).await? {
            // One that went away since is missed by whoever verifies the account.
            if let Some((text, _)) = self.get(&key).await? {
                account.push_str(&text);
            }
        }
        Ok(account)
    }

    async fn has_account(&self) -> Result<bool, StoreError> {
        self.place.holds_any(&self.key("audit/")).await
    }

    async fn halted(&self) -> Result<Option<String>, StoreError> {
        let switch = self.get(&self.key("HALT")).await?;
        Ok(switch.map(|(text, _)| text.trim().to_owned()))
    }
}
