//! The plan as it stands with what was decided, and the way to save it.

use askama::Template;
use portcullis_remediation::{Outcome, Plan, Undecided};

use super::{Frame, Here, Query, Review, source_path};
use crate::report::offender::sentence;
use crate::report::{Reason, SetChange, reasons, sets, shown_name};
use crate::words::{count, counted, length, source};

/// Sources listed; the others are on the list of sources.
const LISTED: usize = 200;

#[derive(Template)]
#[template(path = "review_plan.html", whitespace = "minimize")]
struct Page {
    frame: Frame,
    lead: String,
    leaves_others: bool,
    sets: Vec<SetChange>,
    blocks: Vec<Block>,
    more_blocks: usize,
    reasons: Vec<Reason>,
    warnings: Vec<String>,
    suggestions: Vec<String>,
    decisions_file: String,
    plan_file: String,
    saved: Option<String>,
}

/// One source that the plan blocks.
struct Block {
    source: String,
    address: String,
    set: String,
    entry: String,
    score: String,
    cost: String,
    why: String,
    ruling: String,
    lasting: String,
}

impl Review {
    /// The plan as it stands. `csrf` proves that forms came from this page.
    pub fn plan_page(&self, query: &Query, csrf: &str) -> String {
        let plan = &self.plan;
        let blocks = plan.additions().count();
        let warnings = plan.conflicts().iter().map(ToString::to_string);
        let warnings = warnings.chain(plan.notes().iter().map(ToString::to_string));
        let page = Page {
            frame: self.frame(Here::Plan, csrf, query),
            lead: lead(blocks as u64, &self.cost()),
            leaves_others: self.rulings.undecided == Undecided::LeftAlone,
            sets: sets(plan),
            blocks: self.blocks(query),
            more_blocks: blocks.saturating_sub(LISTED),
            reasons: reasons(plan),
            warnings: warnings.map(|text| sentence(&shown_name(&text))).collect(),
            suggestions: plan.suggestions().iter().map(|one| sentence(&one.to_string())).collect(),
            decisions_file: shown_name(&self.subject.decisions_file),
            plan_file: shown_name(&self.subject.plan_file),
            saved: self.next_step(),
        };
        page.render().expect("writing to memory does not fail")
    }

    fn blocks(&self, query: &Query) -> Vec<Block> {
        let additions = self.plan.additions().take(LISTED);
        additions
            .map(|(decision, set)| {
                let ruling = self.rulings.of(decision.source);
                let seconds = ruling.and_then(portcullis_remediation::Ruling::duration_seconds);
                Block {
                    source: source(decision.source),
                    address: query.address(&source_path(decision.source)),
                    set: shown_name(set),
                    entry: widened(&decision.outcome, decision.source),
                    score: count(decision.grounds.score.into()),
                    cost: cost(&self.plan, &decision.outcome),
                    why: decision.grounds.to_string(),
                    ruling: ruling.map_or(String::new(), |ruling| sentence(&ruling.to_string())),
                    lasting: seconds.map_or(String::new(), |seconds| {
                        format!("for {}", length(seconds.unsigned_abs()))
                    }),
                }
            })
            .collect()
    }

    /// What to do with what was saved; `None` when that is not what is shown.
    fn next_step(&self) -> Option<String> {
        let hash = self.saved_plan.as_ref().filter(|hash| **hash == self.plan.sha256())?;
        (self.unsaved() == 0).then(|| match &self.subject.target {
            Some(target) => format!(
                "portcullis apply {} --target {} --expect-hash {hash}",
                self.subject.plan_file,
                shown_name(target)
            ),
            None => format!(
                "portcullis plan {} --decisions {} --target NAME --out plan.json",
                self.subject.locations.join(" "),
                self.subject.decisions_file
            ),
        })
    }
}

fn lead(blocks: u64, cost: &str) -> String {
    let what = match blocks {
        0 => return "Nobody is to be blocked.".to_owned(),
        1 => "1 source is to be blocked".to_owned(),
        many => format!("{} are to be blocked", counted(many, "source", "sources")),
    };
    if cost.is_empty() { format!("{what}.") } else { format!("{what}: this {cost}.") }
}

/// The entry, where it is more than the source.
fn widened(outcome: &Outcome, of: ipnet::IpNet) -> String {
    match outcome {
        Outcome::Add { entry, .. } if *entry != of => entry.to_string(),
        _ => String::new(),
    }
}

fn cost(plan: &Plan, outcome: &Outcome) -> String {
    let collateral = match outcome {
        Outcome::Add { entry, .. } => plan.collateral(*entry),
        _ => None,
    };
    match collateral {
        None => String::new(),
        Some(collateral) => count(collateral.good_requests),
    }
}
