//! Objects with the rules of S3 that a ledger stands on: conditional writes.
//!
//! Path-style addressing only. Sources: Amazon S3 API reference, `PutObject` (`If-Match`,
//! `If-None-Match`), `GetObject`, `ListObjectsV2`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use sha2::{Digest, Sha256};

#[derive(Debug, Default)]
pub(crate) struct S3 {
    buckets: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

impl S3 {
    pub(crate) fn create_bucket(&mut self, bucket: &str) {
        self.buckets.entry(bucket.to_owned()).or_default();
    }

    pub(crate) fn store(&mut self, bucket: &str, key: &str, content: Vec<u8>) {
        self.buckets.entry(bucket.to_owned()).or_default().insert(key.to_owned(), content);
    }

    pub(crate) fn content(&self, bucket: &str, key: &str) -> Option<&[u8]> {
        self.buckets.get(bucket)?.get(key).map(Vec::as_slice)
    }

    pub(crate) fn call(&mut self, head: &Parts, body: Vec<u8>, page_size: usize) -> Response {
        let path = decoded(head.uri.path().trim_start_matches('/'));
        let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
        let Some(objects) = self.buckets.get_mut(bucket) else {
            return error(StatusCode::NOT_FOUND, "NoSuchBucket");
        };
        match (&head.method, key) {
            (&Method::GET, "") => list(objects, head.uri.query().unwrap_or_default(), page_size),
            (&Method::GET, key) => match objects.get(key) {
                None => error(StatusCode::NOT_FOUND, "NoSuchKey"),
                Some(content) => respond(StatusCode::OK, Some(etag(content)), content.clone()),
            },
            (&Method::PUT, key) if !key.is_empty() => put(objects, key, &head.headers, body),
            _ => error(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
        }
    }
}

fn put(
    objects: &mut BTreeMap<String, Vec<u8>>,
    key: &str,
    headers: &HeaderMap,
    body: Vec<u8>,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if header("content-encoding").is_some_and(|encoding| encoding.contains("aws-chunked")) {
        return error(StatusCode::NOT_IMPLEMENTED, "NotImplemented");
    }
    let stored = objects.get(key).map(|content| etag(content));
    match (header("if-match"), header("if-none-match")) {
        (Some(_), _) if stored.is_none() => return error(StatusCode::NOT_FOUND, "NoSuchKey"),
        (Some(wanted), _) if stored.as_deref() != Some(wanted) => {
            return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        (_, Some("*")) if stored.is_some() => {
            return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        (_, Some(other)) if other != "*" => {
            return error(StatusCode::NOT_IMPLEMENTED, "NotImplemented");
        }
        _ => {}
    }
    let tag = etag(&body);
    objects.insert(key.to_owned(), body);
    respond(StatusCode::OK, Some(tag), Vec::new())
}

fn list(objects: &BTreeMap<String, Vec<u8>>, query: &str, page_size: usize) -> Response {
    let parameters: BTreeMap<String, String> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    let parameter = |name: &str| parameters.get(name).map_or("", String::as_str);
    let (prefix, after) = (parameter("prefix"), parameter("continuation-token"));
    let wanted = |(key, _): &(&String, &Vec<u8>)| key.starts_with(prefix) && key.as_str() > after;
    let page: Vec<_> = objects.iter().filter(wanted).take(page_size + 1).collect();
    let more = page.len() > page_size;
    let mut xml = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
    for (key, content) in page.iter().take(page_size) {
        let (key, tag, size) = (escaped(key), escaped(&etag(content)), content.len());
        let _ = write!(
            xml,
            "<Contents><Key>{key}</Key><ETag>{tag}</ETag><Size>{size}</Size></Contents>"
        );
    }
    let _ = write!(xml, "<IsTruncated>{more}</IsTruncated>");
    if let Some((last, _)) = page.iter().take(page_size).next_back().filter(|_| more) {
        let token = escaped(last);
        let _ = write!(xml, "<NextContinuationToken>{token}</NextContinuationToken>");
    }
    xml.push_str("</ListBucketResult>");
    respond(StatusCode::OK, None, xml.into_bytes())
}

fn etag(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    let hex = hash[..16].iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    format!("\"{hex}\"")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| *first == b'%');
        let byte = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn respond(status: StatusCode, tag: Option<String>, body: Vec<u8>) -> Response {
    let mut response = Response::builder().status(status);
    if let Some(tag) = tag {
        response = response.header("etag", tag);
    }
    response.body(Body::from(body)).expect("a body makes a response")
}

fn error(status: StatusCode, code: &str) -> Response {
    let xml = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
    );
    respond(status, None, xml.into_bytes())
}

pub(crate) fn slow_down() -> Response {
    error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown")
}

pub(crate) fn broken() -> Response {
    error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")
}
