//! Says what the reader of a plan should know and no single decision tells.
//!
//! A plan can be right about every offender and still stand on something that wears
//! out: ranges of AWS that nobody refreshed, sets that are about to be full, a list
//! that nobody wrote. Those are told once, and decide nothing.

use std::fmt;

use portcullis_ingest::Timestamp;

use crate::aws_ranges::day;
use crate::decision::{Decision, Outcome, Withheld};
use crate::ipset::{Family, Sets};
use crate::protect::NeverBlock;
use crate::term::DAY_MS;

/// Age in days from which logs say little about who has an address today.
const OLD_LOGS_DAYS: i64 = 7;

/// One thing to know about a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// The operator lists no network that is never blocked. Such a plan can be read and
    /// not be carried out.
    NoNeverBlockList,
    /// The ranges of AWS services are so old that some may be missing.
    OldAwsRanges {
        /// When AWS published them.
        published: Timestamp,
        /// Whole days since.
        days: i64,
    },
    /// Nothing that speaks against those who are to be blocked is of the last days.
    OldLogs {
        /// When the last of it was logged.
        last: Timestamp,
        /// Whole days since.
        days: i64,
    },
    /// There was not room for everybody who is to be blocked.
    Full {
        /// The family.
        family: Family,
        /// Offenders that were left out.
        left_out: usize,
        /// Entries that the sets can hold together.
        limit: usize,
    },
    /// The sets of a family are filled to 80 % or more.
    NearlyFull {
        /// The family.
        family: Family,
        /// Entries as the plan wants them.
        entries: usize,
        /// Entries that the sets can hold together.
        limit: usize,
    },
    /// Decisions of a reviewer are about sources that these logs do not show.
    DecidedAndNotSeen {
        /// How many.
        sources: usize,
    },
}

impl Note {
    /// The note's permanent name in outputs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoNeverBlockList => "no-never-block-list",
            Self::OldAwsRanges { .. } => "old-aws-ranges",
            Self::OldLogs { .. } => "old-logs",
            Self::Full { .. } => "full",
            Self::NearlyFull { .. } => "nearly-full",
            Self::DecidedAndNotSeen { .. } => "decided-and-not-seen",
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNeverBlockList => f.write_str(
                "no never-block list: nothing is blocked without one, so this plan cannot be applied",
            ),
            Self::OldAwsRanges { published, days } => write!(
                f,
                "the AWS ranges are of {}, {days} days old: ranges added since are not protected",
                day(*published)
            ),
            Self::OldLogs { last, days } => write!(
                f,
                "whoever is to be blocked was seen last on {}, {days} days ago: addresses change hands",
                day(*last)
            ),
            Self::Full { family, left_out, limit } => write!(
                f,
                "the {family} sets hold {limit} entries, and {left_out} more offenders have no room; add a set"
            ),
            Self::NearlyFull { family, entries, limit } => write!(
                f,
                "the {family} sets would hold {entries} of {limit} entries; add a set before they are full"
            ),
            Self::DecidedAndNotSeen { sources: 1 } => f.write_str(
                "1 decision is about a source that is no offender in these logs: it blocks nothing",
            ),
            Self::DecidedAndNotSeen { sources } => write!(
                f,
                "{sources} decisions are about sources that are no offenders in these logs: they block nothing"
            ),
        }
    }
}

/// What there is to know about a plan that decided so and wants the sets to be `target`,
/// each with at most `limit` entries.
pub(crate) fn notes(
    target: &Sets,
    limit: usize,
    decisions: &[Decision],
    never_block: &NeverBlock,
    now: Timestamp,
) -> Vec<Note> {
    let mut notes = Vec::new();
    if never_block.operator_entries() == 0 {
        notes.push(Note::NoNeverBlockList);
    }
    let ranges = never_block.aws_ranges();
    if let Some(days) = ranges.days_too_old(now) {
        notes.push(Note::OldAwsRanges { published: ranges.published(), days });
    }
    let added = decisions.iter().filter(|one| matches!(one.outcome, Outcome::Add { .. }));
    if let Some(last) = added.filter_map(|decision| decision.grounds.last).max() {
        let days = (now.epoch_ms() - last.epoch_ms()) / DAY_MS;
        if days >= OLD_LOGS_DAYS {
            notes.push(Note::OldLogs { last, days });
        }
    }
    for family in Family::ALL {
        let of_family = || target.iter().filter(move |set| set.family() == family);
        let entries = of_family().map(|set| set.addresses().len()).sum();
        let limit = of_family().count() * limit;
        let is_left_out = |decision: &&Decision| {
            let no_room = matches!(decision.outcome, Outcome::Withheld(Withheld::SetFull { .. }));
            no_room && Family::of(decision.source) == family
        };
        let left_out = decisions.iter().filter(is_left_out).count();
        if left_out > 0 {
            notes.push(Note::Full { family, left_out, limit });
        } else if limit > 0 && is_nearly_full(entries, limit) {
            notes.push(Note::NearlyFull { family, entries, limit });
        }
    }
    notes
}

/// Whether so many entries are 80 % of the limit or more.
pub(crate) fn is_nearly_full(entries: usize, limit: usize) -> bool {
    entries * 5 >= limit * 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{network, now};
    use crate::{AwsRanges, IpSet};

    fn shown(entries: &[&str], limit: usize, list: &NeverBlock) -> Vec<String> {
        let mut set = IpSet::new("edge", Family::V4).expect("a valid name");
        for entry in entries {
            set.insert(network(entry)).expect("a valid entry");
        }
        let sets = Sets::new(vec![set]).expect("one set");
        let shown = |note: &Note| format!("{}: {note}", note.code());
        notes(&sets, limit, &[], list, now()).iter().map(shown).collect()
    }

    #[test]
    fn what_wears_out_is_said() {
        let entries = ["198.18.0.1/32", "198.18.0.2/32", "198.18.0.3/32", "198.18.0.4/32"];
        assert_eq!(
            shown(&entries, 5, &NeverBlock::built_in()),
            [
                "no-never-block-list: no never-block list: nothing is blocked without one, so \
                 this plan cannot be applied",
                "old-aws-ranges: the AWS ranges are of 2024-09-13, 416 days old: ranges added \
                 since are not protected",
                "nearly-full: the IPv4 sets would hold 4 of 5 entries; add a set before they are \
                 full",
            ]
        );
    }

    #[test]
    fn a_plan_that_stands_firm_has_no_notes() {
        let text = r#"{"syncToken": "1762214400", "prefixes": [
            {"ip_prefix": "198.51.100.0/24", "service": "CLOUDFRONT"},
            {"ip_prefix": "203.0.113.0/26", "service": "ROUTE53_HEALTHCHECKS"}],
            "ipv6_prefixes": []}"#;
        let ranges = AwsRanges::with_file("ip-ranges.json", text).expect("a whole file");
        let list = NeverBlock::parse("list", "192.0.2.0/24").expect("a list");
        assert_eq!(shown(&["198.18.0.1/32"], 2, &list.with_aws_ranges(ranges)), [""; 0]);
    }
}
