//! One request as the log tells it.

use std::net::IpAddr;

use crate::{Field, Timestamp, Untrusted};

/// One request, borrowing from the decompressed object.
///
/// A field is `None` when the format does not log it or the record has `-` there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request<'o> {
    /// Extended request id when logged, else the request id.
    pub id: Option<Untrusted<'o>>,
    /// The request id where `id` is the extended one. Callers know it, and those of REST APIs
    /// can set it: it names a request to look for, and tells none apart.
    pub request_id: Option<Untrusted<'o>>,
    /// When the request came.
    pub time: Option<Timestamp>,
    /// Address of the client; IPv4-mapped IPv6 is folded to IPv4.
    pub client: Option<IpAddr>,
    /// HTTP method as sent.
    pub method: Option<Untrusted<'o>>,
    /// Path without the query string, as logged (percent-encoding kept). API
    /// Gateway's `$context.path` begins with the stage.
    pub path: Option<Untrusted<'o>>,
    /// Query string without `?`.
    pub query: Option<Untrusted<'o>>,
    /// Route template or route key (`/pets/{petId}`, `GET /pets`, `$default`).
    pub route: Option<Untrusted<'o>>,
    /// Status code of the response.
    pub status: Option<u16>,
    /// `User-Agent` header.
    pub user_agent: Option<Untrusted<'o>>,
    /// `Host` header or the API's domain name.
    pub host: Option<Untrusted<'o>>,
    /// `Referer` header.
    pub referer: Option<Untrusted<'o>>,
    /// Protocol, such as `HTTP/1.1`.
    pub protocol: Option<Untrusted<'o>>,
    /// Bytes of the response body.
    pub response_bytes: Option<u64>,
    /// Milliseconds until the response.
    pub latency_ms: Option<u64>,
    /// API identifier.
    pub api_id: Option<Untrusted<'o>>,
    /// Deployment stage.
    pub stage: Option<Untrusted<'o>>,
    /// Id of the API key; the key itself is never kept.
    pub api_key_id: Option<Untrusted<'o>>,
    /// The caller as the authorizer, IAM or Cognito names it.
    pub principal: Option<Untrusted<'o>>,
    /// Gateway response type, such as `MISSING_AUTHENTICATION_TOKEN`.
    pub error_type: Option<Untrusted<'o>>,
    /// What AWS WAF decided.
    pub waf_action: Option<WafAction>,
    /// The AWS WAF rule that decided.
    pub waf_rule: Option<Untrusted<'o>>,
    /// Labels of AWS WAF rules, separated by commas.
    pub waf_labels: Option<Untrusted<'o>>,
    /// JA3 fingerprint of the TLS client.
    pub ja3: Option<Untrusted<'o>>,
    /// JA4 fingerprint of the TLS client.
    pub ja4: Option<Untrusted<'o>>,
    /// Two-letter country that AWS derived from the address.
    pub country: Option<Untrusted<'o>>,
    /// `X-Forwarded-For` header: every part but the last may be a lie.
    pub forwarded_for: Option<Untrusted<'o>>,
    /// Headers without a field of their own, as `name: value` lines; line breaks within one
    /// are spaces. Holds secrets: see [`crate::redacted`].
    pub headers: Option<Untrusted<'o>>,
    /// Whether `time` is that of the object's key, because the format logs none: it
    /// says when the object was begun, not when the request came.
    pub time_is_of_object: bool,
    /// Whether the format logs neither what AWS WAF decided nor the gateway response type,
    /// so that a 403 may be AWS WAF's block as well as a refusal. Set for that status alone.
    pub waf_is_unknown: bool,
    /// Where the record stands.
    pub origin: Origin<'o>,
}

impl<'o> Request<'o> {
    /// The same request with other texts, and the name of its object. They are asked for in a
    /// fixed order, each that there is.
    pub fn with_texts<'t>(
        &self,
        object: &'t str,
        mut text: impl FnMut(Untrusted<'o>) -> Untrusted<'t>,
    ) -> Request<'t> {
        let mut text = |known: Option<Untrusted<'o>>| known.map(&mut text);
        Request {
            id: text(self.id),
            request_id: text(self.request_id),
            time: self.time,
            client: self.client,
            method: text(self.method),
            path: text(self.path),
            query: text(self.query),
            route: text(self.route),
            status: self.status,
            user_agent: text(self.user_agent),
            host: text(self.host),
            referer: text(self.referer),
            protocol: text(self.protocol),
            response_bytes: self.response_bytes,
            latency_ms: self.latency_ms,
            api_id: text(self.api_id),
            stage: text(self.stage),
            api_key_id: text(self.api_key_id),
            principal: text(self.principal),
            error_type: text(self.error_type),
            waf_action: self.waf_action,
            waf_rule: text(self.waf_rule),
            waf_labels: text(self.waf_labels),
            ja3: text(self.ja3),
            ja4: text(self.ja4),
            country: text(self.country),
            forwarded_for: text(self.forwarded_for),
            headers: text(self.headers),
            time_is_of_object: self.time_is_of_object,
            waf_is_unknown: self.waf_is_unknown,
            origin: Origin { object, offset: self.origin.offset },
        }
    }

    /// The text of a textual field; `None` for absent and for typed fields.
    pub fn text(&self, field: Field) -> Option<Untrusted<'o>> {
        match field {
            Field::Id => self.id,
            Field::Method => self.method,
            Field::Path => self.path,
            Field::Query => self.query,
            Field::Route => self.route,
            Field::UserAgent => self.user_agent,
            Field::Host => self.host,
            Field::Referer => self.referer,
            Field::Protocol => self.protocol,
            Field::ApiId => self.api_id,
            Field::Stage => self.stage,
            Field::ApiKeyId => self.api_key_id,
            Field::Principal => self.principal,
            Field::ErrorType => self.error_type,
            Field::WafRule => self.waf_rule,
            Field::WafLabels => self.waf_labels,
            Field::Ja3 => self.ja3,
            Field::Ja4 => self.ja4,
            Field::Country => self.country,
            Field::ForwardedFor => self.forwarded_for,
            Field::Headers => self.headers,
            Field::Client
            | Field::Time
            | Field::Status
            | Field::ResponseBytes
            | Field::LatencyMs
            | Field::WafAction => None,
        }
    }
}

/// What AWS WAF decided about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WafAction {
    /// Passed.
    Allow,
    /// Blocked: never counts towards renewing a block.
    Block,
    /// Answered with a CAPTCHA.
    Captcha,
    /// Answered with a silent challenge.
    Challenge,
}

impl WafAction {
    /// The name in outputs: `ALLOW`, `BLOCK`, `CAPTCHA`, `CHALLENGE`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Block => "BLOCK",
            Self::Captcha => "CAPTCHA",
            Self::Challenge => "CHALLENGE",
        }
    }
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin<'o> {
    /// Key or path of the object.
    pub object: &'o str,
    /// Byte offset of the record in the decompressed text.
    pub offset: u64,
}
