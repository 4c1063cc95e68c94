//! What reputation lists change: whom they weigh against, and whom they leave as they are.

use std::sync::Arc;

use ipnet::IpNet;
use portcullis_detection::document::json::Secrets;
use portcullis_detection::document::{read_document, write_document};
use portcullis_detection::{
    Account, Background, Backgrounds, Correlation, Ground, Network, Question, RuleSet, Scan,
    Standing,
};
use portcullis_ingest::{Request, Untrusted};

/// Lists one address.
#[derive(Debug)]
struct Lists(&'static str);

impl Backgrounds for Lists {
    fn of(&self, source: IpNet) -> Background {
        let is_listed = source.addr().to_string() == self.0;
        let listed = if is_listed { vec![Arc::from("drop")] } else { Vec::new() };
        Background { country: Some("NL".into()), listed, ..Background::default() }
    }
}

const LISTED: &str = "203.0.113.9";
const OTHER: &str = "203.0.113.10";

/// Rules that are observed only, and fire on one path each.
fn files() -> [(String, String); 2] {
    let rule = |name: &str, severity: &str, confidence: &str| {
        let fires = |path: &str, name: &str, fires: bool| {
            format!(
                "[[example]]\nname = \"{name}\"\nrequest = {{ method = \"GET\", path = \"{path}\", \
                 status = 404 }}\nfires = {fires}\n"
            )
        };
        let text = format!(
            "id = \"other/{name}\"\ntitle = \"{name}\"\ncategory = \"other\"\n\
             severity = \"{severity}\"\nconfidence = \"{confidence}\"\nmisses = \"All else.\"\n\
             [signature]\nfields = [\"path\"]\ncontains = [\"/{name}\"]\n{}{}{}{}",
            fires(&format!("/{name}"), "one", true),
            fires(&format!("/a/{name}"), "two", true),
            fires("/elsewhere", "three", false),
            fires("/none", "four", false),
        );
        (format!("other/{name}.toml"), text)
    };
    [rule("odd", "low", "high"), rule("queer", "low", "medium")]
}

fn rules() -> RuleSet {
    let rules = RuleSet::load(files()).expect("sound rules");
    rules.with_backgrounds(Arc::new(Lists(LISTED)))
}

fn account(client: &str, paths: &[&str]) -> Account {
    let rules = rules();
    let client = client.parse().expect("an address");
    let mut scan = Scan::asked(&rules, Question::Source(client));
    for path in paths {
        scan.observe(&Request {
            client: Some(client),
            path: Some(Untrusted::new(path.as_bytes())),
            status: Some(404),
            ..Request::default()
        });
    }
    let answer = scan.answer().expect("a question was asked");
    answer.account.expect("it sent requests")
}

#[track_caller]
fn check(client: &str, paths: &[&str], score: u32, standing: Standing) {
    let account = account(client, paths);
    let of_rules: u32 = account.detections.iter().map(|detection| detection.points).sum();
    let of_lists: u32 = account.correlations.iter().map(|correlation| correlation.points()).sum();
    assert_eq!((account.score, account.standing), (score, standing), "{paths:?} of {client}");
    assert_eq!(account.score, of_rules + of_lists, "the sum adds up");
    assert_eq!(account.background.country.as_deref(), Some("NL"));
}

#[test]
fn a_list_alone_is_nothing_and_shown_all_the_same() {
    check(LISTED, &["/", "/shop"], 0, Standing::Quiet);
    assert_eq!(account(LISTED, &["/"]).background.listed, [Arc::from("drop")]);
    assert_eq!(account(LISTED, &["/"]).correlations, []);
}

#[test]
fn a_list_adds_its_points_once_a_rule_fired() {
    check(OTHER, &["/odd"], 20, Standing::Quiet);
    check(LISTED, &["/odd"], 40, Standing::Quiet);
    // One rule and a list are not three observations, however often the rule fired.
    check(LISTED, &["/odd", "/odd", "/odd", "/odd", "/odd"], 80, Standing::Quiet);
}

#[test]
fn two_observed_rules_and_a_list_are_as_three() {
    let paths = ["/odd", "/odd", "/queer"];
    check(OTHER, &paths, 54, Standing::Quiet);
    check(LISTED, &paths, 74, Standing::Offender);
    let listed = account(LISTED, &paths);
    assert_eq!(listed.grounds, [Ground::ManyRules]);
    assert_eq!(listed.correlations, [Correlation::Listed]);
}

#[test]
fn what_is_gathered_does_not_depend_on_what_is_known() {
    let without = RuleSet::load(files()).expect("sound rules");
    assert_eq!(rules().digest(), without.digest());
}

#[test]
fn what_is_known_is_written_and_read_as_the_same_bytes_and_nothing_that_acts_is_read() {
    let rules = rules();
    let mut scan = Scan::new(&rules);
    for path in ["/odd", "/odd", "/queer"] {
        scan.observe(&Request {
            client: Some(LISTED.parse().expect("an address")),
            path: Some(Untrusted::new(path.as_bytes())),
            status: Some(404),
            ..Request::default()
        });
    }
    let mut findings = scan.finish();
    let known = &mut findings.offenders[0].background;
    known.network = Some(Network { number: 64_496, name: Some("Example \\u{1b} Hosting".into()) });
    known.asset = Some("build server".into());
    let written = |findings| {
        let mut text = Vec::new();
        write_document(&mut text, findings, None, Secrets::Hidden);
        String::from_utf8(text).expect("JSON is text")
    };
    let text = written(&findings);
    let read = read_document(text.as_bytes()).expect("a document of ours");
    assert_eq!(read.offenders[0].background, findings.offenders[0].background);
    assert_eq!(written(&read), text);
    let hostile = text.replace("build server", "\\u001b[2J");
    let error = read_document(hostile.as_bytes()).expect_err("it would act on a terminal");
    assert_eq!(error.to_string(), "`\\u{1b}[2J` is no text that can be printed, in an offender");
}
