//! Looks for what is wrong with rules that load, and with those that do not.
//!
//! A rule can be well-formed and still be worth little: it costs more than it finds, says
//! what another says already, looks at what a log never holds, or proves itself with
//! examples that prove nothing. None of that is an error in one file; most of it shows
//! only against the other rules, or against what honest clients send. What honest clients
//! send is taken from the near misses of all rules, the built-in ones included.
//!
//! Every finding has a place, a reason and a remedy. A rule's author who knows better says
//! so in the file, with a reason: `# lint: allow common-literal: every template has one`.
//!
//! Whether examples hold is [`RuleSet::test`]'s; here a failure is one finding more.

mod allow;
mod blindness;
mod cost;
mod examples;
mod overlap;
mod source;

use std::fmt;

use portcullis_ingest::FieldSet;

use crate::level::named;
use crate::rule::{RuleError, RuleSet, Spot, write_caret};
use source::Source;

named! {
    /// How much a finding matters.
    Level {
        /// Worth knowing.
        Note = "note",
        /// Makes the rule worse than it looks.
        Warning = "warning",
        /// The rule set is refused, or a rule contradicts its own proof.
        Error = "error",
    }
}

macro_rules! checks {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $level:ident, $about:literal;)+) => {
        named! {
            /// What is looked for.
            Check { $($(#[$doc])* #[doc = $about] $variant = $name,)+ }
        }

        impl Check {
            /// What a finding means, in one sentence.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$variant => $about,)+ }
            }

            /// The level of its findings, unless a finding says otherwise.
            pub const fn level(self) -> Level {
                match self { $(Self::$variant => Level::$level,)+ }
            }
        }
    };
}

checks! {
    DoesNotLoad = "does-not-load", Error,
        "The file is no rule, and one such file refuses the whole set.";
    ExampleFails = "example-fails", Error,
        "An example comes out otherwise than its rule says.";
    Blind = "blind", Warning,
        "The log format lacks what the rule looks at, so the rule can never fire.";
    Category = "category-is-not-the-directory", Warning,
        "The rule stands in the directory of another category.";
    CommonLiteral = "common-literal", Warning,
        "A literal stands in so much honest traffic that it sorts out little.";
    HeavyRegex = "heavy-regex", Warning,
        "A compiled expression is so large that searching it is slow.";
    LongLimit = "long-limit", Warning,
        "An expression counts many bytes behind what may stand among them: text full of it is slow.";
    ImpossibleLiteral = "impossible-literal", Warning,
        "A literal never stands in the views the rule looks at.";
    RedundantLiteral = "redundant-literal", Note,
        "A literal holds another literal of the same rule, so it adds nothing.";
    Overlap = "overlap", Note,
        "Another rule, worth as much, fires wherever this one does.";
    IdleNearMiss = "idle-near-miss", Note,
        "A near miss holds no literal of the rule, so it proves little; if none does, nothing.";
    DuplicateExample = "duplicate-example", Warning,
        "Two examples of one rule are the same requests.";
    GeneratedExample = "generated-example", Warning,
        "Examples were derived from the rule itself and say nothing of real clients.";
    UnprovedRegex = "unproved-regex", Note,
        "No example that fires needs this expression, or no near miss this exception.";
    MissingRunbook = "missing-runbook", Note,
        "Nothing says what an analyst checks when the rule fires.";
    Allowance = "allowance", Warning,
        "A comment that allows a finding is malformed, or there is no such finding.";
}

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked for.
    pub check: Check,
    /// How much it matters.
    pub level: Level,
    /// The rule's id, where the file is a rule.
    pub rule: Option<String>,
    /// The file, as given.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// How many characters of the line are meant, at least 1.
    pub width: u32,
    /// The line itself.
    pub source_line: String,
    /// What is wrong, as a fragment in lower case.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl fmt::Display for Finding {
    /// Place, message, line, carets and remedy, over several lines without a line feed at
    /// the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        write_caret(f, (self.line, self.column, self.width), &self.source_line, "")?;
        if !self.fix.is_empty() {
            write!(f, "\n  fix: {}", self.fix)?;
        }
        Ok(())
    }
}

/// A log format, as far as rules care.
#[derive(Debug, Clone)]
pub struct Given {
    /// Its name.
    pub format: String,
    /// The fields it gives.
    pub fields: FieldSet,
}

/// Against which formats blindness is judged.
#[derive(Debug, Clone)]
pub enum Formats {
    /// These are what will be read: a rule that is blind with any of them is told.
    Asked(Vec<Given>),
    /// These are all that are known: a rule that is blind with every one is told.
    Known(Vec<Given>),
}

/// What a lint came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Rules that were looked at.
    pub rules: usize,
    /// By file, line, column and check.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Adds files that could not be read as text.
    pub fn add_unreadable(&mut self, errors: Vec<RuleError>) {
        self.findings.extend(errors.into_iter().map(does_not_load));
        self.sort();
    }

    fn sort(&mut self) {
        self.findings.sort_by(|a, b| {
            let place = |of: &Finding| (of.line, of.column, of.check);
            a.file.cmp(&b.file).then(place(a).cmp(&place(b))).then(a.message.cmp(&b.message))
        });
    }

    /// How many findings are of that level.
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }
}

/// Looks at rules in `(file, text)` pairs, as [`RuleSet::load`] takes them. Rules of which
/// one does not load are still looked at without it.
pub fn lint(files: impl IntoIterator<Item = (String, String)>, formats: &Formats) -> Report {
    let (rules, errors) = RuleSet::load_sound(files);
    let sources: Vec<Source<'_>> = rules.rules().iter().map(Source::of).collect();
    let mut findings = Vec::new();
    for source in &sources {
        about_the_file(source, &mut findings);
    }
    blindness::check(&sources, formats, &mut findings);
    examples::check(&rules, &sources, &mut findings);
    cost::check(&rules, &sources, &mut findings);
    overlap::check(&rules, &sources, &mut findings);
    let mut findings = allow::apply(&sources, findings);
    findings.extend(errors.into_iter().map(does_not_load));
    let mut report = Report { rules: rules.rules().len(), findings };
    report.sort();
    report
}

/// Gathers findings of one rule.
fn find(
    findings: &mut Vec<Finding>,
    source: &Source<'_>,
    check: Check,
    span: std::ops::Range<usize>,
    (message, fix): (String, String),
) {
    let Spot { line, column, width, source_line } = Spot::at(source.text(), span);
    findings.push(Finding {
        check,
        level: check.level(),
        rule: Some(source.rule().id().to_owned()),
        file: source.rule().file().to_owned(),
        line,
        column,
        width,
        source_line,
        message,
        fix,
    });
}

fn does_not_load(error: RuleError) -> Finding {
    let label = error.kind.label();
    let hint = error.kind.hint();
    let fix = [label, hint.unwrap_or_default()];
    let fix: Vec<String> = fix.into_iter().filter(|text| !text.is_empty()).collect();
    Finding {
        check: Check::DoesNotLoad,
        level: Level::Error,
        rule: None,
        message: error.kind.to_string(),
        fix: fix.join("; "),
        file: error.file,
        line: error.line,
        column: error.column,
        width: error.width,
        source_line: error.source_line,
    }
}

fn about_the_file(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let rule = source.rule();
    let directory = rule.id().rsplit_once('/').map_or("", |(directory, _)| directory);
    let first = directory.split('/').next().unwrap_or_default();
    let category = rule.category().name();
    if first != category {
        let message = format!("category `{category}` in the directory `{first}`");
        let fix = format!("move the file below `{category}/`, or change the category");
        find(findings, source, Check::Category, source.value("", "category"), (message, fix));
    }
    if rule.runbook().is_none() {
        let message = "no runbook".to_owned();
        let fix = "say in `runbook` what tells a true case from a false alarm".to_owned();
        find(findings, source, Check::MissingRunbook, source.value("", "id"), (message, fix));
    }
}

#[cfg(test)]
mod tests;
