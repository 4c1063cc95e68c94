//! The functions that `init --schedule lambda` writes, called as AWS Lambda calls them: the
//! program of the image with the words, variables and roles of the template.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::lambda::{RuntimeApi, batch, recorded, response};
use crate::setup::Built;
use crate::support::{attacks, gzip};
use crate::target::DUMMY_CREDENTIALS;
use crate::watch::notice;

/// While the tests' traffic is fresh.
const AT: &str = "2025-11-04T09:20:00Z";

const LAMBDA: [&str; 2] = ["--schedule=lambda", "--watch"];

/// A function of the template that runs until it is dropped.
struct Running<'b> {
    built: &'b Built,
    runtime: RuntimeApi,
    program: Child,
    stdout: String,
}

impl<'b> Running<'b> {
    fn start(built: &'b Built, id: &str) -> Self {
        let function = built.properties(id);
        let words = function["ImageConfig"]["Command"].as_array().expect("words");
        let words = words.iter().map(|word| word.as_str().expect("a word"));
        let variables = function["Environment"]["Variables"].as_object().expect("variables");
        let variables = variables.iter().map(|(name, value)| (name.as_str(), value));
        let runtime = RuntimeApi::start();
        let stdout = format!("{id}.stdout");
        let file = std::fs::File::create(built.world.files.path(&stdout)).expect("a file");
        let program = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .env_clear()
            .args(words.chain(["--at", AT]))
            .envs(built.environment(variables))
            .envs(DUMMY_CREDENTIALS)
            .envs([
                ("AWS_LAMBDA_FUNCTION_NAME", "portcullis"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "2048"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_RUNTIME_API", &runtime.address.to_string()),
            ])
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        Self { built, runtime, program, stdout }
    }

    /// The line of the last call, which the alarm's filter looks at.
    fn last_line(&self) -> Value {
        let text = std::fs::read(self.built.world.files.path(&self.stdout)).expect("it is there");
        let text = String::from_utf8(text).expect("text");
        serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn actions(permissions: &BTreeSet<fake_aws::Permission>) -> BTreeSet<&str> {
    permissions.iter().map(|(action, _)| action.as_str()).collect()
}

#[test]
fn the_function_that_reads_needs_of_each_role_what_it_allows() {
    let built = Built::of("enforce", &LAMBDA);
    let fake = &built.world.fake;
    let [read, apply, runner] =
        ["ReadRole", "ApplyRole", "RunnerRole"].map(|id| built.role(id).to_owned());
    fake.take_permissions();
    let called = Running::start(&built, "ScanFunction");
    let answer = called.runtime.invoke(recorded("schedule.json"));
    assert_eq!(answer, ("response".to_owned(), json!({"exit": 0})));
    let line = called.last_line();
    assert_eq!((&line["exit"], line["analysis"]["requests"].as_u64()), (&json!(0), Some(60)));

    let content = gzip(attacks("203.0.113.10", 20).as_bytes());
    fake.put_object(&built.logs(), "access/2.gz", &content);
    let tag = fake.etag(&built.logs(), "access/2.gz").expect("it is there");
    let told = notice(0, "access/2.gz", content.len(), &tag);
    let message = told.replace(r#""name":"logs""#, &format!(r#""name":"{}""#, built.logs()));
    assert_eq!(called.runtime.invoke(batch(&[&message])), response(&[]));
    let blocked = ["203.0.113.10/32", "203.0.113.9/32"].map(str::to_owned);
    assert_eq!(built.world.held("portcullis-prod-v4"), blocked.into());

    let needed = fake.take_permissions_by_caller();
    let [reading, allowed] = built.check("ReadRole", &needed[&read]);
    // Looking at sets is for the modes that change none; messages are Lambda's to take.
    assert_eq!(allowed.difference(&reading).collect::<Vec<_>>(), ["wafv2:GetIPSet"]);
    let [mut applying, allowed] = built.check("ApplyRole", &needed[&apply]);
    applying.insert("s3:ListBucket".to_owned());
    assert_eq!(applying, allowed);
    let own = built.allowed("RunnerRole");
    let assumed = [&apply, &read].map(|role| ("sts:AssumeRole".to_owned(), role.clone()));
    assert_eq!(needed["AKIAEXAMPLE"], assumed.clone().into());
    let of_lambda: BTreeSet<_> = own.difference(&assumed.into()).cloned().collect();
    let expected = [
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
    ];
    assert_eq!(actions(&of_lambda), expected.into(), "{runner}");
}

#[test]
fn the_function_that_ends_blocks_sees_no_log_and_takes_no_messages() {
    let built = Built::of("enforce", &LAMBDA);
    let fake = &built.world.fake;
    let scan = Running::start(&built, "ScanFunction");
    scan.runtime.invoke(recorded("schedule.json"));
    let running = Running::start(&built, "ExpireFunction");
    fake.take_permissions();
    let answer = running.runtime.invoke(recorded("schedule.json"));
    assert_eq!(answer, ("response".to_owned(), json!({"exit": 0})));
    assert_eq!(running.last_line()["exit"], 0);
    assert_eq!(built.properties("ExpireMetric")["FilterPattern"], "{ $.exit = 0 }");
    let needed = fake.take_permissions_by_caller();
    let [ending, allowed] = built.check("ExpireRole", &needed["AKIAEXAMPLE"]);
    assert_eq!(needed.len(), 1, "{needed:#?}");
    let unused: Vec<&String> = allowed.difference(&ending).collect();
    // Lambda writes its output. Nothing was over, and nobody took anything out, so that no set
    // was changed.
    let expected =
        ["logs:CreateLogStream", "logs:PutLogEvents", "s3:ListBucket", "wafv2:UpdateIPSet"];
    assert_eq!(unused, expected);
    let (kind, said) = running.runtime.invoke(batch(&["{}"]));
    assert_eq!(kind, "error");
    assert!(said["errorMessage"].to_string().contains("only ends blocks"), "{said}");
}

#[test]
fn a_call_waits_for_the_one_before_it_and_messages_stay_hidden_for_six_calls() {
    for every in ["--every=5", "--every=60"] {
        let built = Built::of("observe", &[&LAMBDA[..], &[every]].concat());
        let function = built.properties("ScanFunction");
        let timeout = function["Timeout"].as_u64().expect("seconds");
        let hidden = built.properties("ObjectsQueue")["VisibilityTimeout"].as_u64();
        assert_eq!(hidden, Some(6 * timeout));
        assert_eq!(function["ReservedConcurrentExecutions"], 1);
        let mapping = built.properties("ScanMessages");
        assert_eq!(mapping["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]));
        let errors = built.properties("ScanErrorsAlarm");
        assert_eq!(errors["Dimensions"][0]["Value"], function["FunctionName"]);
    }
}
