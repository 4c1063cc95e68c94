//! The whole pipeline on moto: an API's stage that logs to a delivery stream, the stream's
//! bucket, a queue that the bucket tells of objects, IP sets in a web ACL before the stage;
//! one test for each command that an operator meets on it.
//!
//! What the program must find is what it finds in the same objects on disk. What became of
//! the IP sets is asked of boto3.

use std::io::{BufRead as _, BufReader};

use serde_json::Value;

use crate::moto::{ACCOUNT, AT, Moto, REGION};
use crate::support::{Files, Ran, Run, portcullis, sources, workspace};
use crate::target::{V4, V6, with_dummy_credentials};

/// Where the generator's objects are.
const LOGS: &str = "datasets/firehose/recommended";

/// Where they are in the pipeline.
const LOCATION: &str = "s3://shop-access-logs/access/";

struct Pipeline {
    moto: Moto,
    files: Files,
    stage: String,
}

impl Pipeline {
    fn built(mode: &str) -> Self {
        let (moto, files) = (Moto::start(), Files::new());
        let format = portcullis_ingest::PRESETS.iter().find(|preset| preset.name == "recommended");
        let template = format.and_then(|format| format.template).expect("it is known");
        let built = moto.script("pipeline.py", &["build", template]);
        let text = |name: &str| built[name].as_str().expect("a text").to_owned();
        let (url, queue, stage) = (&moto.url, text("queue"), text("stage"));
        files.write("never-block.txt", "198.18.31.0/24 partner network\n");
        files.write(
            "portcullis.toml",
            format!(
                "never-block = [\"never-block.txt\"]\n[source]\n\
                 location = \"{LOCATION}\"\nqueue = \"{queue}\"\n\
                 state = \"s3://ledgers/portcullis/state/history\"\nregion = \"{REGION}\"\n\
                 endpoint-url = \"{url}\"\n[[target]]\nname = \"prod\"\naccount = \"{ACCOUNT}\"\n\
                 region = \"{REGION}\"\nmode = \"{mode}\"\nstage = \"{stage}\"\n\
                 ledger = \"s3://ledgers/portcullis\"\nendpoint-url = \"{url}\"\n"
            ),
        );
        Self { moto, files, stage }
    }

    /// A pipeline through which the dataset's traffic went; with the number of its objects.
    fn after_traffic(mode: &str) -> (Self, u64) {
        let pipeline = Self::built(mode);
        let objects = pipeline.send();
        (pipeline, objects)
    }

    /// Sends the dataset's traffic; gives how many objects it became.
    fn send(&self) -> u64 {
        let logs = workspace().join(LOGS);
        let logs = logs.to_str().expect("the workspace's path is UTF-8");
        let sent = self.moto.script("pipeline.py", &["send", logs]);
        let number = |name: &str| sent[name].as_u64().expect("a number");
        let (through, gzipped) = (number("through_firehose"), number("gzipped"));
        assert!(through >= 5 && gzipped >= 5, "{sent}");
        through + gzipped
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.prepared(arguments).run()
    }

    fn prepared(&self, arguments: &[&str]) -> Run {
        with_dummy_credentials(portcullis(arguments))
            .env("PORTCULLIS_CONFIG", &self.files.path("portcullis.toml"))
    }

    /// Holds that the attackers are blocked, and the partner is not, as boto3 sees it.
    #[track_caller]
    fn expect_blocked(&self) {
        let here = scan_on_disk();
        let v4 = self.moto.addresses(&["show", V4]);
        for attacker in ["198.18.30.9/32", "198.18.30.46/32", "198.18.30.83/32"] {
            assert!(v4.contains(&attacker.to_owned()), "{v4:?}");
        }
        assert!(!v4.iter().any(|network| network.starts_with("198.18.31.")), "{v4:?}");
        assert_eq!(self.moto.addresses(&["show", V6]), ["2001:db8:1:f000::/64"]);
        let offenders = sources(&here);
        let is_offender = |network: &String| {
            offenders.iter().any(|source| network.trim_end_matches("/32") == *source)
        };
        assert!(v4.iter().all(is_offender), "{v4:?} of {offenders:?}");
    }

    fn expect_nobody_blocked(&self) {
        assert!(self.moto.addresses(&["show", V4]).is_empty());
        assert!(self.moto.addresses(&["show", V6]).is_empty());
    }
}

fn scan_on_disk() -> Value {
    portcullis(["scan", LOGS, "-o", "json"]).run().expect_code(0).json()
}

/// What is not good, as `name verdict`.
fn amiss(doctor: &Value) -> Vec<String> {
    let checks = doctor["checks"].as_array().expect("a list").iter();
    let text = |check: &Value, key: &str| check[key].as_str().expect("a text").to_owned();
    let sure = ["good", "unchecked"];
    let amiss = checks.filter(|check| !sure.iter().any(|sure| check["verdict"] == *sure));
    amiss.map(|check| format!("{} {}", text(check, "name"), text(check, "verdict"))).collect()
}

fn last_line(ran: &Ran) -> Value {
    ran.lines().into_iter().rfind(|line| !line["analysis"].is_null()).expect("a round that read")
}

#[test]
#[ignore = "needs moto: `cargo xtask moto` installs it and runs this, as `cargo xtask test` does"]
fn doctor_finds_the_pipeline_in_order_once_it_ran() {
    let (pipeline, _) = Pipeline::after_traffic("enforce");
    let told = pipeline.run(&["doctor", "-o", "json"]).expect_code(2).json();
    assert_eq!(amiss(&told), ["last-run bad", "last-expire bad"], "{told:#}");
    pipeline.run(&["run", "--at", AT]).expect_code(0);
    // As of the run's own time its blocks are not over.
    let told = pipeline.run(&["doctor", "--at", AT, "-o", "json"]).expect_code(0).json();
    assert!(amiss(&told).is_empty(), "{told:#}");
    assert_eq!(told["effective"], true);
    let other = pipeline.stage.replace("/prod", "/test");
    let told = pipeline.run(&["doctor", "--stage", &other, "-o", "json"]);
    assert_ne!(told.code, Some(0), "{}", told.text());
}

#[test]
#[ignore = "needs moto: `cargo xtask moto` installs it and runs this, as `cargo xtask test` does"]
fn scan_of_the_bucket_finds_what_a_scan_of_the_disk_finds() {
    let (pipeline, objects) = Pipeline::after_traffic("observe");
    let scan = ["scan", LOCATION, "-o", "json", "--region", REGION];
    let url = pipeline.moto.url.as_str();
    for span in [&[][..], &["--from", "2026-03-02T00:00:00Z"]] {
        let arguments = [&scan[..], &["--endpoint-url", url], span].concat();
        let (there, here) = (pipeline.run(&arguments).expect_code(0).json(), scan_on_disk());
        assert_eq!(there["coverage"]["objects"], objects);
        assert_eq!(there["coverage"]["requests"], here["coverage"]["requests"]);
        assert_eq!(sources(&there), sources(&here));
    }
    pipeline.expect_nobody_blocked();
}

#[test]
#[ignore = "needs moto: `cargo xtask moto` installs it and runs this, as `cargo xtask test` does"]
fn run_blocks_the_attackers_and_the_next_run_reads_nothing() {
    let (pipeline, objects) = Pipeline::after_traffic("enforce");
    let run = ["run", "--at", AT, "-o", "json"];
    let first = last_line(&pipeline.run(&run).expect_code(0));
    assert_eq!(first["analysis"]["objects_read"], objects);
    pipeline.expect_blocked();
    let second = last_line(&pipeline.run(&run).expect_code(0));
    assert_eq!(second["analysis"]["objects_read"], 0);
    assert_eq!(second["analysis"]["requests"], first["analysis"]["requests"]);
    assert_eq!(second["targets"][0]["added"], Value::Array(Vec::new()));
    pipeline.expect_blocked();
}

#[test]
#[ignore = "needs moto: `cargo xtask moto` installs it and runs this, as `cargo xtask test` does"]
fn watch_blocks_by_what_the_queue_tells() {
    let pipeline = Pipeline::built("enforce");
    let watch = ["watch", "--at", AT, "-o", "json", "--until-idle", "5s"];
    let mut watch = pipeline.prepared(&watch).start();
    let mut lines = BufReader::new(watch.stdout.take().expect("it is piped")).lines();
    let mut round = || -> Option<Value> {
        let line = lines.next()?.expect("the program writes UTF-8");
        Some(serde_json::from_str(&line).expect("a round is a line of JSON"))
    };
    // The first round lists a bucket in which nothing is; all else the queue has to tell. A
    // round that was told of no object, as S3's test of the queue does, has read none.
    let read = |round: &Value| round["analysis"]["objects_read"].as_u64().unwrap_or(0);
    assert_eq!(read(&round().expect("a first round")), 0);
    let objects = pipeline.send();
    let rounds: Vec<Value> = std::iter::from_fn(round).collect();
    assert_eq!(watch.wait().expect("it ends").code(), Some(0));
    assert_eq!(rounds.iter().map(read).sum::<u64>(), objects, "{rounds:?}");
    pipeline.expect_blocked();
    assert_eq!(pipeline.moto.script("witness.py", &["messages", "new-objects"])["messages"], 0);
}

#[test]
#[ignore = "needs moto: `cargo xtask moto` installs it and runs this, as `cargo xtask test` does"]
fn apply_fills_the_sets_with_the_plan_that_was_reviewed() {
    let (pipeline, _) = Pipeline::after_traffic("suggest");
    let plan = pipeline.files.path("plan.json");
    let place = ["--region", REGION, "--endpoint-url", &pipeline.moto.url];
    let planning = ["plan", LOCATION, "--target", "prod", "--out", &plan, "--at", AT, "-o", "json"];
    let planned = pipeline.run(&[&planning[..], &place].concat()).expect_code(0).json();
    pipeline.expect_nobody_blocked();
    let hash = planned["plan_sha256"].as_str().expect("a hash");
    pipeline.run(&["apply", &plan, "--expect-hash", hash, "--at", AT]).expect_code(0);
    pipeline.expect_blocked();
}
