//! Unpacks gzip: at once where it is small, which takes half the time, else as a stream.
//!
//! Unpacking at once must not show: a text that is damaged, or that has another member
//! behind it, is read as a stream, so that what comes before the damage is seen and the
//! error is the same.
//!
//! Source: RFC 1952.

use std::cell::RefCell;
use std::io::{self, Cursor, Read};

use flate2::read::MultiGzDecoder;

/// What gzip that holds deflate begins with.
pub(super) const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];

/// Most bytes of gzip, and of its text, that are unpacked at once: what Firehose delivers
/// at its default settings fits several times, and a worker holds one of each.
const WHOLE_GZIP_BYTES: usize = 8 << 20;
const WHOLE_TEXT_BYTES: usize = 24 << 20;

/// The text of gzip, at once where it is small and of one member.
pub(super) fn text<'r>(mut source: Box<dyn Read + 'r>) -> Box<dyn Read + 'r> {
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
