//! What messages of a queue come to: a round over the objects that they tell of.
//!
//! A message may go when what its object held is saved, and not before; whoever brought it
//! here is told then, because a queue is asked to delete it, and AWS Lambda is answered.
//! What is kept knows which objects were read, so a message that comes twice, late or after
//! its object was listed changes nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use portcullis_aws::objects::Location;
use portcullis_aws::{Arrived, Message, Notice, RunLock, SystemClock};
use portcullis_remediation::Clock as _;

use super::judgement::Judge;
use super::keeping::{Kept, settings};
use super::round::{Beside, Round, lookback_of, state_of};
use super::run::take_lock;
use super::{Prepared, inert, telling};
use crate::args::{Global, Logs, Shape, Watched};
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::heartbeat::Heartbeat;
use crate::output::counted;
use crate::span::Span;
use crate::stop::Stop;
use crate::terminal::Terminal;

/// How long a round waits for another run to end.
const LOCK_PATIENCE: Duration = Duration::from_mins(1);

/// How often it looks.
const LOCK_GLANCE: Duration = Duration::from_millis(500);

/// Everything that lasts from round to round.
pub(super) struct Arrivals<'a> {
    watched: &'a Watched,
    configuration: &'a Configuration,
    global: &'a Global,
    terminal: &'a Terminal,
    state: &'a str,
    locations: Vec<Location>,
    pub(super) logs: Logs,
    judge: Judge,
    heartbeat: Beside,
    /// A message with which nothing can be done is named when it came so many times.
    deliveries: u32,
    output: Shape,
}

/// One round: what it is about, and whom it tells of messages.
pub(super) struct Task<'t> {
    pub(super) messages: Vec<Message>,
    /// Whether the whole location is listed, whatever the messages tell.
    pub(super) lists: bool,
    pub(super) stop: &'t Stop,
    /// Is told which messages may go. It fails when it cannot let them go.
    pub(super) done: &'t mut dyn FnMut(&[Message]) -> Result<(), Failure>,
}

impl<'a> Arrivals<'a> {
    /// Understands where objects are looked for, and reads the rules.
    pub(super) fn open(
        locations: &[String],
        watched: &'a Watched,
        (deliveries, output): (u32, Shape),
        configuration: &'a Configuration,
        global: &'a Global,
        terminal: &'a Terminal,
    ) -> Result<Self, Failure> {
        let state = state_of(watched)?;
        let places = locations.iter().map(|text| Location::parse(text));
        let places: Option<Vec<_>> = places.collect();
        let places = places.filter(|places| !places.is_empty()).ok_or_else(|| {
            Failure::because(
                "watch for new objects",
                "a queue tells of objects in a bucket, and no bucket is named",
            )
            .hint("give `location` in [source] of portcullis.toml, or s3://BUCKET/PREFIX")
            .exit_with(Exit::Usage)
        })?;
        let logs = watched.logs(locations.to_vec());
        let heartbeat = Beside::open(&Heartbeat::place(state), &logs.access)?;
        let judge = Judge::load(&watched.judgement, terminal)?;
        Ok(Self {
            watched,
            configuration,
            global,
            terminal,
            state,
            locations: places,
            logs,
            judge,
            heartbeat,
            deliveries,
            output,
        })
    }

    /// One round; gives whether what was to be read was read.
    pub(super) fn round(&self, task: Task<'_>) -> Result<bool, Failure> {
        let watched = self.watched;
        let manner = watched.manner();
        let mut round = Round::begin(watched, &manner, self.configuration, self.terminal)?;
        if !watched.no_expire && round.expire() {
            let _ = self.heartbeat.beat(|heartbeat| heartbeat.expired(SystemClock.now()));
        }
        let mut last_good = None;
        let is_idle = task.messages.is_empty() && !task.lists;
        if !is_idle {
            let _ = self.heartbeat.beat(|heartbeat| heartbeat.begin(SystemClock.now()));
            if let Err(failure) = self.analyse(&mut round, task) {
                round.problem(&failure);
            }
            let exit = round.summary.exit;
            match self.heartbeat.beat(|beat| beat.finish(SystemClock.now(), exit)) {
                Ok(heartbeat) => last_good = heartbeat.last_good_ms(),
                Err(failure) => round.problem(&failure),
            }
        }
        round.summary.finished = SystemClock.now();
        let has_read = round.summary.analysis.is_some();
        let expired = round.summary.targets.iter().any(|target| target.expired > 0);
        if !is_idle || expired || round.summary.exit != Exit::Done {
            telling::tell(round, last_good, watched, self.output)?;
        }
        Ok(has_read)
    }

    fn analyse(&self, round: &mut Round<'_>, task: Task<'_>) -> Result<(), Failure> {
        let Task { messages, lists, stop, done: tell_done } = task;
        let sorted = self.sorted(messages, round);
        if !lists && sorted.objects.is_empty() {
            return tell_done(&sorted.done);
        }
        let _lock = self.lock(stop)?;
        let settings = settings(&self.judge.rules, &self.logs);
        let mut kept = Kept::load(self.state, &self.logs.access, &settings, self.terminal)?;
        let begin = kept.look_back(lookback_of(self.watched));
        let mut prepared = if lists {
            let span = Span { from: Some(begin), to: None };
            Prepared::written_in(span, &self.logs, self.global, self.terminal)?
        } else {
            Prepared::arrived(&sorted.objects, &self.logs, self.global, self.terminal)?
        };
        prepared.stop = stop.clone();
        prepared.require_client()?;
        round.end_with(prepared.exit);
        let taken =
            kept.take_in(&self.judge.rules, &mut prepared, begin, self.global, self.terminal)?;
        // What was read is saved: now, and not before, it need not be told again.
        let whole = taken.complete.iter().copied().chain(std::iter::repeat(false));
        let unread = prepared.inputs.iter().zip(whole).filter(|(_, whole)| !whole);
        let unread: BTreeSet<&str> = unread.map(|(input, _)| input.name.as_str()).collect();
        let (again, mut done): (Vec<_>, Vec<_>) = sorted
            .told
            .into_iter()
            .partition(|(_, names)| names.iter().any(|name| unread.contains(name.as_str())));
        for (message, names) in &again {
            self.tell_stuck(round, message, &format!("`{}` cannot be read", inert(&names[0])));
        }
        let mut done: Vec<Message> = done.drain(..).map(|(message, _)| message).collect();
        done.extend(sorted.done);
        tell_done(&done)?;
        round.decide(taken, &self.judge.known, stop.is_asked());
        Ok(())
    }

    /// What messages tell of.
    fn sorted(&self, messages: Vec<Message>, round: &mut Round<'_>) -> Sorted {
        let mut sorted = Sorted::default();
        let mut foreign = 0;
        for message in messages {
            let arrived = match Notice::parse(&message.body) {
                Ok(Notice::Objects(arrived)) => arrived,
                Ok(Notice::Test) => Vec::new(),
                Err(error) => {
                    self.tell_stuck(round, &message, &error.to_string());
                    continue;
                }
            };
            let ours = |arrived: &Arrived| {
                self.locations.iter().any(|location| {
                    location.bucket == arrived.bucket && arrived.key.starts_with(&location.prefix)
                })
            };
            let (ours, others): (Vec<_>, Vec<_>) = arrived.into_iter().partition(ours);
            foreign += others.len() as u64;
            if ours.is_empty() {
                sorted.done.push(message);
            } else {
                let names = ours.iter().map(Arrived::name).collect();
                sorted.objects.extend(ours);
                sorted.told.push((message, names));
            }
        }
        if foreign > 0 {
            let objects = counted(foreign, "object", "objects");
            self.terminal.warn(format_args!("told of {objects} outside of the location"));
        }
        sorted
    }

    /// Names a message with which nothing can be done, once it has come often enough.
    fn tell_stuck(&self, round: &mut Round<'_>, message: &Message, why: &str) {
        if message.deliveries >= self.deliveries {
            let id = inert(&message.id);
            let times = counted(u64::from(message.deliveries), "time", "times");
            round.partly(format!("the message {id} came {times} and is set aside: {why}"));
        }
    }

    /// The lock of the state, when another run has ended.
    fn lock(&self, stop: &Stop) -> Result<RunLock, Failure> {
        let until = Instant::now() + LOCK_PATIENCE;
        loop {
            match take_lock(self.state, &self.logs) {
                Err(failure)
                    if failure.exit() == Exit::Locked
                        && Instant::now() < until
                        && !stop.is_due() =>
                {
                    std::thread::sleep(LOCK_GLANCE);
                }
                taken => return taken,
            }
        }
    }
}

/// Messages by what is to be done with them.
#[derive(Default)]
struct Sorted {
    /// Each with the names of the objects that it tells of.
    told: Vec<(Message, Vec<String>)>,
    objects: Vec<Arrived>,
    /// Those that tell of nothing to read.
    done: Vec<Message>,
}
