//! Which crawlers are known, and whom to ask for the names of hosts.

use std::net::{AddrParseError, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use super::values::named_file;
use crate::names::DNS_PORT;

/// Which crawlers can be told from those who only say that they are.
#[derive(Debug, Default, Args)]
pub struct CrawlerOptions {
    /// Networks of a crawler, in the JSON that search engines publish, such as
    /// Googlebot=googlebot.json. May be given several times, for one name too.
    ///
    /// A client whose agent says NAME and whose address is in them is at most watched, whatever
    /// it asks for: give only ranges that are the crawler's own. One that says so from elsewhere has a false claim added to its score. Some honest programs
    /// name a crawler that they behave like: the claim alone makes nobody an offender.
    #[arg(long = "crawler-ranges", value_name = "NAME=FILE", value_parser = named_file)]
    pub ranges: Vec<(String, PathBuf)>,

    /// Domain of a crawler's hosts, such as Googlebot=googlebot.com. May be given several
    /// times, for one name too.
    ///
    /// Asks DNS for the names of clients that say to be NAME and stand out, and for the
    /// addresses of these names: a client is the crawler when both agree. What DNS does not
    /// answer in time counts neither for the client nor against it.
    #[arg(long = "crawler-domain", value_name = "NAME=DOMAIN", value_parser = named_domain)]
    pub domains: Vec<(String, String)>,

    /// DNS resolver to ask, by its address, with its port if it is not 53; the machine's own
    /// unless given.
    #[arg(long, value_name = "ADDRESS", value_parser = resolver)]
    pub dns_server: Option<SocketAddr>,
}

/// Parses `NAME=DOMAIN`.
fn named_domain(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, domain)) if !name.is_empty() && !domain.is_empty() => {
            Ok((name.to_owned(), domain.to_owned()))
        }
        _ => Err("expected a name and a domain, such as Googlebot=googlebot.com".to_owned()),
    }
}

/// Parses an address, with a port or with that of DNS.
pub fn resolver(text: &str) -> Result<SocketAddr, String> {
    let with_port = || Ok(SocketAddr::new(text.parse()?, DNS_PORT));
    text.parse().or_else(|_| with_port()).map_err(|_: AddrParseError| {
        "expected an address such as 10.0.0.2, 127.0.0.1:5353 or [2001:db8::53]:53".to_owned()
    })
}
