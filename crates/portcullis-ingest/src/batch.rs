//! Reads plain records one behind the other, before anybody looks at them.
//!
//! Whoever takes requests looks each of them up in tables that are larger than a processor's
//! cache, and waits for memory each time. Several requests at once are waited for once. So
//! plain records, which are almost all, are read ahead of whoever takes them, as many as stay
//! in the fastest cache; what is not plain is left to [`crate::frame`], after them.

use crate::direct::{Filling, Plan};
use crate::format::{Compiled, Reading};
use crate::frame::{Out, Reader, first_line, without_typed_end};
use crate::template::Form;
use crate::{Origin, Request, Sink, combined};

/// Requests that are read before they are taken. Each has some 500 bytes, and the fastest
/// cache 32 KiB or more.
const MOST: usize = 16;

impl Reader<'_> {
    /// Takes the plain records that `text` begins with, and the line feeds around them. Gives
    /// the bytes consumed, 0 when something else stands there.
    pub(crate) fn plain_records<'o, S: Sink>(
        &mut self,
        text: &'o [u8],
        origin: Origin<'o>,
        out: &mut Out<'_, '_, S>,
    ) -> usize {
        match self.format.map(|format| &format.reading) {
            Some(Reading::Template(compiled)) => match compiled.template.form {
                _ if compiled.template.plan == Plan::None => 0,
                Form::Json => self.several(text, origin, out, |reader, text, origin, request| {
                    reader.plain_json(compiled, text, origin, request)
                }),
                Form::Csv | Form::Line if self.lines == Some(true) => {
                    self.several(text, origin, out, |reader, text, origin, request| {
                        reader.plain_line(compiled, text, origin, request)
                    })
                }
                Form::Csv | Form::Line | Form::Xml => 0,
            },
            Some(Reading::Combined(_)) => {
                self.several(text, origin, out, |reader, text, origin, request| {
                    let (line, length) = first_line(text)?;
                    *request = combined::plain::request(line, origin, &mut reader.minute)?;
                    Some(length)
                })
            }
            _ => 0,
        }
    }

    /// Takes records while `read` reads them; it gives their length.
    #[inline]
    fn several<'o, S: Sink>(
        &mut self,
        text: &'o [u8],
        origin: Origin<'o>,
        out: &mut Out<'_, '_, S>,
        read: impl Fn(&mut Self, &'o [u8], Origin<'o>, &mut Request<'o>) -> Option<usize>,
    ) -> usize {
        let mut batch = [Request::default(); MOST];
        let mut at = 0;
        loop {
            let mut count = 0;
            while let Some(request) = batch.get_mut(count) {
                let feeds = text[at..].iter().take_while(|byte| **byte == b'\n').count();
                at += feeds;
                // What begins otherwise is a header, or more of what separates records.
                if text.get(at).is_none_or(|byte| !byte.is_ascii_graphic() || b"#\\".contains(byte))
                {
                    break;
                }
                let origin = Origin { offset: origin.offset + at as u64, ..origin };
                let Some(length) = read(self, &text[at..], origin, request) else { break };
                at += length;
                count += 1;
            }
            out.tally.requests(out.sink, &mut batch[..count]);
            if count < MOST {
                return at;
            }
        }
    }

    #[inline]
    fn plain_json<'o>(
        &mut self,
        compiled: &Compiled,
        text: &'o [u8],
        origin: Origin<'o>,
        request: &mut Request<'o>,
    ) -> Option<usize> {
        let mut plain = Filling::new(request, origin, &mut self.memory);
        let length = plain.json(&compiled.template, text)?;
        plain.finish();
        Some(length)
    }

    #[inline]
    fn plain_line<'o>(
        &mut self,
        compiled: &Compiled,
        text: &'o [u8],
        origin: Origin<'o>,
        request: &mut Request<'o>,
    ) -> Option<usize> {
        let (line, length) = first_line(text)?;
        let line = if compiled.template.ends_line { without_typed_end(line) } else { line };
        let mut plain = Filling::new(request, origin, &mut self.memory);
        plain.record(&compiled.template, line, &mut self.pieces)?;
        plain.finish();
        Some(length)
    }
}
