//! `portcullis rules bench`: what each rule costs and finds.
//!
//! Times differ from run to run and from machine to machine; the bytes that a rule's
//! expressions are given to read do not, and nearly all of a rule's time is spent there.

use std::path::Path;

use portcullis_detection::{Census, Classifier, ObjectSeen, RuleKind, RuleSet};
use portcullis_ingest::{Reject, Request, Sink};

use super::{Page, Prepared, load_named_rules, print, tell};
use crate::args::{Bench, Global, Logs, TableOrJson};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::bench::{Measured, write_json, write_table};
use crate::pipeline::Gather;
use crate::terminal::Terminal;

pub(super) fn run(
    arguments: &Bench,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let directory = arguments.directory.as_deref().unwrap_or(Path::new(super::BUILTIN));
    let rules = load_named_rules(directory)?;
    let (measuring, exit) = if arguments.locations.is_empty() {
        (of_examples(&rules), Exit::Done)
    } else {
        of_logs(&rules, arguments, global, terminal)?
    };
    let measured = measuring.finish();
    let mut out = Vec::new();
    match arguments.output {
        TableOrJson::Table => {
            let top = arguments.top.get();
            write_table(&mut out, &rules, &measured, top, terminal)
                .expect("writing to memory does not fail");
        }
        TableOrJson::Json => write_json(&mut out, &rules, &measured),
    }
    print(&out)?;
    if arguments.locations.is_empty() {
        terminal.note(
            "measured on the rules' own examples, which are nearly all attacks or near misses; \
             name logs to measure on traffic",
        );
    }
    Ok(exit)
}

fn of_examples(rules: &RuleSet) -> Measuring<'_> {
    let mut measuring = Measuring::new(rules);
    for rule in rules.rules() {
        for step in rule.examples().iter().flat_map(|example| &example.steps) {
            measuring.request(&step.request.request());
        }
    }
    measuring
}

fn of_logs<'r>(
    rules: &'r RuleSet,
    arguments: &Bench,
    global: &Global,
    terminal: &Terminal,
) -> Result<(Measuring<'r>, Exit), Failure> {
    let Bench { locations, format, threads, .. } = arguments;
    let mut logs = Logs::plain(locations.clone());
    logs.reading.format.clone_from(format);
    logs.reading.threads = *threads;
    let prepared = Prepared::new(&logs, global, terminal)?;
    let (measuring, tally) = prepared.reading().gather(|| Measuring::new(rules));
    prepared.progress.finish();
    let gaps = tell(&tally, Page::None, terminal);
    Ok((measuring, prepared.exit.or_worse(gaps)))
}

/// Requests being measured.
struct Measuring<'r> {
    rules: &'r RuleSet,
    classifier: Classifier<'r>,
    /// What other workers counted.
    census: Option<Census>,
    requests: u64,
    /// For each rate rule, by index, the requests that it counts.
    counted: Vec<u64>,
}

impl<'r> Measuring<'r> {
    fn new(rules: &'r RuleSet) -> Self {
        let classifier = rules.counting_classifier();
        let counted = vec![0; rules.rules().len()];
        Self { rules, classifier, census: None, requests: 0, counted }
    }

    fn finish(mut self) -> Measured {
        let mut census = self.classifier.take_census().expect("the classifier counts");
        if let Some(others) = self.census {
            census.add(others);
        }
        Measured { requests: self.requests, census, counted: self.counted }
    }
}

impl Sink for Measuring<'_> {
    fn request(&mut self, request: &Request<'_>) {
        self.requests += 1;
        self.classifier.classify(request);
        for (rule, counted) in self.rules.rules().iter().zip(&mut self.counted) {
            if let RuleKind::Rate(rate) = rule.kind() {
                *counted += u64::from(rate.conditions().hold(request));
            }
        }
    }

    fn reject(&mut self, _: &Reject<'_>) {}
}

impl Gather for Measuring<'_> {
    fn object(&mut self, _: &ObjectSeen<'_>) {}

    fn merge(&mut self, other: Self) {
        let Measured { requests, census, counted } = other.finish();
        self.requests += requests;
        match &mut self.census {
            Some(mine) => mine.add(census),
            mine => *mine = Some(census),
        }
        for (sum, count) in self.counted.iter_mut().zip(counted) {
            *sum += count;
        }
    }
}
