//! Finds signatures in requests.
//!
//! Hundreds of rules look at half a dozen texts of every request, each in several views,
//! and nearly every request is innocent. So the literals of all rules are looked for at
//! once; only a rule whose literal was seen is confirmed, only then is a view
//! computed that was not needed for the search, and texts that were found clean are
//! remembered. A clean text costs one pass over its logged bytes, or none.
//!
//! Every step is linear in the text, a text is bounded by [`MAX_TEXT_BYTES`], and a rule is
//! confirmed once for each text and view, so a request costs no more than its length,
//! whatever it holds. What hostile text costs beside honest text is measured by the
//! benchmark `cost`.
//!
//! What a view is, is decided in `view`; what a literal or expression means, in the rules.

mod beginnings;
mod candidates;
mod census;
mod headers;
mod literals;
mod member;
mod memo;
mod parts;
mod query;
mod verdict;
mod views;
mod wrapped;

use portcullis_ingest::{Field, Request, Untrusted};

pub use census::{Census, Work};
pub(crate) use literals::Engine;
pub use verdict::{Hit, Verdict};

use crate::level::BLOCK_LEVEL;
use crate::rule::{RuleKind, RuleSet, Signature, Subject};
use crate::tokens::Whole;
use crate::view::View;
use candidates::{Candidate, Candidates};
use memo::Memo;
use parts::Parts;
use views::{ViewSet, Views};

/// Most bytes of one field that are looked at: of a longer one the beginning and, because
/// payloads hide at the end of padding, the end.
pub const MAX_TEXT_BYTES: usize = HEAD_BYTES + TAIL_BYTES;

/// Bytes looked at from the beginning of a long field. AWS limits a request line and all
/// headers together to about 10 KiB, so a whole field fits where the log is honest.
const HEAD_BYTES: usize = 16 * 1024;

/// Bytes looked at from its end.
const TAIL_BYTES: usize = 4 * 1024;

/// Most names, and most values, of one query, and most headers of one request that are
/// searched one by one. What comes behind is searched as one text and counts as truncated.
/// A guess: honest forms have dozens of fields, AWS WAF looks at 200 headers, and each part
/// costs a fixed sum besides its bytes.
const MOST_PARTS: usize = 256;

/// Rules that reach the block level each by itself. When so many fired on a request, it is
/// searched no further, and the field counts as truncated: more would add nothing to what is
/// decided, and a text made of attacks, where every rule has much to confirm, would cost the
/// most of all. No attack in the labelled requests or the real logs sets off ten.
const BEYOND_DOUBT: u32 = 12;

/// Bytes of a field kept as evidence.
const EVIDENCE_TEXT_BYTES: usize = 256;

/// Bytes of a match kept as evidence.
const EVIDENCE_MATCH_BYTES: usize = 128;

/// The fields whose text is searched, in the order of evidence.
pub(crate) const FIELDS: [Field; 7] = [
    Field::Path,
    Field::Query,
    Field::UserAgent,
    Field::Referer,
    Field::Host,
    Field::Headers,
    Field::Method,
];

/// Where headers stand in [`FIELDS`].
const HEADERS: usize = 5;

/// What text of unknown make-up may be.
const UNKNOWN: [Subject; 3] = [Subject::Path, Subject::Query, Subject::UserAgent];

/// Judges requests one after the other, reusing its memory.
pub struct Classifier<'r> {
    rules: &'r RuleSet,
    verdict: Verdict,
    search: Search,
    memos: [Memo; FIELDS.len()],
    /// A field over the limit, cut.
    cut: Vec<u8>,
    /// One parameter, with its line breaks as spaces.
    line: Vec<u8>,
    /// What a value stands for that is base64, and what that stands for.
    unwrapped: [Vec<u8>; wrapped::MOST_DEPTH],
}

impl<'r> Classifier<'r> {
    pub(crate) fn new(rules: &'r RuleSet) -> Self {
        Self {
            rules,
            verdict: Verdict::default(),
            search: Search::new(rules.rules().len()),
            memos: std::array::from_fn(|_| Memo::new()),
            cut: Vec::new(),
            line: Vec::new(),
            unwrapped: std::array::from_fn(|_| Vec::new()),
        }
    }

    /// The same, counting what each rule costs. Nothing is remembered of clean texts, so
    /// that the counts do not depend on what came before.
    pub(crate) fn counting(rules: &'r RuleSet) -> Self {
        let mut classifier = Self::new(rules);
        classifier.search.census = Some(Census::new(rules.rules().len()));
        classifier
    }

    /// What was counted since the last call; `None` when nothing is.
    pub fn take_census(&mut self) -> Option<Census> {
        let next = Census::new(self.rules.rules().len());
        self.search.census.as_mut().map(|census| std::mem::replace(census, next))
    }

    /// Judges one request. The verdict stays until the next call.
    pub fn classify(&mut self, request: &Request<'_>) -> &Verdict {
        self.begin();
        let remember = self.search.census.is_none();
        for (memo, text) in FIELDS.map(|field| request.text(field)).iter().enumerate() {
            let text = text.map_or(&[][..], |text| text.bytes());
            // Of headers, single lines are remembered.
            let remembered = remember && FIELDS[memo] != Field::Headers;
            if text.is_empty() || (remembered && self.memos[memo].is_clean(text)) {
                continue;
            }
            self.field(FIELDS[memo], memo, text, request);
        }
        if let Some(forwarded) = request.forwarded_for
            && !forwarded.bytes().iter().all(|byte| is_of_an_address(*byte))
        {
            // Addresses alone are nothing to search; anything else is a header like others.
            self.field(Field::Headers, HEADERS, forwarded.bytes(), request);
        }
        self.verdict.total(self.rules.rules());
        &self.verdict
    }

    /// Judges text of unknown make-up; see [`RuleSet::scan_text`].
    pub(crate) fn scan_text(&mut self, text: &[u8]) -> &Verdict {
        self.begin();
        let mut cut = std::mem::take(&mut self.cut);
        let text = bounded(text, &mut cut, &mut self.verdict.truncated_fields);
        let nothing_known = Request::default();
        for subject in UNKNOWN {
            self.whole(subject, text, &nothing_known);
        }
        self.cut = cut;
        let rules = self.rules;
        self.verdict.hits.retain(|hit| !rules.fires_on_plain_records(hit.rule));
        self.verdict.total(rules.rules());
        &self.verdict
    }

    /// The rules that fire on a text of unknown make-up, whatever they say.
    pub(crate) fn fired_on(&mut self, text: &[u8]) -> impl Iterator<Item = usize> {
        self.begin();
        for subject in UNKNOWN {
            self.whole(subject, text, &Request::default());
        }
        self.verdict.hits.iter().map(|hit| hit.rule)
    }

    /// The verdict of the last call.
    pub(crate) const fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    fn begin(&mut self) {
        self.verdict.clear();
        self.search.begin();
    }

    /// By itself, so that the way of what is known to be clean stays short.
    #[inline(never)]
    fn field(&mut self, field: Field, memo: usize, text: &[u8], request: &Request<'_>) {
        let mut cut = std::mem::take(&mut self.cut);
        let truncated = self.verdict.truncated_fields;
        let looked_at = bounded(text, &mut cut, &mut self.verdict.truncated_fields);
        let clean = match field {
            Field::Query => self.query(looked_at, request),
            Field::Path => self.path(looked_at, request),
            Field::UserAgent => self.whole(Subject::UserAgent, looked_at, request),
            Field::Referer => self.whole(Subject::Referer, looked_at, request),
            Field::Host => self.whole(Subject::Host, looked_at, request),
            // Each header is remembered by itself.
            Field::Headers => {
                self.headers(memo, looked_at, request);
                false
            }
            _ => self.whole(Subject::Method, looked_at, request),
        };
        if self.search.is_beyond_doubt() {
            self.verdict.truncated_fields += 1;
        }
        // What was not looked at in full counts as such each time.
        let remember = self.search.census.is_none();
        if remember && clean && self.verdict.truncated_fields == truncated {
            self.memos[memo].remember_clean(text);
        }
        self.cut = cut;
    }

    /// The whole path, then what stands in segments of base64.
    fn path(&mut self, path: &[u8], request: &Request<'_>) -> bool {
        let clean = self.whole(Subject::Path, path, request);
        let mut all_clean = clean;
        let mut start = 0;
        for segment in path.split(|byte| *byte == b'/') {
            all_clean &= self.in_base64(Subject::Path, segment, path, start, request);
            start += segment.len() + 1;
        }
        all_clean
    }

    /// Searches one field.
    fn whole(&mut self, subject: Subject, text: &[u8], request: &Request<'_>) -> bool {
        self.text(subject, self.rules.engine().views(subject), text, text, 0, request)
    }

    /// Searches some views of one text, which stands in the logged field `whole` at
    /// `start`. Returns whether nothing in it depends on the rest of the request and
    /// nothing was found.
    fn text(
        &mut self,
        subject: Subject,
        wanted: ViewSet,
        text: &[u8],
        whole: &[u8],
        start: usize,
        request: &Request<'_>,
    ) -> bool {
        let engine = self.rules.engine();
        if wanted.is_empty() {
            return true;
        }
        if self.search.is_beyond_doubt() {
            return false;
        }
        self.search.clean = true;
        self.search.whole = Default::default();
        for pass in self.search.views.begin(subject, text, wanted).into_iter().flatten() {
            let Search { views, candidates, parts, parts_noted, census, .. } = &mut self.search;
            let searched = views.get(text, pass.searched);
            if let Some(census) = census {
                census.searched_bytes += searched.len() as u64;
            }
            engine.always(subject, pass.views, searched, candidates);
            let noting = subject == Subject::Query && pass.searched == View::Raw;
            *parts_noted |= noting;
            let parts = noting.then_some(parts);
            engine.literals(subject, pass.views, searched, candidates, parts);
            if candidates.is_empty() {
                continue;
            }
            let mut candidates = std::mem::take(candidates);
            for candidate in candidates.found() {
                self.confirm(candidate, subject, text, whole, start, request);
                if self.search.is_beyond_doubt() {
                    break;
                }
            }
            candidates.clear();
            self.search.candidates = candidates;
        }
        self.search.clean
    }

    fn confirm(
        &mut self,
        candidate: Candidate,
        subject: Subject,
        text: &[u8],
        whole: &[u8],
        start: usize,
        request: &Request<'_>,
    ) {
        let index = candidate.rule as usize;
        let RuleKind::Signature(signature) = self.rules.rules()[index].kind() else {
            return;
        };
        if let Some(census) = &mut self.search.census {
            census.candidate(index);
        }
        if self.search.fired[index] == self.search.turn {
            self.search.clean = false;
            return;
        }
        if !signature.conditions.hold(request) {
            self.search.clean = false;
            return;
        }
        self.search.views.compute(text, candidate.view);
        let view = self.search.views.get(text, candidate.view);
        let literal = candidate.start..candidate.end;
        let is_whole = &mut self.search.whole[candidate.view as usize];
        let found = confirmed(signature, view, literal.clone(), is_whole);
        if let Some(census) = &mut self.search.census {
            census.confirmation(index, signature, view, literal, found.is_some());
        }
        let Some(span) = found else { return };
        self.search.clean = false;
        self.search.fired[index] = self.search.turn;
        let blocks_alone = self.rules.rules()[index].points() >= BLOCK_LEVEL;
        self.search.blocking += u32::from(blocks_alone);
        let matched = &view[span.clone()];
        let matched = &matched[..matched.len().min(EVIDENCE_MATCH_BYTES)];
        // Decoding keeps order but not distance: the place in the logged text is in
        // proportion, and exact where nothing was decoded.
        let near = start + span.start * text.len() / view.len().max(1);
        self.verdict.hits.push(Hit {
            rule: index,
            subject: self.search.shown_in_base64.unwrap_or(subject),
            view: candidate.view,
            in_base64: self.search.shown_in_base64.is_some(),
            text: Untrusted::new(around(whole, near)).to_buf(),
            matched: Untrusted::new(matched).to_buf(),
        });
    }
}

/// Where the rule matches in the view, if it does.
fn confirmed(
    signature: &Signature,
    view: &[u8],
    literal: std::ops::Range<u32>,
    is_whole: &mut [Option<bool>; Whole::ALL.len()],
) -> Option<std::ops::Range<usize>> {
    let mut span = literal.start as usize..literal.end as usize;
    if !signature.patterns.is_empty() {
        span = signature.patterns.find_in(view)?;
    }
    if let Some(tokens) = signature.tokens {
        let found = tokens.find(view)?;
        if signature.patterns.is_empty() {
            span = found;
        }
    }
    let mut is = |form: Whole| *is_whole[form as usize].get_or_insert_with(|| form.is(view));
    if signature.is_excused(view) || signature.unless_whole.is_some_and(&mut is) {
        return None;
    }
    Some(span)
}

/// Whether a list of addresses, ports and names of hosts may hold it.
const fn is_of_an_address(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b',' | b' ' | b'-' | b'_')
}

const fn without_line_break(byte: u8) -> u8 {
    if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }
}

/// The part of a field that is looked at.
fn bounded<'t>(text: &'t [u8], cut: &'t mut Vec<u8>, truncated: &mut u32) -> &'t [u8] {
    if text.len() <= MAX_TEXT_BYTES {
        return text;
    }
    *truncated += 1;
    cut.clear();
    cut.extend_from_slice(&text[..HEAD_BYTES]);
    // So that the two ends do not join to something that was never sent.
    cut.push(b'\n');
    cut.extend_from_slice(&text[text.len() - TAIL_BYTES + 1..]);
    cut
}

/// Up to [`EVIDENCE_TEXT_BYTES`] of the text around a place in it.
fn around(text: &[u8], near: usize) -> &[u8] {
    let most_start = text.len().saturating_sub(EVIDENCE_TEXT_BYTES);
    let start = near.saturating_sub(EVIDENCE_TEXT_BYTES / 4).min(most_start);
    &text[start..text.len().min(start + EVIDENCE_TEXT_BYTES)]
}

/// Scratch memory of one classifier.
struct Search {
    views: Views,
    candidates: Candidates,
    /// For each rule, the turn in which it last fired.
    fired: Vec<u64>,
    /// Counts requests, so that `fired` need not be cleared.
    turn: u64,
    /// Rules that fired and reach the block level each by itself.
    blocking: u32,
    /// Whether the text at hand would come out clean in any other request.
    clean: bool,
    /// For each view of the text at hand, whether all of it has each form, once asked.
    whole: [[Option<bool>; Whole::ALL.len()]; View::ALL.len()],
    /// Names and values in which literals were seen that rules look for there.
    parts: Parts,
    /// Whether `parts` is known for the query at hand.
    parts_noted: bool,
    /// What rules cost, where that is wanted.
    census: Option<Census>,
    /// While text is searched that stood in base64: what to call it.
    shown_in_base64: Option<Subject>,
}

impl Search {
    fn new(rules: usize) -> Self {
        Self {
            views: Views::default(),
            candidates: Candidates::default(),
            fired: vec![0; rules],
            turn: 0,
            blocking: 0,
            clean: true,
            whole: Default::default(),
            parts: Parts::default(),
            parts_noted: false,
            census: None,
            shown_in_base64: None,
        }
    }

    fn begin(&mut self) {
        self.turn += 1;
        self.blocking = 0;
        self.parts.clear();
        self.parts_noted = false;
    }

    /// Whether so much is known of the request that nothing more is looked for.
    const fn is_beyond_doubt(&self) -> bool {
        self.blocking >= BEYOND_DOUBT
    }
}
