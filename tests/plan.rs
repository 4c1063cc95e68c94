//! `plan`: what would change in the IP sets, and why each other offender is left alone.

use serde_json::{Value, json};

use crate::support::{Files, attacks, honest, portcullis, workspace};

const AT: [&str; 2] = ["--at", "2025-11-04T12:00:00Z"];

fn log(files: &Files) -> String {
    let text = honest("198.51.100.7", 40)
        + &attacks("203.0.113.9", 20)
        + &attacks("198.51.100.77", 20)
        + &attacks("10.1.2.3", 20)
        + &attacks("2001:db8:1:2::17", 20);
    files.write("a.log", text)
}

fn target(plan: &Value, family: &str) -> Vec<String> {
    plan["sets"]
        .as_array()
        .expect("sets are a list")
        .iter()
        .filter(|set| set["family"] == family)
        .flat_map(|set| set["target"].as_array().expect("a target is a list"))
        .map(|network| network.as_str().expect("a network is a string").to_owned())
        .collect()
}

fn withheld<'p>(plan: &'p Value, source: &str) -> &'p Value {
    plan["withheld"]
        .as_array()
        .and_then(|withheld| withheld.iter().find(|entry| entry["source"] == source))
        .unwrap_or_else(|| panic!("{source} is withheld in {plan}"))
}

#[test]
fn every_offender_gets_a_change_or_a_reason() {
    let files = Files::new();
    let object = log(&files);
    let list = files.write("never.txt", "# ours\n198.51.100.0/24  head office\n");
    let ran = portcullis(["plan", &object, "--never-block", &list, "-o", "json"].iter().chain(&AT))
        .run()
        .expect_code(0);
    let plan = ran.json();
    assert_eq!(target(&plan, "ipv4"), ["203.0.113.9/32"]);
    assert_eq!(target(&plan, "ipv6"), ["2001:db8:1:2::/64"]);
    assert_eq!(withheld(&plan, "198.51.100.77/32")["code"], "never-block");
    let why = withheld(&plan, "198.51.100.77/32")["explanation"].as_str().expect("a string");
    assert!(why.contains("198.51.100.0/24") && why.contains("head office"), "{why}");
    assert_eq!(withheld(&plan, "10.1.2.3/32")["code"], "reserved");
    assert_eq!(plan["counts"]["offenders"], 4);
    assert!(ran.stderr.contains("no --current given"), "{}", ran.stderr);
}

#[test]
fn a_trusted_proxy_is_never_planned_for_a_block() {
    let files = Files::new();
    let object = files.write("a.log", attacks("203.0.113.9", 20) + &attacks("198.51.100.77", 20));
    let config = files.write("portcullis.toml", "[scan]\ntrusted-proxies = [\"203.0.113.9/24\"]\n");
    let report = files.path("report.html");
    for given in [["--trusted-proxy", "203.0.113.0/24"], ["--config", &config]] {
        let plan = ["plan", &object, "-o", "json"].into_iter().chain(given).chain(AT);
        let plan = portcullis(plan).run().expect_code(0).json();
        assert_eq!(target(&plan, "ipv4"), ["198.51.100.77/32"], "{given:?}");
        let proxy = withheld(&plan, "203.0.113.9/32");
        assert_eq!(proxy["code"], "trusted-proxy");
        let why = proxy["explanation"].as_str().expect("a string");
        assert!(why.contains("trusted proxy 203.0.113.0/24"), "{why}");
        let page = ["report", &object, "--output", &report].into_iter().chain(given).chain(AT);
        portcullis(page).run().expect_code(0);
        let page = std::fs::read_to_string(&report).expect("written");
        assert!(page.contains("trusted proxy 203.0.113.0/24"), "{given:?}");
    }
}

#[test]
fn the_human_plan_says_the_same() {
    let files = Files::new();
    let object = log(&files);
    let list = files.write("never.txt", "198.51.100.0/24 head office\n");
    let ran = portcullis(["plan", &object, "--never-block", &list].iter().chain(&AT))
        .run()
        .expect_code(0);
    let text = ran.text();
    assert!(
        text.starts_with("4 offenders: 2 to block, 0 already blocked, 2 not blocked"),
        "{text}"
    );
    let line = |source: &str| {
        text.lines()
            .find(|line| line.contains(source))
            .unwrap_or_else(|| panic!("{source} in {text}"))
    };
    assert!(line("203.0.113.9 ").starts_with("+ "), "{text}");
    assert!(line("198.51.100.77 ").starts_with("- "), "{text}");
    assert!(line("198.51.100.77 ").contains("never-block 198.51.100.0/24"), "{text}");
    assert!(text.contains("0 → 1 entry"), "{text}");
    assert!(ran.stderr.contains("nothing has been changed"), "{}", ran.stderr);
}

#[test]
fn what_a_set_holds_stays_in_it() {
    let files = Files::new();
    let object = log(&files);
    let current = files.write(
        "sets.json",
        json!({"schema_version": 1, "sets": [
            {"name": "blocked-v4", "family": "ipv4", "addresses": ["192.0.2.0/24", "203.0.113.9/32"]},
            {"name": "blocked-v6", "family": "ipv6", "addresses": []},
        ]})
        .to_string(),
    );
    let ran = portcullis(["plan", &object, "--current", &current, "-o", "json"].iter().chain(&AT))
        .run()
        .expect_code(0);
    let plan = ran.json();
    assert_eq!(target(&plan, "ipv4"), ["192.0.2.0/24", "198.51.100.77/32", "203.0.113.9/32"]);
    assert_eq!(plan["already_blocked"][0]["source"], "203.0.113.9/32");
    assert!(!ran.stderr.contains("no --current"), "{}", ran.stderr);
}

#[test]
fn a_plan_is_the_same_bytes_and_is_written_whole() {
    let files = Files::new();
    let object = log(&files);
    let out = files.path("plan.json");
    let run = |output: &str| {
        portcullis(
            ["plan", &object, "--out", &out, "-o", output, "--detailed-exitcode"].iter().chain(&AT),
        )
        .run()
        .expect_code(2)
    };
    let printed = run("json").stdout;
    assert_eq!(std::fs::read(&out).expect("written"), printed);
    run("human");
    assert_eq!(std::fs::read(&out).expect("written"), printed);
    let left: Vec<_> = std::fs::read_dir(files.root()).expect("listed").collect();
    assert_eq!(left.len(), 2, "nothing unfinished is left: {left:?}");

    let nowhere = files.path("no/such/directory/plan.json");
    let ran = portcullis(["plan", &object, "--out", &nowhere]).run().expect_code(1);
    assert!(ran.stderr.contains("failed to write the plan"), "{}", ran.stderr);
}

#[test]
fn a_list_that_cannot_be_read_in_full_stops_the_plan() {
    let files = Files::new();
    let object = log(&files);
    let list = files.write("never.txt", "198.51.100.0/24\n\n  198.51.100.7/24 typo\n300.1.1.1\n");
    let ran = portcullis(["plan", &object, "--never-block", &list]).run().expect_code(1);
    assert!(ran.stdout.is_empty());
    assert!(ran.stderr.contains(&format!("{list}:3:3: ")), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("{list}:4:1: ")), "{}", ran.stderr);
    assert!(ran.stderr.contains("3 |   198.51.100.7/24 typo\n      |   ^"), "{}", ran.stderr);

    let missing = files.path("missing.txt");
    let ran = portcullis(["plan", &object, "--never-block", &missing]).run().expect_code(1);
    assert!(ran.stdout.is_empty());
    assert!(ran.stderr.contains("missing.txt"), "{}", ran.stderr);
}

#[test]
fn sets_that_cannot_be_read_in_full_stop_the_plan() {
    let files = Files::new();
    let object = log(&files);
    for (text, says) in [
        ("{", "sets.json:1:"),
        (
            r#"{"schema_version":1,"sets":[{"name":"a","family":"ipv4","addresses":["198.51.100.7"]}]}"#,
            "no prefix length",
        ),
        (
            r#"{"schema_version":1,"sets":[{"name":"a","family":"ipv4","addresses":["2001:db8::/64"]}]}"#,
            "sets.json:1:",
        ),
        (
            r#"{"schema_version":1,"sets":[{"name":"a","family":"ipv4","addresses":["0.0.0.0/0"]}]}"#,
            "sets.json:1:",
        ),
    ] {
        let current = files.write("sets.json", text);
        let ran = portcullis(["plan", &object, "--current", &current]).run().expect_code(1);
        assert!(ran.stderr.contains(says), "{says}: {}", ran.stderr);
        assert!(ran.stdout.is_empty());
    }
}

#[test]
fn a_plan_holds_nothing_that_a_client_wrote() {
    let files = Files::new();
    let object = log(&files);
    let text = portcullis(["plan", &object, "-o", "json"].iter().chain(&AT)).run().text();
    assert!(text.contains("203.0.113.9/32"));
    for secret in ["passwd", "Mozilla", "attack-0", "%2f"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn the_never_block_list_is_honoured_on_the_datasets() {
    let root = workspace().join("datasets/firehose");
    if !root.is_dir() {
        eprintln!("not run: datasets/firehose is not there");
        return;
    }
    let run = |lists: &[&str]| {
        let mut arguments = vec!["plan", "datasets/firehose", "-o", "json"];
        arguments.extend(AT);
        arguments.extend(lists.iter().flat_map(|list| ["--never-block", list]));
        let ran = portcullis(&arguments).run();
        assert!(matches!(ran.code, Some(0 | 3)), "{}", ran.stderr);
        ran.json()
    };
    let free = run(&[]);
    let blocked = target(&free, "ipv4");
    assert!(blocked.len() > 4, "{blocked:?}");
    let files = Files::new();
    let address = blocked[0].trim_end_matches("/32").to_owned();
    let first = files.write("first.txt", format!("{address}\n"));
    let second = files.write("second.txt", "2001:db8::/32 all of the simulation's IPv6\n");
    let plan = run(&[&first, &second]);
    assert_eq!(target(&plan, "ipv4"), blocked[1..]);
    assert_eq!(target(&plan, "ipv6"), [""; 0]);
    assert_eq!(withheld(&plan, &blocked[0])["code"], "never-block");
    assert_eq!(plan["counts"]["offenders"], free["counts"]["offenders"]);
}

#[test]
fn aws_services_are_never_blocked_and_a_newer_file_adds_to_them() {
    let files = Files::new();
    let object = files.write("a.log", attacks("13.32.0.9", 20) + &attacks("203.0.113.9", 20));
    let list = files.write("never.txt", "198.51.100.0/24 head office\n");
    let run = |more: &[&str]| {
        portcullis(
            ["plan", &object, "--never-block", &list, "-o", "json"].iter().chain(&AT).chain(more),
        )
        .run()
        .expect_code(0)
        .json()
    };
    let plan = run(&[]);
    assert_eq!(withheld(&plan, "13.32.0.9/32")["code"], "aws-range");
    assert_eq!(
        withheld(&plan, "13.32.0.9/32")["explanation"],
        "inside AWS CLOUDFRONT 13.32.0.0/15 (published 2024-09-13)"
    );
    assert_eq!(plan["notes"][0]["code"], "old-aws-ranges");
    assert_eq!(target(&plan, "ipv4"), ["203.0.113.9/32"]);

    let ranges = files.write(
        "ip-ranges.json",
        json!({"syncToken": "1762214400", "ipv6_prefixes": [], "prefixes": [
            {"ip_prefix": "203.0.113.0/24", "service": "CLOUDFRONT"},
            {"ip_prefix": "192.0.2.0/24", "service": "ROUTE53_HEALTHCHECKS"},
        ]})
        .to_string(),
    );
    let plan = run(&["--aws-ranges", &ranges]);
    assert_eq!(withheld(&plan, "13.32.0.9/32")["code"], "aws-range");
    assert_eq!(withheld(&plan, "203.0.113.9/32")["code"], "aws-range");
    assert_eq!(plan["notes"], json!([]));
    assert_eq!(target(&plan, "ipv4"), [""; 0]);
}
