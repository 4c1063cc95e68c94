use super::*;

const RECORD: &str = r#"{"timestamp":1576280412771,"formatVersion":1,"webaclId":"arn","terminatingRuleId":"Default_Action","action":"ALLOW","httpSourceName":"APIGW","httpSourceId":"123456789012:a1b2c3:prod","ruleGroupList":[{"a":"}]"}],"responseCodeSent":null,"httpRequest":{"clientIp":"192.0.2.1","country":"NL","headers":[{"name":"Host","value":"api.example.com"},{"name":"user-agent","value":"a \"b\""},{"name":"X-Test","value":"1\n2"}],"uri":"/a?b","args":"q=1","httpVersion":"HTTP/1.1","httpMethod":"GET","requestId":"Ed0AiHF_CGYF-DA="},"labels":[{"name":"a:b"},{"name":"c"}],"ja3Fingerprint":"j3"}"#;

#[test]
fn every_part_is_read() {
    let text = format!("{RECORD}{RECORD}");
    let mut scratch = Vec::new();
    let (length, request) =
        request(text.as_bytes(), &mut scratch, &mut Memory::default(), Origin::default())
            .expect("a record");
    assert_eq!(length, RECORD.len());
    let text = |field| request.text(field).map(|t| t.escaped().to_string());
    assert_eq!(text(Field::Id).as_deref(), Some("Ed0AiHF_CGYF-DA="));
    assert_eq!(text(Field::Path).as_deref(), Some("/a?b"));
    assert_eq!(text(Field::Query).as_deref(), Some("q=1"));
    assert_eq!(text(Field::UserAgent).as_deref(), Some("a \"b\""));
    assert_eq!(text(Field::Host).as_deref(), Some("api.example.com"));
    assert_eq!(text(Field::Headers).as_deref(), Some("X-Test: 1 2\\u{a}"));
    assert_eq!(text(Field::WafLabels).as_deref(), Some("a:b,c"));
    assert_eq!(text(Field::ApiId).as_deref(), Some("a1b2c3"));
    assert_eq!(text(Field::Stage).as_deref(), Some("prod"));
    assert_eq!(request.waf_action, Some(crate::WafAction::Allow));
    assert_eq!(request.status, None);
}

#[test]
fn headers_read_the_same_however_they_are_written() {
    let headers = |written: &str| {
        let plain = r#"{"name":"X-Test","value":"1\n2"}"#;
        let record = RECORD.replace(plain, written);
        assert!(RECORD.contains(plain) && record.contains(written));
        let mut scratch = Vec::new();
        let (_, request) =
            request(record.as_bytes(), &mut scratch, &mut Memory::default(), Origin::default())
                .expect("a record");
        let text = |field| request.text(field).map(|text| text.escaped().to_string());
        assert_eq!(text(Field::Host).as_deref(), Some("api.example.com"));
        assert_eq!(text(Field::UserAgent).as_deref(), Some("a \"b\""));
        text(Field::Headers)
    };
    let expected = headers(r#"{"name":"A","value":"b c"}"#);
    assert_eq!(expected.as_deref(), Some("A: b c\\u{a}"));
    for same in [
        r#" { "name" : "A" , "value" : "b c" } "#,
        r#"{"value":"b c","name":"A"}"#,
        r#"{"name":"A","value":"b c","more":[1]}"#,
        r#"{"name":"A","value":"b\u0020c"}"#,
        r#"{"name":"\u0041","value":"b c"}"#,
        r#"{"name":"A","myValue":"b c"}"#,
        "{\"name\":\"A\",\"value\":\"b\nc\"}",
    ] {
        assert_eq!(headers(same), expected, "{same}");
    }
    let second = headers("{\"name\":\"host\",\"value\":\"b\r\nc\"}");
    assert_eq!(second.as_deref(), Some("host: b  c\\u{a}"));
    let quotes = headers(r#"{"name":"A","value":"\"}]"}"#);
    assert_eq!(quotes.as_deref(), Some("A: \"}]\\u{a}"));
}

#[test]
fn a_trusted_key_that_stands_twice_is_forgery() {
    let record = RECORD.replace("\"country\"", "\"clientIp\":\"203.0.113.9\",\"country\"");
    let mut scratch = Vec::new();
    let result =
        request(record.as_bytes(), &mut scratch, &mut Memory::default(), Origin::default());
    assert_eq!(result.map(|_| ()), Err(RejectReason::Forged));
}

#[test]
fn what_is_remembered_of_a_record_changes_no_other() {
    let action = RECORD.replace("ALLOW", "BLOCK");
    let twice = RECORD.replacen("\"formatVersion\"", "\"timestamp\":1,\"formatVersion\"", 1);
    let records = [
        RECORD.to_owned(),
        RECORD.replace("192.0.2.1", "198.51.100.7").replace("2771", "2772"),
        action.clone(),
        action.replace("1576280412771", "157628041277"),
        RECORD.replace("1576280412771", "\"1576280412771\""),
        RECORD.replace("\"httpRequest\":{", "\"httpRequest\":{\"timestamp\":1,"),
        twice.clone(),
        twice,
        RECORD.replace("\"action\"", "\"httpRequest\":{},\"action\""),
        RECORD.replace("\"action\":\"ALLOW\"", "\"labels\":[{\"name\":\"x\"}]"),
        RECORD.replace("\"ja3Fingerprint\"", "\"action\""),
        RECORD.replace("Default_Action", "Rule \\\"x\\\""),
        RECORD[..RECORD.len() - 9].to_owned(),
    ];
    let told = |record: &str, memory: &mut Memory| {
        let mut scratch = Vec::new();
        let read = request(record.as_bytes(), &mut scratch, memory, Origin::default());
        format!("{read:?}")
    };
    for before in &records {
        for record in &records {
            let mut memory = Memory::default();
            told(before, &mut memory);
            assert_eq!(told(record, &mut memory), told(record, &mut Memory::default()));
            assert_eq!(told(record, &mut memory), told(record, &mut Memory::default()));
        }
    }
}

/// Reads the record with other headers, and gives a field.
fn with_headers(headers: &[(&str, &str)], field: Field) -> Option<String> {
    let written: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!(r#"{{"name":"{name}","value":"{value}"}}"#))
        .collect();
    let plain = r#"{"name":"X-Test","value":"1\n2"}"#;
    assert!(RECORD.contains(plain));
    let record = RECORD.replace(plain, &written.join(","));
    let mut scratch = Vec::new();
    let (_, request) =
        request(record.as_bytes(), &mut scratch, &mut Memory::default(), Origin::default())
            .expect("a record");
    request.text(field).map(|text| String::from_utf8_lossy(text.bytes()).into_owned())
}

#[test]
fn lines_of_one_forwarded_for_are_one_list_in_their_order() {
    let check = |lines: &[(&str, &str)], expected: &str| {
        assert_eq!(with_headers(lines, Field::ForwardedFor).as_deref(), Some(expected));
    };
    let name = "X-Forwarded-For";
    check(&[(name, "198.18.9.9")], "198.18.9.9");
    check(&[(name, "198.18.9.9"), (name, "198.18.1.1")], "198.18.9.9, 198.18.1.1");
    let apart = [(name, "a, b"), ("Accept", "*/*"), ("x-forwarded-for", "c"), (name, "d")];
    check(&apart, "a, b, c, d");
    // Escapes, and a line break, for which headers are read again.
    check(&[(name, r"a\u0020b"), (name, r"\u0063")], "a b, c");
    check(&[(name, "a"), ("X", "1\n2"), (name, "b")], "a, b");
    let headers = with_headers(&apart, Field::Headers);
    assert_eq!(headers.as_deref(), Some("Accept: */*\nx-forwarded-for: c\nX-Forwarded-For: d\n"));
}

#[test]
fn of_headers_with_one_value_the_first_line_counts_and_the_others_are_seen() {
    let lines = [("Referer", "https://example.com/"), ("referer", "x"), ("User-Agent", "sqlmap")];
    let told = |field| with_headers(&lines, field);
    assert_eq!(told(Field::Referer).as_deref(), Some("https://example.com/"));
    assert_eq!(told(Field::UserAgent).as_deref(), Some("a \"b\""));
    assert_eq!(told(Field::Headers).as_deref(), Some("referer: x\nUser-Agent: sqlmap\n"));
}
