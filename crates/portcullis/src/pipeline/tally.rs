//! What reading all objects came to, for whoever has to be told.

use std::collections::BTreeSet;

use portcullis_ingest::RejectReason;

use super::object::Report;
use crate::failure::Failure;
use crate::location::Input;

/// What reading all objects came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// Objects that could not be opened.
    pub unreadable: Vec<Failure>,
    /// Objects that ended early, in input order, with what stopped them.
    pub incomplete: Vec<(String, String)>,
    /// Objects whose format nobody recognised.
    pub unrecognised: Vec<String>,
    /// Records that could not be read, in the order of [`RejectReason::ALL`].
    pub rejects: [u64; RejectReason::ALL.len()],
    /// Requests outside the span that was asked for.
    pub outside_span: u64,
    /// What the operator should know or change, one sentence each.
    pub notes: BTreeSet<String>,
}

impl Tally {
    /// Records that could not be read, whatever the reason.
    pub fn rejected(&self) -> u64 {
        self.rejects.iter().sum()
    }

    pub(super) fn add(&mut self, input: &Input, report: Report) {
        let report = match report {
            Report::Read(report, outside) => {
                self.outside_span += outside;
                report
            }
            Report::Unreadable(error) => {
                self.unreadable.push(Failure::new(format!("read `{}`", input.name), &error));
                return;
            }
        };
        self.notes.extend(report.notes);
        for (sum, count) in self.rejects.iter_mut().zip(report.rejects) {
            *sum += count;
        }
        if let Some(incomplete) = &report.incomplete {
            self.incomplete.push((input.name.clone(), incomplete.to_string()));
        }
        if report.format.is_none() && report.records > 0 {
            self.unrecognised.push(input.name.clone());
        }
    }
}
