//! Whether a value runs a command in a shell it was pasted into.
//!
//! Shell words are words: `cat`, `find`, `more`, `id`. So a command counts only where a
//! shell would look for one, behind a separator or in a substitution, or at the start of
//! the value; and a name that is also an English word, or a column's name, only with an
//! argument of a shape that prose does not have.
//!
//! Reads decoded text, best the folded view, where `c''at` and `${IFS}` are undone.
//!
//! Sources: POSIX.1-2017, "Shell Grammar"; Microsoft, "cmd" and "`about_PowerShell_exe`".

mod commands;

use std::ops::Range;

use commands::{Clarity, lookup};

/// What may stand before a command and run it.
const PREFIXES: &[&[u8]] = &[b"exec", b"sudo", b"nohup", b"time", b"command", b"do", b"then", b"!"];

/// The first part that reads as a command.
pub(super) fn find(text: &[u8]) -> Option<Range<usize>> {
    if let Some(end) = command(text, 0, Before::Start) {
        return Some(0..end);
    }
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let length = match separator(&text[at..], byte) {
            Some((before, length)) => {
                let before = if joins_names(text, at, before) { Before::Names } else { before };
                if let Some(end) = command(text, at + length, before) {
                    return Some(at..end);
                }
                length
            }
            None if byte == b'/' => {
                if let Some(end) = device(text, at) {
                    return Some(at..end);
                }
                1
            }
            None if byte == b'$' && is_field_separator(&text[at..]) => {
                return Some(at..at + b"$ifs".len());
            }
            None => 1,
        };
        at += length;
    }
    None
}

/// Bytes one of which stands in all commands but those of one word.
pub(super) const MARKS: &[u8] = b" \t\n\x0c\r;|&$`<>\\?*";

/// Whether one word may be a command line: a path to a command, a device, or a command by
/// itself.
pub(super) fn is_command_line(text: &[u8]) -> bool {
    (text.first() == Some(&b'/') && holds(text, b"bin/"))
        || holds(text, b"/dev/")
        || RECONNAISSANCE.iter().any(|name| text.eq_ignore_ascii_case(name))
}

/// Whether the part, which has a slash, is in the text, in letters of any case.
fn holds(text: &[u8], part: &[u8]) -> bool {
    let before = memchr::memchr(b'/', part).unwrap_or_default();
    memchr::memchr_iter(b'/', text).any(|slash| {
        let start = slash.checked_sub(before);
        let here = start.and_then(|start| text.get(start..start + part.len()));
        here.is_some_and(|here| here.eq_ignore_ascii_case(part))
    })
}

/// What stands before the place where a command may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing: the value starts.
    Start,
    /// `;`, `|` or `&` behind a name: as well a list of names.
    Names,
    /// A separator that lists do not have.
    Separator,
    /// `` ` `` or `$(`.
    Substitution,
}

fn separator(rest: &[u8], byte: u8) -> Option<(Before, usize)> {
    match byte {
        b'|' | b'&' if rest.get(1) == Some(&byte) => Some((Before::Separator, 2)),
        b';' | b'|' | b'&' | b'\n' | b'\r' => Some((Before::Separator, 1)),
        b'`' => Some((Before::Substitution, 1)),
        b'$' if rest.get(1) == Some(&b'(') && rest.get(2) != Some(&b'(') => {
            Some((Before::Substitution, 2))
        }
        b'<' | b'>' if rest.get(1) == Some(&b'(') => Some((Before::Substitution, 2)),
        _ => None,
    }
}

/// `name;id;price` and `a|id`: single separators directly behind a letter.
fn joins_names(text: &[u8], at: usize, before: Before) -> bool {
    before == Before::Separator
        && matches!(text[at], b';' | b'|' | b'&')
        && text.get(at + 1) != Some(&text[at])
        && at.checked_sub(1).is_some_and(|before| text[before].is_ascii_alphabetic())
}

/// Whether a command stands at `at`; where it ends.
fn command(text: &[u8], mut at: usize, before: Before) -> Option<usize> {
    let mut length = 0;
    for _ in 0..3 {
        at += text[at..]
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'(' | b'{' | b'\'' | b'"' | b'@'))
            .count();
        let word_end = at + word_length(&text[at..]);
        length = word_end - at;
        let word = &text[at..word_end];
        if !PREFIXES.contains(&word) {
            break;
        }
        at = word_end;
        length = word_length(&text[at..]);
    }
    let word = &text[at..at + length];
    let rest = &text[at + length..];
    if length == 0 || !is_boundary(rest) {
        return None;
    }
    let name = word.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or(word);
    if name.len() < word.len() {
        // With its directory a command needs no argument, and a pattern no name.
        let runs = is_bin(word) && (lookup(name).is_some() || before != Before::Start);
        return (runs || is_globbed(word)).then_some(at + length);
    }
    if matches!(rest.first(), Some(b'\'' | b'"'))
        && let Some((joined, end)) = quoted_name(text, at)
        && runs(joined.name(), before, &text[end..])
    {
        return Some(end);
    }
    runs(name, before, rest).then_some(at + length)
}

/// Whether the name runs as a command there, with what follows it.
fn runs(name: &[u8], before: Before, rest: &[u8]) -> bool {
    let Some(clarity) = lookup(name) else { return false };
    let argument = has_argument(name, rest);
    let ends = ends_here(rest);
    match (before, clarity) {
        (Before::Start, Clarity::Clear) => argument || (ends && RECONNAISSANCE.contains(&name)),
        (Before::Start, Clarity::Short | Clarity::Word) | (_, Clarity::Word) => argument,
        (Before::Names, Clarity::Short) => {
            argument || (ends && matches!(name, b"ls" | b"dir" | b"pwd"))
        }
        // People curl up, too.
        (Before::Separator | Before::Substitution, Clarity::Clear) => {
            argument || ends || name != b"curl"
        }
        (Before::Separator | Before::Substitution, Clarity::Short)
        | (Before::Names, Clarity::Clear) => argument || ends,
    }
}

/// A name without the quotes that stood between its letters.
struct Joined {
    letters: [u8; LONGEST_QUOTED],
    length: usize,
}

impl Joined {
    fn name(&self) -> &[u8] {
        &self.letters[..self.length]
    }
}

/// No command that is worth hiding has a longer name.
const LONGEST_QUOTED: usize = 12;

/// `w"h"o"am"i`: a name that a shell joins from quoted letters; where it ends. What has
/// fewer than three letters is a contraction: `i'd`.
fn quoted_name(text: &[u8], at: usize) -> Option<(Joined, usize)> {
    let mut joined = Joined { letters: [0; LONGEST_QUOTED], length: 0 };
    let mut quotes = 0;
    let mut end = at;
    while let Some(&byte) = text.get(end) {
        match byte {
            b'\'' | b'"' if joined.length > 0 => {
                quotes += usize::from(text.get(end + 1).is_some_and(u8::is_ascii_alphabetic));
            }
            _ if byte.is_ascii_alphanumeric() => {
                *joined.letters.get_mut(joined.length)? = byte;
                joined.length += 1;
            }
            _ => break,
        }
        end += 1;
    }
    (quotes > 0 && joined.length >= 3).then_some((joined, end))
}

/// A word of a command line: a name or a path.
fn word_length(rest: &[u8]) -> usize {
    rest.iter()
        .take_while(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'_' | b'-' | b'.' | b'/' | b'\\' | b'?' | b'*' | b'!' | b'[' | b']'
                )
                || (**byte == b':' && rest.get(1) == Some(&b':'))
        })
        .count()
}

fn is_boundary(rest: &[u8]) -> bool {
    rest.first().is_none_or(|byte| {
        byte.is_ascii_whitespace()
            || matches!(
                byte,
                b';' | b'|'
                    | b'&'
                    | b')'
                    | b'}'
                    | b'`'
                    | b'<'
                    | b'>'
                    | b'$'
                    | b'\''
                    | b'"'
                    | b'#'
                    | b'%'
                    | b'{'
                    | b','
            )
    })
}

/// Whether the command stands without arguments.
fn ends_here(rest: &[u8]) -> bool {
    match rest.trim_ascii_start().first() {
        None | Some(b';' | b'|' | b'&' | b')' | b'`' | b'#' | b'<' | b'>') => true,
        // A quote closes what the server opened; `%` is a placeholder left behind.
        Some(b'\'' | b'"') => rest.trim_ascii().len() <= 2,
        _ => false,
    }
}

/// Commands whose output is all an attacker wants.
const RECONNAISSANCE: [&[u8]; 9] = [
    b"whoami",
    b"whoami.exe",
    b"ifconfig",
    b"ipconfig",
    b"netstat",
    b"uname",
    b"systeminfo",
    b"tasklist",
    b"printenv",
];

/// `/bin/…`, `/usr/local/bin/…`, `c:\windows\system32\…`.
fn is_bin(path: &[u8]) -> bool {
    let starts = |start: &[u8]| path.starts_with(start);
    let unix = starts(b"/bin/")
        || starts(b"/sbin/")
        || starts(b"/usr/bin/")
        || starts(b"/usr/sbin/")
        || starts(b"/usr/local/bin/")
        || starts(b"/opt/bin/");
    unix || memchr::memmem::find(path, b"system32").is_some()
}

/// `/???/??t`: a path so full of patterns that only a shell can read it.
fn is_globbed(path: &[u8]) -> bool {
    let patterns = path.iter().filter(|byte| matches!(byte, b'?' | b'*')).count();
    let first_segment = path.get(1..).and_then(|path| path.split(|byte| *byte == b'/').next());
    path.starts_with(b"/")
        && patterns >= 2
        && first_segment.is_some_and(|name| {
            name.len() == 3
                && name.iter().zip(b"bin").all(|(byte, plain)| byte == plain || *byte == b'?')
        })
}

/// Whether an argument follows that prose does not have: an option, a path, an address, a
/// variable, a redirection. Where a name is a word, more is asked of it.
fn has_argument(name: &[u8], rest: &[u8]) -> bool {
    let trimmed = rest.trim_ascii_start();
    let Some(&first) = trimmed.first() else { return false };
    if trimmed.len() == rest.len() {
        // Directly behind: `cat</etc/passwd`, `ls${ifs}-la`, `{cat,/etc/passwd}`.
        return match first {
            b'<' | b'$' => true,
            b',' => matches!(rest.get(1), Some(b'/' | b'-')),
            _ => false,
        };
    }
    let word_end = trimmed.iter().position(|byte| {
        byte.is_ascii_whitespace() || matches!(byte, b';' | b'|' | b'&' | b')' | b'`')
    });
    let word = &trimmed[..word_end.unwrap_or(trimmed.len())];
    let second = word.get(1).copied();
    let number = !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    let is_address = word.split(|byte| *byte == b'.').count() >= 2
        && word.last().is_some_and(u8::is_ascii_alphanumeric)
        && word.len() >= 4;
    let path = match first {
        b'/' | b'\\' | b'~' | b'$' | b'<' | b'>' => true,
        b'.' => matches!(second, Some(b'/' | b'.' | b'\\')),
        b'*' => word.len() == 1,
        b'%' => word.len() > 2,
        _ => word.get(1..3) == Some(b":\\") || word.contains(&b'/'),
    };
    let option =
        first == b'-' && second.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    match name {
        b"sleep" | b"timeout" => (number && ends_here(&trimmed[word.len()..])) || path,
        b"kill" => option || (first == b'-' && number),
        b"ping" | b"dig" | b"host" | b"nslookup" | b"telnet" | b"ssh" | b"ftp" | b"nc"
        | b"ncat" | b"netcat" | b"curl" | b"wget" | b"tracert" | b"traceroute" => {
            option || path || is_address
        }
        b"cmd" | b"cmd.exe" => {
            first == b'/' && second.is_some_and(|byte| byte.is_ascii_alphabetic())
        }
        b"net" => matches!(
            word,
            b"user" | b"users" | b"localgroup" | b"view" | b"share" | b"group" | b"use" | b"start"
        ),
        b"echo" | b"print" | b"printf" => {
            path || option
                || memchr::memchr3(b'>', b'|', b'`', trimmed).is_some()
                || matches!(first, b'"' | b'\'')
                || (number && ends_here(&trimmed[word.len()..]))
        }
        b"cat" | b"tac" | b"nl" | b"head" | b"tail" | b"more" | b"less" | b"type" | b"strings" => {
            path || (option && trimmed.contains(&b'/')) || is_address
        }
        b"chmod" => number || option || first == b'+' || word.contains(&b'+'),
        b"set" => first == b'/',
        b"powershell" | b"powershell.exe" | b"pwsh" => true,
        b"python" | b"python2" | b"python3" | b"perl" | b"ruby" | b"php" | b"node" | b"lua" => {
            option || path
        }
        _ => option || path,
    }
}

/// `/dev/tcp/…`, which only a reverse shell opens, and `>& /dev/…`.
fn device(text: &[u8], at: usize) -> Option<usize> {
    let starts = |start: &[u8]| text[at..].starts_with(start).then(|| at + start.len());
    starts(b"/dev/tcp/").or_else(|| starts(b"/dev/udp/"))
}

/// `$ifs` and `${ifs}` stand for white space where a filter would see it.
fn is_field_separator(rest: &[u8]) -> bool {
    let name = rest.strip_prefix(b"${").or_else(|| rest.strip_prefix(b"$")).unwrap_or(rest);
    name.strip_prefix(b"ifs").is_some_and(|behind| {
        behind.first().is_none_or(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'))
    })
}

#[cfg(test)]
mod tests;
