//! Options of the commands that read or change IP sets.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use ipnet::IpNet;
use portcullis_remediation::{BrakeOverride, Scope, parse_address_or_network};
use portcullis_setup::Mode;

use super::values::mode;
use super::{Access, Judgement, Logs, Shape};
use crate::exit;
use crate::span;

/// Where the IP sets are. Each option wins over its variable, and that over the
/// configuration file.
#[derive(Debug, Clone, Args)]
pub struct TargetOptions {
    /// The target's name in the configuration. May be left out where there is one only; `plan`
    /// and `review` are for empty sets then, unless --set or --ledger say where the target is.
    #[arg(long, value_name = "NAME", env = "PORTCULLIS_TARGET")]
    pub target: Option<String>,
    /// Number of the account; a set of another account is refused.
    #[arg(long, value_name = "NUMBER", env = "PORTCULLIS_ACCOUNT")]
    pub account: Option<String>,
    /// What the sets may be used by.
    #[arg(long, value_name = "SCOPE", env = "PORTCULLIS_SCOPE", ignore_case = true)]
    pub scope: Option<ScopeArgument>,
    /// A set that a blocking rule uses, by name, or by ARN, which saves the permission to
    /// list sets. May be given several times.
    #[arg(long = "set", value_name = "NAME", env = "PORTCULLIS_SETS", value_delimiter = ',')]
    pub sets: Vec<String>,
    /// A set that a counting rule uses, for the mode `canary`, by name or ARN. May be given
    /// several times.
    #[arg(
        long = "canary-set",
        value_name = "NAME",
        env = "PORTCULLIS_CANARY_SETS",
        value_delimiter = ','
    )]
    pub canary_sets: Vec<String>,
    /// Where it is kept which entries are ours: `s3://BUCKET/PREFIX` or a directory.
    #[arg(long, value_name = "PLACE", env = "PORTCULLIS_LEDGER")]
    pub ledger: Option<String>,
    /// How far the target may be changed.
    #[arg(long, value_name = "MODE", env = "PORTCULLIS_MODE", value_parser = mode())]
    pub mode: Option<Mode>,
    /// Pulls the kill switch for this run: nothing is changed.
    #[arg(long, value_name = "WHY", env = "PORTCULLIS_HALT")]
    pub halt: Option<String>,
}

impl TargetOptions {
    /// Whether they say which target is meant, and not only how one is treated.
    pub fn describes_one(&self) -> bool {
        self.target.is_some() || !self.sets.is_empty() || self.ledger.is_some()
    }
}

/// A target, and how it is reached.
#[derive(Debug, Args)]
pub struct Reached {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: TargetOptions,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub access: Access,
}

/// A scope on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeArgument {
    /// Services of one region.
    #[value(name = "REGIONAL")]
    Regional,
    /// `CloudFront`.
    #[value(name = "CLOUDFRONT", help = "CloudFront distributions")]
    CloudFront,
}

impl From<ScopeArgument> for Scope {
    fn from(argument: ScopeArgument) -> Self {
        match argument {
            ScopeArgument::Regional => Self::Regional,
            ScopeArgument::CloudFront => Self::CloudFront,
        }
    }
}

/// Networks that are never blocked.
#[derive(Debug, Args)]
pub struct Protected {
    /// Networks that are never blocked: a file with one address or network a line,
    /// `#` starts a comment. May be given several times, and adds to the configuration's.
    #[arg(long, value_name = "FILE")]
    pub never_block: Vec<PathBuf>,
    /// Newer ranges of AWS services that are never blocked: the `ip-ranges.json` that AWS
    /// publishes. It adds to the ranges that are built in.
    #[arg(long, value_name = "FILE")]
    pub aws_ranges: Option<PathBuf>,
}

/// What every command that changes sets can be told.
#[derive(Debug, Args)]
pub struct Changing {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub reached: Reached,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub manner: Manner,
}

/// How changes are carried out and shown.
#[derive(Debug, Args)]
pub struct Manner {
    /// Do everything but write: show what would be done to the sets as they are.
    #[arg(long)]
    pub dry_run: bool,
    /// Take the lease even though another run holds it. Nothing is lost if that run
    /// lives after all: it finds that it is too late.
    #[arg(long)]
    pub take_lease: bool,
    /// Shape of the output.
    #[arg(short, long, value_name = "SHAPE", default_value = "human")]
    pub output: Shape,
    /// The time to act at (RFC 3339), for simulations: refused unless the endpoint is on
    /// this machine.
    #[arg(long, value_name = "TIME", hide = true)]
    pub at: Option<String>,
}

/// `portcullis apply`.
#[derive(Debug, Args)]
#[command(after_long_help = APPLY_HELP)]
pub struct Apply {
    /// The plan, a file that `portcullis plan --target NAME --out FILE` wrote.
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// The hash that was reviewed. Carries out this very plan or nothing.
    #[arg(long, value_name = "SHA256")]
    pub expect_hash: Option<String>,
    /// Release a brake for this run, with the reason, which goes into the account. Only
    /// for a plan that somebody looked at, so --expect-hash is required. May be given
    /// several times.
    #[arg(
        long = "override",
        value_name = "BRAKE=REASON",
        value_parser = BrakeOverride::parse,
        requires = "expect_hash"
    )]
    pub overrides: Vec<BrakeOverride>,
    /// Go on although others changed a set after the plan was made: what they did stays.
    #[arg(long)]
    pub allow_moved_base: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub protected: Protected,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub changing: Changing,
}

const APPLY_HELP: &str = "\
The target's mode decides: `observe` refuses every plan; `suggest` carries out a plan whose
hash is given with --expect-hash; `canary` puts plans into the sets that a counting rule
uses; `enforce` needs nobody.

Brakes, as --override takes them: halt failing-runs adds-per-run adds-per-day change-share
removals prefix-width blast-requests blast-principals one-origin coverage evidence-age.

Carrying a plan out twice is carrying it out once. After a crash, run the same command
again, or any other that changes the sets: it settles what was begun before it does
anything else.";

/// `portcullis promote`.
#[derive(Debug, Args)]
#[command(after_long_help = PROMOTE_HELP)]
pub struct Promote {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: TargetOptions,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub protected: Protected,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub judgement: Judgement,
    /// How long an entry must have been counted before it may block: `90m`, `6h`, `2d`.
    #[arg(long, value_name = "LENGTH", value_parser = span::length, default_value = "1h")]
    pub probation: i64,
    /// Release a brake for this run, with the reason, which goes into the account. May be
    /// given several times.
    #[arg(long = "override", value_name = "BRAKE=REASON", value_parser = BrakeOverride::parse)]
    pub overrides: Vec<BrakeOverride>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub manner: Manner,
}

const PROMOTE_HELP: &str = "\
An entry of a canary set has its requests counted and let through. It moves into a set that
blocks when its probation is over, requests came from it after it was put there, and fewer
than 1 % of them were good ones. What speaks is read from the logs: without --since, --from
or --to, all that happened since the oldest entry was put into a canary set.

The mode must be `canary` or `enforce`. The never-block lists, decisions of persons and the
brakes are asked as with every block, and before an entry leaves its canary set.";

/// `portcullis ledger …`.
#[derive(Debug, Subcommand)]
pub enum Ledger {
    /// Make a lost ledger anew from the account and from plans that were applied.
    #[command(after_long_help = REBUILD_HELP)]
    Rebuild {
        #[command(flatten)]
        #[allow(missing_docs)]
        reached: Reached,
        /// A plan of which you know that it was applied, for lines of the account that were
        /// lost with the ledger. May be given several times.
        #[arg(long = "plan", value_name = "PLAN")]
        plans: Vec<PathBuf>,
        /// Show what would be claimed, and write nothing.
        #[arg(long)]
        dry_run: bool,
        /// Shape of the output.
        #[arg(short, long, value_name = "SHAPE", default_value = "human")]
        output: Shape,
        /// The time to act at (RFC 3339), for simulations: refused unless the endpoint is on
        /// this machine.
        #[arg(long, value_name = "TIME", hide = true)]
        at: Option<String>,
    },
}

const REBUILD_HELP: &str = "\
Ours is what the account or a given plan put into a set of the target and the set still
holds; everything else is somebody else's and stays. An account that does not fit together
claims nothing. When the blocks would have ended is lost, so all of them count as over: the
next `expire`, `apply` or `release-all` takes them out.

No ledger is ever written over. One that is there and cannot be read must be moved aside
first.";

/// `portcullis expire`.
#[derive(Debug, Args)]
#[command(after_long_help = exit::HELP)]
pub struct Expire {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub protected: Protected,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub changing: Changing,
}

/// `portcullis rollback`.
#[derive(Debug, Args)]
#[command(after_long_help = exit::HELP)]
pub struct Rollback {
    /// The operation whose blocks are undone, as `apply` and `audit show` name it.
    #[arg(value_name = "OPERATION")]
    pub operation: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub by_hand: ByHand,
}

/// `portcullis release-all`.
#[derive(Debug, Args)]
#[command(after_long_help = exit::HELP)]
pub struct ReleaseAll {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub by_hand: ByHand,
}

/// `portcullis pardon`.
#[derive(Debug, Args)]
#[command(after_long_help = exit::HELP)]
pub struct Pardon {
    /// The address or network; an IPv6 address stands for its /64, as everywhere.
    #[arg(value_name = "ADDRESS", value_parser = source)]
    pub network: IpNet,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub by_hand: ByHand,
}

/// What commands can be told that only a person gives.
#[derive(Debug, Args)]
pub struct ByHand {
    /// Release a brake for this run, with the reason, which goes into the account. May be
    /// given several times.
    #[arg(long = "override", value_name = "BRAKE=REASON", value_parser = BrakeOverride::parse)]
    pub overrides: Vec<BrakeOverride>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub changing: Changing,
}

/// `portcullis status`.
#[derive(Debug, Args)]
#[command(after_long_help = exit::HELP)]
pub struct Status {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub reached: Reached,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub protected: Protected,
    /// Shape of the output.
    #[arg(short, long, value_name = "SHAPE", default_value = "human")]
    pub output: Shape,
    /// Show what is so at this time (RFC 3339); the default is now.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

/// `portcullis audit …`.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Show the account of every change, oldest first.
    Show {
        #[command(flatten)]
        #[allow(missing_docs)]
        reached: Reached,
        /// Only the lines about this address or a network around it.
        #[arg(long, value_name = "ADDRESS", value_parser = source)]
        network: Option<IpNet>,
        /// Only the last N lines.
        #[arg(long, value_name = "N")]
        last: Option<usize>,
        /// Shape of the output: `human`, a table, or `json`, the lines as they are stored.
        #[arg(
            short,
            long,
            value_name = "SHAPE",
            default_value = "human",
            hide_possible_values = true
        )]
        output: Shape,
    },
    /// Check that no line was altered, dropped or added.
    ///
    /// Ends with 0 when the account is whole and reaches what the ledger knows, and with 2
    /// when it is not.
    Verify {
        #[command(flatten)]
        #[allow(missing_docs)]
        reached: Reached,
    },
}

/// Parses a source as sets hold it.
fn source(text: &str) -> Result<IpNet, String> {
    let network = parse_address_or_network(text).map_err(|error| error.to_string())?;
    Ok(match network {
        IpNet::V6(address) if address.prefix_len() == 128 => {
            IpNet::new(network.addr(), 64).expect("64 is a prefix length").trunc()
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_stands_for_its_64() {
        for (text, expected) in [
            ("2001:db8:1:2::17", "2001:db8:1:2::/64"),
            ("2001:db8:1::/48", "2001:db8:1::/48"),
            ("198.18.0.1", "198.18.0.1/32"),
        ] {
            assert_eq!(source(text).map(|network| network.to_string()).as_deref(), Ok(expected));
        }
        assert!(source("nobody").is_err());
    }
}
