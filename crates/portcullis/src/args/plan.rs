//! Options of `plan`.

use std::path::PathBuf;

use clap::Args;

use super::{Judgement, Keeping, Logs, Protected, Shape, TargetOptions};
use crate::exit;

/// `portcullis plan`.
#[derive(Debug, Args)]
#[command(after_long_help = exit::HELP)]
#[command(mut_arg("locations", |locations| {
    locations.required(false).required_unless_present("findings").conflicts_with("findings")
}))]
pub struct Plan {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub keeping: Keeping,
    /// Plan on findings that were written before, instead of on logs: the JSON of `scan
    /// --for-plan -o json`, or the JSON or Parquet of a job on Apache Spark. They are refused
    /// unless every listed object was read once and the sums over objects and over sources
    /// agree.
    #[arg(long, value_name = "FILE", conflicts_with = "state")]
    pub findings: Option<PathBuf>,
    /// The IP sets as they are now, a JSON file. Without it and without --target the plan
    /// starts from two empty sets, one for IPv4 and one for IPv6.
    #[arg(long, value_name = "FILE", conflicts_with = "target")]
    pub current: Option<PathBuf>,
    /// Networks that are never blocked.
    #[command(flatten)]
    pub protected: Protected,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub judgement: Judgement,
    /// Shape of the output.
    #[arg(short, long, value_name = "SHAPE", default_value = "human")]
    pub output: Shape,
    /// What a person decided about sources, as `portcullis review` saves it: approvals,
    /// rejections, pardons, durations. An approval never overrides what is never blocked.
    #[arg(long, value_name = "FILE")]
    pub decisions: Option<PathBuf>,
    /// Also write the plan as JSON to FILE, as `report` writes its page; to stdout, where `-`
    /// is given, it goes alone.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// End with code 2 when the plan has changes.
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Plan as of this time (RFC 3339); the default is now.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Where the sets are that the plan is for. With it, the sets and the ledger are read
    /// from there, and the plan can be carried out.
    #[command(flatten)]
    pub target: TargetOptions,
}
