//! What a message of a queue says about new objects.
//!
//! S3 tells of an object in one of three shapes: directly, by way of a topic of SNS that
//! wraps the text once more, or by way of `EventBridge`, in whose events keys are written
//! as they are and not form-encoded. When notifications are set up, S3 sends a test that
//! names no object. A message comes from whoever may send to the queue, so nothing in it
//! is believed but where an object is; the object itself is then asked for.
//!
//! Sources: Amazon S3 User Guide, "Event message structure" and "`EventBridge` event
//! message structure"; Amazon SNS Developer Guide, "Message formats".

use portcullis_ingest::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// An object that a message tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// What changes when its content does, in quotes as a list has it.
    pub etag: String,
    /// Stored bytes.
    pub size: u64,
    /// When it was written.
    pub time: Option<Timestamp>,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// These objects are there. None, when the message tells of other events.
    Objects(Vec<Arrived>),
    /// Notifications were set up.
    Test,
}

/// Why a message tells of no object.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    /// It is no JSON.
    #[error("it is no JSON")]
    Json(#[source] serde_json::Error),
    /// It has none of the known shapes.
    #[error("it is no notification of S3")]
    Shape,
    /// What it says of an object cannot be.
    #[error("its {0} cannot be")]
    Value(&'static str),
}

/// Most records of one message. S3 sends one; more is somebody else's idea.
const MOST_RECORDS: usize = 1_000;

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "eventName")]
    event: String,
    #[serde(rename = "eventTime")]
    time: Option<String>,
    s3: Entity,
}

#[derive(Deserialize)]
struct Entity {
    bucket: BucketName,
    object: Object,
}

#[derive(Deserialize)]
struct BucketName {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
    #[serde(default)]
    size: u64,
    #[serde(default, alias = "eTag")]
    etag: String,
}

impl Arrived {
    /// How outputs name it.
    pub fn name(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }
}

impl Notice {
    /// Understands the body of a message.
    ///
    /// # Errors
    ///
    /// When it has none of the shapes.
    pub fn parse(body: &str) -> Result<Self, NoticeError> {
        let message: Value = serde_json::from_str(body).map_err(NoticeError::Json)?;
        if message["Type"] == "Notification"
            && let Some(inner) = message["Message"].as_str()
        {
            return Self::of(&serde_json::from_str(inner).map_err(NoticeError::Json)?);
        }
        Self::of(&message)
    }

    fn of(message: &Value) -> Result<Self, NoticeError> {
        if message["Event"] == "s3:TestEvent" {
            return Ok(Self::Test);
        }
        if message["source"] == "aws.s3" {
            return Self::of_bridge(message);
        }
        let records = message["Records"].as_array().ok_or(NoticeError::Shape)?;
        if records.len() > MOST_RECORDS {
            return Err(NoticeError::Value("number of records"));
        }
        let mut objects = Vec::new();
        for record in records {
            let record = Record::deserialize(record).map_err(|_| NoticeError::Shape)?;
            if record.event.starts_with("ObjectCreated:") {
                let Entity { bucket, object } = record.s3;
                let key = form_decoded(&object.key).ok_or(NoticeError::Value("key"))?;
                objects.extend(arrived(bucket.name, Object { key, ..object }, record.time)?);
            }
        }
        Ok(Self::Objects(objects))
    }

    fn of_bridge(message: &Value) -> Result<Self, NoticeError> {
        if message["detail-type"] != "Object Created" {
            return Ok(Self::Objects(Vec::new()));
        }
        let detail = Entity::deserialize(&message["detail"]).map_err(|_| NoticeError::Shape)?;
        let time = message["time"].as_str().map(str::to_owned);
        let object = arrived(detail.bucket.name, detail.object, time)?;
        Ok(Self::Objects(object.into_iter().collect()))
    }
}

/// The object; `None` for one without content, such as the mark of a folder.
fn arrived(
    bucket: String,
    object: Object,
    time: Option<String>,
) -> Result<Option<Arrived>, NoticeError> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if !(3..=255).contains(&bucket.len()) || !bucket.bytes().all(is_name) {
        return Err(NoticeError::Value("bucket"));
    }
    if object.key.is_empty() || object.key.len() > 1_024 {
        return Err(NoticeError::Value("key"));
    }
    let time = match time {
        Some(time) => {
            let time = Timestamp::parse_rfc3339(time.as_bytes());
            Some(time.ok_or(NoticeError::Value("time"))?)
        }
        None => None,
    };
    // A list gives it in quotes, a message without.
    let tag = object.etag.trim_matches('"');
    if tag.is_empty() || !tag.bytes().all(|b| b.is_ascii_graphic() && b != b'"') {
        return Err(NoticeError::Value("ETag"));
    }
    let etag = format!("\"{tag}\"");
    let Object { key, size, .. } = object;
    Ok((size > 0).then_some(Arrived { bucket, key, etag, size, time }))
}

/// Undoes form encoding: `+` is a space, `%C3%BC` is `ü`.
fn form_decoded(key: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn direct(event: &str, key: &str) -> Value {
        json!({"Records": [{
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1",
            "eventTime": "2026-03-02T12:00:01.123Z", "eventName": event,
            "s3": {
                "s3SchemaVersion": "1.0", "bucket": {"name": "logs", "arn": "arn:aws:s3:::logs"},
                "object": {"key": key, "size": 17, "eTag": "0123abc", "sequencer": "0A1B2C"},
            },
        }]})
    }

    fn expected(key: &str) -> Notice {
        Notice::Objects(vec![Arrived {
            bucket: "logs".to_owned(),
            key: key.to_owned(),
            etag: "\"0123abc\"".to_owned(),
            size: 17,
            time: Timestamp::parse_rfc3339(b"2026-03-02T12:00:01.123Z"),
        }])
    }

    #[track_caller]
    fn check(message: &Value, expected: &Notice) {
        assert_eq!(&Notice::parse(&message.to_string()).expect("a notification"), expected);
    }

    #[test]
    fn an_object_is_found_in_each_of_the_shapes() {
        let put = direct("ObjectCreated:Put", "api/2026/03/02/a+b%C3%BC%2B.gz");
        check(&put, &expected("api/2026/03/02/a bü+.gz"));
        check(
            &json!({"Type": "Notification", "TopicArn": "arn", "Message": put.to_string()}),
            &expected("api/2026/03/02/a bü+.gz"),
        );
        // EventBridge does not encode keys.
        let detail = json!({
            "version": "0", "bucket": {"name": "logs"}, "reason": "PutObject",
            "object": {"key": "api/a+b%20c", "size": 17, "etag": "0123abc"},
        });
        let event = json!({
            "version": "0", "detail-type": "Object Created", "source": "aws.s3",
            "time": "2026-03-02T12:00:01.123Z", "detail": detail,
        });
        check(&event, &expected("api/a+b%20c"));
    }

    #[test]
    fn a_test_and_other_events_name_no_object() {
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "logs"});
        check(&test, &Notice::Test);
        check(&json!({"Type": "Notification", "Message": test.to_string()}), &Notice::Test);
        check(&direct("ObjectRemoved:Delete", "a"), &Notice::Objects(Vec::new()));
        let deleted = json!({"source": "aws.s3", "detail-type": "Object Deleted", "detail": {}});
        check(&deleted, &Notice::Objects(Vec::new()));
    }

    #[test]
    fn what_is_no_notification_is_refused() {
        for body in [
            "",
            "{}",
            "[]",
            "null",
            "shopping list",
            r#"{"Records": 1}"#,
            r#"{"Records": [1]}"#,
            r#"{"Type": "Notification", "Message": "{"}"#,
        ] {
            assert!(Notice::parse(body).is_err(), "{body}");
        }
        for key in ["%zz", "%c3%28", "", "a%"] {
            let message = direct("ObjectCreated:Put", key).to_string();
            assert!(Notice::parse(&message).is_err(), "{key}");
        }
        let host = direct("ObjectCreated:Put", "a").to_string().replace("\"logs\"", "\"a/b?c\"");
        assert!(Notice::parse(&host).is_err());
    }

    proptest! {
        #[test]
        fn every_key_survives_form_encoding(key in "\\PC{1,40}") {
            let encoded: String = key.bytes().map(|byte| match byte {
                b' ' => "+".to_owned(),
                byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
                byte => format!("%{byte:02X}"),
            }).collect();
            prop_assert_eq!(form_decoded(&encoded), Some(key));
        }

        #[test]
        fn nothing_that_is_sent_stops_the_parser(body in "\\PC{0,200}") {
            let _ = Notice::parse(&body);
        }
    }
}
