//! Decides which calls go wrong, and breaks connections.
//!
//! The faults are drawn from a seed, one per call, so that a run that failed can be
//! run again. A connection is broken by promising more of a body than there is: the
//! server then closes it, and the client sees what it sees of a service that died.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::response::Response;
use http_body::{Body as HttpBody, Frame};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// How often, in a thousand calls, each fault happens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// The call is throttled.
    pub throttle: u32,
    /// The service fails before it did anything.
    pub broken: u32,
    /// The service fails after it did everything.
    pub broken_after: u32,
    /// The connection ends before the service did anything.
    pub reset_before: u32,
    /// The connection ends after the service did everything.
    pub reset_after: u32,
    /// The answer takes as long as `slowness`.
    pub slow: u32,
    /// The answer ends early.
    pub short_body: u32,
    /// A read shows the value before the last change.
    pub stale_read: u32,
    /// One bit of an object that is read arrives as the other, with the headers as they
    /// were. Lists and the answers of other services are left alone: nothing in them could
    /// show it, and what carries them, TLS, does.
    pub bit_flip: u32,
    /// How long a slow answer takes.
    pub slowness: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Throttle,
    Broken,
    BrokenAfter,
    ResetBefore,
    ResetAfter,
    Slow,
    ShortBody,
    StaleRead,
    BitFlip,
}

#[derive(Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(crate) fn throw(&mut self, faults: &Faults) -> Option<Fault> {
        let mut thrown = self.0.random_range(0..1_000_u32);
        let each = [
            (Fault::Throttle, faults.throttle),
            (Fault::Broken, faults.broken),
            (Fault::BrokenAfter, faults.broken_after),
            (Fault::ResetBefore, faults.reset_before),
            (Fault::ResetAfter, faults.reset_after),
            (Fault::Slow, faults.slow),
            (Fault::ShortBody, faults.short_body),
            (Fault::StaleRead, faults.stale_read),
            (Fault::BitFlip, faults.bit_flip),
        ];
        for (fault, share) in each {
            if thrown < share {
                return Some(fault);
            }
            thrown -= share;
        }
        None
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0.random_range(0..limit)
    }
}

/// The answer with one bit of its body changed.
pub(crate) async fn flipped(response: Response, throw: impl FnOnce(usize) -> usize) -> Response {
    let (head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("our own body is whole");
    let mut body = body.to_vec();
    if !body.is_empty() {
        let bit = throw(body.len() * 8);
        body[bit / 8] ^= 1 << (bit % 8);
    }
    Response::from_parts(head, Body::from(body))
}

/// A body of which only the beginning arrives.
struct Cut(Option<Bytes>);

impl HttpBody for Cut {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(match self.0.take() {
            Some(bytes) => Ok(Frame::data(bytes)),
            None => Err(std::io::ErrorKind::ConnectionReset.into()),
        }))
    }
}

/// No more than the head of an answer.
pub(crate) fn hang_up() -> Response {
    let response = Response::builder().header(CONTENT_LENGTH, "1000").body(Body::new(Cut(None)));
    response.expect("a header and a body make a response")
}

/// The first half of an answer.
pub(crate) async fn cut_short(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("our own body is whole");
    // What has no body still has a connection to lose.
    head.headers.insert(CONTENT_LENGTH, body.len().max(1).into());
    let half = body.slice(..body.len() / 2);
    Response::from_parts(head, Body::new(Cut(Some(half))))
}
