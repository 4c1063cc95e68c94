//! What is listed, what decisions change, and that nothing logged acts on a page.

use std::sync::OnceLock;

use portcullis_detection::{RuleSet, Scan};
use portcullis_ingest::{Origin, Request, Timestamp, Untrusted, is_unsafe_to_print};
use portcullis_remediation::{BlockPolicy, NeverBlock, Sets, plan_reviewed};
use proptest::prelude::*;

use super::*;

/// One offender for each address, all of which send these texts.
fn review(addresses: &[&str], text: &[u8]) -> Review {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    let mut scan = Scan::surveying(RULES.get_or_init(RuleSet::builtin));
    let path = [b"/../../../etc/passwd", text].concat();
    for (number, address) in addresses.iter().enumerate() {
        for _ in 0..=number {
            scan.observe(&Request {
                client: Some(address.parse().expect("an address")),
                time: Timestamp::from_epoch_ms(1_762_247_520_000),
                path: Some(Untrusted::new(&path)),
                user_agent: Some(Untrusted::new(text)),
                principal: Some(Untrusted::new(text)),
                id: Some(Untrusted::new(text)),
                status: Some(200),
                origin: Origin { object: "<b>object</b>", offset: 0 },
                ..Request::default()
            });
        }
    }
    let traffic = scan.traffic();
    let (mut findings, overview) = scan.overview();
    findings.traffic = Some(traffic);
    let subject = Subject {
        locations: vec!["<b>logs</b>".to_owned()],
        findings,
        overview,
        target: None,
        by: "kim".to_owned(),
        decisions_file: "decisions.json".to_owned(),
        plan_file: "plan.json".to_owned(),
    };
    let now = Timestamp::from_epoch_ms(1_762_250_000_000).expect("a time");
    let planner: Planner = Box::new(move |findings, rulings| {
        let list = NeverBlock::parse("list", "192.0.2.0/24").expect("a list");
        let (sets, policy) = (Sets::empty(), BlockPolicy::default());
        plan_reviewed(findings, &sets, &list, &policy, None, rulings, now)
    });
    Review::new(subject, Rulings::default(), planner)
}

fn act(review: &mut Review, fields: &str) -> Result<(), FormError> {
    review.decide(&Form::parse(fields.as_bytes()))
}

/// The addresses that a query lists.
fn listed(review: &Review, query: &str) -> Vec<String> {
    let found = review.listed(&Query::parse(query));
    found.iter().map(|at| review.offender(*at).source.addr().to_string()).collect()
}

const THREE: [&str; 3] = ["203.0.113.7", "203.0.113.30", "198.51.100.1"];

#[test]
fn a_query_finds_and_orders() {
    let mut review = review(&THREE, b"made-up-tool");
    assert_eq!(listed(&review, ""), ["198.51.100.1", "203.0.113.30", "203.0.113.7"]);
    assert_eq!(listed(&review, "sort=source"), ["198.51.100.1", "203.0.113.7", "203.0.113.30"]);
    assert_eq!(listed(&review, "sort=requests&order=reversed")[0], "203.0.113.7");
    assert_eq!(listed(&review, "q=Made-Up").len(), 3);
    assert_eq!(listed(&review, "q=113.7"), ["203.0.113.7"]);
    assert_eq!(listed(&review, "category=xss").len(), 0);
    act(&mut review, "act=reject+203.0.113.7&note=ours").expect("decided");
    assert_eq!(listed(&review, "show=rejected"), ["203.0.113.7"]);
    assert_eq!(listed(&review, "show=left-alone"), ["203.0.113.7"]);
    assert_eq!(listed(&review, "q=ours&show=noted"), ["203.0.113.7"]);
    assert_eq!(listed(&review, "show=undecided").len(), 2);
}

#[test]
fn decisions_change_the_plan_and_can_be_taken_back() {
    let mut review = review(&THREE, b"x");
    let before = review.plan().clone();
    assert_eq!((before.additions().count(), review.unsaved()), (3, 0));
    act(&mut review, "act=reject+203.0.113.7").expect("decided");
    assert_eq!((review.plan().additions().count(), review.unsaved()), (2, 1));
    review.saved();
    assert_eq!(review.unsaved(), 0);
    act(&mut review, "act=clear+203.0.113.7").expect("taken back");
    assert_eq!(review.unsaved(), 1, "what was saved is not what holds");
    assert_eq!(*review.plan(), before);
    review.decide_others(&Form::parse(b"undecided=left-alone")).expect("decided");
    assert_eq!(review.plan().additions().count(), 0);
}

#[test]
fn note_and_length_stay_until_they_are_changed() {
    let mut review = review(&THREE, b"x");
    let source = "203.0.113.7/32".parse().expect("a network");
    act(&mut review, "act=approve+203.0.113.7&note=why&duration=3600").expect("decided");
    // The list has neither field.
    act(&mut review, "act=approve+203.0.113.7").expect("decided");
    let ruling = review.rulings().of(source).expect("a ruling");
    assert_eq!(
        (ruling.note(), ruling.by(), ruling.duration_seconds()),
        ("why", "kim", Some(3_600))
    );
    act(&mut review, "act=reject+203.0.113.7").expect("decided");
    let ruling = review.rulings().of(source).expect("a ruling");
    assert_eq!((ruling.note(), ruling.duration_seconds()), ("why", None));
    let long = format!("act=note+203.0.113.7&note={}", "x".repeat(501));
    assert!(matches!(act(&mut review, &long), Err(FormError::Ruling(_))));
    assert!(matches!(act(&mut review, "act=note+192.0.2.9"), Err(FormError::Unknown(_))));
    assert!(matches!(act(&mut review, "act=<b>+203.0.113.7"), Err(FormError::Field("act"))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_was_logged_nothing_acts_on_a_page(
        text in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "(<script>|\"><img src=x onerror=1>|</code>|\u{202e}|\u{1b}\\[2J|&lt;|'|`|\\{\\{7\\}\\}){1,4}"
                .prop_map(String::into_bytes),
        ],
        note in "[<>\"'&=a-z ]{0,12}",
    ) {
        let mut review = review(&THREE[..1], &text);
        let form = [("act", "approve 203.0.113.7"), ("note", note.as_str())];
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        act(&mut review, &form).expect("decided");
        let query = Query::parse(&form_urlencoded::Serializer::new(String::new()).append_pair("q", &note).finish());
        let story = review.source_page("203.0.113.7", &query, "csrf").expect("it is there");
        let pages = [story, review.list_page(&query, "csrf"), review.plan_page(&query, "csrf")];
        for page in pages {
            prop_assert!(page.chars().all(|c| c == '\n' || !is_unsafe_to_print(c)));
            prop_assert_eq!(page.matches("<script").count(), 1, "the frame's own");
            for markup in ["<img", "<b>logs", "<b>object", "<b>last", "</title><"] {
                prop_assert!(!page.contains(markup), "{markup}");
            }
        }
    }
}
