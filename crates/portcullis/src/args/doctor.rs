//! Options of `doctor`.

use clap::Args;

use super::{Protected, Reached, Shape};
use crate::exit;

/// `portcullis doctor`.
#[derive(Debug, Args)]
#[command(after_long_help = exit::HELP)]
pub struct Doctor {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub reached: Reached,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub protected: Protected,
    /// The stage of the REST API that is to be protected, such as `a1b2c3d4e5/prod`; `stage`
    /// of the target unless given.
    #[arg(long, value_name = "API/STAGE", env = "PORTCULLIS_STAGE")]
    pub stage: Option<String>,
    /// Shape of the output.
    #[arg(short, long, value_name = "SHAPE", default_value = "human")]
    pub output: Shape,
    /// Hold runs and blocks against this time (RFC 3339); the default is now.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}
