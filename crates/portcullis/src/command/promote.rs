//! `portcullis promote`: canaries that have stood their probation block.
//!
//! An entry must leave its canary set before it can enter another, and what would keep it
//! out of that one must show before it has left the first. So both steps are tried out on
//! a copy, and what is not blocked there stays where it is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};

use ipnet::IpNet;
use portcullis_detection::Findings;
use portcullis_ingest::Timestamp;
use portcullis_remediation::{Applied, Changes, Ledger, Probation, Promotion, Sets, promote};
use portcullis_setup::Mode;

use super::changing::{Change, Guarded, Word, tell_doubts};
use super::judgement::Judge;
use super::{Page, Prepared, inert, print, tell};
use crate::args::{Global, Promote, Shape};
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operation::name_of_this_process;
use crate::output::applied;
use crate::output::json::{Object, Secrets};
use crate::output::source;
use crate::pipeline::Purpose;
use crate::span::Span;
use crate::terminal::Terminal;

pub(super) fn run(
    arguments: &Promote,
    configuration: &Configuration,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let Promote { logs, target, manner, .. } = arguments;
    let Judge { rules, known } = Judge::load(&arguments.judgement, terminal)?;
    let guarded = Guarded {
        protected: Some(&arguments.protected),
        trusted_proxies: &logs.reading.trusted_proxies,
        known: &known,
    };
    let change = Change::at(target, &logs.access, manner, &guarded, configuration, terminal)?;
    permitted(change.remote.mode, &change.remote.name)?;
    let now = change.now();
    let ledger = change.remote.ledger()?;
    let [canary, blocking] = change.remote.canary_and_blocking_sets()?;

    let is_asked = logs.within.since.is_some() || logs.within.from.is_some();
    let span = Span::of(&logs.within, now)?;
    let span = if is_asked { span } else { Span { from: oldest(&ledger, &canary), ..span } };
    let prepared = Prepared::inside(span, logs, global, terminal)?;
    prepared.require_client()?;
    let (findings, tally) = prepared.reading().findings(&rules, Purpose::Block);
    prepared.progress.finish();
    let gaps = tell(&tally, Page::None, terminal);

    let policy = configuration.policy();
    let probation = Probation {
        length_ms: arguments.probation,
        max_addresses: policy.max_addresses,
        terms: policy.terms,
        ..Probation::default()
    };
    let decided = decide(&findings, &ledger, &canary, &blocking, &probation, now);
    let held = decided.held.iter().map(|(network, held)| (*network, held.to_string())).collect();
    let word = Word {
        overrides: &arguments.overrides,
        is_attended: true,
        into: Some(&change.remote.blocking),
        ..Word::default()
    };
    let outcome = carry_out(&change, decided, held, &word)?;
    let mut out = Vec::new();
    match manner.output {
        Shape::Json => json(&change, &outcome, &mut out),
        Shape::Human => human(&change, &outcome, terminal, &mut out).expect("memory does not fail"),
    }
    print(&out)?;
    for (_, applied, _) in &outcome.steps {
        tell_doubts(applied, terminal);
    }
    Ok(prepared.exit.or_worse(gaps))
}

fn permitted(mode: Mode, name: &str) -> Result<(), Failure> {
    if matches!(mode, Mode::Canary | Mode::Enforce) {
        return Ok(());
    }
    let detail = format!("nothing is promoted in the mode `{}`", mode.name());
    Err(Failure::because(format!("change the sets of `{name}`"), detail)
        .hint("mode = \"canary\" or \"enforce\" in its [[target]] allows it")
        .exit_with(Exit::Braked))
}

/// When the oldest of our entries came into a canary set.
fn oldest(ledger: &Ledger, canary: &Sets) -> Option<Timestamp> {
    let entries = ledger.entries().values();
    entries.filter(|entry| canary.get(&entry.set).is_some()).map(|entry| entry.added).min()
}

fn decide(
    findings: &Findings,
    ledger: &Ledger,
    canary: &Sets,
    blocking: &Sets,
    probation: &Probation,
    now: Timestamp,
) -> Promotion {
    let (leave, block) =
        (name_of_this_process("leave-canary", now), name_of_this_process("promote", now));
    promote(findings, ledger, canary, blocking, probation, [&leave, &block], now)
}

/// What was done, and who stays where he was and why.
struct Outcome {
    steps: Vec<(Changes, Applied, Ledger)>,
    held: BTreeMap<IpNet, String>,
}

fn carry_out(
    change: &Change<'_>,
    decided: Promotion,
    mut held: BTreeMap<IpNet, String>,
    word: &Word<'_>,
) -> Result<Outcome, Failure> {
    let Promotion { mut leave, mut block, .. } = decided;
    if block.changes.is_empty() {
        return Ok(Outcome { steps: Vec::new(), held });
    }
    let copy = change.copy()?;
    change.perform(&leave, word, Some(&copy))?;
    let (applied, ledger) = change.perform(&block, word, Some(&copy))?;
    let refused = change.report(&block, &applied, &ledger).not_added();
    let stay: BTreeSet<IpNet> = refused.iter().map(|(network, _)| *network).collect();
    for changes in [&mut leave, &mut block] {
        changes.changes.retain(|change| !stay.contains(&change.network()));
    }
    held.extend(refused);
    if block.changes.is_empty() {
        return Ok(Outcome { steps: Vec::new(), held });
    }
    let copy = if change.is_dry_run() { Some(change.copy()?) } else { None };
    let mut steps = Vec::new();
    for changes in [leave, block] {
        let (applied, ledger) = change.perform(&changes, word, copy.as_ref())?;
        steps.push((changes, applied, ledger));
    }
    Ok(Outcome { steps, held })
}

fn json(change: &Change<'_>, outcome: &Outcome, out: &mut Vec<u8>) {
    let mut document = Object::open(out, Secrets::Hidden);
    document.number("schema_version", 1_u32);
    document.text("name", &change.remote.name);
    document.boolean("dry_run", change.is_dry_run());
    document.objects("operations", &outcome.steps, |object, (changes, applied, ledger)| {
        applied::fields(&change.report(changes, applied, ledger), object);
    });
    document.objects("held", &outcome.held, |object, (network, why)| {
        object.text("network", &network.to_string());
        object.text("why", why);
    });
    document.close();
    out.push(b'\n');
}

fn human(
    change: &Change<'_>,
    outcome: &Outcome,
    terminal: &Terminal,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    for (changes, applied, ledger) in &outcome.steps {
        applied::human(&change.report(changes, applied, ledger), terminal, out)?;
    }
    if outcome.steps.is_empty() {
        writeln!(out, "nothing is promoted on {}", inert(&change.remote.name))?;
    }
    for (network, why) in &outcome.held {
        writeln!(out, "=  {} stays counted: {}", source(*network), inert(why))?;
    }
    Ok(())
}
