//! Fixed lists of words.

/// Words, each with what it stands for, in a table that tells any other word from them at the
/// cost of about one look, however much alike they are. `SLOTS` is a power of two and more than
/// twice the number of words.
pub(super) struct Words<V: 'static, const SLOTS: usize>([Option<(&'static [u8], V)>; SLOTS]);

impl<V: Copy + 'static, const SLOTS: usize> Words<V, SLOTS> {
    pub(super) const fn none() -> Self {
        assert!(SLOTS.is_power_of_two(), "the hash is cut to a number of bits");
        Self([None; SLOTS])
    }

    /// With one more word, or another thing for a word to stand for.
    pub(super) const fn with(mut self, word: &'static [u8], value: V) -> Self {
        let mut slot = hash(word) as usize % SLOTS;
        while let Some((known, _)) = self.0[slot] {
            if same(known, word) {
                break;
            }
            slot = (slot + 1) % SLOTS;
        }
        self.0[slot] = Some((word, value));
        self
    }

    /// Of a list, which blanks separate, each for the same.
    pub(super) const fn listed(list: &'static str, value: V) -> Self {
        let mut words = Self::none();
        let mut rest = list.as_bytes();
        while !rest.is_empty() {
            let mut length = 0;
            while length < rest.len() && rest[length] != b' ' {
                length += 1;
            }
            let (word, others) = rest.split_at(length);
            words = words.with(word, value);
            rest = if let [_, others @ ..] = others { others } else { others };
        }
        words
    }

    pub(super) fn get(&self, word: &[u8]) -> Option<V> {
        let mut slot = hash(word) as usize % SLOTS;
        while let Some((known, value)) = self.0[slot] {
            if known == word {
                return Some(value);
            }
            slot = (slot + 1) % SLOTS;
        }
        None
    }
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// Of the length and eight bytes, or of fewer, some of them twice.
const fn hash(word: &[u8]) -> u64 {
    let bytes = if let Some(first) = word.first_chunk() {
        u64::from_le_bytes(*first)
    } else if let (Some(first), Some(last)) = (word.first_chunk(), word.last_chunk()) {
        (u32::from_le_bytes(*first) as u64) << 32 | u32::from_le_bytes(*last) as u64
    } else if let (Some(first), Some(last)) = (word.first(), word.last()) {
        (*first as u64) << 16 | (word[word.len() / 2] as u64) << 8 | *last as u64
    } else {
        0
    };
    (bytes ^ bytes >> 29 ^ word.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KNOWN: [&[u8]; 5] = [b"a", b"ab", b"sysobjects", b"syscolumns", b"sysobjects2"];

    proptest! {
        #[test]
        fn each_word_is_told_from_all_others(word in "[ab]{0,2}|sysobjects[0-9]{0,2}|syscol[a-z]{0,4}") {
            let words = KNOWN.iter().zip(0..).fold(Words::<usize, 16>::none(), |words, (word, at)| {
                words.with(word, at)
            });
            let expected = KNOWN.iter().position(|known| *known == word.as_bytes());
            prop_assert_eq!(words.get(word.as_bytes()), expected);
            let listed = Words::<(), 16>::listed("a ab sysobjects syscolumns sysobjects2", ());
            prop_assert_eq!(listed.get(word.as_bytes()).is_some(), expected.is_some());
        }
    }
}
