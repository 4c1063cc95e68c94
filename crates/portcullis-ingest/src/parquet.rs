//! Parquet objects: Firehose's conversion of JSON records, and CloudFront's own.
//!
//! Each row is written as the line of JSON it came from, so that a converted object
//! is read by the same keys as the records it was made of. Offsets count those
//! lines' bytes.
//!
//! Of damaged files the crate that reads them refuses most and panics at some. Such an
//! object is as incomplete as any other that is damaged, so its panics are errors here.

use std::io::{self, Read, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::file::reader::SerializedFileReader;
use parquet::file::serialized_reader::ReadOptionsBuilder;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};

/// Rows of a Parquet file as lines of JSON, read a row at a time. Columns without a value are
/// left out.
///
/// # Errors
/// When the file is damaged; reading fails, too, where the damage is found later.
pub fn parquet_rows(bytes: Vec<u8>) -> io::Result<impl Read> {
    unpanicked(|| {
        let options = ReadOptionsBuilder::new().build();
        let reader = SerializedFileReader::new_with_options(bytes::Bytes::from(bytes), options)?;
        let iterator = Some(RowIter::from_file_into(Box::new(reader)));
        Ok(Rows { iterator, line: Vec::new(), at: 0 })
    })
}

fn unpanicked<T>(read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    // What the panic left half done is not looked at again.
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(io::Error::other("damaged Parquet: what it says cannot be")))
}

struct Rows {
    /// `None` after an error.
    iterator: Option<RowIter<'static>>,
    line: Vec<u8>,
    at: usize,
}

impl Rows {
    /// Makes the next row the line; false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let Some(mut iterator) = self.iterator.take() else { return Ok(false) };
        let next = unpanicked(|| Ok(iterator.next().transpose()?))?;
        let Some(row) = next else { return Ok(false) };
        self.iterator = Some(iterator);
        self.line.clear();
        self.at = 0;
        write_row(&row, &mut self.line);
        self.line.push(b'\n');
        Ok(true)
    }
}

impl Read for Rows {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.line.len() && !self.advance()? {
            return Ok(0);
        }
        let length = buffer.len().min(self.line.len() - self.at);
        buffer[..length].copy_from_slice(&self.line[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

fn write_row(row: &Row, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for (name, value) in row.get_column_iter() {
        if matches!(value, Field::Null) {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write_string(name.as_bytes(), out);
        out.push(b':');
        write_value(value, out);
    }
    out.push(b'}');
}

fn write_value(value: &Field, out: &mut Vec<u8>) {
    match value {
        Field::Str(text) => write_string(text.as_bytes(), out),
        Field::Bytes(bytes) => write_string(bytes.data(), out),
        Field::Group(row) => write_row(row, out),
        Field::TimestampMillis(ms) => {
            let _ = write!(out, "{ms}");
        }
        Field::TimestampMicros(us) => {
            let _ = write!(out, "{}", us / 1_000);
        }
        Field::ListInternal(list) => {
            out.push(b'[');
            for (index, element) in list.elements().iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(element, out);
            }
            out.push(b']');
        }
        Field::Bool(_)
        | Field::Byte(_)
        | Field::Short(_)
        | Field::Int(_)
        | Field::Long(_)
        | Field::UByte(_)
        | Field::UShort(_)
        | Field::UInt(_)
        | Field::ULong(_)
        | Field::Null => {
            let _ = write!(out, "{value}");
        }
        other => write_string(other.to_string().as_bytes(), out),
    }
}

/// A JSON string. Bytes that are not UTF-8 stay as they are: the reader takes bytes.
fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0..=0x1f => {
                let _ = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::column::writer::ColumnWriter;
    use parquet::data_type::ByteArray;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use proptest::prelude::*;

    use super::*;

    /// A file as Firehose's conversion writes it: Snappy pages, optional columns.
    fn file(addresses: &[&str], statuses: &[i32]) -> Vec<u8> {
        let schema = "message record { OPTIONAL BYTE_ARRAY ip (UTF8); OPTIONAL INT32 status; }";
        let schema = Arc::new(parse_message_type(schema).expect("a schema"));
        let compression = parquet::basic::Compression::SNAPPY;
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut writer =
            SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).expect("a writer");
        let mut group = writer.next_row_group().expect("a group");
        let levels = vec![1; addresses.len()];
        while let Some(mut column) = group.next_column().expect("a column") {
            match column.untyped() {
                ColumnWriter::ByteArrayColumnWriter(column) => {
                    let values: Vec<_> = addresses.iter().map(|a| ByteArray::from(*a)).collect();
                    column.write_batch(&values, Some(&levels), None).expect("values");
                }
                ColumnWriter::Int32ColumnWriter(column) => {
                    column.write_batch(statuses, Some(&levels), None).expect("values");
                }
                _ => unreachable!("the schema has two columns"),
            }
            column.close().expect("a column");
        }
        group.close().expect("a group");
        writer.into_inner().expect("a file")
    }

    #[test]
    fn rows_become_the_records_they_were() {
        let mut text = String::new();
        let bytes = file(&["192.0.2.1", "2001:db8::\"1"], &[200, 403]);
        parquet_rows(bytes).expect("a file").read_to_string(&mut text).expect("rows");
        let expected = "{\"ip\":\"192.0.2.1\",\"status\":200}\n\
            {\"ip\":\"2001:db8::\\\"1\",\"status\":403}\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let bytes = file(&["192.0.2.1"], &[200]);
        for length in [5, bytes.len() / 2, bytes.len() - 1] {
            assert!(parquet_rows(bytes[..length].to_vec()).is_err(), "cut at {length}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_file_panics(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = file(&["192.0.2.1", "2001:db8::1"], &[200, 403]);
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Ok(mut rows) = parquet_rows(bytes) {
                let mut text = Vec::new();
                while rows.read_to_end(&mut text).is_err() && text.len() < 1 << 20 {
                    // Whoever goes on reading after an error comes to an end, too.
                }
            }
        }
    }
}
