//! Script without markup: calls that run because the value leaves the text it stands in.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

/// Functions that attacks call to show that they run, with what they usually reach for.
const CALLS: &[&[u8]] = &[
    b"alert",
    b"confirm",
    b"prompt",
    b"eval",
    b"print",
    b"fetch",
    b"settimeout",
    b"setinterval",
    b"importscripts",
    b"import",
    b"atob",
    b"string.fromcharcode",
    b"document.write",
    b"document.writeln",
    b"constructor",
    b"function",
    b"xmlhttprequest",
    b"expression",
    b"execscript",
    b"msgbox",
    b"$.getscript",
    b"console.log",
    b"alert.call",
    b"alert.apply",
    b"prompt.call",
    b"confirm.call",
    b"eval.call",
    b"map.call",
    b"sort.call",
];

/// Objects whose members attacks read or set.
const OBJECTS: &[&[u8]] = &[
    b"document.cookie",
    b"document.domain",
    b"document.location",
    b"window.location",
    b"window.name",
    b"location.href",
    b"location.hash",
    b"localstorage.",
    b"sessionstorage.",
    b".innerhtml",
    b".outerhtml",
    b"document.body",
    b"document.documentelement",
    b"top.location",
    b"parent.location",
    b"self.location",
    b"constructor.constructor",
];

/// Script without markup: the value closes a script's text, or is itself the script.
pub(super) fn calls(text: &[u8]) -> Option<Range<usize>> {
    for open in text.iter().enumerate().filter(|(_, byte)| matches!(byte, b'(' | b'`' | b'[')) {
        let (at, byte) = open;
        let before = text[..at].trim_ascii_end();
        if *byte == b'[' {
            if let Some(start) = member_by_name(text, at) {
                return Some(start..at + 1);
            }
            continue;
        }
        // `(alert)(1)`
        let (before, wrapped) = match before.strip_suffix(b")") {
            Some(inside) => (inside, true),
            None => (before, false),
        };
        if before.len() + usize::from(wrapped) != at {
            continue;
        }
        // Every name ends with a letter.
        let named = before.last().is_some_and(u8::is_ascii_lowercase);
        let Some(name) = CALLS.iter().find(|name| named && before.ends_with(name)) else {
            if let Some(start) = call_between_quotes(before, &text[at + 1..]) {
                return Some(start..at + 1);
            }
            continue;
        };
        let start = before.len() - name.len();
        let whole = start.checked_sub(1).is_none_or(|previous| {
            !(text[previous].is_ascii_alphanumeric() || text[previous] == b'_')
        });
        let arguments = &text[at + 1..];
        let alone = start == 0 && arguments == b")";
        let empty = !alone && matches!(arguments.first(), None | Some(b')' | b'`'));
        if whole && leaves_text(&text[..start], empty) {
            return Some(start..at + 1);
        }
    }
    // Every object is named with a dot.
    memchr::memchr(b'.', text)?;
    OBJECT_FINDERS.iter().find_map(|finder| {
        let start = finder.find(text)?;
        leaves_text(&text[..start], true).then(|| start..start + finder.needle().len())
    })
}

static OBJECT_FINDERS: LazyLock<Vec<Finder<'static>>> =
    LazyLock::new(|| OBJECTS.iter().map(|object| Finder::new(*object)).collect());

/// `"+anything(1)+"`: whatever is called, the value leaves a text, calls it and returns.
fn call_between_quotes(before: &[u8], arguments: &[u8]) -> Option<usize> {
    let name = before.iter().rev().take(64).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let start = before.len() - name;
    let [.., quote @ (b'"' | b'\''), b'+' | b'-' | b'*'] = &before[..start] else { return None };
    let close = arguments.iter().take(256).position(|byte| *byte == b')')?;
    let returns = matches!(
        arguments.get(close + 1..),
        Some([b'+' | b'-' | b'*', end, ..]) if end == quote
    );
    (name > 0 && close > 0 && returns).then_some(start)
}

/// Whether what stands before a call makes it run: nothing, or the end of a text and an
/// operator. A call without arguments is often named in prose, and needs more.
fn leaves_text(before: &[u8], needs_more: bool) -> bool {
    let operators = |byte: &u8| {
        byte.is_ascii_whitespace()
            || matches!(
                byte,
                b';' | b'+'
                    | b'-'
                    | b'*'
                    | b'/'
                    | b'^'
                    | b'|'
                    | b'&'
                    | b'%'
                    | b','
                    | b'('
                    | b'['
                    | b'{'
                    | b'}'
                    | b')'
                    | b']'
                    | b'='
                    | b'!'
                    | b'~'
                    | b'>'
                    | b'<'
                    | b'?'
                    | b':'
                    | b'\\'
                    | b'$'
                    | b'#'
            )
    };
    let rest = before.len() - before.iter().rev().take_while(|byte| operators(byte)).count();
    let operator = &before[rest..];
    let last = rest.checked_sub(1).map(|at| before[at]);
    match last {
        // From the start of the value, or inside `{{…}}` and `${…}`.
        None => !needs_more || operator.iter().any(|byte| matches!(byte, b'{' | b';' | b'(')),
        Some(b'"' | b'\'' | b'`') => operator.iter().any(|byte| !byte.is_ascii_whitespace()),
        _ => {
            operator.ends_with(b"{{")
                || operator.ends_with(b"${")
                || (!needs_more && matches!(operator.first(), Some(b';' | b'}')))
        }
    }
}

/// `top["al"+"ert"]`, `window['x']`, `[]["filter"]`, `(![]+[])`: names put together so
/// that no filter reads them.
fn member_by_name(text: &[u8], at: usize) -> Option<usize> {
    const GLOBALS: &[&[u8]] =
        &[b"top", b"self", b"window", b"parent", b"frames", b"globalthis", b"this", b"document"];
    let next = *text.get(at + 1)?;
    let before = &text[..at];
    if matches!(next, b'"' | b'\'' | b'`' | b'/' | b'(' | b'\\')
        && let Some(name) = GLOBALS.iter().find(|name| before.ends_with(name))
    {
        let start = at - name.len();
        let whole = start.checked_sub(1).is_none_or(|previous| {
            !(text[previous].is_ascii_alphanumeric() || text[previous] == b'_')
        });
        return whole.then_some(start);
    }
    if before.ends_with(b"[]") && matches!(next, b'"' | b'\'' | b'`' | b'(') {
        return Some(at - 2);
    }
    let inside = b"[]+[]";
    (before.ends_with(b"(!") && text[at..].starts_with(inside)).then(|| at - 2)
}
