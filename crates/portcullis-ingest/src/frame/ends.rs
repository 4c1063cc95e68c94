//! Where a line, or text that could not be read, ends.
//!
//! Separators are whatever people and Firehose put between records: line feeds, CRLF, blanks,
//! a byte order mark, and line feeds that somebody typed as two characters.

use memchr::memmem;

use crate::json;

/// The line that `text` begins with, and its length with its end; `None` when it may go on.
pub(crate) fn first_line(text: &[u8]) -> Option<(&[u8], usize)> {
    let length = line_end(text)?;
    Some((without_return(&text[..length - 1]), length))
}

/// Gives the line that `text` begins with to `read`; its length with its end. `whole`:
/// nothing follows, so that a line needs no end.
pub(super) fn line(text: &[u8], whole: bool, read: impl FnOnce(&[u8])) -> Option<usize> {
    let last = || whole.then(|| (without_return(text), text.len()));
    let (line, length) = first_line(text).or_else(last)?;
    read(line);
    Some(length)
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

pub(super) fn line_end(text: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', text).map(|at| at + 1)
}

/// The line without a line end typed as two characters.
pub(crate) fn without_typed_end(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii_end();
    line.strip_suffix(b"\\n").or_else(|| line.strip_suffix(b"\\r")).unwrap_or(line).trim_ascii_end()
}

/// The text after white space, a byte order mark, and line ends typed as `\n`.
pub(crate) fn after_separators(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        let shorter = text
            .strip_prefix(b"\\n")
            .or_else(|| text.strip_prefix(b"\\r"))
            .or_else(|| text.strip_prefix(b"\xef\xbb\xbf"));
        match shorter {
            Some(rest) => text = rest,
            None => return text,
        }
    }
}

/// Where a JSON object that could not be read ends: by its structure, else at the line
/// feed. `None` when more text is needed to tell.
pub(super) fn unread_object_end(text: &[u8], whole: bool) -> Option<usize> {
    let line = line_end(text);
    let structure = if text[0] == b'{' {
        json::object_end(&text[..line.unwrap_or(text.len())])
    } else {
        // Garbage in front of an object that nothing separates from it.
        memmem::find(text, b"{\"").filter(|at| line.is_none_or(|line| *at < line))
    };
    structure.or(line).or(whole.then_some(text.len()))
}

/// Where the next record may begin: after a line feed, or at the template's own first text
/// behind what ends a record.
pub(super) fn seam(text: &[u8], end: u8, head: &[u8]) -> Option<usize> {
    let line = line_end(text);
    let is_seam = |at: &usize| text[..*at].trim_ascii_end().ends_with(&[end]);
    let glued = || memmem::find_iter(text, head).find(is_seam);
    let glued = if head.len() >= 2 { glued() } else { None };
    [line, glued].into_iter().flatten().min()
}
