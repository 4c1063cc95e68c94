//! What is known of a source besides its requests.
//!
//! Where an address is, who runs its network, and who complained of it is in files that an
//! operator may have. None of it says what a client does: half of an attacker's country is
//! honest, and a list of last month names whoever has the address today. So it is shown
//! beside what was found and adds a little where something was found; by itself it is
//! nothing. It is asked for when all requests were seen, once for each source that is
//! shown, so that a scan gathers the same with and without it.
//!
//! Reading the files is left to whoever implements [`Backgrounds`].

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

/// Tells what is known of sources.
pub trait Backgrounds: fmt::Debug + Send + Sync {
    /// What is known of an IPv4 address or the /64 of IPv6 addresses. The same source gives
    /// the same, always.
    fn of(&self, source: IpNet) -> Background;
}

/// What is known of one source. All text is fit to be printed: whoever reads the files
/// answers for that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Background {
    /// Its country, two letters as ISO 3166 has them.
    pub country: Option<Arc<str>>,
    /// The network that announces it.
    pub network: Option<Network>,
    /// Reputation lists that name it, sorted.
    pub listed: Vec<Arc<str>>,
    /// What it is called, where it belongs to the operator.
    pub asset: Option<Arc<str>>,
}

/// An autonomous system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its number.
    pub number: u32,
    /// Whose it is.
    pub name: Option<Arc<str>>,
}

impl Background {
    /// The parts in a line: `NL, AS64496 Example Hosting, listed by drop`. Empty when nothing
    /// is known.
    pub fn in_words(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        parts.extend(self.asset.as_ref().map(|name| format!("own asset: {name}")));
        parts.extend(self.country.as_deref().map(str::to_owned));
        parts.extend(self.network.as_ref().map(Network::to_string));
        if !self.listed.is_empty() {
            parts.push(format!("listed by {}", self.listed.join(" and ")));
        }
        parts.join(", ")
    }
}

/// `AS64496 Example Hosting`.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AS{}", self.number)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, " {name}"))
    }
}
