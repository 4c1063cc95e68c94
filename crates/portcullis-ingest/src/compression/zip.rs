//! Unpacks all files of a ZIP, one after another. Its directory stands at the end, so it is
//! held whole.
//!
//! Source: PKWARE's APPNOTE.

use std::io::{self, Cursor, Read};
use std::sync::Arc;

use flate2::Crc;
use flate2::read::DeflateDecoder;

/// The bytes of a container, shared by the readers of its entries.
type Shared = Cursor<Arc<[u8]>>;

/// Text of all files in a ZIP, one after another.
pub(super) struct ZipEntries {
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
    pub(super) fn open(bytes: Vec<u8>) -> io::Result<Self> {
        let bytes: Arc<[u8]> = bytes.into();
        let mut archive = ::zip::ZipArchive::new(Cursor::new(Arc::clone(&bytes)))?;
        let mut entries = Vec::new();
        for index in 0..archive.len() {
            let file = archive.by_index_raw(index)?;
            let stored = match file.compression() {
                ::zip::CompressionMethod::Stored => true,
                ::zip::CompressionMethod::Deflated => false,
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
