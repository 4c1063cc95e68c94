//! The shipped simulations: every attacker that a format lets one see is named, and no
//! honest client is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::support::{portcullis, sources, workspace};

/// A dataset's directory, its format, and the truth beside it.
struct Dataset {
    /// The file that says who was who, below `datasets`.
    truth: String,
    directory: String,
    format: String,
    /// The sources of each attacker that some set of fields, all given, makes visible.
    visible: BTreeMap<String, Vec<String>>,
    hostile: BTreeSet<String>,
}

/// The fields that a format gives, as `formats check` says.
fn fields(format: &str) -> Vec<String> {
    let text = portcullis(["formats", "check", format]).run().text();
    let line = text.lines().find_map(|line| line.strip_prefix("  gives   ")).expect("the fields");
    line.split(", ").map(str::to_owned).collect()
}

fn datasets() -> Vec<Dataset> {
    let root = workspace().join("datasets");
    let Ok(manifest) = fs::read_to_string(root.join("MANIFEST.json")) else {
        eprintln!("not run: datasets/MANIFEST.json is not there");
        return Vec::new();
    };
    let manifest: Value = serde_json::from_str(&manifest).expect("the manifest is JSON");
    let mut datasets = Vec::new();
    for entry in manifest["datasets"].as_array().expect("datasets are a list") {
        let text = |key: &str| entry[key].as_str().expect("a string").to_owned();
        let truth = fs::read_to_string(root.join(text("truth"))).expect("the truth is there");
        let truth: Value = serde_json::from_str(&truth).expect("the truth is JSON");
        let given = fields(&text("format"));
        let strings = |value: &Value| -> Vec<String> {
            let list = value.as_array().expect("a list").iter();
            list.map(|item| item.as_str().expect("a string").to_owned()).collect()
        };
        let mut visible = BTreeMap::new();
        let mut hostile = BTreeSet::new();
        for attacker in truth["attackers"].as_array().expect("attackers are a list") {
            let sources = strings(&attacker["sources"]);
            hostile.extend(sources.clone());
            let ways = attacker["visible_through"].as_array().expect("a list of sets");
            if ways.iter().any(|way| strings(way).iter().all(|field| given.contains(field))) {
                visible.insert(attacker["name"].as_str().expect("a name").to_owned(), sources);
            }
        }
        datasets.push(Dataset {
            truth: text("truth"),
            directory: format!("datasets/{}", text("directory")),
            format: text("format"),
            visible,
            hostile,
        });
    }
    datasets
}

/// Sources that are only watched, because what speaks against them only suggests.
fn suggested(scan: &Value) -> BTreeSet<&str> {
    let watched = scan["watched"].as_array().expect("a list").iter();
    let suggests = |source: &&Value| {
        let detections = source["detections"].as_array().expect("a list");
        detections.iter().any(|detection| detection["suggests_only"] == "waf-unknown")
    };
    watched.filter(suggests).filter_map(|source| source["source"].as_str()).collect()
}

/// Compares what a scan names with the truth. Where the log does not tell AWS WAF's blocks
/// from refusals, an attacker of whom only those are seen is named as watched.
#[track_caller]
fn check(scan: &Value, datasets: &[&Dataset], how: &str) {
    let named: BTreeSet<&str> = sources(scan).into_iter().collect();
    let suggested = suggested(scan);
    for dataset in datasets {
        for (attacker, sources) in &dataset.visible {
            for source in sources {
                assert!(
                    named.contains(source.as_str()) || suggested.contains(source.as_str()),
                    "{how}: {attacker} ({source}) of {} is not named",
                    dataset.directory
                );
            }
        }
    }
    for source in named.union(&suggested) {
        assert!(
            datasets.iter().any(|dataset| dataset.hostile.contains(*source)),
            "{how}: {source} is honest, or nobody"
        );
    }
}

#[test]
fn each_dataset_by_itself() {
    for dataset in datasets() {
        for format in [None, Some(dataset.format.as_str())] {
            let mut arguments = vec!["scan", &dataset.directory, "-o", "json"];
            arguments.extend(format.iter().flat_map(|format| ["--format", format]));
            let scan = portcullis(&arguments).run().expect_code(0).json();
            check(&scan, &[&dataset], &format!("{arguments:?}"));
        }
    }
}

#[test]
fn the_first_command_of_the_readme() {
    let all = datasets();
    let firehose: Vec<&Dataset> =
        all.iter().filter(|dataset| dataset.directory.starts_with("datasets/firehose/")).collect();
    if firehose.is_empty() {
        return;
    }
    let ran = portcullis(["scan", "datasets/firehose", "-o", "json"]).run().expect_code(0);
    let scan = ran.json();
    check(&scan, &firehose, "scan datasets/firehose");
    assert_eq!(scan["coverage"]["rejects"], 0);
    let blind = scan["coverage"]["blind_rules"].as_array().expect("a list");
    assert!(!blind.is_empty(), "the console's formats are blind, and the scan says so");

    let table =
        portcullis(["scan", "datasets/firehose", "--top", "1000"]).run().expect_code(0).text();
    for source in sources(&scan) {
        assert!(table.lines().any(|line| line.starts_with(&format!("{source} "))), "{source}");
    }
}

/// The sources of honest roles that look most like attackers, by role.
const LIKE_ATTACKERS: [(&str, &str); 5] = [
    ("office-nat", "500 people behind one address"),
    ("uptime-monitors", "health checks every 30 s"),
    ("build-server", "bursts of PUT, PATCH and DELETE"),
    ("search-crawlers", "search engines"),
    ("broken-app", "an app repeating an expired token for hours"),
];

#[test]
fn honest_clients_that_look_like_attackers_are_no_offenders() {
    for dataset in datasets() {
        let scan =
            portcullis(["scan", &dataset.directory, "-o", "json"]).run().expect_code(0).json();
        let offenders: BTreeSet<&str> = sources(&scan).into_iter().collect();
        let truth = workspace().join("datasets").join(&dataset.truth);
        let truth = fs::read_to_string(truth).expect("the truth is there");
        let truth: Value = serde_json::from_str(&truth).expect("the truth is JSON");
        for (role, kind) in LIKE_ATTACKERS {
            let honest = truth["honest"].as_array().expect("honest parts are a list");
            let part = honest.iter().find(|part| part["name"] == role);
            let part = part.unwrap_or_else(|| panic!("{} has no {role}", dataset.directory));
            assert_eq!(part["kind"], kind);
            let sources = part["sources"].as_array().expect("few enough to be listed");
            assert!(!sources.is_empty());
            for source in sources {
                let source = source.as_str().expect("a source is a string");
                assert!(!offenders.contains(source), "{role} ({source}) of {}", dataset.directory);
            }
        }
    }
}
