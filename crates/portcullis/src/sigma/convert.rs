//! Decides what of a Sigma rule maps, and to what.
//!
//! The condition becomes alternatives of terms that must all hold; each alternative is a
//! rule of ours, because rules are alternatives already. What a selection asks is read in
//! `selection`, and what one alternative is as a rule in `part`.

use super::condition::{self, Tree};
use super::document::Node;
use super::part::{Part, part};
use super::selection::{Formula, Term, selection};
use super::{Mapped, Remark};

/// Most alternatives that one condition may come to.
const MOST_PARTS: usize = 16;

/// The rules that a document becomes, and what could not be carried over.
pub(super) fn parts(document: &Node) -> (Vec<Part>, Vec<Remark>) {
    let mut remarks = Vec::new();
    let parts = match alternatives(document) {
        Ok(alternatives) => {
            alternatives.iter().filter_map(|terms| part(terms, &mut remarks)).collect()
        }
        Err(remark) => {
            remarks.push(remark);
            Vec::new()
        }
    };
    if parts.is_empty() && !remarks.iter().any(|remark: &Remark| remark.refuses) {
        remarks.push(Remark::refusal(document.place, "nothing of it can be carried over"));
    }
    remarks.sort_by(|a, b| a.place.cmp(&b.place).then_with(|| a.reason.cmp(&b.reason)));
    remarks.dedup();
    (parts, remarks)
}

fn alternatives(document: &Node) -> Mapped<Vec<Vec<Term>>> {
    let refuse = |place, reason: &str| Err(Remark::refusal(place, reason));
    if document.map().is_none() {
        return refuse(document.place, "no rule: not a map of keys");
    }
    for (key, reason) in [
        ("action", "collections of rules are not supported"),
        ("correlation", "a correlation of events is no signature"),
        ("filter", "a filter changes other rules and is none"),
    ] {
        if let Some(node) = document.get(key) {
            return refuse(node.place, reason);
        }
    }
    let source = document.get("logsource");
    let category = source.and_then(|source| source.get("category"));
    if category.and_then(Node::text) != Some("webserver") {
        let place = category.or(source).map_or(document.place, |node| node.place);
        return refuse(place, "the log source is not `category: webserver`");
    }
    let Some(detection) = document.get("detection") else {
        return refuse(document.place, "there is no `detection`");
    };
    let entries = detection.map().unwrap_or_default();
    if let Some((_, place, _)) = entries.iter().find(|(name, ..)| name == "timeframe") {
        return refuse(*place, "a time frame counts events, and is no signature");
    }
    let Some(condition) = detection.get("condition") else {
        return refuse(detection.place, "there is no `condition`");
    };
    let names: Vec<&str> = entries
        .iter()
        .map(|(name, ..)| name.as_str())
        .filter(|name| *name != "condition")
        .collect();
    let mut formulas = Vec::new();
    for one in condition.each() {
        let text = one.text().unwrap_or_default();
        let tree =
            condition::read(text, &names).map_err(|reason| Remark::refusal(one.place, reason))?;
        formulas.push(formula(&tree, detection)?);
    }
    let alternatives = normal_form(&Formula::Any(formulas), false);
    alternatives
        .filter(|list| list.len() <= MOST_PARTS)
        .ok_or_else(|| Remark::refusal(condition.place, "the condition has too many alternatives"))
}

fn formula(tree: &Tree, detection: &Node) -> Mapped<Formula> {
    let each = |trees: &[Tree]| -> Mapped<Vec<Formula>> {
        trees.iter().map(|tree| formula(tree, detection)).collect()
    };
    Ok(match tree {
        Tree::Not(tree) => Formula::Not(Box::new(formula(tree, detection)?)),
        Tree::All(trees) => Formula::All(each(trees)?),
        Tree::Any(trees) => Formula::Any(each(trees)?),
        Tree::Name(name) => {
            let node = detection.get(name).expect("conditions name selections that exist");
            selection(node)?
        }
    })
}

/// Alternatives of terms that must all hold; `None` when there are far too many.
fn normal_form(formula: &Formula, negated: bool) -> Option<Vec<Vec<Term>>> {
    let (parts, any) = match formula {
        Formula::Term(term) => {
            return Some(vec![vec![Term { negated: negated != term.negated, ..term.clone() }]]);
        }
        Formula::Not(formula) => return normal_form(formula, !negated),
        Formula::All(parts) => (parts, negated),
        Formula::Any(parts) => (parts, !negated),
    };
    let parts: Vec<Vec<Vec<Term>>> =
        parts.iter().map(|part| normal_form(part, negated)).collect::<Option<_>>()?;
    if any {
        return Some(parts.into_iter().flatten().collect());
    }
    let mut product: Vec<Vec<Term>> = vec![Vec::new()];
    for part in parts {
        if product.len() * part.len() > MOST_PARTS * MOST_PARTS {
            return None;
        }
        product = product
            .iter()
            .flat_map(|before| {
                part.iter().map(move |terms| before.iter().chain(terms).cloned().collect())
            })
            .collect();
    }
    Some(product)
}
