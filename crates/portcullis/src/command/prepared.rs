//! What a command needs to read logs: the objects that its locations name, the format, and
//! the limits, as its options have them.

use std::num::NonZeroUsize;

use portcullis_aws::{Arrived, SystemClock};
use portcullis_ingest::{Field, Joined, LogFormat, ReadOptions};
use portcullis_remediation::Clock as _;

use super::words::inert;
use crate::args::{Global, Logs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::joining::Joining;
use crate::location::{self, Input};
use crate::output::counted;
use crate::pipeline::Reading;
use crate::progress::{Progress, human_count};
use crate::quarantine::Quarantine;
use crate::span::Span;
use crate::stop::Stop;
use crate::terminal::Terminal;

/// The logs a command reads.
pub(super) struct Prepared {
    pub(super) inputs: Vec<Input>,
    pub(super) format: Option<LogFormat>,
    pub(super) joining: Option<Joining>,
    pub(super) options: ReadOptions,
    pub(super) span: Span,
    pub(super) quarantine: Option<Quarantine>,
    pub(super) threads: usize,
    pub(super) memory: u64,
    pub(super) progress: Progress,
    pub(super) stop: Stop,
    pub(super) once: bool,
    /// Worse than done when a location named nothing.
    pub(super) exit: Exit,
}

impl Prepared {
    /// Finds the objects and understands the format. Locations that cannot be read are
    /// told and counted in the exit code; the others are still read.
    pub(super) fn new(logs: &Logs, global: &Global, terminal: &Terminal) -> Result<Self, Failure> {
        Self::inside(Span::of(&logs.within, SystemClock.now())?, logs, global, terminal)
    }

    /// The same, for a span of time of the command's own.
    pub(super) fn inside(
        span: Span,
        logs: &Logs,
        global: &Global,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        let prepared = Self::written_in(span, logs, global, terminal)?;
        if prepared.inputs.is_empty() {
            return Err(no_logs(&logs.locations));
        }
        Ok(Self { span, ..prepared })
    }

    /// As [`Prepared::new`], but of objects that were written in a span, where their store
    /// tells that. There may be none.
    pub(super) fn written_in(
        span: Span,
        logs: &Logs,
        global: &Global,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        let found = location::find(&logs.locations, logs.store(), span);
        Self::of_found(found, span, logs, global, terminal)
    }

    /// The objects that somebody told of. There may be none.
    pub(super) fn arrived(
        arrived: &[Arrived],
        logs: &Logs,
        global: &Global,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        let found = location::arrived(arrived, logs.store())?;
        Self::of_found(found, Span::default(), logs, global, terminal)
    }

    fn of_found(
        found: location::Found,
        span: Span,
        logs: &Logs,
        global: &Global,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        let format = logs.reading.format.as_deref().map(crate::format::parse).transpose()?;
        for (name, reason) in &found.skipped {
            terminal.detail(format_args!("passed over `{}`: {reason}", inert(name)));
        }
        for note in &found.notes {
            terminal.note(inert(note));
        }
        tell_linked(&found.linked, terminal);
        let exit = if found.failures.is_empty() { Exit::Done } else { Exit::Failed };
        let mut failures = found.failures;
        let last = failures.pop();
        for failure in &failures {
            terminal.error(failure);
        }
        match last {
            // With nothing left to read, a result would only look like one.
            Some(failure) if found.inputs.is_empty() => return Err(failure),
            Some(failure) => terminal.error(&failure),
            None => {}
        }
        let reading = &logs.reading;
        let threads = reading
            .threads
            .or_else(|| std::thread::available_parallelism().ok())
            .map_or(1, NonZeroUsize::get);
        let mut options = ReadOptions::default();
        if let Some(bytes) = reading.max_object_bytes {
            options.object_bytes = bytes;
        }
        options.trusted_proxies.clone_from(&reading.trusted_proxies);
        let joining = joining(logs, span, &options)?;
        let quarantine = match &reading.quarantine {
            Some(folder) => {
                let (inputs, secrets) = (&found.inputs, logs.secrets());
                let made = Quarantine::create(folder, &logs.locations, inputs, secrets);
                Some(made.map_err(|error| {
                    let folder = inert(&folder.to_string_lossy());
                    Failure::because(format!("use `{folder}`"), inert(&error.to_string()))
                })?)
            }
            None => None,
        };
        let progress = Progress::new(&found.inputs, !global.no_progress && !global.quiet);
        let inputs = found.inputs;
        let (span, memory) = (Span::default(), reading.memory);
        Ok(Self {
            inputs,
            format,
            joining,
            options,
            span,
            quarantine,
            threads,
            memory,
            progress,
            stop: Stop::default(),
            once: !reading.keep_duplicates,
            exit,
        })
    }

    /// Refuses a format without which no client could ever be named.
    pub(super) fn require_client(&self) -> Result<(), Failure> {
        match &self.format {
            Some(format) if !format.fields().contains(Field::Client) => Err(Failure::because(
                "look for offenders",
                "the log format gives no client address, so nothing can be held against anyone",
            )
            .hint(
                "log $context.identity.sourceIp; `portcullis formats check FORMAT` prints a \
                 format that shows more",
            )),
            _ => Ok(()),
        }
    }

    /// What was joined, once everything was read.
    pub(super) fn joined(&self) -> Option<Joined> {
        self.joining.as_ref().map(|joining| joining.table.joined())
    }

    /// Says what was joined and what found no partner.
    pub(super) fn tell_joined(&self, terminal: &Terminal) {
        if let Some(joined) = self.joined() {
            terminal.note(format_args!(
                "joined {} with AWS WAF's; {} without AWS WAF record, {} without request{}",
                counted(joined.matched, "request", "requests"),
                human_count(joined.unmatched_requests),
                counted(joined.unmatched_waf, "AWS WAF record", "AWS WAF records"),
                if joined.not_kept > 0 {
                    format!("; {} not kept (--join-memory)", human_count(joined.not_kept))
                } else {
                    String::new()
                }
            ));
        }
    }

    pub(super) fn reading(&self) -> Reading<'_> {
        Reading {
            inputs: &self.inputs,
            format: self.format.as_ref(),
            joining: self.joining.as_ref(),
            options: &self.options,
            span: self.span,
            quarantine: self.quarantine.as_ref(),
            threads: self.threads,
            memory: self.memory,
            progress: &self.progress,
            stop: &self.stop,
            once: self.once,
        }
    }
}

/// AWS WAF's records of the same requests, when they were asked for.
fn joining(logs: &Logs, span: Span, options: &ReadOptions) -> Result<Option<Joining>, Failure> {
    if logs.join_waf.is_empty() {
        return Ok(None);
    }
    let mut found = location::find(&logs.join_waf, logs.store(), span);
    if let Some(failure) = found.failures.pop() {
        return Err(failure);
    }
    let memory = usize::try_from(logs.join_memory).unwrap_or(usize::MAX);
    let joining = Joining::read(found.inputs, memory, options);
    joining.map(Some).map_err(|error| Failure::new("read AWS WAF logs", &error))
}

/// How many linked directories are named.
const NAMED: usize = 5;

/// Says which directories were not looked into, where there may be logs.
fn tell_linked(linked: &[String], terminal: &Terminal) {
    if linked.is_empty() {
        return;
    }
    let mut names: Vec<String> =
        linked.iter().take(NAMED).map(|name| format!("`{}`", inert(name))).collect();
    if linked.len() > NAMED {
        names.push(format!("{} more", linked.len() - NAMED));
    }
    terminal.warn(format_args!(
        "not read, because a link may lead in a circle: {}, {}; name what is to be read as a \
         location of its own",
        counted(linked.len() as u64, "linked directory", "linked directories"),
        names.join(", ")
    ));
}

fn no_logs(locations: &[String]) -> Failure {
    let locations = inert(&locations.join("`, `"));
    Failure::because("find logs", format!("no log file in `{locations}`"))
        .hint("--verbose names the files that were passed over")
}
