//! The tests whose witnesses are Python's: the program against moto, a second opinion on
//! AWS's wire formats, locks and pages; an export, read by DuckDB and polars.

use crate::process::{cargo, python};

/// Packages of the environment `moto`.
pub(crate) const REQUIREMENTS: &str = "tests/moto/requirements.txt";

/// Runs `cargo xtask moto`.
pub(crate) fn run() -> Result<(), String> {
    python("moto", REQUIREMENTS)?;
    let tests = ["test", "--workspace", "--test", "e2e", "--", "--ignored"];
    cargo(&[&tests[..], &["moto::", "pipeline::", "export::"]].concat(), &[])
}
