//! Errors as people see them: what failed, where, and what to do.

use std::error::Error;
use std::fmt::Write as _;

use crate::exit::Exit;

/// What one command could not do.
///
/// `action` completes "failed to …"; `details` are the chain below it, outermost first,
/// and may hold several lines each (a caret under a column, for one).
#[derive(Debug)]
pub struct Failure {
    action: String,
    details: Vec<String>,
    hint: Option<String>,
    exit: Exit,
    quiet: bool,
}

impl Failure {
    /// A failure to do `action`, with the error that stopped it and that error's causes.
    pub fn new(action: impl Into<String>, error: &dyn Error) -> Self {
        let mut details: Vec<String> = Vec::new();
        let mut next = Some(error);
        while let Some(cause) = next {
            let text = cause.to_string();
            // Many errors repeat their source in their own message; saying it twice
            // makes a reader look for the difference.
            if !details.iter().any(|said| said.contains(&text)) {
                details.push(text);
            }
            next = cause.source();
        }
        Self { action: action.into(), details, hint: None, exit: Exit::Failed, quiet: false }
    }

    /// A failure to do `action`, explained by a sentence fragment.
    pub fn because(action: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            details: vec![detail.into()],
            hint: None,
            exit: Exit::Failed,
            quiet: false,
        }
    }

    /// A failure whose message is whole already: `failed to …`, details and all.
    pub fn verbatim(message: impl Into<String>) -> Self {
        let message = message.into();
        let action = message.strip_prefix("failed to ").unwrap_or(&message).to_owned();
        Self { action, details: Vec::new(), hint: None, exit: Exit::Failed, quiet: false }
    }

    /// A failure to write the results. A reader that closed the pipe (`| head`) has
    /// what it wanted: that ends quietly.
    pub fn writing(error: &std::io::Error) -> Self {
        let mut failure = Self::new("write the output", error);
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            failure.quiet = true;
            failure.exit = Exit::Done;
        }
        failure
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Ends the program with another code than 1.
    #[must_use]
    pub fn exit_with(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The code the program ends with.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether nothing is to be said.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// The message on one line, without its hint.
    pub fn line(&self) -> String {
        let details = self.details.iter().flat_map(|detail| detail.lines());
        let parts = std::iter::once(format!("failed to {}", self.action));
        parts.chain(details.map(|line| line.trim().to_owned())).collect::<Vec<_>>().join(": ")
    }

    /// The message without its first word: `failed to …`, indented details, hint.
    pub fn message(&self) -> String {
        let mut text = format!("failed to {}", self.action);
        for detail in &self.details {
            for line in detail.trim_end().lines() {
                let _ = write!(text, "\n  {line}");
            }
        }
        if let Some(hint) = &self.hint {
            let _ = write!(text, "\nhint: {hint}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the list")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn the_chain_is_printed_once_and_indented() {
        let error = Outer(std::io::Error::other("disk on fire\n  | ^^^^"));
        let failure = Failure::new("load rules", &error).hint("put it out");
        assert_eq!(
            failure.message(),
            "failed to load rules\n  cannot read the list\n  disk on fire\n    | ^^^^\nhint: put it out"
        );
    }

    #[test]
    fn a_closed_pipe_is_not_an_error() {
        let failure = Failure::writing(&std::io::ErrorKind::BrokenPipe.into());
        assert!(failure.is_quiet());
        assert_eq!(failure.exit(), Exit::Done);
    }
}
