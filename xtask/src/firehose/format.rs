//! Renders a request the way API Gateway writes it into a log.
//!
//! API Gateway replaces every `$context.name` of the operator's template with a
//! value and leaves the rest alone; an absent value is `-`, even where a number
//! is expected. This renderer is written from that description and shares no
//! code with the decoder, so that one can be the judge of the other.
//!
//! How client text is escaped is documented for no shape. Observed for JSON on
//! REST APIs: as JSON. For every other shape this renderer writes `"` as `\"`
//! and `\` as `\\` and touches nothing else, XML entities included; that is the
//! plain reading of a substituter which does not know the template's type.
//!
//! `combined` is no `$context` template: it is Apache's "combined" log line,
//! with the query string and the referer that API Gateway cannot log. `aws-waf` is
//! none either: AWS WAF's own log of the same requests.

use std::fmt::Write as _;

use super::calendar::{self, Millis, SECOND};
use super::call::{Api, Call};
use super::waf;

/// The API the simulation pretends to be.
pub(super) const API_ID: &str = "k4fz8q1tide";
pub(super) const ACCOUNT: &str = "123456789012";
pub(super) const HOST: &str = "api.tidebook.example";
pub(super) const STAGE: &str = "prod";
pub(super) const WEB_ACL: &str = "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/tidebook/6f0b1c9e-58d2-4c17-9a42-0d1f6b3e7a55";

/// A named template.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Preset {
    pub(crate) name: &'static str,
    pub(crate) template: &'static str,
}

/// The console's eight presets and the recommended one, letter by letter.
///
/// Source: API Gateway guide, "Set up logging" and
/// "Customize HTTP API access logs".
#[rustfmt::skip]
pub(crate) const PRESETS: &[Preset] = &[
    Preset { name: "apigw-rest-clf", template: r#"$context.identity.sourceIp $context.identity.caller  $context.identity.user [$context.requestTime] "$context.httpMethod $context.resourcePath $context.protocol" $context.status $context.responseLength $context.requestId $context.extendedRequestId"# },
    Preset { name: "apigw-rest-json", template: r#"{ "requestId":"$context.requestId", "extendedRequestId":"$context.extendedRequestId", "ip": "$context.identity.sourceIp", "caller":"$context.identity.caller", "user":"$context.identity.user", "requestTime":"$context.requestTime", "httpMethod":"$context.httpMethod", "resourcePath":"$context.resourcePath", "status":"$context.status", "protocol":"$context.protocol", "responseLength":"$context.responseLength" }"# },
    Preset { name: "apigw-rest-xml", template: r#"<request id="$context.requestId"> <extendedRequestId>$context.extendedRequestId</extendedRequestId> <ip>$context.identity.sourceIp</ip> <caller>$context.identity.caller</caller> <user>$context.identity.user</user> <requestTime>$context.requestTime</requestTime> <httpMethod>$context.httpMethod</httpMethod> <resourcePath>$context.resourcePath</resourcePath> <status>$context.status</status> <protocol>$context.protocol</protocol> <responseLength>$context.responseLength</responseLength> </request>"# },
    Preset { name: "apigw-rest-csv", template: "$context.identity.sourceIp,$context.identity.caller,$context.identity.user,$context.requestTime,$context.httpMethod,$context.resourcePath,$context.protocol,$context.status,$context.responseLength,$context.requestId,$context.extendedRequestId" },
    Preset { name: "apigw-http-clf", template: r#"$context.identity.sourceIp - - [$context.requestTime] "$context.httpMethod $context.routeKey $context.protocol" $context.status $context.responseLength $context.requestId"# },
    Preset { name: "apigw-http-json", template: r#"{ "requestId":"$context.requestId", "ip": "$context.identity.sourceIp", "requestTime":"$context.requestTime", "httpMethod":"$context.httpMethod","routeKey":"$context.routeKey", "status":"$context.status","protocol":"$context.protocol", "responseLength":"$context.responseLength" }"# },
    Preset { name: "apigw-http-xml", template: r#"<request id="$context.requestId"> <ip>$context.identity.sourceIp</ip> <requestTime>$context.requestTime</requestTime> <httpMethod>$context.httpMethod</httpMethod> <routeKey>$context.routeKey</routeKey> <status>$context.status</status> <protocol>$context.protocol</protocol> <responseLength>$context.responseLength</responseLength> </request>"# },
    Preset { name: "apigw-http-csv", template: "$context.identity.sourceIp,$context.requestTime,$context.httpMethod,$context.routeKey,$context.protocol,$context.status,$context.responseLength,$context.requestId" },
    Preset { name: "recommended", template: r#"{"requestId":"$context.requestId","extendedRequestId":"$context.extendedRequestId","ip":"$context.identity.sourceIp","requestTimeEpoch":"$context.requestTimeEpoch","httpMethod":"$context.httpMethod","path":"$context.path","resourcePath":"$context.resourcePath","stage":"$context.stage","apiId":"$context.apiId","domainName":"$context.domainName","status":"$context.status","protocol":"$context.protocol","responseLength":"$context.responseLength","responseLatency":"$context.responseLatency","userAgent":"$context.identity.userAgent","apiKeyId":"$context.identity.apiKeyId","principalId":"$context.authorizer.principalId","wafResponseCode":"$context.wafResponseCode","webaclArn":"$context.webaclArn","errorResponseType":"$context.error.responseType"}"# },
];

/// The names of the formats that are not templates.
pub(crate) const COMBINED: &str = "combined";
pub(crate) const AWS_WAF: &str = "aws-waf";

/// A format ready to render.
#[derive(Debug, Clone)]
pub(crate) struct Format {
    shape: Shape,
    api: Api,
    /// The last rendered second, because formatting it anew for each record is slow.
    clock: Option<(Millis, String)>,
}

#[derive(Debug, Clone)]
enum Shape {
    Template(Vec<Piece>, Escape),
    Combined,
    Waf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Variable(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    Json,
    Quotes,
    Apache,
}

impl Format {
    /// A preset's name, `combined`, `aws-waf`, or a template.
    pub(crate) fn new(name_or_template: &str) -> Result<Self, String> {
        let (shape, api) = match name_or_template {
            COMBINED => (Shape::Combined, Api::Server),
            AWS_WAF => (Shape::Waf, Api::Rest),
            name_or_template => Self::of_template(name_or_template)?,
        };
        Ok(Self { shape, api, clock: None })
    }

    fn of_template(name_or_template: &str) -> Result<(Shape, Api), String> {
        let preset = PRESETS.iter().find(|preset| preset.name == name_or_template);
        let template = preset.map_or(name_or_template, |preset| preset.template);
        if !template.contains("$context.") {
            let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
            return Err(format!(
                "format `{template}` is neither a preset ({}, {COMBINED}, {AWS_WAF}) nor a template with $context variables",
                names.join(", ")
            ));
        }
        let pieces = compile(template);
        let has = |name: &str| pieces.contains(&Piece::Variable(name.to_owned()));
        // A REST template may name `routeKey` too (it is then always `-`).
        let http = has("routeKey") && !has("resourcePath");
        let json = template.trim_start().starts_with('{');
        let escape = if json { Escape::Json } else { Escape::Quotes };
        Ok((Shape::Template(pieces, escape), if http { Api::Http } else { Api::Rest }))
    }

    /// The kind of API whose traffic this format shows.
    pub(crate) fn api(&self) -> Api {
        self.api
    }

    /// Appends the record of one request.
    pub(crate) fn render(&mut self, call: &Call, record: &mut Vec<u8>) {
        let second = call.time.div_euclid(SECOND);
        if self.clock.as_ref().is_none_or(|(rendered, _)| *rendered != second) {
            self.clock = Some((second, calendar::clf(call.time)));
        }
        let clock = self.clock.as_ref().map_or("", |(_, text)| text);
        let (pieces, escape) = match &self.shape {
            Shape::Template(pieces, escape) => (pieces, *escape),
            Shape::Combined => return render_combined(call, clock, record),
            Shape::Waf => return waf::render(call, record),
        };
        for piece in pieces {
            match piece {
                Piece::Literal(text) => record.extend_from_slice(text.as_bytes()),
                Piece::Variable(name) => {
                    let start = record.len();
                    substitute(name, call, self.api, escape, clock, record);
                    if record.len() == start {
                        record.push(b'-');
                    }
                }
            }
        }
    }
}

/// Cuts a template at its variables. A name is letters, digits, `_` and inner dots.
fn compile(template: &str) -> Vec<Piece> {
    const MARK: &str = "$context.";
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find(MARK) {
        let (literal, found) = rest.split_at(at);
        let name_and_rest = &found[MARK.len()..];
        let length = name_and_rest
            .find(|character: char| !character.is_ascii_alphanumeric() && !"_.".contains(character))
            .unwrap_or(name_and_rest.len());
        let name = name_and_rest[..length].trim_end_matches('.');
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        pieces.push(Piece::Variable(name.to_owned()));
        rest = &name_and_rest[name.len()..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    pieces
}

/// Appends the value of a variable; appends nothing when it is absent or unknown.
fn substitute(
    name: &str,
    call: &Call,
    api: Api,
    escape: Escape,
    clock: &str,
    record: &mut Vec<u8>,
) {
    let mut plain = |text: &str| record.extend_from_slice(text.as_bytes());
    let rest = api == Api::Rest;
    match name {
        "accountId" => plain(ACCOUNT),
        "apiId" => plain(API_ID),
        "domainName" => plain(HOST),
        "domainPrefix" => plain("api"),
        "stage" => plain(STAGE),
        "httpMethod" => plain(call.method),
        "protocol" => plain("HTTP/1.1"),
        "requestTime" => plain(clock),
        "error.responseType" => plain(call.error_type),
        "error.message" => plain(call.error_message),
        "error.messageString" if !call.error_message.is_empty() => {
            plain("\"");
            plain(call.error_message);
            plain("\"");
        }
        "identity.apiKeyId" => plain(&call.api_key_id),
        "authorizer.principalId" | "authorizer.claims.sub" => {
            append_escaped(&call.principal, escape, record);
        }
        "wafResponseCode" => plain(call.waf),
        "webaclArn" if rest => plain(WEB_ACL),
        "waf.status" if rest => plain(if call.waf == "WAF_BLOCK" { "403" } else { "200" }),
        "waf.latency" if rest => plain("4"),
        "customDomain.basePathMatched" => plain("(none)"),
        "path" => {
            plain("/");
            plain(STAGE);
            append_escaped(&call.path, escape, record);
        }
        "resourcePath" if rest => plain(call.route.unwrap_or("")),
        "routeKey" if !rest => {
            if let Some(route) = call.route {
                plain(call.method);
                plain(" ");
                plain(route);
            }
        }
        "identity.userAgent" => append_escaped(&call.user_agent, escape, record),
        "requestId" if rest => record.extend_from_slice(&call.request_id),
        "requestId" | "extendedRequestId" => record.extend_from_slice(&call.extended_id),
        "identity.sourceIp" => append_number(record, call.client),
        "requestTimeEpoch" => append_number(record, call.time),
        "status" => append_number(record, call.status),
        "responseLength" => append_number(record, call.response_bytes),
        "responseLatency" => append_number(record, call.latency_ms),
        "integrationStatus" | "integration.status" | "integration.integrationStatus" => {
            if let Some(status) = call.integration_status {
                append_number(record, status);
            }
        }
        "integrationLatency" | "integration.latency" => {
            if call.integration_status.is_some() {
                append_number(record, call.latency_ms.saturating_sub(6));
            }
        }
        _ => {
            // The one way a query reaches an access log: a mapping template that overrides it.
            if let Some(wanted) = name.strip_prefix("requestOverride.querystring.") {
                let value = call.query.split('&').find_map(|pair| {
                    pair.split_once('=').filter(|(key, _)| *key == wanted).map(|(_, value)| value)
                });
                append_escaped(value.unwrap_or(""), escape, record);
            }
        }
    }
}

fn render_combined(call: &Call, clock: &str, record: &mut Vec<u8>) {
    let or_dash = |text: &str, record: &mut Vec<u8>| {
        append_escaped(if text.is_empty() { "-" } else { text }, Escape::Apache, record);
    };
    append_number(record, call.client);
    record.extend_from_slice(b" - ");
    or_dash(&call.principal, record);
    record.extend_from_slice(b" [");
    record.extend_from_slice(clock.as_bytes());
    record.extend_from_slice(b"] \"");
    record.extend_from_slice(call.method.as_bytes());
    record.push(b' ');
    append_escaped(&call.path, Escape::Apache, record);
    if !call.query.is_empty() {
        record.push(b'?');
        append_escaped(&call.query, Escape::Apache, record);
    }
    record.extend_from_slice(b" HTTP/1.1\" ");
    append_number(record, call.status);
    record.push(b' ');
    append_number(record, call.response_bytes);
    record.extend_from_slice(b" \"");
    or_dash(&call.referer, record);
    record.extend_from_slice(b"\" \"");
    or_dash(&call.user_agent, record);
    record.push(b'"');
}

fn append_number(record: &mut Vec<u8>, number: impl std::fmt::Display) {
    use std::io::Write as _;
    write!(record, "{number}").expect("writing to a Vec cannot fail");
}

pub(super) fn append_escaped(text: &str, escape: Escape, record: &mut Vec<u8>) {
    let harmless = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(|byte| harmless(byte) && (escape != Escape::Apache || byte < 0x7f)) {
        record.extend_from_slice(text.as_bytes());
        return;
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match (character, escape) {
            ('"' | '\\', _) => escaped.extend(['\\', character]),
            ('\n', Escape::Json) => escaped.push_str("\\n"),
            ('\u{0}'..='\u{1f}', Escape::Json) => {
                write!(escaped, "\\u{:04x}", u32::from(character))
                    .expect("writing to a String cannot fail");
            }
            (_, Escape::Apache) if character.is_ascii_control() || !character.is_ascii() => {
                // Apache's ap_escape_logitem: every byte that is not printable ASCII.
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    write!(escaped, "\\x{byte:02x}").expect("writing to a String cannot fail");
                }
            }
            _ => escaped.push(character),
        }
    }
    record.extend_from_slice(escaped.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firehose::call::Outcome;
    use crate::firehose::dice::Dice;

    fn call() -> Call {
        let mut call = Call::new();
        call.begin(1_720_635_321_799);
        call.client = "198.18.0.9".parse().expect("valid");
        call.ask("GET", "/products/search/{term}", &[&"a\"b\\c"]);
        call.query = "q=lamp&page=2".to_owned();
        call.user_agent = "Kiosk \"7\" \u{e9}".to_owned();
        call.settle(Api::Rest, &mut Dice::new(1, "test", 0));
        call
    }

    fn check(template: &str, expected: &str) {
        let mut record = Vec::new();
        Format::new(template).expect("valid").render(&call(), &mut record);
        assert_eq!(String::from_utf8_lossy(&record), expected, "{template}");
    }

    #[test]
    fn absent_values_are_a_dash_even_as_numbers() {
        check(r#"{"key":"$context.identity.apiKeyId"}"#, r#"{"key":"-"}"#);
        check("$context.identity.caller,$context.authorizer.latency", "-,-");
        check("$context.error.messageString|", "-|");
        check("$context.resourcePath|$context.routeKey|", "/products/search/{term}|-|");
        check("$context.noSuchThing|", "-|");
    }

    #[test]
    fn client_text_is_escaped_by_the_shape_of_the_template() {
        check(r#"{"p":"$context.path"}"#, r#"{"p":"/prod/products/search/a\"b\\c"}"#);
        check("\"$context.path\"", r#""/prod/products/search/a\"b\\c""#);
        check("$context.identity.userAgent", "Kiosk \\\"7\\\" \u{e9}");
    }

    #[test]
    fn a_name_ends_before_a_final_dot_and_literals_stay() {
        check(
            "ip $context.identity.sourceIp. [$context.requestTime]",
            "ip 198.18.0.9. [10/Jul/2024:18:15:21 +0000]",
        );
        check("$context.status$context.httpMethod", "200GET");
        check("$context.requestOverride.querystring.page", "2");
    }

    #[test]
    fn combined_has_the_query_and_apache_escapes() {
        let mut record = Vec::new();
        let mut call = call();
        call.principal.clear();
        call.response_bytes = 12;
        Format::new(COMBINED).expect("valid").render(&call, &mut record);
        assert_eq!(
            String::from_utf8_lossy(&record),
            r#"198.18.0.9 - - [10/Jul/2024:18:15:21 +0000] "GET /products/search/a\"b\\c?q=lamp&page=2 HTTP/1.1" 200 12 "-" "Kiosk \"7\" \xc3\xa9""#
        );
    }

    #[test]
    fn json_presets_render_json_for_hostile_text() {
        for preset in PRESETS.iter().filter(|preset| preset.template.starts_with('{')) {
            let mut call = call();
            call.user_agent = "\"},{\"ip\":\"198.18.0.1\\\n\u{1}".to_owned();
            call.outcome = Outcome::UnknownRoute;
            let mut format = Format::new(preset.name).expect("a preset");
            call.settle(format.api(), &mut Dice::new(1, "test", 0));
            let mut record = Vec::new();
            format.render(&call, &mut record);
            let value: serde_json::Value = serde_json::from_slice(&record).expect(preset.name);
            assert_eq!(value["ip"], "198.18.0.9");
        }
    }

    #[test]
    fn text_without_variables_is_refused() {
        let message = Format::new("apigw-rest-yaml").expect_err("no such preset");
        assert!(message.contains("recommended"), "{message}");
    }
}
