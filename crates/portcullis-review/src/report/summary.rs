//! What happened, in sentences: the part of a report that everybody reads.

use portcullis_detection::Outcome as Answered;
use portcullis_remediation::Outcome;

use super::Report;
use crate::words::{count, counted, share, source};

/// Sources named in one sentence.
const NAMES: usize = 3;

pub(super) struct Summary {
    /// The one sentence to remember.
    pub(super) lead: String,
    pub(super) points: Vec<Point>,
    pub(super) tiles: Vec<Tile>,
}

/// A sentence, and whether it asks for action.
pub(super) struct Point {
    pub(super) is_urgent: bool,
    pub(super) text: String,
}

/// A number and what it counts.
pub(super) struct Tile {
    pub(super) label: &'static str,
    pub(super) value: String,
    pub(super) note: String,
}

/// What the plan does, in numbers.
struct Reach {
    blocked: u64,
    already: u64,
    withheld: u64,
    /// Good requests that it would have refused, as the brakes and the review count them,
    good: u64,
    /// of so many.
    of_good: u64,
}

impl Summary {
    pub(super) fn new(report: &Report<'_>, good: u64) -> Self {
        let offenders = &report.findings.offenders;
        let requests = report.findings.coverage.requests;
        let sent: u64 = offenders.iter().map(|offender| offender.requests).sum();
        let flagged: u64 = offenders.iter().map(|offender| offender.flagged_requests).sum();
        let answered: Vec<(u64, String)> = answered(report);
        let successes: u64 = answered.iter().map(|(number, _)| number).sum();
        let reach = Reach::of(report, good);
        let number = offenders.len() as u64;

        let lead = match number {
            0 => format!(
                "No source in {} looks like an attacker.",
                counted(requests, "request", "requests")
            ),
            _ => format!(
                "{} sent {} of {}, and {} of those are attacks by themselves.",
                counted(number, "offender", "offenders"),
                count(sent),
                counted(requests, "request", "requests"),
                count(flagged),
            ),
        };
        let mut points = Vec::new();
        if let Some(text) = successes_in_words(successes, flagged, &answered) {
            points.push(Point { is_urgent: successes > 0, text });
        }
        if let Some(text) = assets_in_words(report) {
            points.push(Point { is_urgent: true, text });
        }
        if number > 0 {
            points.push(Point { is_urgent: false, text: reach.in_words(number) });
        }
        let watched = report.findings.watched.len() as u64;
        if watched > 0 {
            let text = format!(
                "{} only watched: what else they do outweighs what was found, or it is too little \
                 to act on.",
                if watched == 1 {
                    "1 more source is".to_owned()
                } else {
                    format!("{} more sources are", count(watched))
                }
            );
            points.push(Point { is_urgent: false, text });
        }
        let gaps = crate::gaps::gaps_of_page(report.findings, report.overview).len() as u64;
        if gaps > 0 {
            let text = format!(
                "Not all could be seen: {} below.",
                counted(gaps, "gap is listed", "gaps are listed")
            );
            points.push(Point { is_urgent: false, text });
        }
        let tiles = vec![
            Tile {
                label: "Requests",
                value: count(requests),
                note: counted(report.findings.coverage.objects, "object", "objects"),
            },
            Tile {
                label: "Offenders",
                value: count(number),
                note: format!("{} of all requests", share(sent, requests)),
            },
            Tile {
                label: "Attack requests",
                value: count(flagged),
                note: format!("{} answered 2xx", count(successes)),
            },
            Tile {
                label: "To be blocked",
                value: count(reach.blocked),
                note: format!("refuses {} of good requests", share(reach.good, reach.of_good)),
            },
        ];
        Self { lead, points, tiles }
    }
}

impl Reach {
    /// `good` is how many good requests there are, for plans that were not weighed.
    fn of(report: &Report<'_>, good: u64) -> Self {
        let mut reach = Self { blocked: 0, already: 0, withheld: 0, good: 0, of_good: good };
        let offenders = &report.findings.offenders;
        let good: std::collections::HashMap<_, _> = (offenders.iter())
            .map(|offender| (offender.source.trunc(), offender.good_requests))
            .collect();
        for decision in report.plan.decisions() {
            let Some(good) = good.get(&decision.source) else { continue };
            match decision.outcome {
                Outcome::Add { .. } => {
                    reach.blocked += 1;
                    reach.good += good;
                }
                Outcome::AlreadyBlocked { .. } => reach.already += 1,
                Outcome::Withheld(_) => reach.withheld += 1,
            }
        }
        if let Some(blast) = report.plan.blast_radius() {
            reach.good = blast.blocked_good_requests;
            reach.of_good = blast.good_requests;
        }
        reach
    }

    fn in_words(&self, offenders: u64) -> String {
        let what = match (self.blocked, offenders) {
            (0, _) => "The plan blocks none of them".to_owned(),
            (1, 1) => "The plan blocks it".to_owned(),
            (all, of) if all == of => "The plan blocks all of them".to_owned(),
            (some, _) => format!("The plan blocks {} of them", count(some)),
        };
        let cost = match (self.blocked, self.good) {
            (0, _) => String::new(),
            (_, 0) => ", which would have refused no good request".to_owned(),
            (_, refused) => format!(
                ", which would have refused {} of {} ({})",
                count(refused),
                counted(self.of_good, "good request", "good requests"),
                share(refused, self.of_good)
            ),
        };
        let already = match self.already {
            0 => String::new(),
            number => format!(
                " {} blocked already.",
                if number == 1 { "1 is".to_owned() } else { format!("{} are", count(number)) }
            ),
        };
        let withheld = match self.withheld {
            0 => String::new(),
            number => format!(
                " {} left alone, each with its reason.",
                if number == 1 { "1 is".to_owned() } else { format!("{} are", count(number)) }
            ),
        };
        format!("{what}{cost}.{already}{withheld}")
    }
}

/// Offenders that are the operator's own: somebody may be in there.
fn assets_in_words(report: &Report<'_>) -> Option<String> {
    let offenders = report.findings.offenders.iter();
    let named = offenders.filter_map(|offender| {
        let name = offender.background.asset.as_ref()?;
        Some(format!("{} ({name})", source(offender.source)))
    });
    let named: Vec<String> = named.collect();
    let more = match named.len().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let first = named.get(..NAMES).unwrap_or(&named).join(", ");
    (!named.is_empty()).then(|| {
        format!("Attacks come from networks of your own: find out who works at {first}{more}.")
    })
}

/// Offenders whose attack requests were answered with success, from the most.
fn answered(report: &Report<'_>) -> Vec<(u64, String)> {
    let offenders = report.findings.offenders.iter();
    let mut answered: Vec<(u64, String)> = offenders
        .map(|offender| (offender.outcomes.of(Answered::Answered), source(offender.source)))
        .filter(|(number, _)| *number > 0)
        .collect();
    answered.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    answered
}

fn successes_in_words(successes: u64, flagged: u64, answered: &[(u64, String)]) -> Option<String> {
    if flagged == 0 {
        return None;
    }
    if successes == 0 {
        return Some("None of the attack requests was answered with success.".to_owned());
    }
    let names: Vec<String> = (answered.iter().take(NAMES))
        .map(|(number, source)| format!("{source} ({})", count(*number)))
        .collect();
    let more = match answered.len().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "{} answered with success (2xx) and may have worked: look at {}{more} first.",
        if successes == 1 {
            "1 attack request was".to_owned()
        } else {
            format!("{} attack requests were", count(successes))
        },
        names.join(", "),
    ))
}
