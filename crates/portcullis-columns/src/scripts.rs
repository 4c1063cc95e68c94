//! What lets other programs read an export: a script for DuckDB and statements for Athena.
//!
//! Requests lie below `date=…/hour=…`, which both take for columns. Requests without a time
//! are in the partition that Hive calls `__HIVE_DEFAULT_PARTITION__`, whose date is null.

use std::fmt::Write as _;

use crate::schema::{DETECTIONS, Kind, OFFENDERS, REQUESTS, Schema};

const TABLES: [&Schema; 3] = [&REQUESTS, &DETECTIONS, &OFFENDERS];

/// A script that makes a view of each table; run where the export lies.
pub fn duckdb() -> String {
    let mut text = String::from(
        "-- In this directory: duckdb -init duckdb.sql\n\
         -- Times are in UTC, whatever the zone of whoever asks.\n\
         SET TimeZone = 'UTC';\n",
    );
    for schema in TABLES {
        let table = schema.table;
        let (files, options) = if *schema == REQUESTS {
            (
                "*/*/*.parquet",
                ", hive_partitioning = true, hive_types = {'date': DATE, 'hour': BIGINT}",
            )
        } else {
            ("*.parquet", ", hive_partitioning = false")
        };
        writeln!(
            text,
            "CREATE OR REPLACE VIEW {table} AS\n  \
             SELECT * FROM read_parquet('{table}/{files}'{options});"
        )
        .expect("writing to a string does not fail");
    }
    text
}

/// Statements that make an external table of each; `BUCKET/PREFIX` is where the export was
/// copied to.
pub fn athena() -> String {
    let mut text = String::from(
        "-- Copy this directory to s3://BUCKET/PREFIX and put that in for it below. Athena runs\n\
         -- one statement at a time.\n",
    );
    for schema in TABLES {
        let columns: Vec<String> = schema
            .columns
            .iter()
            .map(|column| {
                let kind = match column.kind {
                    Kind::Text => "string",
                    Kind::Time => "timestamp",
                    Kind::Integer => "bigint",
                    Kind::Boolean => "boolean",
                };
                format!("  `{}` {kind} COMMENT '{}'", column.name, comment(column.about))
            })
            .collect();
        let table = schema.table;
        let partitions = if *schema == REQUESTS {
            "PARTITIONED BY (`date` string, `hour` string)\n"
        } else {
            ""
        };
        write!(
            text,
            "\nCREATE EXTERNAL TABLE IF NOT EXISTS `{table}` (\n{}\n)\n{partitions}\
             STORED AS PARQUET\nLOCATION 's3://BUCKET/PREFIX/{table}/';\n",
            columns.join(",\n")
        )
        .expect("writing to a string does not fail");
        if *schema == REQUESTS {
            writeln!(text, "\nMSCK REPAIR TABLE `{table}`;")
                .expect("writing to a string does not fail");
        }
    }
    text
}

/// What a column says, as Athena takes it between quotes.
fn comment(about: &str) -> String {
    about.replace('`', "").replace('\'', "''")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_name_every_column_of_every_table() {
        let text = athena();
        for schema in TABLES {
            for column in schema.columns {
                assert!(text.contains(&format!("  `{}` ", column.name)), "{}", column.name);
            }
        }
        // An apostrophe would end the comment early.
        assert!(text.contains("API''s domain name"));
    }
}
