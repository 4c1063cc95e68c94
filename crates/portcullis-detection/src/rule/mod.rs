//! Rules, and checked sets of them.
//!
//! A rule is data: one TOML file that says what it looks for, how sure it is, what it
//! cannot see, and proves itself with examples. A [`RuleSet`] exists only if every file
//! was understood whole: a rule that is skipped because of a typing error is a blind spot
//! nobody sees, so one error refuses the set, and all errors are told at once.
//!
//! How signatures are searched is in [`crate::signature`], how rates are counted in
//! [`crate::rate`].

mod builtin;
mod condition;
mod error;
mod example;
mod limit;
mod loose;
mod parse;
mod pattern;
mod rate;
mod reader;
mod required;
mod set;
mod signature;
mod spot;

use std::sync::Arc;

use portcullis_ingest::{Field, FieldSet};

pub use condition::{Conditions, StatusSet};
pub use error::{RuleError, RuleErrorKind, RuleErrors, did_you_mean};
pub use example::{Example, ExampleFailure, ExampleRequest, ExampleStep};
pub(crate) use pattern::Patterns;
pub use rate::{Measure, Rate};
pub use set::RuleSet;
pub use signature::{Literal, Place, Signature, Subject};
pub(crate) use spot::{Spot, write_caret};

use crate::level::{Category, Confidence, Severity, points};

/// One rule, checked.
#[derive(Debug)]
pub struct Rule {
    pub(crate) id: Arc<str>,
    pub(crate) title: Arc<str>,
    pub(crate) category: Category,
    pub(crate) severity: Severity,
    pub(crate) confidence: Confidence,
    pub(crate) references: Vec<String>,
    pub(crate) misses: String,
    pub(crate) runbook: Option<String>,
    pub(crate) kind: RuleKind,
    pub(crate) examples: Vec<Example>,
    pub(crate) file: String,
    pub(crate) source: String,
}

impl Rule {
    /// Permanent name, equal to the rule's path without `.toml`.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) const fn shared_id(&self) -> &Arc<str> {
        &self.id
    }

    /// What it finds, as a headline.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What it is about.
    pub const fn category(&self) -> Category {
        self.category
    }

    /// How bad it is if the rule is right.
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// How likely the rule is right when it fires.
    pub const fn confidence(&self) -> Confidence {
        self.confidence
    }

    /// What it adds to a score.
    pub const fn points(&self) -> u32 {
        points(self.severity, self.confidence)
    }

    /// Where to read more.
    pub fn references(&self) -> &[String] {
        &self.references
    }

    /// What the rule cannot see.
    pub fn misses(&self) -> &str {
        &self.misses
    }

    /// What an analyst checks next.
    pub fn runbook(&self) -> Option<&str> {
        self.runbook.as_deref()
    }

    /// What it looks for.
    pub const fn kind(&self) -> &RuleKind {
        &self.kind
    }

    /// Its proof.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// The file it was read from, as given to [`RuleSet::load`].
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The text of that file.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Fields of which a format must give at least one; empty when there is no choice.
    pub fn needs_any(&self) -> FieldSet {
        match &self.kind {
            RuleKind::Signature(signature) => {
                signature.subjects.iter().map(|subject| subject.field()).collect()
            }
            RuleKind::Rate(_) => FieldSet::EMPTY,
        }
    }

    /// Fields of which a format must give every one.
    pub fn needs_all(&self) -> FieldSet {
        match &self.kind {
            RuleKind::Signature(signature) => signature.conditions.needs(),
            RuleKind::Rate(rate) => {
                let mut fields = rate.conditions.needs();
                fields.insert(Field::Time);
                fields.insert(rate.by.field());
                if let Some(field) = rate.measure.field() {
                    fields.insert(field);
                }
                fields
            }
        }
    }

    /// The fields whose absence makes the rule blind with a format that gives `given`;
    /// empty when the rule can look.
    pub fn missing_fields(&self, given: FieldSet) -> FieldSet {
        let mut missing: FieldSet =
            self.needs_all().iter().filter(|field| !given.contains(*field)).collect();
        let any = self.needs_any();
        if !any.is_empty() && !any.iter().any(|field| given.contains(field)) {
            missing = missing.union(any);
        }
        missing
    }
}

/// What a rule looks for.
#[derive(Debug)]
pub enum RuleKind {
    /// Text in one request.
    Signature(Box<Signature>),
    /// Behaviour over time.
    Rate(Box<Rate>),
}

impl RuleKind {
    /// `signature` or `rate`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Signature(_) => "signature",
            Self::Rate(_) => "rate",
        }
    }
}

#[cfg(test)]
mod tests;
