//! `portcullis.toml`: what is the same from run to run.
//!
//! A key that is misspelt must not silently leave its default in force: a brake that
//! was never tightened shows only when it is needed. So a file is read whole or not at
//! all, every key is known, and an error shows the line, the place, and what was
//! probably meant.
//!
//! A value of the command line or of the environment wins over the file. The file holds
//! no secret: credentials are found where every AWS tool finds them.

mod diagnosis;
mod enrichment;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use portcullis_detection::Severity;
use portcullis_remediation::{BlockPolicy, BrakeLimits, MergeLimits, Scope, Terms};
use portcullis_setup::Mode;
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use crate::args::{self, Command, CrawlerOptions, Judgement, Reading, Watched};
use crate::failure::Failure;
use crate::span;

/// The file that is read when none is named, if it is there.
const USUAL_FILE: &str = "portcullis.toml";

/// Everything that a file can say. What it does not say is `None` or a default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Configuration {
    /// How logs are read.
    pub scan: ScanSettings,
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
    policy: PolicySettings,
    brakes: BrakeSettings,
    /// Where IP sets are.
    #[serde(rename = "target")]
    targets: Vec<Spanned<TargetSettings>>,
    /// SHA-256 of the file, for the plans made with it.
    #[serde(skip)]
    pub sha256: Option<String>,
}

/// `[scan]`: defaults of the options that every command reading logs has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ScanSettings {
    format: Option<String>,
    trusted_proxies: Vec<IpNet>,
    rules: Option<PathBuf>,
    max_object_bytes: Option<u64>,
    /// Files with the networks of crawlers, by name.
    crawler_ranges: BTreeMap<String, PathBuf>,
    /// Domains of the hosts of crawlers, by name.
    crawler_domains: BTreeMap<String, Vec<String>>,
    /// Whom to ask for the names of hosts.
    #[serde(deserialize_with = "resolver")]
    dns_server: Option<SocketAddr>,
}

/// `[policy]`: what it takes to be blocked.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct PolicySettings {
    min_score: Option<u32>,
    #[serde(deserialize_with = "severity")]
    min_severity: Option<Severity>,
    shared_good_requests: Option<u64>,
    shared_principals: Option<u64>,
    max_addresses: Option<usize>,
    /// Shortest prefixes that neighbours may share where there is not room for all, and
    /// good requests of strangers that such a network may cost. A plan and the brakes
    /// keep to the same.
    widest_ipv4: Option<u8>,
    widest_ipv6: Option<u8>,
    merge_good_requests: Option<u64>,
    /// Terms of the first offence, the second and so on: `["1h", "4h", "24h", "7d"]`.
    #[serde(deserialize_with = "terms")]
    ttl: Option<Terms>,
}

/// `[brakes]`: what stops a run.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct BrakeSettings {
    adds_per_run: Option<u64>,
    adds_per_day: Option<u64>,
    floor: Option<u64>,
    change_percent: Option<Percent>,
    removal_percent: Option<Percent>,
    blast_requests_percent: Option<Percent>,
    blast_principals_percent: Option<Percent>,
    one_origin_percent: Option<Percent>,
    coverage_percent: Option<Percent>,
    evidence_age_hours: Option<u32>,
    failing_runs: Option<u32>,
}

/// A share, kept in thousandths as the brakes have it.
#[derive(Debug, Clone, Copy)]
struct Percent(u64);

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let percent = f64::deserialize(from)?;
        if (0.0..=100.0).contains(&percent) {
            return Ok(Self((percent * 10.0).round() as u64));
        }
        Err(de::Error::custom(format!("{percent} is no share; expected a percentage, 0 to 100")))
    }
}

fn severity<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Severity>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Name {
        Low,
        Medium,
        High,
        Critical,
    }
    Ok(Some(match Name::deserialize(from)? {
        Name::Low => Severity::Low,
        Name::Medium => Severity::Medium,
        Name::High => Severity::High,
        Name::Critical => Severity::Critical,
    }))
}

fn terms<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Terms>, D::Error> {
    let steps = Vec::<String>::deserialize(from)?;
    let steps: Result<Vec<i64>, String> = steps.iter().map(|step| span::length(step)).collect();
    let steps = steps.map_err(de::Error::custom)?;
    Terms::new(&steps).map(Some).map_err(de::Error::custom)
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

impl ScanSettings {
    /// Proxies behind which the client is looked for.
    pub fn trusted_proxies(&self) -> &[IpNet] {
        &self.trusted_proxies
    }
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
        configuration.sha256 = Some(crate::operation::hexadecimal(text.as_bytes()));
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

    /// The limits of a plan.
    pub fn policy(&self) -> BlockPolicy {
        let usual = BlockPolicy::default();
        let given = &self.policy;
        BlockPolicy {
            min_score: given.min_score.unwrap_or(usual.min_score),
            min_severity: given.min_severity.unwrap_or(usual.min_severity),
            shared_good_requests: given.shared_good_requests.unwrap_or(usual.shared_good_requests),
            shared_principals: given.shared_principals.unwrap_or(usual.shared_principals),
            max_addresses: given.max_addresses.unwrap_or(usual.max_addresses),
            merge: MergeLimits {
                widest_v4: given.widest_ipv4.unwrap_or(usual.merge.widest_v4),
                widest_v6: given.widest_ipv6.unwrap_or(usual.merge.widest_v6),
                good_requests: given.merge_good_requests.unwrap_or(usual.merge.good_requests),
            },
            terms: given.ttl.unwrap_or(usual.terms),
        }
    }

    /// The limits of the brakes.
    pub fn brakes(&self) -> BrakeLimits {
        let usual = BrakeLimits::default();
        let given = &self.brakes;
        let share = |given: Option<Percent>, usual| given.map_or(usual, |Percent(share)| share);
        let hours = |hours: u32| i64::from(hours) * 3_600_000;
        BrakeLimits {
            adds_per_run: given.adds_per_run.unwrap_or(usual.adds_per_run),
            adds_per_day: given.adds_per_day.unwrap_or(usual.adds_per_day),
            change_share: share(given.change_percent, usual.change_share),
            floor: given.floor.unwrap_or(usual.floor),
            removal_share: share(given.removal_percent, usual.removal_share),
            widest_v4: self.policy.widest_ipv4.unwrap_or(usual.widest_v4),
            widest_v6: self.policy.widest_ipv6.unwrap_or(usual.widest_v6),
            blast_requests: share(given.blast_requests_percent, usual.blast_requests),
            blast_principals: share(given.blast_principals_percent, usual.blast_principals),
            one_origin: share(given.one_origin_percent, usual.one_origin),
            coverage: share(given.coverage_percent, usual.coverage),
            evidence_age_ms: given.evidence_age_hours.map_or(usual.evidence_age_ms, hours),
            failing_runs: given.failing_runs.unwrap_or(usual.failing_runs),
        }
    }

    /// Gives a command the values of `[scan]` that it was not given.
    pub fn fill(&self, command: &mut Command) {
        if let Command::Run(run) = command {
            self.source.fill_run(run);
            self.fill_watched(&mut run.watched);
        }
        if let Command::Watch(watch) = command {
            self.source.fill_watch(watch);
            self.fill_watched(&mut watch.watched);
        }
        #[cfg(feature = "lambda")]
        if let Command::Lambda(lambda) = command {
            self.source.fill_lambda(lambda);
            self.fill_watched(&mut lambda.watched);
        }
        let judgement = match command {
            Command::Scan(scan) => Some(&mut scan.judgement),
            Command::Explain(explain) => Some(&mut explain.judgement),
            Command::Plan(plan) => Some(&mut plan.judgement),
            Command::Promote(promote) => Some(&mut promote.judgement),
            Command::Report(report) => Some(&mut report.plan.judgement),
            Command::Export(export) => Some(&mut export.judgement),
            Command::Review(review) => Some(&mut review.plan.judgement),
            #[cfg(feature = "query")]
            Command::Query(query) => Some(&mut query.judgement),
            _ => None,
        };
        if let Some(judgement) = judgement {
            self.fill_judgement(judgement);
        }
        let crawlers = match command {
            Command::Backtest(backtest) => Some(&mut backtest.crawlers),
            Command::Calibrate(calibrate) => Some(&mut calibrate.crawlers),
            _ => None,
        };
        if let Some(crawlers) = crawlers {
            self.scan.fill_crawlers(crawlers);
        }
        if let Command::Classify(classify) = command
            && classify.rules.is_none()
        {
            classify.rules.clone_from(&self.scan.rules);
        }
        let logs = match command {
            Command::Scan(scan) => Some(&mut scan.logs),
            Command::Decode(decode) => Some(&mut decode.logs),
            Command::Classify(classify) => Some(&mut classify.logs),
            Command::Explain(explain) => Some(&mut explain.logs),
            Command::Plan(plan) => Some(&mut plan.logs),
            Command::Promote(promote) => Some(&mut promote.logs),
            Command::Report(report) => Some(&mut report.logs),
            Command::Export(export) => Some(&mut export.logs),
            Command::Review(review) => Some(&mut review.logs),
            #[cfg(feature = "query")]
            Command::Query(query) => Some(&mut query.logs),
            _ => None,
        };
        if let Some(logs) = logs {
            self.scan.fill_reading(&mut logs.reading);
        }
    }

    fn fill_judgement(&self, judgement: &mut Judgement) {
        judgement.rules = judgement.rules.take().or_else(|| self.scan.rules.clone());
        self.scan.fill_crawlers(&mut judgement.crawlers);
        judgement.enrichment.fill(&self.enrichment.options());
    }

    fn fill_watched(&self, watched: &mut Watched) {
        self.report.fill(&mut watched.reporting);
        self.fill_judgement(&mut watched.judgement);
        self.scan.fill_reading(&mut watched.reading);
    }
}

impl ScanSettings {
    fn fill_reading(&self, reading: &mut Reading) {
        let Reading { format, trusted_proxies, max_object_bytes, .. } = reading;
        if format.is_none() {
            format.clone_from(&self.format);
        }
        if trusted_proxies.is_empty() {
            trusted_proxies.clone_from(&self.trusted_proxies);
        }
        *max_object_bytes = max_object_bytes.or(self.max_object_bytes);
    }

    fn fill_crawlers(&self, crawlers: &mut CrawlerOptions) {
        if crawlers.ranges.is_empty() {
            crawlers.ranges.extend(self.crawler_ranges.clone());
        }
        if crawlers.domains.is_empty() {
            let all = self.crawler_domains.iter().flat_map(|(name, domains)| {
                domains.iter().map(|domain| (name.clone(), domain.clone()))
            });
            crawlers.domains.extend(all);
        }
        crawlers.dns_server = crawlers.dns_server.or(self.dns_server);
    }
}

fn resolver<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    args::resolver(&text).map(Some).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let failure = Configuration::parse("portcullis.toml", text).expect_err("a wrong file");
        assert_eq!(failure.message(), expected);
    }

    #[test]
    fn an_unknown_key_is_shown_with_what_was_meant() {
        check(
            "[[target]]\nname = \"prod\"\nregoin = \"eu-west-1\"\n",
            "failed to read the configuration\n  \
             portcullis.toml:3:1: unknown key `regoin`\n    \
             3 | regoin = \"eu-west-1\"\n      \
             | ^^^^^^ expected one of `name`, `account`, `region`, `scope`, `sets`, `canary-sets`, \
             `ledger`, `mode`, `stage`, `profile`, `assume-role`, `endpoint-url`, `update-interval-ms`\n\
             hint: did you mean `region`?",
        );
    }

    #[test]
    fn a_name_off_the_list_is_shown_with_the_list() {
        check(
            "[[target]]\nname = \"prod\"\nmode = \"enforced\"\n",
            "failed to read the configuration\n  \
             portcullis.toml:3:8: unknown name `enforced`\n    \
             3 | mode = \"enforced\"\n      \
             |        ^^^^^^^^^^ expected one of `observe`, `suggest`, `canary`, `enforce`\n\
             hint: did you mean `enforce`?",
        );
    }

    #[test]
    fn a_wrong_value_and_a_second_target_of_one_name_are_shown_in_their_place() {
        check(
            "[brakes]\nchange-percent = 120.0\n",
            "failed to read the configuration\n  \
             portcullis.toml:2:18: 120 is no share; expected a percentage, 0 to 100\n    \
             2 | change-percent = 120.0\n      \
             |                  ^^^^^",
        );
        check(
            "[policy]\nttl = [\"1h\", \"30d\"]\n",
            "failed to read the configuration\n  \
             portcullis.toml:2:7: step 2 is longer than 7 days; only a person blocks for longer\n    \
             2 | ttl = [\"1h\", \"30d\"]\n      \
             |       ^^^^^^^^^^^^^",
        );
        let failure = Configuration::parse(
            "portcullis.toml",
            "[[target]]\nname = \"prod\"\n[[target]]\nname = \"prod\"\n",
        );
        let message = failure.expect_err("two of a name").message();
        assert!(message.contains("portcullis.toml:3:1: there are two targets `prod`"), "{message}");
    }

    #[test]
    fn what_is_given_replaces_the_default_and_nothing_else() {
        let text = "[brakes]\nadds-per-run = 7\nchange-percent = 2.5\nevidence-age-hours = 1\n\
                    [policy]\nmin-severity = \"high\"\nttl = [\"2h\", \"1d\"]\n";
        let configuration = Configuration::parse("portcullis.toml", text).expect("a good file");
        let expected = BrakeLimits {
            adds_per_run: 7,
            change_share: 25,
            evidence_age_ms: 3_600_000,
            ..BrakeLimits::default()
        };
        assert_eq!(configuration.brakes(), expected);
        let expected = BlockPolicy {
            min_severity: Severity::High,
            terms: Terms::new(&[2 * 3_600_000, 24 * 3_600_000]).expect("good terms"),
            ..BlockPolicy::default()
        };
        assert_eq!(configuration.policy(), expected);
    }
}
