//! By what sources are judged: rules, and what the operator knows of addresses besides the
//! logs, all of it in files.

use std::path::PathBuf;

use clap::Args;

use super::CrawlerOptions;
use super::values::named_file;

/// By what sources are judged.
#[derive(Debug, Default, Args)]
pub struct Judgement {
    /// Use the rules of this directory instead of the built-in ones.
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub crawlers: CrawlerOptions,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub enrichment: Enrichment,
}

impl Judgement {
    /// The options that were given and whose effect is in the findings, where they were made.
    /// Assets are not among them: a plan asks for those itself.
    pub fn effective_in_findings(&self) -> Vec<&'static str> {
        let given = [
            ("--rules", self.rules.is_some()),
            ("--crawler-ranges", !self.crawlers.ranges.is_empty()),
            ("--crawler-domain", !self.crawlers.domains.is_empty()),
            ("--mmdb", !self.enrichment.mmdb.is_empty()),
            ("--reputation", !self.enrichment.reputation.is_empty()),
        ];
        given.into_iter().filter_map(|(name, is_given)| is_given.then_some(name)).collect()
    }
}

/// Where addresses are, whose they are, and who speaks ill of them.
#[derive(Debug, Clone, Default, Args)]
pub struct Enrichment {
    /// A database of countries or networks (AS numbers) in the MMDB format, such as
    /// GeoLite2-Country.mmdb. May be given several times.
    #[arg(long, value_name = "FILE")]
    pub mmdb: Vec<PathBuf>,
    /// Addresses that somebody speaks ill of, one address or network a line. May be given
    /// several times, for one name too.
    ///
    /// A source on a list has 20 points added to its score once a rule fired on it, and the
    /// list counts as one observed rule; a list alone makes nobody an offender.
    #[arg(long, value_name = "NAME=FILE", value_parser = named_file)]
    pub reputation: Vec<(String, PathBuf)>,
    /// Your own networks, each line NETWORK,NAME. They are shown as yours, judged as
    /// everybody, and never blocked. May be given several times.
    #[arg(long, value_name = "FILE")]
    pub assets: Vec<PathBuf>,
}

impl Enrichment {
    /// Takes from `usual` what was not given.
    pub fn fill(&mut self, usual: &Self) {
        if self.mmdb.is_empty() {
            self.mmdb.clone_from(&usual.mmdb);
        }
        if self.reputation.is_empty() {
            self.reputation.clone_from(&usual.reputation);
        }
        if self.assets.is_empty() {
            self.assets.clone_from(&usual.assets);
        }
    }
}
