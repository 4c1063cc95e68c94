//! Decides whether who says to be a crawler is one.
//!
//! An agent is a word that anybody can write, so by itself it is neither believed nor held
//! against its client. Operators of large crawlers publish the addresses that they ask
//! from; with these at hand a claim is either confirmed or false. Crawlers ask for much and
//! follow dead links, which is what rates are about, and they follow whatever link somebody
//! planted for them. So a confirmed one answers only for attacks of which a rule is sure. A
//! false claim is a small thing: people look at their own site as a crawler would see it,
//! and some honest programs name a crawler that they behave like.
//!
//! Fetching the files is left to the operator. Names are not looked up: nothing here can
//! ask a resolver.
//!
//! Source: Google Search Central, "Verify requests from Google's crawlers and fetchers";
//! Bing publishes the same shape.
//! <https://developers.google.com/search/docs/crawling-indexing/verifying-googlebot>

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use portcullis_ingest::Request;
use serde::Deserialize;

/// Shortest prefix of a crawler's network. Guesses, far from what is published: a file with
/// a wider one would vouch for strangers.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 16;

/// Crawlers by name, with the networks that they ask from.
///
/// Invariant: names are lower case and made of what [`Crawlers::add`] accepts; networks are
/// sorted and disjoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Crawlers(BTreeMap<String, Vec<IpNet>>);

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
}

impl Crawlers {
    /// Adds the ranges in `text`, a file as search engines publish it, to the crawler whose
    /// agent holds `name`. A name may have several files.
    ///
    /// # Errors
    /// When the name or anything in the file is not what is expected; nothing is added then.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), CrawlerError> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_good) {
            return Err(CrawlerError::Name(name.to_owned()));
        }
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
        let known = self.0.entry(name.to_ascii_lowercase()).or_default();
        networks.append(known);
        *known = IpNet::aggregate(&networks);
        known.sort_unstable();
        Ok(())
    }

    /// Names and networks, in one form only.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&str, &[IpNet])> {
        self.0.iter().map(|(name, networks)| (name.as_str(), &networks[..]))
    }

    /// What the request's agent says, and whether its address bears it out.
    pub(crate) fn claim(&self, request: &Request<'_>) -> Claim {
        let (Some(client), Some(agent)) = (request.client, request.user_agent) else {
            return Claim::None;
        };
        let mut claim = Claim::None;
        for (name, networks) in &self.0 {
            if names(agent.bytes(), name.as_bytes()) {
                if covers(networks, client) {
                    return Claim::Confirmed;
                }
                claim = Claim::False;
            }
        }
        claim
    }
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
    fn a_second_file_adds_to_the_first() {
        let mut crawlers = crawlers();
        let more = r#"{"prefixes": [{"ipv4Prefix": "192.0.2.32/27"}]}"#;
        crawlers.add("googleBOT", more).expect("a good file");
        let [(name, networks)] = crawlers.parts().collect::<Vec<_>>()[..] else { panic!("one") };
        assert_eq!(name, "googlebot");
        let shown: Vec<String> = networks.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.0/26", "192.0.2.64/27", "2001:db8:1::/64"]);
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
        assert_eq!(crawlers, Crawlers::default());
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
            let (_, kept) = crawlers.parts().next().expect("one");
            let near = networks[0].network();
            for address in [IpAddr::from([198, 18, host[0], host[1]]), near] {
                let naive = networks.iter().any(|network| network.contains(&address));
                prop_assert_eq!(covers(kept, address), naive);
            }
        }
    }
}
