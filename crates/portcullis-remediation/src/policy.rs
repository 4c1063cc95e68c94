//! What it takes for an offender to be blocked.

use portcullis_detection::{BLOCK_LEVEL, Severity};

use crate::ipset::MAX_ADDRESSES;
use crate::merge::MergeLimits;
use crate::term::Terms;

/// The limits that a plan applies. Every value is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockPolicy {
    /// Least score of an offender, in points.
    pub min_score: u32,
    /// Least severity of an offender.
    pub min_severity: Severity,
    /// Good requests from which a source counts as shared by honest users.
    pub shared_good_requests: u64,
    /// Different principals from which a source counts as shared by honest users.
    pub shared_principals: u64,
    /// Most entries in one set; above [`MAX_ADDRESSES`] it counts as that.
    pub max_addresses: usize,
    /// How far blocks may be widened where there is not room for all offenders.
    pub merge: MergeLimits,
    /// How long blocks last.
    pub terms: Terms,
}

impl Default for BlockPolicy {
    /// The block level of detection, medium severity, 500 good requests or 10
    /// principals, all the room that AWS gives, the narrow limits of
    /// [`MergeLimits`], and the usual [`Terms`]. The two limits for shared sources are guesses: an office or a
    /// carrier's NAT passes them within minutes.
    fn default() -> Self {
        Self {
            min_score: BLOCK_LEVEL,
            min_severity: Severity::Medium,
            shared_good_requests: 500,
            shared_principals: 10,
            max_addresses: MAX_ADDRESSES,
            merge: MergeLimits::default(),
            terms: Terms::default(),
        }
    }
}
