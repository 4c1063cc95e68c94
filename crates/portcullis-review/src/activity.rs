//! Requests as events of OCSF: HTTP Activity.
//!
//! Source: OCSF 1.5.0, class HTTP Activity (4002), <https://schema.ocsf.io>. Tests hold
//! events against the schema as it is published.

use portcullis_ingest::{Field, Request, Untrusted, WafAction};
use serde_json::{Map, Value, json};

use crate::event::{OCSF_VERSION, object, put};
use crate::words::shown;

/// The activity of a method that the class does not have, such as PATCH; the method itself
/// is no value of its attribute then.
const OTHER: u32 = 99;

/// Fields without an attribute of their own in the class.
const UNMAPPED: [Field; 12] = [
    Field::Route,
    Field::ApiId,
    Field::Stage,
    Field::ApiKeyId,
    Field::Principal,
    Field::ErrorType,
    Field::WafRule,
    Field::WafLabels,
    Field::Ja3,
    Field::Ja4,
    Field::Country,
    Field::ForwardedFor,
];

/// One request as one event. Secrets are hidden, always; what a client wrote is inert.
pub fn http_activity(request: &Request<'_>, version: &str) -> Value {
    let text = |text: Option<Untrusted<'_>>| text.map(|text| shown(text, usize::MAX));
    let method = text(request.method);
    let (activity, name) = activity(method.as_deref());
    let mut metadata = object(json!({
        "version": OCSF_VERSION,
        "product": { "name": "Portcullis", "vendor_name": "Portcullis", "version": version },
        "log_name": shown(Untrusted::new(request.origin.object.as_bytes()), usize::MAX),
    }));
    put(&mut metadata, "uid", text(request.id));

    let mut asked = Map::new();
    let (known, other) = if activity == OTHER { (None, method) } else { (method, None) };
    put(&mut asked, "http_method", known);
    put(&mut asked, "user_agent", text(request.user_agent));
    put(&mut asked, "referrer", text(request.referer));
    put(&mut asked, "version", text(request.protocol));
    put(&mut asked, "url", url(request));
    let answered = request.status.map(|status| {
        let mut answered = object(json!({ "code": status }));
        put(&mut answered, "body_length", request.response_bytes);
        put(&mut answered, "latency", request.latency_ms);
        answered
    });

    let mut unmapped = object(json!({ "offset": request.origin.offset }));
    for field in UNMAPPED {
        put(&mut unmapped, field.name(), text(request.text(field)));
    }
    put(&mut unmapped, "method", other);
    put(&mut unmapped, "waf_action", request.waf_action.map(WafAction::name));

    let mut event = object(json!({
        "activity_id": activity, "activity_name": name,
        "category_uid": 4, "category_name": "Network Activity",
        "class_uid": 4002, "class_name": "HTTP Activity",
        "type_uid": 400_200 + activity, "type_name": format!("HTTP Activity: {name}"),
        // The schema wants a time. A log without any gives the beginning of time.
        "time": request.time.map_or(0, portcullis_ingest::Timestamp::epoch_ms),
        "severity_id": 1, "severity": "Informational",
        "metadata": metadata,
        "http_request": asked,
        "unmapped": unmapped,
    }));
    put(&mut event, "http_response", answered);
    put(&mut event, "src_endpoint", request.client.map(|ip| json!({ "ip": ip.to_string() })));
    put(&mut event, "dst_endpoint", text(request.host).map(|host| json!({ "hostname": host })));
    Value::Object(event)
}

/// The address that was asked for, as far as the log tells its path.
fn url(request: &Request<'_>) -> Option<Map<String, Value>> {
    let mut url = object(json!({ "path": shown(request.path?, usize::MAX) }));
    put(&mut url, "query_string", request.query.map(|query| shown(query, usize::MAX)));
    Some(url)
}

/// The class's activity of a method.
fn activity(method: Option<&str>) -> (u32, &'static str) {
    match method {
        None => (0, "Unknown"),
        Some("CONNECT") => (1, "Connect"),
        Some("DELETE") => (2, "Delete"),
        Some("GET") => (3, "Get"),
        Some("HEAD") => (4, "Head"),
        Some("OPTIONS") => (5, "Options"),
        Some("POST") => (6, "Post"),
        Some("PUT") => (7, "Put"),
        Some("TRACE") => (8, "Trace"),
        Some(_) => (OTHER, "Other"),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_ingest::is_unsafe_to_print;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_method_that_the_class_does_not_have_is_beside_the_request() {
        let method = Some(Untrusted::new(b"PATCH"));
        let event = http_activity(&Request { method, ..Request::default() }, "1");
        assert_eq!(event["activity_id"], OTHER);
        assert_eq!(event["http_request"].get("http_method"), None);
        assert_eq!(event["unmapped"]["method"], "PATCH");
    }

    #[test]
    fn a_request_is_an_http_activity() {
        let text = |text: &'static str| Some(Untrusted::new(text.as_bytes()));
        let request = Request {
            id: text("id-1"),
            time: portcullis_ingest::Timestamp::from_epoch_ms(1_762_247_520_123),
            client: Some("203.0.113.9".parse().expect("an address")),
            method: text("POST"),
            path: text("/prod/a"),
            query: text("token=c4naryc4nary"),
            status: Some(404),
            latency_ms: Some(23),
            waf_action: Some(WafAction::Allow),
            ..Request::default()
        };
        let event = http_activity(&request, "1.2.3");
        for (name, value) in [
            ("/class_uid", json!(4002)),
            ("/type_uid", json!(400_206)),
            ("/time", json!(1_762_247_520_123_i64)),
            ("/metadata/uid", json!("id-1")),
            ("/http_request/url/path", json!("/prod/a")),
            ("/http_request/url/query_string", json!("token=[redacted]")),
            ("/http_response/code", json!(404)),
            ("/http_response/latency", json!(23)),
            ("/src_endpoint/ip", json!("203.0.113.9")),
            ("/unmapped/waf_action", json!("ALLOW")),
        ] {
            assert_eq!(event.pointer(name), Some(&value), "{name} in {event}");
        }
    }

    proptest! {
        #[test]
        fn whatever_was_logged_the_event_is_an_inert_line(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let text = Some(Untrusted::new(&bytes));
            let request = Request { path: text, method: text, host: text, id: text, ..Request::default() };
            let line = http_activity(&request, "1").to_string();
            prop_assert!(!line.contains(is_unsafe_to_print), "{line:?}");
        }
    }
}
