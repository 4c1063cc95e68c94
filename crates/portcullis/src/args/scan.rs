//! Options of `scan`.

use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};

use super::values::at_least_one;
use super::{Judgement, Keeping, Logs};
use crate::exit;

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
