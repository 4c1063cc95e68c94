//! The command line, as clap reads it. Nothing here acts.

mod authors;
mod crawlers;
mod doctor;
mod explain;
mod export;
mod headings;
mod judgement;
#[cfg(feature = "lambda")]
mod lambda;
mod lines;
mod logs;
mod plan;
#[cfg(feature = "query")]
mod query;
mod remediation;
mod review;
mod run;
mod scan;
mod setup;
mod values;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::exit;

pub use authors::{
    Backtest, BacktestOutput, Bench, Calibrate, Formats, ImportSigma, LevelArgument, Lint,
    LintOutput, Rules, TableOrJson,
};
pub use crawlers::{CrawlerOptions, resolver};
pub use doctor::Doctor;
pub use explain::Explain;
pub use export::Export;
pub use headings::{command, parse};
pub use judgement::{Enrichment, Judgement};
#[cfg(feature = "lambda")]
pub use lambda::Lambda;
pub use lines::{Classify, Decode, DecodeOutput};
pub use logs::{Access, Keeping, Logs, Reading, Within};
pub use plan::Plan;
#[cfg(feature = "query")]
pub use query::{Query, QueryOutput};
pub use remediation::{
    Apply, Audit, ByHand, Changing, Expire, Ledger, Manner, Pardon, Promote, Protected, Reached,
    ReleaseAll, Rollback, ScopeArgument, Status, TargetOptions,
};
pub use review::{Report, Review};
pub use run::{Reporting, Run, Watch, Watched};
pub use scan::{Scan, ScanOutput, SeverityArgument};
pub use setup::{ApiKind, Init, Schedule, WebAcl};
pub use values::Shape;

/// Finds attackers in API access logs and suggests AWS WAF IP-set changes.
///
/// Reads the access logs that API Gateway delivers through Firehose (or any combined
/// log), finds clients that attack, says why, plans the IP-set changes that would block
/// them, and carries a plan out when it is told to.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, after_help = exit::HELP, propagate_version = true)]
pub struct Arguments {
    /// Options every command knows.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options every command knows.
#[derive(Debug, Args)]
pub struct Global {
    /// When to colour. `auto` means on a terminal, and obeys `NO_COLOR`, `CLICOLOR_FORCE`
    /// and `TERM=dumb`.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: When,
    /// Say nothing on stderr but errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more on stderr: files that were skipped and why.
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Shape of what is said on stderr: for people, or lines of JSON for services.
    #[arg(
        long,
        global = true,
        value_name = "SHAPE",
        env = "PORTCULLIS_LOG",
        default_value = "human"
    )]
    pub log: LogShape,
    /// Draw no progress bar. It is only drawn on a terminal anyway.
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// Configuration file; without it, ./portcullis.toml is read if it is there. What is
    /// given here or in the environment wins over the file.
    #[arg(long, global = true, value_name = "FILE", env = "PORTCULLIS_CONFIG")]
    pub config: Option<PathBuf>,
}

/// Shape of what is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogShape {
    /// For people.
    Human,
    /// One event a line.
    Json,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal that wants it.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the files that set the whole pipeline up: Terraform, CloudFormation, schedules.
    Init(Init),
    /// Find the clients that attack, with the reason beside each.
    Scan(Scan),
    /// Print every request as one line of JSON.
    Decode(Decode),
    /// Print a verdict for every request as one line of JSON.
    Classify(Classify),
    /// Account for one client or request: every rule, the sum, and what speaks for it.
    Explain(Explain),
    /// Compute the IP-set changes that would block the offenders. Changes nothing.
    Plan(Plan),
    /// Carry a plan out: change the IP sets.
    Apply(Apply),
    /// Read what is new, plan, and do what the mode of each target allows. For schedules.
    Run(Run),
    /// Do what `run` does as soon as a queue tells of new objects.
    Watch(Watch),
    /// Do what `run` and `watch` do when AWS Lambda calls for it.
    #[cfg(feature = "lambda")]
    Lambda(Lambda),
    /// Let canaries block that have stood their probation.
    Promote(Promote),
    /// Take out of the sets what is over. Needs no logs and no rules.
    Expire(Expire),
    /// Undo what one operation blocked, as far as it is still ours.
    Rollback(Rollback),
    /// Take everything of ours out of the sets.
    ReleaseAll(ReleaseAll),
    /// Unblock an address, forget its strikes, and keep it out for a week.
    Pardon(Pardon),
    /// Show what is blocked, until when, and where sets and ledger differ.
    Status(Status),
    /// Check every part of the pipeline on AWS, and say what to mend. Changes nothing.
    Doctor(Doctor),
    /// Show or check the account of every change.
    #[command(subcommand)]
    Audit(Audit),
    /// Make a lost ledger anew.
    #[command(subcommand)]
    Ledger(Ledger),
    /// Write a report: one HTML page about what was found, and the plan.
    Report(Report),
    /// Write requests and findings as Parquet, for DuckDB, Athena, Spark and polars.
    Export(Export),
    /// Review the offenders on a page of your own: decide about each, and save the plan.
    Review(Review),
    /// Ask about requests, detections and offenders in SQL.
    #[cfg(feature = "query")]
    Query(Query),
    /// Show what a change of rules would add and drop over logs, and whom it would harm.
    Backtest(Backtest),
    /// Measure honest clients by the rate rules, and choose thresholds that spare them.
    Calibrate(Calibrate),
    /// List, show, test, lint and measure rules.
    #[command(subcommand)]
    Rules(Rules),
    /// List log formats and check what one lets the rules see.
    #[command(subcommand)]
    Formats(Formats),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page (roff).
    Man,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }
}
