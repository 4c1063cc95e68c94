//! Where in a file an entry stood that could not be used.

/// One unusable entry and its place: `FILE:LINE:COLUMN: what is wrong and its repair`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {kind}")]
pub struct InputError<Kind: std::error::Error + 'static> {
    /// The file's name as the caller gave it.
    pub file: String,
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// What is wrong there.
    #[source]
    pub kind: Kind,
}

/// Turns byte offsets of one text into lines and columns, in rising order of offset.
pub(crate) struct Places<'text> {
    text: &'text str,
    /// Where the line being looked at begins, in bytes.
    line_start: usize,
    line: u32,
}

impl<'text> Places<'text> {
    pub(crate) fn new(text: &'text str) -> Self {
        Self { text, line_start: 0, line: 1 }
    }

    /// Line and column of a byte offset that is not before the last one asked for.
    pub(crate) fn of(&mut self, offset: usize) -> (u32, u32) {
        let passed = &self.text[self.line_start..offset];
        if let Some(last_break) = passed.rfind('\n') {
            self.line += passed.bytes().filter(|byte| *byte == b'\n').count() as u32;
            self.line_start += last_break + 1;
        }
        let column = self.text[self.line_start..offset].chars().count() as u32 + 1;
        (self.line, column)
    }
}

/// What `serde_json` says without the place, which stands elsewhere.
pub(crate) fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&place).unwrap_or(&message).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        let text = "ab\nnaïve x\n\ny";
        let mut places = Places::new(text);
        let found: Vec<_> = ["b", "x", "y"]
            .iter()
            .map(|needle| places.of(text.find(needle).expect("it is in the text")))
            .collect();
        assert_eq!(found, [(1, 2), (2, 7), (4, 1)]);
    }
}
