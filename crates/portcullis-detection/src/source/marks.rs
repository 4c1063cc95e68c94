//! What signatures and claims say of a source.
//!
//! Most sources are quiet and have none of it, so it stands apart from what is kept of
//! every source. What AWS WAF stopped is counted here and held against nobody.

use std::cmp::Reverse;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;
use portcullis_ingest::{Request, Untrusted};

use crate::correlation::Facts;
use crate::crawler::Claim;
use crate::level::Category;
use crate::outcome::{Outcome, Outcomes};
use crate::rate::is_blocked;
use crate::rule::RuleSet;
use crate::signature::Verdict;
use crate::state::{Reader, StateError, Writer};
use crate::tally::{ALLOCATION_BYTES, Distinct, Tally};

/// When memory is short, the evidence of so many rules keeps what was logged, of those with
/// the most points: enough to see what a source is about.
const RULES_WITH_TEXTS: usize = 3;

/// What signatures and claims say of a source.
#[derive(Clone, Default)]
pub(super) struct Marks {
    pub(super) flagged: u64,
    /// Requests that a crawler sent, from addresses that its operator publishes.
    pub(super) confirmed_claims: u64,
    /// Requests that only say so, but those that AWS WAF stopped.
    pub(super) false_claims: u64,
    pub(super) open: OpenClaims,
    /// Of flagged requests, those that AWS WAF stopped included.
    pub(super) outcomes: Outcomes,
    /// Different paths and queries on which a rule about anything but the agent fired.
    pub(super) probes: Distinct<{ Facts::MOST_PROBES }>,
    /// By index of the rule, sorted.
    pub(super) tallies: Vec<(usize, Tally)>,
    /// Whether texts of its evidence were dropped for want of memory.
    pub(super) is_shortened: bool,
}

/// Requests that say to be a crawler's, where the name of the host decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OpenClaims {
    pub(super) claims: u64,
    /// Of these, those that AWS WAF stopped.
    stopped: u64,
    /// The smallest address that they came from: hosts of one /64 share an owner.
    pub(super) address: Option<IpAddr>,
}

impl OpenClaims {
    fn add(&mut self, client: Option<IpAddr>, stopped: bool) {
        let one = Self { claims: 1, stopped: u64::from(stopped), address: client };
        self.merge(one);
    }

    fn merge(&mut self, other: Self) {
        self.claims += other.claims;
        self.stopped += other.stopped;
        self.address = self.address.into_iter().chain(other.address).min();
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.number(self.claims);
        writer.number(self.stopped);
        match self.address {
            None => writer.bytes(&[]),
            Some(IpAddr::V4(address)) => writer.bytes(&address.octets()),
            Some(IpAddr::V6(address)) => writer.bytes(&address.octets()),
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let (claims, stopped) = (reader.count()?, reader.count()?);
        let octets = reader.bytes()?;
        let four = || <[u8; 4]>::try_from(octets).map(IpAddr::from).ok();
        let sixteen = || <[u8; 16]>::try_from(octets).map(IpAddr::from).ok();
        let address = four().or_else(sixteen);
        if stopped > claims
            || (claims > 0) != address.is_some()
            || address.is_none() != octets.is_empty()
        {
            return Err(StateError::Value("a claim"));
        }
        Ok(Self { claims, stopped, address })
    }
}

impl Marks {
    /// Takes in what signatures and claims say of a request.
    pub(super) fn observe(
        &mut self,
        request: &Request<'_>,
        verdict: &Verdict,
        claim: Claim,
        object: &Arc<str>,
    ) {
        let stopped = is_blocked(request);
        if verdict.flagged() {
            self.outcomes.add(Outcome::of(request));
        }
        self.flagged += u64::from(verdict.flagged() && !stopped);
        self.confirmed_claims += u64::from(claim == Claim::Confirmed);
        self.false_claims += u64::from(claim == Claim::False && !stopped);
        if claim == Claim::Open {
            self.open.add(request.client, stopped);
        }
        // A client that AWS WAF blocks and that keeps trying must not renew its own
        // block: what was stopped is counted and held against nobody.
        if !stopped {
            for hit in verdict.hits() {
                self.tally(hit.rule).observe(request, hit, object);
            }
            if verdict.categories().iter().any(|category| *category != Category::ScannerUa) {
                let [path, query] =
                    [request.path, request.query].map(|text| text.map(Untrusted::bytes));
                self.probes.add(FixedState::with_seed(0x7072_6f62).hash_one((path, query)));
            }
        }
    }

    /// Settles the claims of which the name of the host decides.
    pub(super) fn settle(&mut self, is_crawler: bool) {
        let OpenClaims { claims, stopped, .. } = std::mem::take(&mut self.open);
        if is_crawler {
            self.confirmed_claims += claims;
        } else {
            self.false_claims += claims - stopped;
        }
    }

    /// Whether the signature at that index fired.
    pub(super) fn has_tally(&self, rule: usize) -> bool {
        self.tallies.binary_search_by_key(&rule, |(rule, _)| *rule).is_ok()
    }

    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        let tallies = self.tallies.capacity() * size_of::<(usize, Tally)>();
        let evidence: usize = self.tallies.iter().map(|(_, tally)| tally.bytes()).sum();
        size_of::<Self>() + 2 * ALLOCATION_BYTES + self.probes.bytes() + tallies + evidence
    }

    /// Drops what was logged from the evidence of all but a few rules.
    pub(super) fn shorten(&mut self, rules: &RuleSet) {
        let mut places: Vec<usize> = (0..self.tallies.len()).collect();
        places.sort_by_key(|place| {
            let (rule, _) = self.tallies[*place];
            (Reverse(rules.rules()[rule].points()), rule)
        });
        self.tallies.shrink_to_fit();
        for place in places.into_iter().skip(RULES_WITH_TEXTS) {
            self.is_shortened |= self.tallies[place].1.drop_texts();
        }
    }

    fn tally(&mut self, rule: usize) -> &mut Tally {
        let place = match self.tallies.binary_search_by_key(&rule, |(rule, _)| *rule) {
            Ok(place) => place,
            Err(place) => {
                // On most sources one rule fires, and there may be millions.
                if self.tallies.len() == self.tallies.capacity() {
                    self.tallies.reserve_exact((self.tallies.len() / 2).max(1));
                }
                self.tallies.insert(place, (rule, Tally::default()));
                place
            }
        };
        &mut self.tallies[place].1
    }

    /// Whether crawlers sent at least half of so many requests.
    pub(super) fn is_crawler(&self, requests: u64) -> bool {
        self.confirmed_claims > 0 && self.confirmed_claims * 2 >= requests
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.flagged += other.flagged;
        self.confirmed_claims += other.confirmed_claims;
        self.false_claims += other.false_claims;
        self.open.merge(other.open);
        self.outcomes.merge(other.outcomes);
        self.probes.merge(&other.probes);
        self.is_shortened |= other.is_shortened;
        for (rule, theirs) in other.tallies {
            self.tally(rule).merge(theirs);
        }
    }
}
