//! AWS behind the traits of remediation: IP sets in AWS WAF, ledgers on S3 or on disk;
//! and the objects of a bucket.
//!
//! This is the only crate that knows the AWS SDK. It decides nothing about blocks: it
//! reads whole sets and writes whole sets, and above all it says what an error means.
//! A write of which the answer was lost may have happened, and the SDK's habit of
//! trying again would hide that; so the SDK sends writes once. What became of an update of
//! a set, remediation settles; what became of a save on S3, `s3_place`, which reads it before
//! it saves again.
//!
//! The calls it makes are `wafv2:GetIPSet`, `wafv2:UpdateIPSet`, `wafv2:ListIPSets` for sets
//! that are known by name and not by ARN,
//! for logs on S3 `s3:ListBucket` and `s3:GetObject`, for a ledger there also
//! `s3:PutObject` below its prefix, for a queue that tells of objects `sqs:ReceiveMessage`,
//! `sqs:ChangeMessageVisibility` and `sqs:DeleteMessage`, for a topic that people are told by
//! `sns:Publish`, and `sts:AssumeRole` where a role is named. It never
//! creates or deletes a set, and never touches a web ACL. `doctor` reads more: see `inspect`.

mod connection;
pub mod disk;
mod document;
mod failure;
mod file_ledger;
mod inspect;
mod invocation;
mod ledger_place;
mod notice;
mod notify;
pub mod objects;
mod pace;
mod patience;
mod queue;
mod run_lock;
mod s3_ledger;
mod s3_place;
mod set_arn;
mod system_clock;
mod waf;

pub use connection::{Connection, Keys, Options};
pub use document::Document;
pub use file_ledger::FileLedger;
pub use inspect::Inspector;
pub use invocation::{Invocation, InvocationError};
pub use ledger_place::LedgerPlace;
pub use notice::{Arrived, Notice, NoticeError};
pub use notify::{NotSent, Topic, Webhook};
pub use pace::Pace;
pub use queue::{Message, Queue, QueueError};
pub use run_lock::{NotTaken, RunLock};
pub use s3_ledger::S3Ledger;
pub use set_arn::SetArn;
pub use system_clock::SystemClock;
pub use waf::{Listed, WafIpSets};
