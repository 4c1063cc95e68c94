//! `portcullis doctor`: does the pipeline protect anything, and what is to be mended?
//!
//! Every part is asked by a call that reads, and one that is refused or broken stops no
//! other: it becomes a check that is unknown, with the permission that it lacks. What the
//! answers mean is decided by [`portcullis_setup::doctor`]; here they are gathered and shown.

use std::io::{self, Write as _};

use ipnet::IpNet;
use portcullis_aws::{Document, Inspector, SystemClock};
use portcullis_detection::RuleSet;
use portcullis_ingest::{LogFormat, Timestamp};
use portcullis_remediation::{Clock as _, Ledger, LedgerStore as _, Scope};
use portcullis_setup::doctor::{
    Answer, Check, Expected, Facts, Grade, LedgerFacts, Runs, Stage, Stream, Verdict, examine,
};

use super::lists::Lists;
use super::plan::time_of;
use super::{formats, inert, print};
use crate::args::Doctor;
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::heartbeat::Heartbeat;
use crate::output::counted;
use crate::output::json::{Object, Secrets};
use crate::output::table::{Align, Cell, Table};
use crate::remote::Remote;
use crate::terminal::{ATTENTION, BAD, FAINT, GOOD, HEADING, Painted, Terminal};

/// Why a part behind the stage was not asked.
const NO_STAGE: &str = "name the stage: `stage = \"API/STAGE\"` in the target, or --stage";

/// The same of a distribution, which cannot be asked: of its log, and of its web ACL.
const OF_A_DISTRIBUTION: [&str; 2] = [
    "a distribution has neither stage nor stream: see in its console, under Logging, that its log \
     goes to the bucket of [source]",
    "see in the console of the distribution, under Security, that it has the web ACL whose rules \
     use these sets",
];

pub(super) fn run(
    arguments: &Doctor,
    configuration: &Configuration,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let now = time_of(arguments.at.as_deref())?;
    let remote = Remote::open(&arguments.reached.target, &arguments.reached.access, configuration)?;
    let stage = arguments.stage.clone().or_else(|| remote.stage.clone());
    let stage = stage.as_deref().map(stage_of).transpose()?;
    let never_block = Lists::read(Some(&arguments.protected), &[], configuration)
        .map(|lists| lists.never_block.operator_entries())
        .map_err(|failure| failure.message());
    let expected = Expected {
        account: remote.target.account().to_owned(),
        mode: remote.mode,
        sets: remote.blocking.clone(),
        canary_sets: remote.canary.clone(),
        location: configuration.location().map(str::to_owned),
        trusted_proxies: trusted_proxies(configuration),
        never_block,
    };
    let checks = examine(&gather(&remote, stage, configuration.state(), expected, now));
    let mut out = Vec::new();
    match arguments.output {
        crate::args::Shape::Human => {
            human(&checks, &remote, terminal, &mut out).expect("memory does not fail");
        }
        crate::args::Shape::Json => json(&checks, &remote, &mut out),
    }
    print(&out)?;
    let exit = |check: &Check| match check.verdict {
        Verdict::Good | Verdict::Unchecked | Verdict::Warning => Exit::Done,
        Verdict::Unknown => Exit::Partial,
        Verdict::Bad => Exit::Found,
    };
    Ok(checks.iter().map(exit).fold(Exit::Done, Exit::or_worse))
}

fn trusted_proxies(configuration: &Configuration) -> Vec<IpNet> {
    configuration.scan.trusted_proxies().to_vec()
}

/// The API's id and the stage's name.
fn stage_of(text: &str) -> Result<(&str, &str), Failure> {
    let parts = text.split_once('/').filter(|(api, stage)| {
        let is_plain = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        };
        is_plain(api) && is_plain(stage)
    });
    parts.ok_or_else(|| {
        let detail = format!("`{}` is no API/STAGE, such as a1b2c3d4e5/prod", inert(text));
        Failure::because("choose the stage", detail).exit_with(Exit::Usage)
    })
}

fn gather(
    remote: &Remote,
    stage: Option<(&str, &str)>,
    kept_at: Option<&str>,
    expected: Expected,
    now: Timestamp,
) -> Facts {
    let inspector = Inspector::new(&remote.connection, remote.target.account());
    let is_distributed = remote.target.scope() == Scope::CloudFront;
    let [no_stage, no_web_acl] =
        if is_distributed { OF_A_DISTRIBUTION } else { [NO_STAGE, NO_STAGE] };
    let mut told = Answer::NotAsked(no_stage.to_owned());
    let mut web_acl = Answer::NotAsked(no_web_acl.to_owned());
    if let Some((api, name)) = stage {
        told = remote.wait(inspector.stage(api, name));
        web_acl = remote.wait(inspector.web_acl(api, name));
    }
    let stream = match stream_of(&told) {
        Ok(name) => remote.wait(inspector.stream(&name)),
        Err(_) if is_distributed => Answer::NotAsked(OF_A_DISTRIBUTION[0].to_owned()),
        Err(why) => Answer::NotAsked(why.to_owned()),
    };
    let names: Vec<String> = expected.sets.iter().chain(&expected.canary_sets).cloned().collect();
    let bucket = bucket_of(&remote.ledger_location, &stream);
    Facts {
        caller: remote.wait(inspector.caller()),
        grade: grade(&told, &stream),
        web_acl,
        sets: remote.wait(remote.sets.facts(&names)),
        clock_skew_ms: match bucket {
            Some(bucket) => {
                let clock = || SystemClock.now().epoch_ms();
                remote.wait(inspector.clock_skew_ms(&bucket, clock))
            }
            None => Answer::NotAsked("keep the ledger on S3, or name the stage".to_owned()),
        },
        ledger: ledger(remote, now),
        runs: runs(remote, kept_at),
        stage: told,
        stream,
        expected,
        now,
    }
}

/// The name of the stream that a stage's log goes to.
fn stream_of(stage: &Answer<Stage>) -> Result<String, &'static str> {
    let Answer::Known(Stage { log_destination, .. }) = stage else {
        return Err("the stage says where its log goes, and could not be asked");
    };
    let name = log_destination.as_deref().and_then(|arn| arn.split_once(":deliverystream/"));
    name.map(|(_, name)| name.to_owned()).ok_or("send the stage's access log to a stream first")
}

/// What the stage's format comes to, as it arrives in the bucket.
fn grade(stage: &Answer<Stage>, stream: &Answer<Stream>) -> Answer<Grade> {
    let Answer::Known(Stage { log_format: Some(template), .. }) = stage else {
        return Answer::NotAsked("the stage has no access-log format".to_owned());
    };
    let appends = matches!(
        stream,
        Answer::Known(Stream { bucket: Some(bucket), .. }) if bucket.appends_delimiter
    );
    let line = if appends { format!("{}\n", template.trim_end()) } else { template.clone() };
    match LogFormat::parse(&line) {
        Ok(format) => Answer::Known(formats::grade(&format, &RuleSet::builtin())),
        Err(error) => Answer::Failed(format!("the format cannot be read: {error}")),
    }
}

/// A bucket whose answer tells the time.
fn bucket_of(ledger: &str, stream: &Answer<Stream>) -> Option<String> {
    if let Some(place) = ledger.strip_prefix("s3://") {
        return place.split('/').next().map(str::to_owned);
    }
    let Answer::Known(Stream { bucket: Some(bucket), .. }) = stream else {
        return None;
    };
    bucket.arn.rsplit(':').next().map(str::to_owned)
}

fn ledger(remote: &Remote, now: Timestamp) -> Answer<LedgerFacts> {
    let halted = match remote.wait(remote.store.halted()) {
        Ok(halted) => halted,
        Err(error) => return Answer::Failed(error.to_string()),
    };
    let ledger: Ledger = match remote.ledger() {
        Ok(ledger) => ledger,
        Err(failure) => return Answer::Failed(failure.message()),
    };
    let overdue = ledger.entries().values().filter(|entry| entry.expires <= now);
    let overdue: Vec<Timestamp> = overdue.map(|entry| entry.expires).collect();
    Answer::Known(LedgerFacts {
        entries: ledger.entries().len(),
        overdue: overdue.len(),
        overdue_since: overdue.into_iter().min(),
        failed_runs: ledger.failed_runs(),
        halted,
    })
}

/// What the heartbeat beside the state says.
fn runs(remote: &Remote, kept_at: Option<&str>) -> Answer<Runs> {
    let Some(state) = kept_at else {
        return Answer::NotAsked("give `state` in [source], and let a schedule run".to_owned());
    };
    let document = Document::open(&Heartbeat::place(state), &remote.connection);
    match remote.wait(Heartbeat::load(&document)) {
        Ok(heartbeat) => {
            let time = |text: Option<String>| Timestamp::parse_rfc3339(text?.as_bytes());
            let (last_good, last_expire) = (heartbeat.last_good, heartbeat.last_expire);
            Answer::Known(Runs { last_good: time(last_good), last_expire: time(last_expire) })
        }
        Err(error) => Answer::Failed(error.to_string()),
    }
}

fn human(
    checks: &[Check],
    remote: &Remote,
    terminal: &Terminal,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let name = inert(&remote.name);
    let name = Painted { text: &name, style: HEADING, colour: terminal.colour };
    writeln!(out, "{name} ({}), mode {}\n", remote.target, remote.mode.name())?;
    let columns = ["", "CHECK", "FOUND, AND WHAT TO DO"];
    let mut table = Table::new(columns.map(|column| (column, Align::Left)));
    for check in checks {
        let (mark, style) = match check.verdict {
            Verdict::Good => ("+", GOOD),
            Verdict::Unchecked => (" ", FAINT),
            Verdict::Warning => ("*", ATTENTION),
            Verdict::Unknown => ("?", ATTENTION),
            Verdict::Bad => ("-", BAD),
        };
        let fix = check.fix.as_deref().map(|fix| format!("\n→ {}", inert(fix)));
        table.row(vec![
            Cell::styled(mark, style),
            Cell::plain(check.name),
            Cell::plain(format!("{}{}", inert(&check.finding), fix.unwrap_or_default())),
        ]);
    }
    table.write(out, terminal.width, terminal.colour)?;
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let (bad, unknown) = (count(Verdict::Bad), count(Verdict::Unknown));
    let checks = |count: usize| counted(count as u64, "check", "checks");
    let (text, style) = match (bad, unknown) {
        (0, 0) => ("protection is effective".to_owned(), GOOD),
        (0, _) => (format!("{} could not be asked", checks(unknown)), ATTENTION),
        _ => (format!("protection is not effective: {} failed", checks(bad)), BAD),
    };
    writeln!(out, "\n{}", Painted { text: &text, style, colour: terminal.colour })
}

fn json(checks: &[Check], remote: &Remote, out: &mut Vec<u8>) {
    let mut document = Object::open(out, Secrets::Hidden);
    document.number("schema_version", 1_u32);
    document.text("name", &remote.name);
    document.text("target", &remote.target.to_string());
    document.text("mode", remote.mode.name());
    let is_sure = |check: &Check| !matches!(check.verdict, Verdict::Unknown | Verdict::Bad);
    document.boolean("effective", checks.iter().all(is_sure));
    document.objects("checks", checks, |object, check| {
        object.text("name", check.name);
        object.text("verdict", check.verdict.name());
        object.text("finding", &check.finding);
        if let Some(fix) = &check.fix {
            object.text("fix", fix);
        }
    });
    document.close();
    out.push(b'\n');
}
