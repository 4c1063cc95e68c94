//! What honest clients do, measured as the rate rules measure it.
//!
//! A threshold is a promise about people who did nothing wrong, and nobody knows their
//! traffic but who serves it. So each rule's peak is taken of every honest client of the
//! logs at hand, and a threshold is chosen by how many of them it may name. Who is honest
//! is not written in a log: here it is whoever no signature speaks against. A client that
//! only guesses passwords is among them, and shows as the highest peaks; that makes the
//! threshold that is chosen too high, never too low.

use std::sync::Arc;

use crate::coverage::Coverage;
use crate::rate::Key;
use crate::rule::{Measure, RuleKind, RuleSet};
use crate::source::Source;

/// How many honest clients a rule may name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// This share of all honest clients, from 0 to 1; rounded down to whole clients.
    Share(f64),
    /// So many.
    Clients(u64),
}

impl Budget {
    /// How many honest clients that is, of so many.
    pub fn clients(self, honest: u64) -> u64 {
        match self {
            Self::Share(share) => (honest as f64 * share.clamp(0.0, 1.0)) as u64,
            Self::Clients(clients) => clients,
        }
    }
}

/// Peaks of one rate rule over honest clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// The rule's id.
    pub rule: Arc<str>,
    /// What it counts.
    pub measure: Measure,
    /// Length of its window, in seconds.
    pub window_seconds: u32,
    /// Its threshold as it stands.
    pub threshold: u64,
    /// The highest window of each honest client of whom it counted anything, ascending.
    pub peaks: Vec<u64>,
}

/// What was measured of all honest clients.
#[derive(Debug, Clone, Default)]
pub struct Calibration {
    /// What was read, and what was forgotten when memory was full: whoever was calm. Peaks
    /// are then of the others, and shares of clients are of fewer than there were.
    pub coverage: Coverage,
    /// Clients.
    pub clients: u64,
    /// Of those, the ones that no signature speaks against.
    pub honest: u64,
    /// By rule id.
    pub rules: Vec<Measured>,
}

impl Calibration {
    /// Begins with no client.
    pub(crate) fn new(rules: &RuleSet) -> Self {
        let rates = rules.rules().iter().filter_map(|rule| match rule.kind() {
            RuleKind::Rate(rate) if rate.by() == Key::Client => Some(Measured {
                rule: Arc::clone(rule.shared_id()),
                measure: rate.measure(),
                window_seconds: rate.window_seconds(),
                threshold: rate.threshold(),
                peaks: Vec::new(),
            }),
            _ => None,
        });
        Self { rules: rates.collect(), ..Self::default() }
    }

    /// Takes in one client.
    pub(crate) fn add(&mut self, rules: &RuleSet, source: &Source, objects: &[Arc<str>]) {
        self.clients += 1;
        // Crawlers are not held to rates, so that no threshold need spare them.
        if !source.seems_honest() || source.is_crawler() {
            return;
        }
        self.honest += 1;
        // What was forgotten for want of memory was calm; coverage says that it is missing.
        let peaks = rules.rates().peaks(&source.counts, 0, objects);
        for peak in peaks.filter(|peak| peak.requests > 0) {
            let id = rules.rules()[peak.rule].shared_id();
            let of = self.rules.iter_mut().find(|measured| measured.rule == *id);
            of.expect("every rate by client is in the list").peaks.push(peak.value);
        }
    }

    /// Puts the peaks in order once every client was taken in.
    pub(crate) fn order(&mut self) {
        for measured in &mut self.rules {
            measured.peaks.sort_unstable();
        }
    }
}

impl Measured {
    /// The peak that the share `part` of `of` of the counted clients do not exceed, by the
    /// nearest rank; 0 where nobody was counted.
    pub fn quantile(&self, part: u64, of: u64) -> u64 {
        let rank = (self.peaks.len() as u64 * part).div_ceil(of).max(1);
        usize::try_from(rank - 1).ok().and_then(|place| self.peaks.get(place)).copied().unwrap_or(0)
    }

    /// The highest peak.
    pub fn highest(&self) -> u64 {
        self.peaks.last().copied().unwrap_or(0)
    }

    /// Honest clients that a threshold would name.
    pub fn named_at(&self, threshold: u64) -> u64 {
        (self.peaks.len() - self.peaks.partition_point(|peak| *peak < threshold)) as u64
    }

    /// The least threshold that names no more than the budget; `None` when there is none,
    /// because a share cannot exceed 100 percent.
    pub fn keeps(&self, budget: Budget, honest: u64) -> Option<u64> {
        let may_be_named = usize::try_from(budget.clients(honest)).unwrap_or(usize::MAX);
        // The first client from the top who must not be named.
        let spared = self.peaks.iter().rev().nth(may_be_named);
        let threshold = spared.map_or(1, |peak| peak + 1);
        (self.measure != Measure::ErrorShare || threshold <= 100).then_some(threshold)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn measured(mut peaks: Vec<u64>) -> Measured {
        peaks.sort_unstable();
        Measured {
            rule: "rate/x".into(),
            measure: Measure::Count,
            window_seconds: 60,
            threshold: 100,
            peaks,
        }
    }

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let measured = measured((1..=200).collect());
        assert_eq!(measured.quantile(50, 100), 100);
        assert_eq!(measured.quantile(99, 100), 198);
        assert_eq!(measured.quantile(999, 1_000), 200);
        assert_eq!(measured.highest(), 200);
        assert_eq!(super::Measured { peaks: Vec::new(), ..measured }.quantile(1, 2), 0);
    }

    #[test]
    fn no_share_is_higher_than_the_whole() {
        let share = Measured { measure: Measure::ErrorShare, ..measured(vec![30, 100, 100]) };
        assert_eq!(share.keeps(Budget::Clients(1), 3), None);
        assert_eq!(share.keeps(Budget::Clients(2), 3), Some(31));
    }

    proptest! {
        #[test]
        fn the_threshold_keeps_the_budget_and_no_lower_one_does(
            peaks in proptest::collection::vec(1..50_u64, 0..60),
            others in 0..40_u64,
            share in 0.0..1.0_f64,
        ) {
            let honest = peaks.len() as u64 + others;
            let measured = measured(peaks);
            let budget = (honest as f64 * share) as u64;
            let threshold = measured.keeps(Budget::Share(share), honest).expect("a count");
            prop_assert!(measured.named_at(threshold) <= budget);
            prop_assert!(threshold == 1 || measured.named_at(threshold - 1) > budget);
        }
    }
}
