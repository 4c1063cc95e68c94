//! What a scan comes to, for each of those who ask.
//!
//! A plan wants findings, a reviewer an overview besides, an operator an account of one
//! source, whoever tunes rates a calibration. All of them are readings of the same sources,
//! so each begins by taking in what was only noted and by settling who is a crawler.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::RandomState;

use super::Scan;
use crate::account::Answer;
use crate::calibrate::Calibration;
use crate::memory::sketch_key;
use crate::offender::Findings;
use crate::overview::Overview;
use crate::rate::{Bursts, Group, GroupKey, Key};
use crate::source::{Grounds, Source, SourceKey};
use crate::standing::Standing;
use crate::traffic::Traffic;

/// Most hosts whose names are asked for. Each may take seconds, and who attacks from many
/// addresses decides how many there are.
const MOST_NAMES_ASKED: usize = 500;

impl Scan<'_> {
    /// Asks for the names of hosts that say to be crawlers, of clients that stand out without
    /// an answer.
    fn settle_claims(&mut self) {
        let noise = self.sketch.noise();
        let stands_out = |key: &SourceKey, source: &Source| {
            let address = source.open_claim()?;
            let remembered = self.sketch.estimate(&noise, sketch_key(key));
            let judged = source.clone().judge(*key, self.rules, &self.objects.names, remembered);
            (judged.standing() != Standing::Quiet).then_some((judged.score(), *key, address))
        };
        let sources = self.sources.iter();
        let mut asked: Vec<_> =
            sources.filter_map(|(key, source)| stands_out(key, source)).collect();
        asked.sort_unstable_by_key(|(score, key, _)| (Reverse(*score), *key));
        let all = asked.len();
        asked.truncate(MOST_NAMES_ASKED);
        let asked: Vec<_> = asked.into_iter().map(|(_, key, address)| (key, address)).collect();
        self.coverage.open_claims += (all - self.settle(&asked)) as u64;
    }

    /// Settles the claims of these sources, by the names of the hosts at their addresses; gives
    /// of how many.
    fn settle(&mut self, asked: &[(SourceKey, IpAddr)]) -> usize {
        let addresses: Vec<IpAddr> = asked.iter().map(|(_, address)| *address).collect();
        let answers = self.rules.crawlers().settled(&addresses);
        let mut settled = 0;
        for ((key, _), is_crawler) in asked.iter().zip(answers) {
            if let (Some(source), Some(is_crawler)) = (self.sources.get_mut(key), is_crawler) {
                source.settle(is_crawler);
                settled += 1;
            }
        }
        settled
    }

    /// Measures what honest clients did, by every rate rule that counts by client.
    pub fn calibration(mut self) -> Calibration {
        self.catch_up();
        self.settle_claims();
        let mut calibration = Calibration::new(self.rules);
        for source in self.sources.values() {
            calibration.add(self.rules, source, &self.objects.names);
        }
        calibration.order();
        calibration.coverage = self.coverage;
        calibration
    }

    /// Answers the question this scan was begun with, if any, once.
    pub fn answer(&mut self) -> Option<Answer> {
        let (request, key, timeline) = self.watch.take()?.finish();
        self.catch_up();
        if let Some(key) = key
            && let Some(address) = self.sources.get(&key).and_then(|source| source.open_claim())
        {
            self.settle(&[(key, address)]);
        }
        let source = key.and_then(|key| Some((key, self.sources.get(&key)?.clone())));
        let account = source.map(|(key, source)| {
            let remembered = self.sketch.estimate(&self.sketch.noise(), sketch_key(&key));
            let names = &self.objects.names;
            let judged = source.judge(key, self.rules, names, remembered);
            judged.account(key, self.rules, names, timeline)
        });
        Some(Answer { coverage: self.coverage.clone(), request, account })
    }

    /// Decides about every source, and gives the overview that this scan was begun for; an
    /// empty one when it was not.
    pub fn overview(mut self) -> (Findings, Overview) {
        let gathering = self.gathering.take().unwrap_or_default();
        let findings = self.finish();
        let shown = findings.offenders.iter().chain(&findings.watched);
        let overview = gathering.finish(shown.map(|offender| offender.source));
        (findings, overview)
    }

    /// Good requests of some sources; of forgotten ones, those that can be nobody else's.
    pub(crate) fn good_requests(
        &mut self,
        sources: impl Iterator<Item = SourceKey>,
    ) -> HashMap<SourceKey, u64, RandomState> {
        self.catch_up();
        let noise = self.sketch.noise();
        let good = |key: SourceKey| {
            let kept = self.sources.get(&key).map_or(0, |source| source.good_requests());
            (key, kept + self.sketch.estimate(&noise, sketch_key(&key)).good)
        };
        sources.map(good).collect()
    }

    /// What all sources did well, for whoever weighs what a block would cost.
    pub fn traffic(&mut self) -> Traffic {
        self.catch_up();
        let mut traffic = Traffic::default();
        for (key, source) in &self.sources {
            traffic.add(key.network(), source.traffic());
        }
        traffic
    }

    /// Decides about every source.
    pub fn finish(mut self) -> Findings {
        self.catch_up();
        self.settle_claims();
        let forgeries = self.forgeries.finish();
        let mut findings = Findings { coverage: self.coverage, forgeries, ..Findings::default() };
        let noise = self.sketch.noise();
        for (key, source) in self.sources.drain() {
            findings.requests_of_sources += source.requests();
            findings.coverage.forgotten.shortened += u64::from(source.has_shortened_evidence());
            if source.is_plainly_quiet(self.rules) {
                continue;
            }
            let remembered = self.sketch.estimate(&noise, sketch_key(&key));
            let judged = source.judge(key, self.rules, &self.objects.names, remembered);
            let list = match judged.standing() {
                Standing::Offender => &mut findings.offenders,
                Standing::Watched => &mut findings.watched,
                Standing::Quiet => continue,
            };
            list.extend(judged.offender(key));
        }
        for (key, group) in self.groups.drain() {
            let forgotten = self.sketch.estimate(&noise, sketch_key(&key)).counted;
            let names = &self.objects.names;
            let grounds = Grounds::of_rates(self.rules, key.by, &group.counts, forgotten, names);
            findings.suspects.extend(group.suspect(&key, self.rules.rates(), grounds));
        }
        findings.sort();
        findings
    }

    /// Whether the rule at that index fired on any source or group.
    pub(crate) fn fired(mut self, rule: usize) -> bool {
        self.catch_up();
        let names = &self.objects.names;
        let rates = self.rules.rates();
        let is_it = |bursts: Bursts<'_>| bursts.rule == rule;
        let in_source = |source: &Source| {
            source.has_tally(rule) || rates.bursts(Key::Client, &source.counts, 0, names).any(is_it)
        };
        let in_group = |(key, group): (&GroupKey, &Group)| {
            rates.bursts(key.by, &group.counts, 0, names).any(is_it)
        };
        self.sources.values().any(|source| in_source(source)) || self.groups.iter().any(in_group)
    }
}
