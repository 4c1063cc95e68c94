//! `portcullis scan`: the clients that attack, with the reason beside each.

use portcullis_detection::{Findings, Severity};

use super::judgement::Judge;
use super::keeping::{self, Found};
use super::{Page, as_typed, print, tell};
use crate::args::{Global, Scan, ScanOutput, SeverityArgument};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{findings, scan_table};
use crate::pipeline::Purpose;
use crate::terminal::Terminal;

/// Version that events name.
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn run(arguments: &Scan, global: &Global, terminal: &Terminal) -> Result<Exit, Failure> {
    let Judge { rules, .. } = Judge::load(&arguments.judgement, terminal)?;
    let purpose = if arguments.for_plan { Purpose::Block } else { Purpose::Show };
    let read = (&arguments.logs, &arguments.keeping);
    let Found { findings, tally, prepared } =
        keeping::findings(&rules, purpose, read, global, terminal)?;

    let secrets = arguments.logs.secrets();
    let mut out = Vec::new();
    match arguments.output {
        ScanOutput::Table => {
            let top = arguments.top.get();
            scan_table::write(&mut out, &findings, top, terminal)
                .expect("writing to memory does not fail");
        }
        ScanOutput::Json => {
            findings::write_document(&mut out, &findings, prepared.joined(), secrets);
            out.push(b'\n');
        }
        ScanOutput::Jsonl => {
            for offender in &findings.offenders {
                findings::write_offender(&mut out, offender, secrets);
                out.push(b'\n');
            }
        }
        ScanOutput::Csv => out = portcullis_columns::csv(&portcullis_columns::offenders(&findings)),
        ScanOutput::Ocsf => out = portcullis_review::ocsf(&findings, VERSION).into_bytes(),
        ScanOutput::Ecs => out = portcullis_review::ecs(&findings, VERSION).into_bytes(),
    }
    print(&out)?;

    let page = match arguments.output {
        ScanOutput::Table => Page::Shown,
        _ => Page::None,
    };
    prepared.tell_joined(terminal);
    let gaps = tell(&tally, page, terminal);
    if page == Page::Shown && !findings.offenders.is_empty() {
        terminal.next(format_args!(
            "portcullis plan {} shows what blocking them would change",
            as_typed(&arguments.logs, &arguments.judgement)
        ));
    }
    Ok(prepared.exit.or_worse(gaps).or_worse(found(arguments, &findings)))
}

/// Whether the findings are what the caller wants to be told of by the exit code.
fn found(arguments: &Scan, findings: &Findings) -> Exit {
    let least = match arguments.fail_on {
        None if !arguments.exit_code => return Exit::Done,
        None | Some(SeverityArgument::Low) => Severity::Low,
        Some(SeverityArgument::Medium) => Severity::Medium,
        Some(SeverityArgument::High) => Severity::High,
        Some(SeverityArgument::Critical) => Severity::Critical,
    };
    if findings.offenders.iter().any(|offender| offender.severity >= least) {
        Exit::Found
    } else {
        Exit::Done
    }
}
