//! Offenders as a table for spreadsheets.
//!
//! Spreadsheets run what begins like a formula, and a cell of a log may. So every cell that
//! begins so is given a leading apostrophe, which they take for "this is text". Quoting is
//! RFC 4180 and left to the csv crate.
//!
//! Source: OWASP, "CSV Injection"; ASVS 5, 1.2.10.

use std::borrow::Cow;

use portcullis_detection::{Findings, Offender, Outcome, Standing};

use crate::words::{shown, source};

/// Characters of a logged text in a cell.
const TEXT: usize = 200;

const HEADINGS: [&str; 16] = [
    "source",
    "standing",
    "score",
    "severity",
    "confidence",
    "categories",
    "rules",
    "requests",
    "flagged_requests",
    "flagged_answered",
    "good_requests",
    "principals",
    "first",
    "last",
    "example_field",
    "example",
];

/// Offenders and watched sources, one a row under a row of headings; times are RFC 3339 in
/// UTC, lists are separated by blanks, the example is what the weightiest signature fired
/// on. Secrets are hidden, always: spreadsheets are sent around.
pub fn csv(findings: &Findings) -> Vec<u8> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let memory = "writing to memory does not fail";
    table.write_record(HEADINGS).expect(memory);
    let lists = [(&findings.offenders, Standing::Offender), (&findings.watched, Standing::Watched)];
    for (offenders, standing) in lists {
        for offender in offenders {
            let row = row(offender, standing);
            table
                .write_record(row.iter().map(|cell| guarded(cell).as_bytes().to_vec()))
                .expect(memory);
        }
    }
    table.into_inner().expect(memory)
}

fn row(offender: &Offender, standing: Standing) -> [String; HEADINGS.len()] {
    let example = offender.detections.iter().find_map(|detection| {
        detection.evidence.iter().find_map(|evidence| Some((evidence.field?, &evidence.text)))
    });
    let time = |time: Option<portcullis_ingest::Timestamp>| {
        time.map_or(String::new(), |time| time.to_string())
    };
    let categories: Vec<&str> = offender.categories.iter().map(|of| of.name()).collect();
    let rules: Vec<&str> = offender.detections.iter().map(|detection| &*detection.rule).collect();
    [
        source(offender.source),
        standing.name().to_owned(),
        offender.score.to_string(),
        offender.severity.name().to_owned(),
        offender.confidence.name().to_owned(),
        categories.join(" "),
        rules.join(" "),
        offender.requests.to_string(),
        offender.flagged_requests.to_string(),
        offender.outcomes.of(Outcome::Answered).to_string(),
        offender.good_requests.to_string(),
        offender.principals.to_string(),
        time(offender.first),
        time(offender.last),
        example.map_or(String::new(), |(field, _)| field.to_owned()),
        example.map_or(String::new(), |(_, text)| shown(text.as_untrusted(), TEXT)),
    ]
}

/// A cell that no spreadsheet takes for a formula. Full-width signs count too: some fold
/// them. One apostrophe taken away gives the text back.
fn guarded(cell: &str) -> Cow<'_, str> {
    let text = cell.trim_start();
    let acts = text.starts_with([
        '=', '+', '-', '@', '\'', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ]);
    if acts || text.len() < cell.len() {
        Cow::Owned(format!("'{cell}"))
    } else {
        Cow::Borrowed(cell)
    }
}

#[cfg(test)]
mod tests {
    use portcullis_ingest::is_unsafe_to_print;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::findings;

    fn cells(table: &[u8]) -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(table);
        let rows = reader.records().map(|row| row.expect("valid CSV"));
        rows.map(|row| row.iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn a_formula_in_a_log_is_text_in_a_cell() {
        for formula in
            ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", " =1", "\u{ff1d}1", "\r=1"]
        {
            let rows = cells(&csv(&findings(formula.as_bytes())));
            assert_eq!(rows.len(), 2, "{formula:?}");
            let example = &rows[1][15];
            let acts = example.trim_start().starts_with(['=', '+', '-', '@', '\u{ff1d}']);
            assert!(!acts && example.contains("passwd"), "{example}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_cell_acts_and_the_guard_comes_off(cell in "[=+\\-@'\t\r\n ,\"a＝]{0,8}") {
            let guarded = guarded(&cell);
            let acts = guarded.trim_start().starts_with(['=', '+', '-', '@', '\u{ff1d}']);
            prop_assert!(!acts);
            let stripped = guarded.strip_prefix('\'').unwrap_or(&guarded);
            prop_assert_eq!(stripped, cell.as_str());
        }

        #[test]
        fn whatever_was_logged_the_table_is_inert(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let table = csv(&findings(&text));
            let table = String::from_utf8(table).expect("cells are text");
            prop_assert!(table.chars().all(|c| c == '\n' || !is_unsafe_to_print(c)), "{table:?}");
            for row in cells(table.as_bytes()) {
                prop_assert_eq!(row.len(), HEADINGS.len());
                for cell in row {
                    prop_assert!(!cell.trim_start().starts_with(['=', '+', '-', '@']), "{cell:?}");
                }
            }
        }
    }
}
