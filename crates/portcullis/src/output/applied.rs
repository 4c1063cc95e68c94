//! What was done to the sets, for people and for programs.

use std::collections::BTreeMap;
use std::io;

use anstyle::Style;
use ipnet::IpNet;
use portcullis_ingest::Untrusted;
use portcullis_remediation::{Applied, Change, Changes, Done, Ledger};

use crate::output::json::{Object, Secrets};
use crate::output::table::{Align, Cell, Table};
use crate::output::{counted, source};
use crate::terminal::{ATTENTION, FAINT, GOOD, HEADING, Painted, Terminal};

/// One operation and what came of it.
pub struct Report<'a> {
    /// What was to be done.
    pub changes: &'a Changes,
    /// The target's name.
    pub name: &'a str,
    /// What was done.
    pub applied: &'a Applied,
    /// The ledger after it.
    pub ledger: &'a Ledger,
    /// Whether it was done on a copy.
    pub is_dry_run: bool,
}

/// How one change ended.
struct Ended<'a> {
    mark: &'static str,
    style: Style,
    /// One word for programs.
    code: &'static str,
    network: IpNet,
    set: &'a str,
    text: String,
}

impl Report<'_> {
    fn until(&self, network: IpNet) -> String {
        match self.ledger.entries().get(&network) {
            Some(entry) => format!("until {}", entry.expires),
            None => "already taken out again".to_owned(),
        }
    }

    /// Networks that were to be blocked and are not by this, and why.
    pub fn not_added(&self) -> Vec<(IpNet, String)> {
        let additions = self.applied.done.iter().filter(|(change, done)| {
            matches!(change, Change::Add { .. }) && !matches!(done, Done::Added)
        });
        additions.map(|(change, done)| (change.network(), self.ended(change, done).text)).collect()
    }

    /// Whether there was something to do, and none of it may be done.
    fn is_refused(&self) -> bool {
        let done = &self.applied.done;
        if done.is_empty() {
            return !self.applied.unreached.is_empty();
        }
        let is_refused = |done: &Done| {
            matches!(
                done,
                Done::Overridden
                    | Done::Protected(_)
                    | Done::NoNeverBlockList
                    | Done::SetFull { .. }
            )
        };
        done.iter().all(|(_, done)| is_refused(done))
    }

    fn ended<'a>(&self, change: &'a Change, done: &Done) -> Ended<'a> {
        let (network, set) = (change.network(), change.set());
        let why = match change {
            Change::Add { cause, .. } | Change::Renew { cause, .. } => cause.reason.clone(),
            Change::Remove { why, .. } => why.reason().to_owned(),
        };
        let (mark, style, code, text) = match done {
            Done::Added => ("+", GOOD, "added", format!("blocked {}\n{why}", self.until(network))),
            Done::Renewed => {
                ("~", GOOD, "renewed", format!("stays {}\n{why}", self.until(network)))
            }
            Done::Removed => ("-", ATTENTION, "removed", format!("taken out: {why}")),
            Done::Forgiven => (
                "-",
                ATTENTION,
                "forgiven",
                "kept out for a week; its strikes are forgotten".to_owned(),
            ),
            Done::AlreadyGone => {
                ("=", FAINT, "already-gone", "somebody else had taken it out before".to_owned())
            }
            Done::AlreadyOurs => ("=", FAINT, "already-ours", "blocked already".to_owned()),
            Done::AlreadyThere(entry) => (
                "=",
                FAINT,
                "already-there",
                format!("blocked already by somebody else's entry {entry}"),
            ),
            Done::NotOurs => ("=", FAINT, "not-ours", "left alone: it is not ours".to_owned()),
            Done::NotDue => ("=", FAINT, "not-due", "stays: its time is not over".to_owned()),
            Done::Overridden => (
                "!",
                ATTENTION,
                "overridden",
                "not blocked: a person decided about it, and that holds for now".to_owned(),
            ),
            Done::Protected(protection) => {
                ("!", ATTENTION, "protected", format!("not blocked: overlaps {protection}"))
            }
            Done::NoNeverBlockList => (
                "!",
                ATTENTION,
                "no-never-block-list",
                "not blocked: there is no never-block list of yours; give one by --never-block"
                    .to_owned(),
            ),
            Done::SetFull { limit } => {
                ("!", ATTENTION, "set-full", format!("not blocked: the set is full ({limit})"))
            }
        };
        Ended { mark, style, code, network, set, text }
    }
}

/// Writes a page.
pub fn human(report: &Report<'_>, terminal: &Terminal, out: &mut impl io::Write) -> io::Result<()> {
    let Report { changes, applied, .. } = report;
    let verb = match (report.is_dry_run, report.is_refused()) {
        (true, false) => "would be carried out",
        (false, false) => "carried out",
        (true, true) => "would change nothing",
        (false, true) => "changed nothing",
    };
    let heading = Painted { text: &changes.operation, style: HEADING, colour: terminal.colour };
    let name = inert(report.name);
    writeln!(out, "{heading} {verb} on {name} ({})", changes.target)?;
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (change, done) in &applied.done {
        let ended = report.ended(change, done);
        *counts.entry((ended.set, ended.code)).or_default() += 1;
    }
    if counts.is_empty() && applied.unreached.is_empty() {
        writeln!(out, "  nothing to do")?;
    }
    for ((set, code), count) in counts {
        let set = if set.is_empty() { "in no set" } else { set };
        writeln!(out, "  {}: {count} {}", inert(set), code.replace('-', " "))?;
    }
    if !applied.done.is_empty() {
        let mut table = Table::new([
            ("", Align::Left),
            ("NETWORK", Align::Left),
            ("SET", Align::Left),
            ("WHAT AND WHY", Align::Left),
        ]);
        for (change, done) in &applied.done {
            let ended = report.ended(change, done);
            table.row(vec![
                Cell::styled(ended.mark, ended.style),
                Cell::plain(source(ended.network)),
                Cell::plain(inert(ended.set)),
                Cell::plain(inert_lines(&ended.text)),
            ]);
        }
        writeln!(out)?;
        table.write(out, terminal.width, terminal.colour)?;
    }
    for network in &applied.overridden {
        let network = source(*network);
        writeln!(out, "! {network} had been taken out by somebody else, and stays out for now")?;
    }
    if !applied.recovered.is_empty() {
        let count = applied.recovered.len() as u64;
        let networks = counted(count, "network", "networks");
        writeln!(out, "an earlier run had not come to its end; {networks} settled")?;
    }
    if applied.conflicts > 0 {
        let times = counted(u64::from(applied.conflicts), "time", "times");
        writeln!(out, "others changed a set meanwhile, {times}; their changes are kept")?;
    }
    Ok(())
}

/// Writes one document.
pub fn json(report: &Report<'_>, out: &mut Vec<u8>) {
    let mut document = Object::open(out, Secrets::Hidden);
    document.number("schema_version", 1_u32);
    fields(report, &mut document);
    document.close();
    out.push(b'\n');
}

/// Writes the fields of one operation.
pub fn fields(report: &Report<'_>, document: &mut Object<'_>) {
    let Report { changes, applied, .. } = report;
    document.text("operation", &changes.operation);
    document.text("name", report.name);
    document.text("target", &changes.target.to_string());
    document.boolean("dry_run", report.is_dry_run);
    document.objects("changes", &applied.done, |object, (change, done)| {
        let ended = report.ended(change, done);
        object.text("set", ended.set);
        object.text("network", &ended.network.to_string());
        object.text("done", ended.code);
        object.text("text", &ended.text.replace('\n', "; "));
        if matches!(done, Done::Added | Done::Renewed) {
            let entry = report.ledger.entries().get(&ended.network);
            object.display("expires", entry.map(|entry| entry.expires));
        }
    });
    let networks = |list: &[IpNet]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (overridden, recovered) = (networks(&applied.overridden), networks(&applied.recovered));
    document.texts("overridden", overridden.iter().map(String::as_str));
    document.texts("recovered", recovered.iter().map(String::as_str));
    document.texts("unconfirmed", applied.unconfirmed.iter().map(String::as_str));
    let unreached: Vec<_> = applied.unreached.iter().map(ToString::to_string).collect();
    document.texts("unreached", unreached.iter().map(String::as_str));
    document.number("conflicts", applied.conflicts);
    document.number("retries", applied.troubles);
    document.boolean("audit_stored", applied.audit_unsent.is_none());
}

fn inert(text: &str) -> String {
    Untrusted::new(text.as_bytes()).escaped().to_string()
}

fn inert_lines(text: &str) -> String {
    text.lines().map(inert).collect::<Vec<_>>().join("\n")
}
