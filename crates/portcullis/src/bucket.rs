//! Logs in S3: `s3://bucket/prefix` as a location.
//!
//! The workers that decode are threads, the AWS SDK waits for many answers at once; so a
//! thread of its own does the waiting, as long as anybody may still read. Objects are
//! listed at once, because their number is told before anything is read, and fetched
//! when the first of them is opened.

use std::fmt;
use std::future::Future;
use std::io::{self, Read};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use portcullis_aws::Connection;
use portcullis_aws::objects::{Bucket, Listed, Listing, Location, Prefetch, Room};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::args::Access;
use crate::failure::Failure;
use crate::span::Span;

/// The thread that waits for S3.
struct Network {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Network {
    fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("network".to_owned());
        let thread = thread.spawn(move || {
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Does `work` on that thread, and waits for what comes of it.
    fn wait<Answer: Send + 'static>(
        &self,
        work: impl Future<Output = Answer> + Send + 'static,
    ) -> Answer {
        let (sender, answer) = mpsc::channel();
        self.handle.spawn(async move {
            let _ = sender.send(work.await);
        });
        answer.recv().expect("the thread lives as long as this does, and the work does not panic")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// How the buckets that locations name are reached.
#[derive(Debug, Clone, Copy)]
pub struct Store<'a> {
    /// Credentials, region and server.
    pub access: &'a Access,
    /// Whether the caller pays for the transfer.
    pub requester_pays: bool,
}

/// Reaches the buckets that locations name.
pub struct Buckets {
    network: Arc<Network>,
    connection: Connection,
    requester_pays: bool,
}

impl Buckets {
    /// Finds credentials and region; nothing is asked yet.
    pub fn open(store: Store<'_>) -> Result<Self, Failure> {
        let network = Network::start().map_err(|error| Failure::new("reach S3", &error))?;
        let options = store.access.options();
        let connection = network.wait(async move { Connection::open(&options).await });
        Ok(Self { network: Arc::new(network), connection, requester_pays: store.requester_pays })
    }

    /// The objects of a location that may hold requests of the span.
    pub fn list(&self, location: &Location, span: Span) -> Result<Listing, Failure> {
        let (bucket, prefix) = (self.bucket(location), location.prefix.clone());
        let span = portcullis_aws::objects::Span { from: span.from, to: span.to };
        let listing = self.network.wait(async move { bucket.list(&prefix, span).await });
        listing.map_err(|error| {
            let failure = Failure::because(format!("list `{}`", error.place), error.message);
            match error.fix {
                Some(fix) => failure.hint(fix),
                None => failure,
            }
        })
    }

    /// Objects of a location that will all be opened.
    pub fn ahead(&self, location: &Location, objects: Vec<Listed>) -> Arc<Ahead> {
        Arc::new(Ahead {
            network: Arc::clone(&self.network),
            bucket: self.bucket(location),
            objects,
            begun: OnceLock::new(),
        })
    }

    fn bucket(&self, location: &Location) -> Bucket {
        Bucket::new(&self.connection, &location.bucket, self.requester_pays)
    }
}

/// Objects of one location, fetched ahead once the first is opened. Each is to be opened,
/// or those after it would wait for its room for ever.
pub struct Ahead {
    network: Arc<Network>,
    bucket: Bucket,
    objects: Vec<Listed>,
    begun: OnceLock<Prefetch>,
}

impl Ahead {
    /// All of them.
    pub fn objects(&self) -> &[Listed] {
        &self.objects
    }

    /// The same, of these objects alone.
    pub fn only(&self, places: &[usize]) -> Arc<Self> {
        Arc::new(Self {
            network: Arc::clone(&self.network),
            bucket: self.bucket.clone(),
            objects: places.iter().map(|place| self.objects[*place].clone()).collect(),
            begun: OnceLock::new(),
        })
    }

    /// The content of an object. What goes wrong with it shows when it is read.
    pub fn open(&self, index: usize) -> impl Read + use<> {
        let begin = || {
            let (bucket, objects) = (self.bucket.clone(), self.objects.clone());
            Prefetch::start(bucket, objects, Room::default(), &self.network.handle)
        };
        self.begun.get_or_init(begin).open(index)
    }
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ahead").field("bucket", &self.bucket.name()).finish_non_exhaustive()
    }
}
