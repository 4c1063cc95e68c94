//! What each `$context` variable of an access-log format means for a request.
//!
//! A variable decides three things: the field it fills, the shape its value must
//! have, and thereby where it may end. Values the gateway writes (address, time,
//! status, ids) have narrow shapes; values a client writes are free text. What has which
//! shape is in `shape`, what else people call a variable in `spelling`.
//!
//! Source: API Gateway guide, "Variables for access logging" (REST), "HTTP API
//! logging variables" and "WebSocket API access logging" (read 2026-11).

mod shape;
mod spelling;

pub(crate) use shape::{MOST_TOKEN_BYTES, Shape, parse_status};
pub(crate) use spelling::by_key;

use crate::Field;

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
