//! Rules that cost more than they should, and literals that do nothing.
//!
//! The cost of a rule is the text its expressions are given to read: a literal that stands
//! in every other honest request hands them every other request. Which literals do is
//! measured on the near misses of all rules, the built-in ones included: they are the
//! nearest to honest traffic that a rule set carries with it, and always the same.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_ingest::FieldSet;

use super::source::Source;
use super::{Check, Finding, find};
use crate::rule::{ExampleRequest, Patterns, Place, Rule, RuleKind, RuleSet, Signature};
use crate::signature::FIELDS;
use crate::view::View;

/// Share of near misses of other rules, as one in this many, from which a literal is
/// common. Near misses are chosen to hold odd text, so honest traffic lies below.
const COMMON_SHARE: u64 = 20;

/// The same for one or two letters or digits, which ids and words hold by chance.
const COMMON_SHARE_IF_SHORT: u64 = 50;

/// Near misses below which a share says nothing.
const LEAST_NEAR_MISSES: u64 = 50;

/// Bytes a compiled expression may take before it counts as heavy: larger ones seldom keep
/// their states in the caches, and search several times slower.
const HEAVY_BYTES: usize = 256 << 10;

pub(super) fn check(rules: &RuleSet, sources: &[Source<'_>], findings: &mut Vec<Finding>) {
    let common = CommonLiterals::of(rules);
    for (index, source) in sources.iter().enumerate() {
        let RuleKind::Signature(signature) = source.rule().kind() else {
            continue;
        };
        for literal in signature.literals() {
            let key = literal.place().name();
            let at = || source.text_element("signature", key, literal.text());
            if let Some((seen, of)) = common.share(index, literal.text()) {
                let message = format!("stands in {seen} of {of} near misses of other rules");
                let fix = "take a longer literal that every true case holds, or narrow `fields`";
                let told = (message, fix.to_owned());
                find(findings, source, Check::CommonLiteral, at(), told);
            }
            if let Some(told) = impossible(signature, literal.text(), literal.place()) {
                find(findings, source, Check::ImpossibleLiteral, at(), told);
            }
            if let Some(other) = redundant(signature, literal.text(), literal.place()) {
                let message = format!("wherever this stands, `{}` does", other.escape_debug());
                let told = (message, "take it out".to_owned());
                find(findings, source, Check::RedundantLiteral, at(), told);
            }
        }
        for (key, patterns) in [("regex", &signature.patterns), ("unless", &signature.unless)] {
            for (place, text) in patterns.texts().iter().enumerate() {
                let bytes = Patterns::compiled_bytes(text);
                if bytes > HEAVY_BYTES {
                    let message = format!("takes more than {} KiB compiled", bytes >> 11);
                    let fix = "shorten what is counted (`{0,400}`) or what is alternated";
                    let span = source.element("signature", key, place);
                    find(findings, source, Check::HeavyRegex, span, (message, fix.to_owned()));
                }
                if let Some(limit) = Patterns::long_limit(text) {
                    let message = format!("counts {limit} bytes, among which it may begin again");
                    let fix = "exclude a byte of what stands before it, shorten the limit, or \
                               leave it out (`*`)";
                    let span = source.element("signature", key, place);
                    find(findings, source, Check::LongLimit, span, (message, fix.to_owned()));
                }
            }
        }
    }
}

/// In how many near misses of other rules each literal made its rule a candidate.
struct CommonLiterals {
    seen: BTreeMap<(usize, Vec<u8>), u64>,
    /// For each rule, near misses of others that have a field it looks at.
    near_misses: Vec<u64>,
}

impl CommonLiterals {
    fn of(rules: &RuleSet) -> Self {
        let mut common = Self { seen: BTreeMap::new(), near_misses: vec![0; rules.rules().len()] };
        let mut classifier = rules.counting_classifier();
        let builtin = RuleSet::builtin();
        let other_sets = builtin.rules().iter().filter(|rule| rules.rule(rule.id()).is_none());
        let mut done: BTreeSet<Vec<u8>> = BTreeSet::new();
        for rule in rules.rules().iter().chain(other_sets) {
            for request in near_misses(rule) {
                // The same request in two rules is one request.
                if !done.insert(format!("{request:?}").into_bytes()) {
                    continue;
                }
                classifier.classify(&request.request());
                let census = classifier.take_census().expect("the classifier counts");
                let given = fields(request);
                for (index, work) in census.rules.into_iter().enumerate() {
                    let of_index = &rules.rules()[index];
                    let looks_at = of_index.needs_any();
                    if of_index.id() == rule.id() || !given.iter().any(|f| looks_at.contains(f)) {
                        continue;
                    }
                    common.near_misses[index] += 1;
                    for literal in work.literals.into_keys() {
                        *common.seen.entry((index, literal)).or_default() += 1;
                    }
                }
            }
        }
        common
    }

    /// How often a literal was seen and in how many near misses, if it is common.
    fn share(&self, rule: usize, literal: &str) -> Option<(u64, u64)> {
        let of = self.near_misses[rule];
        let key = (rule, literal.as_bytes().to_ascii_lowercase());
        let seen = self.seen.get(&key).copied().unwrap_or(0);
        let is_short = literal.len() <= 2 && literal.bytes().all(|b| b.is_ascii_alphanumeric());
        let share = if is_short { COMMON_SHARE_IF_SHORT } else { COMMON_SHARE };
        (of >= LEAST_NEAR_MISSES && seen * share >= of).then_some((seen, of))
    }
}

fn near_misses(rule: &Rule) -> impl Iterator<Item = &ExampleRequest> {
    let is_signature = matches!(rule.kind(), RuleKind::Signature(_));
    let quiet = rule.examples().iter().filter(move |example| is_signature && !example.fires);
    quiet.flat_map(|example| example.steps.iter().map(|step| &step.request))
}

fn fields(request: &ExampleRequest) -> FieldSet {
    let request = request.request();
    FIELDS.into_iter().filter(|field| request.text(*field).is_some()).collect()
}

/// Why a literal never stands in the rule's views, if it does not.
fn impossible(signature: &Signature, text: &str, place: Place) -> Option<(String, String)> {
    let in_view = |view: View| match view {
        View::Raw | View::Decoded => None,
        View::Path => ["\\", "//", "/./"].into_iter().find(|gone| text.contains(*gone)),
        View::Folded => ["  ", "\t", "\n"].into_iter().find(|gone| text.contains(*gone)),
    };
    if place == Place::Segment && text.contains("//") {
        return Some(("no segment holds `//`".to_owned(), "write one slash".to_owned()));
    }
    let gone: Option<Vec<&str>> = signature.views().iter().map(|view| in_view(*view)).collect();
    let gone = *gone?.first()?;
    let views: Vec<&str> = signature.views().iter().map(|view| view.name()).collect();
    let message = format!("the view {} holds no `{}`", views.join(" or "), gone.escape_debug());
    Some((message, "write the literal as the view has it".to_owned()))
}

/// Another literal that stands wherever this one does.
fn redundant<'s>(signature: &'s Signature, text: &str, place: Place) -> Option<&'s str> {
    let others = signature.literals().iter().filter(|other| other.text() != text);
    let implied = others.filter(|other| match other.place() {
        Place::Anywhere => text.contains(other.text()),
        Place::Start => place == Place::Start && text.starts_with(other.text()),
        Place::End => place == Place::End && text.ends_with(other.text()),
        Place::Word | Place::Segment => false,
    });
    implied.map(crate::rule::Literal::text).next()
}
