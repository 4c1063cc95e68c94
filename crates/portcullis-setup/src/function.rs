//! What runs on AWS Lambda instead of tasks: two functions of one image, what calls them,
//! and how it shows that they do.
//!
//! One function does what `run` does when a schedule calls it and, where objects are read as
//! they arrive, what `watch` does with a batch of the queue's messages. The other ends what
//! is over, by a role of its own that sees no log. Each is called once at a time: a second
//! call waits in Lambda's own queue, or in the queue of objects, whose messages must
//! therefore stay hidden for six times as long as a call may take.
//!
//! What a call that failed left is taken up by the next one of the schedule, so Lambda makes
//! none again, and drops what waited until the next was due.
//!
//! Sources: AWS Lambda Developer Guide, "Creating and configuring an Amazon SQS event source
//! mapping" (visibility), "Configuring reserved concurrency", "Error handling for
//! asynchronous invocations", "Create a Lambda function using a container image".

use crate::Runner;
use crate::answers::Setup;
use crate::container::{RUN_SUCCESS, environment, run_roles};
use crate::names::{EXPIRE_FUNCTION, EXPIRE_ROLE, RUNNER_ROLE, SCAN_FUNCTION};
use crate::text::{Attribute, Text};

/// A function: what it runs, as whom, and what it is told.
pub(crate) struct Function {
    /// Ending of its names, and Terraform's name.
    pub(crate) name: &'static str,
    /// CloudFormation's name.
    pub(crate) cloudformation: &'static str,
    pub(crate) arn: Attribute,
    pub(crate) role: Attribute,
    /// The program's words.
    pub(crate) command: Vec<String>,
    /// Variables, sorted by name.
    pub(crate) environment: Vec<(&'static str, Text)>,
    /// What a line says of a call that ended well, as a filter pattern of CloudWatch Logs.
    pub(crate) success: &'static str,
    /// Whether it takes the queue's messages.
    pub(crate) takes_messages: bool,
}

/// The image and the functions made of it, if Lambda runs them.
pub(crate) fn functions(setup: &Setup) -> Option<(&str, [Function; 2])> {
    let Runner::Lambda { image } = &setup.runner else {
        return None;
    };
    let words = |only: &str| {
        let words = ["lambda", "--target", &*setup.name, only];
        words.map(str::to_owned).to_vec()
    };
    let scan = Function {
        name: "scan",
        cloudformation: "Scan",
        arn: SCAN_FUNCTION,
        role: RUNNER_ROLE,
        command: words("--no-expire"),
        environment: environment(setup, &run_roles(setup)),
        success: RUN_SUCCESS,
        takes_messages: setup.watches,
    };
    let expire = Function {
        name: "expire",
        cloudformation: "Expire",
        arn: EXPIRE_FUNCTION,
        role: EXPIRE_ROLE,
        command: words("--only-expire"),
        environment: environment(setup, &[]),
        success: "{ $.exit = 0 }",
        takes_messages: false,
    };
    Some((image, [scan, expire]))
}

/// Megabytes. Lambda gives a processor for each 1,769.
pub(crate) const MEMORY: u32 = 2048;

/// Longest time of a call in seconds, as Lambda would end it. Half an hour of hiding, six
/// times as long, is what a message waits of which the call was killed.
pub(crate) fn timeout_seconds(setup: &Setup) -> u32 {
    (setup.deadline_minutes() * 60).min(300)
}

/// Messages of one call, and seconds for which they are gathered. Firehose ends an object
/// once a minute, so a few seconds put those of many shards together.
pub(crate) const BATCH: u32 = 100;
pub(crate) const BATCH_SECONDS: u32 = 5;

/// Seconds that a call may wait for the one before it.
pub(crate) fn waiting_seconds(setup: &Setup) -> u32 {
    setup.every_minutes * 60
}

/// What the alarm on errors says, and how long it looks back, in seconds.
pub(crate) const ERRORS: &str = "A call of the function failed, or did not end in time";
pub(crate) const ERROR_SECONDS: u32 = 300;
