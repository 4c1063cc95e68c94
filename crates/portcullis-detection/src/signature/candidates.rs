//! The rules whose literals a search has seen, and what it need not tell again.

use crate::view::View;

/// A rule whose literal was seen, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) rule: u32,
    pub(super) view: View,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// Candidates of one search, and scratch memory to find them.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    pub(super) found: Vec<Candidate>,
    /// For each group of literals, the search in which none had anything left to say.
    pub(super) spent_groups: Vec<u64>,
    /// The same for each literal.
    pub(super) spent: Vec<u64>,
    /// The same for each use of a literal.
    pub(super) spent_uses: Vec<u64>,
    pub(super) search: u64,
}

impl Candidates {
    pub(super) const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Begins another search, with so many groups of literals, literals and uses of them.
    pub(super) fn begin(&mut self, groups: usize, literals: usize, uses: usize) {
        self.search += 1;
        let spent = [&mut self.spent_groups, &mut self.spent, &mut self.spent_uses];
        for (spent, count) in spent.into_iter().zip([groups, literals, uses]) {
            spent.resize(spent.len().max(count), 0);
        }
    }

    /// Each rule and view once, at its first literal.
    pub(super) fn found(&mut self) -> impl Iterator<Item = Candidate> {
        self.found.sort_unstable();
        self.found.dedup_by_key(|candidate| (candidate.rule, candidate.view));
        self.found.iter().copied()
    }

    pub(super) fn clear(&mut self) {
        self.found.clear();
    }
}
