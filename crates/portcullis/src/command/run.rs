//! `portcullis run`: everything that a schedule has to do, once.
//!
//! See [`super::round`] for what a round is. This adds what makes rounds of different
//! processes one series: the lock, so that they do not do the same work at once, the
//! heartbeat, and the end that comes in time.

use portcullis_aws::{NotTaken, RunLock, SystemClock};
use portcullis_remediation::Clock as _;

use super::judgement::Judge;
use super::keeping::{Kept, settings};
use super::round::{Beside, Round, lookback_of, state_of};
use super::{Prepared, inert, telling};
use crate::args::{Global, Logs, Run, Shape, Watched};
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::heartbeat::Heartbeat;
use crate::operation::who;
use crate::span::Span;
use crate::stop::Stop;
use crate::terminal::Terminal;

pub(super) fn run(
    arguments: &Run,
    configuration: &Configuration,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let stop = Stop::on_signals().map_err(|error| Failure::new("listen to signals", &error))?;
    let stop = stop.within(arguments.deadline);
    let work = (&arguments.watched, arguments.locations.as_slice(), arguments.output);
    once(work, &stop, configuration, global, terminal)
}

/// What is to be done: settings, locations, and the shape of the summary.
type Work<'a> = (&'a Watched, &'a [String], Shape);

/// One run.
pub(super) fn once(
    (watched, locations, output): Work<'_>,
    stop: &Stop,
    configuration: &Configuration,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let state = state_of(watched)?;
    if locations.is_empty() {
        return Err(Failure::because("read what is new", "nothing says where the logs are")
            .hint("give `location` in [source] of portcullis.toml, or a LOCATION")
            .exit_with(Exit::Usage));
    }
    let logs = watched.logs(locations.to_vec());
    let heartbeat = Beside::open(&Heartbeat::place(state), &logs.access)?;
    let manner = watched.manner();
    let mut round = Round::begin(watched, &manner, configuration, terminal)?;
    // Whoever holds the lock takes out what is over. Another run that did so too would be in
    // its way at the ledger, and both would end with nothing done.
    let lock = take_lock(state, &logs);
    let is_left_to_others = lock.as_ref().is_err_and(|failure| failure.exit() == Exit::Locked);
    if !watched.no_expire && !is_left_to_others && round.expire() {
        // It is written once more at the end, where a failure to do so is one.
        let _ = heartbeat.beat(|heartbeat| heartbeat.expired(SystemClock.now()));
    }
    let mut last_good = None;
    match lock {
        Ok(_lock) => {
            let _ = heartbeat.beat(|heartbeat| heartbeat.begin(SystemClock.now()));
            if let Err(failure) = analyse(&mut round, watched, &logs, stop, global, terminal) {
                round.problem(&failure);
            }
            let exit = round.summary.exit;
            match heartbeat.beat(|heartbeat| heartbeat.finish(SystemClock.now(), exit)) {
                Ok(heartbeat) => last_good = heartbeat.last_good_ms(),
                Err(failure) => round.problem(&failure),
            }
        }
        Err(failure) => round.problem(&failure),
    }
    round.summary.finished = SystemClock.now();
    telling::tell(round, last_good, watched, output)
}

/// What is over leaves the sets, and nothing else is done.
#[cfg(feature = "lambda")]
pub(super) fn only_expire_once(
    watched: &Watched,
    configuration: &Configuration,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let manner = watched.manner();
    let mut round = Round::begin(watched, &manner, configuration, terminal)?;
    if round.expire() {
        round.tell_expired();
    }
    round.summary.finished = SystemClock.now();
    telling::tell(round, None, watched, Shape::Json)
}

pub(super) fn take_lock(state: &str, logs: &Logs) -> Result<RunLock, Failure> {
    RunLock::take(&format!("{state}.run"), &logs.access.options(), &who()).map_err(|error| {
        let exit = match error {
            NotTaken::Held(_) => Exit::Locked,
            NotTaken::Failed(_) => Exit::Failed,
        };
        Failure::because(format!("lock `{}`", inert(state)), inert(&error.to_string()))
            .exit_with(exit)
    })
}

/// Reads what is new, and decides.
fn analyse(
    round: &mut Round<'_>,
    watched: &Watched,
    logs: &Logs,
    stop: &Stop,
    global: &Global,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let Judge { rules, known } = Judge::load(&watched.judgement, terminal)?;
    let state = state_of(watched)?;
    let mut kept = Kept::load(state, &logs.access, &settings(&rules, logs), terminal)?;
    let begin = kept.look_back(lookback_of(watched));
    let span = Span { from: Some(begin), to: None };
    let mut prepared = Prepared::written_in(span, logs, global, terminal)?;
    prepared.stop = stop.clone();
    prepared.require_client()?;
    round.end_with(prepared.exit);
    let taken = kept.take_in(&rules, &mut prepared, begin, global, terminal)?;
    round.decide(taken, &known, stop.is_asked());
    Ok(())
}
