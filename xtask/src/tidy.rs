//! Checks what no compiler checks: that the guide's paths exist and that it names every
//! module, that nothing unfinished is left, that every rule proves itself.
//!
//! Long files only give a warning: length is a hint that a file holds two ideas,
//! and a reader decides.

use std::fs;
use std::path::Path;

use crate::workspace;

/// Words that mark unfinished work. Written in two halves, so that this file passes.
const UNFINISHED: [&str; 4] = [
    concat!("TO", "DO"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
];

/// Lines of logic from which on a file is mentioned.
const LONG_FILE: usize = 450;

/// What a path in the guide begins with, when it means a path of this tree.
const TOP_LEVEL: [&str; 9] =
    ["crates/", "rules/", "datasets/", "tests/", "xtask/", ".ci/", ".cargo/", "fuzz/", "docs/"];

/// Checks the tree at `root`; warnings are printed, failures returned.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let mut failures = Vec::new();
    let guide = root.join("ARCHITECTURE.md");
    match fs::read_to_string(&guide) {
        Ok(text) => {
            let sections = sections(&text);
            let below = sections.iter().flat_map(Section::paths);
            let paths = named_paths(&text).map(str::to_owned).chain(below);
            failures.extend(
                paths
                    .filter(|path| !root.join(path).exists())
                    .map(|path| format!("ARCHITECTURE.md: `{path}` does not exist")),
            );
            for section in &sections {
                let unnamed = section.unnamed(root)?.into_iter();
                failures.extend(
                    unnamed.map(|path| format!("ARCHITECTURE.md: `{path}` is named nowhere")),
                );
            }
        }
        Err(error) => failures.push(format!("ARCHITECTURE.md: {error}")),
    }
    let sources = sources(root)?;
    for (name, text) in sources.iter().filter(|(name, _)| name.starts_with("docs/")) {
        let is_there = |test: &&str| {
            let definition = format!("fn {test}(");
            sources.iter().any(|(_, text)| text.contains(&definition))
        };
        let gone = named_tests(text).filter(|test| !is_there(test));
        failures.extend(gone.map(|test| format!("{name}: there is no test `{test}`")));
    }
    for (name, text) in sources {
        for (number, line) in text.lines().enumerate() {
            for word in UNFINISHED.iter().filter(|word| line.contains(**word)) {
                failures.push(format!("{name}:{}: `{word}` marks unfinished work", number + 1));
            }
        }
        let is_library = name.contains("/src/") && !name.contains("/tests");
        let lines = if is_library { lines_of_logic(&text) } else { 0 };
        if name.starts_with("crates/") && lines > LONG_FILE {
            println!("warning: {name}: {lines} lines of logic; does it hold a second idea?");
        }
        if let Some(id) = name.strip_prefix("rules/").and_then(|name| name.strip_suffix(".toml")) {
            failures.extend(unproven(id, &text).map(|lack| format!("{name}: {lack}")));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// Every text file written by hand, with its name from the root.
fn sources(root: &Path) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let entries = fs::read_dir(root)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .map_err(|error| format!("failed to list {}: {error}", root.display()))?;
    for entry in entries {
        let name = entry.file_name();
        let folder = format!("{}/", name.to_string_lossy());
        if entry.path().is_dir() && (!TOP_LEVEL.contains(&folder.as_str()) || name == "datasets") {
            continue;
        }
        for path in workspace::files_below(&entry.path())? {
            let by_hand = path.extension().is_some_and(|extension| {
                ["rs", "toml", "md"].iter().any(|&known| extension == known)
            });
            if by_hand {
                let text = fs::read_to_string(&path)
                    .map_err(|error| format!("failed to read {}: {error}", path.display()))?;
                let below = path.strip_prefix(root).expect("found below the root");
                found.push((below.to_string_lossy().replace('\\', "/"), text));
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The paths a Markdown text names: in backquotes or as link targets.
fn named_paths(markdown: &str) -> impl Iterator<Item = &str> {
    let quoted = markdown.split('`').skip(1).step_by(2);
    let linked = markdown.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    quoted.chain(linked).filter(|text| {
        let is_plain = text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "./_-".contains(character));
        let is_document = !text.contains('/')
            && [".md", ".toml"]
                .iter()
                .any(|ending| text.len() > ending.len() && text.ends_with(ending));
        is_plain && (is_document || TOP_LEVEL.iter().any(|folder| text.starts_with(folder)))
    })
}

/// A part of the guide whose heading names a directory, and the modules it names below it.
#[derive(Debug, PartialEq)]
struct Section<'g> {
    directory: &'g str,
    /// Such as `frame.rs`, `rule/` and `combined/plain.rs`.
    modules: Vec<&'g str>,
}

/// Modules that decide nothing which the guide would have to tell.
const UNTOLD: [&str; 4] = ["lib.rs", "main.rs", "testing.rs", "tests.rs"];

fn sections(guide: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let mut is_inside = false;
    for line in guide.lines() {
        if line.starts_with('#') {
            let directory = named_paths(line).next();
            sections.extend(directory.map(|directory| Section { directory, modules: Vec::new() }));
            is_inside = directory.is_some();
        } else if let (true, Some(section)) = (is_inside, sections.last_mut()) {
            let is_module = |name: &&str| {
                let is_below = !TOP_LEVEL.iter().any(|folder| name.starts_with(folder));
                let is_file =
                    Path::new(name).extension().is_some_and(|extension| extension == "rs");
                is_below && (is_file || name.ends_with('/'))
            };
            section.modules.extend(line.split('`').skip(1).step_by(2).filter(is_module));
        }
    }
    sections
}

impl Section<'_> {
    fn paths(&self) -> impl Iterator<Item = String> {
        self.modules.iter().map(|module| format!("{}/{module}", self.directory))
    }

    /// The modules directly in the directory that it does not name. What stands in the
    /// directory of a module is the module's.
    fn unnamed(&self, root: &Path) -> Result<Vec<String>, String> {
        let directory = root.join(self.directory);
        let failed = |error| format!("failed to list {}: {error}", directory.display());
        let mut unnamed = Vec::new();
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let mut name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() {
                if directory.join(format!("{name}.rs")).exists() {
                    continue;
                }
                name.push('/');
            }
            if !UNTOLD.contains(&name.as_str()) && !self.modules.contains(&name.as_str()) {
                unnamed.push(format!("{}/{name}", self.directory));
            }
        }
        unnamed.sort_unstable();
        Ok(unnamed)
    }
}

/// The tests a Markdown text names: claims in backquotes, their words joined by underscores.
fn named_tests(markdown: &str) -> impl Iterator<Item = &str> {
    markdown.split('`').skip(1).step_by(2).filter(|text| {
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        text.matches('_').count() >= 4 && text.chars().all(is_name)
    })
}

/// Lines that are neither blank, comment, table row of text, nor test.
fn lines_of_logic(text: &str) -> usize {
    text.lines()
        .map(str::trim_start)
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .filter(|line| !line.is_empty() && !line.starts_with("//") && !line.starts_with('"'))
        .count()
}

/// What a rule file lacks to be a rule with its proof.
fn unproven(id: &str, text: &str) -> impl Iterator<Item = String> {
    let has = |wanted: &str| {
        text.lines().any(|line| line.split('#').next().unwrap_or("").trim() == wanted)
    };
    let lacks = [
        (format!("id = \"{id}\""), "the id is not the path"),
        ("fires = true".to_owned(), "no example fires"),
        ("fires = false".to_owned(), "no example shows what does not fire"),
    ]
    .map(|(line, lack)| (!has(&line)).then(|| format!("{lack} (no line `{line}`)")));
    lacks.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_guide_are_told_from_other_code() {
        let guide = "Open `crates/x/src/lib.rs`, [rules](rules/README.md#top), `Request`, `rate/errors`,\
                     `cargo xtask test`, `deny.toml` and [there](https://example.com/crates/x).";
        let paths: Vec<&str> = named_paths(guide).collect();
        assert_eq!(paths, ["crates/x/src/lib.rs", "deny.toml", "rules/README.md"]);
    }

    #[test]
    fn modules_stand_below_the_heading_that_names_their_directory() {
        let guide =
            "### X: `crates/x/src`\n| `a.rs`, `b/` | `mode` of `tests/c.rs` |\n## More\n`d.rs`";
        let expected = Section { directory: "crates/x/src", modules: vec!["a.rs", "b/"] };
        assert_eq!(sections(guide), [expected]);
    }

    #[test]
    fn tests_are_told_from_other_names() {
        let page = "`nothing_is_lost_in_a_storm` holds; `schema_version`, `cargo xtask test`, `A_B_C_D_E`.";
        assert_eq!(named_tests(page).collect::<Vec<_>>(), ["nothing_is_lost_in_a_storm"]);
    }

    #[test]
    fn tests_tables_and_comments_are_not_logic() {
        let text = "//! Story.\n\nfn f() {\n    g();\n}\nconst T: [&str; 1] = [\n    \"row\",\n];\n#[cfg(test)]\nmod tests {}\n";
        assert_eq!(lines_of_logic(text), 5);
    }

    #[test]
    fn a_rule_needs_its_id_and_both_kinds_of_examples() {
        let rule = "id = \"sqli/union\"  # permanent\n[[example]]\nfires = true\n[[example]]\nfires = false\n";
        assert_eq!(unproven("sqli/union", rule).count(), 0);
        assert_eq!(unproven("sqli/other", rule).count(), 1);
        assert_eq!(unproven("sqli/union", "id = \"sqli/union\"\nfires = true\n").count(), 1);
        assert_eq!(unproven("sqli/union", "").count(), 3);
    }

    #[test]
    fn unfinished_work_and_missing_paths_are_failures() {
        let root =
            std::env::temp_dir().join(format!("portcullis-xtask-tidy-{}", std::process::id()));
        fs::create_dir_all(root.join("crates/x/src")).expect("a writable directory");
        let write = |name: &str, text: &str| fs::write(root.join(name), text).expect("writable");
        write("ARCHITECTURE.md", "See `crates/x/src/lib.rs`.");
        write("crates/x/src/lib.rs", "fn f() {}\n");
        assert_eq!(check(&root), Ok(()));
        write("ARCHITECTURE.md", "See `crates/x/src/gone.rs`.");
        write("crates/x/src/lib.rs", concat!("fn f() { unimplemented", "!() }\n"));
        let message = check(&root).expect_err("two failures");
        assert!(message.contains("gone.rs` does not exist"), "{message}");
        assert!(message.contains("crates/x/src/lib.rs:1:"), "{message}");
        write("crates/x/src/lib.rs", "mod told;\nmod new;\n");
        write("crates/x/src/told.rs", "fn f() {}\n");
        write("crates/x/src/new.rs", "fn f() {}\n");
        write("ARCHITECTURE.md", "### X: `crates/x/src`\n\n| `told.rs`, `gone/` | things |\n");
        let message = check(&root).expect_err("two failures");
        assert!(message.contains("`crates/x/src/gone/` does not exist"), "{message}");
        assert!(message.contains("`crates/x/src/new.rs` is named nowhere"), "{message}");
        write("ARCHITECTURE.md", "### X: `crates/x/src`\n\n| `told.rs`, `new.rs` | things |\n");
        assert_eq!(check(&root), Ok(()));
        fs::remove_dir_all(&root).expect("the test's own directory");
    }
}
