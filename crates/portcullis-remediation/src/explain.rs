//! Says in one line what was decided about a source and why.
//!
//! Whoever reads it was woken by it. Each refusal names the rule that refused, each
//! number stands beside the limit it was held against, and what to do instead is said
//! where there is something. Laying the lines out is left to the program.

use std::fmt;

use ipnet::IpNet;
use portcullis_detection::Ground;

use crate::decision::{Conflict, Decision, Outcome, Withheld};
use crate::protect::Protection;

impl Decision {
    /// What was decided and by which rule, such as `not blocked: inside never-block
    /// 198.51.100.0/24 (head office)`. What speaks against the source is said by
    /// [`crate::Grounds`].
    pub fn verdict(&self) -> String {
        match &self.outcome {
            Outcome::Add { set, entry } if *entry == self.source => {
                format!("to be blocked in {set}")
            }
            Outcome::Add { set, entry } => format!("to be blocked in {set} by {entry}"),
            Outcome::AlreadyBlocked { set, entry } if *entry == self.source => {
                format!("already blocked in {set}")
            }
            Outcome::AlreadyBlocked { set, entry } => {
                format!("already blocked in {set} by {entry}")
            }
            Outcome::Withheld(withheld) => format!("not blocked: {}", self.explanation(withheld)),
        }
    }

    /// Why this source is not blocked, without the words "not blocked".
    pub(crate) fn explanation(&self, withheld: &Withheld) -> String {
        match withheld {
            Withheld::Protected(protection) => placed(self.source, protection),
            other => other.to_string(),
        }
    }
}

/// `198.51.100.9/32 is in portcullis-v4, although inside never-block ...`.
impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { set, entry, protection } = self;
        let place = placed(*entry, protection);
        write!(f, "{entry} is in {set}, although {place}; it stays until a person removes it")
    }
}

/// `inside never-block 198.51.100.0/24`, or `around` it.
fn placed(network: IpNet, protection: &Protection) -> String {
    let direction = if protection.entry().contains(&network) { "inside" } else { "around" };
    format!("{direction} {protection}")
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protected(protection) => write!(f, "overlaps {protection}"),
            Self::WrongWidth { allowed } => {
                write!(f, "its network is not a /{allowed}, the only width that is blocked")
            }
            Self::NoSet { family } => {
                write!(f, "there is no {family} set to hold it; add one to the sets")
            }
            Self::IncompleteEvidence => f.write_str(
                "all evidence is in objects that ended early; scan again when they are complete",
            ),
            Self::BelowSeverity { severity, limit } => {
                write!(f, "severity {severity} is below {limit}")
            }
            Self::BelowBlockScore { score, limit } => write!(f, "score {score} is below {limit}"),
            Self::SharedEgress {
                good_requests,
                good_requests_limit,
                principals,
                principals_limit,
            } => write!(
                f,
                "honest users share it ({good_requests} good requests, limit \
                 {good_requests_limit}; {principals} principals, limit {principals_limit}); \
                 act on the API key or principal instead",
            ),
            Self::Watched { ground: Some(Ground::VerifiedCrawler), .. } => f.write_str(
                "watched only: it is a crawler, by its address or the name of its host, and follows \
                 the links that others plant",
            ),
            Self::Watched { ground: Some(Ground::OnlyItsAgent), .. } => f.write_str(
                "watched only: nothing but its agent speaks against it, which says what it is",
            ),
            Self::Watched { flagged_requests: 0, .. } => f.write_str(
                "watched only: none of its requests was flagged, and its rates do not make it an \
                 offender; `portcullis explain` says why",
            ),
            Self::Watched { flagged_requests, good_requests, .. } => write!(
                f,
                "watched only: its {good_requests} good requests outweigh {flagged_requests} \
                 flagged ones",
            ),
            Self::Rejected => f.write_str("rejected in review"),
            Self::Pardoned => f.write_str("pardoned in review"),
            Self::Undecided => {
                f.write_str("nobody has approved it, and only what is approved is blocked")
            }
            Self::Overridden { until } => {
                write!(f, "a person took it out; it may be blocked again from {until}")
            }
            Self::NothingNew { since } => {
                write!(
                    f,
                    "its block ended {since}, and nothing that passed since speaks against it"
                )
            }
            Self::OldEvidence { last: Some(last), limit_hours } => {
                write!(f, "a rule fired last {last}, limit {limit_hours} h ago")
            }
            Self::OldEvidence { last: None, limit_hours } => {
                write!(f, "the log does not say when a rule fired, limit {limit_hours} h ago")
            }
            Self::FutureEvidence { last } => write!(
                f,
                "a rule fired last {last}, which is over 5 min ahead of the clock; set right \
                 whichever clock is wrong",
            ),
            Self::SetFull { limit, rank } => {
                write!(
                    f,
                    "no room: rank {rank} by the harm that a block avoids, and the sets hold \
                     {limit} entries"
                )
            }
        }
    }
}
