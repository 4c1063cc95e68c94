//! Rules that say what another says already.
//!
//! Two rules about one trick are no fault: they agree, and of one category their points
//! are capped. A rule is worth nothing when another one, worth as much, fires wherever it
//! does. Where the two rules show that by what they look for, it is certain; where only
//! all examples agree, it is a question to their author.

use std::collections::BTreeSet;

use super::source::Source;
use super::{Check, Finding, Level, find};
use crate::rule::{Conditions, Measure, Place, Rate, Rule, RuleKind, RuleSet, Signature};

pub(super) fn check(rules: &RuleSet, sources: &[Source<'_>], findings: &mut Vec<Finding>) {
    let fired: Vec<BTreeSet<usize>> =
        rules.rules().iter().map(|rule| on_every_example(rules, rule)).collect();
    for (index, source) in sources.iter().enumerate() {
        let rule = source.rule();
        let others = rules.rules().iter().enumerate().filter(|(other, of)| {
            *other != index
                && of.category() == rule.category()
                && of.points() >= rule.points()
                // Of two that are alike, the second is one too many.
                && (of.points() > rule.points() || *other < index || !says(rule, of))
        });
        let mut by_examples = Vec::new();
        let mut certain = false;
        for (other, of) in others {
            if says(of, rule) {
                certain = true;
                let message =
                    format!("`{}` fires wherever this rule does, and is worth as much", of.id());
                let fix = "take the rule out, or make it worth more than the other".to_owned();
                let span = source.value("", "id");
                find(findings, source, Check::Overlap, span, (message, fix));
                findings.last_mut().expect("one was just found").level = Level::Warning;
            } else if fired[index].contains(&other) {
                by_examples.push(of.id());
            }
        }
        if let (false, [first, ..]) = (certain, &by_examples[..]) {
            let message =
                format!("`{first}` fires on every example of this rule, and is worth as much");
            let fix = "add an example that only this rule finds; if there is none, take it out";
            let span = source.value("", "id");
            find(findings, source, Check::Overlap, span, (message, fix.to_owned()));
        }
    }
}

/// The rules that fire on every firing example of a signature.
fn on_every_example(rules: &RuleSet, rule: &Rule) -> BTreeSet<usize> {
    let mut classifier = rules.classifier();
    if !matches!(rule.kind(), RuleKind::Signature(_)) {
        return BTreeSet::new();
    }
    let firing = rule.examples().iter().filter(|example| example.fires);
    let sets = firing.flat_map(|example| &example.steps).map(|step| {
        let verdict = classifier.classify(&step.request.request());
        verdict.hits().iter().map(|hit| hit.rule).collect::<BTreeSet<usize>>()
    });
    sets.reduce(|common, set| common.intersection(&set).copied().collect()).unwrap_or_default()
}

/// Whether `wide` certainly fires wherever `narrow` does, by what they look for.
fn says(wide: &Rule, narrow: &Rule) -> bool {
    match (wide.kind(), narrow.kind()) {
        (RuleKind::Signature(wide), RuleKind::Signature(narrow)) => signature_says(wide, narrow),
        (RuleKind::Rate(wide), RuleKind::Rate(narrow)) => rate_says(wide, narrow),
        _ => false,
    }
}

fn signature_says(wide: &Signature, narrow: &Signature) -> bool {
    let looks = narrow.subjects.iter().all(|subject| wide.subjects.contains(subject))
        && narrow.views.iter().all(|view| wide.views.contains(view));
    let sorts_out_no_more =
        wide.conditions == Conditions::default() || wide.conditions == narrow.conditions;
    let finds = narrow.literals.iter().all(|text| {
        wide.literals.iter().any(|other| {
            other == text || (other.place == Place::Anywhere && text.text.contains(&other.text))
        })
    });
    let same_or_none = |wide: &[String], narrow: &[String]| {
        wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(|text| wide.contains(text)))
    };
    looks
        && sorts_out_no_more
        && finds
        && !narrow.literals.is_empty()
        && same_or_none(wide.patterns.texts(), narrow.patterns.texts())
        && (wide.unless_whole.is_none() || wide.unless_whole == narrow.unless_whole)
        && wide.unless.texts().iter().all(|text| narrow.unless.texts().contains(text))
        && (wide.tokens.is_none() || wide.tokens == narrow.tokens)
}

fn rate_says(wide: &Rate, narrow: &Rate) -> bool {
    let counted = |rate: &Rate| Rate {
        threshold: 0,
        window_seconds: 0,
        quiet_seconds: 0,
        minimum: 0,
        ..rate.clone()
    };
    let alike = counted(wide) == counted(narrow);
    // A longer window holds more, but not a larger share.
    let windows = wide.window_seconds == narrow.window_seconds
        || (wide.measure != Measure::ErrorShare && wide.window_seconds > narrow.window_seconds);
    alike && windows && wide.threshold <= narrow.threshold && wide.minimum <= narrow.minimum
}
