//! Sigma rules about web servers as rules of ours.
//!
//! A Sigma rule is a tree of conditions over fields of one record; a signature of ours
//! looks for text in one field at a time. Not every tree fits, and a rule that fires on
//! more than its author meant is worse than none. So a rule is carried over only where
//! what comes out fires on no more than the original: what would widen it refuses it, and
//! what narrows it is told. Text is compared after decoding, as everywhere here, so that
//! one literal stands for all of its encodings.
//!
//! [`document`] reads YAML with places, [`condition`] the condition, [`pattern`] values
//! with wildcards, [`selection`] what is asked of which field, [`apart`] what of that path and query
//! can answer one by one; [`convert`] decides what maps,
//! [`part`] to what, and [`write`] writes the file with examples derived from the rule itself,
//! which say so.
//!
//! Source: Sigma specification 2.1, rules, modifiers and taxonomy.

mod apart;
mod condition;
mod convert;
mod document;
mod part;
mod pattern;
mod selection;
mod write;

use portcullis_detection::{Category, RuleSet};

use document::{Node, Place};

/// What became of one Sigma rule.
#[derive(Debug)]
pub struct Imported {
    /// Its title, or what stands for it.
    pub title: String,
    /// The files it became: path below a rules directory, and text. Empty when refused.
    pub files: Vec<(String, String)>,
    /// What could not be carried over.
    pub remarks: Vec<Remark>,
}

/// What could not be carried over, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Whether the whole rule is refused for it.
    pub refuses: bool,
    /// The place.
    pub place: Place,
    /// Why.
    pub reason: String,
}

impl Remark {
    fn refusal(place: Place, reason: impl Into<String>) -> Self {
        Self { refuses: true, place, reason: reason.into() }
    }

    fn narrower(place: Place, reason: impl Into<String>) -> Self {
        Self { refuses: false, place, reason: reason.into() }
    }
}

/// What maps, or the one thing for which it is refused.
type Mapped<T> = Result<T, Remark>;

/// Imports every rule of a YAML text. `stem` names the file, without its ending.
pub fn import(stem: &str, text: &str, category: Category) -> Vec<Imported> {
    let documents = match document::read(text) {
        Ok(documents) => documents,
        Err((place, reason)) => {
            let remarks = vec![Remark::refusal(place, format!("not YAML: {reason}"))];
            return vec![Imported { title: stem.to_owned(), files: Vec::new(), remarks }];
        }
    };
    let several = documents.len() > 1;
    let name = |index: usize| {
        let number = if several { format!("-{}", index + 1) } else { String::new() };
        format!("sigma-{}{number}", slug(stem))
    };
    documents
        .iter()
        .enumerate()
        .map(|(index, document)| import_document(&name(index), document, category))
        .collect()
}

fn import_document(name: &str, document: &Node, category: Category) -> Imported {
    let title = document.get("title").and_then(Node::text).unwrap_or(name).to_owned();
    let (parts, mut remarks) = convert::parts(document);
    let mut files = Vec::new();
    if !remarks.iter().any(|remark| remark.refuses) {
        let several = parts.len() > 1;
        for (index, part) in parts.iter().enumerate() {
            let number = if several { format!("-part-{}", index + 1) } else { String::new() };
            let id = format!("{}/{name}{number}", category.name());
            let file = format!("{id}.toml");
            match write::rule(&id, document, part, category, &remarks) {
                Ok(text) => files.push((file, text)),
                Err(reason) => remarks.push(Remark::refusal(document.place, reason)),
            }
        }
    }
    if remarks.iter().any(|remark| remark.refuses) {
        files.clear();
    }
    Imported { title, files, remarks }
}

/// Whether a file loads as a rule and its examples hold, else why not.
fn proved(file: &str, text: &str) -> Result<(), String> {
    let rules = RuleSet::load([(file.to_owned(), text.to_owned())])
        .map_err(|errors| format!("the rule it became does not load: {errors}"))?;
    match rules.test().first() {
        None => Ok(()),
        Some(failure) => Err(format!("the rule it became contradicts itself: {failure}")),
    }
}

/// A file's name as part of an id.
fn slug(stem: &str) -> String {
    let mut slug = String::new();
    for character in stem.chars().map(|character| character.to_ascii_lowercase()) {
        if character.is_ascii_alphanumeric() {
            slug.push(character);
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "rule".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests;
