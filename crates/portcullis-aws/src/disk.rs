//! Files that are replaced whole, by one writer at a time.
//!
//! A file is written beside itself, flushed to the disk and renamed, so that a reader
//! finds the old one or the new one and a crash loses neither. A lock is on a file of its
//! own, and the system releases it when its holder dies.
//!
//! A rename puts a new file under an old name, and so would lose what the name stood for. A
//! link is therefore followed to what it names, the new file has the mode and, where that is
//! allowed, the owner of the old one; and what is no file, a device or a pipe, is written to.

use std::fmt::Write as _;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

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

/// Most links that are followed from one to the next, as Linux has it.
const MOST_LINKS: usize = 40;

/// Replaces a file whole or not at all. A link is followed, the file keeps its mode, and
/// what is no regular file is written to as it is.
///
/// # Errors
///
/// When it cannot be written; then what was there still is.
pub fn replace(path: &Path, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let earlier = match fs::metadata(path) {
        Ok(_) if is_descriptor(path) => {
            return OpenOptions::new().append(true).open(path)?.write_all(contents.as_ref());
        }
        Ok(found) if found.is_file() => Some(found),
        Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => return OpenOptions::new().write(true).open(path)?.write_all(contents.as_ref()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let path = &behind_links(path)?;
    let unfinished = &beside(path)?;
    let written = write(unfinished, earlier.as_ref(), contents.as_ref())
        .and_then(|()| fs::rename(unfinished, path));
    if let Err(error) = written {
        // It is not there, and neither should its beginning be.
        let _ = fs::remove_file(unfinished);
        return Err(error);
    }
    // The new name is on the disk when the directory is.
    if cfg!(unix) { File::open(directory(path))?.sync_all() } else { Ok(()) }
}

/// Whether a path names what is open already. Whoever opened it reads on there, and would not
/// in a file that took its place.
fn is_descriptor(path: &Path) -> bool {
    ["/dev/fd", "/dev/stderr", "/dev/stdout", "/proc"].iter().any(|place| path.starts_with(place))
}

/// What a path names when all links are followed, whether or not it is there.
///
/// # Errors
///
/// When links lead on and on.
pub fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut place = path.to_owned();
    for _ in 0..=MOST_LINKS {
        match fs::read_link(&place) {
            Ok(target) => place = directory(&place).join(target),
            // It is no link, or nothing is there yet.
            Err(_) => return Ok(place),
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "its links lead in a circle"))
}

/// A name beside `path` that no other process writes to.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "its last part is no name of a file")
    })?;
    let mut unfinished = name.to_owned();
    unfinished.push(format!(".{}.part", std::process::id()));
    Ok(path.with_file_name(unfinished))
}

fn write(unfinished: &Path, earlier: Option<&Metadata>, contents: &[u8]) -> io::Result<()> {
    // A process of the same number may have been killed here, in a container above all. What
    // it left is removed and not written to: it could be a link that somebody put there.
    match fs::remove_file(unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let mut file = match earlier {
        Some(earlier) => like(&mut options, unfinished, earlier)?,
        None => options.open(unfinished)?,
    };
    file.write_all(contents)?;
    file.sync_all()
}

/// Opens a file that those may read who could read the earlier one, before anything is in it.
#[cfg(unix)]
fn like(options: &mut OpenOptions, path: &Path, earlier: &Metadata) -> io::Result<File> {
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
    let file = options.mode(0o600).open(path)?;
    // Only root gives files away; anybody else who may write here becomes the owner.
    let _ = fchown(&file, Some(earlier.uid()), Some(earlier.gid()));
    file.set_permissions(earlier.permissions())?;
    Ok(file)
}

#[cfg(not(unix))]
fn like(options: &mut OpenOptions, path: &Path, _earlier: &Metadata) -> io::Result<File> {
    options.open(path)
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}
