//! What each stage of a scan costs: unpacking, decoding, classifying, the whole.
//!
//! `stages FORMAT OBJECT…` holds the objects in memory and times the stages in turn on one
//! thread, each with what comes before it, and the state that a scan leaves. One line of
//! JSON with the medians, in seconds, goes to stdout; `cargo xtask bench classify` makes
//! the table.
//!
//! Times on a busy machine scatter by half and instructions do not, so one stage can be run
//! once by itself, for a profiler: `valgrind --tool=callgrind --toggle-collect='*counted*'
//! stages FORMAT --once decode|classify|scan OBJECT…`. The stages `whole` and `ahead` scan the
//! objects as they are stored, on one thread, or with one more for unpacking; how long that
//! took goes to stdout; so it does of `merge`, which scans each object by itself and merges.

#[path = "../benches/sinks/mod.rs"]
mod sinks;

use std::hint::black_box;
use std::io::Read as _;
use std::time::Instant;

use flate2::read::MultiGzDecoder;
use portcullis_detection::{LeftOut, Once, RuleSet, Scan};
use portcullis_ingest::{
    LogFormat, ReadOptions, Reject, Request, Sink, read_object, read_object_ahead,
};
use sinks::{Classify, Gather};

const RUNS: usize = 5;

/// Counts requests, and does no more with them.
#[derive(Default)]
struct Count(u64);

impl Sink for Count {
    fn request(&mut self, request: &Request<'_>) {
        self.0 += 1;
        black_box(request);
    }
    fn reject(&mut self, _: &Reject<'_>) {}
}

fn read(texts: &[Vec<u8>], format: &LogFormat, sink: &mut impl Sink) {
    for text in texts {
        read_object("object", text.as_slice(), Some(format), &ReadOptions::default(), sink);
    }
}

/// What a profiler counts.
#[inline(never)]
fn counted(texts: &[Vec<u8>], format: &LogFormat, sink: &mut impl Sink) {
    read(texts, format, sink);
}

fn once(stage: &str, objects: &[Vec<u8>], texts: &[Vec<u8>], format: &LogFormat, rules: &RuleSet) {
    let options = ReadOptions::default();
    match stage {
        "whole" | "ahead" => {
            let mut scan = Gather(Scan::new(rules));
            let seconds = seconds(|| {
                for object in objects {
                    let object = object.as_slice();
                    let read = if stage == "ahead" { read_object_ahead } else { read_object };
                    read("object", object, Some(format), &options, &mut scan);
                }
            });
            println!("{} offenders, {seconds:.3} s", scan.0.finish().offenders.len());
        }
        "decode" => counted(texts, format, &mut Count::default()),
        "classify" => counted(texts, format, &mut Classify(rules.classifier())),
        "scan" => {
            let mut scan = Gather(Scan::new(rules));
            counted(texts, format, &mut scan);
            println!("{} offenders", scan.0.finish().offenders.len());
        }
        "merge" => {
            let seconds = seconds(|| println!("{} offenders", merged(texts, format, rules)));
            println!("{seconds:.3} s");
        }
        other => {
            eprintln!(
                "no such stage: {other}; expected decode, classify, scan, merge, whole or ahead"
            );
            std::process::exit(2);
        }
    }
}

/// Scans each object by itself and merges that, as the program does, so that an object which
/// holds twins can be read again. Twins are looked for, and none is left out.
#[inline(never)]
fn merged(texts: &[Vec<u8>], format: &LogFormat, rules: &RuleSet) -> usize {
    let mut scan = Scan::new(rules);
    for (number, text) in texts.iter().enumerate() {
        let mut alone = Scan::new(rules);
        alone.swap_memos(&mut scan);
        let mut gather = Gather(alone);
        let mut once = Once::new(&mut gather, usize::MAX, LeftOut::Known(&[]));
        let options = ReadOptions::default();
        read_object(&number.to_string(), text.as_slice(), Some(format), &options, &mut once);
        black_box(once.finish());
        gather.0.swap_memos(&mut scan);
        scan.merge(gather.0);
    }
    scan.finish().offenders.len()
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn unpacked(object: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    MultiGzDecoder::new(object).read_to_end(&mut text).expect("gzip");
    text
}

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    let name = arguments.next().expect("a format: a preset's name or a template");
    let format = LogFormat::preset(&name)
        .unwrap_or_else(|| LogFormat::parse(&name).expect("a preset's name or a template"));
    let stage = arguments
        .next_if_eq("--once")
        .map(|_| arguments.next().expect("a stage: decode, classify or scan"));
    let objects: Vec<Vec<u8>> =
        arguments.map(|path| std::fs::read(&path).expect("a readable object")).collect();
    let texts: Vec<Vec<u8>> = objects.iter().map(|object| unpacked(object)).collect();
    let rules = RuleSet::builtin();
    if let Some(stage) = stage {
        once(&stage, &objects, &texts, &format, &rules);
        return;
    }
    let bytes: usize = texts.iter().map(Vec::len).sum();
    let mut times: [Vec<f64>; 4] = Default::default();
    let mut requests = 0;
    for _ in 0..RUNS {
        let [unpack, decode, classify, scan] = &mut times;
        unpack
            .push(seconds(|| objects.iter().for_each(|object| drop(black_box(unpacked(object))))));
        let mut count = Count::default();
        decode.push(seconds(|| read(&texts, &format, &mut count)));
        requests = count.0;
        classify.push(seconds(|| read(&texts, &format, &mut Classify(rules.classifier()))));
        scan.push(seconds(|| {
            let mut gathered = Gather(Scan::new(&rules));
            read(&texts, &format, &mut gathered);
            black_box(gathered.0.finish());
        }));
    }
    let [unpack, decode, classify, scan] = times.each_mut().map(|times| median(times));
    println!(
        "{{\"bytes\":{bytes},\"requests\":{requests},\"unpack\":{unpack},\"decode\":{decode},\"classify\":{classify},\"scan\":{scan}}}"
    );
}
