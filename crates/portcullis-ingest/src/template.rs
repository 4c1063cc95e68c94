//! Compiles an access-log format string into literals and typed captures.
//!
//! API Gateway renders each record by substituting values into one fixed text, so
//! the text between the variables is known to the byte. What surrounds a variable
//! (a JSON string, an XML element, quotes) decides how its value is escaped.
//!
//! Source: API Gateway guide, "Set up logging": one line, `$context` variables only.

use std::ops::Deref;

use memchr::memmem;

use crate::cut::string_end;
use crate::direct::Plan;
use crate::variable::{self, Shape, Slot};

/// The general form of a template's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A JSON object, or what was meant as one.
    Json,
    /// One XML element.
    Xml,
    /// Values separated by commas.
    Csv,
    /// Anything else: Common Log Format, free text.
    Line,
}

/// How a value is written where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Inside a JSON string or other double quotes: backslash escapes.
    Quoted,
    /// Inside XML: entities.
    Markup,
    /// As it is.
    Bare,
}

/// Fixed text, ready to be searched for.
#[derive(Debug, Clone)]
pub(crate) struct Literal {
    text: Box<[u8]>,
    /// Its rarest byte, and where that stands.
    mark: u8,
    mark_at: usize,
    first: memmem::Finder<'static>,
    last: memmem::FinderRev<'static>,
}

impl Literal {
    /// Where it first occurs.
    pub(crate) fn find(&self, text: &[u8]) -> Option<usize> {
        // Values are short, and a mark such as a quote is seldom in them: looking for that
        // one byte is over before a searcher has begun.
        if self.text.is_empty() {
            return Some(0);
        }
        let mut from = 0;
        for _ in 0..MOST_GUESSES {
            let found = from + memchr::memchr(self.mark, text.get(from..)?)?;
            if let Some(start) = found.checked_sub(self.mark_at)
                && self.stands_at(text, start)
            {
                return Some(start);
            }
            from = found + 1;
        }
        let from = from.saturating_sub(self.mark_at);
        Some(from + self.first.find(&text[from..])?)
    }

    /// Where it last occurs.
    pub(crate) fn rfind(&self, text: &[u8]) -> Option<usize> {
        if self.text.is_empty() {
            return Some(text.len());
        }
        let mut to = text.len();
        for _ in 0..MOST_GUESSES {
            to = memchr::memrchr(self.mark, &text[..to])?;
            if let Some(start) = to.checked_sub(self.mark_at)
                && self.stands_at(text, start)
            {
                return Some(start);
            }
        }
        let to = text.len().min(to + self.text.len() - self.mark_at);
        self.last.rfind(&text[..to])
    }

    /// Whether it stands at a place where its mark does.
    fn stands_at(&self, text: &[u8], start: usize) -> bool {
        self.text.len() == 1 || text[start..].starts_with(&self.text)
    }
}

/// How often the mark may stand alone before a searcher is worth its beginning.
const MOST_GUESSES: usize = 4;

/// How often a byte stands in values, as a guess: digits and letters most, then blanks and
/// what addresses and agents are written with.
const fn commonness(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => 3,
        b' ' | b'.' | b'/' | b'-' | b':' | b';' | b',' => 2,
        b'(' | b')' | b'_' | b'=' | b'&' | b'%' | b'?' => 1,
        _ => 0,
    }
}

impl From<&[u8]> for Literal {
    fn from(text: &[u8]) -> Self {
        let places = text.iter().enumerate();
        let (mark_at, mark) = places.min_by_key(|(_, byte)| commonness(**byte)).unwrap_or((0, &0));
        Self {
            text: text.into(),
            mark: *mark,
            mark_at,
            first: memmem::Finder::new(text).into_owned(),
            last: memmem::FinderRev::new(text).into_owned(),
        }
    }
}

impl Deref for Literal {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.text
    }
}

/// A place where a value stands, and the fixed text before it.
#[derive(Debug, Clone)]
pub(crate) struct Capture {
    /// Text between the previous value (or the record's start) and this one.
    pub(crate) before: Literal,
    /// The variable, without `$context.`; of an inferred format, the key.
    pub(crate) name: Box<str>,
    pub(crate) slot: Slot,
    pub(crate) shape: Shape,
    pub(crate) setting: Setting,
    /// Whether the value is the whole of its quotes: `"…"` directly around it.
    pub(crate) fills_quotes: bool,
}

impl Capture {
    /// Whether the value may hold any text: a client wrote it, or it has blanks.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.shape, Shape::Free | Shape::RouteKey)
            && !matches!(self.slot, Slot::ApiKeyId | Slot::Principal(4..))
    }

    /// Whether a record may have this value where it stands. A request id, which clients of
    /// REST APIs can set, may be any text that cannot end where it stands: they must not be
    /// able to hide their records by it.
    pub(crate) fn admits(&self, value: &[u8]) -> bool {
        if self.slot != Slot::RequestId {
            return self.shape.holds(value);
        }
        let ends = |byte: &u8| match self.setting {
            Setting::Quoted => false,
            Setting::Markup => matches!(byte, b'<' | b'>' | b'"'),
            Setting::Bare => matches!(byte, b',' | b'<' | b'>' | b'"') || !byte.is_ascii_graphic(),
        };
        let is_open = self.setting == Setting::Quoted && string_end(value, 0).is_some();
        !is_open && !value.iter().any(ends)
    }
}

/// A compiled template.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) form: Form,
    pub(crate) captures: Vec<Capture>,
    /// Text after the last value, without what separates records.
    pub(crate) tail: Literal,
    /// Whether the template ends with a line feed, or `\n` typed as two characters.
    pub(crate) ends_line: bool,
    /// How plain records are read.
    pub(crate) plan: Plan,
}

/// Why a template was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No `$context` variable in it.
    #[error("the format has no $context variable: every record would be the same text")]
    NoVariable,
    /// Two variables with nothing between them.
    #[error(
        "$context.{0} and $context.{1} stand side by side: put a character between them, or no \
         reader can tell where one ends"
    )]
    Adjacent(Box<str>, Box<str>),
    /// A line break in the middle.
    #[error("the format has a line break at byte {0}: API Gateway accepts one only at the end")]
    LineBreak(usize),
    /// `$context` without a variable name.
    #[error("`$context` at byte {0} names no variable, as `$context.status` does")]
    Nameless(usize),
    /// Larger than any format API Gateway accepts.
    #[error("the format has {0} bytes; the limit is {limit}", limit = MAX_TEMPLATE)]
    TooLong(usize),
}

/// Most bytes of a template. HTTP APIs accept 3 KB; the largest seen has 2,846.
pub(crate) const MAX_TEMPLATE: usize = 65_536;

const MARK: &str = "$context";

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > MAX_TEMPLATE {
            return Err(TemplateError::TooLong(text.len()));
        }
        let (text, ends_line) = without_separator(text);
        if let Some(at) = text.find(['\n', '\r']) {
            return Err(TemplateError::LineBreak(at));
        }
        let text = text.trim_start();
        let mut captures: Vec<Capture> = Vec::new();
        let mut literal_start = 0;
        let mut search = 0;
        while let Some(found) = text[search..].find(MARK) {
            let at = search + found;
            let name = match text[at + MARK.len()..].strip_prefix('.') {
                Some(rest) => variable_name(rest),
                None => "",
            };
            if name.is_empty() {
                return Err(TemplateError::Nameless(at));
            }
            let before = &text[literal_start..at];
            if before.is_empty()
                && let Some(previous) = captures.last()
            {
                return Err(TemplateError::Adjacent(previous.name.clone(), name.into()));
            }
            let meaning = variable::meaning(name);
            captures.push(Capture {
                before: before.as_bytes().into(),
                name: name.into(),
                slot: meaning.slot,
                shape: meaning.shape,
                setting: Setting::Bare,
                fills_quotes: false,
            });
            search = at + MARK.len() + 1 + name.len();
            literal_start = search;
        }
        if captures.is_empty() {
            return Err(TemplateError::NoVariable);
        }
        let tail = text.as_bytes()[literal_start..].into();
        let form = form(text, &captures);
        let mut template = Self { form, captures, tail, ends_line, plan: Plan::None };
        template.settle();
        Ok(template)
    }

    /// Finds how each value is written, from the text around it.
    pub(crate) fn settle(&mut self) {
        let mut quoted = false;
        for index in 0..self.captures.len() {
            quoted = quotes_after(&self.captures[index].before, quoted);
            let after = self.text_after(index);
            let fills_quotes =
                quoted && self.captures[index].before.ends_with(b"\"") && after.starts_with(b"\"");
            let capture = &mut self.captures[index];
            capture.fills_quotes = fills_quotes;
            capture.setting = match self.form {
                Form::Xml => Setting::Markup,
                _ if quoted => Setting::Quoted,
                _ => Setting::Bare,
            };
        }
        // A whole line wrapped in quotes leaves every value "inside" them, yet its
        // own quotes stand there as `\"`: nothing was escaped for the outer pair.
        if matches!(self.form, Form::Line | Form::Csv)
            && self.captures[0].before.starts_with(b"\"")
            && self.tail.ends_with(b"\"")
        {
            for capture in &mut self.captures {
                capture.setting = Setting::Bare;
                capture.fills_quotes = false;
            }
        }
        // Where no quotes are escaped, a request id, which clients can set, may go on with an
        // address of their choice: in front of what they must not forge it has no shape.
        let unforged = |c: &Capture| {
            matches!(c.slot, Slot::Client | Slot::TimeClf | Slot::TimeEpoch | Slot::Status)
        };
        let last = self.captures.iter().rposition(unforged).unwrap_or(0);
        for capture in &mut self.captures[..last] {
            if capture.slot == Slot::RequestId && self.form != Form::Json {
                capture.shape = Shape::Free;
            }
        }
        self.plan = Plan::of(self.form, &self.captures, &self.tail);
    }

    /// The fixed text after a value.
    pub(crate) fn text_after(&self, index: usize) -> &Literal {
        self.captures.get(index + 1).map_or(&self.tail, |next| &next.before)
    }

    /// The fixed text every record begins with.
    pub(crate) fn head(&self) -> &[u8] {
        &self.captures[0].before
    }
}

/// The text without white space and `\n` at its end, and whether a line end was there.
fn without_separator(text: &str) -> (&str, bool) {
    let mut rest = text;
    let mut ends_line = false;
    loop {
        let trimmed = rest.trim_end_matches([' ', '\t']);
        if let Some(shorter) = trimmed.strip_suffix(['\n', '\r']) {
            ends_line = true;
            rest = shorter;
        } else if let Some(shorter) =
            trimmed.strip_suffix("\\n").or_else(|| trimmed.strip_suffix("\\r"))
        {
            ends_line = true;
            rest = shorter;
        } else {
            return (if ends_line { trimmed } else { rest.trim_end() }, ends_line);
        }
    }
}

/// The longest variable name that `text` begins with. Only header names hold `-`.
fn variable_name(text: &str) -> &str {
    let dash = text.starts_with("requestOverride.") || text.starts_with("responseOverride.");
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.' || (dash && c == '-')))
        .unwrap_or(text.len());
    text[..end].trim_end_matches(['.', '-'])
}

fn form(text: &str, captures: &[Capture]) -> Form {
    match text.as_bytes().first() {
        Some(b'{') => Form::Json,
        Some(b'<') => Form::Xml,
        _ => {
            let commas = captures.iter().skip(1).filter(|c| &*c.before == b",").count();
            if captures.len() > 1 && commas * 2 >= captures.len() - 1 {
                Form::Csv
            } else {
                Form::Line
            }
        }
    }
}

/// Whether a double quote is open after `literal`.
fn quotes_after(literal: &[u8], mut open: bool) -> bool {
    let mut bytes = literal.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' => open = !open,
            _ => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fixed_text_is_found_where_a_plain_search_finds_it(
            fixed in "[\\]\" a]{0,4}",
            text in "[\\]\" a]{0,60}",
        ) {
            let literal = Literal::from(fixed.as_bytes());
            prop_assert_eq!(literal.find(text.as_bytes()), text.find(&fixed));
            prop_assert_eq!(literal.rfind(text.as_bytes()), text.rfind(&fixed));
        }
    }

    fn template(text: &str) -> Template {
        Template::parse(text).expect("a template")
    }

    #[test]
    fn the_separator_is_no_part_of_the_record() {
        for end in ["", "\n", "\r\n", "\\n", " \n"] {
            let parsed = template(&format!("{{\"s\":\"$context.status\"}}{end}"));
            assert_eq!(&*parsed.tail, b"\"}", "{end:?}");
            assert_eq!(parsed.ends_line, !end.is_empty());
        }
    }

    #[test]
    fn forms_are_told_apart() {
        assert_eq!(template("{\"s\":$context.status}").form, Form::Json);
        assert_eq!(template("<r><s>$context.status</s></r>").form, Form::Xml);
        assert_eq!(template("$context.status,$context.path,$context.stage").form, Form::Csv);
        assert_eq!(template("$context.status [$context.requestTime]").form, Form::Line);
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        assert_eq!(
            Template::parse("$context.status$context.path").unwrap_err(),
            TemplateError::Adjacent("status".into(), "path".into())
        );
        assert_eq!(Template::parse("hello").unwrap_err(), TemplateError::NoVariable);
        assert_eq!(Template::parse("$context").unwrap_err(), TemplateError::Nameless(0));
        assert_eq!(
            Template::parse("$context.status\n$context.path").unwrap_err(),
            TemplateError::LineBreak(15)
        );
    }

    #[test]
    fn names_end_where_variables_end() {
        let parsed = template("$context.status. $context.requestOverride.header.X-Id-");
        assert_eq!(&*parsed.captures[0].name, "status");
        assert_eq!(&*parsed.captures[1].name, "requestOverride.header.X-Id");
        assert_eq!(&*parsed.tail, b"-");
    }
}
