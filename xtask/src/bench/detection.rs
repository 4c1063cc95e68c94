//! Measures what is found and what is flagged wrongly, on labelled and on real requests.
//!
//! A rule that finds one more attack may flag ten honest requests, and nobody sees that
//! in a rule's own examples. So the labelled requests go through `portcullis classify` as
//! the logs that AWS would deliver, real logs of honest sites go through `classify` and
//! `scan`, and the figures are kept under version control: their difference is part of
//! the change's review. The data is no part of the source; where it is absent, nothing is
//! measured, and that is said.
//!
//! The scores are computed by the script that comes with the data, not by the program
//! that is judged.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use serde::{Deserialize, Serialize};

use crate::{firehose, workspace};

/// Where the data is, from the root of the source.
const DATA: &str = "../shared/data";

/// Where the figures are kept, from the root of the source.
const FIGURES: &str = "benches/results/detection.json";

/// Real logs of sites with few attacks or none.
const REAL_LOGS: [&str; 3] = ["zanbil", "lnav-shop", "elastic-apache"];

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Measure this program instead of building the workspace's
    #[arg(long, value_name = "PROGRAM")]
    binary: Option<PathBuf>,
    /// Write the figures to another file than the one under version control
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One way to log the labelled requests.
struct Envelope {
    name: &'static str,
    /// As the script that writes logs calls it.
    format: &'static str,
    /// `full` or `path`: whether the log holds the query string.
    target: &'static str,
    /// The file it writes.
    file: &'static str,
}

const ENVELOPES: [Envelope; 4] = [
    Envelope { name: "aws-waf", format: "waf", target: "full", file: "dev.waf.jsonl.gz" },
    Envelope {
        name: "api-gateway-json",
        format: "apigw-json",
        target: "full",
        file: "dev.apigw.jsonl.gz",
    },
    Envelope {
        name: "api-gateway-clf",
        format: "apigw-clf",
        target: "full",
        file: "dev.apigw.clf.gz",
    },
    // What API Gateway can log by itself: the path without the query string.
    Envelope {
        name: "api-gateway-path-only",
        format: "apigw-json",
        target: "path",
        file: "dev.apigw.jsonl.gz",
    },
];

/// Everything measured, as it is kept. Rates are shares of one, rounded to four digits.
#[derive(Debug, Serialize, Deserialize)]
struct Figures {
    schema_version: u32,
    labelled: Vec<Labelled>,
    real_logs: Vec<RealLog>,
}

/// How the labelled requests were judged in one kind of log.
#[derive(Debug, Serialize, Deserialize)]
struct Labelled {
    log: String,
    attacks: u64,
    honest: u64,
    missed: u64,
    flagged_wrongly: u64,
    true_positive_rate: f64,
    false_positive_rate: f64,
    balanced_accuracy: f64,
    /// Of attacks seen in real logs, weighted to how often they are.
    weighted_true_positive_rate: Option<f64>,
    categories: BTreeMap<String, Category>,
    sources: BTreeMap<String, Source>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Category {
    attacks: u64,
    true_positive_rate: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Source {
    attacks: u64,
    true_positive_rate: Option<f64>,
    honest: u64,
    false_positive_rate: Option<f64>,
}

/// What was flagged in a real log.
#[derive(Debug, Serialize, Deserialize)]
struct RealLog {
    log: String,
    requests: u64,
    flagged_requests: u64,
    offenders: u64,
    watched: u64,
}

/// What the script that scores prints; the part that is kept.
#[derive(Debug, Deserialize)]
struct Scored {
    attack: u64,
    benign: u64,
    tp: u64,
    fp: u64,
    tpr: f64,
    fpr: f64,
    balanced_accuracy: f64,
    real_attack_weighted_tpr: Option<f64>,
    by_category: BTreeMap<String, ScoredCategory>,
    by_source: BTreeMap<String, ScoredSource>,
}

#[derive(Debug, Deserialize)]
struct ScoredCategory {
    n: u64,
    tpr: f64,
}

#[derive(Debug, Deserialize)]
struct ScoredSource {
    attack: u64,
    tpr: Option<f64>,
    benign: u64,
    fpr: Option<f64>,
}

impl From<(&str, Scored)> for Labelled {
    fn from((log, scored): (&str, Scored)) -> Self {
        let category = |(name, category): (String, ScoredCategory)| {
            let true_positive_rate = rounded(category.tpr);
            (name, Category { attacks: category.n, true_positive_rate })
        };
        let source = |(name, source): (String, ScoredSource)| {
            let source = Source {
                attacks: source.attack,
                true_positive_rate: source.tpr.map(rounded),
                honest: source.benign,
                false_positive_rate: source.fpr.map(rounded),
            };
            (name, source)
        };
        Self {
            log: log.to_owned(),
            attacks: scored.attack,
            honest: scored.benign,
            missed: scored.attack - scored.tp,
            flagged_wrongly: scored.fp,
            true_positive_rate: rounded(scored.tpr),
            false_positive_rate: rounded(scored.fpr),
            balanced_accuracy: rounded(scored.balanced_accuracy),
            weighted_true_positive_rate: scored.real_attack_weighted_tpr.map(rounded),
            categories: scored.by_category.into_iter().map(category).collect(),
            sources: scored.by_source.into_iter().map(source).collect(),
        }
    }
}

/// To four digits, so that a difference in review is a difference in results.
fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

pub(super) fn run(arguments: &Arguments) -> Result<(), String> {
    let data = workspace::root().join(DATA);
    if !data.is_dir() {
        println!("not measured: {DATA} is absent; the figures in {FIGURES} stand as they are");
        return Ok(());
    }
    let binary = match &arguments.binary {
        Some(binary) => binary.clone(),
        None => super::build_program()?,
    };
    let scratch = workspace::target().join("bench").join("detection");
    let labels = data.join("bench").join("dev.jsonl.gz");
    let mut labelled = Vec::new();
    for envelope in &ENVELOPES {
        let directory = scratch.join(envelope.target);
        create(&directory)?;
        let figures = judge(&binary, &data, &labels, envelope, &directory)?;
        labelled.push(figures);
    }
    let real_logs = REAL_LOGS
        .iter()
        .map(|log| false_alarms(&binary, &data, log, &scratch))
        .collect::<Result<_, _>>()?;
    let figures = Figures { schema_version: 1, labelled, real_logs };

    let kept = workspace::root().join(FIGURES);
    let before = fs::read(&kept).ok().and_then(|text| serde_json::from_slice(&text).ok());
    print(&figures, before.as_ref());
    let file = arguments.json.clone().unwrap_or(kept);
    create(file.parent().unwrap_or(Path::new(".")))?;
    firehose::write_json(&file, &figures)
}

fn create(directory: &Path) -> Result<(), String> {
    fs::create_dir_all(directory)
        .map_err(|error| format!("failed to create {}: {error}", directory.display()))
}

/// Has the labelled requests judged in one kind of log.
fn judge(
    binary: &Path,
    data: &Path,
    labels: &Path,
    envelope: &Envelope,
    directory: &Path,
) -> Result<Labelled, String> {
    let script = data.join("bench").join("to_logs.py");
    let writer = Process::new("python3")
        .arg(script)
        .args([labels, directory])
        .args(["--formats", envelope.format, "--target", envelope.target])
        .output();
    output_of(writer, "write the labelled requests as logs")?;
    let verdicts = directory.join(format!("{}.verdicts.jsonl", envelope.name));
    classify(binary, &directory.join(envelope.file), &verdicts)?;
    let mut judge = Process::new("python3");
    judge.arg(data.join("bench").join("score.py")).args([labels, &verdicts]).arg("--json");
    if envelope.target == "path" {
        judge.arg("--path-only");
    }
    let scored = output_of(judge.output(), "score the verdicts")?;
    let scored: Scored = serde_json::from_slice(&scored)
        .map_err(|error| format!("failed to read the scores: {error}"))?;
    Ok((envelope.name, scored).into())
}

/// Counts what is flagged in a real log.
fn false_alarms(binary: &Path, data: &Path, log: &str, scratch: &Path) -> Result<RealLog, String> {
    /// The part of a verdict that counts.
    #[derive(Deserialize)]
    struct Verdict {
        flagged: bool,
    }
    /// The part of a scan's findings that counts.
    #[derive(Deserialize)]
    struct Findings {
        offenders: Vec<serde_json::Value>,
        watched: Vec<serde_json::Value>,
    }
    let object = data.join("real").join(format!("{log}.log.gz"));
    let verdicts = scratch.join(format!("{log}.verdicts.jsonl"));
    classify(binary, &object, &verdicts)?;
    let text = fs::read_to_string(&verdicts)
        .map_err(|error| format!("failed to read {}: {error}", verdicts.display()))?;
    let (mut requests, mut flagged_requests) = (0, 0);
    for line in text.lines() {
        let verdict: Verdict = serde_json::from_str(line)
            .map_err(|error| format!("failed to read a verdict on {log}: {error}"))?;
        requests += 1;
        flagged_requests += u64::from(verdict.flagged);
    }
    let mut scan = Process::new(binary);
    scan.args(["scan", "--quiet", "--output", "json"]).arg(&object).stderr(Stdio::inherit());
    let found = output_of_portcullis(scan.output(), "scan")?;
    let found: Findings = serde_json::from_slice(&found)
        .map_err(|error| format!("failed to read the findings in {log}: {error}"))?;
    Ok(RealLog {
        log: log.to_owned(),
        requests,
        flagged_requests,
        offenders: found.offenders.len() as u64,
        watched: found.watched.len() as u64,
    })
}

/// Writes a verdict on every request of an object to a file.
fn classify(binary: &Path, object: &Path, verdicts: &Path) -> Result<(), String> {
    let file = File::create(verdicts)
        .map_err(|error| format!("failed to create {}: {error}", verdicts.display()))?;
    let mut classify = Process::new(binary);
    classify.args(["classify", "--quiet"]).arg(object).stdout(file).stderr(Stdio::inherit());
    output_of_portcullis(classify.output(), "classify").map(drop)
}

/// What `portcullis` printed. It ends with 3 when a record could not be read, as real logs
/// have some.
fn output_of_portcullis(
    output: std::io::Result<std::process::Output>,
    command: &str,
) -> Result<Vec<u8>, String> {
    let output = output.map_err(|error| format!("failed to start portcullis: {error}"))?;
    match output.status.code() {
        Some(0 | 3) => Ok(output.stdout),
        _ => Err(format!("portcullis {command} ended with {}", output.status)),
    }
}

/// What one of the data's scripts printed.
fn output_of(
    output: std::io::Result<std::process::Output>,
    purpose: &str,
) -> Result<Vec<u8>, String> {
    let output =
        output.map_err(|error| format!("failed to {purpose}: cannot start python3: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(format!("failed to {purpose}: {}", reason.trim_end()))
}

fn print(figures: &Figures, before: Option<&Figures>) {
    println!(
        "{:<22} {:>8} {:>7} {:>8} {:>9} {:>18} {:>9}",
        "log", "TPR", "missed", "FPR", "wrongly", "balanced accuracy", "real TPR"
    );
    for labelled in &figures.labelled {
        println!(
            "{:<22} {:>6.2} % {:>7} {:>6.2} % {:>9} {:>18.4} {:>9}{}",
            labelled.log,
            100.0 * labelled.true_positive_rate,
            labelled.missed,
            100.0 * labelled.false_positive_rate,
            labelled.flagged_wrongly,
            labelled.balanced_accuracy,
            labelled
                .weighted_true_positive_rate
                .map_or("-".to_owned(), |rate| format!("{:.2} %", 100.0 * rate)),
            changed(labelled, before),
        );
    }
    if let Some(labelled) = figures.labelled.first() {
        println!("\n{:<22} {:>8} {:>7}", labelled.log, "TPR", "attacks");
        for (name, category) in &labelled.categories {
            let rate = 100.0 * category.true_positive_rate;
            println!("  {name:<20} {rate:>6.2} % {:>7}", category.attacks);
        }
    }
    println!(
        "\n{:<22} {:>9} {:>8} {:>10} {:>8}",
        "real log", "requests", "flagged", "offenders", "watched"
    );
    for log in &figures.real_logs {
        println!(
            "{:<22} {:>9} {:>8} {:>10} {:>8}",
            log.log, log.requests, log.flagged_requests, log.offenders, log.watched
        );
    }
}

/// How the figures differ from those kept before.
fn changed(labelled: &Labelled, before: Option<&Figures>) -> String {
    let before = before.and_then(|before| before.labelled.iter().find(|b| b.log == labelled.log));
    let Some(before) = before else { return String::new() };
    let difference = |now: u64, then: u64| now.cast_signed() - then.cast_signed();
    let missed = difference(labelled.missed, before.missed);
    let wrongly = difference(labelled.flagged_wrongly, before.flagged_wrongly);
    if (missed, wrongly) == (0, 0) {
        return String::new();
    }
    format!("  (missed {missed:+}, wrongly {wrongly:+})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(missed: u64, flagged_wrongly: u64) -> Labelled {
        let scored = Scored {
            attack: 100,
            benign: 300,
            tp: 100 - missed,
            fp: flagged_wrongly,
            tpr: 0.876_54,
            fpr: 1.0 / 300.0,
            balanced_accuracy: 0.936_6,
            real_attack_weighted_tpr: None,
            by_category: BTreeMap::new(),
            by_source: BTreeMap::new(),
        };
        ("aws-waf", scored).into()
    }

    #[test]
    fn rates_are_kept_to_four_digits() {
        let labelled = labelled(12, 1);
        assert_eq!(labelled.missed, 12);
        let kept = serde_json::to_value(&labelled).expect("plain structs always serialise");
        assert_eq!(kept["true_positive_rate"], 0.8765);
        assert_eq!(kept["false_positive_rate"], 0.0033);
    }

    #[test]
    fn a_difference_to_the_figures_kept_is_told() {
        let before =
            Figures { schema_version: 1, labelled: vec![labelled(12, 1)], real_logs: Vec::new() };
        assert_eq!(changed(&labelled(10, 4), Some(&before)), "  (missed -2, wrongly +3)");
        assert_eq!(changed(&labelled(12, 1), Some(&before)), "");
        assert_eq!(changed(&labelled(10, 4), None), "");
    }
}
