//! Guesses which records are twins while their objects are still being read.
//!
//! Firehose delivers a record again within minutes, so its twin mostly stands in the same
//! object or in one of the next. A small table that all threads write without waiting
//! remembers what was read last: an identity has a few slots, and takes over the one that was
//! noted longest ago. A guess may be wrong, for want of memory or because a thread was
//! ahead of another; whoever asks finds out later, and nothing but time is lost.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

/// Sets of slots: 1 MiB, as much as stays in a core's cache, in which the last hundred thousand
/// identities are still there. The lower bits of an identity choose its set.
const SETS: usize = 1 << 16;

/// Slots of a set, which one look at memory brings.
const WAYS: usize = 4;

/// Bits of a slot that number the object in which its identity was read. The others are the
/// upper ones of the identity: of a million records, some sixty pass for another's twin.
const OBJECT_BITS: u32 = 0xffff;

/// Identities that were read last, and in which objects.
pub(super) struct Hints(Box<[[AtomicU32; WAYS]]>);

impl Default for Hints {
    fn default() -> Self {
        Self(std::iter::repeat_with(Default::default).take(SETS).collect())
    }
}

impl Hints {
    /// Notes that the object of that number has a record of that identity.
    pub(super) fn note(&self, identity: u64, object: usize) {
        self.was_noted(identity, object);
    }

    /// Of each identity, whether a record of it was noted, of an earlier object or of this
    /// one; notes those that were not.
    pub(super) fn were_noted(&self, identities: &[u64], object: usize, noted: &mut [bool]) {
        // Nothing stands between one look and the next, so that memory answers all at once.
        black_box(identities.iter().fold(0, |all, identity| {
            all ^ self.0[*identity as usize % SETS][0].load(Ordering::Relaxed)
        }));
        for (noted, identity) in noted.iter_mut().zip(identities) {
            *noted = self.was_noted(*identity, object);
        }
    }

    /// The same of one.
    fn was_noted(&self, identity: u64, object: usize) -> bool {
        let set = &self.0[identity as usize % SETS];
        let upper = (identity >> 32) as u32 & !OBJECT_BITS;
        // Numbers begin again after 65,536; those in the nearer half behind are earlier.
        let object = object as u32;
        let behind = |noted: u32| object.wrapping_sub(noted) & OBJECT_BITS;
        let mut oldest = (0, 0);
        for (way, slot) in set.iter().enumerate() {
            let noted = slot.load(Ordering::Relaxed);
            if noted != 0 && noted & !OBJECT_BITS == upper {
                if behind(noted) <= OBJECT_BITS / 2 {
                    return true;
                }
                oldest = (u32::MAX, way);
            }
            let age = if noted == 0 { OBJECT_BITS + 1 } else { behind(noted) };
            if age >= oldest.0 {
                oldest = (age, way);
            }
        }
        set[oldest.1].store(upper | object & OBJECT_BITS, Ordering::Relaxed);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_or_an_earlier_object_held_is_noted_and_what_a_later_one_holds_is_not() {
        let hints = Hints::default();
        let one = 0x1234_5678_9abc_def0;
        assert!(!hints.was_noted(one, 7));
        assert!(hints.was_noted(one, 7));
        assert!(hints.was_noted(one, 8));
        assert!(!hints.was_noted(one, 6), "object 7 was merely read sooner");
        assert!(hints.was_noted(one, 6));
    }

    #[test]
    fn of_a_set_that_is_full_the_oldest_gives_way() {
        let hints = Hints::default();
        let identity = |number: u64| number << 48 | 0xdef0;
        for number in 1..=4 {
            assert!(!hints.was_noted(identity(number), number as usize));
        }
        assert!(!hints.was_noted(identity(5), 5));
        assert!(!hints.was_noted(identity(1), 5), "the fifth took its slot over");
        assert!(hints.was_noted(identity(3), 5));
        assert!(hints.was_noted(identity(5), 5));
    }

    #[test]
    fn numbers_of_objects_begin_again() {
        let hints = Hints::default();
        assert!(!hints.was_noted(1 << 60, 65_535));
        assert!(hints.was_noted(1 << 60, 65_536));
    }
}
