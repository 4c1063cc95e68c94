//! Decides what of a Sigma rule maps, and to what.
//!
//! The condition becomes alternatives of terms that must all hold; each alternative is a
//! rule of ours, because rules are alternatives already. Within one, all text must stand
//! in one field: several texts become one expression over that field, a negation becomes
//! `unless` where the rule looks at that field alone. Methods and statuses are conditions.
//!
//! Sigma's `cs-uri-query` is read as path or query: published rules look for either with
//! it. Where a URI ends, or what stands across the `?`, cannot be asked of the two apart.

use super::Remark;
use super::condition::{self, Tree};
use super::document::{Node, Place, Value};
use super::pattern::{Pattern, Piece, decoded, required_text};

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

/// Most alternatives that one condition may come to.
const MOST_PARTS: usize = 16;

/// Most texts that must stand in one field together: their orders are all written out.
const MOST_TEXTS: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Path,
    Uri,
    UserAgent,
    Referer,
    Host,
    Anywhere,
}

impl Target {
    const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Path => &["path"],
            Self::Uri => &["path", "query"],
            Self::UserAgent => &["user_agent"],
            Self::Referer => &["referer"],
            Self::Host => &["host"],
            Self::Anywhere => &["path", "query", "user_agent", "referer"],
        }
    }

    /// Whether a plus may be a space there.
    const fn has_plus(self) -> bool {
        matches!(self, Self::Uri | Self::Referer | Self::Anywhere)
    }
}

/// What is asked of one field.
#[derive(Debug, Clone)]
struct Term {
    place: Place,
    negated: bool,
    asked: Asked,
}

#[derive(Debug, Clone)]
enum Asked {
    Text {
        fields: Vec<&'static str>,
        raw: bool,
        /// Any of them.
        patterns: Vec<Pattern>,
        /// Why others were left out.
        lost: Vec<String>,
    },
    Methods(Vec<String>),
    Statuses(Vec<String>),
}

/// A condition over terms.
enum Formula {
    Term(Term),
    Not(Box<Formula>),
    All(Vec<Formula>),
    Any(Vec<Formula>),
}

type Result<T> = std::result::Result<T, Remark>;

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

fn alternatives(document: &Node) -> Result<Vec<Vec<Term>>> {
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

fn formula(tree: &Tree, detection: &Node) -> Result<Formula> {
    let each = |trees: &[Tree]| -> Result<Vec<Formula>> {
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

/// A map means all of its fields, a list of maps any of them, a list of texts keywords.
fn selection(node: &Node) -> Result<Formula> {
    match &node.value {
        Value::Map(entries) => {
            let fields = entries.iter().map(|(key, place, node)| field(key, *place, node));
            fields.collect::<Result<_>>().map(Formula::All)
        }
        Value::List(list) if list.iter().all(|node| node.text().is_some()) => {
            let patterns = list
                .iter()
                .map(|node| (node, Pattern::read(node.text().unwrap_or_default(), false, false)));
            let asked = text(Target::Anywhere, false, patterns)?;
            Ok(Formula::Term(Term { place: node.place, negated: false, asked }))
        }
        Value::List(list) => list.iter().map(selection).collect::<Result<_>>().map(Formula::Any),
        _ => Err(Remark::refusal(node.place, "a selection is a map or a list")),
    }
}

/// `cs-uri-query|contains|all: …`
fn field(key: &str, place: Place, node: &Node) -> Result<Formula> {
    let refuse = |reason: String| Err(Remark::refusal(place, reason));
    let mut words = key.split('|');
    let name = words.next().unwrap_or_default();
    let modifiers: Vec<&str> = words.collect();
    let has = |modifier: &str| modifiers.contains(&modifier);
    let known = ["contains", "startswith", "endswith", "all", "re", "cased", "i"];
    if let Some(unknown) = modifiers.iter().find(|modifier| !known.contains(modifier)) {
        return refuse(format!("the modifier `{unknown}` has no counterpart"));
    }
    let values: Vec<(&Node, &str)> = node
        .each()
        .iter()
        .map(|node| match node.text() {
            Some(text) if !text.is_empty() => Ok((node, text)),
            _ => {
                Err(Remark::refusal(node.place, "an absent or empty value is no text to look for"))
            }
        })
        .collect::<Result<_>>()?;
    let term = |asked| Formula::Term(Term { place, negated: false, asked });
    let target = match name.to_ascii_lowercase().as_str() {
        "cs-method" | "c-method" => {
            if !modifiers.is_empty() || values.iter().any(|(_, text)| text.contains(['*', '?'])) {
                return refuse("a method is compared whole".to_owned());
            }
            return Ok(term(Asked::Methods(
                values.iter().map(|(_, text)| text.to_ascii_uppercase()).collect(),
            )));
        }
        "sc-status" => {
            if !modifiers.is_empty() {
                return refuse("a status is compared whole".to_owned());
            }
            let statuses = values.iter().map(|(node, text)| {
                status(text).ok_or_else(|| {
                    Remark::refusal(node.place, format!("`{text}` is no status and no class"))
                })
            });
            return Ok(term(Asked::Statuses(statuses.collect::<Result<_>>()?)));
        }
        "cs-uri-stem" | "c-uri-stem" | "cs-uri-path" => Target::Path,
        "cs-uri-query" | "c-uri-query" | "cs-uri" | "c-uri" => Target::Uri,
        "cs-user-agent" | "c-useragent" | "c-user-agent" | "cs-useragent" => Target::UserAgent,
        "cs-referer" | "cs-referrer" | "c-referer" => Target::Referer,
        "cs-host" => Target::Host,
        "c-ip" | "src_ip" => {
            return refuse("rules judge requests, not addresses; use never-block lists".to_owned());
        }
        _ => return refuse(format!("no log gives the field `{name}` to signatures")),
    };
    let is_regex = has("re");
    if has("i") && !is_regex {
        return refuse("the modifier `i` belongs to `re`".to_owned());
    }
    let raw = is_regex || has("cased");
    let patterns: Vec<(&Node, Pattern)> = values
        .into_iter()
        .map(|(node, text)| {
            let pattern = if is_regex {
                expression(text, has("i"), target)
            } else {
                let anywhere = has("contains");
                let (start, end) = (!anywhere && !has("endswith"), !anywhere && !has("startswith"));
                in_target(Pattern::read(text, start, end), target)
            };
            pattern.map(|pattern| (node, pattern)).map_err(|r| Remark::refusal(node.place, r))
        })
        .collect::<Result<_>>()?;
    if has("all") {
        let each = patterns
            .into_iter()
            .map(|pattern| text(target, raw, std::iter::once(pattern)).map(term));
        return each.collect::<Result<_>>().map(Formula::All);
    }
    text(target, raw, patterns.into_iter()).map(term)
}

fn expression(
    regex: &str,
    ignores_case: bool,
    target: Target,
) -> std::result::Result<Pattern, String> {
    if target == Target::Uri && regex.contains(['^', '$']) {
        return Err("an end of the URI cannot be asked of path and query apart".to_owned());
    }
    let literal = required_text(regex)
        .ok_or("the expression has no text of three letters that every match holds")?;
    let regex = regex.to_owned();
    let pieces = vec![Piece::Expression { regex, literal, ignores_case }];
    Ok(Pattern { pieces, at_start: false, at_end: false })
}

/// What a value asks of path and query apart.
fn in_target(mut pattern: Pattern, target: Target) -> std::result::Result<Pattern, String> {
    if target != Target::Uri {
        return Ok(pattern);
    }
    if pattern.at_end {
        return Err("the end of a URI is the path's end only without a query, which a rule \
                    cannot ask; use `cs-uri-stem` or `contains`"
            .to_owned());
    }
    if pattern.at_start
        && !matches!(pattern.pieces.first(), Some(Piece::Text(text)) if text.starts_with('/'))
    {
        return Err("a URI begins with `/`".to_owned());
    }
    // A question mark before a parameter stands for any character: for the one between
    // path and query too, which is in neither.
    if let [Piece::One, Piece::Text(text), ..] = &pattern.pieces[..]
        && !text.starts_with('/')
    {
        pattern.pieces.remove(0);
    }
    Ok(pattern)
}

fn text<'n>(
    target: Target,
    raw: bool,
    patterns: impl Iterator<Item = (&'n Node, Pattern)>,
) -> Result<Asked> {
    let mut fields = target.fields().to_vec();
    let mut kept = Vec::new();
    let mut lost = Vec::new();
    for (node, pattern) in patterns {
        if pattern.at_start && target == Target::Uri {
            fields = vec!["path"];
        }
        let pattern = if raw { Ok(pattern) } else { pattern.map(|text| decoded(&text)) };
        match pattern {
            Ok(pattern) if pattern.literal().is_none() => {
                let reason = "a value of nothing but wildcards is no text to look for";
                return Err(Remark::refusal(node.place, reason));
            }
            Ok(pattern) => {
                let has_plus = |piece: &Piece| matches!(piece, Piece::Text(t) if t.contains('+'));
                if !raw && target.has_plus() && pattern.pieces.iter().any(has_plus) {
                    kept.extend(pattern.clone().map(|text| Ok(text.replace('+', " "))));
                }
                kept.push(pattern);
            }
            Err(reason) => lost.push(reason),
        }
    }
    Ok(Asked::Text { fields, raw, patterns: kept, lost })
}

/// `404`, or `4xx` for `4??` and `4*`.
fn status(text: &str) -> Option<String> {
    let is_status = |text: &str| {
        text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0')
    };
    if is_status(text) {
        return Some(text.to_owned());
    }
    let class = text.strip_suffix("??").or_else(|| text.strip_suffix('*'))?;
    ["1", "2", "3", "4", "5"].contains(&class).then(|| format!("{class}xx"))
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

/// One alternative as a rule; `None` with a remark when it cannot be one.
fn part(terms: &[Term], remarks: &mut Vec<Remark>) -> Option<Part> {
    match try_part(terms, remarks) {
        Ok(part) => part,
        Err(remark) => {
            remarks.push(remark);
            None
        }
    }
}

fn try_part(terms: &[Term], remarks: &mut Vec<Remark>) -> Result<Option<Part>> {
    let mut part = Part::default();
    let mut wanted: Vec<(&Term, &[Pattern])> = Vec::new();
    let mut unwanted: Vec<(&Term, &[Pattern])> = Vec::new();
    let mut methods: Option<Vec<String>> = None;
    let mut included: Option<Vec<String>> = None;
    for term in terms {
        match &term.asked {
            Asked::Text { patterns, lost, .. } => {
                if let (true, Some(reason)) = (term.negated, lost.first()) {
                    return Err(Remark::refusal(term.place, reason.clone()));
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
) -> Result<Vec<&'static str>> {
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
