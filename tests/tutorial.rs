//! docs/tutorial.md and the README, typed by a test: what a new analyst is told to type works,
//! and prints what the page quotes.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::{Files, workspace};

/// A command and what the page says that it prints.
struct Step {
    line: usize,
    command: String,
    quoted: Vec<String>,
}

/// The commands of all blocks that are marked `console`.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (line, text) in (1..).zip(page.lines()) {
        match text {
            "```console" => inside = true,
            _ if text.starts_with("```") => inside = false,
            _ if !inside => {}
            _ => match text.strip_prefix("$ ") {
                Some(command) => {
                    steps.push(Step { line, command: command.to_owned(), quoted: Vec::new() });
                }
                None => steps
                    .last_mut()
                    .expect("a block begins with a command")
                    .quoted
                    .push(text.to_owned()),
            },
        }
    }
    steps
}

/// The first quoted line that the printed ones lack. `…` alone stands for any lines, and at
/// the end of a line for the rest of it.
fn missing<'q>(quoted: &'q [String], printed: &[&str]) -> Option<&'q str> {
    let mut at = 0;
    let mut skips = false;
    for line in quoted {
        if line == "…" {
            skips = true;
            continue;
        }
        let fits = |printed: &str| match line.strip_suffix('…') {
            Some(beginning) => printed.starts_with(beginning),
            None => printed == line,
        };
        let found = match printed.get(at..)?.iter().position(|printed| fits(printed)) {
            Some(found) if found == 0 || skips => found,
            _ => return Some(line),
        };
        at += found + 1;
        skips = false;
    }
    match printed.get(at) {
        Some(_) if !skips => Some("the end"),
        _ => None,
    }
}

/// Types a command into a shell that knows the program.
fn typed(command: &str, directory: &Path) -> (Option<i32>, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_portcullis"));
    let folder = program.parent().expect("the program is in a directory");
    let output = Command::new("sh")
        .args(["-c", &format!("{{ {command}\n}} 2>&1")])
        .current_dir(directory)
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .output()
        .expect("there is a shell");
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}

/// Types what a page tells to type, in a folder that has the datasets.
fn check(page: &str, least: usize, is_typed: impl Fn(&str) -> bool) {
    let text = std::fs::read_to_string(workspace().join(page)).expect("the page");
    let mut steps = steps(&text);
    steps.retain(|step| is_typed(&step.command));
    assert!(steps.len() >= least, "{page} has {} commands", steps.len());
    let files = Files::new();
    symlink(workspace().join("datasets"), files.root().join("datasets")).expect("linked");
    for Step { line, command, quoted } in &steps {
        let (code, text) = typed(command, files.root());
        // A check that finds something says so by its code.
        let expected = if command.contains("formats check") { 2 } else { 0 };
        assert_eq!(code, Some(expected), "{page}:{line}: {command}\n{text}");
        let printed: Vec<&str> = text.lines().collect();
        let missing = missing(quoted, &printed);
        assert_eq!(missing, None, "{page}:{line}: {command} prints\n{text}");
    }
}

#[test]
fn what_the_tutorial_types_prints_what_it_quotes() {
    check("docs/tutorial.md", 8, |_| true);
}

#[test]
fn what_the_readme_types_prints_what_it_quotes() {
    // A review is served until somebody ends it.
    check("README.md", 4, |command| !command.starts_with("portcullis review"));
}

#[test]
fn a_quotation_that_is_wrong_is_noticed() {
    let quoted = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let printed = ["one", "two", "three"];
    assert_eq!(missing(&quoted("one\n…\nthree"), &printed), None);
    assert_eq!(missing(&quoted("one\ntw…\nthree"), &printed), None);
    assert_eq!(missing(&quoted("one\n…"), &printed), None);
    assert_eq!(missing(&quoted("one\nthree"), &printed), Some("three"));
    assert_eq!(missing(&quoted("one\ntwo"), &printed), Some("the end"));
    assert_eq!(missing(&quoted("…\nfour"), &printed), Some("four"));
}
