//! Keeps what could not be read, with its place, for a person to look at.
//!
//! One file for each object that has any, named by the object's number: what an object
//! is called is nobody's file name. Each line names the object itself.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use portcullis_ingest::{Reject, Request, Sink};

use crate::output::json::Secrets;
use crate::output::request::write_reject;

/// A folder for records that could not be read.
pub struct Quarantine {
    folder: PathBuf,
    secrets: Secrets,
}

impl Quarantine {
    /// Makes the folder.
    pub fn create(folder: &Path, secrets: Secrets) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), secrets })
    }

    /// Keeps the rejects of one object, and passes everything on to `sink`.
    pub fn object<'q, S>(&'q self, number: usize, sink: &'q mut S) -> Kept<'q, S> {
        Kept { quarantine: self, number, sink, file: None, failure: None }
    }
}

/// The rejects of one object.
pub struct Kept<'q, S> {
    quarantine: &'q Quarantine,
    number: usize,
    sink: &'q mut S,
    file: Option<BufWriter<File>>,
    failure: Option<io::Error>,
}

impl<S> Kept<'_, S> {
    fn keep(&mut self, reject: &Reject<'_>) -> io::Result<()> {
        let file = if let Some(file) = &mut self.file {
            file
        } else {
            let name = format!("object-{:06}.rejects.jsonl", self.number);
            let file = File::create(self.quarantine.folder.join(name))?;
            self.file.insert(BufWriter::new(file))
        };
        let mut line = Vec::new();
        write_reject(&mut line, reject, self.quarantine.secrets);
        line.push(b'\n');
        file.write_all(&line)
    }

    /// Writes what is left.
    pub fn finish(mut self) -> io::Result<()> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        self.file.as_mut().map_or(Ok(()), io::Write::flush)
    }
}

impl<S: Sink> Sink for Kept<'_, S> {
    fn request(&mut self, request: &Request<'_>) {
        self.sink.request(request);
    }

    fn requests(&mut self, requests: &[Request<'_>]) {
        self.sink.requests(requests);
    }

    fn reject(&mut self, reject: &Reject<'_>) {
        if self.failure.is_none() {
            self.failure = self.keep(reject).err();
        }
        self.sink.reject(reject);
    }
}
