//! The command line, as clap reads it. Nothing here acts.

mod authors;
mod crawlers;
mod doctor;
mod export;
mod headings;
mod judgement;
#[cfg(feature = "lambda")]
mod lambda;
mod logs;
#[cfg(feature = "query")]
mod query;
mod remediation;
mod review;
mod run;
mod setup;
mod values;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::exit;
use values::at_least_one;

pub use authors::{
    Backtest, BacktestOutput, Bench, Calibrate, ImportSigma, LevelArgument, Lint, LintOutput,
    TableOrJson,
};
pub use crawlers::{CrawlerOptions, resolver};
pub use doctor::Doctor;
pub use export::Export;
pub use headings::{command, parse};
pub use judgement::{Enrichment, Judgement};
#[cfg(feature = "lambda")]
pub use lambda::Lambda;
pub use logs::{Access, Keeping, Logs, Reading, Within};
#[cfg(feature = "query")]
pub use query::{Query, QueryOutput};
pub use remediation::{
    Apply, Audit, ByHand, Changing, Expire, Ledger, Manner, Pardon, Promote, Protected, Reached,
    ReleaseAll, Rollback, ScopeArgument, Shape, Status, TargetOptions,
};
pub use review::{Report, Review};
pub use run::{Reporting, Run, Watch, Watched};
pub use setup::{ApiKind, Init, Schedule, WebAcl};

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

/// `portcullis scan`.
#[derive(Debug, Args)]
#[command(after_long_help = exit::HELP)]
pub struct Scan {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub keeping: Keeping,
    /// Shape of the output.
    #[arg(short, long, value_name = "SHAPE", default_value = "table")]
    pub output: ScanOutput,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub judgement: Judgement,
    /// Find what `plan` would: what stands in half an object is set aside, and JSON tells what
    /// all sources did well, which a plan weighs.
    #[arg(long)]
    pub for_plan: bool,
    /// End with code 2 when there are offenders (at or above --fail-on).
    #[arg(long)]
    pub exit_code: bool,
    /// The least severity that counts for --exit-code, which this implies.
    #[arg(long, value_name = "SEVERITY")]
    pub fail_on: Option<SeverityArgument>,
    /// Show only the first N offenders of the table.
    #[arg(long, value_name = "N", value_parser = at_least_one, default_value = "50")]
    pub top: NonZeroUsize,
}

/// Shape of a scan's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScanOutput {
    /// For people.
    Table,
    /// One document.
    Json,
    /// One offender a line.
    Jsonl,
    /// For spreadsheets; no cell is a formula. Secrets are always hidden.
    Csv,
    /// OCSF Detection Findings (class 2004), one offender a line.
    Ocsf,
    /// Events of the Elastic Common Schema, one offender a line.
    Ecs,
}

/// A severity on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SeverityArgument {
    /// Any offender.
    Low,
    /// Medium, high and critical.
    Medium,
    /// High and critical.
    High,
    /// Critical alone.
    Critical,
}

/// `portcullis decode`.
#[derive(Debug, Args)]
#[command(after_long_help = DECODE_HELP)]
pub struct Decode {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
    /// Write records that could not be read to FILE, as JSON Lines.
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Shape of the lines.
    #[arg(short, long, value_name = "SHAPE", default_value = "jsonl")]
    pub output: DecodeOutput,
}

/// Shape of decoded requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DecodeOutput {
    /// The fields of the log.
    Jsonl,
    /// OCSF HTTP Activity (class 4002). Secrets are always hidden.
    Ocsf,
}

const DECODE_HELP: &str = "\
Each line is one request, in the order of the input. Fields, in this order, left out
when the log does not have them: id time client method path query route status
user_agent host referer protocol response_bytes latency_ms api_id stage api_key_id
principal error_type waf_action waf_rule waf_labels ja3 ja4 country forwarded_for
headers object offset. Times are RFC 3339 in UTC with
milliseconds; offset counts bytes of the decompressed object.

Text that is valid UTF-8 is given exactly; control, bidirectional and zero-width
characters are written as JSON \\u escapes, so that no line can act on a terminal.
Text that is not valid UTF-8 is given with each bad byte as \\xHH and each backslash
doubled, and the record then names those fields: \"escaped\":[\"path\"]. Undo it by
replacing \\\\ with \\ and \\xHH with the byte.

Records that cannot be read are counted on stderr, and the program ends with code 3.";

/// `portcullis classify`.
#[derive(Debug, Args)]
#[command(after_long_help = CLASSIFY_HELP)]
pub struct Classify {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
    /// Use the rules of this directory instead of the built-in ones.
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
}

const CLASSIFY_HELP: &str = "\
Each line is one request, in the order of the input: id client time flagged score
categories rules. `flagged` means that the signature score reaches the block level.
Rate rules judge clients, not requests, and take no part here.";

/// `portcullis explain`.
#[derive(Debug, Args)]
#[command(after_long_help = EXPLAIN_HELP)]
pub struct Explain {
    /// An address, or the id of a request.
    ///
    /// An IPv6 address stands for its /64, as everywhere. A request is explained with the
    /// client that sent it.
    #[arg(value_name = "ADDRESS|REQUEST-ID")]
    pub question: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub judgement: Judgement,
    /// Shape of the output.
    #[arg(short, long, value_name = "SHAPE", default_value = "human")]
    pub output: ExplainOutput,
}

/// Shape of an explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExplainOutput {
    /// For people.
    Human,
    /// One document.
    Json,
}

const EXPLAIN_HELP: &str = "\
The score of a client is the sum over the rules that fired on it: the rule's points
(severity times confidence, see `portcullis rules list`), once, and once more each time
the requests double, at most four times. A rate rule counts its bursts instead of
requests. The score of a request is the sum of the points of its rules, but of one
category at most twice its highest rule.

Ends with 0 when there is something to account for, and with 1 when no request of that
client, or with that id, is in the logs.";

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
    pub output: PlanOutput,
    /// What a person decided about sources, as `portcullis review` saves it: approvals,
    /// rejections, pardons, durations. An approval never overrides what is never blocked.
    #[arg(long, value_name = "FILE")]
    pub decisions: Option<PathBuf>,
    /// Also write the plan as JSON to FILE.
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

/// Shape of a plan's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanOutput {
    /// For people.
    Human,
    /// One document.
    Json,
}

/// `portcullis rules …`.
#[derive(Debug, Subcommand)]
pub enum Rules {
    /// List the rules.
    List {
        /// Use the rules of this directory instead of the built-in ones.
        #[arg(long, value_name = "DIR")]
        rules: Option<PathBuf>,
    },
    /// Show one rule: what it finds, what it misses, its examples.
    Show {
        /// The rule's id, such as `sqli/union-select`.
        id: String,
        /// Use the rules of this directory instead of the built-in ones.
        #[arg(long, value_name = "DIR")]
        rules: Option<PathBuf>,
    },
    /// Run every rule's examples.
    ///
    /// Ends with 0 when every example behaves as its rule says, 2 when one does not, and 1
    /// when a rule cannot be loaded.
    Test {
        /// Test the rules of this directory instead of the built-in ones.
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
    /// Look for what is wrong with rules: errors, costs, overlaps, examples that prove nothing.
    Lint(Lint),
    /// Measure what each rule costs and finds, in counts that every machine repeats.
    Bench(Bench),
    /// Turn Sigma rules about web servers into rules, and say what cannot be carried over.
    ImportSigma(ImportSigma),
}

/// `portcullis formats …`.
#[derive(Debug, Subcommand)]
pub enum Formats {
    /// List the presets.
    List,
    /// Say what a format lets the rules see, which rules are blind with it, and what to
    /// log instead.
    ///
    /// Ends with 0 when the format shows everything that API Gateway can log for the rules
    /// and has no problem, with 2 when it does not, and with 1 when it is refused. Formats
    /// of other sources, which nobody can choose, are described and end with 0.
    Check {
        /// A preset's name, an API Gateway template, or `@FILE` holding one.
        #[arg(value_name = "FORMAT")]
        format: String,
        /// Use the rules of this directory instead of the built-in ones.
        #[arg(long, value_name = "DIR")]
        rules: Option<PathBuf>,
    },
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
