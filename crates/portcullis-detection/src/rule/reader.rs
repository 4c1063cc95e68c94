//! Reads single values out of a rule file's table, noting what is wrong with them.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{RuleError, RuleErrorKind};
use super::spot::Spot;
use super::{Measure, Subject};
use crate::level::{Category, Confidence, Severity};
use crate::rate::Key;
use crate::tokens::{Tokens, Whole};
use crate::view::View;

pub(super) type Value<'t> = Spanned<DeValue<'t>>;
pub(super) type Table<'t> = DeTable<'t>;

/// One file being read, and what was wrong with it so far.
pub(super) struct Reader<'t> {
    pub(super) file: &'t str,
    pub(super) text: &'t str,
    pub(super) errors: Vec<RuleError>,
    /// Whether expressions are compiled to see that they can be.
    pub(super) compiles: bool,
}

impl<'t> Reader<'t> {
    pub(super) fn known_keys(
        &mut self,
        table: &Table<'t>,
        expected: &'static [&'static str],
        name: &'static str,
    ) {
        for (key, _) in table {
            if !expected.contains(&key.get_ref().as_ref()) {
                let kind = RuleErrorKind::UnknownKey {
                    key: key.get_ref().to_string(),
                    table: name,
                    expected,
                };
                self.error(key.span(), kind);
            }
        }
    }

    pub(super) fn table<'v>(&mut self, value: &'v Value<'t>, key: &str) -> Option<&'v Table<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(value.span(), key, "a table", value.get_ref().type_str());
        }
        table
    }

    /// The elements of a list that is there; an empty one is an error.
    pub(super) fn array<'v>(&mut self, table: &'v Table<'t>, key: &str) -> Option<&'v [Value<'t>]> {
        let value = table.get(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(value.span(), key, "a list", value.get_ref().type_str());
            return None;
        };
        if array.is_empty() {
            self.error(value.span(), RuleErrorKind::Empty(key.to_owned()));
        }
        Some(array)
    }

    pub(super) fn text(&mut self, table: &Table<'t>, key: &str) -> Option<(String, Range<usize>)> {
        let value = table.get(key)?;
        if let Some(text) = value.get_ref().as_str() {
            return Some((text.to_owned(), value.span()));
        }
        self.wrong_type(value.span(), key, "a text", value.get_ref().type_str());
        None
    }

    pub(super) fn optional_text(&mut self, table: &Table<'t>, key: &str) -> Option<String> {
        let (text, span) = self.text(table, key)?;
        if text.trim().is_empty() {
            self.error(span, RuleErrorKind::Empty(key.to_owned()));
        }
        Some(text)
    }

    pub(super) fn required_text(
        &mut self,
        table: &Table<'t>,
        key: &'static str,
        name: &'static str,
        at: &Range<usize>,
    ) -> Option<(String, Range<usize>)> {
        if !table.contains_key(key) {
            self.error(at.clone(), RuleErrorKind::MissingKey { key, table: name });
            return None;
        }
        let (text, span) = self.text(table, key)?;
        if text.trim().is_empty() {
            self.error(span, RuleErrorKind::Empty(key.to_owned()));
            return None;
        }
        Some((text, span))
    }

    pub(super) fn texts(&mut self, table: &Table<'t>, key: &str) -> Vec<(String, Range<usize>)> {
        let Some(values) = self.array(table, key) else {
            return Vec::new();
        };
        let mut texts = Vec::new();
        for value in values {
            match value.get_ref().as_str() {
                Some("") => self.error(value.span(), RuleErrorKind::Empty(key.to_owned())),
                Some(text) => texts.push((text.to_owned(), value.span())),
                None => {
                    let found = value.get_ref().type_str();
                    self.wrong_type(value.span(), key, "a list of texts", found);
                }
            }
        }
        texts
    }

    pub(super) fn boolean(&mut self, table: &Table<'t>, key: &str) -> Option<bool> {
        let value = table.get(key)?;
        if let DeValue::Boolean(value) = value.get_ref() {
            return Some(*value);
        }
        self.wrong_type(value.span(), key, "true or false", value.get_ref().type_str());
        None
    }

    pub(super) fn integer(
        &mut self,
        table: &Table<'t>,
        key: &str,
        least: i64,
        most: i64,
    ) -> Option<u64> {
        let value = table.get(key)?;
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(value.span(), key, "a whole number", value.get_ref().type_str());
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i64::MAX);
        if !(least..=most).contains(&number) {
            let key = key.to_owned();
            self.error(value.span(), RuleErrorKind::OutOfRange { key, value: number, least, most });
            return None;
        }
        u64::try_from(number).ok()
    }

    pub(super) fn names<N: Named>(
        &mut self,
        table: &Table<'t>,
        key: &str,
        what: &'static str,
        all: &'static [N],
    ) -> Vec<N> {
        let mut names = Vec::new();
        for (name, span) in self.texts(table, key) {
            if let Some(value) = self.named(what, name, span, all) {
                names.push(value);
            }
        }
        names.sort();
        names.dedup();
        names
    }

    pub(super) fn optional_name<N: Named>(
        &mut self,
        table: &Table<'t>,
        key: &str,
        what: &'static str,
        all: &'static [N],
    ) -> Option<N> {
        let (name, span) = self.text(table, key)?;
        self.named(what, name, span, all)
    }

    pub(super) fn required_name<N: Named>(
        &mut self,
        table: &Table<'t>,
        key: &'static str,
        name: &'static str,
        at: &Range<usize>,
        all: &'static [N],
    ) -> Option<N> {
        let (text, span) = self.required_text(table, key, name, at)?;
        self.named(key, text, span, all)
    }

    pub(super) fn named<N: Named>(
        &mut self,
        what: &'static str,
        name: String,
        span: Range<usize>,
        all: &'static [N],
    ) -> Option<N> {
        let value = all.iter().copied().find(|value| value.name() == name);
        if value.is_none() {
            let expected = all.iter().map(|value| value.name()).collect();
            self.error(span, RuleErrorKind::UnknownName { what, name, expected });
        }
        value
    }

    pub(super) fn wrong_type(
        &mut self,
        span: Range<usize>,
        key: &str,
        expected: &'static str,
        found: &'static str,
    ) {
        let found = match found {
            "integer" => "a whole number",
            "float" => "a fraction",
            "boolean" => "true or false",
            "datetime" => "a date",
            "array" => "a list",
            "table" => "a table",
            _ => "a text",
        };
        self.error(span, RuleErrorKind::WrongType { key: key.to_owned(), expected, found });
    }

    /// Notes an error at a span of bytes, which is shown on its first line only.
    pub(super) fn error(&mut self, span: Range<usize>, kind: RuleErrorKind) {
        let Spot { line, column, width, source_line } = Spot::at(self.text, span);
        let file = self.file.to_owned();
        self.errors.push(RuleError { file, line, column, kind, source_line, width });
    }
}

/// Values with names that files use.
pub(super) trait Named: Copy + Ord + 'static {
    fn name(self) -> &'static str;
}

macro_rules! named_values {
    ($($name:ty),+) => { $(impl Named for $name {
        fn name(self) -> &'static str {
            <$name>::name(self)
        }
    })+ };
}
named_values!(Category, Severity, Confidence, Subject, View, Tokens, Whole, Measure, Key);
