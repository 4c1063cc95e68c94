//! Text from a log, fit for a column.

use std::borrow::Cow;

use portcullis_ingest::{Untrusted, redacted};
use portcullis_review::shown;

/// Logged text in full, as [`shown`] makes it fit to be seen. Nearly all
/// of it is fit already, and is borrowed.
pub(crate) fn inert(text: Untrusted<'_>) -> Cow<'_, str> {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
    if let (Cow::Borrowed(bytes), true) =
        (redacted(text.bytes()), text.bytes().iter().all(is_plain))
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return Cow::Borrowed(text);
    }
    Cow::Owned(shown(text, usize::MAX))
}

#[cfg(test)]
mod tests {
    use portcullis_ingest::is_unsafe_to_print;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_is_that_which_is_shown_and_never_acts(
            text in prop_oneof!["[ -~]{0,40}", "(token|q|path)=[ -~é\u{202e}\u{1b}]{0,30}"],
            tail in prop::collection::vec(any::<u8>(), 0..4),
        ) {
            let text = [text.as_bytes(), &tail].concat();
            let text = Untrusted::new(&text);
            let inert = inert(text);
            prop_assert_eq!(&inert, &shown(text, usize::MAX));
            prop_assert!(!inert.contains(is_unsafe_to_print));
        }
    }
}
