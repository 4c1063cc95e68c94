//! What several findings on one source mean together.
//!
//! A scanner's agent alone may be a survey, three odd paths may be a broken link checker,
//! and a client without a good answer may be misconfigured. All of them at once is none of
//! these. Such reasoning easily becomes a number nobody can explain, so there is a small
//! list, each entry with a name, a plain reason and points of its own, and every one that
//! holds is a line in the sum of the score.
//!
//! Every fact used is a count or a set, so that a correlation holds or not in whatever
//! order the requests came.

use crate::level::named;

/// Different probes that make a scanner of what calls itself one.
const LEAST_PROBES: usize = 3;

/// Categories that make a tool of what tries them. A guess: a person tries one idea or
/// two; tools go through a list.
const LEAST_CATEGORIES: usize = 5;

/// Signature rules that must agree with a rate.
const LEAST_RULES: usize = 3;

/// Requests from which "all of them" says something.
const LEAST_REQUESTS: u64 = 10;

named! {
    /// Findings that mean more together than each alone.
    Correlation {
        /// A scanner that probes, and does nothing else.
        ScannerThatProbes = "scanner-that-probes",
        /// Attacks of many kinds.
        ManyKinds = "many-kinds",
        /// Signatures and rates agree.
        ProbesAndRate = "probes-and-rate",
        /// Every request was flagged.
        NothingButAttacks = "nothing-but-attacks",
        /// Says to be a crawler, and is not.
        FalseCrawler = "false-crawler",
        /// Rules fired, and a reputation list names it.
        Listed = "listed",
    }
}

/// What is known of a source, as correlations need it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Facts {
    /// Whether it calls itself a scanner or an attack tool.
    pub(crate) scanner_agent: bool,
    /// Different paths and queries that a rule about anything else than the agent fired
    /// on; counted up to [`Facts::MOST_PROBES`].
    pub(crate) probes: usize,
    /// Signature rules that fired, but those about the agent.
    pub(crate) rules: usize,
    /// Categories of those.
    pub(crate) categories: usize,
    /// All rules that fired, those about the agent and those that only suggest included.
    pub(crate) rules_of_any_kind: usize,
    /// Rate rules that fired.
    pub(crate) rates: usize,
    pub(crate) requests: u64,
    pub(crate) flagged_requests: u64,
    pub(crate) good_requests: u64,
    /// Requests whose agent names a crawler that does not ask from there.
    pub(crate) false_claims: u64,
    /// Whether a reputation list names it.
    pub(crate) listed: bool,
}

impl Facts {
    /// Most probes worth counting.
    pub(crate) const MOST_PROBES: usize = LEAST_PROBES;
}

impl Correlation {
    /// What it adds to the source's score. A guess each: as much as one request of medium
    /// severity where the correlation is a ground of its own, less where it only adds
    /// weight.
    pub const fn points(self) -> u32 {
        match self {
            Self::ScannerThatProbes | Self::ManyKinds => 50,
            Self::ProbesAndRate => 30,
            Self::NothingButAttacks | Self::FalseCrawler | Self::Listed => 20,
        }
    }

    /// Why it counts, as a sentence about the source.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ScannerThatProbes => {
                "it calls itself a scanner, sent 3 or more different probes, and no request of \
                 it was good"
            }
            Self::ManyKinds => {
                "rules of 5 or more categories fired, and more of its requests were flagged than \
                 good"
            }
            Self::ProbesAndRate => "3 or more signature rules and a rate speak against it",
            Self::NothingButAttacks => "each of its requests, 10 or more, was flagged",
            Self::FalseCrawler => {
                "it says to be a crawler, and its address is not among those that the crawler's \
                 operator publishes"
            }
            Self::Listed => "rules fired, and a reputation list that the operator gave names it",
        }
    }

    /// What is only said of a source, by itself or by others, in points: it counts as one
    /// observed rule, however much is said.
    pub(crate) fn hearsay(correlations: &[Self]) -> u32 {
        let said = correlations.iter().filter(|of| matches!(of, Self::FalseCrawler | Self::Listed));
        said.map(|of| of.points()).max().unwrap_or(0)
    }

    /// Whether it makes an offender of a source by itself.
    pub(crate) const fn is_ground(self) -> bool {
        matches!(self, Self::ScannerThatProbes)
    }

    const fn holds(self, facts: &Facts) -> bool {
        match self {
            Self::ScannerThatProbes => {
                facts.scanner_agent && facts.probes >= LEAST_PROBES && facts.good_requests == 0
            }
            Self::ManyKinds => {
                facts.categories >= LEAST_CATEGORIES && facts.flagged_requests > facts.good_requests
            }
            Self::ProbesAndRate => facts.rules >= LEAST_RULES && facts.rates > 0,
            Self::FalseCrawler => facts.false_claims > 0,
            Self::Listed => facts.listed && facts.rules_of_any_kind > 0,
            Self::NothingButAttacks => {
                facts.requests >= LEAST_REQUESTS && facts.flagged_requests == facts.requests
            }
        }
    }
}

/// Those that hold, in the order of the list.
pub(crate) fn correlations(facts: &Facts) -> Vec<Correlation> {
    Correlation::ALL.iter().copied().filter(|correlation| correlation.holds(facts)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(facts: Facts, expected: &[Correlation]) {
        assert_eq!(correlations(&facts), expected, "{facts:?}");
    }

    #[test]
    fn a_scanner_needs_three_probes_and_not_one_good_request() {
        let scanner = Facts { scanner_agent: true, probes: 3, requests: 4, ..Facts::default() };
        check(scanner, &[Correlation::ScannerThatProbes]);
        check(Facts { probes: 2, ..scanner }, &[]);
        check(Facts { good_requests: 1, ..scanner }, &[]);
        check(Facts { scanner_agent: false, ..scanner }, &[]);
    }

    #[test]
    fn many_kinds_weigh_nothing_where_most_is_good() {
        let tool = Facts { categories: 5, flagged_requests: 9, requests: 20, ..Facts::default() };
        check(tool, &[Correlation::ManyKinds]);
        check(Facts { categories: 4, ..tool }, &[]);
        check(Facts { good_requests: 9, ..tool }, &[]);
    }

    #[test]
    fn a_rate_agrees_with_three_signatures() {
        let both = Facts { rules: 3, rates: 1, requests: 500, ..Facts::default() };
        check(both, &[Correlation::ProbesAndRate]);
        check(Facts { rules: 2, ..both }, &[]);
        check(Facts { rates: 0, ..both }, &[]);
    }

    #[test]
    fn a_list_adds_to_a_rule_and_is_nothing_without_one() {
        let listed = Facts { listed: true, rules_of_any_kind: 1, ..Facts::default() };
        check(listed, &[Correlation::Listed]);
        check(Facts { rules_of_any_kind: 0, ..listed }, &[]);
        let twice = [Correlation::FalseCrawler, Correlation::Listed];
        assert_eq!(Correlation::hearsay(&twice), Correlation::hearsay(&twice[..1]));
    }

    #[test]
    fn one_false_claim_is_one() {
        check(
            Facts { false_claims: 1, requests: 9, ..Facts::default() },
            &[Correlation::FalseCrawler],
        );
    }

    #[test]
    fn all_of_ten_requests_say_more_than_all_of_nine() {
        let all = Facts { requests: 10, flagged_requests: 10, ..Facts::default() };
        check(all, &[Correlation::NothingButAttacks]);
        check(Facts { requests: 9, flagged_requests: 9, ..all }, &[]);
        check(Facts { requests: 11, ..all }, &[]);
    }
}
