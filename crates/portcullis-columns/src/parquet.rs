//! Tables as Parquet: one file, a row group for each batch.
//!
//! Written with the `parquet` crate, which the program has for reading, and not with
//! polars: one writer of a format is enough, and the other one would bring two C libraries
//! and a second Thrift along. Every column is optional, dictionaries and Snappy keep the
//! repetition of logs small, and times are `TIMESTAMP(MILLIS, UTC)`, which DuckDB, Athena,
//! Spark and polars all read as what they are.
//!
//! Source: Parquet format 2.10, "Logical Types".

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::schema::{Kind, SCHEMA_VERSION, Schema};
use crate::table::{Present, Table, Values};

/// A file of one table being written.
pub struct Parquet<W: Write + Send> {
    schema: &'static Schema,
    writer: SerializedFileWriter<W>,
}

impl<W: Write + Send> Parquet<W> {
    /// Begins a file.
    pub fn new(schema: &'static Schema, out: W) -> io::Result<Self> {
        let message = Arc::new(parse_message_type(&message(schema))?);
        let version =
            KeyValue::new("portcullis.schema_version".to_owned(), SCHEMA_VERSION.to_string());
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("portcullis ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(vec![version]))
            .build();
        let writer = SerializedFileWriter::new(out, message, Arc::new(properties))?;
        Ok(Self { schema, writer })
    }

    /// Writes all rows of a table as one row group.
    pub fn row_group(&mut self, table: &Table) -> io::Result<()> {
        assert_eq!(self.schema, table.schema(), "a file holds rows of one table");
        let mut group = self.writer.next_row_group()?;
        for (_, values) in table.columns() {
            let mut column = group.next_column()?.expect("the file has the table's columns");
            write(column.untyped(), values)?;
            column.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// Ends the file and gives back where it was written.
    pub fn finish(self) -> io::Result<W> {
        Ok(self.writer.into_inner()?)
    }
}

fn write(column: &mut ColumnWriter<'_>, values: &Values) -> parquet::errors::Result<usize> {
    let levels = Some(values.levels.as_slice());
    match (column, &values.present) {
        (ColumnWriter::ByteArrayColumnWriter(column), Present::Text(bytes, ends)) => {
            let begins = std::iter::once(&0).chain(ends);
            let texts: Vec<ByteArray> = begins
                .zip(ends)
                .map(|(begin, end)| ByteArray::from(bytes[*begin..*end].to_vec()))
                .collect();
            column.write_batch(&texts, levels, None)
        }
        (ColumnWriter::Int64ColumnWriter(column), Present::Integer(numbers)) => {
            column.write_batch(numbers, levels, None)
        }
        (ColumnWriter::BoolColumnWriter(column), Present::Boolean(flags)) => {
            column.write_batch(flags, levels, None)
        }
        _ => unreachable!("the file's schema is made from the table's"),
    }
}

/// The schema in Parquet's own language.
fn message(schema: &Schema) -> String {
    let fields = schema.columns.iter().map(|column| {
        let name = column.name;
        match column.kind {
            Kind::Text => format!("OPTIONAL BYTE_ARRAY {name} (STRING);"),
            Kind::Time => format!("OPTIONAL INT64 {name} (TIMESTAMP(MILLIS,true));"),
            Kind::Integer => format!("OPTIONAL INT64 {name};"),
            Kind::Boolean => format!("OPTIONAL BOOLEAN {name};"),
        }
    });
    format!("message {} {{ {} }}", schema.table, fields.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;

    use super::*;
    use crate::testing::findings;
    use crate::{DETECTIONS, OFFENDERS, REQUESTS, detections};

    #[test]
    fn every_table_is_read_back_by_the_crates_reader() {
        let table = detections(&findings(b"/a"));
        let mut file = Parquet::new(&DETECTIONS, Vec::new()).expect("a file");
        file.row_group(&table).expect("a row group");
        file.row_group(&table).expect("a row group");
        let bytes = bytes::Bytes::from(file.finish().expect("a whole file"));
        let reader = SerializedFileReader::new(bytes).expect("a file that can be read");
        let metadata = reader.metadata().file_metadata();
        assert_eq!(usize::try_from(metadata.num_rows()), Ok(2 * table.rows()));
        let rules: Vec<String> = reader
            .get_row_iter(None)
            .expect("rows")
            .map(|row| row.expect("a row").get_string(2).expect("a rule").clone())
            .collect();
        let expected: Vec<String> = table.column("rule").map(|rule| format!("{rule:?}")).collect();
        let expected = [expected.clone(), expected].concat();
        let rules: Vec<String> = rules.iter().map(|rule| format!("Text({rule:?})")).collect();
        assert_eq!(rules, expected);
    }

    #[test]
    fn a_table_without_rows_is_a_whole_file() {
        for schema in [&REQUESTS, &DETECTIONS, &OFFENDERS] {
            let file = Parquet::new(schema, Vec::new()).expect("a file");
            let bytes = bytes::Bytes::from(file.finish().expect("a whole file"));
            let reader = SerializedFileReader::new(bytes).expect("a file that can be read");
            let columns = reader.metadata().file_metadata().schema_descr().num_columns();
            assert_eq!(columns, schema.columns.len());
        }
    }
}
