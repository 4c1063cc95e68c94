//! Recognises and unpacks the blocks in which Hadoop, and so Firehose, writes Snappy.
//!
//! Source: Hadoop's `BlockCompressorStream`.

use std::io::{self, Read};

/// Hadoop's Snappy has no magic number: a block begins with its length, then a
/// chunk's, then Snappy data that begins with its own. All three must agree.
pub(super) fn is_hadoop_block(head: &[u8]) -> bool {
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
pub(super) struct HadoopBlocks<R> {
    source: R,
    packed: Vec<u8>,
    unpacked: Vec<u8>,
    at: usize,
    /// Bytes of the current block that are still to come.
    left: usize,
}

impl<R: Read> HadoopBlocks<R> {
    pub(super) fn new(source: R) -> Self {
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
