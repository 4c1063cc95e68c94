//! What a person reviewing a scan wants to see besides its findings: traffic over time,
//! what each source sent and how it was answered, and the paths that were probed.
//!
//! All of it is kept for every source, because who is an offender is known only at the
//! end, and it obeys the law of [`crate::Scan`]: the same in whatever order. So of texts,
//! of which there may be more than there is room for, those with the smallest hashes are
//! kept. Which ones these are depends on the texts alone, and one that is kept at the end
//! was kept from its first request on: its counts are exact. Of sources, of which there may
//! be more than there is memory for, those with the smallest hashes are kept for the same
//! reason, half as many each time that memory is full.
//!
//! Who wants none of this pays nothing for it.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher as _;

use foldhash::fast::{FixedState, RandomState};
use ipnet::IpNet;
use portcullis_ingest::{Request, Untrusted, UntrustedBuf};

use crate::outcome::{Outcome, Outcomes};
use crate::signature::Verdict;
use crate::source::SourceKey;
use crate::timeline::{MOST_PERIODS, Timeline};

/// Paths of a kind kept of one source: of all requests, of the flagged, of the flagged
/// that were answered.
const PATHS_OF_A_SOURCE: usize = 12;
/// User agents kept of one source, and as many principals or API keys.
const AGENTS_OF_A_SOURCE: usize = 3;
/// Probed paths kept of all sources together: so many parts, so many in each.
const PARTS: usize = 256;
const PATHS_OF_A_PART: usize = 256;
/// Bytes of a text that are kept and told apart.
const TEXT_BYTES: usize = 256;

/// What is kept of a source is counted as so many bytes, for each text of it, and for each
/// period of its timeline. Guesses for texts of common length; they may not depend on the
/// order of requests, as the true size does.
const SOURCE_BYTES: usize = 900;
const KEPT_TEXT_BYTES: usize = 220;
const PERIOD_BYTES: usize = 40;

/// Bytes that stories may take unless told.
const USUAL_LIMIT: usize = 160 << 20;

/// A scan as a whole, and its offenders one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// All requests by time.
    pub traffic: Timeline,
    /// What became of all requests.
    pub outcomes: Outcomes,
    /// Paths of flagged requests, by requests from the most, then by text.
    pub probed: Texts,
    /// What the offenders and the watched sources did.
    pub stories: BTreeMap<IpNet, Story>,
    /// Of those, how many have no story here, because memory was full.
    pub left_out: u64,
}

/// What one source did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Story {
    /// Its requests by time.
    pub timeline: Timeline,
    /// What became of all its requests.
    pub outcomes: Outcomes,
    /// Its requests by status; those without one are in none.
    pub statuses: BTreeMap<u16, u64>,
    /// Its user agents.
    pub agents: Texts,
    /// Its principals, or API keys where no principal is logged.
    pub principals: Texts,
    /// Paths of all its requests.
    pub paths: Texts,
    /// Paths of its flagged requests.
    pub probed: Texts,
    /// Paths of those of its flagged requests that were answered; see [`Outcome::Answered`].
    /// They are kept apart, because among many probes the few that worked would be lost.
    pub worked: Texts,
}

/// Different texts with their counts, by requests from the most, then by text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    /// The texts, or a sample of them.
    pub kept: Vec<TextCount>,
    /// Whether there were more than could be kept. The sample is a fair one of different
    /// texts; the counts of what is in it are exact.
    pub is_sample: bool,
}

/// One text and the requests that had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextCount {
    /// The text, cut to 256 bytes.
    pub text: UntrustedBuf,
    /// Requests that had it.
    pub requests: u64,
    /// Of those, the ones that were answered; see [`Outcome::Answered`].
    pub answered: u64,
}

/// Gathers an [`Overview`] during a scan.
pub(crate) struct Gathering {
    traffic: Timeline,
    outcomes: Outcomes,
    probed: BTreeMap<u64, Sample<PATHS_OF_A_PART>>,
    sources: HashMap<SourceKey, Gathered, RandomState>,
    /// Sources are kept whose hash is not above this.
    highest: u64,
    /// What is kept of the sources, in bytes as counted here, and the most of it.
    bytes: usize,
    limit: usize,
}

impl Default for Gathering {
    fn default() -> Self {
        Self {
            traffic: Timeline::default(),
            outcomes: Outcomes::default(),
            probed: BTreeMap::new(),
            sources: HashMap::default(),
            highest: u64::MAX,
            bytes: 0,
            limit: USUAL_LIMIT,
        }
    }
}

/// A [`Story`] being gathered.
#[derive(Default)]
struct Gathered {
    timeline: Timeline,
    outcomes: Outcomes,
    statuses: BTreeMap<u16, u64>,
    agents: Sample<AGENTS_OF_A_SOURCE>,
    principals: Sample<AGENTS_OF_A_SOURCE>,
    paths: Sample<PATHS_OF_A_SOURCE>,
    probed: Sample<PATHS_OF_A_SOURCE>,
    worked: Sample<PATHS_OF_A_SOURCE>,
}

impl Gathering {
    pub(crate) fn observe(&mut self, request: &Request<'_>, verdict: &Verdict) {
        let outcome = Outcome::of(request);
        self.traffic.observe(request, verdict);
        self.outcomes.add(outcome);
        let path = request.path.map(Hashed::of);
        let probed = path.filter(|_| verdict.flagged());
        let answered = outcome == Outcome::Answered;
        if let Some(path) = probed {
            self.probed.entry(path.hash % PARTS as u64).or_default().add(path, 1, answered.into());
        }
        let Some(client) = request.client else { return };
        let key = SourceKey::of(client);
        if !self.keeps(key) {
            return;
        }
        let source = self.sources.entry(key).or_default();
        let before = if source.outcomes.requests() == 0 { 0 } else { source.bytes() };
        source.timeline.observe(request, verdict);
        source.outcomes.add(outcome);
        if let Some(status) = request.status {
            *source.statuses.entry(status).or_default() += 1;
        }
        if let Some(agent) = request.user_agent {
            source.agents.add(Hashed::of(agent), 1, answered.into());
        }
        if let Some(principal) = request.principal.or(request.api_key_id) {
            source.principals.add(Hashed::of(principal), 1, answered.into());
        }
        if let Some(path) = path {
            source.paths.add(path, 1, answered.into());
        }
        if let Some(path) = probed {
            source.probed.add(path, 1, answered.into());
        }
        if let Some(path) = probed.filter(|_| answered) {
            source.worked.add(path, 1, 1);
        }
        self.bytes += source.bytes() - before;
        self.stay_within_limit();
    }

    /// Sets how many bytes stories may take.
    pub(crate) fn limit_memory(&mut self, bytes: usize) {
        self.limit = bytes;
        self.stay_within_limit();
    }

    fn keeps(&self, key: SourceKey) -> bool {
        hash_of(key) <= self.highest
    }

    /// What is counted of a source only grows, so that the hashes that are left at the end
    /// do not depend on when memory was full.
    fn stay_within_limit(&mut self) {
        while self.bytes > self.limit && self.highest > 0 {
            self.highest /= 2;
            self.forget_above();
        }
    }

    fn forget_above(&mut self) {
        let highest = self.highest;
        self.sources.retain(|key, _| hash_of(*key) <= highest);
        self.bytes = self.sources.values().map(Gathered::bytes).sum();
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.traffic.merge(other.traffic);
        self.outcomes.merge(other.outcomes);
        for (part, theirs) in other.probed {
            self.probed.entry(part).or_default().merge(&theirs);
        }
        if other.highest < self.highest {
            self.highest = other.highest;
            self.forget_above();
        }
        for (key, theirs) in other.sources {
            if !self.keeps(key) {
                continue;
            }
            let mine = self.sources.entry(key).or_default();
            let before = if mine.outcomes.requests() == 0 { 0 } else { mine.bytes() };
            mine.timeline.merge(theirs.timeline);
            mine.outcomes.merge(theirs.outcomes);
            for (status, requests) in theirs.statuses {
                *mine.statuses.entry(status).or_default() += requests;
            }
            mine.agents.merge(&theirs.agents);
            mine.principals.merge(&theirs.principals);
            mine.paths.merge(&theirs.paths);
            mine.probed.merge(&theirs.probed);
            mine.worked.merge(&theirs.worked);
            self.bytes += mine.bytes() - before;
        }
        self.stay_within_limit();
    }

    /// The overview, with the stories of those sources only.
    pub(crate) fn finish(mut self, sources: impl Iterator<Item = IpNet>) -> Overview {
        let mut left_out = 0;
        let story = |source: IpNet| {
            let gathered = self.sources.remove(&SourceKey::of(source.addr()));
            left_out += u64::from(gathered.is_none());
            let gathered = gathered?;
            let story = Story {
                timeline: gathered.timeline,
                outcomes: gathered.outcomes,
                statuses: gathered.statuses,
                agents: texts([gathered.agents]),
                principals: texts([gathered.principals]),
                paths: texts([gathered.paths]),
                probed: texts([gathered.probed]),
                worked: texts([gathered.worked]),
            };
            Some((source, story))
        };
        Overview {
            stories: sources.filter_map(story).collect(),
            left_out,
            probed: texts(self.probed.into_values()),
            traffic: self.traffic,
            outcomes: self.outcomes,
        }
    }
}

impl Gathered {
    /// What is kept, in bytes as counted here. It grows with every request or stays.
    fn bytes(&self) -> usize {
        let texts = [
            self.agents.kept.len(),
            self.principals.kept.len(),
            self.paths.kept.len(),
            self.probed.kept.len(),
            self.worked.kept.len(),
        ];
        let periods = self.outcomes.requests().min(MOST_PERIODS as u64) as usize;
        SOURCE_BYTES
            + texts.iter().sum::<usize>() * KEPT_TEXT_BYTES
            + self.statuses.len() * PERIOD_BYTES
            + periods * PERIOD_BYTES
    }
}

/// The same in every run, because outputs are.
fn hash_of(key: SourceKey) -> u64 {
    FixedState::with_seed(0x736f_7572).hash_one(key)
}

/// A text and its hash.
#[derive(Clone, Copy)]
struct Hashed<'t> {
    hash: u64,
    text: &'t [u8],
}

impl<'t> Hashed<'t> {
    /// The hash is the same in every run, because outputs are. A client that computes it can
    /// crowd out the paths of others, and shows itself with every request that it takes.
    fn of(text: Untrusted<'t>) -> Self {
        let text = text.bytes().get(..TEXT_BYTES).unwrap_or(text.bytes());
        Self { hash: FixedState::with_seed(0x7061_7468).hash_one(text), text }
    }
}

/// The texts with the smallest hashes, at most `MOST`.
#[derive(Default)]
struct Sample<const MOST: usize> {
    /// By hash, sorted. Two texts of one hash count as the smaller of them.
    kept: Vec<(u64, TextCount)>,
    is_full: bool,
}

impl<const MOST: usize> Sample<MOST> {
    fn add(&mut self, text: Hashed<'_>, requests: u64, answered: u64) {
        match self.kept.binary_search_by_key(&text.hash, |(hash, _)| *hash) {
            Ok(place) => {
                let kept = &mut self.kept[place].1;
                kept.requests += requests;
                kept.answered += answered;
                if text.text < kept.text.as_untrusted().bytes() {
                    kept.text = Untrusted::new(text.text).to_buf();
                }
            }
            Err(place) if place >= MOST => self.is_full = true,
            Err(place) => {
                let text_count =
                    TextCount { text: Untrusted::new(text.text).to_buf(), requests, answered };
                self.kept.insert(place, (text.hash, text_count));
                self.is_full |= self.kept.len() > MOST;
                self.kept.truncate(MOST);
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.is_full |= other.is_full;
        for (hash, count) in &other.kept {
            let text = count.text.as_untrusted().bytes();
            self.add(Hashed { hash: *hash, text }, count.requests, count.answered);
        }
    }
}

fn texts<const MOST: usize>(samples: impl IntoIterator<Item = Sample<MOST>>) -> Texts {
    let mut texts = Texts::default();
    for sample in samples {
        texts.is_sample |= sample.is_full;
        texts.kept.extend(sample.kept.into_iter().map(|(_, count)| count));
    }
    texts.kept.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.text.cmp(&b.text)));
    texts
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn request(source: u8, path: &[u8]) -> Request<'_> {
        Request {
            client: Some([203, 0, 113, source].into()),
            path: Some(Untrusted::new(path)),
            status: Some(404),
            ..Request::default()
        }
    }

    fn sample(numbers: &[u16]) -> Sample<12> {
        let mut sample = Sample::default();
        for number in numbers {
            sample.add(Hashed::of(Untrusted::new(&number.to_be_bytes())), 1, u64::from(number % 2));
        }
        sample
    }

    proptest! {
        #[test]
        fn stories_stay_within_memory_and_the_same_ones_are_left_in_whatever_order(
            sent in proptest::collection::vec((0..40_u8, 0..30_u8), 0..300),
            split in any::<prop::sample::Index>(),
            limit in 2_000..60_000_usize,
        ) {
            let begin = || Gathering { limit, ..Gathering::default() };
            let gathered = |sent: &[(u8, u8)]| {
                let mut gathering = begin();
                for (source, path) in sent {
                    gathering.observe(&request(*source, &[b'/', *path]), &Verdict::default());
                }
                gathering
            };
            let overview = |gathering: Gathering| {
                prop_assert!(gathering.bytes <= limit || gathering.highest == 0);
                let all = (0..40).map(|source| IpNet::from(IpAddr::from([203, 0, 113, source])));
                Ok(gathering.finish(all))
            };
            let whole = overview(gathered(&sent))?;
            let (left, right) = sent.split_at(split.index(sent.len() + 1));
            let mut merged = gathered(right);
            merged.merge(gathered(left));
            prop_assert_eq!(&overview(merged)?, &whole);
            let reversed: Vec<_> = sent.iter().rev().copied().collect();
            prop_assert_eq!(&overview(gathered(&reversed))?, &whole);
            prop_assert_eq!(whole.left_out + whole.stories.len() as u64, 40);
            for (source, story) in &whole.stories {
                let same = sent.iter().filter(|(client, _)| {
                    source.addr() == IpAddr::from([203, 0, 113, *client])
                });
                prop_assert_eq!(story.outcomes.requests(), same.count() as u64);
            }
        }

        #[test]
        fn what_is_kept_is_counted_exactly_in_whatever_order(
            numbers in proptest::collection::vec(0..40_u16, 0..200),
            split in any::<prop::sample::Index>(),
        ) {
            let (left, right) = numbers.split_at(split.index(numbers.len() + 1));
            let mut merged = sample(right);
            merged.merge(&sample(left));
            let whole = texts([sample(&numbers)]);
            prop_assert_eq!(&texts([merged]), &whole);
            for kept in &whole.kept {
                let bytes = kept.text.as_untrusted().bytes();
                let same = numbers.iter().filter(|number| number.to_be_bytes() == *bytes);
                prop_assert_eq!(kept.requests, same.count() as u64);
            }
            let mut different = numbers.clone();
            different.sort_unstable();
            different.dedup();
            prop_assert_eq!(whole.is_sample, different.len() > 12);
            prop_assert_eq!(whole.kept.len(), different.len().min(12));
        }
    }
}
