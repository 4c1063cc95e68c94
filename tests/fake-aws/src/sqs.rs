//! Queues with what a consumer must get right: a message comes again unless it is deleted
//! in time, only its last receipt deletes it, and one that was delivered too often is moved
//! aside.
//!
//! Sources: Amazon SQS API reference, `ReceiveMessage`, `DeleteMessageBatch`,
//! `ChangeMessageVisibilityBatch`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

/// All queues, by name.
#[derive(Debug, Default)]
pub(crate) struct Sqs {
    queues: BTreeMap<String, Queue>,
    sent: u64,
}

#[derive(Debug, Default)]
struct Queue {
    messages: Vec<Message>,
    /// Deliveries after which a message is moved aside; 0 means never.
    most_deliveries: u32,
    aside: Vec<String>,
}

#[derive(Debug)]
struct Message {
    id: String,
    body: String,
    deliveries: u32,
    visible: Instant,
}

impl Message {
    /// A receipt is good for one delivery.
    fn receipt(&self) -> String {
        format!("{}#{}", self.id, self.deliveries)
    }
}

impl Sqs {
    pub(crate) fn create(&mut self, name: &str, most_deliveries: u32) {
        self.queues.entry(name.to_owned()).or_default().most_deliveries = most_deliveries;
    }

    pub(crate) fn send(&mut self, name: &str, body: &str) {
        self.sent += 1;
        let id = format!("message-{}", self.sent);
        let queue = self.queues.get_mut(name).expect("the test sends to a queue that is there");
        let (body, visible) = (body.to_owned(), Instant::now());
        queue.messages.push(Message { id, body, deliveries: 0, visible });
    }

    /// How many messages there are, seen or not, and what was moved aside.
    pub(crate) fn figures(&self, name: &str) -> (usize, Vec<String>) {
        let queue = self.queues.get(name);
        queue.map_or((0, Vec::new()), |queue| (queue.messages.len(), queue.aside.clone()))
    }

    pub(crate) fn show(&mut self, name: &str) {
        let messages = self.queues.get_mut(name).into_iter().flat_map(|queue| &mut queue.messages);
        messages.for_each(|message| message.visible = Instant::now());
    }

    pub(crate) fn call(&mut self, operation: &str, body: &[u8]) -> Response {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let url = body["QueueUrl"].as_str().unwrap_or_default();
        let name = url.rsplit('/').next().unwrap_or_default();
        let Some(queue) = self.queues.get_mut(name) else {
            return error("com.amazonaws.sqs#QueueDoesNotExist", "there is no such queue");
        };
        match operation {
            "ReceiveMessage" => queue.receive(&body),
            "DeleteMessageBatch" => queue.each(&body, |messages, place, _| {
                messages.remove(place);
            }),
            "ChangeMessageVisibilityBatch" => queue.each(&body, |messages, place, entry| {
                let seconds = entry["VisibilityTimeout"].as_u64().unwrap_or(0);
                messages[place].visible = Instant::now() + Duration::from_secs(seconds);
            }),
            _ => error("InvalidAction", "this stand-in does not know that call"),
        }
    }
}

impl Queue {
    fn receive(&mut self, body: &Value) -> Response {
        let most = body["MaxNumberOfMessages"].as_u64().unwrap_or(1);
        if !(1..=10).contains(&most) {
            return error("InvalidParameterValue", "1 to 10 messages at once");
        }
        let hidden = Duration::from_secs(body["VisibilityTimeout"].as_u64().unwrap_or(30));
        let (now, most_deliveries) = (Instant::now(), self.most_deliveries);
        let aside = |message: &Message| {
            most_deliveries > 0 && message.deliveries >= most_deliveries && message.visible <= now
        };
        self.aside.extend(self.messages.extract_if(.., |message| aside(message)).map(|m| m.body));
        let mut received = Vec::new();
        for message in &mut self.messages {
            if received.len() as u64 == most {
                break;
            }
            if message.visible > now {
                continue;
            }
            message.deliveries += 1;
            message.visible = now + hidden;
            received.push(json!({
                "MessageId": message.id,
                "ReceiptHandle": message.receipt(),
                "Body": message.body,
                "Attributes": {"ApproximateReceiveCount": message.deliveries.to_string()},
            }));
        }
        if received.is_empty() {
            answer(&json!({}))
        } else {
            answer(&json!({"Messages": received}))
        }
    }

    /// Does something with each message of a batch whose receipt is good.
    fn each(
        &mut self,
        body: &Value,
        mut act: impl FnMut(&mut Vec<Message>, usize, &Value),
    ) -> Response {
        let entries = body["Entries"].as_array().cloned().unwrap_or_default();
        if entries.is_empty() || entries.len() > 10 {
            return error("InvalidParameterValue", "1 to 10 entries at once");
        }
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in &entries {
            let id = &entry["Id"];
            let good = |message: &Message| entry["ReceiptHandle"] == message.receipt();
            match self.messages.iter().position(good) {
                Some(place) => {
                    act(&mut self.messages, place, entry);
                    successful.push(json!({"Id": id}));
                }
                None => failed.push(json!({
                    "Id": id, "SenderFault": true, "Code": "ReceiptHandleIsInvalid",
                })),
            }
        }
        answer(&json!({"Successful": successful, "Failed": failed}))
    }
}

fn answer(body: &Value) -> Response {
    respond(StatusCode::OK, body)
}

fn error(code: &str, message: &str) -> Response {
    respond(StatusCode::BAD_REQUEST, &json!({"__type": code, "message": message}))
}

fn respond(status: StatusCode, body: &Value) -> Response {
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0")
        .body(Body::from(body.to_string()));
    response.expect("a status and a body make a response")
}
