//! What is counted by something other than the client: an API key, a path, a network.
//!
//! A group is many clients, most of them honest, so nothing here ever blocks: a group on
//! which a rule fires is a [`Suspect`], shown with the clients that did most of it.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::{Counts, Entry, Growth, Key, RatePlan, Room};
use crate::rule::RuleSet;
use crate::source::{Grounds, SourceKey};
use crate::state::{Reader, StateError, Writer};
use crate::suspect::{Contributor, Suspect};

/// Clients told apart in each group and series. Of more, those are kept whose hashes are
/// the smallest: the same ones in whatever order they come.
pub(crate) const MOST_CLIENTS: usize = 1_000;

/// Bytes of a client in a tree, its share of the nodes included. A guess.
const CLIENT_BYTES: usize = 48;

/// Clients named of a suspect.
const MOST_CONTRIBUTORS: usize = 10;

/// By what a group is counted, and its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GroupKey {
    pub(crate) by: Key,
    pub(crate) value: Box<[u8]>,
}

/// Everything kept of one group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) counts: Counts,
    /// By series.
    clients: Vec<(usize, Clients)>,
}

/// Clients with their counted requests, by hash.
#[derive(Debug, Default)]
struct Clients {
    kept: BTreeMap<(u64, SourceKey), u64>,
}

impl Clients {
    fn add(&mut self, source: SourceKey, requests: u64) {
        let rank = (FixedState::with_seed(0x636c_6e74).hash_one(source), source);
        *self.kept.entry(rank).or_default() += requests;
        if self.kept.len() > MOST_CLIENTS {
            self.kept.pop_last();
        }
    }
}

impl Group {
    /// Counts a request.
    pub(crate) fn observe(
        &mut self,
        entry: Entry,
        client: Option<IpAddr>,
        room: Room<'_>,
    ) -> Growth {
        if let Some(client) = client {
            for series in room.rates.series_of(&entry) {
                self.clients(series).add(SourceKey::of(client), 1);
            }
        }
        self.counts.add(entry, room)
    }

    /// Bytes that the group takes.
    pub(crate) fn bytes(&self) -> usize {
        let clients: usize = self.clients.iter().map(|(_, clients)| clients.kept.len()).sum();
        size_of::<Self>() + self.counts.bytes() + clients * CLIENT_BYTES
    }

    fn clients(&mut self, series: usize) -> &mut Clients {
        let place = self.clients.iter().position(|(index, _)| *index == series);
        let place = place.unwrap_or_else(|| {
            self.clients.push((series, Clients::default()));
            self.clients.len() - 1
        });
        &mut self.clients[place].1
    }

    /// Adds what another scan gathered of it; see [`Counts::merge`].
    pub(crate) fn merge(&mut self, other: Self, renumbered: &[u32], room: Room<'_>) -> u64 {
        let folded = self.counts.merge(other.counts, renumbered, room);
        for (series, theirs) in other.clients {
            let mine = self.clients(series);
            for ((_, source), requests) in theirs.kept {
                mine.add(source, requests);
            }
        }
        folded
    }

    /// Writes a group.
    pub(crate) fn write(&self, writer: &mut Writer, plan: &RatePlan, objects: &[Arc<str>]) {
        self.counts.write(writer, plan, objects);
        let mut clients: Vec<&(usize, Clients)> = self.clients.iter().collect();
        clients.sort_unstable_by_key(|(series, _)| *series);
        writer.length(clients.len());
        for (series, clients) in clients {
            writer.length(*series);
            writer.length(clients.kept.len());
            for ((_, source), requests) in &clients.kept {
                source.write(writer);
                writer.number(*requests);
            }
        }
    }

    pub(crate) fn read(
        reader: &mut Reader<'_>,
        by: Key,
        rules: &RuleSet,
    ) -> Result<Self, StateError> {
        let mut group = Self { counts: Counts::read(reader, by, rules)?, clients: Vec::new() };
        for _ in 0..reader.length()? {
            let series = rules.rates().read_series(reader, by)?;
            for _ in 0..reader.length()? {
                let source = SourceKey::read(reader)?;
                group.clients(series).add(source, reader.count()?);
            }
        }
        Ok(group)
    }

    /// What to tell of the group, given what fired on it. Nothing of a network of which one
    /// client did more than nine tenths.
    pub(crate) fn suspect(
        &self,
        key: &GroupKey,
        plan: &RatePlan,
        grounds: Grounds,
    ) -> Option<Suspect> {
        let score = grounds.score();
        let Grounds { detections, rules, .. } = grounds;
        let severity = detections.iter().map(|detection| detection.severity).max()?;
        let confidence = detections.iter().map(|detection| detection.confidence).max()?;
        let mut requests: HashMap<SourceKey, u64, FixedState> = HashMap::default();
        let mut all = 0;
        let mut counted: Vec<usize> = plan.counted(&rules).collect();
        counted.sort_unstable();
        counted.dedup();
        let totals = self.counts.totals(plan);
        for series in counted {
            all = totals[series].max(all);
            let clients = self.clients.iter().find(|(index, _)| *index == series);
            for ((_, source), count) in clients.iter().flat_map(|(_, clients)| &clients.kept) {
                // Two rules may count the same requests; the higher is what is known.
                let most = requests.entry(*source).or_default();
                *most = (*most).max(*count);
            }
        }
        let clients = requests.len() as u64;
        let mut contributors: Vec<Contributor> = requests
            .into_iter()
            .map(|(source, requests)| Contributor { source: source.network(), requests })
            .collect();
        contributors.sort_by(|a, b| b.requests.cmp(&a.requests).then(a.source.cmp(&b.source)));
        contributors.truncate(MOST_CONTRIBUTORS);
        // What one client of a network does is that client's, and is said of it.
        let by_one =
            |first: &Contributor| first.requests.saturating_mul(10) > all.saturating_mul(9);
        if key.by == Key::Network && contributors.first().is_some_and(by_one) {
            return None;
        }
        Some(Suspect {
            key: key.by,
            value: key.by.shown(&key.value),
            score,
            severity,
            confidence,
            requests: all,
            clients,
            contributors,
            first: detections.iter().filter_map(|detection| detection.first).min(),
            last: detections.iter().filter_map(|detection| detection.last).max(),
            detections,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_clients_that_are_kept_do_not_depend_on_order_or_split(
            hosts in proptest::collection::vec(0..3_000_u32, 0..4_000),
            split in any::<prop::sample::Index>(),
        ) {
            let gathered = |hosts: &mut dyn Iterator<Item = &u32>| {
                let mut clients = Clients::default();
                for host in hosts {
                    clients.add(SourceKey::of(Ipv4Addr::from(*host).into()), 1);
                }
                clients
            };
            let whole = gathered(&mut hosts.iter());
            prop_assert_eq!(&gathered(&mut hosts.iter().rev()).kept, &whole.kept);
            let (left, right) = hosts.split_at(split.index(hosts.len() + 1));
            let mut merged = gathered(&mut left.iter());
            for ((_, source), requests) in gathered(&mut right.iter()).kept {
                merged.add(source, requests);
            }
            prop_assert_eq!(&merged.kept, &whole.kept);
        }
    }
}
