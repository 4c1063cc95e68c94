//! Files that a command writes because an option names them.
//!
//! What stands at the name is decided about in one place, `disk`, for reports and plans as for
//! states and ledgers. Here is what only a command line has: `-`, which is stdout.

use std::path::Path;

use portcullis_aws::disk;

use super::{inert, print};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::location::Input;

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

/// Refuses a file to write that is one of those to read: a log, or a list of networks.
pub(super) fn require_apart<'p>(
    output: &Path,
    inputs: &'p [Input],
    others: impl IntoIterator<Item = &'p Path>,
) -> Result<(), Failure> {
    // Where nothing stands, nothing is written over.
    let Ok(place) = output.canonicalize() else { return Ok(()) };
    let is_it = |path: &Path| path.is_file() && path.canonicalize().is_ok_and(|path| path == place);
    let why = if inputs.iter().filter_map(Input::file).any(is_it) {
        "is one of the logs"
    } else if others.into_iter().any(is_it) {
        "is read, too"
    } else {
        return Ok(());
    };
    let name = inert(&output.to_string_lossy());
    Err(Failure::because(format!("write `{name}`"), format!("it {why}, and would be lost"))
        .hint("name another file to write")
        .exit_with(Exit::Usage))
}
