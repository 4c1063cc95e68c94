//! Options of `explain`.

use clap::Args;

use super::{Judgement, Logs, Shape};

/// `portcullis explain`.
#[derive(Debug, Args)]
#[command(after_long_help = EXPLAIN_HELP)]
pub struct Explain {
    /// An address, or the id of a request: the extended one, or the one its caller was told.
    ///
    /// An IPv6 address stands for its /64, as everywhere, and the /64 may be given as outputs
    /// print it, as may an IPv4 /32. A request is explained with the
    /// client that sent it; where several requests bear the id, at most 20 of them, the worst
    /// first, with the client of that.
    #[arg(value_name = "ADDRESS|REQUEST-ID")]
    pub question: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub judgement: Judgement,
    /// Shape of the output.
    #[arg(short, long, value_name = "SHAPE", default_value = "human")]
    pub output: Shape,
}

const EXPLAIN_HELP: &str = "\
The score of a client is the sum over the rules that fired on it: the rule's points
(severity times confidence, see `portcullis rules list`) for one request, twice them for
2, three times for 4, and four times, which is the most, for 8 and more. A rate rule counts
its bursts instead of requests. The score of a request is the sum of the points of its rules, but of one
category at most twice its highest rule.

Ends with 0 when there is something to account for, and with 1 when no request of that
client, or with that id, is in the logs.";
