//! Arguments of the commands that nobody watches: `run` and `watch`.

use std::path::PathBuf;

use clap::Args;

use super::{Access, Judgement, Logs, Manner, Protected, Reading, Shape, TargetOptions};
use crate::span;

/// Where the logs are, and what is kept of them. What is not given is in `[source]` of the
/// configuration.
#[derive(Debug, Args)]
pub struct Watched {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub reading: Reading,
    /// Where what was found is kept: FILE, or `s3://BUCKET/KEY`. Lock and heartbeat lie
    /// beside it.
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_STATE")]
    pub state: Option<String>,
    /// How far back objects count, by the time they were written: `90m`, `24h`, `3d`. 25h
    /// unless given.
    #[arg(long, value_name = "LENGTH", value_parser = span::length)]
    pub lookback: Option<i64>,
    /// Also write the plan of each target to PLACE/NAME.json; PLACE is a directory or
    /// `s3://BUCKET/PREFIX`.
    #[arg(long, value_name = "PLACE")]
    pub plans: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub judgement: Judgement,
    /// Networks that are never blocked.
    #[command(flatten)]
    pub protected: Protected,
    /// The targets: the named one, or all of the configuration.
    #[command(flatten)]
    pub target: TargetOptions,
    /// How AWS is reached, for the logs as for the targets.
    #[command(flatten)]
    pub access: Access,
    /// Role to assume for the logs and the state alone; --assume-role is then for the
    /// targets.
    #[arg(long, value_name = "ARN", env = "PORTCULLIS_SOURCE_ROLE")]
    pub source_role: Option<String>,
    /// What `[source]` says of how the logs are reached.
    #[arg(skip)]
    pub source_access: Access,
    /// Leave what is over to a schedule of `portcullis expire`, with a role of its own.
    #[arg(long)]
    pub no_expire: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub reporting: Reporting,
    /// Take the lease of a ledger even though another run holds it.
    #[arg(long)]
    pub take_lease: bool,
    /// The time to act at (RFC 3339), for simulations: refused unless the endpoint is on
    /// this machine.
    #[arg(long, value_name = "TIME", hide = true)]
    pub at: Option<String>,
}

impl Watched {
    /// The same, as commands that read logs take it.
    pub fn logs(&self, locations: Vec<String>) -> Logs {
        let (given, file) = (&self.access, &self.source_access);
        let first = |of: [&Option<String>; 2]| of.into_iter().flatten().next().cloned();
        let of_source = first([&self.source_role, &file.assume_role]);
        let access = Access {
            profile: first([&given.profile, &file.profile]),
            region: first([&given.region, &file.region]),
            endpoint_url: first([&given.endpoint_url, &file.endpoint_url]),
            assume_role: of_source.or_else(|| given.assume_role.clone()),
        };
        Logs { reading: self.reading.clone(), access, ..Logs::plain(locations) }
    }

    /// How changes are carried out.
    pub fn manner(&self) -> Manner {
        Manner {
            dry_run: false,
            take_lease: self.take_lease,
            output: Shape::Human,
            at: self.at.clone(),
        }
    }
}

/// Who is told of what an unattended command did, besides stdout.
#[derive(Debug, Clone, Default, Args)]
pub struct Reporting {
    /// Write the numbers of the run to FILE, for the textfile collector of Prometheus' node
    /// exporter. The file is replaced whole; `-` writes to stdout.
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Also print the numbers as lines of which CloudWatch makes metrics.
    #[arg(long)]
    pub emf: bool,
    /// Tell people of new blocks, brakes, gaps and failures by a webhook as Slack has them.
    /// FILE holds its address, which is a secret.
    #[arg(long, value_name = "FILE")]
    pub webhook_file: Option<PathBuf>,
    /// The same by a topic of SNS.
    #[arg(long, value_name = "ARN", env = "PORTCULLIS_TOPIC")]
    pub topic: Option<String>,
}

/// `portcullis watch`.
#[derive(Debug, Args)]
#[command(after_long_help = WATCH_HELP)]
pub struct Watch {
    /// Where the logs are: `s3://BUCKET/PREFIX`.
    #[arg(value_name = "LOCATION")]
    pub locations: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub watched: Watched,
    /// Address of the queue of SQS that is told of new objects.
    #[arg(long, value_name = "URL", env = "PORTCULLIS_QUEUE")]
    pub queue: Option<String>,
    /// How long a message is kept from coming again; while it is worked on, that is put off.
    #[arg(long, value_name = "LENGTH", value_parser = span::length, default_value = "2m")]
    pub visibility: i64,
    /// A message with which nothing can be done is named when it came so many times. The
    /// queue moves it aside, if it has a queue for that.
    #[arg(long, value_name = "N", default_value = "5")]
    pub deliveries: u32,
    /// How often the whole location is listed, for messages that were lost.
    #[arg(long, value_name = "LENGTH", value_parser = span::length, default_value = "1h")]
    pub list_every: i64,
    /// End when no message came for so long, instead of on SIGTERM.
    #[arg(long, value_name = "LENGTH", value_parser = span::length)]
    pub until_idle: Option<i64>,
    /// Shape of the summary of each round: one line for people, or one of JSON.
    #[arg(short, long, value_name = "SHAPE", default_value = "human")]
    pub output: Shape,
}

const WATCH_HELP: &str = "\
Does what `run` does, each time when the queue tells of new objects: directly, by way of
SNS, or by way of EventBridge. A message is deleted when what its object held is saved. The
location is listed when it begins, and then every --list-every.

It ends on SIGTERM, when the objects being read are saved. A queue that cannot be asked
ends it with 1; whatever else goes wrong is said, and tried again in the next round.";

/// `portcullis run`.
#[derive(Debug, Args)]
#[command(after_long_help = RUN_HELP)]
pub struct Run {
    /// Where the logs are, as `scan` takes it.
    #[arg(value_name = "LOCATION")]
    pub locations: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub watched: Watched,
    /// Be done within this time: `90s`, `4m`. Reading ends when three quarters of it are
    /// over, what is left is said, and the next run goes on there.
    #[arg(long, value_name = "LENGTH", value_parser = span::length)]
    pub deadline: Option<i64>,
    /// Shape of the summary: one line for people, or one of JSON.
    #[arg(short, long, value_name = "SHAPE", default_value = "human")]
    pub output: Shape,
}

const RUN_HELP: &str = "\
One run takes out of the sets what is over, reads what is new, decides over all of the
lookback, and does with the plan of each target what its mode allows: `observe` and
`suggest` change nothing, `canary` and `enforce` carry it out, held by the brakes.

What is over is taken out first, before the lock and before any log is read, so that
blocks end even when nothing else works. A run that another one holds up ends with 6. On
SIGTERM the objects being read are finished and saved, and nothing is planned.

Beside the state lie STATE.run, the lock, and STATE.heartbeat: when a run last began,
finished, and ended well, and when what was over was last taken out.

Exit codes: 0 all of it was done; 1 something failed; 3 some of the logs were not covered,
or objects were left for the next run; 4 a brake or the kill switch refused a plan; 6
another run is at work. One run can have several reasons; the summary names each.";
