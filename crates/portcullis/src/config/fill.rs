//! Which command takes which values of the file, where its command line has none.

use super::Configuration;
use crate::args::{Command, Judgement, Watched};

impl Configuration {
    /// Gives a command the values of the file that its command line does not have.
    pub fn fill(&self, command: &mut Command) {
        if let Command::Run(run) = command {
            self.source.fill_run(run);
            self.fill_watched(&mut run.watched);
        }
        if let Command::Watch(watch) = command {
            self.source.fill_watch(watch);
            self.fill_watched(&mut watch.watched);
        }
        #[cfg(feature = "lambda")]
        if let Command::Lambda(lambda) = command {
            self.source.fill_lambda(lambda);
            self.fill_watched(&mut lambda.watched);
        }
        let judgement = match command {
            Command::Scan(scan) => Some(&mut scan.judgement),
            Command::Explain(explain) => Some(&mut explain.judgement),
            Command::Plan(plan) => Some(&mut plan.judgement),
            Command::Promote(promote) => Some(&mut promote.judgement),
            Command::Report(report) => Some(&mut report.plan.judgement),
            Command::Export(export) => Some(&mut export.judgement),
            Command::Review(review) => Some(&mut review.plan.judgement),
            #[cfg(feature = "query")]
            Command::Query(query) => Some(&mut query.judgement),
            _ => None,
        };
        if let Some(judgement) = judgement {
            self.fill_judgement(judgement);
        }
        let crawlers = match command {
            Command::Backtest(backtest) => Some(&mut backtest.crawlers),
            Command::Calibrate(calibrate) => Some(&mut calibrate.crawlers),
            _ => None,
        };
        if let Some(crawlers) = crawlers {
            self.scan.fill_crawlers(crawlers);
        }
        let rules = match command {
            Command::Classify(classify) => Some(&mut classify.rules),
            Command::Calibrate(calibrate) => Some(&mut calibrate.rules),
            _ => None,
        };
        if let Some(rules) = rules.filter(|rules| rules.is_none()) {
            rules.clone_from(&self.scan.rules);
        }
        let logs = match command {
            Command::Scan(scan) => Some(&mut scan.logs),
            Command::Decode(decode) => Some(&mut decode.logs),
            Command::Classify(classify) => Some(&mut classify.logs),
            Command::Explain(explain) => Some(&mut explain.logs),
            Command::Plan(plan) => Some(&mut plan.logs),
            Command::Promote(promote) => Some(&mut promote.logs),
            Command::Report(report) => Some(&mut report.logs),
            Command::Export(export) => Some(&mut export.logs),
            Command::Review(review) => Some(&mut review.logs),
            #[cfg(feature = "query")]
            Command::Query(query) => Some(&mut query.logs),
            Command::Backtest(backtest) => Some(&mut backtest.logs),
            Command::Calibrate(calibrate) => Some(&mut calibrate.logs),
            _ => None,
        };
        if let Some(logs) = logs {
            self.scan.fill_reading(&mut logs.reading);
        }
    }

    fn fill_judgement(&self, judgement: &mut Judgement) {
        judgement.rules = judgement.rules.take().or_else(|| self.scan.rules.clone());
        self.scan.fill_crawlers(&mut judgement.crawlers);
        judgement.enrichment.fill(&self.enrichment.options());
    }

    fn fill_watched(&self, watched: &mut Watched) {
        self.report.fill(&mut watched.reporting);
        self.fill_judgement(&mut watched.judgement);
        self.scan.fill_reading(&mut watched.reading);
    }
}
