//! Writes HCL, as `terraform fmt` would lay it out.
//!
//! Inside a quoted string of HCL, `${` begins an expression and `%{` a directive, so a
//! string is not quoted by escaping quotes alone. Every string passes [`quoted`].

use std::fmt::Write as _;

use serde_json::Value;

use crate::text::{Part, Text, parts};

/// The inside of a file or of a block.
#[derive(Debug, Default)]
pub(crate) struct Body {
    text: String,
    depth: usize,
    /// Attributes that stand together, whose equals signs are aligned.
    pending: Vec<(String, String)>,
    /// Whether the next block is set apart by an empty line.
    is_begun: bool,
}

impl Body {
    /// A comment of one line.
    pub(crate) fn comment(&mut self, text: &str) {
        self.flush();
        if self.depth == 0 && self.is_begun {
            self.text.push('\n');
        }
        let _ = writeln!(self.text, "{}# {text}", self.margin());
        self.is_begun = false;
    }

    /// An attribute whose value is data.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<Value>) {
        let value = expression(&value.into(), self.depth);
        self.pending.push((name.to_owned(), value));
    }

    /// An attribute whose value is text that refers to something.
    pub(crate) fn refer(&mut self, name: &str, text: impl Into<Text>) {
        let value = serde_json::to_value(text.into()).expect("a text is a list of strings");
        self.set(name, value);
    }

    /// An attribute whose value is an expression of the language.
    pub(crate) fn express(&mut self, name: &str, expression: &str) {
        self.pending.push((name.to_owned(), expression.to_owned()));
    }

    /// An attribute whose value is a document, written as JSON by Terraform.
    pub(crate) fn document(&mut self, name: &str, value: &Value) {
        let value = format!("jsonencode({})", expression(value, self.depth));
        self.pending.push((name.to_owned(), value));
    }

    /// A block, such as `resource "aws_s3_bucket" "logs" { … }`.
    pub(crate) fn block(&mut self, kind: &str, labels: &[&str], inside: impl FnOnce(&mut Self)) {
        self.flush();
        if self.is_begun {
            self.text.push('\n');
        }
        let _ = write!(self.text, "{}{kind}", self.margin());
        for label in labels {
            let _ = write!(self.text, " {}", quoted(label));
        }
        let mut body = Self { depth: self.depth + 1, ..Self::default() };
        inside(&mut body);
        let _ = write!(self.text, " {{\n{}{}}}\n", body.finish(), self.margin());
        self.is_begun = true;
    }

    /// The text.
    pub(crate) fn finish(mut self) -> String {
        self.flush();
        self.text
    }

    fn margin(&self) -> String {
        "  ".repeat(self.depth)
    }

    /// Writes attributes that stand together.
    fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        for group in aligned(&pending) {
            let width = group.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
            for (name, value) in group {
                let _ = writeln!(self.text, "{}{name:width$} = {value}", self.margin());
            }
            self.is_begun = true;
        }
    }
}

/// Equals signs are aligned in runs of lines; a value of several lines ends its run.
fn aligned(pending: &[(String, String)]) -> impl Iterator<Item = &[(String, String)]> {
    pending.chunk_by(|(_, one), (_, other)| !one.contains('\n') && !other.contains('\n'))
}

/// An expression that gives `value`.
fn expression(value: &Value, depth: usize) -> String {
    if let Some(parts) = parts(value) {
        return match parts.as_slice() {
            [Part::Attribute { terraform, .. }] => terraform.clone(),
            parts => format!("\"{}\"", parts.iter().map(inside_quotes).collect::<String>()),
        };
    }
    let (margin, inner) = ("  ".repeat(depth), "  ".repeat(depth + 1));
    match value {
        Value::Array(values) if values.is_empty() => "[]".to_owned(),
        Value::Array(values) if values.len() == 1 && parts(&values[0]).is_some() => {
            format!("[{}]", expression(&values[0], depth))
        }
        Value::Array(values) => {
            let mut lines = String::new();
            for value in values {
                let _ = writeln!(lines, "{inner}{},", expression(value, depth + 1));
            }
            format!("[\n{lines}{margin}]")
        }
        Value::Object(entries) => {
            let entries: Vec<(String, String)> = entries
                .iter()
                .map(|(key, value)| (quoted(key), expression(value, depth + 1)))
                .collect();
            let mut lines = String::new();
            for group in aligned(&entries) {
                let width = group.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
                for (key, value) in group {
                    let _ = writeln!(lines, "{inner}{key:width$} = {value}");
                }
            }
            format!("{{\n{lines}{margin}}}")
        }
        // Numbers and truth values are written as in JSON.
        other => other.to_string(),
    }
}

fn inside_quotes(part: &Part) -> String {
    match part {
        Part::Literal(text) => escaped(text),
        Part::Attribute { terraform, .. } => format!("${{{terraform}}}"),
    }
}

/// A string that stands for `text` and nothing else.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '$' | '%' if characters.peek() == Some(&'{') => {
                out.push(character);
                out.push(character);
            }
            other if other.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(other));
            }
            other => out.push(other),
        }
    }
    out
}
