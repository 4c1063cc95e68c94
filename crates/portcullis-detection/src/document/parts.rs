//! Findings in pieces, as they come from many machines.
//!
//! Each piece is one thing that was found, in the shape that the document gives it, with
//! its kind beside it. Pieces may come in any order: what they are put together to is
//! sorted as one machine would have.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::SCHEMA_VERSION;
use super::json::{Object, Secrets};
use super::read::{
    AuditedJson, CoverageJson, DocumentError, ForgeryJson, OffenderJson, SuspectJson, TrafficJson,
    read_traffic, wrong,
};
use super::write;
use crate::audit::AuditedObject;
use crate::level::named;
use crate::offender::Findings;
use crate::traffic::Traffic;

named! {
    /// What a piece is.
    PartKind {
        /// What all others belong to, where they were taken apart to be kept.
        Findings = "findings",
        /// What was read of one object.
        Audited = "audited",
        /// What was looked at, by one who decided, and what the sources came to.
        Coverage = "coverage",
        /// A source to act on.
        Offender = "offender",
        /// A source that is watched.
        Watched = "watched",
        /// What else rates fired on.
        Suspect = "suspect",
        /// Records that somebody seems to have written into.
        Forgery = "forgery",
        /// What one source did well.
        Traffic = "traffic",
    }
}

/// One piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// Whether it is of incomplete objects alone, which are set aside.
    pub set_aside: bool,
    /// A JSON object.
    pub text: String,
}

/// Takes findings apart that a plan may stand on, to be kept as rows of a table: an
/// [`Assembly`] puts them together to the same. `None` when none may: they have no audit, or
/// do not tell what sources did well.
pub fn keep_parts(findings: &Findings, secrets: Secrets) -> Option<Vec<Part>> {
    let (audit, _) = findings.audit.as_ref().zip(findings.traffic.as_ref())?;
    let listed = audit.listed;
    let text = format!("{{\"schema_version\":{SCHEMA_VERSION},\"listed\":{listed}}}");
    let mut all = vec![Part { kind: PartKind::Findings, set_aside: false, text }];
    all.extend(parts(findings, false, secrets));
    Some(all)
}

/// Takes findings apart. Of an audit only its objects are told.
pub(crate) fn parts(findings: &Findings, set_aside: bool, secrets: Secrets) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut add = |kind, write: &dyn Fn(&mut Object<'_>)| {
        let mut text = Vec::new();
        let mut object = Object::open(&mut text, secrets);
        write(&mut object);
        object.close();
        let text = String::from_utf8(text).expect("the encoder writes UTF-8");
        parts.push(Part { kind, set_aside, text });
    };
    add(PartKind::Coverage, &|object| {
        object.number("requests_of_sources", findings.requests_of_sources);
        object.object("coverage", |object| write::coverage(object, &findings.coverage, None));
    });
    for offender in &findings.offenders {
        add(PartKind::Offender, &|object| write::offender(object, offender));
    }
    for offender in &findings.watched {
        add(PartKind::Watched, &|object| write::offender(object, offender));
    }
    for suspect in &findings.suspects {
        add(PartKind::Suspect, &|object| write::suspect(object, suspect));
    }
    for forgery in &findings.forgeries {
        add(PartKind::Forgery, &|object| write::forgery(object, forgery));
    }
    for of in findings.traffic.iter().flat_map(Traffic::sources) {
        add(PartKind::Traffic, &|object| write::traffic(object, of));
    }
    for audited in findings.audit.iter().flat_map(|audit| &audit.objects) {
        add(PartKind::Audited, &|object| write::audited(object, audited));
    }
    parts
}

/// Findings that are put together of pieces.
#[derive(Debug, Default)]
pub struct Assembly {
    whole: Findings,
    set_aside: Findings,
    traffic: Traffic,
    audited: Vec<AuditedObject>,
    incomplete_set_aside: bool,
    /// Of parts that were kept.
    listed: Option<u64>,
}

impl Assembly {
    /// Of findings in which incomplete objects speak against nobody, or do.
    pub fn new(incomplete_set_aside: bool) -> Self {
        Self { incomplete_set_aside, ..Self::default() }
    }

    /// Takes a piece in.
    ///
    /// # Errors
    /// When it is none of that kind.
    pub fn push(&mut self, kind: &str, set_aside: bool, text: &str) -> Result<(), DocumentError> {
        #[derive(Deserialize)]
        struct Head {
            schema_version: u64,
            listed: u64,
        }
        #[derive(Deserialize)]
        struct Decided {
            requests_of_sources: u64,
            coverage: CoverageJson,
        }
        let kind = PartKind::from_name(kind).ok_or_else(|| wrong(kind, "kind", "the parts"))?;
        let of = if set_aside { &mut self.set_aside } else { &mut self.whole };
        match kind {
            PartKind::Findings => {
                let Head { schema_version, listed } = read(text)?;
                if schema_version != u64::from(SCHEMA_VERSION) {
                    return Err(DocumentError::Version(schema_version));
                }
                if self.listed.replace(listed).is_some() {
                    return Err(DocumentError::Heads("two"));
                }
            }
            PartKind::Audited => self.audited.push(read::<AuditedJson>(text)?.read()),
            PartKind::Coverage => {
                let Decided { requests_of_sources, coverage } = read(text)?;
                of.requests_of_sources += requests_of_sources;
                of.coverage.merge(coverage.read()?);
            }
            PartKind::Offender => of.offenders.push(read::<OffenderJson>(text)?.read()?),
            PartKind::Watched => of.watched.push(read::<OffenderJson>(text)?.read()?),
            PartKind::Suspect => of.suspects.push(read::<SuspectJson>(text)?.read()?),
            PartKind::Forgery => of.forgeries.push(read::<ForgeryJson>(text)?.read()?),
            PartKind::Traffic => {
                self.traffic.merge(read_traffic(vec![read::<TrafficJson>(text)?])?);
            }
        }
        Ok(())
    }

    /// The findings with their audit, when so many objects were listed.
    pub fn finish(mut self, listed: u64) -> Findings {
        self.whole.sort();
        self.set_aside.sort();
        let mut findings = self.whole;
        if self.incomplete_set_aside {
            findings.add_set_aside(self.set_aside);
            findings.traffic = Some(self.traffic);
        }
        self.audited.sort();
        findings.with_audit(listed, self.audited)
    }

    /// The findings that [`keep_parts`] took apart, in the order in which their parts came.
    ///
    /// # Errors
    /// When the part is missing that all others belong to.
    pub fn kept(self) -> Result<Findings, DocumentError> {
        let listed = self.listed.ok_or(DocumentError::Heads("no"))?;
        let findings = Findings { traffic: Some(self.traffic), ..self.whole };
        Ok(findings.with_audit(listed, self.audited))
    }

    /// Objects of the listing that nobody read or that were read more than once, and objects
    /// that were read and not listed.
    pub fn unlike<'l>(&self, listed: impl Iterator<Item = &'l str>) -> Vec<String> {
        let mut times: BTreeMap<&str, i64> = listed.map(|name| (name, 1)).collect();
        for audited in &self.audited {
            *times.entry(&audited.object).or_default() -= 1;
        }
        times.into_iter().filter(|(_, left)| *left != 0).map(|(name, _)| name.to_owned()).collect()
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, DocumentError> {
    Ok(serde_json::from_str(text)?)
}
