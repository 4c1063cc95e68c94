//! Measures what Spark and Python add to a scan: the program, the module without Spark, and
//! Spark on one core, in turn with gunzip on the same objects.
//!
//! Spark's start is not counted: a job that takes seconds needs no cluster. Rates are of a
//! second of the processor's time, of all processes and threads that took part, so that a
//! cluster's size can be computed from them; the JVM's compilers and collectors pay too.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command as Process, Stdio};

use serde::Serialize;

use super::gunzip::{self, Library};
use super::machine;
use super::processor::{Took, timed};
use super::programs::{self, Times};
use super::subject::{Rounds, Subject};
use crate::{process, spark, workspace};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Text of the log to generate
    #[arg(long, value_name = "N", default_value_t = 1_000_000_000)]
    bytes: u64,
    #[command(flatten)]
    rounds: Rounds,
    #[command(flatten)]
    subject: Subject,
}

#[derive(Debug, Serialize)]
struct Report {
    records: u64,
    text_bytes: u64,
    stored_bytes: u64,
    ways: Vec<Figures>,
}

#[derive(Debug, Serialize)]
struct Figures {
    way: &'static str,
    /// Seconds of the processor's time.
    processor: Times,
    /// Seconds on the clock.
    clock: Times,
    /// Of the processor's time.
    records_per_second: f64,
    text_bytes_per_second: f64,
    /// Median of the processor's time over that of gunzip.
    to_gunzip: f64,
}

/// What is measured, in the order of a round.
const WAYS: [&str; 5] = ["gunzip", "program", "module", "spark", "spark-once"];

/// Python, with what it was told and what it answers.
struct Python {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    fn ask(&mut self, way: &str) -> Result<Took, String> {
        writeln!(self.asks, "{way}").map_err(|error| format!("Python went away: {error}"))?;
        let line = self.line()?;
        let numbers: Vec<f64> = line.split_whitespace().flat_map(str::parse).collect();
        match numbers[..] {
            [clock, processor] => Ok(Took { clock, processor }),
            _ => Err(format!("Python answered `{line}`")),
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(0) => Err("Python ended early".to_owned()),
            Ok(_) => Ok(line),
            Err(error) => Err(format!("Python went away: {error}")),
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), String> {
    let binary = arguments.subject.program()?;
    let interpreter = process::python("spark", spark::REQUIREMENTS)?;
    let home = workspace::target().join("spark");
    let wheel = spark::wheel(&interpreter, &home.join("bench-wheel"), &["--release"])?;
    spark::install(&interpreter.join("python"), &wheel)?;
    let (objects, manifest) =
        super::generated(super::Log::Json.name(), super::Log::Json.format(), arguments.bytes)?;
    let files = workspace::files_below(&objects)?;
    let output = workspace::target().join("bench/spark.out");
    let mut python = start(&interpreter.join("python"), &objects)?;
    let machine = machine::announce();
    let runs = arguments.rounds.in_turn(&WAYS, |way| match *way {
        "gunzip" => timed(|| gunzip::time(&files, 1, Library::Libdeflate, manifest.text_bytes)),
        "program" => {
            let mut scan = Process::new(&binary);
            scan.arg("scan").arg(&objects).args(["--threads", "1", "--quiet"]);
            scan.args(["--for-plan", "--output", "json"]);
            timed(|| Ok(programs::scan(&mut scan, &output)?.seconds))
        }
        way => python.ask(way),
    })?;
    drop(python.asks);
    python.child.wait().map_err(|error| format!("Python does not end: {error}"))?;
    let of = |runs: &[Took], of: fn(&Took) -> f64| Times::of(runs.iter().map(of).collect());
    let times: Vec<(Times, Times)> = runs
        .iter()
        .map(|runs| (of(runs, |took| took.processor), of(runs, |took| took.clock)))
        .collect();
    let floor = times[0].0.median;
    println!(
        "{:<12} {:>12} {:>9} {:>14} {:>9} {:>9}",
        "way", "core-seconds", "seconds", "records/s/core", "MB/s/core", "÷ gunzip"
    );
    let figures = WAYS.into_iter().zip(times).map(|(way, (processor, clock))| {
        let records_per_second = manifest.records as f64 / processor.median;
        let text_bytes_per_second = manifest.text_bytes as f64 / processor.median;
        let to_gunzip = processor.median / floor;
        println!(
            "{way:<12} {:>12.2} {:>9.2} {records_per_second:>14.0} {:>9.0} {to_gunzip:>9.1}",
            processor.median,
            clock.median,
            text_bytes_per_second / 1e6
        );
        Figures { way, processor, clock, records_per_second, text_bytes_per_second, to_gunzip }
    });
    let report = Report {
        records: manifest.records,
        text_bytes: manifest.text_bytes,
        stored_bytes: manifest.bytes,
        ways: figures.collect(),
    };
    print_sizes(&report);
    arguments.subject.destination.write(&machine, &report)
}

/// Core-hours for so much text a day, as docs/scale.md has them.
fn print_sizes(report: &Report) {
    for way in report.ways.iter().filter(|figures| figures.way.starts_with("spark")) {
        let hours = |terabytes: f64| terabytes * 1e12 / way.text_bytes_per_second / 3600.0;
        let [one, ten, hundred] = [1.0, 10.0, 100.0].map(hours);
        println!(
            "{:<12} core-hours for 1, 10, 100 TB of text: {one:.1}, {ten:.0}, {hundred:.0}",
            way.way
        );
    }
}

fn start(interpreter: &std::path::Path, objects: &std::path::Path) -> Result<Python, String> {
    let mut child = Process::new(interpreter)
        .arg(workspace::root().join("tests/spark/bench.py"))
        .arg(objects)
        .env("SPARK_LOCAL_IP", "127.0.0.1")
        .env("PYSPARK_PYTHON", interpreter)
        .env_remove("SPARK_HOME")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("failed to start Python: {error}"))?;
    let asks = child.stdin.take().expect("stdin is piped");
    let answers = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let mut python = Python { child, asks, answers };
    match python.line()?.trim() {
        "ready" => Ok(python),
        other => Err(format!("Python said `{other}`")),
    }
}
