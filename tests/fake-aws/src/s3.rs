//! Objects with the rules of S3 that a ledger stands on: conditional writes.
//!
//! Path-style addressing only. Sources: Amazon S3 API reference, `PutObject` (`If-Match`,
//! `If-None-Match`), `GetObject` (`If-Match`, `Range`, checksums), `ListObjectsV2`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use sha2::{Digest, Sha256};

#[derive(Debug, Default)]
pub(crate) struct S3 {
    buckets: BTreeMap<String, Objects>,
    /// Buckets whose callers have to say that they pay.
    paid_by_callers: BTreeSet<String>,
    /// What happens between this page of a list and the next.
    during_list: Vec<(String, String, Change)>,
}

/// What becomes of an object while others list.
#[derive(Debug)]
pub(crate) enum Change {
    Put(Vec<u8>),
    Delete,
}

type Objects = BTreeMap<String, Object>;

#[derive(Debug)]
struct Object {
    content: Vec<u8>,
    modified: SystemTime,
}

impl Object {
    fn new(content: Vec<u8>) -> Self {
        Self { content, modified: SystemTime::now() }
    }
}

impl S3 {
    pub(crate) fn create_bucket(&mut self, bucket: &str) {
        self.buckets.entry(bucket.to_owned()).or_default();
    }

    pub(crate) fn let_callers_pay(&mut self, bucket: &str) {
        self.paid_by_callers.insert(bucket.to_owned());
    }

    pub(crate) fn store(&mut self, bucket: &str, key: &str, content: Vec<u8>) {
        self.buckets
            .entry(bucket.to_owned())
            .or_default()
            .insert(key.to_owned(), Object::new(content));
    }

    pub(crate) fn tag(&self, bucket: &str, key: &str) -> Option<String> {
        self.content(bucket, key).map(etag)
    }

    pub(crate) fn date(&mut self, bucket: &str, key: &str, epoch_seconds: u64) {
        let object = self.buckets.get_mut(bucket).and_then(|objects| objects.get_mut(key));
        let object = object.expect("the test dates an object that is there");
        object.modified = SystemTime::UNIX_EPOCH + Duration::from_secs(epoch_seconds);
    }

    pub(crate) fn delete(&mut self, bucket: &str, key: &str) {
        if let Some(objects) = self.buckets.get_mut(bucket) {
            objects.remove(key);
        }
    }

    pub(crate) fn change_during_list(&mut self, bucket: &str, key: &str, change: Change) {
        self.during_list.push((bucket.to_owned(), key.to_owned(), change));
    }

    pub(crate) fn keys(&self, bucket: &str) -> Vec<String> {
        let objects = self.buckets.get(bucket);
        objects.map(|objects| objects.keys().cloned().collect()).unwrap_or_default()
    }

    pub(crate) fn content(&self, bucket: &str, key: &str) -> Option<&[u8]> {
        self.buckets.get(bucket)?.get(key).map(|object| object.content.as_slice())
    }

    pub(crate) fn call(&mut self, head: &Parts, body: Vec<u8>, page_size: usize) -> Response {
        let path = decoded(head.uri.path().trim_start_matches('/'));
        let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
        let Some(objects) = self.buckets.get_mut(bucket) else {
            return error(StatusCode::NOT_FOUND, "NoSuchBucket");
        };
        if self.paid_by_callers.contains(bucket)
            && head.headers.get("x-amz-request-payer").is_none_or(|who| who != "requester")
        {
            return error(StatusCode::FORBIDDEN, "AccessDenied");
        }
        match (&head.method, key) {
            (&Method::GET, "") => {
                let page = list(objects, head.uri.query().unwrap_or_default(), page_size);
                self.change_now();
                page
            }
            (&Method::GET, key) => match objects.get(key) {
                None => error(StatusCode::NOT_FOUND, "NoSuchKey"),
                Some(object) => get(&object.content, &head.headers),
            },
            (&Method::PUT, key) if !key.is_empty() => put(objects, key, &head.headers, body),
            _ => error(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
        }
    }
}

impl S3 {
    fn change_now(&mut self) {
        for (bucket, key, change) in std::mem::take(&mut self.during_list) {
            match change {
                Change::Put(content) => self.store(&bucket, &key, content),
                Change::Delete => self.delete(&bucket, &key),
            }
        }
    }
}

fn get(content: &[u8], headers: &HeaderMap) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let tag = etag(content);
    if header("if-match").is_some_and(|wanted| wanted != tag) {
        return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
    }
    let Some(range) = header("range") else {
        let mut response = respond(StatusCode::OK, Some(tag), content.to_vec());
        if header("x-amz-checksum-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("enabled")) {
            // Of the whole object, as S3 keeps it since 2024 for whatever is stored.
            let sum = checksum(content).parse().expect("base64 is a header's value");
            response.headers_mut().insert("x-amz-checksum-crc32", sum);
        }
        return response;
    };
    // Only `bytes=N-`, all that is asked for here.
    let first = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    let rest =
        first.and_then(|first| first.parse().ok()).and_then(|first: usize| content.get(first..));
    match rest.filter(|rest| !rest.is_empty()) {
        Some(rest) => respond(StatusCode::PARTIAL_CONTENT, Some(tag), rest.to_vec()),
        None => error(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"),
    }
}

fn put(objects: &mut Objects, key: &str, headers: &HeaderMap, body: Vec<u8>) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if header("content-encoding").is_some_and(|encoding| encoding.contains("aws-chunked")) {
        return error(StatusCode::NOT_IMPLEMENTED, "NotImplemented");
    }
    let stored = objects.get(key).map(|object| etag(&object.content));
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
    objects.insert(key.to_owned(), Object::new(body));
    respond(StatusCode::OK, Some(tag), Vec::new())
}

/// One line of a list: an object, or a folder that stands for all below it.
enum Entry<'o> {
    Object(&'o str, &'o Object),
    Folder(String),
}

impl Entry<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Object(key, _) => key,
            Self::Folder(prefix) => prefix,
        }
    }
}

fn list(objects: &Objects, query: &str, page_size: usize) -> Response {
    let parameters: BTreeMap<String, String> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    let parameter = |name: &str| parameters.get(name).map_or("", String::as_str);
    let (prefix, delimiter) = (parameter("prefix"), parameter("delimiter"));
    let after = parameter("continuation-token");
    let entry = |(key, object)| {
        let below: &str = &String::as_str(key)[prefix.len()..];
        match below.split_once(delimiter).filter(|_| !delimiter.is_empty()) {
            Some((folder, _)) => Entry::Folder(format!("{prefix}{folder}{delimiter}")),
            None => Entry::Object(key, object),
        }
    };
    let mut entries: Vec<Entry<'_>> =
        objects.iter().filter(|(key, _)| key.starts_with(prefix)).map(entry).collect();
    entries.dedup_by(|next, kept| next.name() == kept.name());
    entries.retain(|entry| entry.name() > after);
    let more = entries.len() > page_size;
    entries.truncate(page_size);
    let mut xml = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
    for entry in &entries {
        match entry {
            Entry::Folder(prefix) => {
                let prefix = escaped(prefix);
                let _ = write!(xml, "<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>");
            }
            Entry::Object(key, object) => {
                let (key, tag) = (escaped(key), escaped(&etag(&object.content)));
                let (size, modified) = (object.content.len(), date_time(object.modified));
                let _ = write!(
                    xml,
                    "<Contents><Key>{key}</Key><LastModified>{modified}</LastModified>\
                     <ETag>{tag}</ETag><Size>{size}</Size></Contents>"
                );
            }
        }
    }
    let _ = write!(xml, "<IsTruncated>{more}</IsTruncated>");
    if let Some(last) = entries.last().filter(|_| more) {
        let token = escaped(last.name());
        let _ = write!(xml, "<NextContinuationToken>{token}</NextContinuationToken>");
    }
    xml.push_str("</ListBucketResult>");
    respond(StatusCode::OK, None, xml.into_bytes())
}

/// As S3 writes times: RFC 3339 in UTC, with milliseconds that are always zero.
fn date_time(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let time = jiff::Timestamp::from_second(seconds.cast_signed()).expect("a time of this age");
    time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

/// CRC-32 in base64, as S3 writes it.
fn checksum(content: &[u8]) -> String {
    let mut sum = flate2::Crc::new();
    sum.update(content);
    base64::engine::general_purpose::STANDARD.encode(sum.sum().to_be_bytes())
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
