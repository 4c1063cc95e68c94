//! Writes the small generated datasets that come with the source.
//!
//! One simulation for each format, each with a day and a block of addresses of
//! its own: scanned all together they are still ten believable APIs, and no
//! honest client's requests add up over formats.
//!
//! `datasets/firehose/` and `datasets/combined/` hold only objects, so a scan of
//! either meets nothing else. The truth is in `datasets/truth/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use serde::Serialize;

use crate::firehose::{self, Manifest, Options};
use crate::workspace;

/// `cargo xtask datasets`.
#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    /// Only compare what is there with what would be written
    #[arg(long)]
    check: bool,
}

/// Runs `cargo xtask datasets`.
pub(crate) fn run(command: &Command) -> Result<(), String> {
    let directory = workspace::root().join("datasets");
    if command.check {
        return check(&directory);
    }
    for part in GENERATED {
        remove(&directory.join(part))?;
    }
    let bytes = write(&directory)?;
    println!("{}: {bytes} bytes of objects", directory.display());
    Ok(())
}

/// What below `datasets/` this command owns.
const GENERATED: [&str; 4] = ["firehose", "combined", "truth", "MANIFEST.json"];

/// Compares the datasets in the tree with those this source generates.
pub(crate) fn check(directory: &Path) -> Result<(), String> {
    let scratch = workspace::target().join("datasets-check");
    remove(&scratch)?;
    write(&scratch)?;
    let (expected, found) = (files(&scratch)?, files(directory)?);
    let mut differences = Vec::new();
    for file in expected.union(&found) {
        let difference = match (expected.contains(file), found.contains(file)) {
            (true, false) => "is missing",
            (false, true) => "is not generated",
            _ if read(&scratch.join(file))? != read(&directory.join(file))? => "differs",
            _ => continue,
        };
        differences.push(format!("  {} {difference}", directory.join(file).display()));
    }
    remove(&scratch)?;
    if differences.is_empty() {
        return Ok(());
    }
    let shown = differences.len().min(10);
    Err(format!(
        "{} of the datasets' files are not what the generator writes; run `cargo xtask datasets`\n{}",
        differences.len(),
        differences[..shown].join("\n")
    ))
}

/// One dataset and how it is generated.
struct Dataset {
    format: &'static str,
    /// Beyond the common arguments.
    arguments: &'static str,
}

/// The datasets; position decides day, seed and addresses, so new ones go to the end.
const DATASETS: [Dataset; 10] = [
    Dataset { format: "recommended", arguments: "" },
    Dataset { format: "apigw-rest-clf", arguments: "" },
    Dataset { format: "apigw-rest-json", arguments: "--separator none" },
    Dataset { format: "apigw-rest-xml", arguments: "" },
    Dataset { format: "apigw-rest-csv", arguments: "" },
    Dataset { format: "apigw-http-clf", arguments: "" },
    Dataset { format: "apigw-http-json", arguments: "--multi-member" },
    Dataset { format: "apigw-http-xml", arguments: "" },
    Dataset { format: "apigw-http-csv", arguments: "" },
    Dataset { format: "combined", arguments: "--stream tidebook-web-access" },
];

/// Honest clients and buffering are chosen so that all datasets together stay a few megabytes.
const COMMON: &str = "--hours 2 --scale 0.4 --buffer-seconds 900 --duplicates 1000 --late 1000";

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// What `datasets/MANIFEST.json` holds.
#[derive(Serialize)]
struct Collection {
    schema_version: u32,
    /// The command that writes everything again.
    command: &'static str,
    datasets: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    /// Directory of the objects, below `datasets/`.
    directory: String,
    /// File with the attackers and the honest populations, below `datasets/`.
    truth: String,
    #[serde(flatten)]
    manifest: Manifest,
}

/// Writes all datasets; returns the bytes of all objects.
fn write(directory: &Path) -> Result<u64, String> {
    let mut entries = Vec::new();
    let truths = directory.join("truth");
    fs::create_dir_all(&truths)
        .map_err(|error| format!("failed to create {}: {error}", truths.display()))?;
    for (position, dataset) in DATASETS.iter().enumerate() {
        let place = match dataset.format {
            "combined" => "combined".to_owned(),
            format => format!("firehose/{format}"),
        };
        let line = format!(
            "datasets --format {} --seed {} --block {position} --start 2026-03-{:02}T07:30:00Z {COMMON} {}",
            dataset.format,
            2_026 + position,
            2 + position,
            dataset.arguments
        );
        let options = Line::try_parse_from(line.split_whitespace())
            .map_err(|error| format!("failed to read the arguments of a dataset: {error}"))?
            .options;
        let (manifest, truth) = firehose::generate(&options, &directory.join(&place))?;
        let truth_file = format!("truth/{}.json", dataset.format);
        firehose::write_json(&directory.join(&truth_file), &truth)?;
        entries.push(Entry { directory: place, truth: truth_file, manifest });
    }
    let bytes = entries.iter().map(|entry| entry.manifest.bytes).sum();
    let collection =
        Collection { schema_version: 1, command: "cargo xtask datasets", datasets: entries };
    firehose::write_json(&directory.join("MANIFEST.json"), &collection)?;
    Ok(bytes)
}

/// All generated files below a datasets directory, as relative paths.
fn files(directory: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let mut found = BTreeSet::new();
    for part in GENERATED {
        let path = directory.join(part);
        if path.exists() {
            for file in workspace::files_below(&path)? {
                let relative = file.strip_prefix(directory).expect("found below the directory");
                found.insert(relative.to_owned());
            }
        }
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("failed to read {}: {error}", path.display()))
}

fn remove(path: &Path) -> Result<(), String> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("failed to remove {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_a_dataset() {
        let formats: BTreeSet<&str> = DATASETS.iter().map(|dataset| dataset.format).collect();
        assert_eq!(formats, firehose::format_names().collect());
        assert!(DATASETS.len() <= firehose::BLOCKS as usize, "addresses would be shared");
    }
}
