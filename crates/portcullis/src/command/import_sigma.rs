//! `portcullis rules import-sigma`: Sigma rules about web servers as rules of ours.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use portcullis_aws::disk;
use portcullis_detection::Category;

use super::{inert, print, read_option_file};
use crate::args::ImportSigma;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::counted;
use crate::sigma::{Imported, import};
use crate::terminal::{ATTENTION, BAD, GOOD, Painted, Terminal};

pub(super) fn run(arguments: &ImportSigma, terminal: &Terminal) -> Result<Exit, Failure> {
    let category = Category::from_name(&arguments.category).ok_or_else(|| {
        let names: Vec<&str> = Category::ALL.iter().map(|category| category.name()).collect();
        let detail = format!("`{}` is none of {}", inert(&arguments.category), names.join(", "));
        Failure::because("understand the category", detail).exit_with(Exit::Usage)
    })?;
    let mut page = String::new();
    let mut rules = Vec::new();
    let (mut whole, mut narrower, mut refused) = (0, 0, 0);
    for path in &arguments.files {
        let text = read_option_file(path, "the Sigma rule")?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        for imported in import(&stem, &text, category) {
            match (imported.files.is_empty(), imported.remarks.is_empty()) {
                (true, _) => refused += 1,
                (false, false) => narrower += 1,
                (false, true) => whole += 1,
            }
            page += &report(path, &text, &imported, terminal);
            rules.extend(imported.files);
        }
    }
    let summary = format!(
        "{} carried over whole, {} in part, {} refused",
        counted(whole, "rule", "rules"),
        narrower,
        refused
    );
    if let Some(folder) = &arguments.out {
        write_files(folder, &rules)?;
        page += &summary;
        page.push('\n');
        print(page.as_bytes())?;
        if !rules.is_empty() {
            terminal.next(format_args!(
                "portcullis rules lint {} says what to mend by hand",
                inert(&folder.to_string_lossy())
            ));
        }
    } else {
        // Stdout is the rules; what is said about them is not.
        let _ = io::stderr().write_all(page.as_bytes());
        terminal.note(summary);
        let texts: Vec<String> =
            rules.iter().map(|(file, text)| format!("# {file}\n{text}")).collect();
        print(texts.join("\n").as_bytes())?;
    }
    Ok(if refused > 0 { Exit::Partial } else { Exit::Done })
}

/// What became of one rule, with the places of what was not carried over.
fn report(path: &Path, source: &str, imported: &Imported, terminal: &Terminal) -> String {
    let file = inert(&path.to_string_lossy());
    let (word, style) = match (imported.files.is_empty(), imported.remarks.is_empty()) {
        (true, _) => ("refused", BAD),
        (false, false) => ("in part", ATTENTION),
        (false, true) => ("whole", GOOD),
    };
    let word = Painted { text: word, style, colour: terminal.colour };
    let mut text = format!("{word}  {}", inert(&imported.title));
    let names: Vec<&str> = imported.files.iter().map(|(file, _)| file.as_str()).collect();
    if !names.is_empty() {
        let _ = write!(text, " → {}", names.join(", "));
    }
    text.push('\n');
    for remark in &imported.remarks {
        let (line, column) = (remark.place.line, remark.place.column);
        let what = if remark.refuses { "" } else { "narrower: " };
        let reason = inert(&remark.reason);
        let number = line.to_string();
        let of_file = inert(source.lines().nth(line.saturating_sub(1)).unwrap_or_default());
        let gutter = " ".repeat(number.len());
        let before = " ".repeat(column.saturating_sub(1));
        let _ = writeln!(text, "  {file}:{line}:{column}: {what}{reason}");
        let _ = writeln!(text, "    {number} | {of_file}\n    {gutter} | {before}^");
    }
    text
}

/// Writes the rules. What is there already is kept: somebody may have worked on it.
fn write_files(folder: &Path, rules: &[(String, String)]) -> Result<(), Failure> {
    let fail = |path: &Path, error: &io::Error| {
        Failure::new(format!("write `{}`", inert(&path.to_string_lossy())), error)
    };
    for (file, _) in rules {
        let path = folder.join(file);
        if path.exists() {
            let path = inert(&path.to_string_lossy());
            return Err(Failure::because("import the rules", format!("`{path}` exists already"))
                .hint("nothing was written; move it away, or name another --out"));
        }
    }
    for (file, text) in rules {
        let path = folder.join(file);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| fail(parent, &error))?;
        disk::replace(&path, text).map_err(|error| fail(&path, &error))?;
    }
    Ok(())
}
