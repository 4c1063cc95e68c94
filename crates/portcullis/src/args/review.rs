//! Arguments of the commands that people review findings with.

use std::path::PathBuf;

use clap::Args;

use super::{CrawlerRanges, Logs, Protected};
use crate::exit;

/// What a plan to be reviewed starts from. Shared by `report` and `review`.
#[derive(Debug, Args)]
pub struct PlanInputs {
    /// The IP sets as they are now, a JSON file. Without it the plan starts from two
    /// empty sets, one for IPv4 and one for IPv6.
    #[arg(long, value_name = "FILE")]
    pub current: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub protected: Protected,
    /// Use the rules of this directory instead of the built-in ones.
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub crawlers: CrawlerRanges,
    /// Plan as of this time (RFC 3339); the default is now.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

/// `portcullis report`.
#[derive(Debug, Args)]
#[command(after_long_help = exit::HELP)]
pub struct Report {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
    /// The file to write. `-` writes to stdout.
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    pub output: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub plan: PlanInputs,
}
