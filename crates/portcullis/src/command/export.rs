//! `portcullis export`: everything as Parquet, for whoever asks questions of their own.

use portcullis_columns::{DETECTIONS, OFFENDERS, REQUESTS, athena, detections, duckdb, offenders};
use portcullis_detection::Findings;

use super::judgement::Judge;
use super::{Page, Prepared, inert, print, tell};
use crate::args::{Export, Global};
use crate::directory::{Directory, Written};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::json::{Object, Secrets};
use crate::output::{counted, findings};
use crate::progress::human_bytes;
use crate::terminal::Terminal;

/// Version of the manifest's shape.
const SCHEMA_VERSION: u32 = 1;

pub(super) fn run(
    arguments: &Export,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let place = inert(&arguments.out.to_string_lossy());
    let failed = |error: &std::io::Error| Failure::new(format!("export to `{place}`"), error);
    let Judge { rules, .. } = Judge::load(&arguments.judgement, terminal)?;
    let prepared = Prepared::new(&arguments.logs, global, terminal)?;
    let mut directory = Directory::begin(&arguments.out).map_err(|error| {
        failed(&error).hint("an export replaces an earlier one, and nothing else")
    })?;

    let columns: Vec<&str> = REQUESTS.columns.iter().map(|column| column.name).collect();
    let done = prepared.reading().export(&rules, &columns, &mut directory);
    prepared.progress.finish();
    let written = done.and_then(|(found, tally)| {
        directory.end_requests()?;
        directory.table(&DETECTIONS, &detections(&found))?;
        directory.table(&OFFENDERS, &offenders(&found))?;
        directory.file("duckdb.sql", duckdb().as_bytes())?;
        directory.file("athena.sql", athena().as_bytes())?;
        let mut text = Vec::new();
        manifest(&mut text, &found, directory.tables(), &prepared);
        directory.file(crate::directory::MANIFEST, &text)?;
        Ok((found, tally))
    });
    let (found, tally) = match written {
        Ok(written) => written,
        Err(error) => {
            directory.abandon();
            return Err(failed(&error));
        }
    };
    let rows: Vec<String> = directory.tables().iter().map(said).collect();
    let size = human_bytes(directory.bytes());
    directory.finish().map_err(|error| failed(&error))?;

    print(format!("{place}: {}, {size}\n", rows.join(", ")).as_bytes())?;
    prepared.tell_joined(terminal);
    let gaps = tell(&tally, Page::None, terminal);
    if found.coverage.requests > 0 {
        terminal.next(format_args!("(cd {place} && duckdb -init duckdb.sql)"));
    }
    Ok(prepared.exit.or_worse(gaps))
}

fn said(written: &Written) -> String {
    let one = written.table.strip_suffix('s').unwrap_or(written.table);
    counted(written.rows, one, written.table)
}

fn manifest(out: &mut Vec<u8>, found: &Findings, tables: &[Written], prepared: &Prepared) {
    let mut document = Object::open(out, Secrets::Hidden);
    document.text("kind", crate::directory::KIND);
    document.number("schema_version", SCHEMA_VERSION);
    document.number("columns_version", portcullis_columns::SCHEMA_VERSION);
    document.text("version", env!("CARGO_PKG_VERSION"));
    document.objects("tables", tables, |object, written| {
        object.text("table", written.table);
        object.number("rows", written.rows);
        object.number("files", written.files);
    });
    document.object("coverage", |object| {
        findings::coverage(object, &found.coverage, prepared.joined());
    });
    document.close();
    out.push(b'\n');
}
