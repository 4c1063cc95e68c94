//! `[scan]`: how logs are read and by what rules they are judged.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};

use crate::args::{self, CrawlerOptions, Reading};

/// Defaults of the options that every command reading logs has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ScanSettings {
    pub(super) format: Option<String>,
    trusted_proxies: Vec<IpNet>,
    pub(super) rules: Option<PathBuf>,
    max_object_bytes: Option<u64>,
    /// Files with the networks of crawlers, by name.
    pub(super) crawler_ranges: BTreeMap<String, PathBuf>,
    /// Domains of the hosts of crawlers, by name.
    crawler_domains: BTreeMap<String, Vec<String>>,
    /// Whom to ask for the names of hosts.
    #[serde(deserialize_with = "resolver")]
    dns_server: Option<SocketAddr>,
}

impl ScanSettings {
    /// Proxies behind which the client is looked for.
    pub fn trusted_proxies(&self) -> &[IpNet] {
        &self.trusted_proxies
    }

    pub(super) fn fill_reading(&self, reading: &mut Reading) {
        let Reading { format, trusted_proxies, max_object_bytes, .. } = reading;
        if format.is_none() {
            format.clone_from(&self.format);
        }
        if trusted_proxies.is_empty() {
            trusted_proxies.clone_from(&self.trusted_proxies);
        }
        *max_object_bytes = max_object_bytes.or(self.max_object_bytes);
    }

    pub(super) fn fill_crawlers(&self, crawlers: &mut CrawlerOptions) {
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
