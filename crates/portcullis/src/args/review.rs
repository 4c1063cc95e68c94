//! Arguments of the commands that people review findings with.

use std::path::PathBuf;

use clap::Args;

use super::values::not_stdout;
use super::{Judgement, Logs, Protected, TargetOptions};
use crate::exit;

/// What a plan to be reviewed starts from. Shared by `report` and `review`.
#[derive(Debug, Args)]
pub struct PlanInputs {
    /// The IP sets as they are now, a JSON file. Without it, and where no --target is
    /// named, the plan starts from two empty sets, one for IPv4 and one for IPv6.
    #[arg(long, value_name = "FILE")]
    pub current: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub protected: Protected,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub judgement: Judgement,
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
    /// The file to write. `-` writes to stdout. It is replaced whole: a link is followed, the
    /// mode is kept, and a device or pipe is written to.
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    pub output: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub plan: PlanInputs,
}

/// `portcullis review`.
#[derive(Debug, Args)]
#[command(after_long_help = REVIEW_HELP)]
pub struct Review {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
    /// Print the story of this source on the terminal instead of serving pages: an address,
    /// or an IPv6 /64 as outputs print it.
    #[arg(long, value_name = "ADDRESS")]
    pub source: Option<String>,
    /// Where decisions are saved, and read if it is there already.
    #[arg(long, value_name = "FILE", value_parser = not_stdout, default_value = "decisions.json")]
    pub decisions: PathBuf,
    /// Where the plan is saved.
    #[arg(long, value_name = "FILE", value_parser = not_stdout, default_value = "plan.json")]
    pub out: PathBuf,
    /// Who decides, recorded with each decision. Without it nobody is.
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Port on this machine; without it, one that is free.
    #[arg(long, value_name = "PORT", default_value = "0", hide_default_value = true)]
    pub port: u16,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub plan: PlanInputs,
    /// Where the sets are that the plan is for. With it, the sets and the ledger are read
    /// from there, and the saved plan can be carried out.
    #[command(flatten)]
    pub target: TargetOptions,
}

const REVIEW_HELP: &str = "\
Prints the address of a page on this machine, whose key is behind the #, and serves it
until the review is finished there or by Ctrl-C. Nobody else on the network can reach it,
the page loads nothing, and nothing is changed in AWS: what is saved are two files, the
decisions and the plan, which `portcullis apply` takes.

With --source ADDRESS the same is printed for one source, and nothing is served.";
