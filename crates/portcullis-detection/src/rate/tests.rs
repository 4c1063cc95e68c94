//! Windows against their definition, and what is counted.

use std::collections::{BTreeMap, HashSet};

use portcullis_ingest::{Timestamp, Untrusted};
use proptest::prelude::*;

use super::*;
use crate::rule::StatusSet;

/// A request: its second, what is told apart of it, whether it is counted, its bytes.
type Event = (i64, u64, bool, u64);

fn rate(measure: Measure, threshold: u64, minimum: u32, window_seconds: u32) -> Rate {
    Rate {
        by: Key::Client,
        measure,
        threshold,
        minimum,
        window_seconds,
        quiet_seconds: window_seconds,
        conditions: Conditions::default(),
    }
}

fn ordered(panes: impl Iterator<Item = Pane>) -> Vec<Pane> {
    let mut panes = panes.collect();
    pane::merge_equal(&mut panes, &[]);
    panes
}

fn windowed(rate: &Rate, events: &[Event]) -> Vec<Burst> {
    let width = i64::from(rate.pane_seconds());
    let pane = |event: &Event, key, bytes| Pane {
        second: event.0.div_euclid(width) * width,
        key,
        unclear: false,
        object: 0,
        offset: 0,
        count: 1,
        bytes,
    };
    let counted = ordered(events.iter().filter(|event| event.2).map(|event| {
        let key = if told_apart(rate.measure()).is_some() { event.1 } else { 0 };
        pane(event, key, if rate.measure() == Measure::Bytes { event.3 } else { 0 })
    }));
    let all = ordered(events.iter().map(|event| pane(event, 0, 0)));
    let (bursts, peak) = bursts(rate, counted.iter(), all.iter(), 0);
    let highest = bursts.iter().map(|burst| burst.peak).max();
    assert!(highest.is_none_or(|highest| highest == peak), "{peak}: {bursts:?}");
    bursts
}

/// The value of the window `[start, start + length)`, word for word; `None` when there is
/// too little in it.
fn naive_value(rate: &Rate, events: &[Event], start: i64, length: i64) -> Option<u64> {
    let inside: Vec<&Event> =
        events.iter().filter(|event| (start..start + length).contains(&event.0)).collect();
    let counted: Vec<&&Event> = inside.iter().filter(|event| event.2).collect();
    let apart: HashSet<u64> = counted.iter().map(|event| event.1).collect();
    let value = match rate.measure() {
        Measure::Count => counted.len() as u64,
        Measure::DistinctPaths | Measure::DistinctRoutes | Measure::DistinctAgents => {
            apart.len() as u64
        }
        Measure::DistinctObjects => {
            let mut routes: BTreeMap<u64, u64> = BTreeMap::new();
            for key in apart {
                *routes.entry(key >> (64 - key::ROUTE_BITS)).or_default() += 1;
            }
            routes.into_values().max().unwrap_or(0)
        }
        Measure::Bytes => counted.iter().map(|event| event.3).sum(),
        Measure::ErrorShare => (counted.len() as u64 * 100).checked_div(inside.len() as u64)?,
    };
    (counted.len() >= rate.minimum() as usize).then_some(value)
}

/// The definition, word for word: every window that begins at a counted request.
fn naive(rate: &Rate, events: &[Event]) -> Vec<Burst> {
    let width = i64::from(rate.pane_seconds());
    let length = i64::from(rate.window_seconds() / rate.pane_seconds()) * width;
    let events: Vec<Event> = events
        .iter()
        .map(|event| (event.0.div_euclid(width) * width, event.1, event.2, event.3))
        .collect();
    let counted: Vec<&Event> = events.iter().filter(|event| event.2).collect();
    let mut starts: Vec<i64> = counted.iter().map(|event| event.0).collect();
    starts.sort_unstable();
    starts.dedup();
    let mut bursts: Vec<(i64, Burst)> = Vec::new();
    for start in starts {
        let Some(value) = naive_value(rate, &events, start, length) else { continue };
        if value < rate.threshold() {
            continue;
        }
        let inside = counted.iter().filter(|event| (start..start + length).contains(&event.0));
        let last = inside.map(|event| event.0).max().expect("its first");
        let quiet = i64::from(rate.quiet_seconds());
        let joins =
            |(reach, burst): &&mut (i64, Burst)| start < *reach || start < burst.last + quiet;
        if let Some((reach, burst)) = bursts.last_mut().filter(joins) {
            *reach = start + length;
            burst.last = last;
            burst.peak = burst.peak.max(value);
        } else {
            bursts.push((start + length, Burst { first: start, last, peak: value, requests: 0 }));
        }
    }
    let requests = |burst: &Burst| {
        counted.iter().filter(|event| (burst.first..=burst.last).contains(&event.0)).count() as u64
    };
    bursts.into_iter().map(|(_, burst)| Burst { requests: requests(&burst), ..burst }).collect()
}

/// Requests over so many seconds, on two routes.
fn events(seconds: i64) -> impl Strategy<Value = Vec<Event>> {
    let apart = (1..3_u64, 1..8_u64).prop_map(|(route, path)| route << 40 | path);
    proptest::collection::vec((0..seconds, apart, any::<bool>(), 0..4_u64), 0..120)
}

proptest! {
    #[test]
    fn windows_equal_naive_windows(
        events in events(300),
        measure in proptest::sample::select(Measure::ALL),
        (threshold, minimum, window) in (1..12_u64, 1..6_u32, 1..70_u32),
        quiet in proptest::option::of(1..120_u32),
    ) {
        let is_share = measure == Measure::ErrorShare;
        let threshold = if is_share { threshold * 8 } else { threshold };
        let mut rate = rate(measure, threshold, if is_share { minimum } else { 1 }, window);
        rate.quiet_seconds = quiet.unwrap_or(window);
        prop_assert_eq!(windowed(&rate, &events), naive(&rate, &events));
    }

    #[test]
    fn long_windows_equal_naive_windows_of_whole_panes(
        events in events(400_000),
        measure in proptest::sample::select(Measure::ALL),
        (threshold, window) in (1..12_u64, 3_601..200_000_u32),
    ) {
        let is_share = measure == Measure::ErrorShare;
        let rate = rate(measure, if is_share { threshold * 8 } else { threshold }, 1, window);
        prop_assert_eq!(windowed(&rate, &events), naive(&rate, &events));
    }

    #[test]
    fn long_windows_err_by_less_than_one_pane(
        events in events(400_000),
        measure in proptest::sample::select(
            Measure::ALL.iter().copied().filter(|m| *m != Measure::ErrorShare).collect::<Vec<_>>()
        ),
        window in 3_601..200_000_u32,
    ) {
        let rate = rate(measure, 1, 1, window);
        let peak = windowed(&rate, &events).iter().map(|burst| burst.peak).max().unwrap_or(0);
        let true_peak = |length: i64| {
            let starts = events.iter().map(|event| event.0);
            starts.filter_map(|start| naive_value(&rate, &events, start, length)).max().unwrap_or(0)
        };
        let width = i64::from(rate.pane_seconds());
        prop_assert!(peak <= true_peak(i64::from(window)));
        prop_assert!(peak >= true_peak((i64::from(rate.panes()) - 1) * width));
        prop_assert!(rate.panes() <= Rate::MOST_PANES);
        prop_assert!(rate.panes() * rate.pane_seconds() + rate.pane_seconds() > window);
    }
}

#[test]
fn windows_up_to_an_hour_are_exact_to_the_second() {
    for window in [1, 60, 3_599, 3_600] {
        assert_eq!(rate(Measure::Count, 1, 1, window).pane_seconds(), 1);
    }
    assert_eq!(rate(Measure::Count, 1, 1, 86_400).pane_seconds(), 240);
}

#[test]
fn a_burst_across_a_minute_counts_once() {
    let events: Vec<Event> = (0..120).map(|n| (59 + n / 60, 1, true, 0)).collect();
    let bursts = windowed(&rate(Measure::Count, 100, 1, 60), &events);
    assert_eq!(bursts, [Burst { first: 59, last: 60, peak: 120, requests: 120 }]);
}

#[test]
fn two_bursts_are_one_only_within_the_quiet_period() {
    let events: Vec<Event> = (0..20).map(|n| (n / 10 * 1_000, 1, true, 0)).collect();
    let found = |quiet_seconds| {
        windowed(&Rate { quiet_seconds, ..rate(Measure::Count, 10, 1, 60) }, &events).len()
    };
    assert_eq!([found(60), found(1_000), found(1_001)], [2, 2, 1]);
}

#[test]
fn claimed_sizes_do_not_overflow() {
    let events: Vec<Event> = (0..4).map(|n| (n, 1, true, u64::MAX)).collect();
    let bursts = windowed(&rate(Measure::Bytes, 100, 1, 2), &events);
    assert_eq!(bursts.iter().map(|burst| burst.peak).max(), Some(u64::MAX));
}

#[test]
fn conditions_decide_what_is_counted() {
    let mut statuses = StatusSet::EMPTY;
    statuses.set(400..=499, true);
    statuses.set(404..=404, false);
    let conditions = Conditions { statuses: Some(statuses), ..Conditions::default() };
    let holds = |status| conditions.hold(&Request { status, ..Request::default() });
    assert!(holds(Some(403)));
    assert!(!holds(Some(404)) && !holds(Some(200)) && !holds(None));
}

#[test]
fn a_403_is_unclear_only_where_the_log_cannot_tell() {
    let refused = Request {
        status: Some(403),
        waf_is_unknown: true,
        time: Timestamp::from_epoch_ms(0),
        ..Request::default()
    };
    let denied = Some(Untrusted::new(b"ACCESS_DENIED"));
    assert!(may_be_blocked(&refused));
    assert!(!may_be_blocked(&Request { waf_is_unknown: false, ..refused }));
    assert!(!may_be_blocked(&Request { status: Some(401), ..refused }));
    assert!(!may_be_blocked(&Request { error_type: denied, ..refused }));
    assert!(!may_be_blocked(&Request { waf_action: Some(WafAction::Allow), ..refused }));
}

/// Rules that share a bank and rules that cannot.
fn plan() -> RatePlan {
    let statuses = |codes: std::ops::RangeInclusive<u16>| {
        let mut set = StatusSet::EMPTY;
        set.set(codes, true);
        Some(set)
    };
    let conditions = [
        Conditions::default(),
        Conditions { statuses: statuses(400..=499), ..Conditions::default() },
        Conditions { methods: vec!["PUT".to_owned()], ..Conditions::default() },
    ];
    let mut plan = RatePlan::default();
    for measure in Measure::ALL {
        for (conditions, pane_seconds) in conditions.iter().zip([1, 1, 240]) {
            plan.series(Counted {
                by: Key::Client,
                conditions: conditions.clone(),
                pane_seconds,
                apart: told_apart(*measure),
                sums_bytes: *measure == Measure::Bytes,
            });
        }
    }
    for (bank, number) in plan.banks.iter_mut().zip(0..) {
        let counted = |series: &usize| &plan.series[*series].counted;
        bank.fill(bank.series.clone().iter().map(counted));
        plan.by_client.push(number);
    }
    plan
}

fn room(plan: &RatePlan) -> Room<'_> {
    Room { rates: plan, objects: &[], most_entries: plan.most_entries(0) }
}

/// The panes of a series by their definition.
fn naive_panes(counted: &Counted, requests: &[Request<'_>], objects: &[Arc<str>]) -> Vec<Pane> {
    let panes = requests.iter().filter(|request| counted.conditions.hold(request));
    let panes = panes.filter_map(|request| {
        let width = i64::from(counted.pane_seconds);
        let key = match counted.apart {
            None => 0,
            Some(what) => key::apart(what, request, 0)?,
        };
        Some(Pane {
            second: request.time?.epoch_seconds().div_euclid(width) * width,
            key,
            unclear: may_be_blocked(request),
            object: request.origin.object.parse().expect("a number"),
            offset: request.origin.offset,
            count: 1,
            bytes: if counted.sums_bytes { request.response_bytes? } else { 0 },
        })
    });
    let mut panes = panes.collect();
    pane::merge_equal(&mut panes, objects);
    panes
}

fn requests() -> impl Strategy<Value = Vec<Request<'static>>> {
    let text = |texts: &'static [&'static str]| {
        proptest::option::of(proptest::sample::select(texts))
            .prop_map(|text| text.map(|text| Untrusted::new(text.as_bytes())))
    };
    let request = (
        (0..700_000_i64, proptest::option::of(200..600_u16), any::<bool>()),
        text(&["/a/1", "/a/2", "/b/1"]),
        text(&["GET", "PUT"]),
        proptest::option::of(0..9_u64),
        (0..3_usize, 0..50_u64),
    );
    let request =
        request.prop_map(|((ms, status, unknown), path, method, bytes, (object, offset))| {
            Request {
                time: Timestamp::from_epoch_ms(ms),
                status,
                waf_is_unknown: unknown,
                path,
                user_agent: path,
                method,
                response_bytes: bytes,
                origin: portcullis_ingest::Origin { object: ["0", "1", "2"][object], offset },
                ..Request::default()
            }
        });
    proptest::collection::vec(request, 0..200)
}

proptest! {
    #[test]
    fn panes_of_shared_entries_are_those_of_each_series(
        requests in requests(),
        split in any::<proptest::sample::Index>(),
    ) {
        let plan = plan();
        let objects: Vec<Arc<str>> = ["b", "c", "a"].map(Arc::from).to_vec();
        let room = Room { objects: &objects, ..room(&plan) };
        let counted = |requests: &[Request<'_>]| {
            let mut counts = Counts::default();
            for request in requests {
                let object = request.origin.object.parse().expect("a number");
                plan.observe_client(request, object, |entry| _ = counts.add(entry, room));
            }
            counts
        };
        let (left, right) = requests.split_at(split.index(requests.len() + 1));
        let mut merged = counted(left);
        merged.merge(counted(right), &[0, 1, 2], room);
        let whole = counted(&requests);
        for (series, planned) in plan.series.iter().enumerate() {
            let expected = naive_panes(&planned.counted, &requests, &objects);
            prop_assert_eq!(&whole.panes(&plan, series, &objects), &expected);
            prop_assert_eq!(&merged.panes(&plan, series, &objects), &expected);
        }
    }

    #[test]
    fn what_is_told_apart_less_is_counted_in_full_and_does_not_depend_on_order(
        requests in requests(),
        most in 1..40_usize,
    ) {
        let plan = plan();
        let folded = |requests: &mut dyn Iterator<Item = &Request<'static>>| {
            let mut counts = Counts::default();
            for request in requests {
                plan.observe_client(request, 0, |entry| _ = counts.add(entry, room(&plan)));
            }
            let totals = counts.totals(&plan);
            let panes_now = |counts: &Counts| -> Vec<Vec<Pane>> {
                (0..plan.series.len()).map(|series| counts.panes(&plan, series, &[])).collect()
            };
            let things = |panes: &Vec<Pane>| panes.iter().filter(|pane| pane.key != 0).count();
            let before = panes_now(&counts);
            counts.stay_below(most, room(&plan));
            assert_eq!(counts.totals(&plan), totals);
            let panes = panes_now(&counts);
            assert!(panes.iter().zip(&before).all(|(panes, before)| things(panes) <= things(before)));
            panes
        };
        prop_assert_eq!(folded(&mut requests.iter()), folded(&mut requests.iter().rev()));
    }
}

#[test]
fn millions_of_paths_of_one_client_are_told_apart_only_in_part() {
    let plan = plan();
    let mut counts = Counts::default();
    let mut folded = 0;
    for number in 0..1_200_000_u64 {
        let path = format!("/{number}");
        let request = Request {
            path: Some(Untrusted::new(path.as_bytes())),
            time: Timestamp::from_epoch_ms(i64::try_from(number).expect("small") * 10),
            status: Some(404),
            ..Request::default()
        };
        plan.observe_client(&request, 0, |entry| folded += counts.add(entry, room(&plan)).folded);
    }
    assert!(folded > 0);
    assert!(counts.bytes() <= 64 << 20, "{}", counts.bytes());
    let series = plan.series.iter().position(|series| series.counted.apart.is_some());
    let panes = counts.panes(&plan, series.expect("one"), &[]);
    let paths = panes.iter().filter(|pane| pane.key != 0).count();
    assert!((10_000..=1_200_000).contains(&paths), "{paths}");
    assert_eq!(panes.iter().map(|pane| u64::from(pane.count)).sum::<u64>(), 1_200_000);
}

/// Rules that tell things apart, with low thresholds, of short windows and a long one.
fn scans() -> RatePlan {
    let of = |measure, statuses: Option<u16>, threshold, window_seconds| {
        let statuses = statuses.map(|status| {
            let mut set = StatusSet::EMPTY;
            set.set(status..=status, true);
            set
        });
        let conditions = Conditions { statuses, ..Conditions::default() };
        Rate { conditions, ..rate(measure, threshold, 1, window_seconds) }
    };
    let rates = [
        of(Measure::DistinctPaths, Some(404), 5, 20),
        of(Measure::DistinctPaths, None, 14, 60),
        of(Measure::DistinctPaths, Some(404), 7, 7_200),
        of(Measure::DistinctObjects, None, 9, 30),
        of(Measure::DistinctAgents, Some(403), 4, 40),
    ];
    RatePlan::of_rates(rates.into_iter().enumerate())
}

/// One request of a client: seconds since the one before, what it asks for, how it is
/// answered, and whether AWS WAF may have answered.
type Asked = (i64, u8, u16, bool);

/// What each rule measured on requests that come in the order of time, and what is no longer
/// told apart when there may be so many entries.
fn measured(
    plan: &RatePlan,
    asked: &[Asked],
    most_entries: usize,
) -> (Vec<(u64, bool, bool)>, u64) {
    let room = Room { most_entries, ..room(plan) };
    let (mut counts, mut second, mut folded) = (Counts::default(), 0, 0);
    for (gap, thing, status, unknown) in asked {
        second += gap;
        let path = format!("/{}/{thing}", if thing % 2 == 0 { "a" } else { "b" });
        let request = Request {
            time: Timestamp::from_epoch_ms(second * 1_000),
            status: Some(*status),
            waf_is_unknown: *unknown,
            path: Some(Untrusted::new(path.as_bytes())),
            user_agent: Some(Untrusted::new(path.as_bytes())),
            ..Request::default()
        };
        plan.observe_client(&request, 0, |entry| folded += counts.add(entry, room).folded);
    }
    let objects: &[Arc<str>] = &["o".into()];
    let mut found: Vec<_> =
        plan.peaks(&counts, 0, objects).map(|peak| (peak.value, false, false)).collect();
    for bursts in plan.bursts(Key::Client, &counts, 0, objects) {
        (found[bursts.rule].1, found[bursts.rule].2) = (true, bursts.clear);
    }
    (found, folded)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_else_a_client_asked_for_a_rule_fires_on_it_when_it_would(
        runs in proptest::collection::vec(
            (
                (1..100_u32, 0..3_i64, 0..200_u8, any::<bool>()),
                // What counts for more rules than one is rare.
                prop_oneof![8 => Just(200_u16), 1 => Just(403), 1 => Just(404)],
            ),
            60..140,
        ),
    ) {
        let plan = scans();
        let asked: Vec<Asked> = runs
            .iter()
            .flat_map(|((length, gap, first, unknown), status)| {
                let length = if *status == 200 { *length } else { length % 8 };
                (0..length).map(move |number| {
                    (*gap, first.wrapping_add(number as u8), *status, *unknown)
                })
            })
            .collect();
        let (exact, none) = measured(&plan, &asked, usize::MAX);
        let (thinned, _) = measured(&plan, &asked, plan.needed_entries());
        prop_assert_eq!(none, 0);
        for (exact, thinned) in exact.iter().zip(&thinned) {
            prop_assert_eq!((exact.1, exact.2), (thinned.1, thinned.2));
            prop_assert!(thinned.0 <= exact.0);
        }
    }
}

#[test]
fn a_scan_among_thousands_of_other_requests_is_measured_in_full() {
    let plan = scans();
    // A path that is missing every ten minutes, and 15 others a second in between.
    let asked: Vec<Asked> = (0..108_000_u32)
        .map(|number| {
            let gap = i64::from(number % 15 == 0);
            if number % 9_000 == 0 {
                (gap, (number / 9_000) as u8, 404, false)
            } else {
                (gap, number as u8, 200, false)
            }
        })
        .collect();
    let (found, folded) = measured(&plan, &asked, plan.needed_entries());
    assert!(folded > 10_000, "{folded}");
    let (exact, _) = measured(&plan, &asked, usize::MAX);
    assert_eq!(exact[2], (12, true, true));
    assert_eq!(found[2], exact[2]);
}
