//! What can be wrong with a rule file, said so that its author can mend it.

use std::fmt;

use super::spot::{Spot, write_caret};

/// One error in a rule file. `Display` is one line; [`RuleErrors`] adds the source line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {kind}")]
pub struct RuleError {
    /// The file, as given.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    #[source]
    pub kind: RuleErrorKind,
    /// The line itself.
    pub source_line: String,
    /// How many characters of it are meant, at least 1.
    pub width: u32,
}

impl RuleError {
    /// The text of a rule file.
    ///
    /// # Errors
    /// At its first byte that is no UTF-8.
    pub fn text_of(file: &str, bytes: Vec<u8>) -> Result<String, Box<Self>> {
        String::from_utf8(bytes).map_err(|error| {
            let start = error.utf8_error().valid_up_to();
            let byte = error.as_bytes()[start];
            // Up to there each character is one of the text's.
            let text = String::from_utf8_lossy(error.as_bytes());
            let Spot { line, column, width, source_line } = Spot::at(&text, start..start);
            let (file, kind) = (file.to_owned(), RuleErrorKind::NotUtf8(byte));
            Box::new(Self { file, line, column, kind, source_line, width })
        })
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleErrorKind {
    /// The text is not TOML.
    #[error("not valid TOML: {0}")]
    Syntax(String),
    /// A key that no rule has.
    #[error("unknown key `{key}` in {table}")]
    UnknownKey {
        /// The key.
        key: String,
        /// The table it stands in.
        table: &'static str,
        /// The keys that may stand there.
        expected: &'static [&'static str],
    },
    /// A name out of a fixed list that is not on it.
    #[error("unknown {what} `{name}`")]
    UnknownName {
        /// What it names: `field`, `view`, `category`, …
        what: &'static str,
        /// The name.
        name: String,
        /// The list.
        expected: Vec<&'static str>,
    },
    /// A value of another type.
    #[error("`{key}` is {found}, expected {expected}")]
    WrongType {
        /// Whose value.
        key: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A key that every rule of the kind has.
    #[error("missing key `{key}` in {table}")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// The table it belongs to.
        table: &'static str,
    },
    /// A text or list with nothing in it.
    #[error("`{0}` is empty")]
    Empty(String),
    /// A regular expression that does not compile.
    #[error("bad regular expression: {0}")]
    BadRegex(String),
    /// The id is not the file's path.
    #[error("id `{id}` is not the path of `{file}`")]
    IdIsNotThePath {
        /// The id.
        id: String,
        /// The file.
        file: String,
    },
    /// Two examples of a rule have one name.
    #[error("another example of this rule is called `{0}`")]
    DuplicateExample(String),
    /// The file is no text.
    #[error("not UTF-8: byte 0x{0:02X}")]
    NotUtf8(u8),
    /// Two files have one id.
    #[error("id `{id}` is already that of {first}")]
    DuplicateId {
        /// The id.
        id: String,
        /// The other file.
        first: String,
    },
    /// Neither `[signature]` nor `[rate]`, or both.
    #[error("a rule has either a [signature] or a [rate]")]
    NotOneKind,
    /// Nothing that makes a candidate.
    #[error("no literal makes a candidate")]
    NoCandidate,
    /// A literal with upper-case letters, which a lower-cased view never holds.
    #[error("literal `{0}` has upper-case letters, and its views are lower case")]
    UpperCaseLiteral(String),
    /// Segments looked for in something other than a path.
    #[error("`segments` looks at paths only")]
    SegmentsOutsidePath,
    /// A duration that is none.
    #[error("bad duration `{text}` for `{key}`")]
    BadDuration {
        /// Whose value.
        key: &'static str,
        /// The text.
        text: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// A measure that is the same for all requests of the key.
    #[error("`{measure}` is never more than 1 by `{by}`")]
    MeasuresItsKey {
        /// The measure.
        measure: &'static str,
        /// The key.
        by: &'static str,
    },
    /// An example's client that is no address.
    #[error("`{0}` is no address")]
    BadAddress(String),
    /// A status condition that is none.
    #[error("bad status `{0}`")]
    BadStatus(String),
    /// A number out of its range.
    #[error("`{key}` is {value}, outside {least} to {most}")]
    OutOfRange {
        /// Whose value.
        key: String,
        /// The value.
        value: i64,
        /// Least accepted.
        least: i64,
        /// Most accepted.
        most: i64,
    },
    /// Too little proof.
    #[error("{fire} examples that fire and {quiet} that do not, at least 2 of each are needed")]
    TooFewExamples {
        /// Examples with `fires = true`.
        fire: usize,
        /// Examples with `fires = false`.
        quiet: usize,
    },
}

impl RuleErrorKind {
    /// What stands beside the caret; empty when the message says it all.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::UnknownKey { expected, .. } => one_of(expected),
            Self::UnknownName { expected, .. } => one_of(expected),
            Self::BadDuration { expected, .. } => format!("expected {expected}"),
            Self::BadStatus(_) => {
                "expected a code such as 404 or \"404\", a class such as \"4xx\", or \"!404\""
                    .into()
            }
            _ => String::new(),
        }
    }

    /// The name on the list that a wrong one is a typing error of.
    fn meant(&self) -> Option<String> {
        match self {
            Self::UnknownName { name, expected, .. } => did_you_mean(name, expected),
            Self::UnknownKey { key, expected, .. } => did_you_mean(key, expected),
            _ => None,
        }
    }

    /// What to do about it, where that is not plain from the message.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::UnknownName { what: "field", name, .. } => match name.as_str() {
                "uri" | "url" | "request_uri" | "resource" => {
                    "API Gateway logs the request path as `path`"
                }
                "agent" | "ua" | "user-agent" | "useragent" => {
                    "the `User-Agent` header is `user_agent`"
                }
                "args" | "params" | "parameters" | "query_string" | "querystring" => {
                    "the whole query string is `query`, its parameter values are `values`"
                }
                "referrer" => "the header is spelled `referer`, and so is the field",
                "body" | "cookie" | "cookies" | "header" | "headers" => {
                    "access logs carry no body, no cookies and no other headers"
                }
                _ => return self.meant(),
            },
            Self::UnknownName { what: "view", name, .. }
                if name.contains("percent") || name.contains("url") =>
            {
                "`decoded` undoes percent-encoding, once or many times"
            }
            Self::UnknownName { .. } | Self::UnknownKey { .. } => return self.meant(),
            Self::IdIsNotThePath { .. } => {
                "the id is the path inside the rules directory, without `.toml`"
            }
            Self::NotUtf8(_) => "save the file as UTF-8",
            Self::BadAddress(_) => {
                "write an address such as 192.0.2.1, or 192.0.2.{n} for one of 256 clients"
            }
            Self::NoCandidate => {
                "give at least one of `contains`, `words`, `segments`, `endings`, `starts`, or `tokens`"
            }
            Self::UpperCaseLiteral(_) => "write it in lower case, or look at the view `raw` alone",
            Self::SegmentsOutsidePath => {
                "use the field `path` alone, or the view `path` alone, or `contains`"
            }
            Self::BadRegex(reason) => return regex_hint(reason),
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// What to do about an expression that was refused with this reason.
fn regex_hint(reason: &str) -> Option<String> {
    let hint = if reason.contains("look-around") || reason.contains("backreference") {
        "they cannot be searched in linear time; look for one text, and withdraw with `unless`"
    } else if reason.contains("size limit") || reason.contains("too large") {
        "shorten what is counted (`{0,400}`) or what is alternated"
    } else {
        return None;
    };
    Some(hint.to_owned())
}

/// Most letters that may differ in a typing error, for a name of some length.
const fn most_typos(letters: usize) -> usize {
    if letters < 4 { 1 } else { 2 }
}

/// The name that was meant, if one is near enough for a typing error, as a question.
pub fn did_you_mean(name: &str, expected: &[&str]) -> Option<String> {
    let most = most_typos(name.chars().count());
    let near = expected.iter().map(|other| (typos(name, other), *other));
    let (_, nearest) = near.filter(|(typos, _)| *typos <= most).min()?;
    Some(format!("did you mean `{nearest}`?"))
}

/// How many letters must be added, dropped, changed or swapped with their neighbour to make
/// one word the other.
fn typos(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Two rows back, for swapped neighbours.
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let changed = rows[i][j] + usize::from(from != to);
            let mut least = changed.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

fn one_of(names: &[&'static str]) -> String {
    match names {
        [] => String::new(),
        [name] => format!("expected `{name}`"),
        _ => {
            let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("expected one of {}", quoted.join(", "))
        }
    }
}

/// Every error of every file, in the order of files and lines. Never empty.
///
/// `Display` is ready to print after `error: `, over several lines, without a newline at
/// the end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RuleErrors(pub(crate) Vec<RuleError>);

impl RuleErrors {
    /// These and `more`, in the order of files; `None` when there are none.
    pub fn of(errors: Option<Self>, more: Vec<RuleError>) -> Option<Self> {
        let mut all: Vec<RuleError> = errors.into_iter().flat_map(|errors| errors.0).collect();
        all.extend(more);
        all.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        (!all.is_empty()).then_some(Self(all))
    }

    /// The errors.
    pub fn errors(&self) -> &[RuleError] {
        &self.0
    }
}

impl fmt::Display for RuleErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed to load rules")?;
        for error in &self.0 {
            write!(f, "\n  {error}")?;
            let place = (error.line, error.column, error.width);
            write_caret(f, place, &error.source_line, &error.kind.label())?;
            if let Some(hint) = error.kind.hint() {
                write!(f, "\n  hint: {hint}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_about_the_error_it_stands_beside() {
        let hint = |text: &str| {
            let broken = super::super::Patterns::new(vec![text.to_owned()]).expect_err(text);
            RuleErrorKind::BadRegex(broken[0].1.clone()).hint()
        };
        let linear = |hint: Option<String>| hint.is_some_and(|hint| hint.contains("linear time"));
        assert!(linear(hint("(?=a)b")));
        assert!(linear(hint(r"(a)\1")));
        assert!(hint(&"[a-z]{900}".repeat(40)).is_some_and(|hint| hint.contains("shorten")));
        assert_eq!(hint("a(b"), None);
    }

    #[test]
    fn a_file_that_is_no_text_is_told_with_its_place() {
        let mut bytes = "id = \"a/b\"\ntitle = \"caf\u{e9} ".as_bytes().to_vec();
        bytes.extend(b"\xE9\"\n");
        let error = RuleError::text_of("a/b.toml", bytes).expect_err("no UTF-8");
        assert_eq!(error.to_string(), "a/b.toml:2:15: not UTF-8: byte 0xE9");
        assert_eq!(RuleError::text_of("f", b"id".to_vec()).as_deref(), Ok("id"));
    }

    #[test]
    fn a_typing_error_is_told_from_another_word() {
        let names = ["path", "query", "values", "user_agent"];
        let meant = |name| did_you_mean(name, &names);
        assert_eq!(meant("pahts").as_deref(), Some("did you mean `path`?"));
        assert_eq!(meant("qurey").as_deref(), Some("did you mean `query`?"));
        assert_eq!(meant("useragent").as_deref(), Some("did you mean `user_agent`?"));
        assert_eq!(meant("cookie"), None);
        assert_eq!(meant("url"), None);
    }
}
