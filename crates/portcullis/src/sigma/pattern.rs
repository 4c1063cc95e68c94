//! Values of Sigma: text with wildcards, compared as the field is decoded.

use std::fmt::Write as _;

/// A value as something to search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) pieces: Vec<Piece>,
    pub(super) at_start: bool,
    pub(super) at_end: bool,
}

/// A piece of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// `?`
    One,
    /// `*`
    Many,
    /// A regular expression as written, with a text that every match holds.
    Expression {
        regex: String,
        literal: String,
        ignores_case: bool,
    },
}

impl Pattern {
    /// Reads a value with wildcards. `\*`, `\?` and `\\` stand for the characters.
    pub(super) fn read(value: &str, at_start: bool, at_end: bool) -> Self {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut text = String::new();
        let mut characters = value.chars().peekable();
        while let Some(character) = characters.next() {
            let piece = match character {
                '\\' => {
                    let escaped = characters.next_if(|next| matches!(next, '*' | '?' | '\\'));
                    text.push(escaped.unwrap_or('\\'));
                    continue;
                }
                '*' => Piece::Many,
                '?' => Piece::One,
                _ => {
                    text.push(character);
                    continue;
                }
            };
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(piece);
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        let mut pattern = Self { pieces, at_start, at_end };
        // A star at an end says that anything may stand there.
        while pattern.pieces.first() == Some(&Piece::Many) {
            pattern.pieces.remove(0);
            pattern.at_start = false;
        }
        while pattern.pieces.last() == Some(&Piece::Many) {
            pattern.pieces.pop();
            pattern.at_end = false;
        }
        pattern
    }

    /// The text, if the value is nothing but text that may stand anywhere.
    pub(super) fn plain(&self) -> Option<&str> {
        match &self.pieces[..] {
            [Piece::Text(text)] if !self.at_start && !self.at_end => Some(text),
            _ => None,
        }
    }

    /// As it stands in a Sigma rule, but for escapes.
    pub(super) fn shown(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::One => "?".to_owned(),
            Piece::Many => "*".to_owned(),
            Piece::Expression { regex, .. } => regex.clone(),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// The longest text that everything it matches holds.
    pub(super) fn literal(&self) -> Option<&str> {
        let texts = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Expression { literal, .. } => Some(literal.as_str()),
            Piece::One | Piece::Many => None,
        });
        texts.max_by_key(|text| text.len()).filter(|text| !text.is_empty())
    }

    /// Changes every text.
    pub(super) fn map(
        self,
        mut change: impl FnMut(String) -> Result<String, String>,
    ) -> Result<Self, String> {
        let pieces = self.pieces.into_iter().map(|piece| match piece {
            Piece::Text(text) => change(text).map(Piece::Text),
            other => Ok(other),
        });
        Ok(Self { pieces: pieces.collect::<Result<_, _>>()?, ..self })
    }

    /// As a regular expression over bytes, on one text.
    pub(super) fn regex(&self) -> String {
        let mut regex = String::new();
        if self.at_start {
            regex.push('^');
        }
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => regex.push_str(&quoted(text)),
                Piece::One => regex.push_str("(?s:.)"),
                Piece::Many => regex.push_str("(?s:.*)"),
                Piece::Expression { regex: expression, ignores_case, .. } => {
                    let flags = if *ignores_case { "i" } else { "" };
                    let _ = write!(regex, "(?{flags}:{expression})");
                }
            }
        }
        if self.at_end {
            regex.push('$');
        }
        regex
    }

    /// A text that it matches, if one is easily told.
    pub(super) fn sample(&self) -> Option<String> {
        let mut sample = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => sample.push_str(text),
                Piece::One => sample.push('a'),
                Piece::Many => {}
                Piece::Expression { regex, .. } => sample.push_str(&regex_sample(regex)?),
            }
        }
        Some(sample)
    }
}

/// A text as a regular expression.
fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for character in text.chars() {
        if character.is_ascii_punctuation() {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted
}

/// A text as the decoded view has it: percent-escapes undone and in lower case.
///
/// # Errors
/// Where decoding leaves something that the view would not hold so.
pub(super) fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = text.as_bytes().to_vec();
    loop {
        let next = percent_decoded(&bytes);
        if next == bytes {
            break;
        }
        bytes = next;
    }
    let is_plain = bytes.iter().all(|byte| (0x20..0x7f).contains(byte));
    let plain = String::from_utf8(bytes).ok().filter(|_| is_plain);
    let text = plain.ok_or_else(|| {
        format!("`{text}` is bytes that are decoded to something else before rules see them")
    })?;
    let text = text.to_ascii_lowercase();
    let escapes = ["&#", "&lt", "&gt", "&quot", "&amp", "\\x", "\\u", "%u"];
    if let Some(escape) = escapes.iter().find(|escape| text.contains(**escape)) {
        return Err(format!("`{text}` holds `{escape}`, which is decoded before rules see it"));
    }
    // Half an escape is completed by what follows it in a log.
    if let Some(at) = text.rfind('%')
        && text[at + 1..].bytes().all(|byte| byte.is_ascii_hexdigit())
        && text.len() - at <= 2
    {
        return Err(format!("`{text}` ends inside a percent-escape"));
    }
    Ok(text)
}

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits
            .filter(|two| *first == b'%' && two.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        if let Some(byte) = byte {
            decoded.push(byte);
            rest = &after[2..];
        } else {
            decoded.push(*first);
            rest = after;
        }
    }
    decoded
}

/// The longest text that every match of an expression holds, as far as that is plain: of
/// the top level, what is neither optional nor one of several.
pub(super) fn required_text(regex: &str) -> Option<String> {
    let mut best = String::new();
    let mut run = String::new();
    let mut depth = 0_u32;
    let mut characters = regex.chars().peekable();
    while let Some(character) = characters.next() {
        let mut literal = None;
        match character {
            '|' if depth == 0 => return None,
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            '[' => {
                characters.next_if_eq(&'^');
                characters.next_if_eq(&']');
                loop {
                    match characters.next()? {
                        '\\' => drop(characters.next()?),
                        ']' => break,
                        _ => {}
                    }
                }
            }
            '{' => while characters.next()? != '}' {},
            '\\' => literal = Some(characters.next()?).filter(char::is_ascii_punctuation),
            '.' | '^' | '$' | '*' | '+' | '?' => {}
            _ => literal = Some(character),
        }
        let repeated = characters.peek().is_some_and(|next| "?*+{".contains(*next));
        match literal.filter(|_| depth == 0 && !repeated) {
            Some(literal) => run.push(literal),
            None => run.clear(),
        }
        if run.len() > best.len() {
            best.clone_from(&run);
        }
    }
    (best.len() >= 3 && depth == 0).then_some(best)
}

/// A text that an expression matches, where it is made of letters, classes, groups and
/// repetitions. The first alternative is taken, and each repetition as short as may be.
fn regex_sample(regex: &str) -> Option<String> {
    let mut characters = regex.chars().peekable();
    let sample = sequence_sample(&mut characters)?;
    characters.peek().is_none().then_some(sample)
}

type Characters<'r> = std::iter::Peekable<std::str::Chars<'r>>;

fn sequence_sample(characters: &mut Characters<'_>) -> Option<String> {
    let mut sample = String::new();
    while let Some(character) = characters.next_if(|next| *next != ')') {
        let piece = match character {
            '(' => {
                if characters.next_if_eq(&'?').is_some() {
                    characters.next_if_eq(&':')?;
                }
                let inner = sequence_sample(characters)?;
                characters.next_if_eq(&')')?;
                inner
            }
            '|' => {
                // The other alternatives are read for where they end.
                sequence_sample(characters)?;
                break;
            }
            '[' => class_sample(characters)?,
            '\\' => match characters.next()? {
                'd' => "1".to_owned(),
                'w' => "a".to_owned(),
                's' => " ".to_owned(),
                'b' | 'B' => String::new(),
                escaped if escaped.is_ascii_punctuation() => escaped.to_string(),
                _ => return None,
            },
            '^' | '$' => String::new(),
            '.' => "a".to_owned(),
            _ => character.to_string(),
        };
        match characters.peek() {
            Some('*' | '?') => drop(characters.next()),
            Some('+') => {
                characters.next();
                sample += &piece;
            }
            Some('{') => {
                characters.next();
                let mut count = String::new();
                while let Some(digit) = characters.next_if(char::is_ascii_digit) {
                    count.push(digit);
                }
                while characters.next()? != '}' {}
                let count: usize = count.parse().ok().filter(|count| *count <= 1_000)?;
                sample += &piece.repeat(count);
            }
            _ => sample += &piece,
        }
        // Lazy repetitions.
        if matches!(characters.peek(), Some('?')) {
            characters.next();
        }
    }
    Some(sample)
}

fn class_sample(characters: &mut Characters<'_>) -> Option<String> {
    let negated = characters.next_if_eq(&'^').is_some();
    let mut members = String::new();
    loop {
        match characters.next()? {
            ']' if !members.is_empty() => break,
            '\\' => members.push(match characters.next()? {
                'd' => '1',
                'w' => 'a',
                's' => ' ',
                other => other,
            }),
            member => members.push(member),
        }
    }
    if !negated {
        return members.chars().next().map(String::from);
    }
    ['a', '1', '-', 'q'].into_iter().find(|other| !members.contains(*other)).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_and_escapes() {
        let regex = |value| Pattern::read(value, true, true).regex();
        assert_eq!(regex("*/a.b*"), r"\/a\.b");
        assert_eq!(regex("/x?y"), r"^\/x(?s:.)y$");
        assert_eq!(regex(r"a\*b\\*c"), r"^a\*b\\(?s:.*)c$");
        assert_eq!(Pattern::read("*union*", true, true).plain(), Some("union"));
        assert_eq!(Pattern::read("a*longer?b", false, false).literal(), Some("longer"));
    }

    #[test]
    fn text_is_compared_as_the_view_has_it() {
        assert_eq!(decoded("UNION%2520SELECT").as_deref(), Ok("union select"));
        assert!(decoded("100%").is_err());
        assert!(decoded("..%c0%af").is_err());
        assert!(decoded("a%2").is_err());
        assert_eq!(decoded("a%2g").as_deref(), Ok("a%2g"));
        assert!(decoded("%00").is_err());
        assert!(decoded("&lt;script").is_err());
    }

    #[test]
    fn a_sample_is_matched_by_its_expression() {
        assert_eq!(regex_sample(r"^/a(?:b|c)+\.[^a]x{3}\d*$").as_deref(), Some("/ab.1xxx"));
        assert_eq!(regex_sample(r"[\w-]{2,}?/z").as_deref(), Some("aa/z"));
        assert_eq!(regex_sample(r"(?=a)b"), None);
    }

    #[test]
    fn what_every_match_holds() {
        assert_eq!(required_text(r"/cgi-bin/\w+\.cgi").as_deref(), Some("/cgi-bin/"));
        assert_eq!(required_text(r"(?:abc|def)").as_deref(), None);
        assert_eq!(required_text(r"abcd?").as_deref(), Some("abc"));
        assert_eq!(required_text(r"abc|def"), None);
        assert_eq!(required_text(r"[abc]{3}x"), None);
        assert_eq!(required_text(r"a(b"), None);
    }
}
