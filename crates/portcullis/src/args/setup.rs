//! Options of `init`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use portcullis_setup::Mode;

use super::ScopeArgument;
use super::values::{mode, network, not_stdout};

/// `portcullis init`.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct Init {
    /// Directory to write to.
    #[arg(long, value_name = "DIR", value_parser = not_stdout, default_value = "portcullis-setup")]
    pub out: PathBuf,
    /// Write over files that are there.
    #[arg(long)]
    pub force: bool,
    /// Write nothing; print what would be written.
    #[arg(long)]
    pub dry_run: bool,
    /// Name of the setup and of its target, such as `prod`: part of every name that is made.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Number of the AWS account.
    #[arg(long, value_name = "NUMBER", env = "PORTCULLIS_ACCOUNT")]
    pub account: Option<String>,
    /// What stands before the API: `REGIONAL`, a web ACL at its stage; or `CLOUDFRONT`, one at
    /// a distribution by which all requests come in.
    #[arg(long, value_name = "SCOPE", default_value = "REGIONAL")]
    pub scope: ScopeArgument,
    /// Id of the distribution, such as E1A2B3C4D5E6F7, for the scope `CLOUDFRONT`.
    #[arg(long, value_name = "ID", conflicts_with_all = ["api_id", "stage", "leave_stage"])]
    pub distribution: Option<String>,
    /// Region of the API; us-east-1 for the scope `CLOUDFRONT`, wherever the API is.
    #[arg(long, value_name = "REGION", env = "PORTCULLIS_REGION")]
    pub region: Option<String>,
    /// What kind of API it is.
    #[arg(long, value_name = "KIND", default_value = "rest")]
    pub api: ApiKind,
    /// Id of the API, such as a1b2c3d4e5, for the scope `REGIONAL`.
    #[arg(long, value_name = "ID")]
    pub api_id: Option<String>,
    /// Name of the stage, for the scope `REGIONAL`.
    #[arg(long, value_name = "NAME")]
    pub stage: Option<String>,
    /// Leave the stage's access log to whoever manages the stage; the setting is still
    /// written to stage-access-log.json.
    #[arg(long)]
    pub leave_stage: bool,
    /// The web ACL of the stage or distribution.
    #[arg(long, value_name = "WHICH", default_value = "new")]
    pub web_acl: WebAcl,
    /// How far blocks are made without a person.
    #[arg(long, value_name = "MODE", default_value = "observe", value_parser = mode())]
    pub mode: Mode,
    /// A network of yours or of a partner, which is never blocked. May be given several
    /// times; `canary` and `enforce` need one.
    #[arg(long, value_name = "CIDR", value_parser = network)]
    pub never_block: Vec<IpNet>,
    /// What runs the program.
    #[arg(long, value_name = "KIND", default_value = "fargate")]
    pub schedule: Schedule,
    /// Image of the container, with a tag or digest; for Fargate and Lambda.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Subnet of the container, from which AWS can be reached; for Fargate. May be given
    /// several times.
    #[arg(long = "subnet", value_name = "ID", value_delimiter = ',')]
    pub subnets: Vec<String>,
    /// Security group of the container; for Fargate. May be given several times.
    #[arg(long = "security-group", value_name = "ID", value_delimiter = ',')]
    pub security_groups: Vec<String>,
    /// A role or user that may assume the three roles. May be given several times.
    #[arg(long = "trust", value_name = "ARN")]
    pub trusted: Vec<String>,
    /// Where the alarm on missed runs is sent.
    #[arg(long, value_name = "ADDRESS")]
    pub alarm_email: Option<String>,
    /// Minutes between two runs: 5, 10, 15, 20, 30 or 60.
    #[arg(long, value_name = "MINUTES", default_value = "15")]
    pub every: u32,
    /// Hours of logs over which each run decides, 1 to 48; each object is read once. Firehose
    /// tries for 24 hours to deliver.
    #[arg(long, value_name = "HOURS", default_value = "25")]
    pub since: u32,
    /// Also make a queue that is told of new objects, and what reads them as they arrive: a
    /// service of `portcullis watch`, or the function. The schedule stays.
    #[arg(long)]
    pub watch: bool,
    /// Days that logs are kept.
    #[arg(long, value_name = "DAYS", default_value = "30")]
    pub keep_logs: u32,
}

/// A kind of API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ApiKind {
    /// A REST API.
    Rest,
    /// An HTTP API, which can have neither a web ACL nor Firehose as the destination of its
    /// log: for the scope `CLOUDFRONT` only.
    Http,
}

/// The web ACL of a stage or distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WebAcl {
    /// It has none: make one, with a log.
    New,
    /// It has one: make a rule group to refer to from it, and leave the ACL and its log
    /// alone.
    Existing,
}

/// What runs the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Schedule {
    /// Tasks of ECS on Fargate, started by a schedule of `EventBridge`.
    #[value(help = "Tasks of ECS on Fargate, started by EventBridge Scheduler")]
    Fargate,
    /// Functions of AWS Lambda, called by a schedule of `EventBridge`, and by the queue of
    /// --watch.
    #[value(
        help = "Functions of AWS Lambda, called by EventBridge Scheduler, and by the queue of \
                    --watch"
    )]
    Lambda,
    /// A machine of your own: systemd, cron or a build server.
    Host,
}

const HELP: &str = "\
Nothing is asked of AWS and nothing is changed there: files are written, and you apply
them. What is not given is asked for on a terminal; elsewhere it is an error.

No policy that is written has an action or a resource `*`. The program is given the ARNs
of its sets, so that nobody needs wafv2:ListIPSets, which knows no resource but all.";
