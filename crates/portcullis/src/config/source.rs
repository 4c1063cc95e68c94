//! `[source]`: where the logs are that unattended commands read, and what is kept of them.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de};

use crate::args::{Reporting, Run, Watch, Watched};
use crate::span;

/// Where the logs are and how they are reached.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SourceSettings {
    /// `s3://BUCKET/PREFIX`, or a directory.
    pub location: Option<String>,
    /// Their format; that of `[scan]` unless given.
    pub format: Option<String>,
    /// Where what was found is kept.
    pub state: Option<String>,
    /// Where plans are written.
    pub plans: Option<String>,
    queue: Option<String>,
    #[serde(deserialize_with = "length")]
    lookback: Option<i64>,
    #[serde(deserialize_with = "length")]
    deadline: Option<i64>,
    profile: Option<String>,
    region: Option<String>,
    assume_role: Option<String>,
    endpoint_url: Option<String>,
    requester_pays: bool,
}

/// A length of time in milliseconds, written as `25h`.
pub(super) fn length<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let text = String::deserialize(from)?;
    span::length(&text).map(Some).map_err(de::Error::custom)
}

impl SourceSettings {
    /// The places in the file, which are meant from where the file is.
    pub(super) fn places(&mut self) -> impl Iterator<Item = &mut String> {
        let Self { location, state, plans, .. } = self;
        [location, state, plans].into_iter().flatten().filter(|place| !place.contains("://"))
    }

    /// Gives a command what it was not given.
    pub(super) fn fill_run(&self, run: &mut Run) {
        if run.locations.is_empty() {
            run.locations.extend(self.location.clone());
        }
        run.deadline = run.deadline.or(self.deadline);
        self.fill(&mut run.watched);
    }

    /// The same.
    #[cfg(feature = "lambda")]
    pub(super) fn fill_lambda(&self, lambda: &mut crate::args::Lambda) {
        if lambda.locations.is_empty() {
            lambda.locations.extend(self.location.clone());
        }
        self.fill(&mut lambda.watched);
    }

    /// The same.
    pub(super) fn fill_watch(&self, watch: &mut Watch) {
        if watch.locations.is_empty() {
            watch.locations.extend(self.location.clone());
        }
        watch.queue = watch.queue.take().or_else(|| self.queue.clone());
        self.fill(&mut watch.watched);
    }

    /// The same, for all commands of this kind.
    pub(super) fn fill(&self, watched: &mut Watched) {
        let over = |given: &mut Option<String>, from: &Option<String>| {
            if given.is_none() {
                given.clone_from(from);
            }
        };
        over(&mut watched.reading.format, &self.format);
        over(&mut watched.state, &self.state);
        over(&mut watched.plans, &self.plans);
        over(&mut watched.source_access.profile, &self.profile);
        over(&mut watched.source_access.region, &self.region);
        over(&mut watched.source_access.assume_role, &self.assume_role);
        over(&mut watched.source_access.endpoint_url, &self.endpoint_url);
        watched.lookback = watched.lookback.or(self.lookback);
        watched.reading.requester_pays |= self.requester_pays;
    }
}

/// `[report]`: who is told of what unattended commands did.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ReportSettings {
    metrics: Option<PathBuf>,
    emf: bool,
    webhook_file: Option<PathBuf>,
    topic: Option<String>,
}

impl ReportSettings {
    /// The files, which are meant from where the configuration is.
    pub(super) fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.metrics.iter_mut().chain(&mut self.webhook_file)
    }

    /// Gives a command what it was not given.
    pub(super) fn fill(&self, reporting: &mut Reporting) {
        let given = std::mem::take(reporting);
        *reporting = Reporting {
            metrics: given.metrics.or_else(|| self.metrics.clone()),
            emf: given.emf || self.emf,
            webhook_file: given.webhook_file.or_else(|| self.webhook_file.clone()),
            topic: given.topic.or_else(|| self.topic.clone()),
        };
    }
}
