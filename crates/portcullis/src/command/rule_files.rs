//! Finding the rules that a command is to use.

use std::fs;
use std::io;
use std::path::Path;

use portcullis_detection::{RuleError, RuleErrors, RuleSet};

use crate::failure::Failure;

/// What the built-in rules are called where a directory of rules is expected.
pub(super) const BUILTIN: &str = "builtin";

/// The rules of a directory, or the built-in ones.
pub(super) fn load_rules(directory: Option<&Path>) -> Result<RuleSet, Failure> {
    let Some(directory) = directory else {
        return Ok(RuleSet::builtin());
    };
    let RuleFiles { texts, unreadable } = rule_files(directory)?;
    let (rules, errors) = match RuleSet::load(texts) {
        Ok(rules) => (Some(rules), None),
        Err(errors) => (None, Some(errors)),
    };
    match (rules, RuleErrors::of(errors, unreadable)) {
        (Some(rules), None) => Ok(rules),
        (_, errors) => {
            let errors = errors.expect("rules that do not load have an error");
            Err(Failure::verbatim(errors.to_string()))
        }
    }
}

/// The rules of a directory, or those that are called so.
pub(super) fn load_named_rules(directory: &Path) -> Result<RuleSet, Failure> {
    load_rules(Some(directory).filter(|directory| *directory != Path::new(BUILTIN)))
}

/// The rule files of a directory.
#[derive(Default)]
pub(super) struct RuleFiles {
    /// The path and text of each.
    pub(super) texts: Vec<(String, String)>,
    /// What is wrong with those that are no text.
    pub(super) unreadable: Vec<RuleError>,
}

/// The rule files of a directory, of which there must be one.
pub(super) fn rule_files(directory: &Path) -> Result<RuleFiles, Failure> {
    let mut files = RuleFiles::default();
    read_rule_files(directory, &mut files)?;
    if files.texts.is_empty() && files.unreadable.is_empty() {
        let detail = format!("`{}` holds no .toml file", directory.display());
        return Err(Failure::because("load rules", detail));
    }
    Ok(files)
}

/// Gathers the rule files below `directory`, sorted.
fn read_rule_files(directory: &Path, files: &mut RuleFiles) -> Result<(), Failure> {
    let fail = |path: &Path, error: &io::Error| {
        Failure::because("load rules", format!("{}: {error}", path.display()))
    };
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(|error| fail(directory, &error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(|error| fail(&path, &error))?;
        if kind.is_dir() {
            read_rule_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            let bytes = fs::read(&path).map_err(|error| fail(&path, &error))?;
            let name = path.to_string_lossy().into_owned();
            match RuleError::text_of(&name, bytes) {
                Ok(text) => files.texts.push((name, text)),
                Err(error) => files.unreadable.push(*error),
            }
        }
    }
    Ok(())
}
