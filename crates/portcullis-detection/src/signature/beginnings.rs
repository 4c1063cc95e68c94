//! Finds where literals may begin, by their first bytes.
//!
//! An automaton waits for memory at every byte, because each step needs the state before it,
//! and a text that visits many states waits longest. Here every place is judged by itself, by
//! the bytes that end there, in tables that fit the nearest cache. Words take three bytes to
//! be rare in honest text. Marks that are literals alone or in pairs are rare in it as well,
//! but everywhere in what attackers send: those of which a text has nothing more to tell are
//! not looked for any longer.
//!
//! What is found may be something else with nearly such a beginning; whoever asked compares
//! it.

/// Bytes of a literal that are looked for.
pub(super) const FIRST_BYTES: usize = 3;

/// Groups of short beginnings: a bit for each. Where there are more, the last has several.
const SHORT_GROUPS: usize = u64::BITS as usize;

/// Bits of a [`class`].
const CLASS_BITS: u32 = 6;

/// Bits of the classes of [`FIRST_BYTES`] bytes, side by side.
const WINDOW_BITS: u32 = FIRST_BYTES as u32 * CLASS_BITS;

/// Words of 64 bits, with one for each such window.
const WORDS: usize = 1 << (WINDOW_BITS - 6);

/// Places that are judged before any that was found is visited. All take the same way, so
/// that a processor need not foresee which it will be.
const AT_ONCE: usize = 64;

/// The beginnings of literals, in numbered groups that are found together. The groups below
/// 64 have those of one byte or two, the others those of three bytes.
#[derive(Debug)]
pub(super) struct Beginnings {
    /// For each three classes, whether the beginning of any literal ends with them, as bits.
    any: Box<[u64; WORDS]>,
    short: Box<[Short; 256]>,
    /// The same as `any` of beginnings of three bytes alone.
    long: Box<[u64; WORDS]>,
    /// For each word of those bits, how many are set in the words before.
    ranks: Box<[u16; WORDS]>,
    /// For each group from 64 on, the classes of the bytes behind the beginning, as bits.
    followers: Vec<u64>,
    /// The short groups: lengths and first bytes, ascending.
    groups: Vec<(usize, u8)>,
}

/// What a byte is in short beginnings: their groups, as bits.
#[derive(Debug, Clone, Copy, Default)]
struct Short {
    /// That it ends.
    ends: u64,
    /// In which it stands before the end; for those of one byte, any does.
    before: u64,
}

impl Beginnings {
    /// Takes literals in lower case; none is empty.
    pub(super) fn new<'t>(literals: impl Iterator<Item = &'t [u8]> + Clone) -> Self {
        let mut long = vec![0_u64; WORDS];
        // A window ends with the byte that a bit stands for, whatever is before it.
        let only = literals.clone().filter(|literal| literal.len() == 1);
        let mut any = vec![only.fold(0, |bits, literal| bits | 1 << class(literal[0])); WORDS];
        for literal in literals.clone().filter(|literal| literal.len() > 1) {
            if let Some(first_bytes) = literal.first_chunk() {
                set(&mut long, window(*first_bytes));
            }
            let first_bytes = &literal[..literal.len().min(FIRST_BYTES)];
            let window = first_bytes.iter().fold(0, |window, byte| next(window, *byte));
            let known = CLASS_BITS * first_bytes.len() as u32;
            (window..WORDS * 64).step_by(1 << known).for_each(|window| set(&mut any, window));
        }
        let mut before = 0;
        let ranks = long.iter().map(|word| {
            let rank = before;
            before += word.count_ones() as u16;
            rank
        });
        let ranks = boxed(ranks.collect());
        let followers = vec![0; usize::from(before)];
        // Those of one byte come first, so that each has a group of its own.
        let short = literals.clone().filter(|literal| literal.len() < FIRST_BYTES);
        let mut groups: Vec<(usize, u8)> =
            short.map(|literal| (literal.len(), literal[0])).collect();
        groups.sort_unstable();
        groups.dedup();
        let short = Box::new([Short::default(); 256]);
        let mut found =
            Self { any: boxed(any), short, long: boxed(long), ranks, followers, groups };
        for literal in literals {
            found.take(literal);
        }
        found
    }

    fn take(&mut self, literal: &[u8]) {
        let group = self.group(literal);
        let (last, before) = match *literal {
            [only] => (only, 0..=u8::MAX),
            [first, last] => (last, first..=first),
            _ => {
                let follower = literal.get(FIRST_BYTES).map_or(u64::MAX, |byte| 1 << class(*byte));
                self.followers[group - SHORT_GROUPS] |= follower;
                return;
            }
        };
        for last in cases(last) {
            self.short[usize::from(last)].ends |= 1 << group;
        }
        for before in before.flat_map(cases) {
            self.short[usize::from(before)].before |= 1 << group;
        }
    }

    /// The group that a literal is in.
    pub(super) fn group(&self, literal: &[u8]) -> usize {
        if let Some(first_bytes) = literal.first_chunk() {
            return self.long_group(window(*first_bytes)).expect("taken when this was made");
        }
        let group = self.groups.binary_search(&(literal.len(), literal[0]));
        group.expect("taken when this was made").min(SHORT_GROUPS - 1)
    }

    fn long_group(&self, window: usize) -> Option<usize> {
        let bits = self.long[window / 64];
        let bit = 1 << (window % 64);
        if bits & bit == 0 {
            return None;
        }
        let before = (bits & (bit - 1)).count_ones() as usize;
        Some(SHORT_GROUPS + usize::from(self.ranks[window / 64]) + before)
    }

    /// Visits each place of a text where the beginning of a literal ends that is in a long
    /// group, or in a short one of `live`: the place behind the beginning and its group.
    /// Places ascend. When the visit says so, a short group is live no longer.
    pub(super) fn visit(
        &self,
        text: &[u8],
        mut live: u64,
        mut visit: impl FnMut(usize, usize) -> bool,
    ) {
        let mut window = 0;
        let mut seen = [0_u32; AT_ONCE];
        for (begun, block) in (0..).step_by(AT_ONCE).zip(text.chunks(AT_ONCE)) {
            let mut count = 0;
            for (at, byte) in (0_u32..).zip(block) {
                window = next(window, *byte);
                seen[count % AT_ONCE] = at << WINDOW_BITS | window as u32;
                count += usize::from(self.any[window / 64] >> (window % 64) & 1 != 0);
            }
            for place in &seen[..count] {
                let last = begun + (place >> WINDOW_BITS) as usize;
                let window = *place as usize % (WORDS * 64);
                let before = self.short[usize::from(text[last.saturating_sub(1)])].before;
                let mut groups = self.short[usize::from(text[last])].ends & before & live;
                while groups != 0 {
                    let group = groups.trailing_zeros() as usize;
                    groups &= groups - 1;
                    if visit(last + 1, group) {
                        live &= !(1 << group);
                    }
                }
                if let Some(group) = self.long_group(window) {
                    let follower = text.get(last + 1).map_or(1, |byte| 1 << class(*byte));
                    if self.followers[group - SHORT_GROUPS] & follower != 0 {
                        visit(last + 1, group);
                    }
                }
            }
        }
    }
}

fn boxed<T: std::fmt::Debug>(words: Vec<T>) -> Box<[T; WORDS]> {
    words.try_into().expect("one for each word")
}

/// A letter in both cases; any other byte by itself, twice.
fn cases(byte: u8) -> [u8; 2] {
    [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()]
}

/// What is left of a byte in whatever case it is; what else is alike then is told apart when
/// literals are compared. The bits that letters of either case share, and the one that they
/// have besides digits.
fn class(byte: u8) -> usize {
    usize::from(CLASSES[usize::from(byte)])
}

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = (byte >> 1 & 0x20 | byte & 0x1f) as u8;
        byte += 1;
    }
    classes
};

/// The classes of three bytes, side by side, when one more byte is seen.
fn next(window: usize, byte: u8) -> usize {
    (window << CLASS_BITS | class(byte)) % (WORDS * 64)
}

fn window(bytes: [u8; FIRST_BYTES]) -> usize {
    bytes.into_iter().fold(0, next)
}

fn set(bits: &mut [u64], place: usize) {
    bits[place / 64] |= 1 << (place % 64);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_beginning_is_visited_in_order(
            literals in proptest::collection::vec("[ab'|é{]{1,5}", 1..90),
            text in proptest::collection::vec(proptest::sample::select(&b"abAB'|{x\xc3\xa9"[..]), 0..200),
        ) {
            let literals: Vec<&[u8]> = literals.iter().map(String::as_bytes).collect();
            let beginnings = Beginnings::new(literals.iter().copied());
            let mut visited = Vec::new();
            beginnings.visit(&text, u64::MAX, |end, group| {
                visited.push((end, group));
                false
            });
            prop_assert!(visited.is_sorted_by_key(|(end, _)| *end));
            for literal in literals {
                let first_bytes = &literal[..literal.len().min(FIRST_BYTES)];
                for (at, window) in text.windows(first_bytes.len()).enumerate() {
                    let next = text.get(at + first_bytes.len()).map(u8::to_ascii_lowercase);
                    let goes_on = literal.get(FIRST_BYTES).is_none_or(|&byte| Some(byte) == next);
                    if window.eq_ignore_ascii_case(first_bytes) && goes_on {
                        let place = (at + first_bytes.len(), beginnings.group(literal));
                        prop_assert!(visited.contains(&place), "{literal:?} at {at}");
                    }
                }
            }
        }

        #[test]
        fn a_group_is_visited_until_it_is_done(quotes in 1_usize..300) {
            let beginnings = Beginnings::new([&b"'"[..], b"or "].into_iter());
            let text = "'or ".repeat(quotes);
            let mut visits = [0_usize; 2];
            beginnings.visit(text.as_bytes(), u64::MAX, |_, group| {
                visits[usize::from(group >= SHORT_GROUPS)] += 1;
                true
            });
            prop_assert!(visits[0] <= AT_ONCE);
            prop_assert_eq!(visits[1], quotes);
        }
    }
}
