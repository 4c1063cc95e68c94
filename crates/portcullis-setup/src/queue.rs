//! The queue that the bucket of logs tells of new objects, where `watch` is wanted.
//!
//! Its policy names the bucket by an ARN that is known beforehand, and the bucket waits for
//! the policy: S3 asks the queue when notifications are set up, and each would otherwise
//! wait for the other. A message with which nothing can be done goes to a second queue.
//!
//! Sources: S3 User Guide, "Granting permissions to publish event notification messages to a
//! destination"; SQS Developer Guide, "Dead-letter queues".

use serde_json::{Value, json};

use crate::answers::{Runner, Setup};
use crate::function::timeout_seconds;
use crate::names::QUEUE;

/// Ending of the queue's name, and of the one for what nothing can be done with.
pub(crate) const OBJECTS: &str = "objects";
pub(crate) const ASIDE: &str = "objects-aside";

/// Seconds that a message is kept from coming again: `watch` puts it off while it works, and
/// what Lambda asks for is six times as long as a call of its function may take.
pub(crate) fn visibility_seconds(setup: &Setup) -> u32 {
    match setup.runner {
        Runner::Lambda { .. } => timeout_seconds(setup) * 6,
        Runner::Fargate { .. } | Runner::Host => 120,
    }
}

/// Seconds that a message waits for somebody: four days, in which a broken program is mended.
pub(crate) const KEPT_SECONDS: u32 = 345_600;

/// The same for messages that were set aside: SQS's longest.
pub(crate) const ASIDE_SECONDS: u32 = 1_209_600;

/// Deliveries after which a message is set aside; `watch` names it at the fifth.
pub(crate) const DELIVERIES: u32 = 10;

/// Who may send to the queue: S3, for this bucket of this account.
pub(crate) fn policy(setup: &Setup) -> Value {
    let bucket = format!("arn:{}:s3:::{}", setup.partition(), setup.logs_bucket());
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "TellOfObjects",
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": QUEUE,
            "Condition": {
                "ArnEquals": {"aws:SourceArn": bucket},
                "StringEquals": {"aws:SourceAccount": setup.account},
            },
        }],
    })
}

impl Setup {
    /// Address of the queue.
    pub(crate) fn queue_url(&self) -> String {
        let domain =
            if self.partition() == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        let (region, account) = (&self.region, &self.account);
        format!("https://sqs.{region}.{domain}/{account}/{}", self.named(OBJECTS))
    }
}
