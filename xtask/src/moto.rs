//! The tests whose witnesses are Python's: the program against moto, a second opinion on
//! AWS's wire formats, locks and pages; an export, read by DuckDB and polars.

use crate::process::{cargo, python};

/// Runs `cargo xtask moto`.
pub(crate) fn run() -> Result<(), String> {
    python("moto", "tests/moto/requirements.txt")?;
    let tests = ["test", "--workspace", "--test", "e2e", "--", "--ignored"];
    cargo(&[&tests[..], &["moto::", "pipeline::", "export::"]].concat(), &[])
}
