//! One request as one line of JSON: the shape that `decode` promises.

use portcullis_ingest::{Field, Reject, Request};

use crate::output::json::{Object, Secrets};

/// Appends the request to `out`. Fields stand in [`Field::ALL`]'s order, absent ones
/// are left out; where the record stands comes last.
pub fn write(out: &mut Vec<u8>, request: &Request<'_>, secrets: Secrets) {
    let mut object = Object::open(out, secrets);
    for field in Field::ALL {
        let name = field.name();
        match field {
            Field::Time => object.display(name, request.time),
            Field::Client => object.display(name, request.client),
            Field::Status => number(&mut object, name, request.status),
            Field::ResponseBytes => number(&mut object, name, request.response_bytes),
            Field::LatencyMs => number(&mut object, name, request.latency_ms),
            Field::WafAction => {
                object.display(name, request.waf_action.map(portcullis_ingest::WafAction::name));
            }
            _ => object.untrusted(name, request.text(field)),
        }
    }
    object.text("object", request.origin.object);
    object.number("offset", request.origin.offset);
    object.close();
}

fn number(object: &mut Object<'_>, name: &str, number: Option<impl Into<u64>>) {
    if let Some(number) = number {
        object.number(name, number);
    }
}

/// Appends a record that could not be read to `out`.
pub fn write_reject(out: &mut Vec<u8>, reject: &Reject<'_>, secrets: Secrets) {
    let mut object = Object::open(out, secrets);
    object.text("object", reject.origin.object);
    object.number("offset", reject.origin.offset);
    object.number("length", reject.length);
    object.text("reason", reject.reason.name());
    object.untrusted("text", Some(reject.text));
    object.close();
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_ingest::{Origin, Timestamp, Untrusted, WafAction};

    #[test]
    fn every_field_has_its_promised_name_and_place() {
        let text = |text: &'static str| Some(Untrusted::new(text.as_bytes()));
        let request = Request {
            id: text("id-1"),
            time: Timestamp::from_epoch_ms(1_762_247_520_123),
            client: Some("2001:db8::7".parse().expect("an address")),
            method: text("GET"),
            path: text("/prod/a"),
            query: text("q=1"),
            route: text("/{proxy+}"),
            status: Some(404),
            user_agent: text("curl"),
            host: text("api.example"),
            referer: text("-x"),
            protocol: text("HTTP/1.1"),
            response_bytes: Some(23),
            latency_ms: Some(4),
            api_id: text("a1"),
            stage: text("prod"),
            api_key_id: text("k1"),
            principal: text("user"),
            error_type: text("THROTTLED"),
            waf_action: Some(WafAction::Block),
            headers: text("Cookie: session=secret"),
            origin: Origin { object: "a.gz", offset: 7 },
            ..Request::default()
        };
        let mut out = Vec::new();
        write(&mut out, &request, Secrets::Hidden);
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            r#"{"id":"id-1","time":"2025-11-04T09:12:00.123Z","client":"2001:db8::7","method":"GET","path":"/prod/a","query":"q=1","route":"/{proxy+}","status":404,"user_agent":"curl","host":"api.example","referer":"-x","protocol":"HTTP/1.1","response_bytes":23,"latency_ms":4,"api_id":"a1","stage":"prod","api_key_id":"k1","principal":"user","error_type":"THROTTLED","waf_action":"BLOCK","headers":"Cookie: [redacted]","object":"a.gz","offset":7}"#
        );
    }

    #[test]
    fn absent_fields_are_left_out() {
        let mut out = Vec::new();
        write(&mut out, &Request::default(), Secrets::Hidden);
        assert_eq!(out, br#"{"object":"","offset":0}"#);
    }
}
