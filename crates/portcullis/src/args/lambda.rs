//! Arguments of `lambda`.

use clap::Args;

use super::Watched;
use crate::span;

/// `portcullis lambda`.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct Lambda {
    /// Where the logs are: `s3://BUCKET/PREFIX`.
    #[arg(value_name = "LOCATION")]
    pub locations: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub watched: Watched,
    /// Do nothing but take out of the sets what is over, at every event of a schedule: for a
    /// function of its own, whose role sees no log.
    #[arg(long, conflicts_with = "no_expire")]
    pub only_expire: bool,
    /// Be done so long before AWS Lambda ends an invocation.
    #[arg(long, value_name = "LENGTH", value_parser = span::length, default_value = "10s")]
    pub margin: i64,
    /// A message with which nothing can be done is named when it came so many times. The
    /// queue moves it aside, if it has a queue for that.
    #[arg(long, value_name = "N", default_value = "5")]
    pub deliveries: u32,
}

const HELP: &str = "\
For the container image of a function. An event of a schedule does what `run` does; a batch
of a queue's messages does what `watch` does with them, and the answer names those that
are to come again: the event source mapping must have ReportBatchItemFailures. Only one
invocation should run at a time; another waits for it, and gives its messages back.

Reading ends at three quarters of the time that is left to --margin before the end of the
invocation. Stderr is lines of JSON, stdout one line of JSON for each round.";
