//! Whether a rule's examples prove anything.
//!
//! An example that fires shows that the rule finds something, a near miss that it stops
//! somewhere. A near miss without any literal of the rule never reaches the rule at all:
//! it would stay quiet whatever the expressions say. And an expression that no example
//! needs may as well be misspelt.

use super::source::Source;
use super::{Check, Finding, Level, find};
use crate::rule::{Patterns, RuleKind, RuleSet, Signature};
use crate::signature::Work;

pub(super) fn check(rules: &RuleSet, sources: &[Source<'_>], findings: &mut Vec<Finding>) {
    for failure in rules.test() {
        let Some(source) = sources.iter().find(|source| source.rule().id() == failure.rule) else {
            continue;
        };
        let name = failure.example.as_str();
        let place = source.rule().examples().iter().position(|example| example.name == name);
        let span = place.map_or(0..0, |place| source.example(place));
        let said =
            if failure.expected { "should fire and does not" } else { "fires and should not" };
        let told = (format!("this example {said}"), "mend the rule or the example".to_owned());
        find(findings, source, Check::ExampleFails, span, told);
    }
    for (index, source) in sources.iter().enumerate() {
        duplicates(source, findings);
        generated(source, findings);
        // A rate's near miss that is not counted at all proves the rate's conditions.
        if let RuleKind::Signature(signature) = source.rule().kind() {
            signature_proof(rules, index, source, signature, findings);
        }
    }
}

fn duplicates(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let examples = source.rule().examples();
    for (place, example) in examples.iter().enumerate() {
        let earlier = &examples[..place];
        if let Some(first) = earlier.iter().find(|first| first.steps == example.steps) {
            let message = format!("the same requests as in `{}`", first.name.escape_debug());
            let told = (message, "show another way to write it, or take it out".to_owned());
            find(findings, source, Check::DuplicateExample, source.example(place), told);
        }
    }
}

fn generated(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let examples = source.rule().examples();
    let generated = examples.iter().filter(|example| example.generated).count();
    let Some(first) = examples.iter().position(|example| example.generated) else { return };
    let message = format!("{generated} of {} examples are generated", examples.len());
    let fix = "replace them with requests that attackers and honest clients would send, and take \
               `generated` out";
    find(
        findings,
        source,
        Check::GeneratedExample,
        source.example(first),
        (message, fix.to_owned()),
    );
}

fn signature_proof(
    rules: &RuleSet,
    index: usize,
    source: &Source<'_>,
    signature: &Signature,
    findings: &mut Vec<Finding>,
) {
    let mut firing = Work::default();
    let mut quiet = Work::default();
    let mut idle = Vec::new();
    let mut classifier = rules.counting_classifier();
    for (place, example) in source.rule().examples().iter().enumerate() {
        for step in &example.steps {
            classifier.classify(&step.request.request());
        }
        let census = classifier.take_census().expect("the classifier counts");
        let work = census.rules.into_iter().nth(index).expect("one for each rule");
        if example.fires {
            firing.add(work);
        } else {
            idle.extend((work.candidates == 0).then_some(place));
            quiet.add(work);
        }
    }
    let level = if quiet.candidates == 0 { Level::Warning } else { Level::Note };
    for place in idle {
        let message = "this near miss holds no literal of the rule in the fields it looks at";
        let fix = "take a request that comes as near as honest clients do";
        let told = (message.to_owned(), fix.to_owned());
        find(findings, source, Check::IdleNearMiss, source.example(place), told);
        findings.last_mut().expect("one was just found").level = level;
    }
    unproved(source, "regex", &signature.patterns, firing.matched, findings);
    unproved(source, "unless", &signature.unless, quiet.withdrawn, findings);
}

/// Tells of expressions that matched in no example, by the first of them.
fn unproved(
    source: &Source<'_>,
    key: &str,
    patterns: &Patterns,
    matched: u64,
    findings: &mut Vec<Finding>,
) {
    // The last bit stands for several.
    let known = patterns.texts().len().min(63);
    let unproved: Vec<usize> = (0..known).filter(|place| matched & (1 << place) == 0).collect();
    let Some(first) = unproved.first() else { return };
    let examples = if key == "regex" { "example that fires" } else { "near miss" };
    let message = match unproved.len() {
        1 => format!("no {examples} needs this expression"),
        more => format!("no {examples} needs this expression, nor {} others", more - 1),
    };
    let told = (message, "add an example that does".to_owned());
    find(findings, source, Check::UnprovedRegex, source.element("signature", key, *first), told);
}
