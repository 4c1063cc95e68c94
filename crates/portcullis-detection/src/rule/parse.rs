//! Reads rule files: TOML text to checked [`Rule`]s, or every error with its place.
//!
//! The table is walked by hand instead of deserialised, because a derived reader stops at
//! the first error and cannot say what the key should have been called.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use portcullis_ingest::WafAction;
use toml::de::{DeTable, DeValue};

use super::error::{RuleError, RuleErrorKind, RuleErrors};
use super::example::{Example, ExampleRequest, ExampleStep};
use super::reader::{Reader, Table, Value};
use super::{
    Conditions, Literal, Measure, Patterns, Place, Rate, Rule, RuleKind, Signature, StatusSet,
    Subject,
};
use crate::level::{Category, Confidence, Severity};
use crate::rate::Key;
use crate::tokens::Tokens;
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
    "fields", "views", "contains", "words", "segments", "endings", "starts", "regex", "unless",
    "tokens", "methods", "statuses",
];
const RATE_KEYS: &[&str] = &["by", "measure", "threshold", "minimum", "window", "quiet", "where"];
const WHERE_KEYS: &[&str] = &["statuses", "error_types", "not_error_types", "methods"];
const EXAMPLE_KEYS: &[&str] = &["name", "request", "requests", "fires", "generated"];
const STEP_KEYS: &[&str] = &["repeat", "every", "request"];
const REQUEST_KEYS: &[&str] = &[
    "method",
    "path",
    "query",
    "user_agent",
    "referer",
    "host",
    "headers",
    "status",
    "error_type",
    "waf_action",
    "client",
    "route",
    "api_key_id",
    "principal",
    "response_bytes",
];

/// Most bytes that a rule may ask for: a pebibyte.
const MOST_BYTES: i64 = 1 << 50;

/// Longest window, in seconds: 31 days. Panes of longer ones would outlive their use.
const LONGEST_WINDOW_SECONDS: u64 = 31 * 86_400;

/// Most requests in one example: enough for any threshold a test should need.
const MOST_REPEATS: i64 = 100_000;

/// Examples of each kind that a rule needs.
const LEAST_EXAMPLES: usize = 2;

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
        let examples = self.examples(table, matches!(kind, Some(RuleKind::Rate(_))));
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
        Conditions { statuses: self.statuses(table), methods, error_types, not_error_types }
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

    fn rate(&mut self, table: &Table<'t>, at: &Range<usize>) -> Option<Rate> {
        const HERE: &str = "[rate]";
        self.known_keys(table, RATE_KEYS, HERE);
        let by = match self.required_text(table, "by", HERE, at) {
            Some((name, span)) => self.named("key", name, span, Key::ALL),
            None => None,
        };
        let measure = self.required_name(table, "measure", HERE, at, Measure::ALL);
        if let (Some(by), Some(measure)) = (by, measure)
            && by != Key::Client
            && measure.field() == Some(by.field())
            && let Some(value) = table.get("measure")
        {
            let kind = RuleErrorKind::MeasuresItsKey { measure: measure.name(), by: by.name() };
            self.error(value.span(), kind);
        }
        let most = match measure {
            Some(Measure::ErrorShare) => 100,
            Some(Measure::Bytes) => MOST_BYTES,
            _ => 1_000_000_000,
        };
        if !table.contains_key("threshold") {
            self.error(at.clone(), RuleErrorKind::MissingKey { key: "threshold", table: HERE });
        }
        let threshold = self.integer(table, "threshold", 1, most);
        let minimum = self.integer(table, "minimum", 1, 1_000_000_000);
        match (measure, table.get_key_value("minimum")) {
            (Some(Measure::ErrorShare), None) => {
                self.error(at.clone(), RuleErrorKind::MissingKey { key: "minimum", table: HERE });
            }
            (Some(measure), Some((key, _))) if measure != Measure::ErrorShare => {
                let kind = RuleErrorKind::UnknownKey {
                    key: "minimum".to_owned(),
                    table: "a [rate] that is no error-share",
                    expected: &["by", "measure", "threshold", "window", "quiet", "where"],
                };
                self.error(key.span(), kind);
            }
            _ => {}
        }
        let window_seconds = match self.required_text(table, "window", HERE, at) {
            Some((text, span)) => self.seconds("window", text, span),
            None => None,
        };
        let quiet_seconds = match self.text(table, "quiet") {
            Some((text, span)) => self.seconds("quiet", text, span),
            None => window_seconds,
        };
        let mut conditions = match table.get("where") {
            Some(value) => {
                let body = self.table(value, "where")?;
                self.known_keys(body, WHERE_KEYS, "[rate.where]");
                self.conditions(body)
            }
            None => Conditions::default(),
        };
        if measure == Some(Measure::ErrorShare) {
            conditions.statuses.get_or_insert_with(StatusSet::errors);
        }
        Some(Rate {
            by: by?,
            measure: measure?,
            threshold: threshold?,
            minimum: minimum.map_or(Some(1), |minimum| u32::try_from(minimum).ok())?,
            window_seconds: window_seconds?,
            quiet_seconds: quiet_seconds?,
            conditions,
        })
    }

    fn seconds(&mut self, key: &'static str, text: String, span: Range<usize>) -> Option<u32> {
        let seconds = duration_ms(&text)
            .filter(|ms| ms % 1_000 == 0)
            .map(|ms| ms / 1_000)
            .filter(|seconds| (1..=LONGEST_WINDOW_SECONDS).contains(seconds));
        if seconds.is_none() {
            let expected = "whole seconds from \"1s\" to \"31d\", as a number with s, m, h or d";
            self.error(span, RuleErrorKind::BadDuration { key, text, expected });
        }
        seconds.and_then(|seconds| u32::try_from(seconds).ok())
    }

    fn examples(&mut self, table: &Table<'t>, of_rate: bool) -> Vec<Example> {
        let mut examples: Vec<Example> = Vec::new();
        let mut names = HashSet::new();
        let mut broken = false;
        if let Some(values) = self.array(table, "example") {
            for value in values {
                let before = self.errors.len();
                let example = self.example(value, of_rate);
                broken |= self.errors.len() > before;
                let Some(example) = example else { continue };
                if !names.insert(example.name.clone()) {
                    let first = "another example of this rule".to_owned();
                    let kind = RuleErrorKind::DuplicateId { id: example.name.clone(), first };
                    self.error(value.span(), kind);
                }
                examples.push(example);
            }
        }
        let fire = examples.iter().filter(|example| example.fires).count();
        let quiet = examples.len() - fire;
        if !broken && (fire < LEAST_EXAMPLES || quiet < LEAST_EXAMPLES) {
            self.error(0..0, RuleErrorKind::TooFewExamples { fire, quiet });
        }
        examples
    }

    fn example(&mut self, value: &Value<'t>, of_rate: bool) -> Option<Example> {
        const HERE: &str = "[[example]]";
        let table = self.table(value, "example")?;
        let at = value.span();
        self.known_keys(table, EXAMPLE_KEYS, HERE);
        let name = self.required_text(table, "name", HERE, &at);
        if !table.contains_key("fires") {
            self.error(at.clone(), RuleErrorKind::MissingKey { key: "fires", table: HERE });
        }
        let fires = self.boolean(table, "fires");
        let generated = self.boolean(table, "generated").unwrap_or(false);
        let key = if of_rate { "requests" } else { "request" };
        let other = if of_rate { "request" } else { "requests" };
        if let Some((found, _)) = table.get_key_value(other) {
            let kind = RuleErrorKind::UnknownKey {
                key: other.to_owned(),
                table: if of_rate { "an example of a rate" } else { "an example of a signature" },
                expected: if of_rate { &["requests"] } else { &["request"] },
            };
            self.error(found.span(), kind);
        }
        if !table.contains_key(key) {
            self.error(at, RuleErrorKind::MissingKey { key, table: HERE });
        }
        let steps = if of_rate {
            let values = self.array(table, key)?;
            values.iter().filter_map(|value| self.step(value)).collect()
        } else {
            let request = self.request(table.get(key)?)?;
            vec![ExampleStep { repeat: 1, every_ms: 0, request }]
        };
        Some(Example { name: name?.0, steps, fires: fires?, generated })
    }

    fn step(&mut self, value: &Value<'t>) -> Option<ExampleStep> {
        const HERE: &str = "a step of an example";
        let table = self.table(value, "requests")?;
        self.known_keys(table, STEP_KEYS, HERE);
        let repeat = if table.contains_key("repeat") {
            u32::try_from(self.integer(table, "repeat", 1, MOST_REPEATS)?).ok()?
        } else {
            1
        };
        let every_ms = match self.text(table, "every") {
            Some((text, span)) => {
                let ms = duration_ms(&text).and_then(|ms| u32::try_from(ms).ok());
                if ms.is_none() {
                    let expected = "a number with ms, s, m, h or d";
                    self.error(span, RuleErrorKind::BadDuration { key: "every", text, expected });
                }
                ms?
            }
            None => 0,
        };
        let Some(request) = table.get("request") else {
            self.error(value.span(), RuleErrorKind::MissingKey { key: "request", table: HERE });
            return None;
        };
        Some(ExampleStep { repeat, every_ms, request: self.request(request)? })
    }

    fn request(&mut self, value: &Value<'t>) -> Option<ExampleRequest> {
        let table = self.table(value, "request")?;
        self.known_keys(table, REQUEST_KEYS, "an example's request");
        let waf_action = match self.text(table, "waf_action") {
            Some((name, span)) => {
                let all =
                    [WafAction::Allow, WafAction::Block, WafAction::Captcha, WafAction::Challenge];
                let action = all.into_iter().find(|action| action.name() == name);
                if action.is_none() {
                    let expected = all.iter().map(|action| action.name()).collect();
                    let what = "WAF action";
                    self.error(span, RuleErrorKind::UnknownName { what, name, expected });
                }
                action
            }
            None => None,
        };
        let status = self.integer(table, "status", 100, 999);
        let response_bytes = self.integer(table, "response_bytes", 0, MOST_BYTES);
        let client = self.text(table, "client");
        if let Some((text, span)) = &client
            && ExampleRequest::address(text, 0).is_none()
        {
            self.error(span.clone(), RuleErrorKind::BadAddress(text.clone()));
        }
        let mut text = |key| self.text(table, key).map(|(text, _)| text);
        Some(ExampleRequest {
            method: text("method"),
            path: text("path"),
            query: text("query"),
            user_agent: text("user_agent"),
            referer: text("referer"),
            host: text("host"),
            headers: text("headers"),
            status: status.and_then(|status| u16::try_from(status).ok()),
            error_type: text("error_type"),
            route: text("route"),
            api_key_id: text("api_key_id"),
            principal: text("principal"),
            client: client.map(|(text, _)| text),
            response_bytes,
            waf_action,
        })
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
