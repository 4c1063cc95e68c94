//! `explain`: one client or request, the sum of its score, and what would change it.

use serde_json::Value;

use crate::support::{Files, attacks, honest, portcullis};

fn log(files: &Files) -> String {
    let text = honest("198.51.100.7", 40) + &attacks("203.0.113.9", 20);
    files.write("a.log", text)
}

fn explained(question: &str, object: &str) -> Value {
    portcullis(["explain", question, object, "-o", "json"]).run().expect_code(0).json()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

#[test]
fn the_score_is_the_sum_of_the_printed_parts_and_the_one_that_scan_gives() {
    let files = Files::new();
    let object = log(&files);
    let answer = explained("203.0.113.9", &object);
    let account = &answer["account"];
    assert_eq!(account["standing"], "offender");
    assert!(!list(&account["score_parts"]).is_empty());
    let mut sum = 0;
    for part in list(&account["score_parts"]) {
        let times = number(&part["times"]);
        // Once, and once more for each doubling, at most four times.
        let multiplier = u64::from(times.ilog2() + 1).min(4);
        assert_eq!(number(&part["multiplier"]), multiplier, "{part}");
        assert_eq!(number(&part["points"]), number(&part["rule_points"]) * multiplier, "{part}");
        sum += number(&part["points"]);
        let outcomes = part["outcomes"].as_object().expect("no rate fired");
        assert_eq!(outcomes.values().map(number).sum::<u64>(), number(&part["requests"]));
    }
    for correlation in list(&account["correlations"]) {
        assert!(correlation["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
        sum += number(&correlation["points"]);
    }
    assert_eq!(account["correlations"][0]["correlation"], "nothing-but-attacks");
    assert_eq!(account["outcomes"]["attempt"], 20);
    assert_eq!(number(&account["score"]), sum);

    let scan = portcullis(["scan", &object, "-o", "json"]).run().expect_code(0).json();
    let offender = &scan["offenders"][0];
    assert_eq!(offender["source"], "203.0.113.9");
    for key in ["source", "score", "requests", "flagged_requests", "good_requests", "first"] {
        assert_eq!(account[key], offender[key], "{key}");
    }
}

#[test]
fn a_request_is_explained_with_its_client() {
    let files = Files::new();
    let object = log(&files);
    let answer = explained("attack-3", &object);
    let request = &answer["request"];
    assert_eq!(request["client"], "203.0.113.9");
    assert_eq!(request["flagged"], true);
    let counted: u64 =
        list(&request["categories"]).iter().map(|category| number(&category["counted"])).sum();
    assert_eq!(number(&request["score"]), counted);
    for category in list(&request["categories"]) {
        let rules = list(&request["rules"]);
        let points: Vec<u64> = rules
            .iter()
            .filter(|rule| rule["category"] == category["category"])
            .map(|rule| number(&rule["points"]))
            .collect();
        assert_eq!(number(&category["sum"]), points.iter().sum::<u64>());
        assert_eq!(number(&category["limit"]), 2 * points.iter().max().expect("a rule"));
    }
    let rule = &list(&request["rules"])[0];
    assert_eq!(rule["text"], "/prod/files/..%2f..%2f..%2f..%2fetc%2fpasswd");
    assert!(!rule["matched"].as_str().expect("text").contains("%2f"), "{rule}");
    assert_eq!(answer["account"], explained("203.0.113.9", &object)["account"]);
}

#[test]
fn a_request_goes_by_the_id_that_its_caller_was_told() {
    let files = Files::new();
    let fixed = "6499588b-5e44-45d7-84fa-cafc8a3b8ffd";
    let told = attacks("203.0.113.9", 1).replace(fixed, "told to the caller");
    let object = files.write("a.log", honest("198.51.100.7", 40) + &told);
    let answer = explained("told to the caller", &object);
    assert_eq!(answer["request"]["client"], "203.0.113.9");
    assert_eq!(answer["same_id"]["requests"], 1);
    assert_eq!(explained(fixed, &object)["same_id"]["requests"], 40);
}

#[test]
fn nobody_hides_behind_an_honest_requests_id() {
    let files = Files::new();
    let borrowed = attacks("203.0.113.66", 1).replace("attack-0", "honest-0");
    let object = files.write("a.log", honest("198.51.100.7", 40) + &borrowed);
    let answer = explained("honest-0", &object);
    assert_eq!(answer["request"]["client"], "203.0.113.66");
    assert_eq!(answer["account"]["source"], "203.0.113.66");
    assert_eq!(answer["same_id"]["requests"], 2);
    let others = list(&answer["same_id"]["others"]);
    assert_eq!(others.len(), 1);
    assert_eq!(others[0]["client"], "198.51.100.7");
    assert_eq!(others[0]["score"], 0);

    let page = portcullis(["explain", "honest-0", &object]).run().expect_code(0).text();
    for part in ["2 requests bear this id, the worst first", "from 203.0.113.66", "Request flagged"]
    {
        assert!(page.contains(part), "{part:?} is missing:\n{page}");
    }
    let first = page.find("from 203.0.113.66").expect("shown");
    assert!(page.find("from 198.51.100.7").is_some_and(|second| first < second), "{page}");

    let one = explained("honest-1", &object);
    assert_eq!(one["same_id"]["requests"], 1);
    assert!(list(&one["same_id"]["others"]).is_empty());
}

#[test]
fn of_an_id_on_every_request_the_worst_are_shown() {
    let files = Files::new();
    let honest = (0..30)
        .map(|second| {
            format!(
                "{{\"requestId\":\"same\",\"ip\":\"198.51.100.7\",\"requestTimeEpoch\":\"{}\",\
                 \"httpMethod\":\"GET\",\"path\":\"/ok\",\"status\":\"200\"}}\n",
                1_762_247_520_000_i64 + 1_000 * second
            )
        })
        .collect::<Vec<_>>()
        .concat();
    let attack = honest.lines().next().expect("one").replace("/ok", "/.env") + "\n";
    let object = files.write("a.log", honest + &attack);
    let answer = explained("same", &object);
    assert_eq!(answer["request"]["path"], "/.env");
    assert_eq!(answer["same_id"]["requests"], 31);
    assert_eq!(list(&answer["same_id"]["others"]).len(), 19);
    let page = portcullis(["explain", "same", &object]).run().expect_code(0).text();
    assert!(page.contains("31 requests bear this id, of which the 20 worst are shown"), "{page}");
}

#[test]
fn an_honest_client_has_an_account_too() {
    let files = Files::new();
    let answer = explained("198.51.100.7", &log(&files));
    let account = &answer["account"];
    assert_eq!(account["standing"], "quiet");
    assert_eq!(account["score"], 0);
    assert_eq!(account["requests"], 40);
    assert_eq!(account["good_requests"], 40);
    let periods = list(&account["timeline"]["periods"]);
    let requests: u64 = periods.iter().map(|period| number(&period["requests"])).sum();
    assert_eq!(requests, 40);
    let rates = list(&account["rates"]);
    let flood = rates.iter().find(|rate| rate["rule"] == "rate/request-flood").expect("a rate");
    assert_eq!(flood["counted_requests"], 40);
    assert!((1..number(&flood["threshold"])).contains(&number(&flood["peak"])), "{flood}");
    assert_eq!(flood["fired"], false);
}

#[test]
fn the_page_says_the_verdict_why_and_what_would_change_it() {
    let files = Files::new();
    let object = log(&files);
    let page = portcullis(["explain", "203.0.113.9", &object]).run().expect_code(0).text();
    for part in [
        "203.0.113.9 is an offender",
        "because 20 requests were flagged",
        "What would change it",
        "path as logged: /prod/files/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "matched, ",
        "nothing-but-attacks: each of its requests, 10 or more, was flagged",
        "20 requests: 20 flagged, 0 good",
        "20 of the flagged: an attempt: turned away, redirected, or nothing there",
    ] {
        assert!(page.contains(part), "{part:?} is missing:\n{page}");
    }
}

#[test]
fn threads_and_the_order_of_objects_change_nothing() {
    let files = Files::new();
    for number in 0..6 {
        let text = attacks("203.0.113.9", 3 + number) + &honest("203.0.113.9", 10);
        files.write(&format!("logs/{number}.log"), text);
    }
    let logs = files.path("logs");
    let one = portcullis(["explain", "203.0.113.9", &logs, "-o", "json", "--threads", "1"]).run();
    let four = portcullis(["explain", "203.0.113.9", &logs, "-o", "json", "--threads", "4"]).run();
    assert_eq!(one.text(), four.text());
    assert_eq!(one.json()["account"]["requests"], 93);
}

#[test]
fn secrets_are_hidden_unless_they_are_asked_for() {
    let files = Files::new();
    let line = concat!(
        r#"203.0.113.9 - - [04/Nov/2025:09:12:00 +0000] "#,
        r#""GET /a?password=hunter2&id=1'+or+'1'='1 HTTP/1.1" 200 1 "-" "curl/8""#,
        "\n"
    );
    let object = files.write("a.log", line);
    for shape in ["human", "json"] {
        let run = |more: &[&str]| {
            let mut arguments = vec!["explain", "203.0.113.9", &object, "-o", shape];
            arguments.extend(more);
            portcullis(arguments).run().expect_code(0).text()
        };
        assert!(!run(&[]).contains("hunter2"), "{shape}");
        assert!(run(&["--show-secrets"]).contains("hunter2"), "{shape}");
    }
}

#[test]
fn whoever_is_not_in_the_logs_cannot_be_explained() {
    let files = Files::new();
    let object = log(&files);
    let ran = portcullis(["explain", "192.0.2.1", &object]).run().expect_code(1);
    assert!(ran.stderr.contains("none of 60 requests came from it"), "{}", ran.stderr);
    let ran = portcullis(["explain", "no-such-id", &object]).run().expect_code(1);
    assert!(ran.stderr.contains("none of 60 requests has that id"), "{}", ran.stderr);
}

#[test]
fn a_source_goes_by_the_name_that_outputs_give_it() {
    let files = Files::new();
    let text = attacks("2001:db8:1:f000::17", 20) + &attacks("198.18.30.9", 20);
    let object = files.write("a.log", text);
    let scan = portcullis(["scan", &object, "-o", "json"]).run().json();
    let plan = portcullis(["plan", &object, "-o", "json", "--quiet"]).run().json();
    let printed = |document: &Value, list: &str, name: &str| -> Vec<String> {
        let of_list = document[list].as_array().expect("a list").iter();
        of_list.map(|one| one[name].as_str().expect("a name").to_owned()).collect()
    };
    let mut names = printed(&scan, "offenders", "source");
    names.extend(printed(&plan, "additions", "address"));
    assert!(names.iter().any(|name| name == "2001:db8:1:f000::/64"), "{names:?}");
    names.push("198.18.30.9/32".to_owned());
    names.push("2001:db8:1:f000::9".to_owned());
    for name in &names {
        let account = &explained(name, &object)["account"];
        assert_eq!(account["flagged_requests"], 20, "{name}");
        let review = portcullis(["review", &object, "--source", name]).run().expect_code(0);
        assert!(review.text().contains("20 "), "{name}");
    }
    for (wrong, why) in [
        ("198.18.30.0/24", "is not one source"),
        ("2001:db8:1::/48", "is not one source"),
        ("2001:db8:1:f000::17/64", "has host bits set"),
        ("198.18.30.9/33", "is not an address or network"),
    ] {
        for asked in [&["explain", wrong, &object][..], &["review", &object, "--source", wrong]] {
            let ran = portcullis(asked).run().expect_code(64);
            assert!(ran.stderr.contains(why), "{}", ran.stderr);
        }
    }
    // Ids that API Gateway makes of base64 have slashes too.
    let ran = portcullis(["explain", "JKJa/XmPLvHcESHA=", &object]).run().expect_code(1);
    assert!(ran.stderr.contains("has that id"), "{}", ran.stderr);
}
