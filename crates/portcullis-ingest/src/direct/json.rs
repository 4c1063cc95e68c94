//! JSON: a string ends at its first quote.

use super::{Filling, Plan, Run, after, fill, repeats};
use crate::cut::quote_or_backslash;
use crate::template::{Capture, Setting, Template};
use crate::variable::Slot;

impl<'o> Filling<'o, '_> {
    /// Reads the plain JSON record that `text` begins with; gives its length.
    pub(crate) fn json(&mut self, template: &Template, text: &'o [u8]) -> Option<usize> {
        if template.plan != Plan::Json {
            return None;
        }
        let captures = &template.captures;
        let mut at = 0;
        let mut index = 0;
        while let Some(capture) = captures.get(index) {
            at = after(text, at, &capture.before)?;
            if repeats(capture) {
                (index, at) = match self.run_again(index, text, at) {
                    Some(behind) => behind,
                    None => self.run(captures, index, text, at)?,
                };
                continue;
            }
            if capture.setting == Setting::Quoted
                && let Some(length) = self.quick(capture, index, &text[at..], b'"')
            {
                at += length;
                index += 1;
                continue;
            }
            let end = match capture.setting {
                Setting::Quoted => quoted_end(text, at)?,
                _ if text.get(at) == Some(&b'"') => return None,
                _ => at + memchr::memchr(template.text_after(index)[0], &text[at..])?,
            };
            if capture.slot != Slot::Other {
                self.take(capture, &text[at..end])?;
                self.note_length(capture, index, end - at);
            }
            at = end;
            index += 1;
        }
        after(text, at, &template.tail)
    }

    /// Takes the run that begins with the value of that number, if it is the one of the
    /// record before, which was found plain. Gives the number of the value behind it, and
    /// where the last value ends.
    #[inline]
    fn run_again(&mut self, first: usize, text: &'o [u8], at: usize) -> Option<(usize, usize)> {
        let run = self.memory.runs.get(first).filter(|run| !run.text.is_empty())?;
        let behind = after(text, at, &run.text)?;
        for (slot, range) in &run.kept {
            fill(self.request, *slot, &text[at + range.start..at + range.end]);
        }
        Some((run.next, behind - 1))
    }

    /// Takes the values of a run one by one, and remembers them for the next record.
    fn run(
        &mut self,
        captures: &[Capture],
        first: usize,
        text: &'o [u8],
        start: usize,
    ) -> Option<(usize, usize)> {
        let runs = &mut self.memory.runs;
        if runs.len() <= first {
            runs.resize(first + 1, Run::default());
        }
        // Its memory is used again.
        let mut run = std::mem::take(&mut runs[first]);
        run.kept.clear();
        let mut at = start;
        let mut next = first;
        let end = loop {
            let capture = &captures[next];
            let end = quoted_end(text, at)?;
            let value = &text[at..end];
            if capture.slot != Slot::Other {
                self.take(capture, value)?;
                if !matches!(value, b"" | b"-") {
                    run.kept.push((capture.slot, at - start..end - start));
                }
            }
            next += 1;
            match captures.get(next) {
                Some(following) if repeats(following) => at = after(text, end, &following.before)?,
                _ => break end,
            }
        };
        run.text.clear();
        run.text.extend_from_slice(&text[start..=end]);
        run.next = next;
        self.memory.runs[first] = run;
        Some((next, end))
    }
}

/// Where the string ends whose text begins at `at`; `None` when it holds an escape.
#[inline]
fn quoted_end(text: &[u8], at: usize) -> Option<usize> {
    quote_or_backslash(text, at).filter(|end| text[*end] == b'"')
}
