//! Judges a query: as a whole, and each of its names and values by itself.
//!
//! What an attacker writes into a parameter is read by itself by the program behind, so most
//! rules look at values, of which a query may have hundreds. Only those are searched in which
//! the search of the whole has noted a literal, or which are written so that one may hide.

use portcullis_ingest::Request;

use super::views::Views;
use super::{Classifier, MOST_PARTS, without_line_break};
use crate::rule::Subject;
use crate::view::View;

impl Classifier<'_> {
    /// The whole query, then each of its names and values by itself. Returns whether nothing
    /// in them depends on the rest of the request and nothing was found.
    pub(super) fn query(&mut self, query: &[u8], request: &Request<'_>) -> bool {
        let engine = self.rules.engine();
        let mut clean = self.whole(Subject::Query, query, request);
        let mut parts = std::mem::take(&mut self.search.parts);
        if !self.search.parts_noted {
            engine.note_parts(query, &mut parts);
        }
        // A part with one form is a piece of the query as it was just searched: a literal
        // that was not seen there is not in it.
        let several_forms = self.search.views.several();
        let mut line = std::mem::take(&mut self.line);
        for subject in [Subject::Names, Subject::Values] {
            let wanted = engine.views(subject);
            if wanted.is_empty() {
                continue;
            }
            let has_always = engine.has_always(subject);
            let seen = parts.of(subject);
            if seen.is_empty() && !several_forms && !has_always {
                continue;
            }
            let mut searched = 0;
            let mut noted = seen.iter().copied().peekable();
            let mut next = Some(0);
            while let Some(offset) = next {
                let rest = &query[offset..];
                let length = memchr::memchr(b'&', rest);
                next = length.map(|length| offset + length + 1);
                let parameter = &rest[..length.unwrap_or(rest.len())];
                let has_literal = noted.next_if_eq(&offset).is_some();
                let equals = memchr::memchr(b'=', parameter);
                let (mut part, start) = match (subject, equals) {
                    (Subject::Names, Some(equals)) => (&parameter[..equals], offset),
                    (_, Some(equals)) => (&parameter[equals + 1..], offset + equals + 1),
                    (Subject::Names, None) => (&parameter[..0], offset),
                    (_, None) => (parameter, offset),
                };
                let worth_it = !part.is_empty()
                    && (has_literal
                        || (several_forms && Views::has_several(subject, part, wanted))
                        || (has_always && engine.always_may_hold(subject, part)));
                if subject == Subject::Values {
                    clean &= self.in_base64(Subject::Values, part, query, start, request);
                }
                if !worth_it {
                    continue;
                }
                searched += 1;
                if searched == MOST_PARTS && next.is_some() {
                    self.verdict.truncated_fields += 1;
                    part = &query[start..];
                    next = None;
                }
                let part = if memchr::memchr2(b'\n', b'\r', part).is_some() {
                    line.clear();
                    line.extend(part.iter().map(|byte| without_line_break(*byte)));
                    &line
                } else {
                    part
                };
                let wanted = if has_literal { wanted } else { wanted.without(View::Raw) };
                clean &= self.text(subject, wanted, part, query, start, request);
            }
        }
        self.line = line;
        self.search.parts = parts;
        clean
    }
}
