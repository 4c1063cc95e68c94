//! What one request may cost.
//!
//! Finding literals takes about as long for any text, but whoever is watched chooses how many
//! rules his text makes suspect, and each reads it once more. So that has an end: far behind
//! what any real request needs, and told where it is reached.

/// Rules that reach the block level each by itself. When so many fired on a request, it is
/// searched no further: more would add nothing to what is decided, and a text made of
/// attacks, where every rule has much to confirm, would cost the most of all. No attack in
/// the labelled requests or the real logs sets off ten.
const BEYOND_DOUBT: u32 = 12;

/// Most bytes that all rules together read of one request to confirm what they suspect, each
/// rule's counted by itself. Of the labelled requests and the real logs one of 2,551 bytes
/// needs the most, 37,000. A query of 16 KiB, more than API Gateway takes, needs 71,000 where
/// it is honest, and 300,000 where it is random, a path 680,000.
const MOST_BYTES: u64 = 192 * 1024;

/// The same of rules that a mark or short word alone made suspect. Random text is full of
/// those, and of no word of an attack: a payload that is hidden in it is still searched for
/// its words.
const MOST_BYTES_FOR_MARKS: u64 = 80 * 1024;

/// Least bytes of a literal that is no mark.
const LEAST_WORD_BYTES: u32 = 4;

/// What beginning to read costs, in bytes read.
const CALL_BYTES: u64 = 32;

/// What was spent on the request at hand.
#[derive(Debug, Default)]
pub(super) struct Effort {
    bytes: u64,
    bytes_for_marks: u64,
    /// Rules that fired and reach the block level each by itself.
    blocking: u32,
    /// Whether something was not read since this was last asked.
    passed_over: bool,
}

impl Effort {
    /// Takes note that a rule is to read so many bytes, of which the longest literal that
    /// made it suspect is so long. Returns whether it may.
    pub(super) fn spend(&mut self, bytes: usize, longest_literal: u32) -> bool {
        let cost = bytes as u64 + CALL_BYTES;
        let may = if longest_literal >= LEAST_WORD_BYTES {
            !self.is_spent()
        } else {
            self.bytes_for_marks += cost;
            self.bytes_for_marks <= MOST_BYTES_FOR_MARKS
        };
        self.bytes += if may { cost } else { 0 };
        self.passed_over |= !may;
        may
    }

    /// Takes note of a rule that fired and reaches the block level by itself.
    pub(super) const fn blocks(&mut self) {
        self.blocking += 1;
    }

    /// Whether nothing more is looked for in the request.
    pub(super) const fn is_spent(&self) -> bool {
        self.blocking >= BEYOND_DOUBT || self.bytes > MOST_BYTES
    }

    /// Whether something was not read, or no more will be, since this was last asked.
    pub(super) fn take_passed_over(&mut self) -> bool {
        std::mem::take(&mut self.passed_over) || self.is_spent()
    }
}
