//! `--crawler-ranges`: crawlers told from those who only say that they are.

use serde_json::Value;

use crate::support::{Files, Record, START_EPOCH_MS, attacks, portcullis, sources};

const RANGES: &str = r#"{"creationTime": "2025-11-03T15:46:05.000000",
    "prefixes": [{"ipv4Prefix": "203.0.113.0/28"}, {"ipv6Prefix": "2001:db8:1:2::/64"}]}"#;
const CRAWLER: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// A client that says to be a crawler and asks for many dead links in a short time.
fn dead_links(client: &str) -> String {
    (0..1_200)
        .map(|n| {
            Record {
                id: format!("dead-{n}"),
                client: client.to_owned(),
                epoch_ms: START_EPOCH_MS + 50 * n,
                path: format!("/prod/old/page-{n}"),
                status: 404,
                user_agent: CRAWLER.to_owned(),
                ..Record::default()
            }
            .line()
        })
        .collect()
}

fn log(files: &Files) -> String {
    let spoofed = attacks("203.0.113.50", 20).replace("Mozilla/5.0", "Googlebot/2.1 Mozilla/5.0");
    files.write("a.log", dead_links("203.0.113.9") + &dead_links("198.51.100.9") + &spoofed)
}

fn entry<'s>(scan: &'s Value, list: &str, source: &str) -> &'s Value {
    let entries = scan[list].as_array().expect("a list");
    entries.iter().find(|entry| entry["source"] == source).unwrap_or_else(|| panic!("{source}"))
}

fn has_false_claim(entry: &Value) -> bool {
    let correlations = entry["correlations"].as_array().expect("a list");
    correlations.iter().any(|one| one["correlation"] == "false-crawler")
}

#[test]
fn a_crawler_is_watched_and_who_only_says_so_stays_an_offender() {
    let files = Files::new();
    let object = log(&files);
    let without = portcullis(["scan", &object, "-o", "json"]).run().expect_code(0).json();
    let mut all = sources(&without);
    all.sort_unstable();
    assert_eq!(all, ["198.51.100.9", "203.0.113.50", "203.0.113.9"]);

    let ranges = format!("Googlebot={}", files.write("googlebot.json", RANGES));
    let given = ["--crawler-ranges", &ranges];
    let scan = portcullis([&["scan", &object, "-o", "json"], &given[..]].concat());
    let scan = scan.run().expect_code(0).json();
    let mut offenders = sources(&scan);
    offenders.sort_unstable();
    assert_eq!(offenders, ["198.51.100.9", "203.0.113.50"]);
    let watched = entry(&scan, "watched", "203.0.113.9");
    assert!(!has_false_claim(watched));
    for source in offenders {
        let before = entry(&without, "offenders", source)["score"].as_u64().expect("a score");
        let after = entry(&scan, "offenders", source);
        assert!(has_false_claim(after), "{source}");
        assert_eq!(after["score"], before + 20, "{source}");
    }

    let table = portcullis([&["scan", &object], &given[..]].concat()).run().expect_code(0).text();
    assert!(table.contains("a crawler, from its published addresses"), "{table}");
    assert!(table.contains("says to be a crawler, and is not"), "{table}");

    let explained = portcullis([&["explain", "203.0.113.9", &object], &given[..]].concat());
    let explained = explained.run().expect_code(0).text();
    assert!(explained.contains("it is a crawler, from the addresses"), "{explained}");

    let plan = portcullis([&["plan", &object, "-o", "json"], &given[..]].concat());
    let plan = plan.run().expect_code(0).json();
    let withheld = &plan["withheld"][0];
    assert_eq!(
        (&withheld["source"], &withheld["code"]),
        (&"203.0.113.9/32".into(), &"watched".into())
    );
    let explanation = withheld["explanation"].as_str().expect("a sentence");
    assert!(explanation.contains("none of its requests was flagged"), "{explanation}");
    assert_eq!(plan["withheld"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_configuration_names_ranges_from_where_it_is() {
    let files = Files::new();
    let object = log(&files);
    files.write("googlebot.json", RANGES);
    let settings = "[scan]\ncrawler-ranges = { Googlebot = \"googlebot.json\" }\n";
    let file = files.write("portcullis.toml", settings);
    let scan = portcullis(["scan", &object, "-o", "json", "--config", &file]).run();
    let scan = scan.expect_code(0).json();
    assert!(!sources(&scan).contains(&"203.0.113.9"));
}

#[test]
fn ranges_that_cannot_be_read_stop_everything() {
    let files = Files::new();
    let object = log(&files);
    let wrong = files.write("wrong.json", RANGES.replace("/28", "/28x"));
    let missing = format!("{wrong}.missing");
    for (file, expected) in [
        (&wrong, "prefix 1: `203.0.113.0/28x` is no network of its family"),
        (&missing, "failed to read the crawler ranges in"),
    ] {
        let given = format!("bingbot={file}");
        let run = portcullis(["scan", &object, "--crawler-ranges", &given]).run().expect_code(1);
        assert!(run.stderr.contains(expected), "{}", run.stderr);
        assert!(run.stdout.is_empty(), "{}", run.text());
    }
}
