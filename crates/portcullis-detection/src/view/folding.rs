//! The folded view: comments, white space and shell quoting that say nothing, folded away.
//!
//! Sources: `MySQL` manual, "Comments"; Microsoft, "Comment (Transact-SQL)"; Bash manual, "Quoting" and "Word Splitting".

use super::MOST_ROUNDS;
use super::pairs::Pairs;

/// Whether [`fold`] may change the text. May say yes for nothing, but not for every dollar
/// sign, quote and caret that stands alone: each yes costs a round.
pub(crate) fn needs_folding(text: &[u8]) -> bool {
    let mut places =
        std::iter::successors(TRICKS.first_in(text, 0), |at| TRICKS.first_in(text, at + 1));
    places.any(|at| {
        // Nothing before it is folded, or this would not be looked at.
        let (before, rest) = text.split_at(at);
        match rest[0] {
            b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | 0xa0 | b' ' | b'/' | b'\\' => true,
            b'$' if matches!(rest[1], b'@' | b'*') => inside_word(before, rest, 2),
            b'$' => shell_space(rest) > 0,
            quote @ (b'\'' | b'"' | b'`') => rest[1] == quote && inside_word(before, rest, 2),
            b'^' => inside_word(before, rest, 1),
            _ => false,
        }
    })
}

/// Where a trick may begin that folding undoes.
static TRICKS: Pairs = Pairs::new(&[
    (b"\t\n\x0b\x0c\r\xa0\xc2", None),
    (b" ", Some(b" ")),
    (b"'\"`", Some(b"'\"`")),
    (b"/", Some(b"*")),
    (b"*", Some(b"/")),
    (b"$", Some(b"{iI@*")),
    (b"^", Some(b"_'\"`^0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")),
    (b"\\", Some(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")),
]);

/// Writes the folded view of a decoded text to `out`, using `spare` between rounds. Never
/// longer than the text and one byte.
pub(crate) fn fold(decoded: &[u8], out: &mut Vec<u8>, spare: &mut Vec<u8>) {
    fold_round(decoded, out);
    for _ in 1..MOST_ROUNDS {
        if !needs_folding(out) {
            break;
        }
        std::mem::swap(out, spare);
        fold_round(spare, out);
        if out == spare {
            break;
        }
    }
}

/// Writes the text to `out` with a space for each SQL comment up to the end of its line that
/// holds at most a word, as tools write instead of a space: `1#x\nor--\n1=1`. Whoever hides
/// more in one hides it from the folded view no better than without. Says whether there is
/// any; never longer than the text.
pub(crate) fn without_line_comments(text: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let mut at = 0;
    let mut line_begins = 0;
    for feed in memchr::memchr_iter(b'\n', text) {
        let begun = std::mem::replace(&mut line_begins, feed + 1);
        let line = &text[begun..feed];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let in_word = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
        let word = line.iter().rev().take_while(in_word).count();
        let before = line[..line.len() - word].trim_ascii_end();
        if let Some(kept) = before.strip_suffix(b"#").or_else(|| before.strip_suffix(b"--")) {
            out.extend_from_slice(&text[at..begun + kept.len()]);
            out.push(b' ');
            at = line_begins;
        }
    }
    out.extend_from_slice(&text[at..]);
    at > 0
}

/// One round: every trick undone once.
fn fold_round(text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut at = 0;
    let mut comment_may_end = true;
    let mut in_conditional_comment = false;
    loop {
        // A space behind one that was written is the next to be looked at.
        if out.last() != Some(&b' ') || text.get(at) != Some(&b' ') {
            let next = TRICKS.first_in(text, at).unwrap_or(text.len());
            out.extend_from_slice(&text[at..next]);
            at = next;
        }
        let Some(&byte) = text.get(at) else {
            break;
        };
        let rest = &text[at..];
        let length = match byte {
            b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' => {
                space(out);
                1
            }
            0xc2 if rest.get(1) == Some(&0xa0) => {
                space(out);
                2
            }
            // MySQL takes a lone 0xa0 for white space; after another high byte it is
            // part of a character.
            0xa0 if out.last().is_none_or(u8::is_ascii) => {
                space(out);
                1
            }
            b'/' if rest.get(1) == Some(&b'*') => {
                let conditional = conditional_comment(rest);
                if conditional > 0 {
                    in_conditional_comment = true;
                    space(out);
                    conditional
                } else if let Some(end) =
                    comment_may_end.then(|| memchr::memmem::find(&rest[2..], b"*/")).flatten()
                {
                    space(out);
                    end + 4
                } else {
                    comment_may_end = false;
                    out.push(byte);
                    1
                }
            }
            b'*' if in_conditional_comment && rest.get(1) == Some(&b'/') => {
                in_conditional_comment = false;
                space(out);
                2
            }
            b'$' => match shell_space(rest) {
                0 if inside_word(out, rest, 2) && matches!(rest.get(1), Some(b'@' | b'*')) => 2,
                0 => {
                    out.push(byte);
                    1
                }
                length => {
                    space(out);
                    length
                }
            },
            b'\\' if rest.get(1).is_some_and(u8::is_ascii_alphabetic) => 1,
            b'^' if inside_word(out, rest, 1) => 1,
            b'\'' | b'"' | b'`' if rest.get(1) == Some(&byte) && inside_word(out, rest, 2) => 2,
            _ => {
                out.push(byte);
                1
            }
        };
        at += length;
    }
}

/// Adds a space unless there is one.
fn space(out: &mut Vec<u8>) {
    if out.last() != Some(&b' ') {
        out.push(b' ');
    }
}

/// Length of the opening of a comment whose content runs, `/*!50000` or `/*m!100100`;
/// 0 for others.
fn conditional_comment(text: &[u8]) -> usize {
    let before = match text {
        [b'/', b'*', b'!', ..] => 3,
        [b'/', b'*', b'm', b'!', ..] => 4,
        _ => return 0,
    };
    before + text[before..].iter().take(6).take_while(|byte| byte.is_ascii_digit()).count()
}

/// Length of a shell's variable for white space, `${ifs}`, `$ifs` or `$ifs$9`; 0 for others.
fn shell_space(text: &[u8]) -> usize {
    let same =
        |start: &[u8]| text.get(..start.len()).is_some_and(|t| t.eq_ignore_ascii_case(start));
    if same(b"${ifs") {
        // `${ifs%??}` cuts the value and leaves a space.
        return text.iter().take(16).position(|byte| *byte == b'}').map_or(0, |end| end + 1);
    }
    if !same(b"$ifs") {
        return 0;
    }
    match text.get(4..) {
        Some([b'$', digit, ..]) if digit.is_ascii_digit() => 6,
        Some([next, ..]) if next.is_ascii_alphanumeric() || *next == b'_' => 0,
        _ => 4,
    }
}

/// Whether what takes `length` bytes here stands between two characters of a word.
fn inside_word(out: &[u8], rest: &[u8], length: usize) -> bool {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let quote = |byte: &u8| matches!(byte, b'\'' | b'"' | b'`' | b'^');
    out.last().is_some_and(word) && rest.get(length).is_some_and(|next| word(next) || quote(next))
}
