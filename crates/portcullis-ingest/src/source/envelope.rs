//! Records inside records: CloudWatch Logs subscriptions and Firehose's error objects.
//!
//! HTTP APIs log to CloudWatch only; a subscription brings their lines to S3 as
//! messages of JSON objects. Firehose puts records that it could not convert or
//! deliver, base64-encoded, into objects under an error prefix: a line that breaks
//! the conversion is a line an attacker may have broken on purpose. What it could not
//! convert may be a subscription's record again, packed by gzip.
//!
//! Streams are shared and processors are changed, so an object may hold records in
//! envelopes and records without one: each is read as what it is.
//!
//! Sources: CloudWatch Logs guide, "Subscriptions"; Firehose guide, "Data delivery".

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::compression;
use crate::cut::Piece;
use crate::json::Pull;
use crate::value::unescape_backslashes;

/// Most bytes that one packed record of Firehose may unpack to. Records have at most
/// 1,000 KiB, of which log text packed by gzip makes some 10 to 20 MiB.
const MOST_UNPACKED: u64 = 32 << 20;

/// What the records stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Envelope {
    /// `{"messageType":"DATA_MESSAGE",…,"logEvents":[{"message":"…"}]}`
    CloudWatch,
    /// `{"attemptsMade":…,"rawData":"…"}`
    FirehoseError,
}

/// The keys that tell an envelope, as they are met: for each kind the first and the second of
/// two that it has both.
#[derive(Debug, Default)]
struct Keys {
    cloudwatch: [bool; 2],
    error: [bool; 2],
}

impl Keys {
    fn see(&mut self, key: &[u8]) {
        match key {
            b"messageType" => self.cloudwatch[0] = true,
            b"logGroup" | b"logEvents" => self.cloudwatch[1] = true,
            b"attemptsMade" => self.error[0] = true,
            b"rawData" => self.error[1] = true,
            _ => {}
        }
    }

    fn kind(&self) -> Option<Envelope> {
        match (self.cloudwatch, self.error) {
            ([true, true], _) => Some(Envelope::CloudWatch),
            (_, [true, true]) => Some(Envelope::FirehoseError),
            _ => None,
        }
    }
}

/// The envelope that `text` begins with, by its keys. The text may be cut off.
pub(crate) fn kind(text: &[u8]) -> Option<Envelope> {
    let mut keys = Keys::default();
    let _ = Pull::new(text).object(|pull, key| {
        keys.see(key);
        pull.skip()
    });
    keys.kind()
}

/// Gives the text of every record in the envelope that `text` begins with, with the
/// offset at which it is written, to `each`; a record that stands in no envelope is given
/// as it is. The length of what was given; `None` when it is not whole.
pub(crate) fn open(text: &[u8], each: &mut dyn FnMut(usize, &[u8])) -> Option<usize> {
    if text.first() != Some(&b'{') {
        return open_line(text, each);
    }
    let mut pull = Pull::new(text);
    let mut keys = Keys::default();
    let mut is_check = false;
    let mut messages = Vec::new();
    let mut data = None;
    pull.object(|pull, key| {
        keys.see(key);
        match key {
            // CloudWatch Logs tries a destination with messages that are no log.
            b"messageType" => {
                pull.peek()?;
                let start = pull.at;
                pull.skip()?;
                is_check = &text[start..pull.at] == br#""CONTROL_MESSAGE""#;
                Some(())
            }
            b"logEvents" if pull.peek()? == b'[' => pull.array(|pull| {
                if pull.peek()? != b'{' {
                    return pull.skip();
                }
                pull.object(|pull, key| {
                    if key == b"message" && pull.peek()? == b'"' {
                        messages.push(pull.string()?.piece);
                        return Some(());
                    }
                    pull.skip()
                })
            }),
            b"rawData" if pull.peek()? == b'"' => {
                data = Some(pull.string()?.piece);
                Some(())
            }
            _ => pull.skip(),
        }
    })?;
    let length = pull.at;
    match keys.kind() {
        Some(Envelope::CloudWatch) if is_check => {}
        Some(Envelope::CloudWatch) => {
            let mut inner = Vec::new();
            for piece in messages {
                inner.clear();
                unescape_backslashes(piece.of(text), &mut inner);
                each(piece.start, &inner);
            }
        }
        Some(Envelope::FirehoseError) => {
            if let Some(piece) = data {
                raw_data(text, piece, each);
            }
        }
        None => each(0, &text[..length]),
    }
    Some(length)
}

/// Gives a line that stands between envelopes. One that has an object in it is left to
/// whoever looks for where objects begin.
fn open_line(text: &[u8], each: &mut dyn FnMut(usize, &[u8])) -> Option<usize> {
    let end = memchr::memchr(b'\n', text)?;
    if memchr::memmem::find(&text[..end], b"{\"").is_some() {
        return None;
    }
    each(0, &text[..end]);
    Some(end + 1)
}

/// Gives what Firehose could not convert or deliver. Records that a subscription sent it are
/// packed envelopes of CloudWatch Logs; an envelope inside these is followed no further.
fn raw_data(text: &[u8], piece: Piece, each: &mut dyn FnMut(usize, &[u8])) {
    // What is not base64 is shown as it stands.
    let Ok(data) = STANDARD.decode(piece.of(text)) else {
        return each(piece.start, piece.of(text));
    };
    let data = unpacked(&data).unwrap_or(data);
    let mut rest = data.as_slice();
    while kind(rest) == Some(Envelope::CloudWatch) {
        // Places inside what was packed are no places of the object.
        match open(rest, &mut |_, message| each(piece.start, message)) {
            Some(length) => rest = crate::frame::after_separators(&rest[length..]),
            None => break,
        }
    }
    if !rest.is_empty() {
        each(piece.start, rest);
    }
}

/// The text of data that is gzip; `None` when it is not, or is damaged or too long.
fn unpacked(data: &[u8]) -> Option<Vec<u8>> {
    if !data.starts_with(&[0x1f, 0x8b]) {
        return None;
    }
    let (text, _) = compression::text(data).ok()?;
    let mut unpacked = Vec::new();
    text.take(MOST_UNPACKED + 1).read_to_end(&mut unpacked).ok()?;
    (unpacked.len() as u64 <= MOST_UNPACKED).then_some(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Envelope, records: &[&str]) {
        assert_eq!(kind(text.as_bytes()), Some(expected));
        let mut seen = Vec::new();
        let length = open(text.as_bytes(), &mut |_, inner| {
            seen.push(String::from_utf8_lossy(inner).into_owned());
        });
        assert_eq!(seen, records);
        assert_eq!(length, Some(text.len()));
    }

    #[test]
    fn messages_and_raw_data_are_unpacked() {
        check(
            r#"{"messageType":"DATA_MESSAGE","logGroup":"g","logEvents":[{"id":"1","message":"{\"a\":1}"},{"message":"b"}]}"#,
            Envelope::CloudWatch,
            &["{\"a\":1}", "b"],
        );
        check(
            r#"{"messageType":"CONTROL_MESSAGE","logEvents":[{"id":"","message":"CWL CONTROL MESSAGE: Checking health of destination Firehose."}]}"#,
            Envelope::CloudWatch,
            &[],
        );
        check(r#"{"attemptsMade":4,"rawData":"aGVsbG8="}"#, Envelope::FirehoseError, &["hello"]);
        check(r#"{"attemptsMade":4,"rawData":"?"}"#, Envelope::FirehoseError, &["?"]);
    }
}
