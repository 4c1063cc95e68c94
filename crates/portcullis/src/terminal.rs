//! Where people read: colour or not, how wide, and what is said on stderr.
//!
//! Stdout is data and belongs to the commands; everything said here goes to stderr.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

use crate::args::{Global, LogShape, When};
use crate::failure::Failure;

/// Bold, for headings.
pub const HEADING: Style = Style::new().bold();
/// For what is less important.
pub const FAINT: Style = Style::new().dimmed();
/// For what is bad.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// For what deserves attention.
pub const ATTENTION: Style = AnsiColor::Yellow.on_default();
/// For what is good.
pub const GOOD: Style = AnsiColor::Green.on_default();

/// What stdout and stderr are.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Whether stdout takes colours.
    pub colour: bool,
    /// Columns of stdout; `None` when it is no terminal, and nothing is cut or wrapped.
    pub width: Option<usize>,
    stderr_colour: bool,
    speech: Speech,
    log: LogShape,
}

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Speech {
    /// Errors.
    Quiet,
    /// And what bears on the result.
    Usual,
    /// And what was passed over.
    Verbose,
}

impl Terminal {
    /// Looks at the command line, the environment and the streams.
    pub fn new(global: &Global) -> Self {
        match global.color {
            When::Auto => ColorChoice::Auto,
            When::Always => ColorChoice::Always,
            When::Never => ColorChoice::Never,
        }
        .write_global();
        if global.log == LogShape::Json {
            // Another one that is there already would be told the same.
            let _ = tracing_subscriber::fmt()
                .json()
                .with_writer(io::stderr)
                .with_target(false)
                .with_max_level(tracing::Level::INFO)
                .try_init();
        }
        let takes_colour = |choice| choice != ColorChoice::Never;
        Self {
            colour: takes_colour(AutoStream::choice(&io::stdout())),
            log: global.log,
            stderr_colour: takes_colour(AutoStream::choice(&io::stderr())),
            width: io::stdout().is_terminal().then(columns),
            speech: match (global.quiet, global.verbose) {
                (true, _) => Speech::Quiet,
                (false, false) => Speech::Usual,
                (false, true) => Speech::Verbose,
            },
        }
    }

    /// Reports a failure. Errors are said even when quiet.
    pub fn error(&self, failure: &Failure) {
        if !failure.is_quiet() {
            self.say("error", BAD, &failure.message());
        }
    }

    /// Says what may make the result other than expected.
    pub fn warn(&self, message: impl fmt::Display) {
        if self.speech >= Speech::Usual {
            self.say("warning", ATTENTION, &message.to_string());
        }
    }

    /// Says what is worth knowing.
    pub fn note(&self, message: impl fmt::Display) {
        if self.speech >= Speech::Usual {
            self.say("note", FAINT, &message.to_string());
        }
    }

    /// Says what only somebody who asked wants to know.
    pub fn detail(&self, message: impl fmt::Display) {
        if self.speech >= Speech::Verbose {
            self.say("note", FAINT, &message.to_string());
        }
    }

    /// Suggests the next command.
    pub fn next(&self, message: impl fmt::Display) {
        if self.speech >= Speech::Usual {
            self.say("next", GOOD, &message.to_string());
        }
    }

    fn say(&self, word: &str, style: Style, message: &str) {
        if self.log == LogShape::Json {
            match word {
                "error" => tracing::error!("{message}"),
                "warning" => tracing::warn!("{message}"),
                _ => tracing::info!("{message}"),
            }
            return;
        }
        let word = Painted { text: word, style, colour: self.stderr_colour };
        // Nobody can be told that stderr is gone.
        let _ = writeln!(io::stderr(), "{word}: {message}");
    }
}

/// Columns of the terminal; one that does not tell is taken for a classic one.
fn columns() -> usize {
    terminal_size::terminal_size_of(io::stdout()).map_or(80, |(width, _)| usize::from(width.0))
}

/// Text in a style, or plain where there are no colours.
pub struct Painted<'t> {
    /// The text.
    pub text: &'t str,
    /// Its style.
    pub style: Style,
    /// Whether the stream takes colours.
    pub colour: bool,
}

impl fmt::Display for Painted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, style, colour } = self;
        if *colour && *style != Style::new() {
            write!(f, "{style}{text}{style:#}")
        } else {
            f.write_str(text)
        }
    }
}
