//! Example programs of the workspace that measure themselves and print figures as JSON.

use std::path::{Path, PathBuf};
use std::process::Command as Process;

use serde::de::DeserializeOwned;

use super::cargo_build;
use crate::firehose::Manifest;
use crate::workspace;

/// Builds one, optimised, and says where it is.
pub(super) fn build(package: &str, example: &str) -> Result<PathBuf, String> {
    cargo_build(&["--package", package, "--example", example])?;
    let name = format!("{example}{}", std::env::consts::EXE_SUFFIX);
    Ok(workspace::target().join("release").join("examples").join(name))
}

/// What it prints when it is told the format and the objects of a log.
pub(super) fn figures<F: DeserializeOwned>(
    program: &Path,
    format: &str,
    (directory, manifest): &(PathBuf, Manifest),
) -> Result<F, String> {
    let output = Process::new(program)
        .arg(format)
        .args(manifest.objects.iter().map(|object| directory.join(&object.key)))
        .output()
        .map_err(|error| format!("failed to start {}: {error}", program.display()))?;
    if !output.status.success() {
        return Err(format!("measuring {format} ended with {}", output.status));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("failed to read the figures of {format}: {error}"))
}
