//! Reads small logs: their text, and the same compressed.
//!
//! `cargo bench -p portcullis-ingest --bench reading -- --save-baseline before`, and after a
//! change the same with `--baseline before`.

mod samples;

use std::hint::black_box;
use std::io::Write as _;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use portcullis_ingest::{ReadOptions, Reject, Request, Sink, read_object};

/// Counts requests, and does no more with them.
#[derive(Default)]
struct Count(u64);

impl Sink for Count {
    fn request(&mut self, request: &Request<'_>) {
        self.0 += 1;
        black_box(request);
    }

    fn reject(&mut self, reject: &Reject<'_>) {
        panic!("a sample holds no record that cannot be read: {:?}", reject.reason);
    }
}

fn main() {
    let mut criterion =
        Criterion::default().measurement_time(Duration::from_secs(3)).configure_from_args();
    for sample in samples::samples() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&sample.text).expect("in memory");
        let packed = encoder.finish().expect("in memory");
        for (stage, object) in [("decode", &sample.text), ("unpack and decode", &packed)] {
            let mut group = criterion.benchmark_group(stage);
            group.throughput(Throughput::ElementsAndBytes {
                elements: samples::RECORDS,
                bytes: sample.text.len() as u64,
            });
            group.bench_function(sample.name, |bencher| {
                bencher.iter(|| {
                    let (mut count, options) = (Count::default(), ReadOptions::default());
                    let object = object.as_slice();
                    read_object("sample", object, Some(&sample.format), &options, &mut count);
                    assert_eq!(count.0, samples::RECORDS);
                });
            });
        }
    }
    criterion.final_summary();
}
