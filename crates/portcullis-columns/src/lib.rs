//! Requests and [`Findings`](portcullis_detection::Findings) → typed columns.
//!
//! Decides what the tables [`REQUESTS`], [`DETECTIONS`] and [`OFFENDERS`] are called, which
//! columns they have, of which type and unit, and how they are written: as [`Parquet`], as
//! [`csv`], and with the scripts that let DuckDB and Athena read them. Every output is made
//! from the one [`Schema`], so they cannot disagree.
//!
//! Findings that a job on a cluster kept as rows of Parquet are read here, too
//! ([`kept_findings`]): another shape, made to be read back.
//!
//! With the feature `query`, questions in SQL are answered over the same tables ([`query`]),
//! by polars. It is a feature because it doubles what there is to compile.
//!
//! Requests come without end and memory does not: a [`Table`] is a batch, rows are added to
//! it, and a full one is written as a row group and dropped. What a client wrote passes
//! through the same gate as everywhere, [`portcullis_review::shown`]: secrets are hidden and
//! nothing is left that acts, so that a column may be printed by whoever reads it.
//!
//! Nothing here opens a file or a socket, reads a clock or the environment.

mod csv;
mod findings;
mod kept;
mod logged;
mod parquet;
mod requests;
mod schema;
mod scripts;
#[cfg(feature = "query")]
mod sql;
mod table;
#[cfg(test)]
mod testing;

pub use csv::csv;
pub use findings::{detections, offenders};
pub use kept::{KeptError, is_parquet, kept_findings};
pub use parquet::Parquet;
pub use requests::{Judged, push_request};
pub use schema::{Column, DETECTIONS, Kind, OFFENDERS, REQUESTS, SCHEMA_VERSION, Schema};
pub use scripts::{athena, duckdb};
#[cfg(feature = "query")]
pub use sql::{Answer, Cell, SqlError, asks, harmless, mentioned, query};
pub use table::{Row, Table, Value};
