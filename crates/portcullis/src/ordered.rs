//! Output of many threads, written as if there had been one.
//!
//! Objects are read in parallel, but what is made of them must come out in input order, and
//! an object may be larger than memory. So each worker hands over chunks through a bounded
//! channel of its object, and the writer drains the channels in order: the next object
//! streams through, the following ones wait with what their channels hold, and workers
//! are kept from running further ahead than [`AHEAD`] objects each.
//!
//! It cannot lock up: objects are taken in order, so the one the writer waits for is
//! always being read, and nothing but the writer holds it back.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Condvar, Mutex, PoisonError};

/// Bytes handed over at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks that wait for the writer, per object: 16 MiB.
const WAITING_CHUNKS: usize = 64;
/// Objects that each worker may be ahead of the writer.
const AHEAD: usize = 2;

/// Which of the two outputs a line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The results.
    Results,
    /// Records that could not be read.
    Rejects,
}

/// Lines on their way to one of the outputs.
type Chunk = (Stream, Vec<u8>);

/// Where a worker hands over what it makes of one object.
pub struct Chunks<'s, C> {
    channel: SyncSender<C>,
    stopped: &'s AtomicBool,
}

impl<'s, C> Chunks<'s, C> {
    /// Hands a chunk over, once there is room for it.
    pub fn hand_over(&self, chunk: C) {
        // An error means that the writer has gone, and then `stopped` is set.
        let _ = self.channel.send(chunk);
    }

    /// Set when the writer has gone: reading on is in vain.
    pub fn stopped(&self) -> &'s AtomicBool {
        self.stopped
    }
}

/// What takes the chunks, in the order of their objects.
pub trait Take<C> {
    /// Takes the next chunk.
    fn take(&mut self, chunk: C) -> io::Result<()>;

    /// Is told that there are no more chunks of an object.
    fn object_ends(&mut self) -> io::Result<()>;
}

/// Where a worker puts the lines of one object.
pub struct Lines<'s> {
    results: Vec<u8>,
    rejects: Vec<u8>,
    chunks: Chunks<'s, Chunk>,
}

impl<'s> Lines<'s> {
    /// Adds one line, which `write` appends to the buffer without its line feed.
    pub fn line(&mut self, stream: Stream, write: impl FnOnce(&mut Vec<u8>)) {
        let buffer = match stream {
            Stream::Results => &mut self.results,
            Stream::Rejects => &mut self.rejects,
        };
        write(buffer);
        buffer.push(b'\n');
        if buffer.len() >= CHUNK_BYTES {
            self.hand_over(stream);
        }
    }

    /// Set when the reader of the output has gone: reading on is in vain.
    pub fn stopped(&self) -> &'s AtomicBool {
        self.chunks.stopped()
    }

    fn hand_over(&mut self, stream: Stream) {
        let buffer = match stream {
            Stream::Results => &mut self.results,
            Stream::Rejects => &mut self.rejects,
        };
        self.chunks.hand_over((stream, std::mem::take(buffer)));
    }
}

/// Runs `work` for each of `count` objects on `threads` threads and writes the lines in
/// order. What `work` returns comes back in order too.
pub fn write_in_order<T: Send>(
    count: usize,
    threads: usize,
    out: &mut Outputs<'_>,
    work: impl Fn(usize, &mut Lines<'_>) -> T + Sync,
) -> io::Result<Vec<T>> {
    let work = |index, chunks: Chunks<'_, Chunk>| {
        let mut lines = Lines { results: Vec::new(), rejects: Vec::new(), chunks };
        let result = work(index, &mut lines);
        lines.hand_over(Stream::Results);
        lines.hand_over(Stream::Rejects);
        result
    };
    in_order(count, threads, WAITING_CHUNKS, out, work)
}

/// Runs `work` for each of `count` objects on `threads` threads, and gives the chunks it
/// hands over to `taker` in order. At most `waiting` chunks of each object wait. What `work`
/// returns comes back in order too.
pub fn in_order<C: Send, T: Send>(
    count: usize,
    threads: usize,
    waiting: usize,
    taker: &mut impl Take<C>,
    work: impl Fn(usize, Chunks<'_, C>) -> T + Sync,
) -> io::Result<Vec<T>> {
    let stopped = AtomicBool::new(false);
    let turnstile = Turnstile::new(count, threads * AHEAD);
    let (announce, announced) = mpsc::channel::<(usize, Receiver<C>)>();

    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(count))
            .map(|_| {
                let announce = announce.clone();
                let (stopped, turnstile, work) = (&stopped, &turnstile, &work);
                scope.spawn(move || {
                    let mut results = Vec::new();
                    while !stopped.load(Ordering::Relaxed)
                        && let Some(index) = turnstile.take()
                    {
                        let (channel, receiver) = mpsc::sync_channel(waiting);
                        let _ = announce.send((index, receiver));
                        results.push((index, work(index, Chunks { channel, stopped })));
                    }
                    results
                })
            })
            .collect();
        drop(announce);

        let written = take_all(&announced, &turnstile, taker);
        if written.is_err() {
            stopped.store(true, Ordering::Relaxed);
            turnstile.open();
            // Dropping the receivers wakes the workers that wait for room.
            drop(announced);
        }
        let mut results = Vec::with_capacity(count);
        for worker in workers {
            match worker.join() {
                Ok(mut part) => results.append(&mut part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        written?;
        results.sort_by_key(|(index, _)| *index);
        Ok(results.into_iter().map(|(_, result)| result).collect())
    })
}

/// Where the lines go.
pub struct Outputs<'w> {
    /// The results.
    pub results: &'w mut dyn Write,
    /// Records that could not be read, where somebody wants them.
    pub rejects: Option<&'w mut dyn Write>,
}

impl Take<Chunk> for Outputs<'_> {
    fn take(&mut self, (stream, chunk): Chunk) -> io::Result<()> {
        match (stream, &mut self.rejects) {
            (Stream::Results, _) => self.results.write_all(&chunk),
            (Stream::Rejects, Some(rejects)) => rejects.write_all(&chunk),
            (Stream::Rejects, None) => Ok(()),
        }
    }

    /// Between objects nothing lingers, so that a pipe of small objects feels alive.
    fn object_ends(&mut self) -> io::Result<()> {
        self.results.flush()?;
        self.rejects.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// Drains the channels in the order of their objects.
fn take_all<C>(
    announced: &Receiver<(usize, Receiver<C>)>,
    turnstile: &Turnstile,
    taker: &mut impl Take<C>,
) -> io::Result<()> {
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    loop {
        let chunks = loop {
            if let Some(chunks) = waiting.remove(&next) {
                break chunks;
            }
            match announced.recv() {
                Ok((index, chunks)) => {
                    waiting.insert(index, chunks);
                }
                // Every worker has ended.
                Err(mpsc::RecvError) => return Ok(()),
            }
        };
        for chunk in chunks {
            taker.take(chunk)?;
        }
        taker.object_ends()?;
        next += 1;
        turnstile.written();
    }
}

/// Hands out object numbers in order, not too far ahead of the writer.
struct Turnstile {
    state: Mutex<State>,
    moved: Condvar,
    count: usize,
    ahead: usize,
}

struct State {
    taken: usize,
    written: usize,
    is_open: bool,
}

impl Turnstile {
    fn new(count: usize, ahead: usize) -> Self {
        let state = Mutex::new(State { taken: 0, written: 0, is_open: false });
        Self { state, moved: Condvar::new(), count, ahead }
    }

    fn take(&self) -> Option<usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.is_open
            && state.taken < self.count
            && state.taken >= state.written + self.ahead
        {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_open || state.taken == self.count {
            return None;
        }
        state.taken += 1;
        Some(state.taken - 1)
    }

    fn written(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).written += 1;
        self.moved.notify_all();
    }

    /// Lets everybody go home.
    fn open(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_open = true;
        self.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Object `index` holds as many lines as its number says, some far beyond what
    /// may wait.
    fn lines_of(index: usize) -> usize {
        if index % 13 == 3 { 20_000 } else { index * 13 % 50 }
    }

    fn line(index: usize, line: usize) -> Vec<u8> {
        let mut text = format!("object {index} line {line} ").into_bytes();
        text.resize(1000, b'-');
        text
    }

    #[track_caller]
    fn check(count: usize, threads: usize) {
        let (mut out, mut rejects) = (Vec::new(), Vec::new());
        let mut outputs = Outputs { results: &mut out, rejects: Some(&mut rejects) };
        let results = write_in_order(count, threads, &mut outputs, |index, lines| {
            for number in 0..lines_of(index) {
                lines
                    .line(Stream::Results, |buffer| buffer.extend_from_slice(&line(index, number)));
            }
            lines.line(Stream::Rejects, |buffer| write!(buffer, "{index}").expect("memory"));
            index
        });
        let rejects = String::from_utf8(rejects).expect("UTF-8");
        assert!(rejects.lines().eq((0..count).map(|index| index.to_string())), "{rejects}");
        assert_eq!(results.expect("a vector takes everything"), (0..count).collect::<Vec<_>>());
        let mut text = out.split(|byte| *byte == b'\n');
        for index in 0..count {
            for number in 0..lines_of(index) {
                assert_eq!(text.next(), Some(&line(index, number)[..]));
            }
        }
        assert_eq!(text.next(), Some(&b""[..]));
        assert_eq!(text.next(), None);
    }

    #[test]
    fn lines_come_out_in_order_whatever_the_threads() {
        check(0, 2);
        check(1, 8);
        check(30, 1);
        check(30, 2);
        check(30, 8);
    }

    /// Takes some bytes, then fails as a closed pipe does.
    struct Closing(usize);

    impl Write for Closing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_stops_the_workers() {
        let mut closing = Closing(3 * CHUNK_BYTES);
        let mut outputs = Outputs { results: &mut closing, rejects: None };
        let result = write_in_order(1000, 4, &mut outputs, |_, lines| {
            while !lines.stopped().load(Ordering::Relaxed) {
                lines.line(Stream::Results, |buffer| buffer.extend_from_slice(&[b'x'; 1000]));
            }
        });
        assert_eq!(result.expect_err("the pipe is closed").kind(), io::ErrorKind::BrokenPipe);
    }
}
