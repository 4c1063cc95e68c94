//! What other than one client a rate rule fired on.
//!
//! An API key, a path or a network is shared by many clients, so a [`Suspect`] never leads
//! to a block by itself. It says where to look, who did most of it, and what a person may
//! do: disable the key, throttle the principal, or look at the members of the network.

use ipnet::IpNet;
use portcullis_ingest::{Timestamp, UntrustedBuf};

use crate::level::{Confidence, Severity};
use crate::offender::Detection;
use crate::rate::Key;

/// A key's value on which rate rules fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// By what was counted; never [`Key::Client`].
    pub key: Key,
    /// The value as logged, cut to 256 bytes; of networks in CIDR notation, of status
    /// classes as `4xx`.
    pub value: UntrustedBuf,
    /// Sum over the detections of [`crate::source_points`].
    pub score: u32,
    /// The highest of the detections.
    pub severity: Severity,
    /// The highest of the detections.
    pub confidence: Confidence,
    /// The rules that fired, by the score they add from the highest, then by id.
    pub detections: Vec<Detection>,
    /// Requests that the rules counted, in any window; of several rules the highest.
    pub requests: u64,
    /// Different clients among them, where known; exact under 1,000, which means 1,000 or
    /// more (of one rule).
    pub clients: u64,
    /// Up to ten clients that sent most of them, from the highest. Of 1,000 or more clients,
    /// they are the highest of a sample of 1,000 that does not depend on order.
    pub contributors: Vec<Contributor>,
    /// Time of the first request in a burst, to the second.
    pub first: Option<Timestamp>,
    /// Time of the last.
    pub last: Option<Timestamp>,
}

/// A client's part in a suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contributor {
    /// An IPv4 address, or the /64 of IPv6 addresses.
    pub source: IpNet,
    /// Counted requests.
    pub requests: u64,
}
