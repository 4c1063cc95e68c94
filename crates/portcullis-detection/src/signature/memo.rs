//! Remembers texts that no rule says anything about.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;

/// Slots of one memo; a power of two. With [`LONGEST_KEY`] it bounds a memo to 5 MiB.
const SLOTS: usize = 8_192;

/// Longest text that is remembered, in bytes. Longer ones seldom repeat.
const LONGEST_KEY: usize = 512;

/// A bounded memory of clean texts.
///
/// Each text has one slot, which the next text of that slot takes over: nothing is ever
/// cleared at once, and memory that was allocated is reused. A text takes its slot when it
/// comes a second time, because many come once and are not worth being copied, nor what they
/// would displace. The bytes themselves are compared, so that no collision can hide an
/// attack; the hash is seeded at random, so that nobody can aim at a slot.
pub(super) struct Memo {
    slots: Vec<Slot>,
    hasher: RandomState,
}

#[derive(Clone, Default)]
struct Slot {
    text: Vec<u8>,
    /// Part of the text's hash: a text that has another is not looked at.
    known: u32,
    /// The same of the text that came last and was not known.
    came: u32,
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
        let (place, part) = self.place(text);
        self.slots.get(place).is_some_and(|slot| slot.known == part && slot.text == text)
    }

    /// Remembers a text that comes a second time. The empty text is not worth remembering.
    pub(super) fn remember_clean(&mut self, text: &[u8]) {
        if text.is_empty() || text.len() > LONGEST_KEY {
            return;
        }
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, Slot::default());
        }
        let (place, part) = self.place(text);
        let slot = &mut self.slots[place];
        if slot.came == part {
            slot.text.clear();
            slot.text.extend_from_slice(text);
            slot.known = part;
        }
        slot.came = part;
    }

    /// The slot of a text, and what tells it from most others of that slot.
    fn place(&self, text: &[u8]) -> (usize, u32) {
        let hash = self.hasher.hash_one(text);
        (hash as usize & (SLOTS - 1), (hash >> u32::BITS) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_remembered_when_it_comes_a_second_time() {
        let mut memo = Memo::new();
        for _ in 0..2 {
            assert!(!memo.is_clean(b"/a"));
            memo.remember_clean(b"/a");
        }
        assert!(memo.is_clean(b"/a"));
        assert!(!memo.is_clean(b"/b"));
        assert!(!memo.is_clean(b""));
    }

    #[test]
    fn long_texts_are_not_remembered() {
        let mut memo = Memo::new();
        let long = vec![b'a'; LONGEST_KEY + 1];
        for _ in 0..3 {
            memo.remember_clean(&long);
            assert!(!memo.is_clean(&long));
        }
    }

    #[test]
    fn a_slot_holds_the_latest_text_that_came_twice() {
        let mut memo = Memo::new();
        memo.remember_clean(b"/a");
        memo.remember_clean(b"/a");
        for number in 0..3 * SLOTS {
            memo.remember_clean(format!("once/{number}").as_bytes());
        }
        assert!(memo.is_clean(b"/a"));
        for number in 0..3 * SLOTS {
            let text = format!("/{number}");
            memo.remember_clean(text.as_bytes());
            memo.remember_clean(text.as_bytes());
            assert!(memo.is_clean(text.as_bytes()));
        }
    }
}
