//! Findings that were written before, by `scan` or by a job on a cluster.
//!
//! A file is input like any log, and more is decided on it. So its size is bounded, what it
//! says is checked against itself before anything is planned, and what differs is named.
//! What was written without that in mind has no audit, and is refused too: nobody could tell
//! which of an offender's requests stood in half an object.

use std::error::Error;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use portcullis_columns::{is_parquet, kept_findings};
use portcullis_detection::{Disagreement, Findings, document};

use super::inert;
use crate::exit::Exit;
use crate::failure::Failure;

/// Most bytes of a file, packed and unpacked: a million offenders.
const MOST_BYTES: u64 = 2 << 30;

/// Reads findings that a plan may stand on. The exit code tells whether some input was not
/// covered.
pub(super) fn accepted(path: &Path) -> Result<(Findings, Exit), Failure> {
    let shown = inert(&path.to_string_lossy());
    let action = format!("read the findings in `{shown}`");
    let mut text = Vec::new();
    let opened = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut text));
    opened.map_err(|error| Failure::new(action.clone(), &error))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(Failure::because(action, format!("it has more than {MOST_BYTES} bytes")));
    }
    let findings = read(text).map_err(|error| {
        Failure::new(action, &*error)
            .hint("`portcullis scan --for-plan -o json` and a job on a cluster write such a file")
    })?;
    findings.accept().map_err(|wrong| refused(&shown, &wrong))?;
    let coverage = &findings.coverage;
    let is_whole = coverage.incomplete.is_empty() && coverage.rejected() == 0;
    let exit = if is_whole { Exit::Done } else { Exit::Partial };
    Ok((findings, exit))
}

/// Reads JSON, or what a cluster kept as rows; the file's first bytes say which.
fn read(bytes: Vec<u8>) -> Result<Findings, Box<dyn Error>> {
    if is_parquet(&bytes) {
        return Ok(kept_findings(bytes, MOST_BYTES)?);
    }
    Ok(document::read_document(&bytes)?)
}

fn refused(path: &str, wrong: &[Disagreement]) -> Failure {
    let lines: Vec<String> = wrong.iter().map(|one| inert(&one.to_string())).collect();
    let hint = match wrong {
        [Disagreement::NoAudit] => {
            "scan again with --for-plan; with --state there is no audit, so plan from the logs"
        }
        _ => "do not act on it: scan again",
    };
    Failure::because(format!("plan on the findings in `{path}`"), lines.join("; "))
        .hint(hint)
        .exit_with(Exit::Braked)
}
