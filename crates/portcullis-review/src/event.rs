//! Offenders as events that other systems read: OCSF and the Elastic Common Schema.
//!
//! Each offender is one event and each event one line of JSON. What a client wrote is in
//! one field, passed through [`shown`]; nothing else in an event can be chosen by it.
//!
//! Sources: OCSF 1.5.0, class Detection Finding (2004), <https://schema.ocsf.io>; Elastic
//! Common Schema 8.11, <https://www.elastic.co/guide/en/ecs/8.11/index.html>.

use ipnet::IpNet;
use portcullis_detection::{
    Background, Confidence, Detection, Findings, Network, Offender, Outcome, Severity,
};
use serde_json::{Map, Value, json};

use crate::words::{category, shown, source};

/// The version of OCSF that events are of.
pub(crate) const OCSF_VERSION: &str = "1.5.0";

/// Characters of a logged text in an event.
const TEXT: usize = 500;

/// OCSF Detection Findings, one a line.
pub fn ocsf(findings: &Findings, version: &str) -> String {
    lines(findings, |offender| ocsf_event(offender, version))
}

/// Events of the Elastic Common Schema, one a line.
pub fn ecs(findings: &Findings, version: &str) -> String {
    lines(findings, |offender| ecs_event(offender, version))
}

fn lines(findings: &Findings, event: impl Fn(&Offender) -> Value) -> String {
    let events = findings.offenders.iter().map(|offender| format!("{}\n", event(offender)));
    events.collect()
}

fn ocsf_event(offender: &Offender, version: &str) -> Value {
    let first = offender.detections.first();
    let ms = |time: Option<portcullis_ingest::Timestamp>| {
        time.map(portcullis_ingest::Timestamp::epoch_ms)
    };
    let mut finding = object(json!({
        "uid": format!("portcullis:{}", source(offender.source)),
        "title": title(offender),
        "types": offender.categories.iter().map(|of| category(*of)).collect::<Vec<_>>(),
        "related_analytics": offender.detections.iter().map(analytic).collect::<Vec<_>>(),
    }));
    put(&mut finding, "analytic", first.map(analytic));
    put(&mut finding, "first_seen_time", ms(offender.first));
    put(&mut finding, "last_seen_time", ms(offender.last));
    let mut endpoint = Map::new();
    put(&mut endpoint, "ip", address(offender.source));
    put(&mut endpoint, "name", address(offender.source).is_none().then(|| source(offender.source)));
    let observable = match address(offender.source) {
        Some(ip) => {
            json!({"name": "evidences[].src_endpoint.ip", "type_id": 2, "type": "IP Address", "value": ip})
        }
        None => {
            json!({"name": "evidences[].src_endpoint.name", "type_id": 12, "type": "Subnet", "value": source(offender.source)})
        }
    };
    let known = &offender.background;
    put(&mut endpoint, "location", known.country.as_deref().map(|code| json!({ "country": code })));
    put(&mut endpoint, "autonomous_system", known.network.as_ref().map(autonomous_system));
    let mut evidence = object(json!({ "src_endpoint": endpoint }));
    put(&mut evidence, "data", example(offender).map(|(field, text)| json!({ field: text })));
    let severity = match offender.severity {
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    };
    let confidence = match offender.confidence {
        Confidence::Low => (1, "Low"),
        Confidence::Medium => (2, "Medium"),
        Confidence::High => (3, "High"),
    };
    let mut unmapped = object(json!({
        "score": offender.score,
        "requests": offender.requests,
        "flagged_requests": offender.flagged_requests,
        "flagged_answered": offender.outcomes.of(Outcome::Answered),
        "good_requests": offender.good_requests,
    }));
    put_own(&mut unmapped, known);
    json!({
        "activity_id": 1, "activity_name": "Create",
        "category_uid": 2, "category_name": "Findings",
        "class_uid": 2004, "class_name": "Detection Finding",
        "type_uid": 200_401, "type_name": "Detection Finding: Create",
        // The schema wants a time. A log without any gives the beginning of time.
        "time": ms(offender.last).unwrap_or(0),
        "severity_id": severity.0, "severity": severity.1,
        "confidence_id": confidence.0, "confidence": confidence.1,
        "status_id": 1, "status": "New",
        "count": offender.flagged_requests.max(1),
        "message": message(offender),
        "metadata": {
            "version": OCSF_VERSION,
            "product": { "name": "Portcullis", "vendor_name": "Portcullis", "version": version },
        },
        "finding_info": finding,
        "evidences": [evidence],
        "observables": [observable],
        "unmapped": unmapped,
    })
}

fn autonomous_system(network: &Network) -> Value {
    let mut system = object(json!({ "number": network.number }));
    put(&mut system, "name", network.name.as_deref());
    Value::Object(system)
}

/// What is known of a source and has no field in either schema.
fn put_own(map: &mut Map<String, Value>, known: &Background) {
    let listed: Vec<&str> = known.listed.iter().map(|name| &**name).collect();
    put(map, "listed", (!listed.is_empty()).then_some(listed));
    put(map, "asset", known.asset.as_deref());
}

fn analytic(detection: &Detection) -> Value {
    json!({
        "type_id": 1, "type": "Rule",
        "uid": &*detection.rule, "name": &*detection.title, "category": detection.category.name(),
    })
}

fn ecs_event(offender: &Offender, version: &str) -> Value {
    let time = |time: Option<portcullis_ingest::Timestamp>| time.map(|time| time.to_string());
    // 0 to 100 as the schema's severities are used by others: low 21, critical 99.
    let severity = match offender.severity {
        Severity::Low => 21,
        Severity::Medium => 47,
        Severity::High => 73,
        Severity::Critical => 99,
    };
    let mut event = object(json!({
        "kind": "alert", "category": ["intrusion_detection", "web"], "type": ["info"],
        "module": "portcullis", "dataset": "portcullis.offender",
        "severity": severity, "risk_score": offender.score,
    }));
    put(&mut event, "start", time(offender.first));
    put(&mut event, "end", time(offender.last));
    let mut from = object(json!({ "address": source(offender.source) }));
    put(&mut from, "ip", address(offender.source));
    let known = &offender.background;
    let geo = known.country.as_deref().map(|code| json!({ "country_iso_code": code }));
    put(&mut from, "geo", geo);
    put(
        &mut from,
        "as",
        known.network.as_ref().map(|network| {
            let mut system = object(json!({ "number": network.number }));
            let name = network.name.as_deref().map(|name| json!({ "name": name }));
            put(&mut system, "organization", name);
            Value::Object(system)
        }),
    );
    let mut portcullis = object(json!({
        "requests": offender.requests,
        "flagged_requests": offender.flagged_requests,
        "flagged_answered": offender.outcomes.of(Outcome::Answered),
        "good_requests": offender.good_requests,
        "rules": offender.detections.iter().map(|detection| &*detection.rule).collect::<Vec<_>>(),
        "categories": offender.categories.iter().map(|of| of.name()).collect::<Vec<_>>(),
    }));
    put_own(&mut portcullis, known);
    put(&mut portcullis, "example", example(offender).map(|(field, text)| json!({ field: text })));
    let mut line = object(json!({
        "ecs": { "version": "8.11.0" },
        "event": event,
        "source": from,
        "message": message(offender),
        "observer": { "vendor": "Portcullis", "product": "Portcullis", "type": "ids", "version": version },
        "portcullis": portcullis,
    }));
    put(&mut line, "@timestamp", time(offender.last));
    let rule = offender.detections.first().map(|detection| {
        json!({ "id": &*detection.rule, "name": &*detection.title, "category": detection.category.name() })
    });
    put(&mut line, "rule", rule);
    Value::Object(line)
}

fn title(offender: &Offender) -> String {
    let kinds: Vec<&str> = offender.categories.iter().map(|of| category(*of)).collect();
    format!("{} attacks: {}", source(offender.source), kinds.join(", "))
}

fn message(offender: &Offender) -> String {
    format!(
        "{} scores {}: {} of {} requests flagged, {} of them answered with success",
        source(offender.source),
        offender.score,
        offender.flagged_requests,
        offender.requests,
        offender.outcomes.of(Outcome::Answered),
    )
}

/// What the weightiest signature fired on, and in which field.
fn example(offender: &Offender) -> Option<(&'static str, String)> {
    let mut evidence = offender.detections.iter().flat_map(|detection| &detection.evidence);
    evidence.find_map(|evidence| Some((evidence.field?, shown(evidence.text.as_untrusted(), TEXT))))
}

/// The address of a source that is one; a network has none.
fn address(source: IpNet) -> Option<String> {
    (source.prefix_len() == source.max_prefix_len()).then(|| source.addr().to_string())
}

/// The map of a value that is written as an object.
pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => unreachable!("an object is written as one, not as {other}"),
    }
}

/// Puts what is there, and leaves out what is not.
pub(crate) fn put(map: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        map.insert(name.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use portcullis_ingest::is_unsafe_to_print;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::findings;

    fn events(lines: &str) -> Vec<Value> {
        lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    #[test]
    fn an_offender_is_a_detection_finding() {
        let events = events(&ocsf(&findings(b"/a"), "1.2.3"));
        assert_eq!(events.len(), 1);
        let event = &events[0];
        for (name, value) in [
            ("/class_uid", json!(2004)),
            ("/category_uid", json!(2)),
            ("/type_uid", json!(200_401)),
            ("/activity_id", json!(1)),
            ("/metadata/product/version", json!("1.2.3")),
            ("/finding_info/uid", json!("portcullis:203.0.113.9")),
            ("/evidences/0/src_endpoint/ip", json!("203.0.113.9")),
            ("/observables/0/type_id", json!(2)),
        ] {
            assert_eq!(event.pointer(name), Some(&value), "{name} in {event}");
        }
        for required in ["time", "severity_id", "metadata", "finding_info"] {
            assert!(event.get(required).is_some(), "the class requires {required}");
        }
        let title = event["finding_info"]["title"].as_str().expect("a title");
        assert!(title.starts_with("203.0.113.9 attacks: "), "{title}");
    }

    #[test]
    fn an_offender_is_an_alert_of_the_common_schema() {
        let events = events(&ecs(&findings(b"/a"), "1.2.3"));
        let event = &events[0];
        assert_eq!(event["event"]["kind"], "alert");
        assert_eq!(event["source"]["ip"], "203.0.113.9");
        assert_eq!(event["ecs"]["version"], "8.11.0");
        let example = event["portcullis"]["example"]["path"].as_str().expect("a path");
        assert!(example.contains("etc/passwd"), "{example}");
    }

    #[test]
    fn what_is_known_of_a_source_is_where_the_schemas_have_it() {
        let mut found = findings(b"/a");
        found.offenders[0].background = Background {
            country: Some("NL".into()),
            network: Some(Network { number: 64_496, name: Some("Example".into()) }),
            listed: vec!["drop".into()],
            asset: Some("build server".into()),
        };
        let [ocsf, ecs] =
            [ocsf(&found, "1"), ecs(&found, "1")].map(|lines| events(&lines).remove(0));
        for (event, name, value) in [
            (&ocsf, "/evidences/0/src_endpoint/location/country", json!("NL")),
            (&ocsf, "/evidences/0/src_endpoint/autonomous_system/number", json!(64_496)),
            (&ocsf, "/evidences/0/src_endpoint/autonomous_system/name", json!("Example")),
            (&ocsf, "/unmapped/listed", json!(["drop"])),
            (&ecs, "/source/geo/country_iso_code", json!("NL")),
            (&ecs, "/source/as/number", json!(64_496)),
            (&ecs, "/source/as/organization/name", json!("Example")),
            (&ecs, "/portcullis/asset", json!("build server")),
        ] {
            assert_eq!(event.pointer(name), Some(&value), "{name} in {event}");
        }
    }

    #[test]
    fn secrets_are_hidden() {
        let found = findings(b"/a?token=c4naryc4nary&x=");
        for lines in [ocsf(&found, "1"), ecs(&found, "1")] {
            assert!(lines.contains("[redacted]") && !lines.contains("c4nary"), "{lines}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_was_logged_events_are_inert_lines(
            text in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let found = findings(&text);
            for lines in [ocsf(&found, "1"), ecs(&found, "1")] {
                prop_assert_eq!(events(&lines).len(), found.offenders.len());
                prop_assert!(lines.chars().all(|c| c == '\n' || !is_unsafe_to_print(c)));
            }
        }
    }
}
