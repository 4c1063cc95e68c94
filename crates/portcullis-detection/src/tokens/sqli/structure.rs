//! Structures that are SQL wherever they stand, told apart from prose by what follows.
//!
//! Read with quotes as tokens by themselves, so that it does not matter whether they
//! balance.

use std::ops::Range;

use super::delays::Ifs;
use super::lexer::{self, Kind, Lexer, Token, span};
use super::words::{FUNCTIONS, OBJECTS, is_only_sql, may_begin};
use super::{MOST_AHEAD, cuts_off};

/// The first structure in the text.
pub(super) fn find(text: &[u8]) -> Option<Range<usize>> {
    // Words and signs that a structure begins with.
    let sign_twice = |byte| matches!(byte, b'|' | b'&' | b'@' | b':');
    if lexer::may_hold(text, may_begin, sign_twice) { first(text) } else { None }
}

fn first(text: &[u8]) -> Option<Range<usize>> {
    let mut lexer = Lexer::blind_to_texts(text);
    let mut before = Token { kind: Kind::Semicolon, text: b"", start: 0 };
    let mut before_that = before;
    let mut token = lexer.next();
    let mut ifs = Ifs::default();
    for number in 0.. {
        let mut after = lexer;
        let next = after.next();
        let delayed = ifs.delayed_by(number, &token, &next);
        let found = match token.kind {
            Kind::End => return None,
            _ if delayed.is_some() => delayed,
            Kind::Word if token.is("where") => tautology(&token, lexer),
            Kind::Word => word(&token, &before, &before_that, lexer, (next, after)),
            Kind::Logic => tautology(&token, lexer),
            Kind::Variable => server_variable(&token),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
        before_that = before;
        before = token;
        (token, lexer) = (next, after);
    }
    None
}

/// The next token, and what follows it.
type Next<'t> = (Token<'t>, Lexer<'t>);

fn word<'t>(
    token: &Token<'t>,
    before: &Token<'t>,
    before_that: &Token<'t>,
    lexer: Lexer<'t>,
    behind: Next<'t>,
) -> Option<Range<usize>> {
    let mut after = lexer;
    match token.text {
        b"union" => union(token, before, after),
        b"select" => {
            let from = select_from(token, before, after);
            let list = || match before.kind {
                Kind::Open if before_that.kind == Kind::Word && !before_that.is("in") => None,
                Kind::Semicolon if before.text.is_empty() => select_call(after),
                Kind::Quote => select_call(after),
                Kind::Open | Kind::Semicolon | Kind::Compare | Kind::Arithmetic | Kind::Logic => {
                    select_list(after)
                }
                _ => None,
            };
            from.or_else(|| list().map(|end| token.start..end))
        }
        b"case" => {
            if !after.next().is("when") {
                return None;
            }
            let then = ahead(&mut after, |token| token.is("then"))?;
            Some(span(token, &then))
        }
        b"order" | b"group" => {
            let place = matches!(before.kind, Kind::Number | Kind::Quote | Kind::Close);
            let by = after.next();
            let key = after.next();
            let next = after.next();
            let ends = matches!(next.kind, Kind::Comment | Kind::Comma | Kind::End);
            let hit = place && by.is("by") && key.kind == Kind::Number && ends;
            hit.then(|| span(token, &key))
        }
        b"having" => {
            let left = after.next();
            let compared = after.next();
            let hit = left.kind == Kind::Number && compared.kind == Kind::Compare;
            hit.then(|| span(token, &compared))
        }
        b"into" => {
            let next = after.next();
            next.is_one_of(&["outfile", "dumpfile"]).then(|| span(token, &next))
        }
        b"procedure" => {
            let next = after.next();
            let hit = next.is("analyse") && after.next().kind == Kind::Open;
            hit.then(|| span(token, &next))
        }
        text => {
            if let Some(end) = statement_with(token, lexer, behind) {
                return Some(token.start..end);
            }
            let (next, arguments) = behind;
            let called = next.kind == Kind::Open;
            let stacked = before.kind == Kind::Semicolon && !before.text.is_empty();
            let hit = (called && (is_only_sql(text) || is_call(token, arguments)))
                || (called && stacked && FUNCTIONS.binary_search(&text).is_ok())
                || is_catalogue(text, before)
                || is_cast(text, before, before_that);
            hit.then(|| token.start..token.end())
        }
    }
}

/// Calls that other languages have too, told by their arguments.
fn is_call(function: &Token<'_>, mut arguments: Lexer<'_>) -> bool {
    const NAMES: &[&[u8]] = &[b"sleep", b"char", b"nchar", b"chr", b"concat", b"ascii", b"ord"];
    if !NAMES.contains(&function.text) {
        return false;
    }
    let first = arguments.next();
    let second = arguments.next();
    match function.text {
        b"sleep" => {
            let plain = first.kind == Kind::Number && second.kind == Kind::Close;
            plain || (first.kind == Kind::Open && second.is("select"))
        }
        b"char" | b"nchar" => first.kind == Kind::Number && second.kind == Kind::Comma,
        b"chr" => {
            let next = arguments.next();
            first.kind == Kind::Number
                && second.kind == Kind::Close
                && matches!(next.kind, Kind::Logic | Kind::Arithmetic)
        }
        b"concat" => first.kind == Kind::Number && first.text.starts_with(b"0x"),
        b"ascii" | b"ord" => {
            first.is_one_of(&["substr", "substring", "mid"]) && second.kind == Kind::Open
        }
        _ => false,
    }
}

/// `'1'::int`: a cast of a value written out, as Postgres has it.
fn is_cast(name: &[u8], before: &Token<'_>, before_that: &Token<'_>) -> bool {
    before.text == b"::"
        && matches!(before_that.kind, Kind::Quote | Kind::Close | Kind::Number)
        && matches!(
            name,
            b"int"
                | b"integer"
                | b"numeric"
                | b"text"
                | b"varchar"
                | b"json"
                | b"jsonb"
                | b"regclass"
        )
}

/// Tables that hold the names of all others.
fn is_catalogue(name: &[u8], before: &Token<'_>) -> bool {
    const SCHEMAS: &[&[u8]] = &[b"information_schema", b"pg_catalog", b"sqlite_master"];
    const TABLES: &[&[u8]] =
        &[b"mysql.user", b"sysobjects", b"syscolumns", b"master..sysdatabases", b"all_tables"];
    let schema = name.split(|byte| *byte == b'.').next().unwrap_or(name);
    SCHEMAS.contains(&schema) || (before.is("from") && TABLES.contains(&name))
}

fn server_variable(token: &Token<'_>) -> Option<Range<usize>> {
    const NAMES: &[&[u8]] = &[
        b"@@version",
        b"@@hostname",
        b"@@datadir",
        b"@@basedir",
        b"@@servername",
        b"@@version_compile_os",
        b"@@tmpdir",
        b"@@secure_file_priv",
    ];
    let hit = NAMES.contains(&token.text) || token.text.starts_with(b"@@global.");
    hit.then(|| token.start..token.end())
}

/// `or 1=1`, `and 'a'='a'`: a comparison of two literals, which only code has.
fn tautology(logic: &Token<'_>, mut lexer: Lexer<'_>) -> Option<Range<usize>> {
    let mut left = lexer.next();
    while left.kind == Kind::Open || left.is("not") {
        left = lexer.next();
    }
    if left.kind == Kind::Quote {
        // `'a'`, or `''`.
        let inside = lexer.next();
        if inside.kind != Kind::Quote && lexer.next().kind != Kind::Quote {
            return None;
        }
    } else if left.kind != Kind::Number {
        return None;
    }
    let compared = lexer.next();
    let mut right = lexer.next();
    while right.kind == Kind::Open {
        right = lexer.next();
    }
    let hit = compared.kind == Kind::Compare && right.kind == left.kind;
    hit.then(|| span(logic, &right))
}

/// `union [all] select` and a list of values.
fn union(token: &Token<'_>, before: &Token<'_>, mut after: Lexer<'_>) -> Option<Range<usize>> {
    let mut next = after.next();
    while next.is_one_of(&["all", "distinct", "distinctrow"]) || next.kind == Kind::Open {
        next = after.next();
    }
    if !next.is("select") {
        return None;
    }
    if let Some(end) = select_list(after) {
        return Some(token.start..end);
    }
    let unfinished = after.next().kind == Kind::End
        && matches!(before.kind, Kind::Number | Kind::Quote | Kind::Close);
    unfinished.then(|| span(token, &next))
}

/// Behind `select`: whether the first item is one that prose does not have. Where it ends.
pub(super) fn select_list(mut lexer: Lexer<'_>) -> Option<usize> {
    let mut item = lexer.next();
    let mut modified = false;
    while item.is_one_of(&["all", "distinct", "distinctrow", "top"]) || item.kind == Kind::Open {
        modified |= item.kind == Kind::Open;
        if item.is("top") {
            lexer.next();
        }
        item = lexer.next();
    }
    let mut after = lexer;
    let next = after.next();
    let clause =
        next.is_one_of(&["from", "into", "where", "union", "limit", "order", "as", "group"]);
    let ends =
        clause || matches!(next.kind, Kind::Comma | Kind::Comment | Kind::Close | Kind::Semicolon);
    let hit = match item.kind {
        Kind::Variable | Kind::Quote | Kind::Text { .. } => true,
        Kind::Arithmetic => item.text == b"*" && (ends || next.kind == Kind::End),
        Kind::Number => next.kind != Kind::Word || clause,
        Kind::Word if item.is("null") => next.kind != Kind::Word || clause,
        Kind::Word if item.is_one_of(&["case", "if", "exists"]) => {
            next.kind == Kind::Open || next.is("when")
        }
        Kind::Word => {
            next.kind == Kind::Open
                || (ends && next.kind != Kind::Close)
                || (modified && next.kind == Kind::Close)
        }
        _ => false,
    };
    hit.then(|| item.end())
}

/// Behind a `select` that begins the text or stands behind a quote, where prose may have
/// one: only a call or a value of the server's. Where it ends.
fn select_call(mut lexer: Lexer<'_>) -> Option<usize> {
    let item = lexer.next();
    let next = lexer.next();
    let known = FUNCTIONS.binary_search(&item.text).is_ok() || item.text.contains(&b'_');
    let hit = match item.kind {
        Kind::Variable => true,
        Kind::Word if next.kind == Kind::Open => known,
        Kind::Word => {
            item.is_one_of(&["current_user", "session_user", "system_user"])
                && matches!(next.kind, Kind::End | Kind::Semicolon | Kind::Comment)
        }
        _ => false,
    };
    hit.then(|| item.end())
}

/// `select … from …` in any place: a list that is no plain word, or a clause behind it.
fn select_from(
    token: &Token<'_>,
    before: &Token<'_>,
    mut after: Lexer<'_>,
) -> Option<Range<usize>> {
    let mut is_code = false;
    let mut items = 1;
    for _ in 0..MOST_AHEAD {
        let next = after.next();
        match next.kind {
            Kind::Number | Kind::Variable | Kind::Open => is_code = true,
            Kind::Arithmetic if next.text == b"*" => is_code = true,
            Kind::Comma => items += 1,
            Kind::Word if next.is("from") => {
                let table = after.next();
                let behind = after.next();
                let clause = behind.is_one_of(&["where", "limit", "order", "group", "union"])
                    || matches!(behind.kind, Kind::Semicolon | Kind::Comment | Kind::Close);
                let ends = clause || behind.kind == Kind::End;
                let whole = before.kind != Kind::Word;
                let hit = matches!(table.kind, Kind::Word | Kind::Open | Kind::Other)
                    && ((is_code
                        && (ends || table.kind == Kind::Open || behind.kind == Kind::Comma))
                        || (whole && clause)
                        || (whole && items > 1 && ends));
                return hit.then(|| span(token, &table));
            }
            Kind::Semicolon | Kind::End | Kind::Other => return None,
            _ => {}
        }
    }
    None
}

/// Whether a word begins a statement that changes or runs something, and where the part
/// that says so ends.
pub(super) fn statement(word: &Token<'_>, lexer: Lexer<'_>) -> Option<usize> {
    let mut after = lexer;
    let next = after.next();
    statement_with(word, lexer, (next, after))
}

/// The same where the next token was read already.
fn statement_with<'t>(
    word: &Token<'t>,
    lexer: Lexer<'t>,
    (next, mut after): Next<'t>,
) -> Option<usize> {
    let hit = match word.text {
        b"select" => return select_list(lexer),
        b"insert" | b"replace" => {
            next.is("into")
                && after.next().kind == Kind::Word
                && ahead(&mut after, |token| token.is_one_of(&["values", "value", "select"]))
                    .is_some()
        }
        b"update" => {
            next.kind == Kind::Word
                && after.next().is("set")
                && after.next().kind == Kind::Word
                && after.next().kind == Kind::Compare
        }
        b"delete" => {
            let table = after.next();
            let behind = after.next();
            next.is("from")
                && table.kind == Kind::Word
                && (behind.is("where") || matches!(behind.kind, Kind::Semicolon | Kind::Comment))
        }
        b"drop" | b"truncate" => {
            if !next.is_one_of(OBJECTS) {
                return None;
            }
            let mut name = after.next();
            while name.is_one_of(&["if", "exists"]) {
                name = after.next();
            }
            let behind = after.next();
            name.kind == Kind::Word
                && (matches!(
                    behind.kind,
                    Kind::End | Kind::Semicolon | Kind::Comment | Kind::Comma | Kind::Quote
                ) || behind.is("cascade"))
        }
        b"alter" => {
            next.is_one_of(OBJECTS)
                && after.next().kind == Kind::Word
                && after.next().is_one_of(&[
                    "add",
                    "drop",
                    "modify",
                    "rename",
                    "alter",
                    "change",
                    "disable",
                    "enable",
                    "identified",
                    "with",
                ])
        }
        b"create" => {
            next.is_one_of(OBJECTS) && after.next().kind == Kind::Word && {
                let behind = after.next();
                behind.kind == Kind::Open || behind.is_one_of(&["as", "identified", "returns"])
            }
        }
        b"exec" | b"execute" => {
            next.kind == Kind::Variable
                || next.is_one_of(&["immediate", "master"])
                || (next.kind == Kind::Word
                    && [&b"xp_"[..], b"sp_"].iter().any(|start| {
                        let name = next.text.rsplit(|byte| *byte == b'.').next();
                        name.is_some_and(|name| name.starts_with(start))
                    }))
                || (next.kind == Kind::Open
                    && matches!(
                        after.next().kind,
                        Kind::Variable | Kind::Quote | Kind::Text { .. }
                    ))
        }
        b"declare" => next.kind == Kind::Variable,
        b"waitfor" => next.is_one_of(&["delay", "time"]),
        b"shutdown" => {
            (next.is("with") && after.next().is("nowait"))
                || (next.kind == Kind::Comment && cuts_off(&next, after.rest()))
        }
        b"load" => next.is_one_of(&["data", "xml"]) && after.next().is_one_of(&["infile", "local"]),
        b"call" => next.kind == Kind::Word && after.next().kind == Kind::Open,
        b"grant" => {
            next.is_one_of(&["all", "select", "execute", "dba"])
                && ahead(&mut after, |token| token.is("to")).is_some()
        }
        b"copy" => after.next().is_one_of(&["from", "to"]) && after.next().is("program"),
        _ => false,
    };
    hit.then(|| next.end())
}

/// The next token that is wanted, within [`MOST_AHEAD`] and the statement.
fn ahead<'t>(lexer: &mut Lexer<'t>, wanted: impl Fn(&Token<'t>) -> bool) -> Option<Token<'t>> {
    for _ in 0..MOST_AHEAD {
        let token = lexer.next();
        if wanted(&token) {
            return Some(token);
        }
        if token.kind == Kind::End {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What structures are made of, and what may stand around it.
    const PARTS: &str = r#"
        union select case when then order by group having into outfile procedure analyse where
        insert values update set delete from drop table truncate if exists alter add create in
        exec master xp_cmdshell declare waitfor delay shutdown with nowait load data infile call
        grant all to copy program sleep benchmark char nchar chr concat ascii substr mid ord iif
        and or xor || && @@version @@global.x @x '1'::int text :: 1 0x41 0xfe 1e5 .5 ( ) , ; = <>
        * + - -- # /* */ /*!50000 ' " ` $ . a n utl_http .request information_schema .tables
        mysql .user load_file version like null sys .fn_sqlvarbasetostr % ! ~ ?
    "#;

    fn part() -> impl Strategy<Value = &'static str> {
        let others = [" ", " ", "\n", "\u{a0}", "\u{e9}"];
        let parts: Vec<_> = PARTS.split_whitespace().chain(others).collect();
        proptest::sample::select(parts)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_quick_look_leaves_no_structure_out(
            parts in proptest::collection::vec(part(), 0..12),
        ) {
            let text = parts.concat();
            prop_assert_eq!(find(text.as_bytes()), first(text.as_bytes()), "{}", text);
        }
    }
}
