//! Measures listing and scanning a bucket of many small objects, from a stand-in for S3 on
//! the loopback interface.
//!
//! What S3 costs is calls, so calls are what is counted; the time says what the program
//! adds to them, the stand-in's own included, and nothing of a network. Logs are of the same
//! hundred clients whatever their number of objects, so that the difference in memory
//! between few objects and ten times as many is what an object costs. Where keys tell no
//! hour, all of them must be listed; where they do, as Firehose's, most are passed over.

use std::io::Write as _;
use std::path::Path;
use std::process::Command as Process;

use fake_aws::{FakeAws, Options};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use super::subject::{Subject, Threads};
use super::{Log, machine, memory, programs};
use crate::workspace;

/// Keys of one page, as S3 has it.
const PAGE: usize = 1_000;

/// Objects of one hour where keys tell the hour.
const OBJECTS_OF_AN_HOUR: u64 = 100;

/// Clients of every log.
const CLIENTS: u64 = 100;

/// From when on requests are asked for; objects that are asked for begin then.
const FROM: &str = "2026-03-02T08:00:00Z";

/// Before all that is asked for: 2026-01-01.
const LONG_AGO: u64 = 1_767_225_600;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Keys of each bucket
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    keys: u64,
    /// Objects to read, in turn
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [500, 5_000])]
    objects: Vec<u64>,
    /// Requests in one object
    #[arg(long, value_name = "N", default_value_t = 20)]
    requests: u64,
    #[command(flatten)]
    threads: Threads,
    #[command(flatten)]
    subject: Subject,
}

#[derive(Debug, Serialize)]
struct Report {
    threads: usize,
    buckets: Vec<Figures>,
}

#[derive(Debug, Serialize)]
struct Figures {
    keys: &'static str,
    keys_in_bucket: u64,
    objects: u64,
    requests: u64,
    stored_bytes: u64,
    list_calls: u64,
    get_calls: u64,
    seconds: f64,
    peak_bytes: u64,
}

/// How keys are made.
#[derive(Debug, Clone, Copy)]
enum Layout {
    /// They tell nothing.
    Flat,
    /// They tell the hour, as Firehose's do.
    Hours,
}

impl Layout {
    const fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Hours => "by hour",
        }
    }

    /// The key of an object; of those that are asked for, or of the others.
    fn key(self, number: u64, asked: bool) -> String {
        let hour = 8 + number / OBJECTS_OF_AN_HOUR;
        let (month, first_day) = if asked { (3, 2) } else { (1, 1) };
        let (day, hour) = (first_day + hour / 24, hour % 24);
        match self {
            Self::Flat => format!("flat/{number:08}.gz"),
            Self::Hours => format!("hours/2026/{month:02}/{day:02}/{hour:02}/{number:08}.gz"),
        }
    }

    const fn location(self) -> &'static str {
        match self {
            Self::Flat => "s3://logs/flat/",
            Self::Hours => "s3://logs/hours/",
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), String> {
    let binary = arguments.subject.program()?;
    let machine = machine::announce();
    println!(
        "{:>8} {:>8} {:>8} {:>9} {:>9} {:>6} {:>6} {:>8} {:>8}",
        "keys", "number", "objects", "requests", "stored MB", "LIST", "GET", "seconds", "peak MB"
    );
    let mut buckets = Vec::new();
    for layout in [Layout::Flat, Layout::Hours] {
        for objects in &arguments.objects {
            let figures = measure(arguments, &binary, layout, *objects)?;
            println!(
                "{:>8} {:>8} {:>8} {:>9} {:>9.1} {:>6} {:>6} {:>8.2} {:>8.0}",
                figures.keys,
                figures.keys_in_bucket,
                figures.objects,
                figures.requests,
                figures.stored_bytes as f64 / 1e6,
                figures.list_calls,
                figures.get_calls,
                figures.seconds,
                figures.peak_bytes as f64 / 1e6,
            );
            buckets.push(figures);
        }
    }
    let report = Report { threads: arguments.threads.number(), buckets };
    arguments.subject.destination.write(&machine, &report)
}

fn measure(
    arguments: &Arguments,
    binary: &Path,
    layout: Layout,
    objects: u64,
) -> Result<Figures, String> {
    let keys = arguments.keys;
    if objects > keys {
        return Err(format!("{objects} objects are to be read of a bucket with {keys} keys"));
    }
    let fake = FakeAws::start(Options { page_size: PAGE, ..Options::default() });
    fake.create_bucket("logs");
    let stored_bytes = fill(&fake, arguments, layout, objects)
        .map_err(|error| format!("failed to compress the objects: {error}"))?;
    let home = workspace::target().join("bench");
    std::fs::create_dir_all(&home)
        .map_err(|error| format!("failed to create {}: {error}", home.display()))?;
    let findings = home.join("bucket.json");
    let run = programs::scan(
        Process::new(binary)
            .args(["scan", layout.location(), "--from", FROM])
            .args(["--format", Log::Clf.format(), "--quiet", "--output", "json"])
            .args(["--threads", &arguments.threads.number().to_string()])
            .args(["--region", "eu-west-1", "--endpoint-url", &fake.url()])
            .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_EC2_METADATA_DISABLED", "true"),
        &findings,
    )?;
    let found = std::fs::read(&findings)
        .ok()
        .and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok())
        .ok_or("the scan's findings are no JSON")?;
    let requests = objects * arguments.requests;
    if found["coverage"]["requests"].as_u64() != Some(requests) {
        return Err(format!("{requests} requests were written, the scan's findings say otherwise"));
    }
    let calls = fake.take_calls();
    let count = |action: &str| calls.get(action).copied().unwrap_or(0);
    Ok(Figures {
        keys: layout.name(),
        keys_in_bucket: keys,
        objects,
        requests,
        stored_bytes,
        list_calls: count("s3:ListBucket"),
        get_calls: count("s3:GetObject"),
        seconds: run.seconds,
        peak_bytes: run.peak_bytes.ok_or("this system does not tell a process's memory")?,
    })
}

/// Fills the bucket; gives the bytes of the objects that are to be read.
fn fill(
    fake: &FakeAws,
    arguments: &Arguments,
    layout: Layout,
    objects: u64,
) -> std::io::Result<u64> {
    let mut stored_bytes = 0;
    let requests = objects * arguments.requests;
    for object in 0..objects {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        for number in object * arguments.requests..(object + 1) * arguments.requests {
            let line = memory::line(number % CLIENTS, number, number * 7_200 / requests);
            encoder.write_all(line.as_bytes())?;
        }
        let content = encoder.finish()?;
        stored_bytes += content.len() as u64;
        fake.put_object("logs", &layout.key(object, true), &content);
    }
    // The others were written before, and are not asked for.
    for number in objects..arguments.keys {
        let key = layout.key(number, false);
        fake.put_object("logs", &key, b"not to be read");
        fake.date_object("logs", &key, LONG_AGO);
    }
    Ok(stored_bytes)
}
