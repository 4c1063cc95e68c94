//! What people are told: topics of SNS, and a webhook at `/hook`.
//!
//! Source: Amazon SNS API reference, `Publish` (the query protocol).

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;

/// Everything that was told, in its order.
#[derive(Debug, Default)]
pub(crate) struct Told(Vec<String>);

impl Told {
    pub(crate) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.0)
    }

    /// Answers what is meant for people; `None` for every other call.
    pub(crate) fn call(&mut self, head: &Parts, body: &[u8]) -> Option<Response> {
        if head.method == Method::POST && head.uri.path().starts_with("/hook") {
            self.0.push(String::from_utf8_lossy(body).into_owned());
            return Some(answer("ok"));
        }
        topic(head, body)?;
        let field = |name| parameter(body, name).unwrap_or_default();
        self.0.push(format!("{}\n{}", field("Subject"), field("Message")));
        Some(answer(
            "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult>\
             <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></PublishResponse>",
        ))
    }
}

/// The topic that a call publishes to.
pub(crate) fn topic(head: &Parts, body: &[u8]) -> Option<String> {
    let is_post = head.method == Method::POST && head.uri.path() == "/";
    let publishes = is_post && parameter(body, "Action").as_deref() == Some("Publish");
    if publishes { parameter(body, "TopicArn") } else { None }
}

/// A parameter of a form.
pub(crate) fn parameter(body: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let value = text.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))?;
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn answer(text: &str) -> Response {
    let response = Response::builder().status(StatusCode::OK).body(Body::from(text.to_owned()));
    response.expect("a status and a body make a response")
}
