//! Measures building: everything anew, nothing changed, and after a change at either end.
//!
//! Who works on the program waits for the second kind of build many times a day, and for the
//! first after each update of a dependency. A change is made by giving a file a new time,
//! its text stays. Clean builds take a quarter of an hour of processor time and some
//! gigabytes, so they have a directory of their own, which is removed afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::{Instant, SystemTime};

use serde::Serialize;

use super::machine;
use super::processor::{self, Took};
use super::subject::Destination;
use crate::{process, workspace};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Measure only these profiles
    #[arg(long, value_enum, default_values_t = [Profile::Dev, Profile::Release])]
    profile: Vec<Profile>,
    /// Leave clean builds out, and build in the workspace's own target directory
    #[arg(long)]
    incremental: bool,
    #[command(flatten)]
    destination: Destination,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Profile {
    Dev,
    Release,
}

impl Profile {
    /// What cargo calls it, and the directory where it puts what it builds.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Dev => ("dev", "debug"),
            Self::Release => ("release", "release"),
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    profiles: Vec<Figures>,
    /// Packages of which the program holds several versions.
    duplicates: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Serialize)]
struct Figures {
    profile: &'static str,
    builds: Vec<Build>,
    program_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Build {
    what: &'static str,
    #[serde(flatten)]
    took: Took,
}

/// What is given a new time before a build, and what that build is called.
const CHANGES: [(&str, Option<&str>); 3] = [
    ("nothing changed", None),
    ("the program changed", Some("crates/portcullis/src/main.rs")),
    ("the lowest crate changed", Some("crates/portcullis-ingest/src/lib.rs")),
];

pub(super) fn run(arguments: &Arguments) -> Result<(), String> {
    let machine = machine::announce();
    let own = workspace::target().join("bench").join("build");
    let target = if arguments.incremental { workspace::target() } else { own.clone() };
    println!("{:<9} {:<26} {:>8} {:>13}", "profile", "build", "seconds", "core-seconds");
    let mut profiles = Vec::new();
    for profile in &arguments.profile {
        if !arguments.incremental {
            remove(&own)?;
        }
        let measured = measure(*profile, &target, !arguments.incremental);
        // A directory of gigabytes goes, whatever happened.
        remove(&own)?;
        let figures = measured?;
        println!(
            "{:<9} {:<26} {:>8.1} MB",
            figures.profile,
            "size of the program",
            figures.program_bytes as f64 / 1e6
        );
        profiles.push(figures);
    }
    let duplicates = several_versions(&tree()?);
    println!("packages of which the program holds several versions: {}", duplicates.len());
    for (package, versions) in &duplicates {
        let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
        println!("  {package} {}", versions.join(", "));
    }
    arguments.destination.write(&machine, &Report { profiles, duplicates })
}

fn measure(profile: Profile, target: &Path, with_clean: bool) -> Result<Figures, String> {
    let (name, directory) = profile.names();
    let build = || {
        let begun = Instant::now();
        process::finish(
            Process::new(cargo())
                .args(["build", "--quiet", "--workspace", "--profile", name, "--target-dir"])
                .arg(target)
                .current_dir(workspace::root()),
        )?;
        Ok(begun.elapsed().as_secs_f64())
    };
    let mut builds = Vec::new();
    let mut measure = |what| {
        let took = processor::timed(build)?;
        println!("{name:<9} {what:<26} {:>8.1} {:>13.1}", took.clock, took.processor);
        builds.push(Build { what, took });
        Ok::<(), String>(())
    };
    if with_clean {
        measure("clean")?;
    } else {
        build()?;
    }
    for (what, changed) in CHANGES {
        if let Some(file) = changed {
            touch(&workspace::root().join(file))?;
        }
        measure(what)?;
    }
    let program = format!("portcullis{}", std::env::consts::EXE_SUFFIX);
    let program = target.join(directory).join(program);
    let program_bytes = fs::metadata(&program)
        .map_err(|error| format!("failed to look at {}: {error}", program.display()))?
        .len();
    Ok(Figures { profile: name, builds, program_bytes })
}

/// Gives a file the present time, which cargo takes for a change.
fn touch(file: &PathBuf) -> Result<(), String> {
    File::options()
        .append(true)
        .open(file)
        .and_then(|opened| opened.set_modified(SystemTime::now()))
        .map_err(|error| format!("failed to give {} a new time: {error}", file.display()))
}

fn remove(directory: &Path) -> Result<(), String> {
    if !directory.exists() {
        return Ok(());
    }
    fs::remove_dir_all(directory)
        .map_err(|error| format!("failed to remove {}: {error}", directory.display()))
}

/// The program's packages that cargo sees more than once, one a line.
fn tree() -> Result<String, String> {
    let output = Process::new(cargo())
        .args(["tree", "--package", "portcullis", "--edges", "normal", "--duplicates"])
        .args(["--depth", "0", "--prefix", "none", "--format", "{p}"])
        .current_dir(workspace::root())
        .output()
        .map_err(|error| format!("failed to start cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo tree: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Of lines `name vVERSION …`, the names with several versions. Cargo also lists what is
/// built twice of one version, for a build script or with other features.
fn several_versions(tree: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split(' ');
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            let version = version.trim_start_matches('v').to_owned();
            packages.entry(name.to_owned()).or_default().insert(version);
        }
    }
    packages.retain(|_, versions| versions.len() > 1);
    packages
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_of_several_versions_are_duplicates() {
        let tree = "hashbrown v0.15.5\n\nhashbrown v0.17.1\n\nserde v1.0.229\n\nserde v1.0.229\n\
                    toml v1.2.1 (proc-macro)\n";
        let found = several_versions(tree);
        let versions: Vec<&str> = found["hashbrown"].iter().map(String::as_str).collect();
        assert_eq!((found.len(), versions), (1, vec!["0.15.5", "0.17.1"]));
        assert!(several_versions("").is_empty());
    }
}
