//! Questions in SQL, answered by polars over tables in memory.
//!
//! A question reads the tables and nothing else: polars is built without its readers, so
//! `read_parquet('/etc/…')` and the like are errors and no file or address can be reached.
//! polars keeps whole columns, and a log may be larger than memory, so only the columns that
//! a question can mean are kept: [`mentioned`] says which those are.
//!
//! Source: polars, "SQL interface", <https://docs.pola.rs/api/python/stable/reference/sql>.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use polars::prelude::{
    AnyValue, Column as Series, DataFrame, DataType, IntoColumn as _, IntoLazy as _,
    NamedFrom as _, PolarsError, Series as Values, TimeUnit,
};
use polars::sql::SQLContext;
use portcullis_ingest::{Timestamp, is_unsafe_to_print};

use crate::csv::{IsText, csv_of};
use crate::schema::{Column, Kind, Schema};
use crate::table::{Table, Value};

/// What a question came to: named columns and their rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The columns' names, as the question has them.
    pub columns: Vec<String>,
    /// The rows, each with a cell for each column.
    pub rows: Vec<Vec<Cell>>,
}

/// One value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// No value.
    Absent,
    /// Yes or no.
    Boolean(bool),
    /// A whole number.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// Text; a time as `2026-03-02 09:15:00.123`, in UTC.
    Text(String),
}

impl Cell {
    /// The value in words, with nothing in it that acts. What a client wrote is inert in the
    /// tables already; a question can put text together anew.
    pub fn words(&self) -> String {
        match self {
            Self::Absent => String::new(),
            Self::Boolean(flag) => flag.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Text(text) => harmless(text),
        }
    }
}

/// Text with what would act escaped, and nothing else: backslashes are escapes already.
pub fn harmless(text: &str) -> String {
    let shown = |character: char| {
        if is_unsafe_to_print(character) {
            character.escape_unicode().to_string()
        } else {
            character.to_string()
        }
    };
    text.chars().map(shown).collect()
}

impl Answer {
    /// The answer for spreadsheets; no cell is a formula.
    pub fn csv(&self) -> Vec<u8> {
        let headings = self.columns.iter().map(|name| (harmless(name).into(), IsText::Yes));
        let cells = |cell: &Cell| match cell {
            Cell::Text(_) => (cell.words().into(), IsText::Yes),
            _ => (cell.words().into(), IsText::No),
        };
        let rows = self.rows.iter().map(|row| row.iter().map(cells).collect());
        csv_of(std::iter::once(headings.collect()).chain(rows))
    }
}

/// Why a question has no answer.
#[derive(Debug)]
pub enum SqlError {
    /// A statement that begins with this word asks for nothing: it would change a table.
    NoQuestion(String),
    /// What polars says of it.
    Refused(PolarsError),
    /// What polars says where it ended in a panic, as it does on `interval '1 x'`.
    Panicked(String),
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NoQuestion(word) => {
                return write!(f, "it begins with `{word}`; a question begins with SELECT or WITH");
            }
            Self::Refused(error) => error.to_string(),
            Self::Panicked(text) => format!("polars failed: {text}"),
        };
        // The columns that polars lists are those that were kept, not those that there are,
        // and of what it does not support it prints the tree.
        let text = text.split("; valid columns:").next().unwrap_or(&text);
        let text = text.lines().next().unwrap_or(text).trim_end_matches(':');
        match text.char_indices().nth(LONGEST_ERROR) {
            Some((end, _)) => write!(f, "{}…", &text[..end]),
            None => f.write_str(text),
        }
    }
}

/// Characters of what polars says that are shown.
const LONGEST_ERROR: usize = 200;

impl std::error::Error for SqlError {}

/// The words that questions begin with.
const BEGINNINGS: [&str; 6] = ["select", "with", "from", "values", "show", "explain"];

/// Whether a statement asks for something, by its first word, so that none is answered after
/// hours of reading with what is no answer.
///
/// # Errors
/// [`SqlError::NoQuestion`] of a statement that begins with any other word.
pub fn asks(sql: &str) -> Result<(), SqlError> {
    let mut text = sql;
    loop {
        text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
        let rest = if let Some(comment) = text.strip_prefix("--") {
            comment.split_once('\n')
        } else if let Some(comment) = text.strip_prefix("/*") {
            comment.split_once("*/")
        } else {
            break;
        };
        text = rest.map_or("", |(_, rest)| rest);
    }
    let word = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    if BEGINNINGS.iter().any(|beginning| word.eq_ignore_ascii_case(beginning)) {
        return Ok(());
    }
    Err(SqlError::NoQuestion(word.to_owned()))
}

/// Answers a question about tables, each known by its schema's name.
///
/// # Errors
/// What does not ask, does not parse, names no table or column, or does not compute.
pub fn query(sql: &str, tables: &[Table]) -> Result<Answer, SqlError> {
    asks(sql)?;
    let context = SQLContext::new();
    for table in tables {
        context.register(table.schema().table, frame(table).map_err(SqlError::Refused)?.lazy());
    }
    let mut context = context;
    let answered = || {
        let frame = context.execute(sql).and_then(polars::prelude::LazyFrame::collect)?;
        answer(&frame)
    };
    match catch_unwind(AssertUnwindSafe(answered)) {
        Ok(answer) => answer.map_err(SqlError::Refused),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(SqlError::Panicked(text.unwrap_or("it does not say why").to_owned()))
        }
    }
}

/// The columns of a table that a question can mean: those whose name stands in it, or all
/// where it has a `*` that is not a count's.
pub fn mentioned(sql: &str, schema: &Schema) -> Vec<&'static str> {
    let counts = sql.to_ascii_lowercase().split_whitespace().collect::<String>();
    let takes_all = counts.replace("count(*)", "").contains('*') || counts.contains("columns(");
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words: Vec<&str> = sql.split(|character| !is_name(character)).collect();
    let has = |name: &str| words.iter().any(|word| word.eq_ignore_ascii_case(name));
    let names = schema.columns.iter().map(|column| column.name);
    let mut kept: Vec<_> = names.filter(|name| takes_all || has(name)).collect();
    if kept.is_empty() {
        // Rows are counted by some column: a number is the smallest.
        let small = schema.columns.iter().find(|column| column.kind == Kind::Integer);
        kept.extend(small.map(|column| column.name));
    }
    kept
}

fn frame(table: &Table) -> Result<DataFrame, PolarsError> {
    let columns = table.columns().map(|(column, values)| series(*column, values.iter()));
    DataFrame::new(table.rows(), columns.collect::<Result<_, _>>()?)
}

fn series<'t>(
    column: Column,
    values: impl Iterator<Item = Value<'t>>,
) -> Result<Series, PolarsError> {
    let name = column.name.into();
    let integers = |values: &mut dyn Iterator<Item = Value<'t>>| {
        let integers = values.map(|value| match value {
            Value::Integer(number) => Some(number),
            _ => None,
        });
        integers.collect::<Vec<Option<i64>>>()
    };
    let mut values = values;
    let series = match column.kind {
        Kind::Text => {
            let texts = values.map(|value| match value {
                Value::Text(text) => Some(text),
                _ => None,
            });
            Values::new(name, texts.collect::<Vec<Option<&str>>>())
        }
        Kind::Boolean => {
            let flags = values.map(|value| match value {
                Value::Boolean(flag) => Some(flag),
                _ => None,
            });
            Values::new(name, flags.collect::<Vec<Option<bool>>>())
        }
        Kind::Integer => Values::new(name, integers(&mut values)),
        Kind::Time => Values::new(name, integers(&mut values))
            .cast(&DataType::Datetime(TimeUnit::Milliseconds, None))?,
    };
    Ok(series.into_column())
}

fn answer(frame: &DataFrame) -> Result<Answer, PolarsError> {
    let columns = frame.columns();
    let rows = (0..frame.height()).map(|row| {
        columns.iter().map(|column| Ok(cell(&column.get(row)?))).collect::<Result<_, _>>()
    });
    let rows = rows.collect::<Result<_, PolarsError>>()?;
    let columns = columns.iter().map(|column| column.name().to_string()).collect();
    Ok(Answer { columns, rows })
}

fn cell(value: &AnyValue<'_>) -> Cell {
    match value {
        AnyValue::Null => Cell::Absent,
        AnyValue::Boolean(flag) => Cell::Boolean(*flag),
        AnyValue::String(text) => Cell::Text((*text).to_owned()),
        AnyValue::Datetime(count, unit, _) | AnyValue::DatetimeOwned(count, unit, _) => {
            moment(*count, *unit)
                .map_or_else(|| Cell::Text(value.str_value().into_owned()), Cell::Text)
        }
        value if value.is_integer() => value.extract().map_or(Cell::Absent, Cell::Integer),
        value if value.is_float() => value.extract().map_or(Cell::Absent, Cell::Float),
        value => Cell::Text(value.str_value().into_owned()),
    }
}

/// A time as every output writes it, RFC 3339 in UTC, where it has a year of four digits.
fn moment(count: i64, unit: TimeUnit) -> Option<String> {
    let milliseconds = match unit {
        TimeUnit::Milliseconds => count,
        TimeUnit::Microseconds => count.div_euclid(1_000),
        TimeUnit::Nanoseconds => count.div_euclid(1_000_000),
    };
    Timestamp::from_epoch_ms(milliseconds).map(|time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::findings;
    use crate::{DETECTIONS, OFFENDERS, REQUESTS, detections, offenders};

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        let found = findings(b"/a");
        let answer = query(sql, &[detections(&found), offenders(&found)]);
        let text = match answer {
            Ok(Answer { columns, rows }) => format!("{columns:?} {rows:?}"),
            Err(error) => error.to_string(),
        };
        assert!(text.contains(expected), "{sql}: {text}");
    }

    #[test]
    fn questions_are_answered_from_the_tables() {
        check("SELECT source FROM offenders", r#"["source"] [[Text("203.0.113.9")]]"#);
        check("SELECT count(*) AS n FROM offenders WHERE score > 0", r#"["n"] [[Integer(1)]]"#);
        check(
            "SELECT o.source, count(*) > 1 AS several FROM detections d \
             JOIN offenders o ON d.source = o.source GROUP BY o.source",
            r#"[[Text("203.0.113.9"), Boolean(true)]]"#,
        );
        check("SELECT last FROM offenders", "[[Absent]]");
    }

    #[test]
    fn times_are_written_as_everywhere() {
        let expected = Some("2026-02-25T06:00:00.250Z");
        for (count, unit) in [
            (1_771_999_200_250, TimeUnit::Milliseconds),
            (1_771_999_200_250_999, TimeUnit::Microseconds),
            (1_771_999_200_250_999_999, TimeUnit::Nanoseconds),
        ] {
            assert_eq!(moment(count, unit).as_deref(), expected, "{unit:?}");
        }
        assert_eq!(moment(i64::MAX, TimeUnit::Milliseconds), None);
    }

    #[test]
    fn a_number_below_zero_is_no_formula() {
        let sql = "SELECT -5 AS a, -1.5 AS b, '-5' AS c FROM offenders";
        let answer = query(sql, &[offenders(&findings(b"/a"))]).expect("an answer");
        assert_eq!(answer.csv(), b"a,b,c\n-5,-1.5,'-5\n");
    }

    #[test]
    fn what_changes_tables_is_no_question() {
        for statement in
            ["DELETE FROM offenders", "truncate table offenders", "CREATE TABLE x AS SELECT 1", ""]
        {
            check(statement, "a question begins with SELECT");
        }
        check("-- who\n/* and */ (select source FROM offenders)", r#"["source"]"#);
        check("WITH o AS (SELECT source FROM offenders) SELECT * FROM o", r#"["source"]"#);
    }

    #[test]
    fn what_polars_cannot_do_is_said_in_a_line() {
        let exists = "SELECT source FROM offenders WHERE EXISTS (SELECT 1)";
        let told = query(exists, &[offenders(&findings(b"/a"))]).expect_err("exists").to_string();
        assert!(told.starts_with("expression Exists"), "{told}");
        assert!(told.chars().count() <= LONGEST_ERROR + 1, "{told}");
        check("SELECT source, interval '1 x' FROM offenders", "unit: 'x' not supported");
    }

    #[test]
    fn no_question_reaches_beyond_the_tables() {
        for reader in ["read_csv", "read_parquet", "read_json", "read_ipc"] {
            let sql = format!("SELECT * FROM {reader}('/etc/passwd')");
            let answer = query(&sql, &[]);
            assert!(answer.is_err(), "{reader}: {answer:?}");
        }
        assert!(query("COPY offenders TO '/tmp/x'", &[offenders(&findings(b"/a"))]).is_err());
    }

    #[test]
    fn only_columns_that_a_question_can_mean_are_kept() {
        assert_eq!(mentioned("select Path, count(*) from requests", &REQUESTS), ["path"]);
        assert_eq!(mentioned("SELECT \"time\" FROM requests", &REQUESTS), ["time"]);
        assert_eq!(
            mentioned("SELECT r.* FROM requests r", &REQUESTS).len(),
            REQUESTS.columns.len()
        );
        assert_eq!(mentioned("SELECT count( * ) FROM offenders", &OFFENDERS), ["score"]);
        assert_eq!(mentioned("SELECT rule_x FROM detections", &DETECTIONS), ["points"]);
    }
}
