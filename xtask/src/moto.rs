//! Makes the Python environment of the tests against moto, and runs them.
//!
//! The environment is kept between runs and made again when the list of packages
//! changes. Without Python the step fails: a test that is left out must show.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use crate::checks::cargo;
use crate::workspace;

/// Python's packages with their versions.
const REQUIREMENTS: &str = "tests/moto/requirements.txt";

/// Runs `cargo xtask moto`.
pub(crate) fn run() -> Result<(), String> {
    let home =
        std::env::var_os("HOME").ok_or("HOME is not set, so there is no place to install")?;
    prepare(&PathBuf::from(home).join(".cache/portcullis/moto"))?;
    cargo(&["test", "--package", "portcullis", "--test", "e2e", "moto::", "--", "--ignored"], &[])
}

/// Makes the environment, unless it is there.
fn prepare(environment: &Path) -> Result<(), String> {
    let requirements = workspace::root().join(REQUIREMENTS);
    let wanted = fs::read_to_string(&requirements)
        .map_err(|error| format!("failed to read {REQUIREMENTS}: {error}"))?;
    let stamp = environment.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!("installing {REQUIREMENTS} into {}", environment.display());
    let failed = |error: std::io::Error| format!("failed to clear the old environment: {error}");
    if environment.exists() {
        fs::remove_dir_all(environment).map_err(failed)?;
    }
    execute(Process::new("python3").args(["-m", "venv"]).arg(environment))?;
    execute(
        Process::new(environment.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--no-input", "--no-deps"])
            .arg("--disable-pip-version-check")
            .arg("--requirement")
            .arg(&requirements),
    )?;
    // Written last: what was cut short is made again.
    fs::write(&stamp, wanted).map_err(|error| format!("failed to write the stamp: {error}"))
}

fn execute(process: &mut Process) -> Result<(), String> {
    let program = process.get_program().to_string_lossy().into_owned();
    let status = process.status().map_err(|error| {
        format!(
            "failed to start {program}: {error}; the tests against moto need Python 3 with venv"
        )
    })?;
    if status.success() { Ok(()) } else { Err(format!("{program} ended with {status}")) }
}
