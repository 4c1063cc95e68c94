//! What must hold for any requests, in any order, in any shape.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use portcullis_detection::{
    Offender, Outcome, Question, Scan, Standing, Texts, request_score, source_points,
};
use portcullis_ingest::{Origin, Reject, RejectReason, Request, Untrusted, WafAction};
use proptest::prelude::*;

use crate::sent::{Sent, observe, parts, rules, scanned, see_object};

/// A record that was refused, and names somebody's address all the same.
#[derive(Debug, Clone)]
struct Refused {
    reason: RejectReason,
    object: &'static str,
    offset: u64,
}

fn refused() -> impl Strategy<Value = Refused> {
    let reason = prop::sample::select(&RejectReason::ALL[..]);
    let object = prop_oneof![Just("b"), Just("a"), Just("c")];
    (reason, object, 0..40_u64).prop_map(|(reason, object, offset)| Refused {
        reason,
        object,
        offset,
    })
}

fn refuse(scan: &mut Scan<'_>, refused: &Refused) {
    let text = br#"{"ip":"192.0.2.1","path":"/<script>/.env","ip":"192.0.2.9","ua":"Prober/1"}"#;
    scan.observe_reject(&Reject {
        reason: refused.reason,
        text: Untrusted::new(text),
        origin: Origin { object: refused.object, offset: refused.offset },
        length: text.len() as u64,
        is_searched: true,
    });
}

fn sent() -> impl Strategy<Value = Sent> {
    let client = prop_oneof![
        6 => (0..3_u8).prop_map(|host| Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)))),
        2 => (0..3_u16).prop_map(|host| Some(IpAddr::from([0x2001, 0xdb8, 0, host / 2, 0, 0, 0, host]))),
        1 => Just(None),
    ];
    let path = prop_oneof![
        Just("/"),
        Just("/a"),
        Just("/b"),
        Just("/c"),
        Just("/d"),
        Just("/e"),
        Just("/.env"),
        Just("/%2egit/config"),
        Just("/<script>"),
    ];
    let query = prop_oneof![
        4 => Just(None),
        1 => Just(Some("id=1'+or+1=1--")),
        1 => Just(Some("q=%253Cscript%253E&name=O'Brien")),
    ];
    let agent =
        prop_oneof![3 => Just(None), 1 => Just(Some("Prober/1")), 2 => Just(Some("curl/8"))];
    let time = prop_oneof![
        9 => (0..40_000_i64).prop_map(|ms| Some(1_700_000_000_000 + ms)),
        1 => Just(None),
    ];
    let status = prop_oneof![3 => Just(200), 2 => Just(403), 1 => Just(404)];
    let waf = prop_oneof![5 => Just(None), 1 => Just(Some(WafAction::Block))];
    (
        (prop_oneof![Just("b"), Just("a"), Just("c")], 0..1_000_u64),
        (client, time, path, query, agent),
        (status, proptest::option::of(0..4_u8), waf, any::<bool>()),
    )
        .prop_map(
            |(
                (object, offset),
                (client, epoch_ms, path, query, agent),
                (status, principal, waf_action, waf_is_unknown),
            )| Sent {
                object,
                offset,
                client,
                epoch_ms,
                path,
                query,
                agent,
                status,
                principal: principal.map(|number| [number]),
                waf_action,
                waf_is_unknown,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn findings_do_not_depend_on_order(
        requests in proptest::collection::vec(sent(), 0..120),
        seed in any::<prop::sample::Index>(),
    ) {
        let expected = scanned(&requests);
        let mut turned = requests.clone();
        turned.reverse();
        prop_assert_eq!(&scanned(&turned), &expected);
        if !turned.is_empty() {
            let middle = seed.index(turned.len());
            turned.rotate_left(middle);
        }
        turned.sort_by_key(|sent| sent.offset % 7);
        prop_assert_eq!(&scanned(&turned), &expected);
    }

    #[test]
    fn findings_do_not_depend_on_the_split(
        requests in proptest::collection::vec((sent(), 0..4_usize), 0..120),
        left_first in any::<bool>(),
    ) {
        let whole: Vec<Sent> = requests.iter().map(|(sent, _)| sent.clone()).collect();
        let mut parts: Vec<Scan<'_>> = (0..4).map(|_| Scan::new(rules())).collect();
        for (sent, part) in &requests {
            observe(&mut parts[*part], sent);
        }
        let [a, b, c, d]: [Scan<'_>; 4] = parts.try_into().ok().expect("four parts");
        let (mut first, second) = if left_first {
            let (mut left, mut right) = (a, c);
            left.merge(b);
            right.merge(d);
            (left, right)
        } else {
            let (mut left, mut right) = (d, b);
            right.merge(c);
            left.merge(right);
            right = a;
            (left, right)
        };
        first.merge(second);
        prop_assert_eq!(first.finish(), scanned(&whole));
    }

    #[test]
    fn forgeries_are_findings_in_any_order_and_blame_nobody(
        requests in proptest::collection::vec(sent(), 0..60),
        refused in proptest::collection::vec((refused(), any::<bool>()), 0..60),
    ) {
        let honest = scanned(&requests);
        let (mut first, mut second) = (Scan::new(rules()), Scan::new(rules()));
        for sent in &requests {
            observe(&mut first, sent);
        }
        for (refused, left) in &refused {
            refuse(if *left { &mut first } else { &mut second }, refused);
        }
        second.merge(first);
        let findings = second.finish();
        prop_assert_eq!(&findings.offenders, &honest.offenders);
        prop_assert_eq!(&findings.watched, &honest.watched);

        let mut backwards = Scan::new(rules());
        for (refused, _) in refused.iter().rev() {
            refuse(&mut backwards, refused);
        }
        let backwards = backwards.finish();
        prop_assert_eq!((backwards.offenders.len(), backwards.watched.len()), (0, 0));
        prop_assert_eq!(&backwards.forgeries, &findings.forgeries);

        let suspected = |reason: RejectReason| {
            let counts = findings.coverage.rejects.iter();
            let mut counts = RejectReason::ALL.iter().zip(counts);
            counts.find(|(known, _)| **known == reason).map(|(_, count)| *count)
        };
        for forgery in &findings.forgeries {
            prop_assert_eq!(suspected(forgery.reason), Some(forgery.records));
            let mut places: Vec<(&str, u64)> = refused
                .iter()
                .filter(|(refused, _)| refused.reason == forgery.reason)
                .map(|(refused, _)| (refused.object, refused.offset))
                .collect();
            places.sort_unstable();
            places.dedup();
            let last = (&*forgery.last.object, forgery.last.offset);
            prop_assert_eq!(places.last(), Some(&last));
            places.truncate(3);
            let kept: Vec<(&str, u64)> =
                forgery.evidence.iter().map(|kept| (&*kept.object, kept.offset)).collect();
            prop_assert_eq!(kept, places);
        }
        let told: u64 = findings.forgeries.iter().map(|forgery| forgery.records).sum();
        let expected = refused.iter().filter(|(r, _)| r.reason.suggests_forgery()).count();
        prop_assert_eq!(told, expected as u64);
    }

    #[test]
    fn what_sources_did_well_depends_on_the_requests_alone(
        requests in proptest::collection::vec(sent(), 0..120),
        cut in any::<prop::sample::Index>(),
    ) {
        let traffic = |requests: &[Sent]| {
            let mut scan = Scan::new(rules());
            for sent in requests {
                observe(&mut scan, sent);
            }
            scan.traffic()
        };
        let whole = traffic(&requests);
        let (front, back) = requests.split_at(cut.index(requests.len() + 1));
        let mut joined = traffic(back);
        joined.merge(traffic(front));
        prop_assert_eq!(&joined, &whole);
        // What AWS WAF stopped was not answered well, whatever status it was given.
        let passed = requests.iter().filter(|sent| sent.waf_action != Some(WafAction::Block));
        let answered = passed.filter(|sent| sent.client.is_some() && sent.status == 200);
        prop_assert!(whole.good_requests() <= answered.count() as u64);
        let offenders = scanned(&requests).offenders;
        for offender in offenders {
            let known: u64 = whole.within(offender.source).map(|(_, well)| well.good_requests).sum();
            prop_assert_eq!(known, offender.good_requests);
        }
    }

    #[test]
    fn an_account_says_what_the_findings_say_however_the_work_was_split(
        requests in proptest::collection::vec(sent(), 1..80),
        split in any::<prop::sample::Index>(),
    ) {
        let findings = scanned(&requests);
        let clients: BTreeSet<IpAddr> = requests.iter().filter_map(|sent| sent.client).collect();
        for client in clients {
            let asked = || Scan::asked(rules(), Question::Source(client));
            let (left, right) = requests.split_at(split.index(requests.len()));
            let (mut whole, mut first, mut second) = (asked(), asked(), asked());
            for (scan, part) in
                [(&mut whole, &requests[..]), (&mut first, left), (&mut second, right)]
            {
                for sent in part {
                    observe(scan, sent);
                }
            }
            second.merge(first);
            let answer = whole.answer().expect("a question was asked");
            prop_assert_eq!(&second.answer(), &Some(answer.clone()));
            let account = answer.account.expect("it sent requests");
            prop_assert_eq!(account.score, parts(&account.detections, &account.correlations));
            prop_assert!(account.outcomes.requests() >= account.flagged_requests);
            prop_assert!(!account.grounds.is_empty());
            let named = |offenders: &[Offender]| {
                offenders.iter().find(|offender| offender.source == account.source).cloned()
            };
            let offender = match account.standing {
                Standing::Offender => named(&findings.offenders),
                Standing::Watched => named(&findings.watched),
                Standing::Quiet => {
                    prop_assert_eq!(named(&findings.offenders), None);
                    prop_assert_eq!(named(&findings.watched), None);
                    continue;
                }
            };
            let offender = offender.expect("the findings name it in the same list");
            prop_assert_eq!(offender.score, account.score);
            prop_assert_eq!(offender.detections, account.detections);
            prop_assert_eq!(offender.good_requests, account.good_requests);
        }
    }

    #[test]
    fn an_overview_adds_up_and_does_not_depend_on_order_or_split(
        requests in proptest::collection::vec(sent(), 0..120),
        split in any::<prop::sample::Index>(),
    ) {
        let surveyed = |requests: &mut dyn Iterator<Item = &Sent>| {
            let mut scan = Scan::surveying(rules());
            requests.for_each(|sent| observe(&mut scan, sent));
            scan
        };
        let (findings, overview) = surveyed(&mut requests.iter()).overview();
        prop_assert_eq!(&findings, &scanned(&requests));
        let (left, right) = requests.split_at(split.index(requests.len() + 1));
        let mut merged = surveyed(&mut right.iter().rev());
        merged.merge(surveyed(&mut left.iter()));
        prop_assert_eq!(&merged.overview().1, &overview);

        prop_assert_eq!(overview.outcomes.requests(), findings.coverage.requests);
        let shown = findings.offenders.iter().chain(&findings.watched);
        prop_assert_eq!(shown.clone().count(), overview.stories.len());
        for offender in shown {
            let story = &overview.stories[&offender.source];
            prop_assert_eq!(story.outcomes.requests(), offender.requests);
            prop_assert!(story.statuses.values().sum::<u64>() <= offender.requests);
            for worked in &story.worked.kept {
                prop_assert_eq!(worked.requests, worked.answered);
                let of_path = |texts: &Texts| -> Option<u64> {
                    let mut same = texts.kept.iter().filter(|kept| kept.text == worked.text);
                    same.next().map(|kept| kept.answered)
                };
                // Of all requests with that path at least those worked, if it was kept.
                prop_assert!(of_path(&story.probed).is_none_or(|all| all == worked.requests));
                prop_assert!(of_path(&story.paths).is_none_or(|all| all >= worked.requests));
            }
        }
    }

    #[test]
    fn states_are_the_same_bytes_in_whatever_order_and_split_and_give_the_same_findings(
        requests in proptest::collection::vec((sent(), 0..3_usize), 0..80),
        rejects in proptest::collection::vec(refused(), 0..6),
    ) {
        let mut whole = Scan::new(rules());
        let mut parts: Vec<Scan<'_>> = (0..3).map(|_| Scan::new(rules())).collect();
        for (sent, _) in &requests {
            observe(&mut whole, sent);
        }
        for (sent, part) in requests.iter().rev() {
            observe(&mut parts[*part], sent);
        }
        for rejected in &rejects {
            refuse(&mut whole, rejected);
            refuse(&mut parts[2], rejected);
        }
        see_object(&mut whole);
        see_object(&mut parts[1]);
        let bytes = whole.into_bytes();

        // Late and in another order, as a cluster or a later run would bring them.
        let mut absorbed = Scan::new(rules());
        for mut part in parts {
            for (key, state) in part.drain().into_iter().rev() {
                prop_assert_eq!(absorbed.absorb(&key, &state), Ok(()));
            }
            prop_assert_eq!(part.drain().len(), 1, "only the summary is left, of nothing");
        }
        prop_assert_eq!(&absorbed.into_bytes(), &bytes);

        let read = || Scan::from_bytes(rules(), &bytes).expect("the bytes of a scan");
        prop_assert_eq!(&read().into_bytes(), &bytes);
        let mut expected = Scan::new(rules());
        for (sent, _) in &requests {
            observe(&mut expected, sent);
        }
        for rejected in &rejects {
            refuse(&mut expected, rejected);
        }
        see_object(&mut expected);
        prop_assert_eq!(read().finish(), expected.finish());
    }

    #[test]
    fn no_state_panics(
        requests in proptest::collection::vec(sent(), 1..40),
        rejects in proptest::collection::vec(refused(), 0..3),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in any::<prop::sample::Index>(),
    ) {
        let mut scan = Scan::new(rules());
        for sent in &requests {
            observe(&mut scan, sent);
        }
        for rejected in &rejects {
            refuse(&mut scan, rejected);
        }
        see_object(&mut scan);
        let states = scan.drain();
        let mut hostile = Scan::new(rules());
        for (key, state) in &states {
            let mut state = state.clone();
            let cut = &state[..end.index(state.len())];
            prop_assert!(hostile.absorb(key, cut).is_err(), "cut short");
            // Behind the header, which refuses whatever else it says.
            for (place, byte) in &changes {
                let place = 9 + place.index(state.len() - 9);
                state[place] = *byte;
            }
            let _ = hostile.absorb(key, &state);
        }
        hostile.finish();
    }

    #[test]
    fn scores_are_the_sums_of_their_parts(requests in proptest::collection::vec(sent(), 1..60)) {
        let findings = scanned(&requests);
        for offender in findings.offenders.iter().chain(&findings.watched) {
            prop_assert_eq!(offender.score, parts(&offender.detections, &offender.correlations));
            prop_assert!(offender.flagged_requests + offender.good_requests <= offender.requests);
            for detection in &offender.detections {
                prop_assert!((1..=3).contains(&detection.evidence.len()));
                let shown = detection.evidence.iter().filter_map(|evidence| evidence.outcome);
                if detection.rate.is_none() {
                    prop_assert_eq!(detection.outcomes.requests(), detection.requests);
                }
                // What is shown is among what was counted.
                for outcome in shown {
                    prop_assert!(detection.outcomes.of(outcome) > 0);
                }
            }
            let sources = requests.iter().filter(|sent| {
                sent.client.is_some_and(|client| offender.source.contains(&client))
            });
            for detection in offender.detections.iter().filter(|one| one.rate.is_none()) {
                let number = rules().rules().iter().position(|rule| rule.id() == &*detection.rule);
                let number = number.expect("a rule of the set");
                // What AWS WAF stopped is held against nobody.
                let fired = sources.clone().filter(|sent| {
                    if sent.waf_action == Some(WafAction::Block) {
                        return false;
                    }
                    let verdict = rules().classify(&sent.request());
                    verdict.hits().iter().any(|hit| hit.rule == number)
                });
                let fired = fired.count() as u64;
                prop_assert_eq!(detection.requests, fired);
                let points = source_points(rules().rules()[number].points(), fired);
                prop_assert_eq!(detection.points, points);
            }
            let mut flagged = 0;
            let mut answered = 0;
            for sent in sources {
                if rules().classify(&sent.request()).flagged() {
                    flagged += 1;
                    let stopped = sent.waf_action == Some(WafAction::Block);
                    answered += u64::from(sent.status == 200 && !stopped);
                }
            }
            prop_assert_eq!(offender.outcomes.requests(), flagged);
            prop_assert_eq!(offender.outcomes.of(Outcome::Answered), answered);
        }
        let mut classifier = rules().classifier();
        for sent in &requests {
            let verdict = classifier.classify(&Request {
                path: Some(Untrusted::new(sent.path.as_bytes())),
                query: sent.query.map(|query| Untrusted::new(query.as_bytes())),
                ..Request::default()
            });
            let parts = verdict.hits().iter().map(|hit| {
                let rule = &rules().rules()[hit.rule];
                (rule.category(), rule.points())
            });
            prop_assert_eq!(verdict.score(), request_score(parts));
        }
    }

    #[test]
    fn verdicts_do_not_depend_on_what_was_judged_before(
        requests in proptest::collection::vec(sent(), 1..60),
    ) {
        let mut classifier = rules().classifier();
        for sent in &requests {
            let request = Request {
                method: Some(Untrusted::new(if sent.offset % 2 == 0 { b"GET" } else { b"POST" })),
                path: Some(Untrusted::new(sent.path.as_bytes())),
                query: sent.query.map(|query| Untrusted::new(query.as_bytes())),
                user_agent: sent.agent.map(|agent| Untrusted::new(agent.as_bytes())),
                ..Request::default()
            };
            prop_assert_eq!(classifier.classify(&request), &rules().classify(&request));
        }
    }

    #[test]
    fn parts_of_a_query_are_searched_the_same_with_and_without_shortcuts(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "a", "=", "&", "1", "union", " ", "select", "1,2", "'", "or", "x=", "--", "id", ";",
            ]),
            0..14,
        ),
    ) {
        // What is encoded is searched part by part; what is not, only where the search of
        // the whole query saw a literal.
        let query = pieces.concat();
        let encoded: String = query
            .chars()
            .map(|c| if matches!(c, '&' | '=') { c.to_string() } else { format!("%{:02x}", c as u32) })
            .collect();
        let fired = |query: &str| {
            let verdict = rules().classify(&Request {
                query: Some(Untrusted::new(query.as_bytes())),
                ..Request::default()
            });
            verdict.hits().iter().map(|hit| hit.rule).collect::<Vec<_>>()
        };
        let expected = fired(&encoded);
        prop_assert_eq!(&fired(&query), &expected);
        prop_assert_eq!(&fired(&format!("{query}&z=%7a")), &expected);
        prop_assert_eq!(&fired(&format!("z=%7a&{query}")), &expected);
    }

    #[test]
    fn no_bytes_panic(
        path in hostile(), query in hostile(), agent in hostile(), raw in hostile(),
    ) {
        let mut classifier = rules().classifier();
        let request = Request {
            path: Some(Untrusted::new(&path)),
            query: Some(Untrusted::new(&query)),
            user_agent: Some(Untrusted::new(&agent)),
            ..Request::default()
        };
        let verdict = classifier.classify(&request);
        for hit in verdict.hits() {
            prop_assert!(hit.text.as_untrusted().bytes().len() <= 256);
            prop_assert!(hit.matched.as_untrusted().bytes().len() <= 128);
        }
        rules().scan_text(&raw);
    }
}

/// Random bytes, and pieces that decoders and tokenisers trip over.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"%25",
        b"%",
        b"25",
        b"%u00",
        b"&#",
        b"&lt",
        b"\\u{",
        b"\\x",
        b"\xc0\xaf",
        b"\xa0",
        b"/*",
        b"*/",
        b"'",
        b"\"",
        b"`",
        b"<",
        b"<script",
        b"=",
        b"&",
        b"union ",
        b"select ",
        b"or ",
        b"(",
        b"1",
        b";",
        b"$(",
        b"${ifs}",
        b"javascript:",
        b"onload=",
        b"alert(",
        b"/./",
        b"..",
        b"\0",
        b"\n",
    ];
    let piece = prop_oneof![
        4 => proptest::sample::select(pieces).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ];
    (proptest::collection::vec(piece, 0..60), 1..4_usize)
        .prop_map(|(pieces, times)| pieces.concat().repeat(times))
}
