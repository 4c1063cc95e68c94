//! Text that a client of the protected API may have written.
//!
//! Paths, user agents and referers are chosen by attackers: they hold terminal
//! escapes, markup, formulas and bytes that are not UTF-8. These types carry such
//! bytes and have no `Display`: whoever shows them picks an encoder. The one here,
//! [`Untrusted::escaped`], is inert on any terminal.

use std::fmt;

/// Borrowed bytes from a log, as the client sent them.
///
/// Nobody prints them by accident:
///
/// ```compile_fail,E0277
/// println!("{}", portcullis_ingest::Untrusted::new(b"\x1b[2J"));
/// ```
///
/// ```
/// let shown = portcullis_ingest::Untrusted::new(b"\x1b[2J").escaped().to_string();
/// assert_eq!(shown, "\\u{1b}[2J");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Untrusted<'a>(&'a [u8]);

impl<'a> Untrusted<'a> {
    /// Marks `bytes` as written by a client.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The raw bytes, for matching and encoding.
    pub const fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// An owned copy.
    pub fn to_buf(self) -> UntrustedBuf {
        UntrustedBuf(self.0.into())
    }

    /// The text with everything inert: control characters, bidirectional and
    /// zero-width controls and bytes that are not UTF-8 are written as `\u{1b}` or
    /// `\xff`, and a backslash as `\\`, so that the escaping can be undone.
    pub fn escaped(self) -> Escaped<'a> {
        Escaped(self.0)
    }
}

impl fmt::Debug for Untrusted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escaped())
    }
}

/// Owned bytes from a log, kept as evidence. Nobody prints these by accident either:
///
/// ```compile_fail,E0277
/// println!("{}", portcullis_ingest::UntrustedBuf::default());
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UntrustedBuf(Box<[u8]>);

impl UntrustedBuf {
    /// Borrows the bytes.
    pub fn as_untrusted(&self) -> Untrusted<'_> {
        Untrusted(&self.0)
    }
}

impl From<Vec<u8>> for UntrustedBuf {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for UntrustedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_untrusted().fmt(f)
    }
}

/// Text of [`Untrusted::escaped`], ready to print.
#[derive(Clone, Copy)]
pub struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character == '\\' {
                    f.write_str("\\\\")?;
                } else if is_unsafe_to_print(character) {
                    write!(f, "{}", character.escape_unicode())?;
                } else {
                    f.write_char(character)?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Whether a character may move the cursor, reorder text or hide: C0, C1 and DEL,
/// bidirectional controls, zero-width and other default-ignorable characters.
pub fn is_unsafe_to_print(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(Untrusted::new(bytes).escaped().to_string(), expected);
    }

    #[test]
    fn plain_text_stays_as_it_is() {
        check("/pets/42?q=naïve 日本".as_bytes(), "/pets/42?q=naïve 日本");
    }

    #[test]
    fn controls_bidi_and_broken_utf8_come_out_inert() {
        check(b"\x1b[2J", "\\u{1b}[2J");
        check("a\u{202e}b\u{200b}".as_bytes(), "a\\u{202e}b\\u{200b}");
        check(b"\xff\\", "\\xff\\\\");
        check("\u{9b}".as_bytes(), "\\u{9b}");
    }
}
