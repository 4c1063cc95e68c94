//! Records rendered from a template with hostile values decode to the truth.
//!
//! The renderer here knows nothing of the decoder: it substitutes values into the
//! template's text, with the escaping that each shape's readers expect (JSON
//! strings, backslashes in quotes, XML entities, doubled quotes in CSV) or with none
//! at all. Escaped, every record must come back as it was. Raw, a record may be
//! rejected, but what is read must never differ in a trusted field.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use portcullis_ingest::{
    LogFormat, ObjectReport, PRESETS, ReadOptions, Reject, Request, Sink, read_object,
};
use proptest::prelude::*;

/// Values of one record, by variable name without `$context.`.
#[derive(Debug, Clone)]
struct Truth {
    client: String,
    status: String,
    id: String,
    extended_id: String,
    second: u32,
    bytes: u32,
    path: String,
    user_agent: String,
    principal: String,
}

impl Truth {
    fn value(&self, variable: &str) -> String {
        match variable {
            "identity.sourceIp" => self.client.clone(),
            "status" => self.status.clone(),
            "requestId" => self.id.clone(),
            "extendedRequestId" => self.extended_id.clone(),
            "requestTime" => format!("26/Jan/2026:10:11:{:02} +0000", self.second),
            "requestTimeEpoch" => format!("17694222{:02}000", 60 + self.second / 2),
            "responseLength" | "responseLatency" | "connectedAt" => self.bytes.to_string(),
            "httpMethod" => "GET".to_owned(),
            "protocol" => "HTTP/1.1".to_owned(),
            "path" => self.path.clone(),
            "resourcePath" => "/{proxy+}".to_owned(),
            "routeKey" => "GET /{proxy+}".to_owned(),
            "identity.userAgent" => self.user_agent.clone(),
            "authorizer.principalId" => self.principal.clone(),
            _ => "-".to_owned(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escaping {
    Json,
    Backslash,
    Entities,
    Csv,
    Raw,
}

fn escaping_of(template: &str) -> Escaping {
    match template.trim_start().as_bytes()[0] {
        b'{' => Escaping::Json,
        b'<' => Escaping::Entities,
        b'"' => Escaping::Raw,
        _ if template.contains(",$context.") && !template.contains('"') => Escaping::Csv,
        _ => Escaping::Backslash,
    }
}

fn escape(value: &str, escaping: Escaping) -> String {
    let mut out = String::new();
    match escaping {
        Escaping::Raw => out.push_str(value),
        Escaping::Csv => {
            if value.contains([',', '"', '\n', '\r']) {
                write!(out, "\"{}\"", value.replace('"', "\"\"")).expect("to a string");
            } else {
                out.push_str(value);
            }
        }
        Escaping::Entities => {
            for character in value.chars() {
                match character {
                    '<' => out.push_str("&lt;"),
                    '>' => out.push_str("&gt;"),
                    '&' => out.push_str("&amp;"),
                    '"' => out.push_str("&quot;"),
                    c if c.is_control() => write!(out, "&#{};", c as u32).expect("to a string"),
                    c => out.push(c),
                }
            }
        }
        Escaping::Json | Escaping::Backslash => {
            for character in value.chars() {
                match character {
                    '"' => out.push_str("\\\""),
                    '\\' => out.push_str("\\\\"),
                    c if c.is_control() && escaping == Escaping::Json => {
                        write!(out, "\\u{:04x}", c as u32).expect("to a string");
                    }
                    c if c.is_ascii_control() => {
                        write!(out, "\\x{:02x}", c as u32).expect("to a string");
                    }
                    c => out.push(c),
                }
            }
        }
    }
    out
}

fn render(template: &str, truth: &Truth, escaping: Escaping) -> String {
    let template = template.trim_end_matches('\n');
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find("$context.") {
        out.push_str(&rest[..at]);
        rest = &rest[at + "$context.".len()..];
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))
            .unwrap_or(rest.len());
        out.push_str(&escape(&truth.value(&rest[..end]), escaping));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// Fields of a request by name.
type Fields = Vec<(&'static str, String)>;

#[derive(Default)]
struct Seen {
    requests: Vec<Fields>,
    rejects: usize,
}

impl Sink for Seen {
    fn request(&mut self, r: &Request<'_>) {
        let mut fields = Vec::new();
        let mut push = |name, value: Option<String>| {
            if let Some(value) = value {
                fields.push((name, value));
            }
        };
        let text = |t: Option<portcullis_ingest::Untrusted<'_>>| {
            t.map(|t| String::from_utf8_lossy(t.bytes()).into_owned())
        };
        push("client", r.client.map(|c| c.to_string()));
        push("status", r.status.map(|s| s.to_string()));
        push("id", text(r.id));
        push("time", r.time.map(|t| t.to_string()));
        push("path", text(r.path));
        push("query", text(r.query));
        push("user_agent", text(r.user_agent));
        push("principal", text(r.principal));
        self.requests.push(fields);
    }
    fn reject(&mut self, _: &Reject<'_>) {
        self.rejects += 1;
    }
}

const TRUSTED: [&str; 4] = ["client", "status", "id", "time"];

fn expected(format: &LogFormat, truth: &Truth) -> Vec<(&'static str, String)> {
    let has = |name: &str| format.variables().any(|variable| variable == name);
    let mut fields = Vec::new();
    let mut push = |present: bool, name, value: &str| {
        // An absent value is logged as `-`, so a client's own `-` is absent too; but
        // a query string is a part of a value, not a value.
        if present && !value.is_empty() && (value != "-" || name == "query") {
            fields.push((name, value.to_owned()));
        }
    };
    push(has("identity.sourceIp"), "client", &truth.client);
    push(has("status"), "status", &truth.status);
    if has("extendedRequestId") {
        push(true, "id", &truth.extended_id);
    } else {
        push(has("requestId"), "id", &truth.id);
    }
    let time = if has("requestTimeEpoch") {
        let epoch: i64 = truth.value("requestTimeEpoch").parse().expect("a number");
        portcullis_ingest::Timestamp::from_epoch_ms(epoch).expect("in range").to_string()
    } else {
        format!("2026-01-26T10:11:{:02}.000Z", truth.second)
    };
    push(has("requestTimeEpoch") || has("requestTime"), "time", &time);
    let (path, query) = truth.path.split_once('?').unwrap_or((&truth.path, ""));
    push(has("path"), "path", path);
    push(has("path"), "query", query);
    push(has("identity.userAgent"), "user_agent", &truth.user_agent);
    push(has("authorizer.principalId"), "principal", &truth.principal);
    fields
}

/// Text an attacker would send: what ends values, records and quotes in any shape,
/// and whole forged tails.
fn hostile() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        Just("\""),
        Just("\\"),
        Just(","),
        Just("}{"),
        Just("}"),
        Just("{"),
        Just("</request>"),
        Just("<request id=\"x\">"),
        Just("]"),
        Just("["),
        Just(" "),
        Just("'"),
        Just("&amp;"),
        Just("&"),
        Just("\\u0022"),
        Just("\\\""),
        Just("\t"),
        Just("\u{1b}[2J"),
        Just("203.0.113.66"),
        Just("\",\"ip\":\"203.0.113.66\",\"status\":\"200\",\"x\":\""),
        Just("\" 200 5 "),
        Just(",200,5,"),
        Just("</path> <ip>203.0.113.66</ip>"),
        Just("é"),
        Just("日"),
        Just("a"),
        Just("/"),
        Just("%00"),
        Just("?"),
        Just("-"),
        Just("\u{202e}"),
        Just("Mozilla/5.0"),
        Just("\\n"),
        Just("\r"),
        Just("\u{7f}"),
    ];
    prop::collection::vec(fragment, 0..8).prop_map(|parts| parts.concat())
}

fn truth() -> impl Strategy<Value = Truth> {
    let client = prop_oneof![
        (0_u8..=255, 1_u8..=254).prop_map(|(a, b)| format!("198.18.{a}.{b}")),
        (1_u16..=u16::MAX).prop_map(|n| format!("2001:db8::{n:x}")),
    ];
    (
        client,
        100_u16..600,
        any::<u128>(),
        0_u32..60,
        0_u32..1_000_000,
        hostile(),
        hostile(),
        hostile(),
    )
        .prop_map(|(client, status, id, second, bytes, path, user_agent, principal)| {
            let hex = format!("{id:032x}");
            Truth {
                client,
                status: status.to_string(),
                id: format!(
                    "{}-{}-{}-{}-{}",
                    &hex[..8],
                    &hex[8..12],
                    &hex[12..16],
                    &hex[16..20],
                    &hex[20..]
                ),
                extended_id: format!("{}=", &hex[..15]),
                second,
                bytes,
                path: format!("/{path}"),
                user_agent,
                principal,
            }
        })
}

fn read(format: &LogFormat, object: &[u8]) -> (Seen, ObjectReport) {
    let mut seen = Seen::default();
    let report = read_object("object", object, Some(format), &ReadOptions::default(), &mut seen);
    assert_eq!(report.rejected(), seen.rejects as u64);
    (seen, report)
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("in memory");
    encoder.finish().expect("in memory")
}

/// The text as it is, in one gzip member, in two, and in gzip twice over.
fn wrapped(text: &[u8], how: usize, at: usize) -> Vec<u8> {
    match how % 4 {
        0 => text.to_vec(),
        1 => gzip(text),
        2 => {
            let (first, second) = text.split_at(at % text.len());
            [gzip(first), gzip(second)].concat()
        }
        _ => gzip(&gzip(text)),
    }
}

/// The trusted fields of a request.
fn trusted(request: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    request.iter().filter(|(name, _)| TRUSTED.contains(name)).cloned().collect()
}

/// Templates that log what clients write, in each shape, beside the presets.
const OWN: [&str; 4] = [
    r#"{"id":"$context.requestId","ip":"$context.identity.sourceIp","t":"$context.requestTime","path":"$context.path","ua":"$context.identity.userAgent","p":{"id":"$context.authorizer.principalId"},"status":$context.status}"#,
    r#"$context.identity.sourceIp - - [$context.requestTime] "$context.httpMethod $context.path $context.protocol" $context.status $context.responseLength "$context.identity.userAgent" $context.requestId"#,
    r#"<request id="$context.requestId"><ip>$context.identity.sourceIp</ip><t>$context.requestTime</t><path>$context.path</path><ua>$context.identity.userAgent</ua><status>$context.status</status></request>"#,
    "$context.identity.sourceIp,$context.requestTime,$context.path,$context.status,$context.responseLength,$context.requestId",
];

/// Templates with the request id in front of what no client may forge.
const WITH_ID_FIRST: [&str; 5] = [
    r#"$context.requestId $context.identity.sourceIp [$context.requestTime] "$context.httpMethod $context.path $context.protocol" $context.status"#,
    r#"$context.identity.sourceIp $context.requestId [$context.requestTime] "$context.path" $context.status $context.responseLength"#,
    r#"$context.identity.sourceIp [$context.requestTime] "$context.path" $context.requestId $context.status "$context.identity.userAgent""#,
    "$context.requestId,$context.identity.sourceIp,$context.requestTime,$context.path,$context.status,$context.identity.userAgent",
    r#"<request id="$context.requestId"><ip>$context.identity.sourceIp</ip><t>$context.requestTime</t><path>$context.path</path><status>$context.status</status></request>"#,
];

fn templates() -> Vec<String> {
    let presets = PRESETS.iter().filter_map(|preset| preset.template).chain(OWN);
    presets.map(str::to_owned).collect()
}

/// A record as AWS WAF, a load balancer, CloudFront or a web server writes it.
fn of_source(source: &str, truth: &Truth) -> String {
    let Truth { client, status, extended_id, second, bytes, path, user_agent, principal, .. } =
        truth;
    let hex = |text: &str, mark: &str, keep: &dyn Fn(u8) -> bool| {
        let mut out = String::new();
        for byte in text.bytes() {
            if keep(byte) {
                out.push(char::from(byte));
            } else {
                write!(out, "{mark}{byte:02x}").expect("to a string");
            }
        }
        if out.is_empty() { "-".to_owned() } else { out }
    };
    match source {
        "aws-waf" => serde_json::json!({
            "timestamp": 1_769_422_260_000_i64 + i64::from(*second) * 1_000,
            "webaclId": "arn", "action": "ALLOW", "labels": [{"name": "a"}],
            "httpRequest": {
                "clientIp": client, "uri": path, "args": principal, "requestId": extended_id,
                "headers": [
                    {"name": "X-Other", "value": principal},
                    {"name": "User-Agent", "value": user_agent},
                ],
                "httpMethod": "GET",
            },
        })
        .to_string(),
        "alb" => {
            let plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
            let target = hex(path, "\\x", &|byte| plain(byte) && byte != b' ');
            let agent = hex(user_agent, "\\x", &plain);
            let address = if client.contains(':') { format!("[{client}]") } else { client.clone() };
            format!(
                "https 2026-01-26T10:11:{second:02}.000000Z app/a/b {address}:4711 10.0.0.1:80 0.1 0.1 0.1 \
                 {status} 200 1 {bytes} \"GET https://a:443{target} HTTP/1.1\" \"{agent}\" - - arn \
                 \"Root={extended_id}\" \"-\" \"-\" 0 2026-01-26T10:11:{second:02}.000000Z \"forward\" \"-\""
            )
        }
        "cloudfront" => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._".contains(&byte);
            let (stem, agent) = (hex(path, "%", &plain), hex(user_agent, "%", &plain));
            let query = hex(principal, "%", &plain);
            format!(
                "2026-01-26\t10:11:{second:02}\tAMS1\t{bytes}\t{client}\tGET\td\t{stem}\t{status}\t-\t\
                 {agent}\t{query}\t-\tMiss\t{extended_id}"
            )
        }
        _ => {
            let (target, agent) =
                (escape(path, Escaping::Backslash), escape(user_agent, Escaping::Backslash));
            let referer = escape(principal, Escaping::Backslash);
            format!(
                "{client} - - [26/Jan/2026:10:11:{second:02} +0000] \"GET {target} HTTP/1.1\" {status} \
                 {bytes} \"{referer}\" \"{agent}\""
            )
        }
    }
}

/// What stands between records: line ends, nothing, and a line end typed as two characters.
const SEPARATORS: [&str; 4] = ["\n", "\r\n", "", "\\n"];

/// Records of one template with their truth, joined by a separator; `None` where nothing
/// marks the records' ends and no reader could find them.
fn rendered(
    template: &str,
    truths: &[Truth],
    separator: &str,
) -> Option<(LogFormat, String, Vec<Fields>)> {
    let format = LogFormat::parse(template).expect("a template");
    let no_line_end = !separator.contains('\n');
    if no_line_end && format.warnings().iter().any(|w| w.contains("nothing marks")) {
        return None;
    }
    let escaping = escaping_of(template);
    let records: Vec<String> = truths.iter().map(|t| render(template, t, escaping)).collect();
    let wanted = truths.iter().map(|t| expected(&format, t)).collect();
    Some((format, records.join(separator) + separator, wanted))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn escaped_records_decode_to_the_truth(
        truths in prop::collection::vec(truth(), 1..6),
        template in prop::sample::select(templates()),
        separator in prop::sample::select(&SEPARATORS[..]),
        wrapping in 0_usize..4,
        at in any::<usize>(),
    ) {
        let Some((format, text, wanted)) = rendered(&template, &truths, separator) else {
            return Ok(());
        };
        let (seen, report) = read(&format, &wrapped(text.as_bytes(), wrapping, at));
        prop_assert_eq!(&seen.requests, &wanted, "{}", text);
        prop_assert_eq!(seen.rejects, 0);
        prop_assert_eq!(report.incomplete, None);
        prop_assert_eq!(report.text_bytes, text.len() as u64);
    }

    /// Clients of REST APIs can set the request id, and hide nothing by it.
    #[test]
    fn a_request_id_of_any_text_hides_no_record(
        truth in truth(),
        id in hostile(),
        template in prop::sample::select(templates()),
    ) {
        if !matches!(escaping_of(&template), Escaping::Json | Escaping::Entities) {
            return Ok(());
        }
        let truth = Truth { id, ..truth };
        let (format, text, wanted) = rendered(&template, &[truth], "\n").expect("a line end");
        let (seen, _) = read(&format, text.as_bytes());
        prop_assert_eq!(&seen.requests, &wanted, "{}", text);
    }

    /// Nor forge anything by it.
    #[test]
    fn a_request_id_that_is_not_escaped_forges_no_trusted_field(
        truth in truth(),
        before in hostile(),
        (own, at) in (prop::sample::select(&WITH_ID_FIRST[..]), 0_usize..3),
        after in hostile(),
    ) {
        let victim = Truth { client: "203.0.113.66".to_owned(), ..truth.clone() };
        let forged = render(own, &Truth { id: before, ..victim }, Escaping::Raw);
        // All of a record, or its end left to what follows.
        let forged = &forged[..forged.floor_char_boundary(forged.len() / 3 * (at + 1))];
        let truth = Truth { id: format!("{forged}{after}"), ..truth };
        let format = LogFormat::parse(own).expect("a template");
        let text = render(own, &truth, Escaping::Raw) + "\n";
        if text.trim_end().contains(['\n', '\r']) {
            return Ok(());
        }
        let (seen, _) = read(&format, text.as_bytes());
        let wanted = trusted(&expected(&format, &truth));
        for request in &seen.requests {
            for field in trusted(request).into_iter().filter(|(name, _)| *name != "id") {
                prop_assert!(wanted.contains(&field), "{:?} in {}", field, text);
            }
        }
    }

    #[test]
    fn csv_records_are_read_as_the_csv_crate_reads_them(truth in truth()) {
        let template = OWN[3];
        let record = render(template, &truth, Escaping::Csv) + "\n";
        // The crate ends records at a carriage return too; API Gateway's never hold one.
        if record.contains('\r') {
            return Ok(());
        }
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).from_reader(record.as_bytes());
        let row = reader.records().next().expect("a row").expect("CSV");
        let format = LogFormat::parse(template).expect("a template");
        let (seen, _) = read(&format, record.as_bytes());
        let field = |name| {
            seen.requests[0].iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
        };
        prop_assert_eq!(field("client"), Some(&row[0]));
        let (path, query) = row[2].split_once('?').unwrap_or((&row[2], ""));
        prop_assert_eq!(field("path"), Some(path));
        prop_assert_eq!(field("query").unwrap_or(""), query);
        prop_assert_eq!(field("status"), Some(&row[3]));
        prop_assert_eq!(field("id"), Some(&row[5]));
    }

    #[test]
    fn records_of_other_sources_decode_to_the_truth(
        truths in prop::collection::vec(truth(), 1..4),
        source in prop::sample::select(&["aws-waf", "alb", "cloudfront", "combined"][..]),
    ) {
        let format = LogFormat::preset(source).expect("a preset");
        let text: String = truths.iter().map(|truth| of_source(source, truth) + "\n").collect();
        let (seen, _) = read(&format, text.as_bytes());
        prop_assert_eq!(seen.rejects, 0, "{}", text);
        prop_assert_eq!(seen.requests.len(), truths.len(), "{}", text);
        for (request, truth) in seen.requests.iter().zip(&truths) {
            let field = |name| request.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
            prop_assert_eq!(field("client"), Some(truth.client.as_str()), "{}", text);
            let time = format!("2026-01-26T10:11:{:02}.000Z", truth.second);
            prop_assert_eq!(field("time"), Some(time.as_str()), "{}", text);
            if source != "aws-waf" {
                prop_assert_eq!(field("status"), Some(truth.status.as_str()), "{}", text);
            }
            if source != "combined" {
                prop_assert_eq!(field("id"), Some(truth.extended_id.as_str()), "{}", text);
            }
            let agent = Some(truth.user_agent.as_str()).filter(|ua| !ua.is_empty() && *ua != "-");
            // JSON can tell a client's own `-` from an absent header.
            let shown = field("user_agent").filter(|agent| *agent != "-");
            prop_assert_eq!(shown, agent, "{}", text);
        }
    }

    #[test]
    fn what_is_read_of_a_truncated_object_is_true(
        truths in prop::collection::vec(truth(), 1..6),
        template in prop::sample::select(templates()),
        separator in prop::sample::select(&SEPARATORS[..]),
        nested in any::<bool>(),
        at in any::<usize>(),
    ) {
        let Some((format, text, wanted)) = rendered(&template, &truths, separator) else {
            return Ok(());
        };
        let object = wrapped(text.as_bytes(), if nested { 3 } else { 1 }, 0);
        let cut = 18 + at % (object.len() - 18);
        let (seen, report) = read(&format, &object[..cut]);
        prop_assert!(report.incomplete.is_some(), "cut at {} of {}", cut, object.len());
        prop_assert!(seen.requests.len() <= wanted.len());
        prop_assert_eq!(&seen.requests[..], &wanted[..seen.requests.len()], "{}", text);
    }

    #[test]
    fn raw_values_never_change_a_trusted_field(
        truth in truth(),
        template in prop::sample::select(templates()),
    ) {
        let format = LogFormat::parse(&template).expect("a template");
        let text = render(&template, &truth, Escaping::Raw) + "\n";
        // A line feed cannot stand in a request line or a header.
        if text.trim_end().contains(['\n', '\r']) {
            return Ok(());
        }
        let (seen, _) = read(&format, text.as_bytes());
        prop_assert!(seen.requests.len() + seen.rejects >= 1);
        let wanted = trusted(&expected(&format, &truth));
        for request in &seen.requests {
            for field in trusted(request) {
                prop_assert!(wanted.contains(&field), "{:?} in {}", field, text);
            }
        }
    }
}

/// Cases of each property; `PROPTEST_CASES` raises them for the long form.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000)
}

/// A client that is not escaped closes its value and the record, and begins a record of
/// somebody else's, so that two seem to stand where one does.
#[test]
fn a_seam_written_inside_a_value_makes_no_record_of_anybody() {
    #[derive(Default)]
    struct Clients(Vec<String>, Vec<&'static str>);
    impl Sink for Clients {
        fn request(&mut self, request: &Request<'_>) {
            self.0.extend(request.client.map(|client| client.to_string()));
        }
        fn reject(&mut self, reject: &Reject<'_>) {
            self.1.push(reject.reason.name());
        }
    }
    let honest = Truth {
        client: "198.18.0.7".to_owned(),
        status: "200".to_owned(),
        id: "3f2504e0-4f89-11d3-9a0c-0305e82c3301".to_owned(),
        extended_id: "AvfiBE7QvHcFq1g=".to_owned(),
        second: 7,
        bytes: 12,
        path: "/prod/a".to_owned(),
        user_agent: "curl/8".to_owned(),
        principal: "user".to_owned(),
    };
    let forged = Truth { client: "203.0.113.66".to_owned(), ..honest.clone() };
    let recommended = LogFormat::preset("recommended").expect("a preset");
    let recommended = recommended.template().expect("a template").to_owned();
    for (template, close) in
        [(OWN[0], "\"}"), (OWN[2], "</ua></request>"), (recommended.as_str(), "\"}")]
    {
        let format = LogFormat::parse(template).expect("a template");
        // The forged record breaks off where the client's value stands, so that the rest
        // of the real one completes it.
        let mark = "STOP";
        let cut = Truth { user_agent: mark.to_owned(), ..forged.clone() };
        let beginning = render(template, &cut, Escaping::Raw);
        let beginning = beginning.split(mark).next().expect("a beginning");
        for between in [String::new(), render(template, &forged, Escaping::Raw)] {
            let value = format!("x{close}{between}{beginning}y");
            let attack = Truth { user_agent: value, ..honest.clone() };
            for separator in ["\n", ""] {
                let lines = [&honest, &attack, &honest];
                let text: String =
                    lines.map(|truth| render(template, truth, Escaping::Raw) + separator).concat();
                for window_bytes in [1, 64, 100_000] {
                    let options = ReadOptions { window_bytes, ..ReadOptions::default() };
                    let mut seen = Clients::default();
                    read_object("o", text.as_bytes(), Some(&format), &options, &mut seen);
                    // Where nothing separates records, the honest one behind the attack
                    // may be a part of it as well.
                    let read = if separator.is_empty() { 1 } else { 2 };
                    assert_eq!(seen.0, vec![honest.client.as_str(); read], "{text}");
                    assert_eq!(seen.1, ["smuggled"], "{text}");
                }
            }
        }
    }
}

/// Public format strings, where the evaluation data is present.
#[test]
fn public_format_strings_parse_and_decode() {
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/apigw_format_strings.tsv");
    let Ok(table) = std::fs::read_to_string(file) else {
        eprintln!("NOT RUN: ../shared/data is absent, so no public format string was tried");
        return;
    };
    let truth = Truth {
        client: "198.18.0.7".to_owned(),
        status: "403".to_owned(),
        id: "3f2504e0-4f89-11d3-9a0c-0305e82c3301".to_owned(),
        extended_id: "AvfiBE7QvHcFq1g=".to_owned(),
        second: 7,
        bytes: 12,
        path: "/prod/a b?c=\"d\"".to_owned(),
        user_agent: "Mozilla/5.0 (\"x\", like\\y) <z>".to_owned(),
        principal: "user|42".to_owned(),
    };
    let (mut decoded, mut total) = (0, 0);
    for row in table.lines().skip(1) {
        let mut columns = row.split('\t');
        let (name, escaped) = (columns.next().expect("an id"), columns.next().expect("a format"));
        let template = escaped.replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\");
        total += 1;
        let format = match LogFormat::parse(&template) {
            Ok(format) => format,
            Err(error) => panic!("{name}: {error}"),
        };
        let escaping = escaping_of(&template);
        let text = format!("{0}\n{0}\n", render(&template, &truth, escaping));
        let (seen, _) = read(&format, text.as_bytes());
        assert_eq!(seen.rejects, 0, "{name}: {text}");
        let wanted = expected(&format, &truth);
        assert_eq!(seen.requests, [wanted.clone(), wanted], "{name}: {text}");
        decoded += 1;
    }
    eprintln!("{decoded} of {total} public format strings decode");
    assert!(total >= 44);
}
