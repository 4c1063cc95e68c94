//! The fields a log format may give, and sets of them.

/// A field of a [`crate::Request`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Field {
    /// Address of the client.
    Client,
    /// When the request came.
    Time,
    /// HTTP method.
    Method,
    /// Concrete path, with its percent-encoding.
    Path,
    /// Query string, without `?`.
    Query,
    /// Route template that matched, such as `/pets/{petId}`.
    Route,
    /// Status code of the response.
    Status,
    /// `User-Agent` header.
    UserAgent,
    /// `Host` header.
    Host,
    /// `Referer` header.
    Referer,
    /// Protocol version, such as `HTTP/1.1`.
    Protocol,
    /// Bytes of the response body.
    ResponseBytes,
    /// Time to the response, in milliseconds.
    LatencyMs,
    /// API identifier.
    ApiId,
    /// Deployment stage.
    Stage,
    /// Id (never the secret) of the API key.
    ApiKeyId,
    /// Who the authorizer says the caller is.
    Principal,
    /// API Gateway's gateway response type, such as `MISSING_AUTHENTICATION_TOKEN`.
    ErrorType,
    /// What AWS WAF decided.
    WafAction,
    /// Request id.
    Id,
    /// Headers other than those with a field of their own, as `name: value` lines.
    Headers,
    /// `X-Forwarded-For` header.
    ForwardedFor,
    /// The AWS WAF rule that decided.
    WafRule,
    /// Labels that AWS WAF rules put on the request, separated by commas.
    WafLabels,
    /// JA3 fingerprint of the TLS client.
    Ja3,
    /// JA4 fingerprint of the TLS client.
    Ja4,
    /// Two-letter country that AWS derived from the address.
    Country,
}

impl Field {
    /// Every field, in the order `decode` writes them.
    pub const ALL: [Self; 27] = [
        Self::Id,
        Self::Time,
        Self::Client,
        Self::Method,
        Self::Path,
        Self::Query,
        Self::Route,
        Self::Status,
        Self::UserAgent,
        Self::Host,
        Self::Referer,
        Self::Protocol,
        Self::ResponseBytes,
        Self::LatencyMs,
        Self::ApiId,
        Self::Stage,
        Self::ApiKeyId,
        Self::Principal,
        Self::ErrorType,
        Self::WafAction,
        Self::WafRule,
        Self::WafLabels,
        Self::Ja3,
        Self::Ja4,
        Self::Country,
        Self::ForwardedFor,
        Self::Headers,
    ];

    /// The name in rules and in `decode`'s output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Time => "time",
            Self::Method => "method",
            Self::Path => "path",
            Self::Query => "query",
            Self::Route => "route",
            Self::Status => "status",
            Self::UserAgent => "user_agent",
            Self::Host => "host",
            Self::Referer => "referer",
            Self::Protocol => "protocol",
            Self::ResponseBytes => "response_bytes",
            Self::LatencyMs => "latency_ms",
            Self::ApiId => "api_id",
            Self::Stage => "stage",
            Self::ApiKeyId => "api_key_id",
            Self::Principal => "principal",
            Self::ErrorType => "error_type",
            Self::WafAction => "waf_action",
            Self::Id => "id",
            Self::Headers => "headers",
            Self::ForwardedFor => "forwarded_for",
            Self::WafRule => "waf_rule",
            Self::WafLabels => "waf_labels",
            Self::Ja3 => "ja3",
            Self::Ja4 => "ja4",
            Self::Country => "country",
        }
    }
}

/// A set of [`Field`]s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldSet(u32);

impl FieldSet {
    /// No field.
    pub const EMPTY: Self = Self(0);

    /// Adds a field.
    pub fn insert(&mut self, field: Field) {
        self.0 |= 1 << field as u8;
    }

    /// Whether the field is in the set.
    pub const fn contains(self, field: Field) -> bool {
        self.0 & (1 << field as u8) != 0
    }

    /// Fields in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the set has no field.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The fields, in `decode`'s order.
    pub fn iter(self) -> impl Iterator<Item = Field> {
        Field::ALL.into_iter().filter(move |field| self.contains(*field))
    }
}

impl FromIterator<Field> for FieldSet {
    fn from_iter<I: IntoIterator<Item = Field>>(fields: I) -> Self {
        let mut set = Self::EMPTY;
        for field in fields {
            set.insert(field);
        }
        set
    }
}
