//! Tells whether two records are one request that was delivered twice.
//!
//! Firehose delivers at least once: what it tried to write and was not told about, it
//! writes again. A client must not be able to make use of that, by sending requests that
//! pass for one. So only ids count that the gateway makes itself: the extended request id,
//! and the request id of HTTP APIs. They end with `=`; what clients may put into
//! `$context.requestId` of REST APIs is a UUID, and never does. What else the records say
//! must be the same too, so that AWS WAF's record of a request and the gateway's stay two.
//!
//! Source: API Gateway guide, "Variables for data models, authorizers, mapping templates,
//! and CloudWatch access logging", `context.requestId`, `context.extendedRequestId`.

use std::hash::{BuildHasher as _, Hasher as _};
use std::net::IpAddr;

use foldhash::fast::FixedState;
use portcullis_ingest::{Reject, Request, Sink, Timestamp, Untrusted};

/// Lengths of the ids that the gateway makes. Those seen have 15 or 16 characters.
const LENGTHS: std::ops::RangeInclusive<usize> = 12..=24;

/// A number that is the same for two records of one request, and for others differs: of a
/// million records, two are taken for one with a chance of one in thirty million. `None`
/// when the record has no id of the gateway's own making.
pub fn identity(request: &Request<'_>) -> Option<u64> {
    let id = request.id?.bytes();
    if !is_of_the_gateway(id) {
        return None;
    }
    let texts = [Some(id), bytes(request.method), bytes(request.path), bytes(request.query)];
    let [a, b, c, d] = texts.map(length);
    let agent = bytes(request.user_agent);
    let (kind, client) = match request.client {
        Some(IpAddr::V4(client)) => (4, u128::from(client.to_bits())),
        Some(IpAddr::V6(client)) => (6, client.to_bits()),
        None => (0, 0),
    };
    let number = |number: Option<u64>| number.map_or(u64::MAX, |number| number.min(u64::MAX - 1));
    let status = u64::from(request.status.unwrap_or(u16::MAX));
    let time = request.time.map_or(-1, Timestamp::epoch_ms);
    // The lengths come first, so that no text can pass for the end of the one before it.
    let mut hasher = FixedState::with_seed(0x6f6e_6365).build_hasher();
    hasher.write_u64(u64::from(a) << 32 | u64::from(b));
    hasher.write_u64(u64::from(c) << 32 | u64::from(d));
    hasher.write_u64(u64::from(length(agent)) << 32 | status << 8 | kind);
    hasher.write_u128(client);
    hasher.write_u64(time.cast_unsigned());
    hasher.write_u64(number(request.response_bytes));
    hasher.write_u64(number(request.latency_ms));
    for text in texts.into_iter().chain([agent]).flatten() {
        hasher.write(text);
    }
    Some(hasher.finish())
}

fn bytes(text: Option<Untrusted<'_>>) -> Option<&[u8]> {
    text.map(Untrusted::bytes)
}

/// Length of a text, records being far shorter than four gigabytes.
fn length(text: Option<&[u8]>) -> u32 {
    text.map_or(u32::MAX, |text| u32::try_from(text.len()).unwrap_or(u32::MAX - 1))
}

/// Identities of an object's records, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identities(pub Vec<u64>);

/// Which records are left out of an object.
pub enum LeftOut<'l> {
    /// Those at these places in [`Identities`], sorted.
    Known(&'l [usize]),
    /// Those whose identity is said to be an earlier record's. It is asked for each record
    /// once, in their order.
    Guessed(&'l mut dyn FnMut(u64) -> bool),
}

impl LeftOut<'_> {
    fn holds(&mut self, identity: u64, place: usize) -> bool {
        match self {
            Self::Known(places) => {
                let is_next = places.first() == Some(&place);
                if is_next {
                    *places = &places[1..];
                }
                is_next
            }
            Self::Guessed(is_twin) => is_twin(identity),
        }
    }
}

/// Passes requests on, gathers their identities, and leaves out those that are twins.
pub struct Once<'s, 'l, S> {
    sink: &'s mut S,
    left_out: LeftOut<'l>,
    /// How many identities are wanted; those of later records are not gathered.
    most: usize,
    /// Of all records that have one, in their order.
    identities: Identities,
    /// Places of those that were left out.
    places: Vec<usize>,
}

impl<'s, 'l, S> Once<'s, 'l, S> {
    /// Leaves those out; `most` is 0 when both of two twins are to count.
    pub fn new(sink: &'s mut S, most: usize, left_out: LeftOut<'l>) -> Self {
        let (identities, places) = (Identities::default(), Vec::new());
        Self { sink, left_out, most, identities, places }
    }

    /// The identities of all records, and the places of those that were left out.
    pub fn finish(self) -> (Identities, Vec<usize>) {
        (self.identities, self.places)
    }
}

impl<S: Sink> Once<'_, '_, S> {
    /// Gathers an identity, and says whether its record is left out.
    fn leaves_out(&mut self, identity: Option<u64>) -> bool {
        let place = self.identities.0.len();
        let Some(identity) = identity.filter(|_| place < self.most) else { return false };
        self.identities.0.push(identity);
        let left_out = self.left_out.holds(identity, place);
        if left_out {
            self.places.push(place);
        }
        left_out
    }
}

/// Identities that are looked up before the first of their requests is passed on.
const AT_ONCE: usize = 16;

impl<S: Sink> Sink for Once<'_, '_, S> {
    fn request(&mut self, request: &Request<'_>) {
        self.requests(std::slice::from_ref(request));
    }

    fn requests(&mut self, requests: &[Request<'_>]) {
        if self.most == 0 {
            return self.sink.requests(requests);
        }
        for requests in requests.chunks(AT_ONCE) {
            let mut identities = [None; AT_ONCE];
            for (slot, request) in identities.iter_mut().zip(requests) {
                *slot = identity(request);
            }
            // Nothing stands between one look and the next, so that memory answers all at once.
            let mut left_out = [false; AT_ONCE];
            for (left_out, identity) in left_out.iter_mut().zip(identities).take(requests.len()) {
                *left_out = self.leaves_out(identity);
            }
            let mut rest = (requests, &left_out[..requests.len()]);
            while let Some(twin) = rest.1.iter().position(|left_out| *left_out) {
                self.sink.requests(&rest.0[..twin]);
                rest = (&rest.0[twin + 1..], &rest.1[twin + 1..]);
            }
            self.sink.requests(rest.0);
        }
    }

    fn reject(&mut self, reject: &Reject<'_>) {
        self.sink.reject(reject);
    }
}

fn is_of_the_gateway(id: &[u8]) -> bool {
    let Some((b'=', rest)) = id.split_last() else { return false };
    LENGTHS.contains(&id.len())
        && rest.iter().fold(true, |all, byte| all & IN_ALPHABET[usize::from(*byte)])
}

/// The letters of such ids.
static IN_ALPHABET: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let letter = byte as u8;
        table[byte] = letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_' | b'+' | b'/');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use portcullis_ingest::Origin;

    use super::*;

    fn request(id: &str) -> Request<'_> {
        Request {
            id: Some(Untrusted::new(id.as_bytes())),
            time: Timestamp::from_epoch_ms(1_762_247_520_000),
            client: "192.0.2.1".parse().ok(),
            path: Some(Untrusted::new(b"/prod/pets")),
            status: Some(200),
            ..Request::default()
        }
    }

    #[test]
    fn a_record_is_the_same_wherever_it_was_written() {
        let one = request("AvfiBE7QvHcFq1g=");
        let origin = Origin { object: "another", offset: 17 };
        assert!(identity(&one).is_some());
        assert_eq!(identity(&one), identity(&Request { origin, ..one }));
    }

    #[test]
    fn ids_that_clients_can_choose_identify_nothing() {
        for id in [
            "6499588b-5e44-45d7-84fa-cafc8a3b8ffd",
            "UUID_REPLACED_INVALID_REQUEST_ID",
            "",
            "=",
            "AvfiBE7QvHcFq1g",
            "Avfi BE7QvHcFq1=",
            "Root=1-67891233-abcdef012345678912345678",
        ] {
            assert_eq!(identity(&request(id)), None, "{id}");
        }
        assert_eq!(identity(&Request::default()), None);
    }

    #[test]
    fn whatever_else_differs_makes_two_requests() {
        let one = request("GQIVriFLIAMEMsA=");
        let others = [
            request("Iq8dHhlwIAMEV_g="),
            Request { time: None, ..one },
            Request { client: "192.0.2.2".parse().ok(), ..one },
            Request { status: None, ..one },
            Request { latency_ms: Some(3), ..one },
            Request { query: Some(Untrusted::new(b"a=b")), ..one },
            Request { path: None, query: one.path, ..one },
        ];
        for other in others {
            assert_ne!(identity(&one), identity(&other), "{other:?}");
        }
    }
}
