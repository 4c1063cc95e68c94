//! A moving view of an object's text.
//!
//! Whatever an object unpacks to, no more of its text is held than a record and a bit more,
//! and nothing is read behind the limit. An object that ends early, or goes on behind the
//! limit, is *incomplete*.

use std::io::{self, Read};

use crate::object::{Incomplete, ReadOptions};

/// A moving view of the decompressed text.
pub(crate) struct Window<'r> {
    input: Box<dyn Read + 'r>,
    compressed: bool,
    /// Bytes from `start` to `end` are in view; those behind were never read.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset in the text of the view's first byte.
    pub(crate) offset: u64,
    /// Bytes that may still be read.
    budget: u64,
    limit: u64,
    /// Bytes read at a time.
    pub(crate) step: usize,
    ended: bool,
    pub(crate) incomplete: Option<Incomplete>,
}

impl<'r> Window<'r> {
    pub(crate) fn new(text: io::Result<(Box<dyn Read + 'r>, bool)>, options: &ReadOptions) -> Self {
        let (input, compressed, failure) = match text {
            Ok((text, compressed)) => (text, compressed, None),
            Err(error) => (Box::new(io::empty()) as Box<dyn Read>, true, Some(error)),
        };
        let incomplete = failure.map(|error| match error.kind() {
            io::ErrorKind::Unsupported => Incomplete::Unsupported { message: error.to_string() },
            _ => Incomplete::Compression { text_bytes: 0, message: error.to_string() },
        });
        Self {
            input,
            compressed,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            offset: 0,
            budget: options.object_bytes,
            limit: options.object_bytes,
            step: options.window_bytes.max(1),
            ended: incomplete.is_some(),
            incomplete,
        }
    }

    /// Takes that many bytes out of the view, with the buffer that they are in; the view goes
    /// on in `buffer`.
    pub(crate) fn take(&mut self, length: usize, mut buffer: Vec<u8>) -> Slice {
        let rest = &self.buffer[self.start + length..self.end];
        if buffer.len() < rest.len() {
            buffer.resize(rest.len(), 0);
        }
        buffer[..rest.len()].copy_from_slice(rest);
        let rest = rest.len();
        let (start, offset) = (self.start, self.offset);
        let buffer = std::mem::replace(&mut self.buffer, buffer);
        (self.start, self.end) = (0, rest);
        self.offset += length as u64;
        Slice { buffer, start, end: start + length, offset, incomplete: None }
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Whether nothing follows what is in view.
    pub(crate) fn whole(&self) -> bool {
        self.ended
    }

    pub(crate) fn consume(&mut self, length: usize) {
        self.start += length;
        self.offset += length as u64;
    }

    /// Reads until at least `wanted` bytes are in view, or the text ends.
    pub(crate) fn fill(&mut self, wanted: usize) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while !self.ended && self.end < wanted {
            let room = (self.step as u64).min(self.budget) as usize;
            if room == 0 {
                // Is there more, or does the text end exactly at the limit?
                if matches!(self.input.read(&mut [0]), Ok(1)) {
                    self.incomplete = Some(Incomplete::TooLarge { limit: self.limit });
                }
                self.ended = true;
                return;
            }
            if self.buffer.len() < self.end + room {
                self.buffer.resize(self.end + room, 0);
            }
            match self.input.read(&mut self.buffer[self.end..self.end + room]) {
                Ok(0) => self.ended = true,
                Ok(read) => {
                    self.end += read;
                    self.budget -= read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let text_bytes = self.offset + self.end as u64;
                    let message = error.to_string();
                    self.incomplete = Some(if self.compressed {
                        Incomplete::Compression { text_bytes, message }
                    } else {
                        Incomplete::Read { text_bytes, message }
                    });
                    self.ended = true;
                }
            }
        }
    }
}

/// A piece of text, for another thread.
pub(crate) struct Slice {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset of its first byte in the object's text.
    pub(crate) offset: u64,
    /// Why the object ends early that ends with it, if it does.
    pub(crate) incomplete: Option<Incomplete>,
}

impl Slice {
    /// A view of it, as of the text of an object.
    pub(crate) fn window(&self, options: &ReadOptions) -> Window<'_> {
        let text: &[u8] = &self.buffer[self.start..self.end];
        let window = Window::new(Ok((Box::new(text), false)), options);
        Window { offset: self.offset, incomplete: self.incomplete.clone(), ..window }
    }

    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
}
