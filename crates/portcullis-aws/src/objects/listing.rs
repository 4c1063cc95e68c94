//! Finds the objects below a prefix, of a time span, with many calls at once.
//!
//! Folders are looked into one level at a time, so that the folders of other days are
//! never listed and those of the span are listed side by side. Where folders are many
//! and tell no time, which random prefixes make, the keys are listed in one row
//! instead. The result is sorted by key, whatever came first.

use aws_sdk_s3::primitives::DateTime;
use portcullis_ingest::Timestamp;
use tokio::task::JoinSet;

use super::error::{Asked, ObjectError};
use super::{Bucket, MOST_FAILURES, Span};
use crate::patience::back_off;

/// Calls under way at a time.
const MOST_CALLS: usize = 16;

/// Folders of one folder that are looked into one by one.
const MOST_FOLDERS: usize = 400;

/// One object, as a list tells of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// What changes when its content does; empty where a server tells none.
    pub etag: String,
    /// Stored bytes.
    pub size: u64,
    /// When it was written.
    pub modified: Option<Timestamp>,
}

/// What a list came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The objects, by key. Empty ones are left out.
    pub objects: Vec<Listed>,
    /// Objects that were written before the span.
    pub before_span: u64,
    /// Folders that can hold nothing of the span.
    pub folders_passed_over: u64,
    /// Calls that were made.
    pub calls: u64,
}

/// A part of the bucket to look into.
#[derive(Debug)]
struct Part {
    prefix: String,
    /// Whether its folders are shown as such; else every key below is listed.
    by_folder: bool,
}

/// What one page shows.
#[derive(Debug, Default)]
struct Found {
    listing: Listing,
    folders: Vec<String>,
}

impl Bucket {
    /// Lists what is below `prefix` and may hold requests of `span`.
    ///
    /// # Errors
    ///
    /// When a call is refused, or fails too often.
    pub async fn list(&self, prefix: &str, span: Span) -> Result<Listing, ObjectError> {
        let mut waiting = vec![Part { prefix: prefix.to_owned(), by_folder: true }];
        let mut under_way: JoinSet<Result<Found, ObjectError>> = JoinSet::new();
        let mut listing = Listing::default();
        loop {
            while under_way.len() < MOST_CALLS
                && let Some(part) = waiting.pop()
            {
                let bucket = self.clone();
                under_way.spawn(async move { bucket.part(part, span).await });
            }
            let Some(done) = under_way.join_next().await else { break };
            let Found { listing: found, folders } = match done {
                Ok(found) => found?,
                Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
            };
            listing.absorb(found);
            let many = folders.len() > MOST_FOLDERS;
            for folder in folders {
                if span.may_be_in(&folder[prefix.len().min(folder.len())..]) {
                    waiting.push(Part { prefix: folder, by_folder: !many });
                } else {
                    listing.folders_passed_over += 1;
                }
            }
        }
        listing.objects.sort_unstable();
        // Keys that appear while pages are read may be told twice.
        listing.objects.dedup_by(|next, kept| next.key == kept.key);
        Ok(listing)
    }

    /// Lists one part, page by page.
    async fn part(&self, part: Part, span: Span) -> Result<Found, ObjectError> {
        let mut found = Found::default();
        let mut token: Option<String> = None;
        loop {
            let page = self.page(&part, token.as_deref(), &mut found.listing.calls).await?;
            for object in page.contents() {
                let Some(key) = object.key() else { continue };
                let size = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
                let modified = object.last_modified().and_then(timestamp);
                if size == 0 {
                    // A folder's own mark, or an object without a record.
                } else if span.may_be_told_at(modified) {
                    let etag = object.e_tag().unwrap_or_default().to_owned();
                    found.listing.objects.push(Listed {
                        key: key.to_owned(),
                        etag,
                        size,
                        modified,
                    });
                } else {
                    found.listing.before_span += 1;
                }
            }
            let folders = page.common_prefixes().iter().filter_map(|folder| folder.prefix());
            found.folders.extend(folders.map(str::to_owned));
            token = page.next_continuation_token().map(str::to_owned);
            if token.is_none() || page.is_truncated() != Some(true) {
                return Ok(found);
            }
        }
    }

    async fn page(
        &self,
        part: &Part,
        token: Option<&str>,
        calls: &mut u64,
    ) -> Result<aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output, ObjectError> {
        let mut failures = 0;
        loop {
            *calls += 1;
            let call = self
                .client
                .list_objects_v2()
                .bucket(&self.name)
                .prefix(&part.prefix)
                .set_request_payer(self.payer.clone())
                .set_delimiter(part.by_folder.then(|| "/".to_owned()))
                .set_continuation_token(token.map(str::to_owned));
            let error = match call.send().await {
                Ok(page) => return Ok(page),
                Err(error) => ObjectError::of(Asked::List, &self.name, &part.prefix, &error),
            };
            failures += 1;
            if !error.may_pass || failures >= MOST_FAILURES {
                return Err(error);
            }
            back_off(failures).await;
        }
    }
}

impl Listing {
    fn absorb(&mut self, mut other: Self) {
        self.objects.append(&mut other.objects);
        self.before_span += other.before_span;
        self.folders_passed_over += other.folders_passed_over;
        self.calls += other.calls;
    }
}

fn timestamp(time: &DateTime) -> Option<Timestamp> {
    time.to_millis().ok().and_then(Timestamp::from_epoch_ms)
}
