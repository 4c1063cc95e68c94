//! Reads objects ahead of those who decode them.
//!
//! The network is slow to begin and fast once it runs, so many objects are on their way
//! at a time; but what is fetched must fit into memory however large objects are and
//! however slowly they are decoded. Two limits do that: all objects under way share
//! [`Room::bytes`], and no object holds more than a window of it, a large one being read
//! in step with its decoder. Objects are begun in order and each gets its room before
//! the next one may, so the one that a decoder waits for always has its own.
//!
//! A connection that breaks is taken up where it broke, with the `ETag` of what was
//! read, so that an object replaced meanwhile is an error and never a mixture.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use aws_sdk_s3::primitives::ByteStream;
use bytes::{Buf as _, Bytes};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;

use super::error::{Asked, ObjectError};
use super::{Bucket, Listed, MOST_FAILURES};
use crate::patience::back_off;

/// What reading ahead may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes fetched and not yet decoded, over all objects.
    pub bytes: u64,
    /// Objects under way at a time; at least 1.
    pub objects: usize,
}

impl Default for Room {
    /// 64 MiB and 32 objects.
    fn default() -> Self {
        Self { bytes: 64 << 20, objects: 32 }
    }
}

/// Bytes of one object that may be fetched and not yet decoded.
const WINDOW: u64 = 8 << 20;

/// Bytes are counted in these, so that a large room is a small number.
const UNIT: u64 = 1 << 10;

/// Objects being read ahead, in the order in which they are wanted.
#[derive(Debug)]
pub struct Prefetch {
    shared: Arc<Shared>,
    handle: Handle,
    driver: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    bucket: Bucket,
    objects: Vec<Listed>,
    begun: Mutex<Begun>,
    more: Condvar,
}

/// Objects that are under way and were not asked for yet.
#[derive(Debug, Default)]
struct Begun {
    next: usize,
    bodies: HashMap<usize, Body>,
}

impl Prefetch {
    /// Begins to read `objects`, on the runtime of `handle`.
    pub fn start(bucket: Bucket, objects: Vec<Listed>, room: Room, handle: &Handle) -> Self {
        let shared =
            Arc::new(Shared { bucket, objects, begun: Mutex::default(), more: Condvar::new() });
        let driver = handle.spawn(drive(Arc::clone(&shared), room)).abort_handle();
        Self { shared, handle: handle.clone(), driver }
    }

    /// The objects, in order.
    pub fn objects(&self) -> &[Listed] {
        &self.shared.objects
    }

    /// The content of an object. Waits until it is its turn, so objects are to be opened
    /// in about their order; one that is opened again is fetched again. Not to be called
    /// on the runtime's own thread.
    pub fn open(&self, index: usize) -> Body {
        let mut begun = self.shared.begun();
        while begun.next <= index {
            begun = self.shared.more.wait(begun).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(body) = begun.bodies.remove(&index) {
            return body;
        }
        drop(begun);
        let (body, task) = fetch(&self.shared, index, None);
        self.handle.spawn(task);
        body
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Shared {
    fn begun(&self) -> MutexGuard<'_, Begun> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins one object after the other, as there is room.
async fn drive(shared: Arc<Shared>, room: Room) {
    let units = |bytes: u64| u32::try_from(bytes.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX);
    let all = units(room.bytes.max(WINDOW));
    let bytes = Arc::new(Semaphore::new(all as usize));
    let objects = Arc::new(Semaphore::new(room.objects.max(1)));
    for index in 0..shared.objects.len() {
        let wanted = units(shared.objects[index].size.min(WINDOW)).min(all);
        let places = (
            Arc::clone(&objects).acquire_owned().await,
            Arc::clone(&bytes).acquire_many_owned(wanted).await,
        );
        let (Ok(object), Ok(bytes)) = places else { return };
        let (body, task) = fetch(&shared, index, Some((object, bytes)));
        tokio::spawn(task);
        let mut begun = shared.begun();
        begun.bodies.insert(index, body);
        begun.next = index + 1;
        shared.more.notify_all();
    }
}

type Places = Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>;

/// The content of an object, and the task that brings it.
fn fetch(
    shared: &Arc<Shared>,
    index: usize,
    places: Places,
) -> (Body, impl Future<Output = ()> + Send + use<>) {
    // The window bounds what is in the channel, not the channel itself.
    let (sender, parts) = mpsc::unbounded_channel();
    let window = Arc::new(Semaphore::new((WINDOW / UNIT) as usize));
    let body = Body { parts, ended: false, current: None, _places: places };
    let shared = Arc::clone(shared);
    let task = async move {
        let object = &shared.objects[index];
        let last = match bring(&shared.bucket, object, &sender, &window).await {
            Ok(()) => Message::End,
            Err(error) => Message::Failed(match error.fix {
                Some(fix) => format!("{}; {fix}", error.message),
                None => error.message,
            }),
        };
        let _ = sender.send(last);
    };
    (body, task)
}

/// What comes of an object.
#[derive(Debug)]
enum Message {
    /// A part, and the room it takes.
    Part(Bytes, OwnedSemaphorePermit),
    /// Every byte has come.
    End,
    /// No more comes.
    Failed(String),
}

/// Brings an object, taking it up again where a connection broke.
async fn bring(
    bucket: &Bucket,
    object: &Listed,
    sender: &mpsc::UnboundedSender<Message>,
    window: &Arc<Semaphore>,
) -> Result<(), ObjectError> {
    let mut etag = Some(object.etag.clone()).filter(|etag| !etag.is_empty());
    let (mut done, mut failures) = (0_u64, 0);
    loop {
        let before = done;
        let error = match bucket.get(object, etag.as_deref(), done).await {
            Ok((told, mut body)) => {
                etag = etag.or(told);
                loop {
                    match body.next().await {
                        Some(Ok(part)) => {
                            done += part.len() as u64;
                            let units = (part.len() as u64).div_ceil(UNIT).min(WINDOW / UNIT);
                            let room = Arc::clone(window).acquire_many_owned(units as u32).await;
                            let Ok(room) = room else { return Ok(()) };
                            if sender.send(Message::Part(part, room)).is_err() {
                                // Nobody wants it any more.
                                return Ok(());
                            }
                        }
                        Some(Err(error)) => {
                            break bucket.ended_early(object, done, &error.to_string());
                        }
                        None if done == object.size => return Ok(()),
                        None => break bucket.ended_early(object, done, "the connection ended"),
                    }
                }
            }
            Err(error) => error,
        };
        failures = if done > before { 1 } else { failures + 1 };
        if !error.may_pass || failures >= MOST_FAILURES || done > object.size {
            return Err(error);
        }
        back_off(failures).await;
    }
}

impl Bucket {
    /// Asks for an object from `offset` on.
    async fn get(
        &self,
        object: &Listed,
        etag: Option<&str>,
        offset: u64,
    ) -> Result<(Option<String>, ByteStream), ObjectError> {
        let call = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(&object.key)
            .set_request_payer(self.payer.clone())
            .set_range((offset > 0).then(|| format!("bytes={offset}-")))
            .set_if_match(etag.map(str::to_owned));
        match call.send().await {
            Ok(answer) => Ok((answer.e_tag, answer.body)),
            Err(error) => Err(ObjectError::of(Asked::Get, &self.name, &object.key, &error)),
        }
    }

    fn ended_early(&self, object: &Listed, done: u64, why: &str) -> ObjectError {
        let message = format!("{why} after {done} of {} bytes", object.size);
        ObjectError::ended_early(&self.name, &object.key, message)
    }
}

/// The content of one object as it comes.
#[derive(Debug)]
pub struct Body {
    parts: mpsc::UnboundedReceiver<Message>,
    ended: bool,
    /// What is being read, and the room it takes.
    current: Option<(Bytes, OwnedSemaphorePermit)>,
    /// The object's share of all the room.
    _places: Places,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some((part, _)) = self.current.as_mut().filter(|(part, _)| !part.is_empty()) {
                let length = part.len().min(buffer.len());
                part.copy_to_slice(&mut buffer[..length]);
                return Ok(length);
            }
            self.current = None;
            if self.ended {
                return Ok(0);
            }
            match self.parts.blocking_recv() {
                Some(Message::Part(part, room)) => self.current = Some((part, room)),
                Some(Message::End) => self.ended = true,
                Some(Message::Failed(message)) => return Err(io::Error::other(message)),
                None => return Err(io::Error::other("the download was stopped")),
            }
        }
    }
}
