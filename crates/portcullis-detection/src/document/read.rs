//! Reading findings that somebody wrote.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use portcullis_ingest::{Field, RejectReason, Timestamp, UntrustedBuf, is_unsafe_to_print};
use serde::Deserialize;

use super::SCHEMA_VERSION;
use crate::audit::{Audit, AuditedObject};
use crate::background::{Background, Network};
use crate::correlation::Correlation;
use crate::coverage::{BlindRule, Coverage};
use crate::forgery::{ForgedRecord, Forgery};
use crate::level::{Category, Confidence, Severity};
use crate::memory::Forgotten;
use crate::offender::{Detection, Evidence, Findings, Offender, RateFigure, SuggestsOnly};
use crate::outcome::{Outcome, Outcomes};
use crate::rate::Key;
use crate::rule::{Measure, Subject};
use crate::standing::Ground;
use crate::suspect::{Contributor, Suspect};
use crate::traffic::{SourceTraffic, Traffic};
use crate::view::View;

/// Why a document was refused.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is no JSON, or of another shape.
    #[error("{0}")]
    Shape(#[from] serde_json::Error),
    /// A version that nobody knows yet.
    #[error("it has schema version {0}, expected {SCHEMA_VERSION}")]
    Version(u64),
    /// Rows that are not of one whole.
    #[error("it has {0} rows of the kind `findings`, expected one")]
    Heads(&'static str),
    /// A value that cannot be.
    #[error("`{value}` is no {what}, in {place}")]
    Value {
        /// The value, safe to print.
        value: String,
        /// What was expected.
        what: &'static str,
        /// Where it stands.
        place: &'static str,
    },
}

type Read<T> = Result<T, DocumentError>;

pub(super) fn wrong(value: &str, what: &'static str, place: &'static str) -> DocumentError {
    let shown: String = value.chars().take(60).collect();
    let value = portcullis_ingest::Untrusted::new(shown.as_bytes()).escaped().to_string();
    DocumentError::Value { value, what, place }
}

/// Reads what [`super::write_document`] wrote.
///
/// # Errors
/// When the text is no such document; it says what was expected and where.
pub fn read_document(text: &[u8]) -> Read<Findings> {
    #[derive(Deserialize)]
    struct Versioned {
        schema_version: u64,
    }
    let Versioned { schema_version } = serde_json::from_slice(text)?;
    if schema_version != u64::from(SCHEMA_VERSION) {
        return Err(DocumentError::Version(schema_version));
    }
    serde_json::from_slice::<DocumentJson>(text)?.findings()
}

#[derive(Deserialize)]
struct DocumentJson {
    coverage: CoverageJson,
    offenders: Vec<OffenderJson>,
    watched: Vec<OffenderJson>,
    #[serde(default)]
    suspects: Vec<SuspectJson>,
    #[serde(default)]
    suspected_forgeries: Vec<ForgeryJson>,
    audit: Option<AuditJson>,
    traffic: Option<Vec<TrafficJson>>,
}

impl DocumentJson {
    fn findings(self) -> Read<Findings> {
        let audit = self.audit.map(AuditJson::read);
        Ok(Findings {
            coverage: self.coverage.read()?,
            offenders: all(self.offenders, OffenderJson::read)?,
            watched: all(self.watched, OffenderJson::read)?,
            suspects: all(self.suspects, SuspectJson::read)?,
            forgeries: all(self.suspected_forgeries, ForgeryJson::read)?,
            traffic: self.traffic.map(read_traffic).transpose()?,
            requests_of_sources: audit.as_ref().map_or(0, |audit| audit.requests_of_sources),
            audit,
        })
    }
}

fn all<J, T>(list: Vec<J>, read: impl Fn(J) -> Read<T>) -> Read<Vec<T>> {
    list.into_iter().map(read).collect()
}

fn time(text: Option<String>) -> Read<Option<Timestamp>> {
    let parse = |text: String| {
        Timestamp::parse_rfc3339(text.as_bytes()).ok_or_else(|| wrong(&text, "time", "findings"))
    };
    text.map(parse).transpose()
}

fn network(text: &str) -> Read<IpNet> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| wrong(text, "network", "a source"))
}

macro_rules! name {
    ($type:ident, $text:expr, $place:literal) => {
        $type::from_name(&$text).ok_or_else(|| wrong(&$text, stringify!($type), $place))
    };
}

/// Text from a log, in the notation that [`super::json`] writes it in.
fn untrusted(text: &str, name: &str, escaped: &[String]) -> Read<UntrustedBuf> {
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

#[derive(Deserialize)]
pub(super) struct CoverageJson {
    objects: u64,
    records: u64,
    requests: u64,
    blind_rules: Vec<BlindRuleJson>,
    incomplete: Vec<IncompleteJson>,
    rejects_by_reason: BTreeMap<String, u64>,
    rejects_with_signatures: u64,
    #[serde(default)]
    rejects_not_searched: u64,
    requests_without_client: u64,
    flagged_without_client: u64,
    requests_without_time: u64,
    requests_blocked_by_waf: u64,
    objects_blind_to_blocks: u64,
    truncated_fields: u64,
    formats: BTreeMap<String, u64>,
    requests_outside_span: u64,
    duplicates: u64,
    open_crawler_claims: u64,
    text_bytes: u64,
    #[serde(default)]
    forgotten: ForgottenJson,
}

#[derive(Deserialize)]
struct BlindRuleJson {
    rule: String,
    missing: Vec<String>,
    objects: u64,
}

#[derive(Deserialize)]
struct IncompleteJson {
    object: String,
    reason: String,
}

#[derive(Deserialize, Default)]
struct ForgottenJson {
    times: u64,
    requests: u64,
    missing_requests_at_most: BTreeMap<String, u64>,
    over_limit_bytes: u64,
}

impl CoverageJson {
    pub(super) fn read(self) -> Read<Coverage> {
        let mut coverage = Coverage {
            objects: self.objects,
            records: self.records,
            requests: self.requests,
            rejects_with_signatures: self.rejects_with_signatures,
            rejects_not_searched: self.rejects_not_searched,
            requests_without_client: self.requests_without_client,
            flagged_without_client: self.flagged_without_client,
            requests_without_time: self.requests_without_time,
            requests_blocked_by_waf: self.requests_blocked_by_waf,
            objects_blind_to_blocks: self.objects_blind_to_blocks,
            truncated_fields: self.truncated_fields,
            formats: self.formats,
            requests_outside_span: self.requests_outside_span,
            duplicates: self.duplicates,
            open_claims: self.open_crawler_claims,
            text_bytes: self.text_bytes,
            ..Coverage::default()
        };
        for (name, count) in self.rejects_by_reason {
            let reason = RejectReason::ALL.iter().position(|reason| reason.name() == name);
            let reason = reason.ok_or_else(|| wrong(&name, "reason", "the coverage"))?;
            coverage.rejects[reason] = count;
        }
        for IncompleteJson { object, reason } in self.incomplete {
            coverage.incomplete.insert(object.into(), reason);
        }
        let field = |name: String| {
            let field = Field::ALL.into_iter().map(Field::name).find(|field| *field == name);
            field.ok_or_else(|| wrong(&name, "field", "the coverage"))
        };
        for BlindRuleJson { rule, missing, objects } in self.blind_rules {
            let missing = missing.into_iter().map(field).collect::<Read<_>>()?;
            coverage.blind.insert(rule.into(), BlindRule { missing, objects });
        }
        let ForgottenJson { times, requests, missing_requests_at_most, over_limit_bytes } =
            self.forgotten;
        let missing = missing_requests_at_most;
        let missing = missing.into_iter().map(|(rule, requests)| (rule.into(), requests)).collect();
        coverage.forgotten = Forgotten { times, requests, missing, over_limit_bytes };
        Ok(coverage)
    }
}

#[derive(Deserialize)]
pub(super) struct OffenderJson {
    source: String,
    score: u32,
    severity: String,
    categories: Vec<String>,
    requests: u64,
    flagged_requests: u64,
    good_requests: u64,
    first: Option<String>,
    last: Option<String>,
    evidence: Vec<EvidenceJson>,
    confidence: String,
    principals: u64,
    outcomes: BTreeMap<String, u64>,
    grounds: Vec<String>,
    correlations: Vec<CorrelationJson>,
    detections: Vec<DetectionJson>,
    country: Option<String>,
    as_number: Option<u32>,
    as_name: Option<String>,
    #[serde(default)]
    listed: Vec<String>,
    asset: Option<String>,
}

#[derive(Deserialize)]
struct CorrelationJson {
    correlation: String,
}

impl OffenderJson {
    pub(super) fn read(self) -> Read<Offender> {
        let categories = self.categories.iter();
        let correlations = self.correlations.iter();
        Ok(Offender {
            source: network(&self.source)?,
            score: self.score,
            grounds: self
                .grounds
                .iter()
                .map(|ground| name!(Ground, *ground, "an offender"))
                .collect::<Read<_>>()?,
            severity: name!(Severity, self.severity, "an offender")?,
            confidence: name!(Confidence, self.confidence, "an offender")?,
            categories: categories
                .map(|category| name!(Category, *category, "an offender"))
                .collect::<Read<_>>()?,
            correlations: correlations
                .map(|of| name!(Correlation, of.correlation, "an offender"))
                .collect::<Read<_>>()?,
            requests: self.requests,
            flagged_requests: self.flagged_requests,
            good_requests: self.good_requests,
            outcomes: outcomes(self.outcomes)?,
            principals: self.principals,
            first: time(self.first)?,
            last: time(self.last)?,
            detections: detections(self.detections, self.evidence)?,
            background: Background {
                country: self.country.map(plain).transpose()?,
                network: match (self.as_number, self.as_name) {
                    (Some(number), name) => {
                        Some(Network { number, name: name.map(plain).transpose()? })
                    }
                    (None, _) => None,
                },
                listed: self.listed.into_iter().map(plain).collect::<Read<_>>()?,
                asset: self.asset.map(plain).transpose()?,
            },
        })
    }
}

/// Text of the operator's files, which is fit to be printed when it is written.
fn plain(text: String) -> Read<Arc<str>> {
    if text.chars().any(is_unsafe_to_print) {
        return Err(wrong(&text, "text that can be printed", "an offender"));
    }
    Ok(text.into())
}

fn outcomes(counts: BTreeMap<String, u64>) -> Read<Outcomes> {
    let mut outcomes = Outcomes::default();
    for (name, requests) in counts {
        outcomes.set(name!(Outcome, name, "outcomes")?, requests);
    }
    Ok(outcomes)
}

#[derive(Deserialize)]
struct DetectionJson {
    rule: String,
    title: String,
    category: String,
    severity: String,
    confidence: String,
    points: u32,
    requests: u64,
    first: Option<String>,
    last: Option<String>,
    suggests_only: Option<String>,
    rate: Option<RateJson>,
    #[serde(default)]
    outcomes: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct RateJson {
    by: String,
    measure: String,
    peak: u64,
    threshold: u64,
    window_seconds: u32,
    bursts: u64,
}

impl RateJson {
    fn read(self) -> Read<RateFigure> {
        Ok(RateFigure {
            by: name!(Key, self.by, "a rate")?,
            measure: name!(Measure, self.measure, "a rate")?,
            peak: self.peak,
            threshold: self.threshold,
            window_seconds: self.window_seconds,
            bursts: self.bursts,
        })
    }
}

/// The detections, each with its evidence.
fn detections(list: Vec<DetectionJson>, evidence: Vec<EvidenceJson>) -> Read<Vec<Detection>> {
    let suggests = |text: Option<String>| {
        text.map(|text| name!(SuggestsOnly, text, "a detection")).transpose()
    };
    let read = |of: DetectionJson| {
        Ok(Detection {
            rule: of.rule.into(),
            title: of.title.into(),
            category: name!(Category, of.category, "a detection")?,
            severity: name!(Severity, of.severity, "a detection")?,
            confidence: name!(Confidence, of.confidence, "a detection")?,
            points: of.points,
            requests: of.requests,
            outcomes: outcomes(of.outcomes)?,
            first: time(of.first)?,
            last: time(of.last)?,
            rate: of.rate.map(RateJson::read).transpose()?,
            suggests: suggests(of.suggests_only)?,
            evidence: Vec::new(),
        })
    };
    let mut detections = all(list, read)?;
    for piece in evidence {
        let of = detections.iter_mut().find(|detection| *detection.rule == *piece.rule);
        let of = of.ok_or_else(|| wrong(&piece.rule, "rule that was detected", "evidence"))?;
        of.evidence.push(piece.read()?);
    }
    Ok(detections)
}

#[derive(Deserialize)]
struct EvidenceJson {
    rule: String,
    object: String,
    offset: u64,
    time: Option<String>,
    id: Option<String>,
    outcome: Option<String>,
    field: Option<String>,
    view: Option<String>,
    text: Option<String>,
    matched: Option<String>,
    #[serde(default)]
    escaped: Vec<String>,
}

impl EvidenceJson {
    fn read(self) -> Read<Evidence> {
        let logged = |text: Option<&String>, name| {
            untrusted(text.map_or("", String::as_str), name, &self.escaped)
        };
        let outcome = self.outcome.as_ref();
        let field = self.field.as_ref();
        let view = self.view.as_ref();
        Ok(Evidence {
            id: self.id.is_some().then(|| logged(self.id.as_ref(), "id")).transpose()?,
            outcome: outcome.map(|outcome| name!(Outcome, *outcome, "evidence")).transpose()?,
            field: field
                .map(|field| name!(Subject, *field, "evidence").map(Subject::name))
                .transpose()?,
            view: view.map(|view| name!(View, *view, "evidence").map(View::name)).transpose()?,
            text: logged(self.text.as_ref(), "text")?,
            matched: logged(self.matched.as_ref(), "matched")?,
            object: self.object.into(),
            offset: self.offset,
            time: time(self.time)?,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct SuspectJson {
    key: String,
    value: String,
    score: u32,
    severity: String,
    confidence: String,
    requests: u64,
    clients: u64,
    contributors: Vec<ContributorJson>,
    first: Option<String>,
    last: Option<String>,
    evidence: Vec<EvidenceJson>,
    detections: Vec<DetectionJson>,
    #[serde(default)]
    escaped: Vec<String>,
}

#[derive(Deserialize)]
struct ContributorJson {
    source: String,
    requests: u64,
}

impl SuspectJson {
    pub(super) fn read(self) -> Read<Suspect> {
        let contributor = |of: ContributorJson| {
            Ok(Contributor { source: network(&of.source)?, requests: of.requests })
        };
        Ok(Suspect {
            key: name!(Key, self.key, "a suspect")?,
            value: untrusted(&self.value, "value", &self.escaped)?,
            score: self.score,
            severity: name!(Severity, self.severity, "a suspect")?,
            confidence: name!(Confidence, self.confidence, "a suspect")?,
            detections: detections(self.detections, self.evidence)?,
            requests: self.requests,
            clients: self.clients,
            contributors: all(self.contributors, contributor)?,
            first: time(self.first)?,
            last: time(self.last)?,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct ForgeryJson {
    reason: String,
    records: u64,
    evidence: Vec<ForgedRecordJson>,
    last: ForgedRecordJson,
}

#[derive(Deserialize)]
struct ForgedRecordJson {
    object: String,
    offset: u64,
    length: u64,
    text: String,
    #[serde(default)]
    escaped: Vec<String>,
}

impl ForgedRecordJson {
    fn read(self) -> Read<ForgedRecord> {
        let text = untrusted(&self.text, "text", &self.escaped)?;
        let Self { object, offset, length, .. } = self;
        Ok(ForgedRecord { object: Arc::from(object), offset, length, text })
    }
}

impl ForgeryJson {
    pub(super) fn read(self) -> Read<Forgery> {
        let reason = RejectReason::ALL.into_iter().find(|reason| reason.name() == self.reason);
        let reason = reason.ok_or_else(|| wrong(&self.reason, "reason", "a forgery"))?;
        let evidence = all(self.evidence, ForgedRecordJson::read)?;
        // What is said of a reason is ours, whatever the document says.
        Ok(Forgery::of(reason, self.records, evidence, self.last.read()?))
    }
}

#[derive(Deserialize)]
struct AuditJson {
    listed: u64,
    requests_of_sources: u64,
    objects: Vec<AuditedJson>,
}

#[derive(Deserialize)]
pub(super) struct AuditedJson {
    object: String,
    format: Option<String>,
    records: u64,
    requests: u64,
    rejects: u64,
    duplicates: u64,
    outside_span: u64,
    text_bytes: u64,
    incomplete: Option<String>,
}

impl AuditJson {
    fn read(self) -> Audit {
        Audit {
            listed: self.listed,
            requests_of_sources: self.requests_of_sources,
            objects: self.objects.into_iter().map(AuditedJson::read).collect(),
        }
    }
}

impl AuditedJson {
    pub(super) fn read(self) -> AuditedObject {
        AuditedObject {
            object: self.object.into(),
            format: self.format,
            records: self.records,
            requests: self.requests,
            rejects: self.rejects,
            duplicates: self.duplicates,
            outside_span: self.outside_span,
            text_bytes: self.text_bytes,
            incomplete: self.incomplete,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct TrafficJson {
    source: String,
    good_requests: u64,
    #[serde(default)]
    principals: Vec<String>,
}

pub(super) fn read_traffic(list: Vec<TrafficJson>) -> Read<Traffic> {
    let mut traffic = Traffic::default();
    for TrafficJson { source, good_requests, principals } in list {
        let fingerprint = |text: &String| {
            u64::from_str_radix(text, 16).map_err(|_| wrong(text, "fingerprint", "the traffic"))
        };
        let principals = principals.iter().map(fingerprint).collect::<Read<_>>()?;
        traffic.add(network(&source)?, SourceTraffic { good_requests, principals });
    }
    Ok(traffic)
}
