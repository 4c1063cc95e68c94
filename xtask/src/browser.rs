//! Tests pages in a real browser.
//!
//! The browser and Node are the machine's; what the tests import is installed below the
//! target folder, pinned by a lock file. Where something is missing, the failure says how
//! to get it: a step that is skipped proves nothing.

use std::path::{Path, PathBuf};
use std::process::Command as Process;

use crate::process::{debug_program, finish};
use crate::workspace;

/// `cargo xtask browser`.
#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    /// Write pictures for the documentation to docs/images
    #[arg(long)]
    screenshots: bool,
}

/// Names that a Chromium has, by likelihood.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// What the tests run in.
const NEED: &str = "Node 20 or newer with npm is needed";

/// Runs `cargo xtask browser`.
pub(crate) fn run(command: &Command) -> Result<(), String> {
    let root = workspace::root();
    let browser = std::env::var_os("CHROMIUM").map(PathBuf::from).or_else(browser).ok_or(
        "failed to find Chromium: install it (`apt-get install chromium`), or set CHROMIUM to its path",
    )?;
    let target = workspace::target();
    let modules = target.join("browser");
    install(&root.join("tests/browser"), &modules)?;
    let program = debug_program()?;
    for tests in ["tests/browser/report.mjs", "tests/browser/review.mjs"] {
        let mut node = Process::new("node");
        node.arg(tests).args([&program, &modules, &browser]).current_dir(&root);
        if command.screenshots {
            node.arg(root.join("docs/images"));
        }
        finish(&mut node).map_err(|error| format!("{error}; {NEED}"))?;
    }
    Ok(())
}

/// Checks without writing pictures.
pub(crate) fn check() -> Result<(), String> {
    run(&Command { screenshots: false })
}

/// The first browser on the path.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let candidates = BROWSERS.iter().flat_map(|name| folders.iter().map(move |f| f.join(name)));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

/// Installs what the tests import, unless it is there already.
fn install(from: &Path, to: &Path) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("failed to prepare {}: {error}", to.display());
    std::fs::create_dir_all(to).map_err(fail)?;
    let mut is_same = to.join("node_modules").is_dir();
    for name in ["package.json", "package-lock.json"] {
        let wanted = std::fs::read(from.join(name)).map_err(fail)?;
        is_same &= std::fs::read(to.join(name)).is_ok_and(|found| found == wanted);
        std::fs::write(to.join(name), wanted).map_err(fail)?;
    }
    if is_same {
        return Ok(());
    }
    finish(Process::new("npm").args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(to))
        .map_err(|error| format!("{error}; {NEED}"))
}
