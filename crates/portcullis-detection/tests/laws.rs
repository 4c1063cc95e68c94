//! Laws of detection: what must hold for any requests, in any order, in any shape.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

use portcullis_detection::{
    Correlation, Detection, Findings, Ground, Key, MAX_TEXT_BYTES, ObjectSeen, Offender, Outcome,
    Question, RuleSet, Scan, Standing, StateError, StateKey, SuggestsOnly, Texts, request_score,
    source_points,
};
use portcullis_ingest::{
    Field, Origin, Reject, RejectReason, Request, Timestamp, Untrusted, WafAction,
};
use proptest::prelude::*;

macro_rules! rules {
    ($($name:literal),+) => {
        vec![$((
            concat!("test/", $name, ".toml").to_owned(),
            include_str!(concat!("rules/test/", $name, ".toml")).to_owned(),
        )),+]
    };
}

/// A small set with every kind of rule.
fn rules() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    RULES.get_or_init(|| {
        let files = rules!(
            "agent",
            "burst",
            "dotfile",
            "errors",
            "fan-out",
            "network",
            "parameter",
            "principal",
            "quote",
            "refused",
            "script"
        );
        RuleSet::load(files).unwrap_or_else(|errors| panic!("{errors}"))
    })
}

/// An owned request, to be put in any order.
#[derive(Debug, Clone)]
struct Sent {
    object: &'static str,
    offset: u64,
    client: Option<IpAddr>,
    epoch_ms: Option<i64>,
    path: &'static str,
    query: Option<&'static str>,
    agent: Option<&'static str>,
    status: u16,
    principal: Option<[u8; 1]>,
    waf_action: Option<WafAction>,
    waf_is_unknown: bool,
}

impl Sent {
    fn request(&self) -> Request<'_> {
        fn text(text: Option<&'static str>) -> Option<Untrusted<'static>> {
            text.map(|text| Untrusted::new(text.as_bytes()))
        }
        Request {
            time: self.epoch_ms.and_then(Timestamp::from_epoch_ms),
            client: self.client,
            method: text(Some("GET")),
            path: text(Some(self.path)),
            query: text(self.query),
            user_agent: text(self.agent),
            status: Some(self.status),
            principal: self.principal.as_ref().map(|name| Untrusted::new(name)),
            waf_action: self.waf_action,
            waf_is_unknown: self.waf_is_unknown,
            origin: Origin { object: self.object, offset: self.offset },
            ..Request::default()
        }
    }
}

fn observe(scan: &mut Scan<'_>, sent: &Sent) {
    scan.observe(&sent.request());
}

/// What a source's score must be.
fn parts(detections: &[Detection], correlations: &[Correlation]) -> u32 {
    let of_rules: u32 = detections.iter().map(|detection| detection.points).sum();
    of_rules + correlations.iter().map(|correlation| correlation.points()).sum::<u32>()
}

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

fn scanned(requests: &[Sent]) -> Findings {
    let mut scan = Scan::new(rules());
    for sent in requests {
        observe(&mut scan, sent);
    }
    scan.finish()
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

#[test]
fn the_examples_of_the_test_rules_hold() {
    let failures: Vec<String> = rules().test().iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn the_examples_of_the_rules_compiled_in_hold() {
    let failures: Vec<String> = RuleSet::builtin().test().iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

/// The rules compiled in.
fn builtin() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    RULES.get_or_init(RuleSet::builtin)
}

/// A query or path, judged by the rules compiled in.
fn judged(path: &str, query: &str) -> portcullis_detection::Verdict {
    builtin().classify(&Request {
        path: Some(Untrusted::new(path.as_bytes())),
        query: Some(Untrusted::new(query.as_bytes())),
        ..Request::default()
    })
}

#[test]
fn what_a_value_or_segment_of_base64_stands_for_is_searched() {
    for (path, query, matched) in [
        ("/", "id=LTQnIHVuaW9uIHNlbGVjdCAxLHVzZXIoKS0tIA%3D%3D", "union select"),
        ("/items/eCcgb3IgJzEnPScx", "", "or"),
        ("/", "p=Ij48aW1nIHNyYz1xIG9uZXJyb3I9YWxlcnQoNyk%2B", "onerror"),
        ("/", "a=1&p=PCEtLSNleGVjIGNtZD0idW5hbWUiIC0tPg%3D%3D", "<!--#exec"),
        ("/", "f=Li4vLi4vLi4vLi4vZXRjL3Bhc3N3ZA%3D%3D&b=2", "../"),
        ("/dl/cGhwOi8vZmlsdGVyL3Jlc291cmNlPWE%3D", "", "php://filter"),
        // Twice.
        ("/", "p=UEhOamNtbHdkRDVoYkdWeWRDZ3hLUT09", "<script"),
    ] {
        let verdict = judged(path, query);
        assert!(verdict.flagged(), "{path}?{query}: {verdict:?}");
        let wrapped: Vec<_> = verdict.hits().iter().filter(|hit| hit.in_base64).collect();
        let shown = |hit: &&portcullis_detection::Hit| {
            let seen = String::from_utf8_lossy(hit.matched.as_untrusted().bytes()).into_owned();
            let logged = hit.text.as_untrusted().bytes().to_vec();
            seen.contains(matched) && !logged.is_empty() && hit.reading().starts_with("base64")
        };
        assert!(wrapped.iter().any(shown), "{path}?{query}: {wrapped:?}");
    }
}

#[test]
fn honest_base64_is_quiet() {
    for (path, query) in [
        ("/items", "cursor=eyJhZnRlciI6IjIwMjQtMDUtMDFUMDA6MDA6MDBaIiwiaWQiOjQ3MTF9"),
        ("/items", "state=eyJzb3J0IjoibmFtZSIsInNlbGVjdCI6WyJpZCIsIm5hbWUiXSwiZnJvbSI6MjB9"),
        ("/me", "profile=eyJuYW1lIjoiS2ltIiwicm9sZSI6InJlYWRlciIsInBsYW4iOiJmcmVlIn0"),
        ("/avatar", "data=iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"),
        ("/dl", "f=cmVwb3J0cy8yMDI0L3N1bW1hcnkucGRm"),
        ("/items/bWFuYWdlcg", "page=QUJDREVGR0hJSktMTU5PUA"),
        ("/me", "s=MTcwMDAwMDAwMHxOd3dBTkRkT1YwSlhXVk0"),
        ("/go", "to=aHR0cHM6Ly9zaG9wLmV4YW1wbGUuY29tL2NhcnQ_aXRlbT00Nw"),
        (
            "/me",
            "t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
        ),
    ] {
        let verdict = judged(path, query);
        assert_eq!(verdict.score(), 0, "{path}?{query}: {verdict:?}");
    }
}

#[test]
fn honest_requests_of_many_kinds_are_not_flagged() {
    let mut flagged = Vec::new();
    for (path, query) in [
        // Tokens, identifiers, opaque state.
        (
            "/callback",
            "code=4%2F0AX4XfWh-abc_DEF&state=eyJyIjoiL2hvbWUiLCJuIjoiMTIzIn0%3D&scope=openid+email",
        ),
        (
            "/v1/me",
            "access_token=eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiIxIiwiYXVkIjoiYXBpIn0.c2lnbmF0dXJl",
        ),
        ("/items", "cursor=WyIyMDI0LTA1LTAxIiwgNDcxMV0%3D"),
        ("/files/d41d8cd98f00b204e9800998ecf8427e/550e8400-e29b-41d4-a716-446655440000", ""),
        // GraphQL, OData, query languages.
        (
            "/graphql",
            "query=query+Hero($id:+ID!)+%7B+hero(id:+$id)+%7B+name+friends(first:+10)+%7B+name+%7D+%7D+%7D&variables=%7B%22id%22:%221000%22%7D",
        ),
        (
            "/odata/Orders",
            "$filter=Price+gt+20+and+Name+eq+'Milk'&$select=Id,Name&$orderby=Name+desc&$top=10",
        ),
        (
            "/search",
            "q=%7B%22query%22:%7B%22match%22:%7B%22title%22:%22select+from%22%7D%7D,%22sort%22:%5B%7B%22date%22:%22desc%22%7D%5D%7D",
        ),
        (
            "/metrics",
            "query=sum(rate(http_requests_total%7Bjob%3D%22api%22%7D%5B5m%5D))+by+(status)",
        ),
        (
            "/rest/issues",
            "jql=project+%3D+ABC+AND+status+in+(Open,+%22In+Progress%22)+ORDER+BY+created+DESC",
        ),
        // Analytics and advertising.
        (
            "/collect",
            "v=1&t=pageview&dl=https%3A%2F%2Fshop.example.com%2Fp%3Fid%3D1%26ref%3Da&dt=Kim%27s+%26+Lee%27s+%7C+Shop&sr=1920x1080&cd1=(not+set)&z=123",
        ),
        (
            "/",
            "utm_source=fb&utm_campaign=%7B%7Bcampaign.name%7D%7D&fbclid=IwAR0_x-Y&gclid=Cj0KCQiA5rGuBhCn",
        ),
        ("/pixel", "e=%5B%7B%22n%22:%22click%22,%22x%22:12%7D%5D&r=0.123&u=%2Fcart%3Fa%5B%5D%3D1"),
        // Prose, names, other scripts.
        ("/search", "q=select+the+best+from+our+union+of+tables+where+prices+drop"),
        ("/search", "q=O%27Brien+or+D%27Angelo+and+L%27Or%C3%A9al"),
        ("/search", "q=how+to+drop+a+table+in+sql+and+insert+into+another"),
        (
            "/search",
            "q=%D0%BA%D1%83%D0%BF%D0%B8%D1%82%D1%8C+%D1%81%D0%BB%D0%BE%D0%BD%D0%B0+%E2%80%94+%C2%AB%D0%B4%D1%91%D1%88%D0%B5%D0%B2%D0%BE%C2%BB",
        ),
        (
            "/search",
            "q=%E5%BF%AB%E9%80%9F%E6%90%9C%E7%B4%A2%EF%BC%88%E5%85%A8%E9%83%A8%EF%BC%89%EF%BC%9A%E4%BB%B7%E6%A0%BC",
        ),
        ("/search", "q=rock+%26+roll+-+the+%2790s+%2F+part+2+(live)"),
        ("/search", "q=is+5+%3E+3+%3F+and+price+%3C+100"),
        ("/search", "q=C%2B%2B+vs+C%23+%7C+which+one%3F"),
        // Code, markup and paths that people look for.
        ("/search", "q=what+does+document.getElementById+do"),
        ("/search", "q=ls+-la+meaning+in+linux"),
        ("/search", "q=python+import+os+error"),
        ("/search", "q=how+to+use+%3Cdiv%3E+and+%3Cspan%3E"),
        (
            "/notes",
            "text=%23+Title%0A%0A*+one%0A*+two%0A%0A%5Blink%5D(https%3A%2F%2Fexample.com%2F%3Fa%3D1)+%60code%60",
        ),
        ("/theme", "css=body%7Bcolor:%23fff;background:url(%2Fimg%2Fa.png)%7D"),
        ("/render", "tpl=Hello+%7B%7Bname%7D%7D,+your+order+%24%7Border%7D+is+ready"),
        ("/docs/how-to-prevent-sql-injection-union-select", ""),
        ("/assets/js/app.min.js.map", "v=1.2.3"),
        ("/photos/IMG_0001%20(copy).JPG", ""),
        ("/~kim/files/report..final.pdf", ""),
        // Addresses as values.
        ("/go", "url=https%3A%2F%2Fwww.example.com%2Fa%2Fb%3Fx%3D1%26y%3D2%23top"),
        (
            "/login",
            "returnTo=%2Faccount%2Forders%3Fpage%3D2&mail=kim.o%27neil%2Bshop%40example.com",
        ),
        ("/proxy/image", "src=https://cdn.example.com/i/1.jpg&w=200&h=100"),
        // Numbers, times, places.
        (
            "/api/v2/events",
            "from=2024-01-01T00:00:00%2B02:00&to=2024-02-01T00:00:00Z&bbox=-0.5,51.2,0.3,51.7",
        ),
        ("/units", "expr=3*(4%2B5)/2&size=6%27+2%22"),
        ("/phone/+49%20(0)89%20123-456;ext=7", ""),
    ] {
        for method in ["GET", "PUT", "PATCH", "DELETE"] {
            let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
            let request = Request {
                method: Some(Untrusted::new(method.as_bytes())),
                path: Some(Untrusted::new(path.as_bytes())),
                query: (!query.is_empty()).then(|| Untrusted::new(query.as_bytes())),
                user_agent: Some(Untrusted::new(agent.as_bytes())),
                ..Request::default()
            };
            let verdict = builtin().classify(&request);
            if verdict.flagged() {
                let rules: Vec<&str> =
                    verdict.hits().iter().map(|hit| builtin().rules()[hit.rule].id()).collect();
                flagged.push(format!("{method} {path}?{query}: {rules:?}"));
            }
        }
    }
    assert!(flagged.is_empty(), "{flagged:#?}");
}

#[test]
fn huge_fields_are_cut_and_counted_and_their_ends_are_seen() {
    let mut path = b"/".to_vec();
    path.extend(b"%25".repeat(400_000));
    path.extend(b"/.env");
    let request = Request { path: Some(Untrusted::new(&path)), ..Request::default() };
    let verdict = rules().classify(&request);
    assert_eq!(verdict.truncated_fields(), 1);
    assert_eq!(verdict.hits().len(), 1, "{verdict:?}");
    assert!(path.len() > MAX_TEXT_BYTES);
}

#[test]
fn of_very_many_parameters_the_last_are_searched_together_and_counted() {
    let query = |honest: usize| {
        let mut query = "a=%20&".repeat(honest);
        query.push_str("id=1%27%20or%201=1--");
        query
    };
    let judged = |query: &str| {
        let query = Some(Untrusted::new(query.as_bytes()));
        RuleSet::builtin().classify(&Request { query, ..Request::default() })
    };
    let few = judged(&query(10));
    assert!(few.flagged());
    assert_eq!(few.truncated_fields(), 0);
    let many = judged(&query(1_000));
    assert!(many.flagged());
    assert_eq!(many.truncated_fields(), 1);
}

#[test]
fn evidence_shows_the_field_as_logged_and_the_match_as_decoded() {
    let query = format!("{}&q=%253Cscript%253E&z=1", "a=1&".repeat(200));
    let request = Request { query: Some(Untrusted::new(query.as_bytes())), ..Request::default() };
    let verdict = rules().classify(&request);
    let [hit] = verdict.hits() else { panic!("{verdict:?}") };
    let text = String::from_utf8_lossy(hit.text.as_untrusted().bytes()).into_owned();
    assert!(text.contains("%253Cscript%253E"), "{text}");
    assert_eq!(hit.matched.as_untrusted().bytes(), b"<script");
}

#[test]
fn a_reject_is_searched_and_never_attributed() {
    let mut scan = Scan::new(rules());
    scan.observe_reject(&Reject {
        reason: RejectReason::Forged,
        text: Untrusted::new(br#"{"ip":"192.0.2.9","path":"/<script>/.env"}"#),
        origin: Origin { object: "a", offset: 0 },
        length: 42,
        is_searched: true,
    });
    let findings = scan.finish();
    assert_eq!(findings.coverage.rejected(), 1);
    assert_eq!(findings.coverage.rejects_with_signatures, 1);
    assert_eq!((findings.offenders.len(), findings.watched.len()), (0, 0));
    let [forgery] = &findings.forgeries[..] else { panic!("{findings:?}") };
    assert_eq!((forgery.reason, forgery.records), (RejectReason::Forged, 1));
    assert_eq!(forgery.evidence, std::slice::from_ref(&forgery.last));
}

#[test]
fn whole_records_in_which_nothing_is_wrong_hold_no_attack() {
    let line = |path: &str| {
        format!(
            "192.0.2.7 - bob [26/Jan/2026:10:11:07 +0000] \"GET {path} HTTP/1.1\" 200 5 45 \
             \"Mozilla/5.0 (X11; Linux x86_64)\" 3f2504e0-4f89-11d3-9a0c-0305e82c3301 AvfiBE7QvHcFq1g="
        )
    };
    assert!(!rules().scan_text(line("/prod/pets/1").as_bytes()).flagged());
    assert!(rules().scan_text(line("/prod/<script>alert(1)</script>").as_bytes()).flagged());
}

#[test]
fn a_reject_that_is_not_worth_a_search_is_counted_as_such() {
    let mut scan = Scan::new(rules());
    scan.observe_reject(&Reject {
        reason: RejectReason::Shape,
        text: Untrusted::new(b"/<script>/.env"),
        origin: Origin { object: "a", offset: 0 },
        length: 14,
        is_searched: false,
    });
    let coverage = scan.finish().coverage;
    assert_eq!((coverage.rejected(), coverage.rejects_not_searched), (1, 1));
    assert_eq!(coverage.rejects_with_signatures, 0);
}

#[test]
fn the_evidence_of_a_forgery_is_the_beginning_of_its_record() {
    let text = [b"{\"ip\":\"192.0.2.9\"".as_slice(), &[b'x'; 5_000]].concat();
    let mut scan = Scan::new(rules());
    scan.observe_reject(&Reject {
        reason: RejectReason::Ambiguous,
        text: Untrusted::new(&text),
        origin: Origin { object: "a", offset: 7 },
        length: text.len() as u64,
        is_searched: true,
    });
    let findings = scan.finish();
    let [record] = &findings.forgeries[0].evidence[..] else { panic!("{findings:?}") };
    assert_eq!((&*record.object, record.offset, record.length), ("a", 7, text.len() as u64));
    assert_eq!(record.text.as_untrusted().bytes(), &text[..256]);
}

#[test]
fn coverage_names_the_rules_that_could_not_look() {
    let mut scan = Scan::new(rules());
    let fields = [Field::Client, Field::Time, Field::Status, Field::Method].into_iter().collect();
    scan.object(&ObjectSeen {
        object: "k",
        format: Some("stock"),
        fields,
        records: 3,
        text_bytes: 300,
        outside_span: 0,
        duplicates: 0,
        incomplete: Some("cut off"),
    });
    let coverage = scan.finish().coverage;
    let blind: Vec<(&str, Vec<&str>)> = coverage
        .blind
        .iter()
        .map(|(rule, blind)| (&**rule, blind.missing.iter().copied().collect()))
        .collect();
    assert_eq!(
        blind,
        [
            ("test/agent", vec!["user_agent"]),
            ("test/dotfile", vec!["path"]),
            ("test/fan-out", vec!["path"]),
            ("test/network", vec!["path"]),
            ("test/parameter", vec!["query"]),
            ("test/principal", vec!["principal"]),
            ("test/quote", vec!["query"]),
            ("test/script", vec!["path", "query", "referer"]),
        ]
    );
    assert_eq!(coverage.incomplete.len(), 1);
    assert_eq!(coverage.formats["stock"], 1);
}

/// Requests of one client, one a second.
fn history(requests: &[(&'static str, Option<&'static str>, u16)]) -> Findings {
    let sent: Vec<Sent> = requests
        .iter()
        .zip(0..)
        .map(|((path, query, status), number)| Sent {
            object: "o",
            offset: number,
            client: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
            epoch_ms: i64::try_from(number).ok().map(|n| 1_700_000_000_000 + n * 30_000),
            path,
            query: *query,
            agent: None,
            status: *status,
            principal: Some([(number % 7) as u8]),
            waf_action: None,
            waf_is_unknown: false,
        })
        .collect();
    scanned(&sent)
}

const SCRIPT: (&str, Option<&str>, u16) = ("/a", Some("q=<script>"), 403);
const QUOTE: (&str, Option<&str>, u16) = ("/a", Some("q=1'+or+1=1--"), 403);
const DOTFILE: (&str, Option<&str>, u16) = ("/.env", None, 403);
const GOOD: (&str, Option<&str>, u16) = ("/a", None, 200);

#[test]
fn one_flagged_request_makes_an_offender() {
    let findings = history(&[SCRIPT, GOOD]);
    let [offender] = &findings.offenders[..] else { panic!("{findings:?}") };
    assert_eq!((offender.score, offender.flagged_requests, offender.good_requests), (56, 1, 1));
    assert_eq!(offender.source.to_string(), "192.0.2.1/32");
}

#[test]
fn observed_requests_alone_make_no_offender() {
    let findings = history(&[DOTFILE; 20]);
    assert_eq!((findings.offenders.len(), findings.watched.len()), (0, 0));
}

#[test]
fn a_good_history_outweighs_a_single_odd_request() {
    let mut requests = vec![GOOD; 300];
    requests[100] = SCRIPT;
    let findings = history(&requests);
    assert!(findings.offenders.is_empty());
    let [watched] = &findings.watched[..] else { panic!("{findings:?}") };
    assert_eq!((watched.good_requests, watched.principals), (299, 7));
}

#[test]
fn a_good_history_does_not_outweigh_a_certain_attack_repeated() {
    let mut requests = vec![GOOD; 1_000];
    requests[100..103].fill(QUOTE);
    assert_eq!(history(&requests).offenders.len(), 1);
}

/// A request to the rules compiled in.
fn from_agent(agent: &'static str, path: &'static str, number: u64, status: u16) -> Sent {
    Sent {
        object: "o",
        offset: number,
        client: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
        epoch_ms: i64::try_from(number).ok().map(|n| 1_700_000_000_000 + n * 30_000),
        path,
        query: None,
        agent: Some(agent),
        status,
        principal: None,
        waf_action: None,
        waf_is_unknown: false,
    }
}

fn scanned_by_all_rules(requests: &[Sent]) -> Findings {
    let rules = RuleSet::builtin();
    let mut scan = Scan::new(&rules);
    for sent in requests {
        observe(&mut scan, sent);
    }
    scan.finish()
}

const SURVEY: &str = "Mozilla/5.0 zgrab/0.x";

#[test]
fn a_survey_that_only_says_what_it_is_is_watched() {
    let findings = scanned_by_all_rules(&[0, 1, 2].map(|n| from_agent(SURVEY, "/", n, 200)));
    assert!(findings.offenders.is_empty(), "{findings:?}");
    let [watched] = &findings.watched[..] else { panic!("{findings:?}") };
    assert!(watched.grounds.contains(&Ground::OnlyItsAgent));
    // A tool of attack means what it says.
    let tool = scanned_by_all_rules(&[from_agent("sqlmap/1.8.4", "/", 0, 200)]);
    assert_eq!(tool.offenders.len(), 1);
}

#[test]
fn a_scanner_that_probes_and_does_nothing_else_is_more_than_its_parts() {
    let probes = ["/.env", "/.git/config", "/backup.sql"];
    let requests: Vec<Sent> =
        (0..).zip(probes).map(|(n, path)| from_agent(SURVEY, path, n, 404)).collect();
    let findings = scanned_by_all_rules(&requests);
    let [offender] = &findings.offenders[..] else { panic!("{findings:?}") };
    assert!(offender.correlations.contains(&Correlation::ScannerThatProbes));
    assert!(offender.grounds.contains(&Ground::Correlated));
    assert_eq!(offender.score, parts(&offender.detections, &offender.correlations));
    // One good request, and the correlation is gone, the probes are not.
    let mut with_good = requests;
    with_good.push(from_agent("curl/8", "/", 3, 200));
    let findings = scanned_by_all_rules(&with_good);
    let [offender] = &findings.offenders[..] else { panic!("{findings:?}") };
    assert!(!offender.correlations.contains(&Correlation::ScannerThatProbes));
}

#[test]
fn requests_that_waf_blocked_never_make_a_burst() {
    let blocked = |number: u64| Sent {
        object: "o",
        offset: number,
        client: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
        epoch_ms: Some(1_700_000_000_000),
        path: "/a",
        query: None,
        agent: None,
        status: 403,
        principal: None,
        waf_action: Some(WafAction::Block),
        waf_is_unknown: false,
    };
    let requests: Vec<Sent> = (0..1_000).map(blocked).collect();
    assert!(scanned(&requests).offenders.is_empty());
    let passed: Vec<Sent> =
        requests.into_iter().map(|sent| Sent { waf_action: None, ..sent }).collect();
    assert_eq!(scanned(&passed).offenders.len(), 1);
}

/// Requests of one client a second, all answered with that status.
fn refusals(status: u16, waf_is_unknown: bool, times: i64) -> Vec<Sent> {
    (0..times)
        .map(|second| Sent {
            object: "a",
            offset: second.unsigned_abs(),
            client: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
            epoch_ms: Some(1_700_000_000_000 + second * 1_000),
            path: "/",
            query: None,
            agent: None,
            status,
            principal: None,
            waf_action: None,
            waf_is_unknown,
        })
        .collect()
}

#[test]
fn refusals_that_may_be_blocks_only_suggest() {
    let told = scanned(&refusals(403, false, 6));
    let [offender] = &told.offenders[..] else { panic!("{told:?}") };
    assert!(offender.detections.iter().all(|detection| detection.suggests.is_none()));

    let untold = scanned(&refusals(403, true, 6));
    assert_eq!(untold.offenders, []);
    let [watched] = &untold.watched[..] else { panic!("{untold:?}") };
    assert_eq!(watched.score, offender.score, "the score is the same");
    let refused = watched.detections.iter().find(|detection| &*detection.rule == "test/refused");
    let suggests = refused.and_then(|detection| detection.suggests);
    assert_eq!(suggests, Some(SuggestsOnly::WafUnknown));

    // Four of them are certain, and enough by themselves.
    let mut both = refusals(403, true, 6);
    for sent in &mut both[..4] {
        sent.waf_is_unknown = false;
    }
    assert_eq!(scanned(&both).offenders.len(), 1);
}

#[test]
fn a_network_is_a_suspect_with_its_members_and_no_offender() {
    let mut requests = refusals(200, false, 7);
    let paths = ["/a", "/b", "/c", "/d", "/e", "/a", "/a"];
    for ((sent, path), host) in requests.iter_mut().zip(paths).zip(1..) {
        sent.path = path;
        sent.client = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, host.min(5))));
    }
    let findings = scanned(&requests);
    assert_eq!(findings.offenders, []);
    let [suspect] = &findings.suspects[..] else { panic!("{findings:?}") };
    assert_eq!(suspect.key, Key::Network);
    assert_eq!(suspect.value.as_untrusted().bytes(), b"192.0.2.0/24");
    assert_eq!((suspect.requests, suspect.clients), (7, 5));
    assert_eq!(suspect.contributors[0].source.to_string(), "192.0.2.5/32");
    assert_eq!(suspect.contributors[0].requests, 3);
}

fn see_object(scan: &mut Scan<'_>) {
    scan.object(&ObjectSeen {
        object: "c",
        format: Some("stock"),
        fields: [Field::Client, Field::Time].into_iter().collect(),
        records: 3,
        text_bytes: 300,
        incomplete: Some("cut off"),
        outside_span: 2,
        duplicates: 0,
    });
}

#[test]
fn a_state_of_other_rules_another_version_or_another_kind_is_refused() {
    let mut scan = Scan::new(rules());
    observe(&mut scan, &refusals(403, false, 1)[0]);
    let states = scan.drain();
    let (key, state) = &states[0];
    let builtin = RuleSet::builtin();
    let refused = Scan::new(&builtin).absorb(key, state).expect_err("other rules");
    assert_eq!(
        refused,
        StateError::OtherRules { theirs: rules().digest(), ours: builtin.digest() }
    );
    let mut newer = state.clone();
    newer[0] += 1;
    assert_eq!(Scan::new(rules()).absorb(key, &newer), Err(StateError::Version(newer[0])));
    let unknown = StateKey::from(b"?".to_vec());
    assert_eq!(Scan::new(rules()).absorb(&unknown, state), Err(StateError::Key));
    let mut longer = state.clone();
    longer.push(0);
    assert_eq!(Scan::new(rules()).absorb(key, &longer), Err(StateError::Trailing(1)));
}

/// Requests of so many calm clients, three each, ten seconds apart.
fn calm_clients(clients: u32) -> impl Iterator<Item = Sent> {
    (0..clients * 3).map(move |number| {
        let client = Ipv4Addr::from(0xc612_0000 + number % clients);
        Sent {
            client: Some(IpAddr::V4(client)),
            offset: number.into(),
            epoch_ms: Some(1_700_000_000_000 + i64::from(number / clients) * 10_000),
            ..refusals(200, false, 1)[0].clone()
        }
    })
}

#[test]
fn whoever_attacks_is_found_though_calm_clients_are_forgotten() {
    let builtin = RuleSet::builtin();
    let attacks: Vec<Sent> = refusals(404, false, 400)
        .into_iter()
        .map(|sent| Sent { path: if sent.offset % 40 == 0 { "/.env" } else { "/x" }, ..sent })
        .collect();
    let scan = |bytes: usize| {
        let mut scan = Scan::new(&builtin);
        scan.limit_memory(bytes);
        let mut attacks = attacks.iter();
        for (number, calm) in calm_clients(2_000).enumerate() {
            if number % 15 == 0
                && let Some(attack) = attacks.next()
            {
                observe(&mut scan, attack);
            }
            observe(&mut scan, &calm);
        }
        scan.finish()
    };
    let exact = scan(1 << 30);
    assert!(exact.coverage.forgotten.is_nothing(), "{:?}", exact.coverage.forgotten);
    let [offender] = &exact.offenders[..] else { panic!("{:?}", exact.offenders) };

    let limited = scan(1 << 19);
    let forgotten = &limited.coverage.forgotten;
    assert!(forgotten.times > 1_000, "{forgotten:?}");
    assert!(forgotten.over_limit_bytes == 0, "{forgotten:?}");
    assert!(!forgotten.missing.is_empty());
    let [found] = &limited.offenders[..] else { panic!("{:?}", limited.offenders) };
    assert_eq!(found.source, offender.source);
    assert_eq!(found.flagged_requests, offender.flagged_requests);
    let signatures = |offender: &Offender| -> Vec<Detection> {
        offender.detections.iter().filter(|one| one.rate.is_none()).cloned().collect()
    };
    assert_eq!(signatures(found), signatures(offender));
    assert_eq!(limited.watched, []);
}

#[test]
fn no_window_lacks_more_requests_than_is_said() {
    let builtin = RuleSet::builtin();
    // A flood of which the beginning may be forgotten, in between many calm clients.
    let flood = |number: u64| Sent {
        epoch_ms: Some(1_700_000_000_000 + i64::try_from(number).expect("few") * 20),
        offset: number,
        ..refusals(200, false, 1)[0].clone()
    };
    let mut scan = Scan::new(&builtin);
    scan.limit_memory(1 << 18);
    let mut sent = 0;
    for calm in calm_clients(1_000) {
        observe(&mut scan, &calm);
        if sent < 2_000 {
            observe(&mut scan, &flood(sent));
            sent += 1;
        }
    }
    let findings = scan.finish();
    let missing = findings.coverage.forgotten.missing.get("rate/request-flood").copied();
    let missing = missing.expect("some were forgotten");
    assert!(missing < 1_200, "the bound says something: {missing}");
    let flooded = findings.watched.iter().find(|one| one.requests >= 1_000).expect("the flood");
    let rate = flooded.detections.iter().find(|one| &*one.rule == "rate/request-flood");
    let peak = rate.and_then(|detection| detection.rate).expect("a rate").peak;
    assert!(peak <= 2_000 && peak + missing >= 2_000, "{peak} {missing}");
}
