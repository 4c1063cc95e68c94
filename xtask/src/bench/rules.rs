//! Measures what more rules cost: the same log, scanned with few and with many.
//!
//! Rules are taken evenly from those that are built in, and one that counts every request is
//! in all sets: it costs as much as many others, and nobody goes without. For more than there
//! are, the first are taken twice, the second time under another name: they find candidates
//! and confirm them as new rules would, but add no literals.

use std::fs;
use std::path::Path;
use std::process::Command as Process;

use serde::Serialize;

use super::programs::{self, Times};
use super::subject::{Rounds, Subject, Threads};
use super::{Log, generated, machine};
use crate::workspace;

/// The rule that counts every request, below the directory of rules.
const COUNTS_ALL: &str = "rate/request-flood.toml";

/// Numbers of rules.
const NUMBERS: [usize; 4] = [20, 50, 100, 200];

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Text of the log to generate
    #[arg(long, value_name = "N", default_value_t = 1_000_000_000)]
    bytes: u64,
    #[command(flatten)]
    rounds: Rounds,
    #[command(flatten)]
    threads: Threads,
    #[command(flatten)]
    subject: Subject,
}

#[derive(Debug, Serialize)]
struct Report {
    text_bytes: u64,
    threads: usize,
    numbers: Vec<Figures>,
}

#[derive(Debug, Serialize)]
struct Figures {
    rules: usize,
    times: Times,
    /// Its median divided by that of the fewest rules.
    to_fewest: f64,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), String> {
    let binary = arguments.subject.program()?;
    let (directory, manifest) = generated("json", Log::Json.format(), arguments.bytes)?;
    let home = workspace::target().join("bench").join("rules");
    let mut sets = Vec::new();
    for number in NUMBERS {
        let set = home.join(number.to_string());
        write_rules(&set, number)?;
        sets.push(set);
    }
    let machine = machine::announce();
    let threads = arguments.threads.number();
    let findings = home.join("findings.json");
    let times = arguments.rounds.time(&sets, |set| {
        let mut scan = Process::new(&binary);
        scan.arg("scan").arg(&directory).arg("--rules").arg(set);
        scan.args(["--format", Log::Json.format(), "--quiet", "--output", "json"]);
        scan.args(["--threads", &threads.to_string()]);
        Ok(programs::scan(&mut scan, &findings)?.seconds)
    })?;
    let fewest = times[0].median;
    println!("{:>6} {:>8} {:>8}", "rules", "seconds", "÷ fewest");
    let figures = NUMBERS.into_iter().zip(times).map(|(rules, times)| {
        let to_fewest = times.median / fewest;
        println!("{rules:>6} {:>8.3} {to_fewest:>8.2}", times.median);
        Figures { rules, times, to_fewest }
    });
    let numbers = figures.collect();
    let report = Report { text_bytes: manifest.text_bytes, threads, numbers };
    arguments.subject.destination.write(&machine, &report)
}

/// Writes that many rules to a directory.
fn write_rules(directory: &Path, number: usize) -> Result<(), String> {
    let failed = |path: &Path, error: &std::io::Error| {
        format!("failed to write {}: {error}", path.display())
    };
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(|error| failed(directory, &error))?;
    }
    let root = workspace::root().join("rules");
    let mut files = workspace::files_below(&root)?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let counts_all = root.join(COUNTS_ALL);
    files.retain(|file| *file != counts_all);
    let others = number - 1;
    let evenly = (0..others).map(|place| {
        if others <= files.len() {
            (&files[place * files.len() / others], false)
        } else {
            (&files[place % files.len()], place >= files.len())
        }
    });
    for (file, is_twin) in evenly.chain([(&counts_all, false)]) {
        let text = fs::read_to_string(file)
            .map_err(|error| format!("failed to read {}: {error}", file.display()))?;
        let mut path = directory.join(file.strip_prefix(&root).expect("a file below the root"));
        let text = if is_twin {
            let stem = path.file_stem().expect("a file").to_string_lossy().into_owned();
            path.set_file_name(format!("{stem}-twin.toml"));
            twin(&text, &stem)
        } else {
            text
        };
        let parent = path.parent().expect("a file has a directory");
        fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
        fs::write(&path, text).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

/// The same rule under another name.
fn twin(text: &str, stem: &str) -> String {
    text.replacen(&format!("/{stem}\""), &format!("/{stem}-twin\""), 1)
}
