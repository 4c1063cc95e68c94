//! Arguments of `export`.

use std::path::PathBuf;

use clap::Args;

use super::values::not_stdout;
use super::{Judgement, Logs};

/// `portcullis export`.
#[derive(Debug, Args)]
#[command(after_long_help = EXPORT_HELP)]
pub struct Export {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
    /// The directory to write. It appears when it is whole; an earlier export there is
    /// replaced, and a directory that holds anything else is left alone.
    #[arg(long, value_name = "DIR", value_parser = not_stdout)]
    pub out: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub judgement: Judgement,
}

const EXPORT_HELP: &str = "\
DIR then holds
  requests/date=…/hour=…/*.parquet   every request, by the hour of its time in UTC
  detections/*.parquet               every rule that fired on a source that stands out
  offenders/*.parquet                the sources that stand out
  duckdb.sql                         views for DuckDB: cd DIR && duckdb -init duckdb.sql
  athena.sql                         tables for Athena
  manifest.json                      rows of each table, and what could not be seen

Columns, types and units are in docs/columns.md. Secrets are always hidden. A run that was
killed leaves a hidden directory `.DIR.unfinished-…` beside DIR, which the next run removes.";
