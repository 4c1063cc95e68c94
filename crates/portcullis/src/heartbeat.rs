//! The heartbeat: a small document beside the state that says when runs happened.
//!
//! Whether protection works cannot be told from a set: one that stays the same may be well
//! kept or forgotten. So every run says when it began and how it ended, for alarms, for
//! `doctor`, and for whoever looks. Nothing is decided by it.

use portcullis_aws::Document;
use portcullis_ingest::Timestamp;
use portcullis_remediation::{SaveError, StoreError};
use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// Version of the form.
const FORMAT_VERSION: u32 = 1;

/// When runs happened. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Heartbeat {
    format_version: u32,
    /// Who wrote it last.
    pub who: String,
    /// When a run last began.
    pub last_begun: Option<String>,
    /// When a run last came to its end, well or not.
    pub last_finished: Option<String>,
    /// When a run last did all that it should, but for records that could not be read.
    pub last_good: Option<String>,
    /// When everything that was over was last taken out of all sets.
    pub last_expire: Option<String>,
    /// Exit code of the last run that came to its end.
    pub last_exit: Option<u8>,
}

impl Heartbeat {
    /// Where the heartbeat of a state is.
    pub fn place(state: &str) -> String {
        format!("{state}.heartbeat")
    }

    /// Reads it. What cannot be understood is as if nothing had ever run.
    pub async fn load(document: &Document) -> Result<Self, StoreError> {
        let stored = document.load().await?;
        Ok(stored.map(|(content, _)| Self::parse(&content)).unwrap_or_default())
    }

    /// Changes it, and gives what it is then. Of two that change it at once, both changes
    /// are kept.
    pub async fn update(
        document: &Document,
        who: &str,
        change: impl Fn(&mut Self),
    ) -> Result<Self, StoreError> {
        let mut failure = StoreError("others change it all the time".to_owned());
        for _ in 0..3 {
            let stored = document.load().await?;
            let (mut heartbeat, version) = match stored {
                Some((content, version)) => (Self::parse(&content), Some(version)),
                None => (Self::default(), None),
            };
            change(&mut heartbeat);
            heartbeat.format_version = FORMAT_VERSION;
            who.clone_into(&mut heartbeat.who);
            let text = serde_json::to_string(&heartbeat).expect("texts and numbers are JSON");
            match document.save((text + "\n").into_bytes(), version.as_ref()).await {
                Ok(_) => return Ok(heartbeat),
                Err(SaveError::Conflict) => {}
                Err(SaveError::Unknown(error) | SaveError::Refused(error)) => {
                    failure = StoreError(error);
                }
            }
        }
        Err(failure)
    }

    /// When a run last ended well, in milliseconds since 1970.
    pub fn last_good_ms(&self) -> Option<i64> {
        let time = self.last_good.as_deref()?;
        Timestamp::parse_rfc3339(time.as_bytes()).map(Timestamp::epoch_ms)
    }

    /// Says that a run began.
    pub fn begin(&mut self, now: Timestamp) {
        self.last_begun = Some(now.to_string());
    }

    /// Says that what was over is out of all sets.
    pub fn expired(&mut self, now: Timestamp) {
        self.last_expire = Some(now.to_string());
    }

    /// Says how a run ended.
    pub fn finish(&mut self, now: Timestamp, exit: Exit) {
        self.last_finished = Some(now.to_string());
        self.last_exit = Some(exit.code());
        if matches!(exit, Exit::Done | Exit::Partial) {
            self.last_good.clone_from(&self.last_finished);
        }
    }

    fn parse(content: &[u8]) -> Self {
        serde_json::from_slice(content).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text.as_bytes()).expect("a time")
    }

    #[test]
    fn a_failed_run_does_not_make_the_last_good_one_younger() {
        let mut heartbeat = Heartbeat::default();
        heartbeat.finish(at("2026-03-02T12:00:00Z"), Exit::Partial);
        heartbeat.finish(at("2026-03-02T12:05:00Z"), Exit::Failed);
        assert_eq!(heartbeat.last_good.as_deref(), Some("2026-03-02T12:00:00.000Z"));
        assert_eq!(heartbeat.last_finished.as_deref(), Some("2026-03-02T12:05:00.000Z"));
        assert_eq!(heartbeat.last_exit, Some(1));
    }

    #[test]
    fn a_document_is_read_as_it_was_written_and_nonsense_is_none() {
        let mut heartbeat = Heartbeat { format_version: 1, ..Heartbeat::default() };
        heartbeat.begin(at("2026-03-02T12:00:00Z"));
        heartbeat.expired(at("2026-03-02T12:00:01Z"));
        let text = serde_json::to_vec(&heartbeat).expect("JSON");
        assert_eq!(Heartbeat::parse(&text), heartbeat);
        assert_eq!(Heartbeat::parse(b"nonsense"), Heartbeat::default());
    }
}
