//! Says whether a pipeline that stands protects anything, and what to mend where it does not.
//!
//! Each part can be in order while the whole does nothing: a format that logs no path, a set
//! that no rule uses, a rule behind one that lets everybody in, a rule that compares another
//! address than the program blocks, a schedule that stopped. All of these look the same from
//! outside: quiet. So what AWS says about each part is held against what the program is told,
//! one check for each way in which it fails in silence, and each has its remedy.
//!
//! What could not be asked is never counted as good: a check that lacks a permission is
//! unknown, and its remedy is the line of policy that it lacks. What no role of ours could
//! ask, such as how wide a policy is, is said to be unchecked.
//!
//! The facts are gathered by others; nothing here asks AWS, reads a file or looks at a clock.

mod delivery;
mod facts;
mod firewall;
mod operation;
#[cfg(test)]
mod tests;

pub use facts::{
    Action, Answer, Caller, Expected, Facts, Forwarded, Grade, GroupRules, LedgerFacts, Permission,
    Position, Rule, Runs, SetFacts, Stage, Statement, Stream, StreamBucket, WebAcl,
};

pub use operation::MOST_SKEW_MS;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// In order.
    Good,
    /// Nobody here can look, so nothing is said for or against it.
    Unchecked,
    /// It works, and less well than it could.
    Warning,
    /// It could not be asked.
    Unknown,
    /// Protection is not effective.
    Bad,
}

impl Verdict {
    /// One word for people and programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Unchecked => "unchecked",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
            Self::Bad => "bad",
        }
    }
}

/// One check: what was found, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its permanent name, such as `web-acl`.
    pub name: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// What was found, on one line.
    pub finding: String,
    /// What to do; `None` where all is in order.
    pub fix: Option<String>,
}

impl Check {
    fn good(name: &'static str, finding: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Good, finding: finding.into(), fix: None }
    }

    fn warning(name: &'static str, finding: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::of(name, Verdict::Warning, finding, fix)
    }

    fn unchecked(name: &'static str, finding: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::of(name, Verdict::Unchecked, finding, fix)
    }

    fn unknown(name: &'static str, finding: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::of(name, Verdict::Unknown, finding, fix)
    }

    fn bad(name: &'static str, finding: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::of(name, Verdict::Bad, finding, fix)
    }

    fn of(
        name: &'static str,
        verdict: Verdict,
        finding: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { name, verdict, finding: finding.into(), fix: Some(fix.into()) }
    }
}

/// Every check, in the order in which a request meets the parts.
pub fn examine(facts: &Facts) -> Vec<Check> {
    let mut checks = delivery::checks(facts);
    checks.extend(firewall::checks(facts));
    checks.extend(operation::checks(facts));
    checks
}
