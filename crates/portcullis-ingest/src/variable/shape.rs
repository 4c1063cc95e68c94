//! Which shape a value must have, and thereby where it may end.
//!
//! Shapes are asked at every seam and every value of every record, so each is a table or a
//! comparison, without a branch for each byte. Absent values have every shape.

use crate::RejectReason;

/// The shape of a value, `-` aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Shape {
    /// An IPv4 or IPv6 address.
    Address,
    /// `dd/MMM/yyyy:HH:mm:ss +-hhmm`.
    ClfTime,
    /// Milliseconds or seconds since 1970.
    Epoch,
    /// A whole number.
    Integer,
    /// Three digits.
    Status,
    /// Letters, digits and `_ = + / . : -`.
    Id,
    /// Printable, without blanks or quotes: methods, gateway response types.
    Token,
    /// `HTTP/1.1`.
    Protocol,
    /// A route template: gateway text without blanks or quotes.
    Resource,
    /// `GET /pets`, `$default`, or a WebSocket route key without blanks.
    RouteKey,
    /// Text without a shape. Clients may write most of it.
    Free,
}

/// Longest token. A guess: the longest gateway response type has 29 characters.
pub(crate) const MOST_TOKEN_BYTES: usize = 64;

impl Shape {
    /// Every shape.
    pub(crate) const ALL: [Self; 11] = [
        Self::Address,
        Self::ClfTime,
        Self::Epoch,
        Self::Integer,
        Self::Status,
        Self::Id,
        Self::Token,
        Self::Protocol,
        Self::Resource,
        Self::RouteKey,
        Self::Free,
    ];

    /// Whether `value` has the shape; absent (`-` or empty) always has.
    #[inline]
    pub(crate) fn holds(self, value: &[u8]) -> bool {
        if value.is_empty() || value == b"-" {
            return true;
        }
        match self {
            Self::Address => crate::parse_address(value).is_some(),
            Self::ClfTime => crate::value::parse_time(value).is_some(),
            Self::Epoch => crate::Timestamp::parse_epoch(value).is_some(),
            Self::Integer => is_integer(value),
            Self::Status => parse_status(value).is_ok(),
            Self::Id => value.len() <= 128 && !holds_refused(value, IN_ID),
            Self::Token => value.len() <= MOST_TOKEN_BYTES && !holds_refused(value, IN_TOKEN),
            Self::Protocol => is_protocol(value),
            Self::Resource => !holds_refused(value, IN_RESOURCE),
            Self::RouteKey => is_route_key(value),
            Self::Free => true,
        }
    }

    /// Whether no value of this shape holds `byte`, quotes around the value aside.
    #[inline]
    pub(crate) fn excludes(self, byte: u8) -> bool {
        MAY_HOLD[usize::from(byte)] & self.bit() == 0
    }

    /// Whether nothing that begins with `start`, and goes on, has this shape in quotes or
    /// without.
    pub(crate) fn excludes_all_from(self, start: &[u8]) -> bool {
        let inside = start.strip_prefix(b"\"").unwrap_or(start);
        inside.iter().any(|byte| self.excludes(*byte))
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }

    /// Whether a value may hold `byte`: of several forms of a shape, those of any.
    const fn may_hold(self, byte: u8) -> bool {
        let common = byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'.' | b'-');
        match self {
            Self::Address => common || matches!(byte, b'[' | b']' | b'%'),
            Self::ClfTime => common || matches!(byte, b'/' | b'+' | b' '),
            Self::Epoch | Self::Integer | Self::Status => {
                byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
            }
            Self::Id | Self::Protocol => common || matches!(byte, b'_' | b'=' | b'+' | b'/'),
            Self::Token => byte.is_ascii_graphic() && byte != b'"',
            Self::Resource => !byte.is_ascii_whitespace() && byte != b'"',
            Self::RouteKey => byte == b' ' || !byte.is_ascii_whitespace(),
            Self::Free => true,
        }
    }
}

/// In which shapes each byte may stand, as a bit for each.
static MAY_HOLD: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut shape = 0;
        while shape < Shape::ALL.len() {
            if Shape::ALL[shape].may_hold(byte as u8) {
                table[byte] |= Shape::ALL[shape].bit();
            }
            shape += 1;
        }
        byte += 1;
    }
    table
};

/// Whether `value` may be a route key: `METHOD /path`, or a word that is no method.
pub(crate) fn is_route_key(value: &[u8]) -> bool {
    let method = value.iter().take_while(|b| b.is_ascii_uppercase()).count();
    match &value[method..] {
        [b' ', b'/', path @ ..] if method > 0 => !holds_refused(path, IN_PATH),
        [] => !METHODS.contains(&value),
        _ => !value.iter().any(|b| b.is_ascii_whitespace() || *b == b'"'),
    }
}

const METHODS: [&[u8]; 8] =
    [b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"HEAD", b"OPTIONS", b"ANY"];

/// In which texts a byte must not stand.
static REFUSED: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let value = byte as u8;
        let is_of_id = value.is_ascii_alphanumeric()
            || matches!(value, b'_' | b'=' | b'+' | b'/' | b'.' | b':' | b'-');
        if !is_of_id {
            table[byte] |= IN_ID;
        }
        if !value.is_ascii_graphic() || value == b'"' {
            table[byte] |= IN_TOKEN;
        }
        if value.is_ascii_whitespace() || value == b'"' {
            table[byte] |= IN_RESOURCE;
        }
        if value.is_ascii_whitespace() {
            table[byte] |= IN_PATH;
        }
        byte += 1;
    }
    table
};

const IN_ID: u8 = 1;
const IN_TOKEN: u8 = 2;
const IN_RESOURCE: u8 = 4;
const IN_PATH: u8 = 8;

/// Whether `text` holds a byte that must not stand in such texts. All bytes are looked
/// at, without a branch for each.
#[inline]
fn holds_refused(text: &[u8], place: u8) -> bool {
    text.iter().fold(0, |found, byte| found | REFUSED[usize::from(*byte)]) & place != 0
}

fn is_integer(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
}

/// A status of three digits; `0` and `000` are written when there was no response.
pub(crate) fn parse_status(value: &[u8]) -> Result<Option<u16>, RejectReason> {
    match value {
        b"0" | b"000" => Ok(None),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            Ok(Some(digit(a) * 100 + digit(b) * 10 + digit(c)))
        }
        _ => Err(RejectReason::Value),
    }
}

fn is_protocol(value: &[u8]) -> bool {
    // Almost always.
    if matches!(value, b"HTTP/1.1" | b"HTTP/2.0") {
        return true;
    }
    let Some(slash) = memchr::memchr(b'/', value) else {
        return false;
    };
    (1..=10).contains(&slash)
        && value[..slash].iter().all(u8::is_ascii_alphabetic)
        && (1..=5).contains(&(value.len() - slash - 1))
        && value[slash + 1..].iter().all(|b| b.is_ascii_digit() || *b == b'.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn what_a_shape_excludes_no_value_of_it_holds(
            parts in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(vec![
                        "192.0.2.1", "2001:db8::1", "[::1]", ":443", "%eth0", "26/Jan/2019:19:45:25 +0000",
                        "2019-01-26T19:45:25Z", "1548531925", "1548531925.25", "200", "-", "0", "GET", " ",
                        "/a", "HTTP", "/1.1", "/2", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "$default",
                        "AvfiBE7QvHcFq1g=", "\"", "\t", ",",
                    ]).prop_map(|part| part.as_bytes().to_vec()),
                    any::<u8>().prop_map(|byte| vec![byte]),
                ],
                1..4,
            ),
            length in 0..8_usize,
        ) {
            let value = parts.concat();
            for shape in Shape::ALL.into_iter().filter(|shape| shape.holds(&value)) {
                prop_assert!(!value.iter().any(|byte| shape.excludes(*byte)), "{shape:?}");
                let quoted = [b"\"", &value[..], b"\""].concat();
                for whole in [&value, &quoted] {
                    let start = &whole[..length.min(whole.len() - 1)];
                    prop_assert!(!shape.excludes_all_from(start), "{shape:?} from {start:?}");
                }
            }
        }
    }

    #[test]
    fn shapes_accept_absence_and_refuse_other_types() {
        assert!(Shape::Status.holds(b"-"));
        assert!(!Shape::Status.holds(b"20"));
        assert!(!Shape::Address.holds(b"example.com"));
        assert!(!Shape::Id.holds(b"a b"));
        assert!(Shape::Protocol.holds(b"HTTP/1.1"));
        assert!(!Shape::Protocol.holds(b"b HTTP/1.1"));
    }
}
