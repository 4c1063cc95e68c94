use super::*;
use crate::term::later;
use crate::testing::{network, now};

fn additions(count: u32) -> Vec<(IpNet, Option<Timestamp>)> {
    let address = |number| std::net::Ipv4Addr::from(0xc612_0000_u32 + number);
    (0..count).map(|n| (IpNet::from(std::net::IpAddr::V4(address(n))), Some(now()))).collect()
}

/// A run over 1,000 entries that nothing stops.
fn quiet<'a>(additions: &'a [(IpNet, Option<Timestamp>)], figures: &'a Figures) -> Run<'a> {
    Run {
        halt: None,
        failed_runs: 0,
        additions,
        added_today: 0,
        removals: 0,
        entries: 1_000,
        figures,
        now: now(),
    }
}

#[track_caller]
fn check(run: &Run<'_>, expected: &[&str]) {
    let found: Vec<_> =
        brakes(run, &BrakeLimits::default()).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn each_count_is_held_against_its_limit() {
    let figures = Figures::default();
    check(&quiet(&additions(50), &figures), &[]);
    check(
        &quiet(&additions(51), &figures),
        &["brake adds-per-run: 51 additions in one run, limit 50"],
    );
    check(&Run { added_today: 450, ..quiet(&additions(50), &figures) }, &[]);
    check(
        &Run { added_today: 451, ..quiet(&additions(50), &figures) },
        &["brake adds-per-day: 501 additions in 24 h, limit 500"],
    );
    // Nothing to add: what was added before stops nobody.
    check(&Run { added_today: 900, failed_runs: 9, ..quiet(&[], &figures) }, &[]);
    check(
        &Run { failed_runs: 3, ..quiet(&additions(1), &figures) },
        &["brake failing-runs: 3 runs in a row failed, limit 3"],
    );
    check(
        &Run { halt: Some("set by hand"), ..quiet(&[], &figures) },
        &["brake halt: the kill switch is pulled: set by hand"],
    );
}

#[test]
fn small_sets_may_change_by_ten_and_large_ones_by_a_tenth() {
    let figures = Figures::default();
    let (ten, eleven, fifty) = (additions(10), additions(11), additions(50));
    check(&Run { entries: 0, ..quiet(&ten, &figures) }, &[]);
    check(
        &Run { entries: 109, ..quiet(&eleven, &figures) },
        &["brake change-share: 11 changes to 109 entries, limit 10 (10 %, at least 10)"],
    );
    check(&Run { entries: 500, ..quiet(&fifty, &figures) }, &[]);
    check(
        &Run { entries: 500, removals: 1, ..quiet(&fifty, &figures) },
        &["brake change-share: 51 changes to 500 entries, limit 50 (10 %, at least 10)"],
    );
    check(
        &Run { entries: 100, removals: 11, ..quiet(&[], &figures) },
        &[
            "brake change-share: 11 changes to 100 entries, limit 10 (10 %, at least 10)",
            "brake removals: 11 removals before their time from 100 entries, limit 10 (10 %, at least 10)",
        ],
    );
}

#[test]
fn what_honest_users_would_lose_is_held_against_what_they_do() {
    let one = additions(1);
    let figures = |blast_radius| Figures { blast_radius: Some(blast_radius), ..Figures::default() };
    let fair = BlastRadius {
        good_requests: 1_000,
        blocked_good_requests: 5,
        principals: 1_000,
        blocked_principals: 1,
    };
    check(&quiet(&one, &figures(fair)), &[]);
    let unfair = BlastRadius { blocked_good_requests: 6, blocked_principals: 2, ..fair };
    check(
        &quiet(&one, &figures(unfair)),
        &[
            "brake blast-requests: 6 of 1000 good requests (0.60 %) would have been blocked, limit 0.5 %",
            "brake blast-principals: 2 of 1000 principals (0.20 %) would have been blocked, limit 0.1 %",
        ],
    );
}

#[test]
fn a_log_that_could_not_be_read_blocks_nobody() {
    let one = additions(1);
    let fair = Figures { records: 1_000, unreadable: 10, ..Figures::default() };
    check(&quiet(&one, &fair), &[]);
    let poor = Figures { unreadable: 11, ..fair };
    check(
        &quiet(&one, &poor),
        &["brake coverage: 11 of 1000 records (1.10 %) could not be read, limit 1 %"],
    );
    check(&quiet(&[], &poor), &[]);
}

#[test]
fn ten_additions_of_one_origin_stop_and_nine_do_not() {
    let from = |additions| Figures {
        origin: Some(Origin { name: "AS64496".to_owned(), additions }),
        ..Figures::default()
    };
    check(&quiet(&additions(9), &from(9)), &[]);
    check(&quiet(&additions(10), &from(5)), &[]);
    check(
        &quiet(&additions(10), &from(6)),
        &["brake one-origin: 6 of 10 additions come from AS64496, limit 50 %"],
    );
}

#[test]
fn wide_networks_and_old_evidence_stop() {
    let figures = Figures::default();
    let wide = [(network("2001:db8::/47"), Some(now()))];
    check(&quiet(&wide, &figures), &["brake prefix-width: 2001:db8::/47 is a /47, limit /48"]);
    let one = additions(1);
    let day = 24 * HOUR_MS;
    check(&Run { now: later(now(), day), ..quiet(&one, &figures) }, &[]);
    check(
        &Run { now: later(now(), day + 60_000), ..quiet(&one, &figures) },
        &[
            "brake evidence-age: the newest evidence against 198.18.0.0/32 is 1441 min old, limit 1440 min",
        ],
    );
}

#[test]
fn a_brake_is_released_by_its_name_and_a_reason() {
    #[track_caller]
    fn refused(text: &str, expected: &str) {
        let error = BrakeOverride::parse(text).expect_err("no override").to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    for brake in Brake::ALL {
        let parsed = BrakeOverride::parse(&format!("{brake}=seen by two of us"));
        let reason = "seen by two of us".to_owned();
        assert_eq!(parsed, Ok(BrakeOverride { brake, reason }));
    }
    refused("halt", "brake halt is not released without a reason; write `halt=REASON`");
    refused("halt= ", "brake halt is not released");
    refused("everything=please", "`everything` is no brake; the brakes are halt, failing-runs");
}

#[test]
fn evidence_ahead_of_the_clock_stops_the_run() {
    let figures = Figures::default();
    let seen = |minutes: i64| {
        let mut additions = additions(2);
        additions[1].1 = Some(later(now(), minutes * 60_000));
        additions
    };
    check(&quiet(&seen(5), &figures), &[]);
    let expected = "brake evidence-age: the newest evidence against 198.18.0.1/32 is of \
                    2025-11-04T09:18:00.000Z, ahead of the clock, which says \
                    2025-11-04T09:12:00.000Z";
    check(&quiet(&seen(6), &figures), &[expected]);
}
