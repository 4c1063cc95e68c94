//! Which folders of a bucket can hold objects of a time span.
//!
//! Delivery services put objects into folders by time, each in its own way: Firehose
//! `yyyy/MM/dd/HH/` unless its owner chose another prefix or another time zone, load
//! balancers `yyyy/MM/dd/`, AWS WAF down to the minute, CloudFront's newer logs often
//! `year=2026/month=11/`. To look up a day in two years of logs, folders of other days
//! must not be listed. A folder is passed over only if it can hold nothing of the span
//! in whatever time zone; everything that does not read as a date is looked into.
//!
//! Sources: Firehose guide, "Custom prefixes for Amazon S3 objects"; Elastic Load
//! Balancing guide, "Access log files"; CloudFront guide, "Standard logging (v2)".

use portcullis_ingest::Timestamp;

const HOUR_MS: i64 = 3_600_000;

/// How long an object's folder may be earlier than a request in it: the folder tells
/// when the oldest record arrived, buffers fill for up to 15 minutes, and the folder's
/// hour is cut.
const EARLIER_MS: i64 = 2 * HOUR_MS;

/// How long a record may arrive after its request. CloudFront promises 24 hours.
const LATER_MS: i64 = 25 * HOUR_MS;

/// Time zones differ from UTC by up to this much, and none is named in a key.
const ZONE_MS: i64 = 14 * HOUR_MS;

/// A span of time: from the first instant, up to and without the last. What is not
/// given is not bounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// The first instant.
    pub from: Option<Timestamp>,
    /// The first instant after it.
    pub to: Option<Timestamp>,
}

impl Span {
    /// Whether an object written at `modified` can hold requests of the span: a log is
    /// written after what it tells.
    pub(crate) fn may_be_told_at(self, modified: Option<Timestamp>) -> bool {
        self.from.zip(modified).is_none_or(|(from, modified)| modified >= from)
    }

    /// Whether a folder can hold requests of the span. `below` is the path below the
    /// location that was asked for: what somebody asks for is not passed over.
    pub(crate) fn may_be_in(self, below: &str) -> bool {
        let Some((first, end)) = Date::of(below).bounds() else {
            return true;
        };
        let starts_in_time =
            self.to.is_none_or(|to| first < to.epoch_ms().saturating_add(LATER_MS + ZONE_MS));
        let ends_late_enough =
            self.from.is_none_or(|from| end > from.epoch_ms() - EARLIER_MS - ZONE_MS);
        starts_in_time && ends_late_enough
    }
}

/// As much of a date as a path tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Date {
    year: Option<u32>,
    month: Option<u32>,
    day: Option<u32>,
    hour: Option<u32>,
}

impl Date {
    /// The date that the folders of a path spell, from the outermost to the innermost.
    fn of(path: &str) -> Self {
        let mut date = Self::default();
        for folder in path.split('/') {
            // Hive writes the name of a partition before its value.
            let value = folder.rsplit_once('=').map_or(folder, |(_, value)| value);
            date.read(value);
        }
        date
    }

    /// Reads one folder's name: a run of numbers, most of them a year with what follows,
    /// or the one part that is still missing.
    fn read(&mut self, name: &str) {
        let digits: String = name.chars().filter(char::is_ascii_digit).collect();
        let only_date_signs = name.bytes().all(|b| b.is_ascii_digit() || b"-_T:".contains(&b));
        if !only_date_signs || digits.is_empty() {
            return;
        }
        let part = |range: std::ops::Range<usize>| digits.get(range).and_then(|d| d.parse().ok());
        let (year, month, day, hour) = (part(0..4), part(4..6), part(6..8), part(8..10));
        match digits.len() {
            4 | 6 | 8 | 10 if year.is_some_and(|year| (1970..2200).contains(&year)) => {
                *self = Self { year, month, day, hour };
            }
            1 | 2 => {
                let number = digits.parse().ok();
                match self {
                    Self { year: Some(_), month: None, .. } => self.month = number,
                    Self { month: Some(_), day: None, .. } => self.day = number,
                    Self { day: Some(_), hour: None, .. } => self.hour = number,
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// The first millisecond since 1970 and the first one after it, read as UTC; `None`
    /// when there is no year, or no such date.
    fn bounds(self) -> Option<(i64, i64)> {
        let at = |year: u32, month: u32, day: u32, hour: u32| {
            let civil = (i64::from(year), month, day);
            Timestamp::from_civil(civil, (hour, 0, 0, 0), 0).map(Timestamp::epoch_ms)
        };
        let year = self.year?;
        match (self.month, self.day, self.hour) {
            (None, ..) => Some((at(year, 1, 1, 0)?, at(year + 1, 1, 1, 0)?)),
            (Some(month), None, _) => {
                let next =
                    if month == 12 { at(year + 1, 1, 1, 0) } else { at(year, month + 1, 1, 0) };
                Some((at(year, month, 1, 0)?, next?))
            }
            (Some(month), Some(day), None) => {
                let first = at(year, month, day, 0)?;
                Some((first, first + 24 * HOUR_MS))
            }
            (Some(month), Some(day), Some(hour)) => {
                let first = at(year, month, day, hour)?;
                Some((first, first + HOUR_MS))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text.as_bytes()).expect("a time")
    }

    fn span(from: &str, to: &str) -> Span {
        Span { from: Some(at(from)), to: Some(at(to)) }
    }

    #[track_caller]
    fn check_date(path: &str, expected: [Option<u32>; 4]) {
        let Date { year, month, day, hour } = Date::of(path);
        assert_eq!([year, month, day, hour], expected, "{path}");
    }

    #[test]
    fn folders_spell_dates_in_every_common_way() {
        check_date("2026/11/22/05/", [Some(2026), Some(11), Some(22), Some(5)]);
        check_date("year=2026/month=11/day=2/hour=05/", [Some(2026), Some(11), Some(2), Some(5)]);
        check_date("dt=2026-11-22/", [Some(2026), Some(11), Some(22), None]);
        check_date("dt=2026-11-22-05/", [Some(2026), Some(11), Some(22), Some(5)]);
        check_date("20261122/", [Some(2026), Some(11), Some(22), None]);
        check_date("2026-11/22/", [Some(2026), Some(11), Some(22), None]);
        check_date(
            "AWSLogs/123456789012/WAFLogs/eu-west-1/acl/2026/11/22/05/35/",
            [Some(2026), Some(11), Some(22), Some(5)],
        );
        check_date("app-2026/logs/", [None; 4]);
        check_date("42/", [None; 4]);
    }

    #[test]
    fn a_folder_that_cannot_hold_the_span_in_any_time_zone_is_passed_over() {
        let morning = span("2026-11-22T06:00:00Z", "2026-11-22T12:00:00Z");
        for inside in ["2026/", "2026/11/", "2026/11/22/05/", "2026/11/21/16/", "2026/11/23/", "x/"]
        {
            assert!(morning.may_be_in(inside), "{inside}");
        }
        for outside in ["2025/", "2026/10/", "2026/11/20/", "2026/11/21/12/", "2026/11/25/"] {
            assert!(!morning.may_be_in(outside), "{outside}");
        }
    }

    #[test]
    fn a_date_that_does_not_exist_is_looked_into() {
        assert!(span("2026-11-22T06:00:00Z", "2026-11-22T12:00:00Z").may_be_in("2025/13/45/"));
    }

    #[test]
    fn an_object_written_before_the_span_tells_nothing_of_it() {
        let span = Span { from: Some(at("2026-11-22T06:00:00Z")), to: None };
        assert!(!span.may_be_told_at(Some(at("2026-11-22T05:59:59Z"))));
        assert!(span.may_be_told_at(Some(at("2026-11-22T06:00:00Z"))));
        assert!(span.may_be_told_at(None));
    }

    proptest::proptest! {
        #[test]
        fn the_folder_of_a_request_is_never_passed_over(
            request in 0..4_000_000_000_000_i64,
            before in 0..200 * HOUR_MS,
            after in 1..200 * HOUR_MS,
            late in 0..24 * HOUR_MS,
            zone in -12_i64..=14,
            layout in 0..5_usize,
        ) {
            let time = |ms: i64| Timestamp::from_epoch_ms(ms.max(0));
            let span = Span { from: time(request - before), to: time(request + after) };
            // Firehose's folder tells when the record arrived, in the owner's zone.
            let local = Timestamp::from_epoch_ms((request + late + zone * HOUR_MS).max(0));
            let text = local.expect("in range").to_string();
            let (y, m, d, h) = (&text[..4], &text[5..7], &text[8..10], &text[11..13]);
            let folder = match layout {
                0 => format!("{y}/{m}/{d}/{h}/"),
                1 => format!("{y}/{m}/{d}/"),
                2 => format!("year={y}/month={m}/day={d}/hour={h}/"),
                3 => format!("dt={y}-{m}-{d}-{h}/"),
                _ => format!("{y}{m}/{d}/"),
            };
            proptest::prop_assert!(span.may_be_in(&folder), "{folder} {span:?}");
        }
    }
}
