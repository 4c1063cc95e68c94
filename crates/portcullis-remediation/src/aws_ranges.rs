//! Knows the addresses of AWS services that stand in front of an API or watch over it.
//!
//! Requests that come through CloudFront arrive from CloudFront's addresses if nothing
//! says who asked, and Route 53 asks on behalf of nobody: to block one of them takes
//! all users off line, or the health of the API with it. AWS publishes its ranges as
//! `ip-ranges.json`. A snapshot of the part that matters here is built in, and a file
//! that somebody fetched adds to it: it can protect more and never less, so that a
//! file that was cut short, or forged, opens nothing.
//!
//! Only services that speak for the operator's own users are protected. Whoever rents
//! a machine gets an address of `EC2`, and whoever rents an API to hide behind gets one
//! of `API_GATEWAY`: attackers do both, so those can be blocked.
//!
//! Source: Amazon VPC User Guide, "AWS IP address ranges".
//! <https://docs.aws.amazon.com/vpc/latest/userguide/aws-ip-ranges.html>

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use ipnet::IpNet;
use portcullis_ingest::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::input::{InputError, Places, without_place};
use crate::prefix::{PrefixError, parse_network};
use crate::term::DAY_MS;

/// The snapshot that is built in. What it holds is said in its field `contents`.
const SNAPSHOT: &str = include_str!("aws_ranges/ip-ranges.json");

static BUILT_IN: LazyLock<AwsRanges> = LazyLock::new(|| {
    let Snapshot { ranges, published } =
        read("built-in ip-ranges.json", SNAPSHOT).expect("a test reads the snapshot");
    AwsRanges { ranges, published }
});

/// Age from which on a snapshot is called old, in days. A guess: AWS adds ranges for
/// CloudFront a few times a year.
const OLD_AFTER_DAYS: i64 = 90;

/// A service of AWS whose addresses are never blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AwsService {
    /// CloudFront, whichever way it is asked.
    CloudFront,
    /// The addresses from which CloudFront asks origins.
    CloudFrontOriginFacing,
    /// Health checkers of Route 53.
    Route53HealthChecks,
}

impl AwsService {
    /// All of them.
    pub const ALL: [Self; 3] =
        [Self::CloudFront, Self::CloudFrontOriginFacing, Self::Route53HealthChecks];

    /// The service as `ip-ranges.json` names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CloudFront => "CLOUDFRONT",
            Self::CloudFrontOriginFacing => "CLOUDFRONT_ORIGIN_FACING",
            Self::Route53HealthChecks => "ROUTE53_HEALTHCHECKS",
        }
    }

    /// Whether a file without it cannot be whole: `CLOUDFRONT_ORIGIN_FACING` came late,
    /// and its addresses are in `CLOUDFRONT` too.
    const fn is_in_every_file(self) -> bool {
        !matches!(self, Self::CloudFrontOriginFacing)
    }
}

impl fmt::Display for AwsService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One range: whose it is, and when AWS published it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AwsRange {
    /// The service.
    pub service: AwsService,
    /// Publication of the newest file that lists it.
    pub published: Timestamp,
}

/// The ranges of the protected services.
///
/// Invariant: every network is canonical, and the built-in snapshot is a part of it.
#[derive(Debug, Clone)]
pub struct AwsRanges {
    ranges: BTreeMap<IpNet, AwsRange>,
    /// Publication of the newest file that is in it.
    published: Timestamp,
}

/// What can be wrong in a file of ranges.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AwsRangesErrorKind {
    /// Not JSON, or not the fields of `ip-ranges.json`.
    #[error("{0}; expected the `ip-ranges.json` that AWS publishes")]
    Json(String),
    /// The publication time is none.
    #[error("syncToken `{}` is no time in seconds since 1970", .0.escape_debug())]
    SyncToken(String),
    /// A range that is none.
    #[error("{service}: {kind}")]
    Prefix {
        /// Whose range it is.
        service: AwsService,
        /// What is wrong with it.
        kind: PrefixError,
    },
    /// A service that AWS always lists is not there.
    #[error("no range of {0}: the file is not whole; fetch it again")]
    Missing(AwsService),
}

/// One thing that is wrong in a file of ranges, and where.
pub type AwsRangesError = InputError<AwsRangesErrorKind>;

impl AwsRanges {
    /// The built-in snapshot alone.
    pub fn built_in() -> Self {
        BUILT_IN.clone()
    }

    /// The built-in snapshot and the `ip-ranges.json` in `text`. `file` is the name that
    /// errors carry. Fails with every range of a protected service that cannot be read.
    pub fn with_file(file: &str, text: &str) -> Result<Self, Vec<AwsRangesError>> {
        let mut all = Self::built_in();
        let Snapshot { ranges, published } = read(file, text)?;
        for (network, range) in ranges {
            let known = all.ranges.entry(network).or_insert(range);
            if known.published < range.published {
                *known = range;
            }
        }
        all.published = all.published.max(published);
        Ok(all)
    }

    /// When the newest file in it was published.
    pub fn published(&self) -> Timestamp {
        self.published
    }

    /// Whole days since it was published, if they are so many that ranges may be missing.
    pub fn days_too_old(&self, now: Timestamp) -> Option<i64> {
        let days = (now.epoch_ms() - self.published.epoch_ms()) / DAY_MS;
        (days > OLD_AFTER_DAYS).then_some(days)
    }

    /// The ranges, in order of network.
    pub fn ranges(&self) -> &BTreeMap<IpNet, AwsRange> {
        &self.ranges
    }
}

/// `2024-09-13`.
pub(crate) fn day(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}

/// What one file says.
struct Snapshot {
    ranges: BTreeMap<IpNet, AwsRange>,
    published: Timestamp,
}

/// The file as far as it matters here. Raw values keep their place in the text.
#[derive(Deserialize)]
struct Document<'text> {
    #[serde(rename = "syncToken")]
    sync_token: String,
    #[serde(borrow)]
    prefixes: Vec<Prefix<'text>>,
    #[serde(borrow)]
    ipv6_prefixes: Vec<Prefix<'text>>,
}

#[derive(Deserialize)]
struct Prefix<'text> {
    #[serde(borrow, alias = "ipv6_prefix")]
    ip_prefix: &'text RawValue,
    service: String,
}

fn read(file: &str, text: &str) -> Result<Snapshot, Vec<AwsRangesError>> {
    let error = |line, column, kind| InputError { file: file.to_owned(), line, column, kind };
    let document: Document<'_> = serde_json::from_str(text).map_err(|json| {
        let kind = AwsRangesErrorKind::Json(without_place(&json));
        vec![error(json.line() as u32, json.column().max(1) as u32, kind)]
    })?;
    let seconds = document.sync_token.parse::<i64>().ok();
    let published = seconds
        .and_then(|seconds| Timestamp::from_epoch_ms(seconds.checked_mul(1_000)?))
        .ok_or_else(|| vec![error(1, 1, AwsRangesErrorKind::SyncToken(document.sync_token))])?;

    let mut ranges = BTreeMap::new();
    let mut problems = Vec::new();
    for prefix in document.prefixes.iter().chain(&document.ipv6_prefixes) {
        let mut services = AwsService::ALL.into_iter();
        let Some(service) = services.find(|service| service.name() == prefix.service) else {
            continue;
        };
        let written = prefix.ip_prefix.get().trim_matches('"');
        match parse_network(&written.replace("\\/", "/")) {
            Ok(network) => {
                // Of two services with the same range the first is named.
                let range = AwsRange { service, published };
                let known = ranges.entry(network).or_insert(range);
                known.service = known.service.min(service);
            }
            Err(kind) => {
                let offset = prefix.ip_prefix.get().as_ptr().addr() - text.as_ptr().addr();
                problems.push((offset, AwsRangesErrorKind::Prefix { service, kind }));
            }
        }
    }
    if !problems.is_empty() {
        problems.sort_by_key(|(offset, _)| *offset);
        let mut places = Places::new(text);
        let located = problems.into_iter().map(|(offset, kind)| {
            let (line, column) = places.of(offset);
            error(line, column, kind)
        });
        return Err(located.collect());
    }
    let missing = AwsService::ALL.into_iter().find(|service| {
        service.is_in_every_file() && !ranges.values().any(|range| range.service == *service)
    });
    match missing {
        Some(service) => Err(vec![error(1, 1, AwsRangesErrorKind::Missing(service))]),
        None => Ok(Snapshot { ranges, published }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{network, now};

    const FILE: &str = r#"{"syncToken": "1762214400", "createDate": "2025-11-04-00-00-00",
 "prefixes": [
  {"ip_prefix": "13.32.0.0/15", "region": "GLOBAL", "service": "AMAZON"},
  {"ip_prefix": "13.32.0.0\/15", "region": "GLOBAL", "service": "CLOUDFRONT_ORIGIN_FACING"},
  {"ip_prefix": "13.32.0.0/15", "region": "GLOBAL", "service": "CLOUDFRONT"},
  {"ip_prefix": "198.51.100.0/24", "region": "GLOBAL", "service": "CLOUDFRONT"},
  {"ip_prefix": "203.0.113.0/24", "region": "eu-west-1", "service": "EC2"}],
 "ipv6_prefixes": [
  {"ipv6_prefix": "2001:db8:1::/48", "region": "GLOBAL", "service": "ROUTE53_HEALTHCHECKS"}]}"#;

    #[test]
    fn the_snapshot_holds_what_it_says_it_holds() {
        let built_in = AwsRanges::built_in();
        assert_eq!(day(built_in.published()), "2024-09-13");
        let count = |service| {
            let is_its = |range: &&AwsRange| range.service == service;
            let ranges = || built_in.ranges().iter().filter(move |(_, range)| is_its(range));
            let v6 = ranges().filter(|(network, _)| network.addr().is_ipv6()).count();
            (ranges().count() - v6, v6)
        };
        assert_eq!(AwsService::ALL.map(count), [(196, 27), (0, 0), (23, 22)]);
    }

    #[test]
    fn a_file_adds_ranges_and_takes_none_away() {
        let both = AwsRanges::with_file("ip-ranges.json", FILE).expect("a whole file");
        assert_eq!(day(both.published()), "2025-11-04");
        let built_in = AwsRanges::built_in();
        assert!(built_in.ranges().keys().all(|network| both.ranges().contains_key(network)));
        assert_eq!(both.ranges().len(), built_in.ranges().len() + 2);
        let range = |text| both.ranges().get(&network(text)).map(|range| range.service);
        assert_eq!(range("198.51.100.0/24"), Some(AwsService::CloudFront));
        assert_eq!(range("13.32.0.0/15"), Some(AwsService::CloudFront));
        assert_eq!(range("2001:db8:1::/48"), Some(AwsService::Route53HealthChecks));
        assert_eq!(range("203.0.113.0/24"), None, "rented machines can be blocked");
        let dates = ["13.32.0.0/15", "13.35.0.0/16"].map(|text| {
            both.ranges().get(&network(text)).map(|range| day(range.published)).expect("listed")
        });
        assert_eq!(dates, ["2025-11-04", "2024-09-13"]);
        // An older file does not make the newer one older.
        let older = FILE.replace("1762214400", "1000000000");
        let older = AwsRanges::with_file("ip-ranges.json", &older).expect("a whole file");
        assert_eq!(day(older.published()), "2024-09-13");
        let date = older.ranges()[&network("13.32.0.0/15")].published;
        assert_eq!(day(date), "2024-09-13");
    }

    #[test]
    fn a_snapshot_is_old_after_ninety_days() {
        let both = AwsRanges::with_file("ip-ranges.json", FILE).expect("a whole file");
        let after = |days: i64| {
            let ms = both.published().epoch_ms() + days * DAY_MS;
            Timestamp::from_epoch_ms(ms).expect("a time of this century")
        };
        assert_eq!(both.days_too_old(now()), None);
        assert_eq!(both.days_too_old(after(90)), None);
        assert_eq!(both.days_too_old(after(91)), Some(91));
        assert_eq!(AwsRanges::built_in().days_too_old(now()), Some(416));
    }

    #[test]
    fn a_file_that_is_not_whole_is_refused_with_its_place() {
        #[track_caller]
        fn check(text: &str, expected: &[&str]) {
            let errors = AwsRanges::with_file("ip-ranges.json", text).expect_err("refused");
            let shown: Vec<_> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(shown, expected);
        }
        check(
            &FILE.replace("ROUTE53_HEALTHCHECKS", "ROUTE53"),
            &["ip-ranges.json:1:1: no range of ROUTE53_HEALTHCHECKS: the file is not whole; \
               fetch it again"],
        );
        check(
            &FILE.replace("198.51.100.0/24", "198.51.100.7/24").replace("1::/48", "1::/148"),
            &[
                "ip-ranges.json:6:17: CLOUDFRONT: `198.51.100.7/24` has host bits set; write \
                 `198.51.100.0/24` for the network or `198.51.100.7/32` for the one address",
                "ip-ranges.json:9:19: ROUTE53_HEALTHCHECKS: `2001:db8:1::/148` is not an address \
                 or network; write `198.51.100.7/32` or `2001:db8::/64`",
            ],
        );
        check(
            &FILE.replace("1762214400", "soon"),
            &["ip-ranges.json:1:1: syncToken `soon` is no time in seconds since 1970"],
        );
        check(
            &FILE[..80],
            &["ip-ranges.json:3:1: EOF while parsing a list; expected the `ip-ranges.json` \
               that AWS publishes"],
        );
        check(
            "{}",
            &["ip-ranges.json:1:2: missing field `syncToken`; expected the `ip-ranges.json` \
               that AWS publishes"],
        );
    }
}
