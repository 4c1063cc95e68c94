use portcullis_detection::RuleSet;
use portcullis_ingest::{Request, Untrusted};

use super::*;

/// A rule with this detection, written in the form of Sigma.
fn sigma(detection: &str) -> String {
    let lines: Vec<&str> = detection.lines().collect();
    let indented = format!("    {}\n", lines.join("\n    "));
    format!(
        "title: A made-up rule\nid: 00000000-0000-4000-8000-000000000000\nstatus: test\n\
         author: Nobody\nreferences:\n    - https://www.example.org/\nlogsource:\n    \
         category: webserver\ndetection:\n{indented}falsepositives:\n    - Migrations\n\
         level: high\n"
    )
}

fn imported(detection: &str) -> Imported {
    let mut list = import("Web Made-Up", &sigma(detection), Category::Other);
    assert_eq!(list.len(), 1);
    list.remove(0)
}

#[track_caller]
fn rules(detection: &str) -> RuleSet {
    let imported = imported(detection);
    assert!(!imported.files.is_empty(), "refused: {:?}", imported.remarks);
    let rules = RuleSet::load(imported.files).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(rules.test(), []);
    rules
}

/// `GET path?query agent status`
#[track_caller]
fn check(rules: &RuleSet, request: &str, fires: bool) {
    let mut words = request.splitn(4, ' ');
    let mut word = || words.next().filter(|word| *word != "-").map(str::as_bytes);
    let method = word();
    let uri = word().unwrap_or_default();
    let status = word().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
    let user_agent = word();
    let mut parts = uri.splitn(2, |byte| *byte == b'?');
    let verdict = rules.classify(&Request {
        method: method.map(Untrusted::new),
        path: parts.next().map(Untrusted::new),
        query: parts.next().map(Untrusted::new),
        status,
        user_agent: user_agent.map(Untrusted::new),
        ..Request::default()
    });
    assert_eq!(!verdict.hits().is_empty(), fires, "{request}");
}

#[track_caller]
fn refused(detection: &str, line: usize, reason: &str) {
    let imported = imported(detection);
    assert!(imported.files.is_empty(), "{:?}", imported.files);
    let found = imported.remarks.iter().find(|remark| remark.refuses);
    let found = found.unwrap_or_else(|| panic!("{:?}", imported.remarks));
    assert!(found.reason.contains(reason), "{}", found.reason);
    // Nine lines come before the detection.
    assert_eq!(found.place.line, line + 9, "{}", found.reason);
}

#[test]
fn a_list_of_values_is_a_list_of_literals() {
    let rules = rules(
        "selection:\n  cs-uri-query|contains:\n    - '/old-panel/'\n    - 'CMD%20run'\ncondition: selection",
    );
    check(&rules, "GET /x/OLD-panel/a 404", true);
    check(&rules, "GET /x?q=cmd+run 404", true);
    check(&rules, "GET /x?q=cmd%2520run 404", true);
    check(&rules, "GET /old/panel 404", false);
    let rule = &rules.rules()[0];
    assert_eq!(rule.id(), "other/sigma-web-made-up");
    assert_eq!(rule.severity().name(), "high");
    assert_eq!(rule.confidence().name(), "low");
    assert!(rule.examples().iter().all(|example| example.generated));
    assert!(rule.source().contains("# by Nobody"), "{}", rule.source());
    assert!(rule.runbook().is_some_and(|runbook| runbook.contains("Migrations")));
}

#[test]
fn methods_and_statuses_are_conditions() {
    let rules = rules(
        "selection:\n  cs-method:\n    - POST\n    - put\n  cs-uri-stem|startswith: '/admin/keys'\nfilter:\n  sc-status: 404\ncondition: selection and not 1 of filter*",
    );
    check(&rules, "PUT /admin/keys/7 200", true);
    check(&rules, "GET /admin/keys/7 200", false);
    check(&rules, "POST /admin/keys 404", false);
    check(&rules, "POST /x/admin/keys 200", false);
}

#[test]
fn texts_that_must_stand_together_may_stand_in_either_order() {
    let detection = "selection:\n  cs-uri-query|contains|all:\n    - 'template='\n    - 'exec'\ncondition: selection";
    let rules = rules(detection);
    check(&rules, "GET /r?template=a&run=exec 200", true);
    check(&rules, "GET /r?run=exec&template=a 200", true);
    check(&rules, "GET /exec?template=a 200", false);
    let narrower = &imported(detection).remarks;
    assert!(
        narrower.iter().any(|remark| remark.reason.contains("one of path, query")),
        "{narrower:?}"
    );
}

#[test]
fn alternatives_become_rules_of_their_own() {
    let imported = imported(
        "a:\n  cs-uri-stem|contains: '/shell'\n  sc-status: 200\nb:\n  cs-user-agent|startswith: 'probe-kit/'\ncondition: a or b",
    );
    let ids: Vec<&str> = imported.files.iter().map(|(file, _)| file.as_str()).collect();
    assert_eq!(ids, ["other/sigma-web-made-up-part-1.toml", "other/sigma-web-made-up-part-2.toml"]);
    let rules = RuleSet::load(imported.files).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(rules.test(), []);
    check(&rules, "GET /shell 200", true);
    check(&rules, "GET /shell 404", false);
    check(&rules, "GET / 404 Probe-Kit/2", true);
    check(&rules, "GET / 404 my probe-kit/2", false);
}

#[test]
fn a_negation_in_the_same_single_field_withdraws() {
    let rules = rules(
        "selection:\n  cs-user-agent|contains: 'fetcher'\nfilter:\n  cs-user-agent|endswith: 'monitor'\ncondition: selection and not filter",
    );
    check(&rules, "GET / 200 fetcher 1.0", true);
    check(&rules, "GET / 200 fetcher of the monitor", false);
}

#[test]
fn a_question_mark_before_a_parameter_is_the_one_of_the_uri() {
    let rules = rules("selection:\n  c-uri|contains: '?debug_key='\ncondition: selection");
    check(&rules, "GET /x?debug_key=1 200", true);
    check(&rules, "GET /x?a=1&debug_key=1 200", true);
    check(&rules, "GET /x?debug=1 200", false);
}

#[test]
fn what_stands_across_the_question_mark_is_left_out_and_told() {
    let value = "selection:\n  cs-uri-query|contains:\n    - '/zqexploit.php?cmd='\n";
    let detection = format!("{value}    - '/zqpanel/'\ncondition: selection");
    let one = imported(&detection);
    let told = &one.remarks[0];
    assert!(!told.refuses, "{told:?}");
    assert!(told.reason.contains("`/zqexploit.php?cmd=` stands across the `?`"), "{told:?}");
    let rules = rules(&detection);
    check(&rules, "GET /zqpanel/ 200", true);
    check(&rules, "GET /a/zqexploit.phpacmd= 200", false);

    for only in [
        &format!("{value}condition: selection"),
        "selection:\n  c-uri|re: '/zqexploit\\.php\\?cmd='\ncondition: selection",
        "selection:\n  c-uri|contains: '/zqexploit.php\\?cmd='\ncondition: selection",
        "keywords:\n  - '/zqexploit.php?cmd='\ncondition: keywords",
    ] {
        let imported = imported(only);
        assert!(imported.files.is_empty(), "{only}");
        let told = imported.remarks.iter().any(|one| one.reason.contains("stands across"));
        assert!(told, "{:?}", imported.remarks);
    }
    // Where it would withdraw, leaving it out would widen.
    refused(
        "selection:\n  cs-uri-stem|contains: '/panel'\nfilter:\n  c-uri|contains: '/panel?ok='\ncondition: selection and not filter",
        4,
        "stands across",
    );
}

#[test]
fn what_may_begin_in_the_path_and_end_in_the_query_is_told() {
    for value in ["c-uri|contains: '/zqa*zqb'", "c-uri|re: '/zqa.+zqb'"] {
        let detection = format!("selection:\n  {value}\ncondition: selection");
        let imported = imported(&detection);
        assert_eq!(imported.files.len(), 1, "{:?}", imported.remarks);
        let told = imported.remarks.iter().any(|one| one.reason.contains("ends in the other"));
        assert!(told, "{:?}", imported.remarks);
        let rules = rules(&detection);
        check(&rules, "GET /zqa/zqb 200", true);
        check(&rules, "GET /zqa?zqb 200", false);
    }
    let whole = imported("selection:\n  cs-uri-stem|contains: '/zqa*zqb'\ncondition: selection");
    assert!(whole.remarks.is_empty(), "{:?}", whole.remarks);
}

#[test]
fn an_escaped_divider_is_left_out_and_an_escaped_plus_is_no_space() {
    let rules = rules(
        "selection:\n  cs-uri-query|contains:\n    - 'zq%2Fother'\n    - 'zq%2Bplus'\n    - 'zq+space'\ncondition: selection",
    );
    check(&rules, "GET /zq/other 200", false);
    check(&rules, "GET /x?q=zq+plus 200", false);
    check(&rules, "GET /x?q=zq%2Bplus 200", true);
    check(&rules, "GET /x?q=zq%20space 200", true);
    check(&rules, "GET /x?q=zq+space 200", true);
    let detection = "selection:\n  cs-uri-query|contains: '..%2f..%2fzq'\ncondition: selection";
    assert!(imported(detection).remarks.is_empty());
}

#[test]
fn case_counts_when_the_rule_says_so() {
    let rules = rules("selection:\n  cs-uri-stem|contains|cased: '/GponX/'\ncondition: selection");
    check(&rules, "GET /GponX/a 200", true);
    check(&rules, "GET /gponx/a 200", false);
}

#[test]
fn an_expression_is_carried_over_with_a_text_that_every_match_holds() {
    let rules =
        rules("selection:\n  cs-uri-stem|re: '/cgi-box/[^/]+_cfg\\d?'\ncondition: selection");
    check(&rules, "GET /cgi-box/x_cfg 200", true);
    check(&rules, "GET /cgi-box/_cfg 200", false);
}

#[test]
fn keywords_look_at_every_text() {
    let rules = rules("keywords:\n  - 'j_username=probe'\n  - 'Recon Kit'\ncondition: keywords");
    check(&rules, "GET /x?j_username=probe 200", true);
    check(&rules, "GET /x 200 recon kit 1", true);
    check(&rules, "GET /x 200 recon", false);
}

#[test]
fn what_would_widen_a_rule_refuses_it() {
    let selection = "selection:\n  cs-uri-query|contains: '/panel'\n";
    let with = |more: &str| format!("{selection}{more}");
    refused(
        &with("filter:\n  c-ip: 192.0.2.1\ncondition: selection and not filter"),
        4,
        "not addresses",
    );
    refused(
        &with("filter:\n  cs-uri-query|contains: 'ok'\ncondition: selection and not filter"),
        4,
        "in the one field it looks at",
    );
    refused(
        &with("filter:\n  cs-user-agent|contains: 'ok'\ncondition: selection and not filter"),
        4,
        "in the one field it looks at",
    );
    refused(
        &with("filter:\n  cs-method: GET\ncondition: selection and not filter"),
        4,
        "exclude a method",
    );
    refused(
        &with("other:\n  cs-user-agent|contains: 'x'\ncondition: selection and other"),
        4,
        "two different fields",
    );
    refused(&with("condition: selection | count() by c-ip > 9"), 3, "counting over several events");
    refused(
        "selection:\n  cs-uri-query|endswith: '.php'\ncondition: selection",
        2,
        "the end of a URI",
    );
    refused("selection:\n  cs-uri-query|base64: 'x'\ncondition: selection", 2, "`base64` has no");
    refused(
        "selection:\n  cs-uri-query|windash|contains: ' -x'\ncondition: selection",
        2,
        "`windash` has no",
    );
    refused("selection:\n  cs-cookie|contains: 'x'\ncondition: selection", 2, "field `cs-cookie`");
    refused("selection:\n  cs-method: POST\ncondition: selection", 2, "no text to look for");
    refused(
        "selection:\n  cs-uri-stem|re: '(?:a|b)+'\ncondition: selection",
        2,
        "every match holds",
    );
    refused(
        "selection:\n  cs-uri-stem|contains: '*'\ncondition: selection",
        2,
        "nothing but wildcards",
    );
    refused("selection:\n  cs-uri-stem: null\ncondition: selection", 2, "absent or empty");
    refused("selection:\n  cs-uri-stem|contains: 'x'\ncondition: other", 3, "called `other`");
}

#[test]
fn a_value_that_decoding_hides_is_left_out_and_told() {
    let detection = "selection:\n  cs-uri-query|contains:\n    - '..%c0%af'\n    - 'panel-x'\ncondition: selection";
    let imported = imported(detection);
    assert_eq!(imported.files.len(), 1);
    assert!(imported.remarks[0].reason.starts_with("left out: "), "{:?}", imported.remarks);
    assert!(
        imported.files[0].1.contains("Narrower than the Sigma rule"),
        "{}",
        imported.files[0].1
    );
    // Where it would withdraw, leaving it out would widen.
    refused(
        "selection:\n  cs-uri-stem|contains: '/panel'\nfilter:\n  cs-uri-stem|contains: '%00'\ncondition: selection and not filter",
        4,
        "decoded to something else",
    );
}

#[test]
fn other_documents_are_told_from_rules() {
    let refusal = |text: &str| {
        let list = import("x", text, Category::Other);
        list[0].remarks.first().map(|remark| (remark.place.line, remark.reason.clone()))
    };
    let (line, reason) = refusal("title: [unclosed\nid: x\n").expect("a remark");
    assert!(line >= 1 && reason.starts_with("not YAML: "), "{reason}");
    assert_eq!(
        refusal("logsource:\n  category: process_creation\n"),
        Some((2, "the log source is not `category: webserver`".to_owned()))
    );
    assert_eq!(refusal("- a\n"), Some((1, "no rule: not a map of keys".to_owned())));
    let (_, twice) = refusal("a: 1\na: 2\n").expect("a remark");
    assert!(twice.contains("stands here twice"), "{twice}");
    let (_, deep) = refusal(&"[".repeat(100)).expect("a remark");
    assert!(deep.contains("nested too deep"), "{deep}");
    let (_, alias) = refusal("a: &x 1\nb: *x\n").expect("a remark");
    assert!(alias.contains("alias"), "{alias}");
}
