//! Requests to be sent in any order, and the rules that judge them.

use std::net::IpAddr;
use std::sync::OnceLock;

use portcullis_detection::{Correlation, Detection, Findings, ObjectSeen, RuleSet, Scan};
use portcullis_ingest::{Field, Origin, Request, Timestamp, Untrusted, WafAction};

macro_rules! rules {
    ($($name:literal),+) => {
        vec![$((
            concat!("test/", $name, ".toml").to_owned(),
            include_str!(concat!("../rules/test/", $name, ".toml")).to_owned(),
        )),+]
    };
}

/// A small set with every kind of rule.
pub(crate) fn rules() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    RULES.get_or_init(|| {
        let files = rules!(
            "agent",
            "burst",
            "dotfile",
            "errors",
            "fan-out",
            "network",
            "parameter",
            "principal",
            "quote",
            "refused",
            "script"
        );
        RuleSet::load(files).unwrap_or_else(|errors| panic!("{errors}"))
    })
}

/// An owned request, to be put in any order.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) object: &'static str,
    pub(crate) offset: u64,
    pub(crate) client: Option<IpAddr>,
    pub(crate) epoch_ms: Option<i64>,
    pub(crate) path: &'static str,
    pub(crate) query: Option<&'static str>,
    pub(crate) agent: Option<&'static str>,
    pub(crate) status: u16,
    pub(crate) principal: Option<[u8; 1]>,
    pub(crate) waf_action: Option<WafAction>,
    pub(crate) waf_is_unknown: bool,
}

impl Sent {
    pub(crate) fn request(&self) -> Request<'_> {
        fn text(text: Option<&'static str>) -> Option<Untrusted<'static>> {
            text.map(|text| Untrusted::new(text.as_bytes()))
        }
        Request {
            time: self.epoch_ms.and_then(Timestamp::from_epoch_ms),
            client: self.client,
            method: text(Some("GET")),
            path: text(Some(self.path)),
            query: text(self.query),
            user_agent: text(self.agent),
            status: Some(self.status),
            principal: self.principal.as_ref().map(|name| Untrusted::new(name)),
            waf_action: self.waf_action,
            waf_is_unknown: self.waf_is_unknown,
            origin: Origin { object: self.object, offset: self.offset },
            ..Request::default()
        }
    }
}

pub(crate) fn observe(scan: &mut Scan<'_>, sent: &Sent) {
    scan.observe(&sent.request());
}

/// What the small set finds in the requests.
pub(crate) fn scanned(requests: &[Sent]) -> Findings {
    let mut scan = Scan::new(rules());
    for sent in requests {
        observe(&mut scan, sent);
    }
    scan.finish()
}

/// The rules compiled in.
pub(crate) fn builtin() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    RULES.get_or_init(RuleSet::builtin)
}

/// What a source's score must be.
pub(crate) fn parts(detections: &[Detection], correlations: &[Correlation]) -> u32 {
    let of_rules: u32 = detections.iter().map(|detection| detection.points).sum();
    of_rules + correlations.iter().map(|correlation| correlation.points()).sum::<u32>()
}

/// Has the scan see an object that was cut off.
pub(crate) fn see_object(scan: &mut Scan<'_>) {
    scan.object(&ObjectSeen {
        object: "c",
        format: Some("stock"),
        fields: [Field::Client, Field::Time].into_iter().collect(),
        records: 3,
        text_bytes: 300,
        incomplete: Some("cut off"),
        outside_span: 2,
        duplicates: 0,
    });
}
