//! `portcullis lambda`: rounds of work when AWS Lambda calls for them.
//!
//! The work is that of `run` and `watch`. What is different is who ends it: Lambda kills an
//! invocation at its limit, so each has a deadline of its own, before that; and Lambda
//! deletes the messages of a batch that the answer does not name. So an answer names every
//! message that the round did not let go, whatever became of the round.
//!
//! The runtime's client waits on a thread of its own, because a round waits for AWS itself,
//! and must not do so where others wait.

use std::collections::BTreeSet;
use std::sync::mpsc;

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use portcullis_aws::{Invocation, Message, SystemClock};
use portcullis_remediation::Clock as _;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::arrivals::{Arrivals, Task};
use super::inert;
use super::run::{once, only_expire_once};
use crate::args::{Global, Lambda, Shape};
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::stop::Stop;
use crate::terminal::Terminal;

/// What the runtime's client cannot do without.
const VARIABLES: [&str; 4] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
];

/// One invocation.
struct Call {
    event: Value,
    /// When Lambda ends it, in milliseconds since 1970.
    deadline_ms: u64,
    answer: oneshot::Sender<Result<Value, Diagnostic>>,
}

pub(super) fn run(
    arguments: &Lambda,
    configuration: &Configuration,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let missing = VARIABLES.iter().find(|name| std::env::var_os(name).is_none());
    if let Some(missing) = missing {
        let detail = format!("{missing} is not set, as AWS Lambda does");
        return Err(Failure::because("serve invocations", detail)
            .hint("this command is for a function's container image; elsewhere: portcullis run")
            .exit_with(Exit::Usage));
    }
    let Lambda { locations, watched, deliveries, only_expire, .. } = arguments;
    let told = (*deliveries, Shape::Json);
    let arrivals = || Arrivals::open(locations, watched, told, configuration, global, terminal);
    // Who only ends blocks needs no log and no rules.
    let arrivals = if *only_expire { None } else { Some(arrivals()?) };
    let (calls, called) = mpsc::channel();
    let thread = std::thread::Builder::new().name("invocations".to_owned());
    let serving = thread
        .spawn(move || serve(calls))
        .map_err(|error| Failure::new("serve invocations", &error))?;
    for Call { event, deadline_ms, answer } in called {
        let stop = Stop::default().within(Some(time_left(deadline_ms, arguments.margin)));
        let answered = match (Invocation::parse(&event), &arrivals) {
            (Ok(Invocation::Schedule), Some(_)) => {
                let work = (watched, locations.as_slice(), Shape::Json);
                scheduled(once(work, &stop, configuration, global, terminal))
            }
            (Ok(Invocation::Schedule), None) => {
                scheduled(only_expire_once(watched, configuration, terminal))
            }
            (Ok(Invocation::Messages(messages)), Some(arrivals)) => {
                batch(arrivals, messages, &stop)
            }
            (Ok(Invocation::Messages(_)), None) => {
                Err(Failure::because("read what arrived", "this function only ends blocks")
                    .hint("map the queue to the function without --only-expire")
                    .exit_with(Exit::Usage))
            }
            (Err(error), _) => {
                let failure = Failure::because("understand the event", error.to_string());
                Err(failure.exit_with(Exit::Usage))
            }
        };
        let answered = answered.map_err(|failure| {
            terminal.error(&failure);
            Diagnostic { error_type: "Portcullis".to_owned(), error_message: failure.line() }
        });
        // Who does not wait any more is answered by the next invocation.
        let _ = answer.send(answered);
    }
    let why = serving.join().expect("the runtime's client does not panic");
    let detail = why.err().unwrap_or_else(|| "the runtime ended".to_owned());
    Err(Failure::because("ask AWS Lambda for invocations", inert(&detail)))
}

/// Hands invocations over, one after the other, as long as anybody takes them.
fn serve(calls: mpsc::Sender<Call>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let service = service_fn(move |LambdaEvent { payload, context }: LambdaEvent<Value>| {
        let calls = calls.clone();
        async move {
            let gone = || Diagnostic {
                error_type: "Portcullis".to_owned(),
                error_message: "the program is ending".to_owned(),
            };
            let (answer, answered) = oneshot::channel();
            let call = Call { event: payload, deadline_ms: context.deadline, answer };
            calls.send(call).map_err(|_| gone())?;
            answered.await.unwrap_or_else(|_| Err(gone()))
        }
    });
    runtime.block_on(lambda_runtime::run(service)).map_err(|error| error.to_string())
}

/// Milliseconds to the deadline less the margin; none is left when that is over.
fn time_left(deadline_ms: u64, margin_ms: i64) -> i64 {
    let deadline_ms = i64::try_from(deadline_ms).unwrap_or(i64::MAX);
    (deadline_ms - SystemClock.now().epoch_ms() - margin_ms).max(0)
}

/// The answer to a schedule. A run that did not do all it should is an error of the
/// function, so that Lambda's own metric counts it; gaps in the logs are none.
fn scheduled(ended: Result<Exit, Failure>) -> Result<Value, Failure> {
    match ended? {
        exit @ (Exit::Done | Exit::Partial) => Ok(json!({"exit": exit.code()})),
        exit => {
            let detail = format!("it ended with code {}; its log says why", exit.code());
            Err(Failure::because("do all of the run", detail).exit_with(exit))
        }
    }
}

/// The answer to a batch: which messages are to come again.
fn batch(arrivals: &Arrivals<'_>, messages: Vec<Message>, stop: &Stop) -> Result<Value, Failure> {
    let ids: Vec<String> = messages.iter().map(|message| message.id.clone()).collect();
    let mut done: BTreeSet<String> = BTreeSet::new();
    let mut let_go = |messages: &[Message]| {
        done.extend(messages.iter().map(|message| message.id.clone()));
        Ok(())
    };
    let round = Task { messages, lists: false, stop, done: &mut let_go };
    arrivals.round(round)?;
    let again = ids.iter().filter(|id| !done.contains(*id));
    let failures: Vec<Value> = again.map(|id| json!({"itemIdentifier": id})).collect();
    Ok(json!({"batchItemFailures": failures}))
}
