//! docs/tutorial.md, typed by a test: what a new analyst is told to type works, and prints
//! what the page quotes.

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

#[test]
fn what_the_tutorial_types_prints_what_it_quotes() {
    let page = std::fs::read_to_string(workspace().join("docs/tutorial.md")).expect("the page");
    let steps = steps(&page);
    assert!(steps.len() >= 8, "the page has {} commands", steps.len());
    let files = Files::new();
    symlink(workspace().join("datasets"), files.root().join("datasets")).expect("linked");
    for Step { line, command, quoted } in &steps {
        let (code, text) = typed(command, files.root());
        assert_eq!(code, Some(0), "docs/tutorial.md:{line}: {command}\n{text}");
        let printed: Vec<&str> = text.lines().collect();
        let missing = missing(quoted, &printed);
        assert_eq!(missing, None, "docs/tutorial.md:{line}: {command} prints\n{text}");
    }
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
