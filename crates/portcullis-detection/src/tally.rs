//! What is kept of one source and rule: how often, when, and where to look first as evidence.
//!
//! Everything here is a sum, a minimum, a maximum or a set of the smallest, so that it
//! comes out the same in whatever order requests are seen and scans are merged. What it
//! amounts to is decided elsewhere.

use std::sync::Arc;

use portcullis_ingest::{Request, Timestamp};

use crate::level::source_points;
use crate::offender::{Detection, Evidence, RateFigure, SuggestsOnly};
use crate::outcome::{Outcome, Outcomes};
use crate::rate::Bursts;
use crate::rule::{RuleSet, Subject};
use crate::signature::Hit;
use crate::state::{Reader, StateError, Writer};
use crate::view::View;

/// Requests kept as evidence, for each source and rule.
const MOST_EVIDENCE: usize = 3;

/// What the allocator needs of each piece of memory besides. A guess.
pub(crate) const ALLOCATION_BYTES: usize = 16;

/// Principals told apart for each source. More are no argument for more caution.
const MOST_PRINCIPALS: usize = 1_000;

/// First and last time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
}

impl Span {
    pub(crate) fn add(&mut self, time: Option<Timestamp>) {
        self.merge(Self { first: time, last: time });
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.first = match (self.first, other.first) {
            (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
        self.last = self.last.max(other.last);
    }

    pub(crate) fn write(self, writer: &mut Writer) {
        writer.time(self.first);
        writer.time(self.last);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Ok(Self { first: reader.time()?, last: reader.time()? })
    }
}

/// Hashes of different things, sorted, at most `MOST`. Of more the smallest are kept,
/// whichever come first: the count then says "this many or more".
#[derive(Debug, Clone, Default)]
pub(crate) struct Distinct<const MOST: usize>(Hashes);

/// Most sources have one principal, which needs no memory of its own.
#[derive(Debug, Clone, Default)]
enum Hashes {
    #[default]
    None,
    One(u64),
    Several(Vec<u64>),
}

/// The principals of one source.
pub(crate) type Principals = Distinct<MOST_PRINCIPALS>;

impl<const MOST: usize> Distinct<MOST> {
    /// The hashes, ascending.
    pub(crate) fn hashes(&self) -> &[u64] {
        match &self.0 {
            Hashes::None => &[],
            Hashes::One(hash) => std::slice::from_ref(hash),
            Hashes::Several(hashes) => hashes,
        }
    }

    /// Bytes that they take besides their own place.
    pub(crate) const fn bytes(&self) -> usize {
        match &self.0 {
            Hashes::None | Hashes::One(_) => 0,
            Hashes::Several(hashes) => hashes.capacity() * size_of::<u64>(),
        }
    }

    pub(crate) fn add(&mut self, hash: u64) {
        match &mut self.0 {
            Hashes::None => self.0 = Hashes::One(hash),
            Hashes::One(known) if *known == hash => {}
            Hashes::One(known) => {
                let mut hashes = vec![*known, hash];
                hashes.sort_unstable();
                hashes.truncate(MOST);
                self.0 = Hashes::Several(hashes);
            }
            Hashes::Several(hashes) => {
                if let Err(place) = hashes.binary_search(&hash)
                    && place < MOST
                {
                    hashes.insert(place, hash);
                    hashes.truncate(MOST);
                }
            }
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for hash in other.hashes() {
            self.add(*hash);
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.length(self.hashes().len());
        for hash in self.hashes() {
            writer.hash(*hash);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut distinct = Self::default();
        for _ in 0..reader.length()? {
            distinct.add(reader.hash()?);
        }
        Ok(distinct)
    }
}

/// What one rule found on one source.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    outcomes: Outcomes,
    span: Span,
    /// The first by [`rank`], at most [`MOST_EVIDENCE`].
    evidence: Vec<Evidence>,
}

impl Tally {
    pub(crate) fn observe(&mut self, request: &Request<'_>, hit: &Hit, object: &Arc<str>) {
        let outcome = Outcome::of(request);
        self.requests += 1;
        self.outcomes.add(outcome);
        self.span.add(request.time);
        let place = (request.time.is_none(), request.time, &**object, request.origin.offset);
        let place = (telling(Some(outcome)), place);
        let full = self.evidence.len() >= MOST_EVIDENCE;
        if full && self.evidence.last().is_some_and(|last| place > rank(last)) {
            return;
        }
        self.keep(Evidence {
            object: Arc::clone(object),
            offset: request.origin.offset,
            time: request.time,
            id: request.id.map(portcullis_ingest::Untrusted::to_buf),
            outcome: Some(outcome),
            field: Some(hit.subject.name()),
            view: Some(hit.reading()),
            text: hit.text.clone(),
            matched: hit.matched.clone(),
        });
    }

    fn keep(&mut self, evidence: Evidence) {
        // Ties in rank are the same record seen twice, unless two inputs share a name.
        let order = |e: &Evidence| {
            (e.id.clone(), e.outcome, e.field, e.view, e.text.clone(), e.matched.clone())
        };
        let place = self.evidence.partition_point(|kept| {
            rank(kept)
                .cmp(&rank(&evidence))
                .then_with(|| order(kept).cmp(&order(&evidence)))
                .is_lt()
        });
        if place < MOST_EVIDENCE {
            self.evidence.truncate(MOST_EVIDENCE - 1);
            // Most rules fire once on most sources, and there may be millions.
            self.evidence.reserve_exact(1);
            self.evidence.insert(place, evidence);
        }
    }

    /// Bytes that it takes besides its own place.
    pub(crate) fn bytes(&self) -> usize {
        let allocated = |bytes: usize| if bytes == 0 { 0 } else { bytes + ALLOCATION_BYTES };
        let texts = |evidence: &Evidence| {
            let texts = [Some(&evidence.text), Some(&evidence.matched), evidence.id.as_ref()];
            let lengths = texts.into_iter().flatten().map(|text| text.as_untrusted().bytes().len());
            lengths.map(allocated).sum::<usize>()
        };
        allocated(self.evidence.capacity() * size_of::<Evidence>())
            + self.evidence.iter().map(texts).sum::<usize>()
    }

    /// Drops what was logged, but not where, from the evidence. Says whether there was any.
    pub(crate) fn drop_texts(&mut self) -> bool {
        let mut dropped = false;
        for evidence in &mut self.evidence {
            for text in [&mut evidence.text, &mut evidence.matched] {
                dropped |= !std::mem::take(text).as_untrusted().bytes().is_empty();
            }
        }
        dropped
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.outcomes.merge(other.outcomes);
        self.span.merge(other.span);
        for evidence in other.evidence {
            self.keep(evidence);
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.number(self.requests);
        self.outcomes.write(writer);
        self.span.write(writer);
        writer.length(self.evidence.len());
        for evidence in &self.evidence {
            writer.object(&evidence.object);
            writer.number(evidence.offset);
            writer.time(evidence.time);
            let id = evidence.id.as_ref().map(|id| id.as_untrusted().bytes());
            writer.number(u64::from(id.is_some()));
            writer.bytes(id.unwrap_or_default());
            writer.name(evidence.outcome.map(Outcome::name), names(Outcome::ALL, Outcome::name));
            writer.name(evidence.field, names(Subject::ALL, Subject::name));
            writer.name(evidence.view, names(View::ALL, View::name));
            writer.bytes(evidence.text.as_untrusted().bytes());
            writer.bytes(evidence.matched.as_untrusted().bytes());
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut tally = Self {
            requests: reader.count()?,
            outcomes: Outcomes::read(reader)?,
            span: Span::read(reader)?,
            evidence: Vec::new(),
        };
        for _ in 0..reader.length()? {
            let (object, offset, time) = (reader.object()?, reader.number()?, reader.time()?);
            let has_id = reader.number()? != 0;
            let id = reader.untrusted()?;
            tally.keep(Evidence {
                object,
                offset,
                time,
                id: has_id.then_some(id),
                outcome: reader
                    .name(names(Outcome::ALL, Outcome::name))?
                    .and_then(Outcome::from_name),
                field: reader.name(names(Subject::ALL, Subject::name))?,
                view: reader.name(names(View::ALL, View::name))?,
                text: reader.untrusted()?,
                matched: reader.untrusted()?,
            });
        }
        Ok(tally)
    }

    pub(crate) fn detection(self, rules: &RuleSet, index: usize) -> Detection {
        let rule = &rules.rules()[index];
        Detection {
            rule: Arc::clone(rule.shared_id()),
            title: Arc::clone(&rule.title),
            category: rule.category(),
            severity: rule.severity(),
            confidence: rule.confidence(),
            points: source_points(rule.points(), self.requests),
            requests: self.requests,
            outcomes: self.outcomes,
            first: self.span.first,
            last: self.span.last,
            rate: None,
            suggests: None,
            evidence: self.evidence,
        }
    }
}

/// Where to look first: requests that were answered, then those that broke something.
fn telling(outcome: Option<Outcome>) -> u8 {
    match outcome {
        Some(Outcome::Answered) => 0,
        Some(Outcome::Failed) => 1,
        _ => 2,
    }
}

/// A place in time, unknown times last, and in the logs.
type Place<'a> = (bool, Option<Timestamp>, &'a str, u64);

/// The order in which evidence is kept: by what became of it, by time, then by place.
fn rank(evidence: &Evidence) -> (u8, Place<'_>) {
    let place = (evidence.time.is_none(), evidence.time, &*evidence.object, evidence.offset);
    (telling(evidence.outcome), place)
}

pub(crate) fn rate_detection(
    rules: &RuleSet,
    bursts: &Bursts<'_>,
    objects: &[Arc<str>],
) -> Detection {
    let rule = &rules.rules()[bursts.rule];
    let time = |second: i64| Timestamp::from_epoch_ms(second * 1_000);
    let mut evidence: Vec<Evidence> = bursts
        .places
        .iter()
        .map(|pane| Evidence {
            object: Arc::clone(&objects[pane.object as usize]),
            offset: pane.offset,
            time: time(pane.second),
            id: None,
            outcome: None,
            field: None,
            view: None,
            text: Vec::new().into(),
            matched: Vec::new().into(),
        })
        .collect();
    evidence.sort_by(|a, b| rank(a).cmp(&rank(b)));
    evidence.truncate(MOST_EVIDENCE);
    let count = bursts.found.len() as u64;
    Detection {
        rule: Arc::clone(rule.shared_id()),
        title: Arc::clone(&rule.title),
        category: rule.category(),
        severity: rule.severity(),
        confidence: rule.confidence(),
        points: source_points(rule.points(), count),
        requests: bursts.found.iter().map(|burst| burst.requests).sum(),
        outcomes: Outcomes::default(),
        first: bursts.found.first().and_then(|burst| time(burst.first)),
        last: bursts.found.last().and_then(|burst| time(burst.last)),
        suggests: (!bursts.clear).then_some(SuggestsOnly::WafUnknown),
        rate: Some(RateFigure {
            by: bursts.rate.by(),
            measure: bursts.rate.measure(),
            peak: bursts.found.iter().map(|burst| burst.peak).max().unwrap_or(0),
            threshold: bursts.rate.threshold(),
            window_seconds: bursts.rate.window_seconds(),
            bursts: count,
        }),
        evidence,
    }
}

/// The names of every value of a list.
fn names<N: Copy + 'static>(
    all: &'static [N],
    name: fn(N) -> &'static str,
) -> impl Iterator<Item = &'static str> {
    all.iter().map(move |value| name(*value))
}
