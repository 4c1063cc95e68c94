//! Options of the commands for those who write rules.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::values::{at_least_one, not_stdout};
use super::{CrawlerOptions, Logs};

/// `portcullis rules …`.
#[derive(Debug, Subcommand)]
pub enum Rules {
    /// List the rules.
    List {
        /// List the rules of this directory instead of the built-in ones.
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
        /// The same, as other commands have it.
        #[arg(long, value_name = "DIR", conflicts_with = "directory")]
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

/// `portcullis rules lint`.
#[derive(Debug, Args)]
#[command(after_long_help = LINT_HELP)]
pub struct Lint {
    /// Look at the rules of this directory instead of the built-in ones.
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// A log format that the rules will read: a preset's name, an API Gateway template, or
    /// `@FILE` holding one. May be given several times; rules that one of them makes blind
    /// are told. Without it, only rules are told that every known format makes blind.
    #[arg(long = "format", value_name = "FORMAT")]
    pub formats: Vec<String>,
    /// Shape of the output.
    #[arg(short, long, value_name = "SHAPE", default_value = "human")]
    pub output: LintOutput,
    /// The least level that ends with code 2.
    #[arg(long, value_name = "LEVEL", default_value = "warning")]
    pub fail_on: LevelArgument,
    /// The least level that is shown.
    #[arg(long, value_name = "LEVEL", default_value = "note")]
    pub level: LevelArgument,
}

/// Shape of a lint's findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LintOutput {
    /// For people.
    Human,
    /// One document.
    Json,
    /// SARIF 2.1.0, for code hosts and editors. Ends with 0 whatever was found, so that a
    /// step which uploads it still runs.
    Sarif,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LevelArgument {
    /// Worth knowing.
    Note,
    /// Makes a rule worse than it looks.
    Warning,
    /// The rule set is refused, or a rule contradicts its own proof.
    Error,
    /// None.
    Never,
}

const LINT_HELP: &str = "\
A finding that its author knows of is allowed in the rule's file, with a reason:

    # lint: allow common-literal: every template expression begins so

Errors cannot be allowed. Ends with 0, or with 2 when there are findings of the level of
--fail-on or worse.";

/// `portcullis rules bench`.
#[derive(Debug, Args)]
#[command(after_long_help = BENCH_HELP)]
pub struct Bench {
    /// Measure the rules of this directory; `builtin` means the built-in ones, which are the
    /// default.
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Logs to measure on: files, directory trees, globs, or `-` for standard input.
    /// Without them, the examples of the rules are the log.
    #[arg(value_name = "LOCATION")]
    pub locations: Vec<String>,
    /// Log format: a preset's name, an API Gateway template, or `@FILE` holding one.
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Worker threads, one for each core unless given; every number gives the same output.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub threads: Option<NonZeroUsize>,
    /// Shape of the output.
    #[arg(short, long, value_name = "SHAPE", default_value = "table")]
    pub output: TableOrJson,
    /// Show only the first N rules of the table.
    #[arg(long, value_name = "N", value_parser = at_least_one, default_value = "30")]
    pub top: NonZeroUsize,
}

/// Shape of an output that is a table for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TableOrJson {
    /// For people.
    Table,
    /// One document.
    Json,
}

const BENCH_HELP: &str = "\
The literals of all rules are searched together, once; a rule's own cost is the text that
its expressions and its tokeniser then read. READ is that text in bytes, SHARE its part of
what all rules read. These are counts, not times: the same logs and rules give the same
numbers on every machine. Texts are counted as if nothing were remembered of earlier ones.
Of a rate rule, CANDIDATES are the requests that it counts.";

/// `portcullis backtest`.
#[derive(Debug, Args)]
#[command(after_long_help = BACKTEST_HELP)]
pub struct Backtest {
    /// The rules as they are: a directory, or `builtin`.
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The rules as they would be: a directory, or `builtin`.
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
    /// Shape of the output.
    #[arg(short, long, value_name = "SHAPE", default_value = "table")]
    pub output: BacktestOutput,
    /// Good requests that a changed rule may harm before its test case fails.
    #[arg(long, value_name = "N", default_value = "0")]
    pub max_harm: u64,
    /// End with code 2 when a rule harms more than --max-harm.
    #[arg(long)]
    pub fail_on_harm: bool,
    /// Flagged requests, and offenders, that a change may find no longer.
    #[arg(long, value_name = "N", default_value = "0", requires = "fail_on_loss")]
    pub max_loss: u64,
    /// End with code 2 when more flagged requests or offenders than --max-loss are found no
    /// longer.
    #[arg(long)]
    pub fail_on_loss: bool,

    #[command(flatten)]
    pub crawlers: CrawlerOptions,
}

/// Shape of a backtest's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BacktestOutput {
    /// For people.
    Table,
    /// One document.
    Json,
    /// `JUnit` XML, a test case for each rule.
    #[value(help = "JUnit XML, a test case for each rule")]
    Junit,
}

const BACKTEST_HELP: &str = "\
A good request is answered 2xx or 3xx and not flagged by the old rules. A changed rule
harms the good requests that it newly flags, and the other good requests of the sources
that it makes offenders. Rules whose files are the same in both are never at fault.";

/// `portcullis calibrate`.
#[derive(Debug, Args)]
#[command(after_long_help = CALIBRATE_HELP)]
pub struct Calibrate {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
    /// Use the rules of this directory instead of the built-in ones.
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// The share of honest clients that a rule may name, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0.001", value_parser = share)]
    pub harm_budget: f64,
    /// The number of honest clients that a rule may name, instead of a share.
    #[arg(long, value_name = "N", conflicts_with = "harm_budget")]
    pub harm_clients: Option<u64>,
    /// Shape of the output.
    #[arg(short, long, value_name = "SHAPE", default_value = "table")]
    pub output: TableOrJson,

    #[command(flatten)]
    pub crawlers: CrawlerOptions,
}

const CALIBRATE_HELP: &str = "\
Each rate rule's highest window is taken of every honest client, and quantiles of those
that it counted at all. A client is taken for honest when no signature speaks against it:
nothing flagged, and at most two rules observed. Clients that attack without a signature,
by guessing passwords for one, are among them, and make the suggested threshold too high,
never too low. Rates by anything but the client are not measured.";

/// Parses a share.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a share from 0 to 1, such as 0.001".to_owned())
}

/// `portcullis rules import-sigma`.
#[derive(Debug, Args)]
#[command(after_long_help = IMPORT_HELP)]
pub struct ImportSigma {
    /// Sigma rules, YAML files.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Write the rules below DIR instead of to stdout. No file is overwritten.
    #[arg(long, value_name = "DIR", value_parser = not_stdout)]
    pub out: Option<PathBuf>,
    /// The category of the imported rules.
    #[arg(long, value_name = "CATEGORY", default_value = "other")]
    pub category: String,
}

const IMPORT_HELP: &str = "\
Only rules with `logsource: category: webserver` are carried over, and only where what comes
out fires on no more than the original, both read after decoding. What would widen a rule
refuses it; what narrows it is told with its place and stands in the rule's `misses`.
Path and the query are searched apart and without the `?` between them: a value across it is
left out. So is one with an escaped `/`, `?`, `#`, `&` or `=`, which after decoding is no
longer told from one that divides a URI. The examples are derived from the rule and marked
as generated: `portcullis rules lint` says so.

Ends with 0 when every rule was carried over, and with 3 when one was refused.";
