//! The scan on Apache Spark, against a scan of one process: the same bytes.
//!
//! Everything is real and on loopback: the wheel as maturin builds it, a master, two
//! workers that are killed, a bucket. Only the load is small.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::process::{cargo, debug_program, finish, python};
use crate::{moto, workspace};

/// `cargo xtask test-spark`.
#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    /// Five million sources instead of fifty thousand, with what is built for release
    #[arg(long)]
    long: bool,
    /// Run only these checks
    #[arg(long, value_name = "CHECK")]
    only: Vec<String>,
    /// Take this program instead of building the workspace's
    #[arg(long, value_name = "PROGRAM")]
    binary: Option<PathBuf>,
}

pub(crate) const REQUIREMENTS: &str = "tests/spark/requirements.txt";

/// Formats of the objects, a third of them each.
const FORMATS: [&str; 3] = ["recommended", "apigw-rest-clf", "apigw-http-xml"];

/// Sources besides the one that sends half of all requests.
const SOURCES: u32 = 50_000;
const LONG_SOURCES: u32 = 5_000_000;

/// Objects that they are spread over.
const SKEWED_OBJECTS: u32 = 40;

/// Runs `cargo xtask test-spark`.
pub(crate) fn run(command: &Command) -> Result<(), String> {
    let Command { long, only, binary } = command;
    let program = binary.clone().map_or_else(|| built_program(*long), Ok)?;
    check(*long, only, &program)
}

/// Runs all tests; in the long form with many sources.
pub(crate) fn check_all(long: bool) -> Result<(), String> {
    check(long, &[], &built_program(long)?)
}

/// The program as the tests build it, or for release: millions of sources take it minutes.
fn built_program(long: bool) -> Result<PathBuf, String> {
    if !long {
        return debug_program();
    }
    cargo(&["build", "--quiet", "--release", "--package", "portcullis"], &[])?;
    Ok(workspace::target().join("release/portcullis"))
}

fn check(long: bool, only: &[String], program: &Path) -> Result<(), String> {
    let java = Process::new("java").arg("-version").stderr(Stdio::null()).status();
    if !java.is_ok_and(|status| status.success()) {
        return Err("Spark needs Java: apt-get install openjdk-17-jre-headless".to_owned());
    }
    let programs = python("spark", REQUIREMENTS)?;
    let moto = python("moto", moto::REQUIREMENTS)?;
    let home = workspace::target().join("spark");
    let profile = if long { "release" } else { "dev" };
    let wheel =
        wheel(&programs, &home.join("wheel"), &["--profile", profile, "--features", "mistakes"])?;
    install(&programs.join("python"), &wheel)?;
    let work = home.join("work");
    if work.exists() {
        fs::remove_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    }
    let objects = objects(&work.join("objects"))?;
    let skewed = skewed(&work.join("skewed"), if long { LONG_SOURCES } else { SOURCES })?;
    let root = workspace::root();
    finish(
        Process::new(programs.join("python"))
            .arg(root.join("tests/spark/check.py"))
            .args(only.iter().flat_map(|check| ["--only", check]))
            .args(long.then_some("--long"))
            .args(["--program".as_ref(), program.as_os_str()])
            .args(["--objects".as_ref(), objects.as_os_str()])
            .args(["--skewed".as_ref(), skewed.as_os_str()])
            .args(["--work".as_ref(), work.as_os_str()])
            .args(["--moto".as_ref(), moto.join("python").as_os_str()])
            .args([
                "--job".as_ref(),
                root.join("crates/portcullis-spark/portcullis_job.py").as_os_str(),
            ])
            .args([
                "--rule".as_ref(),
                root.join("rules/traversal/encoded-separator.toml").as_os_str(),
            ])
            .env("SPARK_LOCAL_IP", "127.0.0.1")
            .env("PYSPARK_PYTHON", programs.join("python"))
            .env_remove("SPARK_HOME"),
    )?;
    clean_install(&home.join("clean"), &wheel)
}

/// Builds the wheel into a directory of its own.
pub(crate) fn wheel(programs: &Path, out: &Path, profile: &[&str]) -> Result<PathBuf, String> {
    if out.exists() {
        fs::remove_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    }
    finish(
        Process::new(programs.join("maturin"))
            .args(["build", "--quiet", "--locked", "--compatibility", "linux", "--out"])
            .arg(out)
            .args(profile)
            .env("CARGO_TARGET_DIR", workspace::target())
            .current_dir(workspace::root().join("crates/portcullis-spark")),
    )?;
    let wheels = workspace::files_below(out)?;
    wheels.into_iter().next().ok_or_else(|| format!("maturin left no wheel in {}", out.display()))
}

/// Installs the wheel where what it needs is there already.
pub(crate) fn install(python: &Path, wheel: &Path) -> Result<(), String> {
    finish(
        Process::new(python)
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall"])
            .arg("--disable-pip-version-check")
            .arg(wheel),
    )
}

/// Objects in three formats, among them one that is cut short and one that is damaged.
fn objects(folder: &Path) -> Result<PathBuf, String> {
    let me = std::env::current_exe().map_err(|error| format!("who am I: {error}"))?;
    for format in FORMATS {
        finish(
            Process::new(&me)
                .args(["firehose", "--format", format, "--hours", "2", "--buffer-seconds", "90"])
                .args(["--scale", "0.1", "--duplicates", "5000", "--out"])
                .arg(folder.join(format))
                .stdout(Stdio::null()),
        )?;
    }
    let all = workspace::files_below(folder)?;
    let mut compressed = all.iter().filter(|path| path.extension().is_some_and(|end| end == "gz"));
    let mut change = |how: &dyn Fn(&mut Vec<u8>)| {
        let path = compressed.nth(7).ok_or("too few objects")?;
        let mut bytes = fs::read(path).map_err(|error| error.to_string())?;
        how(&mut bytes);
        fs::write(path, bytes).map_err(|error| error.to_string())
    };
    change(&|bytes| bytes.truncate(bytes.len() / 2))?;
    change(&|bytes| {
        let middle = bytes.len() / 2;
        bytes[middle..middle + 40].fill(0xff);
    })?;
    Ok(folder.to_owned())
}

/// Objects in which one source sent every second request and the others one each.
fn skewed(folder: &Path, sources: u32) -> Result<PathBuf, String> {
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let each = sources / SKEWED_OBJECTS;
    for object in 0..SKEWED_OBJECTS {
        let file = fs::File::create(folder.join(format!("{object:02}.log.gz")));
        let file = file.map_err(|error| error.to_string())?;
        let mut out = GzEncoder::new(file, Compression::fast());
        let mut text = String::new();
        for number in object * each..(object + 1) * each {
            let (minute, second) = (number / 1_000 % 60, number / 20 % 60);
            let quiet = [11, (number >> 16) as u8, (number >> 8) as u8, number as u8];
            for client in [quiet, [198, 18, 7, 7]] {
                let [a, b, c, d] = client;
                let _ = writeln!(
                    text,
                    "{a}.{b}.{c}.{d} - - [02/Mar/2026:09:{minute:02}:{second:02} +0000] \
                     \"GET /pets/{number} HTTP/1.1\" 200 512 \"-\" \"app/1\""
                );
            }
            if text.len() > 1 << 20 {
                out.write_all(text.as_bytes()).map_err(|error| error.to_string())?;
                text.clear();
            }
        }
        let end = out.write_all(text.as_bytes()).and_then(|()| out.finish());
        end.map_err(|error| error.to_string())?;
    }
    Ok(folder.to_owned())
}

/// Installs the wheel where nothing is, with one command, and runs what its README shows.
fn clean_install(environment: &Path, wheel: &Path) -> Result<(), String> {
    finish(Process::new("python3").args(["-m", "venv", "--clear"]).arg(environment))?;
    let python = environment.join("bin/python");
    finish(
        Process::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--constraint",
            ])
            .arg(workspace::root().join(REQUIREMENTS))
            .arg(format!("{}[spark]", wheel.display())),
    )?;
    let readme = workspace::root().join("crates/portcullis-spark/README.md");
    let readme = fs::read_to_string(&readme).map_err(|error| error.to_string())?;
    let example = readme.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    let example = example.ok_or("the README of portcullis-spark shows no example")?;
    let example = format!(
        "from pyspark.sql import SparkSession\n\
         spark = SparkSession.builder.master('local[2]').config('spark.ui.enabled', 'false')\\\n    \
         .config('spark.ui.showConsoleProgress', 'false').getOrCreate()\n{example}\
         import json\nprint(len(json.load(open('findings.json'))['offenders']), 'offenders')\n"
    );
    let root = workspace::root();
    let datasets = root.join("datasets");
    let here = environment.join("run");
    fs::create_dir_all(&here).map_err(|error| error.to_string())?;
    let _ = std::os::unix::fs::symlink(datasets, here.join("datasets"));
    let output = Process::new(&python)
        .args(["-c", &example])
        .current_dir(&here)
        .env("SPARK_LOCAL_IP", "127.0.0.1")
        .env("PYSPARK_PYTHON", &python)
        .env_remove("SPARK_HOME")
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && said.trim().ends_with("offenders") && !said.starts_with("0 ") {
        println!("ok: a clean installation runs the README's example: {}", said.trim());
        return Ok(());
    }
    Err(format!("the README's example: {said}{}", String::from_utf8_lossy(&output.stderr)))
}
