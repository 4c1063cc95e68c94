//! Counts what confirming each rule costs.
//!
//! A rule's literals are searched together with everyone's and cost nothing of their own.
//! What a rule does cost is what comes after: each text in which one of its literals
//! stands is read by its expressions and its tokeniser. Times of that depend on the
//! machine and the moment; bytes read do not, and can be compared between two versions of
//! a rule.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::rule::Signature;

/// What one rule cost. Adds up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    /// Texts in which a literal of the rule stands, in each view that differs.
    pub candidates: u64,
    /// Of those, the ones that were confirmed or not: the request met the rule's
    /// conditions, and the rule had not fired on it before.
    pub confirmations: u64,
    /// Bytes that the rule's expressions and tokeniser were given to read.
    pub bytes: u64,
    /// Requests on which the rule fired.
    pub hits: u64,
    /// The literals, as they stood in the text, by how many confirmations each began.
    pub literals: BTreeMap<Vec<u8>, u64>,
    /// Places of the `regex` that matched, as bits; those behind the 64th share the last.
    pub(crate) matched: u64,
    /// The same of `unless`.
    pub(crate) withdrawn: u64,
}

impl Work {
    /// Adds what the same rule cost elsewhere.
    pub fn add(&mut self, other: Self) {
        self.candidates += other.candidates;
        self.confirmations += other.confirmations;
        self.bytes += other.bytes;
        self.hits += other.hits;
        for (literal, count) in other.literals {
            *self.literals.entry(literal).or_default() += count;
        }
        self.matched |= other.matched;
        self.withdrawn |= other.withdrawn;
    }
}

/// What all rules cost. Adds up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Bytes that were searched for the literals of all rules together, each view that
    /// differs once.
    pub searched_bytes: u64,
    /// What each rule cost, by its index in the rule set.
    pub rules: Vec<Work>,
}

impl Census {
    pub(super) fn new(rules: usize) -> Self {
        Self { searched_bytes: 0, rules: vec![Work::default(); rules] }
    }

    /// Adds what the same rules cost elsewhere.
    pub fn add(&mut self, other: Self) {
        self.searched_bytes += other.searched_bytes;
        for (mine, theirs) in self.rules.iter_mut().zip(other.rules) {
            mine.add(theirs);
        }
    }

    pub(super) fn candidate(&mut self, rule: usize) {
        self.rules[rule].candidates += 1;
    }

    /// Counts a confirmation of which the outcome is known.
    pub(super) fn confirmation(
        &mut self,
        rule: usize,
        signature: &Signature,
        view: &[u8],
        literal: Range<u32>,
        hit: bool,
    ) {
        let work = &mut self.rules[rule];
        work.confirmations += 1;
        work.hits += u64::from(hit);
        let literal = view.get(literal.start as usize..literal.end as usize).unwrap_or_default();
        *work.literals.entry(literal.to_ascii_lowercase()).or_default() += 1;
        // The same steps as in confirming, each of which reads the text once.
        let length = view.len() as u64;
        if !signature.patterns.is_empty() {
            work.bytes += length;
            let matched = signature.patterns.matches_in(view);
            work.matched |= matched;
            if matched == 0 {
                return;
            }
        }
        if let Some(tokens) = signature.tokens {
            work.bytes += length;
            if tokens.find(view).is_none() {
                return;
            }
        }
        if !signature.unless.is_empty() {
            work.bytes += length;
            if signature.is_excused(view) {
                work.withdrawn |= signature.unless.matches_in(view);
            }
        }
        if signature.unless_whole.is_some() {
            work.bytes += length;
        }
    }
}
