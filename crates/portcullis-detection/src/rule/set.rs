//! A set of rules that were all understood, and whom to ask besides.
//!
//! A set is made once and read by every thread. Whatever changes what is counted (the rules,
//! the crawlers, the key of the counts) changes its digest, so that states of scans with
//! different sets are never taken for each other.

use std::sync::{Arc, OnceLock};

use ipnet::IpNet;
use portcullis_ingest::Request;

use super::{ExampleFailure, Rule, RuleError, RuleErrors, builtin, example, parse};
use crate::background::{Background, Backgrounds};
use crate::crawler::Crawlers;
use crate::rate::{HashKey, RatePlan};
use crate::signature::{Classifier, Engine, Verdict};
use crate::state::RuleDigest;

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
