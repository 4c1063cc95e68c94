//! Whether findings can stand for all that was listed.
//!
//! A scan of one process either ends or fails. One that was spread over machines can lose a
//! part and end all the same: a task counted twice, a partition that came back empty. Looking
//! at the objects alone does not show that, nor does looking at the sources alone. So both
//! are counted, by whoever read and by whoever decided, and the sums must agree before
//! anybody is blocked.
//!
//! What is in an object is taken as it was read; coverage tells what could not be seen.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use portcullis_ingest::source_network;

use crate::coverage::ObjectSeen;
use crate::document::source_name;
use crate::offender::Findings;

/// Most names that a disagreement lists.
const MOST_NAMES: usize = 5;

/// What reading one object came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditedObject {
    /// Key or path.
    pub object: Arc<str>,
    /// Name of its format; `None` when it was not recognised.
    pub format: Option<String>,
    /// Records in it, readable or not.
    pub records: u64,
    /// Requests of it that count.
    pub requests: u64,
    /// Records that could not be read.
    pub rejects: u64,
    /// Records that do not count, because another record told of the request already.
    pub duplicates: u64,
    /// Requests outside the span of time that was asked for.
    pub outside_span: u64,
    /// Bytes of text after decompression.
    pub text_bytes: u64,
    /// Why it is incomplete; `None` when it was read to its end.
    pub incomplete: Option<String>,
}

impl AuditedObject {
    /// What was read of an object, of which so many requests count and so many records were
    /// refused.
    pub fn new(seen: &ObjectSeen<'_>, requests: u64, rejects: u64) -> Self {
        Self {
            object: seen.object.into(),
            format: seen.format.map(str::to_owned),
            records: seen.records,
            requests,
            rejects,
            duplicates: seen.duplicates,
            outside_span: seen.outside_span,
            text_bytes: seen.text_bytes,
            incomplete: seen.incomplete.map(str::to_owned),
        }
    }
}

/// What findings are held against.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// How many objects were to be read.
    pub listed: u64,
    /// Requests of all sources together, of those that nothing speaks against too.
    pub requests_of_sources: u64,
    /// The objects that were read, by name.
    pub objects: Vec<AuditedObject>,
}

/// Why findings must not be acted on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// Nobody counted.
    #[error("the findings carry no audit of the objects")]
    NoAudit,
    /// Objects that were read more than once.
    #[error("read more than once: {0}")]
    ReadAgain(Names),
    /// Another number of objects was read than was listed.
    #[error("{listed} objects were listed, {audited} were read")]
    Objects {
        /// How many were listed.
        listed: u64,
        /// How many were read.
        audited: u64,
    },
    /// Two sums of one thing.
    #[error("{what}: {here} {}, {there} {}", .by[0], .by[1])]
    Sums {
        /// What was counted.
        what: &'static str,
        /// The first sum.
        here: u64,
        /// The second.
        there: u64,
        /// By whom each was counted.
        by: [&'static str; 2],
    },
    /// Sources that are found more than once.
    #[error("found more than once: {0}")]
    FoundAgain(Names),
    /// Rules that are found more than once of one source.
    #[error("of one source found more than once: {0}")]
    RuleAgain(Names),
    /// What is no source: neither an IPv4 address nor the /64 of IPv6 addresses.
    #[error("no source: {0}")]
    NoSource(Names),
    /// Objects that are incomplete in one place and not in the other.
    #[error("incomplete in the audit or in the coverage, and not in both: {0}")]
    Incomplete(Names),
}

/// Some names, and how many more there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The first of them, in order.
    pub first: Vec<String>,
    /// How many others there are.
    pub more: usize,
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first.join(", "))?;
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        Ok(())
    }
}

impl Names {
    /// `None` when there are none.
    fn of(names: BTreeSet<String>) -> Option<Self> {
        let more = names.len().saturating_sub(MOST_NAMES);
        let first: Vec<String> = names.into_iter().take(MOST_NAMES).collect();
        (!first.is_empty()).then_some(Self { first, more })
    }
}

/// What stands more than once.
fn again<T: Ord>(
    things: impl IntoIterator<Item = T>,
    name: impl Fn(&T) -> String,
) -> Option<Names> {
    let mut seen = BTreeSet::new();
    let mut again = BTreeSet::new();
    for thing in things {
        if seen.contains(&thing) {
            again.insert(name(&thing));
        } else {
            seen.insert(thing);
        }
    }
    Names::of(again)
}

impl Findings {
    /// The same findings, to be held against what was read of so many listed objects. What was
    /// read of incomplete ones must be set aside.
    #[must_use]
    pub fn with_audit(self, listed: u64, mut objects: Vec<AuditedObject>) -> Self {
        objects.sort();
        let requests_of_sources = self.requests_of_sources;
        let audit = Audit { listed, requests_of_sources, objects };
        Self { audit: Some(audit), ..self }
    }

    /// Adds the offenders that only objects which ended early speak against, so that a plan
    /// can say why it leaves them alone; and what was read of those objects.
    pub fn add_set_aside(&mut self, set_aside: Self) {
        let known: HashSet<IpNet> =
            self.offenders.iter().chain(&self.watched).map(|offender| offender.source).collect();
        let unknown = set_aside.offenders.into_iter();
        self.offenders.extend(unknown.filter(|offender| !known.contains(&offender.source)));
        self.requests_of_sources += set_aside.requests_of_sources;
        let (coverage, read) = (&mut self.coverage, set_aside.coverage);
        coverage.requests += read.requests;
        coverage.requests_without_client += read.requests_without_client;
        coverage.forgotten.merge(read.forgotten);
        for (sum, count) in coverage.rejects.iter_mut().zip(read.rejects) {
            *sum += count;
        }
    }

    /// Holds the findings against their audit: every listed object read once, what objects
    /// gave equal to what sources came to, and each source and rule found once.
    ///
    /// # Errors
    /// With everything that differs; nothing may be planned on the findings then.
    pub fn accept(&self) -> Result<(), Vec<Disagreement>> {
        let Some(audit) = &self.audit else {
            return Err(vec![Disagreement::NoAudit]);
        };
        let (objects, coverage) = (&audit.objects, &self.coverage);
        let mut wrong = Vec::new();
        let names = objects.iter().map(|object| &object.object);
        wrong.extend(again(names, |name| format!("`{name}`")).map(Disagreement::ReadAgain));
        let audited = objects.len() as u64;
        if audit.listed != audited {
            wrong.push(Disagreement::Objects { listed: audit.listed, audited });
        }
        let mut agree = |what, here: u64, there: u64, by| {
            if here != there {
                wrong.push(Disagreement::Sums { what, here, there, by });
            }
        };
        let sum =
            |of: fn(&AuditedObject) -> u64| objects.iter().map(of).fold(0, u64::saturating_add);
        let totals = ["by the objects", "in the coverage"];
        agree("objects", audited, coverage.objects, totals);
        agree("requests", sum(|object| object.requests), coverage.requests, totals);
        agree("records", sum(|object| object.records), coverage.records, totals);
        agree("rejects", sum(|object| object.rejects), coverage.rejected(), totals);
        agree("duplicates", sum(|object| object.duplicates), coverage.duplicates, totals);
        let of_nobody =
            coverage.requests_without_client.saturating_add(coverage.forgotten.requests);
        let of_sources = audit.requests_of_sources.saturating_add(of_nobody);
        let by = ["by the objects", "by the sources"];
        agree("requests", sum(|object| object.requests), of_sources, by);
        wrong.extend(self.found_again(audit));
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn found_again(&self, audit: &Audit) -> Vec<Disagreement> {
        let mut wrong = Vec::new();
        let sources = || self.offenders.iter().chain(&self.watched);
        let source = |source: &IpNet| source_name(*source);
        wrong.extend(
            again(sources().map(|offender| offender.source), source).map(Disagreement::FoundAgain),
        );
        let rules = sources().flat_map(|offender| {
            offender.detections.iter().map(|detection| (offender.source, &detection.rule))
        });
        let name = |(of, rule): &(IpNet, &Arc<str>)| format!("{rule} of {}", source(of));
        wrong.extend(again(rules, name).map(Disagreement::RuleAgain));
        let no_source = sources().map(|offender| offender.source);
        let no_source = no_source.filter(|source| source_network(source.addr()) != *source);
        wrong.extend(
            Names::of(no_source.map(|of| source(&of)).collect()).map(Disagreement::NoSource),
        );
        let in_audit = audit.objects.iter().filter_map(|object| {
            object.incomplete.as_ref().map(|reason| (&*object.object, reason.as_str()))
        });
        let in_audit: BTreeSet<(&str, &str)> = in_audit.collect();
        let in_coverage = &self.coverage.incomplete;
        let in_coverage = in_coverage.iter().map(|(object, reason)| (&**object, reason.as_str()));
        let in_coverage: BTreeSet<(&str, &str)> = in_coverage.collect();
        let quoted = |(object, _): &(&str, &str)| format!("`{object}`");
        let differ = in_audit.symmetric_difference(&in_coverage).map(quoted).collect();
        wrong.extend(Names::of(differ).map(Disagreement::Incomplete));
        wrong
    }
}
