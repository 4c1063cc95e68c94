//! Running the program, and writing what it reads.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

/// What one run of the program came to.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ran {
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.text(), self.stderr);
        self
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The whole of stdout as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| {
            panic!("{error}\nstdout: {}\nstderr: {}", self.text(), self.stderr)
        })
    }

    /// Every line of stdout as a JSON document.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        self.text()
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }
}

/// A run of the program, in an environment that nobody else has touched.
pub struct Run {
    command: Command,
    stdin: Vec<u8>,
}

/// Prepares a run with these arguments.
pub fn portcullis<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env_clear().current_dir(workspace()).args(arguments);
    Run { command, stdin: Vec::new() }
}

impl Run {
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn inside(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Starts it without input, for whoever looks on while it runs.
    pub fn start(mut self) -> Child {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        self.command.spawn().expect("the program starts")
    }

    pub fn run(mut self) -> Ran {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let bytes = self.stdin;
        let writer = std::thread::spawn(move || {
            // A program that fails early need not read its input.
            let _ = stdin.write_all(&bytes);
        });
        let output = child.wait_with_output().expect("the program ends");
        writer.join().expect("the writer does not panic");
        Ran {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).expect("messages are UTF-8"),
        }
    }
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A directory of files that goes away with the test.
pub struct Files(tempfile::TempDir);

impl Files {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file and gives its path.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("a file has a parent")).expect("created");
        fs::write(&path, contents).expect("written");
        path.to_str().expect("temporary paths are UTF-8").to_owned()
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("temporary paths are UTF-8").to_owned()
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// When the tests' traffic begins: 2025-11-04T09:12:00Z.
pub const START_EPOCH_MS: i64 = 1_762_247_520_000;

/// One request of the recommended format.
#[derive(Clone)]
pub struct Record {
    pub id: String,
    pub client: String,
    pub epoch_ms: i64,
    pub method: String,
    pub path: String,
    pub status: u16,
    pub user_agent: String,
    pub error_type: String,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            id: "AvfiBE7QvHcFq1g=".to_owned(),
            client: "198.51.100.7".to_owned(),
            epoch_ms: START_EPOCH_MS + 123,
            method: "GET".to_owned(),
            path: "/prod/pets/42".to_owned(),
            status: 200,
            user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
                .to_owned(),
            error_type: "-".to_owned(),
        }
    }
}

impl Record {
    /// As API Gateway writes it, without a line feed.
    pub fn text(&self) -> String {
        let quoted = |text: &str| json!(text).to_string();
        format!(
            concat!(
                r#"{{"requestId":"6499588b-5e44-45d7-84fa-cafc8a3b8ffd","extendedRequestId":{},"#,
                r#""ip":"{}","requestTimeEpoch":"{}","httpMethod":{},"path":{},"#,
                r#""resourcePath":"/pets/{{petId}}","stage":"prod","apiId":"a1b2c3d4e5","#,
                r#""domainName":"api.example.com","status":"{}","protocol":"HTTP/1.1","#,
                r#""responseLength":"512","responseLatency":"23","userAgent":{},"#,
                r#""apiKeyId":"-","principalId":"-","wafResponseCode":"WAF_ALLOW","#,
                r#""webaclArn":"-","errorResponseType":"{}"}}"#
            ),
            quoted(&self.id),
            self.client,
            self.epoch_ms,
            quoted(&self.method),
            quoted(&self.path),
            self.status,
            quoted(&self.user_agent),
            self.error_type,
        )
    }

    pub fn line(&self) -> String {
        self.text() + "\n"
    }
}

/// A client that climbs out of the root, over and over.
pub fn attacks(client: &str, count: i64) -> String {
    (0..count)
        .map(|n| {
            Record {
                id: format!("attack-{n}"),
                client: client.to_owned(),
                epoch_ms: START_EPOCH_MS + 1_000 * n,
                path: "/prod/files/..%2f..%2f..%2f..%2fetc%2fpasswd".to_owned(),
                status: 404,
                ..Record::default()
            }
            .line()
        })
        .collect()
}

/// A client that does nothing wrong.
pub fn honest(client: &str, count: i64) -> String {
    (0..count)
        .map(|n| {
            Record {
                id: format!("honest-{n}"),
                client: client.to_owned(),
                epoch_ms: START_EPOCH_MS + 7_000 * n,
                path: format!("/prod/pets/{n}"),
                ..Record::default()
            }
            .line()
        })
        .collect()
}

/// The sources of a scan's offenders.
pub fn sources(scan: &Value) -> Vec<&str> {
    scan["offenders"]
        .as_array()
        .expect("offenders are a list")
        .iter()
        .map(|offender| offender["source"].as_str().expect("a source is a string"))
        .collect()
}
