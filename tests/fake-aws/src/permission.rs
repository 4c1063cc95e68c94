//! Which permission a call needs, as IAM would ask for it.

use axum::http::{Method, request::Parts};
use serde_json::Value;

/// An action and what it is done to: `wafv2:GetIPSet` on a set's name, `s3:GetObject` on
/// `bucket/key`, `s3:ListBucket` on `bucket`.
pub type Permission = (String, String);

/// The permission that a call needs; asking who one is needs none.
pub(crate) fn needed(head: &Parts, body: &[u8]) -> Option<Permission> {
    let target = head.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    if let Some((service, operation)) = target.and_then(|target| target.rsplit_once('.')) {
        let service = if service.starts_with("Firehose") { "firehose" } else { "wafv2" };
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        if let Some(url) = body["QueueUrl"].as_str() {
            let action = format!("sqs:{}", operation.trim_end_matches("Batch"));
            return Some((action, url.rsplit('/').next().unwrap_or_default().to_owned()));
        }
        let named = ["Name", "DeliveryStreamName", "ResourceArn", "ARN"];
        let name = named.iter().find_map(|key| body[*key].as_str()).unwrap_or("*");
        return Some((format!("{service}:{operation}"), name.to_owned()));
    }
    if head.method == Method::POST && body.starts_with(b"Action=GetCallerIdentity") {
        return None;
    }
    if head.uri.path().starts_with("/restapis/") {
        return Some((format!("apigateway:{}", head.method), head.uri.path().to_owned()));
    }
    if let Some(role) = crate::sts::role(head, body) {
        return Some(("sts:AssumeRole".to_owned(), role));
    }
    if let Some(arn) = crate::told::topic(head, body) {
        return Some(("sns:Publish".to_owned(), arn));
    }
    let path = head.uri.path().trim_start_matches('/');
    let is_bucket = path.split_once('/').is_none_or(|(_, key)| key.is_empty());
    let action = match (&head.method, is_bucket) {
        (&Method::GET | &Method::HEAD, true) => "s3:ListBucket",
        (&Method::GET | &Method::HEAD, false) => "s3:GetObject",
        (&Method::PUT, false) => "s3:PutObject",
        (&Method::DELETE, false) => "s3:DeleteObject",
        _ => "s3:Other",
    };
    Some((action.to_owned(), path.trim_end_matches('/').to_owned()))
}
