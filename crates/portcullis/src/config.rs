//! `portcullis.toml`: what is the same from run to run.
//!
//! A key that is misspelt must not silently leave its default in force: a brake that
//! was never tightened shows only when it is needed. So a file is read whole or not at
//! all, every key is known, and an error shows the line, the place, and what was
//! probably meant.
//!
//! A value of the command line or of the environment wins over the file. The file holds
//! no secret: credentials are found where every AWS tool finds them. Sections have modules
//! of their names; which command takes which values is in `fill`.

mod diagnosis;
mod enrichment;
mod fill;
mod limits;
mod scan;
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_remediation::Scope;
use portcullis_setup::Mode;
use serde::Deserialize;
use toml::Spanned;

use crate::failure::Failure;

/// The file that is read when none is named, if it is there.
const USUAL_FILE: &str = "portcullis.toml";

/// Everything that a file can say. What it does not say is `None` or a default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Configuration {
    /// How logs are read.
    pub scan: scan::ScanSettings,
    /// Where the logs are that unattended commands read.
    source: source::SourceSettings,
    /// Who is told of what they did.
    report: source::ReportSettings,
    /// What says more of addresses than the logs do.
    enrichment: enrichment::EnrichmentSettings,
    /// Files of networks that are never blocked.
    pub never_block: Vec<PathBuf>,
    /// A newer `ip-ranges.json` of AWS.
    pub aws_ranges: Option<PathBuf>,
    /// Why nothing may be changed now: the kill switch.
    pub halt: Option<String>,
    policy: limits::PolicySettings,
    brakes: limits::BrakeSettings,
    /// Where IP sets are.
    #[serde(rename = "target")]
    targets: Vec<Spanned<TargetSettings>>,
    /// SHA-256 of the file, for the plans made with it.
    #[serde(skip)]
    pub sha256: Option<String>,
}

/// `[[target]]`: one account, region and scope, and what is ours there.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TargetSettings {
    /// Its name on the command line.
    pub name: String,
    /// The account's number, which every set's ARN is held against.
    pub account: Option<String>,
    /// The region's code.
    pub region: Option<String>,
    /// What the sets may be used by.
    pub scope: Option<Scope>,
    /// The sets that a blocking rule uses, by name or ARN.
    pub sets: Option<Vec<String>>,
    /// The sets that a counting rule uses, by name or ARN.
    pub canary_sets: Option<Vec<String>>,
    /// `s3://BUCKET/PREFIX`, or a directory.
    pub ledger: Option<String>,
    /// How far it is trusted.
    pub mode: Option<Mode>,
    /// The stage that is protected, `API/STAGE`, for `doctor`.
    pub stage: Option<String>,
    /// A profile of the AWS configuration.
    pub profile: Option<String>,
    /// A role to assume.
    pub assume_role: Option<String>,
    /// Another server than AWS.
    pub endpoint_url: Option<String>,
    /// Least time between two updates, in milliseconds.
    pub update_interval_ms: Option<u64>,
}

impl TargetSettings {
    /// Least time between two updates, where the file gives one.
    pub fn update_interval(&self) -> Option<Duration> {
        self.update_interval_ms.map(Duration::from_millis)
    }
}

impl Configuration {
    /// Reads the file that was named, or the usual one if it is there; gives its path.
    pub fn load(named: Option<&Path>) -> Result<(Self, Option<PathBuf>), Failure> {
        let path = named.unwrap_or(Path::new(USUAL_FILE));
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
                return Ok((Self::default(), None));
            }
            Err(error) => {
                let action = format!("read the configuration `{}`", path.display());
                return Err(Failure::new(action, &error));
            }
        };
        let mut configuration = Self::parse(&path.to_string_lossy(), &text)?;
        configuration.resolve(path.parent().unwrap_or(Path::new("")));
        configuration.sha256 = Some(crate::digest::sha256(&text));
        Ok((configuration, Some(path.to_owned())))
    }

    fn parse(file: &str, text: &str) -> Result<Self, Failure> {
        let wrong = |message: &str, span| diagnosis::failure(file, text, message, span);
        let configuration: Self =
            toml::from_str(text).map_err(|error| wrong(error.message(), error.span()))?;
        let mut names = BTreeSet::new();
        for target in &configuration.targets {
            let (name, span) = (&target.get_ref().name, Some(target.span()));
            if name.is_empty() {
                return Err(wrong("a target needs a `name`", span));
            }
            if !names.insert(name) {
                return Err(wrong(&format!("there are two targets `{name}`"), span));
            }
        }
        Ok(configuration)
    }

    /// Paths in a file are meant from where the file is.
    fn resolve(&mut self, directory: &Path) {
        let lists = self.never_block.iter_mut().chain(&mut self.aws_ranges);
        let crawlers = self.scan.crawler_ranges.values_mut();
        let told = self.report.files().chain(self.enrichment.files());
        for path in lists.chain(&mut self.scan.rules).chain(crawlers).chain(told) {
            *path = directory.join(&path);
        }
        for format in self.scan.format.iter_mut().chain(&mut self.source.format) {
            let Some(file) = format.strip_prefix('@') else { continue };
            *format = format!("@{}", directory.join(file).display());
        }
        for place in self.source.places() {
            *place = directory.join(&place).to_string_lossy().into_owned();
        }
        for target in &mut self.targets {
            if let Some(ledger) = &mut target.get_mut().ledger
                && !ledger.starts_with("s3://")
            {
                *ledger = directory.join(&ledger).to_string_lossy().into_owned();
            }
        }
    }

    /// What `run` and `watch` read.
    pub fn location(&self) -> Option<&str> {
        self.source.location.as_deref()
    }

    /// Where `run` and `watch` keep what they found, and beside it their heartbeat.
    pub fn state(&self) -> Option<&str> {
        self.source.state.as_deref()
    }

    /// Files with the operator's own networks.
    pub fn assets(&self) -> &[PathBuf] {
        &self.enrichment.assets
    }

    /// The targets, in the order of the file.
    pub fn targets(&self) -> impl Iterator<Item = &TargetSettings> {
        self.targets.iter().map(Spanned::get_ref)
    }
}

#[cfg(test)]
mod tests;
