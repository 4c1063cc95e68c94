//! Delivers records as Amazon Data Firehose would.
//!
//! Firehose collects records until the buffer is full or old enough, joins them
//! byte to byte and stores one object, named by the UTC arrival of its oldest
//! record. Delivery is at least once, so records come twice; retries last hours,
//! so records come late. Records arrive when their request ends, therefore not
//! quite in the order of their request times.
//!
//! Memory is one buffer plus the records that have not arrived yet.
//!
//! Sources: Firehose guide, "Amazon S3 object name format" and "Data delivery".

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::calendar::{self, MINUTE, Millis};
use super::dice::Dice;

/// Text of one gzip member when an object has several.
const MEMBER_BYTES: usize = 256 * 1024;

/// How a delivery stream is configured.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) prefix: String,
    pub(crate) separator: &'static [u8],
    pub(crate) buffer_bytes: usize,
    pub(crate) buffer_age: Millis,
    pub(crate) compression: Compression,
    pub(crate) duplicates_per_million: u64,
    pub(crate) late_per_million: u64,
}

/// How objects are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    /// One gzip member.
    Gzip,
    /// Several gzip members, one behind the other.
    GzipMembers,
}

/// One stored object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    /// Key below the bucket, which is also the path below the directory.
    pub(crate) key: String,
    /// Bytes as stored.
    pub(crate) bytes: u64,
    /// Bytes of text inside.
    pub(crate) text_bytes: u64,
    pub(crate) records: u64,
    /// SHA-256 of the bytes as stored, in hexadecimal.
    pub(crate) sha256: String,
}

/// What was delivered in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) objects: Vec<Object>,
    pub(crate) duplicates: u64,
    pub(crate) late: u64,
}

/// A delivery stream at work, writing into a directory.
pub(crate) struct Delivery<'d> {
    directory: &'d Path,
    stream: Stream,
    dice: Dice,
    /// Records on their way: arrival, order of sending, slot.
    pending: BinaryHeap<Reverse<(Millis, u64, usize)>>,
    slots: Vec<Vec<u8>>,
    free: Vec<usize>,
    sent: u64,
    buffer: Vec<u8>,
    buffered_records: u64,
    oldest_arrival: Millis,
    text_bytes: u64,
    delivered: Delivered,
}

impl<'d> Delivery<'d> {
    pub(crate) fn new(directory: &'d Path, stream: Stream, seed: u64) -> Self {
        let dice = Dice::new(seed, "delivery", 0);
        Self {
            directory,
            stream,
            dice,
            pending: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            sent: 0,
            buffer: Vec::new(),
            buffered_records: 0,
            oldest_arrival: 0,
            text_bytes: 0,
            delivered: Delivered::default(),
        }
    }

    /// Bytes of text that have arrived so far.
    pub(crate) fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// Sends one record, whose request ended at `ended`.
    pub(crate) fn send(&mut self, ended: Millis, record: &[u8]) {
        let mut arrival = ended + self.dice.between(5, 60);
        if self.dice.below(1_000_000) < self.stream.late_per_million {
            arrival += self.dice.between(20 * MINUTE, 150 * MINUTE);
            self.delivered.late += 1;
        }
        self.enqueue(arrival, record);
        if self.dice.below(1_000_000) < self.stream.duplicates_per_million {
            let again = arrival + self.dice.between(200, 10 * MINUTE);
            self.enqueue(again, record);
            self.delivered.duplicates += 1;
        }
    }

    fn enqueue(&mut self, arrival: Millis, record: &[u8]) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Vec::new());
            self.slots.len() - 1
        });
        self.slots[slot].clear();
        self.slots[slot].extend_from_slice(record);
        self.sent += 1;
        self.pending.push(Reverse((arrival, self.sent, slot)));
    }

    /// Lets everything arrive that arrives before `now`.
    pub(crate) fn advance(&mut self, now: Millis) -> Result<(), String> {
        while self.pending.peek().is_some_and(|Reverse((arrival, ..))| *arrival < now) {
            let Some(Reverse((arrival, _, slot))) = self.pending.pop() else {
                break;
            };
            let record = std::mem::take(&mut self.slots[slot]);
            self.arrive(arrival, &record)?;
            self.slots[slot] = record;
            self.free.push(slot);
        }
        Ok(())
    }

    /// Lets everything arrive that is still on its way, and stores the last object.
    pub(crate) fn finish(mut self) -> Result<Delivered, String> {
        self.advance(Millis::MAX)?;
        self.store()?;
        Ok(self.delivered)
    }

    fn arrive(&mut self, arrival: Millis, record: &[u8]) -> Result<(), String> {
        let too_old = arrival - self.oldest_arrival >= self.stream.buffer_age;
        let too_big = self.buffer.len() + record.len() > self.stream.buffer_bytes;
        if self.buffered_records > 0 && (too_old || too_big) {
            self.store()?;
        }
        if self.buffered_records == 0 {
            self.oldest_arrival = arrival;
        }
        self.buffer.extend_from_slice(record);
        self.buffer.extend_from_slice(self.stream.separator);
        self.buffered_records += 1;
        self.text_bytes += (record.len() + self.stream.separator.len()) as u64;
        Ok(())
    }

    fn store(&mut self) -> Result<(), String> {
        if self.buffered_records == 0 {
            return Ok(());
        }
        let id = self.dice.uuid();
        let key = object_key(&self.stream, self.oldest_arrival, &id);
        let text_bytes = self.buffer.len() as u64;
        let stored = match self.stream.compression {
            Compression::None => std::mem::take(&mut self.buffer),
            Compression::Gzip => gzip(&self.buffer),
            Compression::GzipMembers => self.buffer.chunks(MEMBER_BYTES).flat_map(gzip).collect(),
        };
        let path: PathBuf = self.directory.join(&key);
        let failed = |error: std::io::Error| format!("failed to write {}: {error}", path.display());
        fs::create_dir_all(path.parent().expect("a key has an hour folder")).map_err(failed)?;
        fs::write(&path, &stored).map_err(failed)?;
        self.delivered.objects.push(Object {
            key,
            bytes: stored.len() as u64,
            text_bytes,
            records: self.buffered_records,
            sha256: sha256(&stored),
        });
        self.buffer.clear();
        self.buffered_records = 0;
        Ok(())
    }
}

/// `[prefix]YYYY/MM/dd/HH/<stream>-<version>-<yyyy-MM-dd-HH-mm-ss>-<uuid>[.gz]`.
fn object_key(stream: &Stream, oldest_arrival: Millis, id: &[u8; 36]) -> String {
    let extension = if stream.compression == Compression::None { "" } else { ".gz" };
    format!(
        "{}{}{}-1-{}-{}{extension}",
        stream.prefix,
        calendar::hour_folder(oldest_arrival),
        stream.name,
        calendar::name_time(oldest_arrival),
        String::from_utf8_lossy(id),
    )
}

/// One gzip member, byte for byte the same on every machine.
///
/// libdeflate is used because its output does not depend on the instructions of the CPU;
/// that of the zlib family does.
fn gzip(text: &[u8]) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut packed = vec![0; compressor.gzip_compress_bound(text.len())];
    let size = compressor
        .gzip_compress(text, &mut packed)
        .expect("the bound is large enough for any input");
    packed.truncate(size);
    packed
}

/// SHA-256 in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn stream() -> Stream {
        Stream {
            name: "amazon-apigateway-test".to_owned(),
            prefix: "logs/".to_owned(),
            separator: b"\n",
            buffer_bytes: 1_000,
            buffer_age: 60_000,
            compression: Compression::Gzip,
            duplicates_per_million: 0,
            late_per_million: 0,
        }
    }

    fn deliver(name: &str, stream: &Stream, records: u32) -> (Delivered, Vec<u8>) {
        let directory = std::env::temp_dir()
            .join(format!("portcullis-xtask-delivery-{name}-{}", std::process::id()));
        let mut delivery = Delivery::new(&directory, stream.clone(), 3);
        for number in 0..records {
            let time = 1_772_438_399_000 + Millis::from(number) * 500;
            delivery.advance(time).expect("a writable directory");
            delivery.send(time, format!("record {number:05}").as_bytes());
        }
        let delivered = delivery.finish().expect("a writable directory");
        let mut text = Vec::new();
        for object in &delivered.objects {
            let stored = fs::read(directory.join(&object.key)).expect("the object was stored");
            assert_eq!(sha256(&stored), object.sha256);
            let before = text.len();
            if stream.compression == Compression::None {
                text.extend_from_slice(&stored);
            } else {
                flate2::read::MultiGzDecoder::new(&stored[..])
                    .read_to_end(&mut text)
                    .expect("valid gzip");
            }
            assert_eq!((text.len() - before) as u64, object.text_bytes);
        }
        fs::remove_dir_all(&directory).expect("the test's own directory");
        (delivered, text)
    }

    #[test]
    fn keys_follow_the_utc_hour_of_the_oldest_record() {
        let id = Dice::new(1, "key", 0).uuid();
        let key = object_key(&stream(), 1_772_438_399_000, &id);
        assert_eq!(
            key,
            format!(
                "logs/2026/03/02/07/amazon-apigateway-test-1-2026-03-02-07-59-59-{}.gz",
                String::from_utf8_lossy(&id)
            )
        );
        let plain = Stream { compression: Compression::None, prefix: String::new(), ..stream() };
        assert!(object_key(&plain, 0, &id).starts_with("1970/01/01/00/amazon"));
        assert!(!object_key(&plain, 0, &id).contains(".gz"));
    }

    #[test]
    fn buffers_end_by_size_and_by_age() {
        // 13 bytes a record and two a second: 76 records fill 1,000 bytes, and 60 s hold 120,
        // or 121 when the oldest came early.
        let (by_size, text) = deliver("size", &stream(), 500);
        assert!(by_size.objects.iter().all(|object| object.text_bytes <= 1_013));
        assert_eq!(text.len(), 500 * 13);
        let roomy = Stream { buffer_bytes: 1 << 20, ..stream() };
        let (by_age, _) = deliver("age", &roomy, 500);
        assert_eq!(by_age.objects.len(), 5);
        assert!(by_age.objects.iter().all(|object| object.records <= 121));
    }

    #[test]
    fn every_record_arrives_however_it_is_stored() {
        for compression in [Compression::None, Compression::Gzip, Compression::GzipMembers] {
            let stream =
                Stream { compression, buffer_bytes: 1 << 20, buffer_age: MINUTE * 600, ..stream() };
            let (_, text) = deliver("every", &stream, 30_000);
            let mut lines: Vec<&[u8]> =
                text.trim_ascii_end().split(|&byte| byte == b'\n').collect();
            lines.sort_unstable();
            lines.dedup();
            assert_eq!(lines.len(), 30_000);
        }
    }

    #[test]
    fn several_members_are_really_several() {
        let text = vec![b'x'; 3 * MEMBER_BYTES];
        let packed: Vec<u8> = text.chunks(MEMBER_BYTES).flat_map(gzip).collect();
        let mut first = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut first).expect("valid gzip");
        assert_eq!(first.len(), MEMBER_BYTES);
    }

    #[test]
    fn duplicates_and_late_records_are_counted() {
        let stream = Stream {
            duplicates_per_million: 50_000,
            late_per_million: 50_000,
            buffer_bytes: 1 << 20,
            ..stream()
        };
        let (delivered, text) = deliver("twice", &stream, 2_000);
        let lines = text.split_inclusive(|&byte| byte == b'\n').count() as u64;
        assert_eq!(lines, 2_000 + delivered.duplicates);
        assert!(delivered.duplicates > 50 && delivered.late > 50, "{delivered:?}");
    }
}
