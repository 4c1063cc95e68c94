//! An account of one source or request, as JSON; and the words for its verdict, which
//! the page for people shares.
//!
//! Everything that is a sum stands beside its parts, so that a reader can add them up.

use portcullis_detection::{
    Account, Answer, AskedRequest, BLOCK_LEVEL, Change, Correlation, Detection, Ground, Hit,
    RuleSet, SameId, Standing, repetition,
};
use portcullis_ingest::Joined;

use crate::output::json::{Object, Secrets};
use crate::output::{counted, findings, source};
use crate::progress::human_count;

/// Version of the document's shape. Fields may be added under one version; none is taken
/// away or changes its meaning.
const SCHEMA_VERSION: u32 = 1;

/// Appends the whole document to `out`.
pub fn write_document(
    out: &mut Vec<u8>,
    answer: &Answer,
    rules: &RuleSet,
    joined: Option<Joined>,
    secrets: Secrets,
) {
    let mut document = Object::open(out, secrets);
    document.number("schema_version", SCHEMA_VERSION);
    document.object("coverage", |object| findings::coverage(object, &answer.coverage, joined));
    document.number("block_level", BLOCK_LEVEL);
    if let Some(SameId { worst, others, requests }) = &answer.request {
        document.object("request", |object| request(object, worst, rules));
        document.object("same_id", |object| {
            object.number("requests", *requests);
            object.objects("others", others, |object, asked| request(object, asked, rules));
        });
    }
    if let Some(of) = &answer.account {
        document.object("account", |object| account(object, of, rules));
    }
    document.close();
}

fn request(object: &mut Object<'_>, asked: &AskedRequest, rules: &RuleSet) {
    object.display("client", asked.client);
    object.display("time", asked.time);
    object.untrusted("method", asked.method.as_ref().map(|text| text.as_untrusted()));
    object.untrusted("path", asked.path.as_ref().map(|text| text.as_untrusted()));
    if let Some(status) = asked.status {
        object.number("status", status);
    }
    object.text("outcome", asked.outcome.name());
    object.text("object", &asked.object);
    object.number("offset", asked.offset);
    object.boolean("flagged", asked.flagged);
    object.number("score", asked.score);
    object.objects("categories", category_sums(&asked.hits, rules), |object, sum| {
        object.text("category", sum.category);
        object.number("sum", sum.sum);
        object.number("limit", sum.limit);
        object.number("counted", sum.counted());
    });
    object.objects("rules", &asked.hits, |object, hit| {
        let rule = &rules.rules()[hit.rule];
        object.text("rule", rule.id());
        object.text("category", rule.category().name());
        object.number("points", rule.points());
        object.text("field", hit.subject.name());
        object.text("view", hit.reading());
        object.untrusted("text", Some(hit.text.as_untrusted()));
        object.untrusted("matched", Some(hit.matched.as_untrusted()));
    });
}

/// What the rules of one category add to a request's score.
pub struct CategorySum {
    /// The category's name.
    pub category: &'static str,
    /// Points of its rules.
    pub sum: u32,
    /// Most that counts: twice the highest of them.
    pub limit: u32,
}

impl CategorySum {
    /// What counts of it.
    pub fn counted(&self) -> u32 {
        self.sum.min(self.limit)
    }
}

/// The sums of a request's score, by category.
pub fn category_sums(hits: &[Hit], rules: &RuleSet) -> Vec<CategorySum> {
    let mut sums: Vec<CategorySum> = Vec::new();
    for hit in hits {
        let rule = &rules.rules()[hit.rule];
        let category = rule.category().name();
        let place = sums.iter().position(|sum| sum.category == category).unwrap_or_else(|| {
            sums.push(CategorySum { category, sum: 0, limit: 0 });
            sums.len() - 1
        });
        sums[place].sum += rule.points();
        sums[place].limit = sums[place].limit.max(2 * rule.points());
    }
    sums
}

/// One summand of a source's score.
pub struct Part {
    /// The rule's points, once.
    pub rule_points: u32,
    /// How often it fired: requests, or bursts of a rate.
    pub times: u64,
    /// How many times over its points count for that.
    pub multiplier: u32,
}

impl Part {
    /// Takes a detection apart again.
    pub fn of(detection: &Detection, rules: &RuleSet) -> Self {
        let rule_points = rules.rule(&detection.rule).map_or(0, portcullis_detection::Rule::points);
        let times = detection.rate.map_or(detection.requests, |rate| rate.bursts);
        Self { rule_points, times, multiplier: repetition(times) }
    }
}

fn account(object: &mut Object<'_>, account: &Account, rules: &RuleSet) {
    object.text("source", &source(account.source));
    object.text("standing", account.standing.name());
    findings::background(object, &account.background);
    object.texts("why", grounds(account).iter().map(String::as_str));
    object.texts("what_would_change_it", changes(account).iter().map(String::as_str));
    object.number("score", account.score);
    object.objects("score_parts", &account.detections, |object, detection| {
        let part = Part::of(detection, rules);
        object.text("rule", &detection.rule);
        object.text("title", &detection.title);
        object.text("category", detection.category.name());
        object.text("severity", detection.severity.name());
        object.text("confidence", detection.confidence.name());
        object.number("rule_points", part.rule_points);
        object.number("times", part.times);
        object.number("multiplier", part.multiplier);
        object.number("points", detection.points);
        if let Some(why) = detection.suggests {
            object.text("suggests_only", why.name());
        }
        object.number("requests", detection.requests);
        object.display("first", detection.first);
        object.display("last", detection.last);
        if detection.rate.is_none() {
            object.object("outcomes", |object| findings::outcomes(object, detection.outcomes));
        }
        let shown = detection.evidence.iter().map(|evidence| (detection, evidence));
        object.objects("evidence", shown, findings::evidence);
    });
    object.objects("correlations", account.correlations.iter().copied(), findings::correlation);
    object.object("outcomes", |object| findings::outcomes(object, account.outcomes));
    object.number("requests", account.requests);
    object.number("flagged_requests", account.flagged_requests);
    object.number("good_requests", account.good_requests);
    object.number("principals", account.principals);
    object.display("first", account.first);
    object.display("last", account.last);
    object.objects("rates", &account.rates, |object, rate| {
        object.text("rule", &rate.rule);
        object.text("measure", rate.measure.name());
        object.number("peak", rate.peak);
        object.number("threshold", rate.threshold);
        object.number("minimum", rate.minimum);
        object.number("window_seconds", rate.window_seconds);
        object.number("counted_requests", rate.requests);
        object.boolean("fired", rate.peak >= rate.threshold);
    });
    object.object("timeline", |object| {
        object.number("period_seconds", account.timeline.period_seconds());
        object.objects("periods", account.timeline.periods(), |object, (begin, counts)| {
            object.display("begin", Some(begin));
            object.number("requests", counts.requests);
            object.number("flagged", counts.flagged);
            object.number("good", counts.good);
            object.number("blocked_by_waf", counts.blocked_by_waf);
        });
    });
}

/// Why the source stands where it does, a sentence each.
pub fn grounds(account: &Account) -> Vec<String> {
    let Account { score, flagged_requests, good_requests, requests, .. } = account;
    let words = |ground: &Ground| match ground {
        Ground::ScoreUnderLevel => {
            format!("its score of {score} is under the block level of {BLOCK_LEVEL}")
        }
        Ground::NothingWeighty => format!(
            "its score reaches the block level of {BLOCK_LEVEL}, but no request was flagged and \
             no rate weighs as much; lesser rules count together only where there are three of \
             them and less than half of the requests were good"
        ),
        Ground::LesserRate => "a rate of medium severity and confidence fired, which is to be \
             looked at and by itself makes nobody an offender"
            .to_owned(),
        Ground::Flagged => {
            let requests = counted(*flagged_requests, "request was", "requests were");
            format!("{requests} flagged (score {BLOCK_LEVEL} or more)")
        }
        Ground::Rate => format!("a rate weighs {BLOCK_LEVEL} points or more by itself"),
        Ground::ManyRules => {
            let in_full = account.detections.iter().filter(|one| one.suggests.is_none());
            let rules = counted(in_full.count() as u64, "rule", "different rules");
            let said = [Correlation::FalseCrawler, Correlation::Listed];
            let said = if said.iter().any(|said| account.correlations.contains(said)) {
                " and what is said of it"
            } else {
                ""
            };
            format!(
                "{rules} fired, which{said} together weigh {BLOCK_LEVEL} points or more, and less \
                 than half of its requests were good"
            )
        }
        Ground::Correlated => Correlation::ScannerThatProbes.reason().to_owned(),
        Ground::OnlyItsAgent => {
            "nothing but its agent speaks against it, which says what it is; no request of it \
             attacked anything"
                .to_owned()
        }
        Ground::VerifiedCrawler => {
            "it is a crawler, by its address or the name of its host, which follows the links that \
             others plant and is never more than watched"
                .to_owned()
        }
        Ground::GoodHistory => format!(
            "its good history outweighs that: {} good requests, and less than 1 % of {} flagged",
            human_count(*good_requests),
            human_count(*requests)
        ),
        Ground::Certain => "a rule of high confidence about a serious attack fired 3 times or \
             more, which no good history outweighs"
            .to_owned(),
        Ground::OnlySuggested => "what speaks against it only suggests: it rests on responses \
             with status 403, and the log does not tell AWS WAF's blocks from refusals (log \
             $context.error.responseType or $context.wafResponseCode)"
            .to_owned(),
    };
    account.grounds.iter().map(words).collect()
}

/// What would have made the source stand otherwise, a sentence each.
pub fn changes(account: &Account) -> Vec<String> {
    let mut sentences: Vec<String> = account.changes.iter().map(change).collect();
    if account.standing == Standing::Offender && account.changes.is_empty() {
        sentences.push("nothing: no number of good requests outweighs it".to_owned());
    }
    if account.grounds.contains(&Ground::VerifiedCrawler) {
        sentences.push("nothing that it asks for".to_owned());
    }
    sentences
}

fn change(change: &Change) -> String {
    match change {
        Change::OneFlaggedRequest => {
            format!("one request with a score of {BLOCK_LEVEL} or more, or a rate that weighs it")
        }
        Change::OneAttack => "one request that is flagged for anything but its agent".to_owned(),
        Change::OneGoodRequest => "with one good request there would be nothing to report".into(),
        Change::GoodRequests(more) => {
            let requests = counted(*more, "more good request", "more good requests");
            format!("with {requests} it would only be watched")
        }
        Change::FlaggedRequests(more) => {
            let requests = counted(*more, "more flagged request", "more flagged requests");
            format!("with {requests} it would be an offender")
        }
        Change::CertainRequests(more) => {
            let requests = counted(*more, "more request", "more requests");
            format!(
                "with {requests} that set off one rule of high confidence about a serious \
                 attack it would be an offender"
            )
        }
    }
}
