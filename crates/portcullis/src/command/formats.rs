//! `portcullis formats`: the presets, and what a format lets the rules see.
//!
//! The formats that the console offers log neither the path nor the user agent, so most
//! signatures are blind with them and nobody notices: the scan is merely quiet. This
//! command says so, and prints the line to log instead.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use portcullis_detection::{Rule, RuleSet};
use portcullis_ingest::{Field, FieldSet, LogFormat, PRESETS};
use portcullis_setup::doctor::Grade;

use super::{inert, load_rules, print};
use crate::args::Formats;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::counted;
use crate::output::table::{Align, Cell, Table, wrap};
use crate::terminal::{ATTENTION, BAD, GOOD, HEADING, Painted, Terminal};

/// The preset that shows all that API Gateway can log for the rules.
const RECOMMENDED: &str = "recommended";

pub(super) fn run(arguments: &Formats, terminal: &Terminal) -> Result<Exit, Failure> {
    match arguments {
        Formats::List => list(terminal),
        Formats::Check { format, rules } => {
            let format = crate::format::parse(format)?;
            check(&format, &load_rules(rules.as_deref())?, terminal)
        }
    }
}

fn list(terminal: &Terminal) -> Result<Exit, Failure> {
    let rules = RuleSet::builtin();
    let mut table = Table::new([
        ("FORMAT", Align::Left),
        ("RULES THAT SEE", Align::Right),
        ("WHAT IT IS", Align::Left),
    ]);
    let total = rules.rules().len();
    for preset in PRESETS {
        let format = LogFormat::preset(preset.name).expect("every preset in the list is known");
        let seeing = total - blind_rules(&rules, format.fields()).count();
        table.row(vec![
            Cell::plain(preset.name),
            // An envelope gives the fields of whatever it holds.
            Cell::plain(if format.fields().is_empty() {
                "-".to_owned()
            } else {
                format!("{seeing} of {total}")
            }),
            Cell::plain(preset.title),
        ]);
    }
    table
        .write(&mut io::stdout().lock(), terminal.width, terminal.colour)
        .map_err(|error| Failure::writing(&error))?;
    terminal.next("portcullis formats check FORMAT says which rules are blind and what to log");
    Ok(Exit::Done)
}

fn blind_rules(rules: &RuleSet, fields: FieldSet) -> impl Iterator<Item = &Rule> {
    rules.rules().iter().filter(move |rule| !rule.missing_fields(fields).is_empty())
}

fn check(format: &LogFormat, rules: &RuleSet, terminal: &Terminal) -> Result<Exit, Failure> {
    let recommended = LogFormat::preset(RECOMMENDED).expect("the recommended preset exists");
    let verdict = Verdict::of(format, &recommended, rules);
    let colour = terminal.colour;
    let painted = |text: &str, style| Painted { text, style, colour }.to_string();
    let mut text = String::new();

    let _ = writeln!(text, "{} {}", painted("Format", HEADING), inert(format.name()));
    if format.fields().is_empty() {
        // An envelope says nothing itself.
        let _ = writeln!(
            text,
            "  gives   whatever the records inside give: their format is detected; --format with the \
             stage's template, or with another preset, names it, and reads the records inside too"
        );
        return print(text.as_bytes());
    }
    let given: Vec<&str> = format.fields().iter().map(Field::name).collect();
    let _ = writeln!(text, "  gives   {}", given.join(", "));
    // What another source logs is not the operator's choice; a template is.
    let is_template = format.template().is_some();
    let missing: Vec<&str> = recommended
        .fields()
        .iter()
        .filter(|field| !format.fields().contains(*field))
        .map(Field::name)
        .collect();
    if is_template && !missing.is_empty() {
        let _ = writeln!(text, "  lacks   {}", missing.join(", "));
    }

    let total = rules.rules().len();
    let seeing = format!("{} of {total} rules can look", total - verdict.blind());
    let style = if verdict.curable.is_empty() { GOOD } else { ATTENTION };
    let _ = writeln!(text, "\n{}", painted(&seeing, style));
    let mut has_heading = false;
    for (blind, heading) in [
        (&verdict.curable, "Blind, and API Gateway could log what they need"),
        (
            &verdict.incurable,
            "Blind with every API Gateway access log (AWS WAF logs carry what they need)",
        ),
    ] {
        // A format that nobody chooses is blind in one way.
        let heading = match (is_template, has_heading) {
            (true, _) => heading,
            (false, false) => "Blind",
            (false, true) => "",
        };
        if blind.is_empty() {
            continue;
        }
        if !heading.is_empty() {
            let _ = writeln!(text, "{}", painted(heading, HEADING));
            has_heading = true;
        }
        write_blind(&mut text, blind);
    }

    if !verdict.problems.is_empty() {
        let _ = writeln!(text, "\n{}", painted("Problems", HEADING));
        for problem in &verdict.problems {
            let _ = writeln!(text, "  {} {}", painted("*", BAD), inert(problem));
        }
    }

    if !is_template {
        return print(text.as_bytes());
    }
    if verdict.is_good() {
        let _ = writeln!(text, "\nNothing that API Gateway can log for these rules is missing.");
        return print(text.as_bytes());
    }
    let template = recommended.template().expect("the recommended preset is a template");
    let heading = painted("Log this instead (one line)", HEADING);
    let _ = writeln!(text, "\n{heading}\n{}", template.trim_end());
    print(text.as_bytes())?;
    Ok(Exit::Found)
}

/// What a format comes to, for `doctor`.
pub(super) fn grade(format: &LogFormat, rules: &RuleSet) -> Grade {
    let recommended = LogFormat::preset(RECOMMENDED).expect("the recommended preset exists");
    let verdict = Verdict::of(format, &recommended, rules);
    let total = rules.rules().len();
    Grade {
        gives: format.fields(),
        curable: verdict.curable.iter().map(|(lack, rules)| (lack.clone(), rules.len())).collect(),
        seeing: total - verdict.blind(),
        rules: total,
        problems: format.warnings(),
    }
}

/// What a format comes to.
struct Verdict<'r> {
    /// Blind rules that would see with the recommended format.
    curable: BTreeMap<String, Vec<&'r str>>,
    /// Blind rules that no API Gateway format helps.
    incurable: BTreeMap<String, Vec<&'r str>>,
    problems: Vec<String>,
}

impl<'r> Verdict<'r> {
    fn of(format: &LogFormat, recommended: &LogFormat, rules: &'r RuleSet) -> Self {
        let mut verdict =
            Self { curable: BTreeMap::new(), incurable: BTreeMap::new(), problems: Vec::new() };
        for rule in blind_rules(rules, format.fields()) {
            let blind = if rule.missing_fields(recommended.fields()).is_empty() {
                &mut verdict.curable
            } else {
                &mut verdict.incurable
            };
            blind.entry(needs(rule, format.fields())).or_default().push(rule.id());
        }
        if !format.fields().contains(Field::Client) {
            verdict.problems.push(
                "there is no client address ($context.identity.sourceIp): nothing can be held \
                 against anyone"
                    .to_owned(),
            );
        }
        if !format.fields().contains(Field::Time) {
            verdict.problems.push(
                "there is no time ($context.requestTimeEpoch or $context.requestTime): no rate \
                 can be measured"
                    .to_owned(),
            );
        }
        for warning in format.warnings() {
            verdict.problems.push(warning);
        }
        verdict
    }

    fn blind(&self) -> usize {
        self.curable.values().chain(self.incurable.values()).map(Vec::len).sum()
    }

    fn is_good(&self) -> bool {
        self.curable.is_empty() && self.problems.is_empty()
    }
}

/// What a blind rule lacks, in words: `path`, `query or referer`, `client and status`.
fn needs(rule: &Rule, given: FieldSet) -> String {
    let names = |fields: FieldSet| fields.iter().map(Field::name).collect::<Vec<_>>();
    let all: FieldSet = rule.needs_all().iter().filter(|field| !given.contains(*field)).collect();
    let any = rule.needs_any();
    let mut needs = names(all);
    let alternatives = names(any).join(" or ");
    if !any.is_empty() && !any.iter().any(|field| given.contains(field)) {
        needs.push(&alternatives);
    }
    needs.join(" and ")
}

fn write_blind(text: &mut String, blind: &BTreeMap<String, Vec<&str>>) {
    for (needs, rules) in blind {
        let count = counted(rules.len() as u64, "rule", "rules");
        let _ = writeln!(text, "  for want of {needs}: {count}");
        for line in wrap(&rules.join(", "), 92) {
            let _ = writeln!(text, "    {}", line.trim_start());
        }
    }
}
