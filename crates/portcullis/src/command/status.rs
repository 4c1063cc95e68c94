//! `portcullis status`: what is blocked, until when, and where sets and ledger differ.
//!
//! It reads and shows. A difference is usually a decision that somebody made in the
//! console, and is never overwritten.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use ipnet::IpNet;
use portcullis_remediation::{Entry, LedgerStore as _, Status, status};

use super::lists::Lists;
use super::plan::time_of;
use super::{inert, print};
use crate::args::{Shape, Status as Arguments};
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::json::{Object, Secrets};
use crate::output::table::{Align, Cell, Table};
use crate::output::{counted, source};
use crate::progress::human_count;
use crate::remote::Remote;
use crate::terminal::{ATTENTION, BAD, HEADING, Painted, Terminal};

/// Networks of others that a page lists before it only counts.
const FOREIGN_SHOWN: usize = 5;

pub(super) fn run(
    arguments: &Arguments,
    configuration: &Configuration,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let now = time_of(arguments.at.as_deref())?;
    let remote = Remote::open(&arguments.reached.target, &arguments.reached.access, configuration)?;
    let list = match Lists::read(Some(&arguments.protected), &[], configuration) {
        Ok(lists) => Some(lists.never_block),
        Err(failure) => {
            terminal.error(&failure);
            None
        }
    };
    let ledger = remote.ledger()?;
    let sets = remote.known_sets(&ledger)?;
    let halted = remote.wait(remote.store.halted());
    let halted = halted.map_err(|error| Failure::new("look at the kill switch", &error))?;
    let limits = configuration.brakes();
    let status = status(&ledger, &sets, list.as_ref(), &limits, now);
    let lease = ledger.lease().filter(|lease| now < lease.expires);
    let lease =
        lease.map(|lease| format!("{} for {} until {}", lease.who, lease.operation, lease.expires));
    let shown = Shown { remote: &remote, status, halted, lease };
    let mut out = Vec::new();
    match arguments.output {
        Shape::Human => shown.human(terminal, &mut out).expect("memory does not fail"),
        Shape::Json => shown.json(&mut out),
    }
    print(&out)?;
    if !shown.status.overdue.is_empty() || shown.status.is_unsettled {
        terminal.next(format_args!("portcullis expire --target {} settles it", remote.name));
    }
    Ok(if list.is_some() { Exit::Done } else { Exit::Partial })
}

struct Shown<'a> {
    remote: &'a Remote,
    status: Status<'a>,
    halted: Option<String>,
    lease: Option<String>,
}

impl Shown<'_> {
    fn human(&self, terminal: &Terminal, out: &mut Vec<u8>) -> io::Result<()> {
        let Self { remote, status, .. } = self;
        let name = Painted { text: &remote.name, style: HEADING, colour: terminal.colour };
        writeln!(out, "{name} ({}), mode {}", remote.target, remote.mode.name())?;
        for set in &status.sets {
            let warning = if set.is_nearly_full() { ", nearly full" } else { "" };
            let (entries, foreign) = (set.entries as u64, set.foreign.len() as u64);
            writeln!(
                out,
                "  {}: {} of {}, {} not ours{warning}",
                inert(set.set),
                counted(entries, "entry", "entries"),
                human_count(set.limit as u64),
                human_count(foreign)
            )?;
        }
        let (today, limit) = status.added_today;
        writeln!(out, "  {} in 24 h, limit {limit}", counted(today, "addition", "additions"))?;
        let attention = |text: &str| {
            format!("{} {text}", Painted { text: "!", style: ATTENTION, colour: terminal.colour })
        };
        if let Some(reason) = &self.halted {
            let mark = Painted { text: "!", style: BAD, colour: terminal.colour };
            writeln!(out, "{mark} the kill switch is pulled: {}", inert(reason))?;
        }
        if let Some(failed) = status.stopped_by_failures {
            let text = format!("{failed} runs in a row failed; nothing is added until one is good");
            writeln!(out, "{}", attention(&text))?;
        }
        if let Some(lease) = &self.lease {
            writeln!(
                out,
                "{}",
                attention(&format!("the sets are being changed by {}", inert(lease)))
            )?;
        }
        if status.is_unsettled {
            let text = "an earlier run did not come to its end; the next one settles what it began";
            writeln!(out, "{}", attention(text))?;
        }
        self.entries(terminal, out)?;
        for conflict in &status.conflicts {
            writeln!(out, "{}", attention(&inert(&conflict.to_string())))?;
        }
        for set in status.sets.iter().filter(|set| !set.foreign.is_empty()) {
            let some: Vec<_> =
                set.foreign.iter().take(FOREIGN_SHOWN).map(|network| source(*network)).collect();
            let more = set.foreign.len() - some.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            writeln!(out, "not ours in {}: {}{more}", inert(set.set), some.join(", "))?;
        }
        Ok(())
    }

    fn entries(&self, terminal: &Terminal, out: &mut Vec<u8>) -> io::Result<()> {
        let mut table = Table::new([
            ("NETWORK", Align::Left),
            ("SET", Align::Left),
            ("STRIKES", Align::Right),
            ("STATE AND WHY", Align::Left),
        ]);
        let mut rows = 0;
        for (state, entries) in self.states() {
            for (network, entry) in entries {
                let text = match state {
                    "blocked" => format!("blocked until {}", entry.expires),
                    "overdue" => format!("its time was over at {}", entry.expires),
                    _ => "taken out of the set by somebody else".to_owned(),
                };
                table.row(vec![
                    Cell::plain(source(*network)),
                    Cell::plain(inert(&entry.set)),
                    Cell::plain(entry.strikes.to_string()),
                    Cell::plain(format!("{text}\n{}", inert(&entry.cause.reason))),
                ]);
                rows += 1;
            }
        }
        for (network, decision) in &self.status.overrides {
            table.row(vec![
                Cell::plain(source(*network)),
                Cell::plain("-"),
                Cell::plain("-"),
                Cell::plain(format!(
                    "not to be blocked until {}: {}",
                    decision.until,
                    inert(&decision.note)
                )),
            ]);
            rows += 1;
        }
        if rows == 0 {
            return writeln!(out, "  nothing in the sets is ours");
        }
        writeln!(out)?;
        table.write(out, terminal.width, terminal.colour)
    }

    fn states(&self) -> [(&'static str, &BTreeMap<IpNet, &Entry>); 3] {
        let Status { blocked, overdue, missing, .. } = &self.status;
        [("blocked", blocked), ("overdue", overdue), ("missing", missing)]
    }

    fn json(&self, out: &mut Vec<u8>) {
        let Self { remote, status, .. } = self;
        let mut document = Object::open(out, Secrets::Hidden);
        document.number("schema_version", 1_u32);
        document.text("name", &remote.name);
        document.text("target", &remote.target.to_string());
        document.text("mode", remote.mode.name());
        for (state, entries) in self.states() {
            document.objects(state, entries, |object, (network, entry)| {
                object.text("network", &network.to_string());
                object.text("set", &entry.set);
                object.text("operation", &entry.operation);
                object.display("added", Some(entry.added));
                object.display("renewed", entry.renewed);
                object.display("expires", Some(entry.expires));
                object.number("strikes", entry.strikes);
                object.number("score", entry.cause.score);
                object.texts("rules", entry.cause.rules.iter().map(String::as_str));
                object.text("reason", &entry.cause.reason);
            });
        }
        document.objects("overrides", &status.overrides, |object, (network, decision)| {
            object.text("network", &network.to_string());
            object.display("until", Some(decision.until));
            object.text("note", &decision.note);
        });
        document.objects("sets", &status.sets, |object, set| {
            object.text("name", set.set);
            object.number("entries", set.entries as u64);
            object.number("limit", set.limit as u64);
            let foreign: Vec<_> = set.foreign.iter().map(ToString::to_string).collect();
            object.texts("foreign", foreign.iter().map(String::as_str));
        });
        document.objects("conflicts", &status.conflicts, |object, conflict| {
            object.text("network", &conflict.entry.to_string());
            object.text("explanation", &conflict.to_string());
        });
        document.boolean("unsettled", status.is_unsettled);
        document.boolean("stopped_by_failures", status.stopped_by_failures.is_some());
        let (today, limit) = status.added_today;
        document.number("added_within_24_hours", today);
        document.number("adds_per_day_limit", limit);
        if let Some(reason) = &self.halted {
            document.text("halted", reason);
        }
        if let Some(lease) = &self.lease {
            document.text("lease", lease);
        }
        document.close();
        out.push(b'\n');
    }
}
