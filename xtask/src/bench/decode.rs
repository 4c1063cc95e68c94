//! Measures decoding alone, one format after another.
//!
//! The decoder's own example program times it in one process, in turn with gunzip of
//! the same objects and, for JSON, with `serde_json` parsing the same records into a
//! struct that borrows. Ratios of one run are what counts.
//!
//! The comparison favours `serde_json`: its struct knows every key, borrows every string,
//! and parses no address, time or number, while decoding does, finds the records' ends
//! in a window, and checks that each value has its type.

use serde::{Deserialize, Serialize};

use super::subject::Destination;
use super::{examples, generated, machine};

/// Formats that are measured.
const FORMATS: [&str; 10] = [
    "recommended",
    "apigw-rest-json",
    "apigw-rest-clf",
    "apigw-rest-csv",
    "apigw-rest-xml",
    "apigw-http-json",
    "apigw-http-clf",
    "apigw-http-csv",
    "apigw-http-xml",
    "combined",
];

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Text of each format to generate
    #[arg(long, value_name = "N", default_value_t = 100_000_000)]
    bytes: u64,
    /// Measure only these formats
    #[arg(long, value_name = "FORMAT")]
    only: Vec<String>,
    #[command(flatten)]
    destination: Destination,
}

/// What the example program prints. Times are seconds.
#[derive(Debug, Serialize, Deserialize)]
struct Figures {
    bytes: u64,
    requests: u64,
    rejects: u64,
    gunzip: f64,
    decode: f64,
    serde_json: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Report {
    formats: Vec<(&'static str, Figures)>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), String> {
    let program = examples::build("portcullis-ingest", "throughput")?;
    let machine = machine::announce();
    println!(
        "{:<16} {:>9} {:>9} {:>9} {:>8} {:>16} {:>20}",
        "format", "records", "rejects", "MB/s", "ns/rec", "decode ÷ gunzip", "serde_json ÷ decode"
    );
    let mut formats = Vec::new();
    for format in FORMATS {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == format) {
            continue;
        }
        let log = generated(format, format, arguments.bytes)?;
        let figures: Figures = examples::figures(&program, format, &log)?;
        let serde = figures
            .serde_json
            .map_or_else(|| "-".to_owned(), |serde| format!("{:.2}", serde / figures.decode));
        println!(
            "{format:<16} {:>9} {:>9} {:>9.0} {:>8.0} {:>16.2} {serde:>20}",
            figures.requests,
            figures.rejects,
            figures.bytes as f64 / figures.decode / 1e6,
            figures.decode / figures.requests as f64 * 1e9,
            figures.decode / figures.gunzip,
        );
        formats.push((format, figures));
    }
    arguments.destination.write(&machine, &Report { formats })
}
