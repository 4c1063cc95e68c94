//! By what a command judges: rules, crawlers that can be told from others, and what is known
//! of addresses.

use std::sync::Arc;

use portcullis_detection::{Crawlers, RuleSet};
use portcullis_remediation::Assets;

use super::enrichment::Files;
use super::{inert, load_rules, read_option_file};
use crate::args::{CrawlerOptions, Judgement};
use crate::digest::sha256;
use crate::failure::Failure;
use crate::names::Names;
use crate::terminal::Terminal;

/// What sources are judged by.
pub(super) struct Judge {
    /// The rules, which know the rest.
    pub(super) rules: RuleSet,
    /// What a plan needs besides.
    pub(super) known: Known,
}

/// What a plan needs of what is known of addresses.
#[derive(Default)]
pub(super) struct Known {
    /// The operator's own networks.
    pub(super) assets: Assets,
    /// SHA-256 of the files; `None` when there are none.
    pub(super) sha256: Option<String>,
    /// SHA-256 of the rules; `None` where nobody knows by which sources were judged.
    pub(super) rules_sha256: Option<String>,
}

impl Judge {
    /// Reads all files that were given.
    pub(super) fn load(given: &Judgement, terminal: &Terminal) -> Result<Self, Failure> {
        let crawlers = load_crawlers(&given.crawlers, terminal)?;
        let rules = load_rules(given.rules.as_deref())?.with_crawlers(crawlers);
        let rules_sha256 = Some(hash_of(&rules));
        let Some(files) = Files::read(&given.enrichment)? else {
            return Ok(Self { rules, known: Known { rules_sha256, ..Known::default() } });
        };
        let known =
            Known { assets: files.assets().clone(), sha256: Some(files.sha256()), rules_sha256 };
        Ok(Self { rules: rules.with_backgrounds(Arc::new(files)), known })
    }
}

/// The hash of what the rules say, each after its name and length.
fn hash_of(rules: &RuleSet) -> String {
    let said = rules.rules().iter().map(|rule| (rule.id(), rule.source()));
    sha256(said.fold(String::new(), |text, (id, source)| {
        text + &format!("{id} {}\n{source}\n", source.len())
    }))
}

/// The crawlers that can be told from others. A name that looks like a typing error is told:
/// it would vouch for nobody, without a word.
pub(super) fn load_crawlers(
    given: &CrawlerOptions,
    terminal: &Terminal,
) -> Result<Crawlers, Failure> {
    let mut crawlers = Crawlers::default();
    for (name, path) in &given.ranges {
        let text = read_option_file(path, "the crawler ranges in")?;
        crawlers.add(name, &text).map_err(|error| {
            let path = path.to_string_lossy();
            Failure::new(format!("read the crawler ranges in `{}`", inert(&path)), &error)
        })?;
    }
    for (name, domain) in &given.domains {
        crawlers
            .add_domain(name, domain)
            .map_err(|error| Failure::new("take the domain of a crawler", &error))?;
    }
    for (name, meant) in crawlers.doubtful_names() {
        terminal.warn(format_args!("no known crawler is called `{name}`; {meant}"));
    }
    if given.domains.is_empty() {
        return Ok(crawlers);
    }
    let names = Names::of(given.dns_server).map_err(|error| {
        Failure::new("find the DNS resolver that names of crawlers are asked of", &error)
            .hint("--dns-server names one")
    })?;
    Ok(crawlers.asking(Arc::new(names)))
}
