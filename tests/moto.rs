//! The program against moto, an AWS stand-in that is not ours, seen by boto3.
//!
//! Our own fake is strict where AWS is strict, but it was written by those who wrote the
//! client, and shares their misunderstandings. moto checks little and shares none: it is
//! the second opinion on wire format, lock tokens, paging, conditional writes on S3 and
//! roles of other accounts.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Files, Run, portcullis, workspace};
use crate::target::{V4, V6, with_dummy_credentials};

pub const REGION: &str = "eu-west-1";

/// moto's own account, and another one that is reached by a role.
pub const ACCOUNT: &str = "123456789012";
const OTHER_ACCOUNT: &str = "111122223333";

/// While the dataset's attacks are fresh.
pub const AT: &str = "2026-03-02T12:00:00Z";
const LATER: &str = "2026-03-02T13:10:00Z";

/// Python with moto and boto3, which `cargo xtask moto` installs.
pub fn python() -> PathBuf {
    let home = std::env::var_os("HOME").expect("HOME is set");
    let python = PathBuf::from(home).join(".cache/portcullis/moto/bin/python");
    assert!(
        python.exists(),
        "{} is not there: `cargo xtask moto` makes the environment that this test needs, and \
         `cargo xtask test` does so by itself",
        python.display()
    );
    python
}

/// moto's server, which stops when this is dropped.
pub struct Moto {
    server: Child,
    pub url: String,
}

impl Moto {
    pub fn start() -> Self {
        let port = {
            let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
            free.local_addr().expect("it is bound").port()
        };
        let server = Command::new(python())
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto starts");
        let moto = Self { server, url: format!("http://127.0.0.1:{port}") };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_mins(1), "moto does not listen on {port}");
            std::thread::sleep(Duration::from_millis(100));
        }
        moto
    }

    /// What boto3 answers.
    #[track_caller]
    fn witness(&self, words: &[&str]) -> Value {
        self.script("witness.py", words)
    }

    /// What a script of `tests/moto` prints.
    #[track_caller]
    pub fn script(&self, name: &str, words: &[&str]) -> Value {
        let output = Command::new(python())
            .arg(workspace().join("tests/moto").join(name))
            .args([self.url.as_str(), REGION])
            .args(words)
            .output()
            .expect("the script starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} {words:?}: {error}");
        serde_json::from_slice(&output.stdout).expect("the script prints JSON")
    }

    #[track_caller]
    pub fn addresses(&self, words: &[&str]) -> Vec<String> {
        let shown = self.witness(words);
        let addresses = shown["addresses"].as_array().expect("a list").iter();
        addresses.map(|address| address.as_str().expect("a text").to_owned()).collect()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn run(files: &Files, arguments: &[&str]) -> Run {
    with_dummy_credentials(portcullis(arguments))
        .env("PORTCULLIS_CONFIG", &files.path("portcullis.toml"))
}

fn configure(files: &Files, moto: &Moto, account: &str, ledger: &str, more: &str) {
    files.write("never-block.txt", "198.18.31.0/24 partner network\n");
    files.write(
        "portcullis.toml",
        format!(
            "never-block = [\"never-block.txt\"]\n[[target]]\nname = \"prod\"\n\
             account = \"{account}\"\nregion = \"{REGION}\"\nmode = \"enforce\"\n\
             ledger = \"{ledger}\"\nendpoint-url = \"{}\"\n{more}",
            moto.url
        ),
    );
}

/// Plans for the dataset that comes with the source, and carries it out.
fn block(files: &Files, at: &str) -> Value {
    let out = files.path("plan.json");
    let logs = "datasets/firehose/recommended";
    run(files, &["plan", logs, "--target", "prod", "--out", &out, "--at", at]).run().expect_code(0);
    run(files, &["apply", &out, "--at", at, "-o", "json"]).run().expect_code(0).json()
}

#[test]
#[ignore = "needs moto: `cargo xtask moto` installs it and runs this, as `cargo xtask test` does"]
fn what_is_blocked_expired_and_rolled_back_is_seen_by_boto3() {
    let (moto, files) = (Moto::start(), Files::new());
    for number in 0..3 {
        moto.witness(&["create", &format!("others-{number}"), "IPV4"]);
    }
    moto.witness(&["create", V4, "IPV4", "203.0.113.7/32"]);
    moto.witness(&["create", V6, "IPV6"]);
    moto.witness(&["bucket", "ledgers"]);
    configure(&files, &moto, ACCOUNT, "s3://ledgers/portcullis", "");

    block(&files, AT);
    let v4 = moto.addresses(&["show", V4]);
    let attackers =
        ["198.18.30.9/32", "198.18.30.46/32", "198.18.30.83/32"].map(str::to_owned).to_vec();
    assert!(attackers.iter().all(|attacker| v4.contains(attacker)), "{v4:?}");
    assert!(v4.contains(&"203.0.113.7/32".to_owned()), "{v4:?}");
    assert!(!v4.iter().any(|address| address.starts_with("198.18.31.")), "{v4:?}");
    assert_eq!(moto.addresses(&["show", V6]), ["2001:db8:1:f000::/64"]);
    assert_eq!(moto.witness(&["show", V4])["description"], "made by a test");

    // Somebody else's client adds an entry and takes one of ours.
    let mut edited: Vec<&str> = v4.iter().map(String::as_str).collect();
    edited.retain(|address| *address != "198.18.30.9/32");
    moto.addresses(&[&["edit", V4, "192.0.2.55/32"], &*edited].concat());
    let status = run(&files, &["status", "--at", AT, "-o", "json"]).run().expect_code(0).json();
    assert_eq!(status["missing"][0]["network"], "198.18.30.9/32");

    run(&files, &["expire", "--at", LATER]).run().expect_code(0);
    assert_eq!(moto.addresses(&["show", V4]), ["192.0.2.55/32", "203.0.113.7/32"]);
    assert!(moto.addresses(&["show", V6]).is_empty());
    let verified = run(&files, &["audit", "verify"]).run().expect_code(0).text();
    assert!(verified.starts_with("whole: "), "{verified}");
}

#[test]
#[ignore = "needs moto: `cargo xtask moto` installs it and runs this, as `cargo xtask test` does"]
fn another_account_is_changed_through_its_role_and_rolled_back() {
    let (moto, files) = (Moto::start(), Files::new());
    let role = format!("arn:aws:iam::{OTHER_ACCOUNT}:role/portcullis");
    for (name, version) in [(V4, "IPV4"), (V6, "IPV6")] {
        moto.witness(&["create", name, version]);
        moto.witness(&["--role", &role, "create", name, version]);
    }
    // Without the role the sets are those of the wrong account, and that is noticed.
    configure(&files, &moto, OTHER_ACCOUNT, "ledger", "");
    let ran = run(&files, &["status"]).run().expect_code(1);
    assert!(ran.stderr.contains("belongs to account 123456789012"), "{}", ran.stderr);

    configure(&files, &moto, OTHER_ACCOUNT, "ledger", &format!("assume-role = \"{role}\"\n"));
    let applied = block(&files, AT);
    assert!(moto.addresses(&["--role", &role, "show", V4]).contains(&"198.18.30.9/32".to_owned()));
    assert!(moto.addresses(&["show", V4]).is_empty());
    let operation = applied["operation"].as_str().expect("a name");
    let rollback = ["rollback", operation, "--at", AT];
    run(&files, &rollback).run().expect_code(0);
    assert!(moto.addresses(&["--role", &role, "show", V4]).is_empty());
    assert!(moto.addresses(&["--role", &role, "show", V6]).is_empty());
}
