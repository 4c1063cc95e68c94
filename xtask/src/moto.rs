//! The program against moto, a second opinion on AWS's wire formats, locks and pages.

use crate::process::{cargo, python};

/// Runs `cargo xtask moto`.
pub(crate) fn run() -> Result<(), String> {
    python("moto", "tests/moto/requirements.txt")?;
    cargo(&["test", "--workspace", "--test", "e2e", "moto::", "--", "--ignored"], &[])
}
