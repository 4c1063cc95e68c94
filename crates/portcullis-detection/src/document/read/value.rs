//! Values as they stand in a document, held against what they may be.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use portcullis_ingest::{Timestamp, Untrusted, UntrustedBuf, is_unsafe_to_print};

use super::{DocumentError, Read};

/// The error about a value that is no `what`. The value is made safe to print.
pub(in crate::document) fn wrong(
    value: &str,
    what: &'static str,
    place: &'static str,
) -> DocumentError {
    let shown: String = value.chars().take(60).collect();
    let value = Untrusted::new(shown.as_bytes()).escaped().to_string();
    DocumentError::Value { value, what, place }
}

pub(super) fn all<J, T>(list: Vec<J>, read: impl Fn(J) -> Read<T>) -> Read<Vec<T>> {
    list.into_iter().map(read).collect()
}

pub(super) fn time(text: Option<String>) -> Read<Option<Timestamp>> {
    let parse = |text: String| {
        Timestamp::parse_rfc3339(text.as_bytes()).ok_or_else(|| wrong(&text, "time", "findings"))
    };
    text.map(parse).transpose()
}

pub(super) fn network(text: &str) -> Read<IpNet> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| wrong(text, "network", "a source"))
}

/// Reads the name that a type gives a value.
macro_rules! name {
    ($type:ident, $text:expr, $place:literal) => {
        $type::from_name(&$text).ok_or_else(|| wrong(&$text, stringify!($type), $place))
    };
}

pub(super) use name;

/// Text from a log, in the notation that [`crate::document::json`] writes it in.
pub(super) fn untrusted(text: &str, name: &str, escaped: &[String]) -> Read<UntrustedBuf> {
    if !escaped.iter().any(|escaped| escaped == name) {
        return Ok(text.as_bytes().to_vec().into());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        if let Some(behind) = behind.strip_prefix('\\') {
            bytes.push(b'\\');
            rest = behind;
            continue;
        }
        let digits = behind.strip_prefix('x').and_then(|behind| behind.split_at_checked(2));
        let byte = digits.and_then(|(digits, _)| u8::from_str_radix(digits, 16).ok());
        let (Some(byte), Some((_, behind))) = (byte, digits) else {
            return Err(wrong(text, "escaped text", "evidence"));
        };
        bytes.push(byte);
        rest = behind;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes.into())
}

/// Text of the operator's files, which is fit to be printed when it is written.
pub(super) fn plain(text: String) -> Read<Arc<str>> {
    if text.chars().any(is_unsafe_to_print) {
        return Err(wrong(&text, "text that can be printed", "an offender"));
    }
    Ok(text.into())
}
