//! Finds signatures in requests.
//!
//! Hundreds of rules look at half a dozen texts of every request, each in several views,
//! and nearly every request is innocent. So one automaton per text holds the literals of
//! all rules; only a rule whose literal was seen is confirmed, only then is a view
//! computed that was not needed for the search, and texts that were found clean are
//! remembered. A clean text costs one pass over its logged bytes, or none.
//!
//! Every step is linear in the text, and a text is bounded by [`MAX_TEXT_BYTES`], so a
//! request costs no more than its length, whatever it holds.
//!
//! What a view is, is decided in `view`; what a literal or expression means, in the rules.

mod automaton;
mod memo;
mod views;

use portcullis_ingest::{Field, Request, Untrusted, UntrustedBuf};

use crate::level::{BLOCK_LEVEL, Category, request_score};
use crate::rule::{Rule, RuleKind, RuleSet, Signature, Subject};
use crate::view::View;

pub(crate) use automaton::Engine;
use automaton::{Candidate, Candidates, Parts};
use memo::Memo;
use views::Views;

/// Most bytes of one field that are looked at: of a longer one the beginning and, because
/// payloads hide at the end of padding, the end.
pub const MAX_TEXT_BYTES: usize = HEAD_BYTES + TAIL_BYTES;

/// Bytes looked at from the beginning of a long field. AWS limits a request line and all
/// headers together to about 10 KiB, so a whole field fits where the log is honest.
const HEAD_BYTES: usize = 16 * 1024;

/// Bytes looked at from its end.
const TAIL_BYTES: usize = 4 * 1024;

/// Bytes of a field kept as evidence.
const EVIDENCE_TEXT_BYTES: usize = 256;

/// Bytes of a match kept as evidence.
const EVIDENCE_MATCH_BYTES: usize = 128;

/// The fields whose text is searched, in the order of evidence.
const FIELDS: [Field; 7] = [
    Field::Path,
    Field::Query,
    Field::UserAgent,
    Field::Referer,
    Field::Host,
    Field::Headers,
    Field::Method,
];

/// What the signatures say of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    score: u32,
    truncated_fields: u32,
    hits: Vec<Hit>,
    categories: Vec<Category>,
}

impl Verdict {
    /// Points of the rules that fired, with each category's cap; see
    /// [`crate::request_score`].
    pub const fn score(&self) -> u32 {
        self.score
    }

    /// Whether the score reaches [`BLOCK_LEVEL`].
    pub const fn flagged(&self) -> bool {
        self.score >= BLOCK_LEVEL
    }

    /// The rules that fired, each once, in the order of the rule set.
    pub fn hits(&self) -> &[Hit] {
        &self.hits
    }

    /// Their categories, sorted, each once.
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// Fields of which the middle was not looked at.
    pub const fn truncated_fields(&self) -> u32 {
        self.truncated_fields
    }

    fn clear(&mut self) {
        self.score = 0;
        self.truncated_fields = 0;
        self.hits.clear();
        self.categories.clear();
    }

    fn total(&mut self, rules: &[Rule]) {
        if self.hits.is_empty() {
            return;
        }
        self.hits.sort_unstable_by_key(|hit| hit.rule);
        let fired = self.hits.iter().map(|hit| &rules[hit.rule]);
        self.score = request_score(fired.clone().map(|rule| (rule.category(), rule.points())));
        self.categories.extend(fired.map(Rule::category));
        self.categories.sort_unstable();
        self.categories.dedup();
    }
}

/// One rule that fired, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Index of the rule in [`RuleSet::rules`].
    pub rule: usize,
    /// The text it fired on.
    pub subject: Subject,
    /// The view of that text.
    pub view: View,
    /// The field as logged, cut to 256 bytes around the match.
    pub text: UntrustedBuf,
    /// The bytes that matched, in that view, cut to 128.
    pub matched: UntrustedBuf,
}

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
        }
    }

    /// Judges one request. The verdict stays until the next call.
    pub fn classify(&mut self, request: &Request<'_>) -> &Verdict {
        self.begin();
        for (field, place) in FIELDS.into_iter().zip(0..) {
            if let Some(text) = request.text(field).filter(|text| !text.bytes().is_empty()) {
                self.field(field, place, text.bytes(), request);
            }
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
        for subject in [Subject::Path, Subject::Query, Subject::UserAgent] {
            self.text(subject, text, text, 0, &nothing_known);
        }
        self.cut = cut;
        self.verdict.total(self.rules.rules());
        &self.verdict
    }

    /// The verdict of the last call.
    pub(crate) const fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    fn begin(&mut self) {
        self.verdict.clear();
        self.search.begin();
    }

    fn field(&mut self, field: Field, memo: usize, text: &[u8], request: &Request<'_>) {
        // Queries hardly ever repeat; everything else does.
        let remember = field != Field::Query;
        if remember && self.memos[memo].is_clean(text) {
            return;
        }
        let mut cut = std::mem::take(&mut self.cut);
        let looked_at = bounded(text, &mut cut, &mut self.verdict.truncated_fields);
        let clean = match field {
            Field::Query => self.query(looked_at, request),
            Field::Path => self.text(Subject::Path, looked_at, looked_at, 0, request),
            Field::UserAgent => self.text(Subject::UserAgent, looked_at, looked_at, 0, request),
            Field::Referer => self.text(Subject::Referer, looked_at, looked_at, 0, request),
            Field::Host => self.text(Subject::Host, looked_at, looked_at, 0, request),
            Field::Headers => self.text(Subject::Headers, looked_at, looked_at, 0, request),
            _ => self.text(Subject::Method, looked_at, looked_at, 0, request),
        };
        if remember && clean && looked_at.len() == text.len() {
            self.memos[memo].remember_clean(text);
        }
        self.cut = cut;
    }

    /// The whole query, then each of its names and values by itself.
    fn query(&mut self, query: &[u8], request: &Request<'_>) -> bool {
        let engine = self.rules.engine();
        self.text(Subject::Query, query, query, 0, request);
        // Without encodings every name and value is a part of the query as it was just
        // searched, so that what was not in it is not in them.
        let searched = engine.query_covers_parts() && !self.search.views.several();
        let Parts { names, values } = self.search.parts;
        for (subject, seen) in [(Subject::Names, names), (Subject::Values, values)] {
            let literals = seen || !searched;
            if engine.views(subject).is_empty() || !(literals || engine.has_always(subject)) {
                continue;
            }
            let mut line = std::mem::take(&mut self.line);
            let mut offset = 0;
            for parameter in query.split(|byte| *byte == b'&') {
                let equals = memchr::memchr(b'=', parameter);
                let (part, start) = match (subject, equals) {
                    (Subject::Names, Some(equals)) => (&parameter[..equals], offset),
                    (_, Some(equals)) => (&parameter[equals + 1..], offset + equals + 1),
                    (Subject::Names, None) => (&parameter[..0], offset),
                    (_, None) => (parameter, offset),
                };
                offset += parameter.len() + 1;
                // Where no literal is, only a rule without one is left to ask.
                if part.is_empty() || !(literals || engine.always_may_hold(subject, part)) {
                    continue;
                }
                let part = if memchr::memchr2(b'\n', b'\r', part).is_some() {
                    line.clear();
                    line.extend(part.iter().map(|byte| without_line_break(*byte)));
                    &line
                } else {
                    part
                };
                self.text(subject, part, query, start, request);
            }
            self.line = line;
        }
        self.search.clean
    }

    /// Searches one text, which stands in the logged field `whole` at `start`. Returns
    /// whether nothing in it depends on the rest of the request and nothing was found.
    fn text(
        &mut self,
        subject: Subject,
        text: &[u8],
        whole: &[u8],
        start: usize,
        request: &Request<'_>,
    ) -> bool {
        let engine = self.rules.engine();
        let wanted = engine.views(subject);
        if wanted.is_empty() {
            return true;
        }
        self.search.clean = true;
        for pass in self.search.views.begin(subject, text, wanted).into_iter().flatten() {
            let Search { views, candidates, parts, .. } = &mut self.search;
            let searched = views.get(text, pass.searched);
            engine.always(subject, pass.views, searched, candidates);
            engine.literals(subject, pass.views, searched, candidates, parts);
            if candidates.is_empty() {
                continue;
            }
            let mut candidates = std::mem::take(candidates);
            for candidate in candidates.found() {
                self.confirm(candidate, subject, text, whole, start, request);
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
        let Some(span) = confirmed(signature, view, candidate.start..candidate.end) else {
            return;
        };
        self.search.clean = false;
        self.search.fired[index] = self.search.turn;
        let matched = &view[span.clone()];
        let matched = &matched[..matched.len().min(EVIDENCE_MATCH_BYTES)];
        // Decoding keeps order but not distance: the place in the logged text is in
        // proportion, and exact where nothing was decoded.
        let near = start + span.start * text.len() / view.len().max(1);
        self.verdict.hits.push(Hit {
            rule: index,
            subject,
            view: candidate.view,
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
    if signature.unless.match_in(view) {
        return None;
    }
    Some(span)
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
    /// Whether the text at hand would come out clean in any other request.
    clean: bool,
    /// Whether literals were seen that rules look for in names or values.
    parts: Parts,
}

impl Search {
    fn new(rules: usize) -> Self {
        Self {
            views: Views::default(),
            candidates: Candidates::default(),
            fired: vec![0; rules],
            turn: 0,
            clean: true,
            parts: Parts::default(),
        }
    }

    fn begin(&mut self) {
        self.turn += 1;
        self.parts = Parts::default();
    }
}
