//! Requests that are kept back until it is known whether they count.
//!
//! Whether a record is the twin of an earlier one is known for sure only when all objects
//! before its own were read, and what a scan took in cannot be taken out again. So the few
//! records that may be twins are kept back, as copies, and taken in when their turn has come.

use portcullis_ingest::{Request, Timestamp, Untrusted};

/// Most requests that are kept back of one object; a few hundred bytes each.
const MOST: usize = 1_024;

/// Of so many requests that come first, the times say when an object begins.
const FIRST: usize = 16;

/// A request that was kept back.
#[derive(Debug, Clone)]
pub struct Held {
    /// Its place in [`crate::Identities`].
    pub place: usize,
    object: Box<str>,
    /// Without its texts.
    request: Request<'static>,
    /// All texts, one behind the other, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Held {
    fn new(place: usize, request: &Request<'_>) -> Self {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        let empty = request.with_texts("", |known| {
            text.extend_from_slice(known.bytes());
            ends.push(text.len());
            Untrusted::new(b"")
        });
        Self { place, object: request.origin.object.into(), request: empty, text, ends }
    }

    /// The same, with its place behind so many others.
    #[must_use]
    pub fn behind(self, others: usize) -> Self {
        Self { place: self.place + others, ..self }
    }

    /// The request as it was.
    pub fn request(&self) -> Request<'_> {
        let (mut start, mut ends) = (0, self.ends.iter());
        self.request.with_texts(&self.object, |_| {
            let end = *ends.next().expect("as many ends as texts");
            Untrusted::new(&self.text[std::mem::replace(&mut start, end)..end])
        })
    }
}

/// Keeps requests of one object back.
#[derive(Debug, Default)]
pub(crate) struct Holding {
    pub(crate) held: Vec<Held>,
    /// Times of the first requests, in order.
    first: Vec<Timestamp>,
}

impl Holding {
    /// Keeps a request back, if there is room.
    pub(crate) fn hold(&mut self, place: usize, request: &Request<'_>) -> bool {
        let has_room = self.held.len() < MOST;
        if has_room {
            self.held.push(Held::new(place, request));
        }
        has_room
    }

    /// Whether a request came before those that its object begins with, so that its place is
    /// in an object before this one, which another thread may be reading. Records of one
    /// object come in the order of time, but for those that are written once more.
    pub(crate) fn is_late(&mut self, request: &Request<'_>) -> bool {
        let Some(time) = request.time else { return false };
        if self.first.len() < FIRST {
            self.first.push(time);
            self.first.sort_unstable();
            return false;
        }
        time < self.first[FIRST / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_ingest::{Origin, WafAction};

    #[test]
    fn a_request_that_was_held_is_what_it_was() {
        let text = |text: &'static str| Some(Untrusted::new(text.as_bytes()));
        let request = Request {
            id: text("AvfiBE7QvHcFq1g="),
            time: Timestamp::from_epoch_ms(1_762_247_520_000),
            client: "192.0.2.1".parse().ok(),
            path: text("/pets"),
            query: text(""),
            status: Some(403),
            user_agent: text("agent/1"),
            headers: text("a: b"),
            waf_action: Some(WafAction::Allow),
            waf_is_unknown: true,
            origin: Origin { object: "an/object", offset: 17 },
            ..Request::default()
        };
        assert_eq!(Held::new(3, &request).request(), request);
        assert_eq!(Held::new(3, &Request::default()).request(), Request::default());
    }

    #[test]
    fn late_is_what_came_before_the_beginning_of_the_object() {
        let at = |second: i64| Request {
            time: Timestamp::from_epoch_ms(1_762_247_520_000 + second * 1_000),
            ..Request::default()
        };
        let mut holding = Holding::default();
        for second in 0..16 {
            // One of the first is late itself.
            let second = if second == 3 { -500 } else { second };
            assert!(!holding.is_late(&at(second)));
        }
        assert!(!holding.is_late(&at(20)));
        assert!(holding.is_late(&at(-1)));
        assert!(!holding.is_late(&Request::default()));
    }

    #[test]
    fn no_more_is_held_than_there_is_room_for() {
        let mut holding = Holding::default();
        let held = (0..MOST + 9).filter(|place| holding.hold(*place, &Request::default())).count();
        assert_eq!((held, holding.held.len()), (MOST, MOST));
    }
}
