//! What an invocation of a function on AWS Lambda asks for.
//!
//! A function is called by a schedule, which asks for a run, or by Lambda's poller of a
//! queue, which hands over a batch of messages and deletes those that the answer does not
//! name. What the messages say is left to [`crate::Notice`].
//!
//! Sources: Amazon `EventBridge` User Guide, "Scheduled events"; AWS Lambda Developer Guide,
//! "Using Lambda with Amazon SQS".

use serde::Deserialize;
use serde_json::Value;

use crate::queue::Message;

/// What is asked for.
#[derive(Debug, Clone)]
pub enum Invocation {
    /// A run, because it is time.
    Schedule,
    /// A round over what these messages tell.
    Messages(Vec<Message>),
}

/// Why nobody knows what is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvocationError {
    /// The event is of no kind that is known.
    #[error(
        "the event is neither a schedule's (`detail-type` \"Scheduled Event\") nor a batch of a \
         queue's messages (`eventSource` \"aws:sqs\")"
    )]
    Shape,
    /// A message that cannot be named in the answer, so that it would be lost.
    #[error("message {0} of the batch has no id or no body")]
    Message(usize),
}

/// A message as the poller hands it over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    body: String,
    #[serde(default)]
    receipt_handle: String,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Attributes {
    approximate_receive_count: String,
}

impl Invocation {
    /// Understands an event.
    ///
    /// # Errors
    ///
    /// When it asks for nothing that is known.
    pub fn parse(event: &Value) -> Result<Self, InvocationError> {
        let is_time = event["detail-type"] == "Scheduled Event";
        if is_time && (event["source"] == "aws.events" || event["source"] == "aws.scheduler") {
            return Ok(Self::Schedule);
        }
        let records = event["Records"].as_array().filter(|records| !records.is_empty());
        let records = records.ok_or(InvocationError::Shape)?;
        if records.iter().any(|record| record["eventSource"] != "aws:sqs") {
            return Err(InvocationError::Shape);
        }
        let message = |(number, record): (usize, &Value)| {
            let record =
                Record::deserialize(record).map_err(|_| InvocationError::Message(number))?;
            Ok(Message {
                id: record.message_id,
                body: record.body,
                deliveries: record.attributes.approximate_receive_count.parse().unwrap_or(1),
                receipt: record.receipt_handle,
            })
        };
        records.iter().enumerate().map(message).collect::<Result<_, _>>().map(Self::Messages)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn batch() -> Value {
        json!({"Records": [{
            "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
            "body": "{}",
            "attributes": {"ApproximateReceiveCount": "3", "SentTimestamp": "1545082649183"},
            "messageAttributes": {},
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
            "awsRegion": "us-east-2",
        }]})
    }

    #[test]
    fn both_kinds_of_schedule_ask_for_a_run() {
        for source in ["aws.events", "aws.scheduler"] {
            let event = json!({"version": "0", "detail-type": "Scheduled Event", "source": source});
            assert!(matches!(Invocation::parse(&event), Ok(Invocation::Schedule)), "{source}");
        }
    }

    #[test]
    fn a_batch_is_its_messages_with_their_deliveries() {
        let Ok(Invocation::Messages(messages)) = Invocation::parse(&batch()) else {
            panic!("it is a batch");
        };
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].id, "059f36b4-87a3-44ab-83d2-661975830a7d");
        assert_eq!((messages[0].body.as_str(), messages[0].deliveries), ("{}", 3));
    }

    #[test]
    fn a_message_without_an_id_is_refused_with_its_batch() {
        let mut event = batch();
        event["Records"][0].as_object_mut().expect("an object").remove("messageId");
        assert_eq!(Invocation::parse(&event).err(), Some(InvocationError::Message(0)));
    }

    #[test]
    fn what_asks_for_nothing_known_is_refused() {
        let other = json!({"Records": [{"eventSource": "aws:sns", "Sns": {}}]});
        let claimed = json!({"detail-type": "Scheduled Event", "source": "my.own"});
        for event in [json!({}), json!([]), json!({"Records": []}), other, claimed] {
            assert_eq!(Invocation::parse(&event).err(), Some(InvocationError::Shape), "{event}");
        }
    }
}
