//! Claims about whole simulations.

use std::collections::BTreeSet;
use std::io::Read as _;

use clap::Parser as _;

use super::*;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

fn options(arguments: &str) -> Options {
    Line::parse_from(["test"].into_iter().chain(arguments.split_whitespace())).options
}

/// A simulation in a directory of its own: manifest, truth and the text of all objects.
fn simulate(name: &str, arguments: &str) -> (Manifest, Truth, String) {
    let directory =
        std::env::temp_dir().join(format!("portcullis-xtask-{name}-{}", std::process::id()));
    let (manifest, truth) = generate(&options(arguments), &directory).expect("a simulation");
    let mut text = String::new();
    for object in &manifest.objects {
        let stored = fs::read(directory.join(&object.key)).expect("the object was stored");
        flate2::read::MultiGzDecoder::new(&stored[..])
            .read_to_string(&mut text)
            .expect("gzip of UTF-8");
    }
    fs::remove_dir_all(&directory).expect("the test's own directory");
    (manifest, truth, text)
}

const SMALL: &str = "--scale 0.1 --hours 1";

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let (first, first_truth, first_text) = simulate("same-a", SMALL);
    let (again, again_truth, again_text) = simulate("same-b", SMALL);
    assert_eq!(first, again);
    assert_eq!(first_truth, again_truth);
    assert_eq!(first_text, again_text);
    let (other, ..) = simulate("same-c", "--scale 0.1 --hours 1 --seed 2");
    assert_ne!(first.objects, other.objects);
}

#[test]
fn every_attacker_is_in_the_truth_and_in_the_records() {
    let (_, truth, text) = simulate("attackers", SMALL);
    let names: Vec<&str> = truth.attackers.iter().map(|attacker| attacker.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "scanner-nikto",
            "scanner-nuclei",
            "sql-tool",
            "credential-stuffer",
            "slow-prober",
            "id-enumerator",
            "ipv6-rotator"
        ]
    );
    for attacker in &truth.attackers {
        assert!(!attacker.visible_through.is_empty(), "{attacker:?}");
        for source in &attacker.sources {
            let shown = source.trim_end_matches(":/64");
            assert!(text.contains(&format!("\"ip\":\"{shown}")), "{source} sent nothing");
        }
    }
    let quiet = simulate("peace", "--scale 0.1 --hours 1 --no-attackers").1;
    assert!(quiet.attackers.is_empty());
    assert_eq!(quiet.totals.hostile_requests, 0);
}

#[test]
fn records_and_truth_agree_on_every_client() {
    let (manifest, truth, text) = simulate("clients", SMALL);
    let hostile: BTreeSet<&str> =
        truth.attackers.iter().flat_map(|attacker| &attacker.sources).map(String::as_str).collect();
    let (mut honest_clients, mut hostile_records, mut records) = (BTreeSet::new(), 0, 0);
    for line in text.lines() {
        let record: serde_json::Value = serde_json::from_str(line).expect("a JSON record");
        let client = record["ip"].as_str().expect("an address").parse().expect("an address");
        let source = network::source(client);
        records += 1;
        if hostile.contains(source.as_str()) {
            hostile_records += 1;
        } else {
            honest_clients.insert(source);
        }
    }
    assert_eq!(records, manifest.records);
    assert_eq!(records, truth.totals.requests + truth.totals.duplicates);
    assert_eq!(honest_clients.len() as u64, truth.totals.honest_addresses);
    let repeated = hostile_records - truth.totals.hostile_requests;
    assert!(repeated <= truth.totals.duplicates, "{repeated} hostile records too many");
}

#[test]
fn honest_clients_stay_below_the_pace_of_attacks() {
    let (_, truth, text) = simulate("pace", "--scale 0.3 --hours 3 --no-attackers");
    let office = truth.honest.iter().find(|honest| honest.name == "office-nat").expect("a part");
    assert!(office.requests > 500, "{office:?}");
    let mut errors = std::collections::BTreeMap::<(String, i64), u32>::new();
    for line in text.lines() {
        let record: serde_json::Value = serde_json::from_str(line).expect("a JSON record");
        let epoch: i64 =
            record["requestTimeEpoch"].as_str().and_then(|text| text.parse().ok()).expect("ms");
        if record["status"].as_str().is_some_and(|status| status.starts_with('4')) {
            *errors.entry((record["ip"].to_string(), epoch / 60_000)).or_default() += 1;
        }
    }
    let worst = errors.iter().max_by_key(|(_, count)| **count).expect("people make mistakes");
    assert!(*worst.1 <= 12, "{worst:?} client errors in a minute");
}

#[test]
fn every_named_format_delivers_records_of_its_own_shape() {
    for name in format_names().chain([format::AWS_WAF]) {
        let (manifest, truth, text) =
            simulate(name, &format!("--scale 0.02 --hours 1 --format {name}"));
        assert_eq!(text.lines().count() as u64, manifest.records, "{name}");
        assert_eq!(truth.attackers.len(), 7, "{name}");
        let shape = match name.rsplit('-').next() {
            Some("json" | "recommended" | "waf") => "{",
            Some("xml") => "<request id=\"",
            _ => "",
        };
        assert!(text.lines().all(|line| line.starts_with(shape)), "{name}");
        let stream = if name == format::AWS_WAF { "/aws-waf-logs-" } else { "/amazon-apigateway-" };
        assert!(manifest.objects.iter().all(|object| object.key.contains(stream)), "{name}");
    }
}

#[test]
fn records_can_be_glued_together() {
    let (manifest, _, text) =
        simulate("glued", "--scale 0.02 --hours 1 --separator none --multi-member");
    assert!(!text.contains('\n'));
    let values = serde_json::Deserializer::from_str(&text)
        .into_iter::<serde_json::Value>()
        .collect::<Result<Vec<_>, _>>()
        .expect("JSON");
    assert_eq!(values.len() as u64, manifest.records);
}

#[test]
fn a_target_repeats_the_cast_until_it_is_reached() {
    let (manifest, truth, _) = simulate("target", "--scale 0.02 --hours 1 --target-bytes 12000000");
    assert!((12_000_000..12_700_000).contains(&manifest.text_bytes), "{}", manifest.text_bytes);
    assert_eq!(truth.attackers[0].sources.len(), 1, "the scanner comes back from its address");
    assert!(truth.attackers[0].requests > 420);
}

#[test]
fn the_command_in_the_manifest_gives_the_same_options() {
    let given = options(
        "--seed 9 --format combined --scale 2.25 --block 3 --separator crlf --multi-member --prefix a/b/ --start 2026-01-31T23:59:59Z",
    );
    let written = command(&given);
    let arguments = written.strip_prefix("cargo xtask firehose ").expect("a command");
    let again = options(arguments.strip_suffix(" --out DIR").expect("an output directory"));
    assert_eq!(command(&again), written);
    assert_eq!(
        (again.seed, again.scale, again.block, again.start),
        (9, 2_250, Some(3), given.start)
    );
}

#[test]
fn factors_are_read_exactly() {
    for (text, expected) in [("1", 1_000), ("0.5", 500), ("20", 20_000), ("0.001", 1)] {
        assert_eq!(permille(text), Ok(expected));
    }
    for text in ["", "-1", "1.2345", ".5", "1e3", "x"] {
        assert!(permille(text).is_err(), "{text} was accepted");
    }
}
