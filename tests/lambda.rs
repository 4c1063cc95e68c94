//! `lambda`: the program as AWS Lambda starts it, with recorded events, against a stand-in
//! for the runtime API.
//!
//! The events are those of AWS's own guides; a batch's messages are filled in, because they
//! name objects that have to be there.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Value, json};

use crate::support::{attacks, gzip, honest, workspace};
use crate::target::{DUMMY_CREDENTIALS, V4, World};
use crate::watch::notice;

/// While the tests' traffic is fresh.
const AT: &str = "2025-11-04T09:20:00Z";

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// What Lambda is to the program: it asks for the next invocation, and answers it.
pub struct RuntimeApi {
    pub address: SocketAddr,
    waiting: Arc<Mutex<VecDeque<Value>>>,
    answers: mpsc::Receiver<(String, Value)>,
    /// Of an invocation, from when it is handed over.
    time: Arc<Mutex<Duration>>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

#[derive(Clone)]
struct Served {
    waiting: Arc<Mutex<VecDeque<Value>>>,
    answers: mpsc::Sender<(String, Value)>,
    time: Arc<Mutex<Duration>>,
}

impl RuntimeApi {
    pub fn start() -> Self {
        let (waiting, time) = (Arc::default(), Arc::new(Mutex::new(Duration::from_mins(5))));
        let (told, answers) = mpsc::channel();
        let served = Served { waiting: Arc::clone(&waiting), answers: told, time: time.clone() };
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tell, bound) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime starts").block_on(async move {
                let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
                let listener = listener.expect("a port is free");
                tell.send(listener.local_addr().expect("it is bound")).expect("it is awaited");
                let router = Router::new().fallback(serve).with_state(served);
                tokio::select! {
                    served = axum::serve(listener, router).into_future() => {
                        served.expect("the server runs");
                    }
                    _ = stopped => {}
                }
            });
        });
        let address = bound.recv().expect("the server starts");
        Self { address, waiting, answers, time, _stop: stop }
    }

    /// Invokes, and waits for the answer: `response` or `error`, and what it says.
    #[track_caller]
    pub fn invoke(&self, event: Value) -> (String, Value) {
        self.waiting.lock().expect("whole").push_back(event);
        self.answers.recv_timeout(PATIENCE).expect("the program answers")
    }
}

async fn serve(State(served): State<Served>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path().trim_start_matches("/2018-06-01/runtime/").to_owned();
    let answer = Response::builder();
    if path == "invocation/next" {
        let event = loop {
            let next = served.waiting.lock().expect("whole").pop_front();
            match next {
                Some(event) => break event,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let ends = SystemTime::now() + *served.time.lock().expect("whole");
        let ends = ends.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis();
        return answer
            .header("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
            .header("lambda-runtime-deadline-ms", ends.to_string())
            .header(
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:eu-west-1:111122223333:function:portcullis",
            )
            .body(Body::from(event.to_string()))
            .expect("a response");
    }
    let body = to_bytes(body, 1 << 20).await.expect("a body");
    let told = serde_json::from_slice(&body).expect("answers are JSON");
    let kind = path.rsplit('/').next().unwrap_or_default().to_owned();
    served.answers.send((kind, told)).expect("the test waits");
    answer.status(202).body(Body::empty()).expect("a response")
}

/// A function that runs until the test ends.
struct Function {
    world: World,
    runtime: RuntimeApi,
    program: Child,
}

impl Function {
    fn start() -> Self {
        let world = World::with("enforce", "");
        let text = std::fs::read_to_string(&world.configuration).expect("it was written");
        let source = format!(
            "[source]\nlocation = \"s3://logs/api/\"\nstate = \"s3://state/history\"\n\
             region = \"eu-west-1\"\nendpoint-url = \"{}\"\n",
            world.fake.url()
        );
        world.files.write("portcullis.toml", text.replace("[[target]]", &(source + "[[target]]")));
        world.fake.create_bucket("logs");
        world.fake.create_bucket("state");
        let runtime = RuntimeApi::start();
        let stderr = std::fs::File::create(world.files.path("stderr")).expect("a file");
        let stdout = std::fs::File::create(world.files.path("stdout")).expect("a file");
        let program = command(&world)
            .env("AWS_LAMBDA_RUNTIME_API", runtime.address.to_string())
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .expect("the program starts");
        Self { world, runtime, program }
    }

    /// Puts an object, and gives the message that tells of it.
    fn put(&self, n: usize, text: &str) -> String {
        let (key, content) = (format!("api/part {n}+.gz"), gzip(text.as_bytes()));
        self.world.fake.put_object("logs", &key, &content);
        let tag = self.world.fake.etag("logs", &key).expect("it is there");
        notice(n, &key, content.len(), &tag)
    }

    fn written(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.world.files.path(name)).expect("it is there");
        let parsed = text.lines().map(serde_json::from_str);
        parsed.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn command(world: &World) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env_clear().args(["lambda", "--at", AT]).envs(DUMMY_CREDENTIALS).envs([
        ("PORTCULLIS_CONFIG", world.configuration.as_str()),
        ("AWS_LAMBDA_FUNCTION_NAME", "portcullis"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    ]);
    command
}

pub fn recorded(name: &str) -> Value {
    let path = workspace().join("tests/lambda").join(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("a recorded event is JSON")
}

/// The recorded batch with these messages, named `0`, `1` and so on.
pub fn batch(bodies: &[&str]) -> Value {
    let mut event = recorded("batch.json");
    let record = event["Records"][0].clone();
    let filled = bodies.iter().enumerate().map(|(number, body)| {
        let mut record = record.clone();
        record["messageId"] = number.to_string().into();
        record["body"] = (*body).into();
        record
    });
    event["Records"] = filled.collect();
    event
}

pub fn response(again: &[&str]) -> (String, Value) {
    let again: Vec<Value> = again.iter().map(|id| json!({"itemIdentifier": id})).collect();
    ("response".to_owned(), json!({"batchItemFailures": again}))
}

#[test]
fn a_schedule_does_a_run_and_so_does_the_next() {
    let function = Function::start();
    function.put(0, &(honest("198.51.100.7", 40) + &attacks("203.0.113.9", 5)));
    for read in [1, 0] {
        let answer = function.runtime.invoke(recorded("schedule.json"));
        assert_eq!(answer, ("response".to_owned(), json!({"exit": 0})));
        let rounds = function.written("stdout");
        let analysis = &rounds.last().expect("a line")["analysis"];
        assert_eq!((&analysis["objects_read"], &analysis["requests"]), (&read.into(), &45.into()));
    }
    assert!(function.world.held(V4).contains("203.0.113.9/32"));
    let beat = function.world.fake.object("state", "history.heartbeat").expect("it beats");
    let beat: Value = serde_json::from_slice(&beat).expect("JSON");
    assert_eq!(beat["last_exit"], 0);
    // Every line of its log is one of JSON.
    assert!(!function.written("stderr").is_empty());
}

#[test]
fn a_batch_is_read_and_its_answer_names_what_is_to_come_again() {
    let function = Function::start();
    // Each of the three shapes, and a test of S3's.
    let told: Vec<String> =
        (0..3).map(|n| function.put(n, &attacks(&format!("203.0.113.{n}"), 5))).collect();
    let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"logs"}"#;
    let gone = notice(0, "api/never-there.gz", 17, "0123");
    let bodies = [&told[0], "shopping list", &told[1], test, &gone, &told[2]];
    assert_eq!(function.runtime.invoke(batch(&bodies)), response(&["1", "4"]));
    for n in 0..3 {
        assert!(function.world.held(V4).contains(&format!("203.0.113.{n}/32")));
    }
    // What comes again was counted, and is let go; the schedule finds nothing left.
    assert_eq!(function.runtime.invoke(batch(&[&told[1]])), response(&[]));
    let answer = function.runtime.invoke(recorded("schedule.json"));
    assert_eq!(answer.1, json!({"exit": 0}));
    let rounds = function.written("stdout");
    let analysis = &rounds.last().expect("a line")["analysis"];
    assert_eq!((&analysis["objects_read"], &analysis["requests"]), (&0.into(), &15.into()));
}

#[test]
fn when_the_time_is_over_nothing_is_begun_and_all_messages_come_again() {
    let function = Function::start();
    let told = function.put(0, &attacks("203.0.113.9", 5));
    // Less than the margin.
    *function.runtime.time.lock().expect("whole") = Duration::from_secs(9);
    assert_eq!(function.runtime.invoke(batch(&[&told])), response(&["0"]));
    assert!(function.world.held(V4).is_empty());
    *function.runtime.time.lock().expect("whole") = Duration::from_mins(5);
    assert_eq!(function.runtime.invoke(batch(&[&told])), response(&[]));
    assert!(function.world.held(V4).contains("203.0.113.9/32"));
}

#[test]
fn what_fails_is_an_error_of_the_function_and_the_next_event_is_served() {
    let function = Function::start();
    let (kind, told) = function.runtime.invoke(json!({"Records": [{"eventSource": "aws:sns"}]}));
    assert_eq!(kind, "error");
    let message = told["errorMessage"].as_str().expect("a text");
    assert!(message.contains("neither a schedule's"), "{message}");
    function.world.fake.put_object("state", "history", b"shopping list");
    let (kind, told) = function.runtime.invoke(recorded("schedule.json"));
    assert_eq!(kind, "error", "{told}");
    // Nothing can be saved, so no message may go.
    let told = function.put(0, &attacks("203.0.113.9", 5));
    assert_eq!(function.runtime.invoke(batch(&[&told])), response(&["0"]));
    function.world.fake.delete_object("state", "history");
    assert_eq!(function.runtime.invoke(recorded("schedule.json")).0, "response");
    assert!(function.world.held(V4).contains("203.0.113.9/32"));
}

#[test]
fn elsewhere_than_on_lambda_it_says_what_to_do() {
    let world = World::with("enforce", "");
    let output = command(&world).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("AWS_LAMBDA_RUNTIME_API is not set"), "{told}");
    assert!(told.contains("portcullis run"), "{told}");
}
