//! docs/tutorial.md, docs/blocking.md and the README, typed by a test: what people are told to
//! type works, and prints what the page quotes.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Files, workspace};
use crate::target::{DUMMY_CREDENTIALS, REGION, V4, World};

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
        .envs(DUMMY_CREDENTIALS)
        .env("LC_ALL", "C")
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .output()
        .expect("there is a shell");
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}

/// Types what a page tells to type, in a folder that is given the datasets. `meant` is what a
/// command is meant as there.
fn check(page: &str, least: usize, files: &Files, meant: impl Fn(&str) -> Option<String>) {
    let text = std::fs::read_to_string(workspace().join(page)).expect("the page");
    symlink(workspace().join("datasets"), files.root().join("datasets")).expect("linked");
    let mut count = 0;
    for Step { line, command, quoted } in steps(&text) {
        let Some(command) = meant(&command) else { continue };
        count += 1;
        let (code, text) = typed(&command, files.root());
        // A check that finds something says so by its code.
        let expected = if command.contains("formats check") { 2 } else { 0 };
        assert_eq!(code, Some(expected), "{page}:{line}: {command}\n{text}");
        let printed: Vec<&str> = text.lines().collect();
        let missing = missing(&quoted, &printed);
        assert_eq!(missing, None, "{page}:{line}: {command} prints\n{text}");
    }
    assert!(count >= least, "{page} has {count} commands");
}

#[test]
fn what_the_tutorial_types_prints_what_it_quotes() {
    check("docs/tutorial.md", 8, &Files::new(), |command| Some(command.to_owned()));
}

#[test]
fn what_the_readme_types_prints_what_it_quotes() {
    // A review is served until somebody ends it.
    let meant =
        |command: &str| (!command.starts_with("portcullis review")).then(|| command.to_owned());
    check("README.md", 4, &Files::new(), meant);
}

#[test]
fn what_the_page_on_blocking_types_prints_what_it_quotes() {
    let world = World::new("suggest");
    world.files.write("never-block.txt", "198.18.31.0/24  partner network\n");
    world.fake.edit(REGION, "REGIONAL", V4, &["203.0.113.7/32"], &[]);
    // The logs are of a day long past, and the hash is that of the plan just made.
    let meant = |command: &str| {
        let hash = || {
            let plan = std::fs::read(world.files.path("plan.json")).expect("a plan");
            let plan: Value = serde_json::from_slice(&plan).expect("JSON");
            plan["plan_sha256"].as_str().expect("a hash").to_owned()
        };
        let command = match command.strip_suffix('…') {
            Some(command) => format!("{command}{}", hash()),
            None => command.to_owned(),
        };
        let at = if command.ends_with("expire") { "13:08:00Z" } else { "12:00:00Z" };
        Some(format!("{command} --at 2026-03-02T{at}"))
    };
    check("docs/blocking.md", 4, &world.files, meant);
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
