//! A batch of rows, kept by column.
//!
//! Values stand next to each other without those that are absent, and beside them for each
//! row whether there is one: the form that Parquet writes, so that nothing is copied.

use portcullis_ingest::{Timestamp, Untrusted};

use crate::logged::inert;
use crate::schema::{Column, Kind, Schema};

/// Rows of one table.
#[derive(Debug, Clone)]
pub struct Table {
    schema: &'static Schema,
    columns: Vec<Values>,
    rows: usize,
    bytes: usize,
}

/// The values of one column.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    pub(crate) present: Present,
    /// For each row 1 where it has a value, else 0: Parquet's definition levels.
    pub(crate) levels: Vec<i16>,
}

/// The values that there are.
#[derive(Debug, Clone)]
pub(crate) enum Present {
    /// Text end to end, and where each one ends.
    Text(Vec<u8>, Vec<usize>),
    /// Numbers, and times in milliseconds.
    Integer(Vec<i64>),
    Boolean(Vec<bool>),
    /// Of a column that is not kept.
    Nothing,
}

/// One value of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'t> {
    /// Nothing is known.
    Absent,
    /// Of a [`Kind::Text`] column.
    Text(&'t str),
    /// Of a [`Kind::Integer`] column, or the milliseconds of a [`Kind::Time`].
    Integer(i64),
    /// Of a [`Kind::Boolean`] column.
    Boolean(bool),
}

impl Values {
    fn new(kind: Kind) -> Self {
        let present = match kind {
            Kind::Text => Present::Text(Vec::new(), Vec::new()),
            Kind::Time | Kind::Integer => Present::Integer(Vec::new()),
            Kind::Boolean => Present::Boolean(Vec::new()),
        };
        Self { present, levels: Vec::new() }
    }

    fn push(&mut self, value: Value<'_>) {
        self.levels.push(i16::from(value != Value::Absent));
        match (&mut self.present, value) {
            (_, Value::Absent) => {}
            (Present::Text(bytes, ends), Value::Text(text)) => {
                bytes.extend_from_slice(text.as_bytes());
                ends.push(bytes.len());
            }
            (Present::Integer(numbers), Value::Integer(number)) => numbers.push(number),
            (Present::Boolean(values), Value::Boolean(value)) => values.push(value),
            (present, value) => unreachable!("{value:?} is of another type than {present:?}"),
        }
    }

    fn append(&mut self, other: &Self) {
        self.levels.extend_from_slice(&other.levels);
        match (&mut self.present, &other.present) {
            (Present::Text(bytes, ends), Present::Text(more, their_ends)) => {
                let begin = bytes.len();
                bytes.extend_from_slice(more);
                ends.extend(their_ends.iter().map(|end| begin + end));
            }
            (Present::Integer(numbers), Present::Integer(more)) => numbers.extend_from_slice(more),
            (Present::Boolean(values), Present::Boolean(more)) => values.extend_from_slice(more),
            (Present::Nothing, Present::Nothing) => {}
            _ => unreachable!("columns of one schema are of one type"),
        }
    }

    /// The values of all rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Value<'_>> {
        let mut next = 0_usize;
        self.levels.iter().map(move |level| {
            if *level == 0 {
                return Value::Absent;
            }
            let at = next;
            next += 1;
            match &self.present {
                Present::Text(bytes, ends) => {
                    let begin = at.checked_sub(1).map_or(0, |before| ends[before]);
                    let text = std::str::from_utf8(&bytes[begin..ends[at]]);
                    Value::Text(text.expect("texts come in as strings"))
                }
                Present::Integer(numbers) => Value::Integer(numbers[at]),
                Present::Boolean(values) => Value::Boolean(values[at]),
                Present::Nothing => unreachable!("a column that is not kept has no levels"),
            }
        })
    }
}

impl Table {
    /// A table without rows.
    pub fn new(schema: &'static Schema) -> Self {
        let columns = schema.columns.iter().map(|column| Values::new(column.kind)).collect();
        Self { schema, columns, rows: 0, bytes: schema.columns.len() * size_of::<Values>() }
    }

    /// A table without rows that keeps nothing but columns of these names.
    pub fn of(schema: &'static Schema, names: &[&str]) -> Self {
        let mut table = Self::new(schema);
        for (column, values) in schema.columns.iter().zip(&mut table.columns) {
            if !names.contains(&column.name) {
                values.present = Present::Nothing;
            }
        }
        table
    }

    /// What the columns are.
    pub const fn schema(&self) -> &'static Schema {
        self.schema
    }

    /// How many rows there are.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// About how much memory the table takes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the rows of another table of the same schema behind its own.
    pub fn append(&mut self, other: &Self) {
        assert_eq!(self.schema, other.schema, "rows of one table have the same columns");
        for (mine, theirs) in self.columns.iter_mut().zip(&other.columns) {
            mine.append(theirs);
        }
        self.rows += other.rows;
        self.bytes += other.bytes;
    }

    /// Begins a row, which is given a value for each column in order.
    pub fn row(&mut self) -> Row<'_> {
        Row { table: self, column: 0 }
    }

    /// Every column that is kept, with its values.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (&'static Column, &Values)> {
        let columns = self.schema.columns.iter().zip(&self.columns);
        columns.filter(|(_, values)| !matches!(values.present, Present::Nothing))
    }

    /// The values of the column of that name.
    ///
    /// # Panics
    /// When the table has no such column.
    pub fn column(&self, name: &str) -> impl Iterator<Item = Value<'_>> {
        let found = self.columns().find(|(column, _)| column.name == name);
        found.expect("a table is asked for columns that it has").1.iter()
    }
}

/// A row being added.
#[must_use]
pub struct Row<'t> {
    table: &'t mut Table,
    column: usize,
}

impl Row<'_> {
    fn push(mut self, value: Value<'_>) -> Self {
        let table = &mut *self.table;
        let values = &mut table.columns[self.column];
        if !matches!(values.present, Present::Nothing) {
            table.bytes += size_of::<i16>()
                + match value {
                    Value::Absent => 0,
                    Value::Text(text) => text.len() + size_of::<usize>(),
                    Value::Integer(_) => size_of::<i64>(),
                    Value::Boolean(_) => 1,
                };
            values.push(value);
        }
        self.column += 1;
        self
    }

    /// Gives the next column text.
    pub fn text(self, text: Option<&str>) -> Self {
        self.push(text.map_or(Value::Absent, Value::Text))
    }

    /// Gives the next column text from a log.
    pub fn untrusted(self, text: Option<Untrusted<'_>>) -> Self {
        self.text(text.map(inert).as_deref())
    }

    /// Gives the next column a time.
    pub fn time(self, time: Option<Timestamp>) -> Self {
        self.push(time.map_or(Value::Absent, |time| Value::Integer(time.epoch_ms())))
    }

    /// Gives the next column a number. One that is too large for it becomes the largest.
    pub fn integer(self, number: Option<u64>) -> Self {
        let number = number.map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        self.push(number.map_or(Value::Absent, Value::Integer))
    }

    /// Gives the next column yes or no.
    pub fn boolean(self, value: bool) -> Self {
        self.push(Value::Boolean(value))
    }

    /// Ends the row.
    pub fn end(self) {
        let Self { table, column } = self;
        assert_eq!(column, table.columns.len(), "a row has a value for each column");
        table.rows += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIRS: Schema = Schema {
        table: "pairs",
        columns: &[
            Column { name: "name", kind: Kind::Text, unit: "", about: "" },
            Column { name: "at", kind: Kind::Time, unit: "ms, UTC", about: "" },
        ],
    };

    #[test]
    fn rows_come_back_by_column() {
        let mut table = Table::new(&PAIRS);
        let time = Timestamp::from_epoch_ms(1_762_247_520_123);
        table.row().text(Some("a")).time(None).end();
        table.row().text(None).time(time).end();
        table.row().text(Some("")).time(time).end();
        let names: Vec<_> = table.column("name").collect();
        assert_eq!(names, [Value::Text("a"), Value::Absent, Value::Text("")]);
        let times: Vec<_> = table.column("at").collect();
        let ms = Value::Integer(1_762_247_520_123);
        assert_eq!(times, [Value::Absent, ms, ms]);
        assert_eq!(table.rows(), 3);
        let mut twice = table.clone();
        twice.append(&table);
        assert_eq!(twice.column("name").collect::<Vec<_>>(), [names.clone(), names].concat());
        assert_eq!(twice.column("at").collect::<Vec<_>>(), [times.clone(), times].concat());
        assert_eq!((twice.rows(), twice.bytes()), (6, 2 * table.bytes()));
    }
}
