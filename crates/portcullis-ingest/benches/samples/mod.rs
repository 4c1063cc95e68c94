//! Small logs to measure with, made from numbers: honest clients of a shop, the same in every
//! format.
//!
//! They fit a processor's cache and repeat themselves, so they say how one change of the code
//! compares with another. How fast a log is read is what `cargo xtask bench` measures, on
//! simulated traffic.

use portcullis_ingest::LogFormat;

/// Records of one log: more than are remembered of clean texts.
pub(crate) const RECORDS: u64 = 4_000;

/// A log.
pub(crate) struct Sample {
    /// What it is called.
    pub(crate) name: &'static str,
    /// How it is to be read.
    pub(crate) format: LogFormat,
    /// Its records, each with a newline.
    pub(crate) text: Vec<u8>,
}

/// One log in each format that scans are measured on.
pub(crate) fn samples() -> [Sample; 4] {
    const LINES: &str = r#"$context.identity.sourceIp - - [$context.requestTime] "$context.httpMethod $context.path $context.protocol" $context.status $context.responseLength "$context.identity.userAgent" $context.extendedRequestId"#;
    let preset = |name: &str| LogFormat::preset(name).expect("a preset's name");
    let sample = |name, format, record: fn(u64) -> String| {
        let text = (0..RECORDS).map(|number| record(number) + "\n").collect::<String>();
        Sample { name, format, text: text.into_bytes() }
    };
    [
        sample("json", preset("recommended"), json),
        sample("lines", LogFormat::parse(LINES).expect("a template"), line),
        sample("combined", preset("combined"), combined),
        sample("waf", preset("aws-waf"), waf),
    ]
}

fn client(number: u64) -> String {
    format!("198.51.{}.{}", number % 7, number * 31 % 251)
}

fn path(number: u64) -> String {
    match number % 3 {
        0 => format!("/products/{}", number * 17 % 9_000),
        1 => format!("/availability/2026-04-{:02}", 1 + number % 30),
        _ => "/cart/items".to_owned(),
    }
}

fn query(number: u64) -> String {
    format!("page={}&sort=price&session={:016x}", number % 9, mixed(number))
}

fn agent(number: u64) -> String {
    let version = 118 + number % 17;
    format!("Mozilla/5.0 (X11; Linux x86_64; rv:{version}.0) Gecko/20100101 Firefox/{version}.0")
}

/// An id of the gateway's own making.
fn id(number: u64) -> String {
    format!("{:015x}=", mixed(number) >> 4)
}

/// Another number for each number, without a pattern.
fn mixed(number: u64) -> u64 {
    let once = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (once ^ once >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn clock(number: u64) -> String {
    format!("02/Mar/2026:08:{:02}:{:02} +0000", number / 600 % 60, number / 10 % 60)
}

/// The same moment in milliseconds.
fn epoch(number: u64) -> u64 {
    1_772_438_400_000 + number * 100
}

fn json(number: u64) -> String {
    format!(
        r#"{{"requestId":"7f3d2a10-0000-4000-8000-{number:012x}","extendedRequestId":"{}","ip":"{}","requestTimeEpoch":"{}","httpMethod":"GET","path":"/prod{}","resourcePath":"/products/{{id}}","stage":"prod","apiId":"a1b2c3d4e5","domainName":"api.example.com","status":"200","protocol":"HTTP/1.1","responseLength":"{}","responseLatency":"{}","userAgent":"{}","apiKeyId":"-","principalId":"user-{}","wafResponseCode":"WAF_ALLOW","webaclArn":"-","errorResponseType":"-"}}"#,
        id(number),
        client(number),
        epoch(number),
        path(number),
        200 + number * 7 % 5_000,
        20 + number % 90,
        agent(number),
        number % 400,
    )
}

fn line(number: u64) -> String {
    format!(
        r#"{} - - [{}] "GET /prod{} HTTP/1.1" 200 {} "{}" {}"#,
        client(number),
        clock(number),
        path(number),
        200 + number * 7 % 5_000,
        agent(number),
        id(number),
    )
}

fn combined(number: u64) -> String {
    format!(
        r#"{} - - [{}] "GET {}?{} HTTP/1.1" 200 {} "https://www.example.com/" "{}""#,
        client(number),
        clock(number),
        path(number),
        query(number),
        200 + number * 7 % 5_000,
        agent(number),
    )
}

fn waf(number: u64) -> String {
    let client = client(number);
    format!(
        r#"{{"timestamp":{},"formatVersion":1,"webaclId":"arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/shop/6f0b1c9e-58d2-4c17-9a42-0d1f6b3e7a55","terminatingRuleId":"Default_Action","terminatingRuleType":"REGULAR","action":"ALLOW","terminatingRuleMatchDetails":[],"httpSourceName":"APIGW","httpSourceId":"123456789012:a1b2c3d4e5:prod","ruleGroupList":[{{"ruleGroupId":"AWS#AWSManagedRulesCommonRuleSet","terminatingRule":null,"nonTerminatingMatchingRules":[],"excludedRules":null}}],"rateBasedRuleList":[],"nonTerminatingMatchingRules":[],"requestHeadersInserted":null,"responseCodeSent":null,"httpRequest":{{"clientIp":"{client}","country":"NL","headers":[{{"name":"X-Forwarded-For","value":"{client}"}},{{"name":"X-Forwarded-Proto","value":"https"}},{{"name":"Host","value":"api.example.com"}},{{"name":"X-Amzn-Trace-Id","value":"Root=1-69a53e06-{:024x}"}},{{"name":"accept","value":"*/*"}},{{"name":"accept-language","value":"en-GB,en;q=0.9"}},{{"name":"user-agent","value":"{}"}}],"uri":"/prod{}","args":"{}","httpVersion":"HTTP/1.1","httpMethod":"GET","requestId":"{}"}}}}"#,
        epoch(number),
        mixed(number),
        agent(number),
        path(number),
        query(number),
        id(number),
    )
}
