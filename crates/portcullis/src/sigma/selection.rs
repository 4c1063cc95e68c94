//! Reads what a selection of a Sigma rule asks of which field.
//!
//! Sigma's `cs-uri-query` is read as path or query: published rules look for either with
//! it. Where a URI ends cannot be asked of the two; what else cannot is in `apart`.

use super::apart;
use super::document::{Node, Place, Value};
use super::pattern::{Pattern, Piece, decoded, required_text};
use super::{Mapped, Remark};

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

    /// Whether a value of it may lie across path and query.
    const fn is_apart(self) -> bool {
        matches!(self, Self::Uri | Self::Anywhere)
    }

    /// Whether slashes and the like divide what stands there.
    const fn is_divided(self) -> bool {
        matches!(self, Self::Path | Self::Uri | Self::Referer | Self::Anywhere)
    }

    /// Whether a plus may be a space there.
    const fn has_plus(self) -> bool {
        matches!(self, Self::Uri | Self::Referer | Self::Anywhere)
    }
}

/// What is asked of one field.
#[derive(Debug, Clone)]
pub(super) struct Term {
    pub(super) place: Place,
    pub(super) negated: bool,
    pub(super) asked: Asked,
}

#[derive(Debug, Clone)]
pub(super) enum Asked {
    Text {
        fields: Vec<&'static str>,
        raw: bool,
        /// Any of them.
        patterns: Vec<Pattern>,
        /// Why others were left out.
        lost: Vec<String>,
        /// Why some of them are found less often than Sigma finds them.
        narrowed: Vec<String>,
    },
    Methods(Vec<String>),
    Statuses(Vec<String>),
}

/// A condition over terms.
pub(super) enum Formula {
    Term(Term),
    Not(Box<Formula>),
    All(Vec<Formula>),
    Any(Vec<Formula>),
}

/// A map means all of its fields, a list of maps any of them, a list of texts keywords.
pub(super) fn selection(node: &Node) -> Mapped<Formula> {
    match &node.value {
        Value::Map(entries) => {
            let fields = entries.iter().map(|(key, place, node)| field(key, *place, node));
            fields.collect::<Mapped<_>>().map(Formula::All)
        }
        Value::List(list) if list.iter().all(|node| node.text().is_some()) => {
            let patterns = list
                .iter()
                .map(|node| (node, Pattern::read(node.text().unwrap_or_default(), false, false)));
            let asked = text(Target::Anywhere, false, patterns)?;
            Ok(Formula::Term(Term { place: node.place, negated: false, asked }))
        }
        Value::List(list) => list.iter().map(selection).collect::<Mapped<_>>().map(Formula::Any),
        _ => Err(Remark::refusal(node.place, "a selection is a map or a list")),
    }
}

/// `cs-uri-query|contains|all: …`
fn field(key: &str, place: Place, node: &Node) -> Mapped<Formula> {
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
        .collect::<Mapped<_>>()?;
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
            return Ok(term(Asked::Statuses(statuses.collect::<Mapped<_>>()?)));
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
        .collect::<Mapped<_>>()?;
    if has("all") {
        let each = patterns
            .into_iter()
            .map(|pattern| text(target, raw, std::iter::once(pattern)).map(term));
        return each.collect::<Mapped<_>>().map(Formula::All);
    }
    text(target, raw, patterns.into_iter()).map(term)
}

fn expression(regex: &str, ignores_case: bool, target: Target) -> Result<Pattern, String> {
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
fn in_target(mut pattern: Pattern, target: Target) -> Result<Pattern, String> {
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
) -> Mapped<Asked> {
    let mut fields = target.fields().to_vec();
    let mut kept = Vec::new();
    let (mut lost, mut narrowed) = (Vec::new(), Vec::new());
    for (node, pattern) in patterns {
        if let Some(reason) = unlike(&pattern, target, raw) {
            lost.push(reason);
            continue;
        }
        if target.is_apart() {
            narrowed.extend(apart::narrowed(&pattern));
        }
        if pattern.at_start && target == Target::Uri {
            fields = vec!["path"];
        }
        let written = pattern.clone();
        let pattern = if raw { Ok(pattern) } else { pattern.map(|text| decoded(&text)) };
        match pattern {
            Ok(pattern) if pattern.literal().is_none() => {
                let reason = "a value of nothing but wildcards is no text to look for";
                return Err(Remark::refusal(node.place, reason));
            }
            Ok(pattern) => {
                let has_plus = |piece: &Piece| matches!(piece, Piece::Text(t) if t.contains('+'));
                // An escaped plus is none but itself.
                if !raw && target.has_plus() && written.pieces.iter().any(has_plus) {
                    kept.extend(written.map(|text| decoded(&text.replace('+', " "))));
                }
                kept.push(pattern);
            }
            Err(reason) => lost.push(reason),
        }
    }
    Ok(Asked::Text { fields, raw, patterns: kept, lost, narrowed })
}

/// Why what would be found is not what the value means, if it is not.
fn unlike(pattern: &Pattern, target: Target, raw: bool) -> Option<String> {
    let across = || target.is_apart().then(|| apart::across(pattern)).flatten();
    let undivided = |piece: &Piece| match piece {
        Piece::Text(text) if !raw && target.is_divided() => apart::undivided(text),
        _ => None,
    };
    across().or_else(|| pattern.pieces.iter().find_map(undivided))
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
