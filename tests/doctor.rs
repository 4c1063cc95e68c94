//! `doctor` on a fake AWS: a pipeline that stands, and the ways in which it protects nothing.

use serde_json::{Value, json};

use crate::support::attacks;
use crate::target::{AT, REGION, V4, V6, World};

const STAGE: &str = "a1b2c3d4e5/prod";
const GET_STAGE: &str = "GET /restapis/a1b2c3d4e5/stages/prod";
const STREAM: &str = "amazon-apigateway-shop";

/// A pipeline in order, after a block and a run of its schedule.
fn standing() -> World {
    let world = World::with("enforce", "[source]\nstate = \"kept\"");
    let account = fake_aws::ACCOUNT;
    stage(&world, recommended_format());
    world.fake.reply("DescribeDeliveryStream", 200, &stream("GZIP").to_string());
    let rules = [rule(&world, V4, 1, "Block"), rule(&world, V6, 2, "Block")];
    web_acl(&world, &rules);
    let who = format!("arn:aws:sts::{account}:assumed-role/portcullis-prod-doctor/me");
    world.fake.reply(
        "POST /",
        200,
        &format!(
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{who}</Arn>\
             <Account>{account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
        ),
    );
    world.block(&world.files.write("a.log", attacks("203.0.113.9", 20)), AT);
    let beat = json!({
        "format_version": 1,
        "who": "tests",
        "last_good": "2025-11-04T09:58:00Z",
        "last_expire": "2025-11-04T09:58:00Z",
    });
    world.files.write("kept.heartbeat", beat.to_string());
    world
}

fn recommended_format() -> &'static str {
    let presets = portcullis_ingest::PRESETS.iter();
    presets
        .filter(|preset| preset.name == "recommended")
        .find_map(|preset| preset.template)
        .expect("it is known")
}

fn stage(world: &World, format: &str) {
    let account = fake_aws::ACCOUNT;
    let arn = format!("arn:aws:firehose:{REGION}:{account}:deliverystream/{STREAM}");
    let log = json!({"destinationArn": arn, "format": format});
    let stage = json!({"stageName": "prod", "accessLogSettings": log});
    world.fake.reply(GET_STAGE, 200, &stage.to_string());
}

fn stream(compression: &str) -> Value {
    let account = fake_aws::ACCOUNT;
    let bucket = json!({
        "RoleARN": format!("arn:aws:iam::{account}:role/delivery"),
        "BucketARN": "arn:aws:s3:::shop-logs",
        "BufferingHints": {"SizeInMBs": 5, "IntervalInSeconds": 60},
        "CompressionFormat": compression,
    });
    let destination = json!({
        "DestinationId": "destinationId-000000000001",
        "ExtendedS3DestinationDescription": bucket,
    });
    let description = json!({
        "DeliveryStreamName": STREAM,
        "DeliveryStreamARN": format!("arn:aws:firehose:{REGION}:{account}:deliverystream/{STREAM}"),
        "DeliveryStreamStatus": "ACTIVE",
        "DeliveryStreamType": "DirectPut",
        "VersionId": "1",
        "Destinations": [destination],
        "HasMoreDestinations": false,
    });
    json!({"DeliveryStreamDescription": description})
}

/// A rule of a web ACL that uses one set.
fn rule(world: &World, set: &str, priority: i32, action: &str) -> Value {
    let id = world.fake.ip_set(REGION, "REGIONAL", set).expect("the set is there").id;
    let account = fake_aws::ACCOUNT;
    let arn = format!("arn:aws:wafv2:{REGION}:{account}:regional/ipset/{set}/{id}");
    json!({
        "Name": format!("use-{set}"),
        "Priority": priority,
        "Statement": {"IPSetReferenceStatement": {"ARN": arn}},
        "Action": {action: {}},
        "VisibilityConfig": visibility(),
    })
}

fn visibility() -> Value {
    json!({
        "SampledRequestsEnabled": false, "CloudWatchMetricsEnabled": false, "MetricName": "shop",
    })
}

fn web_acl(world: &World, rules: &[Value]) {
    let acl = json!({
        "Name": "shop",
        "Id": "0a1b",
        "ARN": format!("arn:aws:wafv2:{REGION}:{}:regional/webacl/shop/0a1b", fake_aws::ACCOUNT),
        "DefaultAction": {"Allow": {}},
        "VisibilityConfig": visibility(),
        "Rules": rules,
    });
    world.fake.reply("GetWebACLForResource", 200, &json!({"WebACL": acl}).to_string());
}

/// What is not good, as `name verdict`.
fn amiss(told: &Value) -> Vec<String> {
    let checks = told["checks"].as_array().expect("a list").iter();
    let text = |check: &Value, key: &str| check[key].as_str().expect("a text").to_owned();
    let sure = ["good", "unchecked"];
    let amiss = checks.filter(|check| !sure.iter().any(|sure| check["verdict"] == *sure));
    amiss.map(|check| format!("{} {}", text(check, "name"), text(check, "verdict"))).collect()
}

#[track_caller]
fn check(world: &World, code: i32, expected: &[&str]) -> Value {
    let ran = world.act(&["doctor", "--stage", STAGE], AT).expect_code(code);
    let told = ran.json();
    assert_eq!(amiss(&told), expected, "{told:#}");
    assert_eq!(told["effective"], expected.iter().all(|check| check.ends_with("warning")));
    told
}

#[test]
fn a_pipeline_in_order_is_found_in_order_and_nothing_is_changed() {
    let world = standing();
    let before = world.fake.ip_set(REGION, "REGIONAL", V4);
    world.fake.take_permissions();
    check(&world, 0, &[]);
    assert_eq!(world.fake.ip_set(REGION, "REGIONAL", V4), before);
    let actions: Vec<String> =
        world.fake.take_permissions().into_iter().map(|(action, _)| action).collect();
    let reads = ["Get", "List", "Describe", "apigateway:GET"];
    assert!(
        actions.iter().all(|action| reads.iter().any(|read| action.contains(read))),
        "{actions:?}"
    );
    let told = world.run(&["doctor", "--stage", STAGE, "--at", AT]).run().expect_code(0).text();
    assert!(told.ends_with("\nprotection is effective\n"), "{told}");
}

#[test]
fn a_pipeline_that_protects_nothing_is_told_with_2_and_each_remedy() {
    let world = standing();
    web_acl(&world, &[rule(&world, V4, 1, "Count"), rule(&world, V6, 2, "Block")]);
    let told = check(&world, 2, &["set-used bad"]);
    let all = told["checks"].as_array().expect("a list");
    let bad = all.iter().find(|check| check["verdict"] == "bad").expect("one is");
    assert_eq!(bad["finding"], "portcullis-v4 is used by use-portcullis-v4, which counts");
    assert_eq!(bad["fix"], "use it in a rule by itself that blocks");

    world.fake.reply("GetWebACLForResource", 200, "{}");
    check(&world, 2, &["web-acl bad"]);
    let world = standing();
    let clf = "$context.identity.sourceIp - - [$context.requestTime] \"$context.httpMethod \
               $context.resourcePath $context.protocol\" $context.status $context.requestId\n";
    stage(&world, clf);
    let told = world.act(&["doctor", "--stage", STAGE], AT).expect_code(2).json();
    let found = amiss(&told);
    assert!(found.contains(&"log-format bad".to_owned()), "{found:?}");
    // The blocks are over, and nobody takes them out.
    let world = standing();
    let late = "2025-11-04T11:40:00Z";
    let told = world.act(&["doctor", "--stage", STAGE], late).expect_code(2).json();
    assert_eq!(amiss(&told), ["expiry bad", "last-run bad", "last-expire bad"]);
    let text = world.run(&["doctor", "--stage", STAGE, "--at", late]).run().expect_code(2).text();
    assert!(text.ends_with("\nprotection is not effective: 3 checks failed\n"), "{text}");
}

#[test]
fn what_may_not_be_asked_is_partial_and_names_the_line_of_policy() {
    let world = standing();
    let denied = json!({"__type": "AccessDeniedException", "message": "not you"}).to_string();
    world.fake.reply("DescribeDeliveryStream", 400, &denied);
    // The stream says which bucket tells the time.
    let told = check(&world, 3, &["stream unknown", "clock unknown"]);
    let all = told["checks"].as_array().expect("a list");
    let stream = all.iter().find(|check| check["name"] == "stream").expect("it is checked");
    assert_eq!(
        stream["fix"],
        "allow it: {\"Effect\":\"Allow\",\"Action\":\"firehose:DescribeDeliveryStream\",\
         \"Resource\":\"arn:aws:firehose:eu-west-1:111122223333:deliverystream/\
         amazon-apigateway-shop\"}"
    );
    // Without a stage nothing before the sets can be judged.
    let told = world.act(&["doctor"], AT).expect_code(3).json();
    assert_eq!(
        amiss(&told),
        ["stage unknown", "stream unknown", "web-acl unknown", "clock unknown"]
    );
    let ran = world.act(&["doctor", "--stage", "prod"], AT).expect_code(64);
    assert!(ran.stderr.contains("is no API/STAGE"), "{}", ran.stderr);
}
