//! Records who sent what, so that findings can be judged.
//!
//! The truth names every attacker with its sources and says through which fields
//! it can be seen at all: a format without path and agent hides a slow prober,
//! and a detector that stays silent there is right.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use serde::Serialize;

use super::calendar::{self, Millis};
use super::network;

/// A part in the simulation, played by one or many actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) name: &'static str,
    /// What the part does: for attackers the kind of attack.
    pub(crate) kind: &'static str,
    /// Empty for honest parts. Each inner list is a set of fields that together suffice;
    /// the client's address is needed in any case.
    pub(crate) visible_through: &'static [&'static [&'static str]],
}

impl Role {
    fn is_hostile(&self) -> bool {
        !self.visible_through.is_empty()
    }
}

/// What one part did.
#[derive(Debug, Clone)]
struct Deeds {
    requests: u64,
    first: Millis,
    last: Millis,
    /// Distinct sources: IPv4 addresses, and the /64 of IPv6 addresses.
    sources: BTreeSet<IpAddr>,
}

/// Collects what happens while the simulation runs.
#[derive(Debug, Clone)]
pub(crate) struct Witness {
    roles: Vec<(Role, Deeds)>,
}

impl Witness {
    pub(crate) fn new(roles: &[Role]) -> Self {
        let none = Deeds { requests: 0, first: Millis::MAX, last: 0, sources: BTreeSet::new() };
        Self { roles: roles.iter().map(|&role| (role, none.clone())).collect() }
    }

    /// Notes one request of the role with this index.
    pub(crate) fn note(&mut self, role: usize, time: Millis, client: IpAddr) {
        let deeds = &mut self.roles[role].1;
        deeds.requests += 1;
        deeds.first = deeds.first.min(time);
        deeds.last = deeds.last.max(time);
        deeds.sources.insert(match client {
            IpAddr::V4(_) => client,
            IpAddr::V6(address) => {
                Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into()
            }
        });
    }

    /// The truth about a finished simulation.
    pub(crate) fn testify(self, duplicates: u64, late: u64) -> Truth {
        let mut truth = Truth {
            schema_version: 1,
            totals: Totals { duplicates, late, ..Totals::default() },
            attackers: Vec::new(),
            honest: Vec::new(),
        };
        for (role, deeds) in self.roles {
            if deeds.requests == 0 {
                continue;
            }
            let sources: Vec<String> = deeds.sources.iter().copied().map(network::source).collect();
            let (first, last) = (calendar::rfc3339(deeds.first), calendar::rfc3339(deeds.last));
            truth.totals.requests += deeds.requests;
            if role.is_hostile() {
                truth.totals.hostile_requests += deeds.requests;
                truth.attackers.push(Attacker {
                    name: role.name.to_owned(),
                    kind: role.kind.to_owned(),
                    sources,
                    requests: deeds.requests,
                    first,
                    last,
                    visible_through: role
                        .visible_through
                        .iter()
                        .map(|fields| fields.iter().map(|&field| field.to_owned()).collect())
                        .collect(),
                });
            } else {
                truth.totals.honest_addresses += sources.len() as u64;
                truth.honest.push(Honest {
                    name: role.name.to_owned(),
                    kind: role.kind.to_owned(),
                    addresses: sources.len() as u64,
                    sources: if sources.len() <= LISTED_SOURCES { sources } else { Vec::new() },
                    requests: deeds.requests,
                    first,
                    last,
                });
            }
        }
        truth
    }
}

/// Honest parts with more addresses than this are only counted.
const LISTED_SOURCES: usize = 8;

/// What `truth.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Truth {
    pub(crate) schema_version: u32,
    pub(crate) totals: Totals,
    pub(crate) attackers: Vec<Attacker>,
    pub(crate) honest: Vec<Honest>,
}

/// Figures over the whole simulation. Delivered records = requests + duplicates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    pub(crate) hostile_requests: u64,
    pub(crate) honest_addresses: u64,
    pub(crate) duplicates: u64,
    pub(crate) late: u64,
}

/// A named attacker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Attacker {
    pub(crate) name: String,
    pub(crate) kind: String,
    /// Addresses, or a /64 for an attacker that rotates inside one.
    pub(crate) sources: Vec<String>,
    pub(crate) requests: u64,
    pub(crate) first: String,
    pub(crate) last: String,
    /// Any one of these sets of fields lets the attacker be seen.
    pub(crate) visible_through: Vec<Vec<String>>,
}

/// An honest population; whoever is not an attacker's source is honest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Honest {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) addresses: u64,
    /// Listed only when there are few.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) sources: Vec<String>,
    pub(crate) requests: u64,
    pub(crate) first: String,
    pub(crate) last: String,
}
