//! Requests that are noted, and taken in by their clients later.
//!
//! There are far more clients than a processor's cache holds, so looking one up is waiting
//! for memory, and a scan of one object that becomes part of another would look up each of
//! its clients, and make a place for it, twice. So what a request comes to is noted in the
//! order of coming, and whichever scan keeps it in the end looks up several clients at once.
//! Nothing depends on the order, so nobody can tell.

use portcullis_ingest::{Request, Timestamp};

use crate::rate::{Entry, RatePlan};
use crate::source::{SourceKey, principal};

/// Requests that are noted before they are taken in, so that memory is bounded: most of those
/// of an object of 16 MiB, in some 8 MiB.
const MOST: usize = 1 << 16;

/// Requests whose clients are looked up at once.
const AT_ONCE: usize = 16;

/// What a request comes to for its client, but for what signatures say of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noted {
    pub(crate) key: SourceKey,
    pub(crate) time: Option<Timestamp>,
    /// Hash of its principal's name.
    pub(crate) principal: Option<u64>,
    /// Whether it was answered well, and nothing speaks against it.
    pub(crate) is_good: bool,
    /// Entries that it adds to its client's counts.
    entries: u32,
}

/// Requests in the order of coming.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    requests: Vec<Noted>,
    /// Those of the first request, then those of the second, and so on.
    entries: Vec<Entry>,
}

impl Journal {
    /// Notes a request of that client.
    pub(crate) fn note(
        &mut self,
        rates: &RatePlan,
        request: &Request<'_>,
        (key, object): (SourceKey, u32),
        is_good: bool,
    ) {
        let before = self.entries.len();
        rates.observe_client(request, object, |entry| self.entries.push(entry));
        self.requests.push(Noted {
            key,
            time: request.time,
            principal: principal(request),
            is_good,
            entries: (self.entries.len() - before) as u32,
        });
    }

    pub(crate) fn is_full(&self) -> bool {
        self.requests.len() >= MOST
    }

    /// Bytes of what is noted.
    pub(crate) const fn bytes(&self) -> usize {
        self.requests.len() * size_of::<Noted>() + self.entries.len() * size_of::<Entry>()
    }

    /// Without what was noted; the memory for it is kept.
    pub(crate) fn emptied(mut self) -> Self {
        self.requests.clear();
        self.entries.clear();
        self
    }

    /// Requests that are to be taken in together, with the entries of each.
    pub(crate) fn several(&self) -> impl Iterator<Item = Several<'_>> {
        let mut entries = self.entries.as_slice();
        self.requests.chunks(AT_ONCE).map(move |requests| {
            let count: u32 = requests.iter().map(|noted| noted.entries).sum();
            let (of_these, others) = entries.split_at(count as usize);
            entries = others;
            Several { requests, entries: of_these }
        })
    }
}

/// Some requests that follow each other.
pub(crate) struct Several<'j> {
    pub(crate) requests: &'j [Noted],
    entries: &'j [Entry],
}

impl<'j> Several<'j> {
    /// Each request, with its entries.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'j Noted, &'j [Entry])> {
        let mut entries = self.entries;
        self.requests.iter().map(move |noted| {
            let (of_this, others) = entries.split_at(noted.entries as usize);
            entries = others;
            (noted, of_this)
        })
    }
}
