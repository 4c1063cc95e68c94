//! Reads a rule's examples: the requests that prove what it finds and what it leaves alone.

use std::collections::HashSet;

use portcullis_ingest::WafAction;

use super::{MOST_BYTES, duration_ms};
use crate::rule::error::RuleErrorKind;
use crate::rule::example::{Example, ExampleRequest, ExampleStep};
use crate::rule::reader::{Reader, Table, Value};

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

/// Most requests in one example: enough for any threshold a test should need.
const MOST_REPEATS: i64 = 100_000;

/// Examples of each kind that a rule needs.
const LEAST_EXAMPLES: usize = 2;

impl<'t> Reader<'t> {
    pub(super) fn examples(&mut self, table: &Table<'t>, of_rate: bool) -> Vec<Example> {
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
                    let name = value.get_ref().as_table().and_then(|table| table.get("name"));
                    let span = name.map_or(value.span(), toml::Spanned::span);
                    self.error(span, RuleErrorKind::DuplicateExample(example.name.clone()));
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
