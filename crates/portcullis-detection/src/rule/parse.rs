//! Reads rule files: TOML text to checked [`Rule`]s, or every error with its place.
//!
//! The table is walked by hand instead of deserialised, because a derived reader stops at
//! the first error and cannot say what the key should have been called. Rates are read in `rate`, examples in
//! `proof`.

mod proof;
mod rate;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::error::{RuleError, RuleErrorKind, RuleErrors};
use super::reader::{Reader, Table};
use super::{Conditions, Literal, Patterns, Place, Rule, RuleKind, Signature, StatusSet, Subject};
use crate::level::{Category, Confidence, Severity};
use crate::tokens::{Tokens, Whole};
use crate::view::View;

const RULE_KEYS: &[&str] = &[
    "id",
    "title",
    "category",
    "severity",
    "confidence",
    "references",
    "misses",
    "runbook",
    "signature",
    "rate",
    "example",
];
const SIGNATURE_KEYS: &[&str] = &[
    "fields",
    "views",
    "contains",
    "words",
    "segments",
    "endings",
    "starts",
    "regex",
    "unless",
    "unless_whole",
    "tokens",
    "methods",
    "statuses",
    "session_parameters",
];

/// Most bytes that a rule may ask for: a pebibyte.
const MOST_BYTES: i64 = 1 << 50;

/// Reads all files; the rules come sorted by id.
pub(super) fn rules(
    files: impl IntoIterator<Item = (String, String)>,
) -> Result<Vec<Rule>, RuleErrors> {
    let (rules, errors) = sound_rules(files);
    if errors.is_empty() { Ok(rules) } else { Err(RuleErrors(errors)) }
}

/// The rules of the files without an error, sorted by id, and the errors of the others.
pub(super) fn sound_rules(
    files: impl IntoIterator<Item = (String, String)>,
) -> (Vec<Rule>, Vec<RuleError>) {
    read(files, true)
}

/// Rules that a test has read before; see [`Patterns::known_to_compile`].
pub(super) fn tested_rules(
    files: impl IntoIterator<Item = (String, String)>,
) -> Result<Vec<Rule>, RuleErrors> {
    let (rules, errors) = read(files, false);
    if errors.is_empty() { Ok(rules) } else { Err(RuleErrors(errors)) }
}

fn read(
    files: impl IntoIterator<Item = (String, String)>,
    compiles: bool,
) -> (Vec<Rule>, Vec<RuleError>) {
    let mut files: Vec<(String, String)> = files.into_iter().collect();
    files.sort();
    let mut rules = Vec::new();
    let mut errors = Vec::new();
    let mut seen: BTreeMap<Arc<str>, String> = BTreeMap::new();
    for (file, text) in files {
        let mut reader = Reader { file: &file, text: &text, errors: Vec::new(), compiles };
        let rule = reader.rule(&mut seen);
        if reader.errors.is_empty()
            && let Some(rule) = rule
        {
            rules.push(rule);
        }
        reader.errors.sort_by_key(|error| (error.line, error.column));
        errors.append(&mut reader.errors);
    }
    rules.sort_by(|a, b| a.id.cmp(&b.id));
    (rules, errors)
}

impl<'t> Reader<'t> {
    fn rule(&mut self, seen: &mut BTreeMap<Arc<str>, String>) -> Option<Rule> {
        let (document, syntax) = DeTable::parse_recoverable(self.text);
        if !syntax.is_empty() {
            for error in syntax {
                let span = error.span().unwrap_or(0..0);
                self.error(span, RuleErrorKind::Syntax(error.message().to_owned()));
            }
            return None;
        }
        let table = document.get_ref();
        self.known_keys(table, RULE_KEYS, "a rule");
        let top = 0..0;
        let id = self.required_text(table, "id", "a rule", &top);
        let title = self.required_text(table, "title", "a rule", &top);
        let category = self.required_name(table, "category", "a rule", &top, Category::ALL);
        let severity = self.required_name(table, "severity", "a rule", &top, Severity::ALL);
        let confidence = self.required_name(table, "confidence", "a rule", &top, Confidence::ALL);
        let misses = self.required_text(table, "misses", "a rule", &top);
        let runbook = self.optional_text(table, "runbook");
        let references = self.texts(table, "references");
        if let Some((id, span)) = &id {
            self.check_id(id, span.clone(), seen);
        }
        let kind = self.kind(table);
        // A rate with a mistake in it still has the examples of a rate.
        let is_rate = table.contains_key("rate") && !table.contains_key("signature");
        let examples = self.examples(table, is_rate);
        Some(Rule {
            id: id?.0.into(),
            title: title?.0.into(),
            category: category?,
            severity: severity?,
            confidence: confidence?,
            references: references.into_iter().map(|(text, _)| text).collect(),
            misses: misses?.0,
            runbook,
            kind: kind?,
            examples,
            file: self.file.to_owned(),
            source: self.text.to_owned(),
        })
    }

    fn check_id(&mut self, id: &str, span: Range<usize>, seen: &mut BTreeMap<Arc<str>, String>) {
        let path = self.file.replace('\\', "/");
        let inside = path.strip_suffix(".toml").and_then(|path| path.strip_suffix(id));
        if !id.contains('/') || !inside.is_some_and(|rest| rest.is_empty() || rest.ends_with('/')) {
            let kind = RuleErrorKind::IdIsNotThePath { id: id.to_owned(), file: path };
            self.error(span, kind);
        } else if let Some(first) = seen.get(id) {
            let kind = RuleErrorKind::DuplicateId { id: id.to_owned(), first: first.clone() };
            self.error(span, kind);
        } else {
            seen.insert(id.into(), self.file.to_owned());
        }
    }

    fn kind(&mut self, table: &Table<'t>) -> Option<RuleKind> {
        match (table.get_key_value("signature"), table.get_key_value("rate")) {
            (Some((key, value)), None) => {
                let body = self.table(value, "signature")?;
                Some(RuleKind::Signature(Box::new(self.signature(body, &key.span()))))
            }
            (None, Some((key, value))) => {
                let body = self.table(value, "rate")?;
                self.rate(body, &key.span()).map(|rate| RuleKind::Rate(Box::new(rate)))
            }
            (_, rate) => {
                let span = rate.map_or(0..0, |(key, _)| key.span());
                self.error(span, RuleErrorKind::NotOneKind);
                None
            }
        }
    }

    fn signature(&mut self, table: &Table<'t>, at: &Range<usize>) -> Signature {
        const HERE: &str = "[signature]";
        self.known_keys(table, SIGNATURE_KEYS, HERE);
        let subjects = self.names(table, "fields", "field", Subject::ALL);
        if !table.contains_key("fields") {
            self.error(at.clone(), RuleErrorKind::MissingKey { key: "fields", table: HERE });
        }
        let mut views = self.names(table, "views", "view", View::ALL);
        if views.is_empty() {
            views.push(View::Decoded);
        }
        let tokens = self.optional_name(table, "tokens", "tokeniser", Tokens::ALL);
        let literals = self.literals(table, &subjects, &views);
        if literals.is_empty()
            && tokens.is_none()
            && !Place::ALL.iter().any(|place| table.contains_key(place.name()))
        {
            self.error(at.clone(), RuleErrorKind::NoCandidate);
        }
        Signature {
            subjects,
            views,
            literals,
            patterns: self.patterns(table, "regex"),
            unless: self.patterns(table, "unless"),
            unless_whole: self.optional_name(table, "unless_whole", "form", Whole::ALL),
            tokens,
            conditions: self.conditions(table),
        }
    }

    fn literals(
        &mut self,
        table: &Table<'t>,
        subjects: &[Subject],
        views: &[View],
    ) -> Vec<Literal> {
        let only_raw = views.iter().all(|view| *view == View::Raw);
        let only_paths = subjects.iter().all(|subject| *subject == Subject::Path)
            || views.iter().all(|view| *view == View::Path);
        let mut literals = Vec::new();
        for place in Place::ALL {
            let key = place.name();
            if *place == Place::Segment
                && !only_paths
                && let Some((key, _)) = table.get_key_value(key)
            {
                self.error(key.span(), RuleErrorKind::SegmentsOutsidePath);
            }
            for (text, span) in self.texts(table, key) {
                if !only_raw && text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    self.error(span, RuleErrorKind::UpperCaseLiteral(text));
                } else {
                    literals.push(Literal { text, place: *place });
                }
            }
        }
        literals.sort();
        literals.dedup();
        literals
    }

    fn patterns(&mut self, table: &Table<'t>, key: &'static str) -> Patterns {
        let (texts, spans): (Vec<String>, Vec<Range<usize>>) =
            self.texts(table, key).into_iter().unzip();
        if !self.compiles {
            return Patterns::known_to_compile(texts);
        }
        Patterns::new(texts).unwrap_or_else(|broken| {
            for (place, reason) in broken {
                self.error(spans[place].clone(), RuleErrorKind::BadRegex(reason));
            }
            Patterns::default()
        })
    }

    fn conditions(&mut self, table: &Table<'t>) -> Conditions {
        let mut texts = |key| self.texts(table, key).into_iter().map(|(text, _)| text).collect();
        let methods = texts("methods");
        let error_types = texts("error_types");
        let not_error_types = texts("not_error_types");
        let session_parameters = texts("session_parameters");
        let statuses = self.statuses(table);
        Conditions { statuses, methods, error_types, not_error_types, session_parameters }
    }

    /// Included codes and classes together, less the excluded; only excluded ones are taken
    /// from all.
    fn statuses(&mut self, table: &Table<'t>) -> Option<StatusSet> {
        let values = self.array(table, "statuses")?;
        let mut included = Vec::new();
        let mut excluded = Vec::new();
        for value in values {
            let text = match value.get_ref() {
                DeValue::Integer(number) => number.to_string(),
                DeValue::String(text) => text.to_string(),
                other => {
                    let found = other.type_str();
                    self.wrong_type(value.span(), "statuses", "codes or classes", found);
                    continue;
                }
            };
            let (list, codes) = match text.strip_prefix('!') {
                Some(rest) => (&mut excluded, rest),
                None => (&mut included, text.as_str()),
            };
            match status_codes(codes) {
                Some(codes) => list.push(codes),
                None => self.error(value.span(), RuleErrorKind::BadStatus(text)),
            }
        }
        let mut set = if included.is_empty() { StatusSet::ALL } else { StatusSet::EMPTY };
        for codes in included {
            set.set(codes, true);
        }
        for codes in excluded {
            set.set(codes, false);
        }
        Some(set)
    }
}

/// `404` or `4xx`.
fn status_codes(text: &str) -> Option<std::ops::RangeInclusive<u16>> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    match *text.as_bytes() {
        [class, b'x', b'x'] => {
            let first = digit(class).filter(|class| (1..=5).contains(class))? * 100;
            Some(first..=first + 99)
        }
        [a, b, c] => {
            let code = digit(a)? * 100 + digit(b)? * 10 + digit(c)?;
            (code >= 100).then_some(code..=code)
        }
        _ => None,
    }
}

/// A whole number with a unit, in milliseconds.
fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
