//! What each `$context` variable of an access-log format means for a request.
//!
//! A variable decides three things: the field it fills, the shape its value must
//! have, and thereby where it may end. Values the gateway writes (address, time,
//! status, ids) have narrow shapes; values a client writes are free text.
//!
//! Source: API Gateway guide, "Variables for access logging" (REST), "HTTP API
//! logging variables" and "WebSocket API access logging" (read 2026-11).

use crate::{Field, RejectReason};

/// The place of a request that a variable fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Slot {
    /// `extendedRequestId`: the gateway's own id.
    ExtendedId,
    /// `requestId`: REST clients may set it.
    RequestId,
    Client,
    /// `requestTime`, to the second.
    TimeClf,
    /// `requestTimeEpoch`, to the millisecond.
    TimeEpoch,
    Method,
    /// `path`; a `?` begins the query string.
    Path,
    /// `resourcePath` or `routeKey`.
    Route,
    Status,
    UserAgent,
    Host,
    Referer,
    Protocol,
    ResponseBytes,
    LatencyMs,
    ApiId,
    Stage,
    ApiKeyId,
    /// The caller; the smallest rank that is present wins.
    Principal(u8),
    ErrorType,
    WafAction,
    /// `X-Forwarded-For`, where an override or an authorizer logs it.
    ForwardedFor,
    /// One parameter of the integration's query string.
    QueryParameter,
    /// Nothing a request keeps.
    Other,
}

impl Slot {
    /// The field that the slot fills.
    pub(crate) fn field(self) -> Option<Field> {
        Some(match self {
            Self::ExtendedId | Self::RequestId => Field::Id,
            Self::Client => Field::Client,
            Self::TimeClf | Self::TimeEpoch => Field::Time,
            Self::Method => Field::Method,
            Self::Path => Field::Path,
            Self::Route => Field::Route,
            Self::Status => Field::Status,
            Self::UserAgent => Field::UserAgent,
            Self::Host => Field::Host,
            Self::Referer => Field::Referer,
            Self::Protocol => Field::Protocol,
            Self::ResponseBytes => Field::ResponseBytes,
            Self::LatencyMs => Field::LatencyMs,
            Self::ApiId => Field::ApiId,
            Self::Stage => Field::Stage,
            Self::ApiKeyId => Field::ApiKeyId,
            Self::Principal(_) => Field::Principal,
            Self::ErrorType => Field::ErrorType,
            Self::WafAction => Field::WafAction,
            Self::ForwardedFor => Field::ForwardedFor,
            Self::QueryParameter => Field::Query,
            Self::Other => return None,
        })
    }

    /// Whether a decision hangs on the value, so that it must never come from a
    /// place the client can write.
    pub(crate) fn is_trusted(self) -> bool {
        matches!(
            self,
            Self::ExtendedId
                | Self::RequestId
                | Self::Client
                | Self::TimeClf
                | Self::TimeEpoch
                | Self::Status
        )
    }
}

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
}

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

/// What a variable means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) slot: Slot,
    pub(crate) shape: Shape,
    /// Whether the guides list the variable.
    pub(crate) known: bool,
}

/// Meaning of a variable, by its name without `$context.`.
pub(crate) fn meaning(name: &str) -> Meaning {
    let known = |slot, shape| Meaning { slot, shape, known: true };
    if let Some((_, slot, shape)) = TABLE.iter().find(|(known, ..)| *known == name) {
        return known(*slot, *shape);
    }
    if OTHER_IDS.contains(&name) {
        return known(Slot::Other, Shape::Id);
    }
    if OTHER_NUMBERS.contains(&name) {
        return known(Slot::Other, Shape::Integer);
    }
    if OTHER_TEXT.contains(&name) {
        return known(Slot::Other, Shape::Free);
    }
    if let Some(header) = name.strip_prefix("requestOverride.header.") {
        let slot = match header.to_ascii_lowercase().as_str() {
            "referer" | "referrer" => Slot::Referer,
            "user-agent" | "useragent" | "user_agent" => Slot::UserAgent,
            "host" => Slot::Host,
            "x-forwarded-for" => Slot::ForwardedFor,
            _ => Slot::Other,
        };
        return known(slot, Shape::Free);
    }
    if name.starts_with("requestOverride.querystring.") {
        return known(Slot::QueryParameter, Shape::Free);
    }
    if let Some(property) = name.strip_prefix("authorizer.") {
        let property = property.strip_prefix("claims.").unwrap_or(property);
        let slot = match property.to_ascii_lowercase().replace(['_', ':', '-'], "").as_str() {
            "sub" | "userid" => Slot::Principal(2),
            "cognitousername" | "username" | "user" | "clientid" => Slot::Principal(3),
            _ => Slot::Other,
        };
        return known(slot, Shape::Free);
    }
    let listed = ["requestOverride.path.", "responseOverride."];
    Meaning {
        slot: Slot::Other,
        shape: Shape::Free,
        known: listed.iter().any(|prefix| name.starts_with(prefix)),
    }
}

const TABLE: [(&str, Slot, Shape); 30] = [
    ("extendedRequestId", Slot::ExtendedId, Shape::Id),
    ("requestId", Slot::RequestId, Shape::Id),
    ("identity.sourceIp", Slot::Client, Shape::Address),
    ("requestTime", Slot::TimeClf, Shape::ClfTime),
    ("requestTimeEpoch", Slot::TimeEpoch, Shape::Epoch),
    ("httpMethod", Slot::Method, Shape::Token),
    ("path", Slot::Path, Shape::Free),
    ("resourcePath", Slot::Route, Shape::Resource),
    ("routeKey", Slot::Route, Shape::RouteKey),
    ("status", Slot::Status, Shape::Status),
    ("identity.userAgent", Slot::UserAgent, Shape::Free),
    ("domainName", Slot::Host, Shape::Free),
    ("protocol", Slot::Protocol, Shape::Protocol),
    ("responseLength", Slot::ResponseBytes, Shape::Integer),
    ("responseLatency", Slot::LatencyMs, Shape::Integer),
    ("apiId", Slot::ApiId, Shape::Id),
    ("stage", Slot::Stage, Shape::Token),
    ("identity.apiKeyId", Slot::ApiKeyId, Shape::Free),
    ("authorizer.principalId", Slot::Principal(0), Shape::Free),
    ("authorizer.claims.sub", Slot::Principal(1), Shape::Free),
    ("identity.cognitoIdentityId", Slot::Principal(4), Shape::Free),
    ("identity.userArn", Slot::Principal(5), Shape::Free),
    ("identity.caller", Slot::Principal(6), Shape::Free),
    ("identity.user", Slot::Principal(7), Shape::Free),
    ("error.responseType", Slot::ErrorType, Shape::Token),
    ("wafResponseCode", Slot::WafAction, Shape::Token),
    // What an authorizer says of itself is no principal.
    ("authorizer.error", Slot::Other, Shape::Free),
    ("authorizer.claims", Slot::Other, Shape::Free),
    ("authorizer.requestId", Slot::Other, Shape::Id),
    ("authorizer.scopes", Slot::Other, Shape::Free),
];

const OTHER_NUMBERS: [&str; 22] = [
    "authenticate.latency",
    "authenticate.status",
    "authorize.latency",
    "authorize.status",
    "authorizer.integrationLatency",
    "authorizer.integrationStatus",
    "authorizer.latency",
    "authorizer.status",
    "connectedAt",
    "dataProcessed",
    "integration.integrationStatus",
    "integration.latency",
    "integration.status",
    "integrationLatency",
    "integrationStatus",
    "responseOverride.status",
    "waf.latency",
    "waf.status",
    "accountId",
    "identity.accountId",
    "integration.statusCode",
    "integrationStatusCode",
];

const OTHER_IDS: [&str; 9] = [
    "awsEndpointRequestId",
    "awsEndpointRequestId2",
    "connectionId",
    "messageId",
    "integration.requestId",
    "resourceId",
    "webaclArn",
    "eventType",
    "deploymentId",
];

const OTHER_TEXT: [&str; 25] = [
    "authenticate.error",
    "authorize.error",
    "customDomain.basePathMatched",
    "domainPrefix",
    "error.message",
    "error.messageString",
    "error.validationErrorString",
    "identity.apiKey",
    "identity.clientCert.clientCertPem",
    "identity.clientCert.issuerDN",
    "identity.clientCert.serialNumber",
    "identity.clientCert.subjectDN",
    "identity.clientCert.validity.notAfter",
    "identity.clientCert.validity.notBefore",
    "identity.cognitoAuthenticationProvider",
    "identity.cognitoAuthenticationType",
    "identity.cognitoIdentityPoolId",
    "identity.principalOrgId",
    "integration.error",
    "integrationErrorMessage",
    "operationName",
    "waf.error",
    "xrayTraceId",
    "authorizer.property",
    "authorizer.claims.property",
];

/// The variable that people mean by a key of a JSON or XML record, when no template
/// is given. `keys` is the path of the key from the record's root. Common spellings
/// from public templates: case, `_`, `-` and `.` do not matter.
pub(crate) fn by_key(keys: &[&str]) -> Option<&'static str> {
    let folded: Vec<String> = keys.iter().map(|key| fold_key(key)).collect();
    for skip in 0..folded.len() {
        let joined = folded[skip..].concat();
        let joined = joined.strip_prefix("context").unwrap_or(&joined);
        if let Some((_, variable)) = KEYS.iter().find(|(key, _)| *key == joined) {
            return Some(variable);
        }
    }
    None
}

fn fold_key(key: &str) -> String {
    key.bytes()
        .filter(u8::is_ascii_alphanumeric)
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect()
}

/// Folded key → variable. Keys that would be mistaken for another variable by their
/// last word (`integration.status`) stand here with what they are.
const KEYS: [(&str, &str); 96] = [
    ("requestid", "requestId"),
    ("reqid", "requestId"),
    ("id", "requestId"),
    ("extendedrequestid", "extendedRequestId"),
    ("xamzapigwid", "extendedRequestId"),
    ("ip", "identity.sourceIp"),
    ("sourceip", "identity.sourceIp"),
    ("sourceipaddress", "identity.sourceIp"),
    ("identitysourceip", "identity.sourceIp"),
    ("identityip", "identity.sourceIp"),
    ("clientip", "identity.sourceIp"),
    ("remoteip", "identity.sourceIp"),
    ("remoteaddr", "identity.sourceIp"),
    ("remoteaddress", "identity.sourceIp"),
    ("ipaddress", "identity.sourceIp"),
    ("client", "identity.sourceIp"),
    ("caller", "identity.caller"),
    ("identitycaller", "identity.caller"),
    ("user", "identity.user"),
    ("identityuser", "identity.user"),
    ("userarn", "identity.userArn"),
    ("identityuserarn", "identity.userArn"),
    ("cognitoidentityid", "identity.cognitoIdentityId"),
    ("identitycognitoidentityid", "identity.cognitoIdentityId"),
    ("requesttime", "requestTime"),
    ("time", "requestTime"),
    ("timestamp", "requestTime"),
    ("datetime", "requestTime"),
    ("requesttimeepoch", "requestTimeEpoch"),
    ("epoch", "requestTimeEpoch"),
    ("timeepoch", "requestTimeEpoch"),
    ("httpmethod", "httpMethod"),
    ("method", "httpMethod"),
    ("requestmethod", "httpMethod"),
    ("verb", "httpMethod"),
    ("path", "path"),
    ("requestpath", "path"),
    ("httppath", "path"),
    ("uri", "path"),
    ("requesturi", "path"),
    ("url", "path"),
    ("resourcepath", "resourcePath"),
    ("resource", "resourcePath"),
    ("routekey", "routeKey"),
    ("route", "routeKey"),
    ("status", "status"),
    ("statuscode", "status"),
    ("httpstatus", "status"),
    ("responsestatus", "status"),
    ("useragent", "identity.userAgent"),
    ("identityuseragent", "identity.userAgent"),
    ("agent", "identity.userAgent"),
    ("ua", "identity.userAgent"),
    ("domainname", "domainName"),
    ("domain", "domainName"),
    ("host", "domainName"),
    ("protocol", "protocol"),
    ("responselength", "responseLength"),
    ("responsesize", "responseLength"),
    ("bytes", "responseLength"),
    ("responselatency", "responseLatency"),
    ("latency", "responseLatency"),
    ("responsetime", "responseLatency"),
    ("apiid", "apiId"),
    ("stage", "stage"),
    ("apikeyid", "identity.apiKeyId"),
    ("identityapikeyid", "identity.apiKeyId"),
    ("apikey", "identity.apiKey"),
    ("identityapikey", "identity.apiKey"),
    ("principalid", "authorizer.principalId"),
    ("authorizerprincipalid", "authorizer.principalId"),
    ("principal", "authorizer.principalId"),
    ("sub", "authorizer.claims.sub"),
    ("claimssub", "authorizer.claims.sub"),
    ("authorizerclaimssub", "authorizer.claims.sub"),
    ("userid", "authorizer.userId"),
    ("errorresponsetype", "error.responseType"),
    ("errortype", "error.responseType"),
    ("responsetype", "error.responseType"),
    ("wafresponsecode", "wafResponseCode"),
    ("wafresponse", "wafResponseCode"),
    ("wafaction", "wafResponseCode"),
    ("referer", "requestOverride.header.Referer"),
    ("referrer", "requestOverride.header.Referer"),
    ("query", "requestOverride.querystring.query"),
    ("querystring", "requestOverride.querystring.query"),
    ("integrationstatus", "integration.status"),
    ("integrationintegrationstatus", "integration.integrationStatus"),
    ("integrationlatency", "integration.latency"),
    ("integrationrequestid", "integration.requestId"),
    ("authorizerstatus", "authorizer.status"),
    ("authorizerlatency", "authorizer.latency"),
    ("authorizerrequestid", "authorizer.requestId"),
    ("authorizestatus", "authorize.status"),
    ("authenticatestatus", "authenticate.status"),
    ("wafstatus", "waf.status"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_by_their_common_spellings() {
        let check = |keys: &[&str], expected| assert_eq!(by_key(keys), expected, "{keys:?}");
        check(&["ip"], Some("identity.sourceIp"));
        check(&["identity", "sourceIP"], Some("identity.sourceIp"));
        check(&["identity.sourceIp"], Some("identity.sourceIp"));
        check(&["context", "identity", "sourceIP"], Some("identity.sourceIp"));
        check(&["integration", "status"], Some("integration.status"));
        check(&["integration-status"], Some("integration.status"));
        check(&["request", "http_method"], Some("httpMethod"));
        check(&["colour"], None);
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
