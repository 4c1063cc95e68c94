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

use std::hash::{BuildHasher as _, Hash as _, Hasher as _};

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
    let mut hasher = FixedState::with_seed(0x6f6e_6365).build_hasher();
    id.hash(&mut hasher);
    request.time.map(Timestamp::epoch_ms).hash(&mut hasher);
    request.client.hash(&mut hasher);
    (request.status, request.response_bytes, request.latency_ms).hash(&mut hasher);
    for text in [request.method, request.path, request.query, request.user_agent] {
        text.map(Untrusted::bytes).hash(&mut hasher);
    }
    Some(hasher.finish())
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

impl<S: Sink> Sink for Once<'_, '_, S> {
    fn request(&mut self, request: &Request<'_>) {
        let place = self.identities.0.len();
        if place < self.most
            && let Some(identity) = identity(request)
        {
            self.identities.0.push(identity);
            if self.left_out.holds(identity, place) {
                self.places.push(place);
                return;
            }
        }
        self.sink.request(request);
    }

    fn reject(&mut self, reject: &Reject<'_>) {
        self.sink.reject(reject);
    }
}

fn is_of_the_gateway(id: &[u8]) -> bool {
    let Some((b'=', rest)) = id.split_last() else { return false };
    let in_alphabet = |b: &u8| b.is_ascii_alphanumeric() || b"-_+/".contains(b);
    LENGTHS.contains(&id.len()) && rest.iter().all(in_alphabet)
}

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
