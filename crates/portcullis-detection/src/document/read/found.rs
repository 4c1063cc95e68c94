//! Reading what was found: offenders, suspects and forgeries with their evidence, and what
//! all sources did well.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_ingest::RejectReason;
use serde::Deserialize;

use super::Read;
use super::value::{all, name, network, plain, time, untrusted, wrong};
use crate::background::{Background, Network};
use crate::correlation::Correlation;
use crate::forgery::{ForgedRecord, Forgery};
use crate::level::{Category, Confidence, Severity};
use crate::offender::{Detection, Evidence, Offender, RateFigure, SuggestsOnly};
use crate::outcome::{Outcome, Outcomes};
use crate::rate::Key;
use crate::rule::{Measure, Subject};
use crate::standing::Ground;
use crate::suspect::{Contributor, Suspect};
use crate::traffic::{SourceTraffic, Traffic};
use crate::view::View;

#[derive(Deserialize)]
pub(in crate::document) struct OffenderJson {
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
    pub(in crate::document) fn read(self) -> Read<Offender> {
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
pub(in crate::document) struct SuspectJson {
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
    pub(in crate::document) fn read(self) -> Read<Suspect> {
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
pub(in crate::document) struct ForgeryJson {
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
    pub(in crate::document) fn read(self) -> Read<Forgery> {
        let reason = RejectReason::ALL.into_iter().find(|reason| reason.name() == self.reason);
        let reason = reason.ok_or_else(|| wrong(&self.reason, "reason", "a forgery"))?;
        let evidence = all(self.evidence, ForgedRecordJson::read)?;
        // What is said of a reason is ours, whatever the document says.
        Ok(Forgery::of(reason, self.records, evidence, self.last.read()?))
    }
}

#[derive(Deserialize)]
pub(in crate::document) struct TrafficJson {
    source: String,
    good_requests: u64,
    #[serde(default)]
    principals: Vec<String>,
}

pub(in crate::document) fn read_traffic(list: Vec<TrafficJson>) -> Read<Traffic> {
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
