//! `portcullis rules`: list, show and test rules.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use portcullis_detection::{ExampleRequest, Measure, Rule, RuleKind, RuleSet, window_in_words};

use super::{inert, load_rules, print};
use crate::args::{Global, Rules};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::table::{Align, Cell, Table, wrap};
use crate::output::{counted, severity_style};
use crate::terminal::{BAD, FAINT, GOOD, HEADING, Painted, Terminal};

/// Width of running text where the terminal's is not known or very wide.
const TEXT_WIDTH: usize = 90;

pub(super) fn run(
    arguments: &Rules,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    match arguments {
        Rules::List { directory, rules } => {
            list(&load_rules(directory.as_deref().or(rules.as_deref()))?, terminal)
        }
        Rules::Show { id, rules } => show(id, &load_rules(rules.as_deref())?, terminal),
        Rules::ImportSigma(arguments) => super::import_sigma::run(arguments, terminal),
        Rules::Bench(arguments) => super::bench::run(arguments, global, terminal),
        Rules::Lint(arguments) => super::lint::run(arguments, terminal),
        Rules::Test { directory } => test(&load_rules(directory.as_deref())?, terminal),
    }
}

fn list(rules: &RuleSet, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut table = Table::new([
        ("RULE", Align::Left),
        ("SEVERITY", Align::Left),
        ("CONFIDENCE", Align::Left),
        ("POINTS", Align::Right),
        ("FINDS", Align::Left),
    ]);
    for rule in rules.rules() {
        table.row(vec![
            Cell::plain(rule.id()),
            Cell::styled(rule.severity().name(), severity_style(rule.severity())),
            Cell::plain(rule.confidence().name()),
            Cell::plain(rule.points().to_string()),
            Cell::plain(inert(rule.title())),
        ]);
    }
    let mut out = io::stdout().lock();
    table
        .write(&mut out, terminal.width, terminal.colour)
        .map_err(|error| Failure::writing(&error))?;
    Ok(Exit::Done)
}

fn show(id: &str, rules: &RuleSet, terminal: &Terminal) -> Result<Exit, Failure> {
    let Some(rule) = rules.rule(id) else {
        return Err(unknown_rule(id, rules));
    };
    let width = terminal.width.unwrap_or(TEXT_WIDTH).min(TEXT_WIDTH);
    let mut page = Page { text: String::new(), width, colour: terminal.colour };
    page.heading(rule.id());
    page.line("", &inert(rule.title()));
    page.line(
        "worth",
        &format!(
            "{} points: severity {}, confidence {}",
            rule.points(),
            rule.severity(),
            rule.confidence()
        ),
    );
    page.line("category", rule.category().name());
    page.line("looks at", &looks_at(rule));
    let conditions = match rule.kind() {
        RuleKind::Signature(signature) => signature.conditions(),
        RuleKind::Rate(rate) => rate.conditions(),
    };
    let only = conditions.in_words();
    if !only.is_empty() {
        page.line("only", &inert(&only));
    }
    page.line("misses", &inert(rule.misses()));
    if let Some(runbook) = rule.runbook() {
        page.line("next", &inert(runbook));
    }
    for reference in rule.references() {
        page.line("see", &inert(reference));
    }
    for fires in [true, false] {
        page.heading(if fires { "fires on" } else { "stays quiet on" });
        for example in rule.examples().iter().filter(|example| example.fires == fires) {
            let mut requests = String::new();
            for step in &example.steps {
                let times = if step.repeat > 1 {
                    format!("{} times, every {} ms: ", step.repeat, step.every_ms)
                } else {
                    String::new()
                };
                let _ = writeln!(requests, "{times}{}", shown(&step.request));
            }
            page.line(&inert(&example.name), "");
            for request in requests.lines() {
                page.line("", request);
            }
        }
    }
    page.heading("file");
    page.line("", &inert(rule.file()));
    print(page.text.as_bytes())
}

/// A page of labelled lines.
struct Page {
    text: String,
    width: usize,
    colour: bool,
}

impl Page {
    fn heading(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let heading = Painted { text, style: HEADING, colour: self.colour };
        let _ = writeln!(self.text, "{heading}");
    }

    fn line(&mut self, label: &str, text: &str) {
        let label = if text.is_empty() { label.to_owned() } else { format!("{label:<9}") };
        let label_width = if text.is_empty() { 0 } else { 9 };
        let width = self.width.saturating_sub(label_width + 2).max(20);
        let label = Painted { text: &label, style: FAINT, colour: self.colour };
        for (index, line) in wrap(text, width).iter().enumerate() {
            let _ = if index == 0 {
                writeln!(self.text, "  {label}{line}")
            } else {
                writeln!(self.text, "  {:label_width$}{line}", "")
            };
        }
    }
}

/// What a rule looks at, in words.
fn looks_at(rule: &Rule) -> String {
    match rule.kind() {
        RuleKind::Signature(signature) => {
            let subjects: Vec<&str> = signature.subjects().iter().map(|s| s.name()).collect();
            let views: Vec<&str> = signature.views().iter().map(|view| view.name()).collect();
            format!("{} ({})", subjects.join(", "), views.join(", "))
        }
        RuleKind::Rate(rate) => {
            let (threshold, by) = (rate.threshold(), rate.by());
            let window = window_in_words(rate.window_seconds());
            match rate.measure() {
                Measure::ErrorShare => format!(
                    "errors of one {by}: {threshold} % of its requests and at least {} in {window}",
                    rate.minimum()
                ),
                measure => format!("{threshold}{} of one {by} in {window}", measure.unit()),
            }
        }
    }
}

/// A request as a reader of logs would write it.
fn shown(request: &ExampleRequest) -> String {
    let mut text = request.method.as_deref().map_or_else(String::new, inert);
    let path = request.path.as_deref().map_or_else(|| "-".to_owned(), inert);
    let _ = write!(text, "{}{path}", if text.is_empty() { "" } else { " " });
    if let Some(query) = &request.query {
        let _ = write!(text, "?{}", inert(query));
    }
    if let Some(status) = request.status {
        let _ = write!(text, " → {status}");
    }
    let others = [
        ("error type", &request.error_type),
        ("user agent", &request.user_agent),
        ("referer", &request.referer),
        ("host", &request.host),
    ];
    for (name, value) in others {
        if let Some(value) = value {
            let _ = write!(text, "  {name} `{}`", inert(value));
        }
    }
    if let Some(action) = request.waf_action {
        let _ = write!(text, "  WAF {}", action.name());
    }
    text
}

fn unknown_rule(id: &str, rules: &RuleSet) -> Failure {
    let failure = Failure::because("show the rule", format!("no rule has the id `{}`", inert(id)));
    let word = id.rsplit('/').next().unwrap_or(id);
    let near: Vec<&str> = rules
        .rules()
        .iter()
        .map(Rule::id)
        .filter(|other| !word.is_empty() && other.contains(word))
        .take(5)
        .collect();
    if near.is_empty() {
        failure.hint("portcullis rules list names them all")
    } else {
        failure.hint(format!("these come near: {}", near.join(", ")))
    }
}

fn test(rules: &RuleSet, terminal: &Terminal) -> Result<Exit, Failure> {
    let failures = rules.test();
    let examples: usize = rules.rules().iter().map(|rule| rule.examples().len()).sum();
    let mut text = String::new();
    for failure in &failures {
        let word = Painted { text: "failed", style: BAD, colour: terminal.colour };
        let _ = writeln!(text, "{word}  {}\n        in {}", failure, inert(&failure.file));
    }
    let passed = examples - failures.len();
    let style = if failures.is_empty() { GOOD } else { BAD };
    let rules = counted(rules.rules().len() as u64, "rule", "rules");
    let summary = format!("{passed} of {examples} examples of {rules} hold");
    let _ = writeln!(text, "{}", Painted { text: &summary, style, colour: terminal.colour });
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| Failure::writing(&error))?;
    Ok(if failures.is_empty() { Exit::Done } else { Exit::Found })
}
