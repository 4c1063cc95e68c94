//! Remembers texts that no rule says anything about.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;

/// Slots of one memo; a power of two. With [`LONGEST_KEY`] it bounds a memo to 4 MiB.
const SLOTS: usize = 8_192;

/// Longest text that is remembered, in bytes. Longer ones seldom repeat.
const LONGEST_KEY: usize = 512;

/// A bounded memory of clean texts.
///
/// Each text has one slot, which the next text of that slot takes over: nothing is ever
/// cleared at once, and memory that was allocated is reused. The bytes themselves are
/// compared, so that no collision can hide an attack; the hash is seeded at random, so
/// that nobody can aim at a slot.
pub(super) struct Memo {
    slots: Vec<Vec<u8>>,
    hasher: RandomState,
}

impl Memo {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), hasher: RandomState::default() }
    }

    /// Whether the text was remembered and not yet displaced.
    pub(super) fn is_clean(&self, text: &[u8]) -> bool {
        // An empty slot holds the empty text, and long texts are not worth their hash.
        if text.is_empty() || text.len() > LONGEST_KEY {
            return false;
        }
        self.slots.get(self.slot(text)).is_some_and(|key| key == text)
    }

    /// Remembers a text. The empty text is not worth remembering.
    pub(super) fn remember_clean(&mut self, text: &[u8]) {
        if text.is_empty() || text.len() > LONGEST_KEY {
            return;
        }
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, Vec::new());
        }
        let slot = self.slot(text);
        let key = &mut self.slots[slot];
        key.clear();
        key.extend_from_slice(text);
    }

    fn slot(&self, text: &[u8]) -> usize {
        self.hasher.hash_one(text) as usize & (SLOTS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_remembered_texts_are_clean() {
        let mut memo = Memo::new();
        assert!(!memo.is_clean(b"/a"));
        memo.remember_clean(b"/a");
        assert!(memo.is_clean(b"/a"));
        assert!(!memo.is_clean(b"/b"));
        assert!(!memo.is_clean(b""));
    }

    #[test]
    fn long_texts_are_not_remembered() {
        let mut memo = Memo::new();
        let long = vec![b'a'; LONGEST_KEY + 1];
        memo.remember_clean(&long);
        assert!(!memo.is_clean(&long));
    }

    #[test]
    fn a_slot_holds_its_latest_text() {
        let mut memo = Memo::new();
        for number in 0..3 * SLOTS {
            let text = format!("/{number}");
            memo.remember_clean(text.as_bytes());
            assert!(memo.is_clean(text.as_bytes()));
        }
    }
}
