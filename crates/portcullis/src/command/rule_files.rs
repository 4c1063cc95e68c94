//! Finding the rules that a command is to use.

use std::fs;
use std::io;
use std::path::Path;

use portcullis_detection::RuleSet;

use crate::failure::Failure;

/// What the built-in rules are called where a directory of rules is expected.
pub(super) const BUILTIN: &str = "builtin";

/// The rules of a directory, or the built-in ones.
pub(super) fn load_rules(directory: Option<&Path>) -> Result<RuleSet, Failure> {
    let Some(directory) = directory else {
        return Ok(RuleSet::builtin());
    };
    let files = rule_files(directory)?;
    RuleSet::load(files).map_err(|errors| Failure::verbatim(errors.to_string()))
}

/// The rules of a directory, or those that are called so.
pub(super) fn load_named_rules(directory: &Path) -> Result<RuleSet, Failure> {
    load_rules(Some(directory).filter(|directory| *directory != Path::new(BUILTIN)))
}

/// The rule files of a directory, of which there must be one.
pub(super) fn rule_files(directory: &Path) -> Result<Vec<(String, String)>, Failure> {
    let mut files = Vec::new();
    read_rule_files(directory, &mut files)?;
    if files.is_empty() {
        let detail = format!("`{}` holds no .toml file", directory.display());
        return Err(Failure::because("load rules", detail));
    }
    Ok(files)
}

/// Gathers the rule files below `directory`, sorted.
fn read_rule_files(directory: &Path, files: &mut Vec<(String, String)>) -> Result<(), Failure> {
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
            let text = fs::read_to_string(&path).map_err(|error| fail(&path, &error))?;
            files.push((path.to_string_lossy().into_owned(), text));
        }
    }
    Ok(())
}
