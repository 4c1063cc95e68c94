//! Rules, and checked sets of them.
//!
//! A rule is data: one TOML file that says what it looks for, how sure it is, what it
//! cannot see, and proves itself with examples. A [`RuleSet`] exists only if every file
//! was understood whole: a rule that is skipped because of a typing error is a blind spot
//! nobody sees, so one error refuses the set, and all errors are told at once.
//!
//! How signatures are searched is in `signature`, how rates are counted in `rate`.

mod builtin;
mod condition;
mod error;
mod example;
mod loose;
mod parse;
mod pattern;
mod reader;
mod required;
mod spot;

use std::sync::{Arc, OnceLock};

use ipnet::IpNet;
use portcullis_ingest::{Field, FieldSet, Request};

pub use condition::{Conditions, StatusSet};
pub use error::{RuleError, RuleErrorKind, RuleErrors, did_you_mean};
pub use example::{Example, ExampleFailure, ExampleRequest, ExampleStep};
pub(crate) use pattern::Patterns;
pub(crate) use spot::{Spot, write_caret};

use crate::background::{Background, Backgrounds};
use crate::crawler::Crawlers;
use crate::level::{Category, Confidence, Severity, named, points};
use crate::rate::{HashKey, Key, RatePlan};
use crate::signature::{Classifier, Engine, Verdict};
use crate::state::RuleDigest;
use crate::tokens::Tokens;
use crate::view::View;

/// One rule, checked.
#[derive(Debug)]
pub struct Rule {
    pub(crate) id: Arc<str>,
    pub(crate) title: Arc<str>,
    pub(crate) category: Category,
    pub(crate) severity: Severity,
    pub(crate) confidence: Confidence,
    pub(crate) references: Vec<String>,
    pub(crate) misses: String,
    pub(crate) runbook: Option<String>,
    pub(crate) kind: RuleKind,
    pub(crate) examples: Vec<Example>,
    pub(crate) file: String,
    pub(crate) source: String,
}

impl Rule {
    /// Permanent name, equal to the rule's path without `.toml`.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) const fn shared_id(&self) -> &Arc<str> {
        &self.id
    }

    /// What it finds, as a headline.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What it is about.
    pub const fn category(&self) -> Category {
        self.category
    }

    /// How bad it is if the rule is right.
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// How likely the rule is right when it fires.
    pub const fn confidence(&self) -> Confidence {
        self.confidence
    }

    /// What it adds to a score.
    pub const fn points(&self) -> u32 {
        points(self.severity, self.confidence)
    }

    /// Where to read more.
    pub fn references(&self) -> &[String] {
        &self.references
    }

    /// What the rule cannot see.
    pub fn misses(&self) -> &str {
        &self.misses
    }

    /// What an analyst checks next.
    pub fn runbook(&self) -> Option<&str> {
        self.runbook.as_deref()
    }

    /// What it looks for.
    pub const fn kind(&self) -> &RuleKind {
        &self.kind
    }

    /// Its proof.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// The file it was read from, as given to [`RuleSet::load`].
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The text of that file.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Fields of which a format must give at least one; empty when there is no choice.
    pub fn needs_any(&self) -> FieldSet {
        match &self.kind {
            RuleKind::Signature(signature) => {
                signature.subjects.iter().map(|subject| subject.field()).collect()
            }
            RuleKind::Rate(_) => FieldSet::EMPTY,
        }
    }

    /// Fields of which a format must give every one.
    pub fn needs_all(&self) -> FieldSet {
        match &self.kind {
            RuleKind::Signature(signature) => signature.conditions.needs(),
            RuleKind::Rate(rate) => {
                let mut fields = rate.conditions.needs();
                fields.insert(Field::Time);
                fields.insert(rate.by.field());
                if let Some(field) = rate.measure.field() {
                    fields.insert(field);
                }
                fields
            }
        }
    }

    /// The fields whose absence makes the rule blind with a format that gives `given`;
    /// empty when the rule can look.
    pub fn missing_fields(&self, given: FieldSet) -> FieldSet {
        let mut missing: FieldSet =
            self.needs_all().iter().filter(|field| !given.contains(*field)).collect();
        let any = self.needs_any();
        if !any.is_empty() && !any.iter().any(|field| given.contains(field)) {
            missing = missing.union(any);
        }
        missing
    }
}

/// What a rule looks for.
#[derive(Debug)]
pub enum RuleKind {
    /// Text in one request.
    Signature(Box<Signature>),
    /// Behaviour over time.
    Rate(Box<Rate>),
}

impl RuleKind {
    /// `signature` or `rate`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Signature(_) => "signature",
            Self::Rate(_) => "rate",
        }
    }
}

/// Text in one request: a literal makes a candidate, the rest confirms it.
#[derive(Debug)]
pub struct Signature {
    pub(crate) subjects: Vec<Subject>,
    pub(crate) views: Vec<View>,
    pub(crate) literals: Vec<Literal>,
    pub(crate) patterns: Patterns,
    pub(crate) unless: Patterns,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) conditions: Conditions,
}

impl Signature {
    /// The texts it looks at.
    pub fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// The views of those texts.
    pub fn views(&self) -> &[View] {
        &self.views
    }

    /// The literals of which one must be there.
    pub fn literals(&self) -> &[Literal] {
        &self.literals
    }
}

named! {
    /// A text that a signature looks at.
    Subject {
        /// The path.
        Path = "path",
        /// The whole query string.
        Query = "query",
        /// Each parameter value of the query string, by itself.
        Values = "values",
        /// Each parameter name of the query string, by itself.
        Names = "names",
        /// The `User-Agent` header.
        UserAgent = "user_agent",
        /// The `Referer` header.
        Referer = "referer",
        /// The `Host` header.
        Host = "host",
        /// Each header without a field of its own, by itself, as `name: value`.
        Headers = "headers",
        /// The method.
        Method = "method",
    }
}

impl Subject {
    /// The field of a request it is taken from.
    pub const fn field(self) -> Field {
        match self {
            Self::Path => Field::Path,
            Self::Query | Self::Values | Self::Names => Field::Query,
            Self::UserAgent => Field::UserAgent,
            Self::Referer => Field::Referer,
            Self::Host => Field::Host,
            Self::Headers => Field::Headers,
            Self::Method => Field::Method,
        }
    }
}

/// A literal that makes a candidate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Literal {
    pub(crate) text: String,
    pub(crate) place: Place,
}

impl Literal {
    /// What must be there.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it must be.
    pub const fn place(&self) -> Place {
        self.place
    }
}

named! {
    /// Where a literal must stand in the text.
    Place {
        /// Anywhere.
        Anywhere = "contains",
        /// With no letter, digit or underscore directly before or after.
        Word = "words",
        /// As whole path segments.
        Segment = "segments",
        /// At the end.
        End = "endings",
        /// At the start.
        Start = "starts",
    }
}

/// Behaviour over time, of one client or of all that share something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    pub(crate) by: Key,
    pub(crate) measure: Measure,
    pub(crate) threshold: u64,
    pub(crate) minimum: u32,
    pub(crate) window_seconds: u32,
    pub(crate) quiet_seconds: u32,
    pub(crate) conditions: Conditions,
}

/// Longest window that is exact to the second.
const LONGEST_EXACT_SECONDS: u32 = 3_600;

impl Rate {
    /// Most panes of a window over an hour: the resolution of a day is four minutes.
    pub const MOST_PANES: u32 = 360;

    /// By what requests are counted together.
    pub const fn by(&self) -> Key {
        self.by
    }

    /// What is measured.
    pub const fn measure(&self) -> Measure {
        self.measure
    }

    /// Least value in one window that fires, in the measure's unit; see [`Measure::unit`].
    pub const fn threshold(&self) -> u64 {
        self.threshold
    }

    /// For [`Measure::ErrorShare`], the least number of errors in the window.
    pub const fn minimum(&self) -> u32 {
        self.minimum
    }

    /// Length of the window, in seconds.
    pub const fn window_seconds(&self) -> u32 {
        self.window_seconds
    }

    /// Bursts that follow each other in less than this are one, in seconds.
    pub const fn quiet_seconds(&self) -> u32 {
        self.quiet_seconds
    }

    /// Width of the panes that windows are made of, in seconds: 1 up to an hour. Longer
    /// windows begin at multiples of it and hold whole panes, so that what they measure is
    /// never more than the truth, and never less than that of a window one pane shorter.
    pub const fn pane_seconds(&self) -> u32 {
        if self.window_seconds <= LONGEST_EXACT_SECONDS {
            1
        } else {
            self.window_seconds.div_ceil(Self::MOST_PANES)
        }
    }

    /// Panes in one window.
    pub(crate) const fn panes(&self) -> u32 {
        self.window_seconds / self.pane_seconds()
    }

    /// Which requests are counted.
    pub const fn conditions(&self) -> &Conditions {
        &self.conditions
    }
}

named! {
    /// What a rate rule measures in a window, of the requests that meet its conditions.
    Measure {
        /// Requests.
        Count = "count",
        /// Different paths, as logged.
        DistinctPaths = "distinct-paths",
        /// Different routes.
        DistinctRoutes = "distinct-routes",
        /// Different objects of one route, of the route with the most. An object is a path
        /// on a route with a parameter (`/pets/{petId}`). Where the log has no route, or one
        /// that takes any path (`$default`, `{proxy+}`), it is a path with a segment that
        /// looks like an id: a number, a UUID, or at least 8 letters, digits and dashes with
        /// 4 digits; the path with those segments cut out stands for the route.
        DistinctObjects = "distinct-objects",
        /// Different `User-Agent` headers.
        DistinctAgents = "distinct-agents",
        /// Bytes of their responses.
        Bytes = "bytes",
        /// Their share of all requests of the key, in percent. Without a condition on
        /// statuses, the statuses from 400 up.
        ErrorShare = "error-share",
    }
}

impl Measure {
    /// The field that it reads, if any by itself.
    pub const fn field(self) -> Option<Field> {
        match self {
            Self::Count | Self::ErrorShare => None,
            Self::DistinctPaths | Self::DistinctObjects => Some(Field::Path),
            Self::DistinctRoutes => Some(Field::Route),
            Self::DistinctAgents => Some(Field::UserAgent),
            Self::Bytes => Some(Field::ResponseBytes),
        }
    }

    /// What follows a value of it in a sentence, from the space on.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Count => " requests",
            Self::DistinctPaths => " different paths",
            Self::DistinctRoutes => " different routes",
            Self::DistinctObjects => " different objects of one route",
            Self::DistinctAgents => " different user agents",
            Self::Bytes => " bytes",
            Self::ErrorShare => " % errors",
        }
    }

    /// What follows a limit of it, whose unit is known.
    pub const fn sign(self) -> &'static str {
        if matches!(self, Self::ErrorShare) { " %" } else { "" }
    }
}

/// Rules that were all understood, with the automata to search them.
#[derive(Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    engine: Engine,
    rates: RatePlan,
    digest: RuleDigest,
    crawlers: Crawlers,
    backgrounds: Option<Arc<dyn Backgrounds>>,
    /// The rules that fire on whole records in which nothing is wrong, once somebody asks.
    on_plain_records: OnceLock<Vec<usize>>,
}

/// A whole record of each form of log, in which nothing is wrong.
const PLAIN_RECORDS: [&[u8]; 3] = [
    b"192.0.2.1 - - [26/Jan/2026:10:11:07 +0000] \"GET /pets HTTP/1.1\" 200 5 \"-\" \"Mozilla/5.0\" \
      3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    br#"{"requestId":"3f2504e0-4f89-11d3-9a0c-0305e82c3301","ip":"192.0.2.1","httpMethod":"GET","path":"/pets","protocol":"HTTP/1.1","status":"200"}"#,
    b"<request id=\"3f2504e0-4f89-11d3-9a0c-0305e82c3301\"><ip>192.0.2.1</ip><path>/pets</path></request>",
];

impl RuleSet {
    /// The rules compiled into the program. Their expressions are compiled when they are
    /// needed, which most are not in a small log.
    pub fn builtin() -> Self {
        match parse::tested_rules(Self::builtin_files()) {
            Ok(rules) => Self::of(rules),
            Err(errors) => {
                panic!("the rules compiled in are checked by this crate's tests: {errors}")
            }
        }
    }

    /// The files of the rules compiled into the program, as [`RuleSet::load`] takes them.
    pub fn builtin_files() -> impl Iterator<Item = (String, String)> {
        builtin::FILES.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned()))
    }

    /// Reads rules from `(file, text)` pairs. A file's path must end in its rule's id.
    ///
    /// # Errors
    /// Every error of every file.
    pub fn load(files: impl IntoIterator<Item = (String, String)>) -> Result<Self, RuleErrors> {
        parse::rules(files).map(Self::of)
    }

    /// The rules of the files that have no error, and the errors of the others.
    pub(crate) fn load_sound(
        files: impl IntoIterator<Item = (String, String)>,
    ) -> (Self, Vec<RuleError>) {
        let (rules, errors) = parse::sound_rules(files);
        (Self::of(rules), errors)
    }

    fn of(rules: Vec<Rule>) -> Self {
        let engine = Engine::new(&rules);
        let rates = RatePlan::new(&rules);
        let digest = RuleDigest::of(rules.iter().map(|rule| (rule.id(), rule.source())));
        let crawlers = Crawlers::default();
        let on_plain_records = OnceLock::new();
        Self { rules, engine, rates, digest, crawlers, backgrounds: None, on_plain_records }
    }

    /// The same rules, with crawlers to tell from those who only say that they are. States of
    /// scans with other crawlers are of other rules: what they counted is not the same.
    #[must_use]
    pub fn with_crawlers(self, crawlers: Crawlers) -> Self {
        let mut digest = self.digest;
        for part in crawlers.parts() {
            digest = digest.with(part.as_bytes());
        }
        Self { digest, crawlers, ..self }
    }

    /// The same rules, whose counts are keyed: what was counted with another key is of other
    /// rules. Findings are the same, whatever the key, as long as nothing is forgotten.
    #[must_use]
    pub fn with_hash_key(mut self, key: HashKey) -> Self {
        self.digest = self.digest.with(&crate::rate::hash(key, b"key").to_le_bytes());
        self.rates.hash_key = key;
        self
    }

    /// The same rules, with what is known of sources from elsewhere. It is asked for when all
    /// requests were seen, so that states of scans with and without it are the same.
    #[must_use]
    pub fn with_backgrounds(self, backgrounds: Arc<dyn Backgrounds>) -> Self {
        Self { backgrounds: Some(backgrounds), ..self }
    }

    /// What is known of a source from elsewhere.
    pub(crate) fn background(&self, source: IpNet) -> Background {
        self.backgrounds.as_deref().map_or_else(Background::default, |known| known.of(source))
    }

    pub(crate) const fn crawlers(&self) -> &Crawlers {
        &self.crawlers
    }

    /// The rules, sorted by id. A rule's index in here is its index everywhere.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule with that id.
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        let index = self.rules.binary_search_by(|rule| rule.id().cmp(id)).ok()?;
        self.rules.get(index)
    }

    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Tells the set from others.
    pub const fn digest(&self) -> RuleDigest {
        self.digest
    }

    pub(crate) const fn rates(&self) -> &RatePlan {
        &self.rates
    }

    /// Judges requests one after the other; holds the scratch memory for it.
    pub fn classifier(&self) -> Classifier<'_> {
        Classifier::new(self)
    }

    /// Judges requests and counts what each rule costs; see [`Classifier::take_census`].
    pub fn counting_classifier(&self) -> Classifier<'_> {
        Classifier::counting(self)
    }

    /// Judges one request. For many, keep a [`RuleSet::classifier`].
    pub fn classify(&self, request: &Request<'_>) -> Verdict {
        self.classifier().classify(request).clone()
    }

    /// Judges raw text of which nobody knows what is path and what is query, such as a
    /// record that could not be read: it is searched as if it were either. Rules that fire on
    /// whole records in which nothing is wrong say nothing here: every line of a web server
    /// holds `GET / HTTP/1.1`, which inside a path would be an attack.
    pub fn scan_text(&self, text: &[u8]) -> Verdict {
        self.classifier().scan_text(text).clone()
    }

    /// Whether that rule fires on whole records in which nothing is wrong.
    pub(crate) fn fires_on_plain_records(&self, rule: usize) -> bool {
        let rules = self.on_plain_records.get_or_init(|| {
            let mut classifier = self.classifier();
            let fired = |text: &&[u8]| classifier.fired_on(text).collect::<Vec<_>>();
            PLAIN_RECORDS.iter().flat_map(fired).collect()
        });
        rules.contains(&rule)
    }

    /// Runs every rule's examples and returns those that came out otherwise.
    pub fn test(&self) -> Vec<ExampleFailure> {
        example::failures(self)
    }
}

#[cfg(test)]
mod tests;
