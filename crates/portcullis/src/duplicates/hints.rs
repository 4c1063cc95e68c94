//! Guesses which records are twins while their objects are still being read.
//!
//! Firehose delivers a record again within minutes, so its twin mostly stands in the same
//! object or in one of the next. A small table that all threads write without waiting
//! remembers what was read last: every identity has one slot, and the next identity of that
//! slot takes it over. A guess may be wrong, for want of memory or because a thread was
//! ahead of another; whoever asks finds out later, and nothing but time is lost.

use std::sync::atomic::{AtomicU64, Ordering};

/// Slots, a power of two: 2 MiB of identities, of which the last hundred thousand or so are
/// still there.
const SLOTS: usize = 1 << 18;

/// Bits of a slot that number the object in which its identity was read; the others are the
/// identity's, whose lower ones choose the slot.
const OBJECT_BITS: u64 = 0xffff;

/// Identities that were read last, and in which objects.
pub(super) struct Hints(Box<[AtomicU64]>);

impl Default for Hints {
    fn default() -> Self {
        Self(std::iter::repeat_with(|| AtomicU64::new(0)).take(SLOTS).collect())
    }
}

impl Hints {
    /// Notes that the object of that number has a record of that identity.
    pub(super) fn note(&self, identity: u64, object: usize) {
        let noted = identity & !OBJECT_BITS | object as u64 & OBJECT_BITS;
        self.slot(identity).store(noted, Ordering::Relaxed);
    }

    /// Whether a record of that identity was noted, of an earlier object or of this one; if
    /// not, notes this one.
    pub(super) fn was_noted(&self, identity: u64, object: usize) -> bool {
        let noted = self.slot(identity).load(Ordering::Relaxed);
        // Numbers begin again after 65,536; those in the nearer half behind are earlier.
        let behind = (object as u64).wrapping_sub(noted) & OBJECT_BITS;
        let is_earlier = behind <= OBJECT_BITS / 2;
        let was_noted = noted != 0 && (noted ^ identity) & !OBJECT_BITS == 0 && is_earlier;
        if !was_noted {
            self.note(identity, object);
        }
        was_noted
    }

    fn slot(&self, identity: u64) -> &AtomicU64 {
        &self.0[identity as usize % SLOTS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_or_an_earlier_object_held_is_noted_and_what_a_later_one_holds_is_not() {
        let hints = Hints::default();
        let (one, other) = (0x1234_5678_9abc_def0, 0xffff_5678_9abc_def0);
        assert!(!hints.was_noted(one, 7));
        assert!(hints.was_noted(one, 7));
        assert!(hints.was_noted(one, 8));
        assert!(!hints.was_noted(one, 6), "object 7 was merely read sooner");
        assert!(hints.was_noted(one, 6));
        assert!(!hints.was_noted(other, 9), "another of the same slot");
        assert!(!hints.was_noted(one, 9), "the other took the slot over");
    }

    #[test]
    fn numbers_of_objects_begin_again() {
        let hints = Hints::default();
        assert!(!hints.was_noted(1 << 20, 65_535));
        assert!(hints.was_noted(1 << 20, 65_536));
    }
}
