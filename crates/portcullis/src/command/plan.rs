//! `portcullis plan`: the IP-set changes that would block the offenders.
//!
//! It reads logs, the current sets and the never-block lists, and prints; nothing is
//! changed anywhere. A list that cannot be read in full stops the plan: a plan made
//! without it could block the very network it protects.
//!
//! With a target the sets and the ledger are read where they live, and the plan can be
//! carried out. Without one it starts from a file, or from nothing.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_detection::{Findings, RuleSet};
use portcullis_ingest::Timestamp;
use portcullis_remediation::{
    BlockedRequests, Change, Digests, Holdings, Ledger, Outcome, Plan as BlockPlan, Rulings, Sets,
    plan_reviewed,
};

use super::findings_file;
use super::judgement::Judge;
use super::keeping::{self, Found};
use super::lists::{Lists, bad_input};
use super::words::shell_word;
use super::written::{is_stdout, require_apart, write_whole};
use super::{Page, inert, print, read_option_file, tell};
use crate::args::{Access, Global, Plan, Shape, TargetOptions};
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operation;
use crate::output::table::{Align, Cell, Table};
use crate::output::{count, counted, source, write_not_seen};
use crate::pipeline::Purpose;
use crate::remote::Remote;
use crate::terminal::{ATTENTION, BAD, FAINT, GOOD, HEADING, Painted, Terminal};

pub(super) fn run(
    arguments: &Plan,
    configuration: &Configuration,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    if let Some(out) = &arguments.out {
        let given = [&arguments.current, &arguments.findings, &arguments.decisions];
        let read = given.into_iter().flatten().chain(&arguments.protected.never_block);
        require_apart(out, &[], read.map(AsRef::as_ref))?;
    }
    let now = time_of(arguments.at.as_deref())?;
    let Judge { rules, mut known } = Judge::load(&arguments.judgement, terminal)?;
    if arguments.findings.is_some() {
        // They were judged elsewhere, by rules that may be others.
        known.rules_sha256 = None;
    }
    let proxies = &arguments.logs.reading.trusted_proxies;
    let lists = Lists::read(Some(&arguments.protected), proxies, configuration)?.knowing(&known);
    let access = &arguments.logs.access;
    let current = arguments.current.as_deref();
    let base = Base::of(&arguments.target, access, current, configuration, terminal)?;
    let rulings = match &arguments.decisions {
        Some(path) => read_decisions(path)?,
        None => Rulings::default(),
    };
    let (findings, exit) = match &arguments.findings {
        Some(path) => {
            let without_effect = arguments.judgement.effective_in_findings();
            if !without_effect.is_empty() {
                let options = without_effect.join(", ");
                terminal.note(format_args!(
                    "findings stay as they were judged when they were made; not used: {options}"
                ));
            }
            findings_file::accepted(path)?
        }
        None => found(&rules, arguments, global, terminal)?,
    };
    let plan = base.plan(&findings, &lists, configuration, &rulings, now);
    tell_blind(&findings, &plan, terminal);

    let json = plan.to_json();
    if let Some(path) = &arguments.out {
        write_whole(path, json.as_bytes(), "the plan")?;
    }
    // On stdout the plan is alone, and there once.
    match (arguments.output, arguments.out.as_deref().is_some_and(is_stdout)) {
        (_, true) => {}
        (Shape::Json, false) => {
            print(json.as_bytes())?;
        }
        (Shape::Human, false) => {
            human(&plan, arguments, base.target(), terminal)?;
        }
    }
    let changes =
        if arguments.detailed_exitcode && plan.has_changes() { Exit::Found } else { Exit::Done };
    Ok(exit.or_worse(changes))
}

/// What the logs show, and what is worse than done about them.
fn found(
    rules: &RuleSet,
    arguments: &Plan,
    global: &Global,
    terminal: &Terminal,
) -> Result<(Findings, Exit), Failure> {
    let read = (&arguments.logs, &arguments.keeping);
    let Found { findings, tally, prepared } =
        keeping::findings(rules, Purpose::Block, read, global, terminal)?;
    if let Some(out) = &arguments.out {
        require_apart(out, &prepared.inputs, [])?;
    }
    let page = match arguments.output {
        Shape::Human => Page::Shown,
        Shape::Json => Page::None,
    };
    let gaps = tell(&tally, page, terminal);
    Ok((findings, prepared.exit.or_worse(gaps)))
}

/// What a plan starts from.
pub(super) struct Base {
    sets: Sets,
    /// The name of the target that they were read from, and its ledger.
    live: Option<(String, Ledger)>,
}

impl Base {
    /// The sets of a target where options describe one, those of a file, or empty ones.
    pub(super) fn of(
        target: &TargetOptions,
        access: &Access,
        current: Option<&Path>,
        configuration: &Configuration,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        match current {
            Some(_) if target.target.is_some() => {
                Err(Failure::because("plan", "--current and --target contradict each other")
                    .hint("a target's sets are read where they are; leave --current out")
                    .exit_with(Exit::Usage))
            }
            None if target.describes_one() => {
                Self::live(&Remote::open(target, access, configuration)?)
            }
            _ => Self::given(current, terminal),
        }
    }

    /// The sets of a target as they are, and its ledger.
    pub(super) fn live(remote: &Remote) -> Result<Self, Failure> {
        let ledger = remote.ledger()?;
        let sets = remote.planned_sets()?;
        Ok(Self { sets, live: Some((remote.name.clone(), ledger)) })
    }

    /// The sets of a file, or empty ones.
    pub(super) fn given(current: Option<&Path>, terminal: &Terminal) -> Result<Self, Failure> {
        Ok(Self { sets: current_sets(current, terminal)?, live: None })
    }

    /// The target's name.
    pub(super) fn target(&self) -> Option<&str> {
        self.live.as_ref().map(|(name, _)| name.as_str())
    }

    /// How many entries of the target's sets are ours.
    pub(super) fn entries(&self) -> usize {
        self.live.as_ref().map_or(0, |(_, ledger)| ledger.entries().len())
    }

    /// Whether somebody took an entry of ours out of one of the sets and no run noted it.
    pub(super) fn is_overruled(&self) -> bool {
        let entries = self.live.iter().flat_map(|(_, ledger)| ledger.entries());
        entries.into_iter().any(|(network, entry)| {
            let set = self.sets.get(&entry.set);
            set.is_some_and(|set| !set.addresses().contains(network))
        })
    }

    /// A plan, which can be carried out if it is for a target. Its operation is named after
    /// what the plan says, so that the same plan is the same operation.
    pub(super) fn plan(
        &self,
        findings: &Findings,
        lists: &Lists,
        configuration: &Configuration,
        rulings: &Rulings,
        now: Timestamp,
    ) -> BlockPlan {
        let policy = configuration.policy();
        let plan = |holdings: Option<&Holdings<'_>>| {
            let never_block = &lists.never_block;
            plan_reviewed(findings, &self.sets, never_block, &policy, holdings, rulings, now)
        };
        let Some((_, ledger)) = &self.live else {
            return plan(None);
        };
        let blocked_requests = match findings.coverage.objects_blind_to_blocks {
            0 => BlockedRequests::LeftOut,
            _ => BlockedRequests::MayCount,
        };
        let digests = Digests {
            rules_sha256: lists.rules_sha256.clone(),
            never_block_sha256: Some(lists.sha256.clone()),
            configuration_sha256: lists.digest_with(configuration),
        };
        let named = |operation: &str| {
            plan(Some(&Holdings { ledger, operation, blocked_requests }))
                .with_digests(digests.clone())
        };
        named(&operation::name("plan", now, &named("").sha256()))
    }
}

/// The decisions of a file.
pub(super) fn read_decisions(path: &Path) -> Result<Rulings, Failure> {
    let text = read_option_file(path, "the decisions in")?;
    Rulings::from_json(&text).map_err(|error| {
        Failure::new(format!("read the decisions in `{}`", inert(&path.to_string_lossy())), &error)
    })
}

/// Says when a log does not tell what AWS WAF turned away: who is or was blocked is then
/// left as he is, because his own vain tries would look like new attacks.
pub(super) fn tell_blind(findings: &Findings, plan: &BlockPlan, terminal: &Terminal) {
    let blind = findings.coverage.objects_blind_to_blocks;
    if blind > 0 && plan.changes().is_some_and(|changes| changes.ledger.is_some()) {
        terminal.note(format_args!(
            "{} not tell what AWS WAF blocked, so that no block is prolonged; log \
             $context.wafResponseCode or $context.error.responseType",
            counted(blind, "object does", "objects do")
        ));
    }
}

/// The time that an option gives, or now.
pub(super) fn time_of(at: Option<&str>) -> Result<Timestamp, Failure> {
    let Some(text) = at else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        return now
            .and_then(|now| i64::try_from(now.as_millis()).ok())
            .and_then(Timestamp::from_epoch_ms)
            .ok_or_else(|| {
                Failure::because("tell the time", "the clock is before 1970 or after 9999")
                    .hint("--at 2025-11-04T09:12:00Z gives the time by hand")
            });
    };
    Timestamp::parse_rfc3339(text.as_bytes()).ok_or_else(|| {
        Failure::because("read --at", format!("`{}` is no RFC 3339 time", inert(text)))
            .hint("write it as 2025-11-04T09:12:00Z")
            .exit_with(Exit::Usage)
    })
}

/// The sets of a file, or empty ones.
pub(super) fn current_sets(path: Option<&Path>, terminal: &Terminal) -> Result<Sets, Failure> {
    let Some(path) = path else {
        let sets = Sets::empty();
        let names: Vec<&str> = sets.iter().map(portcullis_remediation::IpSet::name).collect();
        terminal.note(format_args!(
            "no --current given: planning for two empty sets, {}",
            names.join(" and ")
        ));
        return Ok(sets);
    };
    let text = read_option_file(path, "the current sets in")?;
    Sets::from_json(&path.to_string_lossy(), &text)
        .map_err(|errors| bad_input("read the current sets", &errors, &text))
}

fn human(
    plan: &BlockPlan,
    arguments: &Plan,
    target: Option<&str>,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let mut out = Vec::new();
    let memory = "writing to memory does not fail";
    summary(plan, terminal, &mut out).expect(memory);
    if !plan.decisions().is_empty() {
        decisions(plan).write(&mut out, terminal.width, terminal.colour).expect(memory);
    }
    for conflict in plan.conflicts() {
        let word = Painted { text: "!", style: BAD, colour: terminal.colour };
        writeln!(out, "{word} {}", inert(&conflict.to_string())).expect(memory);
    }
    for suggestion in plan.suggestions() {
        let word = Painted { text: "?", style: ATTENTION, colour: terminal.colour };
        writeln!(out, "{word} {suggestion}").expect(memory);
    }
    for note in plan.notes() {
        let word = Painted { text: "!", style: ATTENTION, colour: terminal.colour };
        writeln!(out, "{word} {note}").expect(memory);
    }
    write_not_seen(&mut out, plan.coverage(), terminal).expect(memory);
    if let Some(changes) = plan.changes() {
        own_entries(&changes.changes, &mut out).expect(memory);
        writeln!(out, "\nplan {}", changes.operation).expect(memory);
        writeln!(out, "hash {}", plan.sha256()).expect(memory);
    }
    print(&out)?;
    match (&arguments.out, target) {
        (Some(path), Some(target)) if plan.has_changes() => terminal.next(format_args!(
            "review the plan, then: portcullis apply {} --target {target} --expect-hash {}",
            shell_word(&path.to_string_lossy()),
            plan.sha256()
        )),
        (Some(path), _) => terminal.next(format_args!(
            "review the plan in `{}`; nothing has been changed",
            inert(&path.to_string_lossy())
        )),
        (None, _) => terminal.next("--out plan.json saves the plan; nothing has been changed"),
    }
    Ok(Exit::Done)
}

/// What becomes of entries that are ours already.
fn own_entries(changes: &[Change], out: &mut Vec<u8>) -> io::Result<()> {
    for change in changes {
        let network = source(change.network());
        let set = inert(change.set());
        match change {
            Change::Add { .. } => {}
            Change::Renew { cause, .. } => {
                writeln!(out, "~  {network} stays longer in {set}: {}", inert(&cause.reason))?;
            }
            Change::Remove { why, .. } => {
                writeln!(out, "-  {network} leaves {set}: {}", why.reason())?;
            }
        }
    }
    Ok(())
}

fn summary(plan: &BlockPlan, terminal: &Terminal, out: &mut Vec<u8>) -> io::Result<()> {
    let decisions = plan.decisions();
    let add = plan.additions().count();
    let already = decisions
        .iter()
        .filter(|decision| matches!(decision.outcome, Outcome::AlreadyBlocked { .. }))
        .count();
    let watched = decisions
        .iter()
        .filter(|decision| decision.is_watched && matches!(decision.outcome, Outcome::Withheld(_)))
        .count();
    let offenders = decisions.len() - watched;
    let only_watched = match watched {
        0 => String::new(),
        number => format!("; {} more only watched", count(number as u64)),
    };
    let heading = format!(
        "{}: {} to block, {} already blocked, {} not blocked{only_watched}",
        counted(offenders as u64, "offender", "offenders"),
        count(add as u64),
        count(already as u64),
        count((offenders - add - already) as u64)
    );
    let heading = Painted { text: &heading, style: HEADING, colour: terminal.colour };
    writeln!(out, "{heading}, as of {}", plan.created_at())?;
    for (base, target) in plan.base().iter().zip(plan.target()) {
        let (before, after) = (base.addresses().len(), target.addresses().len());
        let change = if before == after {
            "no change".to_owned()
        } else {
            format!("{} → {}", count(before as u64), counted(after as u64, "entry", "entries"))
        };
        writeln!(out, "  {} ({}): {change}", inert(base.name()), base.family())?;
    }
    if let Some(blast) = plan.blast_radius() {
        writeln!(
            out,
            "  in these logs it would have stopped {} of {} and {} of {}",
            count(blast.blocked_good_requests),
            counted(blast.good_requests, "good request", "good requests"),
            count(blast.blocked_principals),
            counted(blast.principals, "principal", "principals"),
        )?;
    }
    writeln!(out)
}

fn decisions(plan: &BlockPlan) -> Table {
    let mut table = Table::new([
        ("", Align::Left),
        ("SOURCE", Align::Left),
        ("SCORE", Align::Right),
        ("DECISION AND WHY", Align::Left),
    ]);
    for decision in plan.decisions() {
        let (mark, style) = match decision.outcome {
            Outcome::Add { .. } => ("+", GOOD),
            Outcome::AlreadyBlocked { .. } => ("=", FAINT),
            Outcome::Withheld(_) => ("-", ATTENTION),
        };
        table.row(vec![
            Cell::styled(mark, style),
            Cell::plain(source(decision.source)),
            Cell::plain(decision.grounds.score.to_string()),
            Cell::plain(match plan.ruling(decision.source) {
                Some(ruling) => {
                    format!("{}\n{ruling}\n{}", inert(&decision.verdict()), decision.grounds)
                }
                None => format!("{}\n{}", inert(&decision.verdict()), decision.grounds),
            }),
        ]);
    }
    table
}
