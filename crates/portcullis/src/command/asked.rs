//! The source that a command is asked about, by any name that the program gives it.
//!
//! Tables and JSON name an IPv6 source by its /64 and plans an IPv4 source by its /32, and what
//! is printed must be good to paste. A network of another width holds many sources, and is
//! refused rather than answered for one of them.

use portcullis_detection::Question;
use portcullis_ingest::parse_address;
use portcullis_remediation::parse_source;

use super::inert;
use crate::exit::Exit;
use crate::failure::Failure;

/// Reads an address, or the network that is one source; `None` when the text is neither, as an
/// id of a request is, which may have a slash too.
pub(super) fn source(text: &str) -> Option<Result<Question, Failure>> {
    if let Some(address) = parse_address(text.as_bytes()) {
        return Some(Ok(Question::Source(address)));
    }
    let (address, _) = text.split_once('/')?;
    parse_address(address.as_bytes())?;
    Some(match parse_source(text) {
        Ok(source) => Ok(Question::Source(source.addr())),
        Err(error) => Err(Failure::new(format!("read the source `{}`", inert(text)), &error)
            .exit_with(Exit::Usage)),
    })
}
