use std::io::Write as _;

use super::*;
use crate::Timestamp;

#[derive(Default)]
struct Seen {
    paths: Vec<String>,
    rejects: Vec<(&'static str, u64, u64)>,
}

impl Sink for Seen {
    fn request(&mut self, request: &Request<'_>) {
        self.paths.push(request.path.map_or(String::new(), |p| p.escaped().to_string()));
    }
    fn reject(&mut self, reject: &Reject<'_>) {
        self.rejects.push((reject.reason.name(), reject.origin.offset, reject.length));
    }
}

#[test]
fn rejects_are_searched_while_no_more_are_rejected_than_read() {
    #[derive(Default)]
    struct Searched(Vec<bool>);
    impl Sink for Searched {
        fn request(&mut self, _: &Request<'_>) {}
        fn reject(&mut self, reject: &Reject<'_>) {
            self.0.push(reject.is_searched);
        }
    }
    let searched = |good: usize, bad: usize| {
        let text = [record("/a").as_str(), "\n"].concat().repeat(good) + &"bad\n".repeat(bad);
        let format = LogFormat::parse(FORMAT).expect("a template");
        let mut sink = Searched::default();
        let options = ReadOptions::default();
        read_object("o", text.as_bytes(), Some(&format), &options, &mut sink);
        assert_eq!(sink.0.len(), bad);
        sink.0.partition_point(|searched| *searched)
    };
    assert_eq!(searched(0, 1_500), 256);
    assert_eq!(searched(1_200, 1_500), 1_200);
    assert_eq!(searched(1_500, 1_500), 1_500);
}

const FORMAT: &str =
    r#"{"ip":"$context.identity.sourceIp","path":"$context.path","status":"$context.status"}"#;

fn record(path: &str) -> String {
    format!(r#"{{"ip":"192.0.2.1","path":"{path}","status":"200"}}"#)
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).expect("in memory");
    encoder.finish().expect("in memory")
}

fn read(bytes: &[u8], options: &ReadOptions) -> (Seen, ObjectReport) {
    let mut seen = Seen::default();
    let format = LogFormat::parse(FORMAT).expect("a template");
    let report = read_object("object", bytes, Some(&format), options, &mut seen);
    let mut ahead = Seen::default();
    let report_ahead = read_object_ahead("object", bytes, Some(&format), options, &mut ahead);
    assert_eq!(report_ahead, report);
    assert_eq!((&ahead.paths, &ahead.rejects), (&seen.paths, &seen.rejects));
    assert_eq!(report.requests, seen.paths.len() as u64);
    assert_eq!(report.rejected(), seen.rejects.len() as u64);
    (seen, report)
}

#[test]
fn every_separator_and_every_compression_gives_the_same_requests() {
    for separator in ["\n", "\r\n", "", " ", "\\n"] {
        let text = ["/a", "/b", "/c"].map(record).join(separator);
        let halves = [gzip(&text.as_bytes()[..40]), gzip(&text.as_bytes()[40..])].concat();
        for bytes in
            [text.clone().into_bytes(), gzip(text.as_bytes()), halves, gzip(&gzip(text.as_bytes()))]
        {
            let (seen, report) = read(&bytes, &ReadOptions::default());
            assert_eq!(seen.paths, ["/a", "/b", "/c"], "{separator:?}");
            assert_eq!(report.text_bytes, text.len() as u64);
            assert_eq!(report.incomplete, None);
        }
    }
}

#[test]
fn objects_in_an_array_are_records_as_they_would_be_without_it() {
    for [begin, between, end] in [["[", ",", "]"], ["[\n  ", ",\n  ", "\n]\n"], ["", ",\n", ""]] {
        let text = [begin, &["/a", "/b", "/c"].map(record).join(between), end].concat();
        let (seen, report) = read(text.as_bytes(), &ReadOptions::default());
        assert_eq!(seen.paths, ["/a", "/b", "/c"], "{text}");
        assert_eq!((report.rejected(), report.text_bytes), (0, text.len() as u64), "{text}");
    }
    let (seen, _) = read(br#"[1,{"ip":"192.0.2.1"},"a"]"#, &ReadOptions::default());
    assert_eq!(seen.rejects.iter().map(|reject| reject.1).collect::<Vec<_>>(), [1, 3, 22]);
}

#[test]
fn a_truncated_object_keeps_what_was_read_and_says_so() {
    let text = (0..2_000).map(|n| record(&format!("/{n}")) + "\n").collect::<String>();
    let bytes = gzip(text.as_bytes());
    let (seen, report) = read(&bytes[..bytes.len() / 2], &ReadOptions::default());
    assert!(seen.paths.len() > 100, "{}", seen.paths.len());
    assert!(matches!(report.incomplete, Some(Incomplete::Compression { .. })), "{report:?}");
}

#[test]
fn a_bad_record_is_rejected_with_its_place_and_hides_no_other() {
    for separator in ["\n", ""] {
        let text = [record("/a"), "garbage".to_owned(), record("/b")].join(separator);
        let (seen, _) = read(text.as_bytes(), &ReadOptions::default());
        assert_eq!(seen.paths, ["/a", "/b"], "{separator:?}");
        assert_eq!(seen.rejects.len(), 1);
        assert_eq!(seen.rejects[0].1, (record("/a").len() + separator.len()) as u64);
    }
}

#[test]
fn a_record_over_the_limit_is_one_reject() {
    let long = "x".repeat(3 << 20);
    let text = [record("/a"), record(&long), record("/b")].join("\n");
    let (seen, report) = read(text.as_bytes(), &ReadOptions::default());
    assert_eq!(seen.paths, ["/a", "/b"]);
    assert_eq!(seen.rejects[0].0, "too-long");
    assert_eq!(seen.rejects[0].2, record(&long).len() as u64 + 1);
    assert_eq!(report.text_bytes, text.len() as u64);
}

#[test]
fn beginnings_of_records_without_ends_cost_one_search_and_one_reject() {
    let format = LogFormat::parse(FORMAT).expect("a template");
    let head = r#"{"ip":""#;
    let text = record("/a") + "\n" + &head.repeat(400_000) + "\n" + &record("/b");
    let mut seen = Seen::default();
    let options = ReadOptions { record_bytes: 1 << 20, ..ReadOptions::default() };
    read_object("o", text.as_bytes(), Some(&format), &options, &mut seen);
    assert_eq!(seen.paths, ["/a", "/b"]);
    let length = (head.len() * 400_000) as u64;
    assert_eq!(seen.rejects, [("too-long", record("/a").len() as u64 + 1, length + 1)]);
}

#[test]
fn among_lines_of_one_record_a_line_of_several_is_believed_nothing() {
    let format = "$context.identity.sourceIp \"$context.path\" $context.status $context.requestId";
    let format = LogFormat::parse(format).expect("a template");
    let record =
        |path: &str| format!("192.0.2.1 \"{path}\" 200 3f2504e0-4f89-11d3-9a0c-0305e82c3301");
    let two = record("/b") + &record("/c");
    let text = [record("/a"), two.clone(), record("/d")].join("\n");
    let mut seen = Seen::default();
    read_object("o", text.as_bytes(), Some(&format), &ReadOptions::default(), &mut seen);
    assert_eq!(seen.paths, ["/a", "/d"]);
    assert_eq!(seen.rejects, [("smuggled", record("/a").len() as u64 + 1, two.len() as u64)]);
}

#[test]
fn a_long_record_needs_no_line_feed_behind_it() {
    let path = format!("/{}", "a".repeat(70_000));
    let text = record("/b") + &record(&path).replace("\"status\"", "\"x\":{},\"status\"");
    let (seen, _) = read(text.as_bytes(), &ReadOptions::default());
    assert_eq!(seen.paths, ["/b", &path]);
}

#[test]
fn text_over_the_limit_makes_the_object_incomplete() {
    let text = (0..100).map(|n| record(&format!("/{n}")) + "\n").collect::<String>();
    let options = ReadOptions { object_bytes: 1_000, ..ReadOptions::default() };
    let (_, report) = read(&gzip(text.as_bytes()), &options);
    assert_eq!(report.incomplete, Some(Incomplete::TooLarge { limit: 1_000 }));
    let options = ReadOptions { object_bytes: text.len() as u64, ..ReadOptions::default() };
    assert_eq!(read(&gzip(text.as_bytes()), &options).1.incomplete, None);
}

#[test]
fn whoever_reads_no_further_ends_the_unpacking() {
    // More than may wait to be read.
    let text = record(&"x".repeat(1_000)).repeat(8_000);
    let options = ReadOptions { object_bytes: 1_000_000, ..ReadOptions::default() };
    let (seen, report) = read(&gzip(text.as_bytes()), &options);
    assert!(seen.paths.len() > 900, "{}", seen.paths.len());
    assert_eq!(report.incomplete, Some(Incomplete::TooLarge { limit: 1_000_000 }));
}

#[test]
fn nothing_at_all_is_an_object_too() {
    for bytes in [&b""[..], b"\n\n", b"#\n"] {
        let (seen, report) = read(bytes, &ReadOptions::default());
        assert_eq!((seen.paths.len(), report.rejected(), report.incomplete), (0, 0, None));
    }
}

#[test]
fn records_are_the_same_however_the_text_is_split() {
    let text = (0..40).map(|n| record(&format!("/{n}")) + "\n").collect::<String>() + "garbage";
    let whole = read(text.as_bytes(), &ReadOptions::default());
    for window_bytes in [1, 2, 3, 7, 50, 51, 64, 1_000] {
        let options = ReadOptions { window_bytes, ..ReadOptions::default() };
        let split = read(text.as_bytes(), &options);
        assert_eq!(split.0.paths, whole.0.paths, "{window_bytes}");
        assert_eq!(split.0.rejects, whole.0.rejects, "{window_bytes}");
    }
}

#[test]
fn lines_of_cloudfront_without_names_are_read_and_remarked() {
    let line = "2026-01-26\t10:11:07\tAMS1\t5\t192.0.2.1\tGET\td\t/a\t200\t-\tcurl\t-\n";
    let names = "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) \
                 cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query\n";
    for (text, remarks) in [(line.to_owned(), 1), (names.to_owned() + line, 0)] {
        let mut seen = Seen::default();
        let options = ReadOptions::default();
        let report = read_object("object", text.as_bytes(), None, &options, &mut seen);
        assert_eq!(seen.paths, ["/a"]);
        assert_eq!(report.notes.len(), remarks, "{:?}", report.notes);
    }
}

#[test]
fn a_request_without_time_has_its_objects_and_says_so() {
    struct Times(Vec<(Option<Timestamp>, bool)>);
    impl Sink for Times {
        fn request(&mut self, request: &Request<'_>) {
            self.0.push((request.time, request.time_is_of_object));
        }
        fn reject(&mut self, _: &Reject<'_>) {}
    }
    let mut times = Times(Vec::new());
    let key = "2026/01/02/03/s-1-2026-01-02-03-04-05-x.gz";
    let text = record("/a");
    read_object(key, text.as_bytes(), None, &ReadOptions::default(), &mut times);
    let expected = Timestamp::parse_rfc3339(b"2026-01-02T03:04:05Z");
    assert_eq!(times.0, [(expected, true)]);
}

/// Paths and rejects of an object whose format is that one, or is detected.
fn read_as(format: Option<&LogFormat>, bytes: &[u8]) -> (Vec<String>, usize) {
    let mut seen = Seen::default();
    let report = read_object("object", bytes, format, &ReadOptions::default(), &mut seen);
    assert_eq!(report.records as usize, seen.paths.len() + seen.rejects.len());
    (seen.paths, seen.rejects.len())
}

/// A subscription's record with these messages.
fn cloudwatch(messages: &[&str]) -> String {
    let events: Vec<String> =
        messages.iter().map(|message| format!(r#"{{"id":"1","message":{message:?}}}"#)).collect();
    let events = events.join(",");
    format!(r#"{{"messageType":"DATA_MESSAGE","logGroup":"g","logEvents":[{events}]}}"#)
}

const CONTROL: &str = r#"{"messageType":"CONTROL_MESSAGE","logGroup":"","logEvents":[{"id":"","message":"CWL CONTROL MESSAGE"}]}"#;

#[test]
fn records_beside_envelopes_are_read_and_nothing_is_lost() {
    let (one, two, three) = (record("/1"), record("/2"), record("/3"));
    let inside = cloudwatch(&[&one]);
    let check = |text: String, paths: &[&str], rejects: usize| {
        assert_eq!(
            read_as(None, text.as_bytes()),
            (paths.iter().map(|p| (*p).to_owned()).collect(), rejects),
            "{text}"
        );
    };
    check(format!("{inside}\n{two}\n{three}\n"), &["/1", "/2", "/3"], 0);
    check(format!("{inside}{two}{three}"), &["/1", "/2", "/3"], 0);
    check(format!("{CONTROL}\n{two}\n{three}"), &["/2", "/3"], 0);
    check(format!("{CONTROL}{inside}{CONTROL}{three}"), &["/1", "/3"], 0);
    check(format!("{inside}\nno record\n{two}"), &["/1", "/2"], 1);
    check(format!("{inside}\n{{}}\n{two}"), &["/1", "/2"], 1);
    check(format!("{inside}no record{two}"), &["/1", "/2"], 1);
}

#[test]
fn a_named_format_reads_what_stands_in_envelopes_too() {
    let lines = LogFormat::parse(
        "$context.identity.sourceIp|$context.httpMethod $context.path|$context.status",
    )
    .expect("a template");
    let (one, two) = ("192.0.2.1|GET /1|200", "192.0.2.1|GET /2|404");
    let inside = cloudwatch(&[one, two]);
    let both = (vec!["/1".to_owned(), "/2".to_owned()], 0);
    assert_eq!(read_as(Some(&lines), inside.as_bytes()), both);
    assert_eq!(read_as(Some(&lines), format!("{CONTROL}\n{inside}").as_bytes()), both);
    let mixed = format!("{}\n{two}\n", cloudwatch(&[one]));
    assert_eq!(read_as(Some(&lines), mixed.as_bytes()), both);
    assert_eq!(read_as(Some(&lines), format!("{one}\n{two}\n").as_bytes()), both);
    let preset = LogFormat::preset("cloudwatch").expect("a preset");
    let records = cloudwatch(&[&record("/1"), &record("/2")]);
    assert_eq!(read_as(Some(&preset), records.as_bytes()), both);
    assert_eq!(read_as(Some(&preset), &gzip(format!("{CONTROL}{records}").as_bytes())), both);
}

#[test]
fn what_firehose_could_not_deliver_may_be_a_subscriptions_record() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let inside = cloudwatch(&[&record("/1"), &record("/2")]);
    let both = (vec!["/1".to_owned(), "/2".to_owned()], 0);
    for data in [
        inside.clone().into_bytes(),
        gzip(inside.as_bytes()),
        gzip(&gzip(inside.as_bytes())),
        gzip(format!("{CONTROL}{inside}").as_bytes()),
        gzip([record("/1"), record("/2")].join("\n").as_bytes()),
    ] {
        let error = format!(r#"{{"attemptsMade":1,"rawData":"{}"}}"#, STANDARD.encode(&data));
        assert_eq!(read_as(None, error.as_bytes()), both);
    }
    let damaged = STANDARD.encode(&gzip(inside.as_bytes())[..40]);
    let error = format!(r#"{{"attemptsMade":1,"rawData":"{damaged}"}}"#);
    let (paths, rejects) = read_as(None, error.as_bytes());
    assert!(paths.is_empty() && rejects > 0);
}

#[test]
fn what_is_packed_in_a_way_that_is_not_read_is_called_by_its_name() {
    let mut packed = record("/a").into_bytes();
    for _ in 0..5 {
        packed = gzip(&packed);
    }
    for (bytes, told) in [
        (b"BZh91AY&SY\x00\x00".as_slice(), "cannot be read: it is bzip2"),
        (b"\xfd7zXZ\x00\x00\x04", "cannot be read: it is xz"),
        (&packed, "cannot be read: it is compressed more than four times over"),
    ] {
        let (seen, report) = read(bytes, &ReadOptions::default());
        assert!(seen.paths.is_empty() && seen.rejects.is_empty());
        let reason = report.incomplete.expect("a reason").to_string();
        assert!(reason.starts_with(told) && reason.contains("unpack it"), "{reason}");
    }
}
