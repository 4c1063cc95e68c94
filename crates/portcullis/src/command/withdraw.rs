//! `expire`, `rollback`, `release-all` and `pardon`: what takes entries of ours out.
//!
//! They need the ledger alone, no logs and no rules, so that blocks end even when
//! everything else is broken. They work in every mode: a target that is to be watched
//! only must still be able to lose what was put there before.

use portcullis_aws::{Document, SystemClock};
use portcullis_remediation::{Changes, Clock as _, StoreError};

use super::audit::account_of;
use super::changing::{Change, Word};
use super::inert;
use crate::args::{ByHand, Expire, Pardon, ReleaseAll, Rollback};
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::heartbeat::Heartbeat;
use crate::operation::{name_of_this_process, who};
use crate::remote::Remote;
use crate::terminal::Terminal;

pub(super) fn expire(
    arguments: &Expire,
    configuration: &Configuration,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let protected = Some(&arguments.protected);
    let change = Change::open(&arguments.changing, protected, configuration, terminal)?;
    let (ledger, now) = (change.remote.ledger()?, change.now());
    let operation = name_of_this_process("expire", now);
    let changes = Changes::expire(&ledger, change.never_block.as_ref(), &operation, now);
    let exit = change.carry_out(&changes, &Word::default(), terminal)?.exit;
    if exit == Exit::Done && !arguments.changing.manner.dry_run {
        tell_expired(&change.remote, configuration, terminal);
    }
    Ok(exit)
}

/// Says beside the state of `run` that what was over is out, as `run` itself does when it
/// is not told to leave that to others: `doctor` looks for it there. Blocks have ended
/// whether or not it can be said.
pub(super) fn tell_expired(remote: &Remote, configuration: &Configuration, terminal: &Terminal) {
    let Some(state) = configuration.state() else { return };
    let document = Document::open(&Heartbeat::place(state), &remote.connection);
    let expired = |heartbeat: &mut Heartbeat| heartbeat.expired(SystemClock.now());
    if let Err(StoreError(error)) = remote.wait(Heartbeat::update(&document, &who(), expired)) {
        terminal.warn(format_args!("nobody is told that blocks ended: {}", inert(&error)));
    }
}

pub(super) fn rollback(
    arguments: &Rollback,
    configuration: &Configuration,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let change = open(&arguments.by_hand, configuration, terminal)?;
    let (ledger, now) = (change.remote.ledger()?, change.now());
    let operation = name_of_this_process("rollback", now);
    let changes = Changes::rollback(&ledger, &arguments.operation, &operation, now);
    if changes.changes.is_empty() {
        let (lines, _) = account_of(&change.remote)?;
        if !lines.iter().any(|line| line.operation == arguments.operation) {
            let action = format!("undo `{}`", inert(&arguments.operation));
            return Err(Failure::because(action, "the account has no such operation")
                .hint("portcullis audit show lists the operations"));
        }
        terminal.note(format_args!(
            "nothing that `{}` added is still ours",
            inert(&arguments.operation)
        ));
    }
    Ok(change.carry_out(&changes, &word(&arguments.by_hand), terminal)?.exit)
}

pub(super) fn release_all(
    arguments: &ReleaseAll,
    configuration: &Configuration,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let change = open(&arguments.by_hand, configuration, terminal)?;
    let (ledger, now) = (change.remote.ledger()?, change.now());
    let changes = Changes::release_all(&ledger, &name_of_this_process("release-all", now), now);
    Ok(change.carry_out(&changes, &word(&arguments.by_hand), terminal)?.exit)
}

pub(super) fn pardon(
    arguments: &Pardon,
    configuration: &Configuration,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let change = open(&arguments.by_hand, configuration, terminal)?;
    let (ledger, now) = (change.remote.ledger()?, change.now());
    let operation = name_of_this_process("pardon", now);
    let changes = Changes::pardon(&ledger, arguments.network, &operation, now);
    if changes.changes.iter().all(|change| change.set().is_empty()) {
        terminal.note(format_args!("nothing of ours overlaps {}", arguments.network));
    }
    Ok(change.carry_out(&changes, &word(&arguments.by_hand), terminal)?.exit)
}

fn open<'a>(
    by_hand: &'a ByHand,
    configuration: &Configuration,
    terminal: &Terminal,
) -> Result<Change<'a>, Failure> {
    Change::open(&by_hand.changing, None, configuration, terminal)
}

fn word(by_hand: &ByHand) -> Word<'_> {
    Word { overrides: &by_hand.overrides, is_attended: true, ..Word::default() }
}
