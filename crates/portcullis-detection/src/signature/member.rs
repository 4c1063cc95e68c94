//! A literal of the rules, and whether it stands at a place where its beginning was seen.

use std::ops::Range;

use super::beginnings::FIRST_BYTES;

/// A literal in a group.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) literal: usize,
    /// In lower case.
    text: Box<[u8]>,
    head: Head,
    /// The subjects and views any of its uses looks at; see [`bits`].
    pub(super) mask: u64,
}

impl Member {
    pub(super) fn new(literal: usize, text: &[u8], mask: u64) -> Self {
        Self { literal, text: text.into(), head: Head::new(text), mask }
    }

    /// Where it stands in the text, if its beginning ends at `end` and it stands there.
    pub(super) fn stands_in(&self, text: &[u8], end: usize) -> Option<Range<usize>> {
        let start = end.checked_sub(self.text.len().min(FIRST_BYTES))?;
        let rest = &text[start..];
        let tail = self.text.get(Head::BYTES..).unwrap_or_default();
        let stands = rest.len() >= self.text.len()
            && self.head.begins(rest)
            && (tail.is_empty() || rest[Head::BYTES..self.text.len()].eq_ignore_ascii_case(tail));
        stands.then(|| start..start + self.text.len())
    }
}

/// The first bytes of a literal, to be compared at once.
#[derive(Debug)]
struct Head {
    bytes: u64,
    /// The bit that tells the cases of each letter apart.
    cases: u64,
    /// All bits of the bytes that there are.
    known: u64,
}

impl Head {
    const BYTES: usize = 8;

    /// Of a literal in lower case.
    fn new(literal: &[u8]) -> Self {
        let literal = &literal[..literal.len().min(Self::BYTES)];
        let cases: Vec<u8> =
            literal.iter().map(|byte| u8::from(byte.is_ascii_lowercase()) << 5).collect();
        let known = vec![u8::MAX; literal.len()];
        Self { bytes: word(literal), cases: word(&cases), known: word(&known) }
    }

    /// Whether a text that is no shorter begins so, in letters of any case.
    fn begins(&self, text: &[u8]) -> bool {
        (word(text) | self.cases) & self.known == self.bytes
    }
}

/// The first eight bytes of a text, or fewer and zeros.
fn word(text: &[u8]) -> u64 {
    text.first_chunk().map_or_else(
        || text.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        |bytes| u64::from_le_bytes(*bytes),
    )
}
