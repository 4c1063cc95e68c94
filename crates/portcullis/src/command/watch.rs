//! `portcullis watch`: rounds of work as soon as a queue tells of new objects.
//!
//! S3 tells a queue, and a message stays there until it is deleted; so it is deleted when
//! what the object held is saved, and a death at any moment loses nothing. What a round is,
//! [`super::arrivals`] says; here messages are fetched and kept from coming again, and now
//! and then the whole location is listed as `run` does it, for those that never came.
//!
//! A message with which nothing can be done is left to the queue, which moves it aside
//! after some deliveries, and is named when it has come often enough.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portcullis_aws::{Connection, Message, Options, Queue, QueueError};

use super::arrivals::{Arrivals, Task};
use super::inert;
use crate::args::{Global, Watch};
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::counted;
use crate::stop::Stop;
use crate::terminal::Terminal;

/// Most messages that one round takes up: what is in flight is bounded by it.
const MOST_MESSAGES: usize = 100;

/// How long a round waits for further messages when one has come.
const SETTLING: Duration = Duration::from_secs(1);

/// How often what is over leaves the sets when nothing else happens.
const IDLE_ROUND: Duration = Duration::from_mins(1);

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

/// The queue, and what becomes of its messages.
struct Watching<'a> {
    arguments: &'a Watch,
    terminal: &'a Terminal,
    stop: Stop,
    runtime: tokio::runtime::Runtime,
    queue: Queue,
    arrivals: Arrivals<'a>,
}

impl<'a> Watching<'a> {
    fn open(
        arguments: &'a Watch,
        configuration: &'a Configuration,
        global: &'a Global,
        terminal: &'a Terminal,
        stop: Stop,
    ) -> Result<Self, Failure> {
        let Watch { locations, watched, deliveries, output, .. } = arguments;
        let told = (*deliveries, *output);
        let arrivals = Arrivals::open(locations, watched, told, configuration, global, terminal)?;
        let url = arguments.queue.as_deref().ok_or_else(|| {
            Failure::because("watch for new objects", "no queue is named")
                .hint("give `queue` in [source] of portcullis.toml, or --queue")
                .exit_with(Exit::Usage)
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new("wait for messages", &error))?;
        let connection = runtime.block_on(Connection::open(&arrivals.logs.access.options()));
        let queue = Queue::new(&connection, url);
        Ok(Self { arguments, terminal, stop, runtime, queue, arrivals })
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
        let options = self.arrivals.logs.access.options();
        let _keeper = Keeper::start(&options, self, messages.clone());
        let mut delete = |messages: &[Message]| self.delete(messages);
        self.arrivals.round(Task { messages, lists, stop: &self.stop, done: &mut delete })
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
