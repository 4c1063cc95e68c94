//! Published samples of every source decode, where the evaluation data is present.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use portcullis_ingest::{ObjectReport, ReadOptions, Reject, Request, Sink, read_object};

#[derive(Default)]
struct Seen {
    requests: Vec<BTreeMap<&'static str, String>>,
    rejects: Vec<String>,
}

impl Sink for Seen {
    fn request(&mut self, request: &Request<'_>) {
        let texts = portcullis_ingest::Field::ALL
            .into_iter()
            .filter_map(|field| Some((field.name(), request.text(field)?.escaped().to_string())));
        let mut fields: BTreeMap<_, _> = texts.collect();
        fields.extend(request.client.map(|client| ("client", client.to_string())));
        fields.extend(request.status.map(|status| ("status", status.to_string())));
        fields.extend(request.time.map(|time| ("time", time.to_string())));
        self.requests.push(fields);
    }
    fn reject(&mut self, reject: &Reject<'_>) {
        self.rejects.push(format!("{} {:?}", reject.reason.name(), reject.text));
    }
}

fn samples() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/samples");
    if !folder.is_dir() {
        eprintln!("NOT RUN: ../shared/data is absent, so no published sample was decoded");
        return None;
    }
    Some(folder)
}

fn read(folder: &Path, name: &str) -> (Seen, ObjectReport) {
    let file = std::fs::File::open(folder.join(name)).expect("a sample");
    let mut seen = Seen::default();
    let report = read_object(name, file, None, &ReadOptions::default(), &mut seen);
    assert_eq!(report.incomplete, None, "{name}");
    (seen, report)
}

#[track_caller]
fn check(name: &str, format: &str, requests: usize) -> Vec<BTreeMap<&'static str, String>> {
    let Some(folder) = samples() else { return vec![BTreeMap::new(); requests] };
    let (seen, report) = read(&folder, name);
    assert_eq!(report.format.as_deref(), Some(format), "{name}");
    assert_eq!(seen.rejects, Vec::<String>::new(), "{name}");
    assert_eq!(seen.requests.len(), requests, "{name}");
    seen.requests
}

#[test]
fn aws_waf_records_decode() {
    check("test_waf_log.gz", "aws-waf", 228);
    let requests = check("waf_awsdocs_examples.ndjson", "aws-waf", 6);
    if let Some(method) = requests[0].get("method") {
        assert_eq!(method, "GET");
        assert_eq!(requests[0]["user_agent"], "curl/7.61.1");
        assert_eq!(requests[0]["headers"], "Accept: */*\\u{a}x-stm-test: 10 AND 1=1\\u{a}");
    }
}

#[test]
fn load_balancer_lines_decode_with_fields_to_come() {
    let name = "XXXXXXXXXXXX_elasticloadbalancing_us-east-1_app.ApplicationLoadBalancer.fa87e1db7badc175_20230424T2110Z_X.X.X.X_4c8scnzy.log.gz";
    check(name, "alb", 100);
    check("alb_awsdocs_examples.log", "alb", 7);
    if let Some(folder) = samples() {
        let (seen, _) = read(&folder, "alb_conn_trace_extra_fields.log");
        assert_eq!(seen.requests[0]["path"], "/");
        if let Some(quoted) = seen.requests.get(1) {
            assert_eq!(quoted["query"], "bar=\"");
        }
    }
}

#[test]
fn cloudfront_lines_decode_once() {
    let requests = check("cloudfront_v1_awsdocs.log", "cloudfront", 6);
    if let Some(agent) = requests[0].get("user_agent") {
        assert!(agent.starts_with("Mozilla/5.0 (Windows NT 10.0;"), "{agent}");
    }
    let name = "E3HXCM7PFRG6HT.2023-04-24-21.d740d76bCloudFront.gz";
    let requests = check(name, "cloudfront", requests_of(name));
    if let Some(agent) = requests[0].get("user_agent") {
        assert!(agent.starts_with("Mozilla/5.0%20(compatible"), "encoded twice: {agent}");
    }
    check("cloudfront_v2_json_real.json", "cloudfront", 1);
}

/// Lines of a sample, comments aside.
fn requests_of(name: &str) -> usize {
    use std::io::Read as _;
    let Some(folder) = samples() else { return 1 };
    let file = std::fs::File::open(folder.join(name)).expect("a sample");
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).expect("gzip");
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count()
}

#[test]
fn glued_api_gateway_records_decode() {
    let requests = check("apigw_firehose_concatenated_real.txt", "json", 2);
    if let Some(route) = requests[1].get("route") {
        assert_eq!((route.as_str(), requests[1]["status"].as_str()), ("/hogeerror", "500"));
    }
}
