//! What each command does, one a module, and what they share: `rule_files`, the logs that are
//! `prepared`, the `gaps` in what was read, and `words` as they are typed again.

mod apply;
mod arrivals;
mod asked;
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
mod gaps;
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
mod prepared;
mod promote;
#[cfg(feature = "query")]
mod query;
mod report;
mod review;
mod round;
mod rule_files;
mod rules;
mod run;
mod scan;
mod status;
mod telling;
mod watch;
mod withdraw;
mod words;
mod written;

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use crate::args::{Arguments, Command};
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Terminal;
use gaps::{Page, tell};
use prepared::Prepared;
use rule_files::{BUILTIN, RuleFiles, load_named_rules, load_rules, rule_files};
use words::{as_typed, inert};

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

/// Reads a file that an option names.
fn read_option_file(path: &Path, what: &str) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        Failure::new(format!("read {what} `{}`", inert(&path.to_string_lossy())), &error)
    })
}
