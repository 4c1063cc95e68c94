//! Keeps what could not be read, with its place, for a person to look at.
//!
//! One file for each object that has any, named by the object's number: what an object
//! is called is nobody's file name. Each line names the object itself.
//!
//! Names that can be told in advance invite links, and names that come again lose what was
//! kept. So a run writes only files of its own making: the second run in a folder adds a 2 to
//! all its names, and a folder with a link under such a name is refused. So is one among the
//! logs, because the next run would read it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use portcullis_ingest::{Reject, Request, Sink};

use crate::location::Input;
use crate::output::json::Secrets;
use crate::output::request::write_reject;

/// A folder for records that could not be read.
pub struct Quarantine {
    folder: PathBuf,
    /// Which run this is, of those that wrote to the folder.
    run: u32,
    secrets: Secrets,
}

impl Quarantine {
    /// Makes the folder, for what cannot be read of `inputs`, which `locations` named.
    pub fn create(
        folder: &Path,
        locations: &[String],
        inputs: &[Input],
        secrets: Secrets,
    ) -> io::Result<Self> {
        require_apart(&place_of(folder)?, locations, inputs)?;
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), run: next_run(folder)?, secrets })
    }

    /// Keeps the rejects of one object, and passes everything on to `sink`.
    pub fn object<'q, S>(&'q self, number: usize, sink: &'q mut S) -> Kept<'q, S> {
        Kept { quarantine: self, number, sink, file: None, failure: None }
    }
}

/// What every name of a file ends in.
const ENDING: &str = ".rejects.jsonl";

/// The name of an object's file: `object-000007.rejects.jsonl`, and of the second run
/// `object-000007.2.rejects.jsonl`.
fn name(object: usize, run: u32) -> String {
    match run {
        1 => format!("object-{object:06}{ENDING}"),
        _ => format!("object-{object:06}.{run}{ENDING}"),
    }
}

/// The run that a file is of; `None` when it is no file of a quarantine.
fn run_of(name: &str) -> Option<u32> {
    let rest = name.strip_prefix("object-")?.strip_suffix(ENDING)?;
    match rest.split_once('.') {
        None => Some(1),
        Some((_, run)) => run.parse().ok(),
    }
}

/// The first run of which nothing is in the folder.
fn next_run(folder: &Path) -> io::Result<u32> {
    let mut last = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(run) = entry.file_name().to_str().and_then(run_of) else { continue };
        if entry.file_type()?.is_symlink() {
            let detail = "it holds a link under the name of a file to write; remove the links, or \
                          name another --quarantine";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, detail));
        }
        last = last.max(run);
    }
    Ok(last.saturating_add(1))
}

/// Where a folder is or will be, with no link left in it.
fn place_of(folder: &Path) -> io::Result<PathBuf> {
    let whole = std::path::absolute(folder)?;
    for above in whole.ancestors() {
        if let (Ok(there), Ok(rest)) = (above.canonicalize(), whole.strip_prefix(above)) {
            return Ok(there.join(rest));
        }
    }
    Ok(whole)
}

/// Refuses a folder that lies among the logs, or among which logs lie.
fn require_apart(folder: &Path, locations: &[String], inputs: &[Input]) -> io::Result<()> {
    let trees = locations.iter().map(|location| (Path::new(location), "lies inside the logs"));
    let inside = trees
        .filter(|(location, _)| location.is_dir())
        .find(|(location, _)| location.canonicalize().is_ok_and(|tree| folder.starts_with(tree)));
    let files = inputs.iter().filter_map(Input::file).map(|file| (file, "holds one of the logs"));
    let around = || {
        let mut files = files;
        files.find(|(file, _)| file.canonicalize().is_ok_and(|file| file.parent() == Some(folder)))
    };
    let Some((logs, why)) = inside.or_else(around) else { return Ok(()) };
    let detail = format!(
        "it {why}, `{}`, and what it keeps would be read as logs; name a --quarantine elsewhere",
        logs.display()
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, detail))
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
            let path = self.quarantine.folder.join(name(self.number, self.quarantine.run));
            self.file.insert(BufWriter::new(File::create_new(path)?))
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
