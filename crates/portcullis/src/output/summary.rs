//! What one unattended run came to: a line for people, or one for programs.

use std::fmt::Write as _;

use portcullis_ingest::{Timestamp, Untrusted};
use portcullis_setup::Mode;

use crate::exit::Exit;
use crate::output::counted;
use crate::output::json::{Object, Secrets};
use crate::progress::human_count;

/// What one run came to.
#[derive(Debug, Clone)]
pub struct Summary {
    /// When it began.
    pub begun: Timestamp,
    /// When it was over.
    pub finished: Timestamp,
    /// What reading came to; `None` when it came to nothing.
    pub analysis: Option<Analysis>,
    /// What became of each target, in the order of the configuration.
    pub targets: Vec<Dealt>,
    /// What went wrong, one line each, in the order in which it did.
    pub problems: Vec<String>,
    /// How it ended.
    pub exit: Exit,
}

/// What reading and deciding came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Analysis {
    /// Objects that were read by this run.
    pub objects: u64,
    /// Objects that runs before had read.
    pub known: u64,
    /// Objects left for the next run.
    pub left: u64,
    /// Milliseconds for which the longest waiting of the objects had been there.
    pub lag_ms: u64,
    /// Records of all of the lookback, readable or not.
    pub records: u64,
    /// Requests of all of the lookback.
    pub requests: u64,
    /// Records of all of the lookback that could not be read.
    pub rejects: u64,
    /// Records of all of the lookback that had been delivered before, and count once.
    pub duplicates: u64,
    /// Objects that ended early.
    pub incomplete: u64,
    /// Offenders of all of the lookback.
    pub offenders: u64,
}

impl Analysis {
    /// Records that were read, in thousandths of all; all of none.
    pub fn coverage_permille(&self) -> u64 {
        match self.records {
            0 => 1_000,
            records => records.saturating_sub(self.rejects) * 1_000 / records,
        }
    }
}

/// What became of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dealt {
    /// Its name.
    pub name: String,
    /// How far it is trusted.
    pub mode: Mode,
    /// Entries that were over and were taken out.
    pub expired: u64,
    /// Entries that had been over for so long that a run must have missed them.
    pub overdue: u64,
    /// What the plan would block.
    pub planned: u64,
    /// Offenders whom it would not block.
    pub withheld: u64,
    /// Hash of the plan.
    pub plan_sha256: Option<String>,
    /// What was blocked, by network and with the reason.
    pub added: Vec<(String, String)>,
    /// Blocks that stay longer.
    pub renewed: u64,
    /// Entries that the plan took out.
    pub removed: u64,
    /// Entries in the sets that are ours, after all.
    pub blocked: u64,
    /// Why a brake or the kill switch refused the plan.
    pub braked: Option<String>,
}

impl Dealt {
    /// Nothing was done yet.
    pub fn new(name: &str, mode: Mode) -> Self {
        Self {
            name: name.to_owned(),
            mode,
            expired: 0,
            overdue: 0,
            planned: 0,
            withheld: 0,
            plan_sha256: None,
            added: Vec::new(),
            renewed: 0,
            removed: 0,
            blocked: 0,
            braked: None,
        }
    }
}

impl Summary {
    /// A run that begins.
    pub fn begin(now: Timestamp) -> Self {
        Self {
            begun: now,
            finished: now,
            analysis: None,
            targets: Vec::new(),
            problems: Vec::new(),
            exit: Exit::Done,
        }
    }

    /// Whether it did all that it should, but for records that could not be read.
    pub fn is_good(&self) -> bool {
        matches!(self.exit, Exit::Done | Exit::Partial)
    }

    /// One line, with its end.
    pub fn line(&self) -> String {
        let mut line = format!("run {}: ", self.begun);
        match &self.analysis {
            None => line.push_str("nothing was read"),
            Some(analysis) => {
                let _ = write!(
                    line,
                    "{} read ({} before, {} left), {}, {}",
                    counted(analysis.objects, "object", "objects"),
                    human_count(analysis.known),
                    human_count(analysis.left),
                    counted(analysis.requests, "request", "requests"),
                    counted(analysis.offenders, "offender", "offenders"),
                );
            }
        }
        for target in &self.targets {
            let name = inert(&target.name);
            let _ = write!(line, "; {name} ({}): ", target.mode.name());
            if matches!(target.mode, Mode::Observe | Mode::Suggest) {
                let _ = write!(line, "{} to block", target.planned);
            } else {
                let _ =
                    write!(line, "{} blocked, {} prolonged", target.added.len(), target.renewed);
            }
            let _ = write!(line, ", {} ended", target.expired + target.removed);
            if target.braked.is_some() {
                line.push_str(", braked");
            }
        }
        let milliseconds = self.finished.epoch_ms() - self.begun.epoch_ms();
        let _ = write!(line, "; {}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100);
        let how = match self.exit {
            Exit::Done => "done",
            Exit::Partial => "partial",
            Exit::Braked => "braked",
            Exit::Locked => "another run is at work",
            _ => "failed",
        };
        let _ = writeln!(line, "; {how}");
        line
    }

    /// One document on one line.
    pub fn json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut document = Object::open(&mut out, Secrets::Hidden);
        document.number("schema_version", 1_u32);
        document.display("begun", Some(self.begun));
        document.display("finished", Some(self.finished));
        document.number("exit", self.exit.code());
        if let Some(analysis) = &self.analysis {
            document.object("analysis", |object| {
                object.number("objects_read", analysis.objects);
                object.number("objects_read_before", analysis.known);
                object.number("objects_left", analysis.left);
                object.number("lag_ms", analysis.lag_ms);
                object.number("records", analysis.records);
                object.number("requests", analysis.requests);
                object.number("rejects", analysis.rejects);
                object.number("duplicates", analysis.duplicates);
                object.number("incomplete_objects", analysis.incomplete);
                object.number("coverage_permille", analysis.coverage_permille());
                object.number("offenders", analysis.offenders);
            });
        }
        document.objects("targets", &self.targets, |object, target| {
            object.text("name", &target.name);
            object.text("mode", target.mode.name());
            object.number("expired", target.expired);
            object.number("overdue", target.overdue);
            object.number("planned", target.planned);
            object.number("withheld", target.withheld);
            if let Some(hash) = &target.plan_sha256 {
                object.text("plan_sha256", hash);
            }
            object.objects("added", &target.added, |object, (network, why)| {
                object.text("network", network);
                object.text("why", why);
            });
            object.number("prolonged", target.renewed);
            object.number("removed", target.removed);
            object.number("blocked", target.blocked);
            if let Some(why) = &target.braked {
                object.text("braked", why);
            }
        });
        document.texts("problems", self.problems.iter().map(String::as_str));
        document.close();
        out.push(b'\n');
        out
    }
}

fn inert(text: &str) -> String {
    Untrusted::new(text.as_bytes()).escaped().to_string()
}
