//! The tests of `portcullis lambda`, which need a program built with another feature.
//!
//! The feature changes features of what lies below, so that the AWS SDK is built once more:
//! some minutes the first time. Builds without it stay as they are.

use crate::process::cargo;

/// Runs `cargo xtask lambda`.
pub(crate) fn run() -> Result<(), String> {
    let build = ["--workspace", "--features", "portcullis/lambda"];
    let lints = ["--all-targets", "--", "-D", "warnings"];
    cargo(&[&["clippy", "--quiet"], &build[..], &lints].concat(), &[])?;
    cargo(&[&["test"], &build[..], &["--test", "e2e", "lambda::"]].concat(), &[])
}
