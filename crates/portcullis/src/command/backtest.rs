//! `portcullis backtest`: what a change of rules would have changed.

use portcullis_detection::{Comparison, ObjectSeen};
use portcullis_ingest::{Reject, Request, Sink};

use super::judgement::load_crawlers;
use super::words::shell_word;
use super::{Page, Prepared, load_named_rules, print, tell};
use crate::args::{Backtest, BacktestOutput, Global};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::backtest::{Shown, write_json, write_junit, write_table};
use crate::output::counted;
use crate::pipeline::Gather;
use crate::terminal::Terminal;

pub(super) fn run(
    arguments: &Backtest,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let crawlers = load_crawlers(&arguments.crawlers, terminal)?;
    let old = load_named_rules(&arguments.old)?.with_crawlers(crawlers.clone());
    let new = load_named_rules(&arguments.new)?.with_crawlers(crawlers);
    for (directory, rules) in [(&arguments.old, &old), (&arguments.new, &new)] {
        let failed = rules.test().len() as u64;
        if failed > 0 {
            let failed = counted(failed, "example", "examples");
            let directory = shell_word(&directory.to_string_lossy());
            terminal.warn(format_args!(
                "not all rules do what they say: {failed} of {directory} failed; \
                 `portcullis rules test {directory}` names them"
            ));
        }
    }
    let prepared = Prepared::new(&arguments.logs, global, terminal)?;
    prepared.require_client()?;
    let reading = prepared.reading();
    let begin = || {
        let mut comparison = Comparison::new(&old, &new);
        comparison.limit_memory(reading.memory_of_worker());
        Both(comparison)
    };
    let (Both(comparison), tally) = reading.gather(begin);
    prepared.progress.finish();

    let difference = comparison.finish();
    let shown = Shown {
        difference: &difference,
        max_harm: arguments.max_harm,
        max_loss: arguments.fail_on_loss.then_some(arguments.max_loss),
        secrets: arguments.logs.secrets(),
    };
    let mut out = Vec::new();
    match arguments.output {
        BacktestOutput::Table => write_table(&mut out, &shown, terminal),
        BacktestOutput::Json => {
            write_json(&mut out, &shown);
            Ok(())
        }
        BacktestOutput::Junit => write_junit(&mut out, &shown),
    }
    .expect("writing to memory does not fail");
    print(&out)?;

    if difference.totals.requests == 0 {
        terminal.warn("nothing was compared: no request was read, or none of the time asked for");
    }
    prepared.tell_joined(terminal);
    let gaps = tell(&tally, Page::None, terminal);
    let harmed = arguments.fail_on_harm && shown.at_fault().next().is_some();
    let found = if harmed || shown.loses_too_much() { Exit::Found } else { Exit::Done };
    Ok(prepared.exit.or_worse(gaps).or_worse(found))
}

/// Both scans of one worker.
struct Both<'r>(Comparison<'r>);

impl Sink for Both<'_> {
    fn request(&mut self, request: &Request<'_>) {
        self.0.observe(request);
    }

    fn reject(&mut self, reject: &Reject<'_>) {
        self.0.observe_reject(reject);
    }
}

impl Gather for Both<'_> {
    fn object(&mut self, seen: &ObjectSeen<'_>) {
        self.0.object(seen);
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }
}
