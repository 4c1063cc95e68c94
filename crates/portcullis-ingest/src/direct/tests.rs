//! What is read here is what the long way reads.

use super::*;

use proptest::prelude::*;

use crate::{PRESETS, value};

/// Templates that log what clients write, in each form, beside the presets.
const OWN: [&str; 6] = [
    r#"{"id":"$context.requestId","ip":"$context.identity.sourceIp","path":"$context.path","ua":"$context.identity.userAgent","p":{"id":"$context.authorizer.principalId"},"x":"$context.xrayTraceId","status":$context.status,"n":$context.responseLength}"#,
    r#"$context.identity.sourceIp - - [$context.requestTime] "$context.httpMethod $context.path $context.protocol" $context.status $context.responseLength "$context.identity.userAgent" $context.requestId"#,
    "<request id=\"$context.requestId\"><ip>$context.identity.sourceIp</ip><path>$context.path</path><ua>$context.identity.userAgent</ua><status>$context.status</status></request>",
    "$context.identity.sourceIp,$context.requestTimeEpoch,$context.path,$context.status,$context.routeKey,$context.requestId",
    "$context.requestId \"$context.path\" $context.integration.latency \"$context.identity.userAgent\" \"$context.stage\"",
    "$context.status|$context.identity.userAgent|$context.path|$context.identity.sourceIp",
];

fn templates() -> Vec<Template> {
    let presets = PRESETS.iter().filter_map(|preset| preset.template).chain(OWN);
    presets.map(|text| Template::parse(text).expect("a template")).collect()
}

fn typical(name: &str) -> &'static str {
    match name {
        "identity.sourceIp" => "198.18.0.7",
        "status" => "403",
        "requestTime" => "26/Jan/2026:10:11:07 +0000",
        "requestTimeEpoch" => "1769422267123",
        "responseLength" | "responseLatency" | "integration.latency" => "12",
        "httpMethod" => "GET",
        "protocol" => "HTTP/1.1",
        "routeKey" => "GET /pets",
        "path" | "resourcePath" => "/pets/1",
        "requestId" => "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "extendedRequestId" => "AvfiBE7QvHcFq1g=",
        "wafResponseCode" => "WAF_ALLOW",
        _ => "value",
    }
}

fn rendered(template: &Template, value: impl Fn(usize, &str) -> String) -> Vec<u8> {
    let mut text = Vec::new();
    for (index, capture) in template.captures.iter().enumerate() {
        text.extend_from_slice(&capture.before);
        text.extend_from_slice(value(index, &capture.name).as_bytes());
    }
    text.extend_from_slice(&template.tail);
    text
}

/// What the long way reads: the record's length, and the request.
fn long_way<'o>(
    template: &Template,
    text: &'o [u8],
    scratch: &'o mut Vec<u8>,
) -> Option<(usize, Request<'o>)> {
    let mut pieces = Vec::new();
    let length = if template.form == Form::Json {
        template.cut_json(text, &mut pieces)?
    } else {
        template.cut(text, &mut pieces).ok()?;
        text.len()
    };
    let record = &text[..length];
    let request = value::request(template, record, &pieces, scratch, Origin::default());
    Some((length, request.ok()?))
}

/// Checks a record that is read here, and says whether it is.
fn check(template: &Template, text: &[u8], memory: &mut Memory) -> bool {
    // What a place held before must not be seen.
    let mut request = Request { referer: Some(Untrusted::new(b"stale")), ..Request::default() };
    let mut plain = Filling::new(&mut request, Origin::default(), memory);
    let read = match template.form {
        Form::Json => plain.json(template, text),
        _ => plain.record(template, text, &mut Vec::new()).map(|()| text.len()),
    };
    let Some(length) = read else { return false };
    plain.finish();
    let mut scratch = Vec::new();
    let known = long_way(template, text, &mut scratch);
    let text = String::from_utf8_lossy(text);
    assert_eq!(known, Some((length, request)), "{text}");
    true
}

#[test]
fn plain_records_of_every_preset_are_read_here() {
    for template in templates() {
        let mut memory = Memory::default();
        let text = rendered(&template, |_, name| typical(name).to_owned());
        for _ in 0..2 {
            assert!(check(&template, &text, &mut memory), "{:?}", template.plan);
        }
    }
}

/// What a value may be: of its type, or text that ends values and records.
fn values() -> impl Strategy<Value = Vec<Option<String>>> {
    let fragment = prop::sample::select(vec![
        "\"",
        "\\",
        ",",
        " ",
        "-",
        "'",
        "<",
        ">",
        "&lt;",
        "</ip>",
        "|",
        "?",
        "a",
        "/",
        "é",
        "\\\"",
        "\" 200 5 \"",
        ",200,",
        "203.0.113.66",
        "2001:db8::1",
        "12",
        "404",
        "GET",
        "GET /a",
        "HTTP/2",
        "\t",
        "\",\"ip\":\"203.0.113.66\",\"x\":\"",
        "</path><ua>",
        "1700000000",
        "2026-01-26T10:11:07Z",
        "26/Jan/2026:10:11:08 +0000",
        "[",
        "] \"",
        "}",
        "  ",
    ]);
    let hostile = prop::collection::vec(fragment, 0..4).prop_map(|parts| parts.concat());
    prop::collection::vec(prop_oneof![3 => Just(None), 2 => hostile.prop_map(Some)], 24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn what_is_read_here_is_what_the_long_way_reads(
        template in prop::sample::select(templates()),
        records in prop::collection::vec(values(), 1..4),
        // Two values of a record that are hostile at once are enough to confuse it.
        hostile in prop::collection::vec(0_usize..24, 0..3),
        all in any::<bool>(),
    ) {
        let mut memory = Memory::default();
        for values in &records {
            let text = rendered(&template, |index, name| match &values[index] {
                Some(value) if all || hostile.contains(&index) => value.clone(),
                _ => typical(name).to_owned(),
            });
            check(&template, &text, &mut memory);
        }
    }
}
