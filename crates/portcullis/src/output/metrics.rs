//! A run in numbers: for Prometheus' node exporter, and for CloudWatch.
//!
//! A job that ends cannot be asked for its numbers, so they are left where somebody looks:
//! in a file that the node exporter reads, replaced whole, or in lines of the log, of which
//! CloudWatch makes metrics (the embedded metric format).
//!
//! Sources: Prometheus documentation, "Exposition formats" and "Textfile collector";
//! CloudWatch User Guide, "Embedded metric format specification".

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::output::summary::{Dealt, Summary};

/// One number of a run.
struct Figure<Of> {
    /// Name for Prometheus, without its beginning.
    name: &'static str,
    /// Name for CloudWatch.
    title: &'static str,
    unit: &'static str,
    help: &'static str,
    /// `None` when this run does not know it.
    value: fn(&Of) -> Option<f64>,
}

const NAMESPACE: &str = "Portcullis";

const OF_RUN: [Figure<Summary>; 12] = [
    Figure {
        name: "run_exit_code",
        title: "ExitCode",
        unit: "None",
        help: "Exit code of the run; 0 done, 3 partial.",
        value: |run| Some(f64::from(run.exit.code())),
    },
    Figure {
        name: "run_success",
        title: "Success",
        unit: "Count",
        help: "Whether the run did all that it should, but for what could not be read.",
        value: |run| Some(f64::from(u8::from(run.is_good()))),
    },
    Figure {
        name: "run_duration_seconds",
        title: "Duration",
        unit: "Seconds",
        help: "How long the run took.",
        value: |run| Some((run.finished.epoch_ms() - run.begun.epoch_ms()) as f64 / 1_000.0),
    },
    Figure {
        name: "objects_read",
        title: "ObjectsRead",
        unit: "Count",
        help: "Objects that the run read.",
        value: |run| Some(run.analysis.as_ref()?.objects as f64),
    },
    Figure {
        name: "objects_left",
        title: "ObjectsLeft",
        unit: "Count",
        help: "Objects that the run left for the next one.",
        value: |run| Some(run.analysis.as_ref()?.left as f64),
    },
    Figure {
        name: "lag_seconds",
        title: "Lag",
        unit: "Seconds",
        help: "How long the longest waiting object had been there when it was read.",
        value: |run| Some(run.analysis.as_ref()?.lag_ms as f64 / 1_000.0),
    },
    Figure {
        name: "records",
        title: "Records",
        unit: "Count",
        help: "Records of the lookback, readable or not.",
        value: |run| Some(run.analysis.as_ref()?.records as f64),
    },
    Figure {
        name: "requests",
        title: "Requests",
        unit: "Count",
        help: "Requests of the lookback.",
        value: |run| Some(run.analysis.as_ref()?.requests as f64),
    },
    Figure {
        name: "rejected_records",
        title: "RejectedRecords",
        unit: "Count",
        help: "Records of the lookback that could not be read.",
        value: |run| Some(run.analysis.as_ref()?.rejects as f64),
    },
    Figure {
        name: "incomplete_objects",
        title: "IncompleteObjects",
        unit: "Count",
        help: "Objects that ended early.",
        value: |run| Some(run.analysis.as_ref()?.incomplete as f64),
    },
    Figure {
        name: "coverage_ratio",
        title: "Coverage",
        unit: "Percent",
        help: "Share of the records that could be read.",
        value: |run| Some(run.analysis.as_ref()?.coverage_permille() as f64 / 1_000.0),
    },
    Figure {
        name: "offenders",
        title: "Offenders",
        unit: "Count",
        help: "Offenders of the lookback.",
        value: |run| Some(run.analysis.as_ref()?.offenders as f64),
    },
];

const OF_TARGET: [Figure<Dealt>; 6] = [
    Figure {
        name: "blocked_entries",
        title: "BlockedEntries",
        unit: "Count",
        help: "Entries of ours in the sets after the run.",
        value: |target| Some(target.blocked as f64),
    },
    Figure {
        name: "added_entries",
        title: "AddedEntries",
        unit: "Count",
        help: "Entries that the run added.",
        value: |target| Some(target.added.len() as f64),
    },
    Figure {
        name: "prolonged_entries",
        title: "ProlongedEntries",
        unit: "Count",
        help: "Entries that the run prolonged.",
        value: |target| Some(target.renewed as f64),
    },
    Figure {
        name: "ended_entries",
        title: "EndedEntries",
        unit: "Count",
        help: "Entries that the run took out.",
        value: |target| Some((target.expired + target.removed) as f64),
    },
    Figure {
        name: "overdue_entries",
        title: "OverdueEntries",
        unit: "Count",
        help: "Entries that runs before this one should have taken out.",
        value: |target| Some(target.overdue as f64),
    },
    Figure {
        name: "braked",
        title: "Braked",
        unit: "Count",
        help: "Whether a brake or the kill switch refused the plan.",
        value: |target| Some(f64::from(u8::from(target.braked.is_some()))),
    },
];

/// The text of a file for the node exporter. `last_good` is when a run last ended well, in
/// milliseconds since 1970.
pub fn prometheus(run: &Summary, last_good: Option<i64>) -> String {
    let mut text = String::new();
    let head = |text: &mut String, name: &str, help: &str| {
        let _ = writeln!(text, "# HELP portcullis_{name} {help}");
        let _ = writeln!(text, "# TYPE portcullis_{name} gauge");
    };
    for figure in &OF_RUN {
        if let Some(value) = (figure.value)(run) {
            head(&mut text, figure.name, figure.help);
            let _ = writeln!(text, "portcullis_{} {value}", figure.name);
        }
    }
    let times = [
        ("last_run_timestamp_seconds", "When a run last ended.", Some(run.finished.epoch_ms())),
        ("last_success_timestamp_seconds", "When a run last ended well.", last_good),
    ];
    for (name, help, time) in times {
        if let Some(time) = time {
            head(&mut text, name, help);
            let _ = writeln!(text, "portcullis_{name} {}", time as f64 / 1_000.0);
        }
    }
    for figure in &OF_TARGET {
        if run.targets.is_empty() {
            break;
        }
        head(&mut text, figure.name, figure.help);
        for target in &run.targets {
            if let Some(value) = (figure.value)(target) {
                let label = label(&target.name);
                let _ = writeln!(text, "portcullis_{}{{target=\"{label}\"}} {value}", figure.name);
            }
        }
    }
    text
}

/// A label's value: backslashes, quotes and line feeds are escaped.
fn label(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

/// Lines for CloudWatch: one of the run, one of each target.
pub fn embedded(run: &Summary) -> String {
    let mut lines = line(&OF_RUN, run, run.finished.epoch_ms(), None);
    for target in &run.targets {
        lines += &line(&OF_TARGET, target, run.finished.epoch_ms(), Some(&target.name));
    }
    lines
}

fn line<Of>(figures: &[Figure<Of>], of: &Of, time: i64, target: Option<&str>) -> String {
    let mut document = Map::new();
    let mut metrics = Vec::new();
    for figure in figures {
        let Some(value) = (figure.value)(of) else { continue };
        let value = if figure.unit == "Percent" { value * 100.0 } else { value };
        metrics.push(json!({"Name": figure.title, "Unit": figure.unit}));
        document.insert(figure.title.to_owned(), json!(value));
    }
    let dimensions: Vec<&str> = target.iter().map(|_| "Target").collect();
    if let Some(target) = target {
        document.insert("Target".to_owned(), json!(target));
    }
    let about = json!({
        "Timestamp": time,
        "CloudWatchMetrics": [
            {"Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics},
        ],
    });
    document.insert("_aws".to_owned(), about);
    Value::Object(document).to_string() + "\n"
}

#[cfg(test)]
mod tests {
    use portcullis_ingest::Timestamp;

    use super::*;
    use crate::exit::Exit;
    use crate::output::summary::Analysis;
    use portcullis_setup::Mode;

    fn run() -> Summary {
        let at = |ms| Timestamp::from_epoch_ms(ms).expect("a time");
        let mut run = Summary::begin(at(1_000_000));
        run.finished = at(1_002_500);
        run.exit = Exit::Partial;
        run.analysis =
            Some(Analysis { objects: 3, records: 1_000, rejects: 10, ..Analysis::default() });
        let mut target = Dealt::new("pr\"od\\", Mode::Enforce);
        target.added = vec![("192.0.2.1/32".to_owned(), "why".to_owned())];
        run.targets.push(target);
        run
    }

    #[test]
    fn the_file_has_one_sample_a_line_each_with_its_help_and_type() {
        let text = prometheus(&run(), Some(1_002_500));
        for line in [
            "portcullis_run_exit_code 3",
            "portcullis_run_duration_seconds 2.5",
            "portcullis_coverage_ratio 0.99",
            "portcullis_last_success_timestamp_seconds 1002.5",
            r#"portcullis_added_entries{target="pr\"od\\"} 1"#,
            "# TYPE portcullis_added_entries gauge",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let samples = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(text.matches("# HELP").count(), samples);
    }

    #[test]
    fn what_a_run_does_not_know_is_left_out_and_not_zero() {
        let failed = Summary { analysis: None, targets: Vec::new(), ..run() };
        let text = prometheus(&failed, None);
        assert!(!text.contains("portcullis_records"), "{text}");
        assert!(!text.contains("last_success"), "{text}");
        assert!(!embedded(&failed).contains("Records"));
    }

    #[test]
    fn every_metric_that_a_line_promises_is_in_it() {
        let lines = embedded(&run());
        assert_eq!(lines.lines().count(), 2);
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let about = &line["_aws"]["CloudWatchMetrics"][0];
            for metric in about["Metrics"].as_array().expect("a list") {
                let name = metric["Name"].as_str().expect("a name");
                assert!(line[name].is_number(), "{name} in {line}");
            }
            for dimension in about["Dimensions"][0].as_array().expect("a list") {
                assert!(line[dimension.as_str().expect("a name")].is_string(), "{line}");
            }
        }
    }
}
