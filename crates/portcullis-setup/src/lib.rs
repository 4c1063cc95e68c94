//! Decides what a whole pipeline consists of, and writes it down for the tools that
//! build it.
//!
//! Between an API and a blocked attacker stand a delivery stream, three buckets, IP sets,
//! rules in the right order, roles and a schedule, and a mistake in any of them shows only
//! as silence: a stream whose name API Gateway does not accept, a format that logs no path,
//! a role that may change more than it should. So the parts are described once, from few
//! answers, and are written out as Terraform, as CloudFormation and for hosts that run the
//! program themselves.
//!
//! Nothing here touches AWS, a file or a clock: [`Setup::new`] checks the answers, and
//! [`files`] gives names and texts. Whether they are written, and where, is left to the
//! program.

#![forbid(unsafe_code)]

mod answers;
mod cloudformation;
mod configuration;
mod container;
pub mod doctor;
mod front;
mod function;
mod hcl;
mod host;
mod names;
mod policy;
mod queue;
mod rules;
mod terraform;
mod text;

pub use answers::{AnswerError, Answers, Mode, Runner, RunnerAnswers, Setup};
pub use front::Front;
pub use names::partition;

/// One file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where, below the directory that was chosen; parts are separated by `/`.
    pub path: String,
    /// All of it; UTF-8, ends with a line feed.
    pub text: String,
}

impl File {
    fn new(path: &str, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), text: text.into() }
    }
}

/// Everything that is written for a setup, sorted by path.
pub fn files(setup: &Setup) -> Vec<File> {
    let mut files = configuration::files(setup);
    files.extend(terraform::files(setup));
    files.extend(cloudformation::files(setup));
    files.extend(container::files(setup));
    files.extend(host::files(setup));
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

/// The access-log format that the stage is given: the preset `recommended` of ingest,
/// which ends with the line feed that separates records.
fn log_format() -> &'static str {
    portcullis_ingest::PRESETS
        .iter()
        .find(|preset| preset.name == "recommended")
        .and_then(|preset| preset.template)
        .expect("ingest has a template named `recommended`: a test of ingest compiles it")
}
