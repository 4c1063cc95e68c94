//! JSON of what came from logs: exact where it can be, inert everywhere.
//!
//! A log holds bytes, JSON holds Unicode text, and a terminal acts on some of that text.
//! So valid UTF-8 is written exactly, with `\u` escapes for every character that could
//! act; bytes that are not UTF-8 are written in a notation that can be undone, and the
//! record names the fields that use it. Values of our own (rule ids, numbers) need none
//! of that and go through the same encoder anyway.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use portcullis_ingest::{Untrusted, is_unsafe_to_print, redacted};

/// Whether secrets in logged text are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// As `[redacted]`.
    Hidden,
    /// In clear, because the operator asked for them.
    Shown,
}

/// One JSON object being written, fields in the order of the calls.
pub struct Object<'b> {
    out: &'b mut Vec<u8>,
    is_empty: bool,
    secrets: Secrets,
    /// Fields written in the notation for bytes that are not UTF-8.
    escaped: Vec<&'static str>,
}

impl<'b> Object<'b> {
    /// Opens an object at the end of `out`.
    pub fn open(out: &'b mut Vec<u8>, secrets: Secrets) -> Self {
        out.push(b'{');
        Self { out, is_empty: true, secrets, escaped: Vec::new() }
    }

    fn name(&mut self, name: &str) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        write_string(self.out, name);
        self.out.push(b':');
    }

    /// Writes text from a log; absent stays absent.
    pub fn untrusted(&mut self, name: &'static str, text: Option<Untrusted<'_>>) {
        let Some(text) = text else { return };
        self.name(name);
        let shown = match self.secrets {
            Secrets::Hidden => redacted(text.bytes()),
            Secrets::Shown => Cow::Borrowed(text.bytes()),
        };
        if write_untrusted(self.out, Untrusted::new(&shown)) == Notation::Escaped {
            self.escaped.push(name);
        }
    }

    /// Writes text of our own or a name of an object.
    pub fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        write_string(self.out, text);
    }

    /// Writes a whole number.
    pub fn number(&mut self, name: &str, number: impl Into<u64>) {
        self.name(name);
        let _ = write!(self.out, "{}", number.into());
    }

    /// Writes a number by its `Display`.
    pub fn literal(&mut self, name: &str, number: impl fmt::Display) {
        self.name(name);
        let _ = write!(self.out, "{number}");
    }

    /// Writes `null`.
    pub fn null(&mut self, name: &str) {
        self.name(name);
        self.out.extend_from_slice(b"null");
    }

    /// Writes `true` or `false`.
    pub fn boolean(&mut self, name: &str, value: bool) {
        self.name(name);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// Writes something whose `Display` needs no escaping (an address, a time) in
    /// quotes; absent stays absent.
    pub fn display(&mut self, name: &str, value: Option<impl fmt::Display>) {
        let Some(value) = value else { return };
        self.name(name);
        let _ = write!(self.out, "\"{value}\"");
    }

    /// Writes a list of strings.
    pub fn texts<'t>(&mut self, name: &str, texts: impl IntoIterator<Item = &'t str>) {
        self.name(name);
        self.out.push(b'[');
        for (index, text) in texts.into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write_string(self.out, text);
        }
        self.out.push(b']');
    }

    /// Writes a list of objects, one call of `write` for each item.
    pub fn objects<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Object<'_>, T),
    ) {
        self.name(name);
        self.out.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            let mut object = Object::open(self.out, self.secrets);
            write(&mut object, item);
            object.close();
        }
        self.out.push(b']');
    }

    /// Writes an object inside this one.
    pub fn object(&mut self, name: &str, write: impl FnOnce(&mut Object<'_>)) {
        self.name(name);
        let mut object = Object::open(self.out, self.secrets);
        write(&mut object);
        object.close();
    }

    /// Closes the object, naming the fields that use the notation for bad bytes.
    pub fn close(mut self) {
        if !self.escaped.is_empty() {
            let escaped = std::mem::take(&mut self.escaped);
            self.texts("escaped", escaped);
        }
        self.out.push(b'}');
    }
}

/// How a string was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notation {
    /// As it is.
    Exact,
    /// Bad bytes as `\xHH`, backslashes doubled.
    Escaped,
}

fn write_untrusted(out: &mut Vec<u8>, text: Untrusted<'_>) -> Notation {
    if let Ok(text) = std::str::from_utf8(text.bytes()) {
        write_string(out, text);
        return Notation::Exact;
    }
    out.push(b'"');
    for chunk in text.bytes().utf8_chunks() {
        for part in chunk.valid().split_inclusive('\\') {
            match part.strip_suffix('\\') {
                Some(before) => {
                    write_contents(out, before);
                    out.extend_from_slice(b"\\\\\\\\");
                }
                None => write_contents(out, part),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\\\x{byte:02x}");
        }
    }
    out.push(b'"');
    Notation::Escaped
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    write_contents(out, text);
    out.push(b'"');
}

/// The inside of a JSON string. Runs of ordinary ASCII are copied whole: nearly all of
/// every log is one.
fn write_contents(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(needs_a_look) {
        let (ordinary, from) = rest.split_at(at);
        out.extend_from_slice(ordinary.as_bytes());
        let character = from.chars().next().expect("position() found a byte");
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            _ if is_unsafe_to_print(character) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = &from[character.len_utf8()..];
    }
    out.extend_from_slice(rest.as_bytes());
}

fn needs_a_look(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || byte >= 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out, Secrets::Hidden);
        object.untrusted("path", Some(Untrusted::new(bytes)));
        object.untrusted("query", None);
        object.close();
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(line(bytes), expected);
        serde_json::from_str::<serde_json::Value>(expected).expect("valid JSON");
    }

    #[test]
    fn valid_text_is_exact_and_acts_on_no_terminal() {
        check(b"/a\"b\\c", r#"{"path":"/a\"b\\c"}"#);
        check("naïve 日本 😀".as_bytes(), r#"{"path":"naïve 日本 😀"}"#);
        check(b"\x1b[2J\x7f\t\n", r#"{"path":"\u001b[2J\u007f\t\n"}"#);
        check(
            "\u{9b}\u{202e}\u{200b}\u{e0041}".as_bytes(),
            r#"{"path":"\u009b\u202e\u200b\udb40\udc41"}"#,
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_are_named_and_can_be_restored() {
        check(b"\xff\\x\x1b", r#"{"path":"\\xff\\\\x\u001b","escaped":["path"]}"#);
        check(b"\\\\\xc3", r#"{"path":"\\\\\\\\\\xc3","escaped":["path"]}"#);
    }

    #[test]
    fn objects_nest() {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out, Secrets::Hidden);
        object.texts("rules", ["a", "b"]);
        object.objects("list", [1_u64, 2], |object, n| object.number("n", n));
        object.object("inner", |object| object.boolean("yes", true));
        object.display("none", None::<u8>);
        object.close();
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            r#"{"rules":["a","b"],"list":[{"n":1},{"n":2}],"inner":{"yes":true}}"#
        );
    }
}
