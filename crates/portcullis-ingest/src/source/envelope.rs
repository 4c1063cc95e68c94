//! Records inside records: CloudWatch Logs subscriptions and Firehose's error objects.
//!
//! HTTP APIs log to CloudWatch only; a subscription brings their lines to S3 as
//! messages of JSON objects. Firehose puts records that it could not convert or
//! deliver, base64-encoded, into objects under an error prefix: a line that breaks
//! the conversion is a line an attacker may have broken on purpose.
//!
//! Sources: CloudWatch Logs guide, "Subscriptions"; Firehose guide, "Data delivery".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::json::Pull;
use crate::value::unescape_backslashes;

/// What the records stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Envelope {
    /// `{"messageType":"DATA_MESSAGE",…,"logEvents":[{"message":"…"}]}`
    CloudWatch,
    /// `{"attemptsMade":…,"rawData":"…"}`
    FirehoseError,
}

/// The envelope that `text` begins with, by its keys. The text may be cut off.
pub(crate) fn kind(text: &[u8]) -> Option<Envelope> {
    let (mut message, mut group, mut attempts, mut data) = (false, false, false, false);
    let _ = Pull::new(text).object(|pull, key| {
        message |= key == b"messageType";
        group |= key == b"logGroup" || key == b"logEvents";
        attempts |= key == b"attemptsMade";
        data |= key == b"rawData";
        pull.skip()
    });
    match (message && group, attempts && data) {
        (true, _) => Some(Envelope::CloudWatch),
        (_, true) => Some(Envelope::FirehoseError),
        _ => None,
    }
}

/// Gives the text of every record in the envelope that `text` begins with, with the
/// offset at which it is written, to `each`. The envelope's length; `None` when it is
/// not whole.
pub(crate) fn open(
    kind: Envelope,
    text: &[u8],
    each: &mut dyn FnMut(usize, &[u8]),
) -> Option<usize> {
    let mut pull = Pull::new(text);
    let mut inner = Vec::new();
    let mut is_check = false;
    pull.object(|pull, key| match (kind, key) {
        // CloudWatch Logs tries a destination with messages that are no log.
        (Envelope::CloudWatch, b"messageType") => {
            is_check = pull.scalar()?.piece.of(text) == b"CONTROL_MESSAGE";
            Some(())
        }
        (Envelope::CloudWatch, b"logEvents") if is_check => pull.skip(),
        (Envelope::CloudWatch, b"logEvents") => pull.array(|pull| {
            pull.object(|pull, key| {
                if key != b"message" {
                    return pull.skip();
                }
                let piece = pull.string()?.piece;
                inner.clear();
                unescape_backslashes(piece.of(text), &mut inner);
                each(piece.start, &inner);
                Some(())
            })
        }),
        (Envelope::FirehoseError, b"rawData") => {
            let leaf = pull.scalar()?;
            inner.clear();
            match STANDARD.decode_vec(leaf.piece.of(text), &mut inner) {
                Ok(()) => each(leaf.piece.start, &inner),
                // What is not base64 is shown as it stands.
                Err(_) => each(leaf.piece.start, leaf.piece.of(text)),
            }
            Some(())
        }
        _ => pull.skip(),
    })?;
    Some(pull.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Envelope, records: &[&str]) {
        assert_eq!(kind(text.as_bytes()), Some(expected));
        let mut seen = Vec::new();
        let length = open(expected, text.as_bytes(), &mut |_, inner| {
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
