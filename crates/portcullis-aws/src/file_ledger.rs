//! A ledger in a directory of this machine.
//!
//! `ledger.json` is replaced whole or not at all. `audit.jsonl` only grows. `HALT`, by being there, is the kill switch. All changes happen under a lock
//! on `lock`, which the system releases when its holder dies.
//!
//! The calls block for as long as the disk takes, which is short beside any call to AWS.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use portcullis_remediation::{AuditLine, Ledger, LedgerStore, SaveError, StoreError, Version};

use crate::disk;

/// A ledger in one directory.
#[derive(Debug, Clone)]
pub struct FileLedger {
    directory: PathBuf,
}

impl FileLedger {
    /// The ledger in `directory`, which is made when the ledger is first saved.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Whoever has the file it returns is alone until it is dropped.
    fn lock(&self) -> io::Result<File> {
        disk::lock(&self.path("lock"))
    }

    fn text(&self, name: &str) -> Result<Option<String>, StoreError> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError(format!("{}: {error}", path.display()))),
        }
    }

    fn append(&self, lines: &[AuditLine]) -> io::Result<()> {
        let _alone = self.lock()?;
        let path = self.path("audit.jsonl");
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // A crash may have left half a line, which is handed on again.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let last = text[..whole].lines().next_back().and_then(AuditLine::from_json);
        let stored = last.map_or(0, |line| line.sequence);
        if let Some(next) = lines.iter().find(|line| line.sequence > stored)
            && next.sequence != stored + 1
        {
            return Err(io::Error::other(cut_off(stored, next.sequence)));
        }
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        let mut more = String::new();
        for line in lines.iter().filter(|line| line.sequence > stored) {
            more.push_str(&line.to_json());
            more.push('\n');
        }
        file.write_all(more.as_bytes())?;
        file.sync_all()
    }
}

/// Lines are missing between the last that is stored and the next to store. To write on
/// would hide where the account was cut.
pub(crate) fn cut_off(stored: u64, next: u64) -> String {
    let at = match stored {
        0 => "the account is empty".to_owned(),
        stored => format!("the account ends with line {stored}"),
    };
    format!("{at}, and line {next} is the next: lines were taken out; restore it from a copy")
}

impl LedgerStore for FileLedger {
    async fn load(&self) -> Result<Option<(Ledger, Version)>, StoreError> {
        let Some(text) = self.text("ledger.json")? else {
            return Ok(None);
        };
        let ledger = Ledger::from_json(&text).map_err(|error| {
            StoreError(format!("{}: {error}", self.path("ledger.json").display()))
        })?;
        Ok(Some((ledger, disk::version(&text))))
    }

    async fn save(
        &self,
        ledger: &Ledger,
        replaces: Option<&Version>,
    ) -> Result<Version, SaveError> {
        let refused =
            |error: io::Error| SaveError::Refused(format!("{}: {error}", self.directory.display()));
        let _alone = self.lock().map_err(refused)?;
        let stored =
            self.text("ledger.json").map_err(|StoreError(text)| SaveError::Refused(text))?;
        if stored.as_deref().map(disk::version).as_ref() != replaces {
            return Err(SaveError::Conflict);
        }
        let text = ledger.to_json();
        disk::replace(&self.path("ledger.json"), &text).map_err(|error| {
            SaveError::Unknown(format!("{}: {error}", self.directory.display()))
        })?;
        Ok(disk::version(&text))
    }

    async fn append_audit(&self, lines: &[AuditLine]) -> Result<(), StoreError> {
        self.append(lines)
            .map_err(|error| StoreError(format!("{}: {error}", self.path("audit.jsonl").display())))
    }

    async fn audit(&self) -> Result<String, StoreError> {
        Ok(self.text("audit.jsonl")?.unwrap_or_default())
    }

    async fn halted(&self) -> Result<Option<String>, StoreError> {
        Ok(self.text("HALT")?.map(|text| text.trim().to_owned()))
    }
}
