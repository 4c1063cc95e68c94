//! A target for the program to change: a fake AWS, a configuration and a ledger.
//!
//! The endpoint is always on this machine and the credentials are always made up, so
//! that no test can reach AWS.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use fake_aws::{FakeAws, Options};
use serde_json::Value;

use crate::support::{Files, Ran, Run, portcullis};

pub const REGION: &str = "eu-west-1";
pub const V4: &str = "portcullis-v4";
pub const V6: &str = "portcullis-v6";

/// Three quarters of an hour after the tests' traffic begins.
pub const AT: &str = "2025-11-04T10:00:00Z";

/// A fake AWS with the usual sets, and a target `prod` in it.
pub struct World {
    pub fake: FakeAws,
    pub files: Files,
    pub configuration: String,
}

impl World {
    pub fn new(mode: &str) -> Self {
        Self::with(mode, "")
    }

    /// With more lines for the configuration.
    pub fn with(mode: &str, lines: &str) -> Self {
        let fake = FakeAws::start(Options::default());
        fake.create_ip_set(REGION, "REGIONAL", V4, "IPV4");
        fake.create_ip_set(REGION, "REGIONAL", V6, "IPV6");
        fake.create_bucket("ledgers");
        let files = Files::new();
        files.write("never-block.txt", "198.51.100.0/24 head office\n");
        let configuration = format!(
            "never-block = [\"never-block.txt\"]\n{lines}\n\
             [[target]]\nname = \"prod\"\naccount = \"{}\"\nregion = \"{REGION}\"\n\
             ledger = \"ledger\"\nmode = \"{mode}\"\nendpoint-url = \"{}\"\n\
             update-interval-ms = 0\n",
            fake_aws::ACCOUNT,
            fake.url()
        );
        let configuration = files.write("portcullis.toml", configuration);
        Self { fake, files, configuration }
    }

    /// A run with the configuration and made-up credentials.
    pub fn run(&self, arguments: &[&str]) -> Run {
        with_dummy_credentials(portcullis(arguments)).env("PORTCULLIS_CONFIG", &self.configuration)
    }

    /// The same, for whoever starts it by hand.
    pub fn command(&self, arguments: &[&str]) -> Command {
        with_nobody_listening(&self.configuration, arguments)
    }

    /// A plan for the log, as of `at`; gives its file and hash.
    pub fn plan(&self, log: &str, at: &str) -> (String, String) {
        let out = self.files.path("plan.json");
        let arguments = ["plan", log, "--target", "prod", "--out", &out, "--at", at, "-o", "json"];
        let plan = self.run(&arguments).run().expect_code(0).json();
        (out, plan["plan_sha256"].as_str().expect("a hash").to_owned())
    }

    /// Plans and applies.
    pub fn block(&self, log: &str, at: &str) -> Value {
        let (plan, hash) = self.plan(log, at);
        self.act(&["apply", &plan, "--expect-hash", &hash], at).expect_code(0).json()
    }

    /// Runs a command that changes sets, at a time, and with JSON as its output.
    pub fn act(&self, arguments: &[&str], at: &str) -> Ran {
        self.run(&[arguments, &["--at", at, "-o", "json"]].concat()).run()
    }

    pub fn held(&self, set: &str) -> BTreeSet<String> {
        let record = self.fake.ip_set(REGION, "REGIONAL", set).expect("the set is there");
        record.addresses.into_iter().collect()
    }

    pub fn status(&self, at: &str) -> Value {
        self.run(&["status", "--at", at, "-o", "json"]).run().expect_code(0).json()
    }
}

/// Credentials that open nothing, and no look at this machine's own.
pub const DUMMY_CREDENTIALS: [(&str, &str); 5] = [
    ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_CONFIG_FILE", "/nonexistent/config"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials"),
];

pub fn with_dummy_credentials(run: Run) -> Run {
    DUMMY_CREDENTIALS.into_iter().fold(run, |run, (name, value)| run.env(name, value))
}

/// The program with made-up credentials, for whoever starts it by hand: it reads nothing and
/// nobody hears it.
pub fn with_nobody_listening(configuration: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env_clear().args(arguments).env("PORTCULLIS_CONFIG", configuration);
    command.envs(DUMMY_CREDENTIALS);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The networks of a list of objects, sorted.
pub fn networks(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("a list");
    let mut networks: Vec<_> =
        list.iter().map(|entry| entry["network"].as_str().expect("a network")).collect();
    networks.sort_unstable();
    networks
}
