//! Times other programs on the same log, those that are installed.
//!
//! None of them does the same: some only unpack, some count lines that match a few
//! expressions, some count visitors. They say what a reader of logs may expect to wait.
//! Nothing here asserts a time.

use std::fs::{self, File};
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use serde::Serialize;

use super::programs::{self, Times};
use super::subject::{Rounds, Subject};
use super::{generated, machine};
use crate::{moto, process, workspace};

// Programs that the project's aims name.
const SCAN: &str = "portcullis scan, one file";
const RIPGREP: &str = "rg -z -c";
const GOACCESS: &str = "goaccess";
const DUCKDB: &str = "duckdb";

/// What a person who greps for attacks writes.
const EXPRESSIONS: [&str; 7] = [
    r"(?i)union(\s|%20|\+)+(all(\s|%20|\+)+)?select",
    r"(?i)<script|%3cscript",
    r"\.\./\.\./|%2e%2e%2f",
    r"/etc/passwd",
    r"(?i)\$\{jndi:",
    r"/\.(env|git/config|aws/credentials)",
    r"(?i)sqlmap|nikto|nuclei",
];

/// What DuckDB is asked: which clients sent lines of two expressions, the most first.
const QUERY: &str = r#"import sys, duckdb
print(duckdb.execute("""
    select split_part(line, ' ', 1), count(*)
    from read_csv(?, columns={'line': 'varchar'}, delim='\x01', quote='', escape='', header=false)
    where regexp_matches(line, '(?i)union.{1,20}select')
       or regexp_matches(line, '(?i)<script|/etc/passwd')
    group by 1 order by 2 desc limit 20
""", [sys.argv[1]]).fetchall())
"#;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Text of the log to generate
    #[arg(long, value_name = "N", default_value_t = 195_000_000)]
    bytes: u64,
    #[command(flatten)]
    rounds: Rounds,
    #[command(flatten)]
    subject: Subject,
}

#[derive(Debug, Serialize)]
struct Report {
    text_bytes: u64,
    records: u64,
    programs: Vec<Figures>,
    /// Time of the scan of the one file divided by that of ripgrep on the same.
    scan_to_ripgrep: Option<f64>,
    goaccess_to_scan: Option<f64>,
    duckdb_to_scan: Option<f64>,
    not_installed: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct Figures {
    program: &'static str,
    does: &'static str,
    times: Times,
    /// Its median divided by that of the scan of the one file.
    to_scan: f64,
}

/// One program, and how it is run.
struct Peer {
    program: &'static str,
    does: &'static str,
    /// What a shell is to find, so that the program can run.
    needs: String,
    command: String,
}

impl Peer {
    fn new(program: &'static str, does: &'static str, needs: &str, command: String) -> Self {
        Self { program, does, needs: needs.to_owned(), command }
    }
}

fn peers(binary: &Path, python: &Path, file: &Path, objects: &Path, query: &Path) -> Vec<Peer> {
    let [binary, python, file, objects, query] =
        [binary, python, file, objects, query].map(|path| format!("'{}'", path.display()));
    let patterns = EXPRESSIONS.map(|one| format!("-e '{one}'")).join(" ");
    let scan = "--format combined --quiet --output json";
    let found = |program: &str| format!("command -v {program}");
    vec![
        Peer::new(
            SCAN,
            "all rules, sources, rates",
            "true",
            format!("{binary} scan {file} {scan}"),
        ),
        Peer::new(
            "portcullis scan, objects",
            "the same of the same text, in objects",
            "true",
            format!("{binary} scan {objects} {scan}"),
        ),
        Peer::new(
            "libdeflate-gzip -dc",
            "unpacks",
            &found("libdeflate-gzip"),
            format!("libdeflate-gzip -dc {file}"),
        ),
        Peer::new("pigz -dc", "unpacks", &found("pigz"), format!("pigz -dc {file}")),
        Peer::new("gzip -dc", "unpacks", &found("gzip"), format!("gzip -dc {file}")),
        Peer::new(
            RIPGREP,
            "counts lines of 7 expressions",
            &found("rg"),
            format!("rg -z -c {patterns} {file}"),
        ),
        Peer::new(
            GOACCESS,
            "counts visitors",
            &found("goaccess"),
            format!("gzip -dc {file} | goaccess - --log-format=COMBINED --no-progress -o json"),
        ),
        Peer::new(
            DUCKDB,
            "two expressions, grouped",
            &format!("{python} -c 'import duckdb'"),
            format!("{python} {query} {file}"),
        ),
    ]
}

/// Where DuckDB is: with the readers that an export is tested with, or where the system has it.
fn python() -> PathBuf {
    match process::python("moto", moto::REQUIREMENTS) {
        Ok(programs) => programs.join("python"),
        Err(error) => {
            eprintln!("warning: no environment for DuckDB: {error}");
            "python3".into()
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), String> {
    let binary = arguments.subject.program()?;
    let (objects, manifest) = generated("peers", "combined", arguments.bytes)?;
    let paths: Vec<PathBuf> =
        manifest.objects.iter().map(|object| objects.join(&object.key)).collect();
    let file = workspace::target().join("bench").join("peers.log.gz");
    join(&paths, &file).map_err(|error| format!("failed to write {}: {error}", file.display()))?;
    let machine = machine::announce();
    let query = workspace::target().join("bench").join("peers.py");
    fs::write(&query, QUERY)
        .map_err(|error| format!("failed to write {}: {error}", query.display()))?;
    let (present, absent): (Vec<Peer>, Vec<Peer>) =
        peers(&binary, &python(), &file, &objects, &query)
            .into_iter()
            .partition(|peer| programs::is_installed(&peer.needs));

    let output = workspace::target().join("bench").join("peers.out");
    let times = arguments.rounds.time(&present, |peer| {
        let run = programs::run(Process::new("sh").args(["-c", &peer.command]), &output)?;
        // ripgrep ends with 1 when nothing matches, a scan with 3 when something was not
        // covered.
        let nothing_found = run.status.code() == Some(1) && peer.program == RIPGREP;
        if !matches!(run.status.code(), Some(0 | 3)) && !nothing_found {
            return Err(format!("{} ended with {}", peer.program, run.status));
        }
        Ok(run.seconds)
    })?;
    let mut figures: Vec<Figures> = present
        .iter()
        .zip(times)
        .map(|(peer, times)| Figures {
            program: peer.program,
            does: peer.does,
            times,
            to_scan: 0.0,
        })
        .collect();
    let scan = figures[0].times.median;
    println!(
        "{:.0} MB of text, {} records, medians of {} rounds",
        manifest.text_bytes as f64 / 1e6,
        manifest.records,
        arguments.rounds.number
    );
    println!("{:<27} {:>8} {:>8}  does", "program", "seconds", "÷ scan");
    for figures in &mut figures {
        figures.to_scan = figures.times.median / scan;
        println!(
            "{:<27} {:>8.3} {:>8.2}  {}",
            figures.program, figures.times.median, figures.to_scan, figures.does
        );
    }
    let not_installed: Vec<&str> = absent.iter().map(|peer| peer.program).collect();
    if !not_installed.is_empty() {
        println!("not installed, so not measured: {}", not_installed.join(", "));
    }
    let to_scan = |program: &str| {
        figures.iter().find(|figures| figures.program == program).map(|figures| figures.to_scan)
    };
    let scan_to_ripgrep = to_scan(RIPGREP).map(|ratio| 1.0 / ratio);
    let (goaccess_to_scan, duckdb_to_scan) = (to_scan(GOACCESS), to_scan(DUCKDB));
    for (ratio, aim, value) in [
        ("scan ÷ ripgrep", "less than 1", scan_to_ripgrep),
        ("GoAccess ÷ scan", "at least 20", goaccess_to_scan),
        ("DuckDB ÷ scan", "at least 3", duckdb_to_scan),
    ] {
        let value = value.map_or_else(|| "not measured".to_owned(), |value| format!("{value:.2}"));
        println!("{ratio:<27} {value:>8}  the aim is {aim}");
    }
    let report = Report {
        text_bytes: manifest.text_bytes,
        records: manifest.records,
        scan_to_ripgrep,
        goaccess_to_scan,
        duckdb_to_scan,
        programs: figures,
        not_installed,
    };
    arguments.subject.destination.write(&machine, &report)
}

/// Writes the text of all objects as one file of gzip.
fn join(objects: &[PathBuf], file: &Path) -> std::io::Result<()> {
    let file = BufWriter::new(File::create(file)?);
    let mut joined = flate2::write::GzEncoder::new(file, flate2::Compression::default());
    for object in objects {
        let packed = fs::read(object)?;
        let mut text = Vec::new();
        flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut text)?;
        joined.write_all(&text)?;
    }
    joined.finish()?.flush()
}
