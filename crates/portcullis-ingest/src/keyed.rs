//! Reads JSON and XML records by their keys, without the template's exact text.
//!
//! The fallback for records that do not fit their template to the byte (other
//! spacing, other order, more keys), the way formats are recognised when none is
//! given, and the second opinion on the template cut in tests. A key that stands
//! twice with different values is never resolved: somebody wrote into the record.

use std::collections::HashMap;

use crate::RejectReason;
use crate::cut::Piece;
use crate::template::{Capture, Form, Setting, Template};
use crate::variable::{self, Meaning, Shape, Slot};
use crate::{json, xml};

/// What the keys of a template's records mean.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// Keys joined by line feeds (no key holds one) → variable, and how often.
    known: HashMap<Vec<u8>, (Box<str>, usize)>,
}

impl Keys {
    /// Keys of a JSON or XML template; `None` when its text is neither.
    pub(crate) fn of(template: &Template) -> Option<Self> {
        let (text, places) = rendered(template);
        let mut known: HashMap<Vec<u8>, (Box<str>, usize)> = HashMap::new();
        let mut found = 0;
        walk(template.form, &text, &mut |keys, piece, _| {
            if let Some(index) = places.iter().position(|place| *place == piece.start) {
                found += 1;
                let name = template.captures[index].name.clone();
                known.entry(keys.join(&b'\n')).or_insert((name, 0)).1 += 1;
            }
        })?;
        (found == template.captures.len()).then_some(Self { known })
    }

    fn meaning(&self, keys: &[&[u8]]) -> Option<(Box<str>, usize)> {
        self.known.get(&keys.join(&b'\n')).cloned()
    }
}

/// A sample record of the template, with where each value stands in it.
fn rendered(template: &Template) -> (Vec<u8>, Vec<usize>) {
    let mut text = Vec::new();
    let mut places = Vec::new();
    for capture in &template.captures {
        text.extend_from_slice(&capture.before);
        places.push(text.len());
        text.push(b'1');
    }
    text.extend_from_slice(&template.tail);
    (text, places)
}

/// Takes a value: the keys above it, where it stands, and how it is written.
type Visit<'v, 't> = dyn FnMut(&[&'t [u8]], Piece, Setting) + 'v;

fn walk<'t>(form: Form, text: &'t [u8], visit: &mut Visit<'_, 't>) -> Option<usize> {
    match form {
        Form::Json => json::leaves(text, &mut |keys, leaf| {
            let setting = if leaf.quoted { Setting::Quoted } else { Setting::Bare };
            visit(keys, leaf.piece, setting);
        }),
        Form::Xml => xml::leaves(text, &mut |names, piece| {
            visit(names, piece, Setting::Markup);
        }),
        Form::Csv | Form::Line => None,
    }
}

/// Reads a record by its keys: the template it would have been rendered from, and
/// its values. `keys: None` goes by what people commonly call the variables.
pub(crate) fn read(
    form: Form,
    record: &[u8],
    keys: Option<&Keys>,
) -> Result<(Template, Vec<Piece>), RejectReason> {
    let mut captures: Vec<Capture> = Vec::new();
    let mut pieces: Vec<Piece> = Vec::new();
    let mut seen: HashMap<Vec<u8>, (usize, Piece)> = HashMap::new();
    let mut forged = false;
    let length = walk(form, record, &mut |path, piece, setting| {
        let allowed = match keys {
            Some(keys) => keys.meaning(path),
            None => by_common_name(form, path).map(|name| (name.into(), 1)),
        };
        let quoted = setting == Setting::Quoted;
        let (name, meaning) = match allowed {
            Some((name, times)) => {
                let (count, first) = seen.entry(path.join(&b'\n')).or_insert((0, piece));
                *count += 1;
                forged |= *count > times && first.of(record) != piece.of(record);
                let meaning = variable::meaning(&name);
                (name, meaning)
            }
            None => {
                (Box::from(""), Meaning { slot: Slot::Other, shape: Shape::Free, known: false })
            }
        };
        let value = piece.of(record);
        let absent = !quoted && matches!(value, b"null" | b"true" | b"false");
        let start = pieces.last().map_or(0, |last: &Piece| last.end);
        captures.push(Capture {
            before: record[start..piece.start].into(),
            name,
            slot: if absent { Slot::Other } else { meaning.slot },
            shape: meaning.shape,
            setting,
            fills_quotes: quoted,
        });
        pieces.push(piece);
    })
    .ok_or(RejectReason::Shape)?;
    if !record[length..].trim_ascii().is_empty() {
        return Err(RejectReason::Shape);
    }
    if forged {
        return Err(RejectReason::Forged);
    }
    if let Some(keys) = keys {
        let complete = keys.known.iter().all(|(path, (name, _))| {
            seen.contains_key(path) || !variable::meaning(name).slot.is_trusted()
        });
        if !complete {
            return Err(RejectReason::Shape);
        }
    }
    if captures.iter().all(|capture| capture.slot == Slot::Other) {
        return Err(RejectReason::Shape);
    }
    let end = pieces.last().map_or(0, |last| last.end);
    let tail = record[end..length].into();
    Ok((Template { form, captures, tail, ends_line: true }, pieces))
}

/// The variable people mean by a key. The root element of XML names no value.
fn by_common_name(form: Form, path: &[&[u8]]) -> Option<&'static str> {
    let path = if form == Form::Xml && path.len() > 1 { &path[1..] } else { path };
    let names: Vec<&str> = path.iter().map(|key| std::str::from_utf8(key).unwrap_or("")).collect();
    variable::by_key(&names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_template_with_nesting_and_bare_numbers() {
        let template =
            Template::parse(r#"{"a":{"ip":"$context.identity.sourceIp"},"s":$context.status}"#)
                .expect("a template");
        let keys = Keys::of(&template).expect("JSON");
        assert_eq!(keys.known.len(), 2);
        let (_, pieces) =
            read(Form::Json, br#"{ "s": 200, "x": [1], "a": {"ip": "192.0.2.1"} }"#, Some(&keys))
                .expect("a record");
        assert_eq!(pieces.len(), 2);
    }

    #[test]
    fn a_key_that_stands_twice_with_two_values_is_forgery() {
        let record = br#"{"ip":"192.0.2.1","status":"200","ip":"203.0.113.9"}"#;
        assert_eq!(read(Form::Json, record, None).map(|_| ()), Err(RejectReason::Forged));
    }

    #[test]
    fn a_record_without_a_trusted_key_is_refused() {
        let template =
            Template::parse(r#"{"ip":"$context.identity.sourceIp","s":"$context.status"}"#)
                .expect("a template");
        let keys = Keys::of(&template);
        assert_eq!(
            read(Form::Json, br#"{"s":"200"}"#, keys.as_ref()).map(|_| ()),
            Err(RejectReason::Shape)
        );
    }
}
