//! Which rule of the old set is which of the new.
//!
//! Rules are paired by id, whatever else changed. Two that have the same file say the same
//! of every request, which is what the rest of a comparison stands on.

use std::collections::BTreeMap;

use crate::level::named;
use crate::rule::{Rule, RuleSet};

/// Indices of what there is of both sets.
pub(super) const OLD: usize = 0;
pub(super) const NEW: usize = 1;

named! {
    /// What became of a rule.
    RuleChange {
        /// Only the new rules have it.
        Added = "added",
        /// Only the old rules have it.
        Removed = "removed",
        /// Both have it, and its files differ.
        Changed = "changed",
        /// Both have it, with the same file.
        Same = "same",
    }
}

/// The rules of both sets, paired by id.
pub(super) struct Pairs<'r> {
    pub(super) rules: [&'r RuleSet; 2],
    /// Sorted by id.
    pub(super) list: Vec<Pair<'r>>,
    /// For each set, the pair of each rule by its index.
    pub(super) of: [Vec<usize>; 2],
}

/// One rule of either set or both, with its indices.
pub(super) struct Pair<'r> {
    pub(super) old: Option<(usize, &'r Rule)>,
    pub(super) new: Option<(usize, &'r Rule)>,
    pub(super) change: RuleChange,
}

impl<'r> Pair<'r> {
    pub(super) fn rule(&self) -> &'r Rule {
        let (_, rule) = self.new.or(self.old).expect("a pair has a rule");
        rule
    }
}

impl<'r> Pairs<'r> {
    pub(super) fn new(old: &'r RuleSet, new: &'r RuleSet) -> Self {
        type Sides<'r> = [Option<(usize, &'r Rule)>; 2];
        let mut by_id: BTreeMap<&str, Sides<'r>> = BTreeMap::new();
        for (side, rules) in [old, new].into_iter().enumerate() {
            for (index, rule) in rules.rules().iter().enumerate() {
                by_id.entry(rule.id()).or_default()[side] = Some((index, rule));
            }
        }
        let mut pairs = Self {
            rules: [old, new],
            list: Vec::new(),
            of: [vec![0; old.rules().len()], vec![0; new.rules().len()]],
        };
        for [old, new] in by_id.into_values() {
            for (side, rule) in [old, new].into_iter().enumerate() {
                if let Some((index, _)) = rule {
                    pairs.of[side][index] = pairs.list.len();
                }
            }
            let change = match (old, new) {
                (None, _) => RuleChange::Added,
                (_, None) => RuleChange::Removed,
                (Some((_, old)), Some((_, new))) if old.source() == new.source() => {
                    RuleChange::Same
                }
                _ => RuleChange::Changed,
            };
            pairs.list.push(Pair { old, new, change });
        }
        pairs
    }
}
