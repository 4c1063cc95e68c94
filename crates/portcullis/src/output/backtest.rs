//! What a change of rules comes to: as tables, as JSON, and as test cases.
//!
//! Source of the `JUnit` form: the elements that continuous-integration servers read,
//! `testsuites`, `testsuite`, `testcase` and `failure`, with their usual attributes.

use std::io::{self, Write};

use portcullis_detection::{Detection, Difference, Evidence, RuleChange, RuleDifference};
use portcullis_detection::{SourceDifference, Standing};
use portcullis_ingest::{Untrusted, UntrustedBuf, redacted};

use crate::output::findings::{coverage, evidence};
use crate::output::json::{Object, Secrets};
use crate::output::table::{Align, Cell, Table};
use crate::output::{counted, source, write_not_seen};
use crate::progress::human_count;
use crate::terminal::{BAD, GOOD, HEADING, Painted, Terminal};

/// Version of the JSON document.
const SCHEMA_VERSION: u64 = 1;

/// Sources shown in the table before it only counts.
const MOST_SOURCES: usize = 30;

/// A difference, and how it is judged and shown.
pub struct Shown<'d> {
    /// What the change comes to.
    pub difference: &'d Difference,
    /// Good requests that one rule may harm.
    pub max_harm: u64,
    /// Requests or offenders that may be found no longer, if that is asked for.
    pub max_loss: Option<u64>,
    /// Whether secrets in logged text are written.
    pub secrets: Secrets,
}

impl Shown<'_> {
    /// The rules that harm more than they may.
    pub fn at_fault(&self) -> impl Iterator<Item = &RuleDifference> {
        self.difference.rules.iter().filter(|rule| self.is_at_fault(rule))
    }

    /// Whether more is found no longer than may be.
    pub fn loses_too_much(&self) -> bool {
        let lost = self.difference.totals.flagged_dropped.max(self.dropped().count() as u64);
        self.max_loss.is_some_and(|most| lost > most)
    }

    /// The sources that are offenders no longer.
    fn dropped(&self) -> impl Iterator<Item = &SourceDifference> {
        self.difference.sources.iter().filter(|source| source.is_dropped())
    }

    fn is_at_fault(&self, rule: &RuleDifference) -> bool {
        rule.harm() > self.max_harm
    }

    fn text(&self, text: &UntrustedBuf) -> String {
        let bytes = text.as_untrusted().bytes();
        match self.secrets {
            Secrets::Shown => Untrusted::new(bytes).escaped().to_string(),
            Secrets::Hidden => Untrusted::new(&redacted(bytes)).escaped().to_string(),
        }
    }

    /// One request as evidence, in one line.
    fn line(&self, evidence: &Evidence) -> String {
        let time = evidence.time.map_or("unknown time".to_owned(), |time| time.to_string());
        let object = Untrusted::new(evidence.object.as_bytes()).escaped();
        let place = format!("{time}, {object} at byte {}", evidence.offset);
        match evidence.field {
            Some(field) => format!("{field} {} ({place})", self.text(&evidence.text)),
            None => place,
        }
    }
}

/// Writes sums, rules that differ, and sources that are reported otherwise.
pub fn write_table(out: &mut impl Write, shown: &Shown<'_>, terminal: &Terminal) -> io::Result<()> {
    let difference = shown.difference;
    let totals = difference.totals;
    let colour = terminal.colour;
    writeln!(
        out,
        "{}, {} of them good; {} flagged before, {} now: {} added, {} dropped",
        counted(totals.requests, "request", "requests"),
        human_count(totals.good_requests),
        human_count(totals.flagged_old),
        human_count(totals.flagged_new),
        human_count(totals.flagged_added),
        human_count(totals.flagged_dropped),
    )?;
    let style = if totals.harm() > shown.max_harm { BAD } else { GOOD };
    let harm = format!(
        "{} harmed: {} newly flagged, {} more of sources newly offenders",
        counted(totals.harm(), "good request", "good requests"),
        human_count(totals.good_flagged),
        human_count(totals.good_behind),
    );
    writeln!(out, "{}", Painted { text: &harm, style, colour })?;
    write_rules(out, shown, terminal)?;
    write_sources(out, shown, terminal)?;
    write_not_seen(out, &difference.coverage, terminal)
}

fn write_rules(out: &mut impl Write, shown: &Shown<'_>, terminal: &Terminal) -> io::Result<()> {
    let changed = shown.difference.rules.iter().filter(|rule| rule.change != RuleChange::Same);
    let mut table = Table::new([
        ("RULE", Align::Left),
        ("CHANGE", Align::Left),
        ("REQUESTS", Align::Right),
        ("NOW", Align::Right),
        ("FLAGGED", Align::Right),
        ("HARM", Align::Right),
        ("E.G.", Align::Left),
    ]);
    let mut count = 0;
    for rule in changed {
        count += 1;
        let style = if shown.is_at_fault(rule) { BAD } else { anstyle::Style::new() };
        let mut examples: Vec<String> = Vec::new();
        for (sign, detection) in [("+", &rule.added), ("-", &rule.dropped)] {
            let first = detection.as_ref().and_then(|detection| detection.evidence.first());
            examples.extend(first.map(|evidence| format!("{sign} {}", shown.line(evidence))));
        }
        let flagged = format!("+{} -{}", rule.flagged_added, rule.flagged_dropped);
        table.row(vec![
            Cell::plain(&*rule.rule),
            Cell::plain(rule.change.name()),
            Cell::plain(human_count(rule.requests_old)),
            Cell::plain(human_count(rule.requests_new)),
            Cell::plain(flagged),
            Cell::styled(human_count(rule.harm()), style),
            Cell::plain(examples.join("\n")),
        ]);
    }
    let heading = format!("{} added, removed or changed", counted(count, "rule", "rules"));
    let heading = Painted { text: &heading, style: HEADING, colour: terminal.colour };
    writeln!(out, "\n{heading}")?;
    if count == 0 { Ok(()) } else { table.write(out, terminal.width, terminal.colour) }
}

fn write_sources(out: &mut impl Write, shown: &Shown<'_>, terminal: &Terminal) -> io::Result<()> {
    let sources = &shown.difference.sources;
    let added = sources.iter().filter(|source| source.is_added()).count() as u64;
    let dropped = sources.iter().filter(|source| source.is_dropped()).count() as u64;
    let others = sources.len() as u64 - added - dropped;
    let heading = format!(
        "{} added, {} dropped, {} with another score or standing",
        counted(added, "offender", "offenders"),
        human_count(dropped),
        counted(others, "source", "sources"),
    );
    let heading = Painted { text: &heading, style: HEADING, colour: terminal.colour };
    writeln!(out, "\n{heading}")?;
    if sources.is_empty() {
        return Ok(());
    }
    let mut table = Table::new([
        ("SOURCE", Align::Left),
        ("WAS", Align::Left),
        ("IS", Align::Left),
        ("SCORE", Align::Right),
        ("NOW", Align::Right),
        ("GOOD", Align::Right),
        ("USERS", Align::Right),
        ("WHY", Align::Left),
    ]);
    for difference in sources.iter().take(MOST_SOURCES) {
        let mut why: Vec<String> = Vec::new();
        for (sign, list) in [("+", &difference.rules_added), ("-", &difference.rules_dropped)] {
            why.extend(list.iter().map(|detection| {
                let requests = counted(detection.requests, "request", "requests");
                format!("{sign} {} ({requests})", detection.rule)
            }));
        }
        let evidence = difference.rules_added.iter().chain(&difference.rules_dropped);
        let first = evidence.flat_map(|detection| &detection.evidence).next();
        why.extend(first.map(|evidence| format!("e.g. {}", shown.line(evidence))));
        table.row(vec![
            Cell::plain(source(difference.source)),
            Cell::plain(difference.standing_old.name()),
            Cell::styled(difference.standing_new.name(), standing_style(difference)),
            Cell::plain(human_count(difference.score_old.into())),
            Cell::plain(human_count(difference.score_new.into())),
            Cell::plain(human_count(difference.good_requests)),
            Cell::plain(human_count(difference.principals)),
            Cell::plain(why.join("\n")),
        ]);
    }
    table.write(out, terminal.width, terminal.colour)?;
    match sources.len().saturating_sub(MOST_SOURCES) {
        0 => Ok(()),
        more => writeln!(out, "and {more} more; -o json shows all"),
    }
}

fn standing_style(difference: &SourceDifference) -> anstyle::Style {
    match difference.standing_new {
        Standing::Offender if difference.is_added() => BAD,
        _ => anstyle::Style::new(),
    }
}

/// Writes one document and a line feed.
pub fn write_json(out: &mut Vec<u8>, shown: &Shown<'_>) {
    let difference = shown.difference;
    let totals = difference.totals;
    let mut document = Object::open(out, shown.secrets);
    document.number("schema_version", SCHEMA_VERSION);
    document.object("coverage", |object| coverage(object, &difference.coverage, None));
    document.object("totals", |object| {
        object.number("requests", totals.requests);
        object.number("good_requests", totals.good_requests);
        object.number("flagged_old", totals.flagged_old);
        object.number("flagged_new", totals.flagged_new);
        object.number("flagged_added", totals.flagged_added);
        object.number("flagged_dropped", totals.flagged_dropped);
        object.number("good_requests_flagged", totals.good_flagged);
        object.number("good_requests_of_added_offenders", totals.good_behind);
        object.number("harm", totals.harm());
    });
    document.number("max_harm", shown.max_harm);
    document.objects("rules", &difference.rules, |object, rule| {
        object.text("rule", &rule.rule);
        object.text("change", rule.change.name());
        object.text("kind", if rule.is_rate { "rate" } else { "signature" });
        object.number("requests_old", rule.requests_old);
        object.number("requests_new", rule.requests_new);
        object.number("flagged_added", rule.flagged_added);
        object.number("flagged_dropped", rule.flagged_dropped);
        object.number("good_requests_flagged", rule.good_flagged);
        object.number("good_requests_of_added_offenders", rule.good_behind);
        object.number("harm", rule.harm());
        object.boolean("at_fault", shown.is_at_fault(rule));
        let offenders: Vec<String> = rule.offenders_added.iter().map(|one| source(*one)).collect();
        object.texts("offenders_added", offenders.iter().map(String::as_str));
        for (name, detection) in [("added", &rule.added), ("dropped", &rule.dropped)] {
            if let Some(detection) = detection {
                object.object(name, |object| write_detection(object, detection));
            }
        }
    });
    document.objects("sources", &difference.sources, |object, of| {
        object.text("source", &source(of.source));
        object.text("standing_old", of.standing_old.name());
        object.text("standing_new", of.standing_new.name());
        object.number("score_old", of.score_old);
        object.number("score_new", of.score_new);
        object.number("good_requests", of.good_requests);
        object.number("principals", of.principals);
        object.objects("rules_added", &of.rules_added, write_rule);
        object.objects("rules_dropped", &of.rules_dropped, write_rule);
    });
    document.close();
    out.push(b'\n');
}

fn write_rule(object: &mut Object<'_>, detection: &Detection) {
    object.text("rule", &detection.rule);
    write_detection(object, detection);
}

fn write_detection(object: &mut Object<'_>, detection: &Detection) {
    object.number("requests", detection.requests);
    let with_rule = detection.evidence.iter().map(|one| (detection, one));
    object.objects("evidence", with_rule, evidence);
}

/// Writes a test case for each rule, which fails when the rule harms more than it may, and one
/// for what is found no longer, where a limit is set for it.
pub fn write_junit(out: &mut impl Write, shown: &Shown<'_>) -> io::Result<()> {
    let rules = &shown.difference.rules;
    let failures = shown.at_fault().count() + usize::from(shown.loses_too_much());
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    let tests = rules.len() + usize::from(shown.max_loss.is_some());
    let counts = format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"0\"");
    writeln!(out, "<testsuites name=\"portcullis backtest\" {counts}>")?;
    writeln!(out, "  <testsuite name=\"rules\" {counts} skipped=\"0\">")?;
    for rule in rules {
        let name = escaped(&rule.rule);
        let case = format!("<testcase classname=\"portcullis.backtest\" name=\"{name}\"");
        if !shown.is_at_fault(rule) {
            writeln!(out, "    {case}/>")?;
            continue;
        }
        let message = format!(
            "{} rule harms {}, more than {}",
            rule.change,
            counted(rule.harm(), "good request", "good requests"),
            human_count(shown.max_harm)
        );
        writeln!(out, "    {case}>")?;
        writeln!(out, "      <failure type=\"harm\" message=\"{}\">", escaped(&message))?;
        writeln!(out, "good requests newly flagged: {}", rule.good_flagged)?;
        writeln!(out, "other good requests of sources newly offenders: {}", rule.good_behind)?;
        for offender in &rule.offenders_added {
            writeln!(out, "newly an offender: {}", source(*offender))?;
        }
        for evidence in rule.added.iter().flat_map(|detection| &detection.evidence) {
            writeln!(out, "fires on: {}", escaped(&shown.line(evidence)))?;
        }
        writeln!(out, "      </failure>\n    </testcase>")?;
    }
    if let Some(most) = shown.max_loss {
        write_loss(out, shown, most)?;
    }
    writeln!(out, "  </testsuite>\n</testsuites>")
}

fn write_loss(out: &mut impl Write, shown: &Shown<'_>, most: u64) -> io::Result<()> {
    let case = "<testcase classname=\"portcullis.backtest\" name=\"loss\"";
    if !shown.loses_too_much() {
        return writeln!(out, "    {case}/>");
    }
    let message = format!(
        "{} and {} found no longer, more than {}",
        counted(shown.difference.totals.flagged_dropped, "flagged request", "flagged requests"),
        counted(shown.dropped().count() as u64, "offender", "offenders"),
        human_count(most)
    );
    writeln!(out, "    {case}>")?;
    writeln!(out, "      <failure type=\"loss\" message=\"{}\">", escaped(&message))?;
    for lost in shown.dropped() {
        writeln!(out, "no longer an offender: {}", source(lost.source))?;
    }
    for rule in shown.difference.rules.iter().filter(|rule| rule.flagged_dropped > 0) {
        let requests = counted(rule.flagged_dropped, "request", "requests");
        writeln!(out, "no longer flagged by {}: {requests}", escaped(&rule.rule))?;
    }
    writeln!(out, "      </failure>\n    </testcase>")
}

/// Text inside XML. What control characters it had are escapes already.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ => escaped.push(character),
        }
    }
    escaped
}
