//! JSON: a string ends at its first quote.

use super::{Filling, Plan, Run, after, fill, repeats};
use crate::Timestamp;
use crate::cut::quote_or_backslash;
use crate::template::{Capture, Setting, Template};
use crate::value::parse_whole;
use crate::variable::{Shape, Slot, parse_status};

/// Digits of an epoch in milliseconds.
const EPOCH_BYTES: usize = 13;

/// Most digits of a number; see [`parse_whole`].
const MOST_DIGITS: usize = 18;

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
            if let Some(end) = self.quick(capture, index, text, at) {
                at = end;
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

    /// Takes a value whose type alone tells where it ends, if a quote follows: then nobody
    /// needs to look for that first. Gives the value's end.
    #[inline]
    fn quick(
        &mut self,
        capture: &Capture,
        index: usize,
        text: &'o [u8],
        at: usize,
    ) -> Option<usize> {
        if capture.setting != Setting::Quoted {
            return None;
        }
        let closed = |length: usize| {
            let end = at + length;
            (text.get(end) == Some(&b'"')).then(|| (&text[at..end], end))
        };
        match capture.slot {
            Slot::RequestId | Slot::ExtendedId if capture.shape == Shape::Id => {
                // An id holds no quote; one that is absent or empty is left to others.
                let length = *self.memory.lengths.get(index)?;
                let (value, end) = closed(length).filter(|(value, _)| value.len() > 1)?;
                if !capture.shape.holds(value) {
                    return None;
                }
                self.keep(capture.slot, value);
                Some(end)
            }
            Slot::TimeEpoch => {
                let (value, end) = closed(EPOCH_BYTES)?;
                self.request.time = Some(Timestamp::parse_epoch(value)?);
                Some(end)
            }
            Slot::Status => {
                let (value, end) = closed(3)?;
                self.request.status = parse_status(value).ok()?;
                Some(end)
            }
            Slot::ResponseBytes | Slot::LatencyMs => {
                let digits = text.get(at..)?.iter().take(MOST_DIGITS + 1);
                let digits = digits.take_while(|byte| byte.is_ascii_digit()).count();
                let (value, end) = closed(digits)?;
                let number = parse_whole(value).ok()?;
                match capture.slot {
                    Slot::ResponseBytes => self.request.response_bytes = number,
                    _ => self.request.latency_ms = number,
                }
                Some(end)
            }
            _ => None,
        }
    }

    /// Remembers how long an id is.
    #[inline]
    fn note_length(&mut self, capture: &Capture, index: usize, length: usize) {
        if matches!(capture.slot, Slot::RequestId | Slot::ExtendedId) {
            let lengths = &mut self.memory.lengths;
            if lengths.len() <= index {
                lengths.resize(index + 1, 0);
            }
            lengths[index] = length;
        }
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
