//! The time span that was asked for: `--since 6h`, or `--from` and `--to`.
//!
//! An object holds minutes of requests and may come a day late, so a span is kept twice:
//! objects that can hold nothing of it are not fetched where their store tells that, and
//! of the objects that are read, requests outside it are counted and passed over. What
//! has no time of its own has its object's, or counts as inside: nothing is dropped for
//! want of a time.

use portcullis_ingest::{Reject, Request, Sink, Timestamp};

use crate::args::Within;
use crate::exit::Exit;
use crate::failure::Failure;

/// From the first instant, up to and without the last; what is `None` is not bounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// The first instant.
    pub from: Option<Timestamp>,
    /// The first instant after it.
    pub to: Option<Timestamp>,
}

impl Span {
    /// Understands what was asked for. `--since` counts back from `--to`, or from now.
    pub fn of(within: &Within, now: Timestamp) -> Result<Self, Failure> {
        let to = within.to;
        let from = match within.since {
            Some(milliseconds) => {
                let end = to.unwrap_or(now).epoch_ms();
                Timestamp::from_epoch_ms((end - milliseconds).max(0))
            }
            None => within.from,
        };
        match (from, to) {
            (Some(from), Some(to)) if from >= to => Err(Failure::because(
                "read a span of time",
                format!("it begins at {from} and ends at {to}, before it began"),
            )
            .exit_with(Exit::Usage)),
            _ => Ok(Self { from, to }),
        }
    }

    /// Whether a request belongs to the span.
    fn has(self, request: &Request<'_>) -> bool {
        request.time.is_none_or(|time| {
            self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time < to)
        })
    }
}

/// Passes on the requests of a span, and counts the others.
pub struct Inside<'s, S> {
    /// The span.
    pub span: Span,
    /// Who gets the requests.
    pub sink: &'s mut S,
    /// Requests that were not passed on.
    pub outside: u64,
}

impl<S: Sink> Sink for Inside<'_, S> {
    fn request(&mut self, request: &Request<'_>) {
        if self.span.has(request) {
            self.sink.request(request);
        } else {
            self.outside += 1;
        }
    }

    fn requests(&mut self, requests: &[Request<'_>]) {
        if self.span == Span::default() {
            self.sink.requests(requests);
        } else {
            for request in requests {
                self.request(request);
            }
        }
    }

    // Nobody knows when a record happened that could not be read.
    fn reject(&mut self, reject: &Reject<'_>) {
        self.sink.reject(reject);
    }
}

/// Parses a time or a day: RFC 3339, or `2026-03-02`, which is its first instant in UTC.
pub fn time(text: &str) -> Result<Timestamp, String> {
    let day = format!("{text}T00:00:00Z");
    Timestamp::parse_rfc3339(text.as_bytes())
        .or_else(|| Timestamp::parse_rfc3339(day.as_bytes()))
        .ok_or_else(|| "expected a time such as 2026-03-02T12:00:00Z, or a day".to_owned())
}

/// Parses `90s`, `30m`, `6h` or `2d` into milliseconds.
pub fn length(text: &str) -> Result<i64, String> {
    let units = [('s', 1_000), ('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)];
    units
        .into_iter()
        .find_map(|(unit, milliseconds)| {
            let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(milliseconds).filter(|length| *length > 0)
        })
        .ok_or_else(|| "expected a length of time such as 90s, 30m, 6h or 2d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        time(text).expect("a time")
    }

    fn span(since: Option<&str>, from: Option<&str>, to: Option<&str>) -> Result<Span, Failure> {
        let since = since.map(|text| length(text).expect("a length"));
        let within = Within { since, from: from.map(at), to: to.map(at) };
        Span::of(&within, at("2026-03-02T12:00:00Z"))
    }

    #[test]
    fn since_counts_back_from_the_end_or_from_now() {
        let from = |since, to| span(Some(since), None, to).expect("a span").from;
        assert_eq!(from("6h", None), Some(at("2026-03-02T06:00:00Z")));
        assert_eq!(from("1d", Some("2026-03-01")), Some(at("2026-02-28")));
    }

    #[test]
    fn a_span_that_ends_before_it_begins_is_refused() {
        let error = span(None, Some("2026-03-02"), Some("2026-03-01")).expect_err("refused");
        assert!(error.message().contains("before it began"), "{}", error.message());
    }

    #[test]
    fn lengths_and_times_are_exact_or_refused() {
        assert_eq!(length("90s"), Ok(90_000));
        assert_eq!(length("2d"), Ok(172_800_000));
        for bad in ["", "6", "h", "-1h", "0m", "1w", "99999999999999999d"] {
            assert!(length(bad).is_err(), "{bad}");
        }
        assert_eq!(at("2026-03-02"), at("2026-03-02T00:00:00Z"));
        assert!(time("yesterday").is_err());
    }
}
