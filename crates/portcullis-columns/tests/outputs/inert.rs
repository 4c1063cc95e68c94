//! What every output must keep to, whatever a client wrote into every field of a log.
//!
//! Shared by the property test and the fuzz target: hostile bytes go through a scan, and the
//! scan through every encoder. Terminals must get no character that acts, spreadsheets no
//! formula, browsers no element, attribute or address that the templates do not have, and
//! parsers the same shape as with harmless text.

use std::sync::OnceLock;

use portcullis_columns::{
    Judged, REQUESTS, Table, Value, csv, detections, offenders, push_request,
};
use portcullis_detection::document::json::Secrets;
use portcullis_detection::document::{read_document, write_document};
use portcullis_detection::{Findings, Overview, RuleSet, Scan};
use portcullis_ingest::{Origin, Request, Timestamp, Untrusted, is_unsafe_to_print};
use portcullis_remediation::{BlockPolicy, NeverBlock, Plan, Rulings, Sets, plan_reviewed};
use portcullis_review::{
    Planner, Query, Report, Review, Subject, ecs, http_activity, ocsf, report, shown,
};

const CLIENT: &str = "203.0.113.9";

/// Checks all outputs with this text in every field that a client can write.
pub(crate) fn check(text: &[u8]) {
    let logged = Logged::of(text);
    tables(&logged);
    events(&logged);
    document(&logged.findings);
    pages(logged);
}

/// A scan of one attack with hostile text in every field.
struct Logged {
    /// The requests as a table.
    requests: Table,
    /// The requests as events, a line each.
    activity: String,
    findings: Findings,
    overview: Overview,
}

impl Logged {
    fn of(text: &[u8]) -> Self {
        static RULES: OnceLock<RuleSet> = OnceLock::new();
        let rules = RULES.get_or_init(RuleSet::builtin);
        let path = [text, b"/../../../etc/passwd"].concat();
        let object = Untrusted::new(text).escaped().to_string();
        let all = Some(Untrusted::new(text));
        let mut scan = Scan::surveying(rules);
        let (mut requests, mut activity) = (Table::new(&REQUESTS), String::new());
        for status in [200, 404] {
            let request = Request {
                client: Some(CLIENT.parse().expect("an address")),
                time: Timestamp::from_epoch_ms(1_762_247_520_000),
                path: Some(Untrusted::new(&path)),
                status: Some(status),
                id: all,
                method: all,
                query: all,
                route: all,
                user_agent: all,
                host: all,
                referer: all,
                protocol: all,
                api_id: all,
                stage: all,
                api_key_id: all,
                principal: all,
                error_type: all,
                waf_rule: all,
                country: all,
                forwarded_for: all,
                origin: Origin { object: &object, offset: 0 },
                ..Request::default()
            };
            let verdict = rules.classify(&request);
            push_request(&mut requests, &request, Judged { verdict: &verdict, rules });
            activity += &http_activity(&request, "1").to_string();
            activity.push('\n');
            scan.observe(&request);
        }
        let traffic = scan.traffic();
        let (mut findings, overview) = scan.overview();
        findings.traffic = Some(traffic);
        Self { requests, activity, findings, overview }
    }
}

/// Asserts that printing the text does nothing but print it.
fn assert_inert(what: &str, text: &str) {
    let acting = text.chars().find(|c| *c != '\n' && is_unsafe_to_print(*c));
    assert_eq!(acting, None, "{what}");
}

fn tables(logged: &Logged) {
    for table in
        [offenders(&logged.findings), detections(&logged.findings)].iter().chain([&logged.requests])
    {
        let name = table.schema().table;
        for column in table.schema().columns {
            for value in table.column(column.name) {
                if let Value::Text(text) = value {
                    assert!(!text.chars().any(is_unsafe_to_print), "{name}.{}", column.name);
                }
            }
        }
        let text = String::from_utf8(csv(table)).expect("cells are text");
        assert_inert(name, &text);
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let rows: Vec<_> = reader.records().map(|row| row.expect("valid CSV")).collect();
        assert_eq!(rows.len(), table.rows(), "{name}: a cell ended its row");
        for cell in rows.iter().flat_map(|row| row.iter()) {
            let acts = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
            assert!(!cell.trim_start().starts_with(acts), "{name}: {cell:?} is a formula");
        }
    }
}

fn events(logged: &Logged) {
    let found = &logged.findings;
    for (what, lines, number) in [
        ("ocsf", ocsf(found, "1"), found.offenders.len()),
        ("ecs", ecs(found, "1"), found.offenders.len()),
        ("activity", logged.activity.clone(), logged.requests.rows()),
    ] {
        assert_inert(what, &lines);
        assert_eq!(lines.lines().count(), number, "{what}: an event ended its line");
        for line in lines.lines() {
            let event: serde_json::Value = serde_json::from_str(line).expect(what);
            assert!(event.is_object(), "{what}");
        }
    }
}

fn document(findings: &Findings) {
    for secrets in [Secrets::Hidden, Secrets::Shown] {
        let mut text = Vec::new();
        write_document(&mut text, findings, None, secrets);
        let text = String::from_utf8(text).expect("JSON is text");
        assert_inert("json", &text);
        let read = read_document(text.as_bytes()).expect("a document of ours");
        assert_eq!(read.offenders.len(), findings.offenders.len());
    }
}

fn plan(findings: &Findings, rulings: &Rulings) -> Plan {
    let now = Timestamp::from_epoch_ms(1_762_250_000_000).expect("a time");
    let (sets, policy) = (Sets::empty(), BlockPolicy::default());
    plan_reviewed(findings, &sets, &NeverBlock::built_in(), &policy, None, rulings, now)
}

fn pages(logged: Logged) {
    let Logged { findings, overview, .. } = logged;
    let plan_of_all = plan(&findings, &Rulings::default());
    assert_inert("plan", &plan_of_all.to_json());
    let locations = ["<b>logs</b>".to_owned()];
    let page = report(&Report {
        locations: &locations,
        findings: &findings,
        overview: &overview,
        plan: &plan_of_all,
    });
    assert_page("report", &page, 0);
    let subject = Subject {
        locations: locations.into(),
        findings,
        overview,
        target: None,
        by: "kim".to_owned(),
        decisions_file: "decisions.json".to_owned(),
        plan_file: "plan.json".to_owned(),
    };
    let planner: Planner = Box::new(plan);
    let review = Review::new(subject, Rulings::default(), planner);
    let query = Query::default();
    assert_page("list", &review.list_page(&query, "token"), 1);
    assert_page("plan page", &review.plan_page(&query, "token"), 1);
    let story = review.source_page(CLIENT, &query, "token").expect("it is under review");
    assert_page("story", &story, 1);
}

/// Asserts that a page has only the elements, attributes and addresses that templates have.
fn assert_page(what: &str, page: &str, scripts: usize) {
    assert_inert(what, page);
    assert_eq!(page.matches("<script").count(), scripts, "{what}");
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        let tag = &rest[at + 1..];
        let end = end_of_tag(tag).unwrap_or_else(|| panic!("{what}: a tag does not end"));
        let (name, attributes) = attributes(&tag[..end]);
        assert!(ELEMENTS.split(' ').any(|known| known == name), "{what}: <{name}>");
        for (attribute, value) in attributes {
            assert!(
                ATTRIBUTES.split(' ').any(|known| known == attribute),
                "{what}: {attribute} of <{name}>"
            );
            if ["href", "src", "action"].contains(&attribute) {
                let is_ours = value.starts_with(['/', '#']) && !value.starts_with("//");
                assert!(is_ours || value.starts_with("data:image/svg+xml"), "{what}: {value}");
            }
        }
        rest = &tag[end + 1..];
    }
}

/// Where the tag ends: the first `>` outside of quotes.
fn end_of_tag(tag: &str) -> Option<usize> {
    let mut quoted = false;
    tag.bytes().position(|byte| {
        quoted ^= byte == b'"';
        byte == b'>' && !quoted
    })
}

fn attributes(tag: &str) -> (&str, Vec<(&str, &str)>) {
    let tag = tag.trim_end_matches('/');
    let name_end = tag.find(char::is_whitespace).unwrap_or(tag.len());
    let (name, mut rest) = tag.split_at(name_end);
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return (name.trim_start_matches('/'), found);
        }
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (attribute, behind) = rest.split_at(end);
        let quoted = behind.strip_prefix("=\"");
        let (value, behind) = quoted.and_then(|text| text.split_once('"')).unwrap_or(("", behind));
        found.push((attribute, value));
        rest = behind;
    }
}

/// What the templates have.
const ELEMENTS: &str = "\
    !doctype a b body br button code dd details dialog div dl dt fieldset figcaption \
    figure footer form h1 h2 h3 head header html input kbd label legend li link main \
    meta nav option p path pre rect script section select span style summary svg \
    table tbody td th thead title tr ul";
const ATTRIBUTES: &str = "\
    action aria-current aria-describedby aria-hidden aria-label aria-labelledby aria-pressed \
    aria-sort autocomplete charset checked class colspan content d data-here data-key \
    data-row data-unsaved defer for height hidden href html http-equiv id lang maxlength \
    method name open placeholder preserveAspectRatio rel required role scope selected \
    spellcheck src tabindex title type value viewBox width";

/// Asserts that the one gate for logged text in words hides and disarms.
pub(crate) fn check_shown(text: &[u8]) {
    assert_inert("shown", &shown(Untrusted::new(text), 160));
}
