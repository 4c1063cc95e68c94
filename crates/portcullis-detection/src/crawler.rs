//! Decides whether who says to be a crawler is one.
//!
//! An agent is a word that anybody can write, so by itself it is neither believed nor held
//! against its client. Operators of large crawlers publish the addresses that they ask
//! from, or the domains that their hosts have names in; with these at hand a claim is either
//! confirmed or false. Crawlers ask for much and follow dead links, which is what rates are
//! about, and they follow whatever link somebody planted for them: an attack in it is the
//! planter's. So a confirmed one is at most watched. A false claim is a small thing: people
//! look at their own site as a crawler would see it, and some honest programs name a crawler
//! that they behave like.
//!
//! Who owns an address writes whatever name they like for it. A name counts only when it has
//! that address in turn, which only the owner of the domain can say. Asking takes time that
//! an attacker can make long, so it is asked once, at the end, and only of clients that
//! otherwise stand out ([`HostNames`]). A claim that could not be settled counts for nothing.
//!
//! Fetching the files and asking for names are left to whoever may open a socket.
//!
//! Source: Google Search Central, "Verify requests from Google's crawlers and fetchers";
//! Bing publishes the same shape, and describes the same way.
//! <https://developers.google.com/search/docs/crawling-indexing/verifying-googlebot>

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use portcullis_ingest::Request;
use serde::Deserialize;

use crate::rule::did_you_mean;

/// Shortest prefix of a crawler's network. Guesses, far from what is published: a file with
/// a wider one would vouch for strangers.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 16;

/// Crawlers by name, with where they ask from.
///
/// Invariant: names are lower case and made of what [`Crawlers::add`] accepts.
#[derive(Debug, Clone, Default)]
pub struct Crawlers {
    known: BTreeMap<String, Known>,
    names: Option<Arc<dyn HostNames>>,
}

/// Where one crawler asks from. Networks are sorted and disjoint, domains lower case.
#[derive(Debug, Clone, Default)]
struct Known {
    networks: Vec<IpNet>,
    domains: BTreeSet<String>,
}

/// Whoever can ask for the names of addresses.
pub trait HostNames: fmt::Debug + Send + Sync {
    /// For each of the addresses, in their order: the names of its host that have the address
    /// in turn, of which there may be none; `None` where that could not be found out.
    fn confirmed(&self, addresses: &[IpAddr]) -> Vec<Option<Vec<String>>>;
}

/// Crawlers whose operators publish where they ask from, by the word in their agent.
///
/// Source: the operators' own pages, as of 2025-11. It is only for telling a typing error.
const WELL_KNOWN: &[&str] = &[
    "AdsBot-Google",
    "AhrefsBot",
    "Amazonbot",
    "Applebot",
    "Baiduspider",
    "bingbot",
    "CCBot",
    "ChatGPT-User",
    "ClaudeBot",
    "DuckAssistBot",
    "DuckDuckBot",
    "facebookexternalhit",
    "Googlebot",
    "GPTBot",
    "LinkedInBot",
    "meta-externalagent",
    "MojeekBot",
    "OAI-SearchBot",
    "PerplexityBot",
    "PetalBot",
    "Qwantbot",
    "SemrushBot",
    "SeznamBot",
    "UptimeRobot",
    "YandexBot",
];

/// Why ranges of a crawler were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrawlerError {
    /// The name cannot be searched for.
    #[error(
        "`{}` is no crawler's name; expected letters, digits, `-`, `.` or `_`, such as Googlebot",
        .0.escape_debug()
    )]
    Name(String),
    /// Not JSON, or not the published fields; says line and column.
    #[error(
        "{0}; expected {{\"prefixes\": [{{\"ipv4Prefix\": \"…\"}}, {{\"ipv6Prefix\": \"…\"}}]}}"
    )]
    Json(String),
    /// A domain that vouches for nobody, or for too many.
    #[error(
        "`{}` is no domain of a crawler's hosts; expected one such as googlebot.com",
        .0.escape_debug()
    )]
    Domain(String),
    /// The file vouches for nobody.
    #[error("`prefixes` is empty: every claim would be false; fetch the file again")]
    Empty,
    /// A prefix that is none.
    #[error("prefix {number}: {problem}")]
    Prefix {
        /// Its place in the list, from 1.
        number: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// The file as far as it matters here.
#[derive(Deserialize)]
struct Document {
    prefixes: Vec<Prefix>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Prefix {
    ipv4_prefix: Option<String>,
    ipv6_prefix: Option<String>,
}

impl Prefix {
    fn network(&self) -> Result<IpNet, String> {
        let (network, text, widest) = match (&self.ipv4_prefix, &self.ipv6_prefix) {
            (Some(text), None) => (text.parse::<Ipv4Net>().map(IpNet::V4), text, WIDEST_V4),
            (None, Some(text)) => (text.parse::<Ipv6Net>().map(IpNet::V6), text, WIDEST_V6),
            _ => return Err("needs either `ipv4Prefix` or `ipv6Prefix`".to_owned()),
        };
        let shown = text.escape_debug();
        let network = network.map_err(|_| format!("`{shown}` is no network of its family"))?;
        if network.trunc() != network {
            return Err(format!("`{shown}` is an address inside {}", network.trunc()));
        }
        if network.prefix_len() < widest {
            return Err(format!("`{shown}` is wider than a /{widest}, which no crawler has"));
        }
        Ok(network)
    }
}

/// What a request's agent says of crawlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Names none of which ranges are known.
    None,
    /// Names one, and comes from its ranges.
    Confirmed,
    /// Names one or more, and comes from the ranges of none of them.
    False,
    /// Names one that the name of its host may bear out.
    Open,
}

impl Crawlers {
    /// Adds the ranges in `text`, a file as search engines publish it, to the crawler whose
    /// agent holds `name`. A name may have several files.
    ///
    /// # Errors
    /// When the name or anything in the file is not what is expected; nothing is added then.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), CrawlerError> {
        let name = searchable(name)?;
        let document: Document =
            serde_json::from_str(text).map_err(|error| CrawlerError::Json(error.to_string()))?;
        if document.prefixes.is_empty() {
            return Err(CrawlerError::Empty);
        }
        let mut networks = Vec::with_capacity(document.prefixes.len());
        for (number, prefix) in (1..).zip(&document.prefixes) {
            let network =
                prefix.network().map_err(|problem| CrawlerError::Prefix { number, problem })?;
            networks.push(network);
        }
        let known = &mut self.known.entry(name).or_default().networks;
        networks.append(known);
        *known = IpNet::aggregate(&networks);
        known.sort_unstable();
        Ok(())
    }

    /// Adds a domain to the crawler whose agent holds `name`: hosts below it are the
    /// crawler's. A name may have several domains, and ranges too; one of them is enough.
    ///
    /// # Errors
    /// When the name cannot be searched for, or the domain has not two labels at least.
    pub fn add_domain(&mut self, name: &str, domain: &str) -> Result<(), CrawlerError> {
        let is_label = |label: &str| {
            let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            !label.is_empty() && label.len() <= 63 && label.bytes().all(is_good)
        };
        if domain.len() > 253 || !domain.contains('.') || !domain.split('.').all(is_label) {
            return Err(CrawlerError::Domain(domain.to_owned()));
        }
        let known = self.known.entry(searchable(name)?).or_default();
        known.domains.insert(domain.to_ascii_lowercase());
        Ok(())
    }

    /// Whom to ask for the names of hosts. Without, claims that need it stay open.
    #[must_use]
    pub fn asking(self, names: Arc<dyn HostNames>) -> Self {
        Self { names: Some(names), ..self }
    }

    /// Names that no known crawler bears and that are near one that is: with what was meant, as
    /// a question. A crawler may be one's own, so that a name by itself is never wrong.
    pub fn doubtful_names(&self) -> Vec<(&str, String)> {
        let lower: Vec<String> = WELL_KNOWN.iter().map(|known| known.to_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let doubt = |name: &&String| !lower.contains(&name.as_str());
        let names = self.known.keys().filter(doubt);
        names.filter_map(|name| Some((name.as_str(), did_you_mean(name, &lower)?))).collect()
    }

    /// What is known, in one form only.
    pub(crate) fn parts(&self) -> impl Iterator<Item = String> {
        self.known.iter().flat_map(|(name, known)| {
            let networks = known.networks.iter().map(ToString::to_string);
            let domains = known.domains.iter().map(|domain| format!("*.{domain}"));
            std::iter::once(name.clone()).chain(networks).chain(domains)
        })
    }

    /// Whether the claims from these addresses are true, each in its place; `None` where that
    /// could not be found out. The host of a crawler may call itself by the name of another.
    pub(crate) fn settled(&self, addresses: &[IpAddr]) -> Vec<Option<bool>> {
        let (Some(names), false) = (&self.names, addresses.is_empty()) else {
            return vec![None; addresses.len()];
        };
        let is_crawlers = |host: &String| self.known.values().any(|known| known.holds(host));
        let answers = names.confirmed(addresses);
        let settled = answers.into_iter().map(|hosts| Some(hosts?.iter().any(is_crawlers)));
        settled.chain(std::iter::repeat(None)).take(addresses.len()).collect()
    }

    /// What the request's agent says, and whether its address bears it out.
    pub(crate) fn claim(&self, request: &Request<'_>) -> Claim {
        let (Some(client), Some(agent)) = (request.client, request.user_agent) else {
            return Claim::None;
        };
        let mut claim = Claim::None;
        for (name, known) in &self.known {
            if names(agent.bytes(), name.as_bytes()) {
                if covers(&known.networks, client) {
                    return Claim::Confirmed;
                }
                if !known.domains.is_empty() {
                    claim = Claim::Open;
                } else if claim == Claim::None {
                    claim = Claim::False;
                }
            }
        }
        claim
    }
}

impl Known {
    /// Whether the host is in one of the domains.
    fn holds(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let parents = host.match_indices('.').map(|(dot, _)| &host[dot + 1..]);
        parents.chain([host.as_str()]).any(|domain| self.domains.contains(domain))
    }
}

/// The name as it is searched for.
fn searchable(name: &str) -> Result<String, CrawlerError> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_good) {
        return Err(CrawlerError::Name(name.to_owned()));
    }
    Ok(name.to_ascii_lowercase())
}

/// Whether the agent holds the name as a word of its own, whatever its case.
fn names(agent: &[u8], name: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    agent.windows(name.len()).enumerate().any(|(start, window)| {
        window.eq_ignore_ascii_case(name)
            && !agent[..start].last().is_some_and(is_part)
            && !agent[start + name.len()..].first().is_some_and(is_part)
    })
}

/// Whether one of the networks, sorted and disjoint, holds the address.
fn covers(networks: &[IpNet], address: IpAddr) -> bool {
    let behind = networks.partition_point(|network| network.network() <= address);
    behind > 0 && networks[behind - 1].contains(&address)
}

#[cfg(test)]
mod tests {
    use portcullis_ingest::Untrusted;
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = r#"{"creationTime": "2025-11-03T15:46:05.000000", "prefixes": [
        {"ipv6Prefix": "2001:db8:1::/64"}, {"ipv4Prefix": "192.0.2.0/27"},
        {"ipv4Prefix": "192.0.2.64/27", "service": "search"}]}"#;

    fn crawlers() -> Crawlers {
        let mut crawlers = Crawlers::default();
        crawlers.add("Googlebot", FILE).expect("a good file");
        crawlers
    }

    #[track_caller]
    fn check(agent: &str, client: &str, expected: Claim) {
        let request = Request {
            client: Some(client.parse().expect("an address")),
            user_agent: Some(Untrusted::new(agent.as_bytes())),
            ..Request::default()
        };
        assert_eq!(crawlers().claim(&request), expected, "{agent} from {client}");
    }

    #[test]
    fn a_claim_is_confirmed_by_the_address_alone() {
        let agent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
        for inside in ["192.0.2.0", "192.0.2.31", "192.0.2.64", "192.0.2.95", "2001:db8:1::9"] {
            check(agent, inside, Claim::Confirmed);
            check("curl/8", inside, Claim::None);
        }
        for outside in ["192.0.2.32", "192.0.2.96", "192.0.1.255", "2001:db8:2::1", "::"] {
            check(agent, outside, Claim::False);
            check("curl/8", outside, Claim::None);
        }
    }

    #[test]
    fn a_name_is_a_word_in_any_case() {
        check("GOOGLEBOT-Image/1.0", "192.0.2.1", Claim::Confirmed);
        check("googlebot", "192.0.2.1", Claim::Confirmed);
        for other in ["notgooglebot/1", "Googlebots", "google bot", "Google", ""] {
            check(other, "198.51.100.1", Claim::None);
        }
    }

    #[test]
    fn a_name_that_is_nearly_a_known_one_is_doubted() {
        let mut crawlers = Crawlers::default();
        for name in ["googlbot", "GOOGLEBOT", "bingbto", "our-own-crawler"] {
            crawlers.add(name, FILE).expect("a good file");
        }
        let doubted = crawlers.doubtful_names();
        assert_eq!(
            doubted,
            [
                ("bingbto", "did you mean `bingbot`?".to_owned()),
                ("googlbot", "did you mean `googlebot`?".to_owned()),
            ]
        );
    }

    #[test]
    fn a_second_file_adds_to_the_first() {
        let mut crawlers = crawlers();
        let more = r#"{"prefixes": [{"ipv4Prefix": "192.0.2.32/27"}]}"#;
        crawlers.add("googleBOT", more).expect("a good file");
        let shown: Vec<String> = crawlers.parts().collect();
        assert_eq!(shown, ["googlebot", "192.0.2.0/26", "192.0.2.64/27", "2001:db8:1::/64"]);
    }

    #[test]
    fn what_is_wrong_is_named_and_adds_nothing() {
        let mut crawlers = Crawlers::default();
        for (text, expected) in [
            ("{", "EOF while parsing an object at line 1 column 1; expected"),
            (r#"{"ranges": []}"#, "missing field `prefixes` at line 1 column 14; expected"),
            (r#"{"prefixes": []}"#, "`prefixes` is empty"),
            (r#"{"prefixes": [{}]}"#, "prefix 1: needs either"),
            (
                r#"{"prefixes": [{"ipv4Prefix": "192.0.2.0/24"}, {"ipv4Prefix": "2001:db8::/64"}]}"#,
                "prefix 2: `2001:db8::/64` is no network of its family",
            ),
            (
                r#"{"prefixes": [{"ipv4Prefix": "192.0.2.1/24"}]}"#,
                "prefix 1: `192.0.2.1/24` is an address inside 192.0.2.0/24",
            ),
            (r#"{"prefixes": [{"ipv6Prefix": "::/0"}]}"#, "prefix 1: `::/0` is wider than a /16"),
        ] {
            let error = crawlers.add("bingbot", text).expect_err(text).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(matches!(crawlers.add("", FILE), Err(CrawlerError::Name(_))));
        assert!(matches!(crawlers.add("Google bot", FILE), Err(CrawlerError::Name(_))));
        assert_eq!(crawlers.parts().count(), 0);
    }

    /// Knows one name of each address that it is given names for.
    #[derive(Debug)]
    struct Zone(Vec<(&'static str, Option<&'static str>)>);

    impl HostNames for Zone {
        fn confirmed(&self, addresses: &[IpAddr]) -> Vec<Option<Vec<String>>> {
            let of = |address: &IpAddr| {
                let known = self.0.iter().find(|(known, _)| *known == address.to_string());
                known.and_then(|(_, name)| name.map(|name| vec![name.to_owned()]))
            };
            addresses.iter().map(of).collect()
        }
    }

    #[test]
    fn a_host_is_the_crawlers_when_its_name_is_in_a_domain_of_it() {
        let hosts = [
            ("192.0.2.1", "crawl-1.googlebot.com.", true),
            ("192.0.2.2", "GOOGLEBOT.com", true),
            ("192.0.2.3", "a.b.search.msn.com", true),
            ("192.0.2.4", "crawl.notgooglebot.com", false),
            ("192.0.2.5", "googlebot.com.example.net", false),
            ("192.0.2.6", "msn.com", false),
            ("192.0.2.7", "", false),
        ];
        let zone = Zone(hosts.iter().map(|(address, host, _)| (*address, Some(*host))).collect());
        let mut crawlers = Crawlers::default().asking(Arc::new(zone));
        crawlers.add_domain("Googlebot", "googlebot.com").expect("a good domain");
        crawlers.add_domain("bingbot", "Search.MSN.com").expect("a good domain");
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let mut addresses: Vec<IpAddr> = hosts.iter().map(|(text, ..)| address(text)).collect();
        let mut expected: Vec<Option<bool>> = hosts.iter().map(|(.., is)| Some(*is)).collect();
        addresses.push(address("198.51.100.1"));
        expected.push(None);
        assert_eq!(crawlers.settled(&addresses), expected);
        assert_eq!(Crawlers { names: None, ..crawlers }.settled(&addresses), [None; 8]);
    }

    #[test]
    fn a_claim_is_open_only_where_a_name_may_settle_it() {
        let mut crawlers = crawlers();
        crawlers.add_domain("bingbot", "search.msn.com").expect("a good domain");
        let claim = |crawlers: &Crawlers, agent: &str, client: &str| {
            crawlers.claim(&Request {
                client: Some(client.parse().expect("an address")),
                user_agent: Some(Untrusted::new(agent.as_bytes())),
                ..Request::default()
            })
        };
        assert_eq!(claim(&crawlers, "bingbot/2.0", "192.0.2.1"), Claim::Open);
        assert_eq!(claim(&crawlers, "Googlebot/2.1", "198.51.100.1"), Claim::False);
        assert_eq!(claim(&crawlers, "Googlebot bingbot", "198.51.100.1"), Claim::Open);
        assert_eq!(claim(&crawlers, "Googlebot bingbot", "192.0.2.1"), Claim::Confirmed);
        crawlers.add_domain("googlebot", "googlebot.com").expect("a good domain");
        assert_eq!(claim(&crawlers, "Googlebot/2.1", "192.0.2.1"), Claim::Confirmed);
        assert_eq!(claim(&crawlers, "Googlebot/2.1", "198.51.100.1"), Claim::Open);
    }

    #[test]
    fn a_domain_that_vouches_for_everybody_is_refused() {
        let mut crawlers = Crawlers::default();
        for domain in ["", "com", ".com", "googlebot.com.", "goo gle.com", "a..b", "*.msn.com"] {
            let refused = crawlers.add_domain("Googlebot", domain);
            assert_eq!(refused, Err(CrawlerError::Domain(domain.to_owned())));
        }
        assert!(crawlers.add_domain("Google bot", "googlebot.com").is_err());
        assert_eq!(crawlers.parts().count(), 0);
    }

    proptest! {
        #[test]
        fn networks_are_searched_as_if_each_was_asked(
            networks in proptest::collection::vec((any::<[u8; 2]>(), 20..=32_u8), 1..20),
            host in any::<[u8; 2]>(),
        ) {
            let network = |([third, fourth], length): ([u8; 2], u8)| {
                IpNet::new([198, 18, third, fourth].into(), length).expect("a length").trunc()
            };
            let networks: Vec<IpNet> = networks.into_iter().map(network).collect();
            let prefixes: Vec<String> =
                networks.iter().map(|n| format!(r#"{{"ipv4Prefix": "{n}"}}"#)).collect();
            let mut crawlers = Crawlers::default();
            let text = format!(r#"{{"prefixes": [{}]}}"#, prefixes.join(","));
            crawlers.add("bingbot", &text).expect("a good file");
            let kept = &crawlers.known["bingbot"].networks;
            let near = networks[0].network();
            for address in [IpAddr::from([198, 18, host[0], host[1]]), near] {
                let naive = networks.iter().any(|network| network.contains(&address));
                prop_assert_eq!(covers(kept, address), naive);
            }
        }
    }
}
