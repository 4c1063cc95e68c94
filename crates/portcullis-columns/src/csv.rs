//! Tables for spreadsheets.
//!
//! Spreadsheets run what begins like a formula, and a cell of a log may. So every cell that
//! begins so is given a leading apostrophe, which they take for "this is text". Quoting is
//! RFC 4180 and left to the csv crate.
//!
//! Source: OWASP, "CSV Injection"; ASVS 5, 1.2.10.

use std::borrow::Cow;

use portcullis_ingest::Timestamp;

use crate::schema::Kind;
use crate::table::{Table, Value};

/// The table under a row of headings. Times are RFC 3339 in UTC, absent values are empty.
pub fn csv(table: &Table) -> Vec<u8> {
    let mut out = csv::Writer::from_writer(Vec::new());
    let memory = "writing to memory does not fail";
    out.write_record(table.columns().map(|(column, _)| column.name)).expect(memory);
    let mut columns: Vec<_> =
        table.columns().map(|(column, values)| (column.kind, values.iter())).collect();
    for _ in 0..table.rows() {
        for (kind, values) in &mut columns {
            let value = values.next().expect("every column has a value for every row");
            let cell = cell(*kind, value);
            let cell = if matches!(value, Value::Text(_)) { guarded(&cell) } else { cell };
            out.write_field(cell.as_bytes()).expect(memory);
        }
        out.write_record(None::<&[u8]>).expect(memory);
    }
    out.into_inner().expect(memory)
}

fn cell(kind: Kind, value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::Absent => Cow::Borrowed(""),
        Value::Text(text) => Cow::Borrowed(text),
        Value::Boolean(value) => Cow::Borrowed(if value { "true" } else { "false" }),
        Value::Integer(ms) if kind == Kind::Time => {
            Cow::Owned(Timestamp::from_epoch_ms(ms).map_or(String::new(), |time| time.to_string()))
        }
        Value::Integer(number) => Cow::Owned(number.to_string()),
    }
}

/// Rows of words, every text among them guarded. A negative number begins like a formula and
/// is none.
#[cfg(feature = "query")]
pub(crate) fn csv_of<'w>(rows: impl Iterator<Item = Vec<(Cow<'w, str>, IsText)>>) -> Vec<u8> {
    let mut out = csv::Writer::from_writer(Vec::new());
    let memory = "writing to memory does not fail";
    for row in rows {
        let cells = row.iter().map(|(words, is_text)| match is_text {
            IsText::Yes => guarded(words),
            IsText::No => Cow::Borrowed(&**words),
        });
        out.write_record(cells.map(|cell| cell.as_bytes().to_vec())).expect(memory);
    }
    out.into_inner().expect(memory)
}

/// Whether a cell is text, and not a number or a flag.
#[cfg(feature = "query")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IsText {
    Yes,
    No,
}

/// A cell that no spreadsheet takes for a formula. Full-width signs count too: some fold
/// them. One apostrophe taken away gives the text back.
fn guarded(cell: &str) -> Cow<'_, str> {
    let text = cell.trim_start();
    let acts = text.starts_with([
        '=', '+', '-', '@', '\'', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ]);
    if acts || text.len() < cell.len() {
        Cow::Owned(format!("'{cell}"))
    } else {
        Cow::Borrowed(cell)
    }
}

#[cfg(test)]
mod tests {
    use portcullis_ingest::is_unsafe_to_print;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::findings;
    use crate::{detections, offenders};

    fn cells(table: &[u8]) -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(table);
        let rows = reader.records().map(|row| row.expect("valid CSV"));
        rows.map(|row| row.iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn a_formula_in_a_log_is_text_in_a_cell() {
        for formula in
            ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", " =1", "\u{ff1d}1", "\r=1"]
        {
            let rows = cells(&csv(&offenders(&findings(formula.as_bytes()))));
            assert_eq!(rows.len(), 2, "{formula:?}");
            let place = rows[0].iter().position(|name| name == "example").expect("the column");
            let example = &rows[1][place];
            let acts = example.trim_start().starts_with(['=', '+', '-', '@', '\u{ff1d}']);
            assert!(!acts && example.contains("passwd"), "{example}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_cell_acts_and_the_guard_comes_off(cell in "[=+\\-@'\t\r\n ,\"a＝]{0,8}") {
            let guarded = guarded(&cell);
            let acts = guarded.trim_start().starts_with(['=', '+', '-', '@', '\u{ff1d}']);
            prop_assert!(!acts);
            let stripped = guarded.strip_prefix('\'').unwrap_or(&guarded);
            prop_assert_eq!(stripped, cell.as_str());
        }

        #[test]
        fn whatever_was_logged_the_tables_are_inert(
            text in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let found = findings(&text);
            for table in [offenders(&found), detections(&found)] {
                let text = String::from_utf8(csv(&table)).expect("cells are text");
                prop_assert!(text.chars().all(|c| c == '\n' || !is_unsafe_to_print(c)), "{text:?}");
                for row in cells(text.as_bytes()) {
                    prop_assert_eq!(row.len(), table.schema().columns.len());
                    for cell in row {
                        prop_assert!(!cell.trim_start().starts_with(['=', '+', '-', '@']), "{cell:?}");
                    }
                }
            }
        }
    }
}
