//! Records of AWS services other than API Gateway's access logs.
//!
//! AWS writes these in fixed shapes, so each has a reader of its own. Each gives the
//! same [`crate::Request`].

pub(crate) mod alb;
pub(crate) mod cloudfront;
pub(crate) mod envelope;
pub(crate) mod waf;

use std::net::IpAddr;

use crate::{RejectReason, parse_address};

/// Writes line breaks of a header as spaces: headers are read line by line.
fn keep_to_one_line(header: &mut [u8]) {
    if memchr::memchr2(b'\n', b'\r', header).is_some() {
        for byte in header.iter_mut().filter(|byte| matches!(**byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
    }
}

/// A client's address. Published samples mask it (`X.X.X.X`): then it is unknown.
fn client(text: &[u8]) -> Result<Option<IpAddr>, RejectReason> {
    if text.is_empty() || text == b"-" {
        return Ok(None);
    }
    match parse_address(text) {
        Some(address) => Ok(Some(address)),
        None if text.iter().all(|b| matches!(b, b'x' | b'X' | b'.' | b':' | b'0'..=b'9'))
            && text.iter().any(|b| matches!(b, b'x' | b'X')) =>
        {
            Ok(None)
        }
        None => Err(RejectReason::Value),
    }
}

/// Milliseconds of a number of seconds such as `0.365`; negative is not measured.
fn milliseconds(text: &[u8]) -> Option<u64> {
    let (whole, fraction) = match memchr::memchr(b'.', text) {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &b""[..]),
    };
    if whole.is_empty() || whole.len() > 12 {
        return None;
    }
    let mut value = 0_u64;
    for byte in whole {
        value = value * 10 + u64::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    for place in 0..3 {
        let digit = fraction.get(place).map_or(Some(0), |byte| byte.checked_sub(b'0'))?;
        value = value * 10 + u64::from(digit.min(9));
    }
    Some(value)
}

/// Undoes escapes of a mark and two hexadecimal digits: `%41`, `\\x41`. What is no
/// escape stays as it is.
fn unescape_hex(mark: &[u8], mut raw: &[u8], out: &mut Vec<u8>) {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    while let Some(at) = memchr::memmem::find(raw, mark) {
        out.extend_from_slice(&raw[..at]);
        let after = &raw[at + mark.len()..];
        if let [high, low, rest @ ..] = after
            && let Some((high, low)) = digit(*high).zip(digit(*low))
        {
            out.push((high * 16 + low) as u8);
            raw = rest;
        } else {
            out.extend_from_slice(mark);
            raw = after;
        }
    }
    out.extend_from_slice(raw);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_milliseconds() {
        assert_eq!(milliseconds(b"0.365"), Some(365));
        assert_eq!(milliseconds(b"2"), Some(2_000));
        assert_eq!(milliseconds(b"1.2345"), Some(1_234));
        assert_eq!(milliseconds(b"-1"), None);
    }

    #[test]
    fn a_masked_address_is_unknown_and_a_wrong_one_is_refused() {
        assert_eq!(client(b"X.X.X.X"), Ok(None));
        assert_eq!(client(b"x.0.0.0"), Ok(None));
        assert_eq!(client(b"example.com"), Err(RejectReason::Value));
    }
}
