//! The text of an object, unpacked as its own bytes say.
//!
//! Names and headers lie (`.gz` that is none, `Content-Encoding` that was undone on
//! the way), so only magic numbers count. Layers may be nested: CloudWatch Logs
//! gzips what Firehose gzips again. Everything streams but small gzip, which is quicker
//! at once, and ZIP and Parquet, whose directories stand at the end.
//!
//! What each compression needs stands in its own module. Snappy's own frames
//! (`framing_format.txt`) the library reads.

mod gzip;
mod snappy;
mod zip;
mod zstd;

use std::io::{self, Cursor, Read};

use gzip::GZIP_MAGIC;
use snappy::HadoopBlocks;
use zip::ZipEntries;
use zstd::ZstdFrames;

/// Deepest nesting that is undone.
const MAX_NESTING: usize = 4;

/// Most compressed bytes of a container that has to be held whole. Firehose buffers
/// at most 128 MiB.
const MAX_WHOLE_BYTES: u64 = 512 << 20;

/// Bytes that are enough to recognise every compression.
const HEAD_BYTES: u64 = 24;

/// The text of an object, and whether it was compressed at all.
pub(crate) fn text<'r>(input: impl Read + 'r) -> io::Result<(Box<dyn Read + 'r>, bool)> {
    let mut text: Box<dyn Read + 'r> = Box::new(input);
    for depth in 0..=MAX_NESTING {
        let mut head = Vec::with_capacity(HEAD_BYTES as usize);
        (&mut text).take(HEAD_BYTES).read_to_end(&mut head)?;
        let layer = Layer::of(&head);
        text = Box::new(Cursor::new(head).chain(text));
        text = match layer {
            None => return Ok((text, depth > 0)),
            Some(Layer::Gzip) => gzip::text(text),
            Some(Layer::Zstd) => Box::new(ZstdFrames::new(text)),
            Some(Layer::SnappyFramed) => Box::new(snap::read::FrameDecoder::new(text)),
            Some(Layer::SnappyHadoop) => Box::new(HadoopBlocks::new(text)),
            Some(Layer::Zip) => Box::new(ZipEntries::open(whole(text)?)?),
            Some(Layer::Bzip2) => return Err(unsupported(BZIP2)),
            Some(Layer::Xz) => return Err(unsupported(XZ)),
            Some(Layer::Parquet) => return Ok((parquet_rows(whole(text)?)?, true)),
        };
    }
    Err(unsupported("compressed more than four times over: unpack it once, and read that"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    Gzip,
    Zstd,
    SnappyFramed,
    SnappyHadoop,
    Zip,
    Parquet,
    Bzip2,
    Xz,
}

const BZIP2: &str = "bzip2, which is not read: unpack it with bunzip2, or pack it as gzip or zstd";
const XZ: &str = "xz, which is not read: unpack it with unxz, or pack it as gzip or zstd";

/// Nothing is wrong with the object: it is of a kind that is not read.
fn unsupported(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, what)
}

impl Layer {
    fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(&GZIP_MAGIC) {
            Some(Self::Gzip)
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Some(Self::Zstd)
        } else if head.starts_with(b"\xff\x06\x00\x00sNaPpY") {
            Some(Self::SnappyFramed)
        } else if head.starts_with(b"PK\x03\x04") {
            Some(Self::Zip)
        } else if head.starts_with(b"PAR1") {
            Some(Self::Parquet)
        } else if head.starts_with(b"BZh") && head.get(4..10) == Some(b"1AY&SY".as_slice()) {
            Some(Self::Bzip2)
        } else if head.starts_with(b"\xfd7zXZ\x00") {
            Some(Self::Xz)
        } else if snappy::is_hadoop_block(head) {
            Some(Self::SnappyHadoop)
        } else {
            None
        }
    }
}

/// All of a container whose directory stands at the end.
fn whole(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_WHOLE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_WHOLE_BYTES {
        return Err(io::Error::other(format!("a container over {MAX_WHOLE_BYTES} bytes")));
    }
    Ok(bytes)
}

/// Rows of a Parquet file as lines of JSON, read a row at a time.
#[cfg(feature = "parquet")]
fn parquet_rows<'r>(bytes: Vec<u8>) -> io::Result<Box<dyn Read + 'r>> {
    Ok(Box::new(crate::parquet::parquet_rows(bytes)?))
}

#[cfg(not(feature = "parquet"))]
fn parquet_rows<'r>(_: Vec<u8>) -> io::Result<Box<dyn Read + 'r>> {
    Err(io::Error::other("a Parquet file; this build reads none (feature `parquet`)"))
}

#[cfg(test)]
mod tests;
