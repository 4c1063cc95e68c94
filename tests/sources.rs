//! Logs of other AWS services, joined logs, proxies, secrets and the quarantine.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Files, Record, START_EPOCH_MS, gzip, portcullis};

/// A record of AWS WAF's log.
fn waf(id: &str, client: &str, query: &str) -> String {
    let record = json!({
        "timestamp": START_EPOCH_MS,
        "formatVersion": 1,
        "webaclId": "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/a/b",
        "terminatingRuleId": "Default_Action",
        "action": "ALLOW",
        "httpSourceName": "APIGW",
        "httpSourceId": "123456789012:a1b2c3d4e5:prod",
        "httpRequest": {
            "clientIp": client,
            "country": "NL",
            "headers": [
                {"name": "Host", "value": "api.example.com"},
                {"name": "Cookie", "value": "session=c4nary"},
                {"name": "X-Forwarded-For", "value": "203.0.113.9, 198.51.100.200"},
            ],
            "uri": "/prod/pets/42",
            "args": query,
            "httpVersion": "HTTP/1.1",
            "httpMethod": "GET",
            "requestId": id,
        },
        "labels": [{"name": "awswaf:managed:x"}],
    });
    record.to_string() + "\n"
}

#[test]
fn a_joined_request_has_the_query_of_one_log_and_the_status_of_the_other() {
    let files = Files::new();
    let access = Record { id: "one=".to_owned(), status: 500, ..Record::default() };
    let alone = Record { id: "two=".to_owned(), ..Record::default() };
    let logs = files.write("access.log", access.line() + &alone.line());
    let waf_log = files.write(
        "waf.gz",
        gzip(
            (waf("one=", "198.51.100.7", "q=1") + &waf("three=", "198.51.100.8", "q=3")).as_bytes(),
        ),
    );
    let ran = portcullis(["decode", &logs, "--join-waf", &waf_log]).run().expect_code(0);
    let lines = ran.lines();
    let told = |line: &Value| (line["id"].clone(), line["query"].clone(), line["status"].clone());
    assert_eq!(told(&lines[0]), (json!("one="), json!("q=1"), json!(500)));
    assert_eq!(told(&lines[1]), (json!("two="), Value::Null, json!(200)));
    assert_eq!(told(&lines[2]), (json!("three="), json!("q=3"), Value::Null));
    assert_eq!(lines[0]["waf_labels"], "awswaf:managed:x");
    assert_eq!(lines.len(), 3);
    assert!(ran.stderr.contains("joined 1 request"), "{}", ran.stderr);
}

#[test]
fn an_attack_in_the_query_is_found_through_the_join_and_counted_once() {
    let files = Files::new();
    let attack = "id=1%27%20UNION%20SELECT%20password%20FROM%20users--";
    let (mut access, mut waf_log) = (String::new(), String::new());
    for number in 0..20 {
        let id = format!("id-{number}=");
        waf_log += &waf(&id, "198.51.100.7", attack);
        access += &Record { id, ..Record::default() }.line();
    }
    let access = files.write("access.log", access);
    let waf_log = files.write("waf.log", waf_log);
    let blind = portcullis(["scan", "-o", "json", &access]).run().expect_code(0).json();
    assert_eq!(blind["offenders"], json!([]));
    let joined = portcullis(["scan", "-o", "json", &access, "--join-waf", &waf_log]).run();
    let joined = joined.expect_code(0).json();
    let offender = &joined["offenders"][0];
    assert_eq!(offender["source"], "198.51.100.7");
    assert_eq!(offender["requests"], 20);
    assert_eq!(offender["flagged_requests"], 20);
    let expected = json!({
        "matched": 20, "waf_without_request": 0, "requests_without_waf": 0, "waf_not_kept": 0,
    });
    assert_eq!(joined["coverage"]["join"], expected);
}

#[test]
fn the_join_stays_within_its_memory_and_says_what_it_did_not_keep() {
    let files = Files::new();
    let (mut access, mut waf_log) = (String::new(), String::new());
    for number in 0..50 {
        let id = format!("id-{number}=");
        waf_log += &waf(&id, "198.51.100.7", "q=1");
        access += &Record { id, ..Record::default() }.line();
    }
    let access = files.write("access.log", access);
    let waf_log = files.write("waf.log", waf_log);
    let arguments = ["scan", "-o", "json", &access, "--join-waf", &waf_log, "--join-memory", "10K"];
    let join = portcullis(arguments).run().expect_code(0).json()["coverage"]["join"].clone();
    let count = |name: &str| join[name].as_u64().expect("a count");
    assert!(count("waf_not_kept") > 0, "{join}");
    assert_eq!(count("matched") + count("waf_not_kept"), 50);
    assert_eq!(count("requests_without_waf"), count("waf_not_kept"));
}

#[test]
fn only_trusted_proxies_are_believed() {
    let files = Files::new();
    let log = files.write("waf.log", waf("one=", "198.51.100.7", "q=1"));
    let client = |arguments: &[&str]| {
        let all = ["decode", &log].into_iter().chain(arguments.iter().copied());
        portcullis(all).run().expect_code(0).lines()[0]["client"].clone()
    };
    assert_eq!(client(&[]), "198.51.100.7");
    assert_eq!(client(&["--trusted-proxy", "192.0.2.1"]), "198.51.100.7");
    assert_eq!(client(&["--trusted-proxy", "198.51.100.7"]), "198.51.100.200");
    assert_eq!(client(&["--trusted-proxy", "198.51.100.0/24"]), "203.0.113.9");
    portcullis(["decode", &log, "--trusted-proxy", "proxy"]).run().expect_code(64);
}

#[test]
fn an_address_that_a_client_forwards_ahead_of_its_proxy_is_never_believed() {
    let files = Files::new();
    let attack = "id=1%27%20UNION%20SELECT%20password%20FROM%20users--";
    let mut log = String::new();
    for number in 0..20 {
        let record = waf(&format!("id-{number}="), "10.0.0.1", attack);
        let own = r#"{"name":"X-Forwarded-For","value":"203.0.113.9, 198.51.100.200"}"#;
        // The client's line, and then the proxy's.
        let lines = r#"{"name":"X-Forwarded-For","value":"198.18.9.9"},{"name":"X-Forwarded-For","value":"198.18.1.1"}"#;
        assert!(record.contains(own));
        log += &record.replace(own, lines);
    }
    let log = files.write("waf.log", log);
    let arguments = ["scan", "-o", "json", "--trusted-proxy", "10.0.0.0/8", &log];
    let scan = portcullis(arguments).run().expect_code(0).json();
    let sources: Vec<&Value> = scan["offenders"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|offender| &offender["source"])
        .collect();
    assert_eq!(sources, ["198.18.1.1"]);
}

#[test]
fn secrets_never_show_unless_asked_for() {
    let files = Files::new();
    let attack = "access_token=c4nary12345&id=1%27%20UNION%20SELECT%20password%20FROM%20users--";
    let log = files.write("waf.log", waf("one=", "198.51.100.7", attack).repeat(5));
    let broken = files.write("broken.log", waf("one=", "nobody", "password=c4nary"));
    let quarantine = files.path("quarantine");
    for arguments in [
        vec!["decode", &log],
        vec!["scan", "-o", "json", &log],
        vec!["scan", "-o", "jsonl", &log],
        vec!["scan", &log],
        vec!["classify", &log],
        vec!["plan", "-o", "json", &log],
        vec!["scan", "--quarantine", &quarantine, &broken],
    ] {
        let ran = portcullis(&arguments).run();
        assert!(!ran.text().contains("c4nary"), "{arguments:?}: {}", ran.text());
        assert!(!ran.stderr.contains("c4nary"), "{arguments:?}: {}", ran.stderr);
    }
    for entry in fs::read_dir(&quarantine).expect("a quarantine") {
        let text = fs::read_to_string(entry.expect("a file").path()).expect("text");
        assert!(text.contains("\"reason\"") && !text.contains("c4nary"), "{text}");
    }
    let shown = portcullis(["decode", "--show-secrets", &log]).run().expect_code(0);
    assert!(shown.text().contains("access_token=c4nary12345"), "{}", shown.text());
}

#[test]
fn the_quarantine_holds_what_could_not_be_read_with_its_place() {
    let files = Files::new();
    let good = Record::default().line();
    let log = files.write("a.log", good.clone() + "garbage\n" + &good);
    let quarantine = files.path("quarantine");
    for command in ["scan", "decode", "classify"] {
        portcullis([command, "--quarantine", &quarantine, &log]).run().expect_code(3);
        let kept = fs::read_to_string(files.path("quarantine/object-000000.rejects.jsonl"));
        let kept: Value = serde_json::from_str(&kept.expect("a file")).expect("one line");
        let expected = json!({
            "object": log, "offset": good.len(), "length": 8, "reason": "shape", "text": "garbage\n",
        });
        assert_eq!(kept, expected, "{command}");
        fs::remove_dir_all(&quarantine).expect("removed");
    }
}

#[test]
fn a_quarantine_keeps_what_earlier_runs_kept_and_writes_through_no_link() {
    let files = Files::new();
    let log = files.write("logs/a.log", Record::default().line() + "garbage\n");
    let logs = files.path("logs");
    let quarantine = files.path("quarantine");
    let kept = |name: &str| fs::read_to_string(files.path(&format!("quarantine/{name}")));
    let run = || portcullis(["scan", "--quarantine", &quarantine, &logs]).run();
    run().expect_code(3);
    let first = kept("object-000000.rejects.jsonl").expect("what the first run kept");
    fs::write(&log, Record::default().line() + "other\n").expect("written");
    run().expect_code(3);
    assert_eq!(kept("object-000000.rejects.jsonl").expect("still there"), first);
    assert!(kept("object-000000.2.rejects.jsonl").expect("the second").contains("other"));

    let precious = files.write("precious", "mine");
    let link = files.root().join("quarantine/object-000000.3.rejects.jsonl");
    std::os::unix::fs::symlink(&precious, link).expect("linked");
    let ran = run().expect_code(1);
    assert!(ran.stderr.contains("it holds a link"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&precious).expect("there"), "mine");
}

#[test]
fn a_quarantine_among_the_logs_is_refused() {
    let files = Files::new();
    let log = files.write("logs/a.log", Record::default().line() + "garbage\n");
    std::os::unix::fs::symlink(files.root().join("logs"), files.root().join("link")).expect("ok");
    for (quarantine, location) in [
        ("logs", files.path("logs")),
        ("logs/q", files.path("logs")),
        ("link/q/r", files.path("logs")),
        ("logs/q", files.path("link")),
        ("logs", log.clone()),
    ] {
        let ran = portcullis(["scan", "--quarantine", &files.path(quarantine), &location]).run();
        let ran = ran.expect_code(1);
        assert!(ran.stderr.contains("name a --quarantine elsewhere"), "{}", ran.stderr);
    }
    let names: Vec<_> = fs::read_dir(files.path("logs")).expect("a directory").collect();
    assert_eq!(names.len(), 1, "nothing was made");
    let beside = files.path("logs-quarantine");
    portcullis(["scan", "--quarantine", &beside, &files.path("logs")]).run().expect_code(3);
}

#[test]
fn a_request_without_time_has_that_of_its_objects_key() {
    let files = Files::new();
    let line = "{\"ip\":\"198.51.100.7\",\"requestId\":\"a\",\"status\":\"403\"}\n";
    let key = "2026/01/02/03/amazon-apigateway-a-1-2026-01-02-03-04-05-6e5f.log";
    let log = files.write(key, line.repeat(2_000));
    let ran = portcullis(["decode", &log]).run().expect_code(0);
    assert_eq!(ran.lines()[0]["time"], "2026-01-02T03:04:05.000Z");
    // Two thousand refusals in the same second would be a burst; the key says no such thing.
    let scan = portcullis(["scan", "-o", "json", &log]).run().expect_code(0).json();
    assert_eq!(scan["offenders"], json!([]));
    assert_eq!(scan["coverage"]["requests_without_time"], 2_000);
}

#[test]
fn records_inside_cloudwatch_and_firehose_envelopes_are_analysed() {
    let files = Files::new();
    let message = Record::default().text();
    let envelope = json!({
        "messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "g", "logStream": "s",
        "subscriptionFilters": [], "logEvents": [
            {"id": "1", "timestamp": START_EPOCH_MS, "message": message},
            {"id": "2", "timestamp": START_EPOCH_MS, "message": message},
        ],
    });
    let twice = gzip(&[gzip(envelope.to_string().as_bytes()), gzip(b"")].concat());
    let log = files.write("cloudwatch", twice);
    let lines = portcullis(["decode", &log]).run().expect_code(0).lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["path"], "/prod/pets/42");

    // base64 of {"ip":"198.51.100.7","status":"200","requestId":"a","path":"/x"}
    let raw =
        "eyJpcCI6IjE5OC41MS4xMDAuNyIsInN0YXR1cyI6IjIwMCIsInJlcXVlc3RJZCI6ImEiLCJwYXRoIjoiL3gifQ==";
    let error = json!({"attemptsMade": 4, "errorCode": "x", "rawData": raw});
    let log = files.write("processing-failed", error.to_string());
    let lines = portcullis(["decode", &log]).run().expect_code(0).lines();
    assert_eq!((&lines[0]["client"], &lines[0]["path"]), (&json!("198.51.100.7"), &json!("/x")));
}
