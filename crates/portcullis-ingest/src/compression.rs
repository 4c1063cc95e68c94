//! The text of an object, unpacked as its own bytes say.
//!
//! Names and headers lie (`.gz` that is none, `Content-Encoding` that was undone on
//! the way), so only magic numbers count. Layers may be nested: CloudWatch Logs
//! gzips what Firehose gzips again. Everything streams but small gzip, which is quicker
//! at once, and ZIP and Parquet, whose directories stand at the end.
//!
//! Sources: RFC 1952 (gzip), RFC 8878 (zstd), Snappy's `framing_format.txt`,
//! Hadoop's `BlockCompressorStream`, PKWARE's APPNOTE (ZIP).

use std::cell::RefCell;
use std::io::{self, BufRead as _, BufReader, Cursor, Read};
use std::sync::Arc;

use flate2::Crc;
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

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
            Some(Layer::Gzip) => gzip(text),
            Some(Layer::Zstd) => Box::new(ZstdFrames::new(text)),
            Some(Layer::SnappyFramed) => Box::new(snap::read::FrameDecoder::new(text)),
            Some(Layer::SnappyHadoop) => Box::new(HadoopBlocks::new(text)),
            Some(Layer::Zip) => Box::new(ZipEntries::open(whole(text)?)?),
            Some(Layer::Parquet) => return Ok((parquet_rows(whole(text)?)?, true)),
        };
    }
    Err(io::Error::other("compressed more than four times over"))
}

/// What gzip that holds deflate begins with.
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    Gzip,
    Zstd,
    SnappyFramed,
    SnappyHadoop,
    Zip,
    Parquet,
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
        } else if is_hadoop_block(head) {
            Some(Self::SnappyHadoop)
        } else {
            None
        }
    }
}

/// Most bytes of gzip, and of its text, that are unpacked at once: what Firehose delivers
/// at its default settings fits several times, and a worker holds one of each.
const WHOLE_GZIP_BYTES: usize = 8 << 20;
const WHOLE_TEXT_BYTES: usize = 24 << 20;

/// The text of gzip: at once where it is small and of one member, which takes half the time,
/// else as a stream. What does not unpack at once is read as a stream, too, so that the
/// text before the damage is seen and the error is the same.
fn gzip<'r>(mut source: Box<dyn Read + 'r>) -> Box<dyn Read + 'r> {
    let mut packed = SPARE_PACKED.take();
    let (length, failure) = read_most(&mut source, &mut packed, WHOLE_GZIP_BYTES + 1);
    if failure.is_none()
        && length <= WHOLE_GZIP_BYTES
        && let Some(text) = Unpacked::of(&packed[..length])
    {
        SPARE_PACKED.set(packed);
        return Box::new(text);
    }
    packed.truncate(length);
    // An error of the source comes again, behind what was read before it.
    let rest: Box<dyn Read + 'r> = match failure {
        None => source,
        Some(error) => Box::new(Broken(Some(error))),
    };
    Box::new(MultiGzDecoder::new(Cursor::new(packed).chain(rest)))
}

/// Reads at most so many bytes to the beginning of `buffer`, which grows as they come. Gives how
/// many there are, and the error that ended them, if one did.
fn read_most(
    source: &mut impl Read,
    buffer: &mut Vec<u8>,
    most: usize,
) -> (usize, Option<io::Error>) {
    let mut length = 0;
    while length < most {
        if length == buffer.len() {
            // What it has from before is not cleared once more.
            buffer.resize((2 * length).clamp(LEAST_READ_BYTES, most), 0);
        }
        let end = buffer.len().min(most);
        match source.read(&mut buffer[length..end]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (length, Some(error)),
        }
    }
    (length, None)
}

/// Fails with an error, once.
struct Broken(Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// Bytes for packed data to begin with.
const LEAST_READ_BYTES: usize = 64 << 10;

thread_local! {
    /// The memory of the gzip that the thread unpacked last, and of its text: fresh memory
    /// costs a good part of the time that unpacking at once saves.
    static SPARE_PACKED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static SPARE_TEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Text that was unpacked at once.
struct Unpacked {
    text: Vec<u8>,
    at: usize,
    end: usize,
}

impl Unpacked {
    /// `None` when it is too long, damaged, or may have several members.
    fn of(packed: &[u8]) -> Option<Self> {
        // Gzip ends with the length of its text, modulo 2^32.
        let (_, length) = packed.split_last_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        // The beginning of another member may also stand in the data by chance, one time in
        // 16 million; then it is read as a stream for nothing.
        let may_have_more = memchr::memmem::find(&packed[1..], &GZIP_MAGIC).is_some();
        if length > WHOLE_TEXT_BYTES || may_have_more {
            return None;
        }
        let mut text = SPARE_TEXT.take();
        if text.len() < length {
            text.resize(length, 0);
        }
        let unpacked =
            libdeflater::Decompressor::new().gzip_decompress(packed, &mut text[..length]);
        let unpacked_text = Self { text, at: 0, end: length };
        // What follows the member, if anything does, is no length of a text.
        (unpacked.ok()? == length).then_some(unpacked_text)
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.end - self.at);
        buffer[..length].copy_from_slice(&self.text[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        SPARE_TEXT.set(std::mem::take(&mut self.text));
    }
}

fn whole(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_WHOLE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_WHOLE_BYTES {
        return Err(io::Error::other(format!("a container over {MAX_WHOLE_BYTES} bytes")));
    }
    Ok(bytes)
}

/// Hadoop's Snappy has no magic number: a block begins with its length, then a
/// chunk's, then Snappy data that begins with its own. All three must agree.
fn is_hadoop_block(head: &[u8]) -> bool {
    let Some(block) = be_length(head) else { return false };
    let Some(chunk) = head.get(4..).and_then(be_length) else { return false };
    let Some(data) = head.get(8..) else { return false };
    let Ok(unpacked) = snap::raw::decompress_len(data) else { return false };
    (1..=MAX_BLOCK_BYTES).contains(&block)
        && (1..=snap::raw::max_compress_len(block)).contains(&chunk)
        && (1..=block).contains(&unpacked)
}

/// Longest block of Hadoop's Snappy; its writers use 256 KiB, some a few MiB.
const MAX_BLOCK_BYTES: usize = 64 << 20;

fn be_length(bytes: &[u8]) -> Option<usize> {
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?) as usize)
}

/// Hadoop's block stream around raw Snappy.
struct HadoopBlocks<R> {
    source: R,
    packed: Vec<u8>,
    unpacked: Vec<u8>,
    at: usize,
    /// Bytes of the current block that are still to come.
    left: usize,
}

impl<R: Read> HadoopBlocks<R> {
    fn new(source: R) -> Self {
        Self { source, packed: Vec::new(), unpacked: Vec::new(), at: 0, left: 0 }
    }

    fn length(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 4];
        self.source.read_exact(&mut bytes)?;
        let length = u32::from_be_bytes(bytes) as usize;
        if length > MAX_BLOCK_BYTES {
            return Err(io::Error::other("a Snappy block of impossible length"));
        }
        Ok(length)
    }

    /// Whether there is another block.
    fn begin_block(&mut self) -> io::Result<bool> {
        let mut first = [0];
        if self.source.read(&mut first)? == 0 {
            return Ok(false);
        }
        let mut rest = [0; 3];
        self.source.read_exact(&mut rest)?;
        self.left = u32::from_be_bytes([first[0], rest[0], rest[1], rest[2]]) as usize;
        if self.left > MAX_BLOCK_BYTES {
            return Err(io::Error::other("a Snappy block of impossible length"));
        }
        Ok(true)
    }
}

impl<R: Read> Read for HadoopBlocks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.unpacked.len() {
            if self.left == 0 {
                if !self.begin_block()? {
                    return Ok(0);
                }
                continue;
            }
            let length = self.length()?;
            self.packed.resize(length, 0);
            self.source.read_exact(&mut self.packed)?;
            let unpacked = snap::raw::decompress_len(&self.packed)?;
            if unpacked == 0 || unpacked > self.left {
                return Err(io::Error::other("a Snappy chunk is longer than its block"));
            }
            self.unpacked.resize(unpacked, 0);
            snap::raw::Decoder::new().decompress(&self.packed, &mut self.unpacked)?;
            self.left -= unpacked;
            self.at = 0;
        }
        let length = buffer.len().min(self.unpacked.len() - self.at);
        buffer[..length].copy_from_slice(&self.unpacked[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// Zstd frames one after another.
struct ZstdFrames<R> {
    source: BufReader<R>,
    decoder: FrameDecoder,
    /// Whether the decoder is inside a frame.
    open: bool,
}

impl<R: Read> ZstdFrames<R> {
    fn new(source: R) -> Self {
        Self { source: BufReader::new(source), decoder: FrameDecoder::new(), open: false }
    }

    fn close_frame(&mut self) -> io::Result<()> {
        self.open = false;
        let stated = self.decoder.get_checksum_from_data();
        if stated.is_some() && stated != self.decoder.get_calculated_checksum() {
            return Err(io::Error::other("a zstd frame's checksum does not match"));
        }
        Ok(())
    }
}

impl<R: Read> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.open {
                if self.source.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                match self.decoder.reset(&mut self.source) {
                    Ok(()) => self.open = true,
                    Err(FrameDecoderError::ReadFrameHeaderError(
                        ReadFrameHeaderError::SkipFrame { length, .. },
                    )) => {
                        let skipped = u64::from(length);
                        io::copy(&mut (&mut self.source).take(skipped), &mut io::sink())?;
                    }
                    Err(error) => return Err(io::Error::other(error)),
                }
                continue;
            }
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            if self.decoder.is_finished() {
                self.close_frame()?;
                continue;
            }
            let strategy = BlockDecodingStrategy::UptoBytes(buffer.len().max(1));
            self.decoder.decode_blocks(&mut self.source, strategy).map_err(io::Error::other)?;
        }
    }
}

/// The bytes of a container, shared by the readers of its entries.
type Shared = Cursor<Arc<[u8]>>;

/// Text of all files in a ZIP, one after another.
struct ZipEntries {
    bytes: Arc<[u8]>,
    entries: std::vec::IntoIter<ZipEntry>,
    current: Option<(DeflateDecoder<io::Take<Shared>>, ZipEntry, Crc)>,
}

#[derive(Clone, Copy)]
struct ZipEntry {
    start: u64,
    packed: u64,
    stored: bool,
    crc: u32,
}

impl ZipEntries {
    fn open(bytes: Vec<u8>) -> io::Result<Self> {
        let bytes: Arc<[u8]> = bytes.into();
        let mut archive = zip::ZipArchive::new(Cursor::new(Arc::clone(&bytes)))?;
        let mut entries = Vec::new();
        for index in 0..archive.len() {
            let file = archive.by_index_raw(index)?;
            let stored = match file.compression() {
                zip::CompressionMethod::Stored => true,
                zip::CompressionMethod::Deflated => false,
                other => return Err(io::Error::other(format!("ZIP with {other}"))),
            };
            let start = file.data_start().ok_or(io::ErrorKind::InvalidData)?;
            entries.push(ZipEntry {
                start,
                packed: file.compressed_size(),
                stored,
                crc: file.crc32(),
            });
        }
        Ok(Self { bytes, entries: entries.into_iter(), current: None })
    }
}

impl Read for ZipEntries {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some((text, entry, crc)) = &mut self.current {
                let length =
                    if entry.stored { text.get_mut().read(buffer)? } else { text.read(buffer)? };
                crc.update(&buffer[..length]);
                if length > 0 {
                    return Ok(length);
                }
                if crc.sum() != entry.crc {
                    return Err(io::Error::other("a ZIP entry's checksum does not match"));
                }
            }
            let Some(entry) = self.entries.next() else {
                self.current = None;
                return Ok(0);
            };
            let mut packed = Cursor::new(Arc::clone(&self.bytes));
            packed.set_position(entry.start);
            let text = DeflateDecoder::new(packed.take(entry.packed));
            self.current = Some((text, entry, Crc::new()));
        }
    }
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
mod tests {
    use std::io::Write as _;

    use super::*;

    const TEXT: &[u8] = b"one record\nand another, and another, and another\n";

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).expect("in memory");
        encoder.finish().expect("in memory")
    }

    fn zip_of(parts: &[&[u8]]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (index, part) in parts.iter().enumerate() {
            let method = [zip::CompressionMethod::Deflated, zip::CompressionMethod::Stored];
            let options =
                zip::write::SimpleFileOptions::default().compression_method(method[index % 2]);
            writer.start_file(format!("part-{index}"), options).expect("in memory");
            writer.write_all(part).expect("in memory");
        }
        writer.finish().expect("in memory").into_inner()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn snappy_framed(text: &[u8]) -> Vec<u8> {
        let mut writer = snap::write::FrameEncoder::new(Vec::new());
        writer.write_all(text).expect("in memory");
        writer.into_inner().expect("in memory")
    }

    fn snappy_hadoop(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for block in text.chunks(30) {
            out.extend((block.len() as u32).to_be_bytes());
            for chunk in block.chunks(20) {
                let packed = snap::raw::Encoder::new().compress_vec(chunk).expect("in memory");
                out.extend((packed.len() as u32).to_be_bytes());
                out.extend(packed);
            }
        }
        out
    }

    fn all() -> Vec<(&'static str, Vec<u8>)> {
        let half = TEXT.len() / 2;
        vec![
            ("plain", TEXT.to_vec()),
            ("gzip", gzip(TEXT)),
            ("gzip twice", gzip(&gzip(TEXT))),
            ("gzip members", [gzip(&TEXT[..half]), gzip(&TEXT[half..])].concat()),
            ("zip", zip_of(&[&TEXT[..half], &TEXT[half..]])),
            ("zstd", zstd(TEXT)),
            ("zstd frames", [zstd(&TEXT[..half]), zstd(&TEXT[half..])].concat()),
            ("snappy framed", snappy_framed(TEXT)),
            ("snappy hadoop", snappy_hadoop(TEXT)),
            ("gzip in zip", zip_of(&[&gzip(TEXT)])),
        ]
    }

    fn unpack(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        text(bytes)?.0.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn every_compression_is_recognised_and_undone() {
        for (name, bytes) in all() {
            let unpacked = unpack(&bytes).map_err(|error| format!("{name}: {error}"));
            assert_eq!(unpacked.as_deref(), Ok(TEXT), "{name}");
        }
    }

    #[test]
    fn a_truncated_or_damaged_stream_never_passes_for_whole() {
        for (name, bytes) in all().into_iter().skip(1) {
            for length in HEAD_BYTES as usize..bytes.len() {
                if let Ok(text) = unpack(&bytes[..length]) {
                    // Whole members before the cut are whole; nothing is made up.
                    assert!(TEXT.starts_with(&text), "{name} cut at {length}");
                    assert!(text.len() < TEXT.len(), "{name} cut at {length}");
                }
            }
            for at in HEAD_BYTES as usize..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0x10;
                let _ = unpack(&damaged);
            }
        }
    }
}
