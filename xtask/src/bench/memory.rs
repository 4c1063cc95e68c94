//! Measures what a scan keeps of each client, and whether it stays within its bound.
//!
//! Logs are generated in which every client is another one, a few requests each, in rounds,
//! so that nothing of a client is near the rest of it. The peak of the process, less that
//! of a scan of as much text from a hundred clients, divided by the clients, is what one
//! costs. Where the bound is reached, the number of clients that were forgotten stands in
//! the table, and what counts is whether the peak stays within the bound, and where it was
//! when there is ten times the text. Every record has ids of the gateway's own making, so
//! that what tells twins is measured, too.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command as Process;

use serde::Serialize;

use super::subject::{Subject, Threads};
use super::{Log, machine, programs};
use crate::workspace;

/// Requests in one object, some 16 MB of text.
const OBJECT_REQUESTS: u64 = 100_000;

/// Clients of the log that the others are compared with.
const FEW_SOURCES: u64 = 100;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Clients of each log
    #[arg(long, value_name = "N", value_delimiter = ',',
          default_values_t = [10_000, 100_000, 1_000_000])]
    sources: Vec<u64>,
    /// Requests of each client
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [2, 20])]
    requests: Vec<u64>,
    /// Text of each log, in place of the requests of each client
    #[arg(long, value_name = "N", value_delimiter = ',', conflicts_with = "requests")]
    bytes: Vec<u64>,
    /// Most requests of one log; logs that would have more are left out
    #[arg(long, value_name = "N", default_value_t = 60_000_000)]
    most: u64,
    /// What the scan is told by `--memory`
    #[arg(long, value_name = "BYTES", default_value = "512M")]
    memory: String,
    #[command(flatten)]
    threads: Threads,
    #[command(flatten)]
    subject: Subject,
}

impl Arguments {
    /// Clients and requests of each log, and whether it is compared with one of few clients.
    fn logs(&self) -> Vec<(u64, u64, bool)> {
        let line_bytes = (line(0, 0, 0).len() + line(1, 1, 0).len()) as u64 / 2;
        let of = |sources: u64| {
            let by_bytes = self.bytes.iter().map(move |bytes| (sources, bytes / line_bytes, false));
            let each = if self.bytes.is_empty() { &self.requests[..] } else { &[] };
            by_bytes.chain(each.iter().map(move |each| (sources, sources * each, true)))
        };
        let mut logs: Vec<_> = self.sources.iter().flat_map(|sources| of(*sources)).collect();
        logs.retain(|(_, requests, _)| *requests <= self.most);
        logs.sort_unstable_by_key(|(sources, requests, _)| (requests / sources, *requests));
        logs
    }
}

#[derive(Debug, Serialize)]
struct Report {
    memory: String,
    threads: usize,
    logs: Vec<Figures>,
}

#[derive(Debug, Serialize)]
struct Figures {
    sources: u64,
    requests: u64,
    text_bytes: u64,
    seconds: f64,
    nanoseconds_per_request: f64,
    peak_bytes: u64,
    /// Above the peak of a scan of as many requests from a hundred clients, where that was
    /// made: not where text was asked for, which may reach the bound with any clients.
    bytes_per_source: Option<f64>,
    forgotten: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), String> {
    let binary = arguments.subject.program()?;
    let machine = machine::announce();
    println!("--memory {}, {} threads", arguments.memory, arguments.threads.number());
    println!(
        "{:>10} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8} {:>10}",
        "sources", "requests", "text MB", "seconds", "ns/req", "peak MiB", "B/source", "forgotten"
    );
    let mut logs = Vec::new();
    for (sources, requests, compared) in arguments.logs() {
        let mut figures = measure(arguments, &binary, sources, requests)?;
        if compared {
            let few = measure(arguments, &binary, FEW_SOURCES, requests)?;
            let more = figures.peak_bytes.saturating_sub(few.peak_bytes);
            figures.bytes_per_source = Some(more as f64 / sources as f64);
        }
        println!(
            "{:>10} {:>10} {:>8.0} {:>8.2} {:>8.0} {:>8.0} {:>8} {:>10}",
            figures.sources,
            figures.requests,
            figures.text_bytes as f64 / 1e6,
            figures.seconds,
            figures.nanoseconds_per_request,
            figures.peak_bytes as f64 / f64::from(1 << 20),
            figures.bytes_per_source.map_or_else(|| "-".to_owned(), |bytes| format!("{bytes:.0}")),
            figures.forgotten,
        );
        logs.push(figures);
    }
    let (memory, threads) = (arguments.memory.clone(), arguments.threads.number());
    arguments.subject.destination.write(&machine, &Report { memory, threads, logs })
}

/// Generates a log, scans it, and removes it.
fn measure(
    arguments: &Arguments,
    binary: &Path,
    sources: u64,
    requests: u64,
) -> Result<Figures, String> {
    let home = workspace::target().join("bench").join("memory");
    let log = home.join("log");
    if log.exists() {
        fs::remove_dir_all(&log)
            .map_err(|error| format!("failed to remove {}: {error}", log.display()))?;
    }
    let text_bytes = generate(&log, sources, requests)
        .map_err(|error| format!("failed to write {}: {error}", log.display()))?;
    let findings = home.join("findings.json");
    let run = programs::scan(
        Process::new(binary)
            .arg("scan")
            .arg(&log)
            .args(["--format", Log::Clf.format(), "--quiet", "--output", "json"])
            .args(["--memory", &arguments.memory])
            .args(["--threads", &arguments.threads.number().to_string()]),
        &findings,
    )?;
    fs::remove_dir_all(&log)
        .map_err(|error| format!("failed to remove {}: {error}", log.display()))?;
    let found = fs::read(&findings)
        .ok()
        .and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok())
        .ok_or("the scan's findings are no JSON")?;
    if found["coverage"]["requests"].as_u64() != Some(requests) {
        return Err(format!("{requests} requests were written, the scan's findings say otherwise"));
    }
    Ok(Figures {
        sources,
        requests,
        text_bytes,
        seconds: run.seconds,
        nanoseconds_per_request: run.seconds * 1e9 / requests as f64,
        peak_bytes: run.peak_bytes.ok_or("this system does not tell a process's memory")?,
        bytes_per_source: None,
        forgotten: found["coverage"]["forgotten"]["times"].as_u64().unwrap_or(0),
    })
}

/// Writes the log as objects of gzip; gives the bytes of its text.
fn generate(directory: &Path, sources: u64, requests: u64) -> std::io::Result<u64> {
    fs::create_dir_all(directory)?;
    let mut text_bytes = 0;
    let mut object = None;
    for number in 0..requests {
        if number.is_multiple_of(OBJECT_REQUESTS) {
            let file = directory.join(format!("{:06}.gz", number / OBJECT_REQUESTS));
            let file = BufWriter::new(File::create(file)?);
            object = Some(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
        }
        let line = line(number % sources, number, number * 7_200 / requests);
        text_bytes += line.len() as u64;
        let out = object.as_mut().expect("begun with the first request");
        out.write_all(line.as_bytes())?;
        if (number + 1).is_multiple_of(OBJECT_REQUESTS)
            && let Some(object) = object.take()
        {
            object.finish()?.flush()?;
        }
    }
    if let Some(object) = object {
        object.finish()?.flush()?;
    }
    Ok(text_bytes)
}

/// One request in [`Log::Clf`], that many seconds after the log's begin. Every other client
/// is one of IPv6. Ids are numbers, so that a disk holds the log.
pub(super) fn line(source: u64, number: u64, second: u64) -> String {
    // A bijection of 32 bits, so that neighbours in the log are none in the table.
    let spread = u32::try_from(source & 0xffff_ffff).unwrap_or(0).wrapping_mul(0x9e37_79b1);
    let client = if source.is_multiple_of(2) {
        std::net::Ipv4Addr::from(spread).to_string()
    } else {
        format!("2001:db8:{:x}:{:x}::1", spread >> 16, spread & 0xffff)
    };
    let (hour, minute, second) = (8 + second / 3_600, second / 60 % 60, second % 60);
    format!(
        "{client} - - [02/Mar/2026:{hour:02}:{minute:02}:{second:02} +0000] \"GET /products/{} \
         HTTP/1.1\" 200 {} {} \"Mozilla/5.0 (X11; Linux x86_64; rv:{}.0) Gecko/20100101 \
         Firefox/{}.0\" 7f3d2a10-0000-4000-8000-{number:012x} {number:015x}=\n",
        number * 31 % 9_000,
        number * 17 % 5_000,
        20 + number * 7 % 200,
        100 + number % 20,
        100 + number % 20,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_takes_the_place_of_requests_and_logs_that_are_too_long_are_left_out() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            arguments: Arguments,
        }
        let logs = |words: &str| {
            let line = ["bench"].into_iter().chain(words.split(' '));
            let line: Line = clap::Parser::try_parse_from(line).expect("valid");
            line.arguments.logs()
        };
        assert_eq!(
            logs("--sources 10,100 --requests 2,20 --most 1999"),
            [(10, 20, true), (100, 200, true), (10, 200, true)]
        );
        let of_bytes = logs("--sources 10 --bytes 20000,200000");
        assert!(of_bytes[0].1.abs_diff(100) < 20 && of_bytes[1].1.abs_diff(1_000) < 200);
        assert!(!of_bytes[0].2);
    }
}
