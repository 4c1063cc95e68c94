//! What each command does, and what they share: rules, formats, logs, and what is said
//! about input that could not be read.

mod apply;
mod arrivals;
mod audit;
mod backtest;
mod bench;
mod calibrate;
mod changing;
mod classify;
mod decode;
mod doctor;
mod enrichment;
mod explain;
mod export;
mod findings_file;
mod formats;
mod import_sigma;
mod init;
mod judgement;
mod keeping;
#[cfg(feature = "lambda")]
mod lambda;
mod ledger;
mod lint;
mod lists;
mod man;
mod plan;
mod promote;
#[cfg(feature = "query")]
mod query;
mod report;
mod review;
mod round;
mod rules;
mod run;
mod scan;
mod status;
mod telling;
mod watch;
mod withdraw;

use std::fs;
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;

use portcullis_aws::{Arrived, SystemClock};
use portcullis_detection::RuleSet;
use portcullis_ingest::{Field, Joined, LogFormat, ReadOptions, RejectReason, Untrusted};
use portcullis_remediation::Clock as _;

use crate::args::{Arguments, Command, Global, Logs};
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::joining::Joining;
use crate::location::{self, Input};
use crate::output::counted;
use crate::pipeline::{Reading, Tally};
use crate::progress::{Progress, human_count};
use crate::quarantine::Quarantine;
use crate::span::Span;
use crate::stop::Stop;
use crate::terminal::Terminal;

/// How many names a message lists before it only counts.
const NAMES_IN_A_MESSAGE: usize = 5;

/// What the built-in rules are called where a directory of rules is expected.
const BUILTIN: &str = "builtin";

/// Runs the command.
pub fn run(arguments: Arguments, terminal: &Terminal) -> Result<Exit, Failure> {
    let Arguments { global, mut command } = arguments;
    let (configuration, file) = match command {
        // It writes a configuration, whatever the one that is there says.
        Command::Init(_) => (Configuration::default(), None),
        _ => Configuration::load(global.config.as_deref())?,
    };
    if let Some(file) = file.filter(|_| global.config.is_none()) {
        terminal.note(format_args!("configured by `{}`", inert(&file.to_string_lossy())));
    }
    configuration.fill(&mut command);
    let (global, configuration) = (&global, &configuration);
    match &command {
        Command::Init(init) => init::run(init, terminal),
        Command::Scan(scan) => scan::run(scan, global, terminal),
        Command::Decode(decode) => decode::run(decode, global, terminal),
        Command::Classify(classify) => classify::run(classify, global, terminal),
        Command::Explain(explain) => explain::run(explain, global, terminal),
        Command::Plan(plan) => plan::run(plan, configuration, global, terminal),
        Command::Apply(apply) => apply::run(apply, configuration, terminal),
        Command::Run(run) => run::run(run, configuration, global, terminal),
        Command::Watch(watch) => watch::run(watch, configuration, global, terminal),
        #[cfg(feature = "lambda")]
        Command::Lambda(lambda) => lambda::run(lambda, configuration, global, terminal),
        Command::Promote(promote) => promote::run(promote, configuration, global, terminal),
        Command::Expire(expire) => withdraw::expire(expire, configuration, terminal),
        Command::Rollback(rollback) => withdraw::rollback(rollback, configuration, terminal),
        Command::ReleaseAll(release) => withdraw::release_all(release, configuration, terminal),
        Command::Pardon(pardon) => withdraw::pardon(pardon, configuration, terminal),
        Command::Status(status) => status::run(status, configuration, terminal),
        Command::Doctor(doctor) => doctor::run(doctor, configuration, terminal),
        Command::Audit(audit) => audit::run(audit, configuration, terminal),
        Command::Ledger(ledger) => ledger::run(ledger, configuration, terminal),
        Command::Report(report) => report::run(report, configuration, global, terminal),
        Command::Export(export) => export::run(export, global, terminal),
        Command::Review(review) => review::run(review, configuration, global, terminal),
        #[cfg(feature = "query")]
        Command::Query(query) => query::run(query, global, terminal),
        Command::Backtest(backtest) => backtest::run(backtest, global, terminal),
        Command::Calibrate(calibrate) => calibrate::run(calibrate, global, terminal),
        Command::Rules(rules) => rules::run(rules, global, terminal),
        Command::Formats(formats) => formats::run(formats, terminal),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut crate::args::command(), "portcullis", &mut script);
            print(&script)
        }
        Command::Man => print(&man::page()),
    }
}

/// Writes a whole output.
fn print(text: &[u8]) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush()).map_err(|error| Failure::writing(&error))?;
    Ok(Exit::Done)
}

/// The rules of a directory, or the built-in ones.
fn load_rules(directory: Option<&Path>) -> Result<RuleSet, Failure> {
    let Some(directory) = directory else {
        return Ok(RuleSet::builtin());
    };
    let files = rule_files(directory)?;
    RuleSet::load(files).map_err(|errors| Failure::verbatim(errors.to_string()))
}

/// The rules of a directory, or those that are called so.
fn load_named_rules(directory: &Path) -> Result<RuleSet, Failure> {
    load_rules(Some(directory).filter(|directory| *directory != Path::new(BUILTIN)))
}

/// The rule files of a directory, of which there must be one.
fn rule_files(directory: &Path) -> Result<Vec<(String, String)>, Failure> {
    let mut files = Vec::new();
    read_rule_files(directory, &mut files)?;
    if files.is_empty() {
        let detail = format!("`{}` holds no .toml file", directory.display());
        return Err(Failure::because("load rules", detail));
    }
    Ok(files)
}

/// Gathers the rule files below `directory`, sorted.
fn read_rule_files(directory: &Path, files: &mut Vec<(String, String)>) -> Result<(), Failure> {
    let fail = |path: &Path, error: &io::Error| {
        Failure::because("load rules", format!("{}: {error}", path.display()))
    };
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(|error| fail(directory, &error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(|error| fail(&path, &error))?;
        if kind.is_dir() {
            read_rule_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            let text = fs::read_to_string(&path).map_err(|error| fail(&path, &error))?;
            files.push((path.to_string_lossy().into_owned(), text));
        }
    }
    Ok(())
}

/// The logs a command reads.
struct Prepared {
    inputs: Vec<Input>,
    format: Option<LogFormat>,
    joining: Option<Joining>,
    options: ReadOptions,
    span: Span,
    quarantine: Option<Quarantine>,
    threads: usize,
    memory: u64,
    progress: Progress,
    stop: Stop,
    once: bool,
    /// Worse than done when a location named nothing.
    exit: Exit,
}

impl Prepared {
    /// Finds the objects and understands the format. Locations that cannot be read are
    /// told and counted in the exit code; the others are still read.
    fn new(logs: &Logs, global: &Global, terminal: &Terminal) -> Result<Self, Failure> {
        Self::inside(Span::of(&logs.within, SystemClock.now())?, logs, global, terminal)
    }

    /// The same, for a span of time of the command's own.
    fn inside(
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
    fn written_in(
        span: Span,
        logs: &Logs,
        global: &Global,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        let found = location::find(&logs.locations, logs.store(), span);
        Self::of_found(found, span, logs, global, terminal)
    }

    /// The objects that somebody told of. There may be none.
    fn arrived(
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
            Some(folder) => Some(Quarantine::create(folder, logs.secrets()).map_err(|error| {
                Failure::new(format!("create `{}`", inert(&folder.to_string_lossy())), &error)
            })?),
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
    fn require_client(&self) -> Result<(), Failure> {
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
    fn joined(&self) -> Option<Joined> {
        self.joining.as_ref().map(|joining| joining.table.joined())
    }

    /// Says what was joined and what found no partner.
    fn tell_joined(&self, terminal: &Terminal) {
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

    fn reading(&self) -> Reading<'_> {
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

fn no_logs(locations: &[String]) -> Failure {
    let locations = inert(&locations.join("`, `"));
    Failure::because("find logs", format!("no log file in `{locations}`"))
        .hint("--verbose names the files that were passed over")
}

/// Where a page for people stands, which says itself what could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    /// On stdout.
    Shown,
    /// Nowhere: stdout is for programs.
    None,
}

/// Says on stderr what could not be read and what to change, as far as no page says it
/// already, and gives the exit code that it means.
fn tell(tally: &Tally, page: Page, terminal: &Terminal) -> Exit {
    for failure in &tally.unreadable {
        terminal.error(failure);
    }
    if page == Page::None {
        for gap in gaps(tally) {
            terminal.warn(gap);
        }
    }
    for note in &tally.notes {
        terminal.note(inert(note));
    }
    if tally.outside_span > 0 {
        let requests = counted(tally.outside_span, "request", "requests");
        terminal.note(format_args!("{requests} outside the span of time passed over"));
    }
    exit_of(tally)
}

/// The exit code that the gaps mean.
fn exit_of(tally: &Tally) -> Exit {
    if !tally.unreadable.is_empty() {
        Exit::Failed
    } else if tally.rejected() > 0 || !tally.incomplete.is_empty() || !tally.unrecognised.is_empty()
    {
        Exit::Partial
    } else {
        Exit::Done
    }
}

/// What could not be read, one sentence each.
fn gaps(tally: &Tally) -> Vec<String> {
    let mut gaps = Vec::new();
    if tally.rejected() > 0 {
        let reasons: Vec<String> = RejectReason::ALL
            .iter()
            .zip(tally.rejects)
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| format!("{} ({})", reason.explanation(), human_count(count)))
            .collect();
        let records = counted(tally.rejected(), "record", "records");
        gaps.push(format!("{records} could not be read: {}", reasons.join(", ")));
    }
    for (object, reason) in tally.incomplete.iter().take(NAMES_IN_A_MESSAGE) {
        gaps.push(format!("`{}` is incomplete: {reason}", inert(object)));
    }
    if let Some(more) = more_than_listed(tally.incomplete.len()) {
        gaps.push(format!("{more} more objects are incomplete"));
    }
    for object in tally.unrecognised.iter().take(NAMES_IN_A_MESSAGE) {
        gaps.push(format!(
            "the format of `{}` was not recognised; name it with --format",
            inert(object)
        ));
    }
    if let Some(more) = more_than_listed(tally.unrecognised.len()) {
        gaps.push(format!("the format of {more} more objects was not recognised"));
    }
    gaps
}

fn more_than_listed(count: usize) -> Option<usize> {
    count.checked_sub(NAMES_IN_A_MESSAGE).filter(|more| *more > 0)
}

/// Text that nobody vouches for, made harmless to print.
fn inert(text: &str) -> String {
    Untrusted::new(text.as_bytes()).escaped().to_string()
}

/// Locations and format as a shell would have to be given them again.
fn as_typed(logs: &Logs) -> String {
    let mut words: Vec<String> = logs.locations.iter().map(|name| shell_word(name)).collect();
    words.extend(
        logs.reading.format.as_deref().map(|format| format!("--format {}", shell_word(format))),
    );
    words.join(" ")
}

/// An argument as a shell would have to be given it again.
fn shell_word(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{}'", inert(argument).replace('\'', r"'\''"))
    }
}

/// Reads a file that an option names.
fn read_option_file(path: &Path, what: &str) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        Failure::new(format!("read {what} `{}`", inert(&path.to_string_lossy())), &error)
    })
}
