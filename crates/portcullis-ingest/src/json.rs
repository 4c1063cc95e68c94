//! Reads JSON objects without building them: where one ends, and where its values stand.
//!
//! Only what log records need: keys and scalar values with their byte ranges.
//! Arrays are checked and passed over. Depth and work are bounded by the record's
//! size; nothing recurses deeper than [`MAX_DEPTH`].

use crate::cut::{Piece, quote_or_backslash, string_end};

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 64;

/// A scalar value: where it stands (a string without its quotes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) piece: Piece,
    pub(crate) quoted: bool,
    /// Whether a backslash is in it: what stands there is not yet what it says.
    pub(crate) escaped: bool,
}

/// Where the object that `text` begins with ends, by braces and quotes alone.
/// `None` when it does not end in `text`.
pub(crate) fn object_end(text: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        at = next_of([b'{', b'}', b'"'], text, at)?;
        match text[at] {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => at = string_end(text, at + 1)?,
        }
        at += 1;
    }
}

/// The first of three bytes at or after `at`. Between strings stand a few bytes, which are
/// looked at right here; what is longer is left to `memchr`.
#[inline]
fn next_of([a, b, c]: [u8; 3], text: &[u8], at: usize) -> Option<usize> {
    const FEW: usize = 12;
    let rest = text.get(at..)?;
    let found = rest.iter().take(FEW).position(|byte| [a, b, c].contains(byte));
    if let Some(found) = found {
        return Some(at + found);
    }
    Some(at + FEW + memchr::memchr3(a, b, c, rest.get(FEW..)?)?)
}

/// Calls `visit` with the keys and the place of every scalar value outside arrays.
/// Gives the object's length, or `None` when the text is no JSON object.
pub(crate) fn leaves<'t>(
    text: &'t [u8],
    visit: &mut dyn FnMut(&[&'t [u8]], Leaf),
) -> Option<usize> {
    let mut pull = Pull { text, at: 0 };
    leaves_of(&mut pull, &mut Vec::new(), visit)?;
    Some(pull.at)
}

fn leaves_of<'t>(
    pull: &mut Pull<'t>,
    keys: &mut Vec<&'t [u8]>,
    visit: &mut dyn FnMut(&[&'t [u8]], Leaf),
) -> Option<()> {
    if keys.len() >= MAX_DEPTH {
        return None;
    }
    pull.object(|pull, key| {
        keys.push(key);
        match pull.peek()? {
            b'{' => leaves_of(pull, keys, visit)?,
            b'[' => pull.skip_array()?,
            _ => visit(keys, pull.scalar()?),
        }
        keys.pop();
        Some(())
    })
}

/// Reads JSON piece by piece; `None` means that the text is no JSON.
pub(crate) struct Pull<'t> {
    text: &'t [u8],
    pub(crate) at: usize,
}

impl<'t> Pull<'t> {
    pub(crate) fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is no white space, of which there mostly is none.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        match self.text.get(self.at) {
            Some(0..=b' ') => self.peek_behind_space(),
            byte => byte.copied(),
        }
    }

    #[cold]
    fn peek_behind_space(&mut self) -> Option<u8> {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Calls `read` with every key; it must read the value.
    pub(crate) fn object(
        &mut self,
        read: impl FnMut(&mut Self, &'t [u8]) -> Option<()>,
    ) -> Option<()> {
        self.usual_object(&[], read)
    }

    /// The same of an object of which the writer is known: `usual` has its keys in his order,
    /// each as he writes it, from its quote to its colon. That spares looking for their ends.
    pub(crate) fn usual_object(
        &mut self,
        mut usual: &[&'static [u8]],
        mut read: impl FnMut(&mut Self, &'t [u8]) -> Option<()>,
    ) -> Option<()> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        self.member(&mut usual, &mut read)?;
        self.members_behind(usual, read)
    }

    /// Calls `read` with a key; it must read the value.
    fn member(
        &mut self,
        usual: &mut &[&'static [u8]],
        read: &mut impl FnMut(&mut Self, &'t [u8]) -> Option<()>,
    ) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        if let Some(place) = usual.iter().position(|key| rest.starts_with(key)) {
            let key = usual[place];
            *usual = &usual[place + 1..];
            self.at += key.len();
            return read(self, &key[1..key.len() - 2]);
        }
        let key = self.string()?.piece.of(self.text);
        self.expect(b':')?;
        read(self, key)
    }

    /// Calls `read` with every key behind a value of an object; it must read the value.
    pub(crate) fn other_members(
        &mut self,
        read: impl FnMut(&mut Self, &'t [u8]) -> Option<()>,
    ) -> Option<()> {
        self.members_behind(&[], read)
    }

    fn members_behind(
        &mut self,
        mut usual: &[&'static [u8]],
        mut read: impl FnMut(&mut Self, &'t [u8]) -> Option<()>,
    ) -> Option<()> {
        loop {
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
            self.member(&mut usual, &mut read)?;
        }
    }

    /// Calls `read` for every element; it must read it. `null` is an empty array.
    pub(crate) fn array(&mut self, mut read: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if self.peek()? == b'n' {
            return self.scalar().map(|_| ());
        }
        self.expect(b'[')?;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            read(self)?;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    pub(crate) fn string(&mut self) -> Option<Leaf> {
        self.expect(b'"')?;
        let start = self.at;
        let mut end = quote_or_backslash(self.text, start)?;
        let escaped = self.text[end] == b'\\';
        if escaped {
            end = string_end(self.text, end)?;
        }
        self.at = end + 1;
        Some(Leaf { piece: Piece { start, end }, quoted: true, escaped })
    }

    /// A string, number, `true`, `false` or `null`.
    pub(crate) fn scalar(&mut self) -> Option<Leaf> {
        if self.peek()? == b'"' {
            return self.string();
        }
        let start = self.at;
        let length = self.text[start..]
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'))
            .count();
        self.at += length;
        let value = &self.text[start..self.at];
        let number = value.first().is_some_and(|b| b.is_ascii_digit() || *b == b'-')
            && value.last().is_some_and(u8::is_ascii_digit)
            && value.iter().all(|b| b.is_ascii_digit() || b"-+.eE".contains(b));
        (number || [&b"true"[..], b"false", b"null"].contains(&value)).then_some(Leaf {
            piece: Piece { start, end: self.at },
            quoted: false,
            escaped: false,
        })
    }

    /// Passes over any value.
    pub(crate) fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'{' => {
                self.at += object_end(&self.text[self.at..])?;
                Some(())
            }
            b'[' => self.skip_array(),
            _ => self.scalar().map(|_| ()),
        }
    }

    /// Passes over an array by brackets and quotes.
    fn skip_array(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            self.at = next_of([b'[', b']', b'"'], self.text, self.at)? + 1;
            match self.text[self.at - 1] {
                b'[' => depth += 1,
                b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(());
                    }
                }
                _ => self.at = string_end(self.text, self.at)? + 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&[(&str, &str)]>) {
        let mut seen = Vec::new();
        let length = leaves(text.as_bytes(), &mut |keys, leaf| {
            let keys: Vec<_> = keys.iter().map(|k| String::from_utf8_lossy(k)).collect();
            seen.push((
                keys.join("/"),
                String::from_utf8_lossy(leaf.piece.of(text.as_bytes())).into_owned(),
            ));
        });
        let expected =
            expected.map(|e| e.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        assert_eq!(length.map(|_| seen), expected, "{text}");
    }

    #[test]
    fn values_are_found_at_any_depth() {
        check(
            r#"{"a":"x","b":{"c":1,"d":null},"e":[{"f":"]"},2],"g":"y"}"#,
            Some(&[("a", "x"), ("b/c", "1"), ("b/d", "null"), ("g", "y")]),
        );
    }

    #[test]
    fn keys_are_read_the_same_whether_they_are_usual_or_not() {
        let usual: [&[u8]; 4] = [br#""a":"#, br#""b":"#, br#""c":"#, br#""d":"#];
        let read = |text: &str, usual: &[&'static [u8]]| {
            let mut pull = Pull::new(text.as_bytes());
            let mut keys = Vec::new();
            let read = pull.usual_object(usual, |pull, key| {
                keys.push((key.to_vec(), pull.at));
                pull.skip()
            });
            (read, pull.at, keys)
        };
        for (text, keys) in [
            (r#"{"a":1,"b":"x","c":[{"d":2}],"d":{}}"#, 4),
            (r#"{"b":1,"x":2,"d":3,"c":4}"#, 4),
            (r#"{"a":1,"a":2,"a" : 3,"aa":4,"b": 5}"#, 5),
            (r#"{ "a":1 , "b" :2}"#, 2),
            (r#"{"d":"\"a\":1,","a":2}"#, 2),
            (r#"{"a":"#, 1),
            (r#"{"a""#, 0),
            ("{}", 0),
        ] {
            let expected = read(text, &[]);
            assert_eq!(expected.2.len(), keys, "{text}");
            assert_eq!(read(text, &usual), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["{\"a\":-}", "{\"a\":\"\"x\"\"}", "{\"a\" 1}", "{", "{\"a\":1", "[1]"] {
            check(text, None);
        }
        check(&"{\"a\":".repeat(100), None);
    }

    #[test]
    fn an_object_ends_at_its_own_brace() {
        assert_eq!(object_end(br#"{"a":"}\"}","b":{}}{"c"#), Some(19));
        assert_eq!(object_end(br#"{"a":{}"#), None);
    }
}
