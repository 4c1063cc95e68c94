//! By what requests are counted together, and what is told apart among them.
//!
//! Both are taken from one request, and both may be chosen by an attacker, so values are
//! cut to a length and what is only told apart is kept as a hash.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foldhash::fast::FixedState;
use portcullis_ingest::{Field, Request, Untrusted, UntrustedBuf};

use crate::level::named;

/// Most bytes of a value by which requests are counted together. Longer ones are cut, and
/// count as one with all that begin the same.
pub(crate) const MOST_VALUE_BYTES: usize = 256;

/// Prefix lengths of [`Key::Network`]: what one customer line of an access provider or one
/// rented range usually has at most, and the shortest a person may block here.
pub(crate) const NETWORK_PREFIX_V4: u8 = 24;
pub(crate) const NETWORK_PREFIX_V6: u8 = 48;

named! {
    /// By what a rate rule counts requests together.
    Key {
        /// The client's address, or the /64 of an IPv6 address.
        Client = "client",
        /// The /24 of an IPv4 address, the /48 of an IPv6 address.
        Network = "network",
        /// The path as logged.
        Path = "path",
        /// The route template or route key.
        Route = "route",
        /// The id of the API key; the key itself is never kept.
        ApiKey = "api-key",
        /// The caller as the authorizer names it.
        Principal = "principal",
        /// The `User-Agent` header.
        UserAgent = "user-agent",
        /// The class of the status: `4xx`.
        StatusClass = "status-class",
        /// The gateway response type.
        ErrorType = "error-type",
    }
}

impl Key {
    /// The field it is taken from.
    pub const fn field(self) -> Field {
        match self {
            Self::Client | Self::Network => Field::Client,
            Self::Path => Field::Path,
            Self::Route => Field::Route,
            Self::ApiKey => Field::ApiKeyId,
            Self::Principal => Field::Principal,
            Self::UserAgent => Field::UserAgent,
            Self::StatusClass => Field::Status,
            Self::ErrorType => Field::ErrorType,
        }
    }

    /// The request's value; `None` when it has none. Networks are in a binary form, see
    /// [`Key::shown`]. A client has none here: it is a source.
    pub(crate) fn value<'o>(self, request: &Request<'o>) -> Option<Cow<'o, [u8]>> {
        let cut = |text: Untrusted<'o>| {
            let bytes = text.bytes();
            Cow::Borrowed(&bytes[..bytes.len().min(MOST_VALUE_BYTES)])
        };
        match self {
            Self::Client => None,
            Self::Network => Some(Cow::Owned(network(request.client?))),
            Self::StatusClass => {
                let class = request.status.map(|code| code / 100).filter(|class| *class < 10)?;
                Some(Cow::Owned(format!("{class}xx").into_bytes()))
            }
            Self::Path
            | Self::Route
            | Self::ApiKey
            | Self::Principal
            | Self::UserAgent
            | Self::ErrorType => request.text(self.field()).map(cut),
        }
    }

    /// A value as people read it.
    pub(crate) fn shown(self, value: &[u8]) -> UntrustedBuf {
        let network = (self == Self::Network).then(|| network_text(value)).flatten();
        network.map_or_else(|| value.to_vec(), String::into_bytes).into()
    }
}

/// The bytes of a network's address that its prefix keeps.
fn network(client: IpAddr) -> Vec<u8> {
    match client {
        IpAddr::V4(v4) => v4.octets()[..usize::from(NETWORK_PREFIX_V4 / 8)].to_vec(),
        IpAddr::V6(v6) => v6.octets()[..usize::from(NETWORK_PREFIX_V6 / 8)].to_vec(),
    }
}

fn network_text(kept: &[u8]) -> Option<String> {
    if kept.len() == usize::from(NETWORK_PREFIX_V4 / 8) {
        let mut octets = [0; 4];
        octets[..kept.len()].copy_from_slice(kept);
        return Some(format!("{}/{NETWORK_PREFIX_V4}", Ipv4Addr::from(octets)));
    }
    if kept.len() == usize::from(NETWORK_PREFIX_V6 / 8) {
        let mut octets = [0; 16];
        octets[..kept.len()].copy_from_slice(kept);
        return Some(format!("{}/{NETWORK_PREFIX_V6}", Ipv6Addr::from(octets)));
    }
    None
}

/// What is told apart among the requests that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Apart {
    Paths,
    Routes,
    Objects,
    Agents,
}

/// A hash of what is told apart, never 0.
///
/// Of objects, the upper [`ROUTE_BITS`] are of the route.
pub(crate) fn apart(apart: Apart, request: &Request<'_>, key: HashKey) -> Option<u64> {
    let hash = match apart {
        Apart::Paths => hash(key, request.path?.bytes()),
        Apart::Routes => hash(key, request.route?.bytes()),
        Apart::Agents => hash(key, request.user_agent?.bytes()),
        Apart::Objects => object(request, key)?,
    };
    Some(hash.max(1))
}

/// Bits of an object's hash that tell its route. Colliding routes of one client count as
/// one, at odds of one in 16 million for each pair.
pub(crate) const ROUTE_BITS: u32 = 24;

/// The object that a request names: its path, on its route.
///
/// A route with a parameter (`/pets/{petId}`) names objects by their paths. A route that
/// takes any path (`$default`, `{proxy+}`), or none logged, says nothing; there the path
/// with what looks like ids cut out stands for it. A path without any names no object.
fn object(request: &Request<'_>, key: HashKey) -> Option<u64> {
    let path = request.path?.bytes();
    let route = request.route.map_or(&b""[..], Untrusted::bytes);
    let is_greedy = memchr::memmem::find(route, b"+}").is_some() || route == b"$default";
    let route = if is_greedy || route.is_empty() {
        hash(key, &without_ids(path)?)
    } else if route.contains(&b'{') {
        hash(key, route)
    } else {
        return None;
    };
    Some(route >> (64 - ROUTE_BITS) << (64 - ROUTE_BITS) | hash(key, path) >> ROUTE_BITS)
}

/// The path with each segment that looks like an id replaced; `None` when there is none.
fn without_ids(path: &[u8]) -> Option<Vec<u8>> {
    let mut pattern = Vec::with_capacity(path.len());
    let mut found = false;
    for (index, segment) in path.split(|byte| *byte == b'/').enumerate() {
        if index > 0 {
            pattern.push(b'/');
        }
        if looks_like_id(segment) {
            found = true;
            pattern.extend_from_slice(b"{}");
        } else {
            pattern.extend_from_slice(segment);
        }
    }
    found.then_some(pattern)
}

/// Whether a segment is a number, a UUID, or a token of letters and digits with at least
/// four digits: what stores hand out. Names of versions, pages and files are not.
fn looks_like_id(segment: &[u8]) -> bool {
    let digits = segment.iter().filter(|byte| byte.is_ascii_digit()).count();
    let all = |accepted: fn(&u8) -> bool| segment.iter().all(accepted);
    let is_token = segment.len() >= 8
        && digits >= 4
        && all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b));
    (!segment.is_empty() && digits == segment.len()) || is_token
}

/// What a hash is keyed with, the same wherever counts are merged.
///
/// Whoever knows it can make up texts that collide and count as one, which makes only him
/// look calmer. The usual one is public, so that threads, runs and machines agree; a job of
/// many machines can be given one that nobody knows.
pub type HashKey = u64;

/// The hash of a text under a key. Texts count as one when they collide.
pub(crate) fn hash(key: HashKey, text: &[u8]) -> u64 {
    use std::hash::BuildHasher as _;
    FixedState::with_seed(key ^ 0x7061_7468).hash_one(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named<'o>(route: Option<&'o str>, path: &'o str) -> Option<u64> {
        let text = |text: &'o str| Untrusted::new(text.as_bytes());
        let request =
            Request { path: Some(text(path)), route: route.map(text), ..Request::default() };
        apart(Apart::Objects, &request, 0)
    }

    #[track_caller]
    fn check_object(route: Option<&str>, path: &str, expected: bool) {
        assert_eq!(named(route, path).is_some(), expected, "{route:?} {path}");
    }

    #[test]
    fn a_route_with_a_parameter_names_objects() {
        check_object(Some("/pets/{petId}"), "/prod/pets/rex", true);
        check_object(Some("GET /pets/{petId}"), "/pets/7", true);
        check_object(Some("/pets"), "/prod/pets", false);
    }

    #[test]
    fn without_a_telling_route_what_looks_like_an_id_names_objects() {
        for route in [None, Some("$default"), Some("/{proxy+}")] {
            check_object(route, "/orders/1042", true);
            check_object(route, "/orders/550e8400-e29b-41d4-a716-446655440000/items", true);
            check_object(route, "/u/a81f92b0c3", true);
            check_object(route, "/products/running-shoes-2024", true);
            check_object(route, "/v2/orders", false);
            check_object(route, "/assets/app.3f2a91bc.js", false);
            check_object(route, "/", false);
        }
    }

    #[test]
    fn another_key_is_another_hash() {
        assert_ne!(hash(0, b"/a"), hash(1, b"/a"));
        assert_ne!(hash(1, b"/a"), hash(1, b"/b"));
    }

    #[test]
    fn objects_of_one_route_share_its_bits() {
        let route = |path| named(None, path).expect("an object") >> (64 - ROUTE_BITS);
        assert_eq!(route("/orders/1"), route("/orders/2"));
        assert_ne!(route("/orders/1"), route("/users/1"));
        assert_ne!(named(None, "/orders/1"), named(None, "/orders/2"));
    }

    #[test]
    fn networks_are_those_a_person_may_block() {
        let shown = |client: &str| {
            let client = client.parse().expect("an address");
            let request = Request { client: Some(client), ..Request::default() };
            let value = Key::Network.value(&request).expect("a network");
            Key::Network.shown(&value).as_untrusted().escaped().to_string()
        };
        assert_eq!(shown("198.51.100.77"), "198.51.100.0/24");
        assert_eq!(shown("2001:db8:1:2::3"), "2001:db8:1::/48");
    }

    #[test]
    fn long_values_are_cut() {
        let agent = [b'a'; 1_000];
        let request = Request { user_agent: Some(Untrusted::new(&agent)), ..Request::default() };
        let value = Key::UserAgent.value(&request).expect("a value");
        assert_eq!(value.len(), MOST_VALUE_BYTES);
    }
}
