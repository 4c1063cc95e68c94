//! What is kept of one source.
//!
//! Everything kept is a sum, a minimum, a maximum or a set, so that it comes out the same
//! in whatever order requests are seen and scans are merged. What speaks against a source is
//! in `marks`, what it all comes to in `judged`.

mod judged;
mod marks;

use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use foldhash::fast::FixedState;
use ipnet::IpNet;
use portcullis_ingest::{Request, source_network};

pub(crate) use judged::Grounds;
use marks::{Marks, OpenClaims};

use crate::crawler::Claim;
use crate::journal::Noted;
use crate::memory::Remembered;
use crate::outcome::Outcomes;
use crate::rate::{Counts, Key, RatePlan, Room, is_blocked};
use crate::rule::{Rule, RuleKind, RuleSet};
use crate::signature::Verdict;
use crate::standing::LEAST_OBSERVED_RULES;
use crate::state::{Reader, StateError, Writer};
use crate::tally::{Distinct, Principals, Span, Tally};
use crate::traffic::SourceTraffic;

/// Up to so many requests and principals a source is small. Guesses: it has no history to
/// speak of, and is not shared by many.
const FEW_REQUESTS: u64 = 64;
const FEW_PRINCIPALS: usize = 3;

/// A source as the map keys it: an IPv4 address, or the upper half of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SourceKey {
    V4(u32),
    V6(u64),
}

impl SourceKey {
    pub(crate) fn of(client: IpAddr) -> Self {
        match client {
            IpAddr::V4(address) => Self::V4(address.into()),
            IpAddr::V6(address) => Self::V6((u128::from(address) >> 64) as u64),
        }
    }

    pub(crate) fn write(self, writer: &mut Writer) {
        match self {
            Self::V4(bits) => {
                writer.number(4);
                writer.number(bits.into());
            }
            Self::V6(bits) => {
                writer.number(6);
                writer.hash(bits);
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let wrong = StateError::Value("an address");
        match reader.number()? {
            4 => u32::try_from(reader.number()?).map(Self::V4).map_err(|_| wrong),
            6 => Ok(Self::V6(reader.hash()?)),
            _ => Err(wrong),
        }
    }

    pub(crate) fn network(self) -> IpNet {
        source_network(match self {
            Self::V4(bits) => IpAddr::V4(Ipv4Addr::from(bits)),
            Self::V6(bits) => IpAddr::V6(Ipv6Addr::from(u128::from(bits) << 64)),
        })
    }
}

/// Everything kept of one source.
///
/// There may be millions, most of them quiet: what only the others need stands apart.
#[derive(Clone, Default)]
pub(crate) struct Source {
    requests: u64,
    good: u64,
    span: Span,
    pub(crate) counts: Counts,
    principals: Principals,
    /// Absent as long as there is nothing in it.
    marks: Option<Box<Marks>>,
}

/// Hash of the name of who sent a request.
pub(crate) fn principal(request: &Request<'_>) -> Option<u64> {
    let name = request.principal.or(request.api_key_id)?;
    Some(FixedState::with_seed(0x7072_696e).hash_one(name.bytes()))
}

/// Whether a request was answered well, and nothing speaks against it.
pub(crate) fn is_good(request: &Request<'_>, verdict: &Verdict) -> bool {
    let answered_well = request.status.is_some_and(|code| (200..400).contains(&code));
    answered_well && !verdict.flagged() && !is_blocked(request)
}

impl Source {
    /// Takes in a request, but for its counts and for what signatures say of it; gives the
    /// bytes by which the source grew.
    pub(crate) fn observe(&mut self, noted: &Noted) -> usize {
        self.requests += 1;
        self.good += u64::from(noted.is_good);
        self.span.add(noted.time);
        let before = self.principals.bytes();
        if let Some(principal) = noted.principal {
            self.principals.add(principal);
        }
        self.principals.bytes() - before
    }

    /// Takes in what signatures and claims say of a request, if they say anything; gives the
    /// bytes by which the source grew.
    pub(crate) fn mark(
        &mut self,
        request: &Request<'_>,
        verdict: &Verdict,
        claim: Claim,
        object: &Arc<str>,
    ) -> usize {
        let before = self.marks.as_ref().map_or(0, |marks| marks.bytes());
        let marks = self.marks.get_or_insert_default();
        marks.observe(request, verdict, claim, object);
        // A shorter piece of evidence may have taken the place of a longer one.
        marks.bytes().saturating_sub(before)
    }

    /// Bytes that the source takes.
    pub(crate) fn bytes(&self) -> usize {
        let marks = self.marks.as_ref().map_or(0, |marks| marks.bytes());
        size_of::<Self>() + marks + self.principals.bytes() + self.counts.bytes()
    }

    /// Drops what was logged from the evidence of all but a few rules.
    pub(crate) fn shorten_evidence(&mut self, rules: &RuleSet) {
        if let Some(marks) = &mut self.marks {
            marks.shorten(rules);
        }
    }

    /// Whether that was done.
    pub(crate) fn has_shortened_evidence(&self) -> bool {
        self.marks.as_deref().is_some_and(|marks| marks.is_shortened)
    }

    /// Whether nothing but calm counts was ever held against it, so that it may be
    /// forgotten as a whole.
    pub(crate) fn is_clean(&self) -> bool {
        let clean = |marks: &Marks| marks.tallies.is_empty() && marks.outcomes.requests() == 0;
        self.marks.as_deref().is_none_or(clean)
    }

    /// Whether it is quiet without a closer look: nobody said anything of it, and it has too
    /// few requests for any burst.
    pub(crate) fn is_plainly_quiet(&self, rules: &RuleSet) -> bool {
        self.marks.is_none() && rules.rates().is_calm(&self.counts)
    }

    /// Whether forgetting it would lose little of what speaks for it.
    pub(crate) fn is_small(&self) -> bool {
        self.requests <= FEW_REQUESTS && self.principals.hashes().len() <= FEW_PRINCIPALS
    }

    /// Its flagged requests.
    pub(crate) fn flagged(&self) -> u64 {
        self.marks.as_deref().map_or(0, |marks| marks.flagged)
    }

    /// All its requests.
    pub(crate) const fn requests(&self) -> u64 {
        self.requests
    }

    /// Requests that were answered well and that nothing speaks against.
    pub(crate) const fn good_requests(&self) -> u64 {
        self.good
    }

    /// What is remembered of it when it is forgotten.
    pub(crate) const fn remembered(&self) -> Remembered {
        Remembered { counted: 0, requests: self.requests, good: self.good }
    }

    /// Where its claims came from to be a crawler, of which the name of the host decides.
    pub(crate) fn open_claim(&self) -> Option<IpAddr> {
        self.marks.as_deref()?.open.address
    }

    /// Settles these claims.
    pub(crate) fn settle(&mut self, is_crawler: bool) {
        if let Some(marks) = &mut self.marks {
            marks.settle(is_crawler);
        }
    }

    /// Whether it is a crawler, as far as is settled.
    pub(crate) fn is_crawler(&self) -> bool {
        self.marks.as_deref().is_some_and(|marks| marks.is_crawler(self.requests))
    }

    /// What it did well, for whoever weighs what a block would cost.
    pub(crate) fn traffic(&self) -> SourceTraffic {
        let principals = self.principals.hashes().iter().copied().collect();
        SourceTraffic { good_requests: self.good, principals }
    }

    /// Whether no signature speaks against it: nothing was flagged, and too few rules were
    /// observed to weigh together.
    pub(crate) fn seems_honest(&self) -> bool {
        let honest =
            |marks: &Marks| marks.flagged == 0 && marks.tallies.len() < LEAST_OBSERVED_RULES;
        self.marks.as_deref().is_none_or(honest)
    }

    /// Adds what another scan gathered of it; see [`Counts::merge`].
    pub(crate) fn merge(&mut self, other: Self, renumbered: &[u32], room: Room<'_>) -> u64 {
        self.requests += other.requests;
        self.good += other.good;
        self.span.merge(other.span);
        self.principals.merge(&other.principals);
        match (&mut self.marks, other.marks) {
            (Some(mine), Some(theirs)) => mine.merge(*theirs),
            (mine @ None, theirs) => *mine = theirs,
            (Some(_), None) => {}
        }
        self.counts.merge(other.counts, renumbered, room)
    }

    /// Writes a source.
    pub(crate) fn write(&self, writer: &mut Writer, plan: &RatePlan, objects: &[Arc<str>]) {
        let none = Marks::default();
        let marks = self.marks.as_deref().unwrap_or(&none);
        let claims = [marks.confirmed_claims, marks.false_claims];
        for number in [self.requests, marks.flagged, self.good].into_iter().chain(claims) {
            writer.number(number);
        }
        marks.open.write(writer);
        marks.outcomes.write(writer);
        marks.probes.write(writer);
        self.span.write(writer);
        self.principals.write(writer);
        writer.length(marks.tallies.len());
        for (rule, tally) in &marks.tallies {
            writer.length(*rule);
            tally.write(writer);
        }
        writer.number(u64::from(marks.is_shortened));
        self.counts.write(writer, plan, objects);
    }

    pub(crate) fn read(reader: &mut Reader<'_>, rules: &RuleSet) -> Result<Self, StateError> {
        let (requests, flagged, good) = (reader.count()?, reader.count()?, reader.count()?);
        let mut marks = Marks {
            flagged,
            confirmed_claims: reader.count()?,
            false_claims: reader.count()?,
            open: OpenClaims::read(reader)?,
            outcomes: Outcomes::read(reader)?,
            probes: Distinct::read(reader)?,
            tallies: Vec::new(),
            is_shortened: false,
        };
        let (span, principals) = (Span::read(reader)?, Distinct::read(reader)?);
        for _ in 0..reader.length()? {
            let rule = usize::try_from(reader.number()?).unwrap_or(usize::MAX);
            let is_signature = |rule: &Rule| matches!(rule.kind(), RuleKind::Signature(_));
            let follows = marks.tallies.last().is_none_or(|(before, _)| *before < rule);
            if !follows || !rules.rules().get(rule).is_some_and(is_signature) {
                return Err(StateError::Value("a rule"));
            }
            marks.tallies.push((rule, Tally::read(reader)?));
        }
        let claims = marks.confirmed_claims + marks.false_claims + marks.open.claims;
        marks.is_shortened = reader.number()? != 0;
        if (flagged + good).max(claims) > requests {
            return Err(StateError::Value("a number of requests"));
        }
        let says_nothing = marks.tallies.is_empty()
            && marks.probes.hashes().is_empty()
            && !marks.is_shortened
            && marks.outcomes.requests() + flagged + claims == 0;
        let marks = (!says_nothing).then(|| Box::new(marks));
        let counts = Counts::read(reader, Key::Client, rules)?;
        Ok(Self { requests, good, span, counts, principals, marks })
    }

    /// Whether the signature at that index fired.
    pub(crate) fn has_tally(&self, rule: usize) -> bool {
        self.marks.as_deref().is_some_and(|marks| marks.has_tally(rule))
    }
}
