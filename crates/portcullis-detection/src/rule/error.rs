//! What can be wrong with a rule file, said so that its author can mend it.

use std::fmt;

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
    fn label(&self) -> String {
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
                _ => return None,
            },
            Self::UnknownName { what: "view", name, .. }
                if name.contains("percent") || name.contains("url") =>
            {
                "`decoded` undoes percent-encoding, once or many times"
            }
            Self::IdIsNotThePath { .. } => {
                "the id is the path inside the rules directory, without `.toml`"
            }
            Self::NoCandidate => {
                "give at least one of `contains`, `words`, `segments`, `endings`, `starts`, or `tokens`"
            }
            Self::UpperCaseLiteral(_) => "write it in lower case, or look at the view `raw` alone",
            Self::SegmentsOutsidePath => {
                "use the field `path` alone, or the view `path` alone, or `contains`"
            }
            Self::BadRegex(_) => {
                "look-around and back-references are not supported: they cannot be searched in linear time"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
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
            let number = error.line.to_string();
            let gutter = " ".repeat(number.len());
            write!(f, "\n    {number} | {}", error.source_line)?;
            let before = " ".repeat(error.column.saturating_sub(1) as usize);
            let carets = "^".repeat(error.width as usize);
            write!(f, "\n    {gutter} | {before}{carets}")?;
            let label = error.kind.label();
            if !label.is_empty() {
                write!(f, " {label}")?;
            }
            if let Some(hint) = error.kind.hint() {
                write!(f, "\n  hint: {hint}")?;
            }
        }
        Ok(())
    }
}
