//! What reaches a terminal: colours only when wanted, and nothing of the attacker's.

use std::io::Read as _;
use std::process::{Command, Stdio};

use crate::support::{Files, Record, attacks, portcullis};

/// Text that clears screens, recolours, retitles, reorders and hides.
const HOSTILE: &str =
    "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\r\u{8}\u{202e}gpj\u{200b}\u{feff}\u{7f}";

fn hostile_log(files: &Files) -> String {
    let mut text = attacks("203.0.113.9", 60);
    for n in 0..40 {
        text += &Record {
            id: format!("{HOSTILE}{n}"),
            client: "203.0.113.9".to_owned(),
            path: format!("/prod/..%2f..%2f..%2fetc%2fpasswd{HOSTILE}"),
            user_agent: format!("sqlmap/1.8{HOSTILE}"),
            method: format!("GET{HOSTILE}"),
            ..Record::default()
        }
        .line();
    }
    text = text + "not a record " + HOSTILE + "\n";
    files.write("hostile.log", text)
}

/// The characters that could act on a terminal, line feeds aside.
fn acting(text: &str) -> Vec<char> {
    let acts = |c: &char| {
        (c.is_control() && *c != '\n')
            || matches!(*c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().filter(acts).collect()
}

/// Every command with every output.
fn commands(log: &str) -> Vec<Vec<String>> {
    let commands = [
        "scan",
        "scan -o json",
        "scan -o jsonl",
        "scan -o csv",
        "scan -o ocsf",
        "scan -o ecs",
        "explain 203.0.113.9",
        "explain 203.0.113.9 -o json",
        "review --source 203.0.113.9",
        "report -o -",
        "decode",
        "classify",
        "plan",
        "plan -o json",
        "scan --verbose",
        "scan --format combined",
    ];
    let mut all: Vec<Vec<String>> = commands
        .iter()
        .map(|command| command.split(' ').map(str::to_owned).chain([log.to_owned()]).collect())
        .collect();
    for command in [
        "rules list",
        "rules show sqli/union-select",
        "formats list",
        "formats check apigw-rest-clf",
        "--help",
        "scan --help",
        "nonsense",
    ] {
        all.push(command.split(' ').map(str::to_owned).collect());
    }
    all
}

#[test]
fn nothing_of_the_log_acts_on_a_terminal() {
    let files = Files::new();
    let log = hostile_log(&files);
    for command in commands(&log) {
        let ran = portcullis(&command).run();
        assert_eq!(acting(&ran.text()), [], "stdout of {command:?}");
        assert_eq!(acting(&ran.stderr), [], "stderr of {command:?}");
    }
}

#[test]
fn colours_are_ours_alone_and_only_when_wanted() {
    let files = Files::new();
    let log = hostile_log(&files);
    for command in ["scan", "plan"] {
        let plain = portcullis(
            [command, &log, "--at=2025-11-04T12:00:00Z"][..if command == "plan" { 3 } else { 2 }]
                .to_vec(),
        )
        .run();
        assert!(!plain.stdout.contains(&0x1b));
        let mut arguments = vec![command, &log, "--color", "always"];
        if command == "plan" {
            arguments.push("--at=2025-11-04T12:00:00Z");
        }
        let coloured = portcullis(&arguments).run();
        assert!(coloured.stdout.contains(&0x1b), "{command}");
        // Taking away the colour sequences we write must give the plain output.
        assert_eq!(without_colours(&coloured.text()), plain.text(), "{command}");
        for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let ran = portcullis([command, &log]).env(name, value).run();
            assert!(!ran.stdout.contains(&0x1b) && !ran.stderr.contains('\u{1b}'), "{name}");
        }
        let forced = portcullis([command, &log]).env("CLICOLOR_FORCE", "1").run();
        assert!(forced.stdout.contains(&0x1b), "{command}");
        let both =
            portcullis([command, &log]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").run();
        assert!(!both.stdout.contains(&0x1b), "NO_COLOR wins");
    }
}

/// Removes `ESC [ digits and semicolons m`, and nothing else.
fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        plain += &rest[..at];
        let sequence = &rest[at + 2..];
        let end = sequence.find(|c: char| !c.is_ascii_digit() && c != ';').expect("it ends");
        assert_eq!(sequence.as_bytes()[end], b'm', "a colour and nothing else");
        rest = &sequence[end + 1..];
    }
    plain + rest
}

#[test]
fn a_reader_that_has_enough_ends_the_program_quietly() {
    let files = Files::new();
    let log = files.write("a.log", Record::default().line().repeat(50_000));
    for command in ["decode", "classify"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .env_clear()
            .args([command, &log])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut first = [0; 100];
        let mut stdout = child.stdout.take().expect("stdout is piped");
        stdout.read_exact(&mut first).expect("there is a line");
        drop(stdout);
        let output = child.wait_with_output().expect("the program ends");
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{command}");
    }
}

#[test]
fn quiet_leaves_only_errors() {
    let files = Files::new();
    let log = hostile_log(&files);
    for command in ["scan", "decode", "plan"] {
        let ran = portcullis([command, &log, "--quiet"]).run().expect_code(3);
        assert_eq!(ran.stderr, "", "{command}");
    }
    let missing = files.path("missing");
    let ran = portcullis(["scan", &missing, "-q"]).run().expect_code(1);
    assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
}

#[test]
fn what_is_wrong_with_a_command_line_is_said_in_the_colour_it_asks_for() {
    let said = |words: &[&str]| {
        let ran = portcullis(words).env("CLICOLOR_FORCE", "1").run().expect_code(64);
        assert!(ran.stderr.contains("--nope"), "{}", ran.stderr);
        ran.stderr.contains('\u{1b}')
    };
    assert!(said(&["scan", "--nope"]), "what a terminal would show");
    assert!(!said(&["scan", "--nope", "--color", "never"]));
    assert!(!said(&["--color=never", "scan", "--nope"]));
    assert!(said(&["scan", "--nope", "--color", "always"]));
}
