//! One round of unattended work: what is over leaves the sets, what is new is read and
//! kept, and every target gets the plan that its mode allows.
//!
//! Nobody is there to read a message and decide, so each part does as much as it can
//! without the others: blocks end even when no log can be read, one target is dealt with
//! even when another cannot be reached, and what was read is saved before anything is
//! decided on it. What went wrong is gathered and told at the end, by words and by code.

use std::collections::BTreeSet;

use portcullis_aws::{Connection, Document, SystemClock};
use portcullis_detection::Findings;
use portcullis_ingest::Timestamp;
use portcullis_remediation::{
    Change as SetChange, Changes, Clock as _, Done, Ledger, Outcome, Rulings, SaveError, StoreError,
};
use portcullis_setup::Mode;

use super::changing::{Change, Guarded, Word, tell_doubts};
use super::judgement::Known;
use super::keeping::Taken;
use super::lists::Lists;
use super::plan::{Base, tell_blind};
use super::withdraw::tell_expired;
use super::{Page, inert, tell};
use crate::args::{Access, Manner, TargetOptions, Watched};
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::heartbeat::Heartbeat;
use crate::operation::{name_of_this_process, who};
use crate::output::counted;
use crate::output::summary::{Analysis, Dealt, Summary};
use crate::pipeline::Purpose;
use crate::terminal::Terminal;

/// An entry that is over for so long was missed by runs; guess: three runs of a schedule of
/// every five minutes.
const OVERDUE_MS: i64 = 15 * 60_000;

/// One round.
pub(super) struct Round<'a> {
    watched: &'a Watched,
    configuration: &'a Configuration,
    terminal: &'a Terminal,
    /// Those that can be reached, each with what became of it, by its place there.
    targets: Vec<(Change<'a>, usize)>,
    pub(super) summary: Summary,
}

impl<'a> Round<'a> {
    /// Begins; nothing is read or changed yet. A target that cannot be reached is a
    /// problem of this round and not its end.
    pub(super) fn begin(
        watched: &'a Watched,
        manner: &'a Manner,
        configuration: &'a Configuration,
        terminal: &'a Terminal,
    ) -> Result<Self, Failure> {
        let summary = Summary::begin(SystemClock.now());
        let targets = Vec::new();
        let mut round = Self { watched, configuration, terminal, targets, summary };
        for options in chosen(&watched.target, configuration)? {
            // What the logs are judged by is not read yet: plans leave out assets by themselves.
            let guarded = Guarded {
                protected: Some(&watched.protected),
                trusted_proxies: &watched.reading.trusted_proxies,
                known: &Known::default(),
            };
            let change =
                Change::at(&options, &watched.access, manner, &guarded, configuration, terminal);
            match change {
                Ok(change) => {
                    let (name, mode) = (&change.remote.name, change.remote.mode);
                    round.summary.targets.push(Dealt::new(name, mode));
                    round.targets.push((change, round.summary.targets.len() - 1));
                }
                Err(failure) => round.problem(&failure),
            }
        }
        Ok(round)
    }

    /// Tells what went wrong, and goes on.
    pub(super) fn problem(&mut self, failure: &Failure) {
        self.terminal.error(failure);
        self.summary.problems.push(failure.line());
        self.end_with(failure.exit());
    }

    /// Ends with this code, or a worse one.
    pub(super) fn end_with(&mut self, exit: Exit) {
        self.summary.exit = self.summary.exit.or_worse(exit);
    }

    /// Takes out of all sets what is over; gives whether that was done everywhere.
    pub(super) fn expire(&mut self) -> bool {
        let mut everywhere = true;
        for (change, place) in std::mem::take(&mut self.targets) {
            match expired(&change, &mut self.summary.targets[place], self.terminal) {
                Ok(()) => {}
                Err(failure) => {
                    everywhere = false;
                    self.problem(&failure);
                }
            }
            self.targets.push((change, place));
        }
        everywhere
    }

    /// Says so beside the state, where nothing else is done.
    pub(super) fn tell_expired(&self) {
        if let Some((change, _)) = self.targets.first() {
            tell_expired(&change.remote, self.configuration, self.terminal);
        }
    }

    /// Decides on what was read, and deals with every target.
    pub(super) fn decide(&mut self, taken: Taken<'_>, known: &Known, ends: bool) {
        let lag_ms = taken.oldest.map_or(0, |oldest| {
            u64::try_from(SystemClock.now().epoch_ms() - oldest.epoch_ms()).unwrap_or(0)
        });
        let mut analysis = Analysis {
            objects: taken.read,
            known: taken.known,
            left: taken.left,
            lag_ms,
            incomplete: taken.tally.incomplete.len() as u64,
            ..Analysis::default()
        };
        if taken.left > 0 {
            let left = counted(taken.left, "object is", "objects are");
            self.partly(format!("the time is over: {left} left for the next run"));
        }
        let (findings, tally) = taken.decided(Purpose::Block);
        let gaps = tell(&tally, Page::None, self.terminal);
        self.end_with(gaps);
        for failure in &tally.unreadable {
            self.summary.problems.push(failure.line());
        }
        analysis.records = findings.coverage.records;
        analysis.requests = findings.coverage.requests;
        analysis.rejects = findings.coverage.rejected();
        analysis.duplicates = findings.coverage.duplicates;
        analysis.offenders = findings.offenders.len() as u64;
        self.summary.analysis = Some(analysis);
        if ends {
            self.partly("told to end: what was read is kept, nothing was planned".to_owned());
            return;
        }
        let (protected, proxies) = (&self.watched.protected, &self.watched.reading.trusted_proxies);
        match Lists::read(Some(protected), proxies, self.configuration) {
            Ok(lists) => self.deal(&findings, &lists.knowing(known)),
            Err(failure) => self.problem(&failure),
        }
    }

    /// Says what was not done, and will be.
    pub(super) fn partly(&mut self, what: String) {
        self.terminal.warn(&what);
        self.summary.problems.push(what);
        self.end_with(Exit::Partial);
    }

    fn deal(&mut self, findings: &Findings, lists: &Lists) {
        for (change, place) in std::mem::take(&mut self.targets) {
            let mut dealt = self.summary.targets[place].clone();
            match self.dealt(&change, findings, lists, &mut dealt) {
                Ok(()) => {}
                Err(failure) => {
                    if failure.exit() == Exit::Braked {
                        dealt.braked = Some(failure.line());
                    }
                    self.problem(&failure);
                }
            }
            self.summary.targets[place] = dealt;
            self.targets.push((change, place));
        }
    }

    /// Plans for one target, and carries the plan out if its mode says so.
    fn dealt(
        &self,
        change: &Change<'_>,
        findings: &Findings,
        lists: &Lists,
        dealt: &mut Dealt,
    ) -> Result<(), Failure> {
        let remote = &change.remote;
        let (base, rulings) = (Base::live(remote)?, Rulings::default());
        let plan = base.plan(findings, lists, self.configuration, &rulings, change.now());
        tell_blind(findings, &plan, self.terminal);
        let hash = plan.sha256();
        dealt.planned = plan.additions().count() as u64;
        let withheld = |outcome: &Outcome| matches!(outcome, Outcome::Withheld(_));
        let decisions = plan.decisions().iter();
        dealt.withheld = decisions.filter(|decision| withheld(&decision.outcome)).count() as u64;
        dealt.blocked = base.entries() as u64;
        dealt.plan_sha256 = Some(hash.clone());
        if let Some(place) = &self.watched.plans {
            let access = &self.watched.logs(Vec::new()).access;
            let place = format!("{}/{}.json", place.trim_end_matches('/'), remote.name);
            write_plan(&place, access, plan.to_json().into_bytes())?;
        }
        // What a person took out is noted even when nothing else is to be done.
        let is_idle = |changes: &Changes| changes.changes.is_empty() && !base.is_overruled();
        let changes = plan.changes().filter(|changes| !is_idle(changes));
        let Some(changes) = changes.filter(|_| carries_out(remote.mode)) else {
            return Ok(());
        };
        let word = Word { plan_sha256: Some(&hash), ..Word::default() };
        let (applied, ledger) = change.perform(changes, &word, None)?;
        tell_doubts(&applied, self.terminal);
        for (change, done) in &applied.done {
            match (change, done) {
                (SetChange::Add { cause, .. }, Done::Added) => {
                    dealt.added.push((change.network().to_string(), cause.reason.clone()));
                }
                (_, Done::Renewed) => dealt.renewed += 1,
                (_, Done::Removed) => dealt.removed += 1,
                _ => {}
            }
        }
        dealt.blocked = ledger.entries().len() as u64;
        Ok(())
    }
}

/// Whether plans are carried out without anybody's word.
const fn carries_out(mode: Mode) -> bool {
    matches!(mode, Mode::Canary | Mode::Enforce)
}

/// The targets to deal with: the one that is named, or all.
fn chosen(
    given: &TargetOptions,
    configuration: &Configuration,
) -> Result<Vec<TargetOptions>, Failure> {
    let names: BTreeSet<&str> = configuration.targets().map(|target| &*target.name).collect();
    let is_described = given.account.is_some()
        || given.ledger.is_some()
        || !given.sets.is_empty()
        || !given.canary_sets.is_empty();
    if given.target.is_some() || names.len() == 1 || (names.is_empty() && is_described) {
        return Ok(vec![given.clone()]);
    }
    if is_described {
        let detail = format!(
            "the configuration has `{}`",
            names.iter().copied().collect::<Vec<_>>().join("`, `")
        );
        return Err(Failure::because(
            "tell which target the account, sets or ledger are of",
            detail,
        )
        .hint("name it with --target")
        .exit_with(Exit::Usage));
    }
    let each = configuration
        .targets()
        .map(|target| TargetOptions { target: Some(target.name.clone()), ..given.clone() });
    Ok(each.collect())
}

fn expired(change: &Change<'_>, dealt: &mut Dealt, terminal: &Terminal) -> Result<(), Failure> {
    let (ledger, now) = (change.remote.ledger()?, change.now());
    dealt.overdue = overdue(&ledger, now);
    if dealt.overdue > 0 {
        let entries = counted(dealt.overdue, "entry of", "entries of");
        terminal.warn(format_args!(
            "{entries} `{}` should have ended more than {} minutes ago; runs were missed",
            inert(&dealt.name),
            OVERDUE_MS / 60_000
        ));
    }
    let operation = name_of_this_process("expire", now);
    let changes = Changes::expire(&ledger, change.never_block.as_ref(), &operation, now);
    let (applied, ledger) = change.perform(&changes, &Word::default(), None)?;
    tell_doubts(&applied, terminal);
    let removed = applied.done.iter().filter(|(_, done)| matches!(done, Done::Removed));
    dealt.expired = removed.count() as u64;
    dealt.blocked = ledger.entries().len() as u64;
    change.unreached(&changes, &applied).map_or(Ok(()), Err)
}

/// Entries that runs before this one must have missed.
fn overdue(ledger: &Ledger, now: Timestamp) -> u64 {
    let over = |expires: Timestamp| expires.epoch_ms() + OVERDUE_MS < now.epoch_ms();
    ledger.entries().values().filter(|entry| over(entry.expires)).count() as u64
}

fn write_plan(place: &str, access: &Access, plan: Vec<u8>) -> Result<(), Failure> {
    let beside = Beside::open(place, access)?;
    let failed =
        |error: String| Failure::because(format!("write the plan to `{}`", inert(place)), error);
    let saved = beside.runtime.block_on(async {
        let stored = beside.document.load().await.map_err(|StoreError(error)| error)?;
        let version = stored.map(|(_, version)| version);
        match beside.document.save(plan, version.as_ref()).await {
            Ok(_) => Ok(()),
            Err(SaveError::Conflict) => Err("somebody else wrote it meanwhile".to_owned()),
            Err(SaveError::Unknown(error) | SaveError::Refused(error)) => Err(error),
        }
    });
    saved.map_err(failed)
}

/// A document with what it takes to reach it.
pub(super) struct Beside {
    runtime: tokio::runtime::Runtime,
    document: Document,
}

impl Beside {
    pub(super) fn open(place: &str, access: &Access) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Failure::new(format!("reach `{}`", inert(place)), &error))?;
        let connection = runtime.block_on(Connection::open(&access.options()));
        let document = Document::open(place, &connection);
        Ok(Self { runtime, document })
    }

    /// Changes the heartbeat that this is.
    pub(super) fn beat(&self, change: impl Fn(&mut Heartbeat)) -> Result<Heartbeat, Failure> {
        let changed = self.runtime.block_on(Heartbeat::update(&self.document, &who(), change));
        changed.map_err(|StoreError(error)| Failure::because("write the heartbeat", error))
    }
}

/// What the state of a command is, which it cannot do without.
pub(super) fn state_of(watched: &Watched) -> Result<&str, Failure> {
    watched.state.as_deref().ok_or_else(|| {
        Failure::because("read what is new", "nothing says where to keep what was read")
            .hint("give `state` in [source] of portcullis.toml, or --state")
            .exit_with(Exit::Usage)
    })
}

/// How far back objects count unless told otherwise: longer than Firehose tries to deliver.
const USUAL_LOOKBACK_MS: i64 = 25 * 3_600_000;

/// How far back objects count.
pub(super) fn lookback_of(watched: &Watched) -> i64 {
    watched.lookback.unwrap_or(USUAL_LOOKBACK_MS)
}
