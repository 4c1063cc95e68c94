//! Finds the places of a text where two bytes stand side by side that mean something.
//!
//! Nearly every trick begins with a byte that honest text is full of, and only the byte behind
//! it tells: `%4` from `100%`, `''` from an apostrophe. A branch for each such byte is one
//! that no processor foresees, and costs more than reading a dozen. So the pair is looked up,
//! eight places at a time.

/// Pairs of bytes, in up to eight kinds: one of some bytes, then one of some others.
pub(super) struct Pairs {
    /// For each byte, in the lower half the kinds that it begins, in the upper half those
    /// that it ends.
    kinds: [u16; 256],
    /// The kinds that may end with the text.
    at_end: u16,
}

/// Places that are looked up at once.
const AT_ONCE: usize = 8;

impl Pairs {
    /// Of each kind the bytes that it begins with, and those that it ends with; with `None`,
    /// anything follows or nothing.
    pub(super) const fn new(kinds: &[(&[u8], Option<&[u8]>)]) -> Self {
        assert!(kinds.len() <= 8, "a kind is a bit");
        let mut pairs = Self { kinds: [0; 256], at_end: 0 };
        let mut kind = 0;
        while kind < kinds.len() {
            let (first, next) = kinds[kind];
            let mut at = 0;
            while at < first.len() {
                pairs.kinds[first[at] as usize] |= 1 << kind;
                at += 1;
            }
            if next.is_none() {
                pairs.at_end |= 1 << kind;
            }
            let mut byte = 0;
            while byte < 256 {
                if next.is_none() {
                    pairs.kinds[byte] |= 0x100 << kind;
                }
                byte += 1;
            }
            let next = if let Some(next) = next { next } else { &[] };
            let mut at = 0;
            while at < next.len() {
                pairs.kinds[next[at] as usize] |= 0x100 << kind;
                at += 1;
            }
            kind += 1;
        }
        pairs
    }

    /// The first place from `from` on where a pair begins.
    pub(super) fn first_in(&self, text: &[u8], from: usize) -> Option<usize> {
        // Where one pair follows the other, nothing is between them.
        if from < text.len() && self.begins_at(text, from) {
            return Some(from);
        }
        let mut at = from;
        while let Some(bytes) = text.get(at..).and_then(<[u8]>::first_chunk::<{ AT_ONCE + 1 }>) {
            let kinds = bytes.map(|byte| self.kinds[usize::from(byte)]);
            let any = (0..AT_ONCE).fold(0, |any, place| any | kinds[place] & kinds[place + 1] >> 8);
            if any != 0 {
                break;
            }
            at += AT_ONCE;
        }
        (at..text.len()).find(|&at| self.begins_at(text, at))
    }

    fn begins_at(&self, text: &[u8], at: usize) -> bool {
        let kinds = |byte: &u8| self.kinds[usize::from(*byte)];
        let ending = text.get(at + 1).map_or(self.at_end, |next| kinds(next) >> 8);
        kinds(&text[at]) & ending != 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_place_of_a_pair_is_found(
            text in proptest::collection::vec(proptest::sample::select(b"ab%4+\xff".to_vec()), 0..40),
            from in 0_usize..42,
        ) {
            let pairs = Pairs::new(&[(b"%", Some(b"4a")), (b"+\xff", None), (b"a", Some(b"a"))]);
            let expected = (from..text.len()).find(|&at| match text[at] {
                b'%' => matches!(text.get(at + 1), Some(b'4' | b'a')),
                b'a' => text.get(at + 1) == Some(&b'a'),
                byte => matches!(byte, b'+' | 0xff),
            });
            prop_assert_eq!(pairs.first_in(&text, from), expected);
        }
    }
}
