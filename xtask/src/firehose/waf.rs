//! Renders a request the way AWS WAF logs it before a REST API sees it.
//!
//! The only log of an API that shows the query string and every header. So most of a record
//! is what the client's software sends with each request, and what the web ACL's rule groups
//! said, which nearly always is nothing. AWS WAF decides before the API answers: a record
//! tells no status. Fingerprints of TLS are missing because AWS WAF takes them for CloudFront
//! and for load balancers only.
//!
//! Source: AWS WAF guide, "Log fields", and of "Log examples" the requests to API Gateway,
//! for the order of keys and of the headers that the gateway puts before the client's.

use std::io::Write as _;
use std::net::IpAddr;

use super::call::Call;
use super::format::{ACCOUNT, API_ID, Escape, HOST, STAGE, WEB_ACL, append_escaped};

/// Rule groups of the web ACL, in its order; the second may refuse a request.
const RULE_GROUPS: [&str; 3] = [
    "AWS#AWSManagedRulesAmazonIpReputationList",
    "AWS#AWSManagedRulesCommonRuleSet",
    "AWS#AWSManagedRulesKnownBadInputsRuleSet",
];
const REFUSING: usize = 1;

/// Where AWS places the client; made up from the address, so that a client stays where it is.
const COUNTRIES: [&str; 8] = ["NL", "DE", "GB", "FR", "BE", "US", "PL", "ES"];

/// Appends the record of one request.
pub(super) fn render(call: &Call, record: &mut Vec<u8>) {
    let refused = call.waf == "WAF_BLOCK";
    let automatic = !["Mozilla/", "TideBook/", "Dalvik/", "Opera/"]
        .iter()
        .any(|known| call.user_agent.starts_with(known));
    let (rule, kind, action) = if refused {
        ("AWS-AWSManagedRulesCommonRuleSet", "MANAGED_RULE_GROUP", "BLOCK")
    } else {
        ("Default_Action", "REGULAR", "ALLOW")
    };
    put(
        record,
        format_args!(
            r#"{{"timestamp":{},"formatVersion":1,"webaclId":"{WEB_ACL}","terminatingRuleId":"{rule}","terminatingRuleType":"{kind}","action":"{action}","terminatingRuleMatchDetails":[],"httpSourceName":"APIGW","httpSourceId":"{ACCOUNT}:{API_ID}:{STAGE}","ruleGroupList":["#,
            call.time
        ),
    );
    // Groups behind the one that refuses are not asked.
    let asked = if refused { REFUSING } else { RULE_GROUPS.len() - 1 };
    for (place, group) in RULE_GROUPS.iter().enumerate().take(asked + 1) {
        let comma = if place > 0 { "," } else { "" };
        let said = if refused && place == REFUSING {
            r#"{"ruleId":"UserAgent_BadBots_HEADER","action":"BLOCK","ruleMatchDetails":null}"#
        } else {
            "null"
        };
        put(
            record,
            format_args!(
                r#"{comma}{{"ruleGroupId":"{group}","terminatingRule":{said},"nonTerminatingMatchingRules":[],"excludedRules":null}}"#
            ),
        );
    }
    // A rule of the operator's own counts what is neither a browser nor the shop's app.
    let counted = if automatic {
        r#"{"ruleId":"automation","action":"COUNT","ruleMatchDetails":[]}"#
    } else {
        ""
    };
    put(
        record,
        format_args!(
            r#"],"rateBasedRuleList":[],"nonTerminatingMatchingRules":[{counted}],"requestHeadersInserted":null,"responseCodeSent":null,"httpRequest":{{"clientIp":"{}","country":"{}","headers":["#,
            call.client,
            country(call.client)
        ),
    );
    headers(call, record);
    put(record, format_args!(r#"],"uri":"/{STAGE}"#));
    append_escaped(&call.path, Escape::Json, record);
    put(record, format_args!(r#"","args":""#));
    append_escaped(&call.query, Escape::Json, record);
    put(
        record,
        format_args!(
            r#"","httpVersion":"HTTP/1.1","httpMethod":"{}","requestId":"{}","fragment":"","scheme":"https","host":"{HOST}"}}"#,
            call.method,
            String::from_utf8_lossy(&call.extended_id)
        ),
    );
    let of_groups = "awswaf:managed:aws:core-rule-set:BadBots_Header";
    let own = format!("awswaf:{ACCOUNT}:webacl:tidebook:automation");
    let labels = [(automatic, own.as_str()), (refused, of_groups)];
    let mut labels = labels.iter().filter(|(applies, _)| *applies).map(|(_, label)| label);
    if let Some(first) = labels.next() {
        put(record, format_args!(r#","labels":[{{"name":"{first}"}}"#));
        for label in labels {
            put(record, format_args!(r#",{{"name":"{label}"}}"#));
        }
        record.push(b']');
    }
    record.push(b'}');
}

/// What the gateway adds, and behind it what the client sent.
fn headers(call: &Call, record: &mut Vec<u8>) {
    let id = String::from_utf8_lossy(&call.request_id).replace('-', "");
    put(
        record,
        format_args!(
            r#"{{"name":"X-Forwarded-For","value":"{}"}},{{"name":"X-Forwarded-Proto","value":"https"}},{{"name":"X-Forwarded-Port","value":"443"}},{{"name":"Host","value":"{HOST}"}},{{"name":"X-Amzn-Trace-Id","value":"Root=1-{:08x}-{}"}}"#,
            call.client,
            call.time / 1_000,
            &id[..24]
        ),
    );
    let mut header = |name: &str, value: &str| {
        put(record, format_args!(r#",{{"name":"{name}","value":""#));
        append_escaped(value, Escape::Json, record);
        record.extend_from_slice(br#""}"#);
    };
    let browser = call.user_agent.contains("Gecko");
    if browser {
        header("accept", "application/json, text/plain, */*");
        header("accept-language", "en-GB,en;q=0.9,nl;q=0.7");
        header("accept-encoding", "gzip, deflate, br, zstd");
        header("sec-fetch-dest", "empty");
        header("sec-fetch-mode", "cors");
        header("sec-fetch-site", "same-site");
    } else {
        header("accept", "*/*");
        header("accept-encoding", "gzip");
    }
    // An empty header is not sent; secrets are redacted by the web ACL's data protection.
    for (name, value) in [("user-agent", &call.user_agent), ("referer", &call.referer)] {
        if !value.is_empty() {
            header(name, value);
        }
    }
    for (name, value) in [("x-api-key", &call.api_key_id), ("authorization", &call.principal)] {
        if !value.is_empty() {
            header(name, "REDACTED");
        }
    }
    if !matches!(call.method, "GET" | "HEAD") {
        header("content-type", "application/json");
    }
}

fn country(client: IpAddr) -> &'static str {
    let network = match client {
        IpAddr::V4(client) => client.octets()[2],
        IpAddr::V6(client) => client.octets()[5],
    };
    COUNTRIES[usize::from(network) % COUNTRIES.len()]
}

fn put(record: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    record.write_fmt(text).expect("writing to a Vec cannot fail");
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::firehose::call::{Api, Outcome};
    use crate::firehose::dice::Dice;

    fn rendered(change: impl FnOnce(&mut Call)) -> Value {
        let mut call = Call::new();
        call.begin(1_720_635_321_799);
        call.client = "198.18.7.9".parse().expect("valid");
        call.ask("GET", "/products/search/{term}", &[&"a%22b"]);
        change(&mut call);
        call.settle(Api::Rest, &mut Dice::new(1, "test", 0));
        let mut record = Vec::new();
        render(&call, &mut record);
        serde_json::from_slice(&record).expect("one JSON object")
    }

    fn header<'r>(record: &'r Value, name: &str) -> Option<&'r str> {
        let headers = record["httpRequest"]["headers"].as_array().expect("a list");
        let named = |header: &&Value| header["name"].as_str() == Some(name);
        headers.iter().find(named).and_then(|header| header["value"].as_str())
    }

    #[test]
    fn a_record_tells_the_query_and_the_headers() {
        let record = rendered(|call| {
            call.query = "q=lamp&page=2".to_owned();
            call.user_agent = "Mozilla/5.0 \"Kiosk\" Gecko \u{e9}".to_owned();
            call.principal = "user-7".to_owned();
        });
        assert_eq!(record["timestamp"], 1_720_635_321_799_i64);
        assert_eq!(record["action"], "ALLOW");
        assert_eq!(record["httpSourceId"], format!("{ACCOUNT}:{API_ID}:{STAGE}"));
        let request = &record["httpRequest"];
        assert_eq!(request["clientIp"], "198.18.7.9");
        assert_eq!(request["uri"], "/prod/products/search/a%22b");
        assert_eq!(request["args"], "q=lamp&page=2");
        assert_eq!(header(&record, "user-agent"), Some("Mozilla/5.0 \"Kiosk\" Gecko \u{e9}"));
        assert_eq!(header(&record, "authorization"), Some("REDACTED"));
        assert_eq!(header(&record, "referer"), None);
        assert_eq!(record.get("labels"), None);
        assert_eq!(record["ruleGroupList"].as_array().map(Vec::len), Some(RULE_GROUPS.len()));
    }

    #[test]
    fn a_refusal_names_its_rule_and_ends_the_asking() {
        let record = rendered(|call| {
            call.user_agent = "Nikto/2.5.0".to_owned();
            call.outcome = Outcome::BlockedByWaf;
        });
        assert_eq!(record["action"], "BLOCK");
        assert_eq!(record["ruleGroupList"].as_array().map(Vec::len), Some(REFUSING + 1));
        let refusing = &record["ruleGroupList"][REFUSING]["terminatingRule"];
        assert_eq!(refusing["action"], "BLOCK");
        assert_eq!(record["nonTerminatingMatchingRules"][0]["action"], "COUNT");
        assert_eq!(record["labels"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn hostile_text_stays_in_its_value() {
        let hostile = "\"}],\"clientIp\":\"203.0.113.1\\\n\u{1}";
        let record = rendered(|call| {
            call.user_agent = hostile.to_owned();
            call.query = hostile.to_owned();
        });
        assert_eq!(record["httpRequest"]["clientIp"], "198.18.7.9");
        assert_eq!(record["httpRequest"]["args"], hostile);
        assert_eq!(header(&record, "user-agent"), Some(hostile));
    }
}
