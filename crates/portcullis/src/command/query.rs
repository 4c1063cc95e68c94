//! `portcullis query`: a question in SQL about requests, detections and offenders.

use std::{io, panic};

use super::judgement::Judge;
use super::{Page, Prepared, inert, print, tell};
use crate::args::{Global, Query, QueryOutput};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ordered::Take;
use crate::output::json::{Object, Secrets};
use crate::output::table;
use crate::pipeline::Hours;
use crate::progress::human_bytes;
use crate::terminal::Terminal;
use portcullis_columns::{
    Answer, Cell, DETECTIONS, OFFENDERS, REQUESTS, Table, detections, harmless, mentioned,
    offenders,
};

pub(super) fn run(
    arguments: &Query,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let sql = &arguments.sql;
    portcullis_columns::asks(sql).map_err(|error| {
        Failure::new(format!("answer `{}`", inert(sql)), &error).exit_with(Exit::Usage)
    })?;
    let Judge { rules, .. } = Judge::load(&arguments.judgement, terminal)?;
    let prepared = Prepared::new(&arguments.logs, global, terminal)?;
    let most = usize::try_from(arguments.logs.reading.memory / 2).unwrap_or(usize::MAX);
    let columns = mentioned(sql, &REQUESTS);
    let requests = Table::of(&REQUESTS, &columns);
    let mut kept = Kept { requests, most };
    let done = prepared.reading().export(&rules, &columns, &mut kept);
    prepared.progress.finish();
    let (findings, tally) = done.map_err(|error| {
        Failure::new(format!("answer `{}`", inert(sql)), &error).hint(
            "name fewer columns, narrow the span of time with --since or --from, or `portcullis \
             export` and ask DuckDB",
        )
    })?;
    let tables = [kept.requests, detections(&findings), offenders(&findings)];
    // Where polars panics, the error says so; a trace of it helps nobody.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let answer = portcullis_columns::query(sql, &tables);
    panic::set_hook(hook);
    let answer = answer.map_err(|error| {
        let tables = [&REQUESTS, &DETECTIONS, &OFFENDERS].map(|schema| schema.table).join(", ");
        let detail = inert(&error.to_string());
        Failure::because(format!("answer `{}`", inert(sql)), detail)
            .hint(format!("the tables are {tables}; docs/columns.md names their columns"))
    })?;

    let mut out = Vec::new();
    match arguments.output {
        QueryOutput::Table => {
            write_table(&mut out, &answer, terminal).expect("writing to memory does not fail");
        }
        QueryOutput::Json => write_json(&mut out, &answer),
        QueryOutput::Jsonl => write_lines(&mut out, &answer),
        QueryOutput::Csv => out = answer.csv(),
    }
    print(&out)?;
    prepared.tell_joined(terminal);
    Ok(prepared.exit.or_worse(tell(&tally, Page::None, terminal)))
}

/// Requests kept in memory, up to a limit.
struct Kept {
    requests: Table,
    most: usize,
}

impl Take<Hours> for Kept {
    fn take(&mut self, batch: Hours) -> io::Result<()> {
        for rows in batch.into_values() {
            self.requests.append(&rows);
        }
        if self.requests.bytes() <= self.most {
            return Ok(());
        }
        let limit = human_bytes(self.most as u64);
        Err(io::Error::other(format!("its columns take more than {limit}, half of --memory")))
    }

    fn object_ends(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_table(out: &mut Vec<u8>, answer: &Answer, terminal: &Terminal) -> io::Result<()> {
    let is_number = |column: usize| {
        answer.rows.iter().all(|row| !matches!(row[column], Cell::Text(_) | Cell::Boolean(_)))
    };
    let titles = answer.columns.iter().enumerate().map(|(column, name)| {
        let align = if is_number(column) { table::Align::Right } else { table::Align::Left };
        (harmless(name), align)
    });
    let mut shown = table::Table::new(titles);
    for row in &answer.rows {
        shown.row(row.iter().map(|cell| table::Cell::plain(cell.words())).collect());
    }
    shown.write(out, terminal.width, terminal.colour)
}

fn put(object: &mut Object<'_>, name: &str, cell: &Cell) {
    match cell {
        Cell::Boolean(flag) => object.boolean(name, *flag),
        Cell::Integer(number) => object.literal(name, number),
        Cell::Float(number) if number.is_finite() => object.literal(name, number),
        Cell::Absent | Cell::Float(_) => object.null(name),
        Cell::Text(text) => object.text(name, text),
    }
}

fn write_json(out: &mut Vec<u8>, answer: &Answer) {
    let mut document = Object::open(out, Secrets::Shown);
    document.number("schema_version", 1_u64);
    document.texts("columns", answer.columns.iter().map(String::as_str));
    document.objects("rows", &answer.rows, |object, row| {
        for (name, cell) in answer.columns.iter().zip(row) {
            put(object, name, cell);
        }
    });
    document.close();
    out.push(b'\n');
}

fn write_lines(out: &mut Vec<u8>, answer: &Answer) {
    for row in &answer.rows {
        let mut object = Object::open(out, Secrets::Shown);
        for (name, cell) in answer.columns.iter().zip(row) {
            put(&mut object, name, cell);
        }
        object.close();
        out.push(b'\n');
    }
}
