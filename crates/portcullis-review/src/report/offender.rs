//! One offender as the report shows it: what it did, whether it worked, what to do about
//! it, and what that would cost others.

use std::collections::HashMap;

use ipnet::IpNet;
use portcullis_detection::{Axis, Detection, Offender, Outcome, Overview, Story};
use portcullis_remediation::{Decision, Outcome as Planned, Protection, Withheld};

use super::TEXT;
use crate::chart::stacked;
use crate::words::{count, counted, period, share, shown, source, times};

/// Rules shown; the others are counted.
const RULES: usize = 8;
/// Requests shown as evidence.
const EXAMPLES: usize = 4;
/// Probed paths shown.
const PATHS: usize = 6;

/// What all offenders of a report are seen against.
pub(super) struct Context<'a> {
    pub(super) overview: &'a Overview,
    pub(super) decisions: &'a HashMap<IpNet, &'a Decision>,
    pub(super) axis: Option<&'a Axis>,
    /// Good requests of everybody.
    pub(super) good: u64,
}

pub(super) struct OffenderView {
    pub(super) source: String,
    pub(super) severity: &'static str,
    pub(super) score: String,
    pub(super) requests: String,
    pub(super) flagged: String,
    pub(super) classes: String,
    pub(super) period: String,
    /// Where it is and whose; empty where nothing is known.
    pub(super) from: String,
    pub(super) action: Action,
    pub(super) spark: Option<Spark>,
    /// Attack requests that were answered as if they had worked.
    pub(super) answered: u64,
    pub(super) details: Option<Details>,
}

/// What is suggested.
pub(crate) struct Action {
    /// Its kind: `block`, `held` or `none`.
    pub(crate) kind: &'static str,
    pub(crate) label: &'static str,
    pub(crate) sentence: String,
}

pub(crate) struct Spark {
    pub(crate) cells: usize,
    pub(crate) other: String,
    pub(crate) flagged: String,
    pub(crate) label: String,
}

pub(super) struct Details {
    pub(super) collateral: String,
    pub(super) outcome: String,
    /// What the rules mean together.
    pub(super) correlations: Vec<String>,
    pub(super) rules: Vec<RuleView>,
    pub(super) more_rules: String,
    pub(super) examples: Vec<Example>,
    pub(super) probed: Vec<(String, String)>,
    pub(super) probed_note: &'static str,
    pub(super) agents: Vec<(String, String)>,
}

pub(super) struct RuleView {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) severity: &'static str,
    pub(super) times: String,
    pub(super) points: String,
}

pub(super) struct Example {
    pub(super) field: &'static str,
    pub(super) text: String,
    pub(super) place: String,
}

impl Context<'_> {
    pub(super) fn view(&self, offender: &Offender, is_detailed: bool) -> OffenderView {
        let decision = self.decisions.get(&offender.source.trunc()).copied();
        let story = self.overview.stories.get(&offender.source);
        let classes: Vec<&str> =
            offender.categories.iter().map(|of| crate::words::category(*of)).collect();
        OffenderView {
            source: source(offender.source),
            severity: offender.severity.name(),
            score: count(offender.score.into()),
            requests: count(offender.requests),
            flagged: count(offender.flagged_requests),
            classes: classes.join(", "),
            period: match (offender.first, offender.last) {
                (Some(first), Some(last)) => period(first, last),
                _ => "at unknown times".to_owned(),
            },
            from: offender.background.in_words(),
            action: action(decision),
            spark: story.zip(self.axis).map(|(story, axis)| spark(story, axis)),
            answered: offender.outcomes.of(Outcome::Answered),
            details: is_detailed.then(|| self.details(offender, story)),
        }
    }

    fn details(&self, offender: &Offender, story: Option<&Story>) -> Details {
        let nothing = Story::default();
        let story = story.unwrap_or(&nothing);
        let detections = &offender.detections;
        let more = detections.len().saturating_sub(RULES) as u64;
        Details {
            collateral: collateral(offender, self.good),
            outcome: outcome(offender, story),
            correlations: (offender.correlations.iter())
                .map(|correlation| sentence(correlation.reason()))
                .collect(),
            rules: detections.iter().take(RULES).map(rule).collect(),
            more_rules: match more {
                0 => String::new(),
                _ => format!("and {}", counted(more, "more rule", "more rules")),
            },
            examples: examples(detections),
            probed: (story.probed.kept.iter().take(PATHS))
                .map(|path| {
                    let answered = match path.answered {
                        0 => String::new(),
                        number => format!(", {} answered 2xx", count(number)),
                    };
                    let requests = counted(path.requests, "request", "requests");
                    (shown(path.text.as_untrusted(), TEXT), format!("{requests}{answered}"))
                })
                .collect(),
            probed_note: if story.probed.is_sample || story.probed.kept.len() > PATHS {
                "Some of the paths that it probed."
            } else {
                ""
            },
            agents: (story.agents.kept.iter())
                .map(|agent| {
                    let requests = counted(agent.requests, "request", "requests");
                    (shown(agent.text.as_untrusted(), TEXT), requests)
                })
                .collect(),
        }
    }
}

/// What blocking would cost those who did nothing.
pub(crate) fn collateral(offender: &Offender, good: u64) -> String {
    if offender.good_requests == 0 {
        return "No good request came from it.".to_owned();
    }
    let principals = match offender.principals {
        0 => String::new(),
        number => format!(", by {}", counted(number, "user or API key", "users or API keys")),
    };
    format!(
        "{} came from it{principals}: {} of all good ones. A block refuses those too.",
        counted(offender.good_requests, "good request", "good requests"),
        share(offender.good_requests, good),
    )
}

pub(crate) fn action(decision: Option<&Decision>) -> Action {
    let Some(decision) = decision else {
        return Action { kind: "none", label: "No action", sentence: String::new() };
    };
    let (kind, label) = match &decision.outcome {
        Planned::Add { .. } => ("block", "Block"),
        Planned::AlreadyBlocked { .. } => ("none", "Already blocked"),
        Planned::Withheld(Withheld::Watched { .. }) => ("held", "Watch"),
        Planned::Withheld(_) => ("held", "Do not block"),
    };
    Action { kind, label, sentence: sentence(&decision.verdict()) }
}

/// A fragment as a sentence: `not blocked: …` → `Not blocked: ….`
pub(crate) fn sentence(fragment: &str) -> String {
    let mut characters = fragment.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).chain(['.']).collect()
}

/// Why a plan leaves sources alone, as a heading for all of one kind.
pub(super) const fn reason(withheld: &Withheld) -> &'static str {
    match withheld {
        Withheld::Protected(Protection::Asset { .. }) => "inside or around a network of your own",
        Withheld::Protected(Protection::TrustedProxy { .. }) => "inside or around a proxy of yours",
        Withheld::Protected(_) => "inside or around a network that is never blocked",
        Withheld::WrongWidth { .. } => "wider than one address or one IPv6 /64",
        Withheld::NoSet { .. } => "no IP set of their family",
        Withheld::IncompleteEvidence => "all evidence is in objects that ended early",
        Withheld::BelowSeverity { .. } => "severity too low",
        Withheld::BelowBlockScore { .. } => "score too low",
        Withheld::SharedEgress { .. } => "shared with honest users",
        Withheld::Watched { .. } => "watched only: outweighed, too little, or crawlers",
        Withheld::Rejected => "rejected in review",
        Withheld::Pardoned => "pardoned in review",
        Withheld::Undecided => "not approved in review",
        Withheld::Overridden { .. } => "a person took them out",
        Withheld::NothingNew { .. } => "nothing new since their last block",
        Withheld::OldEvidence { .. } => "evidence too old",
        Withheld::FutureEvidence { .. } => "evidence ahead of the clock",
        Withheld::SetFull { .. } => "no room in the sets",
    }
}

pub(crate) fn spark(story: &Story, axis: &Axis) -> Spark {
    let cells: Vec<[u64; 2]> = (story.timeline.on(axis).iter())
        .map(|counts| {
            let flagged = u64::from(counts.flagged);
            [flagged, u64::from(counts.requests).saturating_sub(flagged)]
        })
        .collect();
    let highest = cells.iter().map(|[flagged, other]| flagged + other).max().unwrap_or(0);
    let [flagged, other] = stacked(&cells, highest);
    let label = format!(
        "At most {} in {}",
        counted(highest, "request", "requests"),
        crate::words::length(axis.cell_seconds())
    );
    Spark { cells: axis.cells(), other, flagged, label }
}

/// What became of the attack requests, or of all where none was flagged.
pub(crate) fn outcome(offender: &Offender, story: &Story) -> String {
    let (outcomes, one, many) = match offender.outcomes.requests() {
        0 => (&story.outcomes, "request", "requests"),
        _ => (&offender.outcomes, "attack request", "attack requests"),
    };
    let total = outcomes.requests();
    if total == 0 {
        return String::new();
    }
    let some = outcomes.iter().filter(|(_, number)| *number > 0);
    let parts: Vec<String> =
        some.map(|(outcome, number)| format!("{} {}", count(number), became(outcome))).collect();
    format!("{}: {}.", counted(total, one, many), parts.join(", "))
}

pub(crate) const fn became(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "answered with success (2xx)",
        Outcome::Failed => "failed on the server (5xx)",
        Outcome::Attempt => "turned away",
        Outcome::Blocked => "stopped by AWS WAF",
        Outcome::Unknown => "without a logged status",
    }
}

fn rule(detection: &Detection) -> RuleView {
    RuleView {
        id: detection.rule.to_string(),
        title: detection.title.to_string(),
        severity: detection.severity.name(),
        times: times(detection),
        points: count(detection.points.into()),
    }
}

/// A few requests as they were logged, one of each rule, different ones.
fn examples(detections: &[Detection]) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for detection in detections {
        let Some(evidence) = detection.evidence.iter().find(|evidence| evidence.field.is_some())
        else {
            continue;
        };
        let text = shown(evidence.text.as_untrusted(), TEXT);
        if examples.iter().any(|example| example.text == text) {
            continue;
        }
        examples.push(Example {
            field: evidence.field.unwrap_or(""),
            text,
            place: format!("{}, byte {}", super::shown_name(&evidence.object), evidence.offset),
        });
        if examples.len() == EXAMPLES {
            break;
        }
    }
    examples
}
