//! What the commands that change sets share: they differ in what is to be done, and not
//! in how it is done, refused, shown or tried out.

use portcullis_ingest::Timestamp;
use portcullis_remediation::{
    ApplyError, BrakeLimits, BrakeOverride, Changes, Clock as _, Ledger, LedgerStore as _,
    MemoryIpSets, MemoryLedger, NeverBlock, Order, apply,
};

use super::lists::Lists;
use super::plan::time_of;
use super::print;
use crate::args::{Changing, Protected, Shape};
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operation;
use crate::output::applied::{self, Report};
use crate::remote::{Remote, Time};
use crate::terminal::Terminal;

/// A target about to be changed.
pub(super) struct Change<'a> {
    pub(super) remote: Remote,
    pub(super) clock: Time,
    pub(super) never_block: Option<NeverBlock>,
    limits: BrakeLimits,
    changing: &'a Changing,
}

/// On whose word.
#[derive(Default)]
pub(super) struct Word<'a> {
    pub(super) overrides: &'a [BrakeOverride],
    /// Whether a person is there.
    pub(super) is_attended: bool,
    pub(super) plan_sha256: Option<&'a str>,
    pub(super) expected_sha256: Option<&'a str>,
    pub(super) allow_moved_base: bool,
}

impl<'a> Change<'a> {
    pub(super) fn open(
        changing: &'a Changing,
        protected: Option<&Protected>,
        configuration: &Configuration,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        let at = changing.at.as_deref().map(|at| time_of(Some(at))).transpose()?;
        let remote =
            Remote::open(&changing.reached.target, &changing.reached.access, configuration)?;
        let clock = remote.clock(at)?;
        let never_block = match Lists::read(protected, configuration) {
            Ok(lists) => Some(lists.never_block),
            Err(failure) => {
                // What leaves a set must be able to leave it all the same.
                terminal.error(&failure);
                terminal.warn("without the never-block lists nothing is added");
                None
            }
        };
        Ok(Self { remote, clock, never_block, limits: configuration.brakes(), changing })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Carries the changes out, or does so on a copy, and shows what was done.
    pub(super) fn carry_out(
        &self,
        changes: &Changes,
        word: &Word<'_>,
        terminal: &Terminal,
    ) -> Result<Exit, Failure> {
        let remote = &self.remote;
        let who = operation::who();
        let order = Order {
            limits: self.limits,
            overrides: word.overrides,
            is_attended: word.is_attended,
            plan_sha256: word.plan_sha256,
            expected_sha256: word.expected_sha256,
            allow_moved_base: word.allow_moved_base,
            takes_lease: self.changing.take_lease,
            ..Order::new(&remote.target, &who, self.never_block.as_ref())
        };
        let refused = |error: ApplyError| refused(&error, changes, &remote.name);
        let (applied, ledger) = if self.changing.dry_run {
            let (done, ledger) = self.try_out(changes, &order)?;
            (done.map_err(refused)?, ledger)
        } else {
            let done =
                remote.wait(apply(changes, &order, &remote.sets, &remote.store, &self.clock));
            (done.map_err(refused)?, remote.ledger()?)
        };
        let report = Report {
            changes,
            name: &remote.name,
            applied: &applied,
            ledger: &ledger,
            is_dry_run: self.changing.dry_run,
        };
        let mut out = Vec::new();
        match self.changing.output {
            Shape::Json => applied::json(&report, &mut out),
            Shape::Human => {
                applied::human(&report, terminal, &mut out).expect("memory does not fail");
            }
        }
        print(&out)?;
        for set in &applied.unconfirmed {
            terminal.warn(format_args!(
                "a read of `{set}` after the write does not show it yet: somebody changed it \
                 again, or it takes its time"
            ));
        }
        if let Some(error) = &applied.audit_unsent {
            terminal.warn(format_args!(
                "lines of the account are not stored yet, the next run hands them on: {error}"
            ));
        }
        Ok(Exit::Done)
    }

    /// The real thing on a copy of sets and ledger.
    fn try_out(
        &self,
        changes: &Changes,
        order: &Order<'_>,
    ) -> Result<(Result<portcullis_remediation::Applied, ApplyError>, Ledger), Failure> {
        let remote = &self.remote;
        let ledger = remote.ledger()?;
        let sets = MemoryIpSets::new(&remote.known_sets(&ledger)?);
        let store = MemoryLedger::new(&ledger);
        let halted = remote.wait(remote.store.halted());
        let halted = halted.map_err(|error| Failure::new("look at the kill switch", &error))?;
        store.halt(halted.as_deref());
        let done = remote.wait(apply(changes, order, &sets, &store, &self.clock));
        Ok((done, store.get().unwrap_or(ledger)))
    }
}

/// Why nothing was done, or not all of it, and what to do about it.
fn refused(error: &ApplyError, changes: &Changes, name: &str) -> Failure {
    let failure = Failure::new(format!("carry out {} on `{name}`", changes.operation), error);
    match error {
        ApplyError::Braked(braked) => {
            let released: Vec<String> =
                braked.iter().map(|braked| format!("--override {}=REASON", braked.brake)).collect();
            failure
                .hint(format!(
                    "look at the plan; {} releases the brake for one run and is put on record",
                    released.join(" ")
                ))
                .exit_with(Exit::Braked)
        }
        ApplyError::Unattended(_) => failure.exit_with(Exit::Braked),
        ApplyError::OtherPlan { .. }
        | ApplyError::Outdated { .. }
        | ApplyError::LedgerMoved { .. }
        | ApplyError::OtherTarget { .. } => {
            failure.hint("make a new plan and review that").exit_with(Exit::Stale)
        }
        ApplyError::BaseMoved { .. } => failure
            .hint("make a new plan, or add --allow-moved-base: what others did stays")
            .exit_with(Exit::Stale),
        ApplyError::Leased(_) => failure
            .hint("wait, or add --take-lease when you know that it is dead")
            .exit_with(Exit::Locked),
        ApplyError::LeaseLost => failure.exit_with(Exit::Locked),
        ApplyError::Write { .. } => {
            failure.hint("what was begun is on record; any later run settles it")
        }
        _ => failure,
    }
}
