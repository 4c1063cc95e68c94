//! Which parameters of a query are worth a search of their own.
//!
//! Rules look for literals in names and values, of which a query may have hundreds. All of
//! them are in the query as logged, which is searched anyway: so that search notes in which
//! of them a literal stands.

use std::ops::Range;

use crate::rule::Subject;

/// The parameters of a query in whose name or value a literal stands that rules look for
/// there, by where they start, ascending.
#[derive(Debug, Default)]
pub(super) struct Parts {
    names: Vec<usize>,
    values: Vec<usize>,
}

impl Parts {
    /// Adds the parameter at `start`. Parameters come in order, so only the last can come
    /// twice.
    fn add(&mut self, part: Subject, start: usize) {
        let starts = match part {
            Subject::Names => &mut self.names,
            _ => &mut self.values,
        };
        if starts.last() != Some(&start) {
            starts.push(start);
        }
    }

    /// The parameters by their starts.
    pub(super) fn of(&self, part: Subject) -> &[usize] {
        if part == Subject::Names { &self.names } else { &self.values }
    }

    pub(super) fn clear(&mut self) {
        self.names.clear();
        self.values.clear();
    }
}

/// What a search has noted of the parameter it has come to. It only moves forward, so that
/// following a search costs no more than the query is long.
#[derive(Debug, Default)]
pub(super) struct Noted {
    start: usize,
    end: usize,
    equals: Option<usize>,
    begun: bool,
    /// The name or value that was noted last: what else stands in it says nothing new.
    last: Range<usize>,
}

impl Noted {
    /// Whether what stands at `start..end` is in a part that is noted already.
    pub(super) const fn holds(&self, start: usize, end: usize) -> bool {
        self.last.start <= start && end <= self.last.end
    }

    /// The part that holds a literal whole, of the parameter in which the literal starts.
    /// Moves there.
    ///
    /// Literals come in the order in which their first bytes end. So one that starts before
    /// the parameter of an earlier literal reaches over an ampersand, and is in no parameter.
    pub(super) fn part_of(&mut self, query: &[u8], seen: &Range<usize>) -> Option<Subject> {
        while !self.begun || seen.start > self.end {
            if self.begun {
                self.start = self.end + 1;
            }
            self.begun = true;
            let text = &query[self.start..];
            let length = memchr::memchr(b'&', text).unwrap_or(text.len());
            self.end = self.start + length;
            self.equals = memchr::memchr(b'=', &text[..length]).map(|at| self.start + at);
        }
        if seen.start < self.start || self.end < seen.end {
            return None;
        }
        match self.equals {
            Some(equals) if seen.end <= equals => Some(Subject::Names),
            Some(equals) if seen.start <= equals => None,
            // Without an equals sign the whole parameter is a value.
            _ => Some(Subject::Values),
        }
    }

    /// Notes a part of the parameter at hand.
    pub(super) fn note(&mut self, part: Subject, parts: &mut Parts) {
        parts.add(part, self.start);
        self.last = match (part, self.equals) {
            (Subject::Names, Some(equals)) => self.start..equals,
            (_, Some(equals)) => equals + 1..self.end,
            (_, None) => self.start..self.end,
        };
    }
}
