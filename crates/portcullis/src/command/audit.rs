//! `portcullis audit`: the account of every change, and whether it is whole.

use portcullis_remediation::{AuditLine, LedgerStore as _, verify_audit};

use super::{inert, print};
use crate::args::{Audit, Reached, Shape};
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::counted;
use crate::output::source;
use crate::output::table::{Align, Cell, Table};
use crate::remote::Remote;
use crate::terminal::Terminal;

pub(super) fn run(
    audit: &Audit,
    configuration: &Configuration,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    match audit {
        Audit::Show { reached, network, last, output } => {
            let (lines, verdict) = account(reached, configuration)?;
            let wanted = |line: &&AuditLine| {
                let Some(asked) = network else { return true };
                line.network
                    .is_some_and(|network| network.contains(asked) || asked.contains(&network))
            };
            let lines: Vec<_> = lines.iter().filter(wanted).collect();
            let skipped = last.map_or(0, |last| lines.len().saturating_sub(last));
            show(&lines[skipped..], *output, terminal)?;
            if let Err(why) = verdict {
                terminal.warn(format_args!("the account is not whole: {}", inert(&why)));
            }
            Ok(Exit::Done)
        }
        Audit::Verify { reached } => {
            let (lines, verdict) = account(reached, configuration)?;
            match verdict {
                Ok(()) => {
                    let lines = counted(lines.len() as u64, "line", "lines");
                    print(format!("whole: {lines}, as many as the ledger knows\n").as_bytes())
                }
                Err(why) => {
                    print(format!("not whole: {}\n", inert(&why)).as_bytes())?;
                    Ok(Exit::Found)
                }
            }
        }
    }
}

fn account(
    reached: &Reached,
    configuration: &Configuration,
) -> Result<(Vec<AuditLine>, Result<(), String>), Failure> {
    account_of(&Remote::open(&reached.target, &reached.access, configuration)?)
}

/// The lines that can be read, and whether they are all there. Lines that the ledger has
/// and that were not stored yet belong to it.
pub(super) fn account_of(remote: &Remote) -> Result<(Vec<AuditLine>, Result<(), String>), Failure> {
    // The account is there to be read when the ledger is lost above all.
    let ledger = remote.stored_ledger()?;
    let stored = remote.wait(remote.store.audit());
    let mut text = stored
        .map_err(|error| Failure::new(format!("read the account of `{}`", remote.name), &error))?;
    let count = text.lines().count() as u64;
    for line in ledger.unsent().iter().filter(|line| line.sequence > count) {
        text.push_str(&line.to_json());
        text.push('\n');
    }
    Ok(match verify_audit(&text, ledger.audit_head()) {
        Ok(lines) => (lines, Ok(())),
        Err(error) => {
            let readable = text.lines().filter_map(AuditLine::from_json);
            (readable.collect(), Err(error.to_string()))
        }
    })
}

fn show(lines: &[&AuditLine], output: Shape, terminal: &Terminal) -> Result<(), Failure> {
    let mut out = Vec::new();
    match output {
        Shape::Json => {
            for line in lines {
                out.extend_from_slice(line.to_json().as_bytes());
                out.push(b'\n');
            }
        }
        Shape::Human => {
            let mut table = Table::new([
                ("TIME", Align::Left),
                ("EVENT", Align::Left),
                ("NETWORK", Align::Left),
                ("SET", Align::Left),
                ("WHY, BY WHOM", Align::Left),
            ]);
            for line in lines {
                let why = inert(&line.reason);
                let (operation, who) = (inert(&line.operation), inert(&line.who));
                table.row(vec![
                    Cell::plain(line.time.to_string()),
                    Cell::plain(line.event.name()),
                    Cell::plain(line.network.map_or_else(|| "-".to_owned(), source)),
                    Cell::plain(inert(line.set.as_deref().unwrap_or("-"))),
                    Cell::plain(format!("{why}\n{operation}, {who}")),
                ]);
            }
            table.write(&mut out, terminal.width, terminal.colour).expect("memory does not fail");
        }
    }
    print(&out).map(|_| ())
}
