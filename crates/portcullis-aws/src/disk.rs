//! Files that are replaced whole, by one writer at a time.
//!
//! A file is written beside itself, flushed to the disk and renamed, so that a reader
//! finds the old one or the new one and a crash loses neither. A lock is on a file of its
//! own, and the system releases it when its holder dies.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use portcullis_remediation::Version;
use sha2::{Digest, Sha256};

/// Waits for the lock at `path`, making its directory if need be. Whoever has the file
/// it returns is alone until it is dropped.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    fs::create_dir_all(directory(path))?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    file.lock()?;
    Ok(file)
}

/// Tells contents apart.
pub(crate) fn version(contents: impl AsRef<[u8]>) -> Version {
    let mut name = String::with_capacity(64);
    for byte in Sha256::digest(contents) {
        write!(name, "{byte:02x}").expect("writing to a string never fails");
    }
    Version(name)
}

/// Replaces a file whole or not at all.
pub(crate) fn replace(path: &Path, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let unfinished = path.with_extension("part");
    let mut file = File::create(&unfinished)?;
    file.write_all(contents.as_ref())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    // The new name is on the disk when the directory is.
    if cfg!(unix) { File::open(directory(path))?.sync_all() } else { Ok(()) }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}
