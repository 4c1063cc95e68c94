//! One source: who it is, what it did, whether that worked, and who is like it.

use askama::Template;
use portcullis_detection::{
    Axis, Detection, Evidence, Offender, Standing, Story, TextCount, Texts,
};
use portcullis_remediation::{Ruled, Ruling};

use super::list::{Button, button, past_tense};
use super::similar::Alike;
use super::{Frame, Here, Query, Review, source_path};
use crate::chart::{HEIGHT, round_up, stacked};
use crate::report::offender::{Action, action, became, collateral, outcome, sentence};
use crate::report::{shown_name, traffic::ticks};
use crate::words::{count, counted, length, minute, shown, source, times};

/// Characters of a logged text shown.
const TEXT: usize = 400;
/// Rules shown with what they saw; the others are named.
const RULES: usize = 12;
/// Rules whose evidence is seen at once.
const OPEN_RULES: usize = 3;
/// Cells of a chart below which it says nothing: one bar has no shape.
const FEW_CELLS: usize = 12;
/// Different requests shown of each rule.
const SEEN: usize = 2;
/// Lengths of a block to choose from, in seconds.
const DURATIONS: [i64; 5] = [3_600, 14_400, 86_400, 604_800, 2_592_000];

#[derive(Template)]
#[template(path = "review_story.html", whitespace = "minimize")]
struct Page {
    frame: Frame,
    source: String,
    address: String,
    severity: &'static str,
    is_watched: bool,
    /// Where it is and whose; empty where nothing is known.
    from: String,
    place: String,
    previous: Option<String>,
    next: Option<String>,
    action: Action,
    collateral: String,
    ruled: &'static str,
    note: String,
    by: String,
    durations: Vec<Duration>,
    buttons: Vec<(Ruled, Button)>,
    facts: Vec<(&'static str, String, String)>,
    outcome: String,
    worked: Vec<Bar>,
    chart: Option<Chart>,
    bars: Vec<Bars>,
    correlations: Vec<String>,
    rules: Vec<RuleView>,
    more_rules: Vec<String>,
    alike: Vec<AlikeView>,
    alike_note: String,
}

struct Duration {
    seconds: String,
    title: String,
    is_chosen: bool,
}

/// Requests over time in three layers.
struct Chart {
    cells: usize,
    flagged: String,
    rest: String,
    good: String,
    highest: String,
    half: String,
    ticks: Vec<String>,
    cell: String,
    rows: Vec<(String, [String; 4])>,
}

/// What the requests had in common, the most frequent first.
struct Bars {
    title: &'static str,
    note: &'static str,
    rows: Vec<Bar>,
}

struct Bar {
    text: String,
    requests: String,
    answered: String,
    /// In percent of the longest.
    length: u64,
    kind: &'static str,
}

struct RuleView {
    id: String,
    title: String,
    severity: &'static str,
    times: String,
    points: String,
    suggests: bool,
    seen: Vec<Seen>,
}

struct Seen {
    field: &'static str,
    text: String,
    view: &'static str,
    matched: String,
    place: String,
}

struct AlikeView {
    source: String,
    address: String,
    why: String,
    score: String,
    action: Action,
    ruled: &'static str,
}

/// What a review tells of a source beyond its account, as text that is fit to be shown.
pub struct Told {
    /// What the plan says, and what a block would cost.
    pub plan: Vec<String>,
    /// What it sent, by what: a title, and rows of a text, its requests, and how many of
    /// them were answered 2xx if any.
    pub sent: Vec<(&'static str, Vec<[String; 3]>)>,
    /// Similar sources: the source, what they have in common, its score, and the plan.
    pub alike: Vec<[String; 4]>,
    /// How many more there are, in words; empty when there are none.
    pub more_alike: String,
}

impl Review {
    /// What the page of a source tells, for other places than a browser; `None` when the
    /// source is not under review.
    pub fn told(&self, source: ipnet::IpNet) -> Option<Told> {
        let offender = self.offender(*self.places.get(&source.trunc())?);
        let nothing = Story::default();
        let story = self.subject.overview.stories.get(&offender.source).unwrap_or(&nothing);
        let mut plan = vec![action(self.decision(offender.source)).sentence];
        plan.extend(self.ruling(offender.source).map(|ruling| sentence(&ruling.to_string())));
        plan.push(collateral(offender, self.good));
        let (alike, number) = self.similar.of(offender.source, &self.subject.overview);
        let worked = Bars { title: "May have worked", note: "", rows: bars(&story.worked, "") };
        let groups = std::iter::once(worked).chain(all_bars(story));
        Some(Told {
            plan,
            sent: groups
                .filter(|group| !group.rows.is_empty())
                .map(|group| {
                    let rows = group.rows.into_iter();
                    (group.title, rows.map(|bar| [bar.text, bar.requests, bar.answered]).collect())
                })
                .collect(),
            more_alike: more_alike(number, alike.len()),
            alike: (alike.iter().filter_map(|alike| self.alike(alike, &Query::default())))
                .map(|alike| [alike.source, alike.why, alike.score, alike.action.label.to_owned()])
                .collect(),
        })
    }

    /// The page of a source, reached from what a query lists; `None` when the source is
    /// not under review. `csrf` proves that forms came from this page.
    pub fn source_page(&self, address: &str, query: &Query, csrf: &str) -> Option<String> {
        let asked = portcullis_remediation::parse_source(address).ok()?;
        let at = *self.places.get(&asked)?;
        let offender = self.offender(at);
        let nothing = Story::default();
        let story = self.subject.overview.stories.get(&offender.source).unwrap_or(&nothing);
        let ruling = self.ruling(offender.source);
        let ruled = ruling.and_then(|ruling| ruling.ruled);
        let decision = self.decision(offender.source);
        let listed = self.listed(query);
        let here = listed.iter().position(|listed| *listed == at);
        let beside = |place: Option<usize>| {
            let other = self.offender(*listed.get(place?)?);
            Some(query.address(&source_path(other.source)))
        };
        let (alike, number) = self.similar.of(offender.source, &self.subject.overview);
        let more = offender.detections.iter().skip(RULES);
        let page = Page {
            frame: self.frame(Here::Source, csrf, query),
            source: source(offender.source),
            address: offender.source.addr().to_string(),
            severity: offender.severity.name(),
            is_watched: self.items[at].standing == Standing::Watched,
            from: offender.background.in_words(),
            place: here.map_or(String::new(), |here| {
                format!("{} of {}", count(here as u64 + 1), count(listed.len() as u64))
            }),
            previous: beside(here.and_then(|here| here.checked_sub(1))),
            next: beside(here.map(|here| here + 1)),
            action: action(decision),
            collateral: collateral(offender, self.good),
            ruled: ruled.map_or("", past_tense),
            note: ruling.map_or(String::new(), |ruling| ruling.note().to_owned()),
            by: ruling.map_or(String::new(), |ruling| ruling.by().to_owned()),
            durations: durations(ruling),
            buttons: Ruled::ALL.map(|makes| (makes, button(makes, ruled, offender))).into(),
            facts: facts(offender),
            outcome: outcome(offender, story),
            worked: bars(&story.worked, "flagged"),
            chart: self.axis_of(story).map(|axis| chart(story, &axis)),
            bars: all_bars(story),
            correlations: (offender.correlations.iter())
                .map(|correlation| sentence(correlation.reason()))
                .collect(),
            rules: offender.detections.iter().take(RULES).map(rule).collect(),
            more_rules: more.map(|detection| detection.rule.to_string()).collect(),
            alike_note: more_alike(number, alike.len()),
            alike: alike.iter().filter_map(|alike| self.alike(alike, query)).collect(),
        };
        Some(page.render().expect("writing to memory does not fail"))
    }

    /// The axis of a source's own requests; where that is too short to show anything, the
    /// one of all requests, which shows when it came.
    fn axis_of(&self, story: &Story) -> Option<Axis> {
        let own = Axis::of(&story.timeline)?;
        Some(self.axis.filter(|_| own.cells() < FEW_CELLS).unwrap_or(own))
    }

    fn alike(&self, alike: &Alike, query: &Query) -> Option<AlikeView> {
        let offender = self.offender(*self.places.get(&alike.source.trunc())?);
        let network = match alike.source {
            ipnet::IpNet::V4(_) => "same /24",
            ipnet::IpNet::V6(_) => "same /48",
        };
        let paths = counted(alike.paths as u64, "probed path", "probed paths");
        let mut why = Vec::new();
        if alike.paths > 0 && alike.same_agent {
            why.push(format!("same user agent and {paths}"));
        }
        if alike.is_neighbour {
            why.push(network.to_owned());
        }
        if let Some(network) = offender.background.network.as_ref().filter(|_| alike.same_system) {
            why.push(format!("same AS{}", network.number));
        }
        let ruled = self.ruling(offender.source).and_then(|ruling| ruling.ruled);
        Some(AlikeView {
            source: source(offender.source),
            address: query.address(&source_path(offender.source)),
            why: why.join(", "),
            score: count(offender.score.into()),
            action: action(self.decision(offender.source)),
            ruled: ruled.map_or("", past_tense),
        })
    }
}

fn more_alike(number: usize, shown: usize) -> String {
    match number.saturating_sub(shown) {
        0 => String::new(),
        more => format!("and {}", counted(more as u64, "more source", "more sources")),
    }
}

fn durations(ruling: Option<&Ruling>) -> Vec<Duration> {
    let chosen = ruling.and_then(Ruling::duration_seconds);
    let usual = Duration {
        seconds: String::new(),
        title: "the usual term".to_owned(),
        is_chosen: chosen.is_none(),
    };
    let mut all: Vec<i64> = DURATIONS.into_iter().chain(chosen).collect();
    all.sort_unstable();
    all.dedup();
    let given = all.into_iter().map(|seconds| Duration {
        seconds: seconds.to_string(),
        title: length(seconds.unsigned_abs()),
        is_chosen: chosen == Some(seconds),
    });
    std::iter::once(usual).chain(given).collect()
}

fn facts(offender: &Offender) -> Vec<(&'static str, String, String)> {
    let time = |time: Option<portcullis_ingest::Timestamp>| match time.map(minute) {
        None => ("unknown".to_owned(), String::new()),
        Some(text) => {
            let (day, time) = text.split_once(' ').unwrap_or((&text, ""));
            (time.to_owned(), format!("{day}, UTC"))
        }
    };
    let (first, first_day) = time(offender.first);
    let (last, last_day) = time(offender.last);
    let of_all = |part| format!("{} of its requests", crate::words::share(part, offender.requests));
    vec![
        ("Score", count(offender.score.into()), format!("severity {}", offender.severity)),
        ("Requests", count(offender.requests), String::new()),
        ("Attacks", count(offender.flagged_requests), of_all(offender.flagged_requests)),
        ("Good", count(offender.good_requests), of_all(offender.good_requests)),
        ("First seen", first, first_day),
        ("Last seen", last, last_day),
    ]
}

fn chart(story: &Story, axis: &Axis) -> Chart {
    let cells = story.timeline.on(axis);
    let layers: Vec<[u64; 3]> = cells
        .iter()
        .map(|counts| {
            let [requests, flagged, good] =
                [counts.requests, counts.flagged, counts.good].map(u64::from);
            [flagged, requests.saturating_sub(flagged + good), good]
        })
        .collect();
    let highest = layers.iter().map(|layers| layers.iter().sum()).max().unwrap_or(0);
    let scale = round_up(highest);
    let [flagged, rest, good] = stacked(&layers, scale);
    let rows = (layers.iter().enumerate())
        .filter(|(_, layers)| layers.iter().any(|requests| *requests > 0))
        .filter_map(|(cell, [flagged, rest, good])| {
            let numbers = [flagged + rest + good, *flagged, *good, *rest].map(count);
            Some((minute(axis.begin(cell)?), numbers))
        })
        .collect();
    Chart {
        cells: axis.cells(),
        flagged,
        rest,
        good,
        highest: count(scale),
        half: count(scale / 2),
        ticks: ticks(axis),
        cell: length(axis.cell_seconds()),
        rows,
    }
}

fn all_bars(story: &Story) -> Vec<Bars> {
    let sample = |texts: &Texts| {
        if texts.is_sample { "Some of them: a fair sample, counted exactly." } else { "" }
    };
    let longest = story.statuses.values().max().copied().unwrap_or(1);
    let statuses = story.statuses.iter().map(|(status, requests)| Bar {
        text: status.to_string(),
        requests: count(*requests),
        answered: String::new(),
        length: (requests * 100).div_ceil(longest),
        kind: if (200..400).contains(status) { "good" } else { "rest" },
    });
    // Where every path was probed, once is enough.
    let paths = if story.paths == story.probed { Vec::new() } else { bars(&story.paths, "rest") };
    let all = [
        Bars { title: "Status", note: "", rows: statuses.collect() },
        Bars { title: "Paths", note: sample(&story.paths), rows: paths },
        Bars {
            title: "Probed paths",
            note: sample(&story.probed),
            rows: bars(&story.probed, "flagged"),
        },
        Bars {
            title: "User agents",
            note: sample(&story.agents),
            rows: bars(&story.agents, "others"),
        },
        Bars {
            title: "Users or API keys",
            note: sample(&story.principals),
            rows: bars(&story.principals, "others"),
        },
    ];
    all.into_iter().filter(|group| !group.rows.is_empty()).collect()
}

fn bars(texts: &Texts, kind: &'static str) -> Vec<Bar> {
    let longest = texts.kept.first().map_or(1, |text| text.requests).max(1);
    let bar = |text: &TextCount| Bar {
        text: shown(text.text.as_untrusted(), TEXT),
        requests: count(text.requests),
        answered: match text.answered {
            0 => String::new(),
            number => format!("{} answered 2xx", count(number)),
        },
        length: (text.requests * 100).div_ceil(longest),
        kind,
    };
    texts.kept.iter().map(bar).collect()
}

fn rule(detection: &Detection) -> RuleView {
    let mut seen: Vec<Seen> = Vec::new();
    for evidence in &detection.evidence {
        let Some(view) = seen_in(evidence) else { continue };
        // Tools send the same text again and again.
        if seen.len() < SEEN && seen.iter().all(|other| other.text != view.text) {
            seen.push(view);
        }
    }
    RuleView {
        id: detection.rule.to_string(),
        title: detection.title.to_string(),
        severity: detection.severity.name(),
        times: times(detection),
        points: count(detection.points.into()),
        suggests: detection.suggests.is_some(),
        seen,
    }
}

/// What a signature saw, before and after decoding. A rate saw no text.
fn seen_in(evidence: &Evidence) -> Option<Seen> {
    let (field, view) = (evidence.field?, evidence.view?);
    let mut place = vec![evidence.time.map_or("unknown time".to_owned(), |time| time.to_string())];
    place.extend(evidence.outcome.map(|outcome| became(outcome).to_owned()));
    let id = evidence.id.as_ref().map(|id| shown(id.as_untrusted(), 80));
    place.extend(id.map(|id| format!("request {id}")));
    place.push(format!("{}, byte {}", shown_name(&evidence.object), evidence.offset));
    Some(Seen {
        field,
        text: shown(evidence.text.as_untrusted(), TEXT),
        view,
        matched: shown(evidence.matched.as_untrusted(), TEXT),
        place: place.join(" · "),
    })
}
