//! Reads the `[rate]` of a rule.

use std::ops::Range;

use super::{MOST_BYTES, duration_ms};
use crate::rate::Key;
use crate::rule::error::RuleErrorKind;
use crate::rule::reader::{Reader, Table};
use crate::rule::{Conditions, Measure, Rate, StatusSet};

const RATE_KEYS: &[&str] = &["by", "measure", "threshold", "minimum", "window", "quiet", "where"];
const WHERE_KEYS: &[&str] = &["statuses", "error_types", "not_error_types", "methods"];

/// Longest window, in seconds: 31 days. Panes of longer ones would outlive their use.
const LONGEST_WINDOW_SECONDS: u64 = 31 * 86_400;

impl<'t> Reader<'t> {
    pub(super) fn rate(&mut self, table: &Table<'t>, at: &Range<usize>) -> Option<Rate> {
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
}
