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

use crate::held::{Held, Holding};

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
    /// None for good, but those are kept back whose identity is said to be an earlier
    /// record's, and those that came before their object began. Asked for some records at
    /// once, in their order, and for each of them once.
    Guessed(&'l mut dyn FnMut(&[u64], &mut [bool])),
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
    holding: Holding,
}

impl<'s, 'l, S> Once<'s, 'l, S> {
    /// Leaves those out; `most` is 0 when both of two twins are to count.
    pub fn new(sink: &'s mut S, most: usize, left_out: LeftOut<'l>) -> Self {
        let (identities, places) = (Identities::default(), Vec::new());
        Self { sink, left_out, most, identities, places, holding: Holding::default() }
    }

    /// The identities of all records, the places of those that were left out, and the requests
    /// that were kept back, by their place.
    pub fn finish(self) -> (Identities, Vec<usize>, Vec<Held>) {
        (self.identities, self.places, self.holding.held)
    }
}

impl<S: Sink> Once<'_, '_, S> {
    /// Gathers identities, and says which of their records are not to be passed on.
    fn stopped(&mut self, identities: &[Option<u64>]) -> [bool; AT_ONCE] {
        let first = self.identities.0.len();
        let known = identities.iter().enumerate().filter_map(|(at, known)| Some((at, (*known)?)));
        let mut gathered = [0; AT_ONCE];
        let mut from = [0; AT_ONCE];
        let mut count = 0;
        for (at, identity) in known.take(self.most.saturating_sub(first)) {
            (gathered[count], from[count]) = (identity, at);
            count += 1;
        }
        self.identities.0.extend_from_slice(&gathered[..count]);
        let mut twins = [false; AT_ONCE];
        match &mut self.left_out {
            LeftOut::Known(places) => {
                for (twin, place) in twins[..count].iter_mut().zip(first..) {
                    *twin = places.first() == Some(&place);
                    if *twin {
                        *places = &places[1..];
                        self.places.push(place);
                    }
                }
            }
            LeftOut::Guessed(are_twins) => are_twins(&gathered[..count], &mut twins[..count]),
        }
        let mut stopped = [false; AT_ONCE];
        for (at, twin) in from.into_iter().zip(twins).take(count) {
            stopped[at] = twin;
        }
        stopped
    }

    /// Keeps those requests back that were stopped or are late, if there is room. The first of
    /// their identities has that place.
    fn keep_back(
        &mut self,
        requests: &[Request<'_>],
        identities: &[Option<u64>; AT_ONCE],
        first: usize,
        stopped: &mut [bool; AT_ONCE],
    ) {
        let gathered = self.identities.0.len();
        let mut place = first;
        for ((request, identity), stopped) in requests.iter().zip(identities).zip(stopped) {
            let is_late = self.holding.is_late(request);
            if identity.is_some() && place < gathered {
                *stopped = (*stopped || is_late) && self.holding.hold(place, request);
                place += 1;
            }
        }
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
            let first = self.identities.0.len();
            let mut stopped = self.stopped(&identities[..requests.len()]);
            if matches!(self.left_out, LeftOut::Guessed(_)) {
                self.keep_back(requests, &identities, first, &mut stopped);
            }
            let mut rest = (requests, &stopped[..requests.len()]);
            while let Some(next) = rest.1.iter().position(|stopped| *stopped) {
                self.sink.requests(&rest.0[..next]);
                rest = (&rest.0[next + 1..], &rest.1[next + 1..]);
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
    fn nothing_is_lost_of_what_is_kept_back() {
        #[derive(Default)]
        struct Passed(Vec<u64>);
        impl Sink for Passed {
            fn request(&mut self, request: &Request<'_>) {
                self.0.push(request.origin.offset);
            }
            fn reject(&mut self, _: &Reject<'_>) {}
        }
        let numbers: Vec<u64> = (0..50).collect();
        // Every seventh has no identity, and the 41st came long before the others.
        let requests = numbers.iter().map(|number| Request {
            id: (number % 7 != 0).then_some(Untrusted::new(b"AvfiBE7QvHcFq1g=")),
            time: Timestamp::from_epoch_ms(if *number == 41 {
                5
            } else {
                1_000_000 + number.cast_signed()
            }),
            origin: Origin { object: "a", offset: *number },
            ..request("")
        });
        let requests: Vec<Request<'_>> = requests.collect();
        let mut passed = Passed::default();
        let mut asked = 0;
        let mut every_fifth = |_: &[u64], twins: &mut [bool]| {
            for twin in twins {
                asked += 1;
                *twin = asked % 5 == 0;
            }
        };
        let mut once = Once::new(&mut passed, usize::MAX, LeftOut::Guessed(&mut every_fifth));
        for some in requests.chunks(21) {
            once.requests(some);
        }
        let (identities, left_out, held) = once.finish();
        assert_eq!((identities.0.len(), left_out.len(), held.len()), (42, 0, 9));
        for held in &held {
            assert_eq!(identity(&held.request()), Some(identities.0[held.place]));
            assert!(held.place % 5 == 4 || held.request().origin.offset == 41);
        }
        passed.0.extend(held.iter().map(|held| held.request().origin.offset));
        passed.0.sort_unstable();
        assert_eq!(passed.0, numbers);
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
