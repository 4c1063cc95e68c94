//! What the signatures say of a request, and on what evidence.

use portcullis_ingest::UntrustedBuf;

use crate::level::{BLOCK_LEVEL, Category, request_score};
use crate::rule::{Rule, Subject};
use crate::view::View;

/// What the signatures say of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    score: u32,
    pub(super) truncated_fields: u32,
    pub(super) hits: Vec<Hit>,
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

    /// The rules that fired, each once, in the order of the rule set; not all of them where
    /// twelve reach the block level each by itself, because no more are looked for then.
    pub fn hits(&self) -> &[Hit] {
        &self.hits
    }

    /// Their categories, sorted, each once.
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// Fields that were not looked at in full: too long, of too many parts, or the request
    /// was beyond doubt before their end.
    pub const fn truncated_fields(&self) -> u32 {
        self.truncated_fields
    }

    pub(super) fn clear(&mut self) {
        self.score = 0;
        self.truncated_fields = 0;
        self.hits.clear();
        self.categories.clear();
    }

    /// Sorts the hits and adds up what they say.
    pub(super) fn total(&mut self, rules: &[Rule]) {
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
    /// Whether the text stood in base64: the view is of what it stands for.
    pub in_base64: bool,
    /// The field as logged, cut to 256 bytes around the match.
    pub text: UntrustedBuf,
    /// The bytes that matched, in that view, cut to 128.
    pub matched: UntrustedBuf,
}

impl Hit {
    /// How the text was read before it matched, as evidence names it.
    pub const fn reading(&self) -> &'static str {
        match (self.in_base64, self.view) {
            (false, view) => view.name(),
            (true, View::Raw) => "base64",
            (true, View::Decoded) => "base64 decoded",
            (true, View::Folded) => "base64 folded",
            (true, View::Path) => "base64 path",
        }
    }
}
