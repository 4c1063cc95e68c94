//! The review: pages on which a person decides about sources, one by one.
//!
//! A reviewer has a minute for each source, and wants to know who it is, what it did,
//! whether that worked, and whom a block would hurt. The pages answer in this order, and
//! every decision is seen in the plan at once, because the plan is made anew with it.
//!
//! Everything here is a function of what was found and what was decided: [`Review`] holds
//! both and gives pages as text. Serving them, guarding them and writing files is left to
//! the program. Pages work without script: decisions are forms, and the script only makes
//! them quicker. They are seen by one person on one machine, hide secrets all the same,
//! and load nothing but [`STYLES`] and [`SCRIPT`].

mod decide;
mod list;
mod plan;
mod query;
mod similar;
mod story;

use std::collections::HashMap;

use askama::Template;
use ipnet::IpNet;
use portcullis_detection::{Axis, Findings, Offender, Outcome, Overview, Standing};
use portcullis_remediation::{Decision, Outcome as Planned, Plan, Ruling, Rulings};

use crate::words::{count, counted, share, shown};
pub use decide::{Form, FormError};
pub use query::Query;
use similar::Similar;
pub use story::Told;

/// The style sheets of the pages: the report's, and what the review adds.
pub const STYLES: [&str; 2] =
    [include_str!("../templates/report.css"), include_str!("../templates/review.css")];

/// The script of the pages. They work without it, but for the keys.
pub const SCRIPT: &str = include_str!("../templates/review.js");

/// The mark, as an SVG image.
pub const MARK: &str = include_str!("../templates/mark.svg");

/// Characters of one text that are searched for.
const SEARCHED: usize = 300;

/// What is reviewed.
pub struct Subject {
    /// What was read, as the operator named it.
    pub locations: Vec<String>,
    /// What was found.
    pub findings: Findings,
    /// What happened beside it.
    pub overview: Overview,
    /// The target that the plan is for, if it can be carried out.
    pub target: Option<String>,
    /// Who decides; empty when that is not to be recorded.
    pub by: String,
    /// Where decisions are saved, as shown to the reviewer.
    pub decisions_file: String,
    /// Where the plan is saved, as shown to the reviewer.
    pub plan_file: String,
}

/// Makes a plan for what was found and decided.
pub type Planner = Box<dyn Fn(&Findings, &Rulings) -> Plan + Send>;

/// A review under way.
pub struct Review {
    subject: Subject,
    planner: Planner,
    /// Offenders, then watched sources.
    items: Vec<Item>,
    places: HashMap<IpNet, usize>,
    similar: Similar,
    axis: Option<Axis>,
    /// Good requests of everybody.
    good: u64,
    rulings: Rulings,
    /// The rulings as they were saved last, or read.
    saved: Rulings,
    /// The hash of the plan that was saved last.
    saved_plan: Option<String>,
    plan: Plan,
    /// The plan's decisions by source.
    decisions: HashMap<IpNet, usize>,
}

/// One source that can be decided about.
struct Item {
    standing: Standing,
    /// Its place in the list of its standing.
    place: usize,
    /// What is searched, in lower case.
    searched: String,
}

impl Review {
    /// Begins with what was decided before.
    pub fn new(subject: Subject, rulings: Rulings, planner: Planner) -> Self {
        let (findings, overview) = (&subject.findings, &subject.overview);
        let lists =
            [(&findings.offenders, Standing::Offender), (&findings.watched, Standing::Watched)];
        let items: Vec<Item> = lists
            .into_iter()
            .flat_map(|(offenders, standing)| {
                offenders.iter().enumerate().map(move |(place, offender)| Item {
                    standing,
                    place,
                    searched: searched(offender, overview),
                })
            })
            .collect();
        let all = findings.offenders.iter().chain(&findings.watched);
        let places = all.enumerate().map(|(at, offender)| (offender.source.trunc(), at)).collect();
        let plan = planner(findings, &rulings);
        let mut review = Self {
            items,
            places,
            similar: Similar::new(overview, findings.offenders.iter().chain(&findings.watched)),
            axis: Axis::of(&overview.traffic),
            good: overview.traffic.periods().map(|(_, c)| u64::from(c.good)).sum(),
            saved: rulings.clone(),
            saved_plan: None,
            rulings,
            decisions: HashMap::new(),
            plan,
            planner,
            subject,
        };
        review.index();
        review
    }

    /// What was decided so far.
    pub fn rulings(&self) -> &Rulings {
        &self.rulings
    }

    /// The plan with what was decided so far.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The target that the plan is for.
    pub fn target(&self) -> Option<&str> {
        self.subject.target.as_deref()
    }

    /// How many decisions are not saved.
    pub fn unsaved(&self) -> usize {
        let (now, saved) = (&self.rulings, &self.saved);
        let changed = now.iter().filter(|(source, ruling)| saved.of(*source) != Some(ruling));
        let dropped = saved.iter().filter(|(source, _)| now.of(*source).is_none());
        changed.count() + dropped.count() + usize::from(now.undecided != saved.undecided)
    }

    /// Makes the plan anew: it is about to be saved, and plans are stale after a while.
    pub fn renew(&mut self) {
        self.replan();
    }

    /// Takes note that the rulings and the plan were saved as they are.
    pub fn saved(&mut self) {
        self.saved.clone_from(&self.rulings);
        self.saved_plan = Some(self.plan.sha256());
    }

    /// Makes the plan anew, after something was decided.
    fn replan(&mut self) {
        self.plan = (self.planner)(&self.subject.findings, &self.rulings);
        self.index();
    }

    fn index(&mut self) {
        let numbered = self.plan.decisions().iter().enumerate();
        self.decisions = numbered.map(|(at, decision)| (decision.source, at)).collect();
    }

    fn offender(&self, at: usize) -> &Offender {
        let item = &self.items[at];
        match item.standing {
            Standing::Offender => &self.subject.findings.offenders[item.place],
            _ => &self.subject.findings.watched[item.place],
        }
    }

    fn decision(&self, source: IpNet) -> Option<&Decision> {
        self.decisions.get(&source.trunc()).map(|at| &self.plan.decisions()[*at])
    }

    fn ruling(&self, source: IpNet) -> Option<&Ruling> {
        self.rulings.of(source.trunc())
    }

    fn frame(&self, here: Here, csrf: &str, query: &Query) -> Frame {
        let plan = &self.plan;
        let blocked = plan.additions().count() as u64;
        let already = plan
            .decisions()
            .iter()
            .filter(|decision| matches!(decision.outcome, Planned::AlreadyBlocked { .. }));
        let left_alone = plan.decisions().len() - blocked as usize - already.count();
        Frame {
            here,
            csrf: csrf.to_owned(),
            sources: query.address("/sources"),
            query: query.to_string(),
            block: count(blocked),
            left_alone: count(left_alone as u64),
            cost: self.cost(),
            decided: self.rulings.iter().count(),
            unsaved: self.unsaved(),
            is_saved: self.saved_plan.is_some(),
        }
    }

    /// What the plan would have taken from those who did nothing.
    fn cost(&self) -> String {
        let Some(blast) = self.plan.blast_radius() else { return String::new() };
        if blast.blocked_good_requests == 0 {
            return "would have refused no good request".to_owned();
        }
        format!(
            "would have refused {} of {} ({}), from {} of {}",
            count(blast.blocked_good_requests),
            counted(blast.good_requests, "good request", "good requests"),
            share(blast.blocked_good_requests, blast.good_requests),
            count(blast.blocked_principals),
            counted(blast.principals, "user or key", "users or keys"),
        )
    }
}

/// What can be searched of one source: who, which rules, what it called itself, what it
/// probed.
fn searched(offender: &Offender, overview: &Overview) -> String {
    let mut text = crate::source(offender.source);
    text.push('\n');
    text.push_str(&offender.background.in_words());
    for detection in &offender.detections {
        text.push('\n');
        text.push_str(&detection.rule);
    }
    if let Some(story) = overview.stories.get(&offender.source) {
        let texts = [&story.agents, &story.principals, &story.probed, &story.worked];
        for kept in texts.into_iter().flat_map(|texts| &texts.kept) {
            text.push('\n');
            text.push_str(&shown(kept.text.as_untrusted(), SEARCHED));
        }
    }
    text.to_lowercase()
}

/// Attack requests of a source that were answered as if they had worked.
fn answered(offender: &Offender) -> u64 {
    offender.outcomes.of(Outcome::Answered)
}

/// The address of a source's page.
fn source_path(source: IpNet) -> String {
    format!("/source/{}", source.addr())
}

/// Which page is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Here {
    Sources,
    Source,
    Plan,
}

impl Here {
    const fn name(self) -> &'static str {
        match self {
            Self::Sources => "sources",
            Self::Source => "source",
            Self::Plan => "plan",
        }
    }
}

/// What all pages show.
struct Frame {
    here: Here,
    /// Proves that a form came from one of our pages.
    csrf: String,
    /// The address of the list.
    sources: String,
    /// The list's question, for the way back.
    query: String,
    block: String,
    left_alone: String,
    cost: String,
    decided: usize,
    unsaved: usize,
    is_saved: bool,
}

/// The page that lets a reviewer in: it hands on the key in its own address, which no
/// server and no log ever sees.
pub fn entrance(is_refused: bool) -> String {
    #[derive(Template)]
    #[template(path = "review_entrance.html", whitespace = "minimize")]
    struct Entrance {
        is_refused: bool,
    }
    Entrance { is_refused }.render().expect("writing to memory does not fail")
}

/// A page that says one thing, and leads back.
pub fn message(title: &str, text: &str) -> String {
    #[derive(Template)]
    #[template(path = "review_message.html", whitespace = "minimize")]
    struct Message<'m> {
        title: &'m str,
        text: &'m str,
    }
    Message { title, text }.render().expect("writing to memory does not fail")
}

#[cfg(test)]
mod tests;
