//! The report: one page about a scan that opens anywhere and runs nothing.
//!
//! It goes to people who were not there: whoever is on call, the owner of the API, an
//! auditor next year. So it begins with sentences, says what it could not see, and is one
//! file that needs no network, no script and no font. Its own policy forbids all of that to
//! whatever a client managed to write into it.
//!
//! How the parts are worded is decided in `summary` and `offender`; what they look like, in
//! the templates.

pub(crate) mod offender;
mod places;
mod summary;
pub(crate) mod traffic;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use askama::Template;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ipnet::IpNet;
use portcullis_detection::{Axis, Category, Findings, Overview, Texts};
use portcullis_remediation::{Decision, Outcome, Plan};
use sha2::{Digest as _, Sha256};

use crate::words::{category, count, counted, minute, period, share, shown};
use offender::OffenderView;
use places::Places;
use summary::Summary;
use traffic::Traffic;

/// Offenders shown with all their details. The others have a line each: a page that
/// nobody can scroll through helps nobody, and the same details are in `scan -o json`.
const DETAILED: usize = 1_000;
/// Probed paths shown.
const PATHS: usize = 25;
/// Characters of a logged text shown.
const TEXT: usize = 160;

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// What was read, as the operator named it.
    pub locations: &'a [String],
    /// What was found.
    pub findings: &'a Findings,
    /// What happened beside it.
    pub overview: &'a Overview,
    /// What would be done about it.
    pub plan: &'a Plan,
}

/// The report as one HTML document. Secrets in logged text are hidden, always: reports
/// are sent around.
pub fn report(report: &Report<'_>) -> String {
    let digest = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let head = Head { digest, offenders: report.findings.offenders.len() };
    let parts = [head.render(), Ok(STYLE.to_owned()), Body::new(report).render()];
    let parts: Result<String, _> = parts.into_iter().collect();
    parts.expect("writing to memory does not fail")
}

/// The style sheet. It stands between two templates rather than in one, because what a
/// template prints is escaped, and the policy names its hash.
const STYLE: &str = include_str!("../templates/report.css");

#[derive(Template)]
#[template(path = "report_head.html", whitespace = "minimize")]
struct Head {
    digest: String,
    offenders: usize,
}

#[derive(Template)]
#[template(path = "report_body.html", whitespace = "minimize")]
struct Body {
    period: String,
    locations: Vec<String>,
    created: String,
    summary: Summary,
    traffic: Option<Traffic>,
    offenders: Vec<OffenderView>,
    watched: Vec<OffenderView>,
    filters: Vec<Filter>,
    classes: Vec<Class>,
    places: Vec<Places>,
    probed: Vec<Probed>,
    probed_note: String,
    sets: Vec<SetChange>,
    reasons: Vec<Reason>,
    conflicts: Vec<String>,
    gaps: Vec<String>,
    /// What was found, and what it may mean.
    forgeries: Vec<(String, &'static str)>,
    coverage: Vec<(&'static str, String)>,
}

/// Offenders of one severity.
struct Filter {
    severity: &'static str,
    count: String,
}

/// What the offenders did, of one kind.
struct Class {
    title: &'static str,
    sources: String,
    requests: String,
    /// Length of its bar, in percent of the longest.
    length: u64,
}

struct Probed {
    path: String,
    requests: String,
    answered: u64,
    answered_share: String,
}

pub(crate) struct SetChange {
    pub(crate) name: String,
    pub(crate) family: String,
    pub(crate) before: String,
    pub(crate) after: String,
    pub(crate) added: Vec<String>,
    pub(crate) more: String,
}

/// How many offenders a plan leaves alone for one reason.
pub(crate) struct Reason {
    pub(crate) text: &'static str,
    pub(crate) count: String,
}

/// Added entries that are named under a set.
const NAMED_ENTRIES: usize = 200;

impl Body {
    fn new(report: &Report<'_>) -> Self {
        let Report { findings, overview, plan, .. } = *report;
        let axis = Axis::of(&overview.traffic);
        let decisions: HashMap<IpNet, &Decision> =
            plan.decisions().iter().map(|decision| (decision.source, decision)).collect();
        let good: u64 = overview.traffic.periods().map(|(_, c)| u64::from(c.good)).sum();
        let context =
            offender::Context { overview, decisions: &decisions, axis: axis.as_ref(), good };
        let views = |offenders: &[portcullis_detection::Offender]| -> Vec<OffenderView> {
            let numbered = offenders.iter().enumerate();
            numbered.map(|(n, offender)| context.view(offender, n < DETAILED)).collect()
        };
        Self {
            period: whole_period(findings, axis.as_ref()),
            locations: report.locations.iter().map(|name| shown_name(name)).collect(),
            created: minute(plan.created_at()),
            summary: Summary::new(report, good),
            traffic: axis.map(|axis| Traffic::new(report, &axis)),
            offenders: views(&findings.offenders),
            watched: views(&findings.watched),
            filters: filters(findings),
            classes: classes(findings),
            places: places::places(findings),
            probed: probed(&overview.probed),
            probed_note: probed_note(&overview.probed),
            sets: sets(plan),
            reasons: reasons(plan),
            conflicts: plan.conflicts().iter().map(ToString::to_string).collect(),
            gaps: crate::gaps::gaps_of_page(findings, overview),
            forgeries: (findings.forgeries.iter())
                .map(|forgery| {
                    let records = counted(forgery.records, "record", "records");
                    (format!("{}: {records}.", forgery.title), forgery.explanation)
                })
                .collect(),
            coverage: coverage(findings),
        }
    }
}

/// Names come from the command line and from file systems; neither is trusted.
pub(crate) fn shown_name(name: &str) -> String {
    portcullis_ingest::Untrusted::new(name.as_bytes()).escaped().to_string()
}

pub(crate) fn whole_period(findings: &Findings, axis: Option<&Axis>) -> String {
    let offenders = findings.offenders.iter().chain(&findings.watched);
    let ends = axis.and_then(|axis| Some((axis.begin(0)?, axis.begin(axis.cells())?)));
    let Some((first, last)) = ends else {
        return "at unknown times".to_owned();
    };
    // The axis is as wide as its cells; what is known to the second is told.
    let last = offenders
        .filter_map(|offender| offender.last)
        .max()
        .map_or(last, |known| if known.epoch_ms() > last.epoch_ms() { known } else { last });
    period(first, last)
}

fn filters(findings: &Findings) -> Vec<Filter> {
    let severities = portcullis_detection::Severity::ALL.iter().rev();
    let filters = severities.map(|severity| {
        let same = findings.offenders.iter().filter(|offender| offender.severity == *severity);
        (severity.name(), same.count() as u64)
    });
    let some = filters.filter(|(_, number)| *number > 0);
    some.map(|(severity, number)| Filter { severity, count: count(number) }).collect()
}

fn classes(findings: &Findings) -> Vec<Class> {
    let mut sums: BTreeMap<Category, (BTreeSet<IpNet>, u64)> = BTreeMap::new();
    for offender in &findings.offenders {
        for detection in &offender.detections {
            let (sources, requests) = sums.entry(detection.category).or_default();
            sources.insert(offender.source);
            *requests += detection.requests;
        }
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(category, (sources, requests))| {
        (std::cmp::Reverse((sources.len(), *requests)), *category)
    });
    let longest = sums.first().map_or(1, |(_, (sources, _))| sources.len() as u64).max(1);
    sums.into_iter()
        .map(|(of, (sources, requests))| Class {
            title: category(of),
            sources: count(sources.len() as u64),
            requests: count(requests),
            length: (sources.len() as u64 * 100).div_ceil(longest),
        })
        .collect()
}

fn probed(texts: &Texts) -> Vec<Probed> {
    let shown_paths = texts.kept.iter().take(PATHS).map(|path| Probed {
        path: shown(path.text.as_untrusted(), TEXT),
        requests: count(path.requests),
        answered: path.answered,
        answered_share: share(path.answered, path.requests),
    });
    shown_paths.collect()
}

fn probed_note(texts: &Texts) -> String {
    let number = texts.kept.len() as u64;
    match (texts.is_sample, texts.kept.len() > PATHS) {
        (true, _) => format!(
            "There were more different paths than are counted: these are the most frequent of a \
             fair sample of {}, whose counts are exact.",
            count(number)
        ),
        (false, true) => {
            format!("The {PATHS} most frequent of {}.", counted(number, "path", "different paths"))
        }
        (false, false) => String::new(),
    }
}

pub(crate) fn sets(plan: &Plan) -> Vec<SetChange> {
    let pairs = plan.base().iter().zip(plan.target());
    pairs
        .map(|(base, target)| {
            let added = target.addresses().difference(base.addresses());
            let number = added.clone().count();
            SetChange {
                name: shown_name(base.name()),
                family: base.family().to_string(),
                before: count(base.addresses().len() as u64),
                after: count(target.addresses().len() as u64),
                added: added.take(NAMED_ENTRIES).map(ToString::to_string).collect(),
                more: match number.saturating_sub(NAMED_ENTRIES) {
                    0 => String::new(),
                    more => format!("and {} more", count(more as u64)),
                },
            }
        })
        .collect()
}

/// Reasons for which offenders are left alone, from the most frequent.
pub(crate) fn reasons(plan: &Plan) -> Vec<Reason> {
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for decision in plan.decisions() {
        if let Outcome::Withheld(withheld) = &decision.outcome {
            *counts.entry(offender::reason(withheld)).or_default() += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(text, number)| (std::cmp::Reverse(*number), *text));
    counts.into_iter().map(|(text, number)| Reason { text, count: count(number) }).collect()
}

fn coverage(findings: &Findings) -> Vec<(&'static str, String)> {
    let coverage = &findings.coverage;
    vec![
        ("Objects read", count(coverage.objects)),
        ("Text", crate::byte_size(coverage.text_bytes)),
        ("Records", count(coverage.records)),
        ("Requests", count(coverage.requests)),
        ("Records that could not be read", count(coverage.rejected())),
        ("Objects that ended early", count(coverage.incomplete.len() as u64)),
        ("Blocked by AWS WAF before", count(coverage.requests_blocked_by_waf)),
    ]
}
