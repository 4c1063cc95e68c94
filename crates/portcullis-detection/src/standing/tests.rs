use proptest::prelude::*;

use super::*;
use crate::correlation::Correlation;

fn weight() -> impl Strategy<Value = Weight> {
    let levels =
        (proptest::sample::select(Severity::ALL), proptest::sample::select(Confidence::ALL));
    let kind = proptest::sample::select(vec![
        (Category::ScannerUa, false, false),
        (Category::Sqli, false, false),
        (Category::Rate, true, false),
        (Category::Rate, true, true),
    ]);
    (levels, kind, 1..6_u64).prop_map(|((severity, confidence), kind, requests)| {
        let (category, is_rate, suggests) = kind;
        let rule_points = crate::level::points(severity, confidence);
        Weight { rule_points, category, severity, confidence, is_rate, suggests, requests }
    })
}

proptest! {
    #[test]
    fn a_change_that_is_named_is_the_least_that_changes_the_standing(
        weights in proptest::collection::vec(weight(), 0..5),
        (flagged, good, other) in (0..4_u64, 0..500_u64, 0..200_u64),
        (scanner_probes, is_crawler) in any::<(bool, bool)>(),
        (false_crawler, listed) in any::<(bool, bool)>(),
    ) {
        let of_rules: u32 = weights
            .iter()
            .map(|w| crate::level::source_points(w.rule_points, w.requests))
            .sum();
        let correlated = scanner_probes && good == 0 && weights.len() > 1;
        let of_correlation = Correlation::ScannerThatProbes.points();
        let said = [(Correlation::FalseCrawler, false_crawler), (Correlation::Listed, listed)];
        let said: Vec<Correlation> =
            said.into_iter().filter_map(|(one, holds)| holds.then_some(one)).collect();
        let of_hearsay: u32 = said.iter().map(|one| one.points()).sum();
        let score = of_rules + of_hearsay + if correlated { of_correlation } else { 0 };
        let mut with_attack = weights.clone();
        with_attack.push(Weight {
            rule_points: BLOCK_LEVEL,
            category: Category::Sqli,
            severity: Severity::Medium,
            confidence: Confidence::High,
            is_rate: false,
            suggests: false,
            requests: 1,
        });
        let figures = Figures {
            score,
            correlated,
            hearsay: Correlation::hearsay(&said),
            is_crawler,
            flagged_requests: flagged,
            good_requests: good,
            requests: flagged + good + other,
            weights: &weights,
        };
        let before = figures.standing();
        prop_assert!(!figures.grounds().is_empty());
        let in_full: Vec<Weight> = weights.iter().copied().filter(|w| !w.suggests).collect();
        prop_assert!(!is_crawler || before != Standing::Offender, "nothing makes one of a crawler");
        if before == Standing::Offender {
            let figures = Figures { weights: &in_full, ..figures };
            prop_assert_eq!(figures.standing(), before, "no suggestion makes an offender");
        }
        for change in figures.changes() {
            let after = |n: u64| match change {
                Change::OneFlaggedRequest | Change::OneAttack => Figures {
                    score: score + BLOCK_LEVEL,
                    flagged_requests: flagged + n,
                    requests: figures.requests + n,
                    weights: &with_attack,
                    ..figures
                },
                Change::OneGoodRequest => Figures {
                    score: score - of_correlation,
                    correlated: false,
                    good_requests: good + n,
                    requests: figures.requests + n,
                    ..figures
                },
                Change::GoodRequests(_) => Figures {
                    good_requests: good + n,
                    requests: figures.requests + n,
                    ..figures
                },
                Change::FlaggedRequests(_) => Figures {
                    score: if n == 0 { score } else { score + BLOCK_LEVEL },
                    flagged_requests: flagged + n,
                    requests: figures.requests + n,
                    weights: if n == 0 { &weights } else { &with_attack },
                    ..figures
                },
                Change::CertainRequests(_) => figures,
            }
            .standing();
            match change {
                Change::OneFlaggedRequest | Change::OneAttack | Change::OneGoodRequest => {
                    prop_assert_ne!(after(1), before);
                }
                Change::GoodRequests(n) | Change::FlaggedRequests(n) => {
                    prop_assert!(n > 0);
                    prop_assert_ne!(after(n), before);
                    prop_assert_eq!(after(n - 1), before);
                }
                Change::CertainRequests(n) => prop_assert!((1..=3).contains(&n)),
            }
        }
    }
}

#[track_caller]
fn check(rate: (Severity, Confidence, bool), is_crawler: bool, expected: (Standing, &[Ground])) {
    let (severity, confidence, suggests) = rate;
    let rule_points = crate::level::points(severity, confidence);
    let category = Category::Rate;
    let weight = Weight {
        rule_points,
        category,
        severity,
        confidence,
        is_rate: true,
        suggests,
        requests: 1,
    };
    let figures = Figures {
        score: rule_points,
        correlated: false,
        hearsay: 0,
        is_crawler,
        flagged_requests: 0,
        good_requests: 5_500,
        requests: 5_500,
        weights: &[weight],
    };
    assert_eq!((figures.standing(), &figures.grounds()[..]), expected, "{rate:?}");
}

#[test]
fn a_rate_that_weighs_too_little_is_watched_if_somebody_should_look() {
    use Confidence::{High, Low, Medium as Fair};
    let watched = (Standing::Watched, &[Ground::LesserRate, Ground::ScoreUnderLevel][..]);
    let quiet = (Standing::Quiet, &[Ground::ScoreUnderLevel][..]);
    check((Severity::Medium, Fair, false), false, watched);
    check((Severity::Medium, Fair, true), false, quiet);
    check((Severity::Medium, Fair, false), true, quiet);
    check((Severity::Medium, Low, false), false, quiet);
    check((Severity::Low, High, false), false, quiet);
}
