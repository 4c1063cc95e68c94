//! The objects of a bucket: finding those of a time span, and reading them ahead.
//!
//! [`Bucket::list`] decides which objects there are to read, [`Prefetch`] keeps the
//! network busy while others decode, in bounded memory. What is in an object is left to
//! ingest. An object is what was listed, to the byte: one that was replaced since is an
//! error and not a mixture.

mod calendar;
mod error;
mod fetch;
mod listing;

use aws_config::retry::RetryConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::types::RequestPayer;

pub use calendar::Span;
pub use error::ObjectError;
pub use fetch::{Body, Prefetch, Room};
pub use listing::{Listed, Listing};

use crate::connection::Connection;

/// Where objects are: a bucket and how their keys begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The bucket's name.
    pub bucket: String,
    /// The beginning of the keys; empty means all.
    pub prefix: String,
}

impl Location {
    /// Reads `s3://bucket` or `s3://bucket/prefix`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("s3://")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        // The name goes into the host of an address, so nothing else may be in it.
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let valid = (3..=255).contains(&bucket.len()) && bucket.bytes().all(is_name);
        valid.then(|| Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

/// A bucket of which objects are read.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: Client,
    name: String,
    payer: Option<RequestPayer>,
}

impl Bucket {
    /// A bucket; nothing is asked yet. With `requester_pays`, the caller's account pays
    /// for the transfer, as some buckets demand.
    pub fn new(connection: &Connection, name: &str, requester_pays: bool) -> Self {
        let config = Builder::from(&connection.config)
            .force_path_style(connection.path_style)
            // Tries are counted here, where it is known what came already.
            .retry_config(RetryConfig::disabled());
        Self {
            client: Client::from_conf(config.build()),
            name: name.to_owned(),
            payer: requester_pays.then_some(RequestPayer::Requester),
        }
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Most failures in a row of one call, or of one object without a byte more.
///
/// With three calls in ten throttled, one call in a million meets twelve.
const MOST_FAILURES: u32 = 12;
