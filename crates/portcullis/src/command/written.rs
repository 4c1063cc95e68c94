//! Files that a command writes because an option names them.
//!
//! What stands at the name is decided about in one place, `disk`, for reports and plans as for
//! states and ledgers. Here is what only a command line has: `-`, which is stdout.

use std::path::Path;

use portcullis_aws::disk;

use super::{inert, print};
use crate::failure::Failure;

/// Whether a name means what the program prints to. Opened by its path, a stdout that is
/// appended to would be written over, and one that is a socket could not be opened.
pub(super) fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path == Path::new(name))
}

/// Writes a file whole or not at all: a reader never finds half a plan. `what` it is stands in
/// the error.
pub(super) fn write_whole(path: &Path, contents: &[u8], what: &str) -> Result<(), Failure> {
    if is_stdout(path) {
        return print(contents).map(drop);
    }
    disk::replace(path, contents).map_err(|error| {
        Failure::new(format!("write {what} to `{}`", inert(&path.to_string_lossy())), &error)
    })
}
