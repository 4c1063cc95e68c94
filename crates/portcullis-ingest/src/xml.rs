//! Reads one XML record: the text of its leaf elements and its attributes.
//!
//! Only the XML that an access-log template can write. Document types, processing
//! instructions and comments are refused, so no entity is ever defined or expanded.

use crate::cut::Piece;

/// Deepest nesting, and most attributes of one element, that are read.
const MAX_DEPTH: usize = 64;

/// Calls `visit` with the names and the place of every attribute and every leaf
/// element's text. Gives the element's length, or `None` when it is not well formed.
pub(crate) fn leaves<'t>(
    text: &'t [u8],
    visit: &mut dyn FnMut(&[&'t [u8]], Piece),
) -> Option<usize> {
    let mut names: Vec<&'t [u8]> = Vec::new();
    let mut at = 0;
    // Where the text of the innermost element begins, while it has no child.
    let mut leaf_start = None;
    loop {
        let open = at + memchr::memchr(b'<', &text[at..])?;
        if names.is_empty() && !text[at..open].trim_ascii().is_empty() {
            return None;
        }
        if text.get(open + 1) == Some(&b'/') {
            let end = open + memchr::memchr(b'>', &text[open..])?;
            let name = text[open + 2..end].trim_ascii();
            if names.last() != Some(&name) {
                return None;
            }
            if let Some(start) = leaf_start.take() {
                visit(&names, Piece { start, end: open });
            }
            names.pop();
            at = end + 1;
            if names.is_empty() {
                return Some(at);
            }
            continue;
        }
        if names.len() >= MAX_DEPTH {
            return None;
        }
        let (name, mut cursor) = name_at(text, open + 1)?;
        names.push(name);
        let mut attributes = 0;
        loop {
            cursor += text[cursor..].iter().take_while(|b| b.is_ascii_whitespace()).count();
            match text.get(cursor)? {
                b'>' => {
                    at = cursor + 1;
                    leaf_start = Some(at);
                    break;
                }
                b'/' if text.get(cursor + 1) == Some(&b'>') => {
                    names.pop();
                    at = cursor + 2;
                    leaf_start = None;
                    if names.is_empty() {
                        return Some(at);
                    }
                    break;
                }
                _ => {
                    attributes += 1;
                    if attributes > MAX_DEPTH {
                        return None;
                    }
                    let (attribute, after) = name_at(text, cursor)?;
                    let quote = *text.get(after + 1)?;
                    if text[after] != b'=' || !matches!(quote, b'"' | b'\'') {
                        return None;
                    }
                    let start = after + 2;
                    let end = start + memchr::memchr(quote, &text[start..])?;
                    names.push(attribute);
                    visit(&names, Piece { start, end });
                    names.pop();
                    cursor = end + 1;
                }
            }
        }
    }
}

fn name_at(text: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let length = text[start..]
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(b))
        .count();
    (length > 0 && length < text.len() - start)
        .then(|| (&text[start..start + length], start + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Vec<(String, String)>> {
        let mut seen = Vec::new();
        leaves(text.as_bytes(), &mut |names, piece| {
            let names: Vec<_> = names.iter().map(|n| String::from_utf8_lossy(n)).collect();
            seen.push((
                names.join("/"),
                String::from_utf8_lossy(piece.of(text.as_bytes())).into_owned(),
            ));
        })
        .map(|_| seen)
    }

    #[test]
    fn attributes_and_leaves_are_found() {
        let seen = read(
            "<request id=\"1\"> <ip>192.0.2.1</ip>\n <a><b/><c>x &lt; y</c></a> </request>rest",
        )
        .expect("well formed");
        let expected =
            [("request/id", "1"), ("request/ip", "192.0.2.1"), ("request/a/c", "x &lt; y")];
        assert_eq!(seen, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for text in
            ["<a>", "<a></b>", "<!DOCTYPE a><a></a>", "<a b=c></a>", "x<a></a>", "<a", "<a b"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
