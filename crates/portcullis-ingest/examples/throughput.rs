//! How fast records are decoded, next to gunzip alone and to `serde_json`.
//!
//! `throughput FORMAT OBJECT…` holds the objects and their text in memory, and times
//! in turn, on one thread: unpacking alone, decoding the text, and (for JSON) parsing
//! the same lines into a borrowing struct with `serde_json`. One line of JSON with the
//! medians, in seconds, goes to stdout; `cargo xtask bench decode` makes the table.

use std::borrow::Cow;
use std::hint::black_box;
use std::io::Read as _;
use std::time::Instant;

use flate2::read::MultiGzDecoder;
use portcullis_ingest::{LogFormat, ReadOptions, Reject, Request, Sink, read_object};
use serde::Deserialize;

const RUNS: usize = 7;

#[derive(Default)]
struct Count {
    requests: u64,
    rejects: u64,
    sum: u64,
}

impl Sink for Count {
    fn request(&mut self, request: &Request<'_>) {
        self.requests += 1;
        self.sum += u64::from(request.status.unwrap_or(0));
        black_box(request);
    }
    fn reject(&mut self, _: &Reject<'_>) {
        self.rejects += 1;
    }
}

/// The fields of the recommended and the console formats; a record without one has it
/// empty.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(dead_code, reason = "parsed, never read")]
#[derive(Default)]
struct Borrowed<'r> {
    #[serde(borrow)]
    request_id: Cow<'r, str>,
    #[serde(borrow)]
    extended_request_id: Cow<'r, str>,
    #[serde(borrow)]
    ip: Cow<'r, str>,
    #[serde(borrow)]
    request_time_epoch: Cow<'r, str>,
    #[serde(borrow)]
    request_time: Cow<'r, str>,
    #[serde(borrow)]
    http_method: Cow<'r, str>,
    #[serde(borrow)]
    path: Cow<'r, str>,
    #[serde(borrow)]
    resource_path: Cow<'r, str>,
    #[serde(borrow)]
    route_key: Cow<'r, str>,
    #[serde(borrow)]
    stage: Cow<'r, str>,
    #[serde(borrow)]
    api_id: Cow<'r, str>,
    #[serde(borrow)]
    domain_name: Cow<'r, str>,
    #[serde(borrow)]
    status: Cow<'r, str>,
    #[serde(borrow)]
    protocol: Cow<'r, str>,
    #[serde(borrow)]
    response_length: Cow<'r, str>,
    #[serde(borrow)]
    response_latency: Cow<'r, str>,
    #[serde(borrow)]
    user_agent: Cow<'r, str>,
    #[serde(borrow)]
    api_key_id: Cow<'r, str>,
    #[serde(borrow)]
    principal_id: Cow<'r, str>,
    #[serde(borrow)]
    waf_response_code: Cow<'r, str>,
    #[serde(borrow)]
    webacl_arn: Cow<'r, str>,
    #[serde(borrow)]
    error_response_type: Cow<'r, str>,
    #[serde(borrow)]
    caller: Cow<'r, str>,
    #[serde(borrow)]
    user: Cow<'r, str>,
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().expect("a format: a preset's name or a template");
    let format = LogFormat::preset(&name)
        .unwrap_or_else(|| LogFormat::parse(&name).expect("a preset's name or a template"));
    let objects: Vec<Vec<u8>> =
        arguments.map(|path| std::fs::read(&path).expect("a readable object")).collect();
    let texts: Vec<Vec<u8>> = objects.iter().map(|object| unpacked(object)).collect();
    let bytes: usize = texts.iter().map(Vec::len).sum();
    let is_json = texts.first().is_some_and(|text| text.first() == Some(&b'{'));

    let (mut gunzip, mut decode, mut serde) = (Vec::new(), Vec::new(), Vec::new());
    let mut count = Count::default();
    for _ in 0..RUNS {
        gunzip.push(seconds(|| {
            let mut buffer = vec![0; 256 * 1024];
            for object in &objects {
                let mut reader = MultiGzDecoder::new(object.as_slice());
                while reader.read(&mut buffer).expect("gzip") > 0 {}
            }
        }));
        count = Count::default();
        decode.push(seconds(|| {
            for text in &texts {
                let options = ReadOptions::default();
                read_object("object", text.as_slice(), Some(&format), &options, &mut count);
            }
        }));
        if is_json {
            serde.push(seconds(|| {
                for text in &texts {
                    let records = serde_json::Deserializer::from_slice(text);
                    for record in records.into_iter::<Borrowed<'_>>() {
                        black_box(record.is_ok());
                    }
                }
            }));
        }
    }
    let serde = if serde.is_empty() { "null".to_owned() } else { median(serde).to_string() };
    println!(
        "{{\"bytes\":{bytes},\"requests\":{},\"rejects\":{},\"gunzip\":{},\"decode\":{},\"serde_json\":{serde}}}",
        count.requests,
        count.rejects,
        median(gunzip),
        median(decode),
    );
}

fn unpacked(object: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    MultiGzDecoder::new(object).read_to_end(&mut text).expect("a gzip object");
    text
}
