//! Makes a rule of ours of terms that must all hold.
//!
//! Within a rule all text must stand in one field: several texts become one expression over
//! that field, a negation becomes `unless` where the rule looks at that field alone. Methods
//! and statuses are conditions.

use super::document::Place;
use super::pattern::{Pattern, Piece};
use super::selection::{Asked, Term};
use super::{Mapped, Remark};

/// Most texts that must stand in one field together: their orders are all written out.
const MOST_TEXTS: usize = 3;

/// One rule of ours.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) fields: Vec<&'static str>,
    /// Whether text is compared as logged.
    pub(super) raw: bool,
    pub(super) contains: Vec<String>,
    pub(super) regex: Vec<String>,
    pub(super) unless: Vec<String>,
    pub(super) methods: Vec<String>,
    pub(super) statuses: Vec<String>,
    /// For each text that must stand there, samples of its values.
    pub(super) samples: Vec<Vec<Sample>>,
    /// A text that withdraws the hit.
    pub(super) withdrawing: Option<String>,
}

/// A text that a value matches.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) text: String,
    pub(super) at_start: bool,
    pub(super) at_end: bool,
}

/// One alternative as a rule; `None` with a remark when it cannot be one.
pub(super) fn part(terms: &[Term], remarks: &mut Vec<Remark>) -> Option<Part> {
    match try_part(terms, remarks) {
        Ok(part) => part,
        Err(remark) => {
            remarks.push(remark);
            None
        }
    }
}

fn try_part(terms: &[Term], remarks: &mut Vec<Remark>) -> Mapped<Option<Part>> {
    let mut part = Part::default();
    let mut wanted: Vec<(&Term, &[Pattern])> = Vec::new();
    let mut unwanted: Vec<(&Term, &[Pattern])> = Vec::new();
    let mut methods: Option<Vec<String>> = None;
    let mut included: Option<Vec<String>> = None;
    for term in terms {
        match &term.asked {
            Asked::Text { patterns, lost, narrowed, .. } => {
                // What withdraws less often leaves the rule wider.
                let less = lost.iter().chain(narrowed).next();
                if let (true, Some(reason)) = (term.negated, less) {
                    return Err(Remark::refusal(term.place, reason.clone()));
                }
                for reason in narrowed {
                    remarks.push(Remark::narrower(term.place, reason.clone()));
                }
                for reason in lost {
                    remarks.push(Remark::narrower(term.place, format!("left out: {reason}")));
                }
                if patterns.is_empty() {
                    return Ok(None);
                }
                if term.negated { &mut unwanted } else { &mut wanted }.push((term, patterns));
            }
            Asked::Methods(_) if term.negated => {
                return Err(Remark::refusal(term.place, "a rule cannot exclude a method"));
            }
            Asked::Methods(list) => {
                let common = methods.unwrap_or_else(|| list.clone());
                methods = Some(common.into_iter().filter(|one| list.contains(one)).collect());
            }
            Asked::Statuses(list) if term.negated => {
                part.statuses.extend(list.iter().map(|status| format!("!{status}")));
            }
            Asked::Statuses(list) => {
                if included.replace(list.clone()).is_some() {
                    let reason = "two lists of statuses that must both hold";
                    return Err(Remark::refusal(term.place, reason));
                }
            }
        }
    }
    if methods.as_ref().is_some_and(Vec::is_empty) {
        return Ok(None);
    }
    part.methods = methods.unwrap_or_default();
    part.statuses.splice(0..0, included.unwrap_or_default());
    let Some((first, _)) = wanted.first() else {
        let place = terms.first().map_or(Place { line: 1, column: 1 }, |term| term.place);
        return Err(Remark::refusal(place, "no text to look for, only conditions"));
    };
    part.fields = common_fields(&wanted, remarks)?;
    part.raw = is_raw(first);
    if let Some((other, _)) =
        wanted.iter().chain(&unwanted).find(|(term, _)| is_raw(term) != part.raw)
    {
        let reason = "text as logged and text after decoding cannot be asked for together";
        return Err(Remark::refusal(other.place, reason));
    }
    for (term, patterns) in &unwanted {
        if part.fields != fields(term) || part.fields.len() > 1 {
            let reason = "a rule can only be withdrawn by text in the one field it looks at";
            return Err(Remark::refusal(term.place, reason));
        }
        part.unless.extend(patterns.iter().map(Pattern::regex));
        part.withdrawing = patterns.first().and_then(Pattern::sample);
    }
    let texts: Vec<&[Pattern]> = wanted.iter().map(|(_, patterns)| *patterns).collect();
    if texts.len() > MOST_TEXTS {
        let reason = format!("more than {MOST_TEXTS} texts that must stand together");
        return Err(Remark::refusal(first.place, reason));
    }
    look_for(&texts, &mut part);
    Ok(Some(part))
}

fn fields(term: &Term) -> &[&'static str] {
    match &term.asked {
        Asked::Text { fields, .. } => fields,
        _ => &[],
    }
}

fn is_raw(term: &Term) -> bool {
    matches!(&term.asked, Asked::Text { raw: true, .. })
}

/// The fields in any of which all the text may stand.
fn common_fields(
    wanted: &[(&Term, &[Pattern])],
    remarks: &mut Vec<Remark>,
) -> Mapped<Vec<&'static str>> {
    let mut common: Vec<&'static str> =
        wanted.first().map_or(&[][..], |(term, _)| fields(term)).to_vec();
    for (term, _) in wanted {
        common.retain(|field| fields(term).contains(field));
        if common.is_empty() {
            let reason = "text in two different fields: a rule looks at one at a time";
            return Err(Remark::refusal(term.place, reason));
        }
    }
    if let [_, (second, _), ..] = wanted
        && wanted.iter().any(|(term, _)| fields(term).len() > 1)
    {
        let reason = format!("all of it must stand in one of {}", common.join(", "));
        remarks.push(Remark::narrower(second.place, reason));
    }
    Ok(common)
}

/// Fills in literals, expressions and samples for texts that must stand together.
fn look_for(texts: &[&[Pattern]], part: &mut Part) {
    // The literals of the text whose shortest is longest sort out most.
    let shortest = |patterns: &&&[Pattern]| {
        patterns.iter().map(|pattern| pattern.literal().map_or(0, str::len)).min()
    };
    let best = texts.iter().max_by_key(shortest).copied().unwrap_or_default();
    for pattern in best {
        let literal = pattern.literal().unwrap_or_default().to_owned();
        let ignores_case =
            matches!(pattern.pieces[..], [Piece::Expression { ignores_case: true, .. }]);
        if ignores_case {
            part.contains.extend([literal.to_ascii_lowercase(), literal.to_ascii_uppercase()]);
        }
        part.contains.push(literal);
    }
    part.contains.sort();
    part.contains.dedup();
    part.regex = match texts {
        [only] if only.iter().all(|pattern| pattern.plain().is_some()) => Vec::new(),
        [only] => only.iter().map(Pattern::regex).collect(),
        _ => orders(texts.len())
            .into_iter()
            .map(|order| {
                let groups: Vec<String> = order
                    .into_iter()
                    .map(|place| {
                        let any: Vec<String> = texts[place].iter().map(Pattern::regex).collect();
                        format!("(?:{})", any.join("|"))
                    })
                    .collect();
                groups.join("(?s:.*)")
            })
            .collect(),
    };
    part.samples = texts.iter().map(|patterns| patterns.iter().map(sample).collect()).collect();
}

fn sample(pattern: &Pattern) -> Sample {
    let literal = || pattern.literal().unwrap_or_default().to_owned();
    Sample {
        text: pattern.sample().unwrap_or_else(literal),
        at_start: pattern.at_start,
        at_end: pattern.at_end,
    }
}

/// Every order of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![Vec::new()];
    for next in 0..count {
        orders = orders
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                (0..=order.len()).map(move |place| {
                    let mut longer = order.clone();
                    longer.insert(place, next);
                    longer
                })
            })
            .collect();
    }
    orders.sort();
    orders
}
