//! Public samples and benchmarks kept beside the repository, where they are.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::{Files, portcullis, workspace};

/// A path below the shared data; says plainly when it is not there.
fn shared(path: &str) -> Option<PathBuf> {
    let path = workspace().join("../shared/data").join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("not run: {} is not there", path.display());
    None
}

#[test]
fn the_glued_records_of_a_real_object_decode() {
    let Some(sample) = shared("samples/apigw_firehose_concatenated_real.txt") else { return };
    let sample = sample.to_str().expect("UTF-8");
    // The console's JSON of 2022: no extendedRequestId yet.
    let template = concat!(
        r#"--format={ "requestId":"$context.requestId", "ip": "$context.identity.sourceIp", "#,
        r#""caller":"$context.identity.caller", "user":"$context.identity.user","#,
        r#""requestTime":"$context.requestTime", "httpMethod":"$context.httpMethod","#,
        r#""resourcePath":"$context.resourcePath", "status":"$context.status","#,
        r#""protocol":"$context.protocol", "responseLength":"$context.responseLength" }"#
    );
    for format in [None, Some(template)] {
        let mut arguments = vec!["decode", sample];
        arguments.extend(format);
        let ran = portcullis(&arguments).run().expect_code(0);
        let requests = ran.lines();
        assert_eq!(requests.len(), 2, "{}", ran.text());
        assert_eq!(requests[0]["id"], "39cc8eac-98d8-444b-b824-f39ecf78c609");
        assert_eq!(requests[0]["client"], "203.0.113.224");
        assert_eq!(requests[0]["status"], 200);
        assert_eq!(requests[1]["time"], "2022-04-05T23:43:19.000Z");
        assert_eq!(requests[1]["route"], "/hogeerror");
        assert_eq!(requests[1]["status"], 500);
    }
}

#[test]
fn the_quoted_user_agents_of_a_real_stage_decode() {
    let Some(sample) = shared("samples/apigw_azul_2024_useragent_fragments.txt") else { return };
    // The sample holds the tails of records; a brace makes them whole.
    let text = fs::read_to_string(sample).expect("the sample is UTF-8");
    let tails = text.lines().filter(|line| !line.is_empty());
    let whole = tails.fold(String::new(), |whole, tail| whole + "{" + tail + "\n");
    let files = Files::new();
    let object = files.write("azul.log", whole);
    let ran = portcullis(["decode", &object]).run().expect_code(0);
    let agents: Vec<Value> = ran.lines().iter().map(|line| line["user_agent"].clone()).collect();
    assert_eq!(
        agents,
        ["\"\"This is a special user-agent\"\"", "\"\"\\\"This is a special user-agent\\\"\"\"",]
    );
    assert_eq!(ran.lines()[1]["time"], "2024-07-10T18:15:21.799Z");
}

#[test]
fn every_collected_format_string_parses_or_is_refused_with_a_reason() {
    let Some(table) = shared("apigw_format_strings.tsv") else { return };
    let table = fs::read_to_string(table).expect("the table is UTF-8");
    let files = Files::new();
    let mut accepted = 0;
    for row in table.lines().skip(1) {
        let mut columns = row.split('\t');
        let (Some(id), Some(format)) = (columns.next(), columns.next()) else { continue };
        let format = format.replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\");
        let file = files.write("format.txt", &format);
        let ran = portcullis(["formats", "check", &format!("@{file}")]).run();
        match ran.code {
            Some(0 | 2) => accepted += 1,
            Some(1) => {
                let reason = ran.stderr.lines().nth(1).expect("a reason");
                assert!(reason.trim().len() > 20, "{id}: {}", ran.stderr);
                eprintln!("{id} is refused: {}", reason.trim());
            }
            code => panic!("{id}: {code:?} {}", ran.stderr),
        }
    }
    assert!(accepted >= 40, "{accepted} of 44 parse");
}

#[test]
fn verdicts_on_benchmark_logs_join_back_by_id() {
    let (Some(script), Some(labels)) = (shared("bench/to_logs.py"), shared("bench/dev.jsonl.gz"))
    else {
        return;
    };
    let files = Files::new();
    let made = Command::new("python3")
        .arg(script)
        .arg(labels)
        .arg(files.root())
        .args(["--formats", "apigw-json,apigw-clf"])
        .output();
    let Ok(made) = made else {
        eprintln!("not run: there is no python3");
        return;
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for (object, format) in [
        ("dev.apigw.jsonl.gz", None),
        (
            "dev.apigw.clf.gz",
            Some(
                "--format=$context.identity.sourceIp - - [$context.requestTime] \"$context.httpMethod $context.path \
                 $context.protocol\" $context.status $context.responseLength $context.requestId \
                 \"$context.identity.userAgent\"",
            ),
        ),
    ] {
        let path = files.path(object);
        let mut arguments = vec!["classify", &path];
        arguments.extend(format);
        let ran = portcullis(&arguments).run();
        let verdicts = ran.lines();
        let ids: std::collections::BTreeSet<_> =
            verdicts.iter().filter_map(|verdict| verdict["id"].as_str()).collect();
        eprintln!(
            "{object}: {} verdicts, {} ids; {}",
            verdicts.len(),
            ids.len(),
            ran.stderr.trim()
        );
        assert!(ids.len() > 7_046 * 99 / 100, "{object}: {} of 7046 ids", ids.len());
        assert!(verdicts.iter().any(|verdict| verdict["flagged"] == true));
        assert!(verdicts.iter().any(|verdict| verdict["flagged"] == false));
    }
}

/// The place of a web server's log line in time: year, month, day, time of day.
fn moment(line: &str) -> Option<(u32, usize, u32, String)> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let time = line.split_once('[')?.1.split_once(' ')?.0;
    let (date, clock) = time.split_once(':')?;
    let [day, month, year] = date.split('/').collect::<Vec<_>>().try_into().ok()?;
    let month = MONTHS.iter().position(|name| *name == month)?;
    Some((year.parse().ok()?, month, day.parse().ok()?, clock.to_owned()))
}

/// A real log, line by line.
fn real_log(name: &str) -> Option<Vec<String>> {
    let object = fs::read(shared(&format!("real/{name}.log.gz"))?).expect("the log is readable");
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(&object[..]).read_to_end(&mut text).expect("gzip");
    Some(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
}

#[test]
fn a_scanner_is_the_first_offender_within_its_first_fifty_requests() {
    for (log, scanner) in [("scan-acunetix", "192.168.4.25"), ("scan-w3af", "192.168.4.163")] {
        let Some(mut lines) = real_log(log) else { return };
        lines.retain(|line| moment(line).is_some());
        lines.sort_by_cached_key(|line| moment(line));
        let of_scanner =
            |line: &String| line.trim_start_matches('"').starts_with(&format!("{scanner} "));
        let mut seen = 0;
        let end = lines.iter().position(|line| {
            seen += usize::from(of_scanner(line));
            seen == 50
        });
        let end = end.expect("it sent thousands");
        let files = Files::new();
        let object = files.write("first.log", lines[..=end].join("\n") + "\n");
        let scan = portcullis(["scan", &object, "-o", "json"]).run().json();
        let offenders = scan["offenders"].as_array().expect("a list");
        let found = offenders.iter().find(|offender| offender["source"] == scanner);
        let found = found.unwrap_or_else(|| panic!("{log}: {scan}"));
        // Another machine of the laboratory ran w3af before, and stands beside it.
        assert_eq!(found["score"], offenders[0]["score"], "{log}: {scan}");
        assert!(offenders.len() <= 2, "{log}: {scan}");
        eprintln!("{log}: score {} after 50 requests, {}", found["score"], found["rules"]);
    }
}

#[test]
fn every_offender_of_a_real_log_has_a_reason_to_show() {
    for log in ["xzymo-apache", "ch4n3-honeypot"] {
        let Some(object) = shared(&format!("real/{log}.log.gz")) else { return };
        let object = object.to_str().expect("UTF-8");
        let scan = portcullis(["scan", object, "-o", "json"]).run().json();
        let offenders = scan["offenders"].as_array().expect("a list");
        assert!(offenders.len() > 5, "{log}: {} offenders", offenders.len());
        for offender in offenders {
            let detections = offender["detections"].as_array().expect("a list");
            let agent_alone = detections
                .iter()
                .all(|d| d["category"] == "scanner-ua" && d["severity"] == "medium");
            assert!(!agent_alone, "{log}: a survey that attacks nothing is watched: {offender}");
            for detection in detections {
                let title = detection["title"].as_str().expect("a title");
                assert!(title.len() > 10, "{detection}");
                let has_evidence = offender["evidence"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|shown| shown["rule"] == detection["rule"]));
                assert!(has_evidence, "{log}: nothing to show for {}", detection["rule"]);
            }
        }
        eprintln!("{log}: {} offenders", offenders.len());
    }
}
