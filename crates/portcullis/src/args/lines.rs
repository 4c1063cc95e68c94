//! Options of `decode` and `classify`, which print a line for each request.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Logs;

/// `portcullis decode`.
#[derive(Debug, Args)]
#[command(after_long_help = DECODE_HELP)]
pub struct Decode {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
    /// Write records that could not be read to FILE, as JSON Lines; `-` writes them to stdout
    /// among the requests.
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Shape of the lines.
    #[arg(short, long, value_name = "SHAPE", default_value = "jsonl")]
    pub output: DecodeOutput,
}

/// Shape of decoded requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DecodeOutput {
    /// The fields of the log.
    Jsonl,
    /// OCSF HTTP Activity (class 4002). Secrets are always hidden.
    Ocsf,
}

const DECODE_HELP: &str = "\
Each line is one request, in the order of the input. Fields, in this order, left out
when the log does not have them: id time client method path query route status
user_agent host referer protocol response_bytes latency_ms api_id stage api_key_id
principal error_type waf_action waf_rule waf_labels ja3 ja4 country forwarded_for
headers object offset. Times are RFC 3339 in UTC with
milliseconds; offset counts bytes of the decompressed object.

Text that is valid UTF-8 is given exactly; control, bidirectional and zero-width
characters are written as JSON \\u escapes, so that no line can act on a terminal.
Text that is not valid UTF-8 is given with each bad byte as \\xHH and each backslash
doubled, and the record then names those fields: \"escaped\":[\"path\"]. Undo it by
replacing \\\\ with \\ and \\xHH with the byte.

Records that cannot be read are counted on stderr, and the program ends with code 3.";

/// `portcullis classify`.
#[derive(Debug, Args)]
#[command(after_long_help = CLASSIFY_HELP)]
pub struct Classify {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
    /// Use the rules of this directory instead of the built-in ones.
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
}

const CLASSIFY_HELP: &str = "\
Each line is one request, in the order of the input: id client time flagged score
categories rules. `flagged` means that the signature score reaches the block level.
Rate rules judge clients, not requests, and take no part here.";
