//! What holds for every setup, whatever was answered.

use std::collections::BTreeSet;

use portcullis_setup::{AnswerError, Answers, File, Mode, RunnerAnswers, Setup, files};
use proptest::prelude::*;
use serde_json::Value;

fn answers() -> Answers {
    Answers {
        name: "prod".to_owned(),
        account: "111122223333".to_owned(),
        region: "eu-west-1".to_owned(),
        api_id: "a1b2c3d4e5".to_owned(),
        stage: "prod".to_owned(),
        mode: Mode::Enforce,
        never_block: vec!["192.0.2.0/24".parse().expect("a network")],
        keep_days: 30,
        every_minutes: 15,
        since_hours: 6,
        runner: RunnerAnswers::Fargate {
            image: "111122223333.dkr.ecr.eu-west-1.amazonaws.com/portcullis:0.1.0".to_owned(),
            subnets: vec!["subnet-0a1b2c3d4e5f67890".to_owned()],
            security_groups: vec!["sg-0a1b2c3d4e5f67890".to_owned()],
        },
        ..Answers::default()
    }
}

fn lambda() -> RunnerAnswers {
    let image = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/portcullis:0.1.0".to_owned();
    RunnerAnswers::Lambda { image }
}

/// Behind a distribution.
fn distributed() -> Answers {
    Answers {
        region: "us-east-1".to_owned(),
        api_id: String::new(),
        stage: String::new(),
        distribution: Some("E1A2B3C4D5E6F7".to_owned()),
        ..answers()
    }
}

/// One setup for each choice that changes what is written.
fn variants() -> Vec<Answers> {
    let mut variants = Vec::new();
    for mode in [Mode::Observe, Mode::Suggest, Mode::Canary, Mode::Enforce] {
        variants.push(Answers { mode, ..answers() });
        variants.push(Answers { mode, watches: true, ..answers() });
        variants.push(Answers { mode, has_web_acl: true, leaves_stage: true, ..answers() });
        for watches in [false, true] {
            variants.push(Answers { mode, watches, runner: lambda(), ..answers() });
            let has_web_acl = watches;
            variants.push(Answers { mode, watches, has_web_acl, ..distributed() });
        }
        variants.push(Answers {
            mode,
            runner: RunnerAnswers::Host,
            watches: mode == Mode::Canary,
            trusted: vec!["arn:aws:iam::111122223333:role/scanner".to_owned()],
            alarm_email: Some("oncall@example.com".to_owned()),
            ..answers()
        });
    }
    variants
}

fn written(answers: &Answers) -> Vec<File> {
    files(&Setup::new(answers).expect("good answers"))
}

fn template(files: &[File]) -> Value {
    let file = files.iter().find(|file| file.path == "cloudformation/portcullis.json");
    serde_json::from_str(&file.expect("it is written").text).expect("JSON")
}

/// Every object below a value, itself included.
fn objects(value: &Value) -> Vec<&serde_json::Map<String, Value>> {
    match value {
        Value::Array(values) => values.iter().flat_map(objects).collect(),
        Value::Object(map) => std::iter::once(map).chain(map.values().flat_map(objects)).collect(),
        _ => Vec::new(),
    }
}

/// A text as CloudFormation has it, whatever it refers to left out.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(map) => match map.get("Fn::Sub") {
            Some(text) => text.as_str().expect("a string").to_owned(),
            None => "${reference}".to_owned(),
        },
        other => panic!("{other} is no text"),
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().map(plain).collect(),
        one => vec![plain(one)],
    }
}

#[test]
fn nothing_is_allowed_by_a_star() {
    let mut statements = 0;
    for answers in variants() {
        let template = template(&written(&answers));
        for statement in objects(&template) {
            if statement.get("Effect").is_none_or(|effect| effect != "Allow") {
                continue;
            }
            statements += 1;
            for action in texts(&statement["Action"]) {
                assert!(!action.contains('*'), "{action}");
                assert_eq!(action.matches(':').count(), 1, "{action}");
            }
            for resource in statement.get("Resource").map(texts).unwrap_or_default() {
                // A star stands for the rest of a key or the name of a log stream, below a
                // name that is ours, and for nothing else.
                let before = resource.trim_end_matches('*');
                assert!(!before.contains('*'), "{resource}");
                if before.len() < resource.len() {
                    assert!(resource.ends_with('*') && !resource.ends_with("**"), "{resource}");
                    let is_below_a_name = before.starts_with("${") && before.ends_with('/')
                        || before.ends_with(":log-stream:") && before.contains("/portcullis/prod/");
                    assert!(is_below_a_name, "{resource}");
                }
            }
            if let Some(principal) = statement.get("Principal") {
                assert!(!principal.to_string().contains('*'), "{principal}");
            }
        }
    }
    assert!(statements > 100, "{statements}");
}

/// Actions of a role by the Terraform or CloudFormation template.
fn allowed(template: &Value, role: &str) -> BTreeSet<String> {
    let policy = &template["Resources"][format!("{role}Policy")]["Properties"]["PolicyDocument"];
    objects(policy)
        .into_iter()
        .filter_map(|statement| statement.get("Action"))
        .flat_map(texts)
        .collect()
}

#[test]
fn the_three_roles_may_do_what_their_commands_do_and_no_more() {
    let template = template(&written(&answers()));
    let check = |role, expected: &[&str]| {
        let expected: BTreeSet<String> = expected.iter().map(|&action| action.to_owned()).collect();
        assert_eq!(allowed(&template, role), expected, "{role}");
    };
    check("ReadRole", &["s3:GetObject", "s3:ListBucket", "s3:PutObject", "wafv2:GetIPSet"]);
    let changing =
        ["s3:GetObject", "s3:ListBucket", "s3:PutObject", "wafv2:GetIPSet", "wafv2:UpdateIPSet"];
    check("ApplyRole", &changing);
    check("ExpireRole", &changing);
}

#[test]
fn the_doctor_looks_at_every_part_and_can_change_none() {
    for answers in variants() {
        let allowed = allowed(&template(&written(&answers)), "DoctorRole");
        let mut expected = vec!["s3:GetObject", "s3:ListBucket", "wafv2:GetIPSet"];
        if answers.distribution.is_none() {
            let of_stage =
                ["apigateway:GET", "firehose:DescribeDeliveryStream", "wafv2:GetWebACLForResource"];
            expected.extend(of_stage);
            if answers.has_web_acl {
                expected.push("wafv2:GetRuleGroup");
            }
        }
        assert_eq!(allowed, expected.into_iter().map(str::to_owned).collect());
    }
}

#[test]
fn a_canary_cannot_change_a_set_that_blocks() {
    let changed = |mode| {
        let template = template(&written(&Answers { mode, ..answers() }));
        let policy = &template["Resources"]["ApplyRolePolicy"]["Properties"]["PolicyDocument"];
        let statements = policy["Statement"].as_array().expect("statements").clone();
        let change = statements.iter().find(|statement| statement["Sid"] == "ChangeSets");
        change.expect("it changes sets")["Resource"].to_string()
    };
    assert!(!changed(Mode::Canary).contains("\"SetV4\""));
    assert!(changed(Mode::Canary).contains("\"CanarySetV4\""));
    assert!(changed(Mode::Enforce).contains("\"SetV4\""));
    assert!(!changed(Mode::Enforce).contains("\"CanarySetV4\""));
}

#[test]
fn what_changes_sets_sees_no_log_and_cannot_release_the_kill_switch() {
    for answers in variants() {
        let template = template(&written(&answers));
        for role in ["ApplyRole", "ExpireRole"] {
            let policy = &template["Resources"][format!("{role}Policy")]["Properties"];
            assert!(!policy.to_string().contains("LogsBucket"), "{policy}");
            let writing = objects(policy)
                .into_iter()
                .filter(|statement| {
                    statement.get("Action").is_some_and(|a| a.to_string().contains("PutObject"))
                })
                .flat_map(|statement| texts(&statement["Resource"]))
                .collect::<Vec<_>>();
            assert!(!writing.is_empty());
            assert!(writing.iter().all(|key| !key.contains("HALT")), "{writing:?}");
        }
    }
}

#[test]
fn what_reads_logs_writes_its_state_and_nothing_else() {
    for answers in variants() {
        let template = template(&written(&answers));
        let policy = &template["Resources"]["ReadRolePolicy"]["Properties"]["PolicyDocument"];
        let writing: Vec<String> = objects(policy)
            .into_iter()
            .filter(|part| part.get("Action").is_some_and(|a| a.to_string().contains("Put")))
            .flat_map(|statement| texts(&statement["Resource"]))
            .collect();
        let state = "${LedgerBucket.Arn}/ledger/state/history";
        assert_eq!(writing, ["", ".run", ".heartbeat"].map(|ending| format!("{state}{ending}")));
    }
}

#[test]
fn every_schedule_runs_by_the_source_of_the_configuration_and_ends_before_the_next() {
    for every_minutes in [5, 10, 15, 20, 30, 60] {
        let trusted = vec!["arn:aws:iam::111122223333:role/scanner".to_owned()];
        for mode in Mode::ALL {
            let answers = Answers { every_minutes, mode, trusted: trusted.clone(), ..answers() };
            let files = written(&answers);
            let find = |path: &str| &files.iter().find(|file| file.path == path).expect("it").text;
            let deadline = format!("deadline = \"{}m\"\n", every_minutes * 4 / 5);
            assert!(find("portcullis.toml").contains(&deadline), "{deadline}");
            for path in
                ["host/portcullis-scan.service", "host/portcullis.cron", "host/github-action.yml"]
            {
                let text = find(path);
                assert!(text.contains("portcullis run --target prod --no-expire"), "{text}");
                assert!(!text.contains("portcullis plan"), "{text}");
                let changes = matches!(mode, Mode::Canary | Mode::Enforce);
                assert_eq!(text.contains("role/portcullis-prod-apply"), changes, "{text}");
            }
        }
    }
}

#[test]
fn every_reference_names_a_resource() {
    for answers in variants() {
        let template = template(&written(&answers));
        let resources = template["Resources"].as_object().expect("resources");
        let mut references = 0;
        let mut check = |name: &str| {
            references += 1;
            assert!(resources.contains_key(name), "{name} is not there");
        };
        for object in objects(&template) {
            if let Some(path) = object.get("Fn::GetAtt") {
                check(path[0].as_str().expect("a name"));
            }
            if let Some(name) = object.get("Ref") {
                check(name.as_str().expect("a name"));
            }
            if let Some(text) = object.get("Fn::Sub") {
                let text = text.as_str().expect("a text");
                for part in text.split("${").skip(1).filter(|part| !part.starts_with('!')) {
                    check(part.split(['}', '.']).next().expect("a name"));
                }
            }
        }
        assert!(references > 20);
    }
}

#[test]
fn rules_that_count_come_before_rules_that_block() {
    let template = template(&written(&answers()));
    let rules = template["Resources"]["WebAcl"]["Properties"]["Rules"].as_array().expect("rules");
    let mut order: Vec<(u64, bool)> = rules
        .iter()
        .map(|rule| {
            let priority = rule["Priority"].as_u64().expect("a number");
            (priority, rule["Action"].get("Block").is_some())
        })
        .collect();
    order.sort_unstable();
    assert_eq!(order, [(0, false), (1, false), (2, true), (3, true)]);
}

#[test]
fn the_stage_logs_the_recommended_format_in_both() {
    let files = written(&answers());
    let recommended = portcullis_ingest::LogFormat::preset("recommended").expect("a preset");
    let format = recommended.template().expect("a template");
    assert!(format.ends_with('\n'));
    let find = |path: &str| &files.iter().find(|file| file.path == path).expect("a file").text;
    let quoted = serde_json::to_string(format).expect("JSON");
    assert!(find("terraform/stage.tf").contains(&quoted), "HCL quotes it as JSON does");
    let patch: Value = serde_json::from_str(find("stage-access-log.json")).expect("JSON");
    assert_eq!(patch[1]["value"], format);
    assert_eq!(
        patch[0]["value"],
        "arn:aws:firehose:eu-west-1:111122223333:deliverystream/amazon-apigateway-portcullis-prod"
    );
}

#[test]
fn blocking_by_itself_needs_somebody_to_protect_and_a_host_somebody_to_trust() {
    let unprotected = Answers { never_block: Vec::new(), ..answers() };
    assert_eq!(Setup::new(&unprotected), Err(vec![AnswerError::NobodyProtected(Mode::Enforce)]));
    let observed = Answers { mode: Mode::Observe, ..unprotected };
    assert!(Setup::new(&observed).is_ok());
    let untrusted = Answers { runner: RunnerAnswers::Host, ..answers() };
    assert_eq!(Setup::new(&untrusted), Err(vec![AnswerError::NobodyTrusted]));
}

#[test]
fn before_a_distribution_everything_is_global_and_the_log_is_cloudfronts() {
    let files = written(&distributed());
    let template = template(&files);
    let resources = template["Resources"].as_object().expect("resources");
    for (id, resource) in resources {
        let properties = &resource["Properties"];
        if let Some(scope) = properties.get("Scope") {
            assert_eq!(scope, "CLOUDFRONT", "{id}");
        }
        let kind = resource["Type"].as_str().expect("a type");
        assert!(!kind.contains("Firehose") && !kind.ends_with("WebACLAssociation"), "{id}");
    }
    let command = &template["Outputs"]["DistributionCommand"]["Value"]["Fn::Sub"];
    assert_eq!(
        command,
        "aws cloudfront associate-distribution-web-acl --id E1A2B3C4D5E6F7 --web-acl-arn \
         ${WebAcl.Arn}"
    );
    let source = &template["Resources"]["AccessSource"]["Properties"];
    assert_eq!(
        source["ResourceArn"],
        "arn:aws:cloudfront::111122223333:distribution/E1A2B3C4D5E6F7"
    );
    // Whoever reads may read what whoever writes may write, and nobody else may write.
    let bucket = template["Resources"]["LogsBucketPolicy"]["Properties"].to_string();
    assert!(bucket.contains("delivery.logs.amazonaws.com"), "{bucket}");
    let find = |path: &str| files.iter().find(|file| file.path == path);
    let configuration = &find("portcullis.toml").expect("it is written").text;
    assert!(configuration.contains("scope = \"CLOUDFRONT\"\n"), "{configuration}");
    assert!(!configuration.contains("\nstage = "), "{configuration}");
    assert!(find("stage-access-log.json").is_none() && find("terraform/stage.tf").is_none());
    let elsewhere = Answers { region: "eu-west-1".to_owned(), ..distributed() };
    let errors = Setup::new(&elsewhere).expect_err("it is not global");
    assert!(errors[0].to_string().contains("us-east-1, where AWS keeps them"), "{errors:?}");
}

#[test]
fn a_function_takes_its_image_from_its_own_region() {
    let elsewhere = Answers { region: "eu-central-1".to_owned(), runner: lambda(), ..answers() };
    let errors = Setup::new(&elsewhere).expect_err("the image is in Ireland");
    assert!(
        errors[0].to_string().contains("111122223333.dkr.ecr.eu-central-1.amazonaws.com/"),
        "{errors:?}"
    );
    let files = written(&Answers { runner: lambda(), ..answers() });
    let recipe = files.iter().find(|file| file.path == "Dockerfile").expect("it is written");
    assert!(recipe.text.contains("--provenance=false"), "{}", recipe.text);
    assert!(!files.iter().any(|file| file.text.contains("aws_ecs_")));
}

#[test]
fn every_mistake_is_told_at_once() {
    let wrong = Answers {
        account: "1111".to_owned(),
        region: "Ireland".to_owned(),
        api_id: "https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com".to_owned(),
        ..answers()
    };
    let errors = Setup::new(&wrong).expect_err("three mistakes");
    assert_eq!(errors.len(), 3);
    assert_eq!(
        errors[0].to_string(),
        "`1111` is no account: expected the 12 digits of an AWS account, such as 111122223333"
    );
}

#[test]
fn names_stay_within_what_aws_accepts() {
    let longest = Answers {
        name: "abcdefghijklmnop".to_owned(),
        region: "ap-southeast-1".to_owned(),
        ..answers()
    };
    let template = template(&written(&longest));
    let mut buckets = 0;
    for object in objects(&template) {
        if let Some(name) = object.get("BucketName").and_then(Value::as_str) {
            buckets += 1;
            assert!(name.len() <= 63, "{name}");
        }
        if let Some(name) = object.get("RoleName").and_then(Value::as_str) {
            assert!(name.len() <= 64, "{name}");
        }
    }
    assert_eq!(buckets, 3);
}

/// Text that means something in one of the languages that are written.
fn hostile() -> impl Strategy<Value = String> {
    let acting = prop::sample::select(vec![
        "\"", "'", "\\", "\n", "\r", " ", "$", "${", "%{", "%", "`", ";", "#", "{{", "}}", "<<EOT",
        "*", "\u{0}", "\u{202e}", "é", "$(id)", "&&", "|", ":", "/", "..", ",", "=", "[", "]",
    ]);
    (prop::string::string_regex("[a-z0-9-]{0,12}").expect("a pattern"), acting, "[a-z0-9]{0,8}")
        .prop_map(|(before, act, after)| format!("{before}{act}{after}"))
}

proptest! {
    /// Whatever acts in HCL, JSON, shell, cron, systemd or YAML is refused before anything is
    /// written.
    #[test]
    fn an_answer_that_acts_is_refused(text in hostile(), which in 0..6_usize) {
        let mut answers = answers();
        if which == 5 {
            answers = Answers { distribution: Some(text.clone()), ..distributed() };
        }
        let field = [
            &mut answers.name,
            &mut answers.account,
            &mut answers.region,
            &mut answers.api_id,
            &mut answers.stage,
        ];
        if let Some(field) = field.into_iter().nth(which) {
            field.clone_from(&text);
        }
        prop_assert!(Setup::new(&answers).is_err(), "{text:?}");
    }

    /// Kinds whose names have punctuation of their own hold none that acts.
    #[test]
    fn lists_and_images_hold_no_quote_blank_or_expansion(text in hostile(), which in 0..5_usize) {
        let mut answers = answers();
        let RunnerAnswers::Fargate { image, subnets, security_groups } = &mut answers.runner else {
            unreachable!("answers() are for Fargate");
        };
        match which {
            0 => image.clone_from(&text),
            1 => subnets.push(text.clone()),
            2 => security_groups.push(text.clone()),
            3 => answers.trusted.push(format!("arn:aws:iam::111122223333:role/{text}")),
            _ => answers.alarm_email = Some(format!("{text}@example.com")),
        }
        if Setup::new(&answers).is_ok() {
            let acts = |c: char| !c.is_ascii_alphanumeric() && !"._/:@+=,-".contains(c);
            prop_assert!(!text.contains(acts), "{text:?}");
        }
    }

    /// Every name that is accepted gives a template that reads back as JSON and text that
    /// has nothing but the name in its place.
    #[test]
    fn any_name_that_is_accepted_is_written_as_it_is(
        name in "[a-z][a-z0-9-]{0,15}",
        stage in "[A-Za-z0-9_-]{1,128}",
    ) {
        let answers = Answers { name: name.clone(), stage: stage.clone(), ..answers() };
        if let Ok(setup) = Setup::new(&answers) {
            let files = files(&setup);
            let template = template(&files);
            let stream = &template["Resources"]["AccessStream"]["Properties"]["DeliveryStreamName"];
            prop_assert_eq!(stream, &format!("amazon-apigateway-portcullis-{name}"));
            let arn = &template["Resources"]["WebAclAssociation"]["Properties"]["ResourceArn"];
            let ending = format!("/stages/{stage}");
            prop_assert!(arn.as_str().is_some_and(|arn| arn.ends_with(&ending)));
            let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
            prop_assert!(paths.is_sorted());
        }
    }
}
