//! Arguments of `query`.

use clap::{Args, ValueEnum};

use super::{Judgement, Logs};

/// `portcullis query`.
#[derive(Debug, Args)]
#[command(after_long_help = QUERY_HELP)]
pub struct Query {
    /// The question, such as "SELECT status, count(*) FROM requests GROUP BY status".
    #[arg(value_name = "SQL")]
    pub sql: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub judgement: Judgement,
    /// Shape of the output.
    #[arg(short, long, value_name = "SHAPE", default_value = "table")]
    pub output: QueryOutput,
}

/// Shape of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum QueryOutput {
    /// For people.
    Table,
    /// One document: `columns`, and `rows`, each an object.
    Json,
    /// One row a line, as an object.
    Jsonl,
    /// For spreadsheets; no cell is a formula.
    Csv,
}

const QUERY_HELP: &str = "\
The tables are requests, detections and offenders; docs/columns.md says what their columns
are. Times are in UTC. The SQL is that of polars. Without ORDER BY, the order of rows is
that of the answer's making and may differ between versions.

The columns that a question names are kept in memory, and are not to take more than half of
--memory; more than that ends with an error, and `export` with DuckDB is the way then.";
