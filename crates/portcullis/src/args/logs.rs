//! Which logs are read, and how: the options of every command that reads logs.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser};
use ipnet::IpNet;
use portcullis_ingest::Timestamp;

use super::values::{at_least_one, bytes, memory, network, not_stdout};
use crate::bucket::Store;
use crate::output::json::Secrets;
use crate::span;

/// Which logs to read and how.
#[derive(Debug, Args)]
pub struct Logs {
    /// Files, directory trees, globs, `s3://BUCKET/PREFIX`, or `-` for standard input.
    ///
    /// In a directory tree, hidden files and files that are plainly no logs
    /// (MANIFEST.json, truth.json, README*, LICENSE*, *.md, *.toml) are passed over;
    /// --verbose names them. A linked directory in it is not looked into, which a warning
    /// says. What is named outright is always read.
    #[arg(required = true, value_name = "LOCATION")]
    pub locations: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub reading: Reading,
    /// AWS WAF full logs of the same requests, to be joined by extended request id. May
    /// be given several times.
    ///
    /// The query string, headers and labels come from AWS WAF's record, status and latency
    /// from the access log. A record without a partner counts as a request of its own.
    /// That the ids are the same is inferred from published samples, not yet confirmed on a
    /// live stage.
    #[arg(long = "join-waf", value_name = "LOCATION")]
    pub join_waf: Vec<String>,
    /// Most memory for AWS WAF records that wait for their partner.
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "256M")]
    pub join_memory: u64,
    /// Write tokens, credentials and cookies in clear in JSON. Otherwise, and in tables, they
    /// are `[redacted]`.
    #[arg(long)]
    pub show_secrets: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub within: Within,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub access: Access,
}

/// How objects are read.
#[derive(Debug, Clone, Args)]
pub struct Reading {
    /// Log format: a preset's name, an API Gateway template, or `@FILE` holding one.
    ///
    /// Without it, the format of each object is detected. `portcullis formats list` names
    /// the presets.
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Worker threads, one for each core unless given; every number gives the same output.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub threads: Option<NonZeroUsize>,
    /// Most bytes that one object may unpack to; K, M, G and T are powers of 1024. What
    /// lies beyond is not read, and the object counts as incomplete.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub max_object_bytes: Option<u64>,
    /// Most memory to use; K, M, G and T are powers of 1024. When what is known of clients
    /// fills it, those that did nothing remarkable are forgotten, and the result says by how
    /// much its numbers may be too low. An attacker is never forgotten.
    #[arg(long, value_name = "BYTES", value_parser = memory, default_value = "512M")]
    pub memory: u64,
    /// A proxy or network of proxies in front of the API whose X-Forwarded-For entries
    /// are believed. May be given several times.
    ///
    /// The client is then the rightmost forwarded address that is none of them. Without
    /// it, the client is the address that connected. A trusted proxy is never blocked.
    #[arg(long = "trusted-proxy", value_name = "CIDR", value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,
    /// Write what could not be read to files in DIR, one for each object, as JSON Lines
    /// with the object, the offset and the reason. DIR is outside the logs. What earlier runs
    /// kept there stays; the names of the second run's files have a 2, and so on.
    #[arg(long, value_name = "DIR", value_parser = not_stdout)]
    pub quarantine: Option<PathBuf>,
    /// Count a record each time it was delivered. Otherwise, of records of one request that
    /// Firehose delivered twice one counts, where the log has ids of API Gateway's own making.
    /// `decode` and `classify` show every record.
    #[arg(long)]
    pub keep_duplicates: bool,
    /// Pay for the transfer from buckets that demand it.
    #[arg(long)]
    pub requester_pays: bool,
}

/// What is kept from run to run.
#[derive(Debug, Default, Args)]
pub struct Keeping {
    /// Keep what was found in FILE, or in `s3://BUCKET/KEY`: only objects that are new
    /// since the last run are read, each counts once, and the result is about all of
    /// --lookback.
    #[arg(
        long,
        value_name = "FILE",
        env = "PORTCULLIS_STATE",
        conflicts_with_all = ["since", "from", "to", "join_waf"]
    )]
    pub state: Option<String>,
    /// How far back objects count, by the time they were written: `90m`, `24h`, `3d`.
    #[arg(
        long,
        value_name = "LENGTH",
        value_parser = span::length,
        default_value = "25h",
        requires = "state"
    )]
    pub lookback: i64,
}

/// The span of time that is looked at. Requests outside it are passed over and counted,
/// and in a bucket, objects that can hold none of it are not fetched.
#[derive(Debug, Default, Args)]
pub struct Within {
    /// Only requests of this long before now, or before --to: `90s`, `30m`, `6h`, `2d`.
    #[arg(
        long,
        value_name = "LENGTH",
        value_parser = span::length,
        allow_hyphen_values = true,
        conflicts_with = "from"
    )]
    pub since: Option<i64>,
    /// Only requests from this time on: RFC 3339, or a day in UTC.
    #[arg(long, value_name = "TIME", value_parser = span::time)]
    pub from: Option<Timestamp>,
    /// Only requests before this time: RFC 3339, or a day in UTC.
    #[arg(long, value_name = "TIME", value_parser = span::time)]
    pub to: Option<Timestamp>,
}

/// How AWS is reached. What is not given is found where every AWS tool finds it.
#[derive(Debug, Clone, Default, Args)]
pub struct Access {
    /// Profile of the AWS configuration.
    #[arg(long, value_name = "NAME", env = "PORTCULLIS_PROFILE")]
    pub profile: Option<String>,
    /// Role to assume with the credentials that are found.
    #[arg(long, value_name = "ARN", env = "PORTCULLIS_ASSUME_ROLE")]
    pub assume_role: Option<String>,
    /// Region of the bucket, or of the sets; CLOUDFRONT sets are in us-east-1 whatever is
    /// given.
    #[arg(long, value_name = "REGION", env = "PORTCULLIS_REGION")]
    pub region: Option<String>,
    /// Another server than AWS.
    #[arg(long, value_name = "URL", env = "PORTCULLIS_ENDPOINT_URL")]
    pub endpoint_url: Option<String>,
}

impl Access {
    /// As the AWS crate takes it.
    pub fn options(&self) -> portcullis_aws::Options {
        portcullis_aws::Options {
            profile: self.profile.clone(),
            assume_role: self.assume_role.clone(),
            region: self.region.clone(),
            // Other servers than AWS have no names for their buckets.
            path_style: self.endpoint_url.is_some(),
            endpoint_url: self.endpoint_url.clone(),
            ..portcullis_aws::Options::default()
        }
    }
}

impl Logs {
    /// How the buckets among the locations are reached.
    pub fn store(&self) -> Store<'_> {
        Store { access: &self.access, requester_pays: self.reading.requester_pays }
    }

    /// Locations read as they come, with nothing else asked for.
    pub fn plain(locations: Vec<String>) -> Self {
        #[derive(Parser)]
        struct Plain {
            #[command(flatten)]
            logs: Logs,
        }
        let Plain { logs } = Plain::parse_from(["portcullis", "-"]);
        Self { locations, ..logs }
    }

    /// Whether secrets are written.
    pub fn secrets(&self) -> Secrets {
        if self.show_secrets { Secrets::Shown } else { Secrets::Hidden }
    }
}
