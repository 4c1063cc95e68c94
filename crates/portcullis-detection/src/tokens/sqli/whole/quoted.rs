//! Texts in quotes, as programs read them that put quotes of their own around a value.

use crate::tokens::words::Words;

/// Words by which code goes on behind a text, or in front of one.
static JOINING: Words<(), 64> = Words::listed(
    "or and xor like rlike regexp glob div mod between having union select case \
    when then else collate",
    (),
);

/// Whether a text between quotes is no code where it is read without them: to a program that
/// put the value between such quotes of its own, what is in them here is out of them.
pub(super) fn is_plain(text: &[u8]) -> bool {
    let inside = &text[1..text.len() - 1];
    let [first, .., last] = *inside else { return true };
    let is_letter = |at: usize| {
        inside.get(at).is_none_or(|byte| byte.is_ascii_alphanumeric() || *byte == b'\'')
    };
    let bytes = inside.iter().enumerate().all(|(at, byte)| match byte {
        b'=' | b'<' | b'>' | b';' | b'|' | b'#' | b'\\' | b'`' | b'"' | 0..=0x1f => false,
        b'\'' => at > 0 && is_letter(at - 1) && is_letter(at + 1),
        b'$' => !matches!(inside.get(at + 1), Some(b'(' | b'{')),
        b'-' => inside.get(at + 1) != Some(&b'-'),
        _ => true,
    });
    let goes_on = matches!(first, b' ' | b'&' | b'^' | b'~' | b'!' | b')' | b',')
        || (matches!(first, b'+' | b'-') && !inside[1].is_ascii_digit())
        || matches!(last, b' ' | b'&' | b'^' | b'~' | b'!' | b'(' | b',' | b'+' | b'-');
    let is_end = |byte: &u8| !byte.is_ascii_alphabetic();
    let mut words = inside.split(is_end).filter(|word| !word.is_empty());
    let ends = [words.next(), words.next_back()];
    let joins = |word: &[u8]| JOINING.get(word).is_some();
    bytes && !goes_on && !ends.into_iter().flatten().any(joins)
}
