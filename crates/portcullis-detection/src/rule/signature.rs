//! What a rule about text in one request is: where it looks, at which views, for what.
//!
//! Shapes only; how signatures are searched is in [`crate::signature`].

use portcullis_ingest::Field;

use super::{Conditions, Patterns};
use crate::level::named;
use crate::tokens::{Tokens, Whole};
use crate::view::View;

/// Text in one request: a literal makes a candidate, the rest confirms it.
#[derive(Debug)]
pub struct Signature {
    pub(crate) subjects: Vec<Subject>,
    pub(crate) views: Vec<View>,
    pub(crate) literals: Vec<Literal>,
    pub(crate) patterns: Patterns,
    /// Where one of these is too, the rule says nothing; see [`Self::is_excused`].
    pub(crate) unless: Patterns,
    /// What the whole text is where the rule says nothing.
    pub(crate) unless_whole: Option<Whole>,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) conditions: Conditions,
}

impl Signature {
    /// Which requests it looks at.
    pub const fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// The texts it looks at.
    pub fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// The views of those texts.
    pub fn views(&self) -> &[View] {
        &self.views
    }

    /// The literals of which one must be there.
    pub fn literals(&self) -> &[Literal] {
        &self.literals
    }

    /// Whether an exception holds in a view of a text. It does not where the text goes up behind
    /// it: of `/docs/../web-inf/web.xml` nothing lies below `/docs/`.
    pub(crate) fn is_excused(&self, view: &[u8]) -> bool {
        match last_step_up(view) {
            Some(left) => self.unless.match_beyond(view, left),
            None => self.unless.match_in(view),
        }
    }
}

/// Where the dots of the last segment begin that goes up, if one does.
fn last_step_up(text: &[u8]) -> Option<usize> {
    let is_mark = |byte: &u8| matches!(byte, b'/' | b'\\' | b';');
    memchr::memmem::rfind_iter(text, b"..").find(|&dots| {
        let before = dots.checked_sub(1).map(|before| text[before]);
        before.is_some_and(|before| is_mark(&before)) && text.get(dots + 2).is_none_or(is_mark)
    })
}

named! {
    /// A text that a signature looks at.
    Subject {
        /// The path.
        Path = "path",
        /// The whole query string.
        Query = "query",
        /// Each parameter value of the query string, by itself.
        Values = "values",
        /// Each parameter name of the query string, by itself.
        Names = "names",
        /// The `User-Agent` header.
        UserAgent = "user_agent",
        /// The `Referer` header.
        Referer = "referer",
        /// The `Host` header.
        Host = "host",
        /// Each header without a field of its own, by itself, as `name: value`.
        Headers = "headers",
        /// The method.
        Method = "method",
    }
}

impl Subject {
    /// The field of a request it is taken from.
    pub const fn field(self) -> Field {
        match self {
            Self::Path => Field::Path,
            Self::Query | Self::Values | Self::Names => Field::Query,
            Self::UserAgent => Field::UserAgent,
            Self::Referer => Field::Referer,
            Self::Host => Field::Host,
            Self::Headers => Field::Headers,
            Self::Method => Field::Method,
        }
    }
}

/// A literal that makes a candidate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Literal {
    pub(crate) text: String,
    pub(crate) place: Place,
}

impl Literal {
    /// What must be there.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it must be.
    pub const fn place(&self) -> Place {
        self.place
    }
}

named! {
    /// Where a literal must stand in the text.
    Place {
        /// Anywhere.
        Anywhere = "contains",
        /// With no letter, digit or underscore directly before or after.
        Word = "words",
        /// As whole path segments.
        Segment = "segments",
        /// At the end.
        End = "endings",
        /// At the start.
        Start = "starts",
    }
}
