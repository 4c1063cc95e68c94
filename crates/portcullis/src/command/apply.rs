//! `portcullis apply`: carries a reviewed plan out.
//!
//! The mode of the target decides who may: nobody, a person who names the plan's hash,
//! or a schedule.

use portcullis_remediation::ReviewedChanges;
use portcullis_setup::Mode;

use super::changing::{CarriedOut, Change, Word};
use super::{inert, read_option_file};
use crate::args::Apply;
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(super) fn run(
    arguments: &Apply,
    configuration: &Configuration,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let text = read_option_file(&arguments.plan, "the plan in")?;
    let path = inert(&arguments.plan.to_string_lossy());
    let reviewed = ReviewedChanges::from_json(&text).map_err(|error| {
        Failure::new(format!("read the plan in `{path}`"), &error)
            .hint("portcullis plan LOGS --target NAME --out FILE writes one that can be applied")
            .exit_with(Exit::Stale)
    })?;
    let change =
        Change::open(&arguments.changing, Some(&arguments.protected), configuration, terminal)?;
    let is_attended = arguments.expect_hash.is_some();
    let remote = &change.remote;
    permitted(remote.mode, is_attended, &remote.name, &reviewed.plan_sha256)?;
    // A ledger that is lost or damaged is said at once, with what to do about it.
    remote.ledger()?;
    let word = Word {
        overrides: &arguments.overrides,
        is_attended,
        plan_sha256: Some(&reviewed.plan_sha256),
        expected_sha256: arguments.expect_hash.as_deref(),
        allow_moved_base: arguments.allow_moved_base,
        into: None,
    };
    let CarriedOut { exit, blocks } = change.carry_out(&reviewed.changes, &word, terminal)?;
    if exit != Exit::Done || !blocks {
        return Ok(exit);
    }
    if arguments.changing.manner.dry_run {
        terminal.next(format_args!(
            "portcullis apply {path} --target {} --expect-hash {} carries it out",
            remote.name, reviewed.plan_sha256
        ));
    } else {
        terminal.next(format_args!(
            "portcullis rollback {} --target {} undoes it",
            reviewed.changes.operation, remote.name
        ));
    }
    Ok(exit)
}

fn permitted(mode: Mode, is_attended: bool, name: &str, hash: &str) -> Result<(), Failure> {
    let (detail, hint) = match (mode, is_attended) {
        (Mode::Enforce | Mode::Canary, _) | (Mode::Suggest, true) => return Ok(()),
        (Mode::Suggest, false) => (
            "a plan needs a person's word in the mode `suggest`",
            format!("review the plan, then add --expect-hash {hash}"),
        ),
        (Mode::Observe, _) => (
            "nothing is blocked in the mode `observe`",
            "mode = \"suggest\" in its [[target]] allows reviewed plans, \"enforce\" all"
                .to_owned(),
        ),
    };
    Err(Failure::because(format!("change the sets of `{name}`"), detail)
        .hint(hint)
        .exit_with(Exit::Braked))
}
