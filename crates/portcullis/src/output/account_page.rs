//! An account of one source or request, for people: the verdict first, then the sum, then
//! what the rules saw, then what speaks for the source.

use std::io::{self, Write};

use portcullis_detection::{
    Account, Answer, AskedRequest, Detection, Evidence, Measure, Outcome, RateCount, RuleSet,
    SameId, Standing, window_in_words,
};
use portcullis_ingest::{Untrusted, UntrustedBuf, redacted};

use crate::output::account::{Part, category_sums, changes, grounds};
use crate::output::json::Secrets;
use crate::output::table::{Align, Cell, Table};
use crate::output::{counted, source, write_indented, write_not_seen};
use crate::progress::human_count;
use crate::terminal::{ATTENTION, BAD, GOOD, HEADING, Painted, Terminal};

/// The page being written.
pub struct Page<'p, W> {
    /// Where to.
    pub out: &'p mut W,
    /// The rules that were used.
    pub rules: &'p RuleSet,
    /// Whether secrets in logged text are shown.
    pub secrets: Secrets,
    /// How it may look.
    pub terminal: &'p Terminal,
}

impl<W: Write> Page<'_, W> {
    /// Writes the whole page.
    pub fn write(&mut self, answer: &Answer) -> io::Result<()> {
        if let Some(same_id) = &answer.request {
            self.same_id(same_id)?;
        }
        if let Some(account) = &answer.account {
            if answer.request.is_some() {
                writeln!(self.out)?;
            }
            self.account(account)?;
        }
        write_not_seen(self.out, &answer.coverage, self.terminal)
    }

    fn heading(&mut self, text: &str) -> io::Result<()> {
        let heading = Painted { text, style: HEADING, colour: self.terminal.colour };
        writeln!(self.out, "\n{heading}")
    }

    fn shown(&self, text: &UntrustedBuf) -> String {
        let text = text.as_untrusted();
        match self.secrets {
            Secrets::Shown => text.escaped().to_string(),
            Secrets::Hidden => Untrusted::new(&redacted(text.bytes())).escaped().to_string(),
        }
    }

    /// The request that was asked for; of several with its id, the worst first, and whose
    /// they are.
    fn same_id(&mut self, same_id: &SameId) -> io::Result<()> {
        let SameId { worst, others, requests } = same_id;
        if others.is_empty() {
            return self.request(worst, None);
        }
        let shown = others.len() as u64 + 1;
        let of_them = if shown < *requests {
            format!(", of which the {shown} worst are shown")
        } else {
            ", the worst first".to_owned()
        };
        let note = format!(
            "{} requests bear this id{of_them}; below them is the client of the first",
            human_count(*requests)
        );
        let note = Painted { text: &note, style: ATTENTION, colour: self.terminal.colour };
        writeln!(self.out, "{note}")?;
        for request in std::iter::once(worst).chain(others) {
            writeln!(self.out)?;
            let client = request.client.map(|client| client.to_string());
            self.request(request, Some(client.as_deref().unwrap_or("an unknown client")))?;
        }
        Ok(())
    }

    /// One request, with the client that sent it where that is not plain.
    fn request(&mut self, request: &AskedRequest, client: Option<&str>) -> io::Result<()> {
        let verdict = if request.flagged { "flagged" } else { "not flagged" };
        let style = if request.flagged { BAD } else { GOOD };
        let verdict = Painted { text: verdict, style, colour: self.terminal.colour };
        writeln!(self.out, "Request {verdict}: score {}", request.score)?;
        let text = |text: &Option<UntrustedBuf>| {
            text.as_ref().map_or("-".to_owned(), |text| self.shown(text))
        };
        let line = format!("{} {}", text(&request.method), text(&request.path));
        let status = request.status.map_or("-".to_owned(), |status| status.to_string());
        let time = request.time.map_or("at an unknown time".to_owned(), |time| time.to_string());
        writeln!(self.out, "  {line} → {status}, {time}")?;
        if let Some(client) = client {
            writeln!(self.out, "  from {client}")?;
        }
        writeln!(self.out, "  outcome: {}", outcome_in_words(request.outcome))?;
        let object = Untrusted::new(request.object.as_bytes()).escaped();
        writeln!(self.out, "  {object} at byte {}", request.offset)?;
        for hit in &request.hits {
            let rule = &self.rules.rules()[hit.rule];
            writeln!(self.out, "  {:>5}  {}", rule.points(), rule.id())?;
            self.seen(hit.subject.name(), hit.reading(), &hit.text, &hit.matched)?;
        }
        for sum in category_sums(&request.hits, self.rules) {
            if sum.sum > sum.limit {
                let (category, less) = (sum.category, sum.sum - sum.limit);
                writeln!(
                    self.out,
                    "  {:>5}  {category} counts at most twice its highest rule",
                    format!("-{less}")
                )?;
            }
        }
        writeln!(self.out, "  {:>5}  in all", request.score)
    }

    /// What was logged, and what of it matched after decoding.
    fn seen(
        &mut self,
        field: &str,
        view: &str,
        text: &UntrustedBuf,
        matched: &UntrustedBuf,
    ) -> io::Result<()> {
        let (text, matched) = (self.shown(text), self.shown(matched));
        writeln!(self.out, "         {field} as logged: {text}")?;
        writeln!(self.out, "         matched, {view}: {matched}")
    }

    fn account(&mut self, account: &Account) -> io::Result<()> {
        let style = match account.standing {
            Standing::Quiet => GOOD,
            Standing::Watched => ATTENTION,
            Standing::Offender => BAD,
        };
        let standing = match account.standing {
            Standing::Quiet => "nothing to report",
            Standing::Watched => "watched",
            Standing::Offender => "an offender",
        };
        let standing = Painted { text: standing, style, colour: self.terminal.colour };
        writeln!(self.out, "{} is {standing}", source(account.source))?;
        let known = account.background.in_words();
        if !known.is_empty() {
            write_indented(self.out, &known, self.terminal)?;
        }
        for (index, ground) in grounds(account).iter().enumerate() {
            let word = if index == 0 { "because" } else { "and because" };
            write_indented(self.out, &format!("{word} {ground}"), self.terminal)?;
        }
        self.heading("What would change it")?;
        for change in changes(account) {
            write_indented(self.out, &change, self.terminal)?;
        }
        self.sum(account)?;
        self.evidence(account)?;
        self.rates(account)?;
        self.requests(account)
    }

    fn sum(&mut self, account: &Account) -> io::Result<()> {
        self.heading(&format!("Score {}", account.score))?;
        if account.detections.is_empty() {
            return writeln!(self.out, "  no rule fired");
        }
        let mut table = Table::new([
            ("POINTS", Align::Right),
            ("TIMES OVER", Align::Right),
            ("ADDS", Align::Right),
            ("RULE", Align::Left),
        ]);
        for detection in &account.detections {
            let part = Part::of(detection, self.rules);
            table.row(vec![
                Cell::plain(part.rule_points.to_string()),
                Cell::plain(format!("× {}", part.multiplier)),
                Cell::plain(detection.points.to_string()),
                Cell::plain(format!("{} ({})", detection.rule, fired(detection, part.times))),
            ]);
        }
        for correlation in &account.correlations {
            table.row(vec![
                Cell::plain(""),
                Cell::plain(""),
                Cell::plain(correlation.points().to_string()),
                Cell::plain(format!("{}: {}", correlation.name(), correlation.reason())),
            ]);
        }
        table.row(vec![
            Cell::plain(""),
            Cell::plain(""),
            Cell::styled(account.score.to_string(), HEADING),
            Cell::plain("in all"),
        ]);
        table.write(self.out, self.terminal.width, self.terminal.colour)
    }

    fn evidence(&mut self, account: &Account) -> io::Result<()> {
        if account.detections.is_empty() {
            return Ok(());
        }
        self.heading("What the rules saw")?;
        for detection in &account.detections {
            writeln!(self.out, "  {}", detection.rule)?;
            for (index, evidence) in detection.evidence.iter().enumerate() {
                // Tools send the same text again and again; a rate has none at all.
                let before = &detection.evidence[..index];
                if before.iter().any(|before| before.text == evidence.text) {
                    continue;
                }
                self.place(evidence)?;
                if let (Some(field), Some(view)) = (evidence.field, evidence.view) {
                    self.seen(field, view, &evidence.text, &evidence.matched)?;
                }
            }
        }
        Ok(())
    }

    fn place(&mut self, evidence: &Evidence) -> io::Result<()> {
        let time = evidence.time.map_or("unknown time".to_owned(), |time| time.to_string());
        let id = evidence
            .id
            .as_ref()
            .map_or(String::new(), |id| format!(", request {}", id.as_untrusted().escaped()));
        let object = Untrusted::new(evidence.object.as_bytes()).escaped();
        let outcome =
            evidence.outcome.map_or(String::new(), |outcome| format!(", {}", outcome.name()));
        writeln!(self.out, "    {time}{id}{outcome}, {object} at byte {}", evidence.offset)
    }

    fn rates(&mut self, account: &Account) -> io::Result<()> {
        let measured: Vec<&RateCount> =
            account.rates.iter().filter(|rate| rate.requests > 0).collect();
        if measured.is_empty() {
            return Ok(());
        }
        self.heading("Rates")?;
        let mut table = Table::new([
            ("RULE", Align::Left),
            ("PEAK", Align::Right),
            ("LIMIT", Align::Right),
            ("WHAT IS COUNTED", Align::Left),
        ]);
        for rate in measured {
            let style = if rate.peak >= rate.threshold { BAD } else { anstyle::Style::new() };
            let unit = rate.measure.sign();
            // Where no window had enough errors, none has a share.
            let peak = if rate.measure == Measure::ErrorShare && rate.peak == 0 {
                "-".to_owned()
            } else {
                format!("{}{unit}", human_count(rate.peak))
            };
            table.row(vec![
                Cell::plain(&*rate.rule),
                Cell::styled(peak, style),
                Cell::plain(format!("{}{unit}", human_count(rate.threshold))),
                Cell::plain(what_is_counted(rate)),
            ]);
        }
        table.write(self.out, self.terminal.width, self.terminal.colour)
    }

    fn requests(&mut self, account: &Account) -> io::Result<()> {
        self.heading(&format!(
            "{}: {} flagged, {} good (answered 2xx or 3xx, not flagged)",
            counted(account.requests, "request", "requests"),
            human_count(account.flagged_requests),
            human_count(account.good_requests),
        ))?;
        for (outcome, requests) in account.outcomes.iter().filter(|(_, requests)| *requests > 0) {
            let words = outcome_in_words(outcome);
            writeln!(self.out, "  {} of the flagged: {words}", human_count(requests))?;
        }
        if account.principals > 0 {
            let users = counted(account.principals, "user or API key", "users or API keys");
            writeln!(self.out, "  by {users}")?;
        }
        let mut table = Table::new([
            ("FROM", Align::Left),
            ("REQUESTS", Align::Right),
            ("FLAGGED", Align::Right),
            ("GOOD", Align::Right),
            ("BLOCKED BY WAF", Align::Right),
        ]);
        for (begin, counts) in account.timeline.periods() {
            table.row(vec![
                Cell::plain(begin.to_string()),
                Cell::plain(human_count(counts.requests.into())),
                Cell::plain(human_count(counts.flagged.into())),
                Cell::plain(human_count(counts.good.into())),
                Cell::plain(human_count(counts.blocked_by_waf.into())),
            ]);
        }
        let minutes = account.timeline.period_seconds() / 60;
        writeln!(self.out, "  in periods of {}", counted(minutes, "minute", "minutes"))?;
        table.write(self.out, self.terminal.width, self.terminal.colour)
    }
}

/// What an outcome is, and what it is not.
const fn outcome_in_words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "answered 2xx: it may have worked, or everybody gets that page",
        Outcome::Failed => "failed with 5xx: something behind the API broke",
        Outcome::Attempt => "an attempt: turned away, redirected, or nothing there",
        Outcome::Blocked => "stopped by AWS WAF",
        Outcome::Unknown => "unknown: the log has no status",
    }
}

fn fired(detection: &Detection, times: u64) -> String {
    match detection.rate {
        Some(_) if detection.suggests.is_some() => {
            format!("{}; only suggests", counted(times, "burst", "bursts"))
        }
        Some(_) => counted(times, "burst", "bursts"),
        None => counted(times, "request", "requests"),
    }
}

fn what_is_counted(rate: &RateCount) -> String {
    let window = window_in_words(rate.window_seconds);
    let counted = match rate.measure {
        Measure::ErrorShare => {
            format!("share of errors in {window}, where there are {} or more", rate.minimum)
        }
        measure => format!("{} in {window}", measure.unit().trim_start()),
    };
    if rate.counted.is_empty() { counted } else { format!("{counted}: {}", rate.counted) }
}
