//! Judges the requests of small logs, and gathers them by client; decoding them is included.
//!
//! What a stage adds is the difference to the stage before; decoding alone is measured by
//! `cargo bench -p portcullis-ingest --bench reading`, of the same logs.
//!
//! `cargo bench -p portcullis-detection --bench stages -- --save-baseline before`, and after
//! a change the same with `--baseline before`.

#[path = "../../portcullis-ingest/benches/samples/mod.rs"]
mod samples;
mod sinks;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use portcullis_detection::{RuleSet, Scan};
use portcullis_ingest::{ReadOptions, Sink, read_object};
use samples::Sample;
use sinks::{Classify, Gather};

fn read(sample: &Sample, sink: &mut impl Sink) {
    let options = ReadOptions::default();
    read_object("sample", sample.text.as_slice(), Some(&sample.format), &options, sink);
}

fn main() {
    let mut criterion =
        Criterion::default().measurement_time(Duration::from_secs(3)).configure_from_args();
    let rules = RuleSet::builtin();
    for sample in samples::samples() {
        let throughput = Throughput::ElementsAndBytes {
            elements: samples::RECORDS,
            bytes: sample.text.len() as u64,
        };
        let mut group = criterion.benchmark_group("classify");
        group.throughput(throughput.clone());
        // One classifier for all runs: its automata and memories are warm.
        let mut classify = Classify(rules.classifier());
        group.bench_function(sample.name, |bencher| {
            bencher.iter(|| read(&sample, &mut classify));
        });
        group.finish();
        let mut group = criterion.benchmark_group("classify and gather");
        group.throughput(throughput);
        let mut warm = Scan::new(&rules);
        group.bench_function(sample.name, |bencher| {
            bencher.iter(|| {
                let mut gather = Gather(Scan::new(&rules));
                gather.0.swap_memos(&mut warm);
                read(&sample, &mut gather);
                assert_eq!(gather.0.coverage().requests, samples::RECORDS);
                gather.0.swap_memos(&mut warm);
                black_box(gather.0.finish());
            });
        });
        group.finish();
    }
    criterion.final_summary();
}
