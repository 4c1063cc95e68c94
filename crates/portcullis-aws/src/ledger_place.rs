//! A ledger where the configuration says it is, with a kill switch at hand.
//!
//! Which store stands behind a ledger is known only when the program runs, so the two
//! are one type here. The switch that lies beside a ledger stops everybody who uses
//! it; the one in hand stops this run alone, and is asked first because it needs no
//! call that could fail.

use portcullis_remediation::{AuditLine, Ledger, LedgerStore, SaveError, StoreError, Version};

use crate::connection::Connection;
use crate::file_ledger::FileLedger;
use crate::s3_ledger::S3Ledger;

/// A ledger in a directory or below a prefix of a bucket.
#[derive(Debug)]
pub struct LedgerPlace {
    store: Store,
    halt: Option<String>,
}

#[derive(Debug)]
enum Store {
    File(FileLedger),
    S3(S3Ledger),
}

impl LedgerPlace {
    /// `s3://BUCKET/PREFIX`, or a directory. `halt` is why nothing may be changed now.
    pub fn open(place: &str, connection: &Connection, halt: Option<String>) -> Self {
        let store = match place.strip_prefix("s3://") {
            Some(path) => {
                let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
                Store::S3(S3Ledger::new(connection, bucket, prefix))
            }
            None => Store::File(FileLedger::new(place)),
        };
        Self { store, halt }
    }
}

impl LedgerStore for LedgerPlace {
    async fn load(&self) -> Result<Option<(Ledger, Version)>, StoreError> {
        match &self.store {
            Store::File(file) => file.load().await,
            Store::S3(s3) => s3.load().await,
        }
    }

    async fn save(
        &self,
        ledger: &Ledger,
        replaces: Option<&Version>,
    ) -> Result<Version, SaveError> {
        match &self.store {
            Store::File(file) => file.save(ledger, replaces).await,
            Store::S3(s3) => s3.save(ledger, replaces).await,
        }
    }

    async fn append_audit(&self, lines: &[AuditLine]) -> Result<(), StoreError> {
        match &self.store {
            Store::File(file) => file.append_audit(lines).await,
            Store::S3(s3) => s3.append_audit(lines).await,
        }
    }

    async fn audit(&self) -> Result<String, StoreError> {
        match &self.store {
            Store::File(file) => file.audit().await,
            Store::S3(s3) => s3.audit().await,
        }
    }

    async fn has_account(&self) -> Result<bool, StoreError> {
        match &self.store {
            Store::File(file) => file.has_account().await,
            Store::S3(s3) => s3.has_account().await,
        }
    }

    async fn halted(&self) -> Result<Option<String>, StoreError> {
        match (&self.halt, &self.store) {
            (Some(reason), _) => Ok(Some(reason.clone())),
            (None, Store::File(file)) => file.halted().await,
            (None, Store::S3(s3)) => s3.halted().await,
        }
    }
}
