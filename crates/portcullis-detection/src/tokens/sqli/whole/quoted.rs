//! Texts in quotes, as programs read them that put quotes of their own around a value.

use crate::tokens::words::Words;

/// Words that join what stands before a text, or behind it, to the text.
static OPERATORS: Words<(), 32> = Words::listed("or and xor like rlike regexp glob div mod", ());

/// Words by which code goes on with other words.
static CODE: Words<(), 32> =
    Words::listed("between having union select case when then else collate", ());

/// Words of code that texts begin with, too, or end with, but not both.
static BEGINS: Words<(), 32> = Words::listed("is in not between isnull notnull exists", ());
static ENDS: Words<(), 64> =
    Words::listed("is in not from offset limit where binary any all some escape", ());

/// What may follow `union`, which is a word of many languages.
static UNITED: Words<(), 8> = Words::listed("select all distinct", ());

/// Whether a text between quotes is no code where it is read without them: to a program that
/// put the value between such quotes of its own, what is in them here is out of them.
pub(super) fn is_plain(text: &[u8]) -> bool {
    let inside = &text[1..text.len() - 1];
    let [first, .., last] = *inside else { return true };
    let at_or = |at: usize, marks: &[u8]| {
        let byte = inside.get(at);
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || marks.contains(byte))
    };
    let bytes = inside.iter().enumerate().all(|(at, byte)| {
        let before = |marks: &[u8]| at_or(at.wrapping_sub(1), marks);
        let behind = |marks: &[u8]| at_or(at + 1, marks);
        match byte {
            b'=' | b'<' | b'>' | b'|' | b'#' | b'`' | b'"' | 0..=0x1f => false,
            // In a word, alone, doubled, or behind a backslash.
            b'\'' => before(b"'\\") && behind(b"'"),
            b'\\' => before(b"") && inside.get(at + 1) == Some(&b'\''),
            b';' => before(b"") && behind(b"") && !inside.contains(&b' '),
            b'$' => !matches!(inside.get(at + 1), Some(b'(' | b'{')),
            b'-' => inside.get(at + 1) != Some(&b'-'),
            _ => true,
        }
    });
    let goes_on = matches!(first, b' ' | b'&' | b'^' | b'~' | b'!' | b')' | b',')
        || (matches!(first, b'+' | b'-') && !inside[1].is_ascii_digit())
        || matches!(last, b' ' | b'&' | b'^' | b'~' | b'!' | b'(' | b',' | b'+' | b'-');
    bytes && !goes_on && !has_code_at_its_ends(inside) && !holds_query(inside)
}

/// Whether a query in brackets is in a text.
fn holds_query(text: &[u8]) -> bool {
    memchr::memchr_iter(b'(', text)
        .any(|at| text[at + 1..].trim_ascii_start().starts_with(b"select"))
}

/// Whether the first word and the last are such that code goes on with them. A sign of
/// arithmetic is like a word; patterns have `%` at both ends.
fn has_code_at_its_ends(text: &[u8]) -> bool {
    let is_sign = |byte: Option<&u8>| matches!(byte, Some(b'*' | b'/' | b'%'));
    let is_end = |byte: &u8| !byte.is_ascii_alphabetic();
    let mut words = text.split(is_end).filter(|word| !word.is_empty());
    let Some(first) = words.next() else { return false };
    let is_operator = |word: &[u8]| OPERATORS.get(word).is_some();
    let Some(second) = words.next() else { return is_operator(first) };
    let is_code = |word: &[u8]| is_operator(word) || CODE.get(word).is_some();
    let begins = is_sign(text.first()) || BEGINS.get(first).is_some();
    if begins && is_sign(text.last()) {
        return words.chain([second]).any(|word| word != b"and" && is_code(word));
    }
    let last = words.next_back().unwrap_or(second);
    (is_code(first) && (first != b"union" || UNITED.get(second).is_some()))
        || is_code(last)
        || (begins && ENDS.get(last).is_some())
}
