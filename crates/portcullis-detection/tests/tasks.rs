//! A scan in tasks finds what one scan finds, byte for byte.

use std::sync::OnceLock;

use portcullis_detection::document::{
    Assembly, json::Secrets, keep_parts, read_document, write_document,
};
use portcullis_detection::{
    AuditedObject, Disagreement, Findings, Identities, LeftOut, MapTask, ObjectSeen, Once, Reading,
    ReduceTask, Row, RuleSet, Scan, Twins, identities,
};
use portcullis_ingest::{ReadOptions, read_object};
use proptest::prelude::*;

fn rules() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    RULES.get_or_init(RuleSet::builtin)
}

/// The same rules, with a key as a job draws it.
fn keyed() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    RULES.get_or_init(|| RuleSet::builtin().with_hash_key(0x9e37_79b9_7f4a_7c15))
}

/// A record of the recommended kind, with an id of the gateway's own making.
fn record(number: u32, client: u8, path: &str) -> String {
    let (minute, second) = (number / 60 % 60, number % 60);
    format!(
        "{{\"requestTime\":\"04/Nov/2025:09:{minute:02}:{second:02} +0000\",\
         \"extendedRequestId\":\"AvfiBE{number:08}=\",\"ip\":\"198.51.100.{client}\",\
         \"httpMethod\":\"GET\",\"path\":\"{path}\",\"status\":\"404\",\
         \"protocol\":\"HTTP/1.1\",\"responseLength\":\"10\"}}\n"
    )
}

#[derive(Debug, Clone)]
struct Object {
    name: String,
    text: Vec<u8>,
}

fn object() -> impl Strategy<Value = Vec<u8>> {
    let paths = prop::sample::select(vec![
        "/prod/pets",
        "/prod/.git/config",
        "/prod/..%2f..%2fetc%2fpasswd",
        "/prod/wp-login.php?id=1%27%20union%20select%201",
        "/prod/\\u00e9\\\\x",
    ]);
    let line = prop_oneof![
        20 => (0..40_u32, 0..4_u8, paths).prop_map(|(n, client, path)| record(n, client, path).into_bytes()),
        1 => Just(b"no record \xff\xfe ../../etc/passwd\n".to_vec()),
        1 => Just(b"\"\\x00'; drop table\n".to_vec()),
    ];
    let cut = prop_oneof![4 => Just(0_usize), 1 => 1..30_usize];
    (prop::collection::vec(line, 0..30), cut).prop_map(|(lines, cut)| {
        let text = lines.concat();
        if cut == 0 {
            return text;
        }
        // A compressed object that ends early.
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut gzip, &text).expect("memory takes all");
        let mut bytes = gzip.finish().expect("memory takes all");
        bytes.truncate(bytes.len() - cut.min(bytes.len() / 2));
        bytes
    })
}

fn reading(set_aside: bool) -> Reading {
    Reading { format: None, options: ReadOptions::default(), set_aside }
}

/// Places of the twins of each object, as an engine finds them: sorted by identity.
fn left_out(objects: &[Object]) -> Vec<Vec<usize>> {
    let mut all = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        let Identities(of) = identities(&object.name, &*object.text, &reading(false));
        let number = u32::try_from(number).expect("few");
        all.extend(of.into_iter().zip(0..).map(|(identity, place)| (identity, number, place)));
    }
    all.sort_unstable();
    let mut twins = Twins::default();
    let mut left_out = vec![Vec::new(); objects.len()];
    for (identity, number, place) in all {
        if twins.is_twin(identity, number, place).expect("they are sorted") {
            left_out[number as usize].push(place as usize);
        }
    }
    for places in &mut left_out {
        places.sort_unstable();
    }
    left_out
}

fn document(findings: &Findings) -> String {
    let mut text = Vec::new();
    write_document(&mut text, findings, None, Secrets::Hidden);
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// One process: each object by itself, merged in memory.
fn alone(objects: &[Object], set_aside: bool) -> Findings {
    let (mut whole, mut aside, mut audited) = (Scan::new(rules()), Scan::new(rules()), Vec::new());
    for (object, places) in objects.iter().zip(left_out(objects)) {
        let mut scan = Scan::new(rules());
        let mut once = Once::new(&mut scan, usize::MAX, LeftOut::Known(&places));
        let options = ReadOptions::default();
        let report = read_object(&object.name, &*object.text, None, &options, &mut once);
        let duplicates = once.finish().1.len() as u64;
        let incomplete = report.incomplete.as_ref().map(ToString::to_string);
        let seen = ObjectSeen::new(&object.name, &report, duplicates, incomplete.as_deref());
        let (requests, rejects) = (scan.coverage().requests, scan.coverage().rejected());
        audited.push(AuditedObject::new(&seen, requests, rejects));
        whole.object(&seen);
        if set_aside && incomplete.is_some() { aside.merge(scan) } else { whole.merge(scan) }
    }
    let mut traffic = whole.traffic();
    traffic.merge(aside.traffic());
    let mut findings = whole.finish();
    if set_aside {
        findings.add_set_aside(aside.finish());
        findings.traffic = Some(traffic);
    }
    findings.with_audit(objects.len() as u64, audited)
}

/// Many tasks: objects dealt out, states brought together by key, decided in partitions.
fn in_tasks(objects: &[Object], set_aside: bool, deal: &[usize], partitions: usize) -> Findings {
    let reading = reading(set_aside);
    let left_out = left_out(objects);
    let mut rows: Vec<Row> = Vec::new();
    for task in 0..3 {
        let mut map = MapTask::new(keyed(), &reading);
        for (number, object) in objects.iter().enumerate().rev() {
            if deal[number % deal.len()] % 3 == task {
                map.object(&object.name, Ok(&*object.text), &left_out[number]);
                if number % 2 == 0 {
                    rows.extend(map.drain());
                }
            }
        }
        rows.extend(map.drain());
    }
    let mut assembly = Assembly::new(set_aside);
    for partition in 0..partitions {
        let mut mine: Vec<&Row> = rows
            .iter()
            .filter(|(key, _)| {
                key.iter().map(|byte| usize::from(*byte)).sum::<usize>() % partitions == partition
            })
            .collect();
        mine.sort_by_key(|(key, _)| key);
        let mut reduce = ReduceTask::new(keyed(), set_aside, 0);
        for (key, state) in mine {
            reduce.push(key, state).expect("rows of ours");
        }
        for part in reduce.finish() {
            assembly.push(part.kind.name(), part.set_aside, &part.text).expect("parts of ours");
        }
    }
    assert!(assembly.unlike(objects.iter().map(|object| &*object.name)).is_empty());
    assembly.finish(objects.len() as u64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn tasks_find_what_one_scan_finds_and_it_reads_back_as_it_was_written(
        texts in prop::collection::vec(object(), 1..7),
        deal in prop::collection::vec(0..3_usize, 1..7),
        partitions in 1..4_usize,
        set_aside in any::<bool>(),
    ) {
        let named = |(number, text)| Object { name: format!("day/{number}.gz"), text };
        let objects: Vec<Object> = texts.into_iter().enumerate().map(named).collect();
        let alone = alone(&objects, set_aside);
        let expected = document(&alone);
        prop_assert_eq!(alone.accept(), Ok(()));
        let tasks = in_tasks(&objects, set_aside, &deal, partitions);
        prop_assert_eq!(document(&tasks), expected.clone());
        prop_assert_eq!(tasks.accept(), Ok(()));
        let read = read_document(expected.as_bytes()).expect("a document of ours");
        prop_assert_eq!(document(&read), expected.clone());
        let kept = keep_parts(&alone, Secrets::Hidden);
        prop_assert_eq!(kept.is_some(), set_aside);
        if let Some(parts) = kept {
            let mut assembly = Assembly::default();
            for part in parts {
                assembly.push(part.kind.name(), false, &part.text).expect("parts of ours");
            }
            let read = assembly.kept().expect("one whole");
            prop_assert_eq!(read.accept(), Ok(()));
            prop_assert_eq!(document(&read), expected);
        }
    }

    #[test]
    fn no_document_panics(
        text in object(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let object = Object { name: "a".to_owned(), text };
        let mut text = document(&alone(&[object], false)).into_bytes();
        for (place, byte) in changes {
            let place = place.index(text.len());
            text[place] = byte;
        }
        if let Ok(findings) = read_document(&text) {
            let _ = findings.accept();
        }
    }
}

fn three() -> Vec<Object> {
    let text = |from: u32| {
        let lines = (from..from + 20).map(|n| record(n, (n % 3) as u8, "/prod/.git/config"));
        lines.collect::<String>().into_bytes()
    };
    let objects = [0, 20, 40].map(|from| Object { name: format!("{from}.log"), text: text(from) });
    objects.to_vec()
}

#[test]
fn a_part_that_is_lost_or_comes_twice_is_noticed() {
    let good = alone(&three(), false);
    assert_eq!(good.accept(), Ok(()));
    assert!(!good.offenders.is_empty(), "there is something to lose");

    let mut lost = good.clone();
    let audit = lost.audit.as_mut().expect("it was audited");
    audit.requests_of_sources -= lost.offenders[0].requests;
    lost.offenders.remove(0);
    let wrong = lost.accept().expect_err("a partition was lost");
    assert_eq!(wrong[0].to_string(), "requests: 60 by the objects, 40 by the sources");

    let mut twice = good.clone();
    twice.offenders.push(good.offenders[0].clone());
    let wrong = twice.accept().expect_err("a partition came twice");
    assert!(matches!(&wrong[0], Disagreement::FoundAgain(names) if names.more == 0), "{wrong:?}");
    assert!(wrong.iter().any(|one| matches!(one, Disagreement::RuleAgain(_))), "{wrong:?}");

    let mut again = good.clone();
    let audit = again.audit.as_mut().expect("it was audited");
    audit.objects[1] = audit.objects[0].clone();
    let wrong = again.accept().expect_err("an object was read twice, another never");
    assert_eq!(wrong[0].to_string(), "read more than once: `0.log`");

    let mut unread = good.clone();
    unread.audit.as_mut().expect("it was audited").listed += 1;
    let wrong = unread.accept().expect_err("an object was never read");
    assert_eq!(wrong[0].to_string(), "4 objects were listed, 3 were read");

    let wrong = Findings { audit: None, ..good }.accept().expect_err("nobody counted");
    assert_eq!(wrong, [Disagreement::NoAudit]);
}

#[test]
fn another_version_is_refused_by_its_number() {
    let text = document(&alone(&three(), false)).replacen(":1,", ":2,", 1);
    let error = read_document(text.as_bytes()).expect_err("version 2");
    assert_eq!(error.to_string(), "it has schema version 2, expected 1");
}

#[test]
fn parts_of_no_whole_of_two_and_of_another_version_are_refused() {
    let parts = keep_parts(&alone(&three(), true), Secrets::Hidden).expect("an audit");
    let check = |texts: &[&str], expected: &str| {
        let mut assembly = Assembly::default();
        let pushed = texts.iter().try_for_each(|text| assembly.push("findings", false, text));
        let error = pushed.and_then(|()| assembly.kept()).expect_err("it is no whole");
        assert_eq!(error.to_string(), expected);
    };
    let head = &*parts[0].text;
    check(&[], "it has no rows of the kind `findings`, expected one");
    check(&[head, head], "it has two rows of the kind `findings`, expected one");
    check(&[&head.replace(":1,", ":2,")], "it has schema version 2, expected 1");
}

#[test]
fn rows_that_come_out_of_order_or_of_other_rules_are_refused() {
    let reading = reading(false);
    let mut map = MapTask::new(rules(), &reading);
    map.object("a", Ok(&*three()[0].text), &[]);
    let rows = map.drain();
    let mut reduce = ReduceTask::new(rules(), false, usize::MAX);
    reduce.push(&rows[1].0, &rows[1].1).expect("a row of ours");
    let error = reduce.push(&rows[0].0, &rows[0].1).expect_err("it is before the last");
    assert_eq!(error.to_string(), "the order of keys in the state cannot be");
    let few = RuleSet::load(RuleSet::builtin_files().take(3)).expect("good rules");
    for other in [&few, keyed()] {
        let error = ReduceTask::new(other, false, 0).push(&rows[0].0, &rows[0].1);
        assert!(error.expect_err("other rules").to_string().contains("made with other rules"));
    }
}
