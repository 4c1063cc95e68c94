//! Keeps a scan within the memory it may use.
//!
//! Clients are as many as an attacker likes. So when more is kept than may be, steps follow
//! until it fits: of the calm the counts are forgotten, and everything of those among them
//! who are clean and small; then everything of all who are calm and clean; then fewer things
//! are told apart of whoever cannot be forgotten, the largest first; then the evidence against
//! whoever was flagged keeps what was logged for a few rules only, and for the others where
//! it stands. If that is not enough either, coverage says by how much.
//!
//! Who is calm, and what is remembered of the forgotten, is decided in `memory`.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::Scan;
use crate::account::Watch;
use crate::memory::{Remembered, calm, sketch_key};
use crate::rate::{Group, GroupKey, Key, Room};
use crate::source::{Source, SourceKey};

/// When memory is short, clients of more entries than the first are cut first, and of more
/// than the second last: enough to tell for minutes what a client at full speed asks for.
const LARGE_ENTRIES: usize = 1 << 16;
const FEW_ENTRIES: usize = 1 << 10;

/// Up to so many flagged requests were few.
const FEW_FLAGGED: u64 = 8;

/// How little a clean source must amount to, to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Least {
    /// Few requests of few principals.
    Small,
    /// Anything.
    Any,
}

impl Scan<'_> {
    /// Sets how many bytes may be kept of clients, 320 MiB unless told. Where that is too
    /// little, calm clients are forgotten, and [`Coverage::forgotten`] says what is not exact
    /// then and by how much. Scans that are merged add up until the limit is set again.
    pub fn limit_memory(&mut self, bytes: usize) {
        self.memory = bytes;
        if let Some(gathering) = &mut self.gathering {
            // Half of it is for the overview.
            self.memory = bytes - bytes / 2;
            gathering.limit_memory(bytes / 2);
        }
        self.most_entries = self.rules.rates().most_entries(self.memory);
        self.stay_within_memory();
    }

    /// Bytes that are kept of clients.
    pub fn used_bytes(&self) -> usize {
        self.kept_bytes + self.table_bytes() + self.journal.bytes()
    }

    /// Forgets the calm when more is kept than may be.
    pub(crate) fn stay_within_memory(&mut self) {
        let most = self.memory.max(self.cannot_forget);
        if self.used_bytes() <= most {
            return;
        }
        if self.journal.bytes() > 0 {
            // Which forgets by itself, if that is still too much.
            return self.catch_up();
        }
        // Merging adds up what two scans keep of one source.
        self.kept_bytes = self.counted_bytes();
        if self.kept_bytes + self.table_bytes() > most {
            self.forget(Least::Small);
            if self.kept_bytes + self.table_bytes() > self.memory / 2 {
                self.forget(Least::Any);
            }
            self.tell_less_apart();
            self.shorten_evidence();
            let kept = self.kept_bytes + self.table_bytes();
            // Looking through everything again must wait until there is an eighth more.
            if kept > self.memory / 4 * 3 {
                self.cannot_forget = kept + kept / 8;
            }
            if kept > self.memory {
                let most = &mut self.coverage.forgotten.over_limit_bytes;
                *most = (*most).max(kept as u64);
            }
        }
    }

    /// Of what cannot be forgotten, tells fewer things apart until it fits, of the largest
    /// first.
    fn tell_less_apart(&mut self) {
        let mut most = LARGE_ENTRIES;
        while self.kept_bytes + self.table_bytes() > self.memory && most >= FEW_ENTRIES {
            let (rates, objects) = (self.rules.rates(), &self.objects.names);
            let room = Room { rates, objects, most_entries: self.most_entries };
            let forgotten = &mut self.coverage.forgotten;
            for source in self.sources.values_mut() {
                let folded = source.counts.stay_below(most, room);
                forgotten.note_folded(self.rules, Key::Client, folded);
            }
            for (key, group) in &mut self.groups {
                let folded = group.counts.stay_below(most, room);
                forgotten.note_folded(self.rules, key.by, folded);
            }
            self.kept_bytes = self.counted_bytes();
            most /= 4;
        }
    }

    /// Of what cannot be forgotten, drops what was logged from the evidence of all but a few
    /// rules: first of sources that were flagged a few times, of which there may be the most.
    fn shorten_evidence(&mut self) {
        for most_flagged in [FEW_FLAGGED, u64::MAX] {
            if self.kept_bytes + self.table_bytes() <= self.memory {
                return;
            }
            let few = |source: &&mut Box<Source>| source.flagged() <= most_flagged;
            for source in self.sources.values_mut().filter(few) {
                source.shorten_evidence(self.rules);
            }
            self.kept_bytes = self.counted_bytes();
        }
    }

    /// Bytes of the tables. Nothing was ever taken out of them, see [`rebuild`], so that how
    /// large they are depends on how many they hold, and when memory is full on the requests.
    fn table_bytes(&self) -> usize {
        self.sources.capacity() * (size_of::<(SourceKey, Box<Source>)>() + 1)
            + self.groups.capacity() * (size_of::<(GroupKey, Group)>() + 1)
    }

    fn counted_bytes(&self) -> usize {
        self.sources.values().map(|source| source.bytes()).sum::<usize>()
            + self.groups.iter().map(|(key, group)| key.value.len() + group.bytes()).sum::<usize>()
    }

    /// Forgets the counts of calm sources and groups, and of clean sources the rest.
    fn forget(&mut self, least: Least) {
        let (rates, names, memory) = (self.rules.rates(), &self.objects.names, self.memory);
        let (sketch, forgotten) = (&mut self.sketch, &mut self.coverage.forgotten);
        let mut missing: BTreeMap<usize, u64> = BTreeMap::new();
        let note = |missing: &mut BTreeMap<usize, u64>, fullest: Vec<(usize, u64)>| {
            for (rule, requests) in fullest {
                let most = missing.entry(rule).or_default();
                *most = requests.max(*most);
            }
        };
        let asked = self.watch.as_ref().and_then(Watch::asked_source);
        self.sources.retain(|key, source| {
            let Some(fullest) = calm(rates, Key::Client, &source.counts, names, &missing) else {
                return true;
            };
            if asked == Some(*key) {
                return true;
            }
            note(&mut missing, fullest);
            let counted = source.counts.forget(rates);
            let whole = source.is_clean() && (least == Least::Any || source.is_small());
            let numbers = if whole { source.remembered() } else { Remembered::default() };
            sketch.add(memory, sketch_key(key), Remembered { counted, ..numbers });
            forgotten.times += u64::from(whole);
            forgotten.requests += numbers.requests;
            !whole
        });
        self.groups.retain(|key, group| {
            let Some(fullest) = calm(rates, key.by, &group.counts, names, &missing) else {
                return true;
            };
            note(&mut missing, fullest);
            let counted = group.counts.forget(rates);
            sketch.add(memory, sketch_key(key), Remembered { counted, ..Remembered::default() });
            forgotten.times += 1;
            false
        });
        for (rule, requests) in missing {
            let id = Arc::clone(self.rules.rules()[rule].shared_id());
            *forgotten.missing.entry(id).or_default() += requests;
        }
        rebuild(&mut self.sources);
        rebuild(&mut self.groups);
        self.kept_bytes = self.counted_bytes();
    }
}

/// Makes a table anew that something was taken out of. Which of the places that were left can
/// be used again depends on the table's seed, which is random, because clients choose their
/// addresses; and so would the room that is left, when memory is full next, and who is
/// forgotten then.
fn rebuild<K: Eq + Hash, V>(table: &mut HashMap<K, V, RandomState>) {
    let kept = std::mem::take(table);
    table.reserve(kept.len());
    table.extend(kept);
}
