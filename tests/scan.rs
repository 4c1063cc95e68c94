//! `scan`: offenders, the reason beside each, and what could not be seen.

use crate::support::{Files, Record, START_EPOCH_MS, attacks, honest, portcullis, sources};

fn log(files: &Files) -> String {
    let text = honest("198.51.100.7", 40)
        + &attacks("203.0.113.9", 20)
        + &attacks("2001:db8:1:2::17", 8)
        + &attacks("2001:db8:1:2:ffff::1", 8);
    files.write("a.log", text)
}

#[test]
fn the_document_has_the_promised_fields() {
    let files = Files::new();
    let object = log(&files);
    let scan = portcullis(["scan", &object, "-o", "json"]).run().expect_code(0).json();
    let keys = |value: &serde_json::Value| {
        value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(scan["schema_version"], 1);
    for key in ["coverage", "offenders", "watched"] {
        assert!(keys(&scan).iter().any(|found| found == key), "{key}");
    }
    let coverage = &scan["coverage"];
    assert_eq!(coverage["objects"], 1);
    assert_eq!(coverage["incomplete_objects"], 0);
    assert_eq!(coverage["records"], 76);
    assert_eq!(coverage["requests"], 76);
    assert_eq!(coverage["rejects"], 0);
    assert!(coverage["blind_rules"].is_array());

    assert_eq!(sources(&scan).len(), 2, "one address, and one /64 of two addresses");
    let offender = scan["offenders"]
        .as_array()
        .and_then(|offenders| offenders.iter().find(|offender| offender["source"] == "203.0.113.9"))
        .expect("the attacker is named");
    assert!(offender["score"].as_u64().expect("a number") >= 50);
    assert_eq!(offender["requests"], 20);
    assert_eq!(offender["flagged_requests"], 20);
    assert_eq!(offender["good_requests"], 0);
    assert_eq!(offender["first"], "2025-11-04T09:12:00.000Z");
    assert_eq!(offender["last"], "2025-11-04T09:12:19.000Z");
    for key in ["severity", "categories", "rules", "evidence"] {
        assert!(!offender[key].is_null(), "{key}");
    }
    let evidence = &offender["evidence"][0];
    assert_eq!(evidence["object"], object);
    assert_eq!(evidence["id"], "attack-0");
    assert_eq!(evidence["field"], "path");
    assert_eq!(evidence["text"], "/prod/files/..%2f..%2f..%2f..%2fetc%2fpasswd");

    let v6 = scan["offenders"]
        .as_array()
        .and_then(|offenders| offenders.iter().find(|o| o["source"] == "2001:db8:1:2::/64"))
        .expect("a whole /64 is one source");
    assert_eq!(v6["requests"], 16);
}

#[test]
fn offenders_are_sorted_by_score_then_address() {
    let files = Files::new();
    let text =
        attacks("203.0.113.20", 2) + &attacks("203.0.113.9", 2) + &attacks("203.0.113.50", 40);
    let object = files.write("a.log", text);
    let scan = portcullis(["scan", &object, "-o", "json"]).run().expect_code(0).json();
    assert_eq!(sources(&scan), ["203.0.113.50", "203.0.113.9", "203.0.113.20"]);
}

#[test]
fn the_table_says_what_aws_waf_blocked() {
    let files = Files::new();
    let blocked = (0..1_200)
        .map(|number| {
            format!(
                "{{\"timestamp\":{},\"formatVersion\":1,\"webaclId\":\"acl\",\
                 \"terminatingRuleId\":\"r\",\"action\":\"BLOCK\",\"httpSourceName\":\"APIGW\",\
                 \"httpRequest\":{{\"clientIp\":\"203.0.113.9\",\"headers\":[],\"uri\":\"/\",\
                 \"args\":\"q=<script>alert(1)</script>\",\"httpVersion\":\"HTTP/1.1\",\
                 \"httpMethod\":\"GET\",\"requestId\":\"r{number}\"}}}}\n",
                START_EPOCH_MS + number
            )
        })
        .collect::<Vec<_>>()
        .concat();
    let waf = files.write("waf.log", blocked);
    let table = portcullis(["scan", &waf]).run().expect_code(0).text();
    assert!(table.starts_with("No offender in 1,200 requests"), "{table}");
    assert!(table.contains("\nAWS WAF blocked 1,200 of them, which are held against"), "{table}");
    let table = portcullis(["scan", &log(&files)]).run().expect_code(0).text();
    assert!(!table.contains("AWS WAF blocked"), "{table}");
}

#[test]
fn jsonl_is_the_same_offenders_one_a_line() {
    let files = Files::new();
    let object = log(&files);
    let document = portcullis(["scan", &object, "-o", "json"]).run().json();
    let lines = portcullis(["scan", &object, "-o", "jsonl"]).run().lines();
    assert_eq!(document["offenders"], serde_json::Value::Array(lines));
}

#[test]
fn the_table_shows_the_reason_beside_each_and_the_next_command() {
    let files = Files::new();
    let object = log(&files);
    let scan = portcullis(["scan", &object, "-o", "json"]).run().json();
    let ran = portcullis(["scan", &object]).run().expect_code(0);
    let text = ran.text();
    assert!(text.starts_with("2 offenders in 76 requests, 1 object, "), "{text}");
    let line = text.lines().find(|line| line.starts_with("203.0.113.9 ")).expect("the attacker");
    let rule = scan["offenders"][0]["rules"][0].as_str().expect("a rule");
    assert!(line.contains(rule), "{line}");
    assert!(line.contains("20 requests)"), "{line}");
    assert!(!text.contains("198.51.100.7"), "the honest client is not named: {text}");
    assert!(text.contains("e.g. path /prod/files/..%2f"), "{text}");
    assert!(ran.stderr.contains("next: portcullis plan "), "{}", ran.stderr);
}

#[test]
fn the_next_command_asks_the_same_of_the_same_requests() {
    let files = Files::new();
    let object = log(&files);
    let options = ["--from", "2025-11-04", "--trusted-proxy", "10.0.0.0/8", "--keep-duplicates"];
    let ran = portcullis(["scan", &object].into_iter().chain(options)).run().expect_code(0);
    let (_, next) = ran.stderr.split_once("next: portcullis ").expect("a next command");
    let (next, _) = next.split_once(" shows").expect("what it shows");
    let options = "--trusted-proxy 10.0.0.0/8 --from 2025-11-04T00:00:00.000Z --keep-duplicates";
    assert_eq!(next, format!("plan {object} {options}"));
    let plan = portcullis(next.split(' ')).run().expect_code(0).text();
    assert!(plan.contains("203.0.113.9"), "{plan}");
}

#[test]
fn top_limits_the_table_and_says_so() {
    let files = Files::new();
    let text: String = (1..=9).map(|n| attacks(&format!("203.0.113.{n}"), 3)).collect();
    let object = files.write("a.log", text);
    let ran = portcullis(["scan", &object, "--top", "4"]).run().expect_code(0);
    assert!(ran.text().contains("and 5 more; --top 9 shows all"), "{}", ran.text());
    assert_eq!(ran.text().lines().filter(|line| line.starts_with("203.0.113.")).count(), 4);
}

#[test]
fn what_could_not_be_seen_is_said() {
    let files = Files::new();
    let line = |status| {
        format!(
            "198.51.100.7,-,-,04/Nov/2025:09:12:00 +0000,GET,/{{proxy+}},HTTP/1.1,{status},23,r-1,x-1\n"
        )
    };
    let object = files.write("a.csv", line("200") + &line("broken") + "junk\n");
    let ran = portcullis(["scan", &object, "--format", "apigw-rest-csv"]).run().expect_code(3);
    let text = ran.text();
    assert!(text.starts_with("No offender in 1 request"), "{text}");
    assert!(text.contains("2 records could not be read (1 shape, 1 value)"), "{text}");
    assert!(text.contains("rules could not look: the log format has no `path`"), "{text}");
    assert!(text.contains("(run `portcullis formats check apigw-rest-csv`)"), "{text}");

    let scan =
        portcullis(["scan", &object, "--format", "apigw-rest-csv", "-o", "json"]).run().json();
    let blind = scan["coverage"]["blind_rules"].as_array().expect("a list");
    assert!(blind.len() > 50);
    assert!(blind.iter().any(|rule| rule["missing"] == serde_json::json!(["path"])));
    assert_eq!(scan["coverage"]["rejects"], 2);
    assert_eq!(scan["coverage"]["rejects_by_reason"]["value"], 1);
}

#[test]
fn blocked_requests_never_count_towards_a_rate() {
    let files = Files::new();
    let flood = |error_type: &str, status| -> String {
        (0..2_000)
            .map(|n| {
                Record {
                    epoch_ms: START_EPOCH_MS + 20 * n,
                    status,
                    error_type: error_type.to_owned(),
                    ..Record::default()
                }
                .line()
            })
            .collect()
    };
    let open = files.write("open.log", flood("ACCESS_DENIED", 403));
    let scan = portcullis(["scan", &open, "-o", "json"]).run().expect_code(0).json();
    assert_eq!(sources(&scan), ["198.51.100.7"], "a flood of refusals is an offence");
    let blocked = files.write("blocked.log", flood("WAF_FILTERED", 403));
    let scan = portcullis(["scan", &blocked, "-o", "json"]).run().expect_code(0).json();
    assert_eq!(sources(&scan), [""; 0], "what WAF blocks must not renew its own block");
}

#[test]
fn the_record_of_a_forger_is_held_against_nobody() {
    let files = Files::new();
    // A user agent that closes its string and names somebody else's address.
    let forged = Record::default().text().replace(
        r#""userAgent":""#,
        r#""userAgent":"x","ip":"192.0.2.66","path":"/..%2f..%2f..%2fetc%2fpasswd","z":""#,
    );
    let object = files.write("a.log", (forged + "\n").repeat(30));
    let ran =
        portcullis(["scan", &object, "-o", "json", "--format", "recommended"]).run().expect_code(3);
    let scan = ran.json();
    assert_eq!(sources(&scan), [""; 0], "{scan}");
    assert_eq!(scan["watched"], serde_json::json!([]));
    assert_eq!(scan["coverage"]["rejects"], 30);
    let forgeries = scan["suspected_forgeries"].as_array().expect("a list");
    let [forgery] = &forgeries[..] else { panic!("{scan}") };
    assert_eq!(forgery["reason"], "forged");
    assert_eq!((&forgery["severity"], &forgery["confidence"]), (&"high".into(), &"medium".into()));
    assert_eq!(forgery["records"], 30);
    let offsets: Vec<_> = forgery["evidence"].as_array().expect("a list").iter().collect();
    assert_eq!(offsets.len(), 3);
    let length = std::fs::metadata(&object).expect("the log").len() / 30;
    for (number, record) in (0..).zip(offsets) {
        assert_eq!(record["object"], *object);
        assert_eq!(record["offset"], number * length);
        assert_eq!(record["length"], length - 1);
        let text = record["text"].as_str().expect("text");
        assert!(text.starts_with('{') && text.len() == 256, "{text}");
    }
    assert_eq!(forgery["last"]["offset"], 29 * length);

    let ran = portcullis(["scan", &object, "--format", "recommended"]).run().expect_code(3);
    let text = ran.text();
    assert!(text.contains("Suspected forgeries"), "{text}");
    assert!(text.contains("a trusted field written twice"), "{text}");
    assert!(text.contains(&format!("first in {object} at byte 0")), "{text}");
    let ran = portcullis(["plan", &object, "-o", "json", "--format", "recommended"]).run();
    assert!(!ran.text().contains("192.0.2.66"), "{}", ran.text());
    assert_eq!(ran.json()["coverage"]["rejects"], 30);
}

#[test]
fn tables_and_events_name_every_offender_that_json_names() {
    let dataset = "datasets/firehose/recommended";
    let scan = |shape| portcullis(["scan", dataset, "-o", shape]).run().expect_code(0);
    let offenders = scan("json").json()["offenders"].as_array().expect("a list").clone();
    let csv = scan("csv").text();
    let (ocsf, ecs) = (scan("ocsf").text(), scan("ecs").text());
    assert_eq!((ocsf.lines().count(), ecs.lines().count()), (offenders.len(), offenders.len()));
    for (offender, line) in offenders.iter().zip(ocsf.lines()) {
        let event: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let source = offender["source"].as_str().expect("an address");
        assert_eq!(event["finding_info"]["uid"], format!("portcullis:{source}"));
        assert_eq!(event["unmapped"]["score"], offender["score"]);
        let row = csv.lines().find(|row| row.starts_with(&format!("{source},")));
        assert!(row.is_some_and(|row| row.contains(&offender["score"].to_string())), "{source}");
    }
}
