//! Reads JSON and XML records by their keys, without the template's exact text.
//!
//! The fallback for records that do not fit their template to the byte (other
//! spacing, other order, more keys), the way formats are recognised when none is
//! given, and the second opinion on the template cut in tests. A key that stands
//! twice with different values is never resolved: somebody wrote into the record.

use std::collections::HashMap;

use crate::cut::Piece;
use crate::direct::Plan;
use crate::template::{Capture, Form, Literal, Setting, Template};
use crate::variable::{self, Meaning, Shape, Slot};
use crate::{FieldSet, RejectReason};
use crate::{json, xml};

/// What the keys of a template's records mean.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// Keys joined by line feeds (no key holds one) → variable, and how often.
    known: HashMap<Vec<u8>, (Box<str>, usize)>,
}

impl Keys {
    /// Keys of a JSON or XML template; `None` when its text is neither.
    pub(crate) fn of(template: &Template) -> Option<Self> {
        let (text, places) = rendered(template);
        let mut known: HashMap<Vec<u8>, (Box<str>, usize)> = HashMap::new();
        let mut found = 0;
        walk(template.form, &text, &mut |keys, piece, _| {
            if let Some(index) = places.iter().position(|place| *place == piece.start) {
                found += 1;
                let name = template.captures[index].name.clone();
                known.entry(keys.join(&b'\n')).or_insert((name, 0)).1 += 1;
            }
        })?;
        (found == template.captures.len()).then_some(Self { known })
    }

    fn meaning(&self, keys: &[&[u8]]) -> Option<(Box<str>, usize)> {
        self.known.get(&keys.join(&b'\n')).cloned()
    }
}

/// A sample record of the template, with where each value stands in it.
fn rendered(template: &Template) -> (Vec<u8>, Vec<usize>) {
    let mut text = Vec::new();
    let mut places = Vec::new();
    for capture in &template.captures {
        text.extend_from_slice(&capture.before);
        places.push(text.len());
        text.push(b'1');
    }
    text.extend_from_slice(&template.tail);
    (text, places)
}

/// Takes a value: the keys above it, where it stands, and how it is written.
type Visit<'v, 't> = dyn FnMut(&[&'t [u8]], Piece, Setting) + 'v;

fn walk<'t>(form: Form, text: &'t [u8], visit: &mut Visit<'_, 't>) -> Option<usize> {
    match form {
        Form::Json => json::leaves(text, &mut |keys, leaf| {
            let setting = if leaf.quoted { Setting::Quoted } else { Setting::Bare };
            visit(keys, leaf.piece, setting);
        }),
        Form::Xml => xml::leaves(text, &mut |names, piece| {
            visit(names, piece, Setting::Markup);
        }),
        Form::Csv | Form::Line => None,
    }
}

/// Reads a record by its keys: the template it would have been rendered from, and
/// its values. `keys: None` goes by what people commonly call the variables.
pub(crate) fn read(
    form: Form,
    record: &[u8],
    keys: Option<&Keys>,
) -> Result<(Template, Vec<Piece>), RejectReason> {
    let mut captures: Vec<Capture> = Vec::new();
    let mut pieces: Vec<Piece> = Vec::new();
    let mut seen: HashMap<Vec<u8>, (usize, Piece)> = HashMap::new();
    let mut forged = false;
    let mut notifies = false;
    let length = walk(form, record, &mut |path, piece, setting| {
        notifies |= is_of_notification(path, piece.of(record));
        let allowed = match keys {
            Some(keys) => keys.meaning(path),
            None => by_common_name(form, path).map(|name| (name.into(), 1)),
        };
        let quoted = setting == Setting::Quoted;
        let (name, meaning) = match allowed {
            Some((name, times)) => {
                let (count, first) = seen.entry(path.join(&b'\n')).or_insert((0, piece));
                *count += 1;
                forged |= *count > times && first.of(record) != piece.of(record);
                let meaning = variable::meaning(&name);
                (name, meaning)
            }
            None => {
                (Box::from(""), Meaning { slot: Slot::Other, shape: Shape::Free, known: false })
            }
        };
        let value = piece.of(record);
        let absent = !quoted && matches!(value, b"null" | b"true" | b"false");
        let start = pieces.last().map_or(0, |last: &Piece| last.end);
        captures.push(Capture {
            before: record[start..piece.start].into(),
            name,
            slot: if absent { Slot::Other } else { meaning.slot },
            shape: meaning.shape,
            setting,
            fills_quotes: quoted,
        });
        pieces.push(piece);
    })
    .ok_or(RejectReason::Shape)?;
    if !record[length..].trim_ascii().is_empty() {
        return Err(RejectReason::Shape);
    }
    if notifies && keys.is_none() {
        return Err(RejectReason::Shape);
    }
    if forged {
        return Err(RejectReason::Forged);
    }
    if let Some(keys) = keys {
        // Of two ids or two times, one is enough: older stages log only one.
        let seen: FieldSet = captures.iter().filter_map(|c| c.slot.field()).collect();
        let complete = keys.known.values().all(|(name, _)| {
            let slot = variable::meaning(name).slot;
            !slot.is_trusted() || slot.field().is_some_and(|field| seen.contains(field))
        });
        if !complete {
            return Err(RejectReason::Shape);
        }
    }
    if captures.iter().all(|capture| capture.slot == Slot::Other) {
        return Err(RejectReason::Shape);
    }
    let end = pieces.last().map_or(0, |last| last.end);
    let tail: Literal = record[end..length].into();
    let plan = Plan::of(form, &captures, &tail);
    Ok((Template { form, captures, tail, ends_line: true, plan }, pieces))
}

/// Whether the value belongs to a message that an object was written: it has an id, a
/// time and an address as well, of whoever wrote the object.
///
/// Sources: S3 guide, "Event message structure" and "EventBridge"; SNS guide, "Message
/// formats".
fn is_of_notification(path: &[&[u8]], value: &[u8]) -> bool {
    match path {
        [b"detail-type" | b"TopicArn"] => true,
        [b"Event"] => value.starts_with(b"s3:"),
        _ => false,
    }
}

/// The variable people mean by a key. The root element of XML names no value.
fn by_common_name(form: Form, path: &[&[u8]]) -> Option<&'static str> {
    let path = if form == Form::Xml && path.len() > 1 { &path[1..] } else { path };
    let names: Vec<&str> = path.iter().map(|key| std::str::from_utf8(key).unwrap_or("")).collect();
    variable::by_key(&names)
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    use crate::{Origin, Request, value};

    /// JSON and XML templates with values that clients write.
    const TEMPLATES: [&str; 3] = [
        r#"{"id":"$context.requestId","who":{"ip":"$context.identity.sourceIp","ua":"$context.identity.userAgent"},"path":"$context.path","status":$context.status}"#,
        r#"{ "requestId":"$context.requestId", "ip": "$context.identity.sourceIp", "ua":"$context.identity.userAgent","path":"$context.path", "status":"$context.status" }"#,
        "<request id=\"$context.requestId\"> <ip>$context.identity.sourceIp</ip> <ua>$context.identity.userAgent</ua> <path>$context.path</path> <status>$context.status</status> </request>",
    ];

    fn escaped(form: Form, text: &str) -> String {
        if form == Form::Xml {
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            return text.replace('"', "&quot;");
        }
        let quoted = serde_json::to_string(text).expect("text");
        quoted[1..quoted.len() - 1].to_owned()
    }

    /// The request that some way of reading gives, as text.
    fn shown(template: &Template, record: &[u8], pieces: &[Piece]) -> String {
        let mut scratch = Vec::new();
        let request: Result<Request<'_>, _> =
            value::request(template, record, pieces, &mut scratch, Origin::default());
        format!("{request:?}")
    }

    proptest! {
        #[test]
        fn the_template_and_the_keys_read_the_same(
            template in prop::sample::select(&TEMPLATES[..]),
            user_agent in "[ -~é日\u{202e}]{0,30}",
            path in "/[ -~é]{0,30}",
            status in 100_u16..600,
        ) {
            let template = Template::parse(template).expect("a template");
            let keys = Keys::of(&template).expect("JSON or XML");
            let mut record = Vec::new();
            for capture in &template.captures {
                record.extend_from_slice(&capture.before);
                let value = match &*capture.name {
                    "requestId" => "a-1".to_owned(),
                    "identity.sourceIp" => "198.18.0.1".to_owned(),
                    "identity.userAgent" => escaped(template.form, &user_agent),
                    "path" => escaped(template.form, &path),
                    _ => status.to_string(),
                };
                record.extend_from_slice(value.as_bytes());
            }
            record.extend_from_slice(&template.tail);

            let mut pieces = Vec::new();
            template.cut(&record, &mut pieces).expect("one reading");
            let by_template = shown(&template, &record, &pieces);
            let (known, known_pieces) = read(template.form, &record, Some(&keys)).expect("keys");
            prop_assert_eq!(&shown(&known, &record, &known_pieces), &by_template);
            if template.form == Form::Json {
                let length = template.cut_json(&record, &mut pieces);
                prop_assert_eq!(length, Some(record.len()));
                prop_assert_eq!(&shown(&template, &record, &pieces), &by_template);
                let value: serde_json::Value = serde_json::from_slice(&record).expect("JSON");
                prop_assert_eq!(value["path"].as_str(), Some(path.as_str()));
            }
        }
    }

    #[test]
    fn keys_of_a_template_with_nesting_and_bare_numbers() {
        let template =
            Template::parse(r#"{"a":{"ip":"$context.identity.sourceIp"},"s":$context.status}"#)
                .expect("a template");
        let keys = Keys::of(&template).expect("JSON");
        assert_eq!(keys.known.len(), 2);
        let (_, pieces) =
            read(Form::Json, br#"{ "s": 200, "x": [1], "a": {"ip": "192.0.2.1"} }"#, Some(&keys))
                .expect("a record");
        assert_eq!(pieces.len(), 2);
    }

    #[test]
    fn a_key_that_stands_twice_with_two_values_is_forgery() {
        let record = br#"{"ip":"192.0.2.1","status":"200","ip":"203.0.113.9"}"#;
        assert_eq!(read(Form::Json, record, None).map(|_| ()), Err(RejectReason::Forged));
    }

    #[test]
    fn a_message_about_an_object_is_no_request() {
        for message in [
            r#"{"version":"0","id":"17793124-05d4-b198-2fde-7ededc63b103","detail-type":"Object Created","source":"aws.s3","time":"2026-01-26T10:11:07Z","detail":{"bucket":{"name":"logs"},"object":{"key":"a.gz"},"source-ip-address":"192.0.2.1"}}"#,
            r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-01-26T10:11:07Z","Bucket":"logs","RequestId":"r","Host":"h","Status":200}"#,
            r#"{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:eu-west-1:1:t","Timestamp":"2026-01-26T10:11:07Z","Status":"200"}"#,
            r#"{"Records":[{"eventSource":"aws:s3","eventTime":"2026-01-26T10:11:07Z","requestParameters":{"sourceIPAddress":"192.0.2.1"}}]}"#,
        ] {
            let read = read(Form::Json, message.as_bytes(), None).map(|_| ());
            assert_eq!(read, Err(RejectReason::Shape), "{message}");
        }
    }

    #[test]
    fn one_of_two_ids_is_enough() {
        let template = Template::parse(
            r#"{"id":"$context.requestId","xid":"$context.extendedRequestId","s":"$context.status"}"#,
        );
        let keys = Keys::of(&template.expect("a template"));
        let read = |record: &[u8]| read(Form::Json, record, keys.as_ref()).map(|_| ());
        assert_eq!(read(br#"{"id":"a","s":"200"}"#), Ok(()));
        assert_eq!(read(br#"{"s":"200"}"#), Err(RejectReason::Shape));
    }

    #[test]
    fn a_record_without_a_trusted_key_is_refused() {
        let template =
            Template::parse(r#"{"ip":"$context.identity.sourceIp","s":"$context.status"}"#)
                .expect("a template");
        let keys = Keys::of(&template);
        assert_eq!(
            read(Form::Json, br#"{"s":"200"}"#, keys.as_ref()).map(|_| ()),
            Err(RejectReason::Shape)
        );
    }
}
