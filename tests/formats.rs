//! `formats`: what a format lets the rules see.

use crate::support::{Files, portcullis};

#[test]
fn the_formats_of_the_console_are_blind_and_say_so() {
    for preset in [
        "apigw-rest-clf",
        "apigw-rest-json",
        "apigw-rest-xml",
        "apigw-rest-csv",
        "apigw-http-clf",
        "apigw-http-json",
        "apigw-http-xml",
        "apigw-http-csv",
    ] {
        let text = portcullis(["formats", "check", preset]).run().expect_code(2).text();
        assert!(text.contains("for want of path"), "{preset}: {text}");
        assert!(text.contains("user_agent"), "{preset}: {text}");
        let line = text.lines().find(|line| line.contains("\"$context.path\"")).expect("the cure");
        portcullis(["formats", "check", line]).run();
    }
}

#[test]
fn the_recommended_format_shows_all_that_can_be_shown() {
    let text = portcullis(["formats", "check", "recommended"]).run().expect_code(0).text();
    assert!(text.contains("Nothing that API Gateway can log"), "{text}");
    assert!(
        text.contains("Blind with every API Gateway access log"),
        "queries are never logged: {text}"
    );
}

#[test]
fn other_sources_are_described() {
    let text = portcullis(["formats", "check", "combined"]).run().expect_code(0).text();
    assert!(text.contains("query") && text.contains("referer"), "{text}");
    assert!(!text.contains("Log this instead"), "nobody chooses what they log: {text}");
}

#[test]
fn an_envelope_gives_what_stands_in_it() {
    let text = portcullis(["formats", "check", "cloudwatch"]).run().expect_code(0).text();
    assert!(text.contains("whatever the records inside give"), "{text}");
    assert!(!text.contains("Blind") && !text.contains("Problems"), "{text}");
}

#[test]
fn problems_of_a_template_are_named() {
    let template = r#"{"ip":"$context.identity.sourceIp","key":"$context.identity.apiKey","m":"$context.error.messageString"}"#;
    let text = portcullis(["formats", "check", template]).run().expect_code(2).text();
    assert!(text.contains("identity.apiKeyId"), "{text}");
    assert!(text.contains("already quoted"), "{text}");
    assert!(text.contains("no request id"), "{text}");
    assert!(text.contains("no line break"), "{text}");
    assert!(text.contains("there is no time"), "{text}");

    let text = portcullis(["formats", "check", "$context.requestId $context.status"])
        .run()
        .expect_code(2)
        .text();
    assert!(text.contains("there is no client address"), "{text}");
}

#[test]
fn a_refused_template_fails_and_a_file_can_hold_one() {
    let ran = portcullis(["formats", "check", "$context.status$context.path"]).run().expect_code(1);
    assert!(ran.stderr.contains("side by side"), "{}", ran.stderr);
    let files = Files::new();
    files.write("f.txt", "$context.identity.sourceIp $context.status $context.requestId\n");
    portcullis(["formats", "check", "@f.txt"]).inside(files.root()).run().expect_code(2);
    let ran =
        portcullis(["formats", "check", "@none.txt"]).inside(files.root()).run().expect_code(1);
    assert!(ran.stderr.contains("none.txt"), "{}", ran.stderr);
}

#[test]
fn the_list_counts_the_rules_that_see() {
    let text = portcullis(["formats", "list"]).run().expect_code(0).text();
    for preset in ["apigw-rest-clf", "apigw-http-csv", "combined", "recommended"] {
        assert!(
            text.lines().any(|line| line.starts_with(preset) && line.contains(" of ")),
            "{text}"
        );
    }
}
