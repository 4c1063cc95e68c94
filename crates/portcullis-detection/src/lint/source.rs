//! Where in a rule's file a thing stands.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::rule::Rule;

/// A rule beside its file, read once more for its places.
pub(super) struct Source<'r> {
    rule: &'r Rule,
    document: Spanned<DeTable<'r>>,
}

impl<'r> Source<'r> {
    pub(super) fn of(rule: &'r Rule) -> Self {
        let document = DeTable::parse(rule.source()).expect("the rule was read from this text");
        Self { rule, document }
    }

    pub(super) const fn rule(&self) -> &'r Rule {
        self.rule
    }

    pub(super) fn text(&self) -> &'r str {
        self.rule.source()
    }

    /// The value of a key. The table is `""` for the top, or a name there. What is not
    /// there stands at the beginning.
    pub(super) fn value(&self, table: &str, key: &str) -> Range<usize> {
        self.get(table, key).map_or(0..0, Spanned::span)
    }

    /// One element of a list.
    pub(super) fn element(&self, table: &str, key: &str, place: usize) -> Range<usize> {
        let elements = self.elements(table, key);
        elements.get(place).map_or_else(|| self.value(table, key), Spanned::span)
    }

    /// The element of a list of texts that is this text.
    pub(super) fn text_element(&self, table: &str, key: &str, text: &str) -> Range<usize> {
        let is_it = |value: &&Spanned<DeValue<'_>>| value.get_ref().as_str() == Some(text);
        let element = self.elements(table, key).iter().find(is_it);
        element.map_or_else(|| self.value(table, key), Spanned::span)
    }

    /// The name of an example.
    pub(super) fn example(&self, place: usize) -> Range<usize> {
        let example = self.elements("", "example").get(place);
        let name = example.and_then(|example| example.get_ref().as_table()?.get("name"));
        name.map_or(0..0, Spanned::span)
    }

    fn get(&self, table: &str, key: &str) -> Option<&Spanned<DeValue<'r>>> {
        let top = self.document.get_ref();
        if table.is_empty() {
            return top.get(key);
        }
        top.get(table)?.get_ref().as_table()?.get(key)
    }

    fn elements(&self, table: &str, key: &str) -> &[Spanned<DeValue<'r>>] {
        self.get(table, key).and_then(|value| value.get_ref().as_array()).map_or(&[], |list| list)
    }
}
