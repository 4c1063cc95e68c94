//! YAML with the place of every value.
//!
//! Scalars stay text: whether `404` is a number is the business of who reads it. Anchors
//! and aliases are refused, because nothing that people write by hand as a rule needs them
//! and expanding them has no bound.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

/// Deepest nesting that is read; rules need five levels.
const DEEPEST: usize = 32;

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl From<Marker> for Place {
    fn from(marker: Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    /// An empty plain scalar, `~` or `null`.
    Null,
    Text(String),
    List(Vec<Node>),
    /// Keys in order, each with its place.
    Map(Vec<(String, Place, Node)>),
}

impl Node {
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn map(&self) -> Option<&[(String, Place, Self)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of a key of a map.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.map()?.iter().find(|(name, ..)| name == key).map(|(.., node)| node)
    }

    /// The elements of a list, or the value itself as the only one.
    pub(super) fn each(&self) -> &[Self] {
        match &self.value {
            Value::List(list) => list,
            _ => std::slice::from_ref(self),
        }
    }
}

/// Reads the documents of a text.
pub(super) fn read(text: &str) -> Result<Vec<Node>, (Place, String)> {
    let mut events =
        Events { parser: Parser::new_from_str(text), place: Place { line: 1, column: 1 } };
    let mut documents = Vec::new();
    loop {
        match events.next()? {
            Event::StreamEnd => return Ok(documents),
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            event => documents.push(events.node(event, DEEPEST)?),
        }
    }
}

struct Events<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    /// Of the last event.
    place: Place,
}

impl<'t> Events<'t> {
    fn next(&mut self) -> Result<Event<'t>, (Place, String)> {
        match self.parser.next() {
            Some(Ok((event, span))) => {
                self.place = span.start.into();
                Ok(event)
            }
            Some(Err(error)) => Err(((*error.marker()).into(), error.info().to_owned())),
            None => Ok(Event::StreamEnd),
        }
    }

    fn node(&mut self, event: Event<'t>, depth: usize) -> Result<Node, (Place, String)> {
        let place = self.place;
        let fail = |reason: &str| Err((place, reason.to_owned()));
        let Some(depth) = depth.checked_sub(1) else {
            return fail("nested too deep");
        };
        let value = match event {
            Event::Scalar(text, style, ..) => {
                let is_null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null");
                if is_null { Value::Null } else { Value::Text(text.into_owned()) }
            }
            Event::SequenceStart(..) => {
                let mut list = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        event => list.push(self.node(event, depth)?),
                    }
                }
                Value::List(list)
            }
            Event::MappingStart(..) => {
                let mut entries: Vec<(String, Place, Node)> = Vec::new();
                loop {
                    let key = match self.next()? {
                        Event::MappingEnd => break,
                        Event::Scalar(key, ..) => key.into_owned(),
                        _ => return fail("a key that is no text"),
                    };
                    let place = self.place;
                    if entries.iter().any(|(name, ..)| *name == key) {
                        return Err((place, format!("`{key}` stands here twice")));
                    }
                    let event = self.next()?;
                    let node = self.node(event, depth)?;
                    entries.push((key, place, node));
                }
                Value::Map(entries)
            }
            Event::Alias(_) => return fail("an alias, which is not supported"),
            _ => return fail("the text ends too early"),
        };
        Ok(Node { place, value })
    }
}
