//! What AWS refuses, and the remedy that is told: the action, the line of policy, the option.

use std::time::{Duration, Instant};

use fake_aws::FakeAws;

use crate::support::{Ran, attacks, gzip, portcullis};
use crate::target::with_dummy_credentials;
use crate::watch::{AT, put, world};

const KEY: &str = "api/1.gz";

fn bucket() -> FakeAws {
    let fake = FakeAws::start(fake_aws::Options::default());
    fake.put_object("logs", KEY, &gzip(attacks("203.0.113.9", 5).as_bytes()));
    fake
}

fn scan(fake: &FakeAws, more: &[&str]) -> Ran {
    let url = fake.url();
    let scan = ["scan", "s3://logs/api/", "-o", "json", "--region", "eu-west-1"];
    let words = [&scan[..], &["--endpoint-url", &url], more].concat();
    with_dummy_credentials(portcullis(words)).run()
}

/// Answers of S3 in its own shape.
fn refusal(code: &str, message: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>")
}

#[test]
fn each_refusal_of_a_bucket_is_told_with_its_remedy() {
    let list = ["GET /logs/", "GET /logs"];
    let get = ["GET /logs/api/1.gz"; 2];
    for (calls, status, code, message, remedy) in [
        (
            list,
            403,
            "AccessDenied",
            "Access Denied",
            r#"{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::logs"}"#,
        ),
        (
            get,
            403,
            "AccessDenied",
            "Access Denied",
            r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::logs/api/*"}"#,
        ),
        (
            get,
            403,
            "AccessDenied",
            "User: x is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext",
            "allow kms:Decrypt on that key",
        ),
        (
            get,
            400,
            "KMS.DisabledException",
            "The key is disabled",
            "is disabled or gone: enable it again",
        ),
        (
            get,
            403,
            "InvalidObjectState",
            "The operation is not valid for the object's storage class",
            "it is archived: restore it",
        ),
        (list, 301, "PermanentRedirect", "Use the endpoint of the bucket", "name it with --region"),
    ] {
        let fake = bucket();
        for call in calls {
            fake.reply(call, status, &refusal(code, message));
        }
        let ran = scan(&fake, &[]);
        assert!(matches!(ran.code, Some(1 | 3)), "{code}: {:?}: {}", ran.code, ran.stderr);
        assert!(ran.stderr.contains(remedy), "{code}: {}", ran.stderr);
    }
}

#[test]
fn a_bucket_whose_callers_pay_wants_the_option_that_the_refusal_names() {
    let fake = bucket();
    fake.let_callers_pay("logs");
    let ran = scan(&fake, &[]).expect_code(1);
    assert!(ran.stderr.contains("or --requester-pays, if the bucket demands it"), "{}", ran.stderr);
    let found = scan(&fake, &["--requester-pays"]).expect_code(0).json();
    assert_eq!(found["coverage"]["requests"], 5);
}

#[test]
fn a_state_that_may_not_be_read_or_written_names_the_line_of_policy() {
    for (call, action) in
        [("GET /state/history", "s3:GetObject"), ("PUT /state/history", "s3:PutObject")]
    {
        let world = world();
        put(&world.fake, 0, &attacks("203.0.113.9", 5));
        world.fake.reply(call, 403, &refusal("AccessDenied", "Access Denied"));
        let ran = world.run(&["run", "--at", AT]).run().expect_code(1);
        let line = format!(
            r#"{{"Effect":"Allow","Action":"{action}","Resource":"arn:aws:s3:::state/history"}}"#
        );
        assert!(ran.stderr.contains(&line), "{}", ran.stderr);
    }
}

#[test]
fn without_credentials_nothing_is_waited_for() {
    let world = world();
    let begun = Instant::now();
    let ran = portcullis(["run", "--at", AT])
        .env("PORTCULLIS_CONFIG", &world.configuration)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .run()
        .expect_code(1);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let said = "no AWS credentials were found: name a --profile";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}
