//! Whether a value runs script in a browser that shows it.
//!
//! A value is shown in one of four places: between tags, inside an attribute, inside a
//! script's text, or as an address. To run, it must open an element that runs or loads
//! something, add an event handler, close the text and call something, or be an address
//! with a script scheme. Markup as such is no attack: `<b>` and `<a href="https://…">`
//! pass, and so do `a<b and c>d` and `<3`.
//!
//! Sources: WHATWG HTML standard, sections "Tokenization" and "Event handlers"; URL
//! standard for the white space that browsers drop from a scheme.

mod script;

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

/// The first part that reads as script.
pub(super) fn find(text: &[u8]) -> Option<Range<usize>> {
    tags(text)
        .or_else(|| handlers(text))
        .or_else(|| script_addresses(text))
        .or_else(|| script::calls(text))
        .or_else(|| {
            let binding = BINDING.find(text)?;
            Some(binding..binding + BINDING.needle().len())
        })
}

/// Script needs one of these.
pub(super) const MARKS: &[u8] = b"<(`=:[";

/// Elements that run or load something by standing there.
const ACTIVE_ELEMENTS: &[&[u8]] = &[
    b"script",
    b"iframe",
    b"frame",
    b"frameset",
    b"object",
    b"embed",
    b"applet",
    b"base",
    b"meta",
    b"link",
    b"xss",
    b"import",
    b"isindex",
    b"bgsound",
    b"layer",
    b"ilayer",
    b"include",
];

/// Attributes that hold an address a browser opens.
const ADDRESS_ATTRIBUTES: &[&[u8]] = &[
    b"href",
    b"src",
    b"action",
    b"formaction",
    b"data",
    b"xlink:href",
    b"background",
    b"poster",
    b"from",
    b"to",
    b"values",
    b"code",
    b"dynsrc",
    b"lowsrc",
    b"style",
];

/// Bytes of a tag looked at for attributes: enough for any that is meant to be read.
const LONGEST_TAG: usize = 2_048;

/// Tags of which the attributes are read; a text with more is judged by these.
const MOST_TAGS: usize = 64;

fn tags(text: &[u8]) -> Option<Range<usize>> {
    let mut read = 0;
    for start in memchr::memchr_iter(b'<', text) {
        let inside = &text[start + 1..];
        // Instructions that load markup or style from elsewhere.
        if inside.starts_with(b"?import") || inside.starts_with(b"?xml-stylesheet") {
            return Some(start..start + 8);
        }
        let closing = inside.first() == Some(&b'/');
        let name_at = usize::from(closing);
        let name_length = inside[name_at..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':'))
            .count();
        let name = &inside[name_at..name_at + name_length];
        if !name.first().is_some_and(u8::is_ascii_alphabetic) {
            continue;
        }
        let behind = name_at + name_length;
        let ends = inside
            .get(behind)
            .is_none_or(|byte| matches!(byte, b'>' | b'/' | b'<') || byte.is_ascii_whitespace());
        if closing {
            // Closing a script that the value does not open means to leave one.
            if name == b"script" && ends {
                return Some(start..start + 1 + behind);
            }
            continue;
        }
        if ends && ACTIVE_ELEMENTS.contains(&local_name(name)) {
            return Some(start..start + 1 + behind);
        }
        read += 1;
        if read > MOST_TAGS {
            return None;
        }
        let tag = &inside[behind..inside.len().min(behind + LONGEST_TAG)];
        if let Some(end) = active_attribute(tag) {
            return Some(start..start + 1 + behind + end);
        }
    }
    None
}

/// `svg:script` is a script.
fn local_name(name: &[u8]) -> &[u8] {
    name.rsplit(|byte| *byte == b':').next().unwrap_or(name)
}

/// Where an attribute that runs something ends, in the text of a tag behind its name.
fn active_attribute(tag: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += tag[at..]
            .iter()
            .take_while(|byte| {
                byte.is_ascii_whitespace()
                    || byte.is_ascii_control()
                    || matches!(byte, b'/' | b'"' | b'\'' | b'`' | b',' | b';')
            })
            .count();
        let name_length = tag[at..]
            .iter()
            .take_while(|byte| {
                !byte.is_ascii_whitespace()
                    && !matches!(byte, b'/' | b'>' | b'=' | b'"' | b'\'' | b'<' | b'`')
            })
            .count();
        let name = &tag[at..at + name_length];
        let name_start = at;
        at += name_length;
        let equals = at + white_space(&tag[at..]);
        if tag.get(equals) != Some(&b'=') {
            match tag.get(at) {
                None | Some(b'>' | b'<') => return None,
                Some(_) if name_length == 0 && equals == at => at += 1,
                Some(_) => {}
            }
            continue;
        }
        let value_start = equals + 1 + white_space(&tag[equals + 1..]);
        let (value, after) = attribute_value(&tag[value_start..]);
        at = value_start + after;
        let is_handler = is_known_handler(name) || (name.starts_with(b"on") && is_code(value));
        let runs = is_handler
            || name == b"srcdoc"
            || (ADDRESS_ATTRIBUTES.contains(&name) && script_scheme(value, true).is_some())
            || (name == b"style"
                && holds_any(value, &[b"expression(", b"-moz-binding", b"behavior:"]));
        if runs {
            return Some(at.max(name_start + name_length));
        }
    }
}

/// The value of an attribute, and how far it reaches.
fn attribute_value(text: &[u8]) -> (&[u8], usize) {
    if let Some(quote @ (b'"' | b'\'' | b'`')) = text.first() {
        let end = memchr::memchr(*quote, &text[1..]).map_or(text.len(), |end| end + 1);
        return (&text[1..end], (end + 1).min(text.len()));
    }
    let end = text.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'>');
    let end = end.unwrap_or(text.len());
    (&text[..end], end)
}

fn white_space(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

fn holds_any(text: &[u8], parts: &[&[u8]]) -> bool {
    parts.iter().any(|part| memchr::memmem::find(text, part).is_some())
}

/// Beginnings of event handlers' names: HTML's, SVG's and those that browsers add. Sorted.
const HANDLERS: &[&[u8]] = &[
    b"onabort",
    b"onactivate",
    b"onafter",
    b"onanimation",
    b"onauxclick",
    b"onbefore",
    b"onbegin",
    b"onblur",
    b"onbounce",
    b"oncanplay",
    b"onchange",
    b"onclick",
    b"onclose",
    b"oncontext",
    b"oncopy",
    b"oncuechange",
    b"oncut",
    b"ondblclick",
    b"ondeactivate",
    b"ondrag",
    b"ondrop",
    b"ondurationchange",
    b"onend",
    b"onerror",
    b"onfinish",
    b"onfocus",
    b"onformdata",
    b"onfullscreen",
    b"ongesture",
    b"ongotpointer",
    b"onhashchange",
    b"onhelp",
    b"oninput",
    b"oninvalid",
    b"onkey",
    b"onload",
    b"onlostpointer",
    b"onmessage",
    b"onmouse",
    b"onmove",
    b"onpage",
    b"onpaste",
    b"onpause",
    b"onplay",
    b"onpointer",
    b"onpopstate",
    b"onprogress",
    b"onpropertychange",
    b"onratechange",
    b"onreadystate",
    b"onrepeat",
    b"onreset",
    b"onresize",
    b"onscroll",
    b"onsearch",
    b"onseek",
    b"onselect",
    b"onshow",
    b"onstart",
    b"onstorage",
    b"onsubmit",
    b"onsuspend",
    b"ontimeupdate",
    b"ontoggle",
    b"ontouch",
    b"ontransition",
    b"onunhandled",
    b"onunload",
    b"onvolumechange",
    b"onwaiting",
    b"onwebkit",
    b"onwheel",
];

fn is_known_handler(name: &[u8]) -> bool {
    if !name.starts_with(b"on") {
        return false;
    }
    match HANDLERS.binary_search(&name) {
        Ok(_) => true,
        // Only the entry before the place can be a beginning of the name.
        Err(place) => place > 0 && name.starts_with(HANDLERS[place - 1]),
    }
}

/// Whether the value of an attribute does something as code.
fn is_code(value: &[u8]) -> bool {
    value.iter().any(|byte| matches!(byte, b'(' | b'`' | b'=' | b'['))
        || holds_any(value, &[b"javascript:"])
}

/// ` onmouseover=alert(1)`: a handler added to the element of the attribute that the value
/// stands in.
fn handlers(text: &[u8]) -> Option<Range<usize>> {
    for equals in memchr::memchr_iter(b'=', text) {
        let name_end = text[..equals].trim_ascii_end().len();
        let name_length = text[..name_end]
            .iter()
            .rev()
            .take(32)
            .take_while(|byte| byte.is_ascii_alphanumeric())
            .count();
        let start = name_end - name_length;
        let name = &text[start..name_end];
        if !is_known_handler(name) {
            continue;
        }
        let separated = start.checked_sub(1).is_none_or(|before| {
            let before = text[before];
            before.is_ascii_whitespace() || matches!(before, b'"' | b'\'' | b'`' | b'/' | b';')
        });
        let value = &text[equals + 1..];
        if separated && is_code(&value[..value.len().min(256)]) {
            return Some(start..equals + 1);
        }
    }
    None
}

/// An address with a script scheme, at the start or behind what may precede one.
fn script_addresses(text: &[u8]) -> Option<Range<usize>> {
    for colon in memchr::memchr_iter(b':', text).take(MOST_TAGS) {
        // Browsers drop tabs and line breaks from inside a scheme; views may have made
        // them spaces.
        let mut start = colon;
        let mut letters = 0;
        while letters < b"javascript".len() {
            match start.checked_sub(1).map(|before| text[before]) {
                Some(byte) if byte.is_ascii_lowercase() => letters += 1,
                Some(b'\t' | b'\n' | b'\r' | b' ' | 1..=8) => {}
                _ => break,
            }
            start -= 1;
        }
        let separated = start.checked_sub(1).is_none_or(|before| {
            let before = text[before];
            !(before.is_ascii_alphanumeric() || matches!(before, b'_' | b'-' | b'.'))
        });
        if separated && let Some(length) = script_scheme(&text[start..], false) {
            return Some(start..start + length);
        }
    }
    let mut ends = PAGE.find_iter(text).map(|start| start + PAGE.needle().len());
    let end = ends.find(|end| matches!(text.get(*end), Some(b',' | b';')))?;
    Some(end - PAGE.needle().len()..end)
}

/// An address that is a page itself.
static PAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"data:text/html"));

/// A style that loads script.
static BINDING: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"-moz-binding"));

/// The length of a script scheme that an address begins with and that goes on to do
/// something. `in_attribute` says that an address is expected, so that less proof will do.
fn script_scheme(address: &[u8], in_attribute: bool) -> Option<usize> {
    let dropped = |byte: &u8| byte.is_ascii_control() || *byte == b' ';
    let leading = address.iter().take_while(|byte| dropped(byte)).count();
    let mut at = leading;
    let mut scheme = [0_u8; 10];
    let mut letters = 0;
    while let Some(&byte) =
        address.get(at).filter(|_| letters < scheme.len() || address[at] == b':')
    {
        at += 1;
        if byte == b':' {
            break;
        }
        if byte.is_ascii_lowercase() {
            scheme[letters] = byte;
            letters += 1;
        } else if !dropped(&byte) {
            return None;
        }
    }
    if in_attribute && address[leading..].starts_with(b"data:text/html") {
        return Some(leading + b"data:text/html".len());
    }
    if !matches!(&scheme[..letters], b"javascript" | b"vbscript" | b"livescript" | b"mocha") {
        return None;
    }
    let code = &address[at..address.len().min(at + 256)];
    does_something(code).then_some(at)
}

/// Whether code behind `javascript:` does more than pages' own placeholders do, and is
/// code at all: a call, an assignment or a comment, not a sentence.
fn does_something(code: &[u8]) -> bool {
    const PLACEHOLDERS: &[&[u8]] = &[
        b"void(0)",
        b"void(null)",
        b"void 0",
        b"history.back()",
        b"history.go(-1)",
        b"window.print()",
        b"print()",
        b"location.reload()",
        b"self.close()",
        b"window.close()",
        b"false",
        b"//",
    ];
    let code = code.trim_ascii();
    let bare = code.trim_ascii_end().strip_suffix(b";").unwrap_or(code);
    if bare.is_empty() || PLACEHOLDERS.contains(&bare) {
        return false;
    }
    if code.starts_with(b"//") || code.starts_with(b"/*") || code.starts_with(b"\"") {
        return true;
    }
    let touches = |at: usize| {
        at.checked_sub(1).is_some_and(|before| {
            let byte = code[before];
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b')' | b']' | b'/')
        })
    };
    code.iter().enumerate().any(|(at, byte)| match byte {
        b'(' | b'`' | b'[' => at == 0 || touches(at),
        b'=' | b'\\' | b'%' => at > 0,
        _ => false,
    })
}

#[cfg(test)]
mod tests;
