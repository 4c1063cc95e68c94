//! Tokens of SQL, as lenient as all dialects together.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number: `1`, `1.5`, `1e0`, `0x41`.
    Number,
    /// A quoted text; whether its closing quote is there.
    Text { closed: bool },
    /// A quote by itself, where texts are not read.
    Quote,
    /// A keyword or a name, dots included.
    Word,
    /// `@name` or `@@name`.
    Variable,
    /// `=`, `<>`, `<=`, …
    Compare,
    /// `+`, `-`, `*`, `|`, …
    Arithmetic,
    /// `and`, `or`, `xor`, `&&`, `||`.
    Logic,
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// `,`.
    Comma,
    /// `;`.
    Semicolon,
    /// `--`, `#`, or a `/*` that does not end.
    Comment,
    /// Anything SQL has no use for here.
    Other,
    /// The end of the text.
    End,
}

/// One token and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t [u8],
    pub(super) start: usize,
}

impl Token<'_> {
    pub(super) const fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is that word.
    pub(super) fn is(&self, word: &str) -> bool {
        self.text == word.as_bytes() && matches!(self.kind, Kind::Word | Kind::Logic)
    }

    pub(super) fn is_one_of(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(word))
    }

    /// A value written out.
    pub(super) fn is_literal(&self) -> bool {
        matches!(self.kind, Kind::Number | Kind::Text { .. } | Kind::Variable)
            || self.is_one_of(&["null", "true", "false"])
    }
}

/// Reads tokens from a place on. Copies are cheap: look ahead with one.
#[derive(Clone, Copy)]
pub(super) struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
    reads_texts: bool,
    /// Whether a comment may still end: once an end was looked for in vain, none is
    /// looked for again.
    comments_may_end: bool,
}

impl<'t> Lexer<'t> {
    /// Reads quoted texts as one token each.
    pub(super) const fn new(text: &'t [u8], at: usize) -> Self {
        Self { text, at, reads_texts: true, comments_may_end: true }
    }

    /// Reads quotes as tokens by themselves, and what is between them as code.
    pub(super) const fn blind_to_texts(text: &'t [u8]) -> Self {
        Self { text, at: 0, reads_texts: false, comments_may_end: true }
    }

    /// What follows the latest token.
    pub(super) fn rest(&self) -> &'t [u8] {
        &self.text[self.at..]
    }

    pub(super) fn next(&mut self) -> Token<'t> {
        self.skip_space();
        let rest = &self.text[self.at..];
        let Some(&first) = rest.first() else { return self.token(Kind::End, 0) };
        match first {
            b'0'..=b'9' => self.token(Kind::Number, number_length(rest)),
            b'.' if rest.get(1).is_some_and(u8::is_ascii_digit) => {
                self.token(Kind::Number, number_length(rest))
            }
            b'\'' | b'"' if self.reads_texts => {
                let (length, closed) = text_length(rest);
                self.token(Kind::Text { closed }, length)
            }
            b'\'' | b'"' => self.token(Kind::Quote, 1),
            b'`' => match memchr::memchr(b'`', &rest[1..]) {
                Some(end) if end < 64 => self.token(Kind::Word, end + 2),
                _ => self.token(Kind::Other, 1),
            },
            b'@' => {
                let signs = rest.iter().take(2).take_while(|byte| **byte == b'@').count();
                let name =
                    rest[signs..].iter().take_while(|byte| is_word(**byte) || **byte == b'.');
                let length = signs + name.count();
                let kind = if length > signs { Kind::Variable } else { Kind::Other };
                self.token(kind, length)
            }
            byte if is_word(byte) => {
                let length = word_length(rest);
                let kind = match &rest[..length] {
                    b"and" | b"or" | b"xor" => Kind::Logic,
                    _ => Kind::Word,
                };
                self.token(kind, length)
            }
            _ => {
                let (kind, length) = punctuation(rest);
                self.token(kind, length)
            }
        }
    }

    fn token(&mut self, kind: Kind, length: usize) -> Token<'t> {
        let start = self.at;
        self.at += length;
        Token { kind, text: &self.text[start..self.at], start }
    }

    /// Skips white space and comments that end. `/*!50000` and its `*/` are white space
    /// too: what is between them runs.
    fn skip_space(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let length = match rest {
                [b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | 0xa0, ..] => 1,
                [0xc2, 0xa0, ..] | [b'*', b'/', ..] => 2,
                [b'/', b'*', b'!', digits @ ..] => {
                    3 + digits.iter().take(6).take_while(|byte| byte.is_ascii_digit()).count()
                }
                [b'/', b'*', inside @ ..] if self.comments_may_end => {
                    let Some(end) = memchr::memmem::find(inside, b"*/") else {
                        self.comments_may_end = false;
                        return;
                    };
                    end + 4
                }
                _ => return,
            };
            self.at += length;
        }
    }
}

/// Whether a word stands in the text that `wanted` accepts, or two bytes in a row of which
/// `twice` accepts the one: a quick look that reads no tokens, and finds more than words do
/// that are read as such.
pub(super) fn may_hold(
    text: &[u8],
    wanted: impl Fn(&[u8]) -> bool,
    twice: impl Fn(u8) -> bool,
) -> bool {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if !is_word(byte) {
            if twice(byte) && text.get(at + 1) == Some(&byte) {
                return true;
            }
            at += 1;
            continue;
        }
        let rest = &text[at..];
        let length = rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len());
        let word = &rest[..length];
        // The first byte of a no-break space looks like one of a word.
        let word = match rest.get(length) {
            Some(0xa0) => word.strip_suffix(b"\xc2").unwrap_or(word),
            _ => word,
        };
        // A number may end anywhere in it, and a word begins.
        let longest = if byte.is_ascii_digit() { word.len().min(32) } else { 0 };
        let behind = (1..longest).any(|length| wanted(&word[word.len() - length..]));
        if wanted(word) || behind {
            return true;
        }
        at += length;
    }
    false
}

const fn is_word(byte: u8) -> bool {
    WORD_BYTES[byte as usize]
}

/// Bytes of words, by their value: every byte of every text is asked for, often many times.
const WORD_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let value = byte as u8;
        table[byte] = value.is_ascii_alphanumeric()
            || matches!(value, b'_' | b'$')
            || (value >= 0x80 && value != 0xa0);
        byte += 1;
    }
    table
};

/// Names may have dots inside: `information_schema.tables`, `master..xp_cmdshell`.
fn word_length(rest: &[u8]) -> usize {
    let mut length = 0;
    loop {
        let run = &rest[length..];
        let run = run.iter().position(|byte| !is_word(*byte)).unwrap_or(run.len());
        length += run;
        match &rest[length..] {
            // A no-break space, of which the first byte looks like one of a word.
            [0xa0, ..] if run > 0 && rest[length - 1] == 0xc2 => return length - 1,
            [b'.', next, ..] if is_word(*next) => length += 1,
            [b'.', b'.', next, ..] if is_word(*next) => length += 2,
            _ => return length,
        }
    }
}

/// What does not belong to the number is the next token: `1union` is two.
fn number_length(rest: &[u8]) -> usize {
    let run = |from: usize, digit: fn(&u8) -> bool| {
        rest.get(from..).map_or(0, |rest| rest.iter().take_while(|byte| digit(byte)).count())
    };
    if matches!(rest, [b'0', b'x', next, ..] if next.is_ascii_hexdigit()) {
        return 2 + run(2, u8::is_ascii_hexdigit);
    }
    let mut length = run(0, u8::is_ascii_digit);
    if rest.get(length) == Some(&b'.') {
        length += 1 + run(length + 1, u8::is_ascii_digit);
    }
    if rest.get(length) == Some(&b'e') {
        let sign = usize::from(matches!(rest.get(length + 1), Some(b'+' | b'-')));
        let digits = run(length + 1 + sign, u8::is_ascii_digit);
        if digits > 0 {
            length += 1 + sign + digits;
        }
    }
    length
}

/// Length of a quoted text with its quotes, and whether it is closed. A doubled quote and
/// one after a backslash belong to the text.
fn text_length(rest: &[u8]) -> (usize, bool) {
    let quote = rest[0];
    let mut at = 1;
    loop {
        match rest.get(at) {
            Some(b'\\') => at += 2,
            Some(byte) if *byte == quote => {
                if rest.get(at + 1) != Some(&quote) {
                    return (at + 1, true);
                }
                at += 2;
            }
            Some(_) => {
                let found = memchr::memchr2(quote, b'\\', &rest[at..]);
                at = found.map_or(rest.len(), |found| at + found);
            }
            None => return (rest.len(), false),
        }
    }
}

fn punctuation(rest: &[u8]) -> (Kind, usize) {
    match rest {
        [b'-', b'-', ..] | [b'/', b'*', ..] => (Kind::Comment, 2),
        [b'#', ..] => (Kind::Comment, 1),
        [b'&', b'&', ..] | [b'|', b'|', ..] => (Kind::Logic, 2),
        // `==` and `=>` are for programs and markup; `::` is a cast.
        [b'=', b'=' | b'>', ..] | [b':', b':', ..] => (Kind::Other, 2),
        [b'<', b'=', b'>', ..] => (Kind::Compare, 3),
        [b'<', b'=' | b'>', ..] | [b'>' | b'!', b'=', ..] => (Kind::Compare, 2),
        [b'=' | b'<' | b'>', ..] => (Kind::Compare, 1),
        [b'+' | b'-' | b'*' | b'/' | b'%' | b'|' | b'&' | b'^' | b'~' | b'!', ..] => {
            (Kind::Arithmetic, 1)
        }
        [b'(', ..] => (Kind::Open, 1),
        [b')', ..] => (Kind::Close, 1),
        [b',', ..] => (Kind::Comma, 1),
        [b';', ..] => (Kind::Semicolon, 1),
        _ => (Kind::Other, 1),
    }
}

/// From one token to another, both included.
pub(super) const fn span(first: &Token<'_>, last: &Token<'_>) -> Range<usize> {
    first.start..last.end()
}
