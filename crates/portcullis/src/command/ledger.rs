//! `portcullis ledger rebuild`: what is ours after the ledger was lost.
//!
//! Without a ledger every entry is somebody else's and stays for ever. The account and
//! plans that were applied still say which were ours. A ledger that is there is never
//! written over, whatever is in it: the new one is saved on condition that there is none.

use std::io::{self, Write as _};
use std::path::PathBuf;

use ipnet::IpNet;
use portcullis_ingest::Timestamp;
use portcullis_remediation::{
    Clock as _, Ledger, LedgerStore as _, Rebuilt, ReviewedChanges, SaveError, StoreError,
};

use super::plan::time_of;
use super::{inert, print, read_option_file};
use crate::args::{Ledger as Command, Shape};
use crate::config::Configuration;
use crate::digest::sha256;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operation;
use crate::output::json::{Object, Secrets};
use crate::output::{counted, source};
use crate::remote::Remote;
use crate::terminal::Terminal;

pub(super) fn run(
    command: &Command,
    configuration: &Configuration,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let Command::Rebuild { reached, plans, dry_run, output, at } = command;
    let at = at.as_deref().map(|at| time_of(Some(at))).transpose()?;
    let remote = Remote::open(&reached.target, &reached.access, configuration)?;
    let now = remote.clock(at)?.now();
    require_lost(&remote)?;
    if let Some(reason) = remote.halted()? {
        let detail = format!("the kill switch is pulled: {}", inert(&reason));
        let action = format!("make the ledger of `{}` anew", remote.name);
        return Err(Failure::because(action, detail).exit_with(Exit::Braked));
    }
    let rebuilt = rebuild(&remote, plans, now)?;
    if !dry_run {
        save(&remote, &rebuilt.ledger)?;
    }
    let mut out = Vec::new();
    match output {
        Shape::Json => json(&rebuilt, &remote.name, *dry_run, &mut out),
        Shape::Human => {
            human(&rebuilt, &remote.name, *dry_run, &mut out).expect("memory does not fail");
        }
    }
    print(&out)?;
    if !dry_run && !rebuilt.ledger.entries().is_empty() {
        terminal.next(format_args!(
            "portcullis release-all --target {} takes out what is ours; the next expire or apply \
             does too, for it counts as over",
            remote.name
        ));
    }
    Ok(Exit::Done)
}

/// Refuses when there is a ledger, readable or not.
fn require_lost(remote: &Remote) -> Result<(), Failure> {
    let action = || format!("make the ledger of `{}` anew", remote.name);
    match remote.wait(remote.store.load()) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(Failure::because(action(), "there is one, and it can be read")
            .hint("portcullis status shows what it holds")),
        Err(StoreError(error)) => Err(Failure::because(action(), error).hint(
            "if it is there and damaged, try an older version of it first; else move it aside \
             and run this again",
        )),
    }
}

fn rebuild(remote: &Remote, plans: &[PathBuf], now: Timestamp) -> Result<Rebuilt, Failure> {
    let mut applied = Vec::new();
    for path in plans {
        let text = read_option_file(path, "the plan in")?;
        let shown = inert(&path.to_string_lossy());
        let reviewed = ReviewedChanges::from_json(&text).map_err(|error| {
            Failure::new(format!("read the plan in `{shown}`"), &error).exit_with(Exit::Stale)
        })?;
        if reviewed.changes.target != remote.target {
            let detail = format!(
                "it is for {}, and the target is {}",
                reviewed.changes.target, remote.target
            );
            return Err(Failure::because(format!("use the plan in `{shown}`"), detail)
                .exit_with(Exit::Stale));
        }
        applied.push(reviewed.changes);
    }
    let account = remote.wait(remote.store.audit());
    let account = account
        .map_err(|error| Failure::new(format!("read the account of `{}`", remote.name), &error))?;
    let nothing = Ledger::new(remote.target.clone(), "");
    let sets = remote.known_sets(&nothing)?;
    let name = operation::name_of_this_process("ledger-rebuild", now);
    let lineage = sha256(&name);
    Ledger::rebuild(&remote.target, &lineage, &account, &applied, &sets, now).map_err(|error| {
        Failure::new(format!("believe the account of `{}`", remote.name), &error).hint(
            "whoever can alter it could have entries of others taken out; restore it from a copy",
        )
    })
}

/// Saves the ledger where none is.
fn save(remote: &Remote, ledger: &Ledger) -> Result<(), Failure> {
    let action = format!("save the ledger of `{}`", remote.name);
    match remote.wait(remote.store.save(ledger, None)) {
        Ok(_) => Ok(()),
        Err(SaveError::Conflict) => {
            let detail = "another run has saved one meanwhile";
            Err(Failure::because(action, detail).exit_with(Exit::Locked))
        }
        Err(SaveError::Refused(reason)) => Err(Failure::because(action, reason)),
        Err(SaveError::Unknown(reason)) => Err(Failure::because(action, reason)
            .hint("it may have been saved all the same; portcullis status shows it")),
    }
}

fn json(rebuilt: &Rebuilt, name: &str, is_dry_run: bool, out: &mut Vec<u8>) {
    let mut document = Object::open(out, Secrets::Hidden);
    document.number("schema_version", 1_u32);
    document.text("name", name);
    document.text("target", &rebuilt.ledger.target().to_string());
    document.boolean("dry_run", is_dry_run);
    document.objects("ours", rebuilt.ledger.entries(), |object, (network, entry)| {
        object.text("set", &entry.set);
        object.text("network", &network.to_string());
        object.text("operation", &entry.operation);
    });
    let texts = |list: &[IpNet]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    document.texts("gone", texts(&rebuilt.gone).iter().map(String::as_str));
    document.objects("unclaimed", &rebuilt.unclaimed, |object, (set, networks)| {
        object.text("set", set);
        object.texts("networks", texts(networks).iter().map(String::as_str));
    });
    document.close();
    out.push(b'\n');
}

fn human(rebuilt: &Rebuilt, name: &str, is_dry_run: bool, out: &mut Vec<u8>) -> io::Result<()> {
    let entries = rebuilt.ledger.entries();
    let count = counted(entries.len() as u64, "entry is", "entries are");
    let name = inert(name);
    let verb = if is_dry_run { "would be made anew" } else { "is made anew" };
    writeln!(out, "the ledger of {name} {verb}: {count} ours")?;
    for (network, entry) in entries {
        let (set, operation) = (inert(&entry.set), inert(&entry.operation));
        writeln!(out, "+  {} in {set}, put there by {operation}", source(*network))?;
    }
    for network in &rebuilt.gone {
        writeln!(out, "-  {} is in no set any more", source(*network))?;
    }
    for (set, networks) in &rebuilt.unclaimed {
        let networks: Vec<String> = networks.iter().map(|network| source(*network)).collect();
        writeln!(out, "=  not ours in {}: {}", inert(set), networks.join(", "))?;
    }
    Ok(())
}
