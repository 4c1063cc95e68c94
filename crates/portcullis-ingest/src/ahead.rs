//! Unpacks an object on a thread of its own, while its records are read on another.
//!
//! One large object would otherwise leave all cores but one idle. The text passes through
//! a short queue of chunks, so memory stays bounded, whatever the object unpacks to; and
//! whoever stops reading stops the unpacking with it. What is read does not depend on where
//! chunks end, because a reader's records do not depend on how their text is split.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use crate::compression;

/// Bytes of a chunk of text.
const CHUNK_BYTES: usize = 256 * 1024;

/// Chunks that wait at most.
const WAITING: usize = 8;

/// Text that is unpacked elsewhere.
pub(crate) struct Ahead {
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    /// How much of the chunk was read.
    at: usize,
}

impl Ahead {
    /// Begins to unpack; gives the text, and whether it was compressed at all.
    pub(crate) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        input: impl Read + Send + 'scope,
    ) -> io::Result<(Self, bool)> {
        let (opened, is_compressed) = sync_channel(1);
        let (sender, chunks) = sync_channel(WAITING);
        scope.spawn(move || {
            let text = compression::text(input);
            let (text, answer) = match text {
                Ok((text, compressed)) => (Some(text), Ok(compressed)),
                Err(error) => (None, Err(error)),
            };
            if opened.send(answer).is_ok()
                && let Some(text) = text
            {
                pump(text, &sender);
            }
        });
        // Nothing is sent only when the thread panicked, and the scope panics with it.
        let compressed = is_compressed.recv().map_err(io::Error::other)??;
        Ok((Self { chunks, chunk: Vec::new(), at: 0 }, compressed))
    }
}

/// Sends the text until it ends or fails, or nobody wants more.
fn pump(mut text: impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let read = (&mut text).take(CHUNK_BYTES as u64).read_to_end(&mut chunk);
        let is_over = chunk.len() < CHUNK_BYTES;
        // What was read before a failure comes before it.
        if !chunk.is_empty() && sender.send(Ok(chunk)).is_err() {
            return;
        }
        if let Err(error) = read {
            // Whether anybody still wants to know makes no difference.
            let _ = sender.send(Err(error));
            return;
        }
        if is_over {
            return;
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            match self.chunks.recv() {
                Ok(chunk) => (self.chunk, self.at) = (chunk?, 0),
                // The text has ended.
                Err(_) => return Ok(0),
            }
        }
        let length = buffer.len().min(self.chunk.len() - self.at);
        buffer[..length].copy_from_slice(&self.chunk[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}
