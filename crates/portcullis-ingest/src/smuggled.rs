//! Recognises a seam between two records that a client wrote inside a value.
//!
//! A client whose text is not escaped closes its value and the record, and begins another
//! of somebody else's: the real record's beginning then stands in front of the forged one,
//! and the real one's rest behind it. Neither half is to be believed. Where the client's
//! value is the record's last, nothing tells such a pair from two records that Firehose
//! joined; only escaping does, and API Gateway escapes JSON.

use std::ops::ControlFlow;

use crate::frame::{Out, STRUCTURE_SEARCH_BYTES};
use crate::template::{Capture, Template};
use crate::{Origin, RejectReason, Sink};

/// Most bytes of a value: API Gateway takes no longer request line and headers.
///
/// Source: API Gateway guide, "Quotas" (total of request line and header values).
const SMUGGLED_BYTES: usize = 10_240;

/// Rejects what seems to be two records and is one with a seam inside a value; breaks
/// with what the step then comes to, and continues when there is no such seam.
///
/// A client that closes its value and the record leaves the real record's beginning in
/// front of its forged record, and the real one's rest behind. So: `text`, whose first
/// `end` bytes are not written as the template says, can be read as one record that goes
/// on behind `end`. `end_of` gives the length of the record that its text begins with.
pub(crate) fn smuggled<S: Sink>(
    template: &Template,
    text: &[u8],
    mut end: usize,
    whole: bool,
    end_of: impl Fn(&[u8]) -> Option<usize>,
    origin: Origin<'_>,
    out: &mut Out<'_, '_, S>,
) -> ControlFlow<Option<usize>> {
    let head = template.head();
    if head.len() < 2 || !reaches_client(template, &text[..end]) {
        return ControlFlow::Continue(());
    }
    let may_grow = !whole && text.len() < STRUCTURE_SEARCH_BYTES;
    let unknown = if may_grow { ControlFlow::Break(None) } else { ControlFlow::Continue(()) };
    let alone = end;
    while end - alone <= SMUGGLED_BYTES {
        let rest = &text[end..];
        if !rest.starts_with(head) {
            if may_grow && head.starts_with(rest) {
                return unknown;
            }
            break;
        }
        match end_of(&rest[..rest.len().min(STRUCTURE_SEARCH_BYTES)]) {
            Some(length) => end += length,
            None => return unknown,
        }
    }
    // What reads as one with the first record behind it does so with all of them.
    let record = &text[..end];
    let mut pieces = Vec::new();
    if end > alone && template.may_be_one(record, &mut pieces) {
        out.reject(RejectReason::Smuggled, record, end, origin);
        return ControlFlow::Break(Some(end));
    }
    ControlFlow::Continue(())
}

/// Whether `record` is written as the template says up to the first value that a client
/// may write. Records of another spacing or order are not, and need no closer look.
fn reaches_client(template: &Template, record: &[u8]) -> bool {
    let Some(first) = template.captures.iter().position(Capture::is_open) else {
        return false;
    };
    let mut rest = record.strip_prefix(template.head());
    for index in 0..first {
        let next = template.text_after(index);
        rest = rest.and_then(|rest| Some(&rest[next.find(rest)? + next.len()..]));
    }
    rest.is_some()
}
