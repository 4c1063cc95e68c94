//! `decode` and `classify`: the shapes others build on.

use crate::support::{Files, Record, gzip, portcullis};

#[test]
fn fields_have_their_promised_names_and_order() {
    let files = Files::new();
    let object = files.write("a.log", Record::default().line());
    let ran = portcullis(["decode", &object]).run().expect_code(0);
    assert_eq!(
        ran.text(),
        format!(
            concat!(
                r#"{{"id":"AvfiBE7QvHcFq1g=","time":"2025-11-04T09:12:00.123Z","#,
                r#""client":"198.51.100.7","method":"GET","path":"/prod/pets/42","#,
                r#""route":"/pets/{{petId}}","status":200,"#,
                r#""user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0","#,
                r#""host":"api.example.com","protocol":"HTTP/1.1","response_bytes":512,"#,
                r#""latency_ms":23,"api_id":"a1b2c3d4e5","stage":"prod","waf_action":"ALLOW","#,
                r#""object":"{}","offset":0}}"#,
                "\n"
            ),
            object
        )
    );
}

#[test]
fn a_combined_line_gives_query_and_referer() {
    let files = Files::new();
    let object = files.write(
        "access.log",
        "198.51.100.7 - alice [04/Nov/2025:10:12:00 +0100] \"GET /a/b?q=1&r=%41 HTTP/1.1\" 404 23 \
         \"https://example.com/\" \"curl/8.5.0\"\n",
    );
    for arguments in [vec!["decode", &object], vec!["decode", &object, "--format", "combined"]] {
        let ran = portcullis(&arguments).run().expect_code(0);
        let request = &ran.lines()[0];
        assert_eq!(request["time"], "2025-11-04T09:12:00.000Z");
        assert_eq!(request["path"], "/a/b");
        assert_eq!(request["query"], "q=1&r=%41");
        assert_eq!(request["status"], 404);
        assert_eq!(request["referer"], "https://example.com/");
        assert_eq!(request["user_agent"], "curl/8.5.0");
        assert!(request["principal"].is_null(), "anybody can say to be alice");
    }
}

/// Reads the text with every separator and compression and compares with the truth.
#[track_caller]
fn check_ids(name: &str, bytes: &[u8], expected: &[&str]) {
    let files = Files::new();
    let object = files.write(name, bytes);
    let ran = portcullis(["decode", &object]).run().expect_code(0);
    let lines = ran.lines();
    let ids: Vec<_> = lines.iter().map(|line| line["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, expected);
}

#[test]
fn records_are_told_apart_however_they_are_joined() {
    let records: Vec<String> = ["one", "two", "three"]
        .into_iter()
        .map(|id| Record { id: id.to_owned(), ..Record::default() }.text())
        .collect();
    let expected = ["one", "two", "three"];
    check_ids("glued.log", records.concat().as_bytes(), &expected);
    check_ids("lines.log", records.join("\n").as_bytes(), &expected);
    check_ids("crlf.log", (records.join("\r\n") + "\r\n").as_bytes(), &expected);
    check_ids("typed.log", records.join("\\n").as_bytes(), &expected);
    check_ids("gzip-without-suffix", &gzip(records.concat().as_bytes()), &expected);
    let members: Vec<u8> = records.iter().flat_map(|record| gzip(record.as_bytes())).collect();
    check_ids("members.gz", &members, &expected);
    check_ids("twice.gz", &gzip(&gzip(records.concat().as_bytes())), &expected);
    // The suffix says nothing.
    check_ids("plain.gz", records.join("\n").as_bytes(), &expected);
}

#[test]
fn offsets_point_at_the_record() {
    let files = Files::new();
    let record = Record::default().text();
    let object = files.write("a.gz", gzip(record.repeat(3).as_bytes()));
    let ran = portcullis(["decode", &object]).run().expect_code(0);
    let offsets: Vec<_> =
        ran.lines().iter().map(|line| line["offset"].as_u64().expect("a number")).collect();
    let length = record.len() as u64;
    assert_eq!(offsets, [0, length, 2 * length]);
}

/// Undoes the documented notation for text that is not UTF-8.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('\\') {
            bytes.push(b'\\');
            rest = after;
        } else {
            let digits = rest.strip_prefix('x').expect("a backslash is doubled or begins \\xHH");
            bytes.push(u8::from_str_radix(&digits[..2], 16).expect("two hexadecimal digits"));
            rest = &digits[2..];
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[test]
fn text_that_is_not_utf8_can_be_restored() {
    let files = Files::new();
    for agent in
        [&b"caf\xe9"[..], b"\xff\xfe\x00", b"a\\\\xff\xff", b"\xed\xa0\x80 \xf0\x9f\x98\x80"]
    {
        let mut line =
            b"198.51.100.7 - - [04/Nov/2025:09:12:00 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \""
                .to_vec();
        line.extend_from_slice(agent);
        line.extend_from_slice(b"\"\n");
        let object = files.write("bytes.log", line);
        let ran = portcullis(["decode", &object, "--format", "combined"]).run().expect_code(0);
        let request = &ran.lines()[0];
        assert_eq!(request["escaped"], serde_json::json!(["user_agent"]), "{agent:?}");
        let shown = request["user_agent"].as_str().expect("a string");
        // Inside the log's quotes, `\\` stands for one backslash.
        let logged = agent.to_vec();
        let expected = match logged.windows(2).position(|pair| pair == b"\\\\") {
            Some(at) => [&logged[..at], &logged[at + 1..]].concat(),
            None => logged,
        };
        assert_eq!(unescape(shown), expected, "{shown}");
    }
}

#[test]
fn valid_text_is_given_exactly_even_when_it_looks_escaped() {
    let files = Files::new();
    let agent = "back\\slash \\xff \u{1b}[31m \u{202e} naïve 😀";
    let record = Record { user_agent: agent.to_owned(), ..Record::default() };
    let object = files.write("a.log", record.line());
    let ran = portcullis(["decode", &object]).run().expect_code(0);
    let request = &ran.lines()[0];
    assert_eq!(request["user_agent"], agent);
    assert_eq!(request.get("escaped"), None);
    assert!(!ran.stdout.contains(&0x1b) && !ran.text().contains('\u{202e}'));
}

#[test]
fn rejects_are_counted_and_can_be_kept() {
    let files = Files::new();
    let text =
        Record::default().line() + "no record at all \u{1b}[31m\n" + &Record::default().line();
    let object = files.write("a.log", &text);
    let rejects = files.path("rejects.jsonl");
    let ran = portcullis(["decode", &object, "--rejects", &rejects]).run().expect_code(3);
    assert_eq!(ran.lines().len(), 2);
    assert!(ran.stderr.contains("1 record could not be read"), "{}", ran.stderr);
    let kept = std::fs::read_to_string(rejects).expect("written");
    let reject: serde_json::Value = serde_json::from_str(&kept).expect("one line");
    assert_eq!(reject["object"], object);
    assert_eq!(reject["offset"], text.find("no record").expect("it is there"));
    assert_eq!(reject["reason"], "shape");
    assert!(reject["text"].as_str().expect("text").starts_with("no record at all \u{1b}[31m"));
    assert!(!kept.contains('\u{1b}'));
}

#[test]
fn standard_input_is_a_location() {
    let ran = portcullis(["decode", "-"]).stdin(Record::default().line()).run().expect_code(0);
    assert_eq!(ran.lines()[0]["object"], "-");
    let ran = portcullis(["decode", "-"]).stdin(gzip(Record::default().line().as_bytes())).run();
    assert_eq!(ran.expect_code(0).lines()[0]["id"], "AvfiBE7QvHcFq1g=");
}

#[test]
fn globs_and_trees_are_read_in_order_and_named_as_given() {
    let files = Files::new();
    for name in ["tree/2025/11/b.log", "tree/2025/10/a.log", "tree/.hidden", "tree/README.md"] {
        files.write(name, Record::default().line());
    }
    let objects = |location: &str| {
        let ran = portcullis(["decode", location]).inside(files.root()).run().expect_code(0);
        let lines = ran.lines();
        lines
            .iter()
            .map(|line| line["object"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(objects("tree"), ["tree/2025/10/a.log", "tree/2025/11/b.log"]);
    assert_eq!(objects("tree/2025/*/?.log"), ["tree/2025/10/a.log", "tree/2025/11/b.log"]);
    let ran = portcullis(["decode", "tree/*/nothing*"]).inside(files.root()).run().expect_code(1);
    assert!(ran.stderr.contains("no file matches the pattern"), "{}", ran.stderr);
}

#[test]
fn a_template_can_come_from_a_file() {
    let files = Files::new();
    files.write("format.txt", "$context.identity.sourceIp|$context.status|$context.path\n");
    files.write("a.log", "198.51.100.7|404|/prod/.env\n");
    let ran = portcullis(["decode", "a.log", "--format", "@format.txt"])
        .inside(files.root())
        .run()
        .expect_code(0);
    assert_eq!(
        ran.text(),
        concat!(
            r#"{"client":"198.51.100.7","path":"/prod/.env","status":404,"object":"a.log","offset":0}"#,
            "\n"
        )
    );
}

#[test]
fn classify_gives_a_verdict_for_every_request_in_order() {
    let files = Files::new();
    let hostile = Record {
        id: "hostile".to_owned(),
        path: "/prod/files/..%2f..%2f..%2f..%2fetc%2fpasswd".to_owned(),
        ..Record::default()
    };
    let object = files.write("a.log", Record::default().line() + &hostile.line());
    let ran = portcullis(["classify", &object]).run().expect_code(0);
    assert!(
        ran.text().starts_with(concat!(
            r#"{"id":"AvfiBE7QvHcFq1g=","client":"198.51.100.7","time":"2025-11-04T09:12:00.123Z","#,
            r#""flagged":false,"score":0,"categories":[],"rules":[]}"#,
            "\n"
        )),
        "{}",
        ran.text()
    );
    let verdict = &ran.lines()[1];
    assert_eq!(verdict["id"], "hostile");
    assert_eq!(verdict["flagged"], true);
    assert!(verdict["score"].as_u64().expect("a number") >= 50);
    let categories = verdict["categories"].as_array().expect("a list");
    assert!(categories.iter().any(|name| name == "traversal" || name == "lfi"), "{verdict}");
    assert!(!verdict["rules"].as_array().expect("a list").is_empty());
}
