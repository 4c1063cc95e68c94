//! Options of the commands for those who write rules.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
