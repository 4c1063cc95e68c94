//! What can be decided about an offender.
//!
//! Each offender has exactly one [`Outcome`], and each refusal is a value with the
//! numbers that disagreed, not a sentence: how it is worded is left to `explain`, and
//! which one it is to `plan`.

use std::sync::Arc;

use ipnet::IpNet;
use portcullis_detection::{Ground, Severity};
use portcullis_ingest::Timestamp;

use crate::grounds::Grounds;
use crate::ipset::Family;
use crate::protect::Protection;

/// Why an offender is not blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Withheld {
    /// The source overlaps a network that is never blocked.
    Protected(Protection),
    /// The source is not one IPv4 address or one IPv6 /64, the only blocks made.
    WrongWidth {
        /// The only length, in bits, that is blocked in this family.
        allowed: u8,
    },
    /// No set of the source's family is there to hold it.
    NoSet {
        /// The source's family.
        family: Family,
    },
    /// All that speaks against the source was found in objects that ended early.
    IncompleteEvidence,
    /// The severity is too low.
    BelowSeverity {
        /// The severity that complete objects bear out.
        severity: Severity,
        /// The least that is blocked.
        limit: Severity,
    },
    /// The score is too low.
    BelowBlockScore {
        /// The score that complete objects bear out, in points.
        score: u32,
        /// The least that is blocked, in points.
        limit: u32,
    },
    /// Honest users come from the same source.
    SharedEgress {
        /// Good requests from the source.
        good_requests: u64,
        /// The number of them from which a source counts as shared.
        good_requests_limit: u64,
        /// Different principals behind the source.
        principals: u64,
        /// The number of them from which a source counts as shared.
        principals_limit: u64,
    },
    /// Detection only watches the source.
    Watched {
        /// Requests that were flagged.
        flagged_requests: u64,
        /// Good requests from the source.
        good_requests: u64,
        /// What speaks for it, if anything does: that it is a crawler, that it only says what
        /// it is, or its good history.
        ground: Option<Ground>,
    },
    /// A reviewer decided against a block.
    Rejected,
    /// A reviewer forgave it.
    Pardoned,
    /// Only what a reviewer approved is blocked, and nobody decided about it.
    Undecided,
    /// A person took it out of a set, or pardoned it, and the cool-off has not ended.
    Overridden {
        /// When it ends.
        until: Timestamp,
    },
    /// It was blocked before, and nothing that passed the firewall since speaks against
    /// it. Requests that were blocked say only that the block worked.
    NothingNew {
        /// When the last block ended.
        since: Timestamp,
    },
    /// What speaks against it is too long ago, or nobody knows when it was.
    OldEvidence {
        /// When a rule fired last, if the log says so.
        last: Option<Timestamp>,
        /// The oldest evidence that blocks, in hours.
        limit_hours: i64,
    },
    /// What would speak against it is stamped more than 5 minutes ahead of the clock, and
    /// the rest is not enough.
    FutureEvidence {
        /// The latest time.
        last: Timestamp,
    },
    /// Better grounds took all the room.
    SetFull {
        /// Entries that the sets of this family hold together.
        limit: usize,
        /// Place among this family's offenders to be blocked, by the harm that blocking
        /// them is expected to avoid; counted from 1.
        rank: usize,
    },
}

impl Withheld {
    /// The reason's permanent name in outputs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Protected(Protection::Reserved { .. }) => "reserved",
            Self::Protected(Protection::NeverBlock { .. }) => "never-block",
            Self::Protected(Protection::TrustedProxy { .. }) => "trusted-proxy",
            Self::Protected(Protection::Asset { .. }) => "asset",
            Self::Protected(Protection::Aws { .. }) => "aws-range",
            Self::WrongWidth { .. } => "wrong-width",
            Self::NoSet { .. } => "no-set",
            Self::IncompleteEvidence => "incomplete-evidence",
            Self::BelowSeverity { .. } => "below-severity",
            Self::BelowBlockScore { .. } => "below-block-score",
            Self::SharedEgress { .. } => "shared-egress",
            Self::Watched { .. } => "watched",
            Self::Rejected => "rejected",
            Self::Pardoned => "pardoned",
            Self::Undecided => "undecided",
            Self::Overridden { .. } => "overridden",
            Self::NothingNew { .. } => "nothing-new",
            Self::OldEvidence { .. } => "old-evidence",
            Self::FutureEvidence { .. } => "future-evidence",
            Self::SetFull { .. } => "set-full",
        }
    }
}

/// What a plan does about one offender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The source is to be kept out by an entry that this set gets.
    Add {
        /// The set's name.
        set: Arc<str>,
        /// The entry: the source, or a network around it and other offenders.
        entry: IpNet,
    },
    /// A set already holds the source.
    AlreadyBlocked {
        /// The set's name.
        set: Arc<str>,
        /// The entry: the source or a network around it.
        entry: IpNet,
    },
    /// The source is not blocked.
    Withheld(Withheld),
}

/// One offender, what speaks against it, and what is done about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The source, in canonical form.
    pub source: IpNet,
    /// What speaks against it.
    pub grounds: Grounds,
    /// What is done about it.
    pub outcome: Outcome,
    /// Whether detection itself would leave the source alone: it is no offender.
    pub is_watched: bool,
}

/// An entry that somebody else put into a set and that overlaps a protected network.
/// It is shown and left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The set's name.
    pub set: Arc<str>,
    /// The entry in the set.
    pub entry: IpNet,
    /// The protected network that it overlaps.
    pub protection: Protection,
}
