//! Starting other programs: cargo, Python with its packages, browsers, linters.
//!
//! What cannot be started or fails is an error that says what was missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use crate::workspace;

/// Runs a program to its end; fails when it cannot start or does not end well.
pub(crate) fn finish(process: &mut Process) -> Result<(), String> {
    let program = process.get_program().to_string_lossy().into_owned();
    let status = process.status().map_err(|error| format!("failed to start {program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} ended with {status}")) }
}

/// Runs cargo in the workspace.
pub(crate) fn cargo(arguments: &[&str], variables: &[(&str, &str)]) -> Result<(), String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    finish(
        Process::new(program)
            .args(arguments)
            .envs(variables.iter().copied())
            .current_dir(workspace::root()),
    )
    .map_err(|error| format!("cargo {}: {error}", arguments.join(" ")))
}

/// The program as the tests build it: with other features of its dependencies everything
/// below it would be built a second time.
pub(crate) fn debug_program() -> Result<PathBuf, String> {
    cargo(&["test", "--quiet", "--workspace", "--no-run"], &[])?;
    Ok(workspace::target().join("debug/portcullis"))
}

/// The directory of the programs of a Python environment with exactly the packages that a
/// file of the workspace pins. It is kept between runs and made again when the file changes.
pub(crate) fn python(name: &str, requirements: &str) -> Result<PathBuf, String> {
    let home = std::env::var_os("HOME").ok_or("HOME is not set: no place for Python's packages")?;
    let environment = Path::new(&home).join(".cache/portcullis").join(name);
    let requirements = workspace::root().join(requirements);
    let wanted = fs::read_to_string(&requirements)
        .map_err(|error| format!("failed to read {}: {error}", requirements.display()))?;
    let installed = environment.join("requirements.txt");
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(environment.join("bin"));
    }
    println!("installing {} into {}", requirements.display(), environment.display());
    finish(Process::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))
        .map_err(|error| format!("{error}; Python 3 with venv is needed"))?;
    finish(
        Process::new(environment.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--no-input", "--no-deps"])
            .args(["--disable-pip-version-check", "--requirement"])
            .arg(&requirements),
    )?;
    // Written last: what was cut short is made again.
    fs::write(&installed, wanted)
        .map_err(|error| format!("failed to write {}: {error}", installed.display()))?;
    Ok(environment.join("bin"))
}
