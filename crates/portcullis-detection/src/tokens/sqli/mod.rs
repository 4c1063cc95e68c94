//! Whether a value continues an SQL statement it was pasted into.
//!
//! A value ends up in a statement in one of three places: bare, inside single quotes or
//! inside double quotes. To inject, it must leave that place and go on with something the
//! grammar allows there: an operator with an operand, a comment, another statement. So the
//! value is read from its start as a bare operand, and from behind each of its first
//! quotes as if that quote had closed the server's text; prose goes on with a word there
//! (`O'Brien`, `rock 'n' roll`), code does not.
//!
//! Whole structures (`union select`, `; drop table`, `sleep(5)`) are told apart from prose
//! by what must follow them, wherever they stand; see `structure`.

mod delays;
mod lexer;
mod structure;
mod whole;
mod words;

use std::ops::Range;

use lexer::{Kind, Lexer, Token};
pub(in crate::tokens) use whole::is_query;

/// Quotes of each kind behind which the value is read. Attacks close one or two.
const MOST_QUOTES: usize = 4;

/// Tokens looked at behind a place before it is given up.
const MOST_AHEAD: usize = 24;

/// The first part that reads as SQL.
pub(super) fn find(text: &[u8]) -> Option<Range<usize>> {
    from_start(text)
        .or_else(|| behind_quotes(text, b'\''))
        .or_else(|| behind_quotes(text, b'"'))
        .or_else(|| structure::find(text))
}

/// SQL needs punctuation or several words.
pub(super) const MARKS: &[u8] = b" \t\n\r\x0b\x0c\xa0+'\"(;=<>|@#*";

/// Where the value stands in the statement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind an operand written bare, which is this one.
    Bare,
    /// Behind this quote, which closed the server's text.
    Quoted(u8),
}

/// The value as a bare operand: a literal, and what goes on behind it.
fn from_start(text: &[u8]) -> Option<Range<usize>> {
    let mut lexer = Lexer::new(text, 0);
    let mut first = lexer.next();
    while matches!(first.kind, Kind::Open | Kind::Arithmetic) {
        first = lexer.next();
    }
    match first.kind {
        Kind::Number | Kind::Text { closed: true } => {}
        // The server wrote the operand: ` and 1=1`, ` order by 3`.
        Kind::Logic => return condition(lexer, Place::Bare, &first).map(|last| first.start..last),
        Kind::Word => return clause(&first, lexer, false).map(|last| first.start..last),
        _ => return None,
    }
    goes_on(lexer, Place::Bare, &first).map(|last| first.start..last)
}

fn behind_quotes(text: &[u8], quote: u8) -> Option<Range<usize>> {
    for at in memchr::memchr_iter(quote, text).take(MOST_QUOTES) {
        // Quotes that open a member, an attribute or a quoted word close nothing.
        let opens_word = text.get(at + 1).is_some_and(u8::is_ascii_alphanumeric);
        let opens = match at.checked_sub(1).map(|before| text[before]) {
            Some(b'{' | b'[' | b'(' | b',' | b':' | b'=') => true,
            Some(b' ') => opens_word,
            Some(_) => false,
            None => opens_word && quote == b'"',
        };
        if opens {
            continue;
        }
        let closing = Token { kind: Kind::Quote, text: &text[at..=at], start: at };
        let lexer = Lexer::new(text, at + 1);
        if let Some(end) = goes_on(lexer, Place::Quoted(quote), &closing) {
            return Some(at..end);
        }
    }
    None
}

/// Whether what follows goes on with the statement; where it then ends.
fn goes_on(mut lexer: Lexer<'_>, place: Place, operand: &Token<'_>) -> Option<usize> {
    let mut token = lexer.next();
    while token.kind == Kind::Close {
        token = lexer.next();
    }
    let quoted = place != Place::Bare;
    match token.kind {
        Kind::Comment if quoted && cuts_off(&token, lexer.rest()) => Some(token.end()),
        // `1-- -` is what tools write; `1--2` is a range.
        Kind::Comment if !quoted && lexer.rest().trim_ascii() == b"-" => Some(token.end()),
        Kind::Semicolon => {
            let next = lexer.next();
            let stacked = structure::statement(&next, lexer).is_some()
                || (quoted && next.kind == Kind::Comment && cuts_off(&next, lexer.rest()));
            stacked.then(|| next.end())
        }
        Kind::Logic => condition(lexer, place, operand),
        Kind::Compare | Kind::Arithmetic if quoted => operation(&token, lexer, place),
        Kind::Arithmetic => {
            let (next, after) = operand_behind_signs(&mut lexer);
            (is_function(&next, &after) || is_subquery(&next, after)).then(|| next.end())
        }
        Kind::Comma if quoted => list(lexer),
        Kind::Word => clause(&token, lexer, quoted),
        _ => None,
    }
}

/// Whether a comment cuts off the rest of the statement: at most one word behind it, or a
/// dash. People write `--` between sentences.
fn cuts_off(comment: &Token<'_>, rest: &[u8]) -> bool {
    let behind = rest.trim_ascii();
    match comment.text {
        b"#" => behind.is_empty(),
        b"--" => {
            let separate = rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric());
            separate && behind.len() <= 12 && !behind.contains(&b' ')
        }
        _ => behind.len() <= 12,
    }
}

/// Behind `and`, `or` and their like: a condition, as far as prose does not have it.
fn condition(mut lexer: Lexer<'_>, place: Place, operand: &Token<'_>) -> Option<usize> {
    let quoted = place != Place::Bare;
    let (left, mut after) = operand_behind_signs(&mut lexer);
    if is_function(&left, &after) || is_subquery(&left, after) {
        return Some(left.end());
    }
    let mut next = after.next();
    while next.kind == Kind::Close {
        next = after.next();
    }
    if left.is_literal() {
        let hit = match next.kind {
            Kind::Compare => {
                let (right, behind) = operand_behind_signs(&mut after);
                right.is_literal()
                    || is_function(&right, &behind)
                    || (quoted && matches!(right.kind, Kind::Word | Kind::End))
            }
            Kind::Arithmetic => {
                let (right, _) = operand_behind_signs(&mut after);
                quoted && right.is_literal()
            }
            Kind::Comment => quoted || cuts_off(&next, after.rest()),
            Kind::Semicolon => quoted,
            Kind::Logic => {
                let right = after.next();
                quoted && matches!(right.kind, Kind::Text { closed: false })
            }
            Kind::Word => is_matching(&next, after, quoted),
            // The server's own quote closes the text, or the number repeats: `1 or 1`.
            Kind::End => match left.kind {
                Kind::Text { closed } => quoted && !closed,
                Kind::Number => !quoted && left.text == operand.text,
                _ => !quoted,
            },
            _ => false,
        };
        return hit.then(|| next.end());
    }
    if left.kind != Kind::Word {
        return None;
    }
    let hit = match next.kind {
        Kind::Compare => {
            let (right, behind) = operand_behind_signs(&mut after);
            let same = right.text == left.text && right.kind == Kind::Word;
            let cut = operand.kind == Kind::Logic && after.next().kind == Kind::Comment;
            same || cut || (quoted && (right.is_literal() || is_function(&right, &behind)))
        }
        Kind::Word => quoted && is_matching(&next, after, true),
        _ => false,
    };
    hit.then(|| next.end())
}

/// `like 'a%'`, `is not null`, `between 1 and 2`, `in (…)`.
fn is_matching(word: &Token<'_>, mut after: Lexer<'_>, quoted: bool) -> bool {
    let mut next = *word;
    if next.is("not") {
        next = after.next();
    }
    if !next.is_one_of(&["like", "rlike", "regexp", "is", "between", "in", "div", "sounds"]) {
        return false;
    }
    let is_in = next.is("in");
    let mut right = after.next();
    if right.is("not") {
        right = after.next();
    }
    if is_in {
        return right.kind == Kind::Open;
    }
    match right.kind {
        Kind::Open => quoted,
        // A text that is closed and followed by a word was quoted by a person.
        Kind::Text { closed: true } => after.next().kind != Kind::Word,
        _ => right.is_literal(),
    }
}

/// Behind an operator that stands behind the closing quote: operands and operators up to
/// a text that the server's own quote closes, or a comment.
fn operation(operator: &Token<'_>, mut lexer: Lexer<'_>, place: Place) -> Option<usize> {
    for operators in 1..MOST_AHEAD {
        let (operand, mut after) = operand_behind_signs(&mut lexer);
        if is_function(&operand, &after) || is_subquery(&operand, after) {
            return Some(operand.end());
        }
        let mut next = after.next();
        while next.kind == Kind::Close {
            next = after.next();
        }
        match operand.kind {
            // `'-'` is a known way past a login; `"-"` is a search for a dash.
            Kind::Text { closed: false } => {
                let hit = operators > 1
                    || place == Place::Quoted(b'\'')
                    || operator.kind == Kind::Compare;
                return hit.then(|| operand.end());
            }
            Kind::Text { closed: true } | Kind::Number | Kind::Variable | Kind::Word => {}
            _ => return None,
        }
        match next.kind {
            Kind::Comment => return cuts_off(&next, after.rest()).then(|| next.end()),
            Kind::Logic => return condition(after, place, &operand),
            Kind::Compare | Kind::Arithmetic => lexer = after,
            _ => return None,
        }
    }
    None
}

/// `', 1, 2)--`: further values of a list, up to a comment that cuts off the rest.
fn list(mut lexer: Lexer<'_>) -> Option<usize> {
    let mut closed = false;
    for _ in 0..MOST_AHEAD {
        let token = lexer.next();
        match token.kind {
            Kind::Close => closed = true,
            Kind::Comment => {
                return (closed && cuts_off(&token, lexer.rest())).then(|| token.end());
            }
            Kind::Other | Kind::End | Kind::Semicolon => return None,
            _ => {}
        }
    }
    None
}

/// Behind an operand: `order by 3`, `having 1=1`, `like 'a`, `limit 1 --`.
fn clause(word: &Token<'_>, mut lexer: Lexer<'_>, quoted: bool) -> Option<usize> {
    if word.is_one_of(&["order", "group"]) {
        if !lexer.next().is("by") {
            return None;
        }
        let key = lexer.next();
        let next = lexer.next();
        let ends = match next.kind {
            Kind::End | Kind::Comma => key.kind == Kind::Number,
            Kind::Comment => true,
            Kind::Word => next.is_one_of(&["having", "asc", "desc"]) && key.kind == Kind::Number,
            _ => false,
        };
        return ends.then(|| key.end());
    }
    if word.is_one_of(&["having", "where"]) {
        let left = lexer.next();
        let compared = lexer.next();
        let hit = (left.is_literal() && compared.kind == Kind::Compare)
            || (is_function_name(&left) && compared.kind == Kind::Open);
        return hit.then(|| compared.end());
    }
    if word.is("limit") {
        let count = lexer.next();
        let mut next = lexer.next();
        if next.kind == Kind::Comma || next.is("offset") {
            lexer.next();
            next = lexer.next();
        }
        let hit = count.kind == Kind::Number
            && (next.kind == Kind::Comment || next.is_one_of(&["into", "procedure", "union"]));
        return hit.then(|| next.end());
    }
    if quoted {
        return is_matching(word, lexer, true).then(|| word.end());
    }
    // Behind a bare operand these are prose as well, but not with a subquery.
    let matches = word.is_one_of(&["like", "rlike", "regexp", "in"]);
    let hit = matches && lexer.next().kind == Kind::Open && lexer.next().is("select");
    hit.then(|| word.end())
}

/// The operand behind signs, negations and opening brackets, and what follows it.
fn operand_behind_signs<'t>(lexer: &mut Lexer<'t>) -> (Token<'t>, Lexer<'t>) {
    for _ in 0..MOST_AHEAD {
        let token = lexer.next();
        let is_sign = matches!(token.text, b"-" | b"+" | b"~" | b"!" | b"@");
        if !(token.kind == Kind::Open || token.is_one_of(&["not", "binary"]) || is_sign) {
            return (token, *lexer);
        }
    }
    (lexer.next(), *lexer)
}

/// A call of a function that SQL has and prose does not write with a bracket.
fn is_function(word: &Token<'_>, after: &Lexer<'_>) -> bool {
    is_function_name(word) && after.rest().trim_ascii_start().first() == Some(&b'(')
}

fn is_function_name(word: &Token<'_>) -> bool {
    word.kind == Kind::Word && words::FUNCTIONS.binary_search(&word.text).is_ok()
}

/// `select` or `exists` where an operand should be; `case when` too.
fn is_subquery(word: &Token<'_>, mut after: Lexer<'_>) -> bool {
    match word.text {
        b"select" => structure::select_list(after).is_some(),
        b"exists" => after.next().kind == Kind::Open && after.next().is("select"),
        b"case" => after.next().is("when"),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
