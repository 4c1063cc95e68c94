//! Asks the machine's DNS resolver for the names of hosts that say to be crawlers.
//!
//! Whoever runs the scanned addresses also runs the servers that are asked in the end, and
//! may answer slowly, wrongly or without end. So every question has a time limit, all
//! together have one, few are under way at once, and what did not come in time is not known
//! rather than denied. A name counts only with its address in turn; names are compared and
//! never shown.
//!
//! Only a resolver is asked, over UDP, which follows the delegations. An answer that does
//! not fit a datagram is none: hosts of crawlers have one name and few addresses.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_detection::HostNames;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

/// How long one answer is waited for, and how often it is asked for.
const PATIENCE: Duration = Duration::from_secs(2);
const TRIES: usize = 2;

/// How long all answers together are waited for.
const ALL_PATIENCE: Duration = Duration::from_secs(30);

/// Questions under way at once.
const AT_ONCE: usize = 16;

/// Most names of one address whose addresses are asked for.
const MOST_NAMES: usize = 4;

/// Where a Unix machine names its resolvers.
const RESOLVERS: &str = "/etc/resolv.conf";

/// Size of the datagrams that resolvers send without being asked for larger ones, with
/// room to spare.
const DATAGRAM: usize = 4096;

/// Port of DNS.
pub const DNS_PORT: u16 = 53;

/// One DNS resolver.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    resolver: SocketAddr,
}

impl Names {
    /// Asks that resolver, or the first that the machine is set up with.
    pub fn of(resolver: Option<SocketAddr>) -> io::Result<Self> {
        let resolver = match resolver {
            Some(resolver) => resolver,
            None => first_resolver(&fs::read_to_string(RESOLVERS)?).ok_or_else(|| {
                io::Error::other(format!("{RESOLVERS} has no line `nameserver ADDRESS`"))
            })?,
        };
        Ok(Self { resolver })
    }

    /// The names of the host at an address that have the address in turn.
    fn confirmed_of(self, address: IpAddr, deadline: Instant) -> Option<Vec<String>> {
        let mut confirmed = Vec::new();
        let mut names = self.ask(&reverse_name(address), TYPE::PTR, deadline)?.names;
        names.truncate(MOST_NAMES);
        let kind = if address.is_ipv4() { TYPE::A } else { TYPE::AAAA };
        for name in names {
            if self.ask(&name, kind, deadline)?.addresses.contains(&address) {
                confirmed.push(name);
            }
        }
        Some(confirmed)
    }

    /// What there is of that type at a name; `None` when nobody says so in time.
    fn ask(self, name: &str, kind: TYPE, deadline: Instant) -> Option<Answer> {
        for _ in 0..TRIES {
            let until = deadline.min(Instant::now() + PATIENCE);
            match self.ask_once(name, kind, until) {
                Ok(answer) => return answer,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                Err(_) => return None,
            }
        }
        None
    }

    fn ask_once(self, name: &str, kind: TYPE, until: Instant) -> io::Result<Option<Answer>> {
        let id = getrandom::u32().map_err(io::Error::other)? as u16;
        // A name that somebody else's server made up may be none that can be asked for.
        let Ok(name) = Name::new(name) else { return Ok(Some(Answer::default())) };
        let mut query = Packet::new_query(id);
        query.set_flags(PacketFlag::RECURSION_DESIRED);
        let question = Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false);
        query.questions.push(question);
        let query_bytes = query.build_bytes_vec().map_err(io::Error::other)?;

        // A port of its own for each question, so that nobody can guess it.
        let any = match self.resolver {
            SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(self.resolver)?;
        socket.send(&query_bytes)?;
        let mut datagram = [0; DATAGRAM];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            socket.set_read_timeout(Some(left))?;
            let length = match socket.recv(&mut datagram) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            let Ok(reply) = Packet::parse(&datagram[..length]) else { continue };
            if is_reply(&reply, &query) {
                return Ok(Answer::of(&reply));
            }
        }
    }
}

impl HostNames for Names {
    fn confirmed(&self, addresses: &[IpAddr]) -> Vec<Option<Vec<String>>> {
        let deadline = Instant::now() + ALL_PATIENCE;
        let answers = Mutex::new(vec![None; addresses.len()]);
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE.min(addresses.len()) {
                scope.spawn(|| {
                    loop {
                        let place = next.fetch_add(1, Ordering::Relaxed);
                        let Some(address) = addresses.get(place) else { break };
                        let answer = self.confirmed_of(*address, deadline);
                        answers.lock().unwrap_or_else(PoisonError::into_inner)[place] = answer;
                    }
                });
            }
        });
        answers.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an answer holds of interest.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    names: Vec<String>,
    addresses: BTreeSet<IpAddr>,
}

impl Answer {
    /// `None` when the resolver could not find it out. That there is no such name is an
    /// answer.
    fn of(reply: &Packet<'_>) -> Option<Self> {
        let is_known = matches!(reply.rcode(), RCODE::NoError | RCODE::NameError);
        if !is_known || reply.has_flags(PacketFlag::TRUNCATION) {
            return None;
        }
        let mut answer = Self::default();
        for record in &reply.answers {
            match &record.rdata {
                RData::PTR(name) => answer.names.push(name.to_string()),
                RData::A(one) => drop(answer.addresses.insert(Ipv4Addr::from(one.address).into())),
                RData::AAAA(one) => {
                    answer.addresses.insert(Ipv6Addr::from(one.address).into());
                }
                _ => {}
            }
        }
        Some(answer)
    }
}

/// Whether it answers that question. Others may send datagrams to the port.
fn is_reply(reply: &Packet<'_>, query: &Packet<'_>) -> bool {
    let [asked, answered] = [query, reply].map(|packet| packet.questions.first());
    let same = asked.zip(answered).is_some_and(|(asked, answered)| {
        asked.qtype == answered.qtype
            && asked.qname.to_string().eq_ignore_ascii_case(&answered.qname.to_string())
    });
    reply.has_flags(PacketFlag::RESPONSE) && reply.id() == query.id() && same
}

/// The name under which the names of an address are kept.
///
/// Source: RFC 1035, section 3.5; RFC 3596, section 2.5.
fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let digits = format!("{:032x}", u128::from(address));
            let reversed: String = digits.chars().rev().flat_map(|digit| [digit, '.']).collect();
            format!("{reversed}ip6.arpa")
        }
    }
}

/// The first resolver that `resolv.conf` names. A zone behind `%` is passed over with its
/// line: it means something on one link alone.
fn first_resolver(text: &str) -> Option<SocketAddr> {
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse::<IpAddr>().ok())?
    });
    addresses.map(|address| SocketAddr::new(address, DNS_PORT)).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_addresses_are_kept_backwards() {
        let name = |text: &str| reverse_name(text.parse().expect("an address"));
        assert_eq!(name("66.249.66.1"), "1.66.249.66.in-addr.arpa");
        assert_eq!(
            name("2001:db8::567:89ab"),
            "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }

    #[test]
    fn the_first_resolver_of_the_machine_is_asked() {
        let first = |text: &str| first_resolver(text).map(|address| address.to_string());
        let text = "# nameserver 192.0.2.9\nsearch example.com\nnameserver fe80::1%eth0\n\
                    nameserver\t192.0.2.53\nnameserver 2001:db8::53\n";
        assert_eq!(first(text).as_deref(), Some("192.0.2.53:53"));
        assert_eq!(first("nameserver 2001:db8::53").as_deref(), Some("[2001:db8::53]:53"));
        assert_eq!(first("nameservers 192.0.2.53\nnameserver\noptions edns0"), None);
    }
}
