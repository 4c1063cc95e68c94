//! Text that was given, as it is shown or typed again.

use portcullis_ingest::Untrusted;

use crate::args::Logs;

/// Text that nobody vouches for, made harmless to print.
pub(super) fn inert(text: &str) -> String {
    Untrusted::new(text.as_bytes()).escaped().to_string()
}

/// Locations and format as a shell would have to be given them again.
pub(super) fn as_typed(logs: &Logs) -> String {
    let mut words: Vec<String> = logs.locations.iter().map(|name| shell_word(name)).collect();
    words.extend(
        logs.reading.format.as_deref().map(|format| format!("--format {}", shell_word(format))),
    );
    words.join(" ")
}

/// An argument as a shell would have to be given it again.
pub(super) fn shell_word(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{}'", inert(argument).replace('\'', r"'\''"))
    }
}
