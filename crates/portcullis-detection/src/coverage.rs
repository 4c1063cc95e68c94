//! What a scan looked at, and what it could not see.
//!
//! "No offender" means little without this: a format without a path, half an object or a
//! thousand unreadable records all make a quiet result. Nothing here judges; it counts,
//! in sums that do not depend on order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portcullis_ingest::{Field, FieldSet, ObjectReport, RejectReason};

use crate::memory::Forgotten;
use crate::rule::RuleSet;
use crate::state::{Reader, StateError, Writer};

/// What a scan saw. All numbers are sums over the scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Objects read, whole or in part.
    pub objects: u64,
    /// Objects that ended early or could not be read, by key, each with its reason. What
    /// was found in them is shown, and must never be the ground for a block.
    pub incomplete: BTreeMap<Arc<str>, String>,
    /// Records found in the objects, readable or not.
    pub records: u64,
    /// Requests looked at.
    pub requests: u64,
    /// Requests of which no client address is known: they count for no source.
    pub requests_without_client: u64,
    /// Of those, the ones with a score at or over the block level.
    pub flagged_without_client: u64,
    /// Requests of which no time is known: they count for no rate rule.
    pub requests_without_time: u64,
    /// Requests that AWS WAF blocked: counted, and held against nobody.
    pub requests_blocked_by_waf: u64,
    /// Objects with records whose format shows neither what AWS WAF decided nor the
    /// gateway's answer, so that requests that AWS WAF blocked cannot be told.
    pub objects_blind_to_blocks: u64,
    /// Fields that were not looked at in full: longer than [`crate::MAX_TEXT_BYTES`], a query
    /// of so many names or values that the last were searched together, or of a request that
    /// so many rules had fired on that no more were looked for.
    pub truncated_fields: u64,
    /// Records that could not be read, in the order of [`RejectReason::ALL`].
    pub rejects: [u64; RejectReason::ALL.len()],
    /// Of those, the ones whose raw text set off a signature. They are attributed to no
    /// address, because a forged record may name any.
    pub rejects_with_signatures: u64,
    /// Of those that could not be read, the ones that were not searched for signatures, because
    /// hardly anything of their object could be read; see [`portcullis_ingest::Reject`].
    pub rejects_not_searched: u64,
    /// Objects per log format; objects whose format was not recognised under `unknown`.
    pub formats: BTreeMap<String, u64>,
    /// Rules that could not look, by id.
    pub blind: BTreeMap<Arc<str>, BlindRule>,
    /// Bytes of text after decompression.
    pub text_bytes: u64,
    /// What was forgotten because memory was full; nothing, when all is exact.
    pub forgotten: Forgotten,
    /// Requests outside the span of time that was asked for, which were not looked at.
    pub requests_outside_span: u64,
    /// Records of requests that were delivered before, and do not count again.
    pub duplicates: u64,
    /// Sources that stand out and say to be crawlers, of whose hosts the names could not be
    /// found out. Known when a scan is finished.
    pub open_claims: u64,
}

/// A rule that could not look into some objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlindRule {
    /// Names of the fields it would need: any of them for a signature's texts, all of
    /// them otherwise.
    pub missing: BTreeSet<&'static str>,
    /// Objects whose format does not give them.
    pub objects: u64,
}

/// What reading one object gave, for [`crate::Scan::object`].
///
/// Requests and rejects are not in here: the scan counts them as it observes them.
#[derive(Debug, Clone, Copy)]
pub struct ObjectSeen<'a> {
    /// Key or path.
    pub object: &'a str,
    /// Name of its format; `None` when it was not recognised.
    pub format: Option<&'a str>,
    /// What the format gives.
    pub fields: FieldSet,
    /// Records in it, readable or not.
    pub records: u64,
    /// Bytes of text after decompression.
    pub text_bytes: u64,
    /// Requests of it that were passed over, because they are outside the span of time
    /// that was asked for.
    pub outside_span: u64,
    /// Records of it that are of requests that another record told of already.
    pub duplicates: u64,
    /// Why it is incomplete; `None` when it was read to its end.
    pub incomplete: Option<&'a str>,
}

impl<'a> ObjectSeen<'a> {
    /// What a report tells of an object, of which so many records are left out as twins of
    /// others.
    pub fn new(
        object: &'a str,
        report: &'a ObjectReport,
        duplicates: u64,
        incomplete: Option<&'a str>,
    ) -> Self {
        Self {
            object,
            format: report.format.as_deref().or((report.records == 0).then_some("empty")),
            fields: report.fields,
            records: report.records,
            text_bytes: report.text_bytes,
            outside_span: 0,
            duplicates,
            incomplete,
        }
    }
}

impl Coverage {
    /// Adds one object.
    pub(crate) fn add_object(&mut self, rules: &RuleSet, object: &ObjectSeen<'_>) {
        self.objects += 1;
        self.records += object.records;
        self.text_bytes += object.text_bytes;
        self.requests_outside_span += object.outside_span;
        self.duplicates += object.duplicates;
        if let Some(reason) = object.incomplete {
            self.add_incomplete(object.object.into(), reason.to_owned());
        }
        let format = object.format.unwrap_or("unknown");
        if let Some(objects) = self.formats.get_mut(format) {
            *objects += 1;
        } else {
            self.formats.insert(format.to_owned(), 1);
        }
        // An object without records or of unknown format says nothing of what a format
        // gives; its emptiness shows in `records` and its format in `formats`.
        if object.records == 0 || object.format.is_none() {
            return;
        }
        let shows_blocks = [Field::WafAction, Field::ErrorType]
            .into_iter()
            .any(|field| object.fields.contains(field));
        self.objects_blind_to_blocks += u64::from(!shows_blocks);
        for rule in rules.rules() {
            let missing = rule.missing_fields(object.fields);
            if !missing.is_empty() {
                let blind = self.blind.entry(Arc::clone(rule.shared_id())).or_default();
                blind.objects += 1;
                blind.missing.extend(missing.iter().map(Field::name));
            }
        }
    }

    /// Of two reasons for one key the smaller is kept, so that order does not matter.
    fn add_incomplete(&mut self, object: Arc<str>, reason: String) {
        match self.incomplete.entry(object) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(reason);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                if reason < *entry.get() {
                    entry.insert(reason);
                }
            }
        }
    }

    /// Adds what another scan saw.
    pub(crate) fn merge(&mut self, mut other: Self) {
        for (mine, theirs) in self.sums().zip(other.sums()) {
            *mine += *theirs;
        }
        self.forgotten.merge(std::mem::take(&mut other.forgotten));
        for (object, reason) in other.incomplete {
            self.add_incomplete(object, reason);
        }
        for (format, objects) in other.formats {
            *self.formats.entry(format).or_default() += objects;
        }
        for (rule, theirs) in other.blind {
            let mine = self.blind.entry(rule).or_default();
            mine.objects += theirs.objects;
            mine.missing.extend(theirs.missing);
        }
    }

    /// The numbers that are sums, in a fixed order. A field that is added must be named here.
    fn sums(&mut self) -> impl Iterator<Item = &mut u64> {
        let Self {
            objects,
            incomplete: _,
            records,
            requests,
            requests_without_client,
            flagged_without_client,
            requests_without_time,
            requests_blocked_by_waf,
            objects_blind_to_blocks,
            truncated_fields,
            rejects,
            rejects_with_signatures,
            rejects_not_searched,
            formats: _,
            forgotten: _,
            blind: _,
            text_bytes,
            requests_outside_span,
            duplicates,
            open_claims,
        } = self;
        let numbers = [
            objects,
            records,
            requests,
            requests_without_client,
            flagged_without_client,
            requests_without_time,
            requests_blocked_by_waf,
            objects_blind_to_blocks,
            truncated_fields,
            rejects_with_signatures,
            rejects_not_searched,
            text_bytes,
            requests_outside_span,
            duplicates,
            open_claims,
        ];
        numbers.into_iter().chain(rejects)
    }

    pub(crate) fn write(mut self, writer: &mut Writer) {
        for number in self.sums() {
            writer.number(*number);
        }
        self.forgotten.write(writer);
        writer.length(self.incomplete.len());
        for (object, reason) in &self.incomplete {
            writer.object(object);
            writer.bytes(reason.as_bytes());
        }
        writer.length(self.formats.len());
        for (format, objects) in &self.formats {
            writer.bytes(format.as_bytes());
            writer.number(*objects);
        }
        writer.length(self.blind.len());
        for (rule, blind) in &self.blind {
            writer.bytes(rule.as_bytes());
            writer.number(blind.objects);
            writer.length(blind.missing.len());
            for field in &blind.missing {
                writer.name(Some(field), Field::ALL.into_iter().map(Field::name));
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>, rules: &RuleSet) -> Result<Self, StateError> {
        let mut coverage = Self::default();
        for number in coverage.sums() {
            *number = reader.count()?;
        }
        coverage.forgotten = Forgotten::read(reader, rules)?;
        for _ in 0..reader.length()? {
            let object = reader.object()?;
            coverage.add_incomplete(object, reader.text()?.to_owned());
        }
        for _ in 0..reader.length()? {
            let format = reader.text()?.to_owned();
            coverage.formats.insert(format, reader.count()?);
        }
        for _ in 0..reader.length()? {
            let rule = rules.rule(reader.text()?).ok_or(StateError::Value("a rule"))?;
            let blind = coverage.blind.entry(Arc::clone(rule.shared_id())).or_default();
            blind.objects = reader.count()?;
            for _ in 0..reader.length()? {
                blind.missing.extend(reader.name(Field::ALL.into_iter().map(Field::name))?);
            }
        }
        Ok(coverage)
    }

    /// Records that could not be read, whatever the reason.
    pub fn rejected(&self) -> u64 {
        self.rejects.iter().sum()
    }
}
