//! Views: one text, read the ways a server behind it might read it.
//!
//! Attackers write `%252e`, `&lt;`, `un/**/ion` or `c''at` because some layer below undoes
//! it. Guessing the layers per rule would need a pattern per encoding, so the undoing is
//! done once, here, to a fixpoint, and rules are written against plain text. That is hard
//! only in what must *not* happen: the work is bounded, a text never grows, and honest
//! text (`price&lt=5`, `100% + 5`) must come out as it went in.
//!
//! What a view means for a rule is the rule's business; which views are worth computing is
//! the signature engine's.

mod decoding;
mod folding;
mod pairs;

use crate::level::named;

pub(crate) use decoding::{Plus, decode, needs_decoding};
pub(crate) use folding::{fold, needs_folding, without_line_comments};

named! {
    /// One way to read a text.
    View {
        /// As logged.
        Raw = "raw",
        /// Encodings undone, ASCII letters in lower case.
        Decoded = "decoded",
        /// Of that, comments, white space and shell quoting folded away.
        Folded = "folded",
        /// Of the decoded, slashes and dot segments made uniform.
        Path = "path",
    }
}

/// Most rounds of decoding, and of folding. Servers decode once or twice; a text that still
/// changes after this many was made to waste time, and is looked at as it then stands.
const MOST_ROUNDS: usize = 5;

/// Whether [`path`] would change the text.
pub(crate) fn needs_path(text: &[u8]) -> bool {
    memchr::memchr2_iter(b'\\', b'/', text)
        .any(|at| text[at] == b'\\' || matches!(text[at + 1..], [b'/', ..] | [b'.', b'/', ..]))
}

/// Writes the path view of a decoded text to `out`. Never longer than the text.
pub(crate) fn path(decoded: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut at = 0;
    for slash in memchr::memchr2_iter(b'/', b'\\', decoded) {
        out.extend_from_slice(&decoded[at..slash]);
        at = slash + 1;
        if out.ends_with(b"/.") {
            out.pop();
        }
        if out.last() != Some(&b'/') {
            out.push(b'/');
        }
    }
    out.extend_from_slice(&decoded[at..]);
}

#[cfg(test)]
mod tests;
