//! What has to be known about a pipeline to judge it: what AWS was asked, and what the
//! program is told.
//!
//! Every part may be missing, refused or out of reach without the others being so. So each
//! is an [`Answer`] of its own.

use ipnet::IpNet;
use portcullis_ingest::{Field, FieldSet, Timestamp};

use crate::answers::Mode;

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<Fact> {
    /// The answer.
    Known(Fact),
    /// There is no such thing, in the service's words.
    Missing(String),
    /// The caller may not ask.
    Denied {
        /// What it lacks.
        permission: Permission,
        /// The service's words.
        detail: String,
    },
    /// The question came to nothing.
    Failed(String),
    /// Nobody asked, because of this.
    NotAsked(String),
}

/// A permission as IAM has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// Such as `firehose:DescribeDeliveryStream`.
    pub action: &'static str,
    /// ARN of what it is done to.
    pub resource: String,
}

impl Permission {
    /// The statement that grants it, on one line.
    pub fn statement(&self) -> String {
        let Self { action, resource } = self;
        format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}"#)
    }
}

/// Everything that the checks are held against.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What the program is told.
    pub expected: Expected,
    /// Who asks.
    pub caller: Answer<Caller>,
    /// The stage of the API.
    pub stage: Answer<Stage>,
    /// What the stage's log format comes to; [`Answer::Failed`] says why it is none.
    pub grade: Answer<Grade>,
    /// Where the stage's log goes.
    pub stream: Answer<Stream>,
    /// What is associated with the stage; `None` when nothing is.
    pub web_acl: Answer<Option<WebAcl>>,
    /// The IP sets of the target, canary sets included.
    pub sets: Answer<Vec<SetFacts>>,
    /// This machine's clock less that of S3, in milliseconds.
    pub clock_skew_ms: Answer<i64>,
    /// The ledger.
    pub ledger: Answer<LedgerFacts>,
    /// When runs happened.
    pub runs: Answer<Runs>,
    /// When all this was asked.
    pub now: Timestamp,
}

/// What the program is told.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Number of the account.
    pub account: String,
    /// How far blocks are made without a person.
    pub mode: Mode,
    /// Names of the sets that a rule that blocks uses.
    pub sets: Vec<String>,
    /// Names of the sets that a rule that counts uses.
    pub canary_sets: Vec<String>,
    /// What `run` and `watch` read, such as `s3://bucket/access/`, where that is described.
    pub location: Option<String>,
    /// Proxies behind which the client is looked for in `X-Forwarded-For`.
    pub trusted_proxies: Vec<IpNet>,
    /// Networks of the operator's never-block lists, or why they cannot be read.
    pub never_block: Result<usize, String>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Number of the account.
    pub account: String,
    /// ARN of the user or of the role's session.
    pub arn: String,
}

/// A stage of a REST API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The API's id.
    pub api_id: String,
    /// The stage's name.
    pub name: String,
    /// ARN of what its access log is sent to, if it has one.
    pub log_destination: Option<String>,
    /// The template of its access log.
    pub log_format: Option<String>,
}

/// What a log format comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grade {
    /// The fields that it gives.
    pub gives: FieldSet,
    /// Rules that are blind with it and would see with the recommended format, by what they
    /// lack.
    pub curable: Vec<(String, usize)>,
    /// Rules that can look.
    pub seeing: usize,
    /// All rules.
    pub rules: usize,
    /// What is wrong with it besides.
    pub problems: Vec<String>,
}

impl Grade {
    pub(super) fn lacks(&self, field: Field) -> bool {
        !self.gives.contains(field)
    }
}

/// A delivery stream of Firehose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// Such as `ACTIVE`.
    pub status: String,
    /// The bucket that it delivers to; `None` when it delivers elsewhere.
    pub bucket: Option<StreamBucket>,
}

/// How a stream delivers to a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamBucket {
    /// ARN of the bucket.
    pub arn: String,
    /// Such as `GZIP` or `UNCOMPRESSED`.
    pub compression: String,
    /// Most time that a record waits, in seconds.
    pub interval_seconds: u32,
    /// Most bytes that wait, in MiB.
    pub size_mib: u32,
    /// Whether it puts a line feed after each record.
    pub appends_delimiter: bool,
}

/// A web ACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebAcl {
    /// Its name.
    pub name: String,
    /// Its rules, in any order.
    pub rules: Vec<Rule>,
}

/// A rule of a web ACL or of a rule group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Rules are asked by this number, from the lowest.
    pub priority: i32,
    /// What is done with a request that matches; `None` of a rule that refers to a group.
    pub action: Option<Action>,
    /// What it matches.
    pub statement: Statement,
}

/// What is done with a request that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is let in, and no other rule is asked.
    Allow,
    /// It is turned away.
    Block,
    /// It is counted, and the next rule is asked.
    Count,
    /// It has to pass a puzzle or a challenge.
    Challenge,
}

/// What a rule matches, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// Addresses of an IP set.
    Set {
        /// The set's ARN.
        arn: String,
        /// Where the address is taken from; `None`: the peer of the connection.
        forwarded: Option<Forwarded>,
    },
    /// What all of these match.
    All(Vec<Statement>),
    /// What any of these matches.
    Any(Vec<Statement>),
    /// The rules of a group of one's own.
    Group {
        /// The group's ARN.
        arn: String,
        /// Its rules.
        rules: GroupRules,
        /// Whether all of them only count.
        counts: bool,
        /// Rules of it that do something else here, by name.
        overrides: Vec<(String, Action)>,
    },
    /// Anything else, negations among it.
    Other,
}

/// The rules of a group, or what became of asking for them.
pub type GroupRules = Box<Answer<Vec<Rule>>>;

/// A header that addresses are taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// Its name.
    pub header: String,
    /// Which of several addresses counts.
    pub position: Position,
    /// Whether a request without the header matches.
    pub matches_without: bool,
}

/// Which of several addresses in a header counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The leftmost.
    First,
    /// The rightmost.
    Last,
    /// Any.
    Any,
}

/// An IP set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetFacts {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Whether it holds IPv6 networks.
    pub is_v6: bool,
    /// Networks in it.
    pub entries: usize,
}

/// A ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerFacts {
    /// Entries that are ours.
    pub entries: usize,
    /// Those whose time is over and that are still there.
    pub overdue: usize,
    /// When the first of those was to leave.
    pub overdue_since: Option<Timestamp>,
    /// Runs that failed in a row.
    pub failed_runs: u32,
    /// Why nothing may be changed, if the kill switch is pulled.
    pub halted: Option<String>,
}

/// When runs happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs {
    /// When a run last did all that it should.
    pub last_good: Option<Timestamp>,
    /// When everything that was over was last taken out.
    pub last_expire: Option<Timestamp>,
}
