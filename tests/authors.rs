//! What rule authors measure before a change: cost, difference, thresholds; and rules that
//! come from elsewhere.

use serde_json::Value;

use crate::rules::RULE;
use crate::support::{Files, Record, attacks, honest, portcullis};

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

#[track_caller]
fn of<'v>(values: &'v Value, key: &str, name: &str) -> &'v Value {
    let found = list(values).iter().find(|value| value[key] == name);
    found.unwrap_or_else(|| panic!("no {key} {name} in {values}"))
}

#[test]
fn the_cost_of_rules_is_counted_and_the_same_on_any_number_of_threads() {
    let files = Files::new();
    files.write("logs/a.log", attacks("203.0.113.9", 30));
    files.write("logs/b.log", honest("198.51.100.7", 200));
    let logs = files.path("logs");
    let bench = |threads: &str| {
        let arguments = ["rules", "bench", "builtin", &logs, "-o", "json", "--threads", threads];
        portcullis(arguments).run().expect_code(0).json()
    };
    let one = bench("1");
    assert_eq!(one, bench("4"));
    assert_eq!(one["requests"], 230);
    let parts: u64 = list(&one["rules"]).iter().map(|rule| number(&rule["read_bytes"])).sum();
    assert_eq!(number(&one["read_bytes"]), parts);
    for rule in list(&one["rules"]) {
        let literals = list(&rule["literals"]);
        let begun: u64 = literals.iter().map(|literal| number(&literal["confirmations"])).sum();
        assert_eq!(number(&rule["confirmations"]), begun, "{rule}");
        assert!(number(&rule["hits"]) <= number(&rule["confirmations"]), "{rule}");
    }
    let traversal = of(&one["rules"], "rule", "traversal/repeated-parent-directory");
    assert_eq!(traversal["hits"], 30);
    assert_eq!(of(&one["rules"], "rule", "rate/request-flood")["candidates"], 230);
}

#[test]
fn without_logs_the_examples_are_measured() {
    let ran = portcullis(["rules", "bench", "--top", "3"]).run().expect_code(0);
    assert!(ran.text().contains("BUSIEST LITERAL"), "{}", ran.text());
    assert!(ran.text().contains("more; --top "), "{}", ran.text());
    assert!(ran.stderr.contains("the rules' own examples"), "{}", ran.stderr);
}

/// Two rule directories, of which the second has one rule more, and a log on which that
/// rule hits an honest client.
fn changed_rules() -> Files {
    let files = Files::new();
    files.write("old/other/probe.toml", RULE);
    files.write("new/other/probe.toml", RULE);
    let pets = RULE
        .replace("other/probe", "other/pets")
        .replace("path = \"/harness\" }", "path = \"/dogs\" }")
        .replace("harness-probe", "pets/7");
    files.write(
        "new/other/pets.toml",
        pets.replace("%68arness", "%70ets").replace("%70ets-probe", "%70ets/7"),
    );
    let probe = Record { path: "/harness-probe".to_owned(), status: 404, ..Record::default() };
    let probe = Record { client: "203.0.113.9".to_owned(), ..probe };
    files.write("a.log", honest("198.51.100.7", 40) + &probe.line());
    files
}

#[test]
fn a_backtest_shows_who_would_be_harmed() {
    let files = changed_rules();
    let (old, new, log) = (files.path("old"), files.path("new"), files.path("a.log"));
    let run = |arguments: &[&str]| {
        let all = ["backtest", &old, &new, &log].into_iter().chain(arguments.iter().copied());
        portcullis(all).run()
    };
    let found = run(&["-o", "json"]).expect_code(0).json();
    let totals = &found["totals"];
    assert_eq!((number(&totals["flagged_old"]), number(&totals["flagged_added"])), (1, 1));
    assert_eq!(totals["good_requests"], 40);
    assert_eq!(totals["good_requests_flagged"], 1);
    // Blocking the client would stop its other good requests too.
    assert_eq!(totals["good_requests_of_added_offenders"], 39);
    let pets = of(&found["rules"], "rule", "other/pets");
    assert_eq!((&pets["change"], number(&pets["harm"])), (&Value::from("added"), 40));
    assert_eq!(pets["offenders_added"][0], "198.51.100.7");
    assert_eq!(pets["added"]["evidence"][0]["text"], "/prod/pets/7");
    assert_eq!(of(&found["rules"], "rule", "other/probe")["change"], "same");
    let source = of(&found["sources"], "source", "198.51.100.7");
    assert_eq!(
        (&source["standing_old"], &source["standing_new"]),
        (&"quiet".into(), &"offender".into())
    );

    run(&["--fail-on-harm"]).expect_code(2);
    run(&["--fail-on-harm", "--max-harm", "40"]).expect_code(0);
    run(&["--fail-on-loss"]).expect_code(0);
    let table = run(&[]).expect_code(0).text();
    assert!(table.contains("40 good requests harmed: 1 newly flagged, 39 more"), "{table}");
    assert!(table.contains("1 offender added, 0 dropped"), "{table}");

    let junit = run(&["-o", "junit"]).expect_code(0).text();
    assert!(junit.contains("<testsuite name=\"rules\" tests=\"2\" failures=\"1\""), "{junit}");
    assert!(junit.contains("name=\"other/probe\"/>"), "{junit}");
    assert!(junit.contains("harms 40 good requests, more than 0"), "{junit}");
    assert_eq!(junit.matches("<testcase").count(), 2);
    assert_eq!(junit.matches("</testcase>").count(), 1);
}

#[test]
fn a_backtest_warns_of_rules_that_fail_and_of_logs_that_say_nothing() {
    let files = changed_rules();
    files.write("new/other/probe.toml", RULE.replace("%68arness-probe", "goat"));
    let (old, new, log) = (files.path("old"), files.path("new"), files.path("a.log"));
    let warned = portcullis(["backtest", &old, &new, &log]).run().expect_code(0).stderr;
    assert!(warned.contains(&format!("1 example of {new} failed")), "{warned}");
    assert!(!warned.contains(&format!("of {old} failed")), "{warned}");
    let nothing = files.write("nothing.log", "");
    let warned = portcullis(["backtest", &old, &old, &nothing]).run().expect_code(0).stderr;
    assert!(warned.contains("nothing was compared"), "{warned}");
}

#[test]
fn a_backtest_ends_with_2_where_attacks_would_be_missed() {
    let files = changed_rules();
    let (old, new, log) = (files.path("old"), files.path("new"), files.path("a.log"));
    std::fs::remove_file(files.path("new/other/probe.toml")).expect("a rule less");
    let run = |arguments: &[&str]| {
        let all = ["backtest", &old, &new, &log].into_iter().chain(arguments.iter().copied());
        portcullis(all).run()
    };
    run(&["--max-harm", "40"]).expect_code(0);
    run(&["--fail-on-loss"]).expect_code(2);
    run(&["--fail-on-loss", "--max-loss", "1"]).expect_code(0);
    run(&["--max-loss", "1"]).expect_code(64);

    let junit = run(&["--max-harm", "40", "--fail-on-loss", "-o", "junit"]).expect_code(2).text();
    assert!(junit.contains("tests=\"3\" failures=\"1\""), "{junit}");
    assert!(junit.contains("1 flagged request and 1 offender found no longer"), "{junit}");
    assert!(junit.contains("no longer an offender: 203.0.113.9"), "{junit}");
    let spared = ["--max-harm", "40", "--fail-on-loss", "--max-loss", "1", "-o", "junit"];
    let junit = run(&spared).expect_code(0).text();
    assert!(junit.contains("name=\"loss\"/>"), "{junit}");
}

#[test]
fn what_tries_rules_out_keeps_to_its_memory_and_says_what_that_cost() {
    let files = Files::new();
    let line = |client: u32| {
        let client = std::net::Ipv4Addr::from(0xc612_0000 + client).to_string();
        Record { id: client.clone(), client, ..Record::default() }.line()
    };
    let log = files.write("a.log", (0..60_000).map(line).collect::<String>());
    let memory = ["--memory", "16M", "-o", "json"];
    for command in [&["calibrate", &log][..], &["backtest", "builtin", "builtin", &log]] {
        let found = portcullis([command, &memory].concat()).run().expect_code(0).json();
        assert_eq!(found["coverage"]["requests"], 60_000);
        assert!(number(&found["coverage"]["forgotten"]["times"]) > 10_000, "{command:?}");
        let found = portcullis([command, &memory[2..]].concat()).run().expect_code(0).json();
        assert_eq!(found["coverage"]["forgotten"], Value::Null, "{command:?}");
    }
}

#[test]
fn junit_holds_hostile_text_as_text() {
    let files = changed_rules();
    let path = "/prod/pets/7<x a=\"'&>\u{1b}";
    files.write("a.log", Record { path: path.to_owned(), ..Record::default() }.line());
    let arguments =
        ["backtest", &files.path("old"), &files.path("new"), &files.path("a.log"), "-o", "junit"];
    let junit = portcullis(arguments).run().expect_code(0).text();
    assert!(junit.contains("/prod/pets/7&lt;x a=&quot;'&amp;&gt;"), "{junit}");
    assert!(!junit.contains('\u{1b}'), "{junit:?}");
}

#[test]
fn the_same_rules_change_nothing_on_a_whole_dataset() {
    let arguments = ["backtest", "builtin", "rules", "datasets/firehose/recommended", "-o", "json"];
    let found = portcullis(arguments).run().expect_code(0).json();
    assert_eq!(list(&found["sources"]).len(), 0);
    assert_eq!(found["totals"]["harm"], 0);
    assert_eq!(found["totals"]["flagged_old"], found["totals"]["flagged_new"]);
    assert!(number(&found["totals"]["flagged_old"]) > 1_000, "{}", found["totals"]);
}

/// Honest clients of which the n-th makes n requests in a minute.
fn crowd(files: &Files) -> String {
    let mut text = String::new();
    for client in 1..=100 {
        for n in 0..client {
            let record = Record {
                id: format!("crowd-{client}-{n}"),
                client: format!("198.18.0.{client}"),
                epoch_ms: crate::support::START_EPOCH_MS + 100 * n,
                ..Record::default()
            };
            text += &record.line();
        }
    }
    files.write("crowd.log", text)
}

#[test]
fn a_threshold_within_the_budget_names_no_more_than_it_may() {
    let files = Files::new();
    let log = crowd(&files);
    files.write("attack.log", attacks("203.0.113.9", 500));
    let logs = [log, files.path("attack.log")];
    let run = |arguments: &[&str]| {
        let all = ["calibrate", &logs[0], &logs[1]].into_iter().chain(arguments.iter().copied());
        portcullis(all).run().expect_code(0)
    };
    let found = run(&["--harm-budget", "0.05", "-o", "json"]).json();
    // The client that attacks is not measured.
    assert_eq!((number(&found["clients"]), number(&found["honest_clients"])), (101, 100));
    assert_eq!(found["may_be_named"], 5);
    let flood = of(&found["rules"], "rule", "rate/request-flood");
    assert_eq!(flood["peak"]["p50"], 50);
    assert_eq!(flood["peak"]["p90"], 90);
    assert_eq!(flood["peak"]["p99"], 99);
    assert_eq!(flood["peak"]["max"], 100);
    assert_eq!(flood["threshold_within_budget"], 96);
    let none = run(&["--harm-clients", "0", "-o", "json"]).json();
    let flood = of(&none["rules"], "rule", "rate/request-flood");
    assert_eq!(flood["threshold_within_budget"], 101);
    let table = run(&[]).text();
    assert!(table.contains("101 clients, 100 of them honest"), "{table}");
    portcullis(["calibrate", &logs[0], "--harm-budget", "2"]).run().expect_code(64);
}

/// A rule in the form of Sigma.
const SIGMA: &str = "\
title: Requests for the made-up panel
id: 11111111-1111-4111-8111-111111111111
status: stable
author: Somebody
references:
    - https://www.example.org/panel
logsource:
    category: webserver
detection:
    selection:
        cs-method: GET
        cs-uri-query|contains:
            - '/panel-x/'
            - '..%c0%af'
    condition: selection
falsepositives:
    - Unknown
level: high
";

#[test]
fn a_sigma_rule_becomes_a_rule_whose_examples_hold() {
    let files = Files::new();
    let rule = files.write("web_panel.yml", SIGMA);
    let out = files.path("out");
    let ran = portcullis(["rules", "import-sigma", &rule, "--out", &out]).run().expect_code(0);
    let text = ran.text();
    assert!(text.contains("other/sigma-web-panel.toml"), "{text}");
    assert!(text.contains("web_panel.yml:12:9: narrower: left out: "), "{text}");
    assert!(
        text.contains("\n    12 |         cs-uri-query|contains:\n       |         ^\n"),
        "{text}"
    );
    assert!(text.ends_with("0 rules carried over whole, 1 in part, 0 refused\n"), "{text}");
    let proof = portcullis(["rules", "test", &out]).run().expect_code(0).text();
    assert_eq!(proof, "4 of 4 examples of 1 rule hold\n");
    let lint = portcullis(["rules", "lint", &out]).run().expect_code(2).text();
    assert!(lint.contains("warning[generated-example]"), "{lint}");
    assert!(lint.contains("4 of 4 examples are generated"), "{lint}");
    // What somebody may have worked on is kept.
    let again = portcullis(["rules", "import-sigma", &rule, "--out", &out]).run().expect_code(1);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
}

#[test]
fn a_refused_sigma_rule_says_where_and_why() {
    let files = Files::new();
    let refused = SIGMA.replace("cs-method: GET", "c-ip: 192.0.2.1");
    let rule = files.write("a.yml", refused);
    let good = files.write("b.yml", SIGMA);
    let ran = portcullis(["rules", "import-sigma", &rule, &good]).run().expect_code(3);
    assert!(
        ran.stderr.contains("a.yml:11:9: rules judge requests, not addresses"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("1 in part, 1 refused"), "{}", ran.stderr);
    // Stdout is the rules alone.
    assert!(ran.text().starts_with("# other/sigma-b.toml\n"), "{}", ran.text());
    files.write("rules/other/sigma-b.toml", ran.text());
    portcullis(["rules", "test", &files.path("rules")]).run().expect_code(0);
}

#[test]
fn a_backtest_counts_a_record_once_however_often_it_came() {
    let files = Files::new();
    // Ids of API Gateway's own making, by which twins are told.
    let record = |n: u64| Record { id: format!("{n:015x}="), ..Record::default() }.line();
    let log: String = (0..20).map(record).collect();
    files.write("logs/a.log", &log);
    files.write("logs/b.log", log + &record(20));
    let place = files.path("logs");
    let requests = |more: &[&str]| {
        let backtest = ["backtest", "builtin", "builtin", &place, "-o", "json"];
        let told = portcullis([&backtest[..], more].concat()).run().expect_code(0).json();
        (told["coverage"]["requests"].clone(), told["coverage"]["duplicates"].clone())
    };
    assert_eq!(requests(&[]), (21.into(), 20.into()));
    assert_eq!(requests(&["--keep-duplicates"]).0, 41);
}
