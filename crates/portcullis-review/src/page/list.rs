//! The list of sources: found, filtered, sorted and in pages, because there may be ten
//! thousand.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use askama::Template;
use portcullis_detection::{Category, Offender, Severity, Standing};
use portcullis_remediation::{Outcome, Ruled};

use super::query::{Show, Sort};
use super::{Frame, Here, Item, Query, Review, answered, source_path};
use crate::report::offender::{Action, Spark, action, spark};
use crate::report::{shown_name, whole_period};
use crate::words::{category, count, counted, minute, source};

/// Sources on one page.
const ROWS: usize = 50;

#[derive(Template)]
#[template(path = "review_list.html", whitespace = "minimize")]
struct List<'r> {
    frame: Frame,
    query: &'r Query,
    asked_category: &'static str,
    asked_severity: &'static str,
    /// Countries that there are; none where none is known.
    countries: Vec<&'r str>,
    heading: String,
    period: String,
    locations: Vec<String>,
    found: String,
    categories: Vec<(&'static str, &'static str)>,
    severities: Vec<&'static str>,
    shows: Vec<(&'static str, &'static str)>,
    columns: Vec<Column>,
    rows: Vec<Row>,
    pages: Option<Pages>,
    gaps: Vec<String>,
}

struct Column {
    name: &'static str,
    title: &'static str,
    address: String,
    /// The order that it stands in, as assistive tools are told.
    order: &'static str,
}

struct Row {
    at: usize,
    source: String,
    address: String,
    severity: &'static str,
    is_watched: bool,
    /// Where it is and whose; empty where nothing is known.
    from: String,
    score: String,
    spark: Option<Spark>,
    requests: String,
    attacks: String,
    worked: String,
    good: String,
    last: String,
    action: Action,
    ruled: &'static str,
    note: String,
    approve: Button,
    reject: Button,
}

/// A decision that can be made or taken back.
pub(super) struct Button {
    /// What pressing it does.
    pub(super) act: String,
    pub(super) is_pressed: bool,
}

struct Pages {
    number: usize,
    of: usize,
    previous: Option<String>,
    next: Option<String>,
}

impl Review {
    /// The list that a query asks for. `csrf` proves that forms came from this page.
    pub fn list_page(&self, query: &Query, csrf: &str) -> String {
        let found = self.listed(query);
        let of = found.len().div_ceil(ROWS).max(1);
        let query = &query.on_page(query.page.min(of - 1));
        let rows = found.iter().skip(query.page * ROWS).take(ROWS);
        let findings = &self.subject.findings;
        let all = self.items.len() as u64;
        let page = List {
            frame: self.frame(Here::Sources, csrf, query),
            heading: match (findings.offenders.len() as u64, findings.watched.len() as u64) {
                (0, 0) => "No offender".to_owned(),
                (offenders, 0) => counted(offenders, "offender", "offenders"),
                (offenders, watched) => format!(
                    "{}, {} watched",
                    counted(offenders, "offender", "offenders"),
                    count(watched)
                ),
            },
            period: whole_period(findings, self.axis.as_ref()),
            locations: self.subject.locations.iter().map(|name| shown_name(name)).collect(),
            found: match found.len() as u64 {
                number if number == all => counted(all, "source", "sources"),
                number => format!("{} of {}", count(number), counted(all, "source", "sources")),
            },
            categories: self.categories(),
            severities: Severity::ALL.iter().rev().map(|severity| severity.name()).collect(),
            shows: Show::ALL.iter().map(|show| (show.name(), show.title())).collect(),
            columns: columns(query),
            rows: rows.map(|at| self.row(*at, query)).collect(),
            pages: (of > 1).then(|| Pages {
                number: query.page + 1,
                of,
                previous: (query.page > 0)
                    .then(|| query.on_page(query.page - 1).address("/sources")),
                next: (query.page + 1 < of)
                    .then(|| query.on_page(query.page + 1).address("/sources")),
            }),
            gaps: crate::gaps::gaps_of_page(findings, &self.subject.overview),
            asked_category: query.category.map_or("", Category::name),
            asked_severity: query.severity.map_or("", Severity::name),
            countries: self.countries(),
            query,
        };
        page.render().expect("writing to memory does not fail")
    }

    /// The places of the sources that a query asks for, in its order.
    pub(super) fn listed(&self, query: &Query) -> Vec<usize> {
        let text = query.text.to_lowercase();
        let numbered = self.items.iter().enumerate();
        let asked = numbered.filter(|(at, item)| self.is_asked(*at, item, query, &text));
        let mut found: Vec<usize> = asked.map(|(at, _)| at).collect();
        found.sort_by(|a, b| {
            let order = self.order(*a, *b, query.sort);
            let order = if query.sort.is_descending() { order.reverse() } else { order };
            let order = if query.reversed { order.reverse() } else { order };
            // Places are by standing, score and address.
            order.then(a.cmp(b))
        });
        found
    }

    fn is_asked(&self, at: usize, item: &Item, query: &Query, text: &str) -> bool {
        let offender = self.offender(at);
        let ruling = self.ruling(offender.source);
        let ruled = ruling.and_then(|ruling| ruling.ruled);
        let outcome = self.decision(offender.source).map(|decision| &decision.outcome);
        let is_shown = match query.show {
            Show::All => true,
            Show::Undecided => ruled.is_none(),
            Show::Approved => ruled == Some(Ruled::Approve),
            Show::Rejected => ruled == Some(Ruled::Reject),
            Show::Pardoned => ruled == Some(Ruled::Pardon),
            Show::Noted => ruling.is_some_and(|ruling| !ruling.note().is_empty()),
            Show::Block => matches!(outcome, Some(Outcome::Add { .. })),
            Show::LeftAlone => matches!(outcome, Some(Outcome::Withheld(_))),
            Show::Watched => item.standing == Standing::Watched,
            Show::Worked => answered(offender) > 0,
        };
        is_shown
            && query.severity.is_none_or(|severity| severity == offender.severity)
            && query.category.is_none_or(|category| offender.categories.contains(&category))
            && (query.country.is_empty()
                || offender.background.country.as_deref() == Some(&query.country))
            && (text.is_empty()
                || item.searched.contains(text)
                || ruling.is_some_and(|ruling| ruling.note().to_lowercase().contains(text)))
    }

    fn order(&self, a: usize, b: usize, sort: Sort) -> Ordering {
        let (a, b) = (self.offender(a), self.offender(b));
        let label = |offender: &Offender| {
            let ruled = self.ruling(offender.source).and_then(|ruling| ruling.ruled);
            (action(self.decision(offender.source)).label, ruled.map(Ruled::name))
        };
        match sort {
            Sort::Source => a.source.cmp(&b.source),
            Sort::Score => a.score.cmp(&b.score),
            Sort::Requests => a.requests.cmp(&b.requests),
            Sort::Attacks => a.flagged_requests.cmp(&b.flagged_requests),
            Sort::Good => a.good_requests.cmp(&b.good_requests),
            Sort::Last => a.last.cmp(&b.last),
            Sort::Decision => label(a).cmp(&label(b)),
        }
    }

    /// The kinds of attack that there are.
    fn categories(&self) -> Vec<(&'static str, &'static str)> {
        let findings = &self.subject.findings;
        let is_there = |of: &&Category| {
            let mut all = findings.offenders.iter().chain(&findings.watched);
            all.any(|offender| offender.categories.contains(of))
        };
        let there = Category::ALL.iter().filter(is_there);
        there.map(|of| (of.name(), category(*of))).collect()
    }

    /// The countries that there are, in order.
    fn countries(&self) -> Vec<&str> {
        let findings = &self.subject.findings;
        let all = findings.offenders.iter().chain(&findings.watched);
        let countries = all.filter_map(|offender| offender.background.country.as_deref());
        countries.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn row(&self, at: usize, query: &Query) -> Row {
        let offender = self.offender(at);
        let story = self.subject.overview.stories.get(&offender.source);
        let ruling = self.ruling(offender.source);
        let ruled = ruling.and_then(|ruling| ruling.ruled);
        Row {
            at,
            source: source(offender.source),
            address: query.address(&source_path(offender.source)),
            severity: offender.severity.name(),
            is_watched: self.items[at].standing == Standing::Watched,
            from: offender.background.in_words(),
            score: count(offender.score.into()),
            spark: story.zip(self.axis.as_ref()).map(|(story, axis)| spark(story, axis)),
            requests: count(offender.requests),
            attacks: count(offender.flagged_requests),
            worked: match answered(offender) {
                0 => String::new(),
                number => format!("{} answered 2xx", count(number)),
            },
            good: count(offender.good_requests),
            last: offender.last.map_or("unknown".to_owned(), minute),
            action: action(self.decision(offender.source)),
            ruled: ruled.map_or("", past_tense),
            note: ruling.map_or(String::new(), |ruling| ruling.note().to_owned()),
            approve: button(Ruled::Approve, ruled, offender),
            reject: button(Ruled::Reject, ruled, offender),
        }
    }
}

pub(super) const fn past_tense(ruled: Ruled) -> &'static str {
    match ruled {
        Ruled::Approve => "approved",
        Ruled::Reject => "rejected",
        Ruled::Pardon => "pardoned",
    }
}

/// A button that makes a decision, or takes it back where it was made.
pub(super) fn button(makes: Ruled, ruled: Option<Ruled>, offender: &Offender) -> Button {
    let is_pressed = ruled == Some(makes);
    let act = if is_pressed { "clear" } else { makes.name() };
    Button { act: format!("{act} {}", offender.source.addr()), is_pressed }
}

fn columns(query: &Query) -> Vec<Column> {
    let column = |sort: &Sort| Column {
        name: sort.name(),
        title: sort.title(),
        address: query.sorted_by(*sort).address("/sources"),
        order: match (*sort == query.sort, sort.is_descending() != query.reversed) {
            (false, _) => "none",
            (true, true) => "descending",
            (true, false) => "ascending",
        },
    };
    Sort::ALL.iter().map(column).collect()
}
