//! Examples inside rule files, and running them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use portcullis_ingest::{Origin, Request, Timestamp, Untrusted, WafAction};

use super::{RuleKind, RuleSet};
use crate::scan::Scan;

/// When the first request of an example comes: 2024-01-01T12:00:45Z, so that a burst of
/// some length crosses the minute.
const START_EPOCH_MS: i64 = 1_704_110_445_000;

/// Who makes an example's requests.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// One example of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Its name, unique in the rule.
    pub name: String,
    /// The requests, in order: one for a signature.
    pub steps: Vec<ExampleStep>,
    /// Whether the rule must fire.
    pub fires: bool,
    /// Whether it was derived from the rule itself, so that it shows what the rule says
    /// and nothing of what clients send.
    pub generated: bool,
}

/// Requests of an example that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExampleStep {
    /// How many.
    pub repeat: u32,
    /// Milliseconds from each to the next, the next step's first included.
    pub every_ms: u32,
    /// What they are; `{n}` in a text is the running number from 0, in the client's address
    /// that number's remainder of 256.
    pub request: ExampleRequest,
}

/// A request of an example. Absent fields are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExampleRequest {
    /// Method.
    pub method: Option<String>,
    /// Path.
    pub path: Option<String>,
    /// Query string.
    pub query: Option<String>,
    /// `User-Agent` header.
    pub user_agent: Option<String>,
    /// `Referer` header.
    pub referer: Option<String>,
    /// `Host` header.
    pub host: Option<String>,
    /// Other headers, as `name: value` lines.
    pub headers: Option<String>,
    /// Status code.
    pub status: Option<u16>,
    /// Gateway response type.
    pub error_type: Option<String>,
    /// What AWS WAF decided.
    pub waf_action: Option<WafAction>,
    /// Client's address; one and the same where absent.
    pub client: Option<String>,
    /// Route template or route key.
    pub route: Option<String>,
    /// Id of the API key.
    pub api_key_id: Option<String>,
    /// The caller.
    pub principal: Option<String>,
    /// Bytes of the response body.
    pub response_bytes: Option<u64>,
}

impl ExampleRequest {
    /// The request as a log would give it, at the start of examples' time.
    pub fn request(&self) -> Request<'_> {
        fn text(value: Option<&String>) -> Option<Untrusted<'_>> {
            value.map(|value| Untrusted::new(value.as_bytes()))
        }
        Request {
            time: Timestamp::from_epoch_ms(START_EPOCH_MS),
            client: self.client.as_ref().map_or(Some(CLIENT), |text| Self::address(text, 0)),
            method: text(self.method.as_ref()),
            path: text(self.path.as_ref()),
            query: text(self.query.as_ref()),
            user_agent: text(self.user_agent.as_ref()),
            referer: text(self.referer.as_ref()),
            host: text(self.host.as_ref()),
            headers: text(self.headers.as_ref()),
            status: self.status,
            error_type: text(self.error_type.as_ref()),
            waf_action: self.waf_action,
            route: text(self.route.as_ref()),
            api_key_id: text(self.api_key_id.as_ref()),
            principal: text(self.principal.as_ref()),
            response_bytes: self.response_bytes,
            ..Request::default()
        }
    }
}

impl ExampleRequest {
    /// A client's address, with `{n}` replaced by the running number's remainder of 256.
    pub(super) fn address(text: &str, running: u64) -> Option<IpAddr> {
        text.replace("{n}", &(running % 256).to_string()).parse().ok()
    }

    /// The request of that running number.
    fn numbered(&self, running: u64) -> Self {
        let number = running.to_string();
        let text = |text: &Option<String>| text.as_ref().map(|t| t.replace("{n}", &number));
        let client = self.client.as_ref().and_then(|text| Self::address(text, running));
        Self {
            method: text(&self.method),
            path: text(&self.path),
            query: text(&self.query),
            user_agent: text(&self.user_agent),
            referer: text(&self.referer),
            host: text(&self.host),
            headers: text(&self.headers),
            error_type: text(&self.error_type),
            client: client.map(|address| address.to_string()),
            route: text(&self.route),
            api_key_id: text(&self.api_key_id),
            principal: text(&self.principal),
            ..*self
        }
    }

    fn has_number(&self) -> bool {
        let texts = [
            &self.method,
            &self.path,
            &self.query,
            &self.user_agent,
            &self.referer,
            &self.host,
            &self.headers,
            &self.error_type,
            &self.client,
            &self.route,
            &self.api_key_id,
            &self.principal,
        ];
        texts.into_iter().flatten().any(|text| text.contains("{n}"))
    }
}

/// An example that came out otherwise than its rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExampleFailure {
    /// The rule's id.
    pub rule: String,
    /// The rule's file.
    pub file: String,
    /// The example's name.
    pub example: String,
    /// Whether the rule should have fired.
    pub expected: bool,
}

impl fmt::Display for ExampleFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = if self.expected { "should fire and does not" } else { "fires and should not" };
        write!(f, "{}: example `{}` {said}", self.rule, self.example)
    }
}

/// Runs every example against the whole set.
pub(super) fn failures(rules: &RuleSet) -> Vec<ExampleFailure> {
    let mut failures = Vec::new();
    let mut classifier = rules.classifier();
    for (index, rule) in rules.rules().iter().enumerate() {
        for example in &rule.examples {
            let fired = match &rule.kind {
                RuleKind::Signature(_) => example.steps.iter().any(|step| {
                    let verdict = classifier.classify(&step.request.request());
                    verdict.hits().iter().any(|hit| hit.rule == index)
                }),
                RuleKind::Rate(_) => rate_fires(rules, index, &example.steps),
            };
            if fired != example.fires {
                failures.push(ExampleFailure {
                    rule: rule.id.to_string(),
                    file: rule.file.clone(),
                    example: example.name.clone(),
                    expected: example.fires,
                });
            }
        }
    }
    failures
}

fn rate_fires(rules: &RuleSet, index: usize, steps: &[ExampleStep]) -> bool {
    let mut scan = Scan::new(rules);
    let mut epoch_ms = START_EPOCH_MS;
    let mut running = 0_u64;
    for step in steps {
        let has_number = step.request.has_number();
        for _ in 0..step.repeat {
            let numbered = has_number.then(|| step.request.numbered(running));
            let mut request = numbered.as_ref().unwrap_or(&step.request).request();
            request.time = Timestamp::from_epoch_ms(epoch_ms);
            request.origin = Origin { object: "example", offset: running };
            scan.observe(&request);
            epoch_ms += i64::from(step.every_ms);
            running += 1;
        }
    }
    scan.fired(index)
}
