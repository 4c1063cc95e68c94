//! Writes an imported rule as a file, with examples derived from it.
//!
//! Sigma rules carry no examples, and a rule of ours has to. What is derived from a rule
//! shows that it finds what it says and nothing of what clients send, so each example is
//! marked as generated, and a lint tells.

use std::fmt::Write as _;

use portcullis_detection::Category;

use super::document::Node;
use super::part::{Part, Sample};
use super::{Remark, proved};

/// The file's text; an error when the rule it would be contradicts itself.
pub(super) fn rule(
    id: &str,
    document: &Node,
    part: &Part,
    category: Category,
    remarks: &[Remark],
) -> Result<String, String> {
    let text = |key: &str| document.get(key).and_then(Node::text).unwrap_or_default().trim();
    let mut out = String::new();
    for (key, what) in [("id", "# From the Sigma rule"), ("author", "# by")] {
        if !text(key).is_empty() {
            let _ = writeln!(out, "{what} {}", one_line(text(key)));
        }
    }
    let title = if text("title").is_empty() { id } else { text("title") };
    let _ = writeln!(out, "id = {}", quoted(id));
    let _ = writeln!(out, "title = {}", quoted(&one_line(title)));
    let _ = writeln!(out, "category = {}", quoted(category.name()));
    let _ = writeln!(out, "severity = {}", quoted(severity(text("level"))));
    // Nobody has measured it here, so it seldom blocks alone.
    let confidence = if text("status") == "stable" { "medium" } else { "low" };
    let _ = writeln!(out, "confidence = {}", quoted(confidence));
    let references = texts(document, "references");
    if !references.is_empty() {
        let _ = writeln!(out, "references = {}", list(&references));
    }
    let _ = writeln!(out, "misses = {}", quoted(&misses(remarks)));
    let alarms = texts(document, "falsepositives");
    let alarms: Vec<String> = alarms
        .into_iter()
        .filter(|alarm| !["unknown", "none", "unlikely"].contains(&alarm.to_lowercase().as_str()))
        .collect();
    if !alarms.is_empty() {
        let runbook = format!("Its author names as false alarms: {}", alarms.join("; "));
        let _ = writeln!(out, "runbook = {}", quoted(&runbook));
    }
    signature(&mut out, part);
    let [first, second] = firing(part);
    example(&mut out, "generated-1", &first, true);
    example(&mut out, "generated-2", &second, true);
    let proof = |near: &Request| {
        let mut whole = out.clone();
        example(&mut whole, "generated-3", near, false);
        example(&mut whole, "generated-4", &Request::plain(part, "/"), false);
        proved(&format!("{id}.toml"), &whole).map(|()| whole)
    };
    // A near miss can hit another value of the rule.
    proof(&near_miss(part, &first)).or_else(|_| proof(&Request::plain(part, "/index.html")))
}

fn signature(out: &mut String, part: &Part) {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let _ = writeln!(out, "\n[signature]\nfields = {}", list(&owned(&part.fields)));
    if part.raw {
        let _ = writeln!(out, "views = [\"raw\"]");
    }
    let _ = writeln!(out, "contains = {}", list(&part.contains));
    for (key, expressions) in [("regex", &part.regex), ("unless", &part.unless)] {
        if !expressions.is_empty() {
            let _ = writeln!(out, "{key} = {}", list(expressions));
        }
    }
    for (key, texts) in [("methods", &part.methods), ("statuses", &part.statuses)] {
        if !texts.is_empty() {
            let _ = writeln!(out, "{key} = {}", list(texts));
        }
    }
}

/// A request of an example.
#[derive(Debug, Clone)]
struct Request {
    method: String,
    path: String,
    /// A field other than the path, and its text.
    other: Option<(&'static str, String)>,
    status: u16,
}

impl Request {
    fn plain(part: &Part, path: &str) -> Self {
        let method = part.methods.first().map_or("GET", String::as_str).to_owned();
        Self { method, path: path.to_owned(), other: None, status: accepted_status(part) }
    }

    /// With text in the first field that the rule looks at.
    fn with(part: &Part, text: &str, variant: &str) -> Self {
        let text = if part.raw { text.to_owned() } else { encoded(text) };
        match part.fields[0] {
            "path" if text.starts_with('/') => Self::plain(part, &text),
            "path" => Self::plain(part, &format!("/{text}")),
            field => {
                let path = format!("/{variant}");
                Self { other: Some((field, text)), ..Self::plain(part, &path) }
            }
        }
    }
}

/// Two requests on which the rule fires.
fn firing(part: &Part) -> [Request; 2] {
    let text = |choose: fn(&Vec<Sample>) -> Option<&Sample>, variant: &str| {
        let mut samples: Vec<&Sample> = part.samples.iter().filter_map(choose).collect();
        // What begins or ends the text stands there.
        samples.sort_by_key(|sample| (!sample.at_start, sample.at_end));
        let is_anchored = samples.first().is_some_and(|sample| sample.at_start);
        let texts: Vec<&str> = samples.iter().map(|sample| sample.text.as_str()).collect();
        let before = if is_anchored { "" } else { variant };
        Request::with(part, &format!("{before}{}", texts.join("-")), variant)
    };
    let before = |letter: &str| match part.fields[0] {
        "path" => format!("/{letter}"),
        "query" => format!("{letter}="),
        _ => format!("{letter} "),
    };
    let first = text(|samples| samples.first(), before("a").as_str());
    let mut second = text(|samples| samples.last(), before("b").as_str());
    if (&second.path, &second.other) == (&first.path, &first.other) {
        // Compared whole, so that nothing of the text may differ but another field.
        let field = if part.fields[0] == "referer" { "host" } else { "referer" };
        let value = if field == "host" { "b.example" } else { "https://www.example.org/b" };
        second.other = second.other.or(Some((field, value.to_owned())));
        second.path = if part.fields[0] == "path" { second.path } else { "/b".to_owned() };
    }
    [first, second]
}

/// A request that comes near.
fn near_miss(part: &Part, firing: &Request) -> Request {
    let mut near = firing.clone();
    if !part.methods.is_empty() {
        let methods = ["GET", "POST", "HEAD", "OPTIONS", "PATCH"];
        let other = methods.into_iter().find(|one| part.methods.iter().all(|method| method != one));
        other.unwrap_or("TRACE").clone_into(&mut near.method);
        return near;
    }
    if !part.statuses.is_empty()
        && let Some(other) = (200..600).find(|code| !accepts(part, *code))
    {
        near.status = other;
        return near;
    }
    let sample = part.samples.first().and_then(|samples| samples.first());
    let text = sample.map_or("", |sample| sample.text.as_str());
    if let Some(withdrawing) = &part.withdrawing {
        return Request::with(part, &format!("{text}-{withdrawing}"), "a");
    }
    if part.samples.len() > 1 {
        return Request::with(part, text, "a");
    }
    if !part.regex.is_empty() {
        return Request::with(part, &format!("/x-{text}-x"), "a");
    }
    let mut shorter = text.to_owned();
    shorter.pop();
    Request::with(part, &format!("/{shorter}"), "a")
}

/// Whether the rule's statuses hold for one.
fn accepts(part: &Part, code: u16) -> bool {
    let is_it = |status: &str| match status.strip_suffix("xx") {
        Some(class) => code.to_string().starts_with(class),
        None => code.to_string() == status,
    };
    let mut included = part.statuses.iter().filter(|status| !status.starts_with('!')).peekable();
    let excluded = part.statuses.iter().filter_map(|status| status.strip_prefix('!'));
    (included.peek().is_none() || included.any(|status| is_it(status)))
        && !excluded.into_iter().any(is_it)
}

fn accepted_status(part: &Part) -> u16 {
    [404, 200].into_iter().chain(100..600).find(|code| accepts(part, *code)).unwrap_or(404)
}

fn example(out: &mut String, name: &str, request: &Request, fires: bool) {
    let Request { method, path, other, status } = request;
    let mut fields = format!("method = {}, path = {}", quoted(method), quoted(path));
    if let Some((field, text)) = other {
        let _ = write!(fields, ", {field} = {}", quoted(text));
    }
    let _ = write!(
        out,
        "\n[[example]]\nname = \"{name}\"\nrequest = {{ {fields}, status = {status} }}\n\
         fires = {fires}\ngenerated = true\n"
    );
}

fn severity(level: &str) -> &'static str {
    match level {
        "critical" => "critical",
        "high" => "high",
        "medium" => "medium",
        _ => "low",
    }
}

fn misses(remarks: &[Remark]) -> String {
    let narrower: Vec<&str> = remarks.iter().map(|remark| remark.reason.as_str()).collect();
    if narrower.is_empty() {
        return "What the Sigma rule misses, and what no access log carries.".to_owned();
    }
    format!("Narrower than the Sigma rule: {}.", narrower.join("; "))
}

fn texts(document: &Node, key: &str) -> Vec<String> {
    let nodes = document.get(key).map_or(&[][..], Node::each);
    nodes.iter().filter_map(Node::text).map(one_line).filter(|text| !text.is_empty()).collect()
}

/// A text in one line, without characters that act.
fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a client would send for a text that is decoded to it.
fn encoded(text: &str) -> String {
    text.replace('%', "%25").replace('+', "%2B")
}

fn list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    if quoted.len() == 1 {
        return format!("[{}]", quoted[0]);
    }
    format!("[\n  {},\n]", quoted.join(",\n  "))
}

/// A text as TOML; as a literal string where it can be one.
fn quoted(text: &str) -> String {
    let is_plain = text.chars().all(|character| !character.is_control());
    if is_plain && text.contains(['\\', '"']) && !text.contains('\'') {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            character if character.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
