//! What the commands that change sets share: they differ in what is to be done, and not
//! in how it is done, refused, shown or tried out.

use ipnet::IpNet;
use portcullis_aws::Inspector;
use portcullis_ingest::Timestamp;
use portcullis_remediation::{
    Applied, ApplyError, Brake, BrakeLimits, BrakeOverride, Braked, Change as SetChange, Changes,
    Clock as _, Done, Ledger, MemoryIpSets, MemoryLedger, NeverBlock, Order, ReadError, apply,
};
use portcullis_setup::doctor::{Answer, MOST_SKEW_MS};

use super::judgement::Known;
use super::lists::Lists;
use super::plan::time_of;
use super::print;
use crate::args::{Access, Changing, Manner, Protected, Shape, TargetOptions};
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::operation;
use crate::output::applied::{self, Report};
use crate::output::counted;
use crate::remote::{Remote, Time, how_to_rebuild};
use crate::terminal::Terminal;

/// A target about to be changed.
pub(super) struct Change<'a> {
    pub(super) remote: Remote,
    pub(super) clock: Time,
    pub(super) never_block: Option<NeverBlock>,
    limits: BrakeLimits,
    manner: &'a Manner,
}

/// What a command was told of networks that are never blocked.
pub(super) struct Guarded<'a> {
    pub(super) protected: Option<&'a Protected>,
    pub(super) trusted_proxies: &'a [IpNet],
    pub(super) known: &'a Known,
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
    /// The sets that additions go into, if not those that plans are made for.
    pub(super) into: Option<&'a [String]>,
}

impl<'a> Change<'a> {
    pub(super) fn open(
        changing: &'a Changing,
        protected: Option<&Protected>,
        configuration: &Configuration,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        let Changing { reached, manner } = changing;
        let guarded = Guarded { protected, trusted_proxies: &[], known: &Known::default() };
        Self::at(&reached.target, &reached.access, manner, &guarded, configuration, terminal)
    }

    /// The same, for commands that know how AWS is reached from elsewhere, and more of what
    /// is never blocked.
    pub(super) fn at(
        target: &TargetOptions,
        access: &Access,
        manner: &'a Manner,
        guarded: &Guarded<'_>,
        configuration: &Configuration,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        let at = manner.at.as_deref().map(|at| time_of(Some(at))).transpose()?;
        let remote = Remote::open(target, access, configuration)?;
        let clock = remote.clock(at)?;
        let Guarded { protected, trusted_proxies, known } = *guarded;
        let never_block = match Lists::read(protected, trusted_proxies, configuration) {
            Ok(lists) => Some(lists.knowing(known).never_block),
            Err(failure) => {
                // What leaves a set must be able to leave it all the same.
                terminal.error(&failure);
                terminal.warn("without the never-block lists nothing is added");
                None
            }
        };
        Ok(Self { remote, clock, never_block, limits: configuration.brakes(), manner })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.manner.dry_run
    }

    /// Carries the changes out, or does so on a copy, and shows what was done.
    pub(super) fn carry_out(
        &self,
        changes: &Changes,
        word: &Word<'_>,
        terminal: &Terminal,
    ) -> Result<CarriedOut, Failure> {
        let copy = if self.manner.dry_run { Some(self.copy()?) } else { None };
        let (applied, ledger) = self.perform(changes, word, copy.as_ref())?;
        let report = self.report(changes, &applied, &ledger);
        let mut out = Vec::new();
        match self.manner.output {
            Shape::Json => applied::json(&report, &mut out),
            Shape::Human => {
                applied::human(&report, terminal, &mut out).expect("memory does not fail");
            }
        }
        print(&out)?;
        tell_doubts(&applied, terminal);
        let failures = [self.unreached(changes, &applied), self.unprotected(&applied)];
        let mut exit = Exit::Done;
        for failure in failures.into_iter().flatten() {
            terminal.error(&failure);
            exit = exit.or_worse(failure.exit());
        }
        let blocks = applied.done.iter().any(|(_, done)| *done == Done::Added);
        Ok(CarriedOut { exit, blocks })
    }

    /// Says that there was no list, if that is why something was not blocked.
    fn unprotected(&self, applied: &Applied) -> Option<Failure> {
        let refused = applied.done.iter().filter(|(_, done)| *done == Done::NoNeverBlockList);
        let count = refused.count() as u64;
        (count > 0).then(|| {
            let networks = counted(count, "network", "networks");
            let detail = "no never-block list of yours could be read, or all are empty";
            Failure::because(format!("block {networks} on `{}`", self.remote.name), detail).hint(
                "give one by --never-block, or never-block in portcullis.toml; then once more",
            )
        })
    }

    /// Says which sets were left as they are, if some were.
    pub(super) fn unreached(&self, changes: &Changes, applied: &Applied) -> Option<Failure> {
        if applied.unreached.is_empty() {
            return None;
        }
        let errors: Vec<String> = applied.unreached.iter().map(ToString::to_string).collect();
        let action =
            format!("carry out {} in all sets of `{}`", changes.operation, self.remote.name);
        let is_gone = |error: &ApplyError| {
            matches!(error, ApplyError::Read { error: ReadError::Missing(_), .. })
        };
        let hint = if applied.unreached.iter().any(is_gone) {
            "what could be reached was dealt with; make the set that is gone again, empty, and the next \
             expire notes that nothing of ours is in it"
        } else {
            "what could be reached was dealt with; any later run goes on with the rest"
        };
        Some(Failure::because(action, errors.join("\n")).hint(hint))
    }

    /// What was done, ready to be shown.
    pub(super) fn report<'r>(
        &'r self,
        changes: &'r Changes,
        applied: &'r Applied,
        ledger: &'r Ledger,
    ) -> Report<'r> {
        let is_dry_run = self.manner.dry_run;
        Report { changes, name: &self.remote.name, applied, ledger, is_dry_run }
    }

    /// Carries the changes out, on a copy if one is given; gives the ledger after it.
    pub(super) fn perform(
        &self,
        changes: &Changes,
        word: &Word<'_>,
        copy: Option<&Copied>,
    ) -> Result<(Applied, Ledger), Failure> {
        let remote = &self.remote;
        self.ask_the_time(changes)?;
        let who = operation::who();
        let order = Order {
            sets: Some(word.into.unwrap_or(&remote.set_names)),
            limits: self.limits,
            overrides: word.overrides,
            is_attended: word.is_attended,
            plan_sha256: word.plan_sha256,
            expected_sha256: word.expected_sha256,
            allow_moved_base: word.allow_moved_base,
            takes_lease: self.manner.take_lease,
            ..Order::new(&remote.target, &who, self.never_block.as_ref())
        };
        let done = match copy {
            Some(copy) => remote.wait(apply(changes, &order, &copy.sets, &copy.store, &self.clock)),
            None => remote.wait(apply(changes, &order, &remote.sets, &remote.store, &self.clock)),
        };
        let applied =
            done.map_err(|error| refused(&error, changes, word.is_attended, &remote.name))?;
        let ledger = match copy.and_then(|copy| copy.store.get()) {
            Some(ledger) => ledger,
            None => remote.ledger()?,
        };
        Ok((applied, ledger))
    }

    /// Refuses to block by a clock that is wrong, as far as the ledger's bucket tells: blocks
    /// end by it, and what is evidence depends on it. Nothing else is refused: what leaves a
    /// set must be able to leave it all the same.
    fn ask_the_time(&self, changes: &Changes) -> Result<(), Failure> {
        let blocks = |change: &SetChange| !matches!(change, SetChange::Remove { .. });
        let place = self.remote.ledger_location.strip_prefix("s3://");
        let bucket = place.and_then(|place| place.split('/').next());
        let (Some(bucket), Time::Real, true) =
            (bucket, self.clock, changes.changes.iter().any(blocks))
        else {
            return Ok(());
        };
        let inspector = Inspector::new(&self.remote.connection, self.remote.target.account());
        let now = || self.now().epoch_ms();
        match self.remote.wait(inspector.clock_skew_ms(bucket, now)) {
            Answer::Known(skew) if skew.abs() > MOST_SKEW_MS => {
                let (minutes, side) =
                    (skew.abs() / 60_000, if skew > 0 { "ahead of" } else { "behind" });
                let detail = format!("this machine's clock is {minutes} min {side} that of S3");
                let name = &self.remote.name;
                Err(Failure::because(
                    format!("carry out {} on `{name}`", changes.operation),
                    detail,
                )
                .hint("set the clock by NTP: blocks end by it; until then nothing is added")
                .exit_with(Exit::Braked))
            }
            // Whether the bucket can be reached at all is told by reading the ledger.
            _ => Ok(()),
        }
    }

    /// Sets and ledger as they are, to try changes out on.
    pub(super) fn copy(&self) -> Result<Copied, Failure> {
        let remote = &self.remote;
        let ledger = remote.ledger()?;
        let sets = MemoryIpSets::new(&remote.known_sets(&ledger)?);
        let store = MemoryLedger::new(&ledger);
        store.halt(remote.halted()?.as_deref());
        Ok(Copied { sets, store })
    }
}

/// What carrying out came to.
pub(super) struct CarriedOut {
    pub(super) exit: Exit,
    /// Whether anything is blocked by it that was not before.
    pub(super) blocks: bool,
}

/// A copy of sets and ledger.
pub(super) struct Copied {
    sets: MemoryIpSets,
    store: MemoryLedger,
}

/// Says what is not known to be visible or stored yet.
pub(super) fn tell_doubts(applied: &Applied, terminal: &Terminal) {
    for set in &applied.unconfirmed {
        terminal.warn(format_args!(
            "a read of `{set}` after the write does not show it yet: somebody changed it again, \
             or it takes its time"
        ));
    }
    if let Some(error) = &applied.audit_unsent {
        terminal.warn(format_args!(
            "lines of the account are not stored yet, the next run hands them on: {error}"
        ));
    }
}

/// How to release these brakes, for those who can and for those who cannot.
fn release(braked: &[Braked], is_attended: bool, name: &str) -> String {
    let options: Vec<String> =
        braked.iter().map(|braked| format!("--override {}=REASON", braked.brake)).collect();
    let options = options.join(" ");
    if is_attended {
        return format!(
            "look at the plan; {options} releases the brake for one run and is put on record"
        );
    }
    if braked.iter().any(|braked| braked.brake == Brake::Halt) {
        return "let the switch go where it was pulled: halt in portcullis.toml, --halt, \
                PORTCULLIS_HALT, or HALT beside the ledger"
            .to_owned();
    }
    format!(
        "look at a plan; portcullis apply PLAN --target {name} --expect-hash HASH {options} \
         releases the brake for that one and is put on record"
    )
}

/// Why nothing was done, or not all of it, and what to do about it.
fn refused(error: &ApplyError, changes: &Changes, is_attended: bool, name: &str) -> Failure {
    let failure = Failure::new(format!("carry out {} on `{name}`", changes.operation), error);
    match error {
        ApplyError::Braked(braked) => {
            failure.hint(release(braked, is_attended, name)).exit_with(Exit::Braked)
        }
        ApplyError::Unattended(_) => failure.exit_with(Exit::Braked),
        ApplyError::OtherSets { .. } => failure
            .hint(
                "make a new plan: in the mode `canary` plans are for `canary-sets`, in every other \
                 for `sets`",
            )
            .exit_with(Exit::Stale),
        ApplyError::OtherPlan { .. }
        | ApplyError::Outdated { .. }
        | ApplyError::NotYet { .. }
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
        ApplyError::LedgerLost => failure.hint(how_to_rebuild(name)),
        _ => failure,
    }
}
