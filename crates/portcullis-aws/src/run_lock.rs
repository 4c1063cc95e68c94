//! One run at a time over one state.
//!
//! The lock saves work and is no guard: what two runs gather is safe because a state is
//! only saved over the one that was read. So it may be wrong for a moment, after a clock
//! was set or a lease ran out, and nothing is lost by that.
//!
//! Beside a state in a file, the system holds the lock and lets it go when its holder dies.
//! Beside a state on S3 it is a document with an end, which a thread puts off while the
//! run goes on; what a killed run leaves behind is over after [`LEASE_MS`].

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use portcullis_remediation::{Clock as _, SaveError, StoreError, Version};

use crate::connection::{Connection, Options};
use crate::document::Document;
use crate::system_clock::SystemClock;

/// How long a lock on S3 holds without being put off, in milliseconds: long enough for a
/// call that is tried several times, and shorter than any schedule.
const LEASE_MS: i64 = 120_000;

/// How often it is put off.
const RENEWED: Duration = Duration::from_secs(40);

/// Most characters of a holder's name.
const NAME: usize = 200;

/// Why the lock was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Somebody else has it.
    #[error("{0} is at work")]
    Held(String),
    /// It could not be read or written.
    #[error("{0}")]
    Failed(String),
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct RunLock(#[expect(dead_code, reason = "held, not read")] Holding);

#[derive(Debug)]
enum Holding {
    File(#[expect(dead_code, reason = "held, not read")] File),
    S3(#[expect(dead_code, reason = "held, not read")] Renewed),
}

impl RunLock {
    /// Takes the lock at `place`, a path or `s3://BUCKET/KEY`, for `who`; at once or not at
    /// all. `options` say how S3 is reached.
    ///
    /// # Errors
    ///
    /// [`NotTaken::Held`] with the name that its holder gave.
    pub fn take(place: &str, options: &Options, who: &str) -> Result<Self, NotTaken> {
        let who: String = who.chars().filter(|c| !c.is_control()).take(NAME).collect();
        if place.starts_with("s3://") {
            Renewed::start(place.to_owned(), options.clone(), who).map(Holding::S3).map(Self)
        } else {
            in_file(Path::new(place), &who).map(Holding::File).map(Self)
        }
    }
}

fn in_file(path: &Path, who: &str) -> Result<File, NotTaken> {
    let failed = |error: std::io::Error| NotTaken::Failed(format!("{}: {error}", path.display()));
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let options = OpenOptions::new().create(true).truncate(false).read(true).write(true).clone();
    let mut file = options.open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut name = Vec::new();
            let _ = file.take(4 * NAME as u64).read_to_end(&mut name);
            let name = String::from_utf8_lossy(&name);
            let name = name.lines().next().filter(|name| !name.is_empty());
            return Err(NotTaken::Held(name.unwrap_or("another run").to_owned()));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    // The name is for those who find the lock taken; without it they are told less.
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{who}"));
    Ok(file)
}

/// A lock on S3, and the thread that puts its end off.
#[derive(Debug)]
struct Renewed {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Renewed {
    fn start(place: String, options: Options, who: String) -> Result<Self, NotTaken> {
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("run lock".to_owned());
        let thread = thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = tell.send(Err(NotTaken::Failed(error.to_string())));
                    return;
                }
            };
            let connection = runtime.block_on(Connection::open(&options));
            let document = Document::open(&place, &connection);
            let mut version = match runtime.block_on(taken(&document, &who)) {
                Ok(version) => {
                    let _ = tell.send(Ok(()));
                    version
                }
                Err(error) => {
                    let _ = tell.send(Err(error));
                    return;
                }
            };
            let save = |until, version: &Version| {
                runtime.block_on(document.save(lease(&who, until), Some(version)))
            };
            while stopped.recv_timeout(RENEWED) == Err(mpsc::RecvTimeoutError::Timeout) {
                // A lease that was not put off may be taken by others, who then find out
                // by the state which of them came first.
                if let Ok(newer) = save(SystemClock.now().epoch_ms() + LEASE_MS, &version) {
                    version = newer;
                }
            }
            let _ = save(0, &version);
        });
        let failed = |error: &dyn std::error::Error| NotTaken::Failed(error.to_string());
        let thread = thread.map_err(|error| failed(&error))?;
        told.recv().map_err(|error| failed(&error))??;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Renewed {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Writes the lease, unless somebody else has one that is not over.
async fn taken(document: &Document, who: &str) -> Result<Version, NotTaken> {
    let failed = |StoreError(error)| NotTaken::Failed(error);
    let now = SystemClock.now().epoch_ms();
    let stored = document.load().await.map_err(failed)?;
    let version = match &stored {
        Some((content, version)) => {
            let (until, holder) = read_lease(content);
            if until > now {
                return Err(NotTaken::Held(holder));
            }
            Some(version)
        }
        None => None,
    };
    let lease = lease(who, now + LEASE_MS);
    match document.save(lease.clone(), version).await {
        Ok(version) => Ok(version),
        Err(SaveError::Conflict) => Err(NotTaken::Held("another run".to_owned())),
        Err(SaveError::Refused(error)) => Err(NotTaken::Failed(error)),
        // The answer was lost; whether it was saved can be seen.
        Err(SaveError::Unknown(error)) => match document.load().await.map_err(failed)? {
            Some((content, version)) if content == lease => Ok(version),
            _ => Err(NotTaken::Failed(error)),
        },
    }
}

/// A lease: when it is over in milliseconds since 1970, and who has it.
fn lease(who: &str, until: i64) -> Vec<u8> {
    format!("{until} {who}\n").into_bytes()
}

/// What cannot be read is nobody's, and over.
fn read_lease(content: &[u8]) -> (i64, String) {
    let text = String::from_utf8_lossy(content);
    let (until, who) = text.trim_end().split_once(' ').unwrap_or(("0", ""));
    let who: String = who.chars().filter(|c| !c.is_control()).take(NAME).collect();
    (until.parse().unwrap_or(0), who)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_locked_once_and_free_when_its_holder_is_gone() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().join("state/history.run");
        let place = place.to_str().expect("UTF-8");
        let held = RunLock::take(place, &Options::default(), "one").expect("it is free");
        let refused = RunLock::take(place, &Options::default(), "two").expect_err("it is held");
        assert_eq!(refused, NotTaken::Held("one".to_owned()));
        drop(held);
        RunLock::take(place, &Options::default(), "two").expect("it is free again");
    }

    #[test]
    fn a_lease_says_who_and_until_when_and_nonsense_is_over() {
        assert_eq!(read_lease(&lease("a@b (process 4)", 17)), (17, "a@b (process 4)".to_owned()));
        assert_eq!(read_lease(b"\xff\xff").0, 0);
        assert_eq!(read_lease(b"").0, 0);
    }
}
