//! Findings that were kept as rows of Parquet → [`Findings`].
//!
//! Two columns: `kind` says what a row is of the findings, `document` has it as the JSON that
//! `scan` prints. That is all there is, and no typed columns beside it: evidence and
//! detections nest three deep, and a plan stands on exactly what the JSON says, escaped text
//! included. A second notation would be a second reader of hostile text, and what both say
//! could differ. Whoever wants to ask questions has [`crate::offenders`] and
//! [`crate::detections`], and data frames on a cluster.
//!
//! A file is input like any log. What it unpacks to is bounded before and while it is read.

use std::io::{self, BufRead as _, BufReader, Read as _};

use portcullis_detection::Findings;
use portcullis_detection::document::{Assembly, DocumentError};
use portcullis_ingest::parquet_rows;
use serde::Deserialize;

/// What a file of Parquet begins with.
const MAGIC: &[u8] = b"PAR1";

/// Why a file was refused.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// It is damaged.
    #[error("it is no whole file of Parquet")]
    Parquet(#[from] io::Error),
    /// A row is no part of findings.
    #[error("row {row}, of the columns `kind` and `document`")]
    Row {
        /// Its number, from 0.
        row: u64,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// It unpacks to more than was allowed.
    #[error("it unpacks to more than {0} bytes")]
    TooLarge(u64),
    /// The rows are not of one whole.
    #[error(transparent)]
    Whole(#[from] DocumentError),
}

/// Whether a file is Parquet.
pub fn is_parquet(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads findings that were kept as rows, of at most so many bytes of text.
///
/// # Errors
/// When the file is damaged, of another table, or too large.
pub fn kept_findings(bytes: Vec<u8>, most_bytes: u64) -> Result<Findings, KeptError> {
    #[derive(Deserialize)]
    struct Kept {
        kind: String,
        document: String,
    }
    let mut lines = BufReader::new(parquet_rows(bytes)?).take(most_bytes);
    let mut assembly = Assembly::default();
    let mut line = Vec::new();
    for row in 0.. {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if lines.limit() == 0 {
            return Err(KeptError::TooLarge(most_bytes));
        }
        let wrong = |source| KeptError::Row { row, source };
        let kept = serde_json::from_slice(&line).map_err(|error| wrong(error.into()))?;
        let Kept { kind, document } = kept;
        assembly.push(&kind, false, &document).map_err(wrong)?;
    }
    Ok(assembly.kept()?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::basic::Compression;
    use parquet::data_type::{ByteArray, ByteArrayType};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use portcullis_detection::Traffic;
    use portcullis_detection::document::{json::Secrets, keep_parts, write_document};

    use super::*;

    /// A file with two columns of text, as pyarrow writes it.
    fn file(names: [&str; 2], rows: &[(&str, &str)]) -> Vec<u8> {
        let [first, second] = names.map(|name| format!("OPTIONAL BYTE_ARRAY {name} (STRING);"));
        let schema = parse_message_type(&format!("message schema {{ {first} {second} }}"));
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let schema = Arc::new(schema.expect("a schema"));
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))
            .expect("memory takes all");
        let mut group = writer.next_row_group().expect("a group");
        let columns: [Vec<&str>; 2] =
            [rows.iter().map(|row| row.0).collect(), rows.iter().map(|row| row.1).collect()];
        for values in columns {
            let mut column = group.next_column().expect("a column").expect("there are two");
            let values: Vec<ByteArray> = values.into_iter().map(ByteArray::from).collect();
            let levels = vec![1; values.len()];
            let typed = column.typed::<ByteArrayType>();
            typed.write_batch(&values, Some(&levels), None).expect("values");
            column.close().expect("a column");
        }
        group.close().expect("a group");
        writer.into_inner().expect("a file")
    }

    fn findings() -> Findings {
        let mut findings = crate::testing::findings("/b\u{202e}\u{1b}[2J\u{fffd}".as_bytes());
        findings.traffic = Some(Traffic::default());
        findings.with_audit(0, Vec::new())
    }

    fn kept() -> Vec<u8> {
        let parts = keep_parts(&findings(), Secrets::Hidden).expect("it has an audit");
        let rows: Vec<_> = parts.iter().map(|part| (part.kind.name(), &*part.text)).collect();
        file(["kind", "document"], &rows)
    }

    fn document(findings: &Findings) -> String {
        let mut text = Vec::new();
        write_document(&mut text, findings, None, Secrets::Hidden);
        String::from_utf8(text).expect("JSON is UTF-8")
    }

    #[test]
    fn what_was_kept_as_rows_is_written_as_the_same_json() {
        let read = kept_findings(kept(), 1 << 20).expect("a file of ours");
        assert!(!read.offenders.is_empty());
        assert_eq!(document(&read), document(&findings()));
    }

    #[test]
    fn what_is_no_table_of_findings_is_refused_with_the_row() {
        let check = |bytes: Vec<u8>, most_bytes, expected: &str| {
            let error = kept_findings(bytes, most_bytes).expect_err("it is refused");
            let all = [
                Some(error.to_string()),
                std::error::Error::source(&error).map(ToString::to_string),
            ];
            let text = all.into_iter().flatten().collect::<Vec<_>>().join(": ");
            assert!(text.contains(expected), "{text}");
        };
        check(b"PAR1".to_vec(), 1 << 20, "no whole file of Parquet");
        check(kept(), 100, "more than 100 bytes");
        let other = file(["kind", "text"], &[("offender", "{}")]);
        check(
            other,
            1 << 20,
            "row 0, of the columns `kind` and `document`: missing field `document`",
        );
        let named = |rows: &[(&str, &str)]| file(["kind", "document"], rows);
        check(named(&[("traffic", "{}")]), 1 << 20, "missing field `source`");
        check(named(&[("\u{1b}", "{}")]), 1 << 20, "`\\u{1b}` is no kind, in the parts");
        check(named(&[]), 1 << 20, "no rows of the kind `findings`");
    }
}
