//! `portcullis watch`: rounds of work as soon as a queue tells of new objects.
//!
//! S3 tells a queue, and a message stays there until it is deleted; so it is deleted when
//! what the object held is saved, and a death at any moment loses nothing. Messages come
//! twice, late, or never, and that changes nothing either: what is kept knows which objects
//! were read, and now and then the whole location is listed as `run` does it.
//!
//! A message with which nothing can be done is left to the queue, which moves it aside
//! after some deliveries, and is named when it has come often enough.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portcullis_aws::objects::Location;
use portcullis_aws::{
    Arrived, Connection, Message, Notice, Options, Queue, QueueError, SystemClock,
};
use portcullis_remediation::Clock as _;

use super::judgement::Judge;
use super::keeping::{Kept, settings};
use super::round::{Beside, Round, lookback_of, state_of};
use super::run::take_lock;
use super::{Prepared, inert, telling};
use crate::args::{Global, Logs, Watch};
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::heartbeat::Heartbeat;
use crate::output::counted;
use crate::span::Span;
use crate::stop::Stop;
use crate::terminal::Terminal;

/// Most messages that one round takes up: what is in flight is bounded by it.
const MOST_MESSAGES: usize = 100;

/// How long a round waits for further messages when one has come.
const SETTLING: Duration = Duration::from_secs(1);

/// How often what is over leaves the sets when nothing else happens.
const IDLE_ROUND: Duration = Duration::from_mins(1);

/// How long a round waits for another run to end.
const LOCK_PATIENCE: Duration = Duration::from_mins(1);

/// How often the signals are looked at while waiting.
const GLANCE: Duration = Duration::from_millis(200);

pub(super) fn run(
    arguments: &Watch,
    configuration: &Configuration,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let stop = Stop::on_signals().map_err(|error| Failure::new("listen to signals", &error))?;
    let watch = Watching::open(arguments, configuration, global, terminal, stop)?;
    let mut last_list: Option<Instant> = None;
    let mut last_round = Instant::now();
    let idle = arguments.until_idle.map(millis);
    let wait = idle.map_or(IDLE_ROUND, |idle| idle.min(IDLE_ROUND));
    let mut last_message = Instant::now();
    while !watch.stop.is_asked() {
        let lists = last_list.is_none_or(|last| last.elapsed() >= millis(arguments.list_every));
        let messages = if lists { Vec::new() } else { watch.gather(wait)? };
        if watch.stop.is_asked() {
            break;
        }
        let is_idle = messages.is_empty() && !lists;
        if lists || !messages.is_empty() || last_round.elapsed() >= IDLE_ROUND {
            let listed = watch.round(messages, lists)?;
            last_round = Instant::now();
            if lists && listed {
                last_list = Some(last_round);
            } else if lists {
                watch.rest(SETTLING);
            }
        }
        if !is_idle {
            last_message = Instant::now();
        }
        if idle.is_some_and(|idle| last_message.elapsed() >= idle) {
            break;
        }
    }
    Ok(Exit::Done)
}

fn millis(milliseconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

/// Everything that lasts from round to round.
struct Watching<'a> {
    arguments: &'a Watch,
    configuration: &'a Configuration,
    global: &'a Global,
    terminal: &'a Terminal,
    stop: Stop,
    state: &'a str,
    locations: Vec<Location>,
    logs: Logs,
    judge: Judge,
    runtime: tokio::runtime::Runtime,
    queue: Queue,
    heartbeat: Beside,
}

impl<'a> Watching<'a> {
    fn open(
        arguments: &'a Watch,
        configuration: &'a Configuration,
        global: &'a Global,
        terminal: &'a Terminal,
        stop: Stop,
    ) -> Result<Self, Failure> {
        let watched = &arguments.watched;
        let state = state_of(watched)?;
        let usage = |detail: &str, hint: &str| {
            Failure::because("watch for new objects", detail).hint(hint).exit_with(Exit::Usage)
        };
        let locations = arguments.locations.iter().map(|text| Location::parse(text));
        let locations: Option<Vec<_>> = locations.collect();
        let locations = locations.filter(|locations| !locations.is_empty()).ok_or_else(|| {
            usage(
                "a queue tells of objects in a bucket, and no bucket is named",
                "give `location` in [source] of portcullis.toml, or s3://BUCKET/PREFIX",
            )
        })?;
        let url = arguments.queue.as_deref().ok_or_else(|| {
            usage("no queue is named", "give `queue` in [source] of portcullis.toml, or --queue")
        })?;
        let logs = watched.logs(arguments.locations.clone());
        let heartbeat = Beside::open(&Heartbeat::place(state), &logs.access)?;
        let judge = Judge::load(&watched.judgement)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new("wait for messages", &error))?;
        let connection = runtime.block_on(Connection::open(&logs.access.options()));
        let queue = Queue::new(&connection, url);
        Ok(Self {
            arguments,
            configuration,
            global,
            terminal,
            stop,
            state,
            locations,
            logs,
            judge,
            runtime,
            queue,
            heartbeat,
        })
    }

    fn visibility(&self) -> Duration {
        millis(self.arguments.visibility)
    }

    /// Waits for messages, at most so long, and for some more when one has come.
    fn gather(&self, wait: Duration) -> Result<Vec<Message>, Failure> {
        let mut messages: Vec<Message> = Vec::new();
        let mut until = Instant::now() + wait;
        while messages.len() < MOST_MESSAGES && !self.stop.is_asked() {
            let Some(left) = until.checked_duration_since(Instant::now()) else { break };
            let wait = if messages.is_empty() { left } else { Duration::ZERO };
            let received = self.runtime.block_on(async {
                let asked = async {
                    while !self.stop.is_asked() {
                        tokio::time::sleep(GLANCE).await;
                    }
                };
                tokio::select! {
                    received = self.queue.receive(wait, self.visibility()) => received,
                    // A message that is on its way to us comes again.
                    () = asked => Ok(Vec::new()),
                }
            });
            let received = received.map_err(|error| self.queue_failure(&error))?;
            if received.is_empty() && !messages.is_empty() {
                break;
            }
            if messages.is_empty() && !received.is_empty() {
                until = Instant::now() + SETTLING;
            }
            messages.extend(received);
        }
        Ok(messages)
    }

    fn queue_failure(&self, error: &QueueError) -> Failure {
        let url = self.arguments.queue.as_deref().unwrap_or_default();
        Failure::new(format!("ask the queue `{}`", inert(url)), error)
    }

    fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.stop.is_asked() {
            std::thread::sleep(GLANCE.min(time));
        }
    }

    /// One round; gives whether what was to be read was read.
    fn round(&self, messages: Vec<Message>, lists: bool) -> Result<bool, Failure> {
        let watched = &self.arguments.watched;
        let manner = watched.manner();
        let mut round = Round::begin(watched, &manner, self.configuration, self.terminal)?;
        if !watched.no_expire && round.expire() {
            let _ = self.heartbeat.beat(|heartbeat| heartbeat.expired(SystemClock.now()));
        }
        let mut last_good = None;
        let is_idle = messages.is_empty() && !lists;
        if !is_idle {
            let _ = self.heartbeat.beat(|heartbeat| heartbeat.begin(SystemClock.now()));
            let keeper = Keeper::start(&self.logs.access.options(), self, messages.clone());
            if let Err(failure) = self.analyse(&mut round, messages, lists) {
                round.problem(&failure);
            }
            drop(keeper);
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
            telling::tell(round, last_good, watched, self.arguments.output)?;
        }
        Ok(has_read)
    }

    fn analyse(
        &self,
        round: &mut Round<'_>,
        messages: Vec<Message>,
        lists: bool,
    ) -> Result<(), Failure> {
        let sorted = self.sorted(messages, round);
        if !lists && sorted.objects.is_empty() {
            return self.delete(&sorted.done);
        }
        let _lock = self.lock()?;
        let settings = settings(&self.judge.rules, &self.logs);
        let watched = &self.arguments.watched;
        let mut kept = Kept::load(self.state, &self.logs.access, &settings, self.terminal)?;
        let begin = kept.look_back(lookback_of(watched));
        let mut prepared = if lists {
            let span = Span { from: Some(begin), to: None };
            Prepared::written_in(span, &self.logs, self.global, self.terminal)?
        } else {
            Prepared::arrived(&sorted.objects, &self.logs, self.global, self.terminal)?
        };
        prepared.stop = self.stop.clone();
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
        self.delete(&done)?;
        round.decide(taken, &self.judge.known, self.stop.is_asked());
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
        if message.deliveries >= self.arguments.deliveries {
            let id = inert(&message.id);
            let times = counted(u64::from(message.deliveries), "time", "times");
            round.partly(format!("the message {id} came {times} and is set aside: {why}"));
        }
    }

    fn delete(&self, messages: &[Message]) -> Result<(), Failure> {
        if messages.is_empty() {
            return Ok(());
        }
        let left = self.runtime.block_on(self.queue.delete(messages));
        let left = left.map_err(|error| self.queue_failure(&error))?;
        if left > 0 {
            let left = counted(left as u64, "message", "messages");
            self.terminal.detail(format_args!("{left} could not be deleted and will come again"));
        }
        Ok(())
    }

    /// The lock of the state, when another run has ended.
    fn lock(&self) -> Result<portcullis_aws::RunLock, Failure> {
        let until = Instant::now() + LOCK_PATIENCE;
        loop {
            match take_lock(self.state, &self.logs) {
                Err(failure)
                    if failure.exit() == Exit::Locked
                        && Instant::now() < until
                        && !self.stop.is_asked() =>
                {
                    self.rest(SETTLING);
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

/// Keeps messages from coming again while they are worked on.
struct Keeper {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    fn start(options: &Options, watching: &Watching<'_>, messages: Vec<Message>) -> Self {
        let (options, visibility) = (options.clone(), watching.visibility());
        let url = watching.arguments.queue.clone().unwrap_or_default();
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("messages".to_owned()).spawn(move || {
            let again = || stopped.recv_timeout(visibility / 3);
            let mut queue = None;
            while !messages.is_empty() && again() == Err(mpsc::RecvTimeoutError::Timeout) {
                let (runtime, queue) = queue.get_or_insert_with(|| {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_all().build();
                    let runtime = runtime.expect("the round has one like it");
                    let connection = runtime.block_on(Connection::open(&options));
                    let queue = Queue::new(&connection, &url);
                    (runtime, queue)
                });
                // One that comes again is found to be read already.
                let _ = runtime.block_on(queue.extend(&messages, visibility));
            }
        });
        Self { stop: Some(stop), thread: thread.ok() }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
